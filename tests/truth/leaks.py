#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which blocks are lost. The program's cases say by their names which class their blocks have; what is
definitely lost, LeakSanitizer (in a build of its own) and valgrind have to say as well. A program is
looked at while it works, and must not notice; one that handles no EINTR must see none."""

import collections
import fcntl
import functools
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import threading

import ttlib
from ttlib import case, check, check_equal

IS_LONG = "TT_LONG" in os.environ  # by night: more levels, and more looks

PLUGIN = "void *plugin_slot;"
CLASSES = ("definite", "indirect", "possible", "reachable")
FRAME = re.compile(r"\b((?:%s)_\w+)" % "|".join(CLASSES))

# Blocks and bytes by class and case; what a case has beside its own class is named too.
KNOWN = {
    ("definite", "definite_dropped"): (1, 101),
    ("definite", "definite_overwritten"): (1, 102),
    ("definite", "definite_realloced"): (1, 10300),
    ("definite", "definite_behind_freed"): (1, 104),
    ("definite", "definite_ended_thread"): (2, 214),
    ("definite", "indirect_list"): (1, 116),
    ("indirect", "indirect_list"): (7, 3 * 116 + 4 * 201),
    ("definite", "indirect_cycle"): (1, 216),
    ("indirect", "indirect_cycle"): (1, 216),
    ("possible", "possible_interior"): (1, 301),
    ("possible", "possible_behind_interior"): (2, 316 + 302),
    ("reachable", "reachable_global"): (1, 401),
    ("reachable", "reachable_chain"): (100, 50 * (416 + 402)),
    ("reachable", "reachable_tls"): (1, 403),
    ("reachable", "reachable_mapped"): (1, 404),
    ("reachable", "reachable_in_plugin"): (1, 405),
    ("reachable", "reachable_thread_stack"): (1, 406),
    ("reachable", "reachable_register"): (1, 407),
}
KNOWN_CPP = KNOWN | {
    ("reachable", "reachable_array_with_length"): (1, 408),
    ("reachable", "reachable_second_base"): (1, 176),
}


BUILT = tempfile.TemporaryDirectory()  # outlives a case


@functools.cache
def build_program(compiler="cc", *flags):
    plugin = ttlib.compile_c(PLUGIN, "-shared", "-fPIC", name="plugin.so")
    source = (ttlib.SOURCE / "tests/truth/programs/leaks.c").read_text()
    suffix = ".cpp" if compiler.endswith("++") else ".c"
    program = ttlib.compile_c(
        source, *flags, "-pthread", "-ldl", name="leaks", compiler=compiler, suffix=suffix
    )
    folder = pathlib.Path(tempfile.mkdtemp(dir=BUILT.name))
    return shutil.copy(program, folder), {"PLUGIN": shutil.copy(plugin, folder)}


def case_of(names):
    """The case that called malloc itself; the loader's own blocks are not its."""
    for name in names[:2]:
        found = FRAME.search(name or "")
        if found:
            return found.group(1)
    return None


def by_case(report):
    """Blocks and bytes by class and case."""
    sums = collections.defaultdict(lambda: (0, 0))
    for leak in report["leaks"]:
        name = case_of(ttlib.functions_of(report, leak["stack"]))
        if name:
            blocks, size = sums[leak["class"], name]
            sums[leak["class"], name] = (blocks + leak["blocks"], size + leak["bytes"])
    return dict(sums)


def leaks(daemon, *words, status=0, env=None):
    """`tt-ctl leaks … --json`, parsed."""
    path = ttlib.temp_dir() / "leaks.json"
    words = [f"--json={path}", "--show=all", *map(str, words)]
    result = daemon.ctl("leaks", *words, env=env)
    check_equal(result.returncode, status, f"tt-ctl leaks {words}: {result.stderr}")
    return ttlib.read_json(path)


