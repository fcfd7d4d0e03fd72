#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section A: programs that are allowed little: no system call, no memory, no descriptor, an odd
processor state."""

import ctypes
import os
import resource
import subprocess

import ttlib
from ttlib import case, check, check_equal


def left(export):
    return sorted(b["size"] for b in export["active_allocations"] if 40000 <= b["size"] < 50000)


def run(words, env, **options):
    return subprocess.run(
        [str(word) for word in words],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ttlib.SECONDS,
        **options,
    )


def check_like(traced, alone, what=""):
    check_equal(
        (traced.returncode, traced.stdout, traced.stderr),
        (alone.returncode, alone.stdout, alone.stderr),
        what,
    )


# ---- A20 ----

NUMBERS = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    for (int i = 0; i < 100000; i++)
        free(malloc((size_t)i % 700));
    printf("next descriptor %d\n", open("/dev/null", O_RDONLY));
    return 5;
}
"""


@case
def fault_A20_table_full_at_start():
    program = ttlib.compile_c(NUMBERS, "-w")

    def fill(spare):
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        for fd in range(3, 256):
            if fd not in spare:
                os.dup2(0, fd)

    with ttlib.Daemon() as daemon:
        for spare in ((), (200,), (7,), (7, 200)):
            options = {"preexec_fn": lambda: fill(spare), "close_fds": False}
            # The loader wants a number for each library, and runs out of them as well.
            alone = run([program], ttlib.clean_env(), **options)
            traced = run([program], daemon.preload_env(), **options)
            if alone.returncode == 5:
                check_like(traced, alone, f"spare: {spare}")
            else:
                check_equal(traced.returncode, alone.returncode, f"spare: {spare}")


# ---- A21 ----

LOCKS = r"""
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static pthread_barrier_t all;

static void *work(void *unused) {
    pthread_barrier_wait(&all);
    for (int i = 0; i < 100; i++)
        free(malloc(100));
    pthread_barrier_wait(&all);
    return unused;
}

/* Nests, so that there is a stack of its own for each depth. */
__attribute__((noinline)) static void *nest(int depth) {
    void *block = depth == 0 ? malloc(10) : nest(depth - 1);
    __asm__ volatile("" ::: "memory");
    return block;
}

int main(void) {
    pthread_t threads[20];
    pthread_attr_t attributes;
    static void *blocks[256];
    int count = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    pthread_barrier_init(&all, NULL, 21);
    if (mlockall(MCL_FUTURE) != 0)
        return 1;
    for (int i = 0; i < 20; i++)
        if (pthread_create(&threads[i], &attributes, work, NULL) != 0)
            return 2;
    pthread_barrier_wait(&all);
    for (int i = 0; i < 200; i++)
        free(nest(i));
    while (count < 256 && (blocks[count] = malloc(200000)) != NULL)
        count++;
    pthread_barrier_wait(&all);
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    printf("%d\n", count);
    return 5;
}
"""
PR_CAPBSET_DROP, CAP_IPC_LOCK = 24, 14


@case
def fault_A21_future_memory_is_locked():
    """What we map later is not taken from what the program may lock."""
    program = ttlib.compile_c(LOCKS, "-w", "-pthread")
    libc = ctypes.CDLL(None)

    def limit():
        libc.prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 * MILLION, 8 * MILLION))

    alone = run([program], ttlib.clean_env({"MALLOC_ARENA_MAX": 1}), preexec_fn=limit)
    check_equal(alone.returncode, 5, alone.stderr)
    check(int(alone.stdout) < 256, f"the limit holds: {alone.stdout} blocks")
    with ttlib.Daemon() as daemon:
        traced = run([program], daemon.preload_env({"MALLOC_ARENA_MAX": 1}), preexec_fn=limit)
        check_like(traced, alone)
        (card,) = daemon.sessions()
        ttlib.check_books(daemon.export(card["id"]))


# ---- A25 ----


@case
def fault_A25_odd_state_of_the_processor():
    """Stack pointers at any multiple of 8, rounding and exceptions set, all x87 registers in use."""
    program = ttlib.build("odd-state.c", "-O2", "-w")
    alone = run([program], ttlib.clean_env())
    check_equal(alone.returncode, 5, alone.stderr)
    for env in ({}, {"TT_SAMPLE": 1000}, {"TT_FREE_STACKS": 1}):
        with ttlib.Daemon() as daemon:
            check_like(run([program], daemon.preload_env(env)), alone, f"{env}")
            (card,) = daemon.sessions()
            export = daemon.export(card["id"])
            ttlib.check_books(export)
            if not env:
                ttlib.check_exact(export)


ttlib.main()
