#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the client must survive of its process: forks inside a hook, stacks of its handlers, pauses,
plugins of another language, daemons that come and go."""

import contextlib
import os
import signal
import subprocess

import ttlib
from ttlib import case, check, check_between, check_equal, compile_c

# ---- C04 ----

FORKS_IN_HANDLER = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 100 };
static volatile int is_child, forks, uses_bare;

static void handler(int number) {
    (void)number;
    if (is_child || forks == FORKS)
        return;
    pid_t pid = uses_bare ? _Fork() : fork();
    if (pid == 0)
        is_child = 1;
    else if (pid > 0)
        forks++;
}

int main(int argc, char **argv) {
    struct itimerval often = {{0, 1000}, {0, 1000}};
    int status, failed = 0;

    (void)argv;
    uses_bare = argc > 1;
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int rounds = 0; forks < FORKS; rounds++) {
        for (int i = 0; i < 50; i++)
            free(malloc(16 + rounds % 1000));
        if (is_child) { /* on in what was interrupted, and a little further */
            for (int i = 0; i < 1000; i++)
                free(malloc(32));
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        failed += status != 0;
    return failed;
}
"""


def check_forks_in_handler(*words):
    program = compile_c(FORKS_IN_HANDLER, "-w")
    # The parent ends last, and the daemon may hear of its children's ends after that.
    with ttlib.Daemon("--history=500", "--sessions=200") as daemon:
        traced = ttlib.run_traced([program, *words], daemon=daemon)
    check_equal(traced.returncode, 0, f"children that failed; {traced.stderr}")
    check_equal(traced.export["total_allocations"], 0, "live blocks")
    ttlib.check_exact(traced.export)


@case
def fault_C04_fork_in_a_handler_inside_a_hook():
    check_forks_in_handler()


@case
def fault_C04_bare_fork_in_a_handler_inside_a_hook():
    check_forks_in_handler("_Fork")


# ---- B08 ----

HANDLER_STACK_ON_STACK = r"""
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

enum { ROUNDS = 2000 };
static volatile int rounds;

static void handler(int number) {
    (void)number;
    free(malloc(33));
    rounds++;
}

int main(void) {
    /* Above every hook that it interrupts, and on the thread's own stack all the same. */
    static struct itimerval often = {{0, 200}, {0, 200}}, never;
    char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};

    /* The first call of all holds glibc's lock, for which a handler would wait for ever. */
    free(malloc(100));
    free(malloc(33));
    sigaltstack(&stack, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (rounds < ROUNDS)
        free(malloc(100));
    setitimer(ITIMER_REAL, &never, NULL);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    return 0;
}
"""


@case
def fault_B08_handler_whose_stack_lies_on_the_stack():
    traced = ttlib.run_traced([compile_c(HANDLER_STACK_ON_STACK, "-w")])
    check_equal(traced.returncode, 0, traced.stderr)
    check_equal(traced.export["total_allocations"], 0, "live blocks")
    ttlib.check_exact(traced.export)


# ---- L13 ----

PAUSED = r"""
#include <pthread.h>
#include <stdlib.h>
#include <ttclient.h>

enum { BLOCKS = 100000 };

static void *work(void *unused) {
    static __thread void *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(40);
    tt_pause();
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    tt_resume();
    return unused;
}

int main(void) {
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}
"""


@case
def fault_L13_frees_of_threads_paused_at_once():
    program = compile_c(
        PAUSED, "-w", "-pthread", f"-I{ttlib.SOURCE / 'client'}", str(ttlib.LIBTTCLIENT),
        f"-Wl,-rpath,{ttlib.LIBTTCLIENT.parent}",
    )
    traced = ttlib.run_traced([program])
    check_equal(traced.returncode, 0, traced.stderr)
    sizes = [block["size"] for block in traced.export["active_allocations"]]
    check(40 not in sizes, f"{sizes.count(40)} blocks of 40 bytes seem alive")
    ttlib.check_exact(traced.export)


# What is born in a pause is nobody's business, whatever becomes of it; what is resized there is.
PAUSES = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <ttclient.h>
#include <unistd.h>

static void *volatile grown, *volatile kept;

static void free_all_twice(void) {
    void *again;

    free(kept);
    again = malloc(3001); /* at the address of one that was just freed */
    tt_pause();
    free(again);
    again = malloc(3001);
    tt_resume();
    free(again);
    free(grown);
}

