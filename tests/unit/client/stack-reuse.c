/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to have the last stack taken for the one at hand (FAULTS: E04): everything within looks
 * the same, slot by slot and address by address, and yet the stack is another. */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "stack-support.h"

#define NOINLINE __attribute__((noinline))

static volatile int sink;
static uint32_t last;

static NOINLINE void leaf(void) {
    last = support_check(false);
    sink++;
}

/* pivot(frame, function): calls with rbp = frame, and says that its caller is found there.
 * pivot_rbx(frame, function): the same with rbx, for which there is no rule: the engine is asked.
 * shield(function): saves rbp and fills it with a constant.
 * plain(function): neither.
 * spoil(value, function): fills rbp and restores it, rules say so. */
void pivot(void *frame, void (*function)(void));
void pivot_rbx(void *frame, void (*function)(void));
void shield(void (*function)(void));
void plain(void (*function)(void));
void spoil(uint64_t value, void (*function)(void));
void pivot_to_shield(void *frame, void (*function)(void));

__asm__(".text\n"
        ".globl pivot\n.type pivot, @function\n"
        "pivot: .cfi_startproc\n"
        "  push %rbp\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %rbp, 0\n"
        "  mov %rdi, %rbp\n .cfi_def_cfa %rbp, 16\n .cfi_offset %rbp, -16\n .cfi_offset %rip, -8\n"
        "  call *%rsi\n"
        "  pop %rbp\n .cfi_def_cfa %rsp, 8\n .cfi_restore %rbp\n"
        "  ret\n .cfi_endproc\n.size pivot, . - pivot\n"
        ".globl pivot_rbx\n.type pivot_rbx, @function\n"
        "pivot_rbx: .cfi_startproc\n"
        "  push %rbx\n .cfi_adjust_cfa_offset 8\n"
        "  mov %rdi, %rbx\n .cfi_def_cfa %rbx, 16\n .cfi_offset %rip, -8\n .cfi_undefined %rbx\n"
        "  call *%rsi\n"
        "  pop %rbx\n .cfi_def_cfa %rsp, 8\n .cfi_restore %rbx\n"
        "  ret\n .cfi_endproc\n.size pivot_rbx, . - pivot_rbx\n"
        ".globl pivot_to_shield\n.type pivot_to_shield, @function\n"
        "pivot_to_shield: .cfi_startproc\n"
        "  push %rbp\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %rbp, 0\n"
        "  mov %rdi, %rbp\n .cfi_def_cfa %rbp, 16\n .cfi_offset %rbp, -16\n .cfi_offset %rip, -8\n"
        "  mov %rsi, %rdi\n"
        "  call shield\n"
        "  pop %rbp\n .cfi_def_cfa %rsp, 8\n .cfi_restore %rbp\n"
        "  ret\n .cfi_endproc\n.size pivot_to_shield, . - pivot_to_shield\n"
        ".globl shield\n.type shield, @function\n"
        "shield: .cfi_startproc\n"
        "  push %rbp\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %rbp, 0\n"
        "  mov $7, %ebp\n"
        "  call *%rdi\n"
        "  pop %rbp\n .cfi_def_cfa %rsp, 8\n .cfi_restore %rbp\n"
        "  ret\n .cfi_endproc\n.size shield, . - shield\n"
        ".globl plain\n.type plain, @function\n"
        "plain: .cfi_startproc\n"
        "  sub $8, %rsp\n .cfi_adjust_cfa_offset 8\n"
        "  call *%rdi\n"
        "  add $8, %rsp\n .cfi_adjust_cfa_offset -8\n"
        "  ret\n .cfi_endproc\n.size plain, . - plain\n"
        ".globl spoil\n.type spoil, @function\n"
        "spoil: .cfi_startproc\n"
        "  push %rbp\n .cfi_adjust_cfa_offset 8\n .cfi_rel_offset %rbp, 0\n"
        "  mov %rdi, %rbp\n"
        "  call *%rsi\n"
        "  pop %rbp\n .cfi_def_cfa %rsp, 8\n .cfi_restore %rbp\n"
        "  ret\n .cfi_endproc\n.size spoil, . - spoil\n");

static NOINLINE uint64_t here(void) {
    sink++; /* each call is one of its own */
    return (uint64_t)__builtin_return_address(0);
}

