#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section C: what a forked child inherits of its parent."""

import json
import subprocess
import sys

import ttlib
from ttlib import case, check, check_equal


def run_family(daemon, program, *words, env=None, seconds=ttlib.SECONDS):
    """Runs a program that forks. Returns what it wrote, by the pid that heads each line, and the
    sessions by pid, all ended."""
    process = subprocess.run(
        [program, *map(str, words)],
        env=daemon.preload_env({"TT_LOSSLESS": 1, **(env or {})}),
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds,
    )
    check_equal(process.returncode, 0, "the program")
    lines = {}
    for line in process.stdout.splitlines():
        pid, *values = line.split()
        lines.setdefault(int(pid), []).extend(values)
    ttlib.wait_for(
        lambda: all(card["state"] != "running" for card in daemon.sessions()),
        "all have ended",
        seconds,
    )
    return lines, {card["pid"]: card for card in daemon.sessions()}


def inherited_of(export):
    """What it began with, by address."""
    blocks = export["active_allocations"] + export["freed_allocations"]
    return {block["address"]: block for block in blocks if block["inherited"]}


def check_child(export, parent):
    ttlib.check_books(export)
    blocks = inherited_of(export)
    check_equal(len(blocks), export["inherited_blocks"], "inherited blocks")
    check_equal(sum(b["size"] for b in blocks.values()), export["inherited_bytes"], "their bytes")
    check_equal(export["process"]["parent_session"], parent["id"], "whose child it is")
    return blocks


# ---- C01 ----

CHURN = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define SLOTS 64

static struct { void *volatile ptr; volatile size_t size; } table[THREADS][SLOTS];
static volatile int is_over;
static pthread_barrier_t all_are_known; /* a thread before its first call is in none */

static void *churn(void *number) {
    unsigned lot = 12345u + (unsigned)(size_t)number;

    free(malloc(1));
    pthread_barrier_wait(&all_are_known);
    while (!is_over) {
        for (int k = 0; k < 20; k++) {
            unsigned i = (lot = lot * 1103515245u + 12345u) >> 16 & (SLOTS - 1);
            void *old = table[(size_t)number][i].ptr;
            table[(size_t)number][i].ptr = NULL;
            free(old);
            size_t size = 16 + (lot >> 8) % 3000;
            void *ptr = malloc(size);
            table[(size_t)number][i].size = size;
            table[(size_t)number][i].ptr = ptr;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return NULL;
}

/* No allocation: the heap is to stay as it was at the fork. */
static void tell(void) {
    static char text[1 << 16];
    int len = snprintf(text, sizeof text, "%d", (int)getpid());

    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < SLOTS; i++)
            if (table[t][i].ptr)
                len += snprintf(text + len, sizeof text - len, " %p:%zu", table[t][i].ptr,
                                table[t][i].size);
    text[len++] = '\n';
    write(1, text, len);
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    int ends[2], turn[2]; /* a line is longer than a pipe takes at once: one child tells at a time */
    char byte;

    pipe(ends);
    pipe(turn);
    write(turn[1], "x", 1);
    pthread_barrier_init(&all_are_known, NULL, THREADS + 1);
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, (void *)i);
    pthread_barrier_wait(&all_are_known);
    for (int i = 0; i < atoi(argv[1]); i++) {
        pid_t child = fork();
        if (child == 0) {
            read(turn[0], &byte, 1);
            tell();
            write(turn[1], &byte, 1);
            malloc(77777);
            close(ends[1]);
            read(ends[0], &byte, 1);
            _exit(0);
        }
    }
    is_over = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* All live up to here: of many that have ended the daemon may give up the first. */
    close(ends[1]);
    while (wait(NULL) > 0)
        ;
    return 0;
}
"""


def check_churn(count):
    program = ttlib.compile_c(CHURN, "-w", "-O1", "-pthread")
    with ttlib.Daemon() as daemon:
        lines, cards = run_family(daemon, program, count)
        parent = next(card for pid, card in cards.items() if pid not in lines)
        check_equal(len(lines), count, "children")
        most = 0
        for pid, values in lines.items():
            export = daemon.export(cards[pid]["id"])
            blocks = check_child(export, parent)
            mine = {f"{b['address']}:{b['size']}" for b in blocks.values()}
            theirs = set(values)
            # The program has blocks of its own, of threads and of stdio: more is no fault here. One
            # that was told at the fork and is missing was in a call.
            missing = theirs - mine
            # What was freed just before may be there still: then its size is one of the table's.
            gone = [b for b in blocks.values() if is_of_churn(export, b)]
            surplus = {f"{b['address']}:{b['size']}" for b in gone} - theirs
            check(len(missing) <= 8 and len(surplus) <= 8, f"missing {missing}, gone {surplus}")
            most = max(most, len(missing) + len(surplus))
            check_equal(export["completeness"]["exact"], False, "threads were in a call")
            check_equal(export["completeness"]["unknown_frees"], 0, "unknown frees")
        print(f"# {count} forks, {most} blocks at most in a call")


def is_of_churn(export, block):
    return "churn" in ttlib.functions_of(export, block["stack"])


@case
def fault_C01_fork_while_threads_allocate():
    check_churn(12)


# In front of the C library's: a call for 40001 bytes has its block, and does not return until told.
HESITANT = r"""
#include <stdatomic.h>
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern atomic_int *stage __attribute__((weak));

