#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section G, as far as a stranger at the sockets goes; the parsers have tests/fuzz."""

import random
import socket
import time

import ttlib
from ttlib import case, check, check_equal


def send(path, kind, message, waits=False):
    """What comes back, if anything does; a refusal is a closed connection."""
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.settimeout(ttlib.SECONDS)
        client.connect(str(path))
        try:
            client.send(message)
            return client.recv(65536) if waits else b""
        except (BrokenPipeError, ConnectionResetError):
            return b""


def check_well(daemon):
    """It lives, and answers within a second; a busy machine only adds: of three the best."""
    took = []
    for _ in range(3):
        start = time.monotonic()
        result = daemon.ctl("list")
        took.append(time.monotonic() - start)
        check_equal(result.returncode, 0, f"{result.stderr}\n{daemon.log()[-500:]}")
    check(min(took) < 1, f"list took {took} s")
    check(daemon.process.poll() is None, f"the daemon lives; its log:\n{daemon.log()[-500:]}")


@case
def fault_G01_garbage_at_the_events_socket():
    draw = random.Random(11)
    with ttlib.Daemon() as daemon:
        path = daemon.folder / "events.sock"
        head = b"TTR1\x01\x00\x00\x00"
        for message in (
            b"x",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0AUTH EXTERNAL\r\n",
            bytes(65536),
            head,  # no record
            head + b"\xff" * 100,
            b"TTR1\x63\x00\x00\x00" + b"\x01" * 50,  # another major version
            *(draw.randbytes(draw.randrange(1, 60000)) for _ in range(50)),
            *(head + draw.randbytes(draw.randrange(1, 2000)) for _ in range(200)),
        ):
            # Refused: answered with a reason, or closed.
            answer = send(path, socket.SOCK_SEQPACKET, message, waits=True)
            check(answer == b"" or answer.startswith(b"TTR1"), f"answer {answer[:40]}")
        check_well(daemon)
        check_equal(daemon.sessions(), [], "sessions")
        lines = daemon.log().count("\n")
        check(0 < lines < 60, f"{lines} lines of log: one a refusal would be 250")


@case
def fault_G01_garbage_at_the_control_socket():
    draw = random.Random(12)
    with ttlib.Daemon() as daemon:
        path = daemon.folder / "control.sock"
        for message in (
            b"x",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0" * 5000,
            b"\0AUTH ANONYMOUS\r\n",
            b"\0AUTH EXTERNAL zz\r\n",
            b"\0" + b"A" * 100_000,
            b"l\x01\0\x01" + b"\xff" * 2000,
            *(draw.randbytes(draw.randrange(1, 5000)) for _ in range(100)),
            *(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n" + draw.randbytes(500) for _ in range(50)),
        ):
            send(path, socket.SOCK_STREAM, message)
        check_well(daemon)


@case
def fault_G01_wrong_kind_of_socket():
    with ttlib.Daemon() as daemon:
        for name, kind in (
            ("events.sock", socket.SOCK_STREAM),
            ("events.sock", socket.SOCK_DGRAM),
            ("control.sock", socket.SOCK_SEQPACKET),
            ("control.sock", socket.SOCK_DGRAM),
        ):
            check(not ttlib.accepts(daemon.folder / name, kind), f"{name} takes {kind}")
        check_well(daemon)


@case
def silent_connections_do_not_keep_others_out():
    with ttlib.Daemon() as daemon:
        silent = []
        for name, kind in (
            ("events.sock", socket.SOCK_SEQPACKET),
            ("control.sock", socket.SOCK_STREAM),
        ):
            for _ in range(60):
                client = socket.socket(socket.AF_UNIX, kind)
                client.connect(str(daemon.folder / name))
                silent.append(client)
        check_well(daemon)
        traced = ttlib.run_traced(["/bin/sh", "-c", "exit 3"], daemon=daemon)
        check_equal(traced.returncode, 3, traced.stderr)
        ttlib.check_exact(traced.export)
        for client in silent:
            client.close()


ttlib.main()
