#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section C: fork, vfork and exec."""

import os
import signal
import subprocess

import ttlib
from ttlib import case, check, check_equal

# ---- C03 ----

HOLDER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void) {
    malloc(40001);
    pid_t child = fork();

    if (child == 0) {
        pause(); /* with all that it inherited, the socket too */
        _exit(0);
    }
    malloc(40002);
    char line[32];
    int len = snprintf(line, sizeof line, "%d\n", (int)child);
    write(1, line, (size_t)len);
    pause();
    return 0;
}
"""


@case
def fault_C03_child_holds_the_socket_of_a_killed_parent():
    program = ttlib.compile_c(HOLDER, "-w")
    with ttlib.Daemon() as daemon:
        parent = subprocess.Popen(
            [program], env=daemon.preload_env(), stdout=subprocess.PIPE, text=True
        )
        child = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            # Long before a time-out could have told.
            ttlib.wait_for(
                lambda: daemon.session_of(parent.pid)["state"] in ("killed", "ended"),
                "the parent is known to be gone",
                seconds=5,
            )
            export = daemon.export(parent.pid)
            sizes = [block["size"] for block in export["active_allocations"]]
            check(40001 in sizes and 40002 in sizes, f"its last blocks are there: {sizes}")
            ttlib.check_books(export)
            ttlib.check_schema(export)
            check_equal(daemon.session_of(child), None, "the child has no session: it did nothing")
        finally:
            os.kill(child, signal.SIGKILL)


# ---- C06 ----

VFORK = r"""
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    int status;
    pid_t child;

    for (int i = 0; i < 1000; i++)
        free(malloc(10));
    child = vfork();
    if (child == 0) {
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
        for (int i = 0; i < 100000; i++)
            free(malloc(20));
        malloc(40001);
        execl("/nonexistent", "nonexistent", (char *)NULL);
        _exit(9);
    }
    if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 9)
        return 1;
    for (int i = 0; i < 100000; i++)
        free(malloc(30));
    malloc(40002);
    return 0;
}
"""


@case
def fault_C06_vfork_child_closes_and_allocates():
    """The child shares its parent's memory, lane and all, but not the descriptors: it cannot ring for
    the daemon. What it records is the parent's; what finds no room is declared."""
    program = ttlib.compile_c(VFORK, "-w")
    for lossless in (0, 1):
        with ttlib.Daemon() as daemon:
            traced = ttlib.run_traced(
                [program], daemon=daemon, counted=True, env={"TT_LOSSLESS": lossless}
            )
            export, count = traced.export, traced.count
            check_equal(traced.returncode, 0, traced.stderr)
            (card,) = daemon.sessions()
            check_equal(card["state"], "exited")
            ttlib.check_books(export)
            dropped = export["completeness"]["dropped_events"]
            check_equal(
                export["cumulative_allocations"] + export["cumulative_frees"] + dropped,
                count["allocations"] + count["frees"]
                + export["completeness"]["synthesized_frees"]
                - export["completeness"]["unknown_frees"]
                - export["completeness"]["double_frees"],
                f"events, {dropped} of them dropped",
            )
            check(dropped < count["allocations"] / 2, f"{dropped} dropped: the parent rings again")
            sizes = [block["size"] for block in export["active_allocations"]]
            check(export["cumulative_allocations"] > 101_002, "the child's are in the books")
            if lossless:
                check(40002 in sizes, "the parent's last block is there")


# ---- C08 ----

FAILING = r"""
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char *big[] = {"big", NULL, NULL};

    malloc(40001);
    setenv("PATH", "/nonexistent:/etc:/usr/share", 1);
    execlp("no-such-program", "no-such-program", (char *)NULL);
    if (errno != ENOENT)
        return 1;
    execlp(argv[1], argv[1], (char *)NULL);
    if (errno != EACCES)
        return 2;
    big[1] = malloc(4 << 20);
    for (int i = 0; i < (4 << 20) - 1; i++)
        big[1][i] = 'x';
    big[1][(4 << 20) - 1] = '\0';
    execv("/bin/true", big);
    if (errno != E2BIG)
        return 3;
    free(big[1]);
    malloc(40002);
    return 0;
}
"""


@case
def fault_C08_exec_that_fails():
    program = ttlib.compile_c(FAILING, "-w")
    refused = ttlib.temp_dir() / "refused"
    refused.write_text("#!/bin/sh\n")
    refused.chmod(0o600)
    with ttlib.Daemon() as daemon:
        traced = ttlib.run_traced([program, refused], daemon=daemon, counted=True)
        check_equal(traced.returncode, 0, traced.stderr)
        (card,) = daemon.sessions()
        check_equal((card["state"], card["id"]), ("exited", traced.export["process"]["session"]))
        ttlib.check_counted(traced.export, traced.count)
        ttlib.check_exact(traced.export)
        ttlib.check_schema(traced.export)


