#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section F: how programs end, and that nothing recorded is lost with them. Those that are killed:
killed.py."""

import signal
import subprocess

import ttlib
from ttlib import case, check, check_equal

# ---- F05 ----

OVERFLOW = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char *low, *high; /* where the stack may end */

static void tell(int number, siginfo_t *info, void *context) {
    char *at = info->si_addr;

    (void)context;
    void *volatile block = malloc(100); /* a hook on the other stack */
    dprintf(1, "%d %d %s\n", number, info->si_code, low <= at && at < high ? "stack" : "elsewhere");
    free(block);
    signal(number, SIG_DFL);
}

static int fall(int depth) {
    volatile char frame[4096];
    void *volatile block = depth % 16 == 0 ? malloc(50) : NULL;

    frame[0] = (char)depth;
    int below = fall(depth + 1);
    free(block);
    return below + frame[0];
}

int main(int argc, char **argv) {
    stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct rlimit size = {1 << 20, 1 << 20};
    char here;

    (void)argv;
    setrlimit(RLIMIT_STACK, &size);
    high = &here;
    low = high - (2 << 20);
    if (argc > 1) {
        sigaltstack(&other, NULL);
        sigaction(SIGSEGV, &action, NULL);
    }
    return fall(1);
}
"""


def check_overflow(program, *arguments):
    """The stack ends in our hook as in the program's own code; no one else is to be told of it."""
    command = [program, *arguments]
    alone = subprocess.run(command, env=ttlib.clean_env(), capture_output=True, text=True)
    traced = ttlib.run_traced(command)
    check_equal(alone.returncode, -signal.SIGSEGV, "alone")
    check_equal(traced.returncode, 128 + signal.SIGSEGV, "status")
    check_equal(traced.stdout, alone.stdout, "what the handler was told")
    check_equal(traced.export["process"]["signal"], signal.SIGSEGV)
    check(traced.export["cumulative_allocations"] > 5, "what came before is known")
    ttlib.check_books(traced.export)
    return alone.stdout


@case
def fault_F05_stack_overflow():
    program = ttlib.compile_c(OVERFLOW, "-O0", "-w")
    check_equal(check_overflow(program), "")


@case
def fault_F05_stack_overflow_with_a_handler_on_another_stack():
    program = ttlib.compile_c(OVERFLOW, "-O0", "-w")
    told = check_overflow(program, "handler")
    check_equal(told.split()[::2], [str(int(signal.SIGSEGV)), "stack"], "what the handler was told")


WAIT = r"""
#include <stdlib.h>
#include <unistd.h>

int main(void) {
    void *volatile block = malloc(100);

    write(1, "x", 1);
    pause();
    free(block);
}
"""


def list_mappings(pid):
    """Of the kernel: a mapping's name, and its flags."""
    name = None
    for line in open(f"/proc/{pid}/smaps"):
        if "-" in line.split(" ", 1)[0]:
            name = line.split(maxsplit=5)[5:]
        elif line.startswith("VmFlags:"):
            yield "".join(name).strip(), line.split()[1:]


@case
def fault_F05_core_is_no_larger_by_the_lanes():
    """The kernel is told to leave them out, as its flag dd says; whatever a core's filter says."""
    program = ttlib.compile_c(WAIT, "-w")
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen([program], env=daemon.preload_env(), stdout=subprocess.PIPE)
        ttlib.at_end(process.kill)
        check_equal(process.stdout.read(1), b"x")
        lanes = [flags for name, flags in list_mappings(process.pid) if name.startswith("/memfd:")]
        check(len(lanes) > 0, "the lanes are mapped")
        check(all("dd" in flags for flags in lanes), f"none is dumped: {lanes}")
        process.kill()
        process.wait()


# ---- F06 ----

DOUBLE_FREE = r"""
#include <stdlib.h>

int main(void) {
    void *volatile other = malloc(40), *volatile block = malloc(40);

    free(block);
    free(block);
    free(other);
    return 0;
}
"""


