#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the other tests rely on: the counter counts what a program whose figures are known by hand
did, and what valgrind counted; a case that fails is seen to fail."""

import re
import signal
import subprocess
import sys

import ttlib
from ttlib import case, check, check_equal, compile_c, run_counted

KNOWN = r"""
#define _GNU_SOURCE
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    void *volatile a = malloc(100), *volatile b = calloc(10, 30), *d = NULL;
    if (posix_memalign(&d, 64, 200) != 0)
        return 1;
    void *volatile e = aligned_alloc(32, 64);
    a = realloc(a, 5000);
    free(b);
    free(NULL);
    a = realloc(a, 10);
    if (realloc(a, SIZE_MAX / 4) != NULL || malloc(SIZE_MAX / 4) != NULL ||
        calloc(SIZE_MAX / 4, 8) != NULL || reallocarray(d, SIZE_MAX, 2) != NULL)
        return 2;
    realloc(e, 0);
    d = reallocarray(d, 3, 7);
    malloc(0), memalign(128, 1), valloc(3), pvalloc(5), realloc(NULL, 9);
    if (argc < 2)
        return 0;
    if (strcmp(argv[1], "kill") == 0)
        raise(SIGKILL);
    if (strcmp(argv[1], "_exit") == 0)
        _exit(0);
    if (strcmp(argv[1], "exec") == 0)
        execl(argv[0], argv[0], NULL);
    if (strcmp(argv[1], "fork") == 0 && fork() == 0) {
        for (int i = 0; i < 1000; i++)
            malloc(7);
        execl(argv[0], argv[0], NULL);
    }
    wait(NULL);
}
"""

KNOWN_FIGURES = {
    "allocations": 12,
    "frees": 5,
    "reallocations": 3,
    "allocated_bytes": 100 + 300 + 200 + 64 + 5000 + 10 + 21 + 0 + 1 + 3 + 5 + 9,
    "freed_bytes": 300 + 100 + 5000 + 64 + 200,
    "live_blocks": 7,
    "live_bytes": 10 + 21 + 0 + 1 + 3 + 5 + 9,
    "peak_blocks": 7,
    "peak_bytes": 5000 + 300 + 200 + 64,
    "unknown_frees": 0,
    "is_busy": 0,
}

THREADS = r"""
#include <pthread.h>
#include <stdlib.h>

static void *churn(void *seed) {
    void *volatile blocks[64] = {0};
    unsigned s = (unsigned)(long)seed;

    for (int i = 0; i < 200000; i++) {
        s = s * 1103515245 + 12345;
        unsigned k = s >> 16 & 63;
        free(blocks[k]);
        blocks[k] = malloc(s >> 8 & 1023);
    }
    for (int k = 0; k < 64; k++)
        free(blocks[k]);
    return NULL;
}

int main(void) {
    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
"""


def check_known(figures, has_ended):
    for key, value in {**KNOWN_FIGURES, "has_ended": has_ended}.items():
        check_equal(figures[key], value, key)


def known():
    return compile_c(KNOWN, "-w")


@case
def counter_counts_by_the_rule():
    process, figures = run_counted([known()])
    check_equal(process.returncode, 0)
    check_known(figures, has_ended=1)


@case
def counter_leaves_figures_of_a_killed_program():
    process, figures = run_counted([known(), "kill"])
    check_equal(process.returncode, -signal.SIGKILL)
    check_known(figures, has_ended=0)


@case
def counter_leaves_figures_after_underscore_exit():
    _, figures = run_counted([known(), "_exit"])
    check_known(figures, has_ended=0)


@case
def counter_follows_exec():
    _, figures = run_counted([known(), "exec"])
    check_known(figures, has_ended=1)


@case
def counter_leaves_out_children():
    _, figures = run_counted([known(), "fork"])
    check_known(figures, has_ended=1)


@case
def counter_agrees_with_valgrind():
    ttlib.need("valgrind")
    program = compile_c(THREADS, "-pthread")
    _, figures = run_counted([program])
    valgrind = subprocess.run(
        ["valgrind", program], env=ttlib.clean_env(), capture_output=True, text=True
    )
    found = re.search(
        r"total heap usage: ([\d,]+) allocs, ([\d,]+) frees, ([\d,]+) bytes", valgrind.stderr
    )
    check(found, f"valgrind's total heap usage in: {valgrind.stderr}")
    allocations, frees, size = (int(group.replace(",", "")) for group in found.groups())
    # What valgrind frees for glibc at the end (__libc_freeres) is not the program's.
    check_equal(figures["allocations"], allocations, "allocations")
    check_equal(figures["allocated_bytes"], size, "bytes")
    check(figures["frees"] <= frees, f"frees: {figures['frees']}, valgrind {frees}")


@case
def case_that_fails_is_seen():
    test = ttlib.temp_dir() / "test.py"
    test.write_text(
        "import ttlib\n"
        "@ttlib.case\n"
        "def one(): ttlib.check_equal(1, 2, 'one')\n"
        "@ttlib.case\n"
        "def two(): raise ttlib.Skip('not here')\n"
        "@ttlib.case\n"
        "def three(): undefined\n"
        "@ttlib.case\n"
        "def four(): ttlib.wait_for(lambda: False, 'nothing', seconds=0.01)\n"
        "@ttlib.case\n"
        "def five(): pass\n"
        "ttlib.main()\n"
    )
    process = subprocess.run([sys.executable, test], capture_output=True, text=True)
    lines = [line for line in process.stdout.splitlines() if not line.startswith("#")]
    check_equal(process.returncode, 1)
    check_equal(
        lines,
        ["1..5", "not ok 1 one", "ok 2 two # SKIP not here", "not ok 3 three", "not ok 4 four"]
        + ["ok 5 five"],
    )
    check("# one: got 1, want 2" in process.stdout, process.stdout)


@case
def documents_that_are_no_json_are_refused():
    path = ttlib.temp_dir() / "x.json"
    for text in ('{"a": NaN}', '{"a": 1, "a": 2}', "[Infinity]"):
        path.write_text(text)
        try:
            ttlib.read_json(path)
        except ttlib.Failed:
            continue
        raise ttlib.Failed(f"{text} was taken")


ttlib.main()