void *malloc(size_t size) {
    void *block = __libc_malloc(size);

    if (size == 40001 && &stage != NULL) {
        atomic_store(stage, 1);
        while (atomic_load(stage) == 1)
            ;
    }
    return block;
}
"""

FIRST_CALL = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int its_stage;
atomic_int *stage = &its_stage;
static pid_t tid;

static void *call(void *unused) {
    tid = gettid();
    return malloc(40001);
}

static void fork_and_wait(const char *word) {
    pid_t child = fork();

    if (child == 0) {
        dprintf(1, "%d %s\n", (int)getpid(), word);
        malloc(77777);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(void) {
    pthread_t thread;

    malloc(40000);
    pthread_create(&thread, NULL, call, NULL);
    while (atomic_load(stage) != 1)
        ;
    fork_and_wait("within");
    atomic_store(stage, 2);
    pthread_join(thread, NULL);
    while (tgkill(getpid(), tid, 0) == 0)
        ; /* joined before it is gone */
    fork_and_wait("after");
    return 0;
}
"""


@case
def fault_C01_fork_while_a_thread_is_in_its_first_call():
    """It is known to nobody yet, and has a block that the child has too."""
    allocator = ttlib.compile_c(HESITANT, "-shared", "-fPIC", "-w", name="hesitant.so")
    program = ttlib.compile_c(FIRST_CALL, "-w", "-pthread", "-rdynamic")
    env = {"LD_PRELOAD": f"{ttlib.LIBTTCLIENT}:{allocator}"}
    with ttlib.Daemon() as daemon:
        lines, cards = run_family(daemon, program, env=env)
        (parent,) = (card for pid, card in cards.items() if pid not in lines)
        exports = {word: daemon.export(cards[pid]["id"]) for pid, (word,) in lines.items()}
        for word, ours in (("within", [40000]), ("after", [40000, 40001])):
            blocks = check_child(exports[word], parent)
            sizes = sorted(b["size"] for b in blocks.values() if 40000 <= b["size"] < 41000)
            check_equal(sizes, ours, f"{word}: what it inherited")
        completeness = exports["within"]["completeness"]
        check_equal(completeness["exact"], False, "a block is missing")
        doubts = " ".join(completeness["doubts"])
        check("Other threads" in doubts, f"what is missing is declared: {doubts}")
        ttlib.check_exact(exports["after"])


# ---- C02 ----

LATE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 1000

static void *blocks[BLOCKS];

