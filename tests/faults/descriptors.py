#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section D: programs that close, reuse and pass on descriptors that are not theirs."""

import os
import resource
import socket
import subprocess

import ttlib
from ttlib import case, check, check_equal

# ---- D01, D02 ----

# Each way ends our connection's descriptor, and D02's put something else in its place.
CLOSERS = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int first = -1; /* the lowest of 100 and above that was open */

static void find(void) {
    for (int fd = 100; fd < 1000 && first < 0; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            first = fd;
}

static void churn(int rounds) {
    for (int i = 0; i < rounds; i++)
        free(malloc((size_t)i % 300));
}

/* Prints how many bytes lie in the file, pipe or socket that has taken our number. */
static long take_number(const char *kind) {
    char buffer[65536];
    int ends[2], fd;

    if (strcmp(kind, "file") == 0) {
        char name[] = "/tmp/tt-taken-XXXXXX";
        fd = mkstemp(name);
        unlink(name);
        dup2(fd, first);
        churn(300000);
        return lseek(fd, 0, SEEK_END);
    }
    if (strcmp(kind, "pipe") == 0) {
        pipe2(ends, O_NONBLOCK);
        dup2(ends[1], first);
    } else {
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends);
        dup2(ends[1], first);
    }
    churn(300000);
    return read(ends[0], buffer, sizeof buffer);
}

int main(int argc, char **argv) {
    const char *way = argv[1];

    churn(1000);
    find();
    if (strcmp(way, "closefrom") == 0)
        closefrom(3);
    else if (strcmp(way, "close_range") == 0)
        syscall(SYS_close_range, 3, ~0u, 0);
    else if (strcmp(way, "loop") == 0)
        for (int fd = 3; fd < 65536; fd++)
            close(fd);
    else if (first >= 0 && take_number(way) > 0)
        return 1;
    churn(300000);
    if (argc > 2 && first >= 0 && fcntl(first, F_GETFD) >= 0)
        return 2; /* closed by the program, and by it alone */
    if (strcmp(way, "file") == 0 || strcmp(way, "pipe") == 0 || strcmp(way, "socket") == 0)
        if (first >= 0 && fcntl(first, F_GETFD) < 0)
            return 3; /* we have closed what is not ours */
    malloc(40001);
    printf("%d\n", first >= 100);
    return 5;
}
"""

WAYS = ["closefrom", "close_range", "loop", "file", "pipe", "socket"]


def check_closed(way):
    program = ttlib.compile_c(CLOSERS, "-D_GNU_SOURCE", "-w")
    for lossless in (0, 1):
        with ttlib.Daemon("--history=1000") as daemon:
            process = subprocess.Popen(
                [program, way],
                env=daemon.preload_env({"TT_LOSSLESS": lossless}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
            output, _ = process.communicate(timeout=ttlib.SECONDS)
            check_equal((process.returncode, output), (5, "1\n"), f"lossless {lossless}")
            card = daemon.wait_for_state(process.pid, "exited", "ended", "lost", "killed")
            check(card["state"] in ("exited", "ended"), f"state is {card['state']}")
            export = daemon.export(process.pid)
            ttlib.check_books(export)
            completeness = export["completeness"]
            sizes = [block["size"] for block in export["active_allocations"]]
            if completeness["exact"]:
                check(40001 in sizes, "exact, and yet the last block is not there")
            if lossless:
                pairs = 601_000 if way not in WAYS[:3] else 301_000
                seen = export["cumulative_allocations"] + completeness["dropped_events"]
                check(seen >= pairs, f"{seen} allocations and drops of {pairs}: {completeness}")


@case
def fault_D01_closefrom():
    check_closed("closefrom")


@case
def fault_D01_close_range():
    check_closed("close_range")


@case
def fault_D01_loop_of_close():
    check_closed("loop")


@case
def fault_D02_number_becomes_the_users_file():
    check_closed("file")


@case
def fault_D02_number_becomes_the_users_pipe():
    check_closed("pipe")


@case
def fault_D02_number_becomes_the_users_socket():
    check_closed("socket")


# ---- D05 ----

KEPT = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* With a program to run: clears O_CLOEXEC on all, and runs it. */
int main(int argc, char **argv) {
    malloc(40001);
    if (argc < 2) {
        puts("second");
        malloc(40002);
        return 4;
    }
    for (int fd = 3; fd < 1024; fd++)
        fcntl(fd, F_SETFD, 0);
    execv(argv[1], argv + 1);
    return 1;
}
"""


