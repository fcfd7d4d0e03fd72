#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an event costs, in instructions: the same on every machine and however busy it is, so that a
budget can be a test. budgets.json holds what was measured; a tenth more fails.

Counted by callgrind: the hooks, in a program that makes pairs of malloc and free, as the difference
of two lengths of run, traced less untraced; decoding and applying, in the functions of events-cost
that do nothing else.

    cost.py --remeasure     writes what it finds to budgets.json
    cost.py --profile NAME  where a cost's instructions go, by function and line of source; NAME may
                            also be a real program's (works.py): what the client adds to an event
"""

import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
os.environ.setdefault("TT_BUILD", str(HERE.parents[1] / "build"))

import ttlib
from ttlib import Skip, check

BUDGETS = HERE / "budgets.json"
BENCH = ttlib.BUILD / "tests" / "bench"
SHORT, LONG = 5000, 45000  # pairs: ten chunks between them
ALLOWED = 1.10
PROFILE_ROWS = 40


def need_known_build():
    ttlib.need("valgrind")
    built = os.environ.get("TT_BUILT_BY", "gcc at -O2")
    if built != "gcc at -O2":
        raise Skip(f"the budgets are of gcc at -O2, this build is of {built}")


def count(command, *options, env=None, out=None, stdin=subprocess.DEVNULL):
    """Instructions of a run under callgrind, and what the program said."""
    out = out or ttlib.temp_dir() / "callgrind.out"
    result = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *options, *command],
        env=ttlib.clean_env({"LC_ALL": "C", **(env or {})}),
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=600,
    )
    check(result.returncode == 0, f"{command} under callgrind: {result.stderr[-2000:]}")
    return int(re.search(r"Collected : (\d+)", result.stderr)[1]), result.stdout


class Nowhere:
    """The daemon that lends lanes and reads none of them."""

    def __enter__(self):
        self.folder = ttlib.temp_dir()
        self.process = subprocess.Popen(
            [BENCH / "nowhere", self.folder], stdout=subprocess.PIPE, text=True
        )
        check(self.process.stdout.readline() == "ready\n", "nowhere listens")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        said = self.process.communicate()[0]
        counts = [int(n) for n in re.findall(r"events (\d+) dropped 0\n", said)]
        self.most_events = max(counts, default=None)

    def env(self):
        return {"TT_SOCKET_DIR": self.folder, "LD_PRELOAD": ttlib.LIBTTCLIENT}


def added(program, words, units, out=None, dormant=False):
    """What the hooks add to a pair; and how many pairs the longer run made.

    @words  of the shorter and of the longer run
    @units  pairs of each"""
    commands = [[BENCH / program, *map(str, run)] for run in words]
    plain = [count(command)[0] for command in commands]
    with Nowhere() as nowhere:
        env = {**nowhere.env(), **({"TT_ENABLE": "0"} if dormant else {})}
        traced = [count(command, env=env, out=out)[0] for command in commands]
    # Had the program not been traced at all, that would cost nothing.
    check(nowhere.most_events is not None, "the program had a session")
    check((nowhere.most_events >= 2 * units[1]) != dormant, f"{nowhere.most_events} events")
    return (traced[1] - traced[0] - plain[1] + plain[0]) / (units[1] - units[0]), units[1]


def pair(depth, out=None, dormant=False):
    words = [depth, SHORT], [depth, LONG]
    return added("pair", words, (SHORT, LONG), out, dormant)


def tree(levels, out=None):
    """Each pair from another stack than the last: the second pass, when all are known."""
    return added("tree", ([levels, 1], [levels, 2]), (1 << levels, 2 << levels), out)


def events(function, out=None):
    """Instructions an event in one function of events-cost; and how many events there were."""
    instructions, said = count(
        [BENCH / "events-cost"], "--collect-atstart=no", f"--toggle-collect={function}", out=out
    )
    return instructions / int(said.split()[1]), int(said.split()[1])


COSTS = {
    "pair_depth_5": lambda out=None: pair(5, out),
    "pair_depth_40": lambda out=None: pair(40, out),
    "pair_of_16384_stacks": lambda out=None: tree(14, out),
    "pair_dormant": lambda out=None: pair(5, out, dormant=True),
    "decode": lambda out=None: events("decode_all", out),
    "apply": lambda out=None: events("apply_all", out),
}


def hold(name):
    need_known_build()
    budget = json.loads(BUDGETS.read_text())["instructions"][name]
    found, _ = COSTS[name]()
    print(f"# {name}: {found:.1f} instructions, {budget:.1f} when last measured")
    check(
        found <= ALLOWED * budget,
        f"{name} costs {found:.1f} instructions and may cost {ALLOWED * budget:.1f}: make it "
        "cheaper, or say in the commit why it is worth it and run cost.py --remeasure",
    )
    check(found > budget / 2, f"{name} costs {found:.1f}, half of what it did: --remeasure")


def remeasure():
    found = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
    found["instructions"] = {name: round(cost()[0], 1) for name, cost in COSTS.items()}
    BUDGETS.write_text(json.dumps(found, indent=2) + "\n")
    print(BUDGETS.read_text(), end="")


def program(name, out):
    """What the client adds to an event of a real program; and how many events there are."""
    import works

    (work,) = (w for w in works.all_works()[0] if w.name == name and w.kind == "real")
    folder = ttlib.temp_dir()
    with work.input(folder) as stdin:
        plain, _ = count(work.command(1), env=work.environment, stdin=stdin)
    with Nowhere() as nowhere, work.input(folder) as stdin:
        env = {**work.environment, **nowhere.env()}
        traced, _ = count(work.command(1), env=env, out=out, stdin=stdin)
    return (traced - plain) / nowhere.most_events, nowhere.most_events


def profile(name):
    """Of one run, which has the program's own and the allocator's instructions too."""
    out = ttlib.temp_dir() / "callgrind.out"
    cost, units = COSTS[name](out) if name in COSTS else program(name, out)
    print(f"{name}: {cost:.1f} instructions; each time, in all:")
    functions, lines = read_profile(out)
    for shares in (functions, lines):
        print()
        for what, count in sorted(shares.items(), key=lambda item: -item[1])[:PROFILE_ROWS]:
            print(f"{count / units:8.1f}  {what}")


def read_profile(out):
    """Instructions by function and by line of source. Of callgrind's format it reads what such a
    file holds: the library (ob), function (fn) and file (fl, fi, fe)
    that costs are of; lines told as such or
    relative to the last (+n, -n, *); and calls, where the next cost is the callee's. A name is
    spelled out where its number is first seen, be it a callee's (cfn, cfi, cfl, cob)."""
    names, functions, lines = {}, {}, {}
    place, at, is_call = {"fn": "?", "fl": "?", "ob": "?"}, 0, False
    for text in out.read_text().splitlines():
        if named := re.match(r"(c?)(fn|fl|fi|fe|ob)=\((\d+)\)(?: (.*))?$", text):
            is_callee, kind, number, name = named.groups()
            kind = kind if kind in ("fn", "ob") else "fl"
            if name is not None:
                names[kind, number] = name
            if not is_callee:
                place[kind] = names.get((kind, number), "?")
        elif text.startswith("calls="):
            is_call = True
        elif cost := re.match(r"([+-]\d+|\d+|\*) (\d+)$", text):
            if cost[1] != "*":
                at = int(cost[1]) + (at if cost[1][0] in "+-" else 0)
            if not is_call:
                line = f"{pathlib.Path(place['fl']).name}:{at}"
                function = f"{pathlib.Path(place['ob']).name.split('.')[0]}: {place['fn']}"
                functions[function] = functions.get(function, 0) + int(cost[2])
                lines[line] = lines.get(line, 0) + int(cost[2])
            is_call = False
    return functions, lines


if "--remeasure" in sys.argv:
    remeasure()
elif "--profile" in sys.argv:
    profile(sys.argv[-1])
else:
    for cost_name in COSTS:
        ttlib.add_case(f"cost_of_{cost_name}", lambda name=cost_name: hold(name))
    ttlib.main()
