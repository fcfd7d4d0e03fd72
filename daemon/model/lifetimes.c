/* SPDX-License-Identifier: Apache-2.0 */
/* Log-linear buckets. A bucket counts to 2^32; should one fill up, all of its histogram are halved:
 * quantiles stay what they were, and only they are read from buckets. */
#include "model/lifetimes.h"

#include <string.h>

#define MARGIN_BUCKETS 4u /* added at a side that grows, so that it grows rarely */
#define ALL_BUCKETS ((64u - TT_LIFETIME_STEP_BITS + 1) << TT_LIFETIME_STEP_BITS)

TtLifetimes *tt_lifetimes_new(void) {
    TtLifetimes *lifetimes = g_new0(TtLifetimes, 1);

    lifetimes->min = G_MAXUINT64;
    return lifetimes;
}

void tt_lifetimes_free(TtLifetimes *lifetimes) {
    if (!lifetimes)
        return;
    g_free(lifetimes->buckets);
    g_free(lifetimes);
}

static void halve(TtLifetimes *lifetimes) {
    lifetimes->halvings++;
    lifetimes->count = 0;
    for (guint i = 0; i < lifetimes->bucket_count; i++) {
        lifetimes->buckets[i] = lifetimes->buckets[i] / 2 + (lifetimes->buckets[i] & 1);
        lifetimes->count += lifetimes->buckets[i];
    }
}

static void resize(TtLifetimes *lifetimes, guint first, guint end) {
    guint32 *buckets = g_new0(guint32, end - first);

    if (lifetimes->bucket_count > 0)
        memcpy(buckets + (lifetimes->first - first), lifetimes->buckets,
               lifetimes->bucket_count * sizeof *buckets);
    g_free(lifetimes->buckets);
    lifetimes->buckets = buckets;
    lifetimes->first = (guint16)first;
    lifetimes->bucket_count = (guint16)(end - first);
}

G_GNUC_NO_INLINE void tt_lifetimes_widen(TtLifetimes *lifetimes, guint bucket) {
    guint first = lifetimes->first;
    guint end = first + lifetimes->bucket_count;

    if (lifetimes->bucket_count > 0 && bucket >= first && bucket < end) {
        halve(lifetimes);
        return;
    }
    if (lifetimes->bucket_count == 0)
        resize(lifetimes, bucket, bucket + 1);
    else if (bucket < first)
        resize(lifetimes, bucket - MIN(bucket, MARGIN_BUCKETS), end);
    else
        resize(lifetimes, first, MIN(bucket + 1 + MARGIN_BUCKETS, ALL_BUCKETS));
}

/* What is added after buckets were halved counts as much less. At least once: the share of so light
 * a one is too small to matter. */
void tt_lifetimes_add_many(TtLifetimes *lifetimes, guint64 ticks, guint64 weight) {
    guint bucket = tt_lifetimes_bucket(ticks);
    guint64 share;

    if (bucket - lifetimes->first >= lifetimes->bucket_count)
        tt_lifetimes_widen(lifetimes, bucket);
    guint32 *sum = &lifetimes->buckets[bucket - lifetimes->first];
    while ((share = MAX(weight >> MIN(lifetimes->halvings, 63), 1)) > G_MAXUINT32 - *sum)
        halve(lifetimes);
    *sum += (guint32)share;
    lifetimes->count += share;
    lifetimes->min = MIN(lifetimes->min, ticks);
    lifetimes->max = MAX(lifetimes->max, ticks);
}

void tt_lifetimes_merge(TtLifetimes *lifetimes, const TtLifetimes *other) {
    if (other->count == 0)
        return;
    for (guint i = 0; i < other->bucket_count; i++) {
        guint bucket = other->first + i;

        if (other->buckets[i] == 0)
            continue;
        if (bucket - lifetimes->first >= lifetimes->bucket_count)
            tt_lifetimes_widen(lifetimes, bucket);
        guint32 *sum = &lifetimes->buckets[bucket - lifetimes->first];
        guint32 added = MIN(other->buckets[i], G_MAXUINT32 - *sum);
        *sum += added;
        lifetimes->count += added;
    }
    lifetimes->min = MIN(lifetimes->min, other->min);
    lifetimes->max = MAX(lifetimes->max, other->max);
}

/* The middle of a bucket: at most half a bucket from any of its values. */
static guint64 bucket_middle(guint bucket) {
    if (bucket < 2u << TT_LIFETIME_STEP_BITS)
        return bucket;
    guint shift = (bucket >> TT_LIFETIME_STEP_BITS) - 1;
    guint64 step = (1u << TT_LIFETIME_STEP_BITS) + (bucket & ((1u << TT_LIFETIME_STEP_BITS) - 1));
    return (step << shift) + (((guint64)1 << shift) / 2);
}

guint64 tt_lifetimes_quantile(const TtLifetimes *lifetimes, gdouble share) {
    guint64 seen = 0;

    if (lifetimes->count == 0)
        return 0;

    guint64 rank = (guint64)((gdouble)(lifetimes->count - 1) * share + 0.5);
    for (guint i = 0; i < lifetimes->bucket_count; i++) {
        seen += lifetimes->buckets[i];
        if (seen > rank)
            return CLAMP(bucket_middle(lifetimes->first + i), lifetimes->min, lifetimes->max);
    }
    return lifetimes->max;
}

gsize tt_lifetimes_bytes(const TtLifetimes *lifetimes) {
    return sizeof *lifetimes + lifetimes->bucket_count * sizeof *lifetimes->buckets;
}
