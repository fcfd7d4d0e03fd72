/* SPDX-License-Identifier: Apache-2.0 */
/* What the measured programs share: each times the part that counts and tells of it in one line,
 * which run.py reads. */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The n-th word of the command line as a number, or @otherwise. */
static inline uint64_t bench_argument(int argc, char **argv, int n, uint64_t otherwise) {
    return argc > n ? strtoull(argv[n], NULL, 10) : otherwise;
}

static inline double bench_seconds(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* @pairs  births with their deaths in all threads together; a realloc is one of each */
static inline void bench_report(uint64_t pairs, unsigned threads, double seconds) {
    printf("pairs %" PRIu64 " threads %u seconds %.9f\n", pairs, threads, seconds);
}

/* The compiler may not know that nobody looks at the block. */
static inline void *bench_use(void *ptr) {
    __asm__ volatile("" : "+r"(ptr) : : "memory");
    return ptr;
}

/* Xorshift: the same numbers each time. */
static inline uint64_t bench_draw(uint64_t *lot) {
    *lot ^= *lot << 13;
    *lot ^= *lot >> 7;
    *lot ^= *lot << 17;
    return *lot;
}
