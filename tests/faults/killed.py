#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section F: programs that are killed at any moment lose nothing that they had recorded.

TT_SEED=N gives a seed back; TT_ROUNDS=N kills that many (F01), and more than 200 of a thousand at once.
"""

import collections
import contextlib
import itertools
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import time

import tracer
import ttlib
from ttlib import case, check, check_equal

SEED = int(os.environ.get("TT_SEED") or random.randrange(1 << 32))
ROUNDS = int(os.environ.get("TT_ROUNDS", 200))
AT_ONCE = 10  # looked at together

# ---- Programs that note what they do: programs/noted.c ----

NONE = 99  # as the layout below
BLOCKS = 64
NOTES = struct.Struct(f"={5 + 2 * BLOCKS}Q")


class Notes:
    """What a thread of noted.c had done when it was killed."""

    def __init__(self, row):
        self.tid, self.steps, self.allocations, self.frees, self.next = row[:5]
        self.blocks = list(zip(row[5::2], row[6::2]))
        self.is_busy = self.next != NONE


def read_notes(path):
    """Nothing of one that did not come to make its file."""
    if not path.exists():
        return []
    return [Notes(row) for row in NOTES.iter_unpack(path.read_bytes())]


class Noted:
    """The program at work."""

    def __init__(self, program, daemon, *words, begin=None, **env):
        self.path = ttlib.temp_dir() / "notes"
        self.process = subprocess.Popen(
            [program, self.path, *words],
            env=daemon.preload_env(env),
            stdin=subprocess.PIPE if words else None,
            preexec_fn=begin,
        )
        self.pid = self.process.pid
        ttlib.at_end(self.kill)

    def steps(self):
        return sum(notes.steps for notes in read_notes(self.path))

    def wait_for_steps(self, count):
        ttlib.wait_for(lambda: self.steps() >= count, f"{count} steps")

    def kill(self):
        self.process.kill()
        self.process.wait()


def check_notes(export, notes):
    """All that was noted as done is there, once; of the call that was under way, what may be."""
    told = {thread["thread_id"]: thread for thread in export["threads"]}
    live = {}
    for block in export["active_allocations"]:
        check(block["ptr"] not in live, f"two live blocks at {block['address']}")
        live[block["ptr"]] = block["size"]
    for thread in notes:
        # Its notes may be behind what it did, by one call; never ahead.
        if thread.tid not in told:
            check(thread.steps == 0, f"thread {thread.tid} is missing, {thread.steps} steps done")
            continue
        for key in ("allocations", "frees"):
            noted = getattr(thread, key)
            what = f"{key} of thread {thread.tid}"
            ttlib.check_between(told[thread.tid][key], noted, noted + thread.is_busy, what)
        for k, (address, size) in enumerate(thread.blocks):
            if address and not (thread.is_busy and thread.next == k):
                check_equal(live.get(address), size, f"size of the block at {address:#x}")


def wait_for_killed(daemon, all_noted):
    pids = {noted.pid for noted in all_noted}
    ttlib.wait_for(
        lambda: pids <= {s["pid"] for s in daemon.sessions() if s["state"] == "killed"},
        f"sessions of {pids} are seen killed",
    )


def check_killed(export, noted, synthesized_most=0):
    end = export["process"]["state"], export["process"]["signal"]
    check_equal(end, ("killed", 9), "end")
    check_notes(export, read_notes(noted.path))
    ttlib.check_books(export)
    for key in ("dropped_events", "unknown_frees", "double_frees", "synthesized_frees"):
        most = synthesized_most if key == "synthesized_frees" else 0
        what = f"{key}, of {export['cumulative_frees']} frees"
        ttlib.check_between(export["completeness"][key], 0, most, what)


@case
def fault_F01_killed_at_random_moments():
    program = ttlib.build("noted.c", "-O2", "-pthread")
    draw = random.Random(SEED)
    with ttlib.Daemon("--history=0") as daemon:
        for _ in range(0, ROUNDS, AT_ONCE):
            all_noted = []
            for _ in range(AT_ONCE):
                noted = Noted(program, daemon, TT_LOSSLESS=1)
                all_noted.append(noted)
                noted.wait_for_steps(1)
                time.sleep(draw.uniform(0, 0.005))
                noted.kill()
            wait_for_killed(daemon, all_noted)
            for noted in all_noted:
                check_killed(daemon.export(noted.pid), noted)


# ---- F03 ----

FIRST = 60  # stops from the connection on, up to the first events


def kill_at(noted, stop):
    """Kills it as it makes its connection, or so many stops later, before it waits for its threads.
    Returns what calls it stopped at."""
    calls = tracer.follow(noted.pid)
    check(tracer.SOCKET in calls, "it connects")
    until = itertools.takewhile(lambda call: call != tracer.FUTEX, calls)
    made = [tracer.SOCKET, *itertools.islice(until, stop)]
    noted.kill()
    return made


@case
def fault_F03_killed_from_the_first_contact_on():
    """At each system call, made or returned: before the hello, between that and the memory, between
    modules. The daemon can tell nothing apart that lies between two of them, but for the events."""
    program = ttlib.build("noted.c", "-O2", "-pthread")
    draw = random.Random(SEED)
    told = {}
    with ttlib.Daemon("--history=0", "--sessions=1000") as daemon:

        def begin_and_kill(stop):
            noted = Noted(program, daemon, begin=tracer.be_followed, TT_LOSSLESS=1)
            told[noted] = kill_at(noted, stop)
            return len(told[noted])

        all_stops = begin_and_kill(None)
        first, later = range(FIRST), range(FIRST, all_stops)
        if ROUNDS <= 200:
            first, later = draw.sample(first, FIRST // 2), draw.sample(later, 5)
        for stop in [*first, *later]:
            begin_and_kill(stop)
        ttlib.wait_for(lambda: list_states(daemon).keys() == {"killed"}, "no ghost stays")
        known = {card["pid"] for card in daemon.sessions()}
        for noted, calls in told.items():
            if noted.pid in known:
                check_killed(daemon.export(noted.pid), noted)
            # It says hello by the first message, and the answer brings the memory.
            if tracer.SENDMSG not in calls:
                check(noted.pid not in known, f"nothing said by {calls}")
            if tracer.MUNLOCK in calls:
                check(noted.pid in known, f"it has its lanes, by {calls}")
    ttlib.check_between(len(known), len(told) // 3, len(told) - 1, "sessions")


# ---- F04 ----


class MemoryGroup:
    """A control group of its own with so much memory and no swap, of whichever version the machine
    has; Skip where none can be made."""

    VERSIONS = (  # where it is mounted, limits, who counts the kills
        ("memory", ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), "memory.oom_control"),
        ("", ("memory.max", "memory.swap.max"), "memory.events"),
    )

    def __init__(self, limit):
        for mount, limits, self.counter in self.VERSIONS:
            root = pathlib.Path("/sys/fs/cgroup") / mount
            if (root / "cgroup.procs").exists():
                break
        self.path = root / f"tt-faults-{os.getpid()}"
        try:
            self.path.mkdir()
            ttlib.at_end(lambda: ttlib.wait_for(self._has_gone, f"{self.path} is empty"))
            (self.path / limits[0]).write_text(str(limit))
            if (self.path / limits[1]).exists():  # the kernel may count no swap
                (self.path / limits[1]).write_text("0" if mount == "" else str(limit))
        except OSError as error:
            raise ttlib.Skip(f"no control group of memory is to be had: {error}")

    def _has_gone(self):
        try:
            self.path.rmdir()
        except OSError:
            return False
        return True

    def enter(self):
        """Puts the calling process there."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def count_kills(self):
        lines = (self.path / self.counter).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])


