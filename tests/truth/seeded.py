#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What programs did to their heaps, drawn at random, against what is said of them: each export, of
the end, of marks and of the peak, and each diff, equals the program's own log in every field.

TT_SEED=FIRST TT_SEEDS=COUNT choose others than the suite's; of a seed that failed these are told.
"""

import collections
import datetime
import json
import os
import random
import time
from concurrent import futures

import heap
import moments
import ttlib
from ttlib import check, check_between, check_equal

STEPS = 300
LONG, LONG_EVERY = 3000, 50  # more than a timeline has points, of one seed in so many
SEED = int(os.environ.get("TT_SEED", 1))
SEEDS = int(os.environ.get("TT_SEEDS", 50))
OF_A_CASE = 25
THREADS = 6
NAMED_MARKS = 20
LATE_NS = 1_000_000  # by which a session's date may be read after the stamp that it begins at
OF_NAME = ("named_blocks", "cumulative_bytes", "live_blocks", "live_bytes")
OF_TYPE = ("cumulative_blocks", "cumulative_bytes", "live_blocks", "live_bytes")
AT_BIRTH = (
    *("ptr", "address", "size", "usable_size", "timestamp_alloc", "born_ns", "thread_id", "scope"),
    *("resized_from", "inherited"),
)
TYPES = {"-": None, "N": "Node *", "s": "std::vector<int>"}
WAYS = ("by_malloc", "by_calloc", "by_alignment", "by_realloc", "by_free")
ROOTS = ("main", "work")  # where the program's own functions begin


class Told:
    """An export, and which of it is of the log's sites."""

    def __init__(self, export):
        self.export = export
        self.sites = {}
        for stack in export["stacks"]:
            names = [frame["function"] for frame in stack["frames"]]
            if names and names[0] in WAYS:
                ends = [i + 1 for i, name in enumerate(names) if name in ROOTS]
                self.sites[stack["id"]] = "<".join(names[: ends[-1] if ends else None])

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
    """All that the log knows of a block, whenever it is asked, but for times."""
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
    check_equal({key: row[key] for key in want}, want, f"block {row['id']}")
    check_equal(told.sites[row["stack"]], block.site, f"site of block {row['id']}")


def check_chain(rows, blocks):
    """@rows, @blocks: in the same order. Each says which one it was before."""
    ids = {block: row["id"] for row, block in zip(rows, blocks)}
    for row, block in zip(rows, blocks):
        check_equal(row["resized_from"], ids.get(block.resized_from), f"{row} was resized from")


def check_live(told, state, has_names=True):
    """Returns the rows and their blocks."""
    rows = told.ours("active_allocations")
    check_equal({row["ptr"] for row in rows}, set(state.live), "what is alive")
    check_equal(len(rows), len(state.live), "addresses differ")
    blocks = [state.live[row["ptr"]] for row in rows]
    for row, block in zip(rows, blocks):
        check_block(row, block, told, state.names[block.addr] if has_names else row_name(row))
        check_equal((row["died_ns"], row["freed_by_thread"]), (None, None), f"{row} lives")
        check_equal(row["timestamp_dealloc"], None, f"{row} lives")
        check("freed_stack" not in row, f"{row} lives")
    return rows, blocks


def row_name(row):
    letters = {text: letter for letter, text in TYPES.items()}
    return (row["var_name"], letters[row["type_name"]]) if row["var_name"] else None


def check_dead(told, story, has_free_stacks):
    """At each address one block was born after the other, whatever other threads did. (A block that
    a realloc moves counts until that is over, though another may be at its address by then.)"""
    rows, at = told.ours("freed_allocations"), {}
    for block in story.inherited + story.births:
        if block.died:
            at.setdefault(block.addr, []).append(block)
    of_row = {}
    for row in sorted(rows, key=lambda row: row["id"]):
        check(at.get(row["ptr"]), f"{row} did not die")
        of_row[row["id"]] = at[row["ptr"]].pop(0)
    check_equal(len(rows), len(story.deaths), "deaths")
    blocks = [of_row[row["id"]] for row in rows]
    turns = [block.death_turn for block in blocks]
    check_equal(turns, sorted(turns), "order of deaths")
    for row, block in zip(rows, blocks):
        check_block(row, block, told, block.name)
        check_equal(row["freed_by_thread"], block.freed_by, f"who freed block {row['id']}")
        site = told.sites[row["freed_stack"]] if "freed_stack" in row else None
        check_equal(site, block.freed_site if has_free_stacks else None, f"{row} was freed at")
    return rows, blocks


