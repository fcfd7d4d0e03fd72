/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates for a while, then says how long single calls took.
 *
 *   stalled PAIRS [THREADS]
 *
 * Writes "ready", waits for a line on stdin, does PAIRS of malloc and free in each thread, and
 * writes
 *
 *   LONGEST-CALL-NS SLEEPS
 *
 * of all threads together: a sleep is a voluntary switch to another thread. Again for each further
 * line; ends with its input. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static unsigned long pairs;
static _Atomic uint64_t longest_ns;
static _Atomic long sleeps;

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static long count_sleeps(void) {
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static uint64_t take(uint64_t since) {
    uint64_t now = now_ns(), longest = atomic_load(&longest_ns);

    while (now - since > longest &&
           !atomic_compare_exchange_weak(&longest_ns, &longest, now - since))
        ;
    return now;
}

static void *work(void *unused) {
    long before = count_sleeps();
    uint64_t at = now_ns();

    for (unsigned long i = 0; i < pairs; i++) {
        void *block = malloc(i % 1000);
        at = take(at);
        free(block);
        at = take(at);
    }
    atomic_fetch_add(&sleeps, count_sleeps() - before);
    return unused;
}

int main(int argc, char **argv) {
    int thread_count = argc > 2 ? atoi(argv[2]) : 1;
    pthread_t threads[64];
    char line[64];

    pairs = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    puts("ready");
    while (fgets(line, sizeof line, stdin) != NULL) {
        longest_ns = 0;
        sleeps = 0;
        for (int i = 1; i < thread_count; i++)
            pthread_create(&threads[i], NULL, work, NULL);
        work(NULL);
        for (int i = 1; i < thread_count; i++)
            pthread_join(threads[i], NULL);
        printf("%lu %ld\n", (unsigned long)longest_ns, (long)sleeps);
    }
    return 0;
}
