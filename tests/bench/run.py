#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all benchmarks and writes what they cost to OUT/bench.md and OUT/bench.json.

All ways to run a program take turns (A B C A B C), so that what the machine does meanwhile strikes
each of them alike. A figure is the median, with the least and the most."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
os.environ.setdefault("TT_BUILD", str(HERE.parents[1] / "build"))

import goals  # noqa: E402
import tables  # noqa: E402
import ttlib  # noqa: E402
import ways  # noqa: E402
import works  # noqa: E402

QUICK_LESS = 20  # times fewer pairs
RUNS, QUICK_RUNS = 5, 2
BLOCKS = (100_000, 1_000_000, 10_000_000)
EVENTS = 10_000_000


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    words = {"metavar": "WORD[,WORD]", "type": lambda text: text.split(","), "default": []}
    add("--only", **words, help="what has a word in its name, or is: micro, real, empty, daemon")
    add("--ways", **words, help="ways with a word in their names, and what they compare with")
    add("--runs", type=int, help=f"rounds ({RUNS}; quick: {QUICK_RUNS})")
    add("--quick", action="store_true", help="less of all: to see that it works, not to believe it")
    add("--out", type=pathlib.Path, help="folder of the results (BUILD/bench)")
    return parser.parse_args()


def has_word(text, words):
    return not words or any(word in text for word in words)


def choose(arguments):
    """Works, ways, and what is left out with its reason."""
    found, skipped = works.all_works()
    chosen = [w for w in found if has_word(w.name, arguments.only) or w.kind in arguments.only]
    named = [way for way in ways.ALL if has_word(way.name, arguments.ways)]
    bases = {"untraced"} | {way.base for way in named}
    able = []
    for way in ways.ALL:
        if way not in named and way.name not in bases:
            continue
        reason = way.why_not() if chosen else None
        if reason:
            skipped[way.name] = reason
        else:
            able.append(way)
    return chosen, able, skipped


def measure_all(arguments, readings, skipped):
    rounds = arguments.runs or (QUICK_RUNS if arguments.quick else RUNS)
    for number in range(rounds):
        for work in readings.works:
            for way in readings.ways:
                if number < way.most and way.suits(work) and name_of(work, way) not in skipped:
                    measure(arguments, readings, skipped, work, way, number)
            say(f"{work.name}: round {number + 1} of {rounds}\n")
    return rounds


def name_of(work, way):
    return f"{work.name} by {way.name}"


def measure(arguments, readings, skipped, work, way, number):
    say(f"{work.name}: {way.name} … ")
    less = way.less * (QUICK_LESS if arguments.quick else 1)
    with tempfile.TemporaryDirectory(prefix="tt.") as folder:
        try:
            readings.add(work, way, number, way.measure(work, pathlib.Path(folder), less))
        except (ttlib.Skip, ttlib.Failed) as reason:
            if way.is_ours:
                raise  # a hole in the table is no way to say that we failed
            skipped[name_of(work, way)] = str(reason)


def say(text):
    sys.stderr.write("\r\033[K" + text if sys.stderr.isatty() else text if "\n" in text else "")
    sys.stderr.flush()


# ---- the daemon alone ----


APPLIED = re.compile(r"(\w+) +\d+ live +([\d.]+) M events/s +([\d.]+) ns +([\d.]+) bytes")


def say_of(name, *words):
    command = [ttlib.BUILD / "tests" / "bench" / name, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def measure_daemon(arguments):
    """What apply-bench says, in rows, and intake-bench's lines as they are."""
    rows, said = [], []
    for blocks in BLOCKS[:2] if arguments.quick else BLOCKS:
        events = EVENTS // (QUICK_LESS if arguments.quick else 1)
        for found in filter(None, map(APPLIED.match, say_of("apply-bench", blocks, events))):
            row = {"what": found[1], "blocks": blocks, "mega_events": float(found[2])}
            rows.append(row | {"ns": float(found[3]), "bytes_a_block": float(found[4])})
        say(f"daemon: {blocks} blocks\n")
    for lanes in (1, 2, 4):
        said += say_of("intake-bench", lanes)
    return rows, said


# ---- the machine ----


def describe_machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load before": os.getloadavg()[0],
        "ns a time stamp": float(say_of("stamp")[0]),
        "libc's debug files": "installed" if has_debug_files() else "not installed",
    }