@case
def fault_F04_killed_for_want_of_memory():
    """By the kernel, for its group's limit, which its lanes count for; with 500 threads at work, and
    with events that nobody has read."""
    program = ttlib.build("noted.c", "-O2", "-pthread", "-DTHREADS=500")
    group = MemoryGroup(512 << 20)
    with ttlib.Daemon("--history=0") as daemon:
        noted = Noted(program, daemon, "hungry", begin=group.enter, TT_LOSSLESS=1)
        noted.wait_for_steps(1)
        ttlib.wait_for(
            lambda: all(thread.steps >= BLOCKS for thread in read_notes(noted.path)),
            "all threads are at work",
        )
        daemon.signal(signal.SIGSTOP)
        noted.process.stdin.close()
        check_equal(noted.process.wait(60), -signal.SIGKILL, "status")
        daemon.signal(signal.SIGCONT)
        check_equal(group.count_kills(), 1, "processes that the group's limit has killed")
        wait_for_killed(daemon, [noted])
        export = daemon.export(noted.pid)
        # A thread in realloc had given up the block, and another has got its address.
        busy = sum(thread.is_busy for thread in read_notes(noted.path))
        check_killed(export, noted, busy if export["completeness"]["doubts"] else 0)
        check_equal(len(export["threads"]), 501, "threads")