@case
def fault_D05_descriptors_kept_over_exec():
    program = ttlib.compile_c(KEPT, "-w")
    with ttlib.Daemon() as daemon:
        traced = ttlib.run_traced([program, program], daemon=daemon)
        check_equal((traced.returncode, traced.stdout), (4, "second\n"), traced.stderr)
        states = [card["state"] for card in daemon.sessions()]
        check_equal(states, ["exec", "exited"])


STATIC = r"""
#include <unistd.h>

int main(void) {
    char byte;

    return read(0, &byte, 1) == 1 ? 3 : 4;
}
"""


@case
def fault_D05_connection_kept_over_exec_of_a_static_image():
    """It holds the connection, and says nothing: its looks give it away."""
    program = ttlib.compile_c(KEPT, "-w")
    static = ttlib.compile_c(STATIC, "-static")
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program, static], env=daemon.preload_env(), stdin=subprocess.PIPE
        )
        daemon.wait_for_state(process.pid, "exec")
        process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal(process.returncode, 3)
        sizes = [b["size"] for b in daemon.export(process.pid)["active_allocations"]]
        check(40001 in sizes, f"the first image's block is there: {sizes}")


PASSING = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Hands all that is open to whoever is at the other end of descriptor 0. */
int main(void) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(64 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = "x", .iov_len = 1};
    int fds[64], count = 0;

    malloc(40001);
    for (int fd = 1; fd < 1024 && count < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            fds[count++] = fd;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(&control.head), fds, (size_t)count * sizeof(int));
    if (sendmsg(0, &message, 0) != 1)
        return 1;
    malloc(40002);
    return 4;
}
"""


@case
def fault_D05_descriptors_handed_to_a_helper():
    program = ttlib.compile_c(PASSING, "-w")
    with ttlib.Daemon() as daemon:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = subprocess.Popen([program], env=daemon.preload_env(), stdin=theirs)
            _, fds, _, _ = socket.recv_fds(ours, 1, 64)
            names = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
            check(any(name.startswith("socket:") for name in names), f"handed over: {names}")
            check_equal(process.wait(ttlib.SECONDS), 4)
            ttlib.wait_for(
                lambda: daemon.session_of(process.pid)["state"] in ("exited", "ended"),
                "the end is known without an end of the connection",
                seconds=5,
            )
            sizes = [b["size"] for b in daemon.export(process.pid)["active_allocations"]]
            check(40001 in sizes and 40002 in sizes, f"the last blocks are there: {sizes}")
            for fd in fds:
                os.close(fd)


# ---- D04, D07, D08, D09 ----

NUMBERS = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int ours = -1;

static void churn(int rounds) {
    for (int i = 0; i < rounds; i++)
        free(malloc((size_t)i % 300));
}

static void find(void) {
    for (int fd = 100; fd < 1000 && ours < 0; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            ours = fd;
}

/* D04: in a table of its own our number is its file; the others' stays ours. */
static long stray;
static void *with_own_table(void *unused) {
    int ends[2];

    if (unshare(CLONE_FILES) != 0)
        exit(77);
    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends);
    dup2(ends[1], ours < 0 ? 100 : ours);
    churn(300000);
    char buffer[65536];
    stray = read(ends[0], buffer, sizeof buffer);
    return NULL;
}
static void own_table(void) {
    pthread_t thread;

    find();
    pthread_create(&thread, NULL, with_own_table, NULL);
    churn(300000);
    pthread_join(thread, NULL);
    printf("stray %d\n", stray > 0);
}

/* D07: the lowest number is the program's next. */
static void lowest(void) {
    int wrong = 0;

    for (int i = 0; i < 20000; i++) {
        close(0);
        free(malloc((size_t)i % 3000));
        wrong += open("/dev/null", O_RDONLY) != 0;
    }
    printf("wrong %d\n", wrong);
}

/* D07: beside another that connects anew, over and over, whose numbers are 100 and more but for the
 * moments of socket() and of SCM_RIGHTS: each may take as many looks as it is off its core. What is
 * opened is always the file that was asked for. */
static atomic_int is_over, connects;
static void *reconnect(void *unused) {
    for (int round = 0; round < 50; round++) {
        int fd = 100;

        while (fd < 1000 && fcntl(fd, F_GETFD) < 0)
            fd++;
        if (fd < 1000 && close(fd) == 0)
            atomic_fetch_add(&connects, 1);
        for (int i = 0; i < 20; i++)
            churn(1000);
    }
    atomic_store(&is_over, 1);
    return unused;
}
static void racing(void) {
    int moments = 0, was_odd = 0, foreign = 0, lowest = open("/dev/null", O_RDONLY);
    struct stat wanted, found;
    pthread_t thread;

    fstat(lowest, &wanted);
    close(lowest);
    pthread_create(&thread, NULL, reconnect, NULL);
    while (!atomic_load(&is_over)) {
        int fd = open("/dev/null", O_RDONLY);

        moments += fd != lowest && !was_odd;
        was_odd = fd != lowest;
        fstat(fd, &found);
        foreign += found.st_rdev != wanted.st_rdev || found.st_ino != wanted.st_ino || close(fd) != 0;
    }
    pthread_join(thread, NULL);
    int last = open("/dev/null", O_RDONLY);
    printf("more %d, foreign %d, last %d\n", moments > 2 * atomic_load(&connects), foreign,
           last - lowest);
}

/* D08: as many files as there are numbers below 900, and select over them. */
static void many(void) {
    fd_set set;
    int last = -1, fd, strange = 0;

    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && fd < 900) {
        churn(100);
        if (fd != last + 1 && last >= 0 && fd < 100)
            strange++;
        last = fd;
    }
    FD_ZERO(&set);
    for (int i = 3; i < 900; i++)
        if (fcntl(i, F_GETFD) >= 0)
            FD_SET(i, &set);
    printf("strange %d, ready %d\n", strange, select(900, &set, NULL, NULL, NULL) > 800);
}

static void exhaust(void) {
    int count = 0;

    while (open("/dev/null", O_RDONLY) >= 0)
        count++;
    churn(100000);
    printf("errno %d, all but one %d\n", errno, count > 200);
}

static void close_unknown(void) {
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;

    while ((entry = readdir(folder)) != NULL) {
        int fd = atoi(entry->d_name);
        if (fd > 2 && fd != dirfd(folder))
            close(fd);
    }
    closedir(folder);
    churn(100000);
    puts("closed");
}

/* D09: whatever can be done to a socket, to all. */
static void spoil(void) {
    int small = 1;

    for (int fd = 3; fd < 1000; fd++) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    churn(300000);
    for (int fd = 3; fd < 1000; fd++)
        fcntl(fd, F_SETFL, 0);
    churn(300000);
    for (int fd = 3; fd < 1000; fd++)
        shutdown(fd, SHUT_RDWR);
    churn(300000);
    puts("spoilt");
}

int main(int argc, char **argv) {
    alarm(20);
    churn(1000);
    malloc(40001);
    if (strcmp(argv[1], "own table") == 0)
        own_table();
    else if (strcmp(argv[1], "lowest") == 0)
        lowest();
    else if (strcmp(argv[1], "racing") == 0)
        racing();
    else if (strcmp(argv[1], "many") == 0)
        many();
    else if (strcmp(argv[1], "exhaust") == 0)
        exhaust();
    else if (strcmp(argv[1], "close unknown") == 0)
        close_unknown();
    else
        spoil();
    malloc(40002);
    return 5;
}
"""


