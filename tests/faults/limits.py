#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section A: programs that are allowed little: no system call, no memory, no descriptor, an odd
processor state."""

import ctypes
import os
import resource
import subprocess
import sys

import ttlib
from ttlib import case, check, check_equal, check_like, left, run


of_the_night = case if "nightly" in sys.argv[1:] else lambda function: function


# ---- A16, A17 ----


def run_sealed(daemon, program, *words, lossless=0):
    alone = run([program, *words], ttlib.clean_env())
    if alone.returncode == 77:
        raise ttlib.Skip(f"{words[0]}: the kernel allows no such thing here: {alone.stderr}")
    check_equal((alone.returncode, alone.stdout), (5, "done\n"), f"{words} alone: {alone.stderr}")
    traced = run([program, *words], daemon.preload_env({"TT_LOSSLESS": lossless}))
    check_like(traced, alone, f"{words}, lossless {lossless}")
    (card,) = daemon.sessions()
    daemon.wait_for_state(card["pid"], "exited", "ended", "killed")
    return daemon.export(card["id"])


def check_sealed(way, is_timed, pairs=1000):
    """Untraced it lives; so must it traced, and what came before is in the export, and what came
    after is there or declared."""
    program = ttlib.build("sealed.c", "-w", "-D_GNU_SOURCE", "-pthread")
    for lossless in (0, 1):
        with ttlib.Daemon("--history=500") as daemon:
            export = run_sealed(daemon, program, way, pairs, lossless=lossless)
            ttlib.check_books(export)
            sizes = left(export)
            completeness = export["completeness"]
            check(40001 in sizes, f"{way}: the block from before: {sizes}")
            events = export["cumulative_allocations"] + completeness["dropped_events"]
            check(events >= 2 * pairs, f"{way}: {events} of {2 * pairs} allocations or declared")
            if completeness["exact"]:
                check(40002 in sizes, f"{way}: exact, and yet the block from after is not there")
            if not is_timed:
                check(not completeness["exact"], f"{way}: what has no time is declared")
            ttlib.check_schema(export)


@case
def fault_A16_strict_seccomp():
    check_sealed("strict", is_timed=False)


@case
def fault_A16_time_stamp_counter_forbidden():
    check_sealed("tsc", is_timed=False)


@case
def fault_A17_filter_that_kills_set_by_prctl():
    check_sealed("prctl", is_timed=True)


@case
def fault_A17_filter_that_kills_set_by_syscall():
    check_sealed("syscall", is_timed=True)


@case
def fault_A17_filter_that_kills_and_new_threads():
    check_sealed("threads", is_timed=True)


@case
def fault_A17_filter_that_kills_and_more_than_the_lanes_hold():
    check_sealed("prctl", is_timed=True, pairs=500_000)


# The kernel refuses a filter, and in the meantime another thread is given one.
REFUSED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>

void in_between(void);

long syscall(long number, long a, long b, long c, long d, long e, long f) {
    if (number != SYS_seccomp)
        return ((__typeof__(&syscall))dlsym(RTLD_NEXT, "syscall"))(number, a, b, c, d, e, f);
    in_between();
    errno = EINVAL;
    return -1;
}
"""


@case
def fault_A17_filter_that_kills_while_another_is_refused():
    program = ttlib.build("sealed.c", "-w", "-D_GNU_SOURCE", "-pthread", "-rdynamic")
    refused = ttlib.compile_c(REFUSED, "-w", "-shared", "-fPIC", name="refused.so")
    words = [program, "between", 500_000]
    alone = run(words, ttlib.clean_env({"LD_PRELOAD": refused}))
    with ttlib.Daemon() as daemon:
        env = daemon.preload_env()
        env["LD_PRELOAD"] += f":{refused}"
        traced = run(words, env)
    if alone.returncode == 77:
        raise ttlib.Skip(f"the kernel knows no filters: {alone.stderr}")
    check_equal((alone.returncode, alone.stdout), (5, "done\n"), alone.stderr)
    check_like(traced, alone)