class Waiting:
    """The program, with all its cases behind it, waiting for a byte."""

    def __init__(self, daemon, program, env, *cases):
        self.process = subprocess.Popen(
            [program, *cases],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=daemon.preload_env({"WAIT": 1, "TT_LOSSLESS": 1, **env}),
        )

    def __enter__(self):
        check_equal(self.process.stdout.readline(), b"ready\n")
        return self.process

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.communicate(b"x")
            check_equal(self.process.returncode, 0)


@case
def classes_are_those_of_the_cases_at_the_end():
    for end, status in (("", 0), ("_exit", 7), ("segv", 139), ("kill", 137)):
        with ttlib.Daemon() as daemon:
            program, env = build_program()
            found = leaks(daemon, "--", program, env={"END": end, **env}, status=status)
            check_equal(by_case(found), KNOWN, f"END={end}")
    ttlib.check_schema(found, "leaks")


@case
def classes_are_those_of_the_cases_while_it_runs():
    program, env = build_program()
    with ttlib.Daemon() as daemon, Waiting(daemon, program, env) as process:
        found = leaks(daemon, process.pid)
        check_equal(by_case(found), KNOWN)
        check(found["scan"]["threads"] == 3, f"threads: {found['scan']}")
        ttlib.check_schema(found, "leaks")


@case
def classes_hold_for_cpp_at_every_level():
    for level in ("-O0", "-O1", "-O2", "-O3") if IS_LONG else ("-O0", "-O2"):
        with ttlib.Daemon() as daemon:
            program, env = build_program("c++", level)
            found = leaks(daemon, "--", program, env=env)
            check_equal(by_case(found), KNOWN_CPP, level)


@case
def sums_are_those_of_what_is_listed():
    program, env = build_program()
    with ttlib.Daemon() as daemon:
        found = leaks(daemon, "--", program, env=env)
        live = daemon.export()
        for name, amount in found["classes"].items():
            listed = [leak for leak in found["leaks"] if leak["class"] == name]
            if name == "alive":
                check_equal(amount, None)
                continue
            check_equal(amount["blocks"], sum(leak["blocks"] for leak in listed), name)
            check_equal(amount["bytes"], sum(leak["bytes"] for leak in listed), name)
        total = sum(found["classes"][name]["blocks"] for name in CLASSES)
        check_equal(total, live["total_allocations"], "every live block has a class")
        led_to = sum(leak["led_to_blocks"] for leak in found["leaks"])
        check_equal(led_to, found["classes"]["indirect"]["blocks"], "led to")


# ---- Other tools ----


def definite_of(report):
    return {name: value for (what, name), value in by_case(report).items() if what == "definite"}


def cases_of_valgrind(text, kind):
    """From its report: records of one kind by case."""
    sums = collections.defaultdict(lambda: (0, 0))
    record = re.compile(
        r"== ([\d,]+)(?: \(([\d,]+) direct, [\d,]+ indirect\))? bytes in ([\d,]+) blocks are "
        + kind
        + r" in loss record.*\n((?:==\d+==    (?:at|by) .*\n)+)"
    )
    for total, direct, blocks, stack in record.findall(text):
        name = case_of(stack.splitlines())
        if name:
            count, size = sums[name]
            sums[name] = (
                count + int(blocks.replace(",", "")),
                size + int((direct or total).replace(",", "")),
            )
    return dict(sums)


@case
def definite_leaks_are_those_of_valgrind():
    ttlib.need("valgrind")
    program, env = build_program()
    with ttlib.Daemon() as daemon:
        found = leaks(daemon, "--", program, env=env)
    valgrind = subprocess.run(
        ["valgrind", "--leak-check=full", "--show-leak-kinds=all", "--num-callers=30", program],
        env=ttlib.clean_env(env),
        capture_output=True,
        text=True,
        timeout=60,
    )
    theirs = cases_of_valgrind(valgrind.stderr, "definitely lost")
    check_equal(definite_of(found), theirs)


