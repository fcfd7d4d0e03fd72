/* SPDX-License-Identifier: Apache-2.0 */
#include "model/sampling.h"

#include <math.h>
#include <string.h>

#include "model/lot.h"

#define VARIANCE_UNIT 256.0
#define LOT_BITS 32u

void tt_sampling_init(TtSampling *sampling, const TtSessionInfo *info) {
    *sampling = (TtSampling){.mean_bytes = info->sample_bytes};
    memcpy(&sampling->lot, info->id, sizeof sampling->lot);
}

/* @value: x/p. @missed: 1 - p. @lot: of LOT_BITS bits */
static void weigh(double value, double missed, guint64 lot, guint64 *ret_weight,
                  unsigned __int128 *ret_variance) {
    double whole = floor(value), fraction = value - whole;
    double variance = missed * value * value + fraction * (1 - fraction);

    *ret_weight = (guint64)whole + ((double)lot < ldexp(fraction, LOT_BITS));
    *ret_variance = (unsigned __int128)(variance * VARIANCE_UNIT + 0.5);
}

gboolean tt_sampling_weigh(const TtSampling *sampling, guint64 id, guint64 size,
                           TtAmount *ret_weight, TtVariance *ret_variance) {
    double distance = (double)MAX(size, 1) / (double)sampling->mean_bytes;
    double missed = exp(-distance), p = -expm1(-distance);
    double blocks = 1 / p, bytes = (double)size / p;
    guint64 lots = tt_lot_draw(sampling->lot + id * TT_LOT_STEP);

    if (!(blocks < (double)TT_WEIGHT_END - 1 && bytes < (double)TT_WEIGHT_END - 1))
        return FALSE;
    weigh(blocks, missed, lots >> LOT_BITS, &ret_weight->blocks, &ret_variance->blocks);
    weigh(bytes, missed, (guint32)lots, &ret_weight->bytes, &ret_variance->bytes);
    return TRUE;
}

static guint64 get_error(unsigned __int128 variance) {
    return (guint64)ceil(sqrt((double)variance / VARIANCE_UNIT));
}

TtAmount tt_variance_get_error(const TtVariance *variance) {
    return (TtAmount){.blocks = get_error(variance->blocks), .bytes = get_error(variance->bytes)};
}
