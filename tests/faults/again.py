#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sections F and H: a program is traced again, and says so itself. What it did a counter of its own
counts; as it makes no call while it is untraced, all of that is told or counted lost."""

import errno
import subprocess

import ttlib
from ttlib import case, check, check_equal

MANY = 20000  # times a millisecond: until it is there, or the test has failed


class Asking:
    """A running programs/asking.c, which also counts what it did."""

    def __init__(self, daemon, lossless=0, preexec_fn=None):
        flags = ["-O1", "-D_GNU_SOURCE", "-pthread", f"-I{ttlib.SOURCE / 'client'}"]
        program = ttlib.build("asking.c", *flags, "-w", str(ttlib.LIBTTCLIENT))
        self.count = ttlib.temp_dir() / "count"
        self.process = subprocess.Popen(
            [program],
            env=daemon.preload_env({"TT_LOSSLESS": lossless}, counted=self.count),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=preexec_fn,
        )
        self.pid = self.process.pid
        ttlib.at_end(self.process.kill)

    def tell(self, word):
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        check(line, "the program goes on")
        return line.strip()

    def do(self, word):
        self.tell(word)
        return self.answer()

    def init(self, times=MANY):
        """What tt_init() gave, as numbers of errors; 0 is the last."""
        return [-int(word) for word in self.do(f"init {times}").split()]

    def end(self):
        self.process.stdin.close()
        check_equal(self.process.wait(ttlib.SECONDS), 5)


def check_told_and_lost(daemon, program):
    """To the event."""
    program.end()
    daemon.wait_for_state(program.pid, "exited", "ended")
    told = daemon.session_of(program.pid)["events"]
    export = daemon.export(program.pid)
    ttlib.check_books(export)
    lost = export["completeness"]["dropped_events"]
    count = ttlib.read_count(program.count)
    done = count["allocations"] + count["frees"]
    print(f"# {done} events, {told} told, {lost} lost")
    check_equal(told + lost, done, f"{told} told and {lost} lost: events")


@case
def fault_H05_init_sees_that_the_daemon_is_gone():
    """Far from its next chunk, in which the program would notice it by itself."""
    with ttlib.Daemon("--history=1000") as daemon:
        program = Asking(daemon)
        check_equal(program.init()[-1], 0, "traced")
        for _ in range(2):
            program.do("work 10")
            daemon.kill()
            check_equal(program.init(times=1), [errno.ECONNREFUSED], "the daemon was killed")
            daemon.start()
            check_equal(program.init()[-1], 0, "traced again")
        program.do("work 100")
        check_told_and_lost(daemon, program)


ttlib.main()
