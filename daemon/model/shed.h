/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that are counted only, for want of memory. Births are counted at their site, exactly. When
 * such a block is freed nobody knows which it was: a free of an unknown address, while there are
 * any, is taken for one of them, of a site drawn by lot (each block has one ticket) and of that
 * site's mean size. So sums balance at every moment, for the session and for each site; shares of
 * sites are estimates without bias while such blocks are being freed, and exact again once all
 * are. */
#pragma once

#include "model/sampling.h"

G_BEGIN_DECLS

/* In a sampled session: what a site's blocks stand for, as their bytes already say. */
typedef struct TtShedWeight {
    guint64 blocks;
    TtVariance variance;
} TtShedWeight;

/* Plain memory; all zero bytes are an empty one. */
typedef struct TtShed {
    guint64 blocks;           /* alive and counted only */
    guint64 ever;             /* births counted only */
    guint32 room;             /* sites; a power of two */
    guint64 *tree;            /* sums of blocks over ranges of sites (a Fenwick tree), from 1 */
    guint64 *of_blocks;       /* by site */
    guint64 *of_bytes;        /* by site */
    TtShedWeight *of_weights; /* by site; NULL in an exact session */
    guint32 weight_room;
    guint64 lot; /* state of the lottery; begins alike in every session */
} TtShed;

void tt_shed_clear(TtShed *shed);

/* Counts a block of a site (from 1). */
void tt_shed_add(TtShed *shed, guint32 site, guint64 size);

/* Takes one of the blocks away; there must be one. */
void tt_shed_take(TtShed *shed, guint32 *ret_site, guint64 *ret_size);

/* The same for the rest of a sampled block's weight, after the block. The variance that is taken is
 * of the blocks' mean too. */
void tt_shed_add_weight(TtShed *shed, guint32 site, guint64 blocks, const TtVariance *variance);
void tt_shed_take_weight(TtShed *shed, guint32 site, guint64 *ret_blocks, TtVariance *ret_variance);

gsize tt_shed_bytes(const TtShed *shed);

G_END_DECLS
