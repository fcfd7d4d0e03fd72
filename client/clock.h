/* SPDX-License-Identifier: Apache-2.0 */
/* Stamps. The time stamp counter costs 10 ns where clock_gettime costs 25; it is taken only where
 * the processor promises that it ticks evenly and through sleep (CPUID 80000007h, EDX bit 8; Intel
 * SDM vol. 3, 18.17.1). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

#include "protocol/wire.h"

#define TT_STAMP_SHIFT 4 /* 16 ticks, 4 to 8 ns: finer than a block can pass between cores */

extern bool tt_clock_is_tsc; /* set once by tt_clock_init, before any stamp */

void tt_clock_init(void);

static inline uint64_t tt_clock_stamp(void) {
    if (__builtin_expect(tt_clock_is_tsc, 1))
        return __rdtsc() >> TT_STAMP_SHIFT;

    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) >> TT_STAMP_SHIFT;
}
