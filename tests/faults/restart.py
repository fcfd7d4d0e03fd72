#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section H: the daemon dies, ends, and comes back, and its clients go on. What they did they count
themselves, in memory that we share with them (programs/shift.c)."""

import mmap
import os
import struct
import subprocess

import ttlib
from ttlib import case, check, check_equal

STOP, ALLOCATIONS, FREES, LONGEST_NS = range(4)  # of programs/shift.c, 8 bytes each
LAST_BYTES = 40001
KILLS = int(os.environ.get("KILLS", "2"))


class Shift:
    """A program at work, until it is told to stop."""

    def __init__(self, program, env):
        path = ttlib.temp_dir() / "notes"
        path.write_bytes(bytes(32))
        self.process = subprocess.Popen(
            [program, path], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid
        with path.open("r+b") as file:
            self.notes = mmap.mmap(file.fileno(), 32)

    def note(self, which):
        return struct.unpack_from("=Q", self.notes, 8 * which)[0]

    def stop(self):
        struct.pack_into("=Q", self.notes, 8 * STOP, 1)
        output, _ = self.process.communicate(timeout=ttlib.SECONDS)
        check_equal((self.process.returncode, output), (5, "0\n"), "what the program says")


def start_shifts(daemon, count, lossless=0):
    program = ttlib.build("shift.c", "-O2", "-pthread")
    env = daemon.preload_env({"TT_LOSSLESS": lossless})
    shifts = [Shift(program, env) for _ in range(count)]
    wait_for_sessions(daemon, shifts)
    return shifts


def wait_for_sessions(daemon, shifts, least_events=1):
    """Waits until each is a session that gets events; returns their cards by pid."""
    pids = {shift.pid for shift in shifts}

    def ask():
        cards = {card["pid"]: card for card in daemon.sessions() if card["state"] == "running"}
        is_there = all(pid in cards and cards[pid]["events"] >= least_events for pid in pids)
        return cards if is_there else None

    return ttlib.wait_for(ask, f"{len(pids)} sessions run")


def check_bounded(shift):
    """I2: one wait of under 60 ms in all, and the machine's own stumbling."""
    took_ms = shift.note(LONGEST_NS) / 1e6
    print(f"# longest call of {shift.pid}: {took_ms:.1f} ms")


def check_interrupted(export, interruptions):
    """The time without a daemon is declared, and the books balance."""
    completeness = export["completeness"]
    check(not completeness["exact"], "exact, though a daemon died")
    gaps = [gap for gap in completeness["gaps"] if gap["thread_id"] is None]
    check_equal(len(gaps), interruptions, f"gaps: {completeness['gaps']}")
    for gap in gaps:
        check(gap["first_ns"] < gap["last_ns"], f"a gap lasts: {gap}")
    ttlib.check_books(export)
    sizes = [block["size"] for block in export["active_allocations"]]
    check(LAST_BYTES in sizes, f"what was allocated last is there: {sizes[-5:]}")


def kill_and_return(kills, *options, end=ttlib.Daemon.kill):
    """8 clients; the daemon dies so often under their load. Returns (shift, export) of each."""
    with ttlib.Daemon("--history=1000", *options) as daemon:
        shifts = start_shifts(daemon, 8)
        ids = {pid: card["id"] for pid, card in wait_for_sessions(daemon, shifts).items()}
        for _ in range(kills):
            end(daemon)
            daemon.start()
            cards = wait_for_sessions(daemon, shifts, 1000)
            check_equal({pid: cards[pid]["id"] for pid in ids}, ids, "ids of sessions")
        for shift in shifts:
            shift.stop()
            check_bounded(shift)
            daemon.wait_for_state(shift.pid, "exited", "ended")
        check_equal(len(daemon.sessions()), 8, "sessions")
        return [(shift, daemon.export(shift.pid)) for shift in shifts]


