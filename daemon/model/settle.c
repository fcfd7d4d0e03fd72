/* SPDX-License-Identifier: Apache-2.0 */
/* Leads a snapshot back from the present to an earlier instant, step by step: a death since then is
 * taken back, then a birth since then. Each step keeps the books balanced, so they balance however
 * many steps are known. What is not known any more is told. */
#include "model/reader.h"

#define SLICE_ROWS 1024u

/* What a led-back state is made of. */
typedef struct Way {
    TtState *state;
    const TtSampling *sampling;
    GHashTable *site_of; /* owned; stack's id to index of its row, and one */
} Way;

static TtSiteRow *find_site(const Way *way, guint32 stack) {
    guint at = GPOINTER_TO_UINT(g_hash_table_lookup(way->site_of, GUINT_TO_POINTER(stack)));

    return at > 0 ? &way->state->sites[at - 1] : NULL;
}

static TtVariableRow *find_variable(const TtState *state, guint32 index) {
    return index < state->variable_count ? &state->variables[index] : NULL;
}

static TtScopeRow *find_scope(const TtState *state, guint32 index) {
    return index < state->scope_count ? &state->scopes[index] : NULL;
}

/* A block of a sample takes its variance with it, or brings it back. */
static void take_back_variance(const Way *way, const TtSiteRow *site, const TtBlockRow *row,
                               gboolean is_death) {
    TtState *state = way->state;
    TtVariance variance;
    TtAmount weight;

    if (!state->variances ||
        !tt_sampling_weigh(way->sampling, row->id, row->size, &weight, &variance))
        return;

    TtSiteVariance *sum = &state->variances[site - state->sites];
    if (is_death) {
        tt_variance_add(&sum->live, &variance);
    } else {
        tt_variance_subtract(&sum->live, &variance);
        tt_variance_subtract(&sum->cumulative, &variance);
    }
}

static void take_back_death(const Way *way, const TtBlockRow *row) {
    TtState *state = way->state;
    TtSiteRow *site = find_site(way, row->stack);
    TtVariableRow *variable = find_variable(state, row->variable);
    TtScopeRow *scope = find_scope(state, row->scope);

    state->totals.cumulative_frees -= row->weight.blocks;
    state->totals.cumulative_freed -= row->weight.bytes;
    state->totals.live_blocks += row->weight.blocks;
    state->totals.live_bytes += row->weight.bytes;
    if (site) {
        site->freed_blocks -= row->weight.blocks;
        site->freed_bytes -= row->weight.bytes;
        site->live_blocks += row->weight.blocks;
        site->live_bytes += row->weight.bytes;
        take_back_variance(way, site, row, TRUE);
    }
    if (row->thread < state->thread_count) {
        state->threads[row->thread].live_blocks += row->weight.blocks;
        state->threads[row->thread].live_bytes += row->weight.bytes;
    }
    if (row->freed_by < state->thread_count) {
        state->totals.events--;
        state->sample.frees--;
        state->threads[row->freed_by].frees -= row->weight.blocks;
        state->threads[row->freed_by].freed -= row->weight.bytes;
    }
    if (variable) {
        variable->live_blocks += row->weight.blocks;
        variable->live_bytes += row->weight.bytes;
    }
    if (scope) {
        scope->live_blocks += row->weight.blocks;
        scope->live_bytes += row->weight.bytes;
    }
}

static void take_back_birth(const Way *way, const TtBlockRow *row) {
    TtState *state = way->state;
    TtSiteRow *site = find_site(way, row->stack);
    TtVariableRow *variable = find_variable(state, row->variable);
    TtScopeRow *scope = find_scope(state, row->scope);

    state->totals.events--;
    state->sample.allocations--;
    state->totals.reallocations -= row->resized_from != 0;
    state->totals.cumulative_allocations -= row->weight.blocks;
    state->totals.cumulative_allocated -= row->weight.bytes;
    state->totals.live_blocks -= row->weight.blocks;
    state->totals.live_bytes -= row->weight.bytes;
    if (site) {
        site->cumulative_blocks -= row->weight.blocks;
        site->cumulative_bytes -= row->weight.bytes;
        site->live_blocks -= row->weight.blocks;
        site->live_bytes -= row->weight.bytes;
        take_back_variance(way, site, row, FALSE);
    }
    if (row->thread < state->thread_count) {
        TtThreadRow *thread = &state->threads[row->thread];

        thread->allocations -= row->weight.blocks;
        thread->allocated -= row->weight.bytes;
        thread->live_blocks -= row->weight.blocks;
        thread->live_bytes -= row->weight.bytes;
    }
    if (variable) {
        variable->live_blocks -= row->weight.blocks;
        variable->live_bytes -= row->weight.bytes;
    }
    if (scope) {
        scope->allocations -= row->weight.blocks;
        scope->allocated -= row->weight.bytes;
        scope->live_blocks -= row->weight.blocks;
        scope->live_bytes -= row->weight.bytes;
    }
}