@case
def definite_leaks_are_those_of_leaksanitizer():
    """Circles apart: LeakSanitizer has no one stand for all, and calls them indirect."""
    program, env = build_program()
    sanitized, _ = build_program("gcc", "-fsanitize=leak")  # whose runtime comes with it
    with ttlib.Daemon() as daemon:
        found = leaks(daemon, "--", program, env=env)
    lsan = subprocess.run(
        [sanitized], env=ttlib.clean_env(env), capture_output=True, text=True, timeout=60
    )
    if "LeakSanitizer has encountered a fatal error" in lsan.stderr:
        raise ttlib.Skip("LeakSanitizer cannot trace here")
    sums = collections.defaultdict(lambda: (0, 0))
    for size, blocks, stack in re.findall(
        r"Direct leak of (\d+) byte\(s\) in (\d+) object\(s\) allocated from:\n((?:    #.*\n)+)",
        lsan.stderr,
    ):
        name = case_of(stack.splitlines())
        if name:
            sums[name] = (sums[name][0] + int(blocks), sums[name][1] + int(size))
    ours = definite_of(found)
    ours.pop("indirect_cycle")
    # It looks into no memory that the program has mapped for itself.
    check_equal(sums.pop("reachable_mapped"), KNOWN["reachable", "reachable_mapped"])
    check_equal(ours, dict(sums), lsan.stderr[:2000])


LEFTOVERS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

static void (*keep_in_plugin)(size_t size);

