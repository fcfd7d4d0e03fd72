/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-model.h"

#include <string.h>

#include "model/bequest.h"

static void say(TtSession *session, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(TtSession *session, const char *format, ...) {
    va_list values;

    va_start(values, format);
    g_ptr_array_add(session->words, g_strdup_vprintf(format, values));
    va_end(values);
}

void tt_session_info_free(TtSessionInfo *info) {
    if (!info)
        return;
    g_free(info->exe);
    g_strfreev(info->command_line);
    g_free(info);
}

TtSessionInfo *tt_session_info_copy(const TtSessionInfo *info) {
    TtSessionInfo *copy = g_memdup2(info, sizeof *info);

    copy->exe = g_strdup(info->exe);
    copy->command_line = g_strdupv(info->command_line);
    return copy;
}

void tt_model_limits_init(TtModelLimits *limits) { *limits = (TtModelLimits){0}; }

TtSession *tt_session_new(const TtSessionInfo *info, const TtModelLimits *limits) {
    TtSession *session = g_new0(TtSession, 1);

    (void)limits;
    session->info = tt_session_info_copy(info);
    session->events = g_array_new(FALSE, FALSE, sizeof(TtEvent));
    session->live = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    session->stacks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    session->words = g_ptr_array_new_with_free_func(g_free);
    session->exit_status = -1;
    return session;
}

void tt_session_free(TtSession *session) {
    if (!session)
        return;
    tt_session_info_free(session->info);
    g_array_unref(session->events);
    g_hash_table_unref(session->live);
    g_hash_table_unref(session->stacks);
    g_ptr_array_unref(session->words);
    g_free(session);
}

void tt_session_leave_pool(TtSession *session) { (void)session; }

const TtSessionInfo *tt_session_get_info(const TtSession *session) { return session->info; }

static gboolean knows_stack(const TtSession *session, guint64 id) {
    return id < TT_STACK_FIRST || g_hash_table_contains(session->stacks, (gpointer)(guintptr)id);
}

static void apply(TtSession *session, const TtEvent *event) {
    gboolean is_birth = event->op == TT_OP_ALLOC || event->op == TT_OP_REALLOC_END;

    g_array_append_val(session->events, *event);
    session->disordered += event->stamp < session->last_stamp;
    session->last_stamp = event->stamp;
    session->unknown_stacks += !knows_stack(session, event->stack);
    if (is_birth) {
        if (!g_hash_table_insert(session->live, g_memdup2(&event->addr, 8), NULL))
            session->impossible++;
    } else if (!g_hash_table_remove(session->live, &event->addr)) {
        session->impossible++;
    }
}

void tt_session_apply(TtSession *session, const TtEvent *events, gsize count) {
    session->event_count += count;
    for (gsize i = 0; i < count && !session->is_null; i++)
        apply(session, &events[i]);
}

void tt_session_apply_ahead(TtSession *session, TtEvent *events, gsize count, gsize ahead) {
    (void)ahead;
    tt_session_apply(session, events, count);
}

gboolean tt_session_define_stack(TtSession *session, const TtRecordStack *record) {
    session->unknown_stacks += !knows_stack(session, record->parent);
    return g_hash_table_insert(session->stacks, (gpointer)(guintptr)record->id,
                               g_memdup2(record, sizeof *record));
}

gboolean tt_session_has_stack(const TtSession *session, guint64 id) {
    return knows_stack(session, id);
}

gboolean tt_session_has_module(const TtSession *session, guint64 id) {
    (void)session;
    (void)id;
    return FALSE;
}

gboolean tt_session_define_module(TtSession *session, const TtRecordModule *record) {
    say(session, "module %u %.*s", (guint)record->id, (int)record->path.len, record->path.text);
    return TRUE;
}

gboolean tt_session_define_segment(TtSession *session, const TtRecordSegment *record) {
    say(session, "segment of %u", (guint)record->module);
    return TRUE;
}

void tt_session_end_module(TtSession *session, const TtRecordModuleGone *record) {
    say(session, "module %u gone", (guint)record->id);
}

guint16 tt_session_get_thread(TtSession *session, guint lane, guint32 tid) {
    (void)lane;
    session->tids[session->thread_count % 64] = tid;
    return (guint16)session->thread_count++;
}

void tt_session_name_thread(TtSession *session, guint16 thread, const TtRecordThread *record) {
    say(session, "thread %u %.*s", thread, (int)record->name.len, record->name.text);
}

void tt_session_fail_realloc(TtSession *session, guint16 thread, guint64 stamp) {
    say(session, "thread %u realloc failed at %" G_GUINT64_FORMAT, thread, stamp);
}

void tt_session_leave_realloc(TtSession *session, guint16 thread, guint64 stamp) {
    say(session, "thread %u realloc left at %" G_GUINT64_FORMAT, thread, stamp);
}

void tt_session_pause(TtSession *session, guint64 stamp) {
    say(session, "pause at %" G_GUINT64_FORMAT, stamp);
}

void tt_session_add_mark(TtSession *session, guint64 stamp, TtString name) {
    (void)stamp;
    say(session, "mark %.*s after %" G_GUINT64_FORMAT, (int)name.len, name.text,
        session->event_count);
}

void tt_session_keep_instant(TtSession *session) {
    say(session, "instant kept after %" G_GUINT64_FORMAT, session->event_count);
}

void tt_session_name_block(TtSession *session, guint16 thread, const TtRecordVariable *record) {
    (void)thread;
    say(session, "variable %.*s after %" G_GUINT64_FORMAT, (int)record->name.len, record->name.text,
        session->event_count);
}

void tt_session_measure_block(TtSession *session, guint16 thread, const TtRecordUsable *record) {
    say(session, "thread %u usable %" G_GUINT64_FORMAT, thread, record->usable);
}

void tt_session_enter_scope(TtSession *session, guint16 thread, const TtRecordScopeEnter *record) {
    say(session, "thread %u enter %.*s", thread, (int)record->name.len, record->name.text);
}

void tt_session_leave_scope(TtSession *session, guint16 thread, const TtRecordScopeLeave *record) {
    say(session, "thread %u leave to %u", thread, (guint)record->depth);
}

void tt_session_add_gap(TtSession *session, guint16 thread, const TtRecordGap *record) {
    session->lost += record->count;
    say(session, "thread %u gap of %" G_GUINT64_FORMAT, thread, record->count);
}

void tt_session_resume(TtSession *session, const TtRecordInterruption *record) {
    say(session, "interruption of %" G_GUINT64_FORMAT, record->count);
}

void tt_session_set_dropped(TtSession *session, guint64 dropped_events) {
    session->dropped = dropped_events;
}

void tt_session_end(TtSession *session, TtSessionState state, gint exit_status, guint64 stamp) {
    (void)stamp;
    session->state = state;
    session->exit_status = exit_status;
}

void tt_session_add_doubt(TtSession *session, const char *sentence) {
    say(session, "doubt: %s", sentence);
}

void tt_session_get_summary(const TtSession *session, TtSummary *ret_summary) {
    *ret_summary = (TtSummary){.state = session->state,
                               .exit_status = session->exit_status,
                               .live_blocks = g_hash_table_size(session->live),
                               .events = session->event_count,
                               .dropped_events = session->dropped + session->lost};
}

void tt_session_add_fork(TtSession *session, guint16 thread, const TtRecordFork *record) {
    (void)thread;
    say(session, "fork %" G_GUINT64_FORMAT " told at %" G_GUINT64_FORMAT, record->token,
        record->stamp);
}

/* Never asked of this one. */
gboolean tt_session_inherit(TtSession *session, const TtRawRecord *raw) {
    (void)session;
    (void)raw;
    g_assert_not_reached();
}
TtBequest *tt_bequest_new(TtSession *parent, const TtForkInstant *instant) {
    (void)parent;
    (void)instant;
    g_assert_not_reached();
}
gboolean tt_bequest_write(TtBequest *bequest, GByteArray *records, gsize max_bytes) {
    (void)bequest;
    (void)records;
    (void)max_bytes;
    g_assert_not_reached();
}
void tt_bequest_free(TtBequest *bequest) { (void)bequest; }
TtSnapshot *tt_snapshot_new_at(TtSession *session, const TtInstant *instant, guint64 now_stamp,
                               TtPin **ret_pin, GError **error) {
    (void)session;
    (void)instant;
    (void)now_stamp;
    (void)ret_pin;
    (void)error;
    g_assert_not_reached();
}
TtSnapshot *tt_snapshot_new_lives(TtSession *session, guint64 addr, TtPin **ret_pin) {
    (void)session;
    (void)addr;
    (void)ret_pin;
    g_assert_not_reached();
}
void tt_snapshot_settle(TtSnapshot *snapshot) { (void)snapshot; }
gsize tt_session_read_live(TtSession *session, TtPin *pin, TtBlockRow *ret_rows, gsize max) {
    (void)session;
    (void)pin;
    (void)ret_rows;
    (void)max;
    return 0;
}
void tt_session_rewind_pin(TtSession *session, TtPin *pin) {
    (void)session;
    (void)pin;
}
void tt_session_unpin(TtSession *session, TtPin *pin) {
    (void)session;
    (void)pin;
}
void tt_snapshot_set_fetch(TtSnapshot *snapshot, TtLiveFetch fetch, void (*rewind)(gpointer data),
                           gpointer data) {
    (void)snapshot;
    (void)fetch;
    (void)rewind;
    (void)data;
}
void tt_snapshot_free(TtSnapshot *snapshot) { (void)snapshot; }