int main(int argc, char **argv) {
    static char text[1 << 16];
    int len, ends[2];
    char byte;

    pipe(ends);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(100 + i);
    pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        read(ends[0], &byte, 1); /* until the parent is done, or no more */
        free(blocks[0]); /* its first call */
        blocks[1] = realloc(blocks[1], 5000);
        if (fork() == 0) {
            free(blocks[2]);
            free(blocks[1]);
            malloc(88888);
            _exit(0);
        }
        wait(NULL);
        malloc(77777);
        _exit(0);
    }
    len = snprintf(text, sizeof text, "%d", (int)child);
    for (int i = 0; i < BLOCKS; i++)
        len += snprintf(text + len, sizeof text - len, " %p:%d", blocks[i], 100 + i);
    text[len++] = '\n';
    write(1, text, len);
    for (int i = 0; i < BLOCKS; i += 2)
        free(blocks[i]);
    for (int i = 0; i < 20000; i++)
        free(malloc(100 + i % 1000));
    for (int i = 0; i < BLOCKS; i += 2)
        blocks[i] = malloc(7);
    if (argc > 1)
        _exit(0); /* the child goes on without a parent */
    write(ends[1], "x", 1);
    wait(NULL);
    return 0;
}
"""


@case
def fault_C02_child_allocates_long_after_the_fork():
    program = ttlib.compile_c(LATE, "-w", "-O1")
    for words in ((), ("orphan",)):
        # The history does not go back as far: it is the fork's own point that tells.
        with ttlib.Daemon("--history=100") as daemon:
            lines, cards = run_family(daemon, program, *words)
            ((child, values),) = lines.items()
            orphan = cards[child]
            export = daemon.export(orphan["id"])
            ids = {card["id"] for card in cards.values()}
            parent = {"id": export["process"]["parent_session"]}
            check(parent["id"] in ids, "its parent is one of the sessions")
            blocks = check_child(export, parent)
            ttlib.check_exact(export)
            ttlib.check_schema(export)
            table = {f"{b['address']}:{b['size']}" for b in blocks.values() if is_of_main(export, b)}
            check_equal(table, set(values), "the blocks as of the fork")
            freed = [b["size"] for b in blocks.values() if b["died_ns"] is not None]
            check_equal(freed, [100, 101], "what it freed and resized of that")
            (resized,) = (b for b in export["active_allocations"] if b["resized_from"])
            old = next(b for b in blocks.values() if b["id"] == resized["resized_from"])
            check_equal((resized["size"], old["size"]), (5000, 101), "a realloc of what it inherited")
            check_equal(export["cumulative_allocations"], 2, "allocations")

            # The child's child has what the child inherited and what it made.
            (grand,) = (c for c in cards.values() if c["id"] not in (parent["id"], orphan["id"]))
            export = daemon.export(grand["id"])
            blocks = check_child(export, orphan)
            ttlib.check_exact(export)
            sizes = sorted(b["size"] for b in blocks.values() if is_of_main(export, b))
            check_equal(sizes, sorted([100 + i for i in range(2, 1000)] + [5000]), "of two parents")
            check_equal((export["cumulative_frees"], export["cumulative_allocations"]), (2, 1))


def is_of_main(export, block):
    return "main" in ttlib.functions_of(export, block["stack"])


# Two forks in a row: the first child has called nothing yet when it makes the second.
IN_A_ROW = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *blocks[100];

int main(void) {
    for (int i = 0; i < 100; i++)
        blocks[i] = malloc(100 + i);
    if (fork() == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            free(blocks[0]);
            _exit(0);
        }
        dprintf(1, "%d %d\n", (int)getpid(), (int)grandchild);
        waitpid(grandchild, NULL, 0);
        malloc(77777);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
"""


@case
def fault_C02_child_forks_before_its_first_call():
    program = ttlib.compile_c(IN_A_ROW, "-w", "-O1")
    with ttlib.Daemon() as daemon:
        lines, cards = run_family(daemon, program)
        ((child, (grandchild,)),) = lines.items()
        check_equal(len(cards), 3, "sessions")
        (first,) = (card for pid, card in cards.items() if pid not in (child, int(grandchild)))
        for pid, parent in ((child, first), (int(grandchild), cards[child])):
            export = daemon.export(cards[pid]["id"])
            blocks = check_child(export, parent)
            ttlib.check_exact(export)
            sizes = sorted(b["size"] for b in blocks.values() if is_of_main(export, b))
            check_equal(sizes, [100 + i for i in range(100)], "what both inherit")
            children = [r["pid"] for r in export["process"]["related"] if r["relation"] == "child"]
            check_equal(children, [int(grandchild)] if pid == child else [], "children")


# ---- L11 ----

SCOPES = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <ttclient.h>
#include <unistd.h>

static const char *child_word;
static int ends[2];

static void work(void) {
    char byte;

    dprintf(1, "%d %s\n", (int)getpid(), child_word);
    if (child_word[0] == 'l') { /* late: the parent has gone elsewhere by then */
        close(ends[1]);
        read(ends[0], &byte, 1);
    }
    malloc(41001);
    {
        TT_SCOPE("inner");
        malloc(41002);
    }
    malloc(41003);
}

static void request(pid_t (*split)(void), const char *word, const char *word_of_second) {
    TT_SCOPE("outer");
    {
        TT_SCOPE("parse");
        if (split() == 0) {
            child_word = word;
            if (word_of_second != NULL && split() == 0)
                child_word = word_of_second; /* of a child that has called nothing yet */
            work();
        }
    }
    if (child_word != NULL)
        malloc(41004);
}