__attribute__((noinline)) static void wipe(void) {
    char bytes[8192];
    memset(bytes, 0x55, sizeof bytes);
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

__attribute__((noinline)) static void *definite_behind_ended_tls(void *unused) {
    keep_in_plugin(205);
    return unused;
}

/* Its address is in a vector register, as memcpy leaves some there, and nowhere else. */
__attribute__((noinline)) static void definite_in_vector(void) {
    void *block = malloc(206);
    wipe();
    /* wipe() has saved it below the stack pointer. */
    __asm__ volatile("movq %0, %%xmm13\n\t"
                     "xor %k0, %k0\n\t"
                     "movq $0, -16(%%rsp)\n\t"
                     "mov %1, %%eax\n\t"
                     "xor %%edi, %%edi\n\t"
                     "xor %%esi, %%esi\n\t"
                     "xor %%edx, %%edx\n\t"
                     "xor %%r8d, %%r8d\n\t"
                     "xor %%r9d, %%r9d\n\t"
                     "xor %%r10d, %%r10d\n\t"
                     "syscall"
                     : "+b"(block)
                     : "i"(SYS_exit_group)
                     : "rax", "rdi", "rsi", "rdx", "r8", "r9", "r10", "rcx", "r11", "xmm13",
                       "memory");
}

int main(void) {
    void *plugin = dlopen(getenv("PLUGIN"), RTLD_NOW);
    pthread_t thread;

    keep_in_plugin = (void (*)(size_t))dlsym(plugin, "keep");
    pthread_create(&thread, NULL, definite_behind_ended_tls, NULL);
    pthread_join(thread, NULL);
    definite_in_vector();
    return 1;
}
"""
TLS_PLUGIN = """
#include <stdlib.h>
__thread void *slot;
__thread char more[70000]; /* too much for the room that is left in static TLS */
void keep(size_t size) { slot = malloc(size); more[1] = 1; }
"""


@case
def leftovers_keep_nothing():
    """Thread-local storage of a thread that has ended, which the next one gets cleared, and vector
    registers of a thread that ends. By valgrind's word too."""
    ttlib.need("valgrind")
    program = ttlib.compile_c(LEFTOVERS, "-O1", "-pthread", "-ldl")
    env = {"PLUGIN": ttlib.compile_c(TLS_PLUGIN, "-shared", "-fPIC", name="tls.so")}
    with ttlib.Daemon() as daemon:
        found = leaks(daemon, "--", program, env=env)
    names = [ttlib.functions_of(found, leak["stack"]) for leak in found["leaks"]]
    sizes = {
        (leak["class"], leak["bytes"])
        for leak, stack in zip(found["leaks"], names)
        if {"definite_behind_ended_tls", "definite_in_vector"} & set(stack)
    }
    theirs = subprocess.run(
        ["valgrind", "--leak-check=full", program],
        env=ttlib.clean_env(env),
        capture_output=True,
        text=True,
        timeout=60,
    )
    for size in (205, 206):
        check(f" {size} bytes in 1 blocks are definitely lost" in theirs.stderr, theirs.stderr)
        check(("definite", size) in sizes, f"{size}: {sizes}")


# ---- A program that works ----

WORKER = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>

typedef struct Node { struct Node *next; char *text; } Node;
static volatile sig_atomic_t signals;
static volatile int is_over;
static void on_signal(int number) { (void)number; signals++; }

/* Every block hangs on a list that the thread alone has, and grows by realloc: nothing is ever lost. */
static void *work(void *seed) {
    unsigned s = (unsigned)(long)seed;
    unsigned long sum = 0;

    for (int round = 0; round < 60 || !is_over; round++) {
        unsigned long before = sum;
        Node *head = NULL;
        char **all = NULL;
        for (int i = 0; i < 300; i++) {
            Node *node = malloc(sizeof *node);
            s = s * 1103515245 + 12345;
            node->next = head;
            node->text = malloc(16 + (s >> 16 & 63));
            memset(node->text, 'a' + i % 26, 15);
            node->text[15] = 0;
            head = node;
            all = realloc(all, (size_t)(i + 1) * sizeof *all);
            all[i] = strdup(node->text);
        }
        for (int i = 0; i < 300; i++) {
            sum = sum * 31 + (unsigned char)all[i][3];
            free(all[i]);
        }
        free(all);
        while (head) {
            Node *next = head->next;
            sum = sum * 31 + (unsigned char)head->text[5];
            free(head->text);
            free(head);
            head = next;
        }
        usleep(500); /* or three threads that do nothing else keep the daemon busy */
        if (round >= 60) /* only what comes to the same however long it works is told */
            sum = before;
    }
    return (void *)sum;
}

int main(void) {
    pthread_t threads[3];
    void *sum;

    signal(SIGUSR1, on_signal);
    puts("ready");
    fflush(stdout);
    for (long i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    char byte;
    (void)!read(0, &byte, 1);
    is_over = 1;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &sum);
        printf("%lx\n", (unsigned long)sum);
    }
    printf("%d signals\n", (int)signals);
    return 5;
}
"""


@case
def program_that_works_does_not_notice_and_loses_nothing():
    looks = 60 if IS_LONG else 6
    program = ttlib.compile_c(WORKER, "-pthread")
    want = subprocess.run([program], input="x", capture_output=True, text=True, timeout=60)
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=daemon.preload_env({"TT_LOSSLESS": 1}),
        )
        check_equal(process.stdout.readline(), "ready\n")
        looked = 0
        for _ in range(looks):
            found = leaks(daemon, process.pid)
            if found["scan"] is None:
                break
            looked += 1
            for name in ("definite", "indirect"):
                check_equal(found["classes"][name]["blocks"], 0, f"{name}: {found['leaks'][:3]}")
        output, _ = process.communicate("x", timeout=60)
        check_equal("ready\n" + output, want.stdout)
        check_equal(process.returncode, 5)
        check_equal(looked, looks, "looks while it worked")


EPOLL = r"""
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

