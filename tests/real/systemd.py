#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sockets from the service manager: tt-daemon is started by its first client, as systemd would start
it, and leaves the sockets behind when it ends. What the units say is read by systemd itself in the
test of data/systemd."""

import json
import pathlib
import signal
import socket
import subprocess

import ttlib
from ttlib import case, check, check_equal

LEAVES = r"""
#include <stdlib.h>

int main(void) {
    for (int i = 0; i < 100; i++)
        if (malloc(1000) == NULL)
            return 1;
    return 3;
}
"""


class Passed:
    """The two sockets, made and passed on as systemd does it: by number from 3 on, with LISTEN_PID."""

    def __init__(self, folder):
        self.folder = folder
        self.sockets = []
        for name, kind in (
            ("events.sock", socket.SOCK_SEQPACKET),
            ("control.sock", socket.SOCK_STREAM),
        ):
            listener = socket.socket(socket.AF_UNIX, kind)
            listener.bind(str(folder / name))
            listener.listen(4096)
            self.sockets.append(listener)

    def start(self, names="events:control", order=(0, 1)):
        script = (
            "import os, sys; fds = [int(w) for w in sys.argv[1].split()];"
            " high = [os.dup2(fd, 50 + i) for i, fd in enumerate(fds)];"
            " [os.dup2(fd, 3 + i, inheritable=True) for i, fd in enumerate(high)];"
            " os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)));"
            " os.closerange(50, 60); os.execv(sys.argv[2], sys.argv[2:])"
        )
        fds = [self.sockets[i].fileno() for i in order]
        env = {"LISTEN_FDNAMES": names} if names else {}
        return subprocess.Popen(
            ["/usr/bin/python3", "-c", script, " ".join(map(str, fds)), ttlib.TT_DAEMON],
            env=ttlib.clean_env(env),
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


def end(process):
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=ttlib.SECONDS)
    check_equal(process.returncode, 0, said)


def check_traces(folder):
    program = ttlib.compile_c(LEAVES, "-w")
    env = ttlib.clean_env({"TT_SOCKET_DIR": folder})
    out = ttlib.temp_dir() / "out.json"
    result = ttlib.ctl("run", f"--json={out}", "--", program, env=env)
    check_equal((result.returncode, result.stderr), (3, ""))
    export = ttlib.read_json(out)
    check_equal(export["total_allocated"], 100_000)
    ttlib.check_exact(export)
    return export


@case
def sockets_of_the_manager_are_adopted():
    for names, order in (("events:control", (0, 1)), ("control:events", (1, 0)), (None, (0, 1))):
        folder = ttlib.temp_dir()
        passed = Passed(folder)
        daemon = passed.start(names, order)
        check_traces(folder)
        card = ttlib.ctl("list", "--json", env=ttlib.clean_env({"TT_SOCKET_DIR": folder}))
        check('"program"' in card.stdout, f"this daemon has the session: {card.stdout}")
        end(daemon)
        # The sockets are the manager's: they stay, and the next daemon serves them.
        names = sorted(path.name for path in folder.iterdir())
        check_equal(names, ["control.sock", "events.sock"], "files after the end")
        daemon = passed.start()
        check_traces(folder)
        end(daemon)


@case
def one_socket_of_two_is_refused():
    folder = ttlib.temp_dir()
    daemon = Passed(folder).start("events", (0,))
    _, said = daemon.communicate(timeout=ttlib.SECONDS)
    check_equal((daemon.returncode, said.count("\n")), (1, 1), said)
    check("control.sock" in said, said)


@case
def first_program_starts_the_daemon():
    """By systemd's own tool, which makes sockets of one type and passes on those that it was given: so
    one within the other."""
    ttlib.need("systemd-socket-activate")
    folder = ttlib.temp_dir()
    program = ttlib.compile_c(LEAVES, "-w")
    activate = "systemd-socket-activate"
    process = subprocess.Popen(
        [activate, "--seqpacket", f"--listen={folder}/events.sock", "--fdname=events"]
        + [activate, f"--listen={folder}/control.sock", ttlib.TT_DAEMON],
        env=ttlib.clean_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    check("Listening on" in process.stderr.readline(), "systemd-socket-activate listens")
    exe = pathlib.Path(f"/proc/{process.pid}/exe")
    check_equal(exe.readlink().name, activate, "nobody has come yet")
    env = {"LD_PRELOAD": ttlib.LIBTTCLIENT, "TT_SOCKET_DIR": folder, "TT_LOSSLESS": 1}
    traced = subprocess.run([program], env=ttlib.clean_env(env))
    check_equal(traced.returncode, 3)
    check_equal(exe.readlink(), ttlib.TT_DAEMON, "it became the daemon")
    result = ttlib.ctl("export", "--json", env=ttlib.clean_env({"TT_SOCKET_DIR": folder}))
    check_equal(result.returncode, 0, result.stderr)
    export = json.loads(result.stdout)
    check_equal(export["total_allocated"], 100_000)
    ttlib.check_exact(export)
    end(process)


ttlib.main()
