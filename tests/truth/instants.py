#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Earlier instants of a program that writes down its own live blocks: exports at marks, times and the
peak, diffs between them, whose an address was. What was lost from the history is declared."""

import json
import os
import random
import subprocess
import xml.etree.ElementTree

import ttlib
from ttlib import check, check_equal

STEPS = 1600
STOPS = 2  # where it is marked from outside; at one more it ends
SIZE_FIRST = 20000
SEED = int(os.environ.get("TT_SEED") or random.randrange(2**31))


class Story:
    """The program's own log: its blocks, and what had happened at each instant."""

    def __init__(self, path):
        self.blocks = {}  # size: (addr, site)
        self.instants = {}  # name: sizes that were alive
        self.ended = {}  # size: how many of all were born before its end
        self.peak = (0, set())
        live, outside = set(), 0
        for line in path.read_text().splitlines():
            word, *rest = line.split()
            if word == "b":
                size = int(rest[2])
                self.blocks[size] = (int(rest[1], 16), rest[3])
                live.add(size)
            elif word == "d":
                size = SIZE_FIRST + int(rest[0])
                live.remove(size)
                self.ended[size] = len(self.blocks)
            elif word == "m":
                self.instants[rest[0]] = set(live)
            elif word == "p":
                self.peak = (int(rest[0]), set(live))
            elif word == "w" and outside < STOPS:
                self.instants[f"outside-{outside}"] = set(live)
                outside += 1
        self.instants["peak"] = self.peak[1]
        self.instants["start"] = set()
        self.instants["now"] = live

    def order(self):
        return sorted(self.instants, key=lambda name: self.born_by(name))

    def born_by(self, name):
        """Sizes grow with births: the greatest that had been born by an instant."""
        return max(self.instants[name], default=0)

    def by_site(self, sizes):
        sums = {}
        for size in sizes:
            count, total = sums.get(self.blocks[size][1], (0, 0))
            sums[self.blocks[size][1]] = (count + 1, total + size)
        return sums


