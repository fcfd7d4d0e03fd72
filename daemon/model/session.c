/* SPDX-License-Identifier: Apache-2.0 */
/* A session's making, its definitions, and all that comes in order with the heap events but is
 * rare. The heap events themselves are in apply.c. */
#include "model/session-state.h"

#include "model/text.h"

#define GAPS_MAX 4096u
#define DOUBTS_MAX 64u
#define LATE_FREES 64u      /* how far back a block is looked for that was measured after its end */
#define LOST_SCOPES_MAX 16u /* scopes whose beginning was lost are made up to so many levels */
#define HINDSIGHT_NS 10000u /* a contended cache line takes a tenth of that to come */
#define LOOKBACK_FIRST 16384u

static const TtString lost_scope = {.text = "(lost)", .len = 6};

const char *tt_session_state_name(TtSessionState state) {
    static const char *const names[] = {
        [TT_SESSION_RUNNING] = "running", [TT_SESSION_EXITED] = "exited",
        [TT_SESSION_KILLED] = "killed",   [TT_SESSION_EXEC] = "exec",
        [TT_SESSION_ENDED] = "ended",     [TT_SESSION_LOST] = "lost",
    };

    return names[state];
}

TtSessionInfo *tt_session_info_copy(const TtSessionInfo *info) {
    TtSessionInfo *copy = g_memdup2(info, sizeof *info);

    copy->process_start = g_strdup(info->process_start);
    copy->exe = g_strdup(info->exe ? info->exe : "");
    copy->command_line = info->command_line ? g_strdupv(info->command_line) : g_new0(char *, 1);
    return copy;
}

void tt_session_info_free(TtSessionInfo *info) {
    if (!info)
        return;
    g_free(info->process_start);
    g_free(info->exe);
    g_strfreev(info->command_line);
    g_free(info);
}

void tt_model_limits_init(TtModelLimits *limits) {
    *limits = (TtModelLimits){
        .history_blocks = 100000,
        .stack_nodes = 1 << 20,
        .names = 16384,
        .timeline_points = 4096,
        .detail_bytes = (gsize)1 << 30,
        .pinned_marks = 64,
        .pinned_forks = 1024,
        .pinned_bytes = (gsize)1 << 27,
    };
}

TtSession *tt_session_new(const TtSessionInfo *info, const TtModelLimits *limits) {
    TtSession *session = g_new0(TtSession, 1);

    if (limits)
        session->limits = *limits;
    else
        tt_model_limits_init(&session->limits);
    limits = &session->limits;

    session->info = tt_session_info_copy(info);
    tt_sampling_init(&session->sampling, info);
    session->start_stamp = info->timescale.start_stamp;
    session->next_id = 1;
    session->exit_status = -1;
    session->lookback_credit = LOOKBACK_FIRST;
    session->hindsight = (guint64)(((unsigned __int128)HINDSIGHT_NS << info->timescale.shift) /
                                   MAX(info->timescale.mult, 1));
    tt_budget_init(&session->detail, limits->detail_bytes, limits->detail_pool);
    session->stacks = tt_stacks_new(limits->stack_nodes);
    tt_sites_init(&session->sites, session->stacks);
    tt_threads_init(&session->threads);
    tt_blocks_init(&session->blocks, limits->detail_bytes, &session->detail);
    tt_index_init(&session->index, &session->blocks, limits->detail_bytes, &session->detail);
    tt_history_init(&session->history, limits->history_blocks);
    tt_pins_init(&session->pins);
    g_queue_init(&session->marks.kept);
    g_queue_init(&session->forks.points);
    tt_timeline_init(&session->timeline, limits->timeline_points);
    tt_names_init(&session->names, limits->names);
    tt_modules_init(&session->modules);
    session->gaps = g_array_new(FALSE, FALSE, sizeof(TtGapRow));
    session->doubts = g_ptr_array_new_with_free_func(g_free);
    return session;
}