/* What was born since leaves, what has died since comes back. */
static void take_steps(TtSnapshot *snapshot, const Way *way) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE_ROWS);
    gsize count;

    while (snapshot->fetch && (count = snapshot->fetch(snapshot->fetch_data, rows, SLICE_ROWS)) > 0)
        for (gsize i = 0; i < count; i++)
            if (!tt_snapshot_has_born(snapshot, &rows[i]))
                take_back_birth(way, &rows[i]);
    for (gsize i = snapshot->dead_count; i < snapshot->freed.count; i++) {
        tt_snapshot_fill_freed(snapshot, i, &rows[0]);
        take_back_death(way, &rows[0]);
        if (!tt_snapshot_has_born(snapshot, &rows[0]))
            take_back_birth(way, &rows[0]);
    }
}

/* Not to be had from what remains. */
static void drop_unknown(TtState *state) {
    state->totals.temporary_allocations = 0;
    if (state->variances)
        state->totals.reallocations = 0; /* by weights of old blocks, which may have left */
    for (gsize i = 0; i < state->site_count; i++) {
        TtSiteRow *site = &state->sites[i];

        site->temporary_blocks = 0;
        site->lifetime_min_ns = site->lifetime_median_ns = 0;
        site->lifetime_p95_ns = site->lifetime_max_ns = 0;
    }
}

/* ---- Sums that are known ---- */

static void set_variance(TtVariance *live, TtVariance *cumulative, const TtVariance *known) {
    *live = *known;
    cumulative->blocks = MAX(cumulative->blocks, known->blocks);
    cumulative->bytes = MAX(cumulative->bytes, known->bytes);
}

static void set_live(guint64 *live, guint64 *freed, guint64 *cumulative, guint64 inherited,
                     guint64 known) {
    *live = known;
    *cumulative = MAX(*cumulative, known - MIN(known, inherited));
    *freed = *cumulative + inherited - known;
}

/* At the peak each site held its share, whatever of it is still listed. */
static void set_shares(TtState *state) {
    TtTotals *totals = &state->totals;
    guint64 blocks = 0, bytes = 0;

    for (gsize i = 0; i < state->site_count; i++) {
        TtSiteRow *site = &state->sites[i];

        set_live(&site->live_blocks, &site->freed_blocks, &site->cumulative_blocks,
                 site->inherited_blocks, site->peak_blocks);
        set_live(&site->live_bytes, &site->freed_bytes, &site->cumulative_bytes,
                 site->inherited_bytes, site->peak_bytes);
        if (state->variances)
            set_variance(&state->variances[i].live, &state->variances[i].cumulative,
                         &state->variances[i].peak);
        blocks += site->cumulative_blocks;
        bytes += site->cumulative_bytes;
    }
    totals->cumulative_allocations = blocks;
    totals->cumulative_allocated = bytes;
    set_live(&totals->live_blocks, &totals->cumulative_frees, &blocks, totals->inherited_blocks,
             totals->peak_blocks);
    set_live(&totals->live_bytes, &totals->cumulative_freed, &bytes, totals->inherited_bytes,
             totals->peak_bytes);
}

static void clear_sums(TtState *state) {
    state->totals = (TtTotals){.inherited_blocks = state->totals.inherited_blocks,
                               .inherited_bytes = state->totals.inherited_bytes};
    state->sample = (TtSample){.mean_bytes = state->sample.mean_bytes};
    state->site_count = 0;
    for (gsize i = 0; i < state->thread_count; i++)
        state->threads[i] =
            (TtThreadRow){.tid = state->threads[i].tid, .name = state->threads[i].name};
    for (gsize i = 0; i < state->variable_count; i++)
        state->variables[i].live_blocks = state->variables[i].live_bytes = 0;
    for (gsize i = 0; i < state->scope_count; i++)
        state->scopes[i].live_blocks = state->scopes[i].live_bytes = 0;
}

