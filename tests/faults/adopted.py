#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section H: what goes over to the next daemon, of sessions whose connections the service manager keeps,
beside their events (restart.py)."""

import json
import os
import pathlib
import signal
import subprocess

import ttlib
from manager import Manager, stopped_thread
from ttlib import case, check, check_equal

FUTEX = "202 "  # the number of the system call

LOSSY = r"""
#include <stdlib.h>
#include <unistd.h>

static void churn(int pairs) {
    for (int i = 0; i < pairs; i++)
        free(malloc(100));
}

/* After a byte of input more than a lane holds, which it says; after another more than a chunk. */
int main(void) {
    char byte;

    churn(1);
    read(0, &byte, 1);
    churn(200000);
    write(1, "x", 1);
    read(0, &byte, 1);
    churn(10000);
    return 5;
}
"""


@case
def fault_H14_what_was_dropped_is_known_to_the_next_daemon():
    """The thread that dropped it has not come to say so; and when it does it is told once."""
    program = ttlib.compile_c(LOSSY, "-w", "-O1")
    folder = ttlib.temp_dir() / "journal"
    count = ttlib.temp_dir() / "count"
    manager = Manager("--history=100", f"--journal={folder}")
    manager.start()
    process = subprocess.Popen(
        [program],
        env=manager.client.preload_env(counted=count),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    ttlib.at_end(process.kill)
    ttlib.wait_for(lambda: manager.client.session_of(process.pid), "a session")
    manager.daemon.send_signal(signal.SIGSTOP)
    process.stdin.write(b"x")
    process.stdin.flush()
    check_equal(process.stdout.read(1), b"x")
    manager.daemon.send_signal(signal.SIGCONT)

    def is_all_read():
        card = manager.client.session_of(process.pid)
        return card["events"] + card["dropped_events"] == 400002 and card["dropped_events"] > 1000

    ttlib.wait_for(is_all_read, "what is in the lane is read, and the rest is dropped")
    before = manager.client.export(process.pid)
    manager.stop()
    manager.start()
    export = manager.client.export(process.pid)
    check_equal(export["completeness"], before["completeness"], "what is declared")
    process.communicate(b"x", timeout=ttlib.SECONDS)
    check_equal(process.returncode, 5)
    manager.client.wait_for_state(process.pid, "exited", "ended")
    completeness = ttlib.check_told_or_lost(manager.client, process.pid, count)
    check(completeness["gaps"], "the thread has said it")
    manager.stop()
    manager.start()
    (path,) = folder.iterdir()
    told = manager.client.ctl("export", f"--from={path}", "--json")
    check_equal(told.returncode, 0, told.stderr)
    check_equal(json.loads(told.stdout)["completeness"], completeness, "the same by the journal")
    manager.close()


MARKING = r"""
#include <stdlib.h>
#include <ttclient.h>
#include <unistd.h>

/* Waits between its marks, and allocates nothing there. */
int main(void) {
    char byte;

    malloc(40000);
    tt_mark("ready");
    read(0, &byte, 1);
    tt_mark("served");
    write(1, "x", 1);
    read(0, &byte, 1);
    malloc(40001);
    tt_mark("over");
    return 5;
}
"""


@case
def fault_H14_marks_without_events_are_told_once():
    """Those of which the last daemon told, and those that came while there was none."""
    link = [f"-I{ttlib.SOURCE / 'client'}", str(ttlib.LIBTTCLIENT)]
    program = ttlib.compile_c(MARKING, "-w", *link)
    manager = Manager(f"--journal={ttlib.temp_dir() / 'journal'}")
    manager.start()
    process = subprocess.Popen(
        [program], env=manager.client.preload_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    ttlib.at_end(process.kill)
    marks = lambda: [mark["name"] for mark in manager.client.export(process.pid)["marks"]]
    ttlib.wait_for(lambda: manager.client.session_of(process.pid), "a session")
    ttlib.wait_for(lambda: marks() == ["ready"], "it is ready")
    result = manager.client.ctl("mark", "asked for", str(process.pid))
    check_equal(result.returncode, 0, result.stderr)
    manager.stop()
    manager.start()
    check_equal(marks(), ["ready", "asked for"])
    manager.stop()
    process.stdin.write(b"x")
    process.stdin.flush()
    check_equal(process.stdout.read(1), b"x")
    manager.start()
    check_equal(marks(), ["ready", "asked for", "served"])
    process.communicate(b"x", timeout=ttlib.SECONDS)
    check_equal(process.returncode, 5)
    manager.client.wait_for_state(process.pid, "exited", "ended")
    check_equal(marks(), ["ready", "asked for", "served", "over"])
    ttlib.check_exact(manager.client.export(process.pid))
    manager.close()


FORKING = r"""
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) void add(void) {
    malloc(40001);
}