void tt_session_free(TtSession *session) {
    if (!session)
        return;
    tt_session_clear_marks(session);
    tt_session_clear_forks(session);
    tt_session_clear_heritage(session);
    g_ptr_array_unref(session->doubts);
    g_array_unref(session->gaps);
    tt_modules_clear(&session->modules);
    tt_names_clear(&session->names);
    tt_timeline_clear(&session->timeline);
    tt_pins_clear(&session->pins);
    tt_history_clear(&session->history);
    tt_index_clear(&session->index);
    tt_blocks_clear(&session->blocks);
    tt_threads_clear(&session->threads);
    tt_shed_clear(&session->shed);
    tt_sites_clear(&session->sites);
    tt_stacks_unref(session->stacks);
    tt_session_info_free(session->info);
    g_free(session);
}

void tt_session_leave_pool(TtSession *session) { tt_budget_leave_pool(&session->detail); }

const TtSessionInfo *tt_session_get_info(const TtSession *session) { return session->info; }

/* ---- Scopes ---- */

static guint32 row_depth(const TtSession *session, guint32 scope) {
    return scope == TT_NONE ? 0 : tt_names_get_scope(&session->names, scope)->depth;
}

guint32 tt_session_get_scope(TtSession *session, const TtThread *thread) {
    if (thread->scope_depth == 0)
        return TT_NONE;
    return thread->scope_depth > row_depth(session, thread->scope)
               ? tt_names_get_other_scope(&session->names)
               : thread->scope;
}

static void leave_to(TtSession *session, TtThread *thread, guint64 depth) {
    while (row_depth(session, thread->scope) > depth)
        thread->scope = tt_names_get_scope(&session->names, thread->scope)->row.parent;
    thread->scope_depth = (guint32)MIN(thread->scope_depth, depth);
}

/* Enters a scope below the innermost that has a row. FALSE: it has to be "other". */
static gboolean enter_row(TtSession *session, TtThread *thread, TtString name) {
    guint32 scope = tt_names_intern_scope(&session->names, thread->scope, name);

    if (scope == session->names.other_scope)
        return FALSE;
    thread->scope = scope;
    return TRUE;
}

/* Those up to a depth that nobody has told of. */
static void enter_lost(TtSession *session, TtThread *thread, guint64 depth) {
    for (guint i = 0; i < LOST_SCOPES_MAX && row_depth(session, thread->scope) < depth; i++)
        if (!enter_row(session, thread, lost_scope))
            break;
}

/* The first thread of a forked child. */
static void go_on_in_scopes(TtSession *session, guint16 thread) {
    TtThread *at = &session->threads.threads[thread];
    TtOpenScopes *open = &session->heritage.open;

    at->scope = open->scope;
    enter_lost(session, at, open->depth);
    at->scope_depth = open->depth;
    *open = (TtOpenScopes){.scope = TT_NONE};
}

void tt_session_enter_scope(TtSession *session, guint16 thread, const TtRecordScopeEnter *record) {
    TtThread *at = &session->threads.threads[thread];
    guint64 depth = CLAMP(record->depth, 1, G_MAXUINT32);

    tt_session_advance(session, record->stamp);
    leave_to(session, at, depth - 1);
    enter_lost(session, at, depth - 1);
    if (row_depth(session, at->scope) == depth - 1)
        (void)enter_row(session, at, record->name);
    at->scope_depth = (guint32)depth;

    guint32 scope = tt_session_get_scope(session, at);
    tt_names_get_scope(&session->names, scope)->row.entered++;
}

void tt_session_leave_scope(TtSession *session, guint16 thread, const TtRecordScopeLeave *record) {
    TtThread *at = &session->threads.threads[thread];
    guint64 depth = MIN(record->depth, G_MAXUINT32);

    tt_session_advance(session, record->stamp);
    leave_to(session, at, depth);
    if (depth > at->scope_depth) { /* one without a row may be "other", which is not lost */
        enter_lost(session, at, depth);
        at->scope_depth = (guint32)depth;
    }
}

