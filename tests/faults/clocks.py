#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""C13: clocks of another namespace, clocks that are set, machines that sleep. A session has one axis of
time, and what lies between two of its events is as long as it was. What really passed the programs
measure themselves, by CLOCK_MONOTONIC_RAW."""

import datetime
import json
import re
import struct
import subprocess
import time

import ttlib
from ttlib import case, check, check_between, check_equal

DAY_NS = 86400 * 10**9

LIVES = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static long now(int clock) {
    struct timespec at;

    clock_gettime(clock, &at);
    return at.tv_sec * 1000000000L + at.tv_nsec;
}

/* A block of 41000 bytes lives 50 ms and a bit, which is told from outside and from inside, and when
 * that was by the wall clock; one of 42000 bytes stays. With a word, a line of input comes between. */
static void live(int waits) {
    char line[8];
    long wall = now(CLOCK_REALTIME), before = now(CLOCK_MONOTONIC_RAW);
    void *block = malloc(41000);
    long born = now(CLOCK_MONOTONIC_RAW);

    while (now(CLOCK_MONOTONIC_RAW) < born + 50000000)
        ;
    if (waits) {
        write(1, "born\n", 5);
        read(0, line, 1);
    }
    long dying = now(CLOCK_MONOTONIC_RAW);
    free(block);
    long after = now(CLOCK_MONOTONIC_RAW);
    malloc(42000);
    dprintf(1, "[%ld, %ld, %ld, %ld]\n", dying - born, after - before, wall, now(CLOCK_REALTIME));
}

/* Goes where clocks show another time: its children do. */
static void go_elsewhere(void) {
    const char *offsets = "monotonic 86400 0\nboottime 172800 0\n";
    int fd = unshare(CLONE_NEWTIME) < 0 ? -1 : open("/proc/self/timens_offsets", O_WRONLY);

    if (fd < 0 || write(fd, offsets, strlen(offsets)) < 0)
        exit(77);
    close(fd);
}

int main(int argc, char **argv) {
    char byte;

    free(malloc(100));
    if (argc > 1 && strcmp(argv[1], "elsewhere") == 0) {
        go_elsewhere();
        if (fork() == 0) {
            live(0);
            _exit(now(CLOCK_MONOTONIC) > 86400L * 1000000000 ? 4 : 9);
        }
        int status;
        wait(&status);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 9;
    }
    live(argc > 1);
    if (argc > 1) /* it is looked at before it ends */
        read(0, &byte, 1);
    return 5;
}
"""


def compile_lives():
    return ttlib.compile_c(LIVES, "-w")


def check_times(export, line):
    """The block's life is as long as the program says, and was when it says."""
    at_least, at_most, wall, wall_later = json.loads(line)
    (block,) = [b for b in export["freed_allocations"] if b["size"] == 41000]
    (last,) = [b for b in export["active_allocations"] if b["size"] == 42000]
    life = block["died_ns"] - block["born_ns"]
    # A stamp is of 16 ticks, and how fast those go is measured to some millionths.
    slack = 100 + at_most // 10000
    check_between(life, at_least - slack, at_most + slack, "nanoseconds that it lived")
    check(block["born_ns"] < block["died_ns"] < last["born_ns"], "one after the other")
    check_between(last["born_ns"], 0, 60 * 10**9, "when the last was born")
    return block, last, wall, wall_later


# ---- namespaces ----


