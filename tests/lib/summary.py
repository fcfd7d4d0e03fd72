#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The closing line of test.sh: "N passed, N failed, N skipped", with what failed and what was skipped
above it. Exits 1 if anything failed.

    summary.py [LABEL=]TESTLOG.json… [--passed WHAT | --failed WHAT]…

A TAP test counts as many as it has points; what is not one of Meson's tests (a build that must not
warn) is told by --passed and --failed."""

import argparse
import collections
import json
import pathlib
import re
import sys

FAILED = {"FAIL", "TIMEOUT", "INTERRUPT", "ERROR", "UNEXPECTEDPASS"}
POINT = re.compile(r"^(not )?ok\b(?:\s+(\d+))?\s*-?\s*([^#]*?)\s*(?:#\s*(skip|todo)\S*\s*(.*))?$", re.I)
# All of a TAP test, or a script that ends with 77.
SKIP_ALL = re.compile(r"^(?:1\.\.0\b\s*#\s*skip\S*\s*|skipped: )(.+)$", re.I | re.M)


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = collections.defaultdict(list)  # by reason

    def add_log(self, label, path):
        try:
            rows = [json.loads(line) for line in path.read_text().splitlines()]
        except (OSError, ValueError) as error:
            self.failed.append(f"{label}no test log: {error}")
            return
        for row in rows:
            # "project:suite / test": the test says enough.
            self.add_test(label + row["name"].rpartition(" / ")[2], row)

    def add_test(self, name, row):
        points = []
        if re.search(r"^1\.\.\d+", row.get("stdout", ""), re.M):
            points = list(filter(None, map(POINT.match, row["stdout"].splitlines())))
        failed_before = len(self.failed)
        for is_not, _, what, directive, reason in (point.groups() for point in points):
            what = f"{name}: {what}"
            if directive and directive.lower() == "skip":
                self.skipped[reason or "no reason given"].append(what)
            elif is_not and not (directive and directive.lower() == "todo"):
                self.failed.append(what)
            else:
                self.passed += 1
        if row["result"] in FAILED:
            # It died, or ended early: more than its points can say.
            if len(self.failed) == failed_before:
                self.failed.append(f"{name}: {row['result'].lower()}, status {row['returncode']}")
        elif row["result"] == "SKIP" and not points:
            found = SKIP_ALL.search(row.get("stdout", ""))
            self.skipped[found and found.group(1) or "no reason given"].append(name)
        elif not points:
            self.passed += 1

    def print(self):
        for reason, names in sorted(self.skipped.items()):
            for name in names:
                print(f"skipped: {name}: {reason}")
        for what in self.failed:
            print(f"failed: {what}")
        skipped = sum(map(len, self.skipped.values()))
        print(f"{self.passed} passed, {len(self.failed)} failed, {skipped} skipped", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--passed", action="append", default=[])
    parser.add_argument("--failed", action="append", default=[])
    words = parser.parse_args()
    tally = Tally()
    for log in words.logs:
        label, _, path = log.rpartition("=")
        tally.add_log(label and label + " ", pathlib.Path(path))
    tally.passed += len(words.passed)
    tally.failed += words.failed
    tally.print()
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
