# SPDX-License-Identifier: Apache-2.0
"""How a program is run: alone, traced by us in each mode, or by one of the peers. A way knows what
it needs, and what to compare its figures with."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import ttlib

CLK_OF_PROCESS = 2  # CPUCLOCK_SCHED of the kernel's clock ids for processes
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
NEVER = str(1 << 60)  # bytes between dumps of a peer that would write them while it measures


def cpu_seconds_of(pid):
    """CPU time so far of a running process, all its threads."""
    return time.clock_gettime(~pid << 3 | CLK_OF_PROCESS)


def peak_bytes_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


def children_of(pid):
    found = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, path.read_text().split())
    return found


def run(work, folder, less, environment, prefix=()):
    """Runs a work once (or its times); returns what was seen of it. CPU time is that of the program
    and all that it waited for; peak memory that of the largest of them."""
    seen = {"seconds": 0.0, "cpu_seconds": 0.0, "program_bytes": 0}
    command = [*prefix, *work.command(less)]
    said = folder / "said"
    environment = {**work.environment, **environment}
    # launch is not to be traced; it gives this to the program.
    environment["BENCH_PRELOAD"] = environment.pop("LD_PRELOAD", None)
    environment = ttlib.clean_env(environment)
    launched = [ttlib.BUILD / "tests" / "bench" / "launch", folder / "took"]
    for _ in range(work.times):
        with work.input(folder) as stdin, said.open("wb") as output:
            process = subprocess.Popen(
                [*launched, *command],
                env=environment,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.DEVNULL,
            )
            if work.driver:
                work.driver()
            process.wait()
        took = (folder / "took").read_text().split()
        ttlib.check_equal(int(took[7]), 0, f"status of {command}")
        seen["seconds"] += float(took[1]) / work.times
        seen["cpu_seconds"] += float(took[3]) / work.times
        seen["program_bytes"] = max(seen["program_bytes"], int(took[5]))
    timed = re.search(rb"pairs (\d+) threads (\d+) seconds ([\d.]+)", said.read_bytes()[:65536])
    if work.kind == "micro":
        pairs, threads, seconds = int(timed[1]), int(timed[2]), float(timed[3])
        seen["pairs"] = pairs
        # What a thread sees of its own pair, as long as there is a core for it.
        seen["pair_ns"] = seconds * 1e9 * min(threads, os.cpu_count()) / pairs
    return seen


def traced_in(folder, more=None):
    """The environment of a program that finds its daemon there."""
    return {"LD_PRELOAD": ttlib.LIBTTCLIENT, "TT_SOCKET_DIR": folder, **(more or {})}


class Way:
    """@base  the way whose figures these are told relative to
    @less  how many times fewer pairs, for what takes its time
    @most  how often it is run, for what takes very long"""

    name = "untraced"
    base = "untraced"
    less = 1
    most = 1000
    is_ours = False

    def why_not(self):
        """None, or why this machine cannot."""

    def suits(self, work):
        return True

    def measure(self, work, folder, less):
        return run(work, folder, less, {})


# ---- ours ----


class TraceTools(Way):
    """Everything recorded, nothing dropped. A daemon of its own for each run, so that its time and
    memory are this run's; then one export, told apart."""

    name = "trace-tools"
    is_ours = True

    more = {"TT_LOSSLESS": "1"}

    def measure(self, work, folder, less):
        with ttlib.Daemon(folder=folder / "s") as daemon:
            started = cpu_seconds_of(daemon.pid)
            seen = run(work, folder, less, traced_in(daemon.folder, self.more))
            cards = ttlib.wait_for(lambda: settled(daemon), "the daemon has read all", seconds=120)
            seen["daemon_cpu_seconds"] = cpu_seconds_of(daemon.pid) - started
            seen["daemon_bytes"] = peak_bytes_of(daemon.pid)
            seen["cpu_seconds"] += seen["daemon_cpu_seconds"] / work.times
            seen["events"] = sum(card["events"] for card in cards)
            seen["dropped"] = sum(card["dropped_events"] for card in cards)
            if work.kind == "real" and cards:
                seen |= self.export(daemon, folder, max(cards, key=lambda card: card["events"]))
        return seen

    @staticmethod
    def export(daemon, folder, card):
        before, start = cpu_seconds_of(daemon.pid), time.monotonic()
        path = folder / "export.json"
        made = daemon.ctl("export", card["id"], f"--json={path}", timeout=120)
        ttlib.check_equal(made.returncode, 0, f"export: {made.stderr}")
        seen = {
            "export_seconds": time.monotonic() - start,
            "export_cpu_seconds": cpu_seconds_of(daemon.pid) - before,
            "export_bytes": path.stat().st_size,
        }
        for child in children_of(daemon.pid):
            seen["symbolizer_cpu_seconds"] = cpu_seconds_of(child)
            seen["symbolizer_bytes"] = peak_bytes_of(child)
        return seen


def settled(daemon):
    cards = daemon.sessions()
    return cards if cards and all(card["state"] != "running" for card in cards) else None


