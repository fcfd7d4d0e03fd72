#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section C: what programs start, and where they go: namespaces, other roots, other rights."""

import os
import signal
import subprocess

import ttlib
from ttlib import case, check, check_equal, left, run


SPAWNS = int(os.environ.get("TT_ROUNDS", 20))
SPAWNS_SECONDS = 20 + SPAWNS  # each with four processes


def check_way(program, way, daemon, seconds=ttlib.SECONDS):
    """As untraced; returns the sessions of the program's own image."""
    folder = ttlib.temp_dir()
    alone = run([program, way], ttlib.clean_env(), seconds, cwd=folder)
    if alone.returncode == 77:
        raise ttlib.Skip(f"{way}: not allowed here: {alone.stderr.strip()}")
    check_equal(alone.returncode, 5, f"{way} alone: {alone.stderr}")
    traced = run([program, way], daemon.preload_env({"TT_LOSSLESS": 1}), seconds, cwd=folder)
    check_equal(
        (traced.returncode, traced.stdout, traced.stderr), (5, alone.stdout, alone.stderr), way
    )
    return [card for card in daemon.sessions() if card["exe"] == str(program)]


WAYS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void churn(void) {
    for (int i = 0; i < 100000; i++)
        free(malloc((size_t)i % 300));
}

static int wait_for(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void tell(const char *what, long r) {
    printf("%s %ld %d\n", what, r, r < 0 ? errno : 0);
    fflush(stdout);
}

static void need(long r, const char *what) {
    if (r < 0) {
        perror(what);
        exit(77);
    }
}

/* C07 */
static void spawns(void) {
    char *words[] = {"true", NULL};
    int good = 0;

    for (int i = 0; i < SPAWNS; i++) {
        posix_spawn_file_actions_t actions;
        pid_t pid;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addclosefrom_np(&actions, 3);
        if (posix_spawn(&pid, "/bin/true", &actions, NULL, words, environ) == 0)
            good += wait_for(pid) == 0;
        posix_spawn_file_actions_destroy(&actions);
        good += system("exit 3") == 3 << 8;
        FILE *pipe = popen("echo x", "r");
        good += fgetc(pipe) == 'x';
        good += pclose(pipe) == 0;
        free(malloc(100));
    }
    printf("good %d\n", good);
}

/* C11 */
static void unshares(void) {
    int user = open("/proc/self/ns/user", O_RDONLY);

    tell("unshare vm", unshare(CLONE_VM));
    tell("unshare sighand", unshare(CLONE_VM | CLONE_SIGHAND));
    tell("setns own", setns(user, CLONE_NEWUSER));
    long r = unshare(CLONE_NEWUSER);
    need(r, "unshare");
    tell("unshare user", r);
    tell("uid", getuid());
    close(user);
}

/* C12: two children, each the first of a namespace of its own. */
static void firsts(void) {
    for (int i = 0; i < 2; i++) {
        int own = open("/proc/self/ns/pid", O_RDONLY);
        need(unshare(CLONE_NEWPID), "unshare");
        pid_t pid = fork();
        if (pid == 0) {
            churn();
            malloc(41000 + (size_t)i);
            _exit(getpid() == 1 ? 4 : 9);
        }
        tell("child", wait_for(pid));
        need(setns(own, CLONE_NEWPID), "setns"); /* the next is to be nobody's child in it */
        close(own);
    }
}

/* C12: one pid twice, the second time as soon as it is free. */
static void twice(void) {
    pid_t pid = fork();
    if (pid == 0) {
        churn();
        malloc(41000);
        _exit(4);
    }
    tell("first", wait_for(pid));
    struct clone_args how = {
        .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    pid_t again = (pid_t)syscall(SYS_clone3, &how, sizeof how);
    if (again == 0) {
        churn();
        malloc(41001);
        _exit(4);
    }
    need(again, "clone3");
    tell("second", again == pid ? wait_for(again) : -1);
}

/* C13 */
static void times(void) {
    need(unshare(CLONE_NEWTIME), "unshare");
    int fd = open("/proc/self/timens_offsets", O_WRONLY);
    need(fd, "offsets");
    need(write(fd, "monotonic 86400 0\n", 18), "offset");
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        churn();
        malloc(42000);
        _exit(now.tv_sec > 86400 ? 4 : 9);
    }
    tell("child", wait_for(pid));
}

/* C14 */
static void moves(void) {
    char folder[] = "root-XXXXXX";

    need(unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare");
    mkdtemp(folder);
    int r = chroot(folder) | chdir("/");
    rmdir(folder);
    need(r, "chroot");
    churn();
    tell("gid", setresgid(65534, 65534, 65534));
    tell("uid", setresuid(65534, 65534, 65534));
    tell("dumpable", prctl(PR_SET_DUMPABLE, 0));
    churn();
    tell("folder", rmdir(folder));
}

int main(int argc, char **argv) {
    alarm(SECONDS);
    churn();
    malloc(40001);
    if (strcmp(argv[1], "spawns") == 0)
        spawns();
    else if (strcmp(argv[1], "unshares") == 0)
        unshares();
    else if (strcmp(argv[1], "firsts") == 0)
        firsts();
    else if (strcmp(argv[1], "twice") == 0)
        twice();
    else if (strcmp(argv[1], "times") == 0)
        times();
    else
        moves();
    churn();
    malloc(40002);
    return 5;
}
"""
def check_last(daemon, card):
    """The program's own session is whole to its end."""
    daemon.wait_for_state(card["pid"], "exited", "ended")
    export = daemon.export(card["id"])
    check_equal(left(export), [40001, 40002], f"of {card['name']}")
    ttlib.check_exact(export)
    ttlib.check_books(export)
    return export


def compile_ways():
    flags = f"-DSPAWNS={SPAWNS}", f"-DSECONDS={SPAWNS_SECONDS}"
    return ttlib.compile_c(WAYS, "-w", "-pthread", *flags)


@case
def fault_C07_spawned_and_piped():
    with ttlib.Daemon("--history=500", f"--sessions={4 * SPAWNS + 1}") as daemon:
        (card,) = check_way(compile_ways(), "spawns", daemon, SPAWNS_SECONDS + 10)
        check_last(daemon, card)
        names = [c["name"] for c in daemon.sessions()]
        check_equal(names.count("true"), SPAWNS, "sessions of true")
        check(names.count("dash") >= 2 * SPAWNS, f"{names.count('dash')} sessions of the shell")


STARTS = r"""
#define _GNU_SOURCE
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    char *again[] = {argv[0], "child", NULL};
    int is_child = argc > 1;
    pid_t pid;

    free(malloc(10));
    if (is_child)
        return 0;
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, again, environ))
        return 1;
    waitpid(pid, NULL, 0);
    pid = vfork();
    if (pid == 0) {
        execv("/proc/self/exe", again);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    return 0;
}
"""


@case
def fault_C07_children_know_who_started_them():
    """Though nothing was traced between the start and the exec; and a run beside others has its own."""
    program = ttlib.compile_c(STARTS, "-w", name="starts")
    folder = ttlib.temp_dir()
    with ttlib.Daemon() as daemon:
        check_equal(ttlib.run(["/bin/cat"], daemon.preload_env()).returncode, 0)
        result = daemon.ctl("run", f"--json={folder}/%s.json", "--", program)
        check_equal((result.returncode, result.stderr), (0, ""))
        shown = [ttlib.read_json(path)["process"] for path in folder.glob("*.json")]
        (own,) = (one for one in shown if one["command_line"][1:] == [])
        children = [one for one in shown if one["exe"] == own["exe"] and one is not own]
        check_equal([one["command_line"][1:] for one in children], 2 * [["child"]])
        check_equal([one["parent_session"] for one in children], 2 * [own["session"]])
        check_equal([one["relation"] for one in own["related"]], 2 * ["child"])


@case
def fault_C11_namespaces_that_want_a_single_thread():
    with ttlib.Daemon("--history=500") as daemon:
        (card,) = check_way(compile_ways(), "unshares", daemon)
        check_last(daemon, card)


@case
def fault_C12_two_first_processes():
    """Each is pid 1 as it sees itself; the kernel tells them apart."""
    with ttlib.Daemon("--history=500") as daemon:
        cards = check_way(compile_ways(), "firsts", daemon)
        check_equal(len({card["id"] for card in cards}), 3, "sessions")
        check_equal(len({card["pid"] for card in cards}), 3, "pids")
        check(1 not in {card["pid"] for card in cards}, "pids are those of the daemon's own view")
        found = [left(daemon.export(card["id"])) for card in cards]
        for size in (41000, 41001):
            check(any(size in sizes for sizes in found), f"block of {size} bytes in {found}")


@case
def fault_C12_one_pid_for_two_processes():
    """The pid finds the newest, and the books of neither hold the other's."""
    with ttlib.Daemon("--history=500") as daemon:
        cards = check_way(compile_ways(), "twice", daemon)
        check_equal(len({card["id"] for card in cards}), 3, "sessions")
        pids = [card["pid"] for card in cards]
        (pid,) = (pid for pid in set(pids) if pids.count(pid) == 2)
        children = [card["id"] for card in cards if card["pid"] == pid]
        daemon.wait_for_state(pid, "exited", "ended")
        exports = [daemon.export(number) for number in children]
        check_equal([left(e) for e in exports], [[40001, 41000], [40001, 41001]], "left of each")
        for export in exports:
            ttlib.check_books(export)
            check_equal(export["completeness"]["unknown_frees"], 0, "unknown frees")
        check_equal(daemon.export(pid)["process"]["session"], children[1], "the newest")


@case
def fault_C13_clock_of_another_namespace():
    with ttlib.Daemon("--history=500") as daemon:
        cards = check_way(compile_ways(), "times", daemon)
        check_equal(len(cards), 2, "sessions")
        for card in cards:
            export = daemon.export(card["id"])
            ttlib.check_books(export)
            born = [b["born_ns"] for b in export["active_allocations"]]
            check(max(born) < 60_000_000_000, f"{card['pid']}: born at {max(born)} ns, of seconds")


@case
def fault_C14_another_root_and_other_rights():
    if os.geteuid() != 0:
        raise ttlib.Skip("only root may go elsewhere")
    with ttlib.Daemon("--history=500") as daemon:
        program = compile_ways()
        (card,) = check_way(program, "moves", daemon)
        export = check_last(daemon, card)
        (block,) = [b for b in export["active_allocations"] if b["size"] == 40002]
        check_equal(ttlib.functions_of(export, block["stack"])[0], "main", "modules keep their names")


@case
def fault_C14_the_daemon_restarts_where_it_cannot_be_reached():
    """What cannot come back goes on without us, asks rarely, and says nothing."""
    ttlib.need("strace")
    program = ttlib.build("moved.c")
    trace = ttlib.temp_dir() / "trace"
    daemon = ttlib.Daemon().start()
    env = daemon.preload_env()
    preload = f"LD_PRELOAD={env.pop('LD_PRELOAD')}"
    process = subprocess.Popen(
        ["strace", "-f", "-o", trace, "-e", "trace=socket,connect", "-E", preload]
        + [program, ttlib.temp_dir(), "2500"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if process.stdout.readline() != "moved\n":
        daemon.stop()
        raise ttlib.Skip(f"it may not go elsewhere: {process.communicate()[1].strip()}")
    (card,) = [c for c in daemon.sessions() if c["exe"] == str(program)]
    daemon.kill()
    with ttlib.Daemon(folder=daemon.folder):
        output, errors = process.communicate("go\n", timeout=ttlib.SECONDS)
    check_equal((process.returncode, output, errors), (5, "done\n", ""), f"of {card['pid']}")
    calls = trace.read_text().splitlines()
    tries = [call for call in calls if "connect(" in call and "= 0" not in call]
    check(1 <= len(tries) <= 4, f"{len(tries)} tries in two and a half seconds: {tries[:5]}")


# ---- C10 ----

DAEMON = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long slowest; /* call so far */

static long now(void) {
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000 + at.tv_nsec;
}

static void note(long start, long end) {
    if (end - start > slowest)
        slowest = end - start;
}

static void work(void) {
    usleep(20000);
    for (int i = 0; i < 20000; i++) {
        long start = now();
        void *ptr = malloc(100);
        long middle = now();
        free(ptr);
        note(start, middle);
        note(middle, now());
    }
}

/* Writes its pid into a file; works until there is another, so many rounds more, and writes what those
 * took; and works until the other is gone. */
int main(int argc, char **argv) {
    struct rusage before, after;

    free(malloc(10));
    malloc(40001);
    if (fork() != 0)
        return 5;
    setsid();
    if (fork() != 0)
        _exit(0);
    alarm(60);
    malloc(40002);
    umask(0);
    chdir("/");
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    for (int i = 0; i < 300000; i++)
        free(malloc((size_t)i % 300));
    malloc(40003);
    FILE *file = fopen(argv[1], "w");
    fprintf(file, "%d\n", getpid());
    fflush(file);
    while (access(argv[2], F_OK) != 0)
        work();
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < atoi(argv[3]); i++)
        work();
    getrusage(RUSAGE_SELF, &after);
    long system = (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
                  after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    fprintf(file, "%ld %ld\n", slowest / 1000, system);
    fflush(file);
    while (access(argv[2], F_OK) == 0)
        work();
    fprintf(file, "done\n");
    fclose(file);
    return 0;
}
"""


class Daemonised:
    """The program that made a daemon of itself, by what it writes."""

    def __init__(self):
        self.program = ttlib.compile_c(DAEMON, "-w")
        self.told, self.go_on = (ttlib.temp_dir() / word for word in ("told", "go-on"))
        ttlib.at_end(lambda: self.go_on.unlink(missing_ok=True))

    def command(self, rounds):
        return [self.program, self.told, self.go_on, str(rounds)]

    def wait_for_line(self, number):
        def lines():
            return self.told.read_text().splitlines() if self.told.exists() else []

        ttlib.wait_for(lambda: len(lines()) >= number, f"it tells {number} lines")
        return lines()[number - 1]


@case
def fault_C10_daemon_by_two_forks():
    """run waits for its command alone, and what that leaves behind goes on without us."""
    made = Daemonised()
    traced = ttlib.run_traced(made.command(0))
    check_equal((traced.returncode, traced.stderr), (5, ""))
    made.wait_for_line(1)
    check_equal(len(made.told.read_text().splitlines()), 1, "run has not waited for the daemon")
    ttlib.check_books(traced.export)
    made.go_on.touch()
    made.wait_for_line(2)
    made.go_on.unlink()
    made.wait_for_line(3)


@case
def fault_C10_daemon_outlives_ours_and_meets_the_next():
    """It has closed all that it had open, our socket too."""
    made = Daemonised()
    with ttlib.Daemon() as daemon:
        result = daemon.ctl("run", "--", *made.command(30))
        check_equal(result.returncode, 5, result.stderr)
        pid = int(made.wait_for_line(1))
        card = daemon.session_of(pid)
        check_equal((card["state"], card["exe"]), ("running", str(made.program)))
        export = daemon.export(card["id"])
        check_equal(left(export), [40001, 40002, 40003])
        inherited = [b["size"] for b in export["active_allocations"] if b["inherited"]]
        check(40001 in inherited and 40003 not in inherited, f"inherited: {inherited}")
        check(export["cumulative_allocations"] > 300_000, "its events are there")
        ttlib.check_books(export)
        daemon.kill()
        made.go_on.touch()
        slowest_us, system_us = map(int, made.wait_for_line(2).split())
        print(f"# the slowest call took {slowest_us} us; in the kernel {system_us} us")
        check(slowest_us <= 500_000, f"a call took {slowest_us} us")
        # Of 1,200,000 calls: a system call of each would take longer.
        check(system_us <= 200_000, f"{system_us} us in the kernel")
        with ttlib.Daemon(folder=daemon.folder) as next_daemon:
            again = ttlib.wait_for(lambda: next_daemon.session_of(pid), "it is traced again")
            check_equal((again["id"], again["state"]), (card["id"], "running"))
            made.go_on.unlink()
            made.wait_for_line(3)


@case
def fault_C10_daemon_never_sees_that_ours_is_gone():
    """The next one listens before it looks, and is another."""
    made = Daemonised()
    with ttlib.Daemon() as daemon:
        made.go_on.touch()
        result = daemon.ctl("run", "--", *made.command(0))
        check_equal(result.returncode, 5, result.stderr)
        pid = int(made.wait_for_line(1))
        card = daemon.wait_for_state(pid, "running")
        os.kill(pid, signal.SIGSTOP)
        daemon.kill()
        with ttlib.Daemon(folder=daemon.folder) as next_daemon:
            os.kill(pid, signal.SIGCONT)
            again = ttlib.wait_for(lambda: next_daemon.session_of(pid), "it is traced again")
            check_equal((again["id"], again["state"]), (card["id"], "running"))
            made.go_on.unlink()
            made.wait_for_line(3)


# ---- C15 ----

PLAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) void stop_here(void) { __asm__ volatile(""); }

int main(int argc, char **argv) {
    for (int i = 0; i < 1000; i++)
        free(malloc((size_t)i));
    stop_here();
    if (argc > 1) {
        pid_t child = fork();
        int status, steps = 0;

        if (child == 0) {
            ptrace(PTRACE_TRACEME, 0, NULL, NULL);
            raise(19);
            free(malloc(100));
            _exit(3);
        }
        waitpid(child, &status, 0);
        while (!WIFEXITED(status) && steps < 2000000) {
            ptrace(steps++ < 2000 ? PTRACE_SINGLESTEP : PTRACE_CONT, child, NULL, NULL);
            waitpid(child, &status, 0);
        }
        printf("child %d\n", WEXITSTATUS(status));
    }
    malloc(40001);
    puts("done");
    return 5;
}
"""


@case
def fault_C15_under_strace():
    ttlib.need("strace")
    program = ttlib.compile_c(PLAIN, "-w")
    traced = ttlib.run_traced(["strace", "-f", "-o", "/dev/null", program])
    check_equal((traced.returncode, traced.stdout), (5, "done\n"), traced.stderr)


@case
def fault_C15_program_that_traces_its_child():
    program = ttlib.compile_c(PLAIN, "-w")
    traced = ttlib.run_traced([program, "child"])
    check_equal((traced.returncode, traced.stdout), (5, "child 3\ndone\n"), traced.stderr)
    check_equal(left(traced.export), [40001])
    ttlib.check_exact(traced.export)


@case
def fault_C15_debugger_calls_malloc():
    ttlib.need("gdb")
    program = ttlib.compile_c(PLAIN, "-w")
    with ttlib.Daemon() as daemon:
        env = daemon.preload_env({"TT_LOSSLESS": 1})
        script = ttlib.temp_dir() / "script"
        lines = [
            "set startup-with-shell off",
            f"set environment LD_PRELOAD {env.pop('LD_PRELOAD')}",
            "break stop_here",
            "run",
            "print ((void *(*)(unsigned long))malloc)(40007)",
            "delete",
            "continue",
        ]
        script.write_text("\n".join(lines) + "\n")
        result = run(["gdb", "-nx", "-batch", "-x", script, program], env)
        if "exited with code 05" not in result.stdout:
            raise ttlib.Skip(f"gdb did not come so far: {result.stdout[-200:]}")
        (card,) = [c for c in daemon.sessions() if c["exe"] == str(program)]
        export = daemon.export(card["id"])
        check_equal(left(export), [40001, 40007])
        ttlib.check_exact(export)
        ttlib.check_books(export)


ttlib.main()