# ---- F09, F10 ----


def kill_behind_stopped_daemon(daemon, program, draw, steps):
    """While nobody reads, it fills its lanes and dies. Returns it and its export."""
    noted = Noted(program, daemon)
    noted.wait_for_steps(draw.randrange(1, 5000))
    daemon.signal(signal.SIGSTOP)
    noted.wait_for_steps(noted.steps() + steps)
    noted.kill()
    daemon.signal(signal.SIGCONT)
    wait_for_killed(daemon, [noted])
    return noted, daemon.export(noted.pid)


@case
def fault_F09_killed_with_events_that_nobody_has_read():
    program = ttlib.build("noted.c", "-O2", "-pthread")
    draw = random.Random(SEED)
    whole = 0
    with ttlib.Daemon("--history=0") as daemon:
        for _ in range(5):
            noted, export = kill_behind_stopped_daemon(daemon, program, draw, 1)
            if export["completeness"]["dropped_events"] == 0:
                check_killed(export, noted)
                whole += 1
    check(whole > 0, "one was killed before its lanes were full")


@case
def fault_F10_all_that_full_lanes_held():
    """What found no room is counted, to the last event; what did is there."""
    program = ttlib.build("noted.c", "-O2", "-pthread")
    draw = random.Random(SEED)
    with ttlib.Daemon("--history=0") as daemon:
        noted, export = kill_behind_stopped_daemon(daemon, program, draw, 2_000_000)
    completeness = export["completeness"]
    check(completeness["dropped_events"] > 0, "the lanes were full")
    check_equal(completeness["exact"], False, "exact")
    ttlib.check_books(export)
    told = {thread["thread_id"]: thread for thread in export["threads"]}
    notes = read_notes(noted.path)
    most = sum(thread.allocations + thread.frees + 2 * thread.is_busy for thread in notes)
    # A realloc is one drop of a thread that asked for its lane when nobody answered; and of one
    # whose beginning found room, but not its end, the old block is not seen to have been freed.
    least = sum(n.allocations + n.frees - 1 if n.tid in told else n.steps for n in notes)
    seen = sum(told[n.tid]["allocations"] + told[n.tid]["frees"] for n in notes if n.tid in told)
    ttlib.check_between(seen + completeness["dropped_events"], least, most, "all events")
    check_equal(export["process"]["state"], "killed")


# ---- F12 ----

MANY = r"""
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int count = atoi(argv[1]);
    _Atomic int *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *volatile block = malloc(1000);

    for (int i = 1; i < count; i++)
        if (fork() == 0) {
            block = malloc(2000);
            atomic_fetch_add(ready, 1);
            for (;;)
                pause();
        }
    while (atomic_load(ready) < count - 1)
        usleep(1000);
    kill(0, SIGKILL);
}
"""


def count_descriptors(daemon):
    """Those that sessions have: sockets, memory, processes. Threads have eventfds, which come and stay
    with the first that is asked of the daemon."""
    folder = f"/proc/{daemon.pid}/fd"
    targets = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            targets.append(os.readlink(f"{folder}/{name}"))
    return sum(target != "anon_inode:[eventfd]" for target in targets)


def list_states(daemon):
    """How many are in each; empty where the daemon has too much to do for an answer."""
    result = daemon.ctl("list", "--json")
    return collections.Counter(card["state"] for card in json.loads(result.stdout or "[]"))


def check_many_killed(count):
    program = ttlib.compile_c(MANY, "-w")
    with ttlib.Daemon(f"--sessions={count}") as daemon:
        before = count_descriptors(daemon)
        process = subprocess.Popen(
            [program, str(count)], env=daemon.preload_env(), start_new_session=True
        )
        check_equal(process.wait(300), -signal.SIGKILL, "status")
        # All are kept, but for a few that waited in vain for a daemon with so much to do.
        ttlib.wait_for(lambda: set(list_states(daemon)) == {"killed"}, "all are killed", 300)
        ttlib.check_between(list_states(daemon)["killed"], count * 9 // 10, count, "sessions")
        ttlib.wait_for(lambda: count_descriptors(daemon) <= before, "no descriptor is left", 300)


if ROUNDS > 200:
    ttlib.add_case("fault_F12_a_thousand_killed_at_once", lambda: check_many_killed(1000))


if __name__ == "__main__":
    print(f"# TT_SEED={SEED}")
    ttlib.main()
