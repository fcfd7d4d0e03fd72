#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section A: programs that bring an allocator of their own, or a sanitizer that is one."""

import re
import subprocess

import ttlib
from ttlib import case, check, check_equal

# ---- A07 ----

SANITIZED = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *churn(void *unused) {
    for (int i = 0; i < 1000; i++)
        free(malloc((size_t)i + 1));
    return unused;
}

int main(int argc, char **argv) {
    pthread_t thread;
    char *volatile block = malloc(10);

    pthread_create(&thread, NULL, churn, NULL);
    churn(NULL);
    pthread_join(thread, NULL);
    puts("done");
    if (argc > 1)
        block[10] = 'x'; /* what a sanitizer is for */
    free(block);
    return 5;
}
"""

SANITIZERS = [("gcc", "address"), ("gcc", "thread"), ("clang", "address"), ("clang", "thread")]


def sanitized_programs():
    """Those of the compilers and runtimes that are installed."""
    text = ttlib.temp_dir() / "sanitized.c"
    text.write_text(SANITIZED)
    built = []
    for compiler, sanitizer in SANITIZERS:
        program = text.parent / f"{compiler}-{sanitizer}"
        flags = ["-g", "-O1", "-w", f"-fsanitize={sanitizer}", "-pthread"]
        words = [compiler, *flags, "-o", program, text]
        try:
            if subprocess.run(words, capture_output=True).returncode != 0:
                continue
        except FileNotFoundError:
            continue
        alone = subprocess.run([program], env=ttlib.clean_env(), capture_output=True, text=True)
        if (alone.returncode, alone.stdout) == (5, "done\n"):
            built.append(program)
    if not built:
        raise ttlib.Skip("no sanitizer's runtime is installed, or none runs here")
    return built


@case
def fault_A07_run_refuses_a_sanitized_program():
    for program in sanitized_programs():
        traced = ttlib.run_traced([program])
        check_equal((traced.returncode, traced.stdout), (125, ""), f"{program}: {traced.stderr}")
        check_equal(traced.stderr.count("\n"), 1, f"sentences in {traced.stderr}")
        check("Sanitizer" in traced.stderr, traced.stderr)
        check(traced.export is None, "no file is written")


@case
def fault_A07_sanitized_descendant_is_as_untraced():
    for program in sanitized_programs():
        with ttlib.Daemon() as daemon:
            for words in ([], ["overrun"]):
                script = ["/bin/sh", "-c", '"$@"; echo $?', "sh", program, *words]
                alone = subprocess.run(
                    script, env=ttlib.clean_env(), capture_output=True, text=True
                )
                traced = ttlib.run_traced(script, daemon=daemon)
                check_equal(traced.stdout, alone.stdout, f"{program} {words}: {traced.stderr}")
                kinds = [re.findall(r"ERROR: \w+: [\w-]+", e) for e in (traced.stderr, alone.stderr)]
                check_equal(kinds[0], kinds[1], f"{program} {words}: what it reports")
            exes = {card["exe"] for card in daemon.sessions()}
            check(str(program) not in exes, f"{program} has no session: there are {exes}")


# ---- A08 ----

# An allocator of the program's own: it never gives a byte back, and knows its own blocks. Whoever
# mixes it up with another finds out at once.
OWN = r"""
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINE 0x6d696e656d696e65u

static _Alignas(4096) char heap[8 << 20];
static size_t used;
static unsigned long births, ends;

static void *take(size_t alignment, size_t size) {
    size_t start = (used + 16 + alignment - 1) & ~(alignment - 1);
    if (start + size > sizeof heap)
        abort();
    used = start + size;
    ((uint64_t *)(heap + start))[-1] = MINE;
    ((uint64_t *)(heap + start))[-2] = size;
    births++;
    return heap + start;
}

static size_t size_of(void *block) {
    if ((char *)block < heap || (char *)block >= heap + sizeof heap)
        abort(); /* another allocator's */
    if (((uint64_t *)block)[-1] != MINE)
        abort();
    return ((uint64_t *)block)[-2];
}

