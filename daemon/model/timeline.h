/* SPDX-License-Identifier: Apache-2.0 */
/* Live bytes over time in bounded memory. Time is cut into buckets; each keeps its least and its
 * greatest point as they were, with their times. When there are too many, buckets become twice as
 * wide and neighbours merge: extremes get less company, none is lost. So the session's peak is
 * among the points, exactly, at any resolution. */
#pragma once

#include "model/snapshot.h"

G_BEGIN_DECLS

typedef struct TtTimelinePoint {
    guint64 tick;
    guint64 bytes, blocks;
} TtTimelinePoint;

typedef struct TtBucket {
    guint64 number; /* tick >> width_shift */
    TtTimelinePoint min, max;
} TtBucket;

typedef struct TtTimeline {
    guint64 bucket_end; /* tick at which the last bucket is over */
    guint64 min_bytes;  /* of the last bucket */
    guint64 range;      /* its greatest less its least */
    guint width_shift;
    gsize limit; /* buckets; at least 2 */
    gsize count;
    gsize room;
    TtBucket *buckets;
} TtTimeline;

void tt_timeline_init(TtTimeline *timeline, gsize point_limit);
void tt_timeline_clear(TtTimeline *timeline);

/* Begins a bucket, or moves an extreme. */
void tt_timeline_extend(TtTimeline *timeline, guint64 tick, guint64 bytes, guint64 blocks);

/* The state from @tick on; ticks never run backwards. */
static inline void tt_timeline_note(TtTimeline *timeline, guint64 tick, guint64 bytes,
                                    guint64 blocks) {
    if (tick >= timeline->bucket_end || bytes - timeline->min_bytes > timeline->range)
        tt_timeline_extend(timeline, tick, bytes, blocks);
}

/* @origin_stamp: of tick 0
 *
 * Returns: (transfer full): the points in order of time, from @start to @now, as those are; g_free.
 */
TtTimePoint *tt_timeline_copy(const TtTimeline *timeline, const TtTimescale *scale,
                              guint64 origin_stamp, const TtTimelinePoint *start,
                              const TtTimelinePoint *now, gsize *ret_count);

gsize tt_timeline_bytes(const TtTimeline *timeline);

G_END_DECLS
