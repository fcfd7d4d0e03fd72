#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A sample against a heap that is known: what is estimated lies within what the export says of its
errors, and all that is said of single blocks is true."""

import ttlib
from ttlib import check, check_equal

MEAN = 16384
RUNS = 5
SIGMAS = 5  # of a normal distribution one of two million lies further out
KEYS = ("allocations", "allocated", "live", "live_bytes")
OF_SITE = {
    "allocations": "cumulative_count",
    "allocated": "cumulative_size",
    "live": "count",
    "live_bytes": "total_size",
}


def read_truth(text):
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: dict(zip(KEYS, map(int, row[1:]))) for row in rows}


def sites_of(export, name):
    frames = {stack["id"]: stack["frames"] for stack in export["stacks"]}

    def is_in(site):
        return any(f["function"] == f"make_{name}" for f in frames[site["stack"]])

    return [site for site in export["allocation_hotspots"] if is_in(site)]


def check_places(export, truth):
    """Returns how many errors each estimate is off."""
    off = []
    for name, told in truth.items():
        sites = sites_of(export, name)
        check(sites, f"no site of make_{name}")
        for key, site_key in OF_SITE.items():
            estimate = sum(site[site_key] for site in sites)
            error = sum(site[site_key + "_error"] ** 2 for site in sites) ** 0.5
            check(error > 0, f"{key} of {name} is said to be exact")
            sigmas = (estimate - told[key]) / error
            print(f"# {name} {key}: {estimate} ± {error:.0f}, in truth {told[key]}")
            check(abs(sigmas) < SIGMAS, f"{key} of {name} is {sigmas:.1f} errors off")
            off.append(sigmas)
    return off


def check_blocks(export):
    live = export["active_allocations"]
    check_equal(
        sum(b["represents_bytes"] for b in live), export["total_allocated"], "weights of bytes"
    )
    check_equal(
        sum(b["represents_blocks"] for b in live), export["total_allocations"], "weights of blocks"
    )
    for block in live + export["freed_allocations"]:
        check(block["size"] < 102_000 or block["size"] == 400_000, f"size of {block}")


@ttlib.case
def estimates_lie_within_their_errors():
    program = ttlib.build("sampled.c", "-O2", "-pthread")
    off = []
    for _ in range(RUNS):
        traced = ttlib.run_traced([program], env={"TT_SAMPLE": MEAN})
        check_equal(traced.returncode, 0, traced.stderr)
        export = traced.export
        check_equal(export["completeness"]["exact"], False, "exact")
        check_equal(export["sampling"]["mean_bytes"], MEAN, "mean_bytes")
        for key in ("unknown_frees", "double_frees", "synthesized_frees", "dropped_events"):
            check_equal(export["completeness"][key], 0, key)
        ttlib.check_books(export)
        off += check_places(export, read_truth(traced.stdout))
        check_blocks(export)
    within = sum(abs(sigmas) < 1 for sigmas in off) / len(off)
    # 68 of 100 if the errors are right; a place's four figures hang together.
    check(0.4 < within < 0.95, f"{within:.2f} of {len(off)} lie within one error")


@ttlib.case
def sample_of_every_byte_is_everything():
    """With a mean of one byte all but the smallest blocks are told."""
    program = ttlib.build("sampled.c", "-O2", "-pthread")
    traced = ttlib.run_traced([program], env={"TT_SAMPLE": 1})
    check_equal(traced.returncode, 0, traced.stderr)
    truth = read_truth(traced.stdout)
    large = sites_of(traced.export, "large")
    for key, site_key in OF_SITE.items():
        check_equal(sum(site[site_key] for site in large), truth["large"][key], key)


ttlib.main()
