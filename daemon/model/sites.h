/* SPDX-License-Identifier: Apache-2.0 */
/* Sites: what the blocks of one stack add up to, alive, ever and at the session's peak.
 *
 * Shares of the peak are exact without a copy at each peak. The epoch advances with every new peak;
 * a site that is about to change saves what it holds the first time in an epoch. So at any moment a
 * site's share of the last peak is what it saved, if it saved in this epoch, and else what it
 * holds: it has not changed since.
 *
 *   event            site A   site B   live   epoch
 *   birth 10 at A    10                10     1 -> 2   a peak
 *   birth  5 at B             5        15     2 -> 3   a peak
 *   death 10 at A    0 (10)            5      3        A saves 10
 *   birth  7 at B             12 (5)   12     3        B saves 5: shares are 10 and 5
 */
#pragma once

#include "model/lifetimes.h"
#include "model/sampling.h"
#include "model/stacks.h"

G_BEGIN_DECLS

typedef struct TtSite {
    guint64 live_bytes, live_blocks;
    guint64 cumulative_bytes, cumulative_blocks;
    guint64 peak_bytes, peak_blocks; /* saved in peak_epoch */
    guint64 temporary_blocks;
    guint64 peak_epoch : 40; /* each epoch raised the peak by a byte: past 1 TiB at the earliest */
    guint64 histogram : 24;  /* number in TtSites.lifetimes; 0: none yet */
} TtSite;

G_STATIC_ASSERT(sizeof(TtSite) == 64);

#define TT_EPOCH_MAX (((guint64)1 << 40) - 1)
#define TT_SITES_MAX (1u << 24)
#define TT_SITE_OTHER 1u /* events whose stack is not known, or past the limit of stacks */

/* A lifetime that waits for its histogram. */
typedef struct TtPendingLifetime {
    guint64 ticks;
    guint32 site;
} TtPendingLifetime;

#define TT_PENDING_MAX 128u

/* How far off a site's sums may be, in a sampled session. */
typedef struct TtSiteVariance {
    TtVariance live, cumulative;
    TtVariance peak; /* saved when the site's share was */
} TtSiteVariance;

typedef struct TtSites {
    TtStacks *stacks; /* owned reference */
    guint32 count;    /* sites; 0 is none */
    guint32 room;
    TtSite *sites;
    guint32 *stack_of; /* a site's stack */
    guint32 *site_of;  /* a stack's site, 0: none yet */
    guint32 site_of_room;
    TtSiteVariance *variances; /* by site; NULL: none of a block of a sample was told */
    guint32 variance_room;
    GPtrArray *lifetimes; /* of TtLifetimes; [0] is NULL */
    TtAmount *inherited;  /* by site: alive when the session began; NULL: nothing was */
    guint32 inherited_room;
    guint64 peak_epoch;
    guint64 peak_bytes, peak_blocks;
    guint64 peak_tick; /* when */
    guint pending_count;
    TtPendingLifetime pending[TT_PENDING_MAX];
} TtSites;

void tt_sites_init(TtSites *sites, TtStacks *stacks);
void tt_sites_clear(TtSites *sites);

/* The site of a stack that has none yet: a new one, or TT_SITE_OTHER. Cold. */
guint32 tt_sites_add(TtSites *sites, guint32 stack);

static inline guint32 tt_sites_get_number(TtSites *sites, guint32 stack) {
    guint32 number = G_LIKELY(stack < sites->site_of_room) ? sites->site_of[stack] : 0;

    return G_LIKELY(number != 0) ? number : tt_sites_add(sites, stack);
}

static inline TtSite *tt_sites_get(const TtSites *sites, guint32 number) {
    return &sites->sites[number];
}

static inline void tt_site_save(TtSites *sites, TtSite *site) {
    if (site->peak_epoch != sites->peak_epoch) {
        site->peak_epoch = sites->peak_epoch;
        site->peak_bytes = site->live_bytes;
        site->peak_blocks = site->live_blocks;
    }
}

static inline void tt_sites_add_block(TtSites *sites, guint32 number, TtAmount weight) {
    TtSite *site = tt_sites_get(sites, number);

    tt_site_save(sites, site);
    site->live_bytes += weight.bytes;
    site->live_blocks += weight.blocks;
    site->cumulative_bytes += weight.bytes;
    site->cumulative_blocks += weight.blocks;
}

static inline void tt_sites_remove_block(TtSites *sites, guint32 number, TtAmount weight) {
    TtSite *site = tt_sites_get(sites, number);

    tt_site_save(sites, site);
    site->live_bytes -= weight.bytes;
    site->live_blocks -= weight.blocks;
}

/* Counts a block that was alive when the session began. Cold. */
void tt_sites_inherit(TtSites *sites, guint32 number, TtAmount weight);

/* What a site began with. */
static inline TtAmount tt_sites_get_inherited(const TtSites *sites, guint32 number) {
    static const TtAmount nothing = {.blocks = 0};

    return number < sites->inherited_room ? sites->inherited[number] : nothing;
}

/* The same for the variance that a block of a sample brings: before the block itself, whose change
 * ends the site's share of the peak. */
void tt_sites_add_variance(TtSites *sites, guint32 number, const TtVariance *variance);
void tt_sites_remove_variance(TtSites *sites, guint32 number, const TtVariance *variance);

/* Adds the pending lifetimes to their histograms: before anybody looks. */
void tt_sites_drain_lifetimes(TtSites *sites);

/* Notes how long a block lived. Histograms are seldom in the cache, and nothing waits for them:
 * they are written some dozens at a time. */
static inline void tt_sites_note_lifetime(TtSites *sites, guint32 number, guint64 ticks) {
    if (G_UNLIKELY(sites->pending_count == TT_PENDING_MAX))
        tt_sites_drain_lifetimes(sites);
    sites->pending[sites->pending_count++] = (TtPendingLifetime){.ticks = ticks, .site = number};
}

/* The same at once, for as many blocks as one of a sample stands for. */
void tt_sites_add_lifetime(TtSites *sites, guint32 number, guint64 ticks, guint64 weight);

/* After each step of the session's live bytes, not in the midst of a reallocation. */
static inline void tt_sites_note_total(TtSites *sites, guint64 bytes, guint64 blocks,
                                       guint64 tick) {
    if (bytes > sites->peak_bytes) {
        sites->peak_bytes = bytes;
        sites->peak_blocks = blocks;
        sites->peak_tick = tick;
        if (G_LIKELY(sites->peak_epoch < TT_EPOCH_MAX))
            sites->peak_epoch++;
    }
}

/* Returns: (transfer full): rows of the sites that have had a block, in order of site; g_free. */
TtSiteRow *tt_sites_copy(const TtSites *sites, const TtTimescale *scale, gsize *ret_count);

/* Returns: (transfer full): one for each of tt_sites_copy()'s rows; g_free. Each has its peak. */
TtSiteVariance *tt_sites_copy_variances(const TtSites *sites);

/* Blocks are in the sample or not each for itself, so variances add up, of sites as of blocks. */
void tt_site_variance_add(TtSiteVariance *sum, const TtSiteVariance *other);
TtErrors tt_site_variance_get_errors(const TtSiteVariance *variance);

/* Births so far whose stack was cut. */
guint64 tt_sites_count_truncated(const TtSites *sites);

gsize tt_sites_bytes(const TtSites *sites);

G_END_DECLS
