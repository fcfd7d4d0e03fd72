/* SPDX-License-Identifier: Apache-2.0 */
/* Random walks up and down random call shapes, each stack judged by another unwinder. The seed is
 * printed, and taken back with --seed. */
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <stdlib.h>

#include "stack-support.h"

#define NOINLINE __attribute__((noinline))
#define CAPTURES 12000u
#define THREADS 2

typedef struct Way {
    GRand *random;
    unsigned left; /* captures still to be made */
    unsigned depth;
    volatile uint64_t sink;
} Way;

typedef void Shape(Way *way);

static Shape shape_plain, shape_array, shape_big, shape_variable, shape_realigned, shape_values,
    shape_sorted, shape_twice, shape_realigned_variable;

static Shape *const shapes[] = {shape_plain,  shape_array,  shape_big,   shape_variable,
                                shape_plain,  shape_values, shape_twice, shape_realigned,
                                shape_sorted, shape_values, shape_plain, shape_realigned_variable};

/* One step of the walk: capture here, go deeper, or go back. */
static NOINLINE void go_on(Way *way) {
    while (way->left > 0) {
        unsigned dice = g_rand_int(way->random) % 100;

        if (dice < 35 || way->depth > 60) {
            way->left--;
            support_check(way->depth > 200);
            if (dice < 3 && g_rand_int(way->random) % 50 == 0)
                tt_stack_advance_epoch();
        } else if (dice < 62) {
            way->depth++;
            shapes[g_rand_int(way->random) % G_N_ELEMENTS(shapes)](way);
            way->depth--;
        } else if (way->depth > 0) {
            return;
        }
    }
}

static NOINLINE void shape_plain(Way *way) {
    go_on(way);
    way->sink++;
}

static NOINLINE void shape_array(Way *way) {
    volatile uint64_t array[40];

    array[way->depth % 40] = 1;
    go_on(way);
    way->sink += array[way->depth % 40];
}

static NOINLINE void shape_big(Way *way) {
    volatile char big[9000];

    big[way->depth] = 1;
    go_on(way);
    way->sink += (uint64_t)big[way->depth];
}

static NOINLINE void shape_variable(Way *way) {
    volatile char *memory = alloca(g_rand_int(way->random) % 500 + 8);

    memory[0] = 1;
    go_on(way);
    way->sink += (uint64_t)memory[0];
}

static NOINLINE void shape_realigned(Way *way) {
    _Alignas(64) volatile char array[64];

    array[way->depth % 64] = 1;
    go_on(way);
    way->sink += (uint64_t)array[way->depth % 64];
}

static NOINLINE void shape_realigned_variable(Way *way) {
    _Alignas(256) volatile char array[64];
    volatile char *memory = alloca(g_rand_int(way->random) % 500 + 8);

    array[way->depth % 64] = memory[0] = 1;
    go_on(way);
    way->sink += (uint64_t)(array[way->depth % 64] + memory[0]);
}

static NOINLINE void shape_values(Way *way) {
    uint64_t a = way->sink, b = a * 3, c = b ^ a, d = c + 9, e = d * d, f = ~e;

    for (int i = 0; i < 3; i++) {
        go_on(way);
        a += b;
        b ^= c + way->sink;
        c -= d;
        d += e;
        e ^= f * 5;
        f += a;
    }
    way->sink = a + b + c + d + e + f;
}

static NOINLINE void shape_twice(Way *way) {
    go_on(way);
    go_on(way);
    way->sink++;
}

static __thread Way *sorting;

static int compare(const void *a, const void *b) {
    if (g_rand_int(sorting->random) % 4 == 0)
        shape_plain(sorting);
    return *(const int *)a - *(const int *)b;
}

static NOINLINE void shape_sorted(Way *way) {
    int numbers[5] = {3, 1, 4, 1, 5};

    sorting = way;
    qsort(numbers, 5, sizeof *numbers, compare);
    way->sink += (uint64_t)numbers[0];
}

static void *walk(void *data) {
    Way way = {.random = g_rand_new_with_seed(GPOINTER_TO_UINT(data)), .left = CAPTURES};

    go_on(&way);
    g_rand_free(way.random);
    return NULL;
}

static void random_shapes_as_another_unwinder_sees_them(void) {
    GThread *threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("walk", walk, GUINT_TO_POINTER(g_test_rand_int()));
    walk(GUINT_TO_POINTER(g_test_rand_int()));
    for (unsigned i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    g_test_message("%" G_GUINT64_FORMAT " stacks, %u nodes", (uint64_t)support_checks,
                   support_counts().stacks);
    g_assert_cmpuint(support_checks, ==, (THREADS + 1) * CAPTURES);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    g_test_add_func("/stack/random_shapes_as_another_unwinder_sees_them",
                    random_shapes_as_another_unwinder_sees_them);
    return g_test_run();
}
