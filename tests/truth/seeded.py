#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What programs did to their heaps, drawn at random, against what is said of them: each export, of
the end, of marks and of the peak, and each diff, equals the program's own log in every field.

TT_SEED=FIRST TT_SEEDS=COUNT choose others than the suite's; of a seed that failed these are told.
"""

import json
import os
import random
from concurrent import futures

import heap
import ttlib
from ttlib import check, check_equal

STEPS = 300
SEED = int(os.environ.get("TT_SEED", 1))
SEEDS = int(os.environ.get("TT_SEEDS", 50))
OF_A_CASE = 25
TYPES = {"-": None, "N": "Node *", "s": "std::vector<int>"}
WAYS = ("by_malloc", "by_calloc", "by_alignment", "by_realloc")
# What the loader has for a thread is not in the log: by so much the peak of all may be elsewhere.
FOREIGN_BYTES = 8192


class Told:
    """An export, and which of it is of the log's sites."""

    def __init__(self, export):
        self.export = export
        self.sites = {}
        for stack in export["stacks"]:
            names = [frame["function"] for frame in stack["frames"]]
            for way in WAYS:
                if way in names:
                    self.sites[stack["id"]] = f"{way}/{names.count(way) - 1}"

    def ours(self, key):
        return [row for row in self.export[key] if row["stack"] in self.sites]

    def foreign(self):
        rows = self.export["active_allocations"] + self.export["freed_allocations"]
        return [row for row in rows if row["stack"] not in self.sites]

    def by_site(self, count, size):
        """Two figures of the hotspots, by the log's sites."""
        sums = {}
        for row in self.ours("allocation_hotspots"):
            site = self.sites[row["stack"]]
            so_far = sums.get(site, (0, 0))
            sums[site] = (so_far[0] + row[count], so_far[1] + row[size])
        return {site: sum for site, sum in sums.items() if sum != (0, 0)}


# ---- Blocks ----


def check_block(row, block, told, name):
    """All that the log knows of a block, whenever it is asked."""
    name, declared = name or (None, "-")
    want = {
        "ptr": block.addr,
        "address": hex(block.addr),
        "size": block.size,
        "usable_size": block.usable,
        "thread_id": block.tid,
        "var_name": name,
        "type_name": TYPES[declared],
        "type_source": "declared" if TYPES[declared] else None,
        "scope": None if block.scope == "-" else block.scope,
        "inherited": block.is_inherited,
    }
    check_equal({key: row.get(key, False) for key in want}, want, f"block {row['id']}")
    check_equal(told.sites[row["stack"]], block.site, f"site of block {row['id']}")


def check_chain(rows, blocks):
    """@rows, @blocks: in the same order. Each says which one it was before."""
    ids = {block: row["id"] for row, block in zip(rows, blocks)}
    for row, block in zip(rows, blocks):
        check_equal(row["resized_from"], ids.get(block.resized_from), f"{row} was resized from")


def check_live(told, state, *, has_names=True):
    # Inherited blocks get their ids in no order that a log knows.
    rows = sorted(
        told.ours("active_allocations"),
        key=lambda row: (not row["inherited"], row["ptr"] if row["inherited"] else row["id"]),
    )
    blocks = sorted(
        state.blocks(),
        key=lambda block: (
            not block.is_inherited,
            block.addr if block.is_inherited else block.number,
        ),
    )
    check_equal([row["ptr"] for row in rows], [block.addr for block in blocks], "what is alive")
    for row, block in zip(rows, blocks):
        check_block(row, block, told, state.names[block.addr] if has_names else row_name(row))
        check_equal((row["died_ns"], row["freed_by_thread"]), (None, None), f"{row} lives")
    return rows, blocks


def row_name(row):
    letters = {text: letter for letter, text in TYPES.items()}
    return (row["var_name"], letters[row["type_name"]]) if row["var_name"] else None


