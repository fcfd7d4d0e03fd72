#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What Debian's programs lose is what valgrind says that they lose: of each class the blocks, their
bytes, and the sizes of the groups.

What is still reachable is not compared, for it differs, and both are right: valgrind has the C and
C++ libraries free what is theirs before it looks (__libc_freeres), and we take the process as it
ended. Of this cc1 we have some fifty blocks more that are reachable, of sqlite3 fifteen."""

import re
import subprocess

import ttlib
from ttlib import case, check, check_equal

CLASSES = {
    "definite": "definitely lost",
    "indirect": "indirectly lost",
    "possible": "possibly lost",
}
RECORD = re.compile(
    r"== ([\d,]+)(?: \(([\d,]+) direct, [\d,]+ indirect\))? bytes in ([\d,]+) blocks are (\w+ lost) in"
)
PROGRAM_C = """
struct node { struct node *next; int value; };
int sum(const struct node *node) {
    int all = 0;
    for (; node; node = node->next)
        all += node->value;
    return all;
}
"""


def number(text):
    return int(text.replace(",", ""))


def records_of_valgrind(cmd):
    """Its loss records, (bytes, blocks) each, by our names of the classes."""
    report = ttlib.temp_dir() / "valgrind"
    result = subprocess.run(
        ["valgrind", f"--log-file={report}", "--leak-check=full", "--show-leak-kinds=all"]
        + ["--num-callers=100", "--keep-stacktraces=alloc", *cmd],
        env=ttlib.clean_env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    text = report.read_text()
    check("HEAP SUMMARY" in text, f"{result.stderr[:500]} {text[:500]}")
    records = {name: [] for name in CLASSES}
    for total, direct, blocks, kind in RECORD.findall(text):
        name = next(name for name, word in CLASSES.items() if word == kind)
        records[name].append((number(direct or total), number(blocks)))
    for name, word in CLASSES.items():
        found = re.search(word + r": ([\d,]+) bytes in ([\d,]+) blocks", text)
        want = (number(found[1]), number(found[2])) if found else (0, 0)
        sums = (sum(r[0] for r in records[name]), sum(r[1] for r in records[name]))
        check_equal(sums, want, f"valgrind's records of what is {word}")
        records[name].sort()
    return result.returncode, records


def groups_of_ours(cmd):
    path = ttlib.temp_dir() / "leaks.json"
    with ttlib.Daemon() as daemon:
        result = daemon.ctl("leaks", f"--json={path}", "--show=all", "--", *cmd)
    found = ttlib.read_json(path)
    check_equal(found["exact"], True, "exact")
    groups = {name: [] for name in CLASSES}
    for leak in found["leaks"]:
        if leak["class"] in CLASSES:
            groups[leak["class"]].append((leak["bytes"], leak["blocks"]))
    for name in CLASSES:
        groups[name].sort()
    return result.returncode, groups


def check_as_valgrind(*cmd, loses):
    """@loses: the classes of which there must be something, or the comparison would say little"""
    ttlib.need("valgrind", cmd[0])
    status, theirs = records_of_valgrind(cmd)
    our_status, ours = groups_of_ours(cmd)
    check_equal(our_status, status, "status of the program")
    check_equal(ours, theirs)
    check_equal({name for name in CLASSES if theirs[name]}, loses, "what is lost")


@case
def sqlite3_loses_what_valgrind_says():
    """A query that fails, which its shell leaves at once, with the database open."""
    check_as_valgrind(
        *["sqlite3", ":memory:", ".mode column", "select 1 as a;", "select * from no_such;"],
        loses={"definite", "possible"},
    )


@case
def jq_loses_what_valgrind_says():
    """jq 1.6 loses an error message each time that ltrimstr is asked of a number."""
    check_as_valgrind(
        "jq", "-n", '1 | ltrimstr("a"), rtrimstr("a")', loses={"definite", "indirect"}
    )


@case
def cc1_loses_what_valgrind_says():
    """One buffer of the preprocessor, known by an address in its middle; of 2300 blocks."""
    result = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True)
    source = ttlib.temp_dir() / "program.c"
    source.write_text(PROGRAM_C)
    check_as_valgrind(
        *[result.stdout.strip(), "-quiet", source, "-O1", "-o", "/dev/null"], loses={"possible"}
    )


if __name__ == "__main__":
    ttlib.main()