@case
def fault_A17_filter_that_kills_without_a_daemon():
    """Nor does it look for one any more."""
    program = ttlib.build("sealed.c", "-w", "-D_GNU_SOURCE", "-pthread")
    nowhere = {"LD_PRELOAD": ttlib.LIBTTCLIENT, "TT_SOCKET_DIR": ttlib.temp_dir()}
    for words in (["prctl", 500_000], ["strict", 500_000], ["threads", 1000], ["fork", 1000]):
        alone = run([program, *words], ttlib.clean_env())
        check_like(run([program, *words], ttlib.clean_env(nowhere)), alone, f"{words}")


def check_put_to_sleep(program, way, end):
    """Its session is dormant when it allocates again."""
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program, way, "1000", "waits"],
            env=daemon.preload_env(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ttlib.at_end(process.kill)
        if process.stdout.readline() != b"sealed\n":
            raise ttlib.Skip(f"{way}: the kernel allows no such thing here")
        end(daemon, process.pid)
        output, _ = process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal((process.returncode, output), (5, b"done\n"), way)


@case
def fault_A17_session_is_put_to_sleep():
    """It does not look whether its daemon is there: not by a call, nor by a clock."""

    def stop(daemon, pid):
        check_equal(daemon.ctl("stop", str(pid)).returncode, 0)

    program = ttlib.build("sealed.c", "-w", "-D_GNU_SOURCE", "-pthread")
    for way in ("threads", "tsc-threads"):
        check_put_to_sleep(program, way, lambda daemon, _: daemon.stop())
    check_put_to_sleep(program, "strict", stop)


@case
def fault_A16_session_is_woken_after_the_counter_was_forbidden():
    """There was no lane to declare it in."""
    program = ttlib.build("sealed.c", "-w", "-D_GNU_SOURCE", "-pthread")
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program, "tsc", "1000", "waits"],
            env=daemon.preload_env({"TT_ENABLE": 0}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ttlib.at_end(process.kill)
        if process.stdout.readline() != b"sealed\n":
            raise ttlib.Skip("the kernel allows no such thing here")
        check_equal(daemon.ctl("start", str(process.pid)).returncode, 0)
        output, _ = process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal((process.returncode, output), (5, b"done\n"))
        daemon.wait_for_state(process.pid, "exited", "ended", "killed")
        export = daemon.export(process.pid)
    ttlib.check_books(export)
    completeness = export["completeness"]
    check_equal(left(export), [40002])
    check_equal([gap["dropped_events"] for gap in completeness["gaps"]], [0], f"{completeness}")


# Where its vdso cannot tell the time, libc asks the kernel.
CLOCK = r"""
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    return (int)syscall(SYS_clock_gettime, id, now);
}
"""


def check_by_the_clock(way, clock_text):
    """@clock_text  of a clock_gettime() that dies as the kernel would have it"""
    clock = ttlib.compile_c(clock_text, "-shared", "-fPIC", name="clock.so")
    program = ttlib.build("sealed.c", "-w", "-D_GNU_SOURCE", "-pthread")
    with ttlib.Daemon() as daemon:
        env = daemon.preload_env()
        env["LD_PRELOAD"] += f":{clock}"
        result = ttlib.run_by_the_clock([program, way, 1000], env)
        check("exited with code 05" in result.stdout, f"{result.stdout[-300:]} {result.stderr}")
        (card,) = [c for c in daemon.sessions() if c["exe"] == str(program)]
        export = daemon.export(card["id"])
        ttlib.check_books(export)
        check(not export["completeness"]["exact"], "what has no time is declared")


@of_the_night
def fault_A17_nightly_filter_that_kills_the_clock():
    check_by_the_clock("prctl", CLOCK)


@of_the_night
def fault_A17_nightly_filter_that_kills_the_clock_of_all_threads():
    """Those too that did not set it, and have their lanes (SECCOMP_FILTER_FLAG_TSYNC)."""
    check_by_the_clock("tsync", CLOCK)


# The kernel's clock reads the counter without a call, and whom that is forbidden dies of it. Not under
# every hypervisor: the kernel tells to whom it is.
FORBIDDEN_CLOCK = r"""
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int mode = 0;

    if (syscall(SYS_prctl, PR_GET_TSC, &mode) == 0 && mode == PR_TSC_SIGSEGV)
        raise(SIGSEGV);
    return (int)syscall(SYS_clock_gettime, id, now);
}
"""


@of_the_night
def fault_A16_nightly_threads_of_one_that_may_read_no_clock():
    check_by_the_clock("tsc-threads", FORBIDDEN_CLOCK)


@case
def fault_A17_child_of_a_process_with_a_filter():
    program = ttlib.build("sealed.c", "-w", "-D_GNU_SOURCE", "-pthread")
    with ttlib.Daemon() as daemon:
        export = run_sealed(daemon, program, "fork", 1000)
        ttlib.check_books(export)
        check(40001 in left(export), "the block from before")


PROBES = r"""
#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Asks what the kernel knows, as libseccomp and systemd do; with a word, for what it refuses. */
int main(int argc, char **argv) {
    int status;

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL) != -1 || errno != EINVAL ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1, NULL) != -1 || errno != EFAULT ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) != -1 || errno != EFAULT)
        return 77;
    if (argc > 1 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != -1)
        return 1;
    malloc(40001);
    if (fork() == 0) {
        malloc(40002);
        return 0;
    }
    return wait(&status) > 0 && status == 0 ? 5 : 1;
}
"""


def run_probes(daemon, *words, by=()):
    """Both the program and its child are traced. Returns their exports."""
    program = ttlib.compile_c(PROBES, "-w")
    env = daemon.preload_env()
    preload = [f"{name}={env[name]}" for name in ("LD_PRELOAD", "TT_SOCKET_DIR")]
    result = run([*by, "/usr/bin/env", *preload, program, *words], ttlib.clean_env())
    if result.returncode == 77:
        raise ttlib.Skip("the kernel knows no filters")
    check_equal(result.returncode, 5, result.stderr)
    pids = [card["pid"] for card in daemon.sessions()]
    check_equal(len(pids), 2, "sessions")
    for pid in pids:
        daemon.wait_for_state(pid, "exited", "ended")
    exports = [daemon.export(pid) for pid in pids]
    check_equal(sorted(map(left, exports)), [[40001], [40001, 40002]], "blocks")
    return exports


@case
def fault_A17_kernel_is_asked_what_it_knows():
    """By calls that always fail. Nothing is given up."""
    with ttlib.Daemon() as daemon:
        for export in run_probes(daemon):
            ttlib.check_exact(export)


@case
def fault_A17_kernel_refuses():
    """Strict seccomp to whom a filter was given before, as in a container: all is as it was."""
    with ttlib.Daemon() as daemon:
        for export in run_probes(daemon, "refused", by=[ttlib.build("forbidding.c", "-w")]):
            ttlib.check_books(export)


# ---- A19 ----

NEEDS = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes blocks until there are no more; says how it went. */
int main(void) {
    static void *blocks[512];
    int count = 0;

    while (count < 512 && (blocks[count] = malloc(60000)) != NULL)
        memset(blocks[count++], 1, 60000);
    int code = errno;
    for (int i = 0; i < count; i++)
        free(blocks[i]);
    void *again = malloc(50000);
    fprintf(stderr, "%d\n", count);
    printf("%d %d %d\n", count == 512, count < 512 ? code : 0, again != NULL);
    return 5;
}
"""

MILLION = 1 << 20


def limited(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


@case
def fault_A19_memory_limit_just_above_the_need():
    """Of so little we take no part: the program comes to the same result."""
    program = ttlib.compile_c(NEEDS, "-w")
    for kind, least, most in (
        (resource.RLIMIT_AS, 4, 60),
        (resource.RLIMIT_DATA, 1, 60),
    ):
        with ttlib.Daemon() as daemon:
            for step in range(4):
                value = (least * MILLION) + step * (most - least) * MILLION // 3
                alone = run([program], ttlib.clean_env(), preexec_fn=limited(kind, value))
                if alone.returncode != 5:
                    continue  # not even the loader's libraries fit
                traced = run([program], daemon.preload_env(), preexec_fn=limited(kind, value))
                if "failed to map" in traced.stderr or "cannot be preloaded" in traced.stderr:
                    continue  # nor does our library; ld.so says so
                check_equal((traced.returncode, traced.stdout), (5, alone.stdout), f"limit {value}")
            check_equal(daemon.sessions(), [], "sessions")


@case
def fault_A19_limit_that_leaves_no_room_for_lanes():
    program = ttlib.compile_c(NEEDS.replace("512", "16"), "-w")
    with ttlib.Daemon() as daemon:
        value = 7 * MILLION
        alone = run([program], ttlib.clean_env(), preexec_fn=limited(resource.RLIMIT_AS, value))
        traced = run([program], daemon.preload_env(), preexec_fn=limited(resource.RLIMIT_AS, value))
        check_like(traced, alone)
        check_equal(daemon.sessions(), [], "sessions")


@case
def fault_A19_daemon_that_can_make_no_lanes():
    """It has no number for them, or may not size them. The program is none the wiser; and when there
    is room again the next one is traced."""
    program = ttlib.compile_c(NEEDS.replace("512", "16"), "-w")
    alone = run([program], ttlib.clean_env())
    with ttlib.Daemon() as daemon:
        used = len(os.listdir(f"/proc/{daemon.pid}/fd"))
        # The connection gets the number after the last.
        for kind, value in ((resource.RLIMIT_NOFILE, used + 1), (resource.RLIMIT_FSIZE, 4096)):
            before = resource.prlimit(daemon.pid, kind)
            resource.prlimit(daemon.pid, kind, (value, before[1]))
            check_like(run([program], daemon.preload_env()), alone, f"limit {kind}")
            resource.prlimit(daemon.pid, kind, before)
            check_equal(daemon.sessions(), [], f"sessions under limit {kind}")
        check_like(run([program], daemon.preload_env({"TT_LOSSLESS": 1})), alone, "no limit")
        check_equal(len(daemon.sessions()), 1, "sessions, with room again")


# ---- A20 ----

NUMBERS = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    for (int i = 0; i < 100000; i++)
        free(malloc((size_t)i % 700));
    printf("next descriptor %d\n", open("/dev/null", O_RDONLY));
    return 5;
}
"""


@case
def fault_A20_table_full_at_start():
    program = ttlib.compile_c(NUMBERS, "-w")

    def fill(spare):
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        for fd in range(3, 256):
            if fd not in spare:
                os.dup2(0, fd)

    with ttlib.Daemon() as daemon:
        for spare in ((), (200,), (7,), (7, 200)):
            options = {"preexec_fn": lambda: fill(spare), "close_fds": False}
            # The loader wants a number for each library, and runs out of them as well.
            alone = run([program], ttlib.clean_env(), **options)
            traced = run([program], daemon.preload_env(), **options)
            if alone.returncode == 5:
                check_like(traced, alone, f"spare: {spare}")
            else:
                check_equal(traced.returncode, alone.returncode, f"spare: {spare}")


# ---- A21 ----

LOCKS = r"""
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static pthread_barrier_t all;

static void *work(void *unused) {
    pthread_barrier_wait(&all);
    for (int i = 0; i < 100; i++)
        free(malloc(100));
    pthread_barrier_wait(&all);
    return unused;
}

/* Nests, so that there is a stack of its own for each depth. */
__attribute__((noinline)) static void *nest(int depth) {
    void *block = depth == 0 ? malloc(10) : nest(depth - 1);
    __asm__ volatile("" ::: "memory");
    return block;
}

int main(void) {
    pthread_t threads[20];
    pthread_attr_t attributes;
    static void *blocks[256];
    int count = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    pthread_barrier_init(&all, NULL, 21);
    if (mlockall(MCL_FUTURE) != 0)
        return 1;
    for (int i = 0; i < 20; i++)
        if (pthread_create(&threads[i], &attributes, work, NULL) != 0)
            return 2;
    pthread_barrier_wait(&all);
    for (int i = 0; i < 200; i++)
        free(nest(i));
    while (count < 256 && (blocks[count] = malloc(200000)) != NULL)
        count++;
    pthread_barrier_wait(&all);
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    printf("%d\n", count);
    return 5;
}
"""
PR_CAPBSET_DROP, CAP_IPC_LOCK = 24, 14


@case
def fault_A21_future_memory_is_locked():
    """What we map later is not taken from what the program may lock."""
    program = ttlib.compile_c(LOCKS, "-w", "-pthread")
    libc = ctypes.CDLL(None)

    def limit():
        libc.prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 * MILLION, 8 * MILLION))

    alone = run([program], ttlib.clean_env({"MALLOC_ARENA_MAX": 1}), preexec_fn=limit)
    check_equal(alone.returncode, 5, alone.stderr)
    check(int(alone.stdout) < 256, f"the limit holds: {alone.stdout} blocks")
    with ttlib.Daemon() as daemon:
        traced = run([program], daemon.preload_env({"MALLOC_ARENA_MAX": 1}), preexec_fn=limit)
        check_like(traced, alone)
        (card,) = daemon.sessions()
        ttlib.check_books(daemon.export(card["id"]))