int main(void) {
    void *told = malloc(100);

    tt_pause();
    told = realloc(told, 40001);
    kept = malloc(3001);
    grown = malloc(41001);
    grown = realloc(grown, 42001);
    if (realloc(told, (size_t)1 << 60) != NULL)
        return 1;
    tt_resume();
    grown = realloc(grown, 43001);
    pid_t child = fork();
    if (child == 0) {
        free_all_twice();
        return 0;
    }
    free_all_twice();
    malloc(44001);
    int status;
    return waitpid(child, &status, 0) == child ? status : 1;
}
"""


def compile_with_client(text, *flags):
    return compile_c(
        text, "-w", *flags, f"-I{ttlib.SOURCE / 'client'}", str(ttlib.LIBTTCLIENT),
        f"-Wl,-rpath,{ttlib.LIBTTCLIENT.parent}",
    )


@case
def fault_L13_blocks_of_a_pause():
    program = compile_with_client(PAUSES)
    with ttlib.Daemon() as daemon:
        recording = ttlib.temp_dir() / "recording"
        traced = ttlib.run_traced([program], daemon=daemon, options=[f"--record={recording}"])
        check_equal(traced.returncode, 0, traced.stderr)
        cards = daemon.sessions()
        check_equal(len(cards), 2, "sessions")
        exports = [
            daemon.export(card["id"], *source)
            for card in cards
            for source in ([], [f"--from={recording}"])
        ]
    for export in exports:
        ttlib.check_exact(export)
        ttlib.check_books(export)
        check_equal(export["completeness"]["has_paused"], True)
        is_child = export["process"]["parent_session"] is not None
        check_equal(ttlib.left(export), [40001] if is_child else [40001, 44001])


@case
def fault_L13_unknown_frees_are_told_without_a_pause():
    """Nothing is left out by an empty pause."""
    program = compile_with_client(
        r"""
        #include <stdlib.h>
        #include <ttclient.h>
        int main(void) {
            static char not_a_block[64];
            tt_pause();
            tt_resume();
            tt_report_free(not_a_block);
            free(malloc(10));
        }
        """
    )
    completeness = ttlib.run_traced([program]).export["completeness"]
    check_equal((completeness["unknown_frees"], completeness["has_paused"]), (1, False))


# ---- a full lane ----

# Fills its lane before it enters a scope, and leaves that when there is room again; or the other
# way round. What is left of the last chunk would hold a block, but not the name of its scope.
FULL = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ttclient.h>

static void fill(void) {
    static char name[4001];

    memset(name, 'x', 4000);
    for (int i = 0; i < 500; i++) {
        TT_SCOPE(name);
        malloc(39000);
    }
    for (int i = 0; i < 300000; i++)
        free(malloc(33));
}

static void wait_for_line(void) {
    char line[8];

    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(1);
}

int main(void) {
    TT_SCOPE("outer");
    free(malloc(1));
    wait_for_line(); /* the daemon stands still */
    fill();
    tt_scope_enter("lost");
    wait_for_line(); /* it has read all */
    malloc(40000);
    tt_scope_leave(NULL);
    malloc(40001);
    {
        TT_SCOPE("inner");
        malloc(40002);
        wait_for_line(); /* it stands still again */
        fill();
    }
    wait_for_line();
    malloc(40003);
    wait_for_line();
}
"""


@case
def scopes_hold_though_a_full_lane_loses_their_ends():
    program = compile_with_client(FULL)
    with ttlib.Daemon("--history=10") as daemon:
        process = subprocess.Popen(
            [program], env=daemon.env({"TT_LOSSLESS": 0}), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )

        def go_on():
            process.stdin.write("\n")
            process.stdin.flush()
            check_equal(process.stdout.readline(), "ready\n")

        check_equal(process.stdout.readline(), "ready\n")
        for _ in range(2):
            daemon.signal(signal.SIGSTOP)
            go_on()
            daemon.signal(signal.SIGCONT)
            check(daemon.export(process.pid)["completeness"]["dropped_events"] > 0, "a full lane")
            go_on()
        export = daemon.export(process.pid)
        process.communicate("\n", timeout=ttlib.SECONDS)
    scopes = {b["size"]: b["scope"] for b in export["active_allocations"] if b["size"] >= 40000}
    want = {40000: "outer/(lost)", 40001: "outer", 40002: "outer/inner", 40003: "outer"}
    check_equal(scopes, want)
    scopes = [b["scope"] for b in export["active_allocations"] if b["size"] == 39000]
    check_between(len(scopes), 100, 999, "blocks told, each after its scope")
    check_equal([s[:40] for s in scopes if "/x" not in s], [])


# ---- a session that sleeps ----

