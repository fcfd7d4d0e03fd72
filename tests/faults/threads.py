#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section B: threads, signals, and what comes in an odd order.

TT_SEED=N gives a seed back; TT_ROUNDS=N makes N rounds of what takes too long for every day.
"""

import os
import random
import struct
import subprocess

import ttlib
from ttlib import case, check, check_between, check_equal

SEED = int(os.environ.get("TT_SEED") or random.randrange(1 << 32))
ROUNDS = int(os.environ.get("TT_ROUNDS", 1))

# ---- B01, B02 ----

MANY = r"""
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_barrier_t start;
static int is_at_once, is_tidy;

static void *work(void *number) {
    if (is_at_once)
        pthread_barrier_wait(&start);
    for (int i = 0; i < 20; i++)
        free(malloc(100));
    void *volatile last = malloc(40001);
    if (is_tidy)
        free(last);
    return NULL;
}

/* KiB of the process, and its mappings. */
static void tell_size(void) {
    char line[512];
    int maps = 0;
    FILE *file = fopen("/proc/self/status", "r");

    while (fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            printf("%d ", atoi(line + 6));
    fclose(file);
    file = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, file))
        maps++;
    fclose(file);
    printf("%d\n", maps);
}

/* many once COUNT: all at once; many turn COUNT: one after the other; many tidy COUNT: the same, of
 * which nothing is left, and it tells its size at half and at the end. */
int main(int argc, char **argv) {
    int count = atoi(argv[2]);
    pthread_attr_t attributes;
    pthread_t *threads = calloc((size_t)count, sizeof *threads);

    is_at_once = strcmp(argv[1], "once") == 0;
    is_tidy = strcmp(argv[1], "tidy") == 0;
    pthread_barrier_init(&start, NULL, (unsigned)count);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    for (int i = 0; i < count; i++) {
        if (pthread_create(&threads[i], &attributes, work, NULL) != 0)
            return 1;
        if (!is_at_once)
            pthread_join(threads[i], NULL);
        if (is_tidy && (i + 1) % (count / 2) == 0)
            tell_size();
    }
    for (int i = 0; i < count && is_at_once; i++)
        pthread_join(threads[i], NULL);
    puts("done");
    return 5;
}
"""


def peak_of(pid):
    """KiB that the process had resident at most."""
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1])


def run_many(way, count):
    """Returns the export, and what the daemon holds: descriptors, KiB."""
    program = ttlib.compile_c(MANY, "-w", "-pthread")
    with ttlib.Daemon("--history=1000") as daemon:
        traced = ttlib.run_traced(
            [program, way, str(count)], counted=True, daemon=daemon, env={"MALLOC_ARENA_MAX": 2}
        )
        check_equal((traced.returncode, traced.stdout), (5, "done\n"), traced.stderr)
        ttlib.check_exact(traced.export)
        ttlib.check_counted(traced.export, traced.count, peak_slack=count * 100)
        ttlib.check_books(traced.export)
        held = len(os.listdir(f"/proc/{daemon.pid}/fd")), peak_of(daemon.pid)
        return traced.export, *held


@case
def fault_B01_500_threads_at_once():
    export, fds, kib = run_many("once", 500)
    check(fds < 40, f"the daemon holds {fds} descriptors")
    # 500 lanes are at most 500 times their ring; and what it is itself.
    check(kib < 500 * 512 + 100_000, f"the daemon held {kib} KiB")
    left = [b for b in export["active_allocations"] if b["size"] == 40001]
    check_equal(len(left), 500, "a block of each")
    check_equal(len({b["thread_id"] for b in left}), 500, "threads")


def check_short_threads(count):
    export, fds, kib = run_many("turn", count)
    check(fds < 40, f"the daemon holds {fds} descriptors")
    check(kib < 100_000 + count, f"the daemon held {kib} KiB")
    sizes = [b["size"] for b in export["active_allocations"]]
    check_equal(sizes.count(40001), count, "a block of each")
    # The kernel gives numbers again; the threads are each its own all the same.
    done = [thread for thread in export["threads"] if thread["allocations"] == 21]
    check_equal(len(done), count, f"threads of 21 blocks, of {len(export['threads'])}")


@case
def fault_B02_short_threads():
    check_short_threads(5000)


def check_nothing_grows(count):
    """Past the threads that have a row of their own: the others have one together. What the process
    has at half it has at the end; and the daemon has no more than that many rows take."""
    program = ttlib.compile_c(MANY, "-w", "-pthread")
    with ttlib.Daemon("--history=1000") as daemon:
        traced = ttlib.run_traced(
            [program, "tidy", str(count)], daemon=daemon, timeout=ttlib.SECONDS + count / 100
        )
        check_equal(traced.returncode, 5, traced.stderr)
        fds, kib = len(os.listdir(f"/proc/{daemon.pid}/fd")), peak_of(daemon.pid)
    half, whole = (tuple(map(int, line.split())) for line in traced.stdout.splitlines()[:2])
    print(f"# {count} threads: {half} KiB and mappings at half, {whole} at the end; daemon {kib} KiB")
    check(whole[0] - half[0] < 1024, f"KiB of the process: {half[0]} at half, then {whole[0]}")
    check(whole[1] - half[1] < 4, f"mappings of the process: {half[1]} at half, then {whole[1]}")
    check(fds < 40, f"the daemon holds {fds} descriptors")
    check(kib < 150_000, f"the daemon held {kib} KiB")
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)
    rows = traced.export["threads"]
    check_between(sum(row["allocations"] for row in rows), 21 * count, 22 * count, "allocations")
    check(len(rows) <= 65_535, f"{len(rows)} threads have rows")
    alone = sum(row["allocations"] == 21 for row in rows)
    check(alone >= min(count, 65_000), f"{alone} threads of 21 blocks")


if ROUNDS > 1:
    ttlib.add_case(
        "fault_B02_nightly_nothing_grows_with_100000_threads", lambda: check_nothing_grows(100_000)
    )


# ---- B03 ----

LATE = r"""
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_key_t keys[PTHREAD_KEYS_MAX];
static int count;
static __thread int round_number;