# ---- C09 ----

EXECS = r"""
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **words;
static atomic_int count;

static void *churn(void *number) {
    malloc(40001 + (size_t)number);
    atomic_fetch_add(&count, 1);
    while (atomic_load(&count) < 8)
        ;
    if (number == (void *)7)
        execv(words[1], words + 1);
    for (;;)
        free(malloc(100));
}

int main(int argc, char **argv) {
    pthread_t thread;

    if (argc < 2) {
        malloc(50000);
        return 6;
    }
    words = argv;
    for (long i = 0; i < 8; i++)
        pthread_create(&thread, NULL, churn, (void *)i);
    pause();
    return 1;
}
"""


def check_first_image(card, daemon):
    check_equal(card["state"], "exec")
    export = daemon.export(card["id"])
    sizes = {block["size"] for block in export["active_allocations"]}
    missing = set(range(40001, 40009)) - sizes
    check(not missing, f"blocks of all lanes; missing {missing}")
    ttlib.check_books(export)
    return export


@case
def fault_C09_exec_from_a_side_thread():
    program = ttlib.compile_c(EXECS, "-w", "-pthread")
    with ttlib.Daemon() as daemon:
        traced = ttlib.run_traced([program, program], daemon=daemon)
        check_equal(traced.returncode, 6, traced.stderr)
        first, second = daemon.sessions()
        check_equal(first["pid"], second["pid"])
        check_first_image(first, daemon)
        process = traced.export["process"]
        check_equal((second["state"], process["session"]), ("exited", second["id"]))
        sizes = [block["size"] for block in traced.export["active_allocations"]]
        check(50000 in sizes and 40001 not in sizes, f"the second image's blocks: {sizes}")
        ttlib.check_exact(traced.export)


STATIC = r"""
#include <unistd.h>

int main(void) {
    char byte;

    return read(0, &byte, 1) == 1 ? 3 : 4;
}
"""


@case
def fault_C09_exec_of_a_static_image():
    program = ttlib.compile_c(EXECS, "-w", "-pthread")
    static = ttlib.compile_c(STATIC, "-static")
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program, static],
            env=daemon.preload_env({"TT_LOSSLESS": 1}),
            stdin=subprocess.PIPE,
        )
        card = daemon.wait_for_state(process.pid, "exec")
        process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal(process.returncode, 3)
        check_first_image(card, daemon)
        check_equal(len(daemon.sessions()), 1, "sessions")


# ---- C17 ----

# Eight lanes are full whenever the daemon looks.
SATURATING = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLOTS 1000

static void *rush(void *seed) {
    void **slots = calloc(SLOTS, sizeof *slots);

    for (unsigned lot = (unsigned)(size_t)seed;;) {
        unsigned i = (lot = lot * 1103515245u + 12345u) / 7 % SLOTS;
        free(slots[i]);
        slots[i] = malloc(16 + lot % 100);
    }
    return NULL;
}

int main(void) {
    pthread_t thread;
    char byte;

    for (long i = 1; i <= 8; i++)
        pthread_create(&thread, NULL, rush, (void *)i);
    read(0, &byte, 1);
    pid_t child = fork();
    if (child == 0) {
        malloc(77777);
        _exit(0);
    }
    dprintf(1, "%d\n", (int)child);
    read(0, &byte, 1);
    _exit(0);
}
"""


@case
def fault_C17_child_of_a_parent_that_the_daemon_lags_behind():
    """It comes to what it inherits while its parent goes on as fast as the daemon reads."""
    program = ttlib.compile_c(SATURATING, "-w", "-O1", "-pthread")
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program],
            env=daemon.preload_env({"TT_LOSSLESS": 1}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ttlib.at_end(process.kill)
        ttlib.wait_for(
            lambda: (daemon.session_of(process.pid) or {}).get("events", 0) > 1_000_000,
            "it is at work",
        )
        process.stdin.write(b"x")
        process.stdin.flush()
        card = daemon.wait_for_state(int(process.stdout.readline()), "exited")
        check_equal(process.poll(), None, "its parent goes on")
        check_equal(card["events"], 1, "its own call is applied")
        check(card["live_blocks"] > 1000, f"it has inherited: {card}")
        process.kill()
        process.wait()


ttlib.main()
