#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Journals (tt-daemon --journal) have room for so much in all, and no more: what goes for whom."""

import os
import subprocess

import ttlib
from ttlib import case, check, check_equal

LIMIT = 1 << 20

EVENTS = r"""
#include <stdlib.h>
#include <unistd.h>

/* COUNT blocks come and go, of sizes that do not pack well; then a byte of input ends it. */
int main(int argc, char **argv) {
    static void *blocks[256];
    unsigned long seed = 1;
    char byte;

    for (long i = atol(argv[1]); i > 0; i--) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        free(blocks[seed >> 56]);
        blocks[seed >> 56] = malloc(1 + (seed >> 32) % 50000);
    }
    write(1, "x", 1);
    read(0, &byte, 1);
    malloc(40001);
    return 5;
}
"""


def start(daemon, program, count):
    """Returns it when it has done what it does."""
    process = subprocess.Popen(
        [program, str(count)],
        env=daemon.preload_env({"TT_LOSSLESS": 1}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    ttlib.at_end(process.kill)
    check_equal(process.stdout.read(1), b"x")
    return process


def end(daemon, process):
    process.communicate(b"x", timeout=ttlib.SECONDS)
    check_equal(process.returncode, 5)
    return daemon.wait_for_state(process.pid, "exited", "ended")["id"]


def sizes(folder):
    """Of the files, by session."""
    return {path.stem: path.stat().st_size for path in folder.iterdir()}


def wait_for_journal(folder, session, least_bytes):
    ttlib.wait_for(lambda: sizes(folder).get(session, 0) >= least_bytes, "it is written")


@case
def journals_of_what_ended_make_room_the_oldest_first():
    folder = ttlib.temp_dir() / "journal"
    program = ttlib.compile_c(EVENTS, "-w", "-O1")
    with ttlib.Daemon(f"--journal={folder}", f"--journal-limit={LIMIT}") as daemon:
        ids = []
        for _ in range(5):
            process = start(daemon, program, 50000)
            ids.append(end(daemon, process))
            wait_for_journal(folder, ids[-1], 300_000)
            found = sizes(folder)
            check(sum(found.values()) <= LIMIT, f"{found} is more than {LIMIT}")
        kept = [number for number in ids if number in found]
        print(f"# {len(kept)} of {len(ids)} are kept: {found}")
        check(1 <= len(kept) < len(ids), f"kept are {kept} of {ids}")
        check_equal(kept, ids[-len(kept) :], "the newest are kept")
        for number in ids:  # the sessions themselves need no file
            ttlib.check_exact(daemon.export(number))
        (newest,) = [folder / f"{number}.ttrec" for number in ids[-1:]]
        told = daemon.ctl("export", f"--from={newest}", "--json", "--top=1")
        check_equal(told.returncode, 0, told.stderr)
        daemon.stop()
        # What the last daemon left makes room too.
        daemon.start()
        number = end(daemon, start(daemon, program, 75000))
        wait_for_journal(folder, number, 500_000)
        found = sizes(folder)
        check(sum(found.values()) <= LIMIT, f"{found} is more than {LIMIT}")
        check(kept[0] not in found, "the oldest has gone")


@case
def journal_of_what_runs_is_never_given_up_for_another():
    folder = ttlib.temp_dir() / "journal"
    program = ttlib.compile_c(EVENTS, "-w", "-O1")
    with ttlib.Daemon(f"--journal={folder}", f"--journal-limit={LIMIT}") as daemon:
        first = start(daemon, program, 50000)
        (card,) = daemon.sessions()
        wait_for_journal(folder, card["id"], 300_000)
        second = start(daemon, program, 200000)
        ttlib.wait_for(lambda: set(sizes(folder)) == {card["id"]}, "the second has none any more")
        ttlib.wait_for(lambda: f"Process {second.pid} has no journal" in daemon.log(), "it is said")
        check_equal(daemon.log().count("\n"), 1, daemon.log())
        ttlib.check_exact(daemon.export(second.pid))  # it is traced on
        daemon.kill()
        daemon.start()
        for process in (first, second):
            process.stdin.write(b"x")
            process.stdin.flush()
            check_equal(process.wait(ttlib.SECONDS), 5)
        # They are gone before they have found the next daemon: what is known is what was written.
        check_equal(os.listdir(folder), [f"{card['id']}.ttrec"], "what is left")


@case
def journal_of_what_never_came_back_makes_room():
    """Its process ran when the daemon started, and is no more."""
    folder = ttlib.temp_dir() / "journal"
    program = ttlib.compile_c(EVENTS, "-w", "-O1")
    with ttlib.Daemon(f"--journal={folder}", f"--journal-limit={LIMIT}") as daemon:
        away = start(daemon, program, 80000)
        (card,) = daemon.sessions()
        wait_for_journal(folder, card["id"], 500_000)
        daemon.kill()
        daemon.start()
        other = start(daemon, program, 80000)  # there is no room for both
        ttlib.wait_for(lambda: set(sizes(folder)) == {card["id"]}, "the other has none any more")
        end(daemon, other)
        away.kill()
        away.wait()
        number = end(daemon, start(daemon, program, 80000))
        wait_for_journal(folder, number, 500_000)
        check_equal(set(sizes(folder)), {number}, "what is left")


@case
def bound_that_makes_no_sense_is_refused():
    for words in (["--journal=x", "--journal-limit=1000"], ["--journal-limit=2G"]):
        result = ttlib.run([ttlib.TT_DAEMON, *words], ttlib.clean_env())
        check_equal((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
        check("--journal-limit" in result.stderr, result.stderr)


ttlib.main()