void tt_session_pause(TtSession *session, guint64 stamp) {
    guint64 tick = tt_session_tick_of(session, stamp);

    tt_session_advance(session, stamp);
    if (!session->has_paused || tick < session->pause_tick)
        session->pause_tick = tick;
    session->has_paused = TRUE;
}

/* ---- Definitions ---- */

gboolean tt_session_define_stack(TtSession *session, const TtRecordStack *record) {
    return tt_stacks_define(session->stacks, &session->modules, record);
}

gboolean tt_session_define_module(TtSession *session, const TtRecordModule *record) {
    return tt_modules_define(&session->modules, record);
}

gboolean tt_session_define_segment(TtSession *session, const TtRecordSegment *record) {
    return tt_modules_define_segment(&session->modules, record);
}

void tt_session_end_module(TtSession *session, const TtRecordModuleGone *record) {
    tt_modules_end(&session->modules, record);
}

gboolean tt_session_has_stack(const TtSession *session, guint64 id) {
    return id <= G_MAXUINT32 && tt_stacks_read_flags(session->stacks, (guint32)id) != 0;
}

gboolean tt_session_has_module(const TtSession *session, guint64 id) {
    return tt_modules_find_row(&session->modules, id) != TT_MODULE_ROW_NONE;
}

guint16 tt_session_get_thread(TtSession *session, guint lane, guint32 tid) {
    guint16 thread = tt_threads_get(&session->threads, lane, tid);

    if (session->heritage.open.depth > 0 && tid == (guint32)session->info->own_pid)
        go_on_in_scopes(session, thread);
    return thread;
}

void tt_session_end_thread(TtSession *session, guint lane) {
    tt_threads_end(&session->threads, lane);
}

void tt_session_name_thread(TtSession *session, guint16 thread, const TtRecordThread *record) {
    tt_threads_set_name(&session->threads, thread, record->name);
}

/* ---- In order with the events ---- */

G_GNUC_NO_INLINE void tt_session_advance_oddly(TtSession *session, guint64 stamp) {
    if (stamp <= session->info->timescale.start_stamp &&
        session->start_stamp + session->now <= session->info->timescale.start_stamp)
        return; /* what came before the hello; its time is the start, as promised */
    if (stamp > session->start_stamp && stamp - session->start_stamp > TT_TICKS_MAX)
        session->now = TT_TICKS_MAX;
    tt_session_add_doubt(session, "Some events bear times that cannot be; they are shown at the "
                                  "nearest time that can.");
}

void tt_session_fail_realloc(TtSession *session, guint16 thread, guint64 stamp) {
    tt_session_advance(session, stamp);
    tt_session_reopen(session, thread);
    tt_index_tidy(&session->index);
}

void tt_session_add_mark(TtSession *session, guint64 stamp, TtString name) {
    TtMark mark = {
        /* Not the session's clock: marks set from outside may run ahead of the events. */
        .stamp = MIN(stamp, session->start_stamp + TT_TICKS_MAX),
        .live_bytes = session->live_bytes,
        .live_blocks = session->live_blocks,
    };

    if (tt_names_add_mark(&session->names, &mark, name))
        tt_session_keep_mark(session);
}

void tt_session_set_variable(TtSession *session, guint32 slot, guint32 variable) {
    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    TtExtras *extras = tt_block_ensure_extras(&session->blocks, block);
    TtAmount weight = tt_sampling_get_weight(&session->sampling, block->id, block->size);
    guint32 pin = session->pins.last_number;

    if (!extras || extras->variable == variable)
        return;

    TtVariableRow *row = tt_names_get_variable(&session->names, variable);
    row->live_blocks += weight.blocks;
    row->live_bytes += weight.bytes;
    row->cumulative_bytes = MIN(row->cumulative_bytes + weight.bytes, TT_SUM_MAX);
    if (extras->variable != TT_NONE) {
        row = tt_names_get_variable(&session->names, extras->variable);
        row->live_blocks -= weight.blocks;
        row->live_bytes -= weight.bytes;
    }

    if (block->id >= session->pins.below_id) {
        tt_extras_forget_older(&session->blocks.extras, block->site_or_extras);
    } else if (extras->since_pin != pin) {
        /* Pins up to the newest go on seeing the name that the block has had so far. */
        guint32 older = tt_extras_copy(&session->blocks.extras, block->site_or_extras);

        extras = tt_extras_get(&session->blocks.extras, block->site_or_extras);
        if (older) {
            tt_extras_get(&session->blocks.extras, older)->older = extras->older;
            tt_extras_get(&session->blocks.extras, older)->since_pin = extras->since_pin;
            extras->older = older;
        }
        extras->since_pin = pin;
    }
    extras->variable = variable;
}

