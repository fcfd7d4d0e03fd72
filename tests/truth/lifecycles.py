#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a block's record and a stack's figures say of lives that are known: who freed a block and on
which stack, what it was resized from, which were temporary, how long they lived."""

import ttlib
from ttlib import check, check_equal

COUNT = 50


def run(**env):
    traced = ttlib.run_traced([PROGRAM], env=env)
    check_equal(traced.returncode, 0, traced.stderr)
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)
    return traced.export, [int(word) for word in traced.stdout.split()]


def stacks_of(export, function):
    return {
        stack["id"]
        for stack in export["stacks"]
        if any(frame["function"] == function for frame in stack["frames"])
    }


def blocks_of(export, function):
    stacks = stacks_of(export, function)
    return [b for b in export["freed_allocations"] if b["stack"] in stacks]


def sites_of(export, function):
    stacks = stacks_of(export, function)
    return [site for site in export["allocation_hotspots"] if site["stack"] in stacks]


@ttlib.case
def temporary_blocks_are_counted():
    export, _ = run()
    (site,) = sites_of(export, "temporary")
    check_equal((site["cumulative_count"], site["temporary_count"]), (COUNT, COUNT))
    # The others were followed by an allocation of their thread, but for the last of each thread.
    for function in ("handing_over", "waiting"):
        check(sum(s["temporary_count"] for s in sites_of(export, function)) <= 1, function)


@ttlib.case
def resized_blocks_name_what_they_were():
    export, (main, other, _, _) = run()
    chain = sorted(blocks_of(export, "resizing"), key=lambda block: block["id"])
    check_equal([b["size"] for b in chain], [1000, 2000, 3000, 4000])
    check_equal([b["resized_from"] for b in chain], [None] + [b["id"] for b in chain[:-1]])
    for block, after in zip(chain, chain[1:]):
        check_equal(block["died_ns"], after["born_ns"], "one ends as the other begins")
    check_equal([b["freed_by_thread"] for b in chain], [main] * 3 + [other])


@ttlib.case
def freeing_thread_and_stack_are_known():
    for asked in (False, True):
        export, (main, other, _, _) = run(**({"TT_FREE_STACKS": "1"} if asked else {}))
        there = stacks_of(export, "freeing_elsewhere")
        blocks = blocks_of(export, "handing_over")
        check_equal(len(blocks), COUNT - 1)
        for block in blocks:
            check_equal((block["thread_id"], block["freed_by_thread"]), (main, other))
            check_equal("freed_stack" in block, asked)
            check(not asked or block["freed_stack"] in there, f"{block} was freed elsewhere")
        temporary = blocks_of(export, "temporary")
        for block in temporary if asked else []:
            check(block["freed_stack"] in stacks_of(export, "temporary"), f"{block}")


@ttlib.case
def who_tells_where_a_block_was_freed():
    """Under its death, as under its birth: the functions, the innermost first, with their thread."""
    for asked in (False, True):
        with ttlib.Daemon() as daemon:
            result = ttlib.run([PROGRAM], daemon.preload_env({"TT_FREE_STACKS": int(asked)}))
            main, other = result.stdout.split()[:2]
            daemon.wait_for_state(int(main), "exited", "ended")
            block = blocks_of(daemon.export(main), "handing_over")[-1]
            text = daemon.ctl("who", main, hex(block["ptr"])).stdout
        (story,) = [part for part in text.split("\n\n") if f"block {block['id']}," in part]
        lines = [line.split() for line in story.splitlines()]
        births = [i for i, line in enumerate(lines) if line[0] == "born"]
        deaths = [i for i, line in enumerate(lines) if line[0] == "died"]
        check_equal((len(births), len(deaths)), (1, 1), story)
        for (at,), tid, chain in (
            (births, main, ["handing_over", "main"]),
            (deaths, other, ["freeing_elsewhere", "other"] if asked else []),
        ):
            check_equal(lines[at][3:5], ["thread", tid], story)
            end = next((i for i in births + deaths if i > at), len(lines))
            check_equal([line[0] for line in lines[at + 1 : end]], chain, story)


def line_of(text):
    """Of the one line of the program that is so."""
    source = (ttlib.SOURCE / "tests" / "truth" / "programs" / "lifecycles.c").read_text()
    (number,) = [i for i, line in enumerate(source.splitlines(), 1) if line.strip() == text]
    return number


@ttlib.case
def sites_and_frames_tell_their_lines():
    export, _ = run()
    for function, line in (
        ("temporary", "void *volatile ptr = malloc(100);"),
        ("handing_over", "kept[i] = malloc(300);"),
        ("waiting", "waited[i] = malloc(777);"),
    ):
        (site,) = sites_of(export, function)
        inner, outer = ttlib.frames_of(export, site["stack"])[:2]
        for told in (site, inner):
            check_equal((told["function"], told["line"]), (function, line_of(line)), f"{told}")
        call = ("main", line_of(f"{function}();"))
        check_equal((outer["function"], outer["line"]), call, f"{outer}")
        for told in (site, inner, outer):
            check_equal(told["file"].rpartition("/")[2], "lifecycles.c", f"{told}")
        check_equal((inner["inlined"], outer["inlined"]), (False, False), "noinline")


@ttlib.case
def lifetimes_are_within_what_the_program_measured():
    export, (_, _, shortest, longest) = run()
    (site,) = sites_of(export, "waiting")
    lifetime = site["lifetime_ns"]
    lives = sorted(b["died_ns"] - b["born_ns"] for b in blocks_of(export, "waiting"))
    # The program's clock and the stamps' are calibrated against each other, to a thousandth.
    check(shortest * 0.999 <= lifetime["min"], f"{lifetime} {shortest}")
    check(lifetime["max"] <= longest * 1.001, f"{lifetime} {longest}")
    check_equal(len(lives), COUNT)
    # Both ends of a life are rounded, its length only once.
    check(abs(lives[0] - lifetime["min"]) <= 1, f"{lives[0]} {lifetime}")
    check(abs(lives[-1] - lifetime["max"]) <= 1, f"{lives[-1]} {lifetime}")
    for key, at in (("median", COUNT // 2), ("p95", COUNT * 95 // 100)):
        near = lives[max(0, at - 2) : at + 3]
        check(near[0] * 15 / 16 <= lifetime[key] <= near[-1] * 17 / 16, f"{key} {lifetime} {near}")


@ttlib.case
def shares_of_the_peak_are_those_of_the_moment():
    export, _ = run()
    (site,) = sites_of(export, "waiting")
    check_equal((site["peak_count"], site["peak_size"]), (COUNT, 777 * COUNT))
    for function in ("temporary", "resizing", "handing_over"):
        check_equal(sum(s["peak_size"] for s in sites_of(export, function)), 0, function)


if __name__ == "__main__":
    PROGRAM = ttlib.build("lifecycles.c", "-pthread", "-D_GNU_SOURCE")
    ttlib.main()
