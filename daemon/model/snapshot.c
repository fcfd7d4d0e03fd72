/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot is made in one go by the session's owner, and shares with it only what never changes:
 * the nodes of stacks, and strings that count their references. So it outlives the session, and any
 * thread may free it. Live blocks are not in it; they are read through a pin, by the owner. */
#include "model/session-state.h"

struct TtSnapshot {
    TtSessionInfo *info;
    TtSessionState state;
    gint exit_status;
    guint64 time_ns;
    TtTotals totals;
    TtCompleteness completeness;

    TtSampling sampling;
    TtSample sample;       /* zero in an exact session */
    TtErrors *site_errors; /* NULL in an exact session */
    TtSiteRow *sites;
    gsize site_count;
    TtModuleRow *modules;
    gsize module_count;
    TtThreadRow *threads;
    gsize thread_count;
    TtVariableRow *variables;
    gsize variable_count;
    TtScopeRow *scopes;
    gsize scope_count;
    TtTimePoint *timeline;
    gsize timeline_count;
    TtMarkRow *marks;
    gsize mark_count;
    TtGapRow *gaps;
    gsize gap_count;

    TtStacks *stacks;
    guint32 *stack_of; /* of a site, as the freed name them */
    TtFreedCopy freed;

    TtLiveFetch fetch;
    void (*rewind)(gpointer data);
    gpointer fetch_data;
};

static TtTotals copy_totals(const TtSession *session) {
    return (TtTotals){
        .live_blocks = session->live_blocks,
        .live_bytes = session->live_bytes,
        .cumulative_allocations = tt_session_count_allocations(session),
        .cumulative_allocated = session->allocated,
        .cumulative_frees = session->frees,
        .cumulative_freed = session->freed,
        .reallocations = session->reallocations,
        .temporary_allocations = session->temporary,
        .peak_bytes = session->sites.peak_bytes,
        .peak_blocks = session->sites.peak_blocks,
        .peak_ns = tt_session_tick_ns(session, session->sites.peak_tick),
        .events = tt_session_count_events(session),
    };
}

static GPtrArray *copy_doubts(const TtSession *session) {
    GPtrArray *doubts = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < session->doubts->len; i++)
        g_ptr_array_add(doubts, g_strdup(session->doubts->pdata[i]));
    if (session->shed.ever > 0)
        g_ptr_array_add(doubts, g_strdup_printf("Memory for blocks ran out: %" G_GUINT64_FORMAT
                                                " blocks were counted only.",
                                                session->shed.ever));
    if (session->stacks->has_shed)
        g_ptr_array_add(doubts, g_strdup("There were more stacks than are kept; the rest is shown "
                                         "without a stack."));
    if (session->names.shed_marks > 0)
        g_ptr_array_add(doubts,
                        g_strdup_printf("There were more marks than are kept: %" G_GUINT64_FORMAT
                                        " are left out.",
                                        session->names.shed_marks));
    if (session->modules.has_cut)
        g_ptr_array_add(doubts, g_strdup("Some modules are shown without their path: there were "
                                         "too many."));
    return doubts;
}

static TtCompleteness copy_completeness(const TtSession *session) {
    TtCompleteness completeness = {
        .dropped_events = session->gap_events + session->dropped_events,
        .unknown_frees = session->unknown_frees,
        .double_frees = session->double_frees,
        .synthesized_frees = session->synthesized_frees,
        .truncated_stacks = tt_sites_count_truncated(&session->sites),
        .untraced_before_ns = session->info->untraced_before_ns,
        .shed_blocks = session->shed.blocks,
        .history_dropped = session->history.total - session->history.count,
        .doubts = copy_doubts(session),
    };

    /* A double free is the program's fault, not the books'. A stack that was cut is declared, and
     * its blocks are counted where they belong as far as it goes. */
    completeness.exact = !tt_session_has_missed(session) && completeness.unknown_frees == 0 &&
                         completeness.synthesized_frees == 0 && completeness.doubts->len == 0;
    return completeness;
}

static TtGapRow *copy_gaps(const TtSession *session, gsize *ret_count) {
    TtGapRow *rows = g_new(TtGapRow, session->gaps->len + 1);

    for (guint i = 0; i < session->gaps->len; i++) {
        rows[i] = g_array_index(session->gaps, TtGapRow, i);
        rows[i].first_ns = tt_timescale_ns(&session->info->timescale, rows[i].first_ns);
        rows[i].last_ns = tt_timescale_ns(&session->info->timescale, rows[i].last_ns);
    }
    *ret_count = session->gaps->len;
    return rows;
}

static void copy_sample(const TtSession *session, TtSnapshot *snapshot) {
    if (!tt_session_is_sampled(session))
        return;
    snapshot->sampling = session->sampling;
    snapshot->sample = (TtSample){
        .mean_bytes = session->sampling.mean_bytes,
        .allocations = session->next_id - 1,
        .frees = session->sampling.deaths - session->synthesized_frees,
    };
    snapshot->site_errors = tt_sites_copy_errors(&session->sites, &snapshot->sample.errors);
}