static NOINLINE void through_plain(void) {
    plain(leaf);
    sink++;
}
static NOINLINE void through_shield(void) {
    shield(leaf);
    sink++;
}
static NOINLINE void through_plain_shield(void) {
    plain(through_shield);
    sink++;
}

/* A caller that is found by rbp (it asks for its frame's address), with two places in it to have
 * been called from. */
static NOINLINE void attack(void (*call)(void *, void (*)(void))) {
    static void (*const functions[])(void) = {leaf, through_plain, through_shield,
                                              through_plain_shield};
    uint64_t bp = (uint64_t)__builtin_frame_address(0);
    struct {
        uint64_t bp, ip;
    } frames[3] = {{bp, here()}, {bp, here()}, {bp, here()}};

    for (size_t f = 0; f < G_N_ELEMENTS(functions); f++) {
        uint32_t seen[3] = {0};

        /* Other rbp: nothing else differs. */
        for (int round = 0; round < 9; round++) {
            call(&frames[round % 3], functions[f]);
            if (round >= 3)
                g_assert_cmpuint(last, ==, seen[round % 3]);
            seen[round % 3] = last;
        }
        g_assert_cmpuint(seen[0], !=, seen[1]);
        g_assert_cmpuint(seen[1], !=, seen[2]);

        /* The same rbp; what it points to is changed. */
        for (int round = 0; round < 9; round++) {
            uint64_t kept = frames[0].ip;
            frames[0].ip = frames[round % 3].ip;
            call(&frames[0], functions[f]);
            frames[0].ip = kept;
            if (round >= 3)
                g_assert_cmpuint(last, ==, seen[round % 3]);
            seen[round % 3] = last;
        }

        if (call == pivot_rbx)
            continue; /* it has its caller's rbp as it is */

        /* A chain of them, whose middle saved rbp alone is changed. */
        struct {
            uint64_t bp, ip;
        } low = {(uint64_t)&frames[0], frames[2].ip};
        if ((uint64_t)&low < (uint64_t)frames) {
            for (int round = 0; round < 9; round++) {
                low.bp = (uint64_t)&frames[round % 3];
                call(&low, functions[f]);
                if (round >= 3)
                    g_assert_cmpuint(last, ==, seen[round % 3]);
                seen[round % 3] = last;
            }
            g_assert_cmpuint(seen[0], !=, seen[1]);
        }
    }
    sink++;
}

static NOINLINE void attack_deeper(int depth, void (*call)(void *, void (*)(void))) {
    if (depth > 0)
        attack_deeper(depth - 1, call);
    else
        attack(call);
    sink++;
}

static void fault_E04_other_rbp(void) {
    for (int depth = 0; depth < 4; depth++) {
        attack_deeper(depth * 3, pivot);
        attack_deeper(depth * 3, pivot_to_shield);
        attack_deeper(depth * 3, pivot_rbx);
    }
}

/* Two inner parts known on one frame, which is found again by another rbp, while what the first
 * leads to has changed. */
static NOINLINE void attack_earlier(void) {
    uint64_t bp = (uint64_t)__builtin_frame_address(0), here_it_was = here(), elsewhere = here();
    struct {
        uint64_t bp, ip;
    } frames[2] = {{bp, here_it_was}, {bp, here_it_was}};
    uint32_t known[2];

    for (int round = 0; round < 4; round++) {
        frames[0].ip = here_it_was;
        for (int i = 0; i < 4; i++) {
            pivot(&frames[0], i % 2 ? leaf : through_plain);
            if (i >= 2)
                g_assert_cmpuint(last, ==, known[i % 2]);
            known[i % 2] = last;
        }
        pivot(&frames[1], through_plain);
        g_assert_cmpuint(last, ==, known[0]);
        frames[0].ip = elsewhere;
        pivot(&frames[0], leaf);
        g_assert_cmpuint(last, !=, known[1]);
    }
    sink++;
}

static void fault_E04_earlier_stack_on_another_rbp(void) {
    for (volatile int round = 0; round < 3; round++)
        attack_earlier();
}

/* Numbers in rbp cost nothing: nothing out there depends on them. */
static NOINLINE void spoil_leaf(void) {
    last = support_hook();
    sink++;
}

