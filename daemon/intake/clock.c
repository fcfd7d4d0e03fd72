/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the clocks of stamps, and measuring the time stamp counter against the kernel's clock. */
#include "intake/clock.h"

#include <time.h>
#include <x86intrin.h>

#define BASELINE_NS (20u * 1000000u)
#define SCALE_SHIFT 32
#define PAIR_TRIES 16
#define SLEPT_NS (10 * 1000000) /* two readings one after the other do not differ by so much */

static guint64 read_ns(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
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
        now = read_ns(CLOCK_MONOTONIC) + (guint64)clock->offset_ns;
    }
    return (now >> clock->shift) + clock->ahead;
}

void tt_stamp_clock_go_on(TtStampClock *clock, guint64 stamp) {
    clock->ahead += stamp - tt_stamp_clock_now(clock);
}

void tt_calibration_init(TtCalibration *calibration) {
    guint64 narrowest = G_MAXUINT64;

    /* An interrupt between the readings would spoil a pair: keep the one that took least. */
    for (int i = 0; i < PAIR_TRIES; i++) {
        guint64 before = __rdtsc();
        guint64 ns = read_ns(CLOCK_MONOTONIC);
        guint64 after = __rdtsc();

        if (after - before < narrowest) {
            narrowest = after - before;
            *calibration =
                (TtCalibration){.tsc = before + (after - before) / 2, .monotonic_ns = ns};
        }
    }
    calibration->asleep_ns = (gint64)(read_ns(CLOCK_BOOTTIME) - read_ns(CLOCK_MONOTONIC));
}

/* Of the clock that stands still meanwhile: what the counter does, the firmware decides. */
static gboolean has_slept_between(const TtCalibration *before, const TtCalibration *after) {
    return after->tsc < before->tsc || after->asleep_ns - before->asleep_ns > SLEPT_NS;
}

void tt_calibration_get_scale(TtCalibration *calibration, const TtStampClock *clock,
                              TtTimescale *ret_scale) {
    TtCalibration now;

    ret_scale->shift = SCALE_SHIFT;
    ret_scale->mult = (guint64)1 << (SCALE_SHIFT + clock->shift);
    if (clock->kind != TT_CLOCK_TSC)
        return;

    tt_calibration_init(&now);
    if (has_slept_between(calibration, &now))
        *calibration = now;
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