void *malloc(size_t size) { return take(16, size); }
void *calloc(size_t count, size_t size) { return memset(take(16, count * size), 0, count * size); }
void free(void *block) {
    if (block != NULL)
        size_of(block), ends++;
}
void *realloc(void *block, size_t size) {
    void *moved = take(16, size);
    if (block != NULL) {
        size_t old = size_of(block);
        memcpy(moved, block, old < size ? old : size);
        ends++;
    }
    return moved;
}
#ifdef WHOLE
void *memalign(size_t alignment, size_t size) { return take(alignment < 16 ? 16 : alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    *out = memalign(alignment, size);
    return 0;
}
void *valloc(size_t size) { return memalign(4096, size); }
void *pvalloc(size_t size) { return memalign(4096, (size + 4095) & ~4095ul); }
size_t malloc_usable_size(void *block) { return block == NULL ? 0 : size_of(block); }
#endif

int main(void) {
    void *other = NULL;

    for (int i = 0; i < 1000; i++)
        free(realloc(calloc(1, 10), 100));
    char *text = strdup("a string of libc's");
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen("/proc/self/comm", "r");
    ssize_t len = getline(&line, &room, file);
    fclose(file);
    free(line);
    free(text);
    void *kept = malloc(40001);
    /* Without these its own, glibc's answer; such a block it never frees. */
    int code = posix_memalign(&other, 64, 100);
#ifdef WHOLE
    free(other);
#endif
    printf("%ld %d %d %lu %lu\n", (long)len, code, (uintptr_t)other % 64 == 0, births, ends);
    return kept == NULL ? 1 : 5;
}
"""


@case
def fault_A08_program_with_an_allocator_of_its_own():
    """It is the one in use, by the loader's own word: we are not asked, and have nothing to tell."""
    for flags in ([], ["-DWHOLE"], ["-DWHOLE", "-no-pie"], ["-Wl,-z,now"]):
        program = ttlib.compile_c(OWN, "-w", "-D_GNU_SOURCE", "-rdynamic", *flags)
        alone = subprocess.run([program], env=ttlib.clean_env(), capture_output=True, text=True)
        check_equal(alone.returncode, 5, alone.stderr)
        with ttlib.Daemon() as daemon:
            preloaded = subprocess.run(
                [program], env=daemon.preload_env(), capture_output=True, text=True
            )
            check_equal(
                (preloaded.returncode, preloaded.stdout, preloaded.stderr),
                (5, alone.stdout, alone.stderr),
                f"{flags}",
            )
            check_equal(daemon.sessions(), [], f"{flags}: sessions")
            traced = ttlib.run_traced([program], daemon=daemon)
            # It ran, but what was asked of run could not be had.
            check_equal((traced.returncode, traced.stdout), (125, alone.stdout), f"{flags}")
            check(traced.export is None, f"{flags}: no half books")
            check("was not traced" in traced.stderr, f"{flags}: {traced.stderr}")


NEW_ALONE = r"""
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

static unsigned long births, ends;

void *operator new(std::size_t size) {
    births++;
    if (void *block = std::malloc(size))
        return block;
    throw std::bad_alloc();
}
void operator delete(void *block) noexcept { ends++; std::free(block); }
void operator delete(void *block, std::size_t) noexcept { ends++; std::free(block); }

int main() {
    for (int i = 0; i < 1000; i++) {
        std::vector<std::string> words(10, std::string(100, 'x'));
        delete new int(i);
    }
    ::new char[40001];
    std::printf("%lu %lu\n", births, ends);
    return 5;
}
"""


@case
def fault_A08_program_with_operators_of_its_own():
    """They call malloc, which is ours: exact, and each block once."""
    program = ttlib.compile_c(NEW_ALONE, "-w", compiler="g++", suffix=".cpp")
    alone = subprocess.run([program], env=ttlib.clean_env(), capture_output=True, text=True)
    traced = ttlib.run_traced([program], counted=True)
    check_equal((traced.returncode, traced.stdout), (5, alone.stdout), traced.stderr)
    ttlib.check_counted(traced.export, traced.count)
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)


# ---- A03: an operator that is left by an exception, or whose handler allocates ----

THROWS = r"""
#include <cstdlib>
#include <new>

static volatile std::size_t too_much = std::size_t(1) << 60;
static int *reserve;

static void try_in_vain() {
    try {
        operator delete(operator new(too_much));
    } catch (const std::bad_alloc &) {
    }
}

static void give_way() {
    std::free(std::malloc(300));
    delete[] reserve;
    reserve = nullptr;
    std::free(std::malloc(400));
    std::set_new_handler(nullptr);
}

int main() {
    for (int i = 0; i < 100; i++) {
        try_in_vain();
        std::free(std::malloc(100)); /* what follows the operator that has not returned */
        delete new int(i);
        reserve = new int[50];
        std::set_new_handler(give_way);
        try_in_vain();
        std::malloc(40001);
    }
    return 5;
}
"""


