#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section H: what goes over to the next daemon, of sessions whose connections the service manager keeps,
beside their events (restart.py)."""

import json
import signal
import subprocess

import ttlib
from manager import Manager
from ttlib import case, check, check_equal


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


ttlib.main()
