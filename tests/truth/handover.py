#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Blocks that one thread makes and another frees at once: nothing impossible happens, each thread is
credited with what it did, and each block with who freed it. TT_BLOCKS=N makes N a thread (nightly, the
10^7 of fault B04)."""

import os
import struct

import ttlib
from ttlib import check, check_equal

THREADS = 8
BLOCKS = int(os.environ.get("TT_BLOCKS", 125_000))  # a thread; 2.25 million events in all
SECONDS = ttlib.SECONDS + BLOCKS / 10_000
LARGEST = 800  # no block is larger
KEYS = ("tid", "allocations", "allocated", "frees", "freed", "reallocations")


def read_workers(path):
    numbers = struct.iter_unpack("=6Q", path.read_bytes())
    return [dict(zip(KEYS, row)) for row in numbers]


def run(program):
    truth = ttlib.temp_dir() / "truth"
    with ttlib.Daemon("--history=30000") as daemon:
        traced = ttlib.run_traced([program, truth, BLOCKS], counted=True, daemon=daemon, timeout=SECONDS)
    check_equal(traced.returncode, 0, traced.stderr)
    return traced.export, read_workers(truth), traced.count


def check_threads(export, workers):
    told = {thread["thread_id"]: thread for thread in export["threads"]}
    for worker in workers:
        thread = told[worker["tid"]]
        for key in ("allocations", "allocated", "frees", "freed"):
            check_equal(thread[key], worker[key], f"{key} of thread {worker['tid']}")
    check_equal(export["reallocations"], sum(w["reallocations"] for w in workers), "reallocations")


def check_owners(export, workers):
    """By a block's size its maker is known, and by that who freed it: the next in the ring, but for
    blocks that ended by realloc."""
    tids = [worker["tid"] for worker in workers]
    resized = {
        b["resized_from"] for b in export["active_allocations"] + export["freed_allocations"]
    }
    seen = 0
    for block in export["freed_allocations"]:
        if block["thread_id"] not in tids or block["id"] in resized:
            continue
        maker = block["size"] % THREADS
        check_equal(block["thread_id"], tids[maker], f"maker of {block}")
        freed_by = {tids[(maker + 1) % THREADS]}
        if block["size"] < THREADS * 61:
            freed_by.add(tids[maker])  # its realloc's other half may have left the history
        check(block["freed_by_thread"] in freed_by, f"who freed {block}, of {tids}")
        seen += block["freed_by_thread"] != block["thread_id"]
    check(seen > 20_000, f"{seen} of the blocks in the history were freed by another thread")


def check_run(program):
    export, workers, count = run(program)
    ttlib.check_exact(export)
    ttlib.check_counted(export, count, peak_slack=THREADS * LARGEST)
    ttlib.check_books(export)
    check(count["allocations"] + count["frees"] > 2 * THREADS * BLOCKS, "two of each block")
    check_threads(export, workers)
    check_owners(export, workers)


@ttlib.case
def blocks_handed_from_thread_to_thread_thrice():
    program = ttlib.build("handover.c", "-O2", "-pthread")
    for _ in range(3):
        check_run(program)


ttlib.main()
