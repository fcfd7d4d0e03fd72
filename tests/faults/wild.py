#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""G09, from the other side: a program whose wild stores hit the lanes that it shares with the daemon."""

import subprocess

import ttlib
from manager import Manager
from ttlib import check, check_equal

STRIKES = (
    "nothing", "written-less", "written-more", "written-all-ones", "read-less", "read-more",
    "daemons-line", "events", "chunks", "session", "private", "all",
)  # fmt: skip

# What the bytes of `chunks` say where they are read as events: blocks of this size, of a lane whose
# damage is declared.
FILLER_SIZE = 0xA5A5


class Wild:
    def __init__(self, program, daemon, words, lossless):
        self.what = " ".join(words)
        self.count = ttlib.temp_dir() / "count"
        self.process = subprocess.Popen(
            [program, *words],
            env=daemon.preload_env({"TT_LOSSLESS": lossless}, counted=self.count),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        ttlib.at_end(self.process.kill)

    def expect(self, word):
        said = self.process.stdout.readline()
        check_equal(said, f"{word}\n", f"{self.what}, status {self.process.poll()}")

    def go_on(self):
        self.process.stdin.write("x")
        self.process.stdin.flush()

    def check_end(self, daemon):
        output, _ = self.process.communicate(timeout=10)
        check_equal((self.process.returncode, output), (5, "done\n"), self.what)
        daemon.wait_for_state(self.pid, "exited", "ended")
        export = daemon.export(self.pid)
        completeness = export["completeness"]
        told = {key: completeness[key] for key in ("dropped_events", "gaps", "doubts")}
        print(f"# {self.what}: {export['cumulative_allocations']} allocations, {told}")
        ttlib.check_books(export)
        if completeness["exact"]:
            ttlib.check_exact(export)
            ttlib.check_counted(export, ttlib.read_count(self.count))
        else:
            check(any(told.values()), f"{self.what}: not exact, and does not say why")
        return export


def check_strikes(lossless):
    program = ttlib.build("wild.c", "-O1", f"-I{ttlib.SOURCE}")
    with ttlib.Daemon("--history=100") as daemon:
        unread = [Wild(program, daemon, [what], lossless) for what in STRIKES]
        read = [Wild(program, daemon, [what, "read"], lossless) for what in STRIKES if lossless]
        for one in read:
            one.expect("there")
            daemon.export(one.pid)
            one.go_on()
        for one in unread + read:
            one.expect("struck")
            daemon.export(one.pid)  # the daemon has seen what there is to see
            one.go_on()
        for one in unread + read:
            export = one.check_end(daemon)
            if lossless and one.what.startswith("nothing"):
                ttlib.check_exact(export)
            if lossless and not one.what.startswith("private"):
                left = [size for size in ttlib.left(export) if size != FILLER_SIZE]
                check_equal(left, [40001], f"{one.what}: it is traced at its end")


@ttlib.case
def fault_G09_wild_store_into_a_lane():
    check_strikes(lossless=0)


@ttlib.case
def fault_G09_wild_store_into_a_lane_of_one_that_waits():
    """Not for room that never comes: what is lost is declared, and it is traced on in another lane."""
    check_strikes(lossless=1)


@ttlib.case
def fault_G09_wild_store_while_there_is_no_daemon():
    """The next one cannot tell who put the program to sleep; but that it slept."""
    program = ttlib.build("wild.c", "-O1", f"-I{ttlib.SOURCE}")
    manager = Manager(f"--journal={ttlib.temp_dir() / 'journal'}")
    manager.start()
    one = Wild(program, manager.client, ["session", "read"], lossless=1)
    one.expect("there")
    manager.stop()
    one.go_on()
    one.expect("struck")
    manager.start()
    one.go_on()
    (doubt,) = one.check_end(manager.client)["completeness"]["doubts"]
    check("asleep" in doubt, doubt)
    manager.close()


ttlib.main()
