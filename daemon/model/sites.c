/* SPDX-License-Identifier: Apache-2.0 */
/* Sites are numbered apart from stacks: most nodes of the tree are callers in whose name nothing is
 * allocated, and 64 bytes each would be too much for them. */
#include "model/sites.h"

void tt_sites_init(TtSites *sites, TtStacks *stacks) {
    *sites = (TtSites){
        .stacks = tt_stacks_ref(stacks),
        .count = TT_SITE_OTHER + 1,
        .room = 64,
        .site_of_room = 64,
        .lifetimes = g_ptr_array_new(),
        .peak_epoch = 1,
    };
    sites->sites = g_new0(TtSite, sites->room);
    sites->stack_of = g_new0(guint32, sites->room);
    sites->site_of = g_new0(guint32, sites->site_of_room);
    sites->stack_of[TT_SITE_OTHER] = TT_STACK_NONE;
    for (guint32 stack = 0; stack < TT_STACK_FIRST; stack++)
        sites->site_of[stack] = TT_SITE_OTHER;
    g_ptr_array_add(sites->lifetimes, NULL);
}

void tt_sites_clear(TtSites *sites) {
    if (sites->lifetimes)
        for (guint i = 0; i < sites->lifetimes->len; i++)
            tt_lifetimes_free(sites->lifetimes->pdata[i]);
    g_clear_pointer(&sites->lifetimes, g_ptr_array_unref);
    g_clear_pointer(&sites->sites, g_free);
    g_clear_pointer(&sites->stack_of, g_free);
    g_clear_pointer(&sites->site_of, g_free);
    g_clear_pointer(&sites->variances, g_free);
    g_clear_pointer(&sites->inherited, g_free);
    g_clear_pointer(&sites->stacks, tt_stacks_unref);
}

G_GNUC_NO_INLINE guint32 tt_sites_add(TtSites *sites, guint32 stack) {
    /* Not defined, or past the limit. It may still be defined, so this is not remembered. */
    if (!tt_stacks_read_flags(sites->stacks, stack) || sites->count == TT_SITES_MAX)
        return TT_SITE_OTHER;

    if (stack >= sites->site_of_room) {
        guint32 room = MAX(sites->site_of_room * 2, stack + 1);

        sites->site_of = g_renew(guint32, sites->site_of, room);
        memset(sites->site_of + sites->site_of_room, 0,
               (room - sites->site_of_room) * sizeof *sites->site_of);
        sites->site_of_room = room;
    }
    if (sites->count == sites->room) {
        sites->room *= 2;
        sites->sites = g_renew(TtSite, sites->sites, sites->room);
        sites->stack_of = g_renew(guint32, sites->stack_of, sites->room);
    }
    sites->sites[sites->count] = (TtSite){.live_bytes = 0};
    sites->stack_of[sites->count] = stack;
    sites->site_of[stack] = sites->count;
    return sites->count++;
}

void tt_sites_inherit(TtSites *sites, guint32 number, TtAmount weight) {
    TtSite *site = tt_sites_get(sites, number);

    if (number >= sites->inherited_room) {
        sites->inherited = g_renew(TtAmount, sites->inherited, sites->room);
        memset(sites->inherited + sites->inherited_room, 0,
               (sites->room - sites->inherited_room) * sizeof *sites->inherited);
        sites->inherited_room = sites->room;
    }
    sites->inherited[number].blocks += weight.blocks;
    sites->inherited[number].bytes += weight.bytes;
    tt_site_save(sites, site);
    site->live_bytes += weight.bytes;
    site->live_blocks += weight.blocks;
}

/* Has a site had a block? */
static gboolean is_used(const TtSites *sites, guint32 number) {
    return sites->sites[number].cumulative_blocks > 0 ||
           tt_sites_get_inherited(sites, number).blocks > 0;
}

static TtLifetimes *ensure_lifetimes(TtSites *sites, guint32 number) {
    TtSite *site = tt_sites_get(sites, number);

    if (G_UNLIKELY(site->histogram == 0)) {
        site->histogram = sites->lifetimes->len; /* at most one a site: 24 bits hold it */
        g_ptr_array_add(sites->lifetimes, tt_lifetimes_new());
    }
    return sites->lifetimes->pdata[site->histogram];
}

/* In three rounds, so that memory is waited for once a round and not once a lifetime. */
void tt_sites_drain_lifetimes(TtSites *sites) {
    TtLifetimes *lifetimes[TT_PENDING_MAX];

    for (guint i = 0; i < sites->pending_count; i++) {
        lifetimes[i] = ensure_lifetimes(sites, sites->pending[i].site);
        __builtin_prefetch(lifetimes[i], 1);
    }
    for (guint i = 0; i < sites->pending_count; i++)
        __builtin_prefetch(tt_lifetimes_place(lifetimes[i], sites->pending[i].ticks), 1);
    for (guint i = 0; i < sites->pending_count; i++)
        tt_lifetimes_add(lifetimes[i], sites->pending[i].ticks);
    sites->pending_count = 0;
}

void tt_sites_add_lifetime(TtSites *sites, guint32 number, guint64 ticks, guint64 weight) {
    tt_lifetimes_add_many(ensure_lifetimes(sites, number), ticks, weight);
}

/* ---- Errors ---- */