class Run:
    """The program under a daemon, at its end but alive: marks from outside are set at its stops."""

    def __init__(self, program, *options):
        self.log = ttlib.temp_dir() / "log"
        self.daemon = ttlib.Daemon(*options)
        self.program = program

    def __enter__(self):
        self.daemon.start()
        self.process = subprocess.Popen(
            [self.program, self.log, str(SEED), str(STEPS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.daemon.preload_env({"TT_LOSSLESS": 1}),
        )
        for stop in range(STOPS):
            self.process.stdout.read(1)
            result = self.daemon.ctl("mark", f"outside-{stop}")
            check_equal(result.returncode, 0, result.stderr)
            self.go_on()
        self.process.stdout.read(1)
        self.story = Story(self.log)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.daemon.stop()

    def go_on(self):
        self.process.stdin.write(b"x")
        self.process.stdin.flush()

    def ask(self, *words):
        result = self.daemon.ctl(*words, "--json")
        check_equal(result.returncode, 0, f"{words}: {result.stderr}")
        return json.loads(result.stdout)

    def end(self):
        self.go_on()
        self.process.wait(ttlib.SECONDS)
        self.daemon.wait_for_state(self.process.pid, "exited")


def functions_by_stack(document):
    return {
        stack["id"]: {frame["function"] for frame in stack["frames"]}
        for stack in document["stacks"]
    }


def is_ours(block, story):
    return block["size"] in story.blocks


def check_sums(export, story, name):
    """What each stack holds, by the functions on it."""
    functions = functions_by_stack(export)
    told = {}
    for site in export["allocation_hotspots"]:
        for function in functions[site["stack"]] & {"site_a", "site_b", "site_c"}:
            count, total = told.get(function, (0, 0))
            told[function] = (count + site["count"], total + site["total_size"])
    told = {function: sums for function, sums in told.items() if sums != (0, 0)}
    check_equal(told, story.by_site(story.instants[name]), f"sums at {name}, seed {SEED}")


def check_listed(export, story, name):
    functions = functions_by_stack(export)
    blocks = [b for b in export["active_allocations"] if is_ours(b, story)]
    check_equal(
        sorted(b["size"] for b in blocks), sorted(story.instants[name]), f"{name}, seed {SEED}"
    )
    for block in blocks:
        addr, site = story.blocks[block["size"]]
        check_equal(block["ptr"], addr, f"address of {block} at {name}")
        check(site in functions[block["stack"]], f"{block} at {name} is of {site}")
        check_equal((block["died_ns"], block["freed_by_thread"]), (None, None), f"{block}")
    check_equal(export["completeness"]["unlisted_blocks"], 0, name)
    ended = [b for b in export["freed_allocations"] if is_ours(b, story)]
    for block in ended:
        check(block["size"] not in story.instants[name], f"{block} lives at {name}")


def check_export(run, name, *, is_listed=True):
    export = run.ask("export", f"--at={name}")
    ttlib.check_books_at(export)
    check_equal(export["instant"]["kind"], "mark" if "-" in name else name)
    check_sums(export, run.story, name)
    if is_listed:
        ttlib.check_exact(export)
        check_listed(export, run.story, name)
    return export


@ttlib.case
def exports_at_marks_and_peak_are_what_was():
    with Run(PROGRAM) as run:
        for name in run.story.instants:
            export = check_export(run, name)
            if name != "now":
                ttlib.check_schema(export)
        # All the same once the program has ended.
        run.end()
        for name in run.story.instants:
            if name != "now":
                check_export(run, name)


def figures_of(picture, name):
    """The data attributes of a picture's figure: {} where it has none of that name."""
    for element in xml.etree.ElementTree.fromstring(picture).iter():
        if element.get("data-figure") == name:
            return {key: value for key, value in element.attrib.items() if key.startswith("data-")}
    return {}


@ttlib.case
def pictures_show_the_instant():
    with Run(PROGRAM) as run:
        time_ns = run.ask("export")["marks"][1]["t_ns"]
        run.end()
        for at, word in (
            ("peak", "as of the peak"),
            ("mark-1", "as of mark mark-1"),
            (f"{time_ns}", "as of "),
            ("start", "as of the start"),
        ):
            export = run.ask("export", f"--at={at}")
            for view in ("overview", "top", "lifecycles"):
                result = run.daemon.ctl("export", "--svg", f"--view={view}", f"--at={at}")
                check_equal(result.returncode, 0, result.stderr)
                check(word in result.stdout, f"{view} at {at} says so")
                check("Largest leaked" not in result.stdout, f"{view} at {at}: nothing leaks yet")
            picture = run.daemon.ctl("export", "--svg", f"--at={at}").stdout
            check("data-bytes" not in figures_of(picture, "leaked"), f"nothing leaks yet at {at}")
            peak = figures_of(picture, "peak")
            if export["peak_bytes"] > 0:
                check_equal(peak["data-bytes"], str(export["peak_bytes"]), f"peak at {at}")


def check_time(run, mark, word):
    """The word means the time of a mark."""
    export = run.ask("export", f"--at={word}")
    ttlib.check_books_at(export)
    check_equal(export["instant"]["t_ns"], mark["t_ns"])
    check_equal(export["total_allocated"], mark["live_bytes"], f"at {word}")
    check_sums(export, run.story, mark["name"])
    check_listed(export, run.story, mark["name"])
    return export


@ttlib.case
def exports_at_times_are_what_was():
    with Run(PROGRAM) as run:
        marks = run.ask("export")["marks"]
        check(len(marks) >= 8, f"{marks}")
        for mark in marks:
            for word in (str(mark["t_ns"]), f"{mark['t_ns']}ns"):
                check_time(run, mark, word)


@ttlib.case
def short_history_is_declared():
    with Run(PROGRAM, "--history=40") as run:
        for name in run.story.instants:
            if name != "peak":
                check_export(run, name)
        export = check_export(run, "peak", is_listed=False)
        listed = {b["size"] for b in export["active_allocations"] if is_ours(b, run.story)}
        check(listed < run.story.instants["peak"], "some of the peak's blocks are listed")
        missing = run.story.instants["peak"] - listed
        completeness = export["completeness"]
        check_equal(completeness["unlisted_blocks"], len(missing), "blocks missing")
        check_equal(completeness["unlisted_bytes"], sum(missing), "bytes missing")
        check_equal(completeness["exact"], False)
        mark = run.ask("export")["marks"][0]
        export = run.ask("export", f"--at={mark['t_ns']}")
        ttlib.check_books_at(export)
        check_equal(export["completeness"]["unlisted_blocks"], None)
        check_equal(export["completeness"]["exact"], False)
        ttlib.check_schema(export)


def check_diff(run, before, after):
    story = run.story
    diff = run.ask("diff", before, after)
    functions = functions_by_stack(diff)
    at_before, at_after = story.instants[before], story.instants[after]
    should = {
        "born": story.by_site(at_after - at_before),
        "surviving": story.by_site(at_after & at_before),
        "freed": story.by_site(at_before - at_after),
    }
    for what, sums in should.items():
        told = {}
        for site in diff["sites"]:
            for function in functions[site["stack"]] & {"site_a", "site_b", "site_c"}:
                count, total = told.get(function, (0, 0))
                told[function] = (
                    count + site[f"{what}_blocks"],
                    total + site[f"{what}_bytes"],
                )
        told = {function: sums for function, sums in told.items() if sums != (0, 0)}
        check_equal(told, sums, f"{what} from {before} to {after}, seed {SEED}")
    for key, total in diff["totals"].items():
        check_equal(sum(site[key] for site in diff["sites"]), total, f"{key} of {before} {after}")
    for unit in ("blocks", "bytes"):
        growth = diff["after"][f"live_{unit}"] - diff["before"][f"live_{unit}"]
        check_equal(diff["totals"][f"growth_{unit}"], growth, f"growth in {unit}")
    check(diff["before"]["exact"] and diff["after"]["exact"], f"{before} to {after} is exact")
    return diff


@ttlib.case
def diffs_tell_what_was_born_and_freed():
    with Run(PROGRAM) as run:
        names = run.story.order()
        for i, before in enumerate(names):
            for after in names[i:]:
                check_diff(run, before, after)
        ttlib.check_schema(check_diff(run, "mark-1", "now"), "diff")
        text = run.daemon.ctl("diff", "mark-1", "now")
        check_equal(text.returncode, 0, text.stderr)
        check("site_a" in text.stdout and "GROWTH" in text.stdout, text.stdout)


def check_who(run, addr):
    """All lives of an address, newest first."""
    story = run.story
    should = [
        size
        for size, (start, _) in sorted(story.blocks.items(), reverse=True)
        if start <= addr < start + size
    ]
    lives = run.ask("who", hex(addr))
    functions = functions_by_stack(lives)
    check_equal([life["size"] for life in lives["lives"] if is_ours(life, story)], should, hex(addr))
    resized = {life["id"]: life for life in lives["lives"]}
    for life in lives["lives"]:
        if not is_ours(life, story):
            continue
        check_equal(life["is_live"], life["size"] in story.instants["now"], f"{life}")
        check_equal(life["offset_in_block"], addr - story.blocks[life["size"]][0], f"{life}")
        check_equal(life["died_ns"] is None, life["is_live"], f"{life}")
        check(story.blocks[life["size"]][1] in functions[life["stack"]], f"{life}")
        check_equal(life["resized_from"] is not None, story.blocks[life["size"]][1] == "site_c")
        if life["resized_from"] in resized:
            check_equal(resized[life["resized_from"]]["died_ns"], life["born_ns"], f"{life}")
    return lives


@ttlib.case
def addresses_tell_whose_they_are_and_were():
    draw = random.Random(SEED)
    with Run(PROGRAM) as run:
        most = 0
        for size in draw.sample(sorted(run.story.blocks), 25):
            addr = run.story.blocks[size][0]
            for at in (addr, addr + draw.randrange(size), addr + size - 1):
                most = max(most, len(check_who(run, at)["lives"]))
        check(most > 1, "some address has had several lives")
        ttlib.check_schema(check_who(run, run.story.blocks[max(run.story.instants["now"])][0]), "lives")
        nobody = run.ask("who", str(run.process.pid), "16")
        check_equal(nobody["lives"], [])
        ttlib.check_schema(nobody, "lives")
        text = run.daemon.ctl("who", "0x10")
        check_equal(text.returncode, 0, text.stderr)
        check("no block" in text.stdout, text.stdout)


@ttlib.case
def marks_know_of_lives_that_history_lost():
    with Run(PROGRAM, "--history=0") as run:
        gone = sorted(run.story.instants["mark-2"] - run.story.instants["now"])
        check(gone, "some have been freed since")
        for size in gone[:5]:
            lives = run.ask("who", hex(run.story.blocks[size][0]))["lives"]
            (life,) = [life for life in lives if life["size"] == size]
            check_equal((life["is_live"], life["died_ns"]), (False, None))


class Recorded:
    """The program, recorded to its end by a daemon that still has its session."""

    def __init__(self, daemon):
        folder = ttlib.temp_dir()
        self.daemon, self.path = daemon, folder / "recording"
        words = ["run", f"--record={self.path}", "--", PROGRAM, folder / "log", SEED, STEPS]
        process = subprocess.Popen(
            [ttlib.TT_CTL, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=daemon.env(),
        )
        for stop in range(STOPS + 1):
            process.stdout.read(1)
            if stop < STOPS:
                check_equal(daemon.ctl("mark", f"outside-{stop}").returncode, 0)
            process.stdin.write(b"x")
            process.stdin.flush()
        process.communicate(timeout=ttlib.SECONDS)
        check_equal(process.returncode, 0)
        self.story = Story(folder / "log")

    def ask(self, *words):
        """Of the recording."""
        told = self.daemon.ctl(*words, "--json", f"--from={self.path}")
        check_equal(told.returncode, 0, f"{words}: {told.stderr}")
        return json.loads(told.stdout)

    def check_same(self, *words):
        """What is asked of the recording is what the session itself says."""
        live = self.daemon.ctl(*words, "--json")
        told = self.daemon.ctl(*words, "--json", f"--from={self.path}")
        check_equal((live.returncode, told.returncode), (0, 0), live.stderr + told.stderr)
        documents = [json.loads(result.stdout) for result in (live, told)]
        for document in documents:
            for key in ("generator", "timestamp"):
                document.pop(key, None)
            for module in document.get("modules", []):
                del module["symbols"]  # of names that were looked up so far
        for key in documents[0]:
            check_equal(documents[1][key], documents[0][key], f"{key} of {words}, seed {SEED}")


@ttlib.case
def recordings_know_what_history_lost():
    with ttlib.Daemon("--history=40") as daemon:
        recorded = Recorded(daemon)
        for name in recorded.story.instants:
            check_export(recorded, name)
        peak = recorded.ask("export", "--at=peak")
        check_equal(peak["instant"]["source"], "kept")
        ttlib.check_schema(peak)
        marks = recorded.ask("export")["marks"]
        for mark in marks[::3]:
            ttlib.check_exact(check_time(recorded, mark, f"{mark['t_ns']}ns"))
        for before, after in ((marks[0], marks[4]), (marks[3], marks[-1])):
            words = [f"{mark['t_ns']}ns" for mark in (before, after)]
            diff = recorded.ask("diff", *words)
            check_equal((diff["before"]["exact"], diff["after"]["exact"]), (True, True))
            check_equal(diff["totals"], recorded.ask("diff", before["name"], after["name"])["totals"])


@ttlib.case
def recordings_answer_as_their_sessions():
    draw = random.Random(SEED)
    with ttlib.Daemon() as daemon:
        recorded = Recorded(daemon)
        story = recorded.story
        for name in ["peak", *draw.sample(sorted(story.instants), 4)]:
            recorded.check_same("export", f"--at={name}")
        marks = json.loads(daemon.ctl("export", "--json").stdout)["marks"]
        for mark in draw.sample(marks, 2):
            recorded.check_same("export", f"--at={mark['t_ns']}")
        names = story.order()
        for i in draw.sample(range(len(names) - 1), 3):
            recorded.check_same("diff", names[i], draw.choice(names[i + 1 :]))
        for size in draw.sample(sorted(story.blocks), 3):
            recorded.check_same("who", hex(story.blocks[size][0] + draw.randrange(size)))


@ttlib.case
def names_of_marks_keep_to_their_line():
    """Of foreign names a sentence is made: none breaks it into two, nor is cut within a character."""
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, env=daemon.preload_env())
        ttlib.wait_for(lambda: daemon.sessions(), "the session is there")
        for name in ("one\ntwo", "x" + 50 * "ä"):
            check_equal(daemon.ctl("mark", name).returncode, 0)
        result = daemon.ctl("export", "--json", "--at=no\nsuch")
        process.communicate(b"")
    check_equal(result.returncode, 2, result.stderr)
    check_equal(
        result.stderr,
        "tt-ctl: There is no mark 'no such' in the session; there are 'one two', "
        f"'x{29 * 'ä'}…'\n",
    )


def check_refused(status, word, *words):
    result = ttlib.ctl(*words, env=ttlib.clean_env({"TT_SOCKET_DIR": ttlib.temp_dir()}))
    check_equal(result.returncode, status, f"{words}: {result.stderr}")
    check(word in result.stderr, f"{word!r} is not in {result.stderr!r}")


@ttlib.case
def recordings_have_no_other_instants():
    """Asked where no daemon is."""
    with ttlib.Daemon() as daemon:
        source = f"--from={Recorded(daemon).path}"
    check_refused(2, "no mark", "export", "--json", "--at=nowhere", source)
    check_refused(2, "outside the session", "export", "--json", "--at=1h", source)
    check_refused(2, "earlier instant comes first", "diff", "now", "mark-1", source)
    check_refused(2, "nobody", "who", "nobody", "0x10", source)
    check_refused(1, "recording", "diff", "start", "now", f"--from={__file__}")
    check_refused(1, "missing", "who", "0x10", "--from=/missing")


if __name__ == "__main__":
    print(f"# TT_SEED={SEED}")
    PROGRAM = ttlib.build(
        "instants.c",
        "-I" + str(ttlib.SOURCE / "client"),
        "-L" + str(ttlib.LIBTTCLIENT.parent),
        "-lttclient",
        "-Wl,-rpath," + str(ttlib.LIBTTCLIENT.parent),
    )
    ttlib.main()
