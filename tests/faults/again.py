#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sections F and H: a program is traced again, and says so itself. What it did a counter of its own
counts; as it makes no call while it is untraced, all of that is told or counted lost."""

import errno
import os
import pathlib
import signal
import subprocess

import tracer
import ttlib
from ttlib import case, check, check_equal

MANY = 20000  # times a millisecond: until it is there, or the test has failed


class Asking:
    """A running programs/asking.c, which also counts what it did."""

    def __init__(self, daemon, *words, lossless=0, preexec_fn=None):
        flags = ["-O1", "-D_GNU_SOURCE", "-pthread", f"-I{ttlib.SOURCE / 'client'}"]
        self.words = [str(ttlib.build("asking.c", *flags, "-w", str(ttlib.LIBTTCLIENT))), *words]
        self.count = ttlib.temp_dir() / "count"
        self.process = subprocess.Popen(
            self.words,
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
    program.end()
    daemon.wait_for_state(program.pid, "exited", "ended")
    ttlib.check_told_or_lost(daemon, program.pid, program.count)


def kill(daemon, program):
    daemon.kill()
    check_equal(program.init(times=1), [errno.ECONNREFUSED], "the daemon was killed")


def start(daemon, program):
    daemon.start()
    check_equal(program.init()[-1], 0, "traced again")


@case
def fault_H05_init_sees_that_the_daemon_is_gone():
    """Far from its next chunk, in which the program would notice it by itself."""
    with ttlib.Daemon("--history=1000") as daemon:
        program = Asking(daemon)
        check_equal(program.init()[-1], 0, "traced")
        for _ in range(2):
            program.do("work 10")
            kill(daemon, program)
            start(daemon, program)
        program.do("work 100")
        check_told_and_lost(daemon, program)


@case
def fault_H01_answer_is_waited_for_however_often_it_is_asked_for():
    """A daemon that is slow to begin: nobody hangs up on it, to come again."""
    with ttlib.Daemon("--history=1000") as daemon:
        program = Asking(daemon)
        check_equal(program.init()[-1], 0, "traced")
        for _ in range(2):
            program.do("work 1000")
            kill(daemon, program)
            daemon.start()
            daemon.signal(signal.SIGSTOP)
            check_equal(program.init(times=500), [errno.EINPROGRESS], "before an answer")
            daemon.signal(signal.SIGCONT)
            check_equal(program.init()[-1], 0, "traced again")
        program.do("work 1000")
        check_equal([line for line in daemon.log().splitlines() if "refused" in line], [])
        check_told_and_lost(daemon, program)


@case
def fault_H01_events_without_a_lane_are_counted_after_a_kill():
    journal = ttlib.temp_dir() / "journal"
    for options in ([], [f"--journal={journal}"]):
        with ttlib.Daemon("--history=1000", *options) as daemon:
            program = Asking(daemon)
            check_equal(program.init()[-1], 0, "traced")
            program.do("laneless 100")
            ttlib.wait_for(
                lambda: daemon.session_of(program.pid)["dropped_events"] >= 200, "it is declared"
            )
            kill(daemon, program)
            start(daemon, program)
            program.do("work 100")
            check_told_and_lost(daemon, program)


@case
def fault_H01_child_that_is_traced_late_counts_its_own_events():
    """Forked while no daemon is there, it finds the next one, and one after that."""
    with ttlib.Daemon() as daemon:
        program = Asking(daemon)
        check_equal(program.init()[-1], 0, "traced")
        program.do("work 5000")
        daemon.kill()
        child = int(program.do("fork"))
        check_equal(program.init(times=1), [errno.ECONNREFUSED], "the daemon was killed")
        start(daemon, program)
        for _ in range(2):
            program.do("work 100")
            kill(daemon, program)
            start(daemon, program)
        program.end()
        daemon.wait_for_state(child, "exited", "ended")
        check_equal(daemon.export(child)["completeness"]["dropped_events"], 400, "lost")


# ---- Programs that overwrite what they were given, as servers do for a title of their own ----


@case
def fault_A26_command_line_that_is_taken_away():
    """nginx takes words out of argv before it forks, GLib those that it knows; others free them."""
    with ttlib.Daemon() as daemon:
        program = Asking(daemon, "one", "two")
        program.do("drop")
        child = int(program.do("fork"))
        check_equal(program.init()[-1], 0, "the child is traced")
        kill(daemon, program)
        start(daemon, program)
        program.do("work 100")
        program.end()
        daemon.wait_for_state(child, "exited", "ended")
        process = daemon.export(child)["process"]
        check_equal(process["command_line"], program.words, "as it was at the start")


@case
def fault_A26_environment_that_is_written_over():
    """A longer title needs the room. What it forks finds its daemon all the same, and the next."""
    with ttlib.Daemon() as daemon:
        program = Asking(daemon)
        program.do("overwrite")
        child = int(program.do("fork"))
        check_equal(program.init()[-1], 0, "the child is traced")
        kill(daemon, program)
        start(daemon, program)
        program.end()
        check_equal(daemon.wait_for_state(child, "exited", "ended")["pid"], child)


def is_in_futex(pid, tid):
    """Does a thread wait there?"""
    return pathlib.Path(f"/proc/{pid}/task/{tid}/syscall").read_text().startswith("202 ")


@case
def fault_H01_event_between_two_sessions_is_counted():
    """A thread is in a hook, waiting for room, when the daemon dies, and is held there by a handler
    until the program is traced again: its event belongs to no session."""
    with ttlib.Daemon("--history=1000") as daemon:
        program = Asking(daemon, lossless=1)
        check_equal(program.init()[-1], 0, "traced")
        daemon.signal(signal.SIGSTOP)
        tid = program.do("begin")
        try:
            ttlib.wait_for(lambda: is_in_futex(program.pid, tid), "its lane is full")
        except PermissionError as error:
            raise ttlib.Skip(f"nobody may see where a thread waits: {error}")
        program.do("hold")
        kill(daemon, program)
        start(daemon, program)
        program.do("let go")
        check_told_and_lost(daemon, program)


# ---- Between the last look for an answer and the end of the connection ----

LOWEST_FD = 100  # of the client's own


def is_hang_up(pid, call):
    return call == tracer.CLOSE and tracer.first_argument(pid) >= LOWEST_FD


@case
def fault_F03_answer_comes_while_the_program_hangs_up():
    """It has waited long enough, and is served just then: so the daemon knows a session of which the
    program knows nothing. It must not be refused for that."""
    with ttlib.Daemon() as daemon:
        daemon.signal(signal.SIGSTOP)
        program = Asking(daemon, preexec_fn=tracer.be_followed)
        calls = tracer.follow(program.pid)
        check(any(is_hang_up(program.pid, call) for call in calls), "it hangs up")
        daemon.signal(signal.SIGCONT)
        ttlib.wait_for(lambda: daemon.session_of(program.pid), "it was served")
        tracer.let_go(program.pid)
        given = program.init(times=2000)
        check_equal(given[-1], 0, f"traced: {given}; the daemon's log:\n{daemon.log()}")
        program.do("work 1000")
        program.end()
        daemon.wait_for_state(program.pid, "exited", "ended")
        check(daemon.session_of(program.pid)["events"] >= 2000, "what it did then is there")


ttlib.main()
