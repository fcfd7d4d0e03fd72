/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of a session of which only a sample is told (Poisson sampling by bytes).
 *
 * A birth of @size bytes is in the sample with probability p = 1 - exp(-max(size, 1) / mean). So a
 * block of the sample stands for 1/p blocks and size/p bytes (Horvitz and Thompson), and the sum of
 * these weights over any set of blocks is an estimate of that set without bias. Sums are integers
 * that balance to the last byte, so a weight is rounded up or down by lot, such that it is right on
 * average. The lot is a hash of the block's id: a death finds the very weight that the birth was
 * counted with, from what every block's record has. Nothing is stored, nothing drifts.
 *
 * How far off such a sum may be is estimated by its variance, the sum over its blocks of
 *
 *   (1 - p) (x/p)² + f (1 - f)     x: 1 for blocks, the size for bytes; f: the fraction of x/p
 *
 * where the second term is the rounding's: little beside bytes, as much as the first beside blocks
 * larger than the mean. It is an integer too (of 256ths), and so exactly 0 once all are gone. */
#pragma once

#include "model/snapshot.h"

G_BEGIN_DECLS

/* A greater weight would have the sums of variances wrap: as many squares of this as sums of
 * weights (TT_SUM_MAX) hold are 2^119, of 256ths 2^127. */
#define TT_WEIGHT_END ((guint64)1 << 56)

/* Plain memory; all zero bytes are those of a session that tells every event. */
typedef struct TtSampling {
    guint64 mean_bytes;  /* 0: every event is told */
    guint64 lot;         /* the session's: others round blocks of the same ids otherwise */
    guint64 allocations; /* births by weight; their bytes are the session's own sum */
    guint64 deaths;      /* blocks of the sample that have died */
} TtSampling;

void tt_sampling_init(TtSampling *sampling, const TtSessionInfo *info);

/* What a block of the sample stands for, and the variance that it brings. FALSE: more than sums can
 * hold; nothing is set. */
gboolean tt_sampling_weigh(const TtSampling *sampling, guint64 id, guint64 size,
                           TtAmount *ret_weight, TtVariance *ret_variance);

/* What a block that was counted counts for, in any session. */
static inline TtAmount tt_sampling_get_weight(const TtSampling *sampling, guint64 id,
                                              guint64 size) {
    TtAmount weight = {.blocks = 1, .bytes = size};
    TtVariance variance;

    if (sampling->mean_bytes > 0)
        (void)tt_sampling_weigh(sampling, id, size, &weight, &variance);
    return weight;
}

static inline void tt_variance_add(TtVariance *sum, const TtVariance *other) {
    sum->blocks += other->blocks;
    sum->bytes += other->bytes;
}

static inline void tt_variance_subtract(TtVariance *sum, const TtVariance *other) {
    sum->blocks -= other->blocks;
    sum->bytes -= other->bytes;
}

G_END_DECLS