static void run(pid_t (*split)(void), const char *word, const char *word_of_second) {
    request(split, word, word_of_second);
    if (child_word == NULL)
        return;
    malloc(41005);
    while (wait(NULL) > 0)
        ;
    _exit(0);
}

int main(void) {
    pipe(ends);
    run(fork, "late", NULL);
    run(fork, "first", "second");
    run(_Fork, "oddly", NULL);
    {
        TT_SCOPE("elsewhere");
        malloc(41006);
        close(ends[1]);
        while (wait(NULL) > 0)
            ;
    }
    return 0;
}
"""


@case
def fault_L11_child_goes_on_in_the_scopes_it_was_forked_in():
    """And leaves them, one after the other. Of one that fork() did not make their names are not known."""
    flags = "-w", "-O1", f"-I{ttlib.SOURCE / 'client'}", str(ttlib.LIBTTCLIENT)
    program = ttlib.compile_c(SCOPES, *flags)
    for options in ((), ("--history=0",)):
        with ttlib.Daemon(*options) as daemon:
            lines, cards = run_family(daemon, program)
            check_equal(len(cards), 5, "sessions")
            for pid, (word,) in lines.items():
                export = daemon.export(cards[pid]["id"])
                ttlib.check_books(export)
                blocks = export["active_allocations"]
                scopes = {b["size"]: b["scope"] for b in blocks if 41000 < b["size"] < 42000}
                outer, parse = ("(lost)", "(lost)") if word == "oddly" else ("outer", "parse")
                both = f"{outer}/{parse}"
                want = {41001: both, 41002: f"{both}/inner", 41003: both, 41004: outer, 41005: None}
                check_equal(scopes, want, word)
                entered = {row["scope"]: row["entered"] for row in export["scopes"]}
                check_equal(entered, {outer: 0, both: 0, f"{both}/inner": 1}, f"{word}: entered")


# ---- C05 ----

ODDLY = r"""
#define _GNU_SOURCE
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <signal.h>

static void *block;

static void be_child(const char *word) {
    char text[64];
    int len = snprintf(text, sizeof text, "%d %s\n", (int)syscall(SYS_getpid), word);

    write(1, text, len);
    free(block);
    malloc(77777);
    _exit(0);
}

__attribute__((constructor)) static void begin(void) {
    block = malloc(40001);
    pid_t child = fork();
    if (child == 0)
        be_child("constructor");
    waitpid(child, NULL, 0);
}

static int idle(void *unused) { return 0; }

