#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Recordings of programs not written here: how large they are, and that they say the same as the
session itself did."""

import subprocess

import ttlib
import workloads
from ttlib import case, check, check_equal

BYTES_AN_EVENT = 2.5  # times, threads and stacks included


def without_names_of_the_day(export):
    """What an export is of the session, and not of when and where it was written."""
    return {key: value for key, value in export.items() if key not in ("generator", "timestamp")}


def check_same(got, want, what=""):
    """Names the first difference, for whole exports are long."""
    if got == want:
        return
    if isinstance(got, dict) and isinstance(want, dict):
        for key in sorted(set(got) | set(want)):
            check_same(got.get(key), want.get(key), f"{what}.{key}")
    if isinstance(got, list) and isinstance(want, list) and len(got) == len(want):
        for i, (one, other) in enumerate(zip(got, want)):
            check_same(one, other, f"{what}[{i}]")
    raise ttlib.Failed(f"{what}: {str(got)[:200]}, live it was {str(want)[:200]}")


def export_from(recording, *words):
    return ttlib.ctl("export", *words, f"--from={recording}", text=False)


def check_work(make, view, options):
    """@view: the picture that is drawn twice, and all is written twice; None: once, which is what
    takes the time; @options: of the export"""
    work = make()
    folder = ttlib.temp_dir()
    recording = folder / "recording"
    alone = subprocess.run(
        work.command,
        env=ttlib.clean_env(workloads.ENVIRONMENT),
        capture_output=True,
        **work.options(),
    )
    traced = ttlib.run_traced(
        work.command,
        env=workloads.ENVIRONMENT,
        options=[f"--record={recording}", *options],
        **work.options(),
    )
    check_equal(traced.stdout.encode(errors="backslashreplace"), alone.stdout, "what it writes")
    pid = traced.export["process"]["pid"]

    once = export_from(recording, str(pid), "--json", *options)
    check_equal(once.returncode, 0, f"export --from: {once.stderr}")
    (folder / "told.json").write_bytes(once.stdout)
    told = ttlib.read_json(folder / "told.json")
    check_same(without_names_of_the_day(told), without_names_of_the_day(traced.export))
    ttlib.check_exact(told)
    ttlib.check_books(told)

    if view:
        again = export_from(recording, str(pid), "--json", *options)
        check(again.stdout == once.stdout, "two exports of one file differ")
        pictures = [
            export_from(recording, str(pid), "--svg", f"--view={view}").stdout for _ in range(2)
        ]
        check(pictures[0] == pictures[1] and pictures[0], f"two pictures of one file: {view}")

    # A second reader of the file itself: each section's checksum.
    tested = subprocess.run(["zstd", "-tq"], stdin=recording.open("rb"), capture_output=True)
    check_equal(tested.returncode, 0, f"zstd -t: {tested.stderr}")

    events = told["cumulative_allocations"] + told["cumulative_frees"]
    size = recording.stat().st_size
    print(f"# {make.__name__}: {size} bytes, {events} events, {size / events:.2f} bytes an event")
    check(size <= BYTES_AN_EVENT * events, f"{size / events:.2f} bytes an event")


VIEWS = {"sqlite3": "overview", "jq": "top", "xmllint": "lifecycles"}

for work in workloads.ALL:
    ttlib.add_case(
        f"{work.__name__}_is_told_again",
        lambda work=work: check_work(
            work, VIEWS.get(work.__name__), ["--full"] if work is workloads.sqlite3 else []
        ),
    )


ttlib.main()