/* The site's variance, about to change with its sums. */
static TtSiteVariance *change_variance(TtSites *sites, guint32 number) {
    if (number >= sites->variance_room) {
        sites->variances = g_renew(TtSiteVariance, sites->variances, sites->room);
        memset(sites->variances + sites->variance_room, 0,
               (sites->room - sites->variance_room) * sizeof *sites->variances);
        sites->variance_room = sites->room;
    }

    TtSiteVariance *variance = &sites->variances[number];
    if (sites->sites[number].peak_epoch != sites->peak_epoch)
        variance->peak = variance->live;
    return variance;
}

void tt_sites_add_variance(TtSites *sites, guint32 number, const TtVariance *variance) {
    TtSiteVariance *sum = change_variance(sites, number);

    tt_variance_add(&sum->live, variance);
    tt_variance_add(&sum->cumulative, variance);
}

void tt_sites_remove_variance(TtSites *sites, guint32 number, const TtVariance *variance) {
    tt_variance_subtract(&change_variance(sites, number)->live, variance);
}

void tt_site_variance_add(TtSiteVariance *sum, const TtSiteVariance *other) {
    tt_variance_add(&sum->live, &other->live);
    tt_variance_add(&sum->cumulative, &other->cumulative);
    tt_variance_add(&sum->peak, &other->peak);
}

TtErrors tt_site_variance_get_errors(const TtSiteVariance *variance) {
    TtVariance freed = variance->cumulative;

    tt_variance_subtract(&freed, &variance->live);
    return (TtErrors){
        .live = tt_variance_get_error(&variance->live),
        .cumulative = tt_variance_get_error(&variance->cumulative),
        .freed = tt_variance_get_error(&freed),
        .peak = tt_variance_get_error(&variance->peak),
    };
}

TtSiteVariance *tt_sites_copy_variances(const TtSites *sites) {
    TtSiteVariance *variances = g_new0(TtSiteVariance, sites->count);
    gsize count = 0;

    for (guint32 i = 1; i < sites->count; i++) {
        const TtSite *site = &sites->sites[i];
        TtSiteVariance *variance = &variances[count];

        if (!is_used(sites, i))
            continue;
        if (i < sites->variance_room)
            *variance = sites->variances[i];
        if (site->peak_epoch != sites->peak_epoch)
            variance->peak = variance->live;
        count++;
    }
    return variances;
}

/* ---- Copies ---- */

static guint64 scale_ticks(const TtTimescale *scale, guint64 ticks) {
    return tt_timescale_ns(scale, scale->start_stamp + ticks);
}

TtSiteRow *tt_sites_copy(const TtSites *sites, const TtTimescale *scale, gsize *ret_count) {
    TtSiteRow *rows = g_new(TtSiteRow, sites->count);
    gsize count = 0;

    for (guint32 i = 1; i < sites->count; i++) {
        const TtSite *site = &sites->sites[i];
        const TtLifetimes *lifetimes = sites->lifetimes->pdata[site->histogram];
        TtAmount inherited = tt_sites_get_inherited(sites, i);
        gboolean has_saved = site->peak_epoch == sites->peak_epoch;

        if (!is_used(sites, i))
            continue;
        TtSiteRow *row = &rows[count++];
        *row = (TtSiteRow){
            .stack = sites->stack_of[i],
            .live_blocks = site->live_blocks,
            .live_bytes = site->live_bytes,
            .cumulative_blocks = site->cumulative_blocks,
            .cumulative_bytes = site->cumulative_bytes,
            .inherited_blocks = inherited.blocks,
            .inherited_bytes = inherited.bytes,
            .freed_blocks = site->cumulative_blocks + inherited.blocks - site->live_blocks,
            .freed_bytes = site->cumulative_bytes + inherited.bytes - site->live_bytes,
            .peak_bytes = has_saved ? site->peak_bytes : site->live_bytes,
            .peak_blocks = has_saved ? site->peak_blocks : site->live_blocks,
            .temporary_blocks = site->temporary_blocks,
        };
        if (lifetimes) {
            row->lifetime_min_ns = scale_ticks(scale, lifetimes->min);
            row->lifetime_median_ns = scale_ticks(scale, tt_lifetimes_quantile(lifetimes, 0.5));
            row->lifetime_p95_ns = scale_ticks(scale, tt_lifetimes_quantile(lifetimes, 0.95));
            row->lifetime_max_ns = scale_ticks(scale, lifetimes->max);
        }
    }
    *ret_count = count;
    return rows;
}

guint64 tt_sites_count_truncated(const TtSites *sites) {
    guint64 count = 0;

    for (guint32 i = 1; i < sites->count; i++)
        if (tt_stacks_read_flags(sites->stacks, sites->stack_of[i]) & TT_NODE_IS_TRUNCATED)
            count += sites->sites[i].cumulative_blocks;
    return count;
}

gsize tt_sites_bytes(const TtSites *sites) {
    gsize bytes = (gsize)sites->room * (sizeof(TtSite) + sizeof(guint32)) +
                  (gsize)sites->site_of_room * sizeof(guint32) +
                  (gsize)sites->variance_room * sizeof(TtSiteVariance) +
                  (gsize)sites->inherited_room * sizeof(TtAmount);

    for (guint i = 1; i < sites->lifetimes->len; i++)
        bytes += tt_lifetimes_bytes(sites->lifetimes->pdata[i]);
    return bytes;
}
