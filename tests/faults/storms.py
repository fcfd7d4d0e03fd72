#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section B, nightly: all that moves at once, for as long as TT_SECONDS says: 5 by hand."""

import os
import subprocess

import ttlib
from ttlib import case, check, check_equal

SECONDS = int(os.environ.get("TT_SECONDS", 5))

# Two libraries of one build but for a name and a size, so that one may come to lie where the other
# was.
PLUGIN = r"""
#include <stdlib.h>
__attribute__((constructor)) static void begin(void) { free(malloc(77)); }
static __attribute__((noinline)) void *NAME(void) {
    void *block = malloc(SIZE);
    __asm__ volatile("" ::: "memory");
    return block;
}
void *make(void) {
    void *block = NAME();
    __asm__ volatile("" ::: "memory");
    return block;
}
"""
SIZES = {"make_one": 30001, "make_two": 30002}


def compile_plugin(name):
    flags = [f"-DNAME={name}", f"-DSIZE={SIZES[name]}"]
    return ttlib.compile_c(PLUGIN, "-shared", "-fPIC", *flags, name=f"{name}.so")


def check_plugins(export):
    """Each block is ascribed to the library that was there: they know one size each."""
    found = dict.fromkeys(SIZES, 0)
    for site in export["allocation_hotspots"]:
        name = ttlib.functions_of(export, site["stack"])[:1]
        size = site["cumulative_size"] / max(1, site["cumulative_count"])
        if name and name[0] in SIZES:
            check_equal(size, SIZES[name[0]], f"bytes a block of {name[0]}()")
            found[name[0]] += site["cumulative_count"]
        else:
            check(size not in SIZES.values(), f"a block of {size} bytes is ascribed to {name}")
    return found


def check_live(export):
    ttlib.check_books(export)
    check_equal(export["process"]["state"], "running")
    check_equal(export["completeness"]["unknown_frees"], 0, "unknown frees")


@case
def fault_B14_all_that_moves_at_once():
    program = ttlib.build("storm.c", "-O1", "-pthread", f"-I{ttlib.SOURCE / 'client'}")
    plugins = [compile_plugin(name) for name in SIZES]
    folder = ttlib.temp_dir()
    with ttlib.Daemon("--history=1000") as daemon:
        env = daemon.preload_env({"TT_LOSSLESS": 1}, counted=folder / "count.%p")
        process = subprocess.Popen(
            [program, str(SECONDS), folder, *plugins], env=env, stdout=subprocess.PIPE, text=True
        )
        ttlib.at_end(process.kill)
        ttlib.wait_for(lambda: daemon.session_of(process.pid), "a session")
        asked = 0
        while process.poll() is None:
            result = daemon.ctl("export", str(process.pid), "--json", "--top=50")
            check_equal(result.returncode, 0, result.stderr)
            asked += 1
        output = process.stdout.read()
        check_equal(process.returncode, 5, output)
        done = dict(zip(("loads", "forks", "births", "marks", "exports"), map(int, output.split())))
        print(f"# in {SECONDS} s: {done}, {asked} exports from without")
        check(min(done.values()) > 0, "each was at work")
        for path in folder.glob("*.json"):
            check_live(ttlib.read_json(path))

        daemon.wait_for_state(process.pid, "exited", "ended")
        export = daemon.export(process.pid)
        ttlib.check_books(export)
        ttlib.check_exact(export)
        count = ttlib.read_count(folder / f"count.{process.pid}")
        ttlib.check_counted(export, count, peak_slack=100_000)
        check(40001 in ttlib.left(export), "the last block")
        found = check_plugins(export)
        print(f"# blocks of the libraries: {found}")
        check_equal(sum(found.values()), 50 * done["loads"], "blocks of the libraries")


ttlib.main()
