#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sections J and K, as far as a person at tt-ctl meets them: outputs that cannot be written, targets
that are not there, commands that make no sense. One sentence, the right status, no file left."""

import json
import os
import pathlib
import resource
import signal
import subprocess

import ttlib
from ttlib import case, check, check_equal

LEAVES = r"""
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char byte;

    for (int i = 1; i < 2000; i++)
        if (malloc(i) == NULL)
            return 1;
    if (argc > 1) {
        write(1, "ready\n", 6);
        return read(0, &byte, 1) == 1 ? 0 : 1;
    }
    return 0;
}
"""


# Four threads at full speed, until a byte comes; each has some blocks of its own at any moment.
AT_ONCE = int(os.environ.get("TT_EXPORTS") or 6)

BUSY = r"""
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <ttclient.h>
#include <unistd.h>

static atomic_int is_over;

static void *work(void *data) {
    void *blocks[64] = {0};
    unsigned lot = (unsigned)(size_t)data;

    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        lot = lot * 1103515245 + 12345;
        void **place = &blocks[lot >> 16 & 63];
        free(*place);
        *place = malloc(1 + (lot >> 8 & 1023));
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    return data;
}

int main(void) {
    pthread_t threads[4];
    char byte;

    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    while (write(1, "m", 1) == 1 && read(0, &byte, 1) == 1 && byte == 'm')
        tt_mark("in the midst");
    atomic_store(&is_over, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
"""


class Session:
    """A daemon, and in it a session that runs until the end."""

    def __enter__(self):
        program = ttlib.compile_c(LEAVES, "-w")
        self.daemon = ttlib.Daemon().start()
        self.process = subprocess.Popen(
            [program, "wait"],
            env=self.daemon.preload_env(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.process.stdout.readline()
        return self.daemon

    def __exit__(self, *_):
        self.process.communicate(b"x")
        if self.daemon.process.poll() is None:
            self.daemon.stop()


def check_sentence(result, status, *words):
    """One line on stderr that begins with our name and holds the words; nothing on stdout."""
    check_equal(result.returncode, status, result.stderr)
    check_equal(result.stdout, "", "stdout")
    check_equal(result.stderr.count("\n"), 1, f"lines of {result.stderr!r}")
    check(result.stderr.startswith("tt-ctl: "), result.stderr)
    for word in words:
        check(word in result.stderr, f"{word!r} is not in {result.stderr!r}")


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# ---- J05 ----


@case
def fault_J05_outputs_that_cannot_be_written():
    folder = ttlib.temp_dir()
    (folder / "there").mkdir()
    (folder / "old.json").write_text("old")
    with Session() as daemon:
        pid = daemon.sessions()[0]["pid"]
        for path, word in (
            (folder / "missing" / "x.json", "No such file"),
            (folder / "there", "directory"),
            ("/dev/full", "No space"),
            (folder / "old.json" / "x", "Not a directory"),
        ):
            for option in ("--json", "--svg"):
                result = daemon.ctl("export", pid, f"{option}={path}")
                check_sentence(result, 1, str(path), word)
            result = daemon.ctl("run", f"--json={path}", "--", "/bin/echo", "started")
            if path == "/dev/full":
                # A device says so only when it is written to.
                check_equal((result.returncode, result.stdout), (125, "started\n"), result.stderr)
            else:
                check_sentence(result, 125, str(path), word)
        check_equal(listing(folder), ["old.json", "there"], "files")
        check_equal((folder / "old.json").read_text(), "old")


@case
def fault_J05_read_only_folder():
    if os.geteuid() == 0:
        raise ttlib.Skip("root may write to a read-only folder")
    folder = ttlib.temp_dir()
    (folder / "old.json").write_text("old")
    folder.chmod(0o500)
    with Session() as daemon:
        check_sentence(daemon.ctl("export", f"--json={folder}/new.json"), 1, "Permission denied")
    folder.chmod(0o700)
    check_equal(listing(folder), ["old.json"])


@case
def fault_J05_json_and_svg_to_one_file():
    folder = ttlib.temp_dir()
    (folder / "link").symlink_to("out")
    with Session() as daemon:
        for one, other in (
            ("out", "out"),
            ("out", "./out"),
            ("out", "link"),
            (f"{folder}/out", "out"),
            ("-", "-"),
            ("-", ""),
        ):
            words = [f"--json={one}", f"--svg={other}"]
            check_sentence(daemon.ctl("export", *words, cwd=folder), 2, "JSON and SVG")
            result = daemon.ctl("run", *words, "--", "/bin/echo", "started", cwd=folder)
            check_sentence(result, 2, "JSON and SVG")
    check_equal(listing(folder), ["link"], "files")


EXPORTS = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ttclient.h>

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        int r = tt_export_json(argv[i]);
        printf("%s\n", r < 0 ? strerror(-r) : "written");
    }
    return 0;
}
"""


def compile_linked(text, *flags):
    return ttlib.compile_c(
        text, "-w", f"-I{ttlib.SOURCE / 'client'}", str(ttlib.LIBTTCLIENT),
        f"-Wl,-rpath,{ttlib.LIBTTCLIENT.parent}", *flags,
    )


@case
def fault_J05_J06_a_program_exports_over_links():
    """As a shell would write: links lead on, names stay, what may not be written does not change."""
    program = compile_linked(EXPORTS)
    folder = ttlib.temp_dir()
    (folder / "sub").mkdir()
    for name in ("plain", "linked", "hard", "fixed"):
        (folder / name).write_text("old" * 400_000 if name == "hard" else "old")
    (folder / "plain").chmod(0o640)
    (folder / "fixed").chmod(0o400)
    (folder / "sub" / "one").symlink_to("two")
    (folder / "sub" / "two").symlink_to(folder / "linked")
    (folder / "dangling").symlink_to("sub/new")
    (folder / "loop").symlink_to("loop")
    (folder / "other").hardlink_to(folder / "hard")
    before = listing(folder)
    with ttlib.Daemon() as daemon, (folder / "plain").open() as old:
        (folder / "gone").write_text("old" * 400_000)
        gone = (folder / "gone").open("r+")
        (folder / "gone").unlink()
        names = ["plain", "sub/one", "dangling", "hard"]
        names += ["loop", program, f"/dev/fd/{gone.fileno()}"]
        process = subprocess.run(
            [program, *names, "fixed"], env=daemon.env(), cwd=folder, capture_output=True,
            text=True, pass_fds=[gone.fileno()], timeout=ttlib.SECONDS,
        )
        written = process.stdout.splitlines()
        check_equal(
            written[:7],
            ["written"] * 4 + ["Too many levels of symbolic links", "Text file busy", "written"],
        )
        check_equal(old.read(), "old", "whoever has the old one open reads it to its end")
    if os.geteuid() != 0: # root may write it
        check_equal(written[7:], ["Permission denied"])
        check_equal((folder / "fixed").read_text(), "old")
    check_equal(listing(folder), sorted([*before, "sub/new"]), "files")
    for name in ("sub/one", "sub/two", "dangling"):
        check((folder / name).is_symlink(), f"{name} is kept")
    check((folder / "other").samefile(folder / "hard"), "the hard link is kept")
    check_equal((folder / "plain").stat().st_mode & 0o777, 0o640, "mode")
    for name in ("plain", "linked", "sub/new", "hard"):
        ttlib.check_schema(ttlib.read_json(folder / name))
    with gone:
        ttlib.check_schema(json.load(gone))


def check_over_hard_link(want, words=(), limit=None):
    """A program exports over a file with two names; what it says of it, and that nothing else is
    left. Returns the file."""
    program = compile_linked(EXPORTS)
    folder = ttlib.temp_dir()
    (folder / "hard").write_text("old")
    (folder / "other").hardlink_to(folder / "hard")
    with ttlib.Daemon() as daemon:
        process = ttlib.run(
            [*words, program, "hard"], daemon.env(), cwd=folder,
            preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
        )
    check_equal((process.returncode, process.stdout), (0, want + "\n"), process.stderr)
    check_equal(listing(folder), ["hard", "other"], "files")
    check((folder / "other").samefile(folder / "hard"), "the hard link is kept")
    return folder / "hard"


@case
def fault_J05_a_program_that_may_write_no_long_file_exports_over_a_link():
    """It is refused, not killed for trying (SIGXFSZ): the process that writes there is its own."""
    check_equal(check_over_hard_link("File too large", limit=1024).read_text(), "old")


@case
def fault_J05_a_signal_comes_while_space_is_reserved():
    """As on tmpfs, which then asks to be called again."""
    ttlib.need("strace")
    words = ["strace", "-o", "/dev/null", "-e", "inject=fallocate:error=EINTR:when=1"]
    ttlib.check_schema(ttlib.read_json(check_over_hard_link("written", words)))


ON_A_SMALL_STACK = r"""
#include <limits.h>
#include <pthread.h>
#include <ttclient.h>

static void *export(void *path) { return (void *)(long)tt_export_json(path); }

int main(int argc, char **argv) {
    pthread_attr_t attributes;
    pthread_t thread;
    void *result;

    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) != 0 ||
        pthread_create(&thread, &attributes, export, argv[1]) != 0 ||
        pthread_join(thread, &result) != 0)
        return 1;
    return result == NULL ? 0 : 2;
}
"""


@case
def fault_J05_a_thread_with_the_smallest_stack_exports():
    program = compile_linked(ON_A_SMALL_STACK, "-pthread")
    folder = ttlib.temp_dir()
    (folder / "link").symlink_to("out")
    with ttlib.Daemon() as daemon:
        result = ttlib.run([program, "link"], daemon.env(), cwd=folder)
    check_equal(result.returncode, 0, result.stderr)
    ttlib.check_schema(ttlib.read_json(folder / "out"))


@case
def fault_J05_a_program_exports_to_what_it_has_open():
    """Its own output goes on where it is, and any other file keeps its name and those who have it
    open."""
    program = compile_linked(EXPORTS)
    folder = ttlib.temp_dir()
    (folder / "link").symlink_to("/dev/stdout")
    with ttlib.Daemon() as daemon:
        for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"):
            with (folder / "out").open("w") as out:
                out.write("begins\n")
                out.flush()
                process = subprocess.run(
                    [program, name], env=daemon.env(), cwd=folder, stdin=subprocess.DEVNULL,
                    stdout=out, timeout=ttlib.SECONDS,
                )
            check_equal(process.returncode, 0, name)
            lines = (folder / "out").read_text().splitlines()
            check_equal((lines[0], lines[-1]), ("begins", "written"), f"{name}: what is around it")
            ttlib.check_schema(json.loads("".join(lines[1:-1])))
        with (folder / "other").open("w+") as other:
            process = subprocess.run(
                [program, f"/dev/fd/{other.fileno()}"], env=daemon.env(), capture_output=True,
                text=True, pass_fds=[other.fileno()], timeout=ttlib.SECONDS,
            )
            check_equal((process.returncode, process.stdout), (0, "written\n"), process.stderr)
            ttlib.check_schema(json.load(other))
    check_equal(listing(folder), ["link", "other", "out"], "files")


@case
def fault_J05_a_file_of_anothers_keeps_its_owner():
    """Who may write it by its group, and cannot give it away, lets in nobody else."""
    ttlib.need("setpriv")
    if os.geteuid() != 0:
        raise ttlib.Skip("only root makes a file another's")
    program = compile_linked(EXPORTS)
    folder = ttlib.temp_dir()
    for name in ("ours", "theirs"):
        (folder / name).write_text("old")
        os.chown(folder / name, 1234, 1235)
        (folder / name).chmod(0o660)
    words = ["setpriv", "--bounding-set=-chown"]
    with ttlib.Daemon() as daemon:
        for command in (
            [program, "theirs"], [ttlib.TT_CTL, "export", "--json=ours", program.name],
        ):
            result = ttlib.run([*words, *command], daemon.env(), cwd=folder)
            check_equal(result.returncode, 0, f"{command}: {result.stderr}")
    for name in ("ours", "theirs"):
        status = (folder / name).stat()
        check_equal((status.st_uid, status.st_gid, status.st_mode & 0o777), (1234, 1235, 0o660), name)
        ttlib.check_schema(ttlib.read_json(folder / name))
    check_equal(listing(folder), ["ours", "theirs"], "files")


@case
def export_replaces_a_file_at_once():
    """Whoever has the old one open reads it to its end; its mode and its links' names stay."""
    folder = ttlib.temp_dir()
    out = folder / "out.json"
    out.write_text("old")
    (folder / "link.json").symlink_to("out.json")
    with Session() as daemon, out.open() as old:
        result = daemon.ctl("export", f"--json={folder / 'link.json'}")
        check_equal((result.returncode, result.stdout, result.stderr), (0, "", ""))
        check_equal(old.read(), "old")
    check((folder / "link.json").is_symlink(), "the link is kept")
    ttlib.check_schema(ttlib.read_json(out))
    check_equal(listing(folder), ["link.json", "out.json"], "files")


# ---- J06, J07 ----


@case
def fault_J06_closed_pipe():
    with Session() as daemon:
        process = subprocess.Popen(
            [ttlib.TT_CTL, "export", "--json"],
            env=daemon.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdout.close()
        check_equal(process.stderr.read(), b"", "stderr")
        check_equal(process.wait(ttlib.SECONDS), 1)


@case
def fault_J07_killed_in_the_midst_of_an_export():
    """Of tt-ctl or of the daemon: nothing under the final name, nothing beside it, the old content
    intact."""
    folder = ttlib.temp_dir()
    out = folder / "out.json"
    out.write_text("old")
    for victim, number in (("ctl", signal.SIGINT), ("ctl", signal.SIGTERM), ("daemon", None)):
        with Session() as daemon:
            daemon.signal(signal.SIGSTOP)
            process = subprocess.Popen(
                [ttlib.TT_CTL, "export", f"--json={out}"],
                env=daemon.env(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            ttlib.wait_for(lambda: is_asleep(process.pid), "tt-ctl waits for an answer")
            if victim == "daemon":
                daemon.kill()
                _, said = process.communicate(timeout=ttlib.SECONDS)
                check_equal((process.returncode, said.count("\n")), (1, 1), said)
                check("tt-daemon" in said, said)
            else:
                process.send_signal(number)
                _, said = process.communicate(timeout=ttlib.SECONDS)
                check(process.returncode in (-number, 128 + number), f"{process.returncode} {said}")
                daemon.signal(signal.SIGCONT)
                check_equal(daemon.ctl("list").returncode, 0, "the daemon is well")
        check_equal(out.read_text(), "old", f"after {victim} {number}")
        check_equal(listing(folder), ["out.json"], f"files after {victim} {number}")


def is_asleep(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


@case
def fault_J07_daemon_killed_while_it_writes():
    """The document's second half waits for a reader; the daemon dies; a clear word, and status 1."""
    with Session() as daemon:
        process = subprocess.Popen(
            [ttlib.TT_CTL, "export", "--json", "--full"],
            env=daemon.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        check(process.stdout.read(100).startswith("{"), "the document begins")
        daemon.kill()
        _, said = process.communicate(timeout=ttlib.SECONDS)
        check_equal((process.returncode, said.count("\n")), (1, 1), said)
        check("tt-daemon" in said, said)


# ---- J08 ----


@case
def fault_J08_exports_at_full_speed():
    program = ttlib.compile_c(
        BUSY,
        "-pthread",
        "-w",
        "-I" + str(ttlib.SOURCE / "client"),
        "-L" + str(ttlib.LIBTTCLIENT.parent),
        "-lttclient",
        "-Wl,-rpath," + str(ttlib.LIBTTCLIENT.parent),
    )
    folder = ttlib.temp_dir()
    with ttlib.Daemon("--history=1000") as daemon:
        process = subprocess.Popen(
            [program],
            env=daemon.preload_env({"TT_LOSSLESS": 1}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        process.stdout.read(1)
        process.stdin.write(b"m")
        process.stdin.flush()
        process.stdout.read(1)
        # Half of now, which is another instant for each; half of one mark.
        files = [folder / f"{i}.json" for i in range(AT_ONCE)]
        exports = [
            subprocess.Popen(
                [
                    ttlib.TT_CTL,
                    "export",
                    f"--json={file}",
                    f"--at={'in the midst' if i % 2 else 'now'}",
                ],
                env=daemon.env(),
                stderr=subprocess.PIPE,
            )
            for i, file in enumerate(files)
        ]
        for export in exports:
            _, said = export.communicate(timeout=ttlib.SECONDS)
            check_equal((export.returncode, said), (0, b""))
        documents = [ttlib.read_json(file) for file in files]
        for document in documents:
            ttlib.check_books(document)
            ttlib.check_exact(document)
            listed = len(document["active_allocations"])
            check_equal(listed, document["total_allocations"], "blocks listed")
        marked = [document for document in documents if document["instant"]["mark"]]
        for document in marked[1:]:
            for key in ("total_allocated", "cumulative_freed", "peak_bytes", "active_allocations"):
                check_equal(document[key], marked[0][key], key)
        check(
            len({d["cumulative_frees"] for d in documents}) > 2, "the program went on meanwhile"
        )
        process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal(process.returncode, 0)
        card = daemon.wait_for_state(process.pid, "exited")
        check_equal(card["dropped_events"], 0)
        ttlib.check_exact(daemon.export(process.pid))


# ---- J14, K01, K07 ----


# ---- J09 ----


@case
def fault_J09_session_evicted_by_later_ones():
    """Two of four that ended are kept: the others are not known any more, and no more is wrong."""
    ids = []
    with ttlib.Daemon("--sessions=2") as daemon:
        for _ in range(4):
            program = subprocess.Popen(
                ["/bin/cat"], stdin=subprocess.PIPE, env=daemon.preload_env()
            )
            ttlib.wait_for(lambda: daemon.session_of(program.pid), "the session is there")
            ids.append(daemon.session_of(program.pid)["id"])
            program.communicate()
            daemon.wait_for_state(program.pid, "exited", "ended")
        check_equal([card["id"] for card in daemon.sessions()], ids[2:], "the last two are kept")
        gone = daemon.ctl("export", ids[0], "--json")
        check_equal((gone.returncode, gone.stdout), (2, ""), gone.stderr)
        named = [word for word in gone.stderr.split() if word in ids]
        check_equal(named, ids[2:], f"those that there are, are named: {gone.stderr}")
        ttlib.check_books(daemon.export(ids[3]))


MANY = "for i in $(seq 80); do /bin/true; done"


def run_many(folder, env):
    """80 programs one after the other; returns what was said, and how many documents each got."""
    result = ttlib.ctl("run", f"--json={folder}/%s.json", "--", "/bin/sh", "-c", MANY, env=env)
    check_equal(result.returncode, 0, result.stderr)
    exes = [ttlib.read_json(path)["process"]["exe"] for path in folder.glob("*.json")]
    return result.stderr, sum(exe.endswith("true") for exe in exes), len(exes)


@case
def fault_J09_run_of_many_processes_shows_each():
    """More than a daemon keeps. One of the run's own keeps them all; another's evicts, and it is
    said how many are missing."""
    ttlib.need("seq")
    alone = ttlib.clean_env({"TT_SOCKET_DIR": ttlib.temp_dir()})
    said, true_count, count = run_many(ttlib.temp_dir(), alone)
    check_equal((true_count, said), (80, ""))
    with ttlib.Daemon("--sessions=20") as daemon:
        said, _, kept = run_many(ttlib.temp_dir(), daemon.env())
    check_equal(kept, 20)
    check(said.startswith(f"tt-ctl: {count - kept} sessions that began and ended"), said)
    check_equal(said.count("\n"), 1, said)


@case
def fault_J14_options_that_make_no_sense():
    with Session() as daemon:
        for words, word in (
            (["--svg", "--view=unknown"], "unknown"),
            (["--svg", "--view="], "view"),
            (["--svg", "--top=-1"], "--top"),
            (["--svg", "--top=many"], "--top"),
            (["--json", "--at=nowhere"], "nowhere"),
            (["--json", "--at="], "--at"),
            (["--json", "--at=mark:"], "mark:"),
            (["--json", "--at=100h"], "outside"),
            (["--svg", "--at=-1s"], "-1s"),
            (["--json", "--at=99999999999999999999"], "99999999999999999999"),
            (["--json", "--unknown"], "--unknown"),
            (["--json", "--full=yes"], "--full"),
            ([], "--json"),
            (["--json", "one", "two"], "TARGET"),
        ):
            check_sentence(daemon.ctl("export", *words), 2, word)
        for words, word in (
            (["one"], "diff"),
            (["start", "now", "a", "b"], "diff"),
            (["nowhere", "now"], "nowhere"),
            (["start", "nowhere"], "nowhere"),
            (["", "now"], "instant"),
            (["now", "start"], "earlier"),
            (["start", "100h"], "outside"),
            (["start", "now", "--top=0"], "--top"),
        ):
            check_sentence(daemon.ctl("diff", *words), 2, word)
        for words, word in (
            ([], "who"),
            (["12x"], "12x"),
            (["0x"], "0x"),
            (["-1"], "-1"),
            ([" 1"], " 1"),
            (["0x-1"], "0x-1"),
            (["0x10000000000000000"], "0x10000000000000000"),
            (["a", "0x1", "b"], "who"),
        ):
            check_sentence(daemon.ctl("who", *words), 2, word)
        # Those of a picture that comes with a later version, unless it has come.
        for view in ("timeline", "flame"):
            result = daemon.ctl("export", "--svg", f"--view={view}")
            if result.returncode != 0:
                check_sentence(result, 2, view)


@case
def commands_that_are_not_there():
    for word in ("unknown", "top"):
        result = ttlib.ctl(word)
        check_sentence(result, 2, word)
    check_equal(ttlib.ctl().returncode, 2)
    check_sentence(ttlib.ctl("run"), 2, "run")
    check_sentence(ttlib.ctl("run", "--record=x-%p", "--", "/bin/true"), 2, "%p")
    check_sentence(ttlib.ctl("run", "--record=-", "--", "/bin/true"), 2, "one file")
    check_sentence(ttlib.ctl("record"), 2, "record")
    check_sentence(ttlib.ctl("leaks", "one", "two"), 2, "one TARGET")
    check_sentence(ttlib.ctl("leaks", "one", "--", "/bin/true"), 2, "one of them")
    check_sentence(ttlib.ctl("leaks", "--fail-on=unknown"), 2, "unknown")
    check_sentence(ttlib.ctl("run", "--view=unknown", "--svg", "--", "/bin/true"), 2, "unknown")


@case
def fault_K01_no_daemon():
    folder = ttlib.temp_dir()
    for words in (
        ["list"],
        ["export", "--json"],
        ["mark", "x"],
        ["stop", "1"],
        ["start", "1"],
        ["diff", "start", "now"],
        ["who", "0x1"],
    ):
        result = ttlib.ctl(*words, env=ttlib.clean_env({"TT_SOCKET_DIR": folder}))
        check_sentence(result, 1, "tt-daemon", "start")
    with ttlib.Daemon() as daemon:
        daemon.signal(signal.SIGSTOP)
        result = daemon.ctl("list", timeout=6)
        check_sentence(result, 1, "tt-daemon")


@case
def fault_K07_targets():
    out = ttlib.temp_dir() / "out.json"
    with Session() as daemon:
        check_equal(daemon.ctl("run", "--", "/bin/true").returncode, 0)
        check_equal(daemon.ctl("run", "--", "/bin/true").returncode, 0)
        ids = [card["id"] for card in daemon.sessions()]
        ended = next(card["id"] for card in daemon.sessions() if card["name"] == "true")
        for words in (["mark", "late", ended], ["stop", ended], ["start", ended]):
            check_sentence(daemon.ctl(*words), 1, "ended")
        check_equal(len(ids), 3)
        for target in ("unknown", "99999999", "1e20", "-5", "0", "+1", "true", "", "x" * 3000, "1"):
            for words in (["export", "--json=" + str(out), "--", target], ["stop", "--", target]):
                result = daemon.ctl(*words)
                check_equal((result.returncode, result.stdout), (2, ""), f"{target}: {result.stderr}")
                lines = result.stderr.splitlines()
                check(lines[0].startswith("tt-ctl: "), result.stderr)
                # The list: what fits, or all that there are.
                listed = [i for i in ids if any(i in line for line in lines[1:])]
                check_equal(len(listed), 2 if target == "true" else 3, f"{target}: {result.stderr}")
        check(not out.exists(), "no file is written")
        for target in (ids[0], ids[0][:8], daemon.sessions()[0]["pid"], "program"):
            export = daemon.export(target)
            check_equal(export["process"]["session"], ids[0], f"session of {target}")


# ---- K09 ----


@case
def fault_K09_status_of_run():
    folder = ttlib.temp_dir()
    plain = folder / "plain"
    plain.write_text("no program")
    plain.chmod(0o644)
    for command, status, words in (
        (["no-such-program-at-all"], 127, ["no-such-program-at-all", "No such file"]),
        (["/nonexistent/program"], 127, ["/nonexistent/program", "No such file"]),
        ([plain], 126, [str(plain), "Permission denied"]),
        ([folder], 126, [str(folder)]),
    ):
        check_sentence(ttlib.ctl("run", "--", *command), status, *words)
    for script, status in (
        ("exit 0", 0),
        ("exit 4", 4),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ("kill -SEGV $$", 128 + 11),
    ):
        result = ttlib.ctl("run", "--json=/dev/null", "--", "/bin/sh", "-c", script)
        check_equal((result.returncode, result.stderr), (status, ""), script)


@case
def fault_K09_run_within_run():
    out = ttlib.temp_dir() / "out.json"
    inner = [ttlib.TT_CTL, "run", f"--json={out}", "--", "/bin/sh", "-c", "exit 6"]
    result = ttlib.ctl("run", "--", *inner)
    check_equal((result.returncode, result.stdout), (6, ""), result.stderr)
    check_equal(ttlib.read_json(out)["process"]["exit_status"], 6)


@case
def fault_K09_interrupt_ends_cmd_and_the_export_is_written():
    out = ttlib.temp_dir() / "out.json"
    program = ttlib.compile_c(LEAVES, "-w")
    process = subprocess.Popen(
        [ttlib.TT_CTL, "run", f"--json={out}", "--", program, "wait"],
        env=ttlib.clean_env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    check_equal(process.stdout.readline(), b"ready\n")
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    _, said = process.communicate(timeout=ttlib.SECONDS)
    check_equal((process.returncode, said), (128 + signal.SIGINT, b""))
    export = ttlib.read_json(out)
    check_equal((export["process"]["state"], export["process"]["signal"]), ("killed", 2))
    check_equal(export["total_allocations"], 1999)


ttlib.main()