/* ---- Time ---- */

/* Ends the timeline at the instant, and returns the greatest of its points. */
static TtTimePoint cut_timeline(TtState *state, guint64 time_ns) {
    TtTimePoint now = {time_ns, state->totals.live_bytes, state->totals.live_blocks}, most = {0};
    gsize count = 0;

    while (count < state->timeline_count && state->timeline[count].t_ns <= time_ns) {
        if (state->timeline[count].live_bytes > most.live_bytes)
            most = state->timeline[count];
        count++;
    }
    state->timeline = g_renew(TtTimePoint, state->timeline, count + 1);
    if (count == 0 || state->timeline[count - 1].t_ns != now.t_ns ||
        state->timeline[count - 1].live_bytes != now.live_bytes ||
        state->timeline[count - 1].live_blocks != now.live_blocks)
        state->timeline[count++] = now;
    state->timeline_count = count;
    return now.live_bytes >= most.live_bytes ? now : most;
}

/* The row of the site "no stack", which is made where there is none. */
static gsize ensure_no_stack(TtState *state) {
    for (gsize i = 0; i < state->site_count; i++)
        if (state->sites[i].stack == TT_STACK_NONE)
            return i;
    state->sites = g_renew(TtSiteRow, state->sites, state->site_count + 1);
    state->sites[state->site_count] = (TtSiteRow){.stack = TT_STACK_NONE};
    if (state->variances) {
        state->variances = g_renew(TtSiteVariance, state->variances, state->site_count + 1);
        state->variances[state->site_count] = (TtSiteVariance){.peak = {0}};
    }
    return state->site_count++;
}

/* Has the site "no stack" bear what is known of the peak. A sample's variance then is not known; it
 * was no more than that of all that had been born. */
static void add_unshared_peak(TtState *state, const TtTimePoint *peak) {
    gsize bearer = ensure_no_stack(state);
    TtVariance most = {.blocks = 0};

    for (gsize i = 0; i < state->site_count; i++) {
        state->sites[i].peak_bytes = state->sites[i].peak_blocks = 0;
        if (!state->variances)
            continue;
        tt_variance_add(&most, &state->variances[i].cumulative);
        state->variances[i].peak = (TtVariance){.blocks = 0};
    }
    state->sites[bearer].peak_bytes = peak->live_bytes;
    state->sites[bearer].peak_blocks = peak->live_blocks;
    if (state->variances)
        state->variances[bearer].peak = most;
}

/* The peak up to the instant, where it came before the session's. */
static void set_earlier_peak(TtSnapshot *snapshot, const TtTimePoint *most) {
    TtState *state = snapshot->state;

    state->totals.peak_bytes = most->live_bytes;
    state->totals.peak_blocks = most->live_blocks;
    state->totals.peak_ns = most->t_ns;
    if (most->live_bytes > state->totals.live_bytes) {
        add_unshared_peak(state, most);
        tt_completeness_doubt(&snapshot->completeness,
                              "The peak up to this instant is the greatest that the timeline tells "
                              "of; what each stack held then is not known any more.");
        return;
    }
    for (gsize i = 0; i < state->site_count; i++) {
        state->sites[i].peak_bytes = state->sites[i].live_bytes;
        state->sites[i].peak_blocks = state->sites[i].live_blocks;
        if (state->variances)
            state->variances[i].peak = state->variances[i].live;
    }
}

static void set_time(TtSnapshot *snapshot) {
    TtState *state = snapshot->state;
    guint64 time_ns = snapshot->instant.t_ns;
    TtTimePoint most = cut_timeline(state, time_ns);

    state->time_ns = time_ns;
    if (state->totals.peak_ns > time_ns)
        set_earlier_peak(snapshot, &most);
    for (gsize i = 0; i < state->module_count; i++)
        if (state->modules[i].removed_ns > time_ns)
            state->modules[i].removed_ns = TT_TIME_NONE;
}

/* ---- What is missing ---- */

/* Blocks of the sums that are not among the listed, and the other way round. */
typedef struct Difference {
    guint64 missing_blocks, missing_bytes, surplus_blocks;
} Difference;

