#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section E, nightly: more stacks than anybody can hold, through a client and a daemon."""

import os
import subprocess
import time

import ttlib
from ttlib import case, check, check_equal

STACKS = int(os.environ.get("TT_STACKS", 1_000_000))
DEPTH = 256
LIMIT = 512 << 20

# Two functions that call one another; which does at each of 20 levels is a number's bits. Where those
# are the outermost levels nothing inside them is like what another stack has: 2^20 chains of their
# own. Where they are the innermost all stacks have most in common.
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 250, BITS = 20 };

static unsigned long number;
static int first, kept;
static unsigned long bytes;

static void allocate(void) {
    size_t size = 1 + number % 100;
    void *block = malloc(size);

    bytes += size;
    if (number % 16 != 0)
        free(block);
    else
        kept++;
}

static void left(int depth);
static void right(int depth);

static __attribute__((always_inline)) inline void go_on(int depth) {
    int bit = depth - first;

    if (depth == DEPTH)
        allocate();
    else if (bit >= 0 && bit < BITS && number >> bit & 1)
        right(depth + 1);
    else
        left(depth + 1);
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void left(int depth) { go_on(depth); }
static __attribute__((noinline)) void right(int depth) {
    go_on(depth);
    __asm__ volatile("nop");
}

/* In KiB. What getrusage tells is of the image before exec, too. */
static long peak(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long peak = 0;

    while (fgets(line, sizeof line, status) && sscanf(line, "VmHWM: %ld", &peak) != 1)
        ;
    return peak;
}

int main(int argc, char **argv) {
    unsigned long count = strtoul(argv[2], NULL, 10);

    first = strcmp(argv[1], "outermost") == 0 ? 0 : DEPTH - BITS;
    for (number = 0; number < count; number++)
        left(0);
    printf("%d %lu %ld\n", kept, bytes, peak());
    return 5;
}
"""


def peak_of(pid):
    """The most memory that a process has had, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        (peak,) = (int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    return peak


def check_many(where, is_listed):
    """@is_listed: the document is asked for, in which each stack has all its frames"""
    program = ttlib.compile_c(PROGRAM, "-w", "-O2", "-fno-optimize-sibling-calls")
    words = [program, where, str(STACKS)]
    alone = subprocess.run(words, env=ttlib.clean_env(), capture_output=True, text=True)
    check_equal(alone.returncode, 5, alone.stderr)
    with ttlib.Daemon(f"--memory-limit={LIMIT}", "--history=1000") as daemon:
        count_path = ttlib.temp_dir() / "count"
        env = daemon.preload_env({"TT_LOSSLESS": 1}, counted=count_path)
        process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True)
        ttlib.at_end(process.kill)
        slowest = 0
        while process.poll() is None:
            start = time.monotonic()
            daemon.ctl("list")
            slowest = max(slowest, time.monotonic() - start)
            time.sleep(0.1)  # no more than a question now and then
        check_equal(process.returncode, 5)
        *sums, theirs = map(int, alone.stdout.split())
        *same, ours = map(int, process.stdout.read().split())
        check_equal(same, sums, "blocks kept and bytes")
        daemon.wait_for_state(process.pid, "exited", "ended")

        count = ttlib.read_count(count_path)
        card = daemon.session_of(process.pid)
        check_equal(
            (card["live_blocks"], card["live_bytes"], card["events"], card["dropped_events"]),
            (count["live_blocks"], count["live_bytes"], count["allocations"] + count["frees"], 0),
        )
        if is_listed:
            path = ttlib.temp_dir() / "export"
            asked = daemon.ctl("export", str(process.pid), f"--json={path}", timeout=600)
            check_equal(asked.returncode, 0, asked.stderr)
            export = ttlib.read_json(path)
            ttlib.check_books(export)
            ttlib.check_counted(export, count)
            none = {stack["id"] for stack in export["stacks"] if not stack["frames"]}
            sites = export["allocation_hotspots"]
            other = sum(site["cumulative_count"] for site in sites if site["stack"] in none)
            print(f"# {len(sites)} sites; {other} allocations of others")
            check(other > 0, "there was room for all")
        more, daemons = (ours - theirs) << 10, peak_of(daemon.pid)
        print(
            f"# {where}: {more >> 20} MiB more of the program's, {daemons >> 20} of the daemon's;"
            f" it was asked meanwhile, and answered within {slowest:.2f} s"
        )
        check(more < 256 << 20, f"{more} bytes more of the program's")
        check(daemons < 2 * LIMIT, f"{daemons} bytes of the daemon's")


@case
def fault_E16_stacks_that_have_little_in_common():
    check_many("outermost", is_listed=True)


@case
def fault_E16_stacks_that_have_most_in_common():
    """A document of all that have a site would be tens of gigabytes."""
    check_many("innermost", is_listed=False)


ttlib.main()
