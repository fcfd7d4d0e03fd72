#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Recordings in trouble: F11, G17, H11, and what becomes of them when a program follows others."""

import json
import os
import pathlib
import signal
import struct
import subprocess

import ttlib
from ttlib import case, check, check_equal

CHURN = r"""
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Argument: how many rounds, each of a birth and a death and now and then one that stays. */
int main(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : -1;
    void *volatile kept[64] = {0};

    for (long i = 0; i != rounds; i++) {
        void *block = malloc(16 + i % 1000);

        free(kept[i % 64]);
        kept[i % 64] = block;
        if (i % 1000 == 0 && rounds < 0)
            usleep(1000);
    }
    return 0;
}
"""

FAMILY = r"""
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    malloc(1000 + argc);
    if (argc < 4 && fork() == 0) {
        malloc(2000);
        execl(argv[0], argv[0], "x", "y", "z", (char *)0);
    }
    wait(NULL);
    return 0;
}
"""


def check_sentence(result, status, *words):
    check_equal(result.returncode, status, result.stderr)
    check_equal(result.stdout, "", "stdout")
    check_equal(result.stderr.count("\n"), 1, f"lines of {result.stderr!r}")
    for word in words:
        check(word in result.stderr, f"{word!r} is not in {result.stderr!r}")


def alone():
    """No daemon answers here."""
    return ttlib.clean_env({"TT_SOCKET_DIR": ttlib.temp_dir()})


def export_from(recording, *words):
    """By a daemon of its own; of millions of blocks that the program freed it keeps few."""
    with ttlib.Daemon("--history=1000") as daemon:
        result = daemon.ctl("export", *words, "--json", f"--from={recording}")
    check_equal(result.returncode, 0, f"export --from: {result.stderr}")
    path = ttlib.temp_dir() / "told.json"
    path.write_text(result.stdout)
    return ttlib.read_json(path)


def record(folder, *cmd, options=()):
    recording = folder / "recording"
    result = ttlib.ctl("run", f"--record={recording}", *options, "--", *cmd, env=alone())
    check_equal(result.returncode, 0, result.stderr)
    return recording


ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def find_frame_end(data, at):
    """Of a frame of zstd (RFC 8878, 3.1.1), or of one to be skipped; None where it is cut."""
    magic, first = struct.unpack_from("<IB", data, at)
    if magic & ~0xF == 0x184D2A50:
        end = at + 8 + struct.unpack_from("<I", data, at + 4)[0]
        return end if end <= len(data) else None
    check_equal(data[at : at + 4], ZSTD_MAGIC, f"a frame at {at}")
    is_single, has_checksum = first >> 5 & 1, first >> 2 & 1
    at += 5 + (not is_single) + (0, 1, 2, 4)[first & 3] + (is_single, 2, 4, 8)[first >> 6]
    is_last = False
    while not is_last and at + 3 <= len(data):
        head = int.from_bytes(data[at : at + 3], "little")
        is_last, is_run = head & 1, head >> 1 & 3 == 1
        at += 3 + (1 if is_run else head >> 3)
    at += 4 * has_checksum
    return at if is_last and at <= len(data) else None


def read_varints(data, count):
    numbers, at = [], 0
    while len(numbers) < count:
        end = next(i for i in range(at, len(data)) if data[i] < 0x80)
        numbers.append(sum((byte & 0x7F) << 7 * i for i, byte in enumerate(data[at : end + 1])))
        at = end + 1
    return numbers


def count_recorded(path):
    """The heap events in the whole sections of a recording, as their heads count them (WIRE.md), and
    how many sections that are; zstd unpacks them."""
    data = path.read_bytes()
    sections = events = 0
    at, end = 0, find_frame_end(data, 0)  # the file's own head
    while end is not None and end + 8 < len(data):
        at, end = end, find_frame_end(data, end)
        if end is None:
            break
        unpacked = subprocess.run(["zstd", "-dc"], input=data[at:end], capture_output=True)
        check_equal((unpacked.returncode, unpacked.stdout[:2]), (0, b"\x07\x02"), "a section")
        _, _, count = read_varints(unpacked.stdout[4:], 3)
        sections, events = sections + 1, events + count
    return events, sections


def events_told(export):
    return export["cumulative_allocations"] + export["cumulative_frees"]


