#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What questions take out of the daemon's memory limit, and what is done where it is not there."""

import subprocess

import ttlib
from ttlib import case, check, check_equal

MANY = r"""
#include <stdlib.h>
#include <unistd.h>

/* COUNT blocks, all of which it can get at; ends when its input does. */
int main(int argc, char **argv) {
    long count = atol(argv[1]);
    void **blocks = malloc(count * sizeof *blocks);
    char byte;

    for (long i = 0; i < count; i++)
        blocks[i] = malloc(16);
    write(1, "x", 1);
    read(0, &byte, 1);
    return blocks[0] == blocks[1];
}
"""


@case
def look_that_needs_more_memory_than_there_is_is_refused():
    """By one sentence; no session goes for one so large, the small ones are looked at as ever."""
    program = ttlib.compile_c(MANY, "-w", "-O1")
    with ttlib.Daemon("--memory-limit=16M") as daemon:
        env = daemon.preload_env({"TT_LOSSLESS": 1})
        ended = ttlib.run([program, "10000"], env)
        check_equal(ended.returncode, 0, ended.stderr)
        running = []
        for count in ("1000", "90000"):
            process = subprocess.Popen(
                [program, count], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            ttlib.at_end(process.kill)
            check_equal(process.stdout.read(1), b"x")
            running.append(process)
        before = [card["id"] for card in daemon.sessions()]
        small, large = [daemon.ctl("leaks", str(process.pid), "--json") for process in running]
        check_equal(small.returncode, 0, small.stderr)
        check_equal((large.returncode, large.stderr.count("\n")), (1, 1), large.stderr)
        check("--memory-limit" in large.stderr, large.stderr)
        print(f"# {large.stderr.strip()}")
        check_equal([card["id"] for card in daemon.sessions()], before, "sessions")
        export = daemon.export(running[1].pid)
        check_equal((export["total_allocations"] > 90000, export["completeness"]["exact"]), (True, True))


ttlib.main()
