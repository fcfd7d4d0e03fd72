#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section A: other loaders, other C libraries, and what the loader does before or beside us."""

import os
import pathlib

import ttlib
from ttlib import case, check, check_equal, check_like, left, run

# Leaves one block of a known size; judged by the counter or by what it says.
CHURN = r"""
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    for (int i = 0; i < 1000; i++)
        free(malloc((size_t)i));
    malloc(40001);
    puts("done");
    return 5;
}
"""


# ---- A05 ----


def compile_musl():
    ttlib.need("musl-gcc")
    return ttlib.compile_c(CHURN, "-w", compiler="musl-gcc")


@case
def fault_A05_musl_descendant_is_inert():
    program = compile_musl()
    words = ["/bin/sh", "-c", '"$1"; echo $?', "sh", program]
    alone = run(words, ttlib.clean_env())
    check_equal(alone.stdout, "done\n5\n", alone.stderr)
    with ttlib.Daemon() as daemon:
        traced = ttlib.run_traced(words, daemon=daemon)
        check_like(traced, alone)
        check_equal({card["name"] for card in daemon.sessions()}, {"dash"}, "sessions")


@case
def fault_A05_musl_program_is_refused_by_run():
    traced = ttlib.run_traced([compile_musl()])
    check_equal((traced.returncode, traced.stdout), (125, ""), traced.stderr)
    check("musl" in traced.stderr and traced.stderr.count("\n") == 1, traced.stderr)


THIRTY_TWO = r"""
void *malloc(unsigned size);
void free(void *block);
int puts(const char *text);
void exit(int status);

void _start(void) {
    for (int i = 0; i < 1000; i++)
        free(malloc((unsigned)i));
    puts("done");
    exit(5);
}
"""


@case
def fault_A05_descendant_of_32_bits():
    """ld.so says in a line of its own that it passes us by; nothing else shows."""
    libc = pathlib.Path("/lib32/libc.so.6")
    if not libc.exists():
        raise ttlib.Skip("libc6-i386 is not installed")
    loader = "-Wl,-dynamic-linker,/lib/ld-linux.so.2"
    program = ttlib.compile_c(
        THIRTY_TWO, "-w", "-m32", "-nostdlib", "-no-pie", "-mpreferred-stack-boundary=2", loader, libc
    )
    words = ["/bin/sh", "-c", '"$1"; echo $?', "sh", program]
    alone = run(words, ttlib.clean_env())
    if alone.stdout != "done\n5\n":
        raise ttlib.Skip(f"32-bit programs do not run here: {alone.stderr.strip()}")
    with ttlib.Daemon() as daemon:
        traced = ttlib.run_traced(words, daemon=daemon)
        check_equal((traced.returncode, traced.stdout), (0, alone.stdout), traced.stderr)
        (line,) = traced.stderr.splitlines()
        check(line.startswith("ERROR: ld.so: object") and "wrong ELF class" in line, line)
        check_equal({card["name"] for card in daemon.sessions()}, {"dash"}, "sessions")


# ---- A12 ----

# 1000 blocks, a thread that allocates, and a fork, before main.
EARLY = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *blocks[1000];

static void *work(void *unused) {
    for (int i = 0; i < 100; i++)
        free(malloc(200));
    malloc(40002);
    return unused;
}

static void begin_early(void) {
    pthread_t thread;

    for (int i = 0; i < 1000; i++)
        blocks[i] = malloc(100);
    malloc(40001);
    pthread_create(&thread, NULL, work, NULL);
    pthread_join(thread, NULL);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 1000; i++)
            free(blocks[i]);
        _exit(3);
    }
    int status;
    waitpid(child, &status, 0);
    if (WEXITSTATUS(status) != 3)
        _exit(9);
}