LOCKED = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ttclient.h>

/* What is locked, in KiB. */
static int ask_locked(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    int locked = -1;

    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "VmLck: %d", &locked);
    fclose(file);
    return locked;
}

int main(void) {
    char byte;

    if (mlockall(MCL_FUTURE) != 0)
        return 1;
    free(malloc(100));
    int before = ask_locked();
    write(1, "x", 1);
    read(0, &byte, 1);
    while (tt_init() != 0)
        usleep(1000);
    free(malloc(100));
    dprintf(1, "%d", ask_locked() - before);
    return 5;
}
"""


@case
def fault_A21_lanes_of_a_daemon_that_is_gone():
    """What takes the place of their memory is not locked either."""
    link = [f"-I{ttlib.SOURCE / 'client'}", str(ttlib.LIBTTCLIENT)]
    program = ttlib.compile_c(LOCKED, "-w", *link)
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program],
            env=daemon.preload_env(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ttlib.at_end(process.kill)
        check_equal(process.stdout.read(1), b"x", "it may lock")
        daemon.kill()
        daemon.start()
        output, _ = process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal(process.returncode, 5)
        check(int(output) < 512, f"{output} KiB more are locked")


# ---- A25 ----


@case
def fault_A25_odd_state_of_the_processor():
    """Stack pointers at any multiple of 8, rounding and exceptions set, all x87 registers in use."""
    program = ttlib.build("odd-state.c", "-O2", "-w")
    alone = run([program], ttlib.clean_env())
    check_equal(alone.returncode, 5, alone.stderr)
    for env in ({}, {"TT_SAMPLE": 1000}, {"TT_FREE_STACKS": 1}):
        with ttlib.Daemon("--history=1000") as daemon:
            check_like(run([program], daemon.preload_env(env)), alone, f"{env}")
            (card,) = daemon.sessions()
            export = daemon.export(card["id"])
            ttlib.check_books(export)
            if not env:
                ttlib.check_exact(export)


ttlib.main()