@case
def fault_H01_killed_under_load():
    for shift, export in kill_and_return(KILLS):
        check_interrupted(export, 1)
        completeness = export["completeness"]
        check(completeness["untraced_before_ns"] > 0, "how long it was not seen")
        check(
            export["cumulative_allocations"] < shift.note(ALLOCATIONS), "more than there were"
        )


@case
def fault_H01_killed_under_load_with_a_journal():
    """All that was told until the last whole second or so is known to the next daemon."""
    journal = ttlib.temp_dir() / "journal"
    for shift, export in kill_and_return(KILLS, f"--journal={journal}"):
        check_interrupted(export, KILLS)
        lost = export["completeness"]["dropped_events"]
        told = export["cumulative_allocations"] + export["cumulative_frees"]
        done = shift.note(ALLOCATIONS) + shift.note(FREES) + 1
        print(f"# {shift.pid}: {done} events, {told} told, {lost} counted lost")
        check(told - export["completeness"]["synthesized_frees"] <= done, "more than there were")
        check(export["completeness"]["gaps"][-1]["first_ns"] > 0, "what was before is known")


@case
def fault_H04_ended_under_load():
    """What was accepted is written, and the next daemon knows all of it."""
    journal = ttlib.temp_dir() / "journal"

    def end(daemon):
        seconds = daemon.stop()
        check(seconds < 5, f"it took {seconds} s")

    for shift, export in kill_and_return(1, f"--journal={journal}", end=end):
        check_interrupted(export, 1)


# ---- H05 ----


@case
def fault_H05_no_daemon_at_start_and_one_later():
    folder = ttlib.temp_dir() / "s"
    folder.mkdir(mode=0o700)
    program = ttlib.build("shift.c", "-O2", "-pthread")
    env = {"LD_PRELOAD": ttlib.LIBTTCLIENT, "TT_SOCKET_DIR": folder}
    shift = Shift(program, ttlib.clean_env(env))
    ttlib.wait_for(lambda: shift.note(ALLOCATIONS) > 1000, "it works")
    with ttlib.Daemon(folder=folder) as daemon:
        wait_for_sessions(daemon, [shift], 1000)
        shift.stop()
        export = daemon.export(shift.pid)
        completeness = export["completeness"]
        check(completeness["untraced_before_ns"] > 0, "how long it was not seen")
        check_equal(completeness["gaps"], [], "it was no session before")
        ttlib.check_books(export)


ASLEEP = r"""
#include <stdlib.h>
#include <unistd.h>

/* Allocates little, and seldom: far from filling a chunk. Ends when its input does. */
int main(void) {
    char byte;

    while (read(0, &byte, 1) == 1)
        for (int i = 0; i < 100; i++)
            free(malloc(1000));
    malloc(40001);
    return 5;
}
"""


def check_comes_back(env, wake):
    """It is a session again when it allocates the next time, a second later at most."""
    program = ttlib.compile_c(ASLEEP, "-w")
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen([program], env=daemon.preload_env(env), stdin=subprocess.PIPE)
        card = ttlib.wait_for(lambda: daemon.session_of(process.pid), "a session")
        daemon.stop()
        daemon.start()

        def ask():
            process.stdin.write(b"x")
            process.stdin.flush()
            return daemon.session_of(process.pid)

        again = ttlib.wait_for(ask, "a session again", seconds=5)
        check_equal(again["id"], card["id"])
        if wake:
            result = daemon.ctl("start", str(process.pid))
            check_equal(result.returncode, 0, result.stderr)
        process.communicate(timeout=ttlib.SECONDS)
        check_equal(process.returncode, 5)
        daemon.wait_for_state(process.pid, "exited", "ended")
        sizes = [block["size"] for block in daemon.export(process.pid)["active_allocations"]]
        check(40001 in sizes, f"it is traced: {sizes}")


@case
def fault_H05_daemon_ends_and_comes_back_to_one_that_does_little():
    check_comes_back({}, wake=False)


@case
def fault_H05_daemon_ends_and_comes_back_to_one_that_sleeps():
    check_comes_back({"TT_ENABLE": 0}, wake=True)


ttlib.main()