def check_elsewhere(daemon, program, line):
    cards = [card for card in daemon.sessions() if card["exe"] == str(program)]
    check_equal(len(cards), 2, "sessions")
    export = daemon.export(cards[1]["id"])
    ttlib.check_books(export)
    block, last, wall, wall_later = check_times(export, line)
    # The wall clock is the same everywhere.
    check_between(block["timestamp_alloc"], wall // 10**6 - 1, wall_later // 10**6 + 1, "its birth")
    check_between(last["timestamp_alloc"], wall // 10**6 - 1, wall_later // 10**6 + 1, "the last's")
    return export


@case
def fault_C13_child_in_another_time_namespace():
    program = compile_lives()
    with ttlib.Daemon() as daemon:
        result = ttlib.run([program, "elsewhere"], daemon.preload_env({"TT_LOSSLESS": 1}))
        if result.returncode == 77:
            raise ttlib.Skip("it may not go elsewhere")
        check_equal(result.returncode, 4, result.stderr)
        export = check_elsewhere(daemon, program, result.stdout)
        ttlib.check_exact(export)


@case
def fault_C13_child_in_another_time_namespace_by_the_clock():
    """What the child inherits cannot be found by stamps of another clock, which is declared."""
    program = compile_lives()
    with ttlib.Daemon() as daemon:
        env = daemon.preload_env({"TT_LOSSLESS": 1})
        result = ttlib.run_by_the_clock([program, "elsewhere"], env)
        if "exited with code 04" not in result.stdout:
            raise ttlib.Skip(f"it may not go elsewhere: {result.stdout[-200:]}")
        line = re.search(r"^\[\d+, .*\]$", result.stdout, re.M).group()
        export = check_elsewhere(daemon, program, line)
        check(not export["completeness"]["exact"], "what it inherits is not known")


# ---- clocks that are set, machines that sleep ----


class Clocks:
    """What time it is for a daemon and a program; see programs/clocks.c."""

    def __init__(self):
        self.path = ttlib.temp_dir() / "clocks"
        self.write(0, 0, 0)
        self.library = ttlib.build("clocks.c", "-shared", "-fPIC")

    def write(self, *values):
        with open(self.path, "r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("=3q", *values))

    def daemon(self):
        return ttlib.Daemon(env={"LD_PRELOAD": self.library, "CLOCKS": self.path})

    def program_env(self, daemon):
        env = daemon.preload_env({"TT_LOSSLESS": 1, "CLOCKS": self.path})
        return {**env, "LD_PRELOAD": f"{env['LD_PRELOAD']}:{self.library}"}


def milliseconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


def check_set(by_ns):
    clocks = Clocks()
    program = compile_lives()
    with clocks.daemon() as daemon:
        process = subprocess.Popen(
            [program, "waits"],
            env=clocks.program_env(daemon),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ttlib.at_end(process.kill)
        start_ms = time.time_ns() // 10**6
        check_equal(process.stdout.readline(), b"born\n")
        clocks.write(by_ns, 0, 0)
        process.stdin.write(b"x")
        process.stdin.flush()
        line = process.stdout.readline().decode()
        export = daemon.export(process.pid)
        picture = daemon.ctl("export", str(process.pid), "--svg")
        end_ms = time.time_ns() // 10**6
        check_equal(picture.returncode, 0, picture.stderr)
        process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal(process.returncode, 5)
    ttlib.check_exact(export)
    _, last, wall, wall_later = check_times(export, line)
    check(abs(wall_later - wall - by_ns) < 60 * 10**9, "the program has seen it")
    slack = 1000  # of the session's beginning, which is before ours
    for what, ms in (
        ("the last's birth", last["timestamp_alloc"]),
        ("the state's time", milliseconds_of(export["timestamp"])),
    ):
        check_between(ms, start_ms - slack, end_ms + 1, what)
    axis = int(re.search(r'data-session="[^"]*" data-pid="\d+" data-ns="(\d+)"', picture.stdout)[1])
    check_between(axis, last["born_ns"], 60 * 10**9, "the picture's axis")


@case
def fault_C13_wall_clock_is_set_forward_by_a_day():
    check_set(DAY_NS)


@case
def fault_C13_wall_clock_is_set_back_by_a_day():
    check_set(-DAY_NS)


@case
def fault_C13_machine_has_slept():
    """What comes after is as long as it is: the counter went on, and the clock did not."""
    clocks = Clocks()
    program = compile_lives()
    with clocks.daemon() as daemon:
        asleep = time.monotonic_ns()
        clocks.write(0, 0, asleep)
        ttlib.wait_for(lambda: time.monotonic_ns() > asleep + 10**9, "a second of sleep")
        clocks.write(0, time.monotonic_ns() - asleep, 0)
        result = ttlib.run([program], clocks.program_env(daemon))
        check_equal(result.returncode, 5, result.stderr)
        (card,) = daemon.sessions()
        daemon.wait_for_state(card["pid"], "exited", "ended")
        check_times(daemon.export(card["id"]), result.stdout)


ttlib.main()
