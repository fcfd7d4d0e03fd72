#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section E: stacks of whole programs. What single frames look like is attacked in tests/unit/client,
and known chains of many compilers in tests/truth."""

import pathlib
import re

import ttlib
from ttlib import case, check, check_equal


def stack_of(export, size):
    """The one stack of all blocks of a size that live."""
    ids = {b["stack"] for b in export["active_allocations"] if b["size"] == size}
    check_equal(len(ids), 1, f"stacks of {size} bytes")
    (number,) = ids
    return next(stack for stack in export["stacks"] if stack["id"] == number)


def names_of(stack):
    return [frame["function"] for frame in stack["frames"]]


# ---- E02 ----

DEEP = r"""
#include <stdio.h>
#include <stdlib.h>

static __attribute__((noinline)) void *recurse(long depth) {
    void *block = depth == 0 ? malloc(40001) : recurse(depth - 1);
    __asm__ volatile("" ::: "memory");
    return block;
}

int main(int argc, char **argv) {
    for (int i = 0; i < 100; i++)
        free(recurse(atol(argv[1]) - i));
    recurse(atol(argv[1]));
    puts("done");
    return 5;
}
"""


@case
def fault_E02_recursion_deeper_than_a_stack_is_told():
    program = ttlib.compile_c(DEEP, "-w", "-fomit-frame-pointer")
    for depth, limit in ((100_000, "8192"), (1_000_000, "unlimited")):
        traced = ttlib.run_traced(
            ["/bin/sh", "-c", f"ulimit -s {limit} || exit 77; exec {program} {depth}"]
        )
        if traced.returncode == 77:
            raise ttlib.Skip("no unlimited stack is to be had")
        check_equal((traced.returncode, traced.stdout), (5, "done\n"), traced.stderr)
        stack = stack_of(traced.export, 40001)
        check_equal((len(stack["frames"]), stack["truncated"]), (256, True), f"depth {depth}")
        check_equal(set(names_of(stack)), {"recurse"}, f"depth {depth}")
        check(traced.export["completeness"]["truncated_stacks"] > 0, "it is declared")
        ttlib.check_books(traced.export)


# ---- E14 ----

ENDS = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

static __attribute__((noinline)) void *leaf(size_t size) {
    void *block = malloc(size);
    __asm__ volatile("" ::: "memory");
    return block;
}

static void *work(void *size) {
    leaf((size_t)size);
    return NULL;
}

int main(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    char *stack = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    leaf(40001);
    mprotect(stack + 4096, (1 << 20) - 8192, PROT_READ | PROT_WRITE);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack + 4096, (1 << 20) - 8192);
    pthread_create(&thread, &attributes, work, (void *)40002);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, work, (void *)40003);
    pthread_join(thread, NULL);
    setrlimit(RLIMIT_STACK, &(struct rlimit){1 << 20, RLIM_INFINITY});
    leaf(40004);
    puts("done");
    return 5;
}
"""


@case
def fault_E14_stacks_end_where_they_end():
    traced = ttlib.run_traced([ttlib.compile_c(ENDS, "-w", "-pthread")])
    check_equal((traced.returncode, traced.stdout), (5, "done\n"), traced.stderr)
    for size, caller in ((40001, "main"), (40002, "work"), (40003, "work"), (40004, "main")):
        stack = stack_of(traced.export, size)
        check_equal(names_of(stack)[:2], ["leaf", caller])
        check_equal(stack["truncated"], False, f"of {size} bytes")
    check_equal(traced.export["completeness"]["truncated_stacks"], 0)
    ttlib.check_exact(traced.export)


# ---- E17 ----

OWN = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int calls;

/* The program's own, by names that libunwind and libgcc have too. */
int unw_init_local(void *cursor, void *context) { return calls++; }
int _Ux86_64_init_remote(void *cursor, void *space, void *arg) { return calls++; }
int _Ux86_64_step(void *cursor) { return calls++; }
int unw_step(void *cursor) { return calls++; }
int _Unwind_Backtrace(void *callback, void *arg) { return calls++; }
void *_Unwind_Find_FDE(void *pc, void *bases) { return (void *)(long)!calls++; }