class Sampled(TraceTools):
    name = "sampled at 512 KiB"

    more = {"TT_LOSSLESS": "1", "TT_SAMPLE": str(512 * 1024)}

    def why_not(self):
        """Asks: are there fewer events than allocations?"""
        program = ttlib.BUILD / "tests" / "bench" / "pair"
        with ttlib.Daemon() as daemon:
            subprocess.run(
                [program, "5", "10000"],
                env=daemon.preload_env(self.more),
                stdout=subprocess.DEVNULL,
            )
            cards = ttlib.wait_for(lambda: settled(daemon), "the session ends")
        if sum(card["events"] for card in cards) > 10000:
            return "libttclient records every event whatever TT_SAMPLE says"


class Dormant(Way):
    name = "dormant"
    is_ours = True

    def measure(self, work, folder, less):
        with ttlib.Daemon(folder=folder / "s") as daemon:
            return run(work, folder, less, traced_in(daemon.folder, {"TT_ENABLE": "0"}))


class NoDaemon(Way):
    name = "no daemon"
    is_ours = True

    def measure(self, work, folder, less):
        return run(work, folder, less, traced_in(folder))


class Nowhere(Way):
    """The client's own cost; and what it writes."""

    name = "daemon to nowhere"
    is_ours = True

    def measure(self, work, folder, less):
        process = subprocess.Popen(
            [ttlib.BUILD / "tests" / "bench" / "nowhere", folder], stdout=subprocess.PIPE, text=True
        )
        try:
            ttlib.check_equal(process.stdout.readline(), "ready\n", "nowhere listens")
            seen = run(work, folder, less, traced_in(folder, {"TT_LOSSLESS": "1"}))
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate()[0]
        sessions = re.findall(r"lanes (\d+) bytes (\d+) events (\d+) dropped (\d+)", said)
        for i, what in enumerate(("lanes", "lane_bytes", "lane_events", "lane_dropped")):
            seen[what] = sum(int(session[i]) for session in sessions)
        return seen


# ---- peers ----


class Heaptrack(Way):
    """--raw: its interpreter, which by default runs beside the program, is left out. Where libc's
    debug files are installed, that reads them at the start while the program waits on the pipe."""

    name = "heaptrack --raw"
    words = ("--raw",)

    def why_not(self):
        return None if shutil.which("heaptrack") else "heaptrack is not installed"

    def suits(self, work):
        return work.kind != "empty"

    def measure(self, work, folder, less):
        prefix = ["heaptrack", *self.words, "-o", str(folder / "recording")]
        return run(work, folder, less, {}, prefix)


class HeaptrackInterpreted(Heaptrack):
    name = "heaptrack"
    words = ()

    def suits(self, work):
        return work.kind == "real"


class Preloaded(Way):
    """Another allocator, without its profiler."""

    def __init__(self, name, library):
        self.name = name
        self.base = name
        self.library = library

    def path(self):
        folders = os.environ.get("LD_LIBRARY_PATH", "").split(":") + [LIBRARIES]
        found = [pathlib.Path(folder, self.library) for folder in folders if folder]
        return next((path for path in found if path.exists()), None)

    def why_not(self):
        return None if self.path() else f"{self.library} is not installed"

    def suits(self, work):
        return work.kind != "empty"

    def measure(self, work, folder, less):
        return run(work, folder, less, {"LD_PRELOAD": self.path()})


class Profiled(Preloaded):
    """And with it, every allocation recorded."""

    def __init__(self, name, base, library, variables, less):
        super().__init__(name, library)
        self.base = base
        self.variables = variables
        self.less = less

    def measure(self, work, folder, less):
        prefix = str(folder / "profile")
        environment = {name: text.replace("@", prefix) for name, text in self.variables.items()}
        seen = run(work, folder, less, {"LD_PRELOAD": self.path(), **environment})
        if not list(folder.glob("profile*")):
            raise ttlib.Skip(f"{self.name} wrote no profile: built without")
        return seen


class Dhat(Way):
    """On short inputs: fewer pairs, and of the real programs those that end in time."""

    name = "valgrind DHAT"
    less = 100
    most = 1

    def why_not(self):
        return None if shutil.which("valgrind") else "valgrind is not installed"

    def suits(self, work):
        return work.kind != "empty" and work.driver is None and not work.name.startswith("million")

    def measure(self, work, folder, less):
        prefix = ["valgrind", "--tool=dhat", f"--dhat-out-file={folder / 'dhat.out'}", "-q"]
        return run(work, folder, less, {}, prefix)


JEMALLOC = "libjemalloc.so.2"
TCMALLOC = "libtcmalloc.so.4"
ALL = [
    Way(),
    TraceTools(),
    Nowhere(),
    Dormant(),
    NoDaemon(),
    Sampled(),
    Heaptrack(),
    HeaptrackInterpreted(),
    Preloaded("jemalloc", JEMALLOC),
    Profiled(
        "jemalloc's profiler",
        "jemalloc",
        JEMALLOC,
        {"MALLOC_CONF": "prof:true,lg_prof_sample:0,prof_final:true,prof_prefix:@"},
        10,
    ),
    Preloaded("tcmalloc", TCMALLOC),
    Profiled(
        "gperftools' profiler",
        "tcmalloc",
        TCMALLOC,
        {
            "HEAPPROFILE": "@",
            "HEAP_PROFILE_ALLOCATION_INTERVAL": NEVER,
            "HEAP_PROFILE_INUSE_INTERVAL": NEVER,
        },
        40,
    ),
    Dhat(),
]