int main(void) {
    static char stack[65536];
    pid_t child = _Fork();
    if (child == 0)
        be_child("_Fork");
    waitpid(child, NULL, 0);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        be_child("clone");
    waitpid(child, NULL, 0);
    struct clone_args how = {.exit_signal = SIGCHLD};
    child = (pid_t)syscall(SYS_clone3, &how, sizeof how);
    if (child == 0)
        be_child("clone3");
    waitpid(child, NULL, 0);
    child = clone(idle, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    waitpid(child, NULL, 0);
    free(block);
    malloc(50000);
    return 0;
}
"""


@case
def fault_C05_children_of_other_calls():
    program = ttlib.compile_c(ODDLY, "-w")
    with ttlib.Daemon() as daemon:
        lines, cards = run_family(daemon, program)
        check_equal(len(cards), 5, "sessions: four children, none of the task that shares memory")
        check_equal(len(lines), 4, "children")
        (parent,) = (card for pid, card in cards.items() if pid not in lines)
        ttlib.check_exact(daemon.export(parent["id"]))
        for pid, (word,) in lines.items():
            export = daemon.export(cards[pid]["id"])
            blocks = check_child(export, parent)
            sizes = [b["size"] for b in blocks.values() if b["died_ns"] is not None]
            check_equal(sizes, [40001], f"{word}: what it inherited and freed")
            completeness = export["completeness"]
            check_equal(completeness["unknown_frees"], 0, word)
            is_told = word == "constructor"
            check_equal(completeness["exact"], is_told, f"{word}: {completeness['doubts']}")
            if not is_told:
                check("fork()" in completeness["doubts"][0], f"declared: {completeness['doubts']}")


HANDLERS = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_within; /* a fork of the handlers' own */

static void be_child(const char *word, void *block) {
    char text[64];
    int len = snprintf(text, sizeof text, "%d %s\n", (int)getpid(), word);

    write(1, text, len);
    free(block);
    malloc(77777);
    _exit(0);
}

static void fork_within(const char *word, size_t size) {
    void *block = malloc(size);

    is_within = 1;
    pid_t child = fork();
    if (child == 0)
        be_child(word, block);
    is_within = 0;
    waitpid(child, NULL, 0);
}

static void prepare(void) {
    if (!is_within)
        fork_within("prepare", 41001);
}
static void parent(void) {
    if (!is_within)
        fork_within("parent", 41002);
}
static void child(void) {
    if (!is_within)
        fork_within("child", 41003);
}

/* As the last, but the child has not allocated before it forks. */
static void child_at_once(void) {
    if (is_within)
        return;
    is_within = 1;
    pid_t pid = fork();
    if (pid == 0)
        be_child("at_once", NULL);
    is_within = 0;
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv) {
    void *block = malloc(40001);

    pthread_atfork(NULL, NULL, child_at_once);
    pthread_atfork(prepare, parent, child);
    pid_t pid = fork();
    if (pid == 0)
        be_child("main", block);
    waitpid(pid, NULL, 0);
    free(block);
    return 0;
}
"""


@case
def fault_C05_fork_within_handlers_of_fork():
    """Each child has what lived at its own fork, and is the child of who forked it."""
    program = ttlib.compile_c(HANDLERS, "-w")
    with ttlib.Daemon() as daemon:
        lines, cards = run_family(daemon, program)
        (top,) = (card for pid, card in cards.items() if pid not in lines)
        by_word = {word: cards[pid] for pid, (word,) in lines.items()}
        want = {  # what it inherits of ours, and of that freed
            "prepare": (top, [40001, 41001], [41001]),
            "parent": (top, [40001, 41001, 41002], [41002]),
            "main": (top, [40001, 41001], [40001]),
            "child": (by_word["main"], [40001, 41001, 41003], [41003]),
            "at_once": (by_word["main"], [40001, 41001], []),
        }
        check_equal(sorted(by_word), sorted(want), "children")
        for word, (parent, inherited, freed) in want.items():
            export = daemon.export(by_word[word]["id"])
            blocks = check_child(export, parent)
            sizes = sorted(b["size"] for b in blocks.values() if 40000 < b["size"] < 42000)
            check_equal(sizes, inherited, f"{word}: what it inherited")
            died = [b["size"] for b in blocks.values() if b["died_ns"] is not None]
            check_equal(died, freed, f"{word}: what it freed of that")
            ttlib.check_exact(export)
        ttlib.check_exact(daemon.export(top["id"]))


# ---- C17 ----

AT_ONCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 20000
#define CHILDREN 40

static void *blocks[BLOCKS];

int main(void) {
    int ends[2];
    char byte;

    pipe(ends);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(24);
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        if (child == 0) {
            close(ends[1]);
            read(ends[0], &byte, 1); /* until all are there */
            free(blocks[i]);
            _exit(0);
        }
        dprintf(1, "%d\n", (int)child);
    }
    close(ends[1]);
    while (wait(NULL) > 0)
        ;
    return 0;
}
"""


@case
def fault_C17_children_at_once_have_each_block():
    """There is room for what a few inherit, and each gives it to the next when it has ended."""
    program = ttlib.compile_c(AT_ONCE, "-w", "-O1")
    with ttlib.Daemon("--memory-limit=16M") as daemon:
        lines, cards = run_family(daemon, program)
        ended = [card for pid, card in cards.items() if pid in lines]
        print(f"# {len(ended)} of {len(lines)} children are kept")
        check(ended, "some are kept")
        for card in ended[:4]:
            export = daemon.export(card["id"])
            blocks = inherited_of(export)
            check(export["inherited_blocks"] >= 20000, "inherited")
            check_equal(len(blocks), export["inherited_blocks"], "inherited blocks that are listed")
            ttlib.check_books(export)


# ---- Recordings ----


@case
def recordings_hold_what_was_inherited():
    program = ttlib.compile_c(LATE, "-w", "-O1")
    folder = ttlib.temp_dir()
    (folder / "s").mkdir(mode=0o700)
    ran = ttlib.ctl(
        "run", f"--record={folder / 'r'}", f"--json={folder}/%p.json", "--", program,
        env=ttlib.clean_env({"TT_SOCKET_DIR": folder / "s"}),
    )  # fmt: skip
    check_equal(ran.returncode, 0, ran.stderr)
    exports = [ttlib.read_json(path) for path in folder.glob("*.json")]
    check_equal(len(exports), 3, "sessions")
    for live in exports:
        session = live["process"]["session"]
        told = ttlib.ctl("export", session, "--json", f"--from={folder / 'r'}")
        check_equal(told.returncode, 0, told.stderr)
        again = json.loads(told.stdout)
        ttlib.check_books(again)
        for key in live:
            if key not in ("timestamp", "generator", "process"):
                check_equal(again[key], live[key], f"{key} of {session}, told again")
    check_equal(sum(export["inherited_blocks"] > 0 for export in exports), 2, "heirs")


# ---- Programs not written here ----


@case
def perl_that_forks_frees_nothing_unknown():
    ttlib.need("perl")
    text = """
        my @a = map { "x$_" x 10 } 1 .. 50;
        for (1 .. 3) {
            my $pid = fork();
            if (!$pid) { my @b = map { $_ } @a; @a = (); exit 0; }
            waitpid($pid, 0);
        }
    """
    with ttlib.Daemon() as daemon:
        _, cards = run_family(daemon, "/usr/bin/perl", "-e", text, env={"PERL_DESTRUCT_LEVEL": 2})
        check_equal(len(cards), 4, "sessions")
        heirs = 0
        for card in cards.values():
            export = daemon.export(card["id"])
            ttlib.check_books(export)
            ttlib.check_exact(export)
            heirs += export["inherited_blocks"] > 500
        check_equal(heirs, 3, "children that inherited")


@case
def shell_pipelines_are_exact():
    with ttlib.Daemon() as daemon:
        run_family(daemon, "/bin/sh", "-c", "echo a | (read x; echo 1 $x | cat) | cat; (y=1$y); :")
        for card in daemon.sessions():
            export = daemon.export(card["id"])
            ttlib.check_books(export)
            ttlib.check_exact(export)


# ---- The long ones ----

LARGE = r"""
#include <stdlib.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long count = atol(argv[1]);
    void **blocks = malloc(count * sizeof *blocks);

    for (long i = 0; i < count; i++)
        blocks[i] = malloc(24);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (long k = 0; k < 1000; k++)
                free(blocks[k]);
            malloc(77777);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    return 0;
}
"""


TOLD = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    void *block = malloc(500);

    printf("%d %p\n", getpid(), block);
    fflush(stdout);
    if (fork() == 0) {
        free(block);
        printf("%d %p\n", getpid(), malloc(600));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
"""