static __attribute__((noinline)) void *deep(int depth) {
    void *block = depth == 0 ? malloc(40001) : deep(depth - 1);
    __asm__ volatile("" ::: "memory");
    return block;
}

int main(int argc, char **argv) {
    int files = 0;
    off_t bytes = 0;

    /* Every number from 3 on is the program's file, before its first deep stack. */
    close_range(3, ~0u, 0);
    while (files < 200 && open(argv[1], O_RDWR | O_CREAT, 0600) >= 0)
        files++;
    deep(100);
    for (int fd = 3; fd < 3 + files; fd++) {
        off_t end = lseek(fd, 0, SEEK_END), at = lseek(fd, 0, SEEK_CUR);
        bytes += end;
    }
    printf("%d calls, %ld bytes, %d files\n", calls, (long)bytes, files);
    return 5;
}
"""


@case
def fault_E17_unwinders_of_the_programs_own():
    program = ttlib.compile_c(OWN, "-w", "-rdynamic")
    for lossless in (0, 1):
        traced = ttlib.run_traced(
            [program, ttlib.temp_dir() / "file"], env={"TT_LOSSLESS": lossless}
        )
        check_equal(
            (traced.returncode, traced.stdout), (5, "0 calls, 0 bytes, 200 files\n"), traced.stderr
        )
        names = names_of(stack_of(traced.export, 40001))
        check_equal(names[:102], ["deep"] * 101 + ["main"])
        ttlib.check_books(traced.export)


LLVMS = r"""
#include <cstdio>
#include <cstdlib>
#include <new>
#include <unwind.h>

/* Of LLVM's libunwind.h, as far as is needed. */
extern "C" int unw_getcontext(void *context);
extern "C" int unw_init_local(void *cursor, void *context);
extern "C" int unw_step(void *cursor);

static _Unwind_Reason_Code count(_Unwind_Context *, void *number) {
    ++*(int *)number;
    return _URC_NO_REASON;
}

static __attribute__((noinline)) void deep(int depth) {
    alignas(16) static char context[4096], cursor[4096];
    int frames = 0, steps = 0;

    if (depth > 0) {
        deep(depth - 1);
        __asm__ volatile("" ::: "memory");
        return;
    }
    free(malloc(100));
    _Unwind_Backtrace(count, &frames);
    unw_getcontext(context);
    unw_init_local(cursor, context);
    while (unw_step(cursor) > 0)
        steps++;
    std::printf("%d %d %d\n", frames > 100, steps > 100, frames - steps);
    (void)!malloc(40001);
    void *volatile never = operator new((size_t)-1 >> 1); /* thrown on through a hook */
}

int main() {
    for (int i = 0; i < 3; i++)
        try {
            deep(100);
        } catch (const std::bad_alloc &) {
            std::puts("caught");
            (void)!malloc(40002);
        }
    return 5;
}
"""


@case
def fault_E17_llvms_unwinder_in_the_program():
    """Of the same names as the one that we use, and the one that C++ throws by."""
    found = sorted(pathlib.Path("/usr/lib").glob("llvm-*/lib/libunwind.so.1"))
    if not found:
        raise ttlib.Skip("LLVM's libunwind is not installed")
    first = ["-Wl,--no-as-needed", found[-1], f"-Wl,-rpath,{found[-1].parent}"]
    program = ttlib.compile_c(LLVMS, "-w", "-O1", *first, compiler="g++", suffix=".cpp")
    bound = ttlib.run([program], ttlib.clean_env({"LD_DEBUG": "bindings"})).stderr
    for name in ("_Unwind_Backtrace", "_Unwind_RaiseException", "unw_step"):
        check(re.search(f"to {found[-1]} .*`{name}'", bound), f"{name} is LLVM's")
    alone = ttlib.run([program], ttlib.clean_env())
    check_equal((alone.returncode, alone.stdout), (5, "1 1 1\ncaught\n" * 3), "alone")
    traced = ttlib.run_traced([program], counted=True)
    ttlib.check_like(traced, alone)
    ttlib.check_counted(traced.export, traced.count)
    ttlib.check_exact(traced.export)
    check_equal(names_of(stack_of(traced.export, 40001))[:102], ["deep(int)"] * 101 + ["main"])


ttlib.main()