struct Local {
    ~Local() { free(malloc(300)); kept = malloc(41000); }
    void *kept = nullptr;
};
static thread_local Local local;

/* Runs after thread_local's, and as often as a value is there again. */
static void destroy(void *value) {
    free(value);
    free(malloc(400));
    if (++round_number < PTHREAD_DESTRUCTOR_ITERATIONS)
        pthread_setspecific(keys[0], malloc(500));
    else
        (void)!malloc(42000);
}

static void *work(void *) {
    local.kept = malloc(10);
    free(local.kept);
    pthread_setspecific(keys[0], malloc(500));
    return nullptr;
}

int main() {
    pthread_t thread;

    free(malloc(1));
    while (count < PTHREAD_KEYS_MAX && pthread_key_create(&keys[count], destroy) == 0)
        count++;
    printf("%d keys\n", count);
    for (int i = 0; i < 500; i++) {
        pthread_create(&thread, nullptr, work, nullptr);
        pthread_join(thread, nullptr);
    }
    return 5;
}
"""


@case
def fault_B03_destructors_of_threads_allocate():
    """After all that could have been a clean-up of ours; and not a key is missing."""
    program = ttlib.compile_c(LATE, "-w", "-pthread", compiler="g++", suffix=".cpp")
    alone = subprocess.run([program], env=ttlib.clean_env(), capture_output=True, text=True)
    traced = ttlib.run_traced([program], counted=True)
    check_equal((traced.returncode, traced.stdout), (5, alone.stdout), traced.stderr)
    ttlib.check_counted(traced.export, traced.count)
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)
    sizes = [b["size"] for b in traced.export["active_allocations"]]
    check_equal((sizes.count(41000), sizes.count(42000)), (500, 500), "blocks of the last moment")


# ---- B06 ----

AWKWARD = r"""
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static volatile size_t huge = PTRDIFF_MAX;

