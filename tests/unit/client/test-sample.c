/* SPDX-License-Identifier: Apache-2.0 */
/* The distances of samples against the distribution that they are to have, and the set of sampled
 * blocks against a plain one. */
#include <glib.h>
#include <math.h>

#include "client/sample.h"

#define DRAWS 200000u
#define MEAN 524288.0
#define THREADS 4
#define ROUNDS 50000u

_Atomic uint32_t tt_seal_count;

static int compare(gconstpointer a, gconstpointer b) {
    guint64 one = *(const guint64 *)a, other = *(const guint64 *)b;

    return (one > other) - (one < other);
}

/* Kolmogorov and Smirnov's test: by how much the distribution of the draws differs from the
 * exponential one, at the most. 1.95 / sqrt(n) is passed by 1 of 1000 right ones; the seed is
 * fixed. */
static void distances_are_exponential(void) {
    static guint64 draws[DRAWS];
    guint64 lot = 88172645463325252;
    double worst = 0, sum = 0;

    for (guint i = 0; i < DRAWS; i++) {
        draws[i] = tt_sample_draw(&lot, (guint64)MEAN);
        g_assert_cmpuint(draws[i], >=, 1);
        sum += (double)draws[i];
    }
    qsort(draws, DRAWS, sizeof *draws, compare);
    for (guint i = 0; i < DRAWS; i++)
        worst = fmax(worst, fabs((i + 0.5) / DRAWS - -expm1(-((double)draws[i] - 0.5) / MEAN)));
    g_assert_cmpfloat(worst, <, 1.95 / sqrt(DRAWS));
    g_assert_cmpfloat(fabs(sum / DRAWS / MEAN - 1), <, 3 / sqrt(DRAWS));
}

/* Of a mean of 1 a block of one byte is in the sample with 1 - 1/e. */
static void short_distances_are_whole_bytes(void) {
    guint64 lot = 3, ones = 0;

    for (guint i = 0; i < DRAWS; i++)
        ones += tt_sample_draw(&lot, 1) == 1;
    g_assert_cmpfloat(fabs((double)ones / DRAWS + expm1(-1)), <, 4 * 0.5 / sqrt(DRAWS));
    g_assert_cmpuint(tt_sample_draw(&lot, G_MAXUINT64), <=, G_MAXINT64);
}

static void *put_and_take(gpointer data) {
    guint64 base = ((guint64)GPOINTER_TO_UINT(data) + 1) << 40;
    g_autoptr(GHashTable) plain = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g_autoptr(GRand) random = g_rand_new_with_seed(GPOINTER_TO_UINT(data));

    for (guint i = 0; i < ROUNDS; i++) {
        guint64 addr = base + (g_rand_int(random) % 3000) * 16;
        gboolean is_known = g_hash_table_contains(plain, &addr);

        if (is_known || g_rand_int(random) % 4 == 0) {
            if (is_known)
                g_assert_true(tt_sample_may_hold((void *)addr));
            g_assert_cmpint(tt_sample_take(addr), ==, is_known);
            g_hash_table_remove(plain, &addr);
        } else {
            tt_sample_put(addr);
            g_hash_table_add(plain, g_memdup2(&addr, sizeof addr));
        }
    }

    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, plain);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        g_assert_true(tt_sample_take(*(guint64 *)key));
    return NULL;
}

static guint count_counts(void) {
    guint found = 0;

    for (guint i = 0; i < G_N_ELEMENTS(tt_sample_counts); i++)
        found += tt_sample_counts[i];
    return found;
}

static void set_holds_what_threads_put(void) {
    GThread *threads[THREADS];

    g_assert_cmpint(tt_sample_init(), ==, 0);
    for (guint i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("set", put_and_take, GUINT_TO_POINTER(i));
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(count_counts(), ==, 0);
}

/* More than there is room for: then all may be in it, and none is taken for one that is not. */
static void overfull_set_denies_nothing(void) {
    g_assert_cmpint(tt_sample_init(), ==, 0);
    for (guint64 i = 1; i <= 1200000; i++)
        tt_sample_put(i * 64);
    for (guint64 i = 1; i <= 1200000; i++) {
        g_assert_true(tt_sample_may_hold((void *)(i * 64)));
        g_assert_true(tt_sample_take(i * 64));
    }
    g_assert_true(tt_sample_may_hold((void *)16));
    tt_sample_clear();
    g_assert_cmpuint(count_counts(), ==, 0);
    g_assert_false(tt_sample_take(64));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sample/distances_are_exponential", distances_are_exponential);
    g_test_add_func("/sample/short_distances_are_whole_bytes", short_distances_are_whole_bytes);
    g_test_add_func("/sample/set_holds_what_threads_put", set_holds_what_threads_put);
    g_test_add_func("/sample/overfull_set_denies_nothing", overfull_set_denies_nothing);
    return g_test_run();
}