void tt_session_name_block(TtSession *session, guint16 thread, const TtRecordVariable *record) {
    guint32 slot;

    (void)thread;
    tt_session_advance(session, record->stamp);
    slot = tt_index_find_inside(&session->index, record->addr);
    if (!slot) {
        session->unknown_names += !tt_session_is_sampled(session);
        return;
    }

    guint32 variable = tt_names_intern_variable(&session->names, record);
    const TtBlock *block = tt_blocks_get(&session->blocks, slot);
    if (!(block->flags & TT_BLOCK_HAS_EXTRAS) ||
        tt_extras_get(&session->blocks.extras, block->site_or_extras)->variable != variable) {
        TtVariableRow *row = tt_names_get_variable(&session->names, variable);
        TtAmount weight = tt_sampling_get_weight(&session->sampling, block->id, block->size);

        row->named_blocks = MIN(row->named_blocks + weight.blocks, TT_SUM_MAX);
    }
    tt_session_set_variable(session, slot, variable);
}

static void measure(TtExtras *extras, guint64 size, guint64 usable) {
    if (extras)
        tt_extras_set_spare(extras, usable >= size ? usable - size + 1 : 0);
}

static TtExtras *ensure_freed_extras(TtSession *session, TtFreed *freed) {
    TtExtrasPool *pool = &session->blocks.extras;

    if (!freed->has_extras) {
        guint32 number = tt_extras_new(pool, freed->site_or_extras);

        if (!number)
            return NULL;
        tt_extras_get(pool, number)->freed_stack = TT_STACK_NONE;
        freed->site_or_extras = number;
        freed->has_extras = TRUE;
    }
    return tt_extras_get(pool, freed->site_or_extras);
}

void tt_session_measure_block(TtSession *session, guint16 thread, const TtRecordUsable *record) {
    guint64 id = session->threads.threads[thread].last_id;
    guint32 slot = tt_index_find_start(&session->index, record->addr);
    TtBlock *block = slot ? tt_blocks_get(&session->blocks, slot) : NULL;

    tt_session_advance(session, record->stamp);
    if (block && block->id == id) {
        measure(tt_block_ensure_extras(&session->blocks, block), block->size, record->usable);
        return;
    }
    /* Another thread's free of it may bear an earlier stamp than its birth (apply.c). */
    TtFreed *freed = tt_history_find_recent(&session->history, id, LATE_FREES);
    if (freed && freed->addr == record->addr && !tt_freed_is_wide(freed->addr, freed->size))
        measure(ensure_freed_extras(session, freed), freed->size, record->usable);
}

/* ---- Loss, doubt, end ---- */

/* @thread: TT_NONE: all */
static void add_gap_row(TtSession *session, guint32 thread, const TtRecordGap *record) {
    guint64 first_stamp = MIN(record->first_stamp, record->stamp);
    guint64 limit = session->start_stamp + TT_TICKS_MAX;
    TtGapRow row = {.thread = thread,
                    .first_ns = MIN(first_stamp, limit),
                    .last_ns = MIN(record->stamp, limit),
                    .dropped_events = MIN(record->count, TT_SUM_MAX)};

    session->gap_events = MIN(session->gap_events + row.dropped_events, TT_SUM_MAX);
    if (session->gaps->len < GAPS_MAX) {
        g_array_append_val(session->gaps, row);
        return;
    }
    TtGapRow *last = &g_array_index(session->gaps, TtGapRow, session->gaps->len - 1);
    last->last_ns = MAX(last->last_ns, row.last_ns);
    last->dropped_events = MIN(last->dropped_events + row.dropped_events, TT_SUM_MAX);
}