def has_debug_files():
    """Those by which heaptrack's interpreter names what is in libc."""
    notes = subprocess.run(
        ["readelf", "-n", "/lib/x86_64-linux-gnu/libc.so.6"], capture_output=True, text=True
    ).stdout
    found = re.search(r"Build ID: (\w\w)(\w+)", notes)
    folder = pathlib.Path("/usr/lib/debug/.build-id")
    return bool(found) and (folder / found[1] / f"{found[2]}.debug").exists()


def versions():
    peers = "heaptrack libjemalloc2 libgoogle-perftools4 valgrind redis-server libc6 libc6-dbg"
    result = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *peers.split()],
        capture_output=True,
        text=True,
    )
    rows = (line.split() for line in result.stdout.splitlines())
    return {row[0]: row[1] for row in rows if row[-1] == "installed"}


# ---- writing ----

NOTES = """\
Ratios and added times are relative to the program untraced in the same round; the profilers of
jemalloc and tcmalloc to their own allocators without the profiler. `trace-tools` is exact and
lossless, with a daemon of its own for each run; its CPU time includes the daemon's. `daemon to
nowhere` lends lanes and reads nothing: the client's own cost. heaptrack is run with `--raw`, where
its interpreter has no part; the column `heaptrack` has it run beside the program, as it does by
default. With libc's debug files installed the interpreter reads them at the start, and the program
waits on the pipe meanwhile: hide them, or compare with `--raw`. The slow peers make fewer pairs
(jemalloc's profiler a tenth, gperftools' a fortieth, DHAT a hundredth and one round only); what they
spend on a pair is told all the same."""


def write_page(arguments, readings, skipped, rounds, daemon, held, machine):
    rows, said = daemon
    facts = [[key, str(value)] for key, value in (machine | versions()).items()]
    quick = ", quick: not to be believed" if arguments.quick else ""
    parts = [f"# What tracing costs\n\n{rounds} rounds{quick}, {datetime.date.today()}.", NOTES]
    parts += [tables.markdown(["machine", ""], facts), "## What must hold", held.table()]
    if readings.works_of("micro"):
        parts += ["## A pair of malloc and free", "ns alone, then ns added."]
        parts += [tables.micro_table(readings)]
    for kind, title, key, unit, scale in (
        ("real", "Real programs: wall time", "seconds", "seconds", 1),
        ("real", "Real programs: CPU time of all processes", "cpu_seconds", "seconds", 1),
        ("empty", "A program that does next to nothing: wall time", "seconds", "ms", 1000),
    ):
        if readings.works_of(kind):
            parts += [f"## {title}", tables.ratio_table(readings, kind, key, unit, scale)]
    if readings.works:
        parts += ["## Events", tables.events_table(readings)]
        parts += ["## Memory", tables.memory_table(readings)]
    if rows:
        parts += ["## The daemon alone", tables.daemon_table(rows)]
        parts += ["\n".join(f"- intake: {line}" for line in said)]
    if skipped:
        parts += ["## Left out", "\n".join(f"- {key}: {why}" for key, why in skipped.items())]
    return "\n\n".join(parts) + "\n"


def write(arguments, readings, skipped, rounds, daemon):
    out = arguments.out or ttlib.BUILD / "bench"
    out.mkdir(parents=True, exist_ok=True)
    held = goals.Goals(readings, daemon[0])
    machine = describe_machine()
    page = write_page(arguments, readings, skipped, rounds, daemon, held, machine)
    document = {
        "machine": machine,
        "versions": versions(),
        "rounds": rounds,
        "is_quick": arguments.quick,
        "goals": held.rows,
        "readings": [
            {"work": work, "way": way, "rounds": list(seen.values())}
            for (work, way), seen in readings.seen.items()
        ],
        "daemon": daemon[0],
        "intake": daemon[1],
        "skipped": skipped,
    }
    (out / "bench.md").write_text(page)
    (out / "bench.json").write_text(json.dumps(document, indent=1) + "\n")
    print(out / "bench.md", out / "bench.json", sep="\n")


def main():
    arguments = parse()
    chosen, able, skipped = choose(arguments)
    readings = tables.Readings(chosen, able)
    rounds = measure_all(arguments, readings, skipped)
    daemon = measure_daemon(arguments) if has_word("daemon", arguments.only) else ([], [])
    write(arguments, readings, skipped, rounds, daemon)


main()