static void numbers_in_rbp_do_not_matter(void) {
    uint32_t first = 0;

    /* volatile: one call, not a first round of its own */
    for (volatile uint64_t value = 0; value < 1000; value++) {
        spoil(value * 0x123456789, spoil_leaf);
        if (value == 0)
            first = last;
        g_assert_cmpuint(last, ==, first);
        g_assert_cmpuint(support_thread()->stack.frame_count, >, 4);
    }
    spoil(77, leaf);
}

/* What a returned call left behind is never read as if it stood. */
static NOINLINE void leave_behind(int depth) {
    volatile uint64_t room[8];

    room[depth % 8] = 1;
    if (depth > 0)
        leave_behind(depth - 1);
    else
        leaf();
    sink += (int)room[depth % 8];
}

static NOINLINE void skip_over(int bytes) {
    volatile char *room = __builtin_alloca((size_t)bytes); /* not written: what lies there stays */

    leaf();
    sink += room == NULL;
}

static void fault_E04_stale_return_addresses(void) {
    for (int round = 0; round < 40; round++) {
        leave_behind(10 + round % 5);
        skip_over(16 + round * 32);
        leave_behind(round % 3);
        skip_over(700);
    }
}

/* A thread that gets the stack and the cache of one that has ended. */
static TtThread *handed_on;

static void *thread_main(void *data) {
    support_adopt_thread(handed_on);
    leave_behind(GPOINTER_TO_INT(data));
    skip_over(GPOINTER_TO_INT(data) * 64 + 16);
    leave_behind(3);
    handed_on = support_thread();
    return NULL;
}

static void *other_main(void *data) {
    support_adopt_thread(handed_on);
    skip_over(GPOINTER_TO_INT(data) * 64 + 16);
    leave_behind(GPOINTER_TO_INT(data) + 1);
    return NULL;
}

static void fault_E04_stack_of_a_thread_that_ended(void) {
    for (int round = 0; round < 50; round++) {
        pthread_attr_t attr;
        pthread_t thread;

        pthread_attr_init(&attr);
        /* Of another size now and then: the same memory in part. */
        pthread_attr_setstacksize(&attr, round % 4 == 0 ? 1 << 20 : 65536);
        g_assert_cmpint(pthread_create(&thread, &attr, round % 2 ? thread_main : other_main,
                                       GINT_TO_POINTER(round % 6)),
                        ==, 0);
        pthread_join(thread, NULL);
    }
}

static void a_full_lane_drops_and_recovers(void) {
    TtThread *thread = support_thread();
    uint8_t *limit = thread->limit;

    leaf();
    thread->limit = thread->at; /* no room: a known stack still has its id */
    support_lane_is_full = true;
    uint32_t known = 0;
    for (int i = 0; i < 2; i++) {
        known = support_hook();
        if (i == 0)
            g_assert_cmpuint(known, ==, TT_STACK_ROOT);
        support_lane_is_full = false;
        thread->limit = limit;
    }
    g_assert_cmpuint(known, >=, TT_STACK_FIRST);
    leaf();
}

static void ids_begin_anew_in_a_session(void) {
    TtThread *thread = support_thread();
    Chain chain;

    leaf();
    support_restart();
    /* The thread is still in a hook of the session before. */
    g_assert_cmpuint(support_hook(), ==, TT_STACK_ROOT);
    memset(&thread->stack, 0, sizeof thread->stack);
    uint32_t id = support_hook();
    support_chain(id, &chain);
    g_assert_cmpuint(id, ==, TT_STACK_FIRST + chain.count - 1);
    leaf();
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    g_test_add_func("/stack/fault_E04_other_rbp", fault_E04_other_rbp);
    g_test_add_func("/stack/fault_E04_earlier_stack_on_another_rbp",
                    fault_E04_earlier_stack_on_another_rbp);
    g_test_add_func("/stack/fault_E04_stale_return_addresses", fault_E04_stale_return_addresses);
    g_test_add_func("/stack/fault_E04_stack_of_a_thread_that_ended",
                    fault_E04_stack_of_a_thread_that_ended);
    g_test_add_func("/stack/numbers_in_rbp_do_not_matter", numbers_in_rbp_do_not_matter);
    g_test_add_func("/stack/a_full_lane_drops_and_recovers", a_full_lane_drops_and_recovers);
    g_test_add_func("/stack/ids_begin_anew_in_a_session", ids_begin_anew_in_a_session);
    return g_test_run();
}
