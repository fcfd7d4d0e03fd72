#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Are the stacks the true ones? Programs that know their own call chains say them on stdout, a line a
block (see programs/chains.c); the export must show each block with that very chain.

    stacks.py PROGRAM [ARGUMENT …]
"""
import re
import sys

import ttlib


def base_name(function):
    """A demangled name up to its parameters, without template arguments' spaces, hash or return type."""
    name = re.sub(r"::h[0-9a-f]{16}$", "", function or "?")
    name = re.sub(r"\{\{closure\}\}|\{closure#\d+\}|\(anonymous namespace\)::", "", name)
    depth, out = 0, []
    for i, c in enumerate(name):
        if c == "(" and depth == 0 and i > 0:
            break
        depth += c in "<"
        depth -= c in ">"
        out.append(c)
    name = "".join(out).replace(" >", ">").replace(", ", ",")
    # "void work::leak_array<char,72001>": what stands before the last space outside <> is the type.
    depth, cut = 0, 0
    for i, c in enumerate(name):
        depth += c == "<"
        depth -= c == ">"
        if c == " " and depth == 0:
            cut = i + 1
    return name[cut:]


def matches(expected, names):
    """Does the chain fit? "~" is any run of frames, "*" any rest; after the last name but frames of the
    C library's start may come."""
    if not expected:
        return all(n in START for n in names)
    head, rest = expected[0], expected[1:]
    if head == "*":
        return True
    if head == "~":
        return any(matches(rest, names[i:]) for i in range(len(names) + 1))
    if not names:
        return False
    return is_same(head, names[0]) and matches(rest, names[1:])


def is_same(wanted, name):
    """Versions of a function that the compiler made (.constprop.0, .part.0) count as it; template
    arguments may be left out, and a generic's in Rust are told or not."""
    name = re.sub(r"\.(constprop|isra|part|cold)\.\d+|\.(constprop|isra|part|cold)", "", name)
    return name == wanted or name.split("<")[0] == wanted or \
        re.sub(r"::<.*>$", "", name) == wanted


# By size, the cases of the fault list that are more than a known chain.
FAULTS = {
    **dict.fromkeys((70003, 70004, 70005, 70006, 70007, 70012), "fault_E03_"),
    **dict.fromkeys((70013,), "fault_E05_"),
    **dict.fromkeys((70016, 70017), "fault_E08_"),
    **dict.fromkeys((70021,), "fault_E10_"),
    **dict.fromkeys((70022,), "fault_E13_"),
    **dict.fromkeys((120, 70002, 70008, 70015, 70020), "fault_E15_"),
}

START = {"__libc_start_call_main", "__libc_start_main", "__libc_start_main_impl",
         "__libc_start_main@@GLIBC_2.34", "_start", "?"}


def expected_chains(stdout):
    for line in stdout.splitlines():
        words = line.split()
        if len(words) > 1 and words[0].isdigit():
            yield int(words[0]), words[1:]


def check_chain(export, size, expected):
    found = [
        [base_name(name) for name in ttlib.functions_of(export, block["stack"])]
        for block in export["active_allocations"]
        if block["size"] == size
    ]
    ttlib.check(found, f"no block of {size} bytes")
    ttlib.check(
        any(matches(expected, names) for names in found),
        f"want {' < '.join(expected)}\ngot  " + "\nor   ".join(" < ".join(n) for n in found),
    )


def check_truncation(export):
    block = next(b for b in export["active_allocations"] if b["size"] == 70011)
    stack = next(s for s in export["stacks"] if s["id"] == block["stack"])
    ttlib.check(stack["truncated"], "a stack of 400 frames says that it was cut")
    ttlib.check_equal(len(stack["frames"]), 256, "frames kept")


def main():
    result = ttlib.run_traced(sys.argv[1:])
    del sys.argv[1:]

    @ttlib.case
    def program_ends_well_and_is_recorded():
        ttlib.check_equal(result.returncode, 0, result.stderr)
        ttlib.check(result.export["completeness"]["exact"], "the export calls itself exact")
        ttlib.check(list(expected_chains(result.stdout)), "the program told its chains")
        ttlib.check_books(result.export)

    for size, expected in expected_chains(result.stdout):
        ttlib.add_case(
            f"{FAULTS.get(size, 'fault_E01_')}chain_of_{size}_bytes",
            lambda size=size, expected=expected: check_chain(result.export, size, expected),
        )
        if size == 70010:
            ttlib.add_case("deep_stack_is_cut", lambda: check_truncation(result.export))
    ttlib.main()


if __name__ == "__main__":
    main()