/* What was lost may be the end of it, or the next allocation. */
static void forget_open(TtSession *session, guint16 thread) {
    tt_session_reopen(session, thread);
    session->threads.threads[thread].last_id = 0;
}

void tt_session_add_gap(TtSession *session, guint16 thread, const TtRecordGap *record) {
    tt_session_advance(session, record->stamp);
    if (record->count > 0) { /* else it is the clock alone that stands still */
        forget_open(session, thread);
        tt_index_tidy(&session->index);
    }
    add_gap_row(session, thread, record);
}

void tt_session_resume(TtSession *session, const TtRecordInterruption *record) {
    TtRecordGap gap = {
        .first_stamp = record->first_stamp, .stamp = record->stamp, .count = record->count};

    session->state = TT_SESSION_RUNNING;
    session->exit_status = -1;
    session->dropped_events = 0; /* what lanes counted so is in the record's count */
    tt_session_advance(session, record->stamp);
    for (guint32 i = 0; i < session->threads.count; i++)
        forget_open(session, (guint16)i);
    tt_index_tidy(&session->index);
    add_gap_row(session, TT_NONE, &gap);
}

void tt_session_set_dropped(TtSession *session, guint64 dropped_events) {
    session->dropped_events = MIN(dropped_events, TT_SUM_MAX);
}

void tt_session_add_doubt(TtSession *session, const char *sentence) {
    if (session->doubts->len < DOUBTS_MAX &&
        !g_ptr_array_find_with_equal_func(session->doubts, sentence, g_str_equal, NULL))
        g_ptr_array_add(session->doubts, g_strdup(sentence));
}

void tt_session_end(TtSession *session, TtSessionState state, gint exit_status, guint64 stamp) {
    gboolean has_open = FALSE;

    if (stamp > session->start_stamp && stamp - session->start_stamp <= TT_TICKS_MAX)
        session->now = MAX(session->now, stamp - session->start_stamp);
    for (guint32 i = 0; i < session->threads.count; i++) {
        has_open |= session->threads.threads[i].open_slot != 0;
        tt_session_reopen(session, (guint16)i);
    }
    tt_index_tidy(&session->index);
    if (has_open)
        tt_session_add_doubt(session, "The program ended in the midst of a reallocation; its block "
                                      "is shown as it was before.");
    session->state = state;
    session->exit_status = exit_status;
}

void tt_session_get_summary(const TtSession *session, TtSummary *ret_summary) {
    *ret_summary = (TtSummary){
        .state = session->state,
        .exit_status = session->exit_status,
        .live_bytes = session->live_bytes,
        .live_blocks = session->live_blocks,
        .peak_bytes = session->sites.peak_bytes,
        .cumulative_allocations = tt_session_count_allocations(session),
        .cumulative_allocated = session->allocated,
        .events = tt_session_count_events(session),
        .dropped_events = session->gap_events + session->dropped_events,
        .sample_bytes = session->info->sample_bytes,
        .state_bytes = sizeof *session + tt_blocks_bytes(&session->blocks) +
                       tt_index_bytes(&session->index) + tt_sites_bytes(&session->sites) +
                       tt_stacks_bytes(session->stacks) + tt_history_bytes(&session->history) +
                       tt_pins_bytes(&session->pins) + session->marks.state_bytes +
                       session->forks.bytes + tt_timeline_bytes(&session->timeline) +
                       tt_threads_bytes(&session->threads) + tt_names_bytes(&session->names) +
                       tt_modules_bytes(&session->modules) + tt_shed_bytes(&session->shed) +
                       session->gaps->len * sizeof(TtGapRow),
    };
}
