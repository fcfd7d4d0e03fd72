# SPDX-License-Identifier: Apache-2.0
"""What is run: small programs that time one habit of allocating, and programs of Debian at real
work. The real ones with their inputs are those of tests/real, and three more."""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import sys

import ttlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "real"))

import workloads  # noqa: E402


class Work:
    """One thing to run.

    @kind     "micro": says how many pairs it made in what time; "real": its wall time counts;
              "empty": the same, in milliseconds a process
    @command  the words, made when first wanted: a function of how many times less is to be done
    @driver   None, or what uses the running program and then has it end
    """

    def __init__(self, name, kind, command, stdin=b"", environment=None, times=1, driver=None):
        self.name = name
        self.kind = kind
        self.command = command
        self.stdin = stdin
        self.environment = environment or {}
        self.times = times
        self.driver = driver

    @contextlib.contextmanager
    def input(self, folder):
        with (folder / "stdin").open("w+b") as file:
            file.write(self.stdin)
            file.seek(0)
            yield file


# ---- micro ----


def micro(name, program, before, pairs, after=(), least=2):
    """A program of ours, whose number of pairs is one of its words."""

    def command(less):
        words = [*before, max(least, pairs // less), *after]
        return [str(ttlib.BUILD / "tests" / "bench" / program), *map(str, words)]

    return Work(name, "micro", command)


def micro_works():
    millions = 1_000_000
    for depth in (5, 10, 40, 100):
        yield micro(f"pair at depth {depth}", "pair", [depth], 4 * millions)
    for threads in (2, 4):
        yield micro(f"pair in {threads} threads", "pair", [10], 2 * millions, [threads])
    yield micro("tree of 2^17 stacks", "tree", [17], 8, least=8)
    yield micro("million blocks at random", "random", [millions], 2 * millions)
    yield micro("producer and consumer", "handover", [], 2 * millions)
    yield micro("growth by realloc", "growth", [], 2 * millions)


# ---- real ----


# About a second each: starting is little of it (and has a goal of its own).
TIMES = {"sqlite3": 8, "jq": 4, "perl": 4, "python3": 20, "xmllint": 8, "cc1plus": 4}


def borrowed(make):
    made = make(TIMES[make.__name__])
    return Work(
        make.__name__, "real", lambda less: made.command, made.stdin, workloads.ENVIRONMENT
    )


def git():
    """A history of 8000 commits in one file, shown with its patches."""
    ttlib.need("git")
    folder = ttlib.temp_dir() / "repository"
    lines = [f"line {i}" for i in range(400)]
    stream = []
    for i in range(8000):
        for j in range(8):
            lines[(i * 37 + j * 53) % len(lines)] = f"line {j} of commit {i}"
        text = "\n".join(lines) + "\n"
        stream.append(
            f"commit refs/heads/main\ncommitter A <a@b> {1700000000 + i} +0000\n"
            f"data <<END\ncommit {i}\nEND\nM 644 inline file\ndata {len(text)}\n{text}\n"
        )
    environment = {**workloads.ENVIRONMENT, "GIT_CONFIG_NOSYSTEM": "1", "HOME": folder}
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    subprocess.run(
        ["git", "-C", folder, "fast-import", "--quiet"], input="".join(stream).encode(), check=True
    )
    words = ["git", "-C", str(folder), "--no-pager", "log", "-p", "--stat", "main"]
    return Work("git", "real", lambda less: words, environment=environment)


def redis():
    """redis-server, used by redis-benchmark over loopback."""
    ttlib.need("redis-server", "redis-benchmark")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    folder = ttlib.temp_dir()
    words = [shutil.which("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", ""]
    words += ["--dir", str(folder), "--appendonly", "no"]

    def is_up():
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", int(port))) == 0

    def drive():
        ttlib.wait_for(is_up, "redis-server listens", seconds=120)
        subprocess.run(
            ["redis-benchmark", "-p", port, "-n", "200000", "-c", "20", "-P", "8", "-r", "20000"]
            + ["-d", "64", "-q", "-t", "set,get,lpush,lpop,sadd,hset"],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            client.sendall(b"SHUTDOWN NOSAVE\r\n")
            client.recv(1)

    return Work("redis-server", "real", lambda less: words, driver=drive)


def true():
    return Work("true", "empty", lambda less: ["/bin/true"], times=20)


def all_works():
    """The works that can be run here, and why the others cannot: (works, {name: reason})."""
    works, skipped = list(micro_works()), {}
    for make in [true, *workloads.ALL, redis, git]:
        try:
            works.append(borrowed(make) if make in workloads.ALL else make())
        except ttlib.Skip as reason:
            skipped[make.__name__] = str(reason)
    return works, skipped
