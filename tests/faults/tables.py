#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section D: the thread that connects has a descriptor table of its own."""

import subprocess

import ttlib
from ttlib import case, check, check_equal, left

CONNECTER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LOWEST = 100, NUMBERS = 8 };

static atomic_int phase; /* 1: go and connect; 2: connected, or never; 3: be gone */
static atomic_int own_fd = -1;

static void churn(int rounds) {
    for (int i = 0; i < rounds; i++)
        free(malloc((size_t)i % 300));
}

/* After rests in which the daemon has read all, and wants to be woken. */
static void churn_at_times(void) {
    for (int i = 0; i < 5; i++) {
        usleep(50000);
        churn(60000);
    }
}

static void reach(int wanted) {
    while (atomic_load(&phase) < wanted)
        usleep(1000);
}

/* With an empty table from 100 on, until a number there is taken. */
static void *connect_alone(void *unused) {
    time_t end;

    if (unshare(CLONE_FILES) != 0)
        exit(77);
    reach(1);
    close_range(LOWEST, ~0u, 0);
    for (end = time(NULL) + 10; own_fd < 0 && time(NULL) < end;) {
        churn(10000);
        for (int fd = LOWEST; fd < LOWEST + NUMBERS; fd++)
            if (fcntl(fd, F_GETFD) >= 0)
                own_fd = fd;
    }
    churn(300000);
    phase = 2;
    reach(3);
    churn(1000);
    return NULL;
}

int main(int argc, char **argv) {
    int ends[2], stays = strcmp(argv[1], "stays") == 0;
    char buffer[65536];
    pthread_t thread;

    alarm(25);
    pthread_create(&thread, NULL, connect_alone, NULL);
    puts("ready");
    fflush(stdout);
    read(0, buffer, 1); /* the daemon is there: but not by a call of this thread's */
    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends);
    for (int i = 0; i < NUMBERS; i++)
        dup2(ends[1], LOWEST + i);
    phase = 1;
    reach(2);
    malloc(40001);
    churn_at_times();
    if (!stays) {
        phase = 3;
        pthread_join(thread, NULL); /* and with it the last of the connection */
    }
    churn_at_times();
    malloc(40002);
    phase = 3;
    if (stays)
        pthread_join(thread, NULL);
    for (int i = 0; i < NUMBERS; i++)
        if (fcntl(LOWEST + i, F_GETFD) < 0)
            return 3; /* closed, and not by us */
    printf("connected %d, stray %d\n", own_fd >= LOWEST,
           recv(ends[0], buffer, sizeof buffer, MSG_DONTWAIT) > 0);
    return 5;
}
"""


def check_connected_alone(way, lossless):
    """The others have a file of the program's where the connection is for the one that made it."""
    program = ttlib.compile_c(CONNECTER, "-w", "-pthread")
    folder = ttlib.temp_dir() / "s"
    folder.mkdir(mode=0o700)
    env = {"TT_SOCKET_DIR": folder, "LD_PRELOAD": ttlib.LIBTTCLIENT, "TT_LOSSLESS": lossless}
    process = subprocess.Popen(
        [program, way],
        env=ttlib.clean_env(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    check_equal(process.stdout.readline(), "ready\n")
    with ttlib.Daemon("--history=1000", folder=folder) as daemon:
        output, _ = process.communicate("x", timeout=ttlib.SECONDS)
        if process.returncode == 77:
            raise ttlib.Skip("a thread may not have a table of its own here")
        check_equal((process.returncode, output), (5, "connected 1, stray 0\n"), way)
        card = daemon.wait_for_state(process.pid, "exited", "ended", "lost")
        check(card["state"] != "lost", f"{way}: {card['state']}")
        export = daemon.export(process.pid)
        ttlib.check_books(export)
        sizes = left(export)
        check(40001 in sizes or not export["completeness"]["exact"], f"{way}: the first block")
        check(40002 in sizes or not export["completeness"]["exact"], f"{way}: the last block")
        # What the others do is there, or counted.
        told = export["cumulative_allocations"] + export["completeness"]["dropped_events"]
        check(told > 900_000, f"{way}: {told} of 900,000: {export['completeness']}")


@case
def fault_D04_connected_by_a_thread_with_a_table_of_its_own():
    check_connected_alone("stays", lossless=0)
    check_connected_alone("goes", lossless=1)


ttlib.main()
