/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of stacks, made by threads that come for the same ones at the same moment: all must find
 * one id, told to the daemon as what it is. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "client/intern.h"
#include "stack-support.h"

#define THREADS 4
#define ROUNDS 400u
#define CALLEES 24u /* of each frame of a round */
#define DEPTH 3u
#define KEYS (ROUNDS * CALLEES)

static _Atomic unsigned arrived; /* a barrier that all leave within some nanoseconds */
static uint32_t found[THREADS][ROUNDS][CALLEES][DEPTH];
static guint32 seed;

/* Without a module: the upper 16 bits are 0. Below 2^47, and never 0. */
static uint64_t key_of(unsigned round, unsigned callee, unsigned depth) {
    return ((uint64_t)round * CALLEES + callee) * 64 + depth + 1;
}

static void *meet(void *data) {
    unsigned self = GPOINTER_TO_UINT(data);
    TtThread *thread = support_thread();
    TtNodes *nodes = tt_intern_nodes();
    g_autoptr(GRand) random = g_rand_new_with_seed(seed + self);

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t outer = round == 0 ? TT_STACK_ROOT : found[self][round - 1][round % CALLEES][0];
        unsigned start = g_rand_int(random) % CALLEES;

        atomic_fetch_add(&arrived, 1);
        while (atomic_load(&arrived) < (round + 1) * THREADS)
            sched_yield();
        for (unsigned i = 0; i < CALLEES; i++) {
            unsigned callee = (start + i) % CALLEES;
            uint32_t id = outer;

            for (unsigned depth = 0; depth < DEPTH; depth++) {
                id = tt_intern_get(thread, nodes, id, key_of(round, callee, depth));
                found[self][round][callee][depth] = id;
            }
        }
    }
    return NULL;
}

static void check_chain(unsigned round, unsigned callee) {
    static Chain chain;

    support_chain(found[0][round][callee][DEPTH - 1], &chain);
    g_assert_cmpuint(chain.root, ==, TT_STACK_ROOT);
    g_assert_cmpuint(chain.count, ==, DEPTH + round);
    for (unsigned depth = 0; depth < DEPTH; depth++)
        g_assert_cmpuint(chain.ips[DEPTH - 1 - depth], ==, key_of(round, callee, depth));
    for (unsigned before = 0; before < round; before++)
        g_assert_cmpuint(chain.ips[DEPTH + before], ==,
                         key_of(round - 1 - before, (round - before) % CALLEES, 0));
}

static void threads_find_one_id(void) {
    pthread_t threads[THREADS];

    seed = g_test_rand_int_range(0, G_MAXINT32);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, meet, GUINT_TO_POINTER(i));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    for (unsigned i = 1; i < THREADS; i++)
        g_assert_cmpmem(found[0], sizeof found[0], found[i], sizeof found[i]);
    for (unsigned round = 0; round < ROUNDS; round += 7)
        for (unsigned callee = 0; callee < CALLEES; callee++)
            check_chain(round, callee);
    g_assert_cmpuint(support_counts().stacks, >=, KEYS * DEPTH);
    g_test_message("%u defined in vain", support_counts().stacks - KEYS * DEPTH);
}

/* One frame with very many callees, as of code compiled at run time. */
static void callees_may_be_many(void) {
    enum { MANY = 200000 };
    g_autofree uint32_t *ids = g_new(uint32_t, MANY);

    support_restart();
    TtNodes *nodes = tt_intern_nodes();
    for (unsigned i = 0; i < MANY; i++)
        ids[i] = tt_intern_get(support_thread(), nodes, TT_STACK_TRUNCATED, 16 * (i + 1));
    g_assert_cmpuint(support_counts().stacks, >=, MANY);
    for (unsigned i = 0; i < MANY; i++)
        g_assert_cmpuint(ids[i], ==,
                         tt_intern_get(support_thread(), nodes, TT_STACK_TRUNCATED, 16 * (i + 1)));
}

/* What a thread finds that is still in a hook of an earlier session does it no harm. */
static void sessions_before_stay_readable(void) {
    TtNodes *before = tt_intern_nodes();
    uint32_t id = tt_intern_get(support_thread(), before, TT_STACK_ROOT, 4096);

    g_assert_cmpuint(id, ==, tt_intern_get(support_thread(), before, TT_STACK_ROOT, 4096));
    for (unsigned i = 0; i < 3; i++) {
        support_restart();
        g_assert_true(tt_intern_nodes() != before);
        g_assert_cmpuint(id, ==, tt_intern_get(support_thread(), before, TT_STACK_ROOT, 4096));
    }
    TtNodes *now = tt_intern_nodes();
    g_assert_cmpuint(tt_intern_get(support_thread(), now, TT_STACK_ROOT, 8192), ==, TT_STACK_FIRST);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    g_test_add_func("/stack/threads_find_one_id", threads_find_one_id);
    g_test_add_func("/stack/callees_may_be_many", callees_may_be_many);
    g_test_add_func("/stack/sessions_before_stay_readable", sessions_before_stay_readable);
    return g_test_run();
}
