#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The units as they are shipped, under a real user manager (user-manager.sh makes room for it): what
faults/restart.py shows with a manager of its own."""

import json
import os
import pathlib
import re
import subprocess

import ttlib
from manager import stopped_thread
from ttlib import case, check, check_equal

SERVICE = "tt-daemon.service"

WORK = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>

/* Allocates until its input ends, so little that its lanes hold what a daemon misses; says how
 * often. */
int main(void) {
    long count = 0;
    fd_set set;
    struct timeval none;

    do {
        for (int i = 0; i < 10; i++, count++)
            free(malloc(100));
        usleep(1000);
        FD_ZERO(&set);
        FD_SET(0, &set);
        none = (struct timeval){0};
    } while (select(1, &set, NULL, NULL, &none) == 0);
    dprintf(1, "%ld\n", count);
    return 5;
}
"""


class UserManager:
    def __init__(self):
        home = ttlib.temp_dir()
        self.env = {"HOME": home, "XDG_RUNTIME_DIR": home / "run", "XDG_CACHE_HOME": home / "cache"}
        (home / "run" / "systemd").mkdir(mode=0o700, parents=True)
        units = home / "units"
        units.mkdir()
        for path in (ttlib.SOURCE / "data" / "systemd").glob("*.socket"):
            (units / path.name).write_text(path.read_text())
        text = (ttlib.BUILD / "data" / "systemd" / SERVICE).read_text()
        text = re.sub(r'^ExecStart="[^"]*"', f'ExecStart="{ttlib.TT_DAEMON}"', text, flags=re.M)
        (units / SERVICE).write_text(re.sub(r"^WatchdogSec=.*", "WatchdogSec=1", text, flags=re.M))
        self.env["SYSTEMD_UNIT_PATH"] = f"{units}:/usr/lib/systemd/user"
        log = open(home / "log", "wb")
        self.process = subprocess.Popen(
            ["/lib/systemd/systemd", "--user", "--unit=basic.target"],
            env=ttlib.clean_env({**self.env, "SYSTEMD_LOG_TARGET": "console"}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        ttlib.at_end(self.process.kill)

        def is_up():
            if self.process.poll() is not None:
                raise ttlib.Skip(f"no user manager: {(home / 'log').read_text()[-300:]}")
            return self.ask("is-active", "basic.target").stdout == "active\n"

        ttlib.wait_for(is_up, "the manager is up")

    def ask(self, *words):
        return ttlib.run(["systemctl", "--user", *words], ttlib.clean_env(self.env))

    def do(self, *words):
        result = self.ask(*words)
        check_equal(result.returncode, 0, f"{words}: {result.stderr}")

    def show(self, key):
        return self.ask("show", f"--property={key}", "--value", SERVICE).stdout.strip()

    def ctl(self, *words):
        return ttlib.ctl(*words, env=ttlib.clean_env(self.env))

    def card(self):
        """Of the one session there is; None: none yet."""
        cards = json.loads(self.ctl("list", "--json").stdout or "[]")
        return cards[0] if len(cards) == 1 else None


def check_goes_on(manager, pid, card, connection, daemon):
    """The same session, over the same connection, with another daemon."""

    def ask():
        now = manager.card()
        is_new = manager.show("MainPID") not in ("0", daemon)
        return now and is_new and now["events"] > card["events"] and now

    again = ttlib.wait_for(ask, "it goes on")
    check_equal(again["id"], card["id"], "the session")
    check_equal(os.readlink(f"/proc/{pid}/fd/100"), connection, "its connection")
    return again


@case
def fault_H14_units_under_a_real_manager():
    """Its first client starts it; a restart, and a hang that the watchdog ends, lose nothing."""
    program = ttlib.compile_c(WORK, "-w", "-O1")
    manager = UserManager()
    manager.do("start", "tt-daemon-events.socket")
    check_equal(manager.show("MainPID"), "0", "nobody has come yet")
    env = {**manager.env, "LD_PRELOAD": ttlib.LIBTTCLIENT, "TT_LOSSLESS": 1}
    process = subprocess.Popen(
        [program], env=ttlib.clean_env(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    ttlib.at_end(process.kill)
    card = ttlib.wait_for(manager.card, "a session")
    connection = os.readlink(f"/proc/{process.pid}/fd/100")
    ttlib.wait_for(lambda: manager.show("NFileDescriptorStore") == "3", "what is kept")

    daemon = manager.show("MainPID")
    manager.do("restart", SERVICE)
    card = check_goes_on(manager, process.pid, card, connection, daemon)

    daemon = manager.show("MainPID")
    with stopped_thread(int(daemon), "worker-0"):
        ttlib.wait_for(lambda: manager.show("NRestarts") == "1" or not is_alive(daemon), "its end")
    check_goes_on(manager, process.pid, card, connection, daemon)

    output, _ = process.communicate(timeout=ttlib.SECONDS)
    check_equal(process.returncode, 5)
    ttlib.wait_for(lambda: manager.card()["state"] in ("exited", "ended"), "its end is seen")
    result = manager.ctl("export", "--json")
    check_equal(result.returncode, 0, result.stderr)
    export = json.loads(result.stdout)
    ttlib.check_books(export)
    ttlib.check_exact(export)
    check(export["cumulative_allocations"] >= int(output), "all that it did")
    ttlib.wait_for(lambda: manager.show("NFileDescriptorStore") == "0", "nothing is kept")
    manager.do("stop", SERVICE)
    check_equal(manager.show("Result"), "success")


def is_alive(pid):
    """Not dead, nor dying."""
    path = pathlib.Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] not in "ZX"


ttlib.main()
