/* SPDX-License-Identifier: Apache-2.0 */
/* Holds the figures at the head of client/stack.c: instructions of one capture, counted by
 * stepping through it (the trap flag), which needs no counter of the processor's. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "stack-support.h"

typedef enum Way {
    SAME,    /* the last stack again */
    SIBLING, /* two other innermost frames, as before the last stack */
    OUTER,   /* another outermost frame: all else as it was */
    ANEW,    /* nothing to reuse */
} Way;

static volatile uint64_t count, after, inside;

static void note_step(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t ip = (uint64_t)registers[REG_RIP];

    (void)number, (void)info;
    if (ip == (uint64_t)tt_stack_capture) {
        inside = 1;
        after = *(uint64_t *)registers[REG_RSP];
        count = 0;
    }
    if (inside && ip == after)
        inside = 0;
    count += inside;
}

static inline void set_trap_flag(bool is_set) {
    /* Past the red zone. */
    if (is_set)
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
                         "lea 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
    else
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;"
                         "lea 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
}

static __attribute__((noinline)) uint32_t call_a(void) { return support_hook() + 1; }
static __attribute__((noinline)) uint32_t call_b(void) { return support_hook() + 2; }

static volatile int sink;

static __attribute__((noinline)) uint32_t descend(unsigned depth, bool is_other) {
    uint32_t id;

    if (depth > 0)
        id = descend(depth - 1, is_other) + 1;
    else
        id = is_other ? call_b() : call_a();
    sink++; /* no loop instead of the calls */
    return id;
}

static __attribute__((noinline)) uint32_t through_a(unsigned depth, bool is_other) {
    return descend(depth, is_other) + 1;
}
static __attribute__((noinline)) uint32_t through_b(unsigned depth, bool is_other) {
    return descend(depth, is_other) + 2;
}

/* Instructions of one capture at @depth frames in all, everything being known. */
static uint64_t cost(Way way, unsigned depth) {
    static unsigned outer;
    static Chain chain;

    support_thread()->stack.frame_count = 0;
    memset(support_thread()->stack.branches, 0, sizeof support_thread()->stack.branches);
    /* Each other round captures the other stack and then the one that counts, from one call. */
    for (unsigned i = 0; i < 8; i++) {
        bool is_last = i == 7, is_other = way != SAME && i % 2 == 0;
        unsigned inner = outer == 0 ? 0 : depth - outer;

        if (way == ANEW)
            support_thread()->stack.frame_count = 0;
        set_trap_flag(is_last);
        uint32_t id =
            (way == OUTER && is_other ? through_b : through_a)(inner, way == SIBLING && is_other);
        set_trap_flag(false);
        if (outer == 0) {
            support_chain(id - 2, &chain);
            outer = (unsigned)chain.count;
        }
        if (is_last) {
            support_chain(id - 2 - inner, &chain);
            g_assert_cmpuint(chain.count, ==, depth);
            g_assert_cmpuint(chain.root, ==, TT_STACK_ROOT);
        }
    }
    return count;
}

/* System calls of a child that captures so deep a stack, each rule being new; -1: not allowed. */
static int count_system_calls(unsigned depth) {
    int stops = 0;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        if (depth > 0)
            through_a(depth, false);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (!WIFSTOPPED(status))
        return -1;
    while (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid &&
           WIFSTOPPED(status))
        stops++;
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return stops / 2;
}

/* They are dear, most of all in a virtual machine. Two block signals and let them be, for each
 * rule; the rest asks for pages, those of an object's tables once: there are four objects. */
static void a_rule_costs_few_system_calls(void) {
    int without = count_system_calls(0), with = count_system_calls(2);
    Chain chain;

    if (without < 0) {
        g_test_skip("ptrace is not allowed here");
        return;
    }
    support_chain(through_a(2, false) - 4, &chain);
    g_test_message("%d system calls for %u rules", with - without, (unsigned)chain.count);
    g_assert_cmpuint(chain.count, >=, 8);
    g_assert_cmpint(with - without, <=, 8 * (int)chain.count);
}

static void capture_costs_what_it_says(void) {
    static const unsigned depths[] = {16, 40, 100};
    struct sigaction action = {.sa_sigaction = note_step, .sa_flags = SA_SIGINFO};

    sigaction(SIGTRAP, &action, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(depths); i++) {
        uint64_t depth = depths[i], same = cost(SAME, depths[i]),
                 sibling = cost(SIBLING, depths[i]), outer = cost(OUTER, depths[i]),
                 anew = cost(ANEW, depths[i]);

        g_test_message(
            "depth %3u: same %4u, two other innermost %4u, other outermost %5u, anew %5u",
            depths[i], (unsigned)same, (unsigned)sibling, (unsigned)outer, (unsigned)anew);
        g_assert_cmpuint(same, <=, 40 + depth * 9 / 2);
        g_assert_cmpuint(sibling, <=, 150 + depth * 9 / 2);
        g_assert_cmpuint(outer, <=, 400 + depth * 170);
        g_assert_cmpuint(anew, <=, 400 + depth * 170);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    g_test_add_func("/stack/a_rule_costs_few_system_calls", a_rule_costs_few_system_calls);
    g_test_add_func("/stack/capture_costs_what_it_says", capture_costs_what_it_says);
    return g_test_run();
}
