/* SPDX-License-Identifier: Apache-2.0 */
#include "client/clock.h"

#include <cpuid.h>
#include <sys/prctl.h>
#include <time.h>

#include "client/probe.h"
#include "client/sys.h"

int tt_clock_tsc_trust;
bool tt_clock_counts_ticks;

static __thread bool is_stopped __attribute__((tls_model("initial-exec")));
static _Atomic uint64_t last_stop; /* of any thread: all that are stopped stand there */

void tt_clock_init(void) {
    unsigned a, b, c, d;

    tt_clock_counts_ticks = __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0;
    tt_clock_tsc_trust = tt_clock_counts_ticks;
}

__attribute__((cold, noinline)) uint64_t tt_clock_stamp_slow(void) {
    if (is_stopped)
        return last_stop;
    if (tt_clock_counts_ticks)
        return __rdtsc() >> TT_STAMP_SHIFT;
    /* A filter may bind threads that did not set it (TSYNC), and the call be what it kills for. */
    if (tt_is_sealed_now())
        return last_stop;

    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) >> TT_STAMP_SHIFT;
}

void tt_clock_stop(void) {
    last_stop = tt_clock_stamp();
    is_stopped = true;
    __atomic_fetch_sub(&tt_clock_tsc_trust, 1, __ATOMIC_RELAXED);
}

void tt_clock_go_on(void) { is_stopped = false; }

void tt_clock_take_back(void) {
    is_stopped = false;
    __atomic_fetch_add(&tt_clock_tsc_trust, 1, __ATOMIC_RELAXED);
}

bool tt_clock_is_any_stopped(void) {
    return __atomic_load_n(&tt_clock_tsc_trust, __ATOMIC_RELAXED) < tt_clock_counts_ticks;
}

bool tt_clock_is_stopped(void) { return is_stopped; }

void tt_clock_inherit(void) {
    int mode = 0;

    if (last_stop != 0 && !is_stopped && TT_SYS2(SYS_prctl, PR_GET_TSC, &mode) == 0)
        is_stopped = mode == PR_TSC_SIGSEGV;
}