int finish_early(void) {
    for (int i = 0; i < 1000; i += 2)
        free(blocks[i]);
    malloc(40003);
    puts("done");
    return 5;
}
"""
MAIN = "\nint main(void) { return finish_early(); }\n"
PREINIT = """
__attribute__((section(".preinit_array"), used)) static void (*const first)(void) = begin_early;
"""
CONSTRUCTOR = """
__attribute__((constructor(101))) static void constructor(void) { begin_early(); }
"""


def check_early(program):
    check_equal(run([program], ttlib.clean_env()).returncode, 5, "alone")
    with ttlib.Daemon() as daemon:
        traced = ttlib.run_traced([program], daemon=daemon, counted=True)
        check_equal((traced.returncode, traced.stdout), (5, "done\n"), traced.stderr)
        export = traced.export
        ttlib.check_books(export)
        check_equal(left(export), [40001, 40002, 40003], "blocks left")
        ttlib.check_counted(export, traced.count)
        ttlib.check_exact(export)
        check_equal(export["completeness"]["untraced_before_ns"], 0, "untraced before")


@case
def fault_A12_preinit_array_allocates_starts_a_thread_and_forks():
    """The program's own, which runs before any library's constructor, ours too."""
    check_early(ttlib.compile_c(EARLY + PREINIT + MAIN, "-w", "-pthread"))


@case
def fault_A12_another_library_that_is_to_be_first():
    """The loader knows one library to initialise first: the last that asks for it."""
    library = ttlib.compile_c(
        EARLY + CONSTRUCTOR, "-w", "-pthread", "-shared", "-fPIC", "-Wl,-z,initfirst",
        name="libearly.so",
    )
    check_early(ttlib.compile_c("extern int finish_early(void);" + MAIN, "-w", library))


@case
def fault_A12_constructors_of_libraries():
    library = ttlib.compile_c(
        EARLY + CONSTRUCTOR, "-w", "-pthread", "-shared", "-fPIC", name="libearly.so"
    )
    check_early(ttlib.compile_c("extern int finish_early(void);" + MAIN, "-w", library))


# ---- A13 ----

AUDIT = r"""
#define _GNU_SOURCE
#include <link.h>
#include <stdlib.h>

unsigned la_version(unsigned version) {
    free(malloc(100));
    return version;
}
unsigned la_objopen(struct link_map *map, Lmid_t id, uintptr_t *cookie) {
    static void *volatile kept;
    kept = malloc(40009);
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}
unsigned la_objclose(uintptr_t *cookie) {
    free(malloc(100));
    return 0;
}
uintptr_t la_symbind64(Elf64_Sym *symbol, unsigned index, uintptr_t *from, uintptr_t *to,
                       unsigned *flags, const char *name) {
    free(malloc(50));
    return symbol->st_value;
}
"""


def check_way(words, env=None, is_quiet=True, counted=True):
    """Traced as it runs alone; each figure the counter's."""
    alone = run(words, ttlib.clean_env(env))
    check_equal((alone.returncode, alone.stdout), (5, "done\n"), alone.stderr[-500:])
    with ttlib.Daemon() as daemon:
        count = ttlib.temp_dir() / "count"
        traced = run(words, daemon.preload_env(env, counted=count if counted else None))
        check_equal((traced.returncode, traced.stdout), (5, "done\n"), traced.stderr[-500:])
        if is_quiet:
            check_equal(traced.stderr, alone.stderr, "stderr")
        (card,) = daemon.sessions()
        export = daemon.export(card["id"])
        check_equal(left(export), [40001])
        if counted:
            ttlib.check_counted(export, ttlib.read_count(count))
        ttlib.check_exact(export)
        ttlib.check_books(export)


@case
def fault_A13_bound_now_and_lazily():
    for flag in ("-Wl,-z,lazy", "-Wl,-z,now"):
        program = ttlib.compile_c(CHURN, "-w", flag)
        check_way([program])
        check_way([program], {"LD_BIND_NOW": 1})


@case
def fault_A13_not_position_independent_and_marked_for_cet():
    check_way([ttlib.compile_c(CHURN, "-w", "-no-pie")])
    check_way([ttlib.compile_c(CHURN, "-w", "-fcf-protection=full", "-Wl,-z,ibt,-z,shstk")])


@case
def fault_A13_loader_that_tells_all_it_does():
    check_way([ttlib.compile_c(CHURN, "-w")], {"LD_DEBUG": "all"}, is_quiet=False)


@case
def fault_A13_loader_run_as_a_program():
    loader = pathlib.Path("/lib64/ld-linux-x86-64.so.2")
    check_way([loader, ttlib.compile_c(CHURN, "-w")])
    check_way([loader, ttlib.compile_c(CHURN, "-w", "-no-pie")])