def check_numbers(way, states=("exited", "ended")):
    """As untraced, to the line; and the books balance, with the last block there where they are said
    to be exact."""
    program = ttlib.compile_c(NUMBERS, "-w", "-pthread")
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    options["preexec_fn"] = limit
    alone = subprocess.run([program, way], env=ttlib.clean_env(), **options)
    if alone.returncode == 77:
        raise ttlib.Skip(f"{way} is not allowed here")
    check_equal(alone.returncode, 5, f"{way} alone: {alone.stderr}")
    for lossless in (0, 1):
        # On a busy machine a daemon may answer later than a program waits for it, which then runs
        # untraced; not three times.
        check(
            any(is_seen(program, way, lossless, states, alone, options) for _ in range(3)),
            f"{way}: no session of it",
        )


def is_seen(program, way, lossless, states, alone, options):
    with ttlib.Daemon("--history=1000") as daemon:
        env = daemon.preload_env({"TT_LOSSLESS": lossless})
        traced = subprocess.run([program, way], env=env, **options)
        check_equal((traced.returncode, traced.stdout, traced.stderr), (5, alone.stdout, ""), way)
        if not daemon.sessions():
            return False
        card = daemon.sessions()[0]
        daemon.wait_for_state(card["pid"], *states)
        export = daemon.export(card["id"])
        ttlib.check_books(export)
        sizes = [block["size"] for block in export["active_allocations"]]
        check(40001 in sizes, f"{way}: the block from before")
        check(40002 in sizes or not export["completeness"]["exact"], f"{way}: the last block")
        return True