@case
def fault_F11_daemon_and_program_killed_together():
    ttlib.need("zstd")
    program = ttlib.compile_c(CHURN, "-w")
    recording = ttlib.temp_dir() / "recording"
    with ttlib.Daemon() as daemon:
        recorder = subprocess.Popen(
            [ttlib.TT_CTL, "record", recording],
            env=daemon.env(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        recorder.stderr.readline()  # it has begun
        process = subprocess.Popen([program], env=daemon.preload_env())
        ttlib.wait_for(
            lambda: recording.exists() and recording.stat().st_size > 100_000, "some sections"
        )
        daemon.kill()
        process.kill()
        process.wait()
        check_equal(recorder.wait(ttlib.SECONDS), 1, "status of record")
        check("ended" in recorder.stderr.read(), "record says that the daemon ended")
        recorder.stderr.close()
    export = export_from(recording)
    check_equal((export["process"]["pid"], export["process"]["state"]), (process.pid, "lost"))
    events, sections = count_recorded(recording)
    check(events > 1000 and sections > 1, f"{events} in {sections} sections were written until then")
    check_equal(events_told(export), events, "what the whole sections hold")
    check(not export["completeness"]["exact"], "exact")
    check(any("breaks off" in doubt for doubt in export["completeness"]["doubts"]), "declared")
    ttlib.check_books(export)
    ttlib.check_schema(export)


@case
def a_killed_program_is_told_to_its_last_event():
    program = ttlib.compile_c(CHURN, "-w")
    recording = ttlib.temp_dir() / "recording"
    with ttlib.Daemon("--history=1000") as daemon:
        recorder = subprocess.Popen(
            [ttlib.TT_CTL, "record", recording],
            env=daemon.env(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        recorder.stderr.readline()
        process = subprocess.Popen([program], env=daemon.preload_env({"TT_LOSSLESS": 1}))
        ttlib.wait_for(
            lambda: recording.exists() and recording.stat().st_size > 20_000, "some sections"
        )
        process.kill()
        process.wait()
        daemon.wait_for_state(process.pid, "killed")
        live = daemon.export(process.pid)
        recorder.send_signal(signal.SIGINT)
        check_equal(recorder.wait(ttlib.SECONDS), 0, "status of record")
        recorder.stderr.close()
    told = export_from(recording)
    for export in (live, told):
        for key in ("generator", "timestamp"):
            del export[key]
    check(told == live, "what is told again differs")


@case
def fault_G17_what_is_no_recording():
    folder = ttlib.temp_dir()
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    text = folder / "text"
    text.write_text("no recording\n" * 100)
    empty = folder / "empty"
    empty.touch()
    zst = folder / "some.zst"
    zst.write_bytes(subprocess.run(["zstd", "-c"], input=b"0" * 100_000, capture_output=True).stdout)
    for path in (fifo, text, empty, zst, folder, "/dev/zero", "/dev/null", folder / "missing"):
        result = ttlib.ctl("export", "--json", f"--from={path}", env=alone())
        check_sentence(result, 1, "tt-ctl: ")
    check_sentence(ttlib.ctl("run", f"--record={fifo}", "--", "/bin/true", env=alone()), 125, "file")


def bomb_of(size):
    """A frame of a gigabyte of nothing in 32 KiB, that says to hold @size bytes or does not say."""
    head = b"\x00\x58" if size is None else b"\x80\x58" + struct.pack("<I", size)
    count, len_ = 8000, 128 * 1024
    blocks = [len_ << 3 | 1 << 1 | (i == count - 1) for i in range(count)]  # one byte, repeated
    return ZSTD_MAGIC + head + b"".join(struct.pack("<I", b)[:3] + b"\0" for b in blocks)


@case
def fault_G17_bomb_is_bounded():
    """A gigabyte of nothing in a few bytes, behind a whole section or alone."""
    folder = ttlib.temp_dir()
    program = ttlib.compile_c(CHURN, "-w")
    good = record(folder, program, "1000").read_bytes()
    path = folder / "bomb"
    path.write_bytes(bomb_of(None))
    size = subprocess.check_output(["sh", "-c", 'zstd -dc "$1" | wc -c', "sh", path], text=True)
    check_equal(int(size), 8000 * 128 * 1024, "the bomb's bytes")
    with ttlib.Daemon() as daemon:
        for size in (None, 16 * 1024 * 1024, 1_000_000_000):
            bomb = bomb_of(size)
            path.write_bytes(good[:16] + bomb)
            check_sentence(daemon.ctl("export", "--json", f"--from={path}"), 1, "recording")
            # In the place of the last section: what is before counts, the end included.
            path.write_bytes(good[: good.rindex(ZSTD_MAGIC)] + bomb)
            result = daemon.ctl("export", "--json", f"--from={path}")
            check_equal(result.returncode, 0, result.stderr)
            export = json.loads(result.stdout)
            check_equal(export["cumulative_allocations"], 1000, f"{size}: allocations")
            check_equal(export["process"]["state"], "exited", f"{size}: state")
        status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
        (peak,) = [int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line]
        check(peak < 200_000, f"the daemon took {peak} KiB")


@case
def fault_G17_cut_files_say_so():
    ttlib.need("zstd")
    folder = ttlib.temp_dir()
    program = ttlib.compile_c(CHURN, "-w")
    whole = record(folder, program, "300000").read_bytes()
    path = folder / "cut"
    last = -1
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        export = export_from(path)
        check_equal(export["process"]["state"], "lost", f"{share}")
        check(not export["completeness"]["exact"], f"{share}: exact")
        check_equal(events_told(export), count_recorded(path)[0], f"{share}: the whole sections")
        check(events_told(export) > last, f"{share}: not more than before")
        last = events_told(export)
        ttlib.check_books(export)


@case
def fault_H11_disk_full_for_recording():
    """A file system that holds a third of it."""
    folder = ttlib.temp_dir()
    program = ttlib.compile_c(CHURN, "-w")
    recording = folder / "small" / "recording"
    recording.parent.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", recording.parent], capture_output=True
    )
    if mount.returncode != 0:
        raise ttlib.Skip("no file system can be mounted here")
    try:
        result = ttlib.ctl(
            "run",
            f"--record={recording}",
            f"--json={folder / 'export.json'}",
            "--",
            program,
            "400000",
            env=alone(),
        )
        check_equal(result.returncode, 125, result.stderr)
        check("No space left" in result.stderr, result.stderr)
        # Tracing went on: the live export is whole.
        live = ttlib.read_json(folder / "export.json")
        ttlib.check_exact(live)
        check(live["cumulative_allocations"] >= 400_000, "the live export is whole")
        told = export_from(recording)
        check_equal(told["process"]["state"], "lost")
        check(0 < told["cumulative_allocations"] < 400_000, "what was on the disk")
        ttlib.check_books(told)
    finally:
        subprocess.run(["umount", recording.parent], check=True)


@case
def a_program_shorter_than_its_hello_is_recorded():
    """On one processor with a daemon that yields to everybody it has ended, and its parent has
    taken note, as soon as the daemon has answered."""
    folder = ttlib.temp_dir()
    program = ttlib.compile_c("int main(void) { return 0; }", name="short")
    cpu = min(os.sched_getaffinity(0))
    with ttlib.Daemon() as daemon:
        for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cpu})
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
        for i in range(10):
            recording = folder / f"{i}"
            result = daemon.ctl(
                *("run", f"--record={recording}", "--", program),
                preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
            )
            check_equal(result.returncode, 0, result.stderr)
            check_equal(export_from(recording)["process"]["state"], "exited", f"{i}")


@case
def a_family_is_in_one_file():
    """Of a running daemon others trace too: only CMD's own are in it."""
    folder = ttlib.temp_dir()
    program = ttlib.compile_c(FAMILY, "-w")
    churn = ttlib.compile_c(CHURN, "-w", name="churn")
    recording = folder / "recording"
    with ttlib.Daemon() as daemon:
        other = subprocess.Popen([churn], env=daemon.preload_env())
        result = daemon.ctl("run", f"--record={recording}", "--", program)
        check_equal(result.returncode, 0, result.stderr)
        subprocess.run([churn, "10"], env=daemon.preload_env(), check=True)
        other.kill()
        other.wait()
    result = ttlib.ctl("export", "--json", f"--from={recording}", env=alone())
    check_equal(result.returncode, 2, result.stderr)
    check_equal(result.stderr.count("pid "), 3, result.stderr)
    check_equal(result.stderr.count("program"), 3, result.stderr)
    ids = [line.split()[0] for line in result.stderr.splitlines() if "pid" in line and "exit" in line]
    relations = set()
    for session in ids:
        export = export_from(recording, session)
        relations |= {related["relation"] for related in export["process"]["related"]}
    check("parent" in relations or "exec_from" in relations, f"relations: {relations}")


ttlib.main()