int main(void) {
    char *volatile kept = malloc(41000);
    void *out = NULL;

    memset(kept, 7, 41000);
    for (int i = 0; i < 100; i++) {
        if (realloc(kept, huge) != NULL || reallocarray(kept, huge, 3) != NULL)
            return 1; /* the block stays as it was */
        if (malloc(huge) != NULL || calloc(huge, 2) != NULL || calloc(huge / 2, 3) != NULL)
            return 2;
        if (posix_memalign(&out, 3, 10) != EINVAL || posix_memalign(&out, 16, huge) != ENOMEM)
            return 3;
        if (aligned_alloc(16, huge) != NULL || memalign(64, huge) != NULL)
            return 4;
        if (realloc(malloc(10), 0) != NULL)
            return 5; /* glibc frees */
        void *volatile block = realloc(NULL, 20);
        block = realloc(block, 30);
        block = reallocarray(block, 5, 10);
        block = realloc(block, 30000);
        block = realloc(block, 5);
        free(block);
        free(reallocarray(NULL, 3, 7));
        free(malloc(0));
        free(calloc(0, 0));
        free(NULL);
    }
    return kept[40999] == 7 ? 0 : 6;
}
"""


@case
def fault_B06_only_what_happened_counts():
    program = ttlib.compile_c(AWKWARD, "-D_GNU_SOURCE", "-w")
    traced = ttlib.run_traced([program], counted=True)
    check_equal(traced.returncode, 0, traced.stderr)
    ttlib.check_counted(traced.export, traced.count)
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)
    (block,) = [b for b in traced.export["active_allocations"] if b["size"] == 41000]
    check_equal(block["resized_from"], None, "its birth is its malloc's")


# ---- B07, B08 ----


def run_with_bump(program, *words, by=None):
    """Returns the export, the counts of allocations and frees that the allocator made, and what the
    program said.

    @by  the command that runs it, of what it shall preload
    """
    allocator = ttlib.build("bump.c", "-shared", "-fPIC", "-O2", "-w")
    counts = ttlib.temp_dir() / "counts"
    preload = f"{ttlib.LIBTTCLIENT}:{allocator}"
    env = {"LD_PRELOAD": None if by else preload, "BUMP_OUT": counts, "TT_LOSSLESS": 1}
    with ttlib.Daemon("--history=1000") as daemon:
        process = subprocess.run(
            [*(by(preload) if by else []), program, *map(str, words)],
            env=daemon.preload_env(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ttlib.SECONDS,
        )
        if by and process.returncode == 77:
            raise ttlib.Skip("ptrace is not allowed")
        check_equal((process.returncode, process.stderr), (0, ""), f"{program.name} {words}")
        (card,) = daemon.sessions()
        daemon.wait_for_state(card["pid"], "exited", "ended")
        counted = struct.unpack("=QQ", counts.read_bytes())
        return daemon.export(card["id"]), *counted, process.stdout


def run_interrupted(way, rounds):
    return run_with_bump(ttlib.build("interrupted.c", "-O2"), way, rounds)


def check_after_interruptions(export):
    left = [block for block in export["active_allocations"] if block["size"] == 777]
    check_equal(len(left), 1000, "blocks allocated when all is quiet again")
    stacks = {block["stack"] for block in left}
    check(len(stacks) == 1, f"stacks of one place: {stacks}")
    check_equal(ttlib.functions_of(export, stacks.pop())[0], "main")
    for key in ("unknown_frees", "double_frees", "synthesized_frees"):
        check_equal(export["completeness"][key], 0, key)
    ttlib.check_books(export)


def check_all_or_dropped(export, allocations, frees):
    recorded = export["cumulative_allocations"] + export["cumulative_frees"]
    dropped = export["completeness"]["dropped_events"]
    check_equal(recorded + dropped, allocations + frees, f"events, {dropped} of them dropped")
    check(dropped <= 10, f"{dropped} events dropped")


@case
def fault_B07_allocating_handler_interrupts_hooks():
    export, allocations, frees, _ = run_interrupted("return", 10_000)
    check_after_interruptions(export)
    check_all_or_dropped(export, allocations, frees)


@case
def fault_B07_pause_by_a_handler_that_interrupts_hooks():
    export, *_ = run_interrupted("pause", 1000)
    check_after_interruptions(export)
    sizes = [block["size"] for block in export["active_allocations"]]
    check_equal(sizes.count(778), 0, "blocks that were born in a pause")
    check_equal(export["completeness"]["has_paused"], True)


def check_stepped(way, skipped, rounds):
    """A tracer has a handler that allocates come in after each instruction, but the first so many and
    where signals are blocked. The allocator's counts are the truth."""
    stepper = ttlib.build("stepper.c", "-O2")
    stepped = ttlib.build("stepped.c", "-O2", "-pthread")
    export, allocations, frees, told = run_with_bump(
        stepped, way, rounds, by=lambda preload: [stepper, str(skipped), preload]
    )
    steps, calls = map(int, told.split())
    print(f"# {calls} calls of the handler in {steps} steps, but the first {skipped}")
    check_after_interruptions(export)
    check_between(allocations, calls + 2 * rounds + 1000, calls + 4 * rounds + 2000, "blocks")
    check_all_or_dropped(export, allocations, frees)
    return steps, calls


