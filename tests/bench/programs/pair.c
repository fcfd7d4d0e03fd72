/* SPDX-License-Identifier: Apache-2.0 */
/* malloc and free, in turn, from one stack.
 *
 *   pair DEPTH PAIRS [THREADS]
 *
 * DEPTH counts return addresses, the hook's caller included. PAIRS is each thread's; one thread is
 * main. What is learnt at the first call is not timed. */
#include <pthread.h>

#include "bench.h"

#define MAIN_FRAMES 5   /* repeat, main, __libc_start_call_main, __libc_start_main, _start */
#define THREAD_FRAMES 4 /* repeat, start, start_thread, clone3 */

static uint64_t pairs;
static unsigned depth;
static pthread_barrier_t barrier;

static __attribute__((noinline)) double repeat(bool waits) {
    free(bench_use(malloc(48)));
    if (waits)
        pthread_barrier_wait(&barrier);

    double start = bench_seconds();
    for (uint64_t i = 0; i < pairs; i++)
        free(bench_use(malloc(48)));
    return bench_seconds() - start;
}

/* The asm after the call keeps each frame. */
static __attribute__((noinline)) double descend(unsigned frames, bool waits) {
    double seconds = frames == 0 ? repeat(waits) : descend(frames - 1, waits);

    __asm__ volatile("" : "+x"(seconds));
    return seconds;
}

static void *start(void *unused) {
    double *seconds = malloc(sizeof *seconds);

    (void)unused;
    *seconds = depth <= THREAD_FRAMES ? repeat(true) : descend(depth - THREAD_FRAMES - 1, true);
    return seconds;
}

/* The slowest thread counts: all have the same to do. */
static double run_threads(unsigned count) {
    pthread_t threads[64];
    double slowest = 0;

    pthread_barrier_init(&barrier, NULL, count);
    for (unsigned i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, start, NULL);
    for (unsigned i = 0; i < count; i++) {
        double *seconds;

        pthread_join(threads[i], (void **)&seconds);
        slowest = *seconds > slowest ? *seconds : slowest;
        free(seconds);
    }
    return slowest;
}

int main(int argc, char **argv) {
    unsigned threads = (unsigned)bench_argument(argc, argv, 3, 1);
    double seconds;

    depth = (unsigned)bench_argument(argc, argv, 1, 5);
    pairs = bench_argument(argc, argv, 2, 1000000);
    if (threads < 1 || threads > 64)
        return 2;
    if (threads > 1)
        seconds = run_threads(threads);
    else
        seconds = depth <= MAIN_FRAMES ? repeat(false) : descend(depth - MAIN_FRAMES - 1, false);
    bench_report(pairs * threads, threads, seconds);
    return 0;
}
