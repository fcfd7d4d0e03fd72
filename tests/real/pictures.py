#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of real programs: well-formed to a second parser, drawn by rsvg-convert, and every figure in
them is the JSON's of the same session."""

import collections
import subprocess
import xml.etree.ElementTree

import ttlib
import workloads
from ttlib import check, check_equal

VIEWS = ["overview", "top", "lifecycles"]


class Picture:
    """An SVG file, by its data attributes."""

    def __init__(self, path):
        self.path = path
        self.elements = list(xml.etree.ElementTree.parse(path).getroot().iter())

    def with_data(self, name, value=None):
        key = f"data-{name}"
        return [e for e in self.elements if key in e.keys() and value in (None, e.get(key))]


def number(element, name):
    return int(element.get(f"data-{name}"))


def amount(element, prefix=""):
    return number(element, f"{prefix}bytes"), number(element, f"{prefix}blocks")


def check_drawn(picture):
    """Parsed strictly, and drawn to something that is not one colour."""
    ttlib.need("xmllint", "rsvg-convert")
    result = subprocess.run(
        ["xmllint", "--noout", "--nonet", picture.path], capture_output=True, text=True
    )
    check_equal((result.returncode, result.stderr), (0, ""), "xmllint")
    result = subprocess.run(
        ["rsvg-convert", "--format=png", "--width=400", picture.path], capture_output=True
    )
    check_equal((result.returncode, result.stderr), (0, b""), "rsvg-convert")
    check(result.stdout.startswith(b"\x89PNG"), "a PNG came out")
    check(len(result.stdout) > 2000, f"a picture of {len(result.stdout)} bytes is empty")
    text = picture.path.read_text()
    for word in ("<script", "NaN", "nan,", "inf,", 'href="http'):
        check(word not in text, f"{word!r} in {picture.path.name}")


def check_heading(picture, export):
    (session,) = picture.with_data("session")
    process = export["process"]
    check_equal(
        (session.get("data-session"), number(session, "pid"), number(session, "ns")),
        (process["session"], process["pid"], process["duration_ns"]),
        "heading",
    )


def check_key_figures(picture, export):
    figures = {e.get("data-figure"): e for e in picture.with_data("figure")}
    live = export["total_allocated"], export["total_allocations"]
    check_equal(amount(figures["live"]), live, "live")
    check_equal(amount(figures["leaked"]), live, "leaked")
    check_equal(
        (*amount(figures["peak"]), number(figures["peak"], "ns")),
        (export["peak_bytes"], export["peak_blocks"], export["peak_ns"]),
        "peak",
    )
    check_equal(
        amount(figures["allocated"]),
        (export["cumulative_allocated"], export["cumulative_allocations"]),
        "allocated",
    )
    check_equal(
        number(figures["events"], "count"),
        export["cumulative_allocations"] + export["cumulative_frees"],
        "events",
    )
    check_equal(figures["exact"].get("data-exact"), "true", "exact")


def check_curve(picture, export):
    bands = [e for e in picture.elements if e.get("class") == "band"]
    check(len(bands) > 50, f"{len(bands)} bands of the curve")
    times = [number(band, "ns") for band in bands]
    check_equal(times, sorted(times), "times of the curve")
    check(max(number(b, "bytes") for b in bands) <= export["peak_bytes"], "no band above the peak")


def check_rankings(picture, export):
    by_stack = {site["stack"]: site for site in export["allocation_hotspots"]}
    keys = {"live": ("total_size", "count"), "peak": ("peak_size", "peak_count")}
    totals = {
        "live": (export["total_allocated"], export["total_allocations"]),
        "peak": (export["peak_bytes"], export["peak_blocks"]),
    }
    rankings = picture.with_data("ranking")
    check(rankings, "a ranking is there")
    for ranking in rankings:
        which = ranking.get("data-ranking")
        check_equal(amount(ranking, "total-"), totals[which], f"total of {which}")
        rows = [e for e in ranking.iter() if e.get("class") == "row"]
        sums = collections.Counter()
        for row in rows:
            sums["bytes"] += number(row, "bytes")
            sums["blocks"] += number(row, "blocks")
            if row.get("data-kind") == "site":
                site = by_stack[number(row, "stack")]
                check_equal(
                    amount(row), tuple(site[key] for key in keys[which]), f"{which} row of {site}"
                )
        check_equal((sums["bytes"], sums["blocks"]), totals[which], f"sum of the rows of {which}")
        shown = [number(row, "bytes") for row in rows if row.get("data-kind") != "rest"]
        check_equal(shown, sorted(shown, reverse=True), f"order of {which}")


def check_lifecycles(picture, export):
    blocks = {b["id"]: b for b in export["active_allocations"] + export["freed_allocations"]}
    rows = picture.with_data("id")
    check(len(rows) >= 10, f"{len(rows)} blocks are shown")
    for row in rows:
        block = blocks[number(row, "id")]
        died = row.get("data-died-ns")
        check_equal(
            (number(row, "bytes"), number(row, "born-ns"), died and int(died)),
            (block["size"], block["born_ns"], block["died_ns"]),
            f"block {block['id']}",
        )
        check_equal(row.get("data-state"), "freed" if died else "alive", f"block {block['id']}")


def check_pictures(make_work):
    work = make_work()
    folder = ttlib.temp_dir()
    with ttlib.Daemon() as daemon:
        traced = ttlib.run_traced(
            work.command,
            env=workloads.ENVIRONMENT,
            daemon=daemon,
            text=False,
            **work.options(),
        )
        export = traced.export
        session = export["process"]["session"]
        pictures = {}
        for view in VIEWS:
            path = folder / f"{view}.svg"
            result = daemon.ctl("export", session, f"--svg={path}", f"--view={view}")
            check_equal((result.returncode, result.stderr), (0, ""), view)
            pictures[view] = Picture(path)
    for picture in pictures.values():
        check_drawn(picture)
        check_heading(picture, export)
    check_key_figures(pictures["overview"], export)
    check_curve(pictures["overview"], export)
    check_rankings(pictures["overview"], export)
    check_rankings(pictures["top"], export)
    check_lifecycles(pictures["overview"], export)
    check_lifecycles(pictures["lifecycles"], export)


@ttlib.case
def pictures_of_sqlite3_tell_what_its_json_tells():
    check_pictures(workloads.sqlite3)


@ttlib.case
def pictures_of_xmllint_tell_what_its_json_tells():
    check_pictures(workloads.xmllint)


@ttlib.case
def default_picture_is_the_overview():
    with ttlib.Daemon() as daemon:
        daemon.ctl("run", "--", "/bin/sh", "-c", ":")
        default = daemon.ctl("export", "--svg")
        overview = daemon.ctl("export", "--svg", "--view=overview")
    check_equal(default.returncode, 0, default.stderr)
    check_equal(default.stdout, overview.stdout)


ttlib.main()
