#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section C, nightly: thousands of processes before a daemon that does not answer."""

import os
import signal
import socket
import struct
import subprocess
import time

import ttlib
from ttlib import case, check, check_equal

FORKS = int(os.environ.get("TT_FORKS", 5000))
AT_ONCE = 4  # more would wait for a processor, and for each other
MILLISECOND = 1_000_000

PROGRAM = r"""
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What the thread has not slept since it was born: at work, or waiting for a processor. */
static uint64_t awake_ns(void) {
    char text[128] = "";
    int fd = open("/proc/thread-self/schedstat", O_RDONLY);
    unsigned long work = 0, queued = 0;

    read(fd, text, sizeof text - 1);
    close(fd);
    sscanf(text, "%lu %lu", &work, &queued);
    return work + queued;
}

/* Notes how long 2,000 calls took, and how long of that it slept. */
static void work(uint64_t *notes) {
    uint64_t start = now_ns(), awake = awake_ns();

    for (int i = 0; i < 2000; i++)
        free(malloc((size_t)i % 700));
    awake = awake_ns() - awake;
    notes[0] = now_ns() - start;
    notes[1] = notes[0] > awake ? notes[0] - awake : 0;
}

static void wait_for_one(long *sum) {
    int status;

    if (wait(&status) > 0)
        *sum += WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

/* Forks so many children, so many of them at once; FILE has two numbers of each. */
int main(int argc, char **argv) {
    int count = atoi(argv[1]), at_once = atoi(argv[2]), fd = open(argv[3], O_RDWR);
    uint64_t *notes = mmap(NULL, (size_t)count * 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    long sum = 0;
    char line[64];

    malloc(40001);
    puts("ready");
    fflush(stdout);
    fgets(line, sizeof line, stdin);
    for (int i = 0; i < count; i++) {
        if (i >= at_once)
            wait_for_one(&sum);
        if (fork() == 0) {
            work(&notes[2 * i]);
            int len = snprintf(line, sizeof line, "child %d\n", i);
            write(1, line, (size_t)len);
            _exit(i % 100);
        }
    }
    for (int i = 0; i < at_once; i++)
        wait_for_one(&sum);
    malloc(40002);
    printf("sum %ld\n", sum);
    return 5;
}
"""


def run_forks(program, env, before=lambda: None):
    """Returns its pid, what it wrote, sorted, and of each child how long it took and slept, in ns."""
    notes = ttlib.temp_dir() / "notes"
    notes.write_bytes(bytes(16 * FORKS))
    process = subprocess.Popen(
        [program, str(FORKS), str(AT_ONCE), notes],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    check_equal(process.stdout.readline(), "ready\n")
    before()
    output, errors = process.communicate("go\n", timeout=900)
    check_equal((process.returncode, errors), (5, ""))
    return process.pid, sorted(output.splitlines()), list(struct.iter_unpack("=2Q", notes.read_bytes()))


def tell(what, values):
    """Returns what all but one of a hundred stay below, in ms."""
    values = sorted(value / MILLISECOND for value in values)
    at = lambda share: values[int(share * (len(values) - 1))]
    print(f"# {what}: median {at(0.5):.1f}, 99 % {at(0.99):.1f}, longest {at(1):.1f} ms")
    return at(0.99)


def tell_all(what, notes):
    tell(f"{what}, 2,000 calls", [took for took, _ in notes])
    return tell(f"{what}, asleep in them", [slept for _, slept in notes])


def is_backlog_full(daemon):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.setblocking(False)
        try:
            client.connect(str(daemon.folder / "events.sock"))
        except BlockingIOError:
            return True
    return False


@case
def fault_C16_forks_before_a_stopped_daemon():
    """Its backlog takes some thousands, and then no more."""
    if not os.path.exists("/proc/self/schedstat"):
        raise ttlib.Skip("the kernel does not tell who waits for a processor")
    program = ttlib.compile_c(PROGRAM, "-w", "-O1")
    _, alone, notes = run_forks(program, ttlib.clean_env())
    own = tell_all("untraced", notes)
    with ttlib.Daemon() as daemon:
        start = time.monotonic()
        pid, traced, notes = run_forks(
            program, daemon.preload_env(), lambda: daemon.signal(signal.SIGSTOP)
        )
        print(f"# {FORKS} processes, {AT_ONCE} at once: {time.monotonic() - start:.1f} s")
        check_equal(traced, alone, "what the program says")
        slept = tell_all("traced", notes)
        print(f"# {sum(row[1] > 30 * MILLISECOND for row in notes)} waited for an answer")
        # A fork has its child and its parent wait for each other's locks too, traced or not.
        check(slept < 60 + own, f"waits of {slept} ms; untraced {own} ms")
        check(is_backlog_full(daemon), "there was room for all")

        daemon.signal(signal.SIGCONT)
        start = time.monotonic()
        daemon.wait_for_state(pid, "exited", "ended")
        print(f"# the daemon has seen all {time.monotonic() - start:.1f} s later")
        export = daemon.export(pid)
        ttlib.check_books(export)
        check_equal(ttlib.left(export), [40001, 40002])


ttlib.main()
