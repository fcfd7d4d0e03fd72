#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TT_USABLE_SIZES=1: of each block what the allocator gave it, by the program's own word. Without
it, and where nobody can be asked, null."""

import json

import ttlib
from ttlib import check, check_equal

ASKED = {"TT_USABLE_SIZES": "1"}
SPARE_END = (1 << 24) - 1  # as much more than the size, or more, is not kept
MAKERS = {"make_all", "make_foreign"}

# An allocator that cannot be asked; libc's malloc_usable_size would take its blocks for libc's.
MUTE = r"""
#include <stddef.h>
#include <string.h>

static _Alignas(4096) char heap[256 << 20];
static size_t used;

static void *take(size_t alignment, size_t size) {
    size_t start = (used + 16 + alignment - 1) & ~(alignment - 1);

    used = start + size;
    ((size_t *)(heap + start))[-1] = (size + 100) / 8 * 8 + 2; /* for libc a mapped block's head */
    ((size_t *)(heap + start))[-2] = size;
    return heap + start;
}

void *malloc(size_t size) { return take(16, size); }
void free(void *block) { (void)block; }
void *calloc(size_t count, size_t size) { return memset(take(16, count * size), 0, count * size); }
void *realloc(void *old, size_t size) {
    void *block = take(16, size);
    size_t old_size = old != NULL ? ((size_t *)old)[-2] : 0;

    return old_size > 0 ? memcpy(block, old, old_size < size ? old_size : size) : block;
}
void *memalign(size_t alignment, size_t size) {
    return take(alignment < 16 ? 16 : alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **ret, size_t alignment, size_t size) {
    *ret = memalign(alignment, size);
    return 0;
}
void *valloc(size_t size) { return take(4096, size); }
void *pvalloc(size_t size) { return take(4096, size); }
"""

MUTE_USER = r"""
#include <stdlib.h>

int main(void) {
    for (size_t size = 1; size < 3000; size += 7)
        free(realloc(malloc(size), size * 2));
    return malloc(40001) == NULL;
}
"""


def ours(export, key):
    """The rows of the blocks that the program tells of."""
    stacks = {
        stack["id"]
        for stack in export["stacks"]
        if MAKERS & {(frame["function"] or "").split("(")[0] for frame in stack["frames"]}
    }
    return [row for row in export[key] if row["stack"] in stacks]


def told(text):
    """What the program says, by pid: what lives and what was freed, as sorted rows."""
    said = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 1:
            rows = said[int(words[0])] = ([], [])
            continue
        addr, size, freed = int(words[0]), int(words[1]), int(words[3])
        usable = None if words[2] == "-" else int(words[2])
        if usable is not None and usable - size >= SPARE_END:
            usable = None
        rows[freed].append((addr, size, usable))
    return {pid: tuple(map(by_addr, rows)) for pid, rows in said.items()}


def by_addr(rows):
    return sorted(rows, key=lambda row: (*row[:2], row[2] is None, row[2] or 0))


def known(export):
    return tuple(
        by_addr((row["ptr"], row["size"], row["usable_size"]) for row in ours(export, key))
        for key in ("active_allocations", "freed_allocations")
    )


def check_told(export, rows, what=""):
    ttlib.check_books(export)
    for got, want, which in zip(known(export), rows, ("alive", "freed")):
        check(len(want) > 20, f"{what}: {len(want)} blocks {which}")
        check_equal(got, want, f"{what}: {which}")


def check_allocator(library, more_count):
    """@more_count: of so many blocks at least it gives more than was asked for"""
    path = library and ttlib.find_library(library)
    env = ASKED | ({"LD_PRELOAD": path} if path else {})
    traced = ttlib.run_traced([PROGRAM], env=env)
    check_equal(traced.returncode, 0, traced.stderr)
    ttlib.check_exact(traced.export)
    ttlib.check_schema(traced.export)
    ((_, rows),) = told(traced.stdout).items()
    check_told(traced.export, rows, library or "glibc")
    more = [row for row in rows[0] + rows[1] if row[2] is not None and row[2] > row[1]]
    check(len(more) >= more_count, f"{len(more)} blocks with more than was asked for")


@ttlib.case
def glibc_is_asked_of_each_block():
    check_allocator(None, 150)


@ttlib.case
def jemalloc_is_asked_of_each_block():
    check_allocator("libjemalloc.so.2", 100)


@ttlib.case
def tcmalloc_is_asked_of_each_block():
    check_allocator("libtcmalloc_minimal.so.4", 100)


@ttlib.case
def sampled_blocks_are_asked_of_too():
    traced = ttlib.run_traced([PROGRAM], env=ASKED | {"TT_SAMPLE": "5000"})
    check_equal(traced.returncode, 0, traced.stderr)
    ((_, rows),) = told(traced.stdout).items()
    for got, want in zip(known(traced.export), rows):
        check(0 < len(got) < len(want), f"a sample: {len(got)} of {len(want)}")
        check(set(got) <= set(want), f"{set(got) - set(want)} are not as the program says")


@ttlib.case
def nobody_is_asked_without_the_option():
    for env in ({}, {"TT_USABLE_SIZES": "0"}):
        traced = ttlib.run_traced([PROGRAM], env=env)
        rows = traced.export["active_allocations"] + traced.export["freed_allocations"]
        check_equal({row["usable_size"] for row in rows}, {None}, f"{env}")


@ttlib.case
def allocator_without_an_answer_is_not_asked():
    library = ttlib.compile_c(MUTE, "-w", "-shared", "-fPIC", name="mute.so")
    program = ttlib.compile_c(MUTE_USER, "-w", "-Wl,--no-as-needed", library)
    traced = ttlib.run_traced([program], env=ASKED)
    check_equal(traced.returncode, 0, traced.stderr)
    check_equal(ttlib.left(traced.export), [40001], "the allocator is the one in use")
    rows = traced.export["active_allocations"] + traced.export["freed_allocations"]
    check_equal({row["usable_size"] for row in rows}, {None})


@ttlib.case
def child_and_recording_know_as_much():
    folder = ttlib.temp_dir()
    with ttlib.Daemon() as daemon:
        result = daemon.ctl(
            *("run", f"--json={folder / 'export.%p'}", f"--record={folder / 'run.ttrec'}", "--"),
            *(PROGRAM, "fork"),
            env=ASKED,
        )
        check_equal(result.returncode, 0, result.stderr)
        said = told(result.stdout)
        child, parent = said  # in this order they speak
        for pid, rows in said.items():
            export = ttlib.read_json(folder / f"export.{pid}")
            check_told(export, rows, f"process {pid}")
            again = daemon.ctl("export", f"--from={folder / 'run.ttrec'}", "--json", pid)
            check_equal(again.returncode, 0, again.stderr)
            check_told(json.loads(again.stdout), rows, f"process {pid}, as recorded")
            inherited = [row for row in ours(export, "active_allocations") if row["inherited"]]
            check_equal(len(inherited) > 20, pid == child, f"process {pid} has inherited blocks")
        check_who(daemon, parent, said[parent][0])


def check_who(daemon, pid, live):
    addr, size, usable = next(row for row in live if row[2] is not None and row[1] > 1)
    result = daemon.ctl("who", pid, hex(addr))
    check_equal(result.returncode, 0, result.stderr)
    check(f"({usable} usable)" in result.stdout, f"{usable} of {size}: {result.stdout}")


if __name__ == "__main__":
    PROGRAM = ttlib.build("usable.cpp", "-std=c++17", compiler="g++")
    ttlib.main()
