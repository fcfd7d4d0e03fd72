/* SPDX-License-Identifier: Apache-2.0 */
/* A session for tests in which a tick is a nanosecond, and events in few words. */
#pragma once

#include <string.h>

#include "model/snapshot.h"

#define SIMPLE_START 1000u

static inline TtSession *simple_new_sampled(const TtModelLimits *limits, guint64 sample_bytes) {
    TtSessionInfo info = {.exe = (char *)"simple",
                          .sample_bytes = sample_bytes,
                          .timescale = {.start_stamp = SIMPLE_START, .mult = 1}};
    TtSession *session = tt_session_new(&info, limits);

    g_assert_cmpuint(tt_session_get_thread(session, 0, 100), ==, 0);
    g_assert_cmpuint(tt_session_get_thread(session, 1, 101), ==, 1);
    for (guint i = 0; i < 4; i++)
        g_assert_true(tt_session_define_stack(
            session, &(TtRecordStack){.id = TT_STACK_FIRST + i, .ip = 0x1000 + i}));
    return session;
}

static inline TtSession *simple_new(const TtModelLimits *limits) {
    return simple_new_sampled(limits, 0);
}

/* One event at a time; @time_ns in the session. */
static inline void simple_apply(TtSession *session, TtOp op, guint thread, guint64 time_ns,
                                guint64 addr, guint64 size) {
    TtEvent event = {.stamp = SIMPLE_START + time_ns,
                     .addr = addr,
                     .size = size,
                     .stack = op == TT_OP_ALLOC || op == TT_OP_REALLOC_END ? TT_STACK_FIRST
                                                                           : TT_STACK_NONE,
                     .thread = (guint16)thread,
                     .op = (guint8)op};

    tt_session_apply(session, &event, 1);
}

static inline TtString simple_string(const char *text) {
    return (TtString){.text = text, .len = strlen(text)};
}

/* A snapshot whose pin is released at once: for all but the live blocks. */
static inline TtSnapshot *simple_look(TtSession *session) {
    TtPin *pin;
    TtSnapshot *snapshot = tt_snapshot_new(session, &pin);

    tt_session_unpin(session, pin);
    return snapshot;
}

/* The live blocks, up to @max. */
static inline gsize simple_read_live(TtSession *session, TtBlockRow *ret_rows, gsize max) {
    TtPin *pin;
    TtSnapshot *snapshot = tt_snapshot_new(session, &pin);
    gsize count = tt_session_read_live(session, pin, ret_rows, max);

    tt_session_unpin(session, pin);
    tt_snapshot_free(snapshot);
    return count;
}

/* A snapshot of an instant, whose live blocks are read in this thread. */
typedef struct SimpleHeld {
    TtSession *session;
    TtSnapshot *snapshot; /* or NULL: no such instant */
    TtPin *pin;
} SimpleHeld;

static inline gsize simple_fetch(gpointer data, TtBlockRow *ret_rows, gsize max) {
    SimpleHeld *held = data;

    return tt_session_read_live(held->session, held->pin, ret_rows, max);
}

static inline void simple_rewind(gpointer data) {
    SimpleHeld *held = data;

    tt_session_rewind_pin(held->session, held->pin);
}

/* @held stays where it is until simple_release. */
static inline gboolean simple_hold(TtSession *session, const char *word, SimpleHeld *held) {
    g_autoptr(GError) error = NULL;
    TtInstant instant;

    *held = (SimpleHeld){.session = session};
    g_assert_true(tt_instant_parse(word, &instant, NULL));
    held->snapshot = tt_snapshot_new_at(session, &instant, 0, &held->pin, &error);
    if (!held->snapshot) {
        g_assert_error(error, TT_MODEL_ERROR, TT_MODEL_ERROR_INSTANT);
        return FALSE;
    }
    tt_snapshot_set_fetch(held->snapshot, simple_fetch, simple_rewind, held);
    tt_snapshot_settle(held->snapshot);
    return TRUE;
}

static inline void simple_release(SimpleHeld *held) {
    tt_session_unpin(held->session, held->pin);
    tt_snapshot_free(held->snapshot);
    *held = (SimpleHeld){.pin = NULL};
}

static inline gint simple_compare_ids(gconstpointer a, gconstpointer b) {
    guint64 left = ((const TtBlockRow *)a)->id, right = ((const TtBlockRow *)b)->id;
    return left < right ? -1 : left > right;
}

/* Returns: (transfer full) (element-type TtBlockRow): its live blocks, by id. */
static inline GArray *simple_read_all(SimpleHeld *held) {
    GArray *all = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));
    TtBlockRow rows[7];
    gsize count;

    tt_snapshot_rewind_live(held->snapshot);
    while ((count = tt_snapshot_next_live(held->snapshot, rows, G_N_ELEMENTS(rows))) > 0)
        g_array_append_vals(all, rows, (guint)count);
    g_array_sort(all, simple_compare_ids);
    return all;
}

static inline void simple_check_balance(const TtSnapshot *snapshot) {
    const TtTotals *totals = tt_snapshot_get_totals(snapshot);
    guint64 live_bytes = 0, live_blocks = 0, peak_bytes = 0, cumulative_bytes = 0, freed = 0;
    gsize count;
    const TtSiteRow *sites = tt_snapshot_get_sites(snapshot, &count);

    for (gsize i = 0; i < count; i++) {
        live_bytes += sites[i].live_bytes;
        live_blocks += sites[i].live_blocks;
        peak_bytes += sites[i].peak_bytes;
        cumulative_bytes += sites[i].cumulative_bytes;
        freed += sites[i].freed_bytes;
        g_assert_cmpuint(sites[i].cumulative_bytes, ==, sites[i].live_bytes + sites[i].freed_bytes);
        g_assert_cmpuint(sites[i].live_bytes, <=, sites[i].cumulative_bytes);
        g_assert_cmpuint(sites[i].live_blocks, <=, sites[i].cumulative_blocks);
    }
    g_assert_cmpuint(live_bytes, ==, totals->live_bytes);
    g_assert_cmpuint(live_blocks, ==, totals->live_blocks);
    g_assert_cmpuint(peak_bytes, ==, totals->peak_bytes);
    g_assert_cmpuint(cumulative_bytes, ==, totals->cumulative_allocated);
    g_assert_cmpuint(freed, ==, totals->cumulative_freed);
    g_assert_cmpuint(totals->cumulative_allocated, ==,
                     totals->cumulative_freed + totals->live_bytes);
    g_assert_cmpuint(totals->cumulative_allocations, ==,
                     totals->cumulative_frees + totals->live_blocks);
}