@case
def fault_B07_handler_after_each_instruction():
    steps, calls = check_stepped("known", 0, 1)
    check(steps > 600, f"{steps} steps")
    check_equal(calls, steps, "calls of the handler")


def check_stepped_when_new():
    """The handler's own first call would make known what is new, so it comes in later and later."""
    draw = random.Random(SEED)
    longest, _ = check_stepped("new", 10**9, 1)
    for _ in range(ROUNDS):
        check_stepped("new", int(longest ** draw.uniform(0, 1)), 1)


if ROUNDS > 1:
    ttlib.add_case("fault_B07_handler_anywhere_in_first_calls", check_stepped_when_new)


WRAPPED = r"""
#include <stdio.h>
#include <stdlib.h>

extern int wrapper_marks __attribute__((weak));

int main(void) {
    for (int i = 0; i < 1000; i++) {
        void *volatile block = malloc((size_t)i % 300);
        block = realloc(block, (size_t)i % 700 + 1);
        free(block);
        free(calloc(3, (size_t)i % 50));
    }
    for (int i = 0; i < 100; i++)
        (void)!realloc(malloc(10), 40000 + (size_t)i);
    fprintf(stderr, "%d", &wrapper_marks != NULL ? wrapper_marks : 0);
    return 5;
}
"""


def run_wrapped(*flags):
    """With an allocator of the user's behind us that calls others in the midst of a hooked call.
    Returns the export, the counter's figures, and how many marks were taken."""
    wrapper = ttlib.build("wrapper.c", "-shared", "-fPIC", "-w", f"-I{ttlib.SOURCE}", *flags)
    program = ttlib.compile_c(WRAPPED, "-w")
    count = ttlib.temp_dir() / "count"
    alone = ttlib.run([program], ttlib.clean_env({"LD_PRELOAD": wrapper}))
    libraries = f"{ttlib.LIBTTCLIENT}:{wrapper}:{ttlib.LIBTTCOUNT}"
    env = {"LD_PRELOAD": libraries, "TTCOUNT_OUT": count, "TT_LOSSLESS": 1}
    with ttlib.Daemon("--history=1000") as daemon:
        traced = ttlib.run([program], daemon.preload_env(env))
        check_equal((traced.returncode, traced.stdout), (5, alone.stdout), traced.stderr)
        (card,) = daemon.sessions()
        daemon.wait_for_state(card["pid"], "exited", "ended")
        export = daemon.export(card["id"])
    ttlib.check_books(export)
    return export, ttlib.read_count(count), int(traced.stderr)


def check_wrapped(export, count):
    # What the wrapper allocates in a call it frees before that is told.
    ttlib.check_counted(export, count, peak_slack=200)
    ttlib.check_exact(export)
    check_equal(ttlib.left(export), list(range(40000, 40100)), "blocks left")


@case
def fault_B07_wrapper_that_prints():
    export, count, _ = run_wrapped("-DPRINTS")
    check_wrapped(export, count)
    check(count["allocations"] > 10_000, f"{count['allocations']}, of which the wrapper has most")