int main(void) {
    struct epoll_event event = {.events = EPOLLIN}, got;
    int fd = epoll_create1(0);

    epoll_ctl(fd, EPOLL_CTL_ADD, 0, &event);
    puts("ready");
    fflush(stdout);
    if (epoll_wait(fd, &got, 1, -1) < 0) {
        perror("epoll_wait");
        return 1;
    }
    return 0;
}
"""


@case
def waiting_call_is_not_interrupted():
    program = ttlib.compile_c(EPOLL)
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=daemon.preload_env()
        )
        check_equal(process.stdout.readline(), b"ready\n")

        def is_asleep():
            with open(f"/proc/{process.pid}/syscall") as file:
                return file.read().startswith(("232 ", "281 "))

        ttlib.wait_for(is_asleep, "the program is in epoll_wait")
        for _ in range(3):
            leaks(daemon, process.pid)
            ttlib.wait_for(is_asleep, "the program is in epoll_wait again")
        process.communicate(b"x")
        check_equal(process.returncode, 0)


@case
def program_goes_on_when_we_are_killed():
    """Its threads are let go by the kernel."""
    program, env = build_program()
    with ttlib.Daemon() as daemon, Waiting(daemon, program, env) as process:
        daemon.signal(signal.SIGSTOP)
        looker = subprocess.Popen(
            [ttlib.TT_CTL, "leaks", str(process.pid)],
            env=daemon.env(),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        looker.kill()
        looker.wait()
        daemon.signal(signal.SIGCONT)

        def is_free():
            with open(f"/proc/{process.pid}/status") as file:
                return "TracerPid:\t0\n" in file.read()

        ttlib.wait_for(is_free, "nobody traces it")


@case
def debugged_process_is_refused_with_a_sentence():
    ttlib.need("strace")
    program, env = build_program()
    with ttlib.Daemon() as daemon, Waiting(daemon, program, env) as process:
        strace = subprocess.Popen(
            ["strace", "-qq", "-o", "/dev/null", "-p", str(process.pid)], stderr=subprocess.DEVNULL
        )

        def is_traced():
            with open(f"/proc/{process.pid}/status") as file:
                return f"TracerPid:\t{strace.pid}\n" in file.read()

        ttlib.wait_for(is_traced, "strace traces it")
        result = daemon.ctl("leaks", process.pid)
        strace.terminate()
        strace.wait()
        check_equal(result.returncode, 1, result.stderr)
        check(f"is traced by process {strace.pid}" in result.stderr, result.stderr)
        check_equal(result.stderr.count("\n"), 1, result.stderr)


# ---- What else is asked ----


@case
def suppressed_leaks_are_left_out_and_counted():
    program, env = build_program()
    suppressions = ttlib.temp_dir() / "known.supp"
    suppressions.write_text("# known\nleak:definite_*pp\nleak:^indirect_list$\nleak:no_such\n")
    with ttlib.Daemon() as daemon:
        found = leaks(daemon, f"--suppressions={suppressions}", "--", program, env=env)
    check_equal(
        by_case(found),
        {
            key: value
            for key, value in KNOWN.items()
            if key[1] not in ("definite_dropped", "indirect_list")
        },
    )
    check_equal(
        found["suppressed"]["by_pattern"],
        [
            {"pattern": "definite_*pp", "blocks": 1, "bytes": 101},
            {"pattern": "^indirect_list$", "blocks": 8, "bytes": 116 + 3 * 116 + 4 * 201},
            {"pattern": "no_such", "blocks": 0, "bytes": 0},
        ],
    )
    ttlib.check_schema(found, "leaks")


@case
def suppressions_that_cannot_be_read_are_told_before_the_program_runs():
    folder = ttlib.temp_dir()
    with ttlib.Daemon() as daemon:
        for text in ("leak:main\nrace:main\n", "# known\nleak:\n", "{\n  <a>\n  Memcheck:Leak\n}\n"):
            (folder / "supp").write_text(text)
            result = daemon.ctl(
                "leaks", f"--suppressions={folder / 'supp'}", "--", "/bin/mkdir", folder / "made"
            )
            line = 1 if text.startswith("{") else 2
            check(f"Line {line} of {folder / 'supp'} is not" in result.stderr, result.stderr)
            check_equal((result.returncode, result.stderr.count("\n")), (1, 1), result.stderr)
            check(not (folder / "made").exists(), "it was started")
        result = daemon.ctl(
            "run", "--leaks", f"--suppressions={folder / 'none'}", "--", "/bin/mkdir", folder / "made"
        )
        check_equal((result.returncode, result.stderr.count("\n")), (125, 1), result.stderr)
        check(not (folder / "made").exists(), "it was started")


NAMED = r"""
#include <stdlib.h>
#define LOSE(name) \
    __attribute__((noinline, noclone)) void name(void) { void *volatile p = malloc(50); p = NULL; }