ASLEEP = r"""
#include <stdio.h>
#include <stdlib.h>
#include <ttclient.h>
#include <unistd.h>

static void wait_for_line(void) {
    char line[8];

    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(1);
}

int main(void) {
    tt_scope_enter("A");
    tt_scope_enter("B");
    malloc(40000);
    wait_for_line(); /* it is put to sleep */
    tt_scope_leave(NULL);
    tt_scope_leave(NULL);
    wait_for_line(); /* and woken */
    malloc(40001);
    tt_scope_enter("A");
    malloc(40002);
    wait_for_line();
    tt_scope_enter("B");
    wait_for_line();
    malloc(40003);
    tt_scope_leave(NULL);
    malloc(40004);
    wait_for_line();
    tt_pause();
    wait_for_line();
    malloc(41000); /* is none of anybody's business */
    tt_resume();
    wait_for_line(); /* another daemon comes */
    while (tt_init() != 0)
        usleep(1000);
    malloc(40005);
    tt_scope_leave(NULL);
    malloc(40006);
    wait_for_line();
}
"""


@case
def scopes_and_pauses_hold_though_the_session_sleeps():
    program = compile_with_client(ASLEEP)
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            [program], env=daemon.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ttlib.at_end(process.kill)

        def wait():
            check_equal(process.stdout.readline(), "ready\n")

        def go_on():
            process.stdin.write("\n")
            process.stdin.flush()

        def get_scopes():
            wait()
            blocks = daemon.export(process.pid)["active_allocations"]
            return {b["size"]: b["scope"] for b in blocks if b["size"] >= 40000}

        for word in ("stop", "start") * 3:
            wait()
            check_equal(daemon.ctl(word, str(process.pid)).returncode, 0, word)
            go_on()
        want = {40000: "A/B", 40001: None, 40002: "A", 40003: "A/(lost)", 40004: "A"}
        check_equal(get_scopes(), want)
        daemon.kill()
        daemon.start()
        go_on()
        check_equal(get_scopes(), {40005: "(lost)", 40006: None})


# ---- A15, B12 ----

PLUGIN = r"""
#include <new>
#include <thread>

struct alignas(64) Wide { char bytes[64]; };

/* Under dlopen, which holds the loader's lock: nobody has called these before. */
static struct Early {
    Early() {
        std::thread([] {
            delete[] new (std::nothrow) int[5];
            delete new Wide;
            operator delete(operator new(10));
        }).join();
    }
} early;

extern "C" int plugin() {
    try {
        operator delete(operator new(static_cast<std::size_t>(-1) / 4));
    } catch (const std::bad_alloc &) {
        return 7;
    }
    return 0;
}
"""

HOST = r"""
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    void *plugin = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);

    if (plugin == NULL) {
        puts(dlerror());
        return 1;
    }
    return dlerror() != NULL ? 2 : ((int (*)(void))dlsym(plugin, "plugin"))();
}
"""


@case
def fault_A15_plugin_with_a_cpp_library_of_its_own():
    """operator new is ours, and next in order there is none."""
    plugin = compile_c(
        PLUGIN, "-shared", "-fPIC", "-pthread", name="plugin.so", compiler="c++", suffix=".cpp"
    )
    traced = ttlib.run_traced([compile_c(HOST, "-w"), plugin])
    check_equal(traced.returncode, 7, traced.stderr)
    ttlib.check_exact(traced.export)


@case
def fault_B12_operator_new_first_called_under_dlopen():
    """The program has a C++ library; the thread that the plugin waits for calls its operators first."""
    plugin = compile_c(
        PLUGIN, "-shared", "-fPIC", "-pthread", name="plugin.so", compiler="c++", suffix=".cpp"
    )
    host = compile_c(HOST, "-w", "-Wl,--no-as-needed", "-lstdc++")
    traced = ttlib.run_traced([host, plugin])
    check_equal(traced.returncode, 7, traced.stderr)
    ttlib.check_exact(traced.export)


# ---- H05 ----

BUSY = r"""
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    (void)argv;
    for (int i = 1; i < argc; i++)
        fork();
    for (;;)
        free(malloc(100));
}
"""


@case
def fault_H05_daemon_comes_and_goes():
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen([compile_c(BUSY, "-w")], env=daemon.preload_env())
        try:
            for time in range(6):
                ttlib.wait_for(lambda: daemon.session_of(process.pid), f"session, time {time}")
                daemon.kill()
                daemon.start()
        finally:
            process.kill()
            process.wait()


@case
def fault_H05_processes_that_forked_before_the_daemon_came():
    """Each has a session id of its own."""
    daemon = ttlib.Daemon()
    process = subprocess.Popen(
        [compile_c(BUSY, "-w"), "fork"], env=daemon.preload_env(), start_new_session=True
    )
    try:
        with daemon:
            ttlib.wait_for(lambda: len(daemon.sessions()) == 2, "two sessions")
            os.killpg(process.pid, signal.SIGKILL)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


ttlib.main()
