/* SPDX-License-Identifier: Apache-2.0 */
/* How long blocks lived, as a histogram whose buckets grow with what they count: eight to each
 * doubling, so that a quantile is within 1/16 of the truth at any scale. Least and greatest are
 * exact. Buckets exist only from the shortest to the longest seen: a site whose blocks live alike
 * costs a few dozen bytes. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define TT_LIFETIME_STEP_BITS 3u /* buckets of a doubling, as a power of two */

typedef struct TtLifetimes {
    guint64 min, max;     /* ticks */
    guint64 count;        /* in all buckets */
    guint16 first;        /* the bucket that buckets[0] is */
    guint16 bucket_count; /* up to 496 */
    guint32 halvings;     /* how often all buckets were halved */
    guint32 *buckets;     /* owned */
} TtLifetimes;

static inline guint tt_lifetimes_bucket(guint64 ticks) {
    if (ticks < 2u << TT_LIFETIME_STEP_BITS)
        return (guint)ticks; /* each has a bucket of its own */
    guint high = 63 - (guint)__builtin_clzll(ticks);
    guint step =
        (guint)(ticks >> (high - TT_LIFETIME_STEP_BITS)) & ((1u << TT_LIFETIME_STEP_BITS) - 1);
    return ((high - TT_LIFETIME_STEP_BITS + 1) << TT_LIFETIME_STEP_BITS) + step;
}

TtLifetimes *tt_lifetimes_new(void);
void tt_lifetimes_free(TtLifetimes *lifetimes);

/* Makes room for the bucket, or for one more in it. Cold. */
void tt_lifetimes_widen(TtLifetimes *lifetimes, guint bucket);

/* Where a duration will be counted, to be asked for ahead; it may be nowhere yet. */
static inline const void *tt_lifetimes_place(const TtLifetimes *lifetimes, guint64 ticks) {
    guint bucket = tt_lifetimes_bucket(ticks) - lifetimes->first;

    return lifetimes->buckets + MIN(bucket, lifetimes->bucket_count);
}

static inline void tt_lifetimes_add(TtLifetimes *lifetimes, guint64 ticks) {
    guint bucket = tt_lifetimes_bucket(ticks);

    if (G_UNLIKELY(bucket - lifetimes->first >= lifetimes->bucket_count ||
                   lifetimes->buckets[bucket - lifetimes->first] == G_MAXUINT32))
        tt_lifetimes_widen(lifetimes, bucket);
    lifetimes->buckets[bucket - lifetimes->first]++;
    lifetimes->count++;
    if (ticks < lifetimes->min)
        lifetimes->min = ticks;
    if (ticks > lifetimes->max)
        lifetimes->max = ticks;
}

/* Counts a duration @weight times, least and greatest as once. */
void tt_lifetimes_add_many(TtLifetimes *lifetimes, guint64 ticks, guint64 weight);

/* Adds what @other counted. */
void tt_lifetimes_merge(TtLifetimes *lifetimes, const TtLifetimes *other);

/**
 * tt_lifetimes_quantile:
 * @share: 0 … 1
 *
 * Returns: a duration that this share of the blocks did not outlive, in ticks; 0 where none is
 */
guint64 tt_lifetimes_quantile(const TtLifetimes *lifetimes, gdouble share);

/* Memory of it all. */
gsize tt_lifetimes_bytes(const TtLifetimes *lifetimes);

G_END_DECLS