LOSE(config_parse_line) LOSE(parse) LOSE(reparse) LOSE(aab) LOSE(a_z) LOSE(az)
int main(void) { config_parse_line(); parse(); reparse(); aab(); a_z(); az(); return 0; }
"""
NAMES = {"config_parse_line", "parse", "reparse", "aab", "a_z", "az"}
# Found in the frames of LeakSanitizer itself, "sanitizer" among them, they would say nothing.
PATTERNS = ["parse", "^parse", "parse$", "^parse$", "^a*z", "^a**b$", "a$z", "^*z$", "*", "named.c"]


@case
def suppressions_match_as_those_of_leaksanitizer():
    """Pattern by pattern, by what each leaves."""
    program = ttlib.compile_c(NAMED, name="named")
    sanitized = ttlib.compile_c(NAMED, "-fsanitize=leak", name="named")
    folder = ttlib.temp_dir()
    with ttlib.Daemon() as daemon:
        result = daemon.ctl("run", f"--record={folder / 'r'}", "--", program)
        check_equal(result.returncode, 0, result.stderr)
        for pattern in PATTERNS:
            (folder / "supp").write_text(f"leak:{pattern}\n")
            found = leaks(daemon, f"--from={folder / 'r'}", f"--suppressions={folder / 'supp'}")
            lsan = subprocess.run(
                [sanitized],
                env=ttlib.clean_env({"LSAN_OPTIONS": f"suppressions={folder / 'supp'}"}),
                capture_output=True,
                text=True,
                timeout=60,
            )
            if "LeakSanitizer has encountered a fatal error" in lsan.stderr:
                raise ttlib.Skip("LeakSanitizer cannot trace here")
            theirs = set(re.findall(r"#1 0x\w+ in (\w+) ", lsan.stderr)) & NAMES
            ours = {leak["function"] for leak in found["leaks"]} & NAMES
            check_equal(ours, theirs, pattern)


def on_terminal(daemon, columns, *words, env=None):
    """What `tt-ctl leaks` writes on a terminal, line by line."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [ttlib.TT_CTL, "leaks", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        env=daemon.env(env),
    )
    os.close(theirs)
    text = b""
    while chunk := read_terminal(ours):
        text += chunk
    os.close(ours)
    check_equal(process.wait(), 0)
    return text.decode().replace("\r\n", "\n").splitlines()


def read_terminal(fd):
    try:
        return os.read(fd, 65536)
    except OSError:  # the other end is closed
        return b""


@case
def text_tells_the_verdict_first_and_keeps_to_the_terminal():
    """The sums are those of KNOWN, whose largest definite leak is definite_realloced."""
    program, env = build_program()
    sums = collections.Counter()
    for (name, _), (blocks, size) in KNOWN.items():
        sums[name, "blocks"] += blocks
        sums[name, "bytes"] += size
    for columns in (80, 120):
        with ttlib.Daemon() as daemon:
            lines = on_terminal(daemon, columns, "--", program, env=env)
            check("at its end (exited)" in lines[0], lines[0])
            lost, led_to = (
                f"{sums[name, 'bytes'] / 1024:.1f} KiB in {sums[name, 'blocks']} blocks"
                for name in ("definite", "indirect")
            )
            check_equal(lines[1], f"Definitely lost: {lost}, and with it {led_to}")
            place = "Largest part: 10.1 KiB in 1 block by definite_realloced (leaks.c:"
            check(lines[2].startswith(place), lines[2])
            check(max(map(len, lines)) <= columns, max(lines, key=len))
            check(not [line for line in lines if "…" in line], "something was cut")
            first = lines.index("definitely lost: 10.1 KiB in 1 block")
            check(lines[first + 3].startswith("    main (leaks.c:"), lines[first : first + 5])
            check_equal(lines[first + 4], "")
            alive = on_terminal(daemon, columns)
            check(alive[1].startswith("Alive: "), alive[1])
            check(max(map(len, alive)) <= columns, max(alive, key=len))


