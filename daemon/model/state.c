/* SPDX-License-Identifier: Apache-2.0 */
#include "model/state.h"

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
        .inherited_blocks = session->heritage.amount.blocks,
        .inherited_bytes = session->heritage.amount.bytes,
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
        .has_paused = session->has_paused,
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

static TtTimePoint *copy_timeline(const TtSession *session, gsize *ret_count) {
    const TtTimescale *scale = &session->info->timescale;
    TtTimelinePoint start = {.tick = scale->start_stamp - session->start_stamp,
                             .bytes = session->heritage.amount.bytes,
                             .blocks = session->heritage.amount.blocks};
    TtTimelinePoint now = {
        .tick = session->now, .bytes = session->live_bytes, .blocks = session->live_blocks};

    return tt_timeline_copy(&session->timeline, scale, session->start_stamp, &start, &now,
                            ret_count);
}

static void copy_sample(const TtSession *session, TtState *state) {
    if (!tt_session_is_sampled(session))
        return;
    state->sample = (TtSample){
        .mean_bytes = session->sampling.mean_bytes,
        .allocations = tt_session_count_births(session),
        .frees = session->sampling.deaths - session->synthesized_frees,
    };
    state->variances = tt_sites_copy_variances(&session->sites);
    tt_state_set_errors(state);
}

void tt_state_set_errors(TtState *state) {
    TtSiteVariance total = {.peak = {0}};

    if (!state->variances)
        return;
    state->site_errors = g_renew(TtErrors, state->site_errors, MAX(state->site_count, 1));
    for (gsize i = 0; i < state->site_count; i++) {
        state->site_errors[i] = tt_site_variance_get_errors(&state->variances[i]);
        tt_site_variance_add(&total, &state->variances[i]);
    }
    state->sample.errors = tt_site_variance_get_errors(&total);
}

TtState *tt_state_new(const TtSession *session) {
    const TtTimescale *scale = &session->info->timescale;
    TtState *state = g_atomic_rc_box_new0(TtState);

    state->time_ns = tt_session_tick_ns(session, session->now);
    state->totals = copy_totals(session);
    state->completeness = copy_completeness(session);
    state->sites = tt_sites_copy(&session->sites, scale, &state->site_count);
    copy_sample(session, state);
    state->modules = tt_modules_copy(&session->modules, scale, &state->module_count);
    state->threads = tt_threads_copy(&session->threads, &state->thread_count);
    state->variables = tt_names_copy_variables(&session->names, &state->variable_count);
    state->scopes = tt_names_copy_scopes(&session->names, &state->scope_count);
    state->timeline = copy_timeline(session, &state->timeline_count);
    state->gaps = copy_gaps(session, &state->gap_count);
    return state;
}

TtPin *tt_session_pin(TtSession *session) {
    TtPin *pin = tt_pins_add(&session->pins, &session->blocks, session->next_id);

    /* A state has no rows for what was named since. */
    pin->point->variable_count = session->names.variables->len;
    pin->point->scope_count = session->names.scopes->len;
    return pin;
}

TtState *tt_state_ref(TtState *state) { return g_atomic_rc_box_acquire(state); }

static void clear_state(gpointer data) {
    TtState *state = data;

    tt_completeness_clear(&state->completeness);
    g_free(state->sites);
    g_free(state->variances);
    g_free(state->site_errors);
    tt_module_rows_free(state->modules, state->module_count);
    tt_thread_rows_free(state->threads, state->thread_count);
    tt_variable_rows_free(state->variables, state->variable_count);
    tt_scope_rows_free(state->scopes, state->scope_count);
    g_free(state->timeline);
    g_free(state->gaps);
}

void tt_state_unref(TtState *state) {
    if (state)
        g_atomic_rc_box_release_full(state, clear_state);
}

gsize tt_state_bytes(const TtState *state) {
    gsize of_site = sizeof *state->sites;

    if (state->variances)
        of_site += sizeof *state->variances + sizeof *state->site_errors;
    return sizeof *state + state->site_count * of_site +
           state->module_count * sizeof *state->modules +
           state->thread_count * sizeof *state->threads +
           state->variable_count * sizeof *state->variables +
           state->scope_count * sizeof *state->scopes +
           state->timeline_count * sizeof *state->timeline + state->gap_count * sizeof *state->gaps;
}

/* ---- Completeness ---- */

TtCompleteness tt_completeness_copy(const TtCompleteness *completeness) {
    TtCompleteness copy = *completeness;

    copy.doubts = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < completeness->doubts->len; i++)
        g_ptr_array_add(copy.doubts, g_strdup(completeness->doubts->pdata[i]));
    return copy;
}

void tt_completeness_clear(TtCompleteness *completeness) {
    g_clear_pointer(&completeness->doubts, g_ptr_array_unref);
}

void tt_completeness_doubt(TtCompleteness *completeness, const char *format, ...) {
    va_list values;

    va_start(values, format);
    g_ptr_array_add(completeness->doubts, g_strdup_vprintf(format, values));
    va_end(values);
    completeness->exact = FALSE;
}
