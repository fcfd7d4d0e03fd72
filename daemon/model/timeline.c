/* SPDX-License-Identifier: Apache-2.0 */
#include "model/timeline.h"

#define WIDTH_SHIFT_FIRST 10u /* well under a microsecond of any clock */
#define ROOM_FIRST 32u

void tt_timeline_init(TtTimeline *timeline, gsize point_limit) {
    /* Two points a bucket, and two for the start and the present. */
    *timeline =
        (TtTimeline){.width_shift = WIDTH_SHIFT_FIRST, .limit = MAX(point_limit, 8) / 2 - 1};
}

void tt_timeline_clear(TtTimeline *timeline) { g_clear_pointer(&timeline->buckets, g_free); }

static void merge(TtBucket *into, const TtBucket *later) {
    /* Of equals the earlier stays: the peak is when it was first reached. */
    if (later->max.bytes > into->max.bytes)
        into->max = later->max;
    if (later->min.bytes < into->min.bytes)
        into->min = later->min;
}

static void halve(TtTimeline *timeline) {
    gsize count = 1;

    timeline->width_shift++;
    timeline->buckets[0].number >>= 1;
    for (gsize i = 1; i < timeline->count; i++) {
        TtBucket bucket = timeline->buckets[i];

        bucket.number >>= 1;
        if (bucket.number == timeline->buckets[count - 1].number)
            merge(&timeline->buckets[count - 1], &bucket);
        else
            timeline->buckets[count++] = bucket;
    }
    timeline->count = count;
}

static void settle(TtTimeline *timeline) {
    const TtBucket *last = &timeline->buckets[timeline->count - 1];

    timeline->bucket_end = (last->number + 1) << timeline->width_shift;
    timeline->min_bytes = last->min.bytes;
    timeline->range = last->max.bytes - last->min.bytes;
}

static void add_bucket(TtTimeline *timeline, const TtTimelinePoint *point) {
    /* Buckets far apart in time may not meet at once. */
    while (timeline->count == timeline->limit)
        halve(timeline);
    if (timeline->count == timeline->room) {
        timeline->room = MIN(MAX(ROOM_FIRST, timeline->room * 2), timeline->limit);
        timeline->buckets = g_renew(TtBucket, timeline->buckets, timeline->room);
    }

    TtBucket bucket = {
        .number = point->tick >> timeline->width_shift, .min = *point, .max = *point};
    if (timeline->count > 0 && timeline->buckets[timeline->count - 1].number == bucket.number)
        merge(&timeline->buckets[timeline->count - 1], &bucket);
    else
        timeline->buckets[timeline->count++] = bucket;
}

G_GNUC_NO_INLINE void tt_timeline_extend(TtTimeline *timeline, guint64 tick, guint64 bytes,
                                         guint64 blocks) {
    TtTimelinePoint point = {.tick = tick, .bytes = bytes, .blocks = blocks};

    if (timeline->count == 0 || tick >= timeline->bucket_end) {
        add_bucket(timeline, &point);
    } else {
        TtBucket *last = &timeline->buckets[timeline->count - 1];

        if (bytes > last->max.bytes)
            last->max = point;
        if (bytes < last->min.bytes)
            last->min = point;
    }
    settle(timeline);
}

static void add_point(TtTimePoint *points, gsize *count, const TtTimescale *scale,
                      guint64 origin_stamp, const TtTimelinePoint *point) {
    points[(*count)++] = (TtTimePoint){
        .t_ns = tt_timescale_ns(scale, origin_stamp + point->tick),
        .live_bytes = point->bytes,
        .live_blocks = point->blocks,
    };
}

TtTimePoint *tt_timeline_copy(const TtTimeline *timeline, const TtTimescale *scale,
                              guint64 origin_stamp, const TtTimelinePoint *start,
                              const TtTimelinePoint *now, gsize *ret_count) {
    TtTimePoint *points = g_new(TtTimePoint, 2 * timeline->count + 2);
    TtTimelinePoint last = *start;
    gsize count = 0;

    add_point(points, &count, scale, origin_stamp, start);
    for (gsize i = 0; i < timeline->count; i++) {
        const TtBucket *bucket = &timeline->buckets[i];
        gboolean min_first = bucket->min.tick <= bucket->max.tick;
        const TtTimelinePoint *first = min_first ? &bucket->min : &bucket->max;

        add_point(points, &count, scale, origin_stamp, first);
        last = *first;
        if (bucket->min.tick != bucket->max.tick || bucket->min.bytes != bucket->max.bytes) {
            last = min_first ? bucket->max : bucket->min;
            add_point(points, &count, scale, origin_stamp, &last);
        }
    }
    if (now->tick != last.tick || now->bytes != last.bytes || now->blocks != last.blocks)
        add_point(points, &count, scale, origin_stamp, now);
    *ret_count = count;
    return points;
}

gsize tt_timeline_bytes(const TtTimeline *timeline) { return timeline->room * sizeof(TtBucket); }