@case
def fault_B07_names_told_within_a_hooked_call():
    export, count, marks = run_wrapped()
    check_wrapped(export, count)
    check(marks > 50, f"{marks} marks")
    check_equal([row["name"] for row in export["marks"]], ["in the wrapper"] * marks, "marks")


@case
def fault_B07_wrapper_that_resizes():
    """A thread's open reallocation is one: of one within another the outer end is taken for a birth,
    which is declared. No allocation is missing."""
    export, count, _ = run_wrapped("-DRESIZES")
    check_equal(export["cumulative_allocations"], count["allocations"], "allocations")
    check_equal(export["completeness"]["exact"], False, "exact")
    check_equal(len(export["completeness"]["doubts"]), 1, "doubts")


@case
def fault_B08_siglongjmp_out_of_hook():
    export, allocations, frees, _ = run_interrupted("longjmp", 10_000)
    check_after_interruptions(export)
    # A hook that was left had not recorded its block, or its free was not yet done.
    check_between(
        export["cumulative_allocations"], allocations - 10_000, allocations, "allocations"
    )
    check_between(export["cumulative_frees"], frees - 10_000, frees + 10_000, "frees")


@case
def fault_B08_siglongjmp_out_of_a_handler_that_interrupted_a_hook():
    """Of what later handlers allocate within hooks nothing is dropped for it: thousands of events."""
    export, *_ = run_interrupted("nested", 4000)
    check_after_interruptions(export)
    dropped = export["completeness"]["dropped_events"]
    check(dropped <= 500, f"{dropped} events dropped")


@case
def fault_B08_siglongjmp_into_a_handler_that_interrupted_a_hook():
    export, *_ = run_interrupted("inner", 1500)
    check_after_interruptions(export)
    dropped = export["completeness"]["dropped_events"]
    check(dropped <= 100, f"{dropped} events dropped")


# ---- B09 ----

CANCELLED = r"""
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_int has_survived;

static void *churn(void *unused) {
    pthread_cancel(pthread_self());
    for (int i = 0; i < 400000; i++)
        free(malloc((size_t)i % 500));
    atomic_store(&has_survived, 1);
    pthread_testcancel();
    return unused;
}

int main(void) {
    pthread_t thread;
    void *result;

    pthread_create(&thread, NULL, churn, NULL);
    pthread_join(thread, &result);
    printf("%d %d\n", atomic_load(&has_survived), result == PTHREAD_CANCELED);
    return 0;
}
"""


@case
def fault_B09_malloc_is_no_cancellation_point():
    program = ttlib.compile_c(CANCELLED, "-pthread")
    for env in ({"TT_LOSSLESS": 1}, {"TT_LOSSLESS": 0}):
        traced = ttlib.run_traced([program], env=env)
        check_equal((traced.returncode, traced.stdout), (0, "1 1\n"), f"{env}: {traced.stderr}")
        ttlib.check_books(traced.export)


ASYNCHRONOUS = r"""
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_int is_running;

static void *churn(void *unused) {
    int old;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    atomic_store(&is_running, 1);
    for (;;)
        free(malloc(50));
    return unused;
}

int main(void) {
    pthread_t thread;

    for (int i = 0; i < 100; i++) {
        atomic_store(&is_running, 0);
        pthread_create(&thread, NULL, churn, NULL);
        while (!atomic_load(&is_running))
            free(malloc(10));
        for (int k = 0; k < i; k++)
            free(malloc(20));
        pthread_cancel(thread);
        pthread_join(thread, NULL);
    }
    for (int i = 0; i < 1000; i++)
        if (malloc(777) == NULL)
            return 1;
    puts("done");
    return 0;
}
"""


@case
def fault_B09_asynchronous_cancel_leaves_no_lock():
    program = ttlib.compile_c(ASYNCHRONOUS, "-pthread")
    export, *_ = run_with_bump(program)
    check_after_interruptions(export)


print(f"# TT_SEED={SEED}")
ttlib.main()
