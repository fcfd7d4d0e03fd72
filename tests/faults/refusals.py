#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tt-ctl leaks of processes into whose memory the kernel lets nobody look."""

import os
import subprocess
import traceback

import ttlib
from ttlib import check, check_equal

NOBODY = 65534

# Leaks a block, hides if it is told to, and waits for a byte.
LEAKING = r"""
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char byte;

    malloc(40001);
    if (argc > 1)
        prctl(PR_SET_DUMPABLE, 0);
    write(1, "there\n", 6);
    return read(0, &byte, 1) == 1 ? 3 : 4;
}
"""


class Leaking:
    def __init__(self, daemon, *words):
        self.process = subprocess.Popen(
            [ttlib.compile_c(LEAKING, "-w"), *words],
            env=daemon.preload_env({"TT_LOSSLESS": 1}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self.process.pid
        ttlib.at_end(self.process.kill)
        check_equal(self.process.stdout.readline(), b"there\n")

    def check_goes_on(self):
        self.process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal(self.process.returncode, 3, "the program")


def check_refused(result, pid, *words):
    check_equal((result.returncode, result.stdout), (1, ""), result.stderr)
    check_equal(result.stderr.count("\n"), 1, f"sentences: {result.stderr}")
    for word in (str(pid), *words):
        check(word in result.stderr, f"{word!r} in {result.stderr}")


def forbid(daemon, *words, scope=None):
    """Has tt-ctl run where it may not look; @scope: with such a rule of Yama's to be read."""
    words = [ttlib.build("forbidding.c", "-w"), ttlib.TT_CTL, *words]
    if scope is not None:
        mount = "mount -t tmpfs none /proc/sys/kernel && mkdir /proc/sys/kernel/yama"
        scope_file = "/proc/sys/kernel/yama/ptrace_scope"
        ready = ["unshare", "-m", "sh", "-c", f"{mount} && echo {scope} >{scope_file}"]
        if subprocess.run(ready, capture_output=True).returncode != 0:
            raise ttlib.Skip("no file of Yama's can be feigned here: that takes root")
        words = [*ready[:-1], f'{ready[-1]} && exec "$@"', "sh", *words]
    return ttlib.run(words, daemon.env())


@ttlib.case
def yama_forbids_to_look_into_a_process():
    advice = {
        1: ["start it by tt-ctl leaks -- CMD", "sysctl kernel.yama.ptrace_scope=0"],
        2: ["as root", "sysctl kernel.yama.ptrace_scope=0"],
        3: ["until the machine is started anew"],
    }
    with ttlib.Daemon() as daemon:
        program = Leaking(daemon)
        for scope, words in advice.items():
            result = forbid(daemon, "leaks", program.pid, scope=scope)
            check_refused(result, program.pid, f"kernel.yama.ptrace_scope is {scope}", *words)
        program.check_goes_on()


@ttlib.case
def container_forbids_to_look_into_a_process():
    with ttlib.Daemon() as daemon:
        program = Leaking(daemon)
        check_refused(forbid(daemon, "leaks", program.pid), program.pid, "container", "ptrace(2)")
        program.check_goes_on()


@ttlib.case
def at_its_end_what_was_alive_is_told_all_the_same():
    program = ttlib.compile_c(LEAKING, "-w")
    with ttlib.Daemon() as daemon:
        result = forbid(daemon, "leaks", "--", program)
        check_equal(result.returncode, 4, result.stderr)
        for words in ("40001", "39.1 KiB"), ("does not let us look", "ptrace(2)"):
            check(any(word in result.stdout for word in words), f"{words} in {result.stdout}")


# ---- It hides itself ----


def as_user(call):
    """Root may look into anything: does it as somebody else."""
    pid = os.fork() if os.geteuid() == 0 else None
    if pid is None:
        call()
    elif pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            call()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            ttlib._folders.close()
            os._exit(status)
    else:
        check_equal(os.waitpid(pid, 0)[1], 0, "status of what the other user did")


def check_hidden():
    with ttlib.Daemon() as daemon:
        program = Leaking(daemon, "hide")
        result = daemon.ctl("leaks", program.pid)
        check_refused(result, program.pid, "PR_SET_DUMPABLE", "as root")
        program.check_goes_on()

        # One that we have started hides when we are at it already.
        words = [ttlib.compile_c(LEAKING, "-w"), "hide"]
        result = daemon.ctl("leaks", "--", *words)
        check_equal(result.returncode, 4, result.stderr)
        check("PR_SET_DUMPABLE" in result.stdout, result.stdout)


@ttlib.case
def process_that_hides_itself():
    as_user(check_hidden)


ttlib.main()
