/* SPDX-License-Identifier: Apache-2.0 */
/* One thread allocates, another frees: each block's birth and death lie in two lanes.
 *
 *   handover PAIRS */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "bench.h"

#define ROOM 1024u

static void *ring[ROOM];
static uint64_t pairs;
/* Release by who moves on; pairs with the other's acquire. */
static _Alignas(64) _Atomic uint64_t made;
static _Alignas(64) _Atomic uint64_t taken;

static void *consume(void *unused) {
    (void)unused;
    for (uint64_t i = 0; i < pairs; i++) {
        while (atomic_load_explicit(&made, memory_order_acquire) == i)
            sched_yield();
        free(ring[i % ROOM]);
        atomic_store_explicit(&taken, i + 1, memory_order_release);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t consumer;

    pairs = bench_argument(argc, argv, 1, 2000000);
    if (pthread_create(&consumer, NULL, consume, NULL) != 0)
        return 1;

    double start = bench_seconds();
    for (uint64_t i = 0; i < pairs; i++) {
        while (i - atomic_load_explicit(&taken, memory_order_acquire) == ROOM)
            sched_yield();
        ring[i % ROOM] = malloc(16 + i % 32 * 8);
        atomic_store_explicit(&made, i + 1, memory_order_release);
    }
    pthread_join(consumer, NULL);
    /* Two threads are at work, but on the same pairs. */
    bench_report(pairs, 1, bench_seconds() - start);
    return 0;
}