static void compare_shares(const TtState *state, Difference *ret_difference) {
    for (gsize i = 0; i < state->site_count; i++) {
        const TtSiteRow *site = &state->sites[i];

        if (site->live_blocks < site->peak_blocks)
            ret_difference->missing_blocks += site->peak_blocks - site->live_blocks;
        else
            ret_difference->surplus_blocks += site->live_blocks - site->peak_blocks;
        if (site->live_bytes < site->peak_bytes)
            ret_difference->missing_bytes += site->peak_bytes - site->live_bytes;
    }
}

static void compare_sums(const TtSnapshot *snapshot, guint64 blocks, guint64 bytes,
                         Difference *ret_difference) {
    guint64 known = snapshot->known_blocks;

    ret_difference->missing_blocks = known > blocks ? known - blocks : 0;
    ret_difference->surplus_blocks = known > blocks ? 0 : blocks - known;
    if (snapshot->known_bytes > bytes)
        ret_difference->missing_bytes = snapshot->known_bytes - bytes;
}

static void declare(TtSnapshot *snapshot, const Difference *difference) {
    TtCompleteness *completeness = &snapshot->completeness;

    if (!snapshot->is_sum_known && !snapshot->has_all_dead) {
        completeness->unlisted_blocks = completeness->unlisted_bytes = TT_COUNT_UNKNOWN;
        tt_completeness_doubt(completeness,
                              "The freed blocks that are kept do not go back to this instant: what "
                              "was alive then may be missing, and what lived and died since may be "
                              "counted as freed before.");
        return;
    }
    completeness->unlisted_blocks = difference->missing_blocks;
    completeness->unlisted_bytes = difference->missing_bytes;
    if (difference->missing_blocks > 0)
        tt_completeness_doubt(completeness,
                              "%" G_GUINT64_FORMAT " blocks that were alive at this instant are "
                              "not listed: they have been freed since, and are not kept.",
                              difference->missing_blocks);
    if (difference->surplus_blocks > 0)
        tt_completeness_doubt(completeness,
                              "Several events bear the time of this instant; some blocks are "
                              "listed that came or went just then.");
    if (tt_snapshot_is_led_back(snapshot) && !snapshot->has_all_dead)
        tt_completeness_doubt(completeness, "What was born and freed since this instant may be "
                                            "counted as freed before.");
}

/* ---- All of it ---- */

static void lead_back(TtSnapshot *snapshot, Difference *ret_difference) {
    TtState *state = snapshot->state;
    g_autoptr(GHashTable) site_of = g_hash_table_new(NULL, NULL);
    Way way = {.state = state, .sampling = &snapshot->sampling, .site_of = site_of};

    for (gsize i = 0; i < state->site_count; i++)
        g_hash_table_insert(site_of, GUINT_TO_POINTER(state->sites[i].stack),
                            GUINT_TO_POINTER((guint)i + 1));
    take_steps(snapshot, &way);
    drop_unknown(state);
    if (snapshot->end_id == 1 && state->totals.inherited_blocks == 0)
        clear_sums(state);
    if (snapshot->instant.kind == TT_INSTANT_PEAK && snapshot->is_sum_known) {
        compare_shares(state, ret_difference);
        set_shares(state);
    } else if (snapshot->is_sum_known) {
        compare_sums(snapshot, state->totals.live_blocks, state->totals.live_bytes, ret_difference);
    }
    set_time(snapshot);
    tt_state_set_errors(state);
}

static void count_listed(TtSnapshot *snapshot, Difference *ret_difference) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE_ROWS);
    guint64 blocks = 0, bytes = 0;
    gsize count;

    tt_snapshot_rewind_live(snapshot);
    while ((count = tt_snapshot_next_live(snapshot, rows, SLICE_ROWS)) > 0) {
        for (gsize i = 0; i < count; i++) {
            blocks += rows[i].weight.blocks;
            bytes += rows[i].weight.bytes;
        }
    }
    compare_sums(snapshot, blocks, bytes, ret_difference);
}

void tt_snapshot_settle(TtSnapshot *snapshot) {
    Difference difference = {0};

    if (snapshot->lives)
        tt_snapshot_settle_lives(snapshot);
    if (!snapshot->is_filtered)
        return;
    if (tt_snapshot_is_led_back(snapshot))
        lead_back(snapshot, &difference);
    else
        count_listed(snapshot, &difference);
    declare(snapshot, &difference);
    tt_snapshot_rewind_live(snapshot);
}