@case
def inherited_blocks_are_told_as_such_by_who():
    """By the parent's name for it a block was born, by the child's it was inherited."""
    program = ttlib.compile_c(TOLD, "-w")
    with ttlib.Daemon() as daemon:
        result = ttlib.run([program], daemon.preload_env({"TT_LOSSLESS": 1}))
        (parent, block), (child, other) = map(str.split, result.stdout.splitlines())
        daemon.wait_for_state(int(child), "exited", "ended")
        lives = {
            (pid, addr): daemon.ctl("who", pid, addr).stdout
            for pid, addr in ((parent, block), (child, block), (child, other))
        }
    check("  born       0." in lives[parent, block], lives)
    check("  born       0." in lives[child, other], lives)
    told = lives[child, block].split("500 bytes")[1]
    check("  inherited  born 0." in told, told)
    check(f" before this session, thread {parent} " in told and "  died       0." in told, told)


if "nightly" in sys.argv[1:]:

    @case
    def fault_C01_nightly_a_hundred_forks():
        for _ in range(5):
            check_churn(20)

    @case
    def fault_C17_nightly_forks_of_a_large_process():
        program = ttlib.compile_c(LARGE, "-w", "-O1")
        limit = 512 << 20
        with ttlib.Daemon(f"--memory-limit={limit}") as daemon:
            _, cards = run_family(daemon, program, 2_000_000, seconds=900)
            with open(f"/proc/{daemon.pid}/status") as status:
                (peak,) = (int(s.split()[1]) << 10 for s in status if s.startswith("VmHWM"))
            print(f"# {len(cards)} sessions are kept, {peak >> 20} MiB at most")
            # Its own code and threads are not in the limit.
            check(peak < limit + (32 << 20), f"{peak} bytes of the daemon's")
            for card in cards.values():
                check(card["live_blocks"] > 1_900_000, f"sums of {card}")


ttlib.main()