TtSnapshot *tt_snapshot_new(TtSession *session, TtPin **ret_pin) {
    const TtTimescale *scale = &session->info->timescale;
    TtTimelinePoint now = {
        .tick = session->now, .bytes = session->live_bytes, .blocks = session->live_blocks};
    TtSnapshot *snapshot = g_new0(TtSnapshot, 1);

    snapshot->info = tt_session_info_copy(session->info);
    snapshot->state = session->state;
    snapshot->exit_status = session->exit_status;
    snapshot->time_ns = tt_session_tick_ns(session, session->now);
    snapshot->totals = copy_totals(session);
    snapshot->completeness = copy_completeness(session);
    snapshot->sites = tt_sites_copy(&session->sites, scale, &snapshot->site_count);
    copy_sample(session, snapshot);
    snapshot->modules = tt_modules_copy(&session->modules, scale, &snapshot->module_count);
    snapshot->threads = tt_threads_copy(&session->threads, &snapshot->thread_count);
    snapshot->variables = tt_names_copy_variables(&session->names, &snapshot->variable_count);
    snapshot->scopes = tt_names_copy_scopes(&session->names, &snapshot->scope_count);
    snapshot->marks = tt_names_copy_marks(&session->names, scale, &snapshot->mark_count);
    snapshot->timeline =
        tt_timeline_copy(&session->timeline, scale, &now, &snapshot->timeline_count);
    snapshot->gaps = copy_gaps(session, &snapshot->gap_count);
    snapshot->stacks = tt_stacks_ref(session->stacks);
    snapshot->stack_of = g_memdup2(session->sites.stack_of, session->sites.count * sizeof(guint32));
    tt_history_copy(&session->history, &session->blocks.extras, &snapshot->freed);

    *ret_pin = tt_pins_add(&session->pins, &session->blocks, session->next_id);
    (*ret_pin)->variable_count = (guint32)snapshot->variable_count;
    (*ret_pin)->scope_count = (guint32)snapshot->scope_count;
    return snapshot;
}

void tt_snapshot_free(TtSnapshot *snapshot) {
    if (!snapshot)
        return;
    tt_session_info_free(snapshot->info);
    g_ptr_array_unref(snapshot->completeness.doubts);
    g_free(snapshot->sites);
    g_free(snapshot->site_errors);
    tt_module_rows_free(snapshot->modules, snapshot->module_count);
    tt_thread_rows_free(snapshot->threads, snapshot->thread_count);
    tt_variable_rows_free(snapshot->variables, snapshot->variable_count);
    tt_scope_rows_free(snapshot->scopes, snapshot->scope_count);
    tt_mark_rows_free(snapshot->marks, snapshot->mark_count);
    g_free(snapshot->timeline);
    g_free(snapshot->gaps);
    tt_stacks_unref(snapshot->stacks);
    g_free(snapshot->stack_of);
    tt_freed_copy_clear(&snapshot->freed);
    g_free(snapshot);
}

/* ---- Live blocks, by the owner ---- */

static void fill_live(const TtSession *session, const TtPin *pin, guint32 slot, TtBlockRow *row) {
    const TtExtrasPool *pool = &session->blocks.extras;
    const TtBlock *block = tt_blocks_get(&session->blocks, slot);

    *row = (TtBlockRow){
        .id = block->id,
        .addr = block->addr,
        .size = block->size,
        .weight = tt_sampling_get_weight(&session->sampling, block->id, block->size),
        .born_ns = tt_session_tick_ns(session, block->born),
        .died_ns = TT_TIME_NONE,
        .stack = session->sites.stack_of[tt_block_get_site(&session->blocks, block)],
        .freed_stack = TT_STACK_NONE,
        .variable = TT_NONE,
        .scope = TT_NONE,
        .thread = block->thread,
        .freed_by = TT_NONE,
    };
    if (!(block->flags & TT_BLOCK_HAS_EXTRAS))
        return;

    const TtExtras *extras = tt_extras_get(pool, block->site_or_extras);
    guint32 variable = tt_extras_variable_at(pool, block->site_or_extras, pin->number);
    row->resized_from = extras->resized_from;
    /* The snapshot has no rows for what was named since. */
    row->variable = variable < pin->variable_count ? variable : TT_NONE;
    row->scope = extras->scope < pin->scope_count ? extras->scope : TT_NONE;
}

gsize tt_session_read_live(TtSession *session, TtPin *pin, TtBlockRow *ret_rows, gsize max) {
    gsize count = 0;

    while (count < max) {
        guint32 slot = tt_pin_next_slot(pin, &session->blocks);

        if (slot == 0)
            break;
        fill_live(session, pin, slot, &ret_rows[count++]);
    }
    return count;
}

void tt_session_rewind_pin(TtSession *session, TtPin *pin) {
    (void)session;
    pin->at_slot = 1;
}

