/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the clocks of stamps, and measuring the time stamp counter against the kernel's clock. */
#include "intake/clock.h"

#include <time.h>
#include <x86intrin.h>

#define BASELINE_NS (20u * 1000000u)
#define SCALE_SHIFT 32
#define PAIR_TRIES 16

static guint64 monotonic_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (guint64)now.tv_sec * 1000000000u + (guint64)now.tv_nsec;
}

guint64 tt_stamp_clock_now(const TtStampClock *clock) {
    guint64 now;

    if (clock->kind == TT_CLOCK_TSC) {
        /* rdtsc is not ordered with loads by itself (Intel SDM vol. 2, RDTSC). */
        _mm_lfence();
        now = __rdtsc();
        _mm_lfence();
    } else {
        now = monotonic_ns() + (guint64)clock->offset_ns;
    }
    return now >> clock->shift;
}

void tt_calibration_init(TtCalibration *calibration) {
    guint64 narrowest = G_MAXUINT64;

    /* An interrupt between the readings would spoil a pair: keep the one that took least. */
    for (int i = 0; i < PAIR_TRIES; i++) {
        guint64 before = __rdtsc();
        guint64 ns = monotonic_ns();
        guint64 after = __rdtsc();

        if (after - before < narrowest) {
            narrowest = after - before;
            *calibration = (TtCalibration){before + (after - before) / 2, ns};
        }
    }
}

void tt_calibration_get_scale(const TtCalibration *calibration, const TtStampClock *clock,
                              TtTimescale *ret_scale) {
    TtCalibration now;

    ret_scale->shift = SCALE_SHIFT;
    ret_scale->mult = (guint64)1 << (SCALE_SHIFT + clock->shift);
    if (clock->kind != TT_CLOCK_TSC)
        return;

    tt_calibration_init(&now);
    if (now.monotonic_ns - calibration->monotonic_ns < BASELINE_NS) {
        g_usleep((BASELINE_NS - (now.monotonic_ns - calibration->monotonic_ns)) / 1000 + 1);
        tt_calibration_init(&now);
    }
    if (now.tsc > calibration->tsc)
        ret_scale->mult =
            (guint64)(((unsigned __int128)(now.monotonic_ns - calibration->monotonic_ns)
                       << (SCALE_SHIFT + clock->shift)) /
                      (now.tsc - calibration->tsc));
}