def check_dead(told, story):
    rows = told.ours("freed_allocations")
    check_equal(
        [row["ptr"] for row in rows], [block.addr for block in story.deaths], "order of deaths"
    )
    for row, block in zip(rows, story.deaths):
        check_block(row, block, told, block.name)
        check_equal(row["freed_by_thread"], block.freed_by, f"who freed block {row['id']}")
        if block.is_inherited:
            check_equal(row["born_ns"], 0, f"{row} is as old as the session")
            continue
        lived = row["died_ns"] - row["born_ns"]
        # The clock and the stamps are calibrated against each other, to a thousandth.
        most = block.died[1] - block.born[0]
        least = block.died[0] - block.born[1]
        slack = 2000 + most // 500
        check(least - slack <= lived <= most + slack, f"{row} lived {lived} of {least} … {most}")
    return rows, story.deaths


# ---- Sums ----


def check_sites(told, story):
    born = heap.sums_of(story.births, lambda block: block.site)
    dead = heap.sums_of(story.deaths, lambda block: block.site)
    check_equal(told.by_site("cumulative_count", "cumulative_size"), born, "born by site")
    check_equal(told.by_site("freed_count", "freed_size"), dead, "freed by site")
    temporary = heap.sums_of(
        [block for block in story.deaths if block.is_temporary], lambda block: block.site
    )
    got = told.by_site("temporary_count", "temporary_count")
    check_equal(
        {site: count for site, (count, _) in got.items()},
        {site: count for site, (count, _) in temporary.items()},
        "temporary by site",
    )
    sites = told.export["allocation_hotspots"]
    check_equal(
        told.export["temporary_allocations"], sum(s["temporary_count"] for s in sites), "temporary"
    )
    check_lifetimes(told)


