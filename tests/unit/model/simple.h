/* SPDX-License-Identifier: Apache-2.0 */
/* A session for tests in which a tick is a nanosecond, and events in few words. */
#pragma once

#include <string.h>

#include "model/snapshot.h"

#define SIMPLE_START 1000u

static inline TtSession *simple_new(const TtModelLimits *limits) {
    TtSessionInfo info = {.exe = (char *)"simple",
                          .timescale = {.start_stamp = SIMPLE_START, .mult = 1}};
    TtSession *session = tt_session_new(&info, limits);

    g_assert_cmpuint(tt_session_get_thread(session, 0, 100), ==, 0);
    g_assert_cmpuint(tt_session_get_thread(session, 1, 101), ==, 1);
    for (guint i = 0; i < 4; i++)
        g_assert_true(tt_session_define_stack(
            session, &(TtRecordStack){.id = TT_STACK_FIRST + i, .ip = 0x1000 + i}));
    return session;
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