void tt_session_unpin(TtSession *session, TtPin *pin) {
    tt_pins_remove(&session->pins, pin, &session->blocks);
}

/* ---- Reading, by the holder ---- */

void tt_snapshot_set_fetch(TtSnapshot *snapshot, TtLiveFetch fetch, void (*rewind)(gpointer data),
                           gpointer data) {
    snapshot->fetch = fetch;
    snapshot->rewind = rewind;
    snapshot->fetch_data = data;
}

gsize tt_snapshot_next_live(TtSnapshot *snapshot, TtBlockRow *ret_rows, gsize max) {
    return snapshot->fetch ? snapshot->fetch(snapshot->fetch_data, ret_rows, max) : 0;
}

void tt_snapshot_rewind_live(TtSnapshot *snapshot) {
    if (snapshot->rewind)
        snapshot->rewind(snapshot->fetch_data);
}

const TtSessionInfo *tt_snapshot_get_info(const TtSnapshot *snapshot) { return snapshot->info; }

TtSessionState tt_snapshot_get_state(const TtSnapshot *snapshot, gint *ret_exit_status) {
    if (ret_exit_status)
        *ret_exit_status = snapshot->exit_status;
    return snapshot->state;
}

guint64 tt_snapshot_get_time_ns(const TtSnapshot *snapshot) { return snapshot->time_ns; }

const TtTotals *tt_snapshot_get_totals(const TtSnapshot *snapshot) { return &snapshot->totals; }

const TtCompleteness *tt_snapshot_get_completeness(const TtSnapshot *snapshot) {
    return &snapshot->completeness;
}

const TtSample *tt_snapshot_get_sample(const TtSnapshot *snapshot) {
    return snapshot->sample.mean_bytes > 0 ? &snapshot->sample : NULL;
}

const TtErrors *tt_snapshot_get_site_errors(const TtSnapshot *snapshot) {
    return snapshot->site_errors;
}

const TtSiteRow *tt_snapshot_get_sites(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->site_count;
    return snapshot->sites;
}

const TtModuleRow *tt_snapshot_get_modules(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->module_count;
    return snapshot->modules;
}

const TtThreadRow *tt_snapshot_get_threads(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->thread_count;
    return snapshot->threads;
}

const TtVariableRow *tt_snapshot_get_variables(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->variable_count;
    return snapshot->variables;
}

const TtScopeRow *tt_snapshot_get_scopes(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->scope_count;
    return snapshot->scopes;
}

const TtTimePoint *tt_snapshot_get_timeline(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->timeline_count;
    return snapshot->timeline;
}

const TtMarkRow *tt_snapshot_get_marks(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->mark_count;
    return snapshot->marks;
}

const TtGapRow *tt_snapshot_get_gaps(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->gap_count;
    return snapshot->gaps;
}

static guint64 freed_ns(const TtSnapshot *snapshot, guint64 tick) {
    const TtTimescale *scale = &snapshot->info->timescale;

    return tt_timescale_ns(scale, scale->start_stamp + tick);
}

static void fill_freed(const TtSnapshot *snapshot, const TtFreed *freed, TtBlockRow *row) {
    const TtExtras *extras =
        freed->has_extras ? &snapshot->freed.extras[freed->site_or_extras] : NULL;

    guint64 id = tt_freed_get_id(freed), size = extras ? extras->size : freed->size;

    *row = (TtBlockRow){
        .id = id,
        .addr = extras ? extras->addr : freed->addr,
        .size = size,
        .weight = tt_sampling_get_weight(&snapshot->sampling, id, size),
        .born_ns = freed_ns(snapshot, freed->born),
        .died_ns = freed_ns(snapshot, freed->died),
        .resized_from = extras ? extras->resized_from : 0,
        .stack = snapshot->stack_of[extras ? extras->site : freed->site_or_extras],
        .freed_stack = extras ? extras->freed_stack : TT_STACK_NONE,
        .variable = extras ? extras->variable : TT_NONE,
        .scope = extras ? extras->scope : TT_NONE,
        .thread = freed->thread,
        .freed_by = freed->freed_by == TT_THREAD_NONE ? TT_NONE : freed->freed_by,
    };
}

gsize tt_snapshot_read_freed(const TtSnapshot *snapshot, gsize first, TtBlockRow *ret_rows,
                             gsize max) {
    gsize count = first < snapshot->freed.count ? MIN(max, snapshot->freed.count - first) : 0;

    for (gsize i = 0; i < count; i++)
        fill_freed(snapshot, &snapshot->freed.freed[first + i], &ret_rows[i]);
    return count;
}

gsize tt_snapshot_get_freed_count(const TtSnapshot *snapshot) { return snapshot->freed.count; }

gsize tt_snapshot_get_frames(const TtSnapshot *snapshot, guint32 stack, TtFrame *ret_frames,
                             gboolean *ret_is_truncated) {
    return tt_stacks_read_frames(snapshot->stacks, stack, snapshot->module_count, ret_frames,
                                 ret_is_truncated);
}
