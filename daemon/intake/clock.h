/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks that stamps tick by, as the daemon reads them. */
#pragma once

#include <glib.h>

#include "model/session.h"

G_BEGIN_DECLS

/* How a session's program makes its stamps. */
typedef struct TtStampClock {
    TtClock kind;
    guint shift;      /* a stamp is the reading shifted right by so many bits */
    gint64 offset_ns; /* of its CLOCK_MONOTONIC from ours: it may live in a time namespace */
    guint64 ahead;    /* of what it reads, where its counter has begun anew; else 0 */
} TtStampClock;

/* The stamp of now. Later loads are not begun before it is taken. Any thread. */
guint64 tt_stamp_clock_now(const TtStampClock *clock);

/* Has the stamp of now be @stamp, though the counter shows an earlier one: a machine that slept may
 * begin it anew (ACPI S3 takes the processor's power). How long it slept is not in the stamps then.
 */
void tt_stamp_clock_go_on(TtStampClock *clock, guint64 stamp);

/* A moment by two clocks; a second one tells how fast they go. */
typedef struct TtCalibration {
    guint64 tsc;
    guint64 monotonic_ns;
    gint64 asleep_ns; /* CLOCK_BOOTTIME beyond CLOCK_MONOTONIC: grows while the machine sleeps */
} TtCalibration;

void tt_calibration_init(TtCalibration *calibration);

/* How a session's stamps become nanoseconds: mult and shift of @ret_scale are set.
 *
 * The counter's rate is measured over the time since @calibration was taken; where that is less
 * than 20 ms the rest is waited for. The longer ago, the better: 50 ns of error in 20 ms are
 * 2.5 parts in a million. Where the machine has slept since, the clocks do not tell of one time,
 * and
 * @calibration is taken anew. The thread that owns it. */
void tt_calibration_get_scale(TtCalibration *calibration, const TtStampClock *clock,
                              TtTimescale *ret_scale);

G_END_DECLS
