#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Modules, and the addresses of frames, against the kernel's map of the program and what readelf says
of its files."""

import os
import re
import subprocess

import ttlib
from ttlib import check, check_equal

WAITING = r"""
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

int main(void) {
    z_stream stream = {0};
    void *volatile kept = malloc(1000);

    deflateInit(&stream, 1); /* allocates */
    write(STDOUT_FILENO, "x", 1);
    read(STDIN_FILENO, (char[1]){0}, 1);
    return kept == NULL;
}
"""


def read_maps(pid):
    """Of each file: its ranges in memory, with what each shows of it. It may be there more than once:
    the client's libunwind has a libc of its own."""
    maps = {}
    with open(f"/proc/{pid}/maps") as lines:
        for line in lines:
            words = line.split(None, 5)
            if len(words) == 6 and words[5].startswith("/"):
                span = tuple(int(end, 16) for end in words[0].split("-"))
                maps.setdefault(words[5].strip(), []).append((*span, int(words[2], 16)))
    return maps


def readelf(option, path):
    return subprocess.run(
        ["readelf", "-W", option, path], capture_output=True, text=True, check=True
    ).stdout


def read_file(path):
    """A file's own first and last address, and its build-id."""
    loads = [line.split() for line in readelf("-l", path).splitlines() if " LOAD " in line]
    first, last = int(loads[0][2], 16), int(loads[-1][2], 16) + int(loads[-1][5], 16)
    found = re.search(r"Build ID: ([0-9a-f]+)", readelf("-n", path))
    return first, last, found and found[1]


def number(text):
    return int(text, 16)


def check_module(row, maps):
    path = os.path.realpath(row["path"])  # the loader's name for it may be another
    check(path in maps, f"{path} is not in memory")
    first, last, build_id = read_file(path)
    begins = [start - (first & -4096) for start, _, offset in maps[path] if offset == 0]
    bias = number(row["bias"])
    check(bias in begins, f"{row}, where it begins at {begins}")
    want = (hex(bias + first), hex(bias + last), build_id, None)
    keys = ("start", "end", "build_id", "removed_ns")
    check_equal(tuple(row[key] for key in keys), want, path)


def check_frame(frame, maps, modules):
    """Of outer frames the call is one byte before at least."""
    ip = number(frame["ip"]) - 1
    paths = [path for path, spans in maps.items() if any(a <= ip < b for a, b, _ in spans)]
    module = frame["module"] and os.path.realpath(frame["module"])
    check_equal([module], paths or [None], f"{frame}")
    if module:
        module = modules[frame["module"]]
        want = (hex(ip + 1 - number(module["bias"])), module["build_id"])
        check_equal((frame["offset"], frame["build_id"]), want, f"{frame}")


def check_modules(*flags):
    program = ttlib.compile_c(WAITING, "-w", *flags, "-lz", name="waiting")
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program], env=daemon.preload_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        process.stdout.read(1)
        export, maps = daemon.export(process.pid), read_maps(process.pid)
        process.communicate(b"x")
    modules = {row["path"]: row for row in export["modules"]}
    check_equal(len(modules), len(export["modules"]), "a module twice")
    check(str(program) in modules and any("libz" in path for path in modules), f"{modules}")
    for row in export["modules"]:
        check_module(row, maps)
    frames = {stack["id"]: stack["frames"] for stack in export["stacks"]}
    for frame in sum(frames.values(), []):
        check_frame(frame, maps, modules)
    for block in export["active_allocations"] + export["freed_allocations"]:
        for frame in frames[block["stack"]]:
            added = modules[frame["module"]]["added_ns"] if frame["module"] else 0
            check(added <= block["born_ns"], f"{frame['module']} was added after {block}")


@ttlib.case
def modules_are_where_the_kernel_has_them():
    ttlib.need("readelf")
    check_modules()


@ttlib.case
def modules_of_a_program_with_fixed_addresses():
    ttlib.need("readelf")
    check_modules("-no-pie")


ttlib.main()