def check_times(export, story, pairs):
    """@pairs: rows and their blocks"""
    axis, dates = moments.Axis(), moments.Dates()
    for row, block in pairs:
        if block.is_inherited:
            check_equal(row["born_ns"], 0, f"{row} is as old as the session")
            check_date(row["timestamp_alloc"], block.born, story.ahead, f"birth of {row}")
        else:
            axis.add(row["born_ns"], block.born, f"birth of {row}")
            dates.add(row["timestamp_alloc"], row["born_ns"])
        if block.died:
            axis.add(row["died_ns"], block.died, f"death of {row}")
            dates.add(row["timestamp_dealloc"], row["died_ns"])
    for row in export["marks"]:
        axis.add(row["t_ns"], story.marks[row["name"]].when, f"mark {row}")
    axis.check()
    dates.check(axis, story.ahead, LATE_NS)
    return axis


def check_date(epoch_ms, when, ahead, what):
    """Of one date, which is cut to a millisecond: most are held together, by Dates."""
    check_between(
        epoch_ms,
        (when[0] + ahead[0] - LATE_NS) // 1_000_000,
        (when[1] + ahead[1] + LATE_NS) // 1_000_000,
        what,
    )


# ---- Sums ----


def is_temporary(block, told_of):
    """Whether its thread had no other block before its end; None: nobody can tell.

    @told_of: rows by block, for what happened at once"""
    after = block.next
    if block.is_inherited:
        return False
    if after is None or after.resized_from is block:
        return True
    if block.death_turn != after.birth_turn:
        return block.death_turn < after.birth_turn
    died, born = told_of[block]["died_ns"], told_of[after]["born_ns"]
    return None if died == born else died < born


def check_sites(told, story, pairs):
    born = heap.sums_of(story.births, lambda block: block.site)
    dead = heap.sums_of(story.deaths, lambda block: block.site)
    check_equal(told.by_site("cumulative_count", "cumulative_size"), born, "born by site")
    check_equal(told.by_site("freed_count", "freed_size"), dead, "freed by site")
    inherited = heap.sums_of(story.inherited, lambda block: block.site)
    check_equal(told.by_site("inherited_count", "inherited_size"), inherited, "inherited by site")
    live = heap.sums_of(story.end.blocks(), lambda block: block.site)
    check_equal(told.by_site("count", "total_size"), live, "alive by site")
    told_of = {block: row for row, block in pairs}
    least, doubtful = collections.Counter(), collections.Counter()
    for block in story.deaths:
        temporary = is_temporary(block, told_of)
        least[block.site] += temporary is True
        doubtful[block.site] += temporary is None
    got = told.by_site("temporary_count", "temporary_count")
    check(set(got) <= set(least), "sites of temporary blocks")
    for site, count in least.items():
        count_told = got.get(site, (0, 0))[0]
        check_between(count_told, count, count + doubtful[site], f"temporary at {site}")
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
        want.append(story.thread_names[tid])
        keys = ("allocations", "allocated", "frees", "freed", "live_blocks", "live_bytes", "name")
        check_equal([rows[tid][key] for key in keys], want, f"thread {tid}")


def check_names(told, story):
    live = heap.sums_of([b for b in story.end.blocks() if b.name], lambda block: block.name)
    got, types = {}, {}
    for row in told.export["variables"]:
        name = row_name({"var_name": row["name"], "type_name": row["type"]})
        figures = [row[key] for key in OF_NAME]
        check_equal((row["file"], row["line"], row["function"]), (None, None, None), "tt_track")
        check_equal(row["type_source"], "declared" if row["type"] else None, "source of a type")
        if any(figures):  # else none of the parent's blocks that had it was inherited
            got[name] = figures
    none = (0, 0)
    want = {
        name: [story.named.get(name, none)[0], called, *live.get(name, none)]
        for name, (_, called) in story.called.items()
    }
    check_equal(got, want, "variables")
    for name, figures in want.items():
        of_type = TYPES[name[1]]
        if of_type:
            types[of_type] = list(map(sum, zip(types.get(of_type, [0] * 4), figures)))
    got = {
        row["type"]: [row[key] for key in OF_TYPE]
        for row in told.export["memory_by_type"]
        if any(row[key] for key in OF_TYPE)
    }
    check_equal(got, types, "types")


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
    for row in told.export["scopes"]:
        around, _, name = row["scope"].rpartition("/")
        check_equal((row["parent"], row["name"]), (around or None, name), f"{row}")
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