@case
def status_tells_what_fails():
    program, env = build_program()
    with ttlib.Daemon() as daemon:
        for cases, word, status in (
            (["definite_dropped"], "definite", 3),
            (["definite_dropped"], "possible", 0),
            (["possible_interior"], "definite", 0),
            (["possible_interior"], "definite,possible", 3),
            (["reachable_global"], "reachable", 3),
            (["reachable_global"], "definite,indirect,possible", 0),
        ):
            result = daemon.ctl("leaks", f"--fail-on={word}", "--", program, *cases, env=env)
            check_equal(result.returncode, status, f"{cases} {word}: {result.stderr}")
        for word in ("--fail-on=lost", "--show=", "--top=0"):
            result = daemon.ctl("leaks", word, "--", program)
            check_equal(result.returncode, 2, word)


DROPS = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline, noclone)) static void drops(void) {
    void *volatile p = malloc(5000);
    p = NULL;
}

/* How it is to end; a file that is not to be there before. */
int main(int argc, char **argv) {
    drops();
    puts(access(argv[2], F_OK) == 0 ? "too early" : "works");
    fflush(stdout);
    if (argv[1][0] == 's')
        raise(SIGTERM);
    return atoi(argv[1]);
}
"""


@case
def run_tells_leaks_when_its_command_has_ended():
    """Its output and status are as ever, but where --fail-on says otherwise."""
    program = ttlib.compile_c(DROPS)
    folder = ttlib.temp_dir()
    (folder / "supp").write_text("leak:drops\n")
    file = folder / "report"
    suppressed = ["--fail-on=definite", f"--suppressions={folder / 'supp'}"]
    with ttlib.Daemon() as daemon:
        for how, options, status in (
            ("7", ["--leaks"], 7),
            ("signal", [f"--leaks={file}"], 128 + signal.SIGTERM),
            ("7", [f"--leaks={file}", "--fail-on=definite"], 3),
            ("0", ["--leaks", "--fail-on=definite"], 3),
            ("signal", ["--leaks", "--fail-on=indirect,definite"], 3),
            ("7", ["--leaks", "--fail-on=possible,growing"], 7),
            ("7", [f"--leaks={file}", *suppressed], 7),
        ):
            result = daemon.ctl("run", *options, "--", program, how, file)
            what = f"{options} of {how}"
            check_equal((result.returncode, result.stderr), (status, ""), what)
            said, *lines = result.stdout.splitlines()
            check_equal(said, "works", what)
            if options[0] != "--leaks":
                check_equal(lines, [], f"{what}: to the standard output")
                lines = file.read_text().splitlines()
                file.unlink()
            check("at its end" in lines[0], f"{what}: {lines}")
            is_told = "definitely lost: 4.9 KiB in 1 block" in lines
            check_equal(is_told, options[1:] != suppressed, f"{what}: {lines}")
            check_equal(any("drops (" in line for line in lines), is_told, f"{what}: {lines}")


@case
def recordings_tell_what_was_alive():
    program, env = build_program()
    folder = ttlib.temp_dir()
    with ttlib.Daemon() as daemon:
        result = daemon.ctl("run", f"--record={folder / 'r'}", "--", program, env=env)
        check_equal(result.returncode, 0, result.stderr)
        found = leaks(daemon, f"--from={folder / 'r'}")
        ttlib.check_schema(found, "leaks")
        check_equal(found["classes"]["definite"], None)
        check_equal(found["scan"], None)
        check_equal(found["classes"]["alive"]["basis"], "exact")
        want = collections.Counter()
        for (_, name), (blocks, _) in KNOWN.items():
            want[name] += blocks
        got = {name: blocks for (_, name), (blocks, _) in by_case(found).items()}
        check_equal(got, dict(want))
        result = daemon.ctl("leaks", f"--from={folder / 'r'}", "--fail-on=definite")
        check_equal(result.returncode, 1)
        check("cannot be told" in result.stderr, result.stderr)


GROWTH = r"""
#include <stdlib.h>
#include <unistd.h>

