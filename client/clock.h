/* SPDX-License-Identifier: Apache-2.0 */
/* Stamps. The time stamp counter costs 10 ns where clock_gettime costs 25; it is taken only where
 * the processor promises that it ticks evenly and through sleep (CPUID 80000007h, EDX bit 8; Intel
 * SDM vol. 3, 18.17.1). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

#include "protocol/wire.h"

#define TT_STAMP_SHIFT 4 /* 16 ticks, 4 to 8 ns: finer than a block can pass between cores */

/* Above 0: every thread may read the counter, and it ticks evenly. One less for each thread that
 * has given it up, or is about to. */
extern int tt_clock_tsc_trust;
extern bool tt_clock_counts_ticks; /* what the session's stamps are of */

/* Before any stamp. */
void tt_clock_init(void);

/* The calling thread is about to lose the right to read a clock (PR_SET_TSC): its stamps stand
 * still, until it has the right again. Threads that it makes have this from it, and find out by
 * tt_clock_inherit before their first stamp. A clock that may be a call of the kernel's stands for
 * all threads once the process is sealed. */
void tt_clock_stop(void);
void tt_clock_go_on(void);
/* It has not lost it: as though it had not been stopped. */
void tt_clock_take_back(void);
/* Has any thread's been, without that? */
bool tt_clock_is_any_stopped(void);
bool tt_clock_is_stopped(void);
void tt_clock_inherit(void);

/* The rest of tt_clock_stamp, where not all is as it should be. */
uint64_t tt_clock_stamp_slow(void);

static inline uint64_t tt_clock_stamp(void) {
    if (__builtin_expect(tt_clock_tsc_trust > 0, 1))
        return __rdtsc() >> TT_STAMP_SHIFT;
    return tt_clock_stamp_slow();
}