def check_process(export, story, axis, family, seen_ns):
    """@family: exports, by pid; @seen_ns: when it had ended, if nobody else says so"""
    process, pid = export["process"], story.pid
    parent = family[story.parent.pid]["process"] if story.parent else None
    want = {
        "pid": pid,
        "own_pid": pid,
        "parent_session": parent and parent["session"],
        "exe": str(PROGRAM),
        "state": "exited",
        "exit_status": story.status,
        "signal": None,
    }
    check_equal({key: process[key] for key in want}, want, "process")
    relatives = [(child, "child") for child in story.children]
    relatives += [(story.parent.pid, "parent")] if parent else []
    want = [(family[who]["process"]["session"], who, str(PROGRAM), how) for who, how in relatives]
    keys = ("session", "pid", "exe", "relation")
    got = [tuple(row[key] for key in keys) for row in process["related"]]
    check_equal(sorted(got), sorted(want), "relatives")
    check_instant(export, "now", process["duration_ns"], "present")
    ended = story.parent.ends[pid][1] if parent else seen_ns
    axis.add(process["duration_ns"], (story.acted[0], ended), "the end")
    axis.check()
    begun = axis.first[0], axis.last[0]
    untraced = export["completeness"]["untraced_before_ns"]
    forked = story.parent.children[pid][0] if parent else begun[1]
    check_between(untraced, 0, begun[1] - forked, "untraced before")
    check_rfc3339(process["start_time"], begun, story.ahead, "start_time")
    ended = [at + process["duration_ns"] for at in begun]
    check_rfc3339(export["timestamp"], ended, story.ahead, "timestamp")


def check_rfc3339(text, when, ahead, what):
    date = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    check_date(round(date.timestamp() * 1000), when, ahead, what)


def check_instant(export, kind, t_ns, source, mark=None):
    want = {"kind": kind, "mark": mark, "t_ns": t_ns, "source": source}
    check_equal(export["instant"], want, "instant")


def check_completeness(export, is_child):
    completeness = export["completeness"]
    # The program has them wait at a fork, which nobody but itself can know.
    known = ("Other threads of the parent ran at the fork", "The parent's books were not exact")
    if is_child:
        doubts = [doubt for doubt in completeness["doubts"] if not doubt.startswith(known)]
        completeness = {**completeness, "exact": True, "doubts": doubts}
    ttlib.check_exact({"completeness": completeness})
    for key in ("history_dropped", "truncated_stacks", "sample_bytes", "shed_blocks"):
        check_equal(completeness[key], 0, key)
    check_equal((completeness["unlisted_blocks"], completeness["unlisted_bytes"]), (0, 0))
    check_equal((completeness["symbols_failure"], export["sampling"]), (None, None))


def check_end(export, story, has_free_stacks):
    """Returns when it began, and what was alive when."""
    told = Told(export)
    ttlib.check_books(export)
    check_completeness(export, story.parent)
    check_equal(export["reallocations"], story.resizes, "reallocations")
    loaders = sum(row["inherited"] for row in told.foreign())
    check_equal(export["inherited_blocks"], len(story.inherited) + loaders, "inherited")
    live_rows, live = check_live(told, story.end)
    dead_rows, dead = check_dead(told, story, has_free_stacks)
    rows, blocks = live_rows + dead_rows, live + dead
    check_chain(rows, blocks)
    pairs = sorted(zip(rows, blocks), key=lambda pair: pair[0]["id"])
    turns = [block.birth_turn for _, block in pairs if not block.is_inherited]
    check_equal(turns, sorted(turns), "ids are in order of birth")
    check_equal([row["name"] for row in export["marks"]], list(story.marks), "marks")
    axis = check_times(export, story, pairs)
    check_sites(told, story, pairs)
    check_threads(told, story)
    check_names(told, story)
    check_scopes(told, story)
    alive = moments.moments_of(export)
    moments.check_timeline(export, alive)
    return axis, alive


