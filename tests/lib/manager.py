# SPDX-License-Identifier: Apache-2.0
"""A service manager, as far as a daemon knows one: it passes it its sockets, keeps the descriptors that
it is given (sd_notify(3)), and listens whether it is well (sd_watchdog_enabled(3)).

    manager = Manager("--journal=/some/folder", watchdog_ms=1000)
    manager.start()
    manager.client.export()
    manager.close()
"""

import contextlib
import ctypes
import os
import pathlib
import select
import signal
import socket
import subprocess
import threading
import time

import ttlib
from ttlib import check, check_equal

# As systemd starts it: descriptors from 3 on, LISTEN_PID is the daemon's.
STARTER = """
import os, sys
fds = [int(word) for word in sys.argv[1].split()]
high = [os.dup2(fd, 500 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.environ.update(WATCHDOG_PID=str(os.getpid()))
os.closerange(3 + len(fds), 1000)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """Keeps a daemon's sockets, and what it asks to have kept."""

    def __init__(self, *options, watchdog_ms=None):
        self.folder = ttlib.temp_dir() / "s"
        self.folder.mkdir(mode=0o700)
        self.options = options
        self.watchdog_ms = watchdog_ms
        self.beats = []  # when this daemon said that it is well, by the monotonic clock
        self.log_path = ttlib.temp_dir() / "daemon.log"
        self.kept = {}  # by name
        self.listeners = []
        for name, kind in (
            ("events.sock", socket.SOCK_SEQPACKET),
            ("control.sock", socket.SOCK_STREAM),
        ):
            listener = socket.socket(socket.AF_UNIX, kind)
            listener.bind(str(self.folder / name))
            listener.listen(4096)
            self.listeners.append(listener)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.folder / "notify"))
        self.lock = threading.Lock()
        self.words = []  # said so far
        self.is_over = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        ttlib.at_end(self.is_over.set)
        self.client = ttlib.Daemon(folder=self.folder)  # never started: who asks the daemon
        self.sessions = self.client.sessions

    def listen(self):
        while not self.is_over.is_set():
            select.select([self.notify], [], [], 0.05)
            self.hear()

    def hear(self):
        """Does what was asked for up to now."""
        with self.lock:
            while not self.is_over.is_set() and select.select([self.notify], [], [], 0)[0]:
                self.do(*socket.recv_fds(self.notify, 4096, 16)[:2])

    def do(self, message, fds):
        lines = message.decode().splitlines()
        name = dict(line.split("=", 1) for line in lines).get("FDNAME")
        self.words += lines
        if "WATCHDOG=1" in lines:
            self.beats.append(time.monotonic())
        if "FDSTORE=1" in lines:
            self.kept[name] = fds[0]
        elif "FDSTOREREMOVE=1" in lines and name in self.kept:
            os.close(self.kept.pop(name))

    def start(self):
        self.hear()
        self.words.clear()
        self.beats.clear()
        names, fds = ["events", "control"], [listener.fileno() for listener in self.listeners]
        names += self.kept
        fds += self.kept.values()
        env = {"NOTIFY_SOCKET": self.folder / "notify", "LISTEN_FDNAMES": ":".join(names)}
        if self.watchdog_ms:
            env["WATCHDOG_USEC"] = 1000 * self.watchdog_ms
        with self.log_path.open("ab") as log:
            self.daemon = subprocess.Popen(
                ["/usr/bin/python3", "-c", STARTER, " ".join(map(str, fds))]
                + [ttlib.TT_DAEMON, *self.options],
                env=ttlib.clean_env(env),
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        def is_ready():
            check(self.daemon.poll() is None, self.log_path.read_text())
            return "READY=1" in self.words

        ttlib.at_end(self.daemon.kill)
        ttlib.wait_for(is_ready, "the daemon is ready")

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()
        self.hear()

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        check_equal(self.daemon.wait(ttlib.SECONDS), 0, self.log_path.read_text())
        self.hear()

    def is_silent(self):
        """Whether systemd would end the daemon now."""
        return time.monotonic() - self.beats[-1] > self.watchdog_ms / 1000

    def close(self):
        self.stop()
        self.is_over.set()
        for fd in self.kept.values():
            os.close(fd)
        for one in (*self.listeners, self.notify):
            one.close()


# ---- Hanging ----

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000


def find_threads(pid, name):
    """The ids of a process's threads of that name."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return [int(task.name) for task in tasks if (task / "comm").read_text() == f"{name}\n"]


@contextlib.contextmanager
def stopped_thread(pid, name):
    """One thread of a process stands still, as if it hung; the others go on."""
    (tid,) = find_threads(pid, name)
    if LIBC.ptrace(PTRACE_SEIZE, tid, None, None) < 0:
        raise ttlib.Skip(f"a thread may not be stopped here: {os.strerror(ctypes.get_errno())}")
    LIBC.ptrace(PTRACE_INTERRUPT, tid, None, None)
    os.waitpid(tid, WALL)
    yield
    if LIBC.ptrace(PTRACE_DETACH, tid, None, None) < 0:
        os.waitpid(tid, WALL)  # it was killed: the process ends when that is noticed