@case
def fault_F06_double_free():
    program = ttlib.compile_c(DOUBLE_FREE, "-w")
    alone = subprocess.run(
        [program], env=ttlib.clean_env(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    traced = ttlib.run_traced([program])
    check_equal(alone.returncode, -signal.SIGABRT, "alone")
    check_equal(traced.returncode, 128 + signal.SIGABRT, "status")
    check_equal(traced.stderr, alone.stderr, "glibc's message")
    check_equal(traced.export["process"]["state"], "killed")
    check_equal(traced.export["process"]["signal"], signal.SIGABRT)
    check_equal(traced.export["completeness"]["double_frees"], 1, "double frees")
    ttlib.check_books(traced.export)
    ttlib.check_schema(traced.export)


CORRUPTION = r"""
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *volatile block = malloc(40), *volatile next = malloc(3000), *volatile last = malloc(40);

    free(last);
    memset(block, 0x41, 40 + 16); /* over what glibc keeps of the next one */
    free(next);
    return 0;
}
"""


@case
def fault_F06_heap_corruption():
    """glibc finds the damage in a free, which had been told of by then."""
    program = ttlib.compile_c(CORRUPTION, "-w")
    alone = ttlib.run([program], ttlib.clean_env())
    traced = ttlib.run_traced([program])
    check_equal(alone.returncode, -signal.SIGABRT, "alone")
    check_equal(traced.returncode, 128 + signal.SIGABRT, "status")
    check_equal(traced.stderr, alone.stderr, "glibc's message")
    process = traced.export["process"]
    check_equal((process["state"], process["signal"]), ("killed", signal.SIGABRT))
    sizes = [block["size"] for block in traced.export["active_allocations"]]
    check((40 in sizes, 3000 in sizes) == (True, False), f"alive: {sizes}")
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)


# ---- F07 ----

ENDINGS = r"""
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int is_over;

static void *leave(void *way) {
    if (strcmp(way, "exit in a thread") == 0)
        exit(7);
    sleep(60);
    return NULL;
}

static void *allocate(void *unused) {
    while (!is_over)
        free(malloc(100));
    return unused;
}

static void *end_later(void *unused) {
    (void)unused;
    free(malloc(50));
    exit(7);
}

static void exit_again(void) {
    malloc(33);
    _exit(7);
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    pthread_t thread;

    malloc(4000);
    if (strcmp(way, "return") == 0)
        return 7;
    if (strcmp(way, "_exit") == 0)
        _exit(7);
    if (strcmp(way, "quick_exit") == 0)
        quick_exit(7);
    if (strcmp(way, "exit_group") == 0)
        syscall(SYS_exit_group, 7);
    if (strcmp(way, "exit in a thread") == 0) {
        pthread_create(&thread, NULL, leave, (void *)way);
        pthread_join(thread, NULL);
    }
    if (strcmp(way, "exit while others allocate") == 0) {
        for (int i = 0; i < 3; i++)
            pthread_create(&thread, NULL, allocate, NULL);
        for (int i = 0; i < 1000; i++)
            free(malloc(10));
        exit(7);
    }
    if (strcmp(way, "pthread_exit of main") == 0) {
        pthread_create(&thread, NULL, end_later, NULL);
        pthread_exit(NULL);
    }
    if (strcmp(way, "exit in atexit") == 0) {
        atexit(exit_again);
        exit(1);
    }
    return 99;
}
"""

WAYS = [
    "return",
    "_exit",
    "quick_exit",
    "exit_group",
    "exit in a thread",
    "exit while others allocate",
    "pthread_exit of main",
    "exit in atexit",
]


@case
def fault_F07_every_way_to_exit():
    """Under run, where the parent tells the status."""
    program = ttlib.compile_c(ENDINGS, "-w", "-pthread")
    with ttlib.Daemon() as daemon:
        for way in WAYS:
            traced = ttlib.run_traced([program, way], daemon=daemon)
            check_equal(traced.returncode, 7, f"{way}: status; {traced.stderr}")
            process = traced.export["process"]
            check_equal((process["state"], process["exit_status"]), ("exited", 7), way)
            sizes = [block["size"] for block in traced.export["active_allocations"]]
            check(4000 in sizes, f"{way}: the block of 4000 bytes is left")
            ttlib.check_books(traced.export)


@case
def fault_F07_every_way_to_exit_by_preload():
    """With no tt-ctl to tell: known or not, never "killed"."""
    program = ttlib.compile_c(ENDINGS, "-w", "-pthread")
    with ttlib.Daemon() as daemon:
        for way in WAYS:
            process = subprocess.Popen([program, way], env=daemon.preload_env())
            check_equal(process.wait(ttlib.SECONDS), 7, f"{way}: status")
            card = daemon.wait_for_state(process.pid, "exited", "ended", "killed", "lost")
            check(card["state"] in ("exited", "ended"), f"{way}: state is {card['state']}")
            export = daemon.export(process.pid)
            check(export["process"]["exit_status"] in (7, None), f"{way}: exit status")
            check_equal(export["completeness"]["dropped_events"], 0, f"{way}: dropped")


# ---- F08 ----

LATE = r"""
#include <stdlib.h>

__attribute__((destructor(102))) static void before_most(void) { malloc(1002); }
__attribute__((destructor(101))) static void last_destructor(void) { malloc(1003); }

static void handler(void) { free(malloc(1004)), malloc(1001); }

int main(void) {
    atexit(handler);
    malloc(1000);
    return 0;
}
"""

LATE_LIBRARY = r"""
#include <stdlib.h>

/* Of a library that was initialised first: its turn comes last. */
__attribute__((destructor)) static void last_of_all(void) { malloc(1005); }
"""


@case
def fault_F08_allocations_after_our_destructor():
    library = ttlib.compile_c(LATE_LIBRARY, "-w", "-shared", "-fPIC", name="late.so")
    program = ttlib.compile_c(LATE, "-w", "-Wl,--no-as-needed", library)
    traced = ttlib.run_traced([program], counted=True)
    check_equal(traced.returncode, 0, traced.stderr)
    sizes = sorted(block["size"] for block in traced.export["active_allocations"])
    for size in (1000, 1001, 1002, 1003, 1005):
        check(size in sizes, f"{size} among {sizes}")
    ttlib.check_counted(traced.export, traced.count)
    ttlib.check_exact(traced.export)
    # The end comes last, by the session's own clock.
    blocks = traced.export["active_allocations"] + traced.export["freed_allocations"]
    times = [block["born_ns"] for block in blocks]
    times += [block["died_ns"] for block in traced.export["freed_allocations"]]
    (last,) = [block["born_ns"] for block in blocks if block["size"] == 1005]
    check_equal(max(times), last, "time of the last event, the library's own")
    check(last <= traced.export["process"]["duration_ns"], f"the end, after {last}")


ttlib.main()