void **kept;
static size_t kept_count;
#define NOINLINE __attribute__((noinline, noclone))

NOINLINE static void *grows(void) { void *volatile p = malloc(70); return p; }
NOINLINE static void *fills(void) { void *volatile p = malloc(71); return p; }
NOINLINE static void *comes_and_goes(void) { void *volatile p = malloc(72); return p; }

/* A list that only grows, a cache that is full early, and a queue whose blocks all die in time; what
 * it holds in the end is reachable still, as no frame is that has returned. */
static void *queue[64];
"""

GROWING = GROWTH + r"""
int main(void) {
    kept = malloc(100000 * sizeof *kept);
    for (int i = 0; i < 4000; i++) {
        if (i % 10 == 0)
            kept[kept_count++] = grows();
        if (i < 400)
            kept[kept_count++] = fills();
        free(queue[i % 64]);
        queue[i % 64] = comes_and_goes();
        usleep(20);
    }
    return 0;
}
"""


@case
def growing_stack_is_told_from_full_cache_and_queue():
    program = ttlib.compile_c(GROWING)
    with ttlib.Daemon() as daemon:
        found = leaks(daemon, "--", program)
        check_equal([growth["function"] for growth in found["growing"]], ["grows"])
        check_equal(found["classes"]["definite"]["blocks"], 0)
        growth = found["growing"][0]
        check_equal((growth["blocks"], growth["bytes"]), (400, 28000))
        check_equal(growth["basis"], "estimated")
        ttlib.check_schema(found, "leaks")


# Answers each byte of its input, and so never ends; "grows" is what it may do each time.
SERVER = GROWTH + r"""
int main(int argc, char **argv) {
    char byte;

    kept = malloc(100000 * sizeof *kept);
    for (int i = 0; read(0, &byte, 1) == 1; i++) {
        if (argc > 1)
            kept[kept_count++] = grows();
        if (i < 100)
            kept[kept_count++] = fills();
        free(queue[i % 64]);
        queue[i % 64] = comes_and_goes();
        write(1, &byte, 1);
    }
    return 0;
}
"""


class Asking(threading.Thread):
    """Asks servers again and again, so that they are at work or wait for the next time."""

    def __init__(self, servers):
        super().__init__(daemon=True)
        self.servers = servers
        self.count = 0
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.wait(0.002):
            for server in self.servers:
                server.stdin.write(b"x")
                server.stdout.read(1)
            self.count += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()


@case
def growing_stack_of_a_server_fails_while_it_runs():
    program = ttlib.compile_c(SERVER)
    with ttlib.Daemon() as daemon:
        servers = [
            subprocess.Popen(
                [program, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env=daemon.preload_env({"TT_LOSSLESS": 1}),
            )
            for words in (["grows"], [])
        ]
        for server in servers:
            ttlib.at_end(server.kill)
        with Asking(servers) as asking:
            ttlib.wait_for(lambda: asking.count >= 400, "they have been asked")
            found = [
                leaks(daemon, server.pid, "--fail-on=growing", status=status)
                for server, status in zip(servers, (3, 0))
            ]
        for server in servers:
            check_equal(server.communicate()[0], b"")
            check_equal(server.returncode, 0, "it has come to its end")
    check_equal([report["growing"] for report in found[1:]], [[]])
    (growth,) = found[0]["growing"]
    check_equal(ttlib.functions_of(found[0], growth["stack"])[:2], ["grows", "main"])
    check(growth["blocks"] >= 400 and growth["bytes"] == 70 * growth["blocks"], growth)


if __name__ == "__main__":
    ttlib.main()
