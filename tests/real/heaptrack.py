#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A second witness: Debian's heaptrack sees the same programs do the same things. Where it sees
others, the difference is explained, and is exactly that."""

import subprocess

import ttlib
import workloads
from ttlib import check, check_equal

# heaptrack's own library is in C++. It brings libstdc++ into programs that have none, which begins with
# one block for exceptions when memory is short; and it asks for that to be freed at the end.
EMERGENCY_POOL = 72704


class Witness:
    """What a raw recording of heaptrack amounts to. Its lines: "+ SIZE TRACE ADDRESS" and
    "- ADDRESS", in hexadecimal; a realloc is a "-" and a "+" like any other."""

    def __init__(self, recording):
        text = subprocess.run(["zstd", "-dc", recording], capture_output=True, check=True).stdout
        self.allocations = self.allocated = self.frees = 0
        self.live_bytes = self.peak_bytes = 0
        self.live = {}
        self.sizes = []
        for line in text.splitlines():
            if line.startswith(b"+ "):
                _, size, _, address = line.split()
                self.on_birth(int(size, 16), address)
            elif line.startswith(b"- "):
                self.on_death(line.split()[1])

    def on_birth(self, size, address):
        self.allocations += 1
        self.allocated += size
        self.live[address] = size
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        self.sizes.append(size)

    def on_death(self, address):
        self.frees += 1
        self.live_bytes -= self.live.pop(address)


def run_heaptrack(work):
    folder = ttlib.temp_dir()
    result = subprocess.run(
        ["heaptrack", "--raw", "-o", folder / "recording", *work.command],
        env=ttlib.clean_env(workloads.ENVIRONMENT),
        capture_output=True,
        timeout=ttlib.SECONDS,
        **work.options(),
    )
    check_equal(result.returncode, 0, f"heaptrack: {result.stderr.decode()}")
    (recording,) = folder.glob("recording*.zst")
    return Witness(recording)


def check_program(make_work):
    """Of a program in C that does the same each time; xmllint for one seeds its hashes by the clock."""
    ttlib.need("heaptrack", "zstd")
    work = make_work()
    witness = run_heaptrack(work)
    with ttlib.Daemon("--history=100") as daemon:
        traced = ttlib.run_traced(
            work.command,
            env=workloads.ENVIRONMENT,
            daemon=daemon,
            text=False,
            **work.options(),
        )
    export = traced.export
    check_equal(witness.sizes.count(EMERGENCY_POOL), 1, "pools that heaptrack saw")
    check(EMERGENCY_POOL not in witness.live.values(), "heaptrack has the pool freed in the end")
    for key, theirs in (
        ("cumulative_allocations", witness.allocations - 1),
        ("cumulative_allocated", witness.allocated - EMERGENCY_POOL),
        ("cumulative_frees", witness.frees - 1),
        ("total_allocations", len(witness.live)),
        ("total_allocated", witness.live_bytes),
        # The order of events is the same, and the pool is there from the first to the last.
        ("peak_bytes", witness.peak_bytes - EMERGENCY_POOL),
    ):
        check_equal(export[key], theirs, key)


@ttlib.case
def heaptrack_agrees_on_sqlite3():
    check_program(workloads.sqlite3)


@ttlib.case
def heaptrack_agrees_on_jq():
    check_program(workloads.jq)


ttlib.main()