def check_lifetimes(told):
    """What the hotspots say of lives is what the list of the dead says; that one was checked."""
    lives, older = {}, set()
    for row in told.export["freed_allocations"]:
        if row["inherited"]:
            older.add(row["stack"])  # lived longer than the session
        lives.setdefault(row["stack"], []).append(row["died_ns"] - row["born_ns"])
    for site in told.export["allocation_hotspots"]:
        lived = sorted(lives.get(site["stack"], []))
        lifetime = site["lifetime_ns"]
        if not lived or not lifetime:
            check_equal(lifetime is None, not lived, f"lifetimes of {site}")
            continue
        if site["stack"] in older:
            continue
        for key, at in (("min", lived[0]), ("max", lived[-1])):
            check(abs(lifetime[key] - at) <= 1, f"{key} of {lifetime}, want {at}")
        for key, at in (("median", len(lived) // 2), ("p95", len(lived) * 95 // 100)):
            near = lived[max(0, at - 1) : at + 2]
            low, high = near[0] * 15 / 16 - 1, near[-1] * 17 / 16 + 1
            check(low <= lifetime[key] <= high, f"{key} of {lifetime}, near {near}")


def check_threads(told, story):
    """What a thread did is what the log says, and what is listed of others' blocks."""
    births = [row for row in told.foreign() if not row["inherited"]]
    deaths = [row for row in told.foreign() if row["died_ns"] is not None]
    rows = {row["thread_id"]: row for row in told.export["threads"]}
    check(story.tids <= set(rows), f"threads {story.tids - set(rows)} are missing")
    check_equal(len(rows), len(told.export["threads"]), "threads differ")
    for tid in story.tids:
        born = [b.size for b in story.births if b.tid == tid]
        born += [row["size"] for row in births if row["thread_id"] == tid]
        dead = [b.size for b in story.deaths if b.freed_by == tid]
        dead += [row["size"] for row in deaths if row["freed_by_thread"] == tid]
        left = [b.size for b in story.end.blocks() if b.tid == tid and not b.is_inherited]
        left += [row["size"] for row in births if row["thread_id"] == tid and not row["died_ns"]]
        want = [len(born), sum(born), len(dead), sum(dead), len(left), sum(left)]
        keys = ("allocations", "allocated", "frees", "freed", "live_blocks", "live_bytes")
        check_equal([rows[tid][key] for key in keys], want, f"thread {tid}")


def check_names(told, story):
    live = heap.sums_of([b for b in story.end.blocks() if b.name], lambda block: block.name)
    got = {}
    for row in told.export["variables"]:
        name = row_name({"var_name": row["name"], "type_name": row["type"]})
        figures = (row["named_blocks"], row["live_blocks"], row["live_bytes"])
        if any(figures):  # else it is a name of blocks that were inherited
            got[name] = figures
    want = {
        name: (story.named.get(name, (0, 0))[0], *live.get(name, (0, 0)))
        for name in story.named.keys() | live.keys()
    }
    check_equal(got, want, "variables")
    by_type = heap.sums_of(
        [b for b in story.end.blocks() if b.name and TYPES[b.name[1]]], lambda b: TYPES[b.name[1]]
    )
    got = {
        row["type"]: (row["live_blocks"], row["live_bytes"])
        for row in told.export["memory_by_type"]
        if row["live_blocks"] > 0
    }
    check_equal(got, by_type, "types")


def check_scopes(told, story):
    """The loader's blocks belong to the scope in which a thread was made."""
    born, live = heap.Sums(story.allocated_in), heap.Sums()
    for block in story.end.blocks():
        if block.scope != "-":
            live.add(block.scope, block.size)
    for row in told.foreign():
        if row["scope"]:
            if not row["inherited"]:
                born.add(row["scope"], row["size"])
            if row["died_ns"] is None:
                live.add(row["scope"], row["size"])
    got = {
        row["scope"]: (
            row["entered"],
            (row["allocations"], row["allocated"]),
            (row["live_blocks"], row["live_bytes"]),
        )
        for row in told.export["scopes"]
        if row["entered"] > 0 or row["allocations"] > 0
    }
    none = (0, 0)
    want = {
        scope: (story.entered.get(scope, none)[0], born.get(scope, none), live.get(scope, none))
        for scope in story.entered.keys() | born.keys()
    }
    check_equal(got, want, "scopes")


# ---- A session ----


def check_end(export, story, count):
    """@count: of the counter, or None for a child, which it does not count"""
    told = Told(export)
    ttlib.check_books(export)
    completeness = export["completeness"]
    check_equal(completeness["history_dropped"], 0, "dropped from the history")
    if count:
        ttlib.check_exact(export)
    else:
        # The program has them wait at a fork, which nobody but itself can know.
        known = ("Other threads of the parent ran at the fork", "The parent's books were not exact")
        doubts = [doubt for doubt in completeness["doubts"] if not doubt.startswith(known)]
        ttlib.check_exact(
            {"completeness": {**completeness, "exact": True, "doubts": doubts}}
        )
    if count:
        ttlib.check_counted(export, count)
    check_equal(export["reallocations"], story.resizes, "reallocations")
    loaders = sum(row["inherited"] for row in told.foreign())
    check_equal(export["inherited_blocks"], len(story.inherited) + loaders, "inherited")
    live_rows, live = check_live(told, story.end)
    dead_rows, dead = check_dead(told, story)
    rows, blocks = live_rows + dead_rows, live + dead
    check_chain(rows, blocks)
    by_number = sorted(zip(rows, blocks), key=lambda pair: pair[1].number)
    ids = [row["id"] for row, block in by_number if not block.is_inherited]
    check_equal(ids, sorted(set(ids)), "ids are in order of birth")
    check_sites(told, story)
    check_threads(told, story)
    check_names(told, story)
    check_scopes(told, story)
    check_equal([row["name"] for row in export["marks"]], list(story.marks), "marks")
    children = {r["pid"] for r in export["process"]["related"] if r["relation"] == "child"}
    check_equal(children, set(story.children), "children")


def check_mark(export, story, name):
    told, state = Told(export), story.marks[name]
    ttlib.check_books_at(export)
    check_equal(export["instant"]["source"], "kept", f"the state at {name}")
    check_live(told, state)
    want = heap.sums_of(state.blocks(), lambda block: block.site)
    check_equal(told.by_site("count", "total_size"), want, f"alive at {name}")
    born = heap.sums_of(story.births[: state.born_count], lambda block: block.site)
    check_equal(told.by_site("cumulative_count", "cumulative_size"), born, f"born by {name}")
    (mark,) = [row for row in export["marks"] if row["name"] == name]
    check_equal(
        (mark["live_blocks"], mark["live_bytes"]),
        (export["total_allocations"], export["total_allocated"]),
        f"what mark {name} says of itself",
    )


def check_peak(export, end, story):
    """Of what the log knows; the whole is the counter's. The loader's blocks may have put the peak
    at another moment, at which about as much was alive."""
    if story.peak is None:
        return
    told = Told(export)
    ours = sum(size for _, size in told.by_site("count", "total_size").values())
    ttlib.check_between(ours, story.highest - FOREIGN_BYTES, story.highest, "bytes at the peak")
    check_equal(export["total_allocated"], export["peak_bytes"], "bytes at the peak")
    check_equal(
        Told(end).by_site("peak_count", "peak_size"),
        told.by_site("count", "total_size"),
        "the sites' shares of the peak",
    )
    if ours == story.highest:
        check_live(told, story.peak, has_names=False)


def check_diff(diff, before, after):
    told = Told({**diff, "allocation_hotspots": diff["sites"]})
    was, now = set(before.blocks()), set(after.blocks())
    for what, blocks in (("born", now - was), ("surviving", now & was), ("freed", was - now)):
        want = heap.sums_of(blocks, lambda block: block.site)
        check_equal(told.by_site(f"{what}_blocks", f"{what}_bytes"), want, what)


def ask(daemon, *words):
    result = daemon.ctl(*words, "--json")
    check_equal(result.returncode, 0, f"{words}: {result.stderr}")
    return json.loads(result.stdout)


def check_instants(daemon, story, end, draw):
    """@end: the export of the session as it ended"""
    check_peak(ask(daemon, "export", story.pid, "--at=peak"), end, story)
    if story.marks:
        name = draw.choice(list(story.marks))
        check_mark(ask(daemon, "export", story.pid, f"--at={name}"), story, name)
        diff = ask(daemon, "diff", name, "now", story.pid)
        check_diff(diff, story.marks[name], story.end)


def forget_usable(story):
    for block in story.births + story.inherited:
        block.usable = None


def run(daemon, seed):
    """One program, with the children that it has. Every other one tells usable sizes."""
    folder = ttlib.temp_dir()
    env = {"LD_PRELOAD": ttlib.LIBTTCOUNT, "TTCOUNT_OUT": folder / "count.%p"}
    result = daemon.ctl(
        *("run", f"--json={folder / 'export.%p'}", "--", PROGRAM, folder / "log", seed, STEPS),
        env=env | {"TT_USABLE_SIZES": seed % 2},
    )
    check_equal(result.returncode, 0, f"the program's status; {result.stderr}")
    family = heap.read_family(folder / "log", int(result.stdout))
    draw = random.Random(seed)
    chosen = draw.choice(family)
    for story in family:
        if seed % 2 == 0:
            forget_usable(story)
        end = ttlib.read_json(folder / f"export.{story.pid}")
        count = folder / f"count.{story.pid}"
        check_end(end, story, ttlib.read_count(count) if story is family[0] else None)
        if story is chosen:
            check_instants(daemon, story, end, draw)


def try_seeds(seeds):
    """Returns what is wrong, a sentence a seed."""
    wrong = []
    with ttlib.Daemon() as daemon:
        for seed in seeds:
            try:
                run(daemon, seed)
            except Exception as failure:
                wrong.append(f"TT_SEED={seed} TT_SEEDS=1: {failure!r}")
    return wrong


def check_seeds(first, end):
    at_once = os.cpu_count() or 1
    with futures.ThreadPoolExecutor(at_once) as pool:
        shares = [range(first + i, end, at_once) for i in range(at_once)]
        wrong = sum(pool.map(try_seeds, shares), [])
    check(not wrong, "\n".join(wrong))


if __name__ == "__main__":
    PROGRAM = ttlib.build(
        "seeded.c",
        "-D_GNU_SOURCE",
        "-I" + str(ttlib.SOURCE / "client"),
        "-L" + str(ttlib.LIBTTCLIENT.parent),
        "-lttclient",
        "-Wl,-rpath," + str(ttlib.LIBTTCLIENT.parent),
        "-pthread",
    )
    for at in range(SEED, SEED + SEEDS, OF_A_CASE):
        end = min(at + OF_A_CASE, SEED + SEEDS)
        ttlib.add_case(f"seeds_{at}_to_{end - 1}", lambda at=at, end=end: check_seeds(at, end))
    ttlib.main()