def check_mark(export, story, name):
    told, state = Told(export), story.marks[name]
    ttlib.check_books_at(export)
    # Of many marks, some tell names that were given later.
    check_live(told, state, len(story.marks) <= NAMED_MARKS)
    want = heap.sums_of(state.blocks(), lambda block: block.site)
    check_equal(told.by_site("count", "total_size"), want, f"alive at {name}")
    born = heap.sums_of(story.births[: state.born_count], lambda block: block.site)
    check_equal(told.by_site("cumulative_count", "cumulative_size"), born, f"born by {name}")
    (mark,) = [row for row in export["marks"] if row["name"] == name]
    check_instant(export, "mark", mark["t_ns"], "kept", name)
    check_equal(
        (mark["live_blocks"], mark["live_bytes"]),
        (export["total_allocations"], export["total_allocated"]),
        f"what mark {name} says of itself",
    )


def check_peak(export, end, alive):
    """What was alive at it, as it is known of each block."""
    told, told_end = Told(export), Told(end)
    must, may = moments.check_peak(end, alive)
    rows = {row["id"]: row for row in export["active_allocations"]}
    check(must <= rows.keys() <= may, f"{must - rows.keys()} and {rows.keys() - may}, at the peak")
    check_equal(
        (export["total_allocated"], export["total_allocations"]),
        (end["peak_bytes"], end["peak_blocks"]),
        "at the peak",
    )
    check_instant(export, "peak", end["peak_ns"], "led_back")
    for row in end["active_allocations"] + end["freed_allocations"]:
        at_peak = rows.get(row["id"])
        if at_peak:
            for key in AT_BIRTH:
                check_equal(at_peak[key], row[key], f"{key} of block {row['id']} at the peak")
            sites = told.sites.get(at_peak["stack"]), told_end.sites.get(row["stack"])
            check_equal(*sites, f"site of block {row['id']} at the peak")
            check_equal(at_peak["died_ns"], None, f"block {row['id']} lives at the peak")
    check_equal(
        told_end.by_site("peak_count", "peak_size"),
        told.by_site("count", "total_size"),
        "the sites' shares of the peak",
    )


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


def check_instants(daemon, story, end, alive, draw):
    """@end: the export of the session as it ended; @alive: what was when"""
    check_peak(ask(daemon, "export", story.pid, "--at=peak"), end, alive)
    if story.marks:
        name = draw.choice(list(story.marks))
        check_mark(ask(daemon, "export", story.pid, f"--at={name}"), story, name)
        diff = ask(daemon, "diff", name, "now", story.pid)
        check_diff(diff, story.marks[name], story.end)


def forget_usable(story):
    for block in story.births + story.inherited:
        block.usable = None


def at_once_bytes(story):
    """What calls of other threads may have been made of, at any one time."""
    turns = collections.Counter(block.birth_turn for block in story.births)
    sizes = [block.size for block in story.births if turns[block.birth_turn] > 1]
    return sum(sorted(sizes)[-THREADS:])


def run(daemon, seed):
    """One program, with the children that it has. Every other one tells usable sizes, and of those
    and the others every other one where blocks were freed."""
    folder = ttlib.temp_dir()
    has_usable, has_free_stacks = seed % 2, seed // 2 % 2
    env = {
        "LD_PRELOAD": ttlib.LIBTTCOUNT,
        "TTCOUNT_OUT": folder / "count.%p",
        "TT_USABLE_SIZES": has_usable,
        "TT_FREE_STACKS": has_free_stacks,
    }
    steps = STEPS if seed % LONG_EVERY else LONG
    words = (PROGRAM, folder / "log", seed, steps)
    result = daemon.ctl("run", f"--json={folder / 'export.%p'}", "--", *words, env=env)
    seen_ns = time.monotonic_ns()
    family = heap.read_family(folder / "log", int(result.stdout))
    check_equal(result.returncode, family[0].status, f"the program's status; {result.stderr}")
    exports = {story.pid: ttlib.read_json(folder / f"export.{story.pid}") for story in family}
    draw = random.Random(seed)
    chosen = draw.choice(family)
    for story in family:
        end = exports[story.pid]
        if not has_usable:
            forget_usable(story)
        axis, alive = check_end(end, story, has_free_stacks)
        check_process(end, story, axis, exports, seen_ns)
        check_equal(end["process"]["command_line"], list(map(str, words)), "command line")
        if story is family[0]:
            count = ttlib.read_count(folder / f"count.{story.pid}")
            ttlib.check_counted(end, count, at_once_bytes(story))
        if story is chosen:
            check_instants(daemon, story, end, alive, draw)


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