@case
def fault_A03_operator_new_throws():
    """Its counts are glibc's, whose operators are the C++ library's."""
    program = ttlib.compile_c(THROWS, "-w", compiler="g++", suffix=".cpp")
    plain = ttlib.run_traced([program], counted=True)
    check_equal(plain.returncode, 5, plain.stderr)
    ttlib.check_counted(plain.export, plain.count)
    for name in ("libjemalloc.so.2", "libtcmalloc_minimal.so.4"):
        env = {"LD_PRELOAD": ttlib.find_library(name)}
        traced = ttlib.run_traced([program], env=env)
        check_equal(traced.returncode, 5, f"{name}: {traced.stderr}")
        for key in ("active_allocations", "freed_allocations"):
            # tcmalloc has two small ones of its own.
            got, want = (
                sorted(b["size"] for b in export[key] if b["size"] >= 100)
                for export in (traced.export, plain.export)
            )
            check_equal(got, want, f"{name}: {key}")
        ttlib.check_exact(traced.export)
        ttlib.check_books(traced.export)


# ---- an operator delete that is left by longjmp ----

# It gives the same block for each 40001 bytes, and its delete calls no free.
LEFT_ALLOCATOR = r"""
#include <cerrno>
#include <cstring>
#include <new>

alignas(16) static char kept[40016], memory[1 << 22];
static std::size_t used;
extern "C" void (*on_delete)() = nullptr;

static void *give(std::size_t alignment, std::size_t size) {
    if (size == 40001)
        return kept;
    used = (used + alignment + 15) / alignment * alignment;
    void *block = memory + used;
    used += (size + 15) / 16 * 16;
    return used <= sizeof memory ? block : nullptr;
}
extern "C" void *malloc(std::size_t size) { return give(16, size); }
extern "C" void *memalign(std::size_t alignment, std::size_t size) {
    return give(alignment, size);
}
extern "C" void *aligned_alloc(std::size_t alignment, std::size_t size) {
    return give(alignment, size);
}
extern "C" int posix_memalign(void **ret, std::size_t alignment, std::size_t size) {
    *ret = give(alignment, size);
    return *ret ? 0 : ENOMEM;
}
extern "C" void *calloc(std::size_t count, std::size_t size) { return give(16, count * size); }
extern "C" void *realloc(void *old, std::size_t size) {
    void *block = give(16, size);
    return old && block ? std::memmove(block, old, size) : block;
}
extern "C" void free(void *) {}
void *operator new(std::size_t size) { return give(16, size); }
void operator delete(void *) noexcept { on_delete(); }
"""

LEAVES = r"""
#include <setjmp.h>
#include <stdlib.h>

extern void (*on_delete)(void);
extern void _ZdlPv(void *);
static jmp_buf out;

static void leave(void) { longjmp(out, 1); }

int main(void) {
    on_delete = leave;
    if (setjmp(out) == 0)
        _ZdlPv(malloc(40001));
    void *volatile again = malloc(40001); /* at the address of the one that was being deleted */
    free(again);
    malloc(40002);
    return 5;
}
"""


@case
def fault_B08_longjmp_out_of_an_operator_delete():
    """What its block's address is given to next dies when it does."""
    library = ttlib.compile_c(
        LEFT_ALLOCATOR, "-w", "-shared", "-fPIC", name="left.so", compiler="g++", suffix=".cpp"
    )
    traced = ttlib.run_traced([ttlib.compile_c(LEAVES, "-w", "-Wl,--no-as-needed", library)])
    check_equal(traced.returncode, 5, traced.stderr)
    check_equal(ttlib.left(traced.export), [40002], "blocks left")
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)


# ---- A09 ----

ADDRESSES = r"""
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    static void *blocks[1000];

    for (int i = 0; i < 1000; i++)
        blocks[i] = malloc(8);
    for (int i = 0; i < 1000; i += 2)
        free(blocks[i]);
    for (int i = 1; i < 1000; i += 4)
        blocks[i] = realloc(blocks[i], 7);
    for (int i = 1; i < 1000; i += 2)
        printf("%p %d\n", blocks[i], i % 4 == 1 ? 7 : 8);
    return 5;
}
"""


def check_addresses(library, is_odd):
    path = ttlib.find_library(library)
    program = ttlib.compile_c(ADDRESSES, "-w", "-Wl,--no-as-needed", path)
    traced = ttlib.run_traced([program])
    check_equal(traced.returncode, 5, traced.stderr)
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)
    told = sorted((int(a, 16), int(s)) for a, s in map(str.split, traced.stdout.splitlines()))
    if is_odd:
        check(any(address % 16 for address, _ in told), "some are not 16-aligned, as was wanted")
    wanted = {address for address, _ in told}
    seen = sorted(
        (b["ptr"], b["size"]) for b in traced.export["active_allocations"] if b["ptr"] in wanted
    )
    check_equal(seen, told, "addresses and sizes that live")


@case
def fault_A09_addresses_of_jemalloc():
    check_addresses("libjemalloc.so.2", is_odd=True)


@case
def fault_A09_addresses_of_tcmalloc():
    check_addresses("libtcmalloc_minimal.so.4", is_odd=False)


ttlib.main()
