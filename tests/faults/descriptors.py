#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section D: programs that close, reuse and pass on descriptors that are not theirs."""

import os
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


ttlib.main()