/* After a byte of input a child, which allocates where its parent did, and at each byte again. */
int main(void) {
    char byte;

    for (int i = 0; i < 2; i++)
        add();
    read(0, &byte, 1);
    if (fork() == 0) {
        do {
            add();
            write(1, "x", 1);
        } while (read(0, &byte, 1) == 1);
        _exit(0);
    }
    wait(NULL);
    return 5;
}
"""


def kill(manager):
    """Ends the daemon, of which a thread is stopped."""
    manager.hear()
    manager.daemon.kill()


def terminate(manager):
    """Has the daemon end, of which a thread is stopped, as far as it comes without that one."""
    process = pathlib.Path(f"/proc/{manager.daemon.pid}")
    events = f"socket:[{os.fstat(manager.listeners[0].fileno()).st_ino}]"

    def is_waiting():
        """It takes no more programs, and its main thread stands still."""
        names = [at.resolve().name for at in (process / "fd").iterdir()]
        return events not in names and (process / "syscall").read_text().startswith(FUTEX)

    manager.daemon.send_signal(signal.SIGTERM)
    ttlib.wait_for(is_waiting, "the daemon waits for the stopped thread")


def end_while_a_child_inherits(end):
    """What it began with is not known, which is said; what it allocates then has its stack."""
    if len(os.sched_getaffinity(0)) < 2:
        raise ttlib.Skip("the parent's worker is the child's here")
    program = ttlib.compile_c(FORKING, "-w", "-O1")
    folder = ttlib.temp_dir() / "journal"
    manager = Manager(f"--journal={folder}")
    manager.start()
    process = subprocess.Popen(
        [program], env=manager.client.preload_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    ttlib.at_end(process.kill)

    def go_on():
        process.stdin.write(b"x")
        process.stdin.flush()
        check_equal(process.stdout.read(1), b"x")

    ttlib.wait_for(lambda: manager.sessions(), "the parent")
    with stopped_thread(manager.daemon.pid, "worker-0"):
        go_on()
        files = lambda: [path for path in folder.iterdir() if path.stat().st_size > 100]
        ttlib.wait_for(lambda: len(files()) == 2, "the child's journal has begun")
        end(manager)
    manager.daemon.wait(ttlib.SECONDS)
    manager.hear()
    manager.start()

    def find_child():
        go_on()
        return next((card for card in manager.sessions() if card["pid"] != process.pid), None)

    child = ttlib.wait_for(find_child, "the child is a session again", seconds=5)
    go_on()
    process.communicate(timeout=ttlib.SECONDS)
    check_equal(process.returncode, 5)
    manager.client.wait_for_state(child["pid"], "exited", "ended")
    export = manager.client.export(child["id"])
    ttlib.check_books(export)
    check_equal(export["completeness"]["exact"], False, "exact")
    doubts = export["completeness"]["doubts"]
    check(any("inherited" in doubt for doubt in doubts), f"it is said: {doubts}")
    blocks = [block for block in export["active_allocations"] if block["size"] == 40001]
    check(blocks, "what it allocated")
    for block in blocks:
        check_equal(ttlib.functions_of(export, block["stack"])[:2], ["add", "main"], "its stack")
    manager.close()


@case
def fault_H13_killed_while_a_child_inherits():
    end_while_a_child_inherits(kill)


@case
def fault_H13_terminated_while_a_child_inherits():
    """It reads no more of a child whose inheritance it has cut off."""
    end_while_a_child_inherits(terminate)


@case
def fault_H13_recorded_while_a_child_inherits():
    """That its recording lacks what it did is said, though it is one that was brought to its end."""
    if len(os.sched_getaffinity(0)) < 2:
        raise ttlib.Skip("the parent's worker is the child's here")
    program = ttlib.compile_c(FORKING, "-w", "-O1")
    recording = ttlib.temp_dir() / "recording"
    manager = Manager()
    manager.start()
    recorder = subprocess.Popen(
        [ttlib.TT_CTL, "record", recording],
        env=manager.client.env(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    ttlib.at_end(recorder.kill)
    recorder.stderr.readline()  # it has begun
    process = subprocess.Popen(
        [program], env=manager.client.preload_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    ttlib.at_end(process.kill)
    ttlib.wait_for(lambda: manager.sessions(), "the parent")
    with stopped_thread(manager.daemon.pid, "worker-0"):
        process.stdin.write(b"x")
        process.stdin.flush()
        check_equal(process.stdout.read(1), b"x")
        (child,) = [card for card in manager.sessions() if card["pid"] != process.pid]
        terminate(manager)
    recorder.communicate(timeout=ttlib.SECONDS)
    process.communicate(timeout=ttlib.SECONDS)
    manager.start()
    result = manager.client.ctl("export", str(child["pid"]), "--json", f"--from={recording}")
    export = json.loads(result.stdout)
    check_equal(export["process"]["state"], "lost")
    check_equal(export["completeness"]["exact"], False, "exact")
    doubts = export["completeness"]["doubts"]
    check(any("inherited" in doubt for doubt in doubts), f"it is said: {doubts}")
    manager.close()


ttlib.main()