@case
def fault_A13_auditing_library_that_allocates():
    """In a namespace and with a heap of its own: none of its blocks is the program's. The loader's
    for it, made before any library is ready, the counter sees and we do not."""
    audit = ttlib.compile_c(AUDIT, "-w", "-shared", "-fPIC", name="audit.so")
    for flag in ("-Wl,-z,now", "-Wl,-z,lazy"):
        check_way([ttlib.compile_c(CHURN, "-w", flag)], {"LD_AUDIT": audit}, counted=False)


NEXT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

/* Who asks for the next of its own name must get the one after itself. */
char *getenv(const char *name) {
    char *(*next)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");
    return next == NULL || next == getenv ? "wrong" : next(name);
}

int load_and_call(void) {
    void *plugin = dlopen("libbeside.so", RTLD_NOW); /* by this library's own RUNPATH */
    int (*answer)(void) = plugin == NULL ? NULL : (int (*)(void))dlsym(plugin, "answer");
    return answer == NULL ? 0 : answer();
}
"""

ASKS = r"""
#include <stdio.h>
#include <stdlib.h>

int load_and_call(void);

int main(void) {
    if (load_and_call() != 42 || getenv("NOWHERE") != NULL)
        return 1;
    malloc(40001);
    puts("done");
    return 5;
}
"""


@case
def fault_A13_libraries_by_their_callers_path():
    beside = ttlib.compile_c(
        "int answer(void) { return 42; }", "-shared", "-fPIC", name="libbeside.so"
    )
    library = ttlib.compile_c(
        NEXT, "-shared", "-fPIC", f"-Wl,-rpath,{beside.parent},--enable-new-dtags", name="libnext.so"
    )
    check_way([ttlib.compile_c(ASKS, "-w", library)])


# ---- A14 ----

LATE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    int flags = RTLD_NOW;

    if (strcmp(argv[2], "global") == 0)
        flags |= RTLD_GLOBAL;
    else if (strcmp(argv[2], "deepbind") == 0)
        flags |= RTLD_DEEPBIND;
    void *before = malloc(100), *library = dlopen(argv[1], flags);
    if (library == NULL) {
        puts(dlerror());
        return 1;
    }
    int (*init)(void) = dlsym(library, "tt_init");
    int (*mark)(const char *) = dlsym(library, "tt_mark");
    int (*track)(const void *, const char *, const char *) = dlsym(library, "tt_track");
    int (*export)(const char *) = dlsym(library, "tt_export_json");
    void (*pause)(void) = dlsym(library, "tt_pause"), (*resume)(void) = dlsym(library, "tt_resume");
    void *(*their_malloc)(size_t) = dlsym(library, "malloc");
    void (*their_free)(void *) = dlsym(library, "free");
    char *path;

    asprintf(&path, "%s/never", argv[3]);
    pause();
    resume();
    int first = init(), second = mark("m"), third = track(before, "n", "t"), fourth = export(path);
    printf("%d %d %d %d\n", first < 0, second < 0, third < 0, fourth < 0);
    free(before);
    free(their_malloc(10));
    their_free(malloc(10));
    for (int i = 0; i < 1000; i++)
        free(realloc(malloc((size_t)i), 2000));
    if (dlclose(library) != 0)
        return 2;
    their_free(their_malloc(20)); /* it has stayed */
    for (int i = 0; i < 1000; i++)
        free(malloc((size_t)i));
    return 5;
}
"""


@case
def fault_A14_library_that_comes_late():
    """It is not the allocator in use: it keeps still, and says so to who asks."""
    program = ttlib.compile_c(LATE, "-w")
    for way in ("local", "global", "deepbind"):
        folder = ttlib.temp_dir()
        with ttlib.Daemon() as daemon:
            process = run([program, ttlib.LIBTTCLIENT, way, folder], daemon.env())
            check_equal(
                (process.returncode, process.stdout, process.stderr), (5, "1 1 1 1\n", ""), way
            )
            check_equal(daemon.sessions(), [], f"{way}: sessions")
            check_equal(os.listdir(folder), [], f"{way}: files")


@case
def fault_A14_needs_little_of_what_a_thread_starts_with():
    """The loader keeps little room for what comes later: 2 KiB could not be had."""
    text = run(["readelf", "-lW", ttlib.LIBTTCLIENT], ttlib.clean_env()).stdout
    (line,) = [line for line in text.splitlines() if line.split()[:1] == ["TLS"]]
    check(int(line.split()[5], 16) <= 64, f"thread-local storage: {line}")


ttlib.main()
