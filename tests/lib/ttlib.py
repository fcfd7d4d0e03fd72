# SPDX-License-Identifier: Apache-2.0
"""What the tests of the whole share: a private daemon, programs run under tracing, their exports,
an independent count, and TAP. The standard library only. Where the build is: TT_BUILD.

A test file:

    import ttlib
    from ttlib import case, check_equal

    @case
    def fault_F07_exit_in_a_thread():
        result = ttlib.run_traced(["/bin/true"])
        check_equal(result.export["process"]["state"], "exited")

    ttlib.main()
"""

import atexit
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

BUILD = pathlib.Path(os.environ.get("TT_BUILD", "build")).resolve()
SOURCE = pathlib.Path(os.environ.get("TT_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
TT_CTL = BUILD / "tools" / "tt-ctl"
TT_DAEMON = BUILD / "daemon" / "tt-daemon"
LIBTTCLIENT = BUILD / "client" / "libttclient.so"
LIBTTCOUNT = BUILD / "tests" / "lib" / "libttcount.so"

SECONDS = 30  # what no single step of a test takes, however busy the machine is


class Skip(Exception):
    """Raised by a case that this machine cannot run; the text says why."""


class Failed(AssertionError):
    """Raised by the checks; the text says what was expected."""


# ---- checks ----


def check(truth, what):
    if not truth:
        raise Failed(what)


def show(value):
    """For messages: what is long is cut."""
    text = repr(value)
    return text if len(text) <= 1000 else f"{text[:400]} … {text[-400:]}"


def check_equal(got, want, what=""):
    if got != want:
        raise Failed(f"{what + ': ' if what else ''}got {show(got)}, want {show(want)}")


def check_between(got, low, high, what=""):
    if not low <= got <= high:
        raise Failed(f"{what + ': ' if what else ''}got {got!r}, want {low!r} … {high!r}")


def wait_for(ask, what, seconds=SECONDS):
    """Asks again until the answer is true, and returns it; Failed at the deadline."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise Failed(f"waited {seconds} s in vain: {what}")
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


# ---- temporary folders ----

_folders = contextlib.ExitStack()  # of the case that runs; outside of any, of the whole file
atexit.register(_folders.close)


def temp_dir():
    """A folder for this case, mode 0700, with a short name (sockets lie in it); removed at its end."""
    return pathlib.Path(_folders.enter_context(tempfile.TemporaryDirectory(prefix="tt.")))


def at_end(call):
    """Has something called when this case has ended, however it does."""
    _folders.callback(call)


def clean_env(extra=None):
    """The environment for a program under test: what others set for tracing or preloading is not in
    it. None as a value takes a variable out."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name != "LD_PRELOAD" and (not name.startswith("TT_") or name in ("TT_BUILD", "TT_SOURCE"))
    }
    # Meson adds these for the tests themselves; their programs run as at home.
    env.pop("MALLOC_PERTURB_", None)
    env.pop("LD_LIBRARY_PATH", None)
    for name, value in (extra or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = str(value)
    return env


# ---- the daemon ----


class Daemon:
    """A tt-daemon of our own in a folder of our own.

    with Daemon() as daemon:
        daemon.ctl("list", "--json")
    """

    def __init__(self, *options, env=None, folder=None):
        self.folder = pathlib.Path(folder) if folder else temp_dir() / "s"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.options = options
        self.extra_env = env
        self.process = None
        self.log_path = self.folder.parent / "daemon.log"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [TT_DAEMON, f"--socket-dir={self.folder}", *self.options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=clean_env(self.extra_env),
        )
        log.close()
        wait_for(self._is_up, f"{TT_DAEMON} listens in {self.folder}; its log:\n{self.log()}")
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            raise Failed(f"tt-daemon ended with {self.process.returncode}:\n{self.log()}")
        return accepts(self.folder / "events.sock", socket.SOCK_SEQPACKET) and accepts(
            self.folder / "control.sock", socket.SOCK_STREAM
        )

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends it by SIGTERM and checks that it ended cleanly; returns the seconds that took."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        start = time.monotonic()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"tt-daemon did not end within {SECONDS} s of SIGTERM:\n{self.log()}")
        check_equal(status, 0, f"tt-daemon's exit status; its log:\n{self.log()}")
        return time.monotonic() - start

    def kill(self):
        self.process.kill()
        self.process.wait()

    def env(self, extra=None):
        """For a program that shall find this daemon."""
        return clean_env({"TT_SOCKET_DIR": self.folder, **(extra or {})})

    def preload_env(self, extra=None, counted=None):
        """For a program that is traced by this daemon, and counted into file @counted."""
        libraries = [str(LIBTTCLIENT)] + ([str(LIBTTCOUNT)] if counted else [])
        return self.env(
            {
                "LD_PRELOAD": ":".join(libraries),
                **({"TTCOUNT_OUT": counted} if counted else {}),
                **(extra or {}),
            }
        )

    def ctl(self, *words, **options):
        return ctl(*words, env=self.env(options.pop("env", None)), **options)

    def sessions(self):
        """`tt-ctl list --json`."""
        result = self.ctl("list", "--json")
        check_equal(result.returncode, 0, f"tt-ctl list: {result.stderr}")
        return json.loads(result.stdout)

    def session_of(self, pid):
        """The card of the newest session of a pid, or None."""
        found = [card for card in self.sessions() if card["pid"] == pid]
        return found[-1] if found else None

    def export(self, target=None, *options):
        """`tt-ctl export TARGET --json`, parsed."""
        words = ["export"] + ([str(target)] if target is not None else []) + ["--json", *options]
        result = self.ctl(*words)
        check_equal(result.returncode, 0, f"tt-ctl {' '.join(words)}: {result.stderr}")
        return json.loads(result.stdout)

    def wait_for_state(self, pid, *states):
        """Waits until the newest session of a pid is in one of the states; returns its card."""

        def ask():
            card = self.session_of(pid)
            return card if card and card["state"] in states else None

        return wait_for(ask, f"session of pid {pid} is {' or '.join(states)}")


def accepts(path, kind):
    """Does somebody listen there?"""
    with socket.socket(socket.AF_UNIX, kind) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


# ---- tt-ctl and traced programs ----


def ctl(*words, env=None, stdin=subprocess.DEVNULL, timeout=SECONDS, text=True, **options):
    """Runs tt-ctl; returns the finished process, its output captured."""
    return subprocess.run(
        [TT_CTL, *map(str, words)],
        env=env or clean_env(),
        stdin=stdin,
        capture_output=True,
        timeout=timeout,
        text=text,
        errors="backslashreplace" if text else None,
        **options,
    )


class Traced:
    """What came of run_traced: returncode, stdout, stderr, export (parsed JSON or None), svg (a path
    or None), count (of the counter, or None)."""

    def __init__(self, process, export, svg, count):
        self.returncode = process.returncode
        self.stdout = process.stdout
        self.stderr = process.stderr
        self.export = export
        self.svg = svg
        self.count = count


def run(words, env, seconds=SECONDS, **options):
    """Runs a program that reads nothing; returns the finished process, its output captured."""
    return subprocess.run(
        [str(word) for word in words],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        **options,
    )


def run_by_the_clock(words, env):
    """As run(), where the processor's counter does not tick evenly: a debugger takes it away, whose
    words are then among the program's. Skips the case where it cannot."""
    need("gdb")
    script = temp_dir() / "script"
    of_program = [n for n in ("LD_PRELOAD", "TTCOUNT_OUT") if n in env]
    lines = [
        "set startup-with-shell off",
        "set breakpoint pending on",
        *(f"set environment {name} {env[name]}" for name in of_program),
        "break tt_session_start",
        "run",
        "set var tt_clock_tsc_trust = 0",
        "set var tt_clock_counts_ticks = 0",
        "delete",
        "continue",
    ]
    script.write_text("\n".join(lines) + "\n")
    rest = {name: value for name, value in env.items() if name not in of_program}
    result = run(["gdb", "-nx", "-batch", "-x", script, "--args", *words], rest)
    if "Breakpoint 1, tt_session_start" not in result.stdout:
        raise Skip(f"gdb did not come so far: {result.stdout[-200:]} {result.stderr[-200:]}")
    return result


def check_like(traced, alone, what=""):
    """Both ran to the same end and said the same."""
    check_equal(
        (traced.returncode, traced.stdout, traced.stderr),
        (alone.returncode, alone.stdout, alone.stderr),
        what,
    )


def left(export, low=40000, high=50000):
    """The sizes of the blocks left, of those that a program of the tests leaves on purpose."""
    return sorted(b["size"] for b in export["active_allocations"] if low <= b["size"] < high)


def run_traced(
    cmd, env=None, json=True, svg=False, counted=False, daemon=None, options=(), **popen_options
):
    """Runs a program under `tt-ctl run` and reads what it wrote.

    @env      changes to the environment, None takes a variable out
    @counted  also count it (libttcount.so), and return the figures
    @daemon   a Daemon; without, tt-ctl starts one of its own in a folder of its own
    """
    folder = temp_dir()
    words = ["run", *options]
    if json:
        words.append(f"--json={folder / 'export.json'}")
    if svg:
        words.append(f"--svg={folder / 'export.svg'}")
    extra = {"TT_SOCKET_DIR": daemon.folder if daemon else folder / "s"}
    if counted:
        # tt-ctl itself is counted too, to another file: what it counted of CMD is told by pid.
        extra |= {"LD_PRELOAD": LIBTTCOUNT, "TTCOUNT_OUT": folder / "count.%p"}
    (folder / "s").mkdir(mode=0o700)
    process = ctl(*words, "--", *cmd, env=clean_env({**extra, **(env or {})}), **popen_options)
    export = None
    if json and (folder / "export.json").exists():
        export = read_json(folder / "export.json")
    count = None
    if counted and export is not None:
        count = read_count(folder / f"count.{export['process']['pid']}")
    return Traced(process, export, folder / "export.svg" if svg else None, count)


def run_counted(cmd, env=None, **popen_options):
    """Runs a program with the counter alone; returns the finished process and its figures."""
    path = temp_dir() / "count"
    process = subprocess.run(
        [str(word) for word in cmd],
        env=clean_env({"LD_PRELOAD": LIBTTCOUNT, "TTCOUNT_OUT": path, **(env or {})}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        **popen_options,
    )
    return process, read_count(path)


def read_count(path):
    """The counter's figures, also of a process that was killed."""
    return json.loads(pathlib.Path(path).read_text())


def compile_c(text, *flags, name="program", compiler="cc", suffix=".c"):
    """Builds a small program of the test's own; returns its path."""
    folder = temp_dir()
    source = folder / (name + suffix)
    source.write_text(text)
    result = subprocess.run(
        [compiler, "-g", "-O1", "-fno-builtin", "-o", folder / name, source, *flags],
        capture_output=True,
        text=True,
    )
    check_equal(result.returncode, 0, f"{compiler} on a test's program: {result.stderr}")
    return folder / name


def build(source, *flags, compiler="cc"):
    """As compile_c(), of a file in the folder programs/ beside the test."""
    path = pathlib.Path(sys.argv[0]).resolve().parent / "programs" / source
    return compile_c(
        path.read_text(), *flags, name=path.stem, compiler=compiler, suffix=path.suffix
    )


def need(*programs):
    """Skips the case where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed")


# ---- exports ----


def read_json(path):
    """A document, with what JSON does not know (NaN, a key twice) refused."""

    def no_constant(word):
        raise Failed(f"{path}: {word} is no JSON")

    def no_twin(pairs):
        keys = [key for key, _ in pairs]
        check_equal(len(keys), len(set(keys)), f"{path}: a key twice among {keys}")
        return dict(pairs)

    text = pathlib.Path(path).read_bytes().decode()
    return json.loads(text, parse_constant=no_constant, object_pairs_hook=no_twin)


def frames_of(export, stack_id):
    """The frames of a stack, innermost first."""
    for stack in export["stacks"]:
        if stack["id"] == stack_id:
            return stack["frames"]
    raise Failed(f"stack {stack_id} is not in the export")


def functions_of(export, stack_id):
    """The names of a stack's functions, innermost first; None for a frame without a name."""
    return [frame["function"] for frame in frames_of(export, stack_id)]


def check_books(export):
    """I4: allocated + inherited = freed + live, in the whole and in each stack; ids differ."""
    live_bytes = sum(block["size"] for block in export["active_allocations"])
    is_listed = len(export["active_allocations"]) == export["total_allocations"]
    check_equal(
        export["cumulative_allocations"] + export.get("inherited_blocks", 0),
        export["cumulative_frees"] + export["total_allocations"],
        "blocks",
    )
    check_equal(
        export["cumulative_allocated"] + export.get("inherited_bytes", 0),
        export["cumulative_freed"] + export["total_allocated"],
        "bytes",
    )
    if is_listed:
        check_equal(live_bytes, export["total_allocated"], "bytes of the listed live blocks")
    for key, total in (
        ("count", "total_allocations"),
        ("total_size", "total_allocated"),
        ("cumulative_count", "cumulative_allocations"),
        ("cumulative_size", "cumulative_allocated"),
        ("peak_size", "peak_bytes"),
        ("inherited_count", "inherited_blocks"),
        ("inherited_size", "inherited_bytes"),
    ):
        check_equal(
            sum(site[key] for site in export["allocation_hotspots"]), export[total], f"sum of {key}"
        )
    for site in export["allocation_hotspots"]:
        check_equal(
            (
                site["cumulative_count"] + site["inherited_count"],
                site["cumulative_size"] + site["inherited_size"],
            ),
            (site["count"] + site["freed_count"], site["total_size"] + site["freed_size"]),
            f"books of stack {site['stack']}",
        )
    blocks = export["active_allocations"] + export["freed_allocations"]
    ids = [block["id"] for block in blocks]
    check_equal(len(ids), len(set(ids)), "ids of blocks")


def check_books_at(export):
    """check_books() of an earlier instant, of whose blocks some may be missing, as declared."""
    missing = export["completeness"]["unlisted_blocks"]
    check_books(export)
    if missing is not None:
        listed = len(export["active_allocations"])
        check_equal(listed + missing, export["total_allocations"], "blocks listed and missing")


def check_exact(export):
    """The export calls itself exact, and has nothing that would give it the lie."""
    completeness = export["completeness"]
    for key in ("dropped_events", "unknown_frees", "double_frees", "synthesized_frees"):
        check_equal(completeness[key], 0, key)
    check_equal((completeness["gaps"], completeness["doubts"]), ([], []), "gaps and doubts")
    check_equal(completeness["exact"], True, f"exact in {completeness}")


def check_schema(export, kind="session"):
    """Valid by the schema that is installed. For exports of a few thousand blocks: it takes its time.

    @kind  "session", or "diff" or "lives" for those of the commands diff and who
    """
    try:
        import jsonschema
    except ImportError:
        raise Skip("python3-jsonschema is not installed")
    folder = SOURCE / "data" / "schema"
    text = (folder / "trace-tools-session-1.schema.json").read_text()
    schema = json.loads(text)
    if kind != "session":
        # They refer to the session's schema, by its name: put into them, it needs no resolver.
        schema = json.loads(
            (folder / f"trace-tools-{kind}-1.schema.json")
            .read_text()
            .replace("urn:trace-tools:schema:session:1#/", "#/$defs/session_document/")
        )
        session = json.loads(text.replace('"#/', '"#/$defs/session_document/'))
        del session["$id"], session["$schema"]
        schema.setdefault("$defs", {})["session_document"] = session
    validator = jsonschema.Draft202012Validator(schema)
    for error in validator.iter_errors(export):
        raise Failed(f"{error.json_path} is not as the schema says: {error.message[:300]}")


def check_counted(export, count, peak_slack=0):
    """The export says what the counter saw.

    @peak_slack  bytes that may be on their way at the peak: of calls of several threads at once, the
                 counter sees the end and the export when each was made or given up
    """
    for key, other in (
        ("cumulative_allocations", "allocations"),
        ("cumulative_allocated", "allocated_bytes"),
        ("cumulative_frees", "frees"),
        ("cumulative_freed", "freed_bytes"),
        ("reallocations", "reallocations"),
        ("total_allocations", "live_blocks"),
        ("total_allocated", "live_bytes"),
    ):
        check_equal(export[key], count[other], f"{key} against the counter")
    peak = count["peak_bytes"]
    check_between(export["peak_bytes"], peak - peak_slack, peak + peak_slack, "peak_bytes")


# ---- TAP ----

_cases = []


def find_library(name):
    """A library of the system's that is not linked to; skips where it is not installed."""
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"):
        path = pathlib.Path(folder) / name
        if path.exists():
            return path
    raise Skip(f"{name} is not installed")


def check_told_or_lost(daemon, pid, count_path):
    """A session that is over has each event of a program run with @count_path (preload_env), told or
    counted lost, to the last one. Returns what its export says of that."""
    told = daemon.session_of(pid)["events"]
    export = daemon.export(pid)
    check_books(export)
    lost = export["completeness"]["dropped_events"]
    count = read_count(count_path)
    done = count["allocations"] + count["frees"]
    print(f"# {pid}: {done} events, {told} told, {lost} lost")
    check_equal(told + lost, done, f"{told} told and {lost} lost: events")
    return export["completeness"]


def case(function):
    """Marks a function as a test; its name is the test's name."""
    _cases.append((function.__name__, function))
    return function


def add_case(name, function):
    """A test made in a loop."""
    _cases.append((name, function))


def main():
    """Runs the cases (those whose names hold a word of the command line, if any) and prints TAP."""
    words = sys.argv[1:]
    chosen = [c for c in _cases if not words or any(word in c[0] for word in words)]
    failures = 0
    print(f"1..{len(chosen)}" + ("" if chosen else " # SKIP no case of that name"), flush=True)
    for number, (name, function) in enumerate(chosen, 1):
        global _folders
        _folders = contextlib.ExitStack()
        try:
            function()
            print(f"ok {number} {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} {name} # SKIP {reason}", flush=True)
        except Exception as error:  # whatever it is, the other cases run
            failures += 1
            print(f"not ok {number} {name}", flush=True)
            if isinstance(error, Failed):
                where = traceback.extract_tb(error.__traceback__)
                here = [f for f in where if not f.filename.endswith("ttlib.py")] or where
                print(f"# {pathlib.Path(here[-1].filename).name}:{here[-1].lineno}")
                text = str(error)
            else:
                text = traceback.format_exc()
            print("\n".join("# " + line for line in text.splitlines()), flush=True)
        finally:
            _folders.close()
    sys.exit(1 if failures else 0)