@case
def fault_D04_thread_with_a_table_of_its_own():
    check_numbers("own table")


@case
def fault_D07_lowest_number_is_the_programs():
    check_numbers("lowest")


@case
def fault_D07_lowest_number_beside_one_that_connects():
    check_numbers("racing", states=("exited", "ended", "lost"))


@case
def fault_D08_files_up_to_what_select_takes():
    check_numbers("many")


@case
def fault_D08_files_until_there_are_no_more():
    check_numbers("exhaust")


@case
def fault_D08_closes_what_it_does_not_know():
    check_numbers("close unknown")


@case
def fault_D09_sockets_spoilt():
    check_numbers("spoil", states=("exited", "ended", "lost"))


# ---- D06 ----

LOWERED = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

int main(void) {
    struct timespec start, now;
    char line[16];

    free(malloc(1));
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){16, 16});
    for (int i = 0; i < 300000; i++)
        free(malloc((size_t)i % 300));
    malloc(40001);
    puts("ready");
    fflush(stdout);
    fgets(line, sizeof line, stdin); /* meanwhile the daemon goes */
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int i = 0; i < 1000; i++)
            free(malloc((size_t)i));
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 <
             start.tv_sec * 1000 + start.tv_nsec / 1000000 + 1500);
    return 5;
}
"""


@case
def fault_D06_limit_lowered_later():
    """The connection that is there serves; a new one cannot be had, and is not asked for in a storm."""
    ttlib.need("strace")
    program = ttlib.compile_c(LOWERED, "-w")
    trace = ttlib.temp_dir() / "trace"
    daemon = ttlib.Daemon().start()
    env = daemon.preload_env({"TT_LOSSLESS": 1})
    preload = f"LD_PRELOAD={env.pop('LD_PRELOAD')}"
    process = subprocess.Popen(
        ["strace", "-f", "-o", trace, "-e", "trace=socket", "-E", preload, program],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout.readline() != "ready\n":
        process.wait()
        raise ttlib.Skip("strace does not run here")
    (card,) = [c for c in daemon.sessions() if c["exe"] == str(program)]
    export = daemon.export(card["id"])
    check(40001 in [b["size"] for b in export["active_allocations"]], "it serves")
    ttlib.check_exact(export)
    daemon.kill()
    with ttlib.Daemon(folder=daemon.folder):
        process.communicate("go\n", timeout=ttlib.SECONDS)
    check_equal(process.returncode, 5)
    calls = trace.read_text().count("socket(AF_UNIX")
    check(1 <= calls <= 5, f"{calls} sockets in a second and a half")


ttlib.main()
