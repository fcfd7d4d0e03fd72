/* SPDX-License-Identifier: Apache-2.0 */
/* What a child inherits is what lived at its fork, whatever became of it since. */
#include <malloc.h>

#include "model/bequest.h"
#include "simple.h"

#define FORK_NS 1000u /* when the last event before it was */

/* Blocks at 0x1000, 0x2000, …, of 100, 200, … bytes, one a nanosecond up to the fork. Of those of
 * one thread it is told what they were given. */
static void give_birth(TtSession *session, guint count) {
    for (guint number = 1; number <= count; number++) {
        guint thread = (number - 1) % 2;
        guint64 time_ns = FORK_NS - count + number;
        TtRecordUsable usable = {
            .stamp = SIMPLE_START + time_ns, .addr = 0x1000 * number, .usable = 101 * number};

        simple_apply(session, TT_OP_ALLOC, thread, time_ns, 0x1000 * number, 100 * number);
        if (thread == 1)
            tt_session_measure_block(session, (guint16)thread, &usable);
    }
}

static TtSession *new_child(guint64 start_ns) {
    TtSessionInfo info = {.exe = (char *)"child",
                          .timescale = {.start_stamp = SIMPLE_START + start_ns, .mult = 1}};

    return tt_session_new(&info, NULL);
}

static void apply_all(TtSession *child, const GByteArray *records) {
    TtCursor cursor = tt_cursor_new(records->data, records->len);
    TtRecordStack stack;
    TtRecordDoubt doubt;
    TtRawRecord raw;

    while (tt_decode_framed(&cursor, &raw) == TT_ITEM_RECORD) {
        if (raw.number == TT_RECORD_STACK) {
            g_assert_cmpint(tt_decode_stack(&raw, &stack), ==, 0);
            g_assert_true(tt_session_define_stack(child, &stack));
        } else if (raw.number == TT_RECORD_DOUBT) {
            g_assert_cmpint(tt_decode_doubt(&raw, &doubt), ==, 0);
            g_autofree char *sentence = g_strndup(doubt.sentence.text, doubt.sentence.len);
            tt_session_add_doubt(child, sentence);
        } else {
            g_assert_true(tt_session_inherit(child, &raw));
        }
    }
}

/* In pieces of a record or two. */
static TtSession *inherit(TtSession *parent, guint64 token, guint64 others) {
    TtForkInstant instant = {.stamp = SIMPLE_START + FORK_NS,
                             .token = token,
                             .others = others,
                             .stacks = TT_STACK_FIRST + 4};
    TtSession *child = new_child(5000);
    TtBequest *bequest = tt_bequest_new(parent, &instant);
    gboolean has_more = TRUE;

    while (has_more) {
        g_autoptr(GByteArray) records = g_byte_array_new();

        has_more = tt_bequest_write(bequest, records, 50);
        apply_all(child, records);
    }
    tt_bequest_free(bequest);
    return child;
}

static void check_inherited(TtSession *child, guint count, gboolean is_exact) {
    SimpleHeld held;

    g_assert_true(simple_hold(child, "now", &held));
    g_autoptr(GArray) rows = simple_read_all(&held);
    const TtTotals *totals = tt_snapshot_get_totals(held.snapshot);
    guint64 seen = 0;

    g_assert_cmpuint(rows->len, ==, count);
    g_assert_cmpuint(totals->inherited_blocks, ==, count);
    g_assert_cmpuint(totals->inherited_bytes, ==, 50 * count * (count + 1));
    g_assert_cmpuint(totals->live_bytes, ==, totals->inherited_bytes);
    g_assert_cmpuint(totals->cumulative_allocations, ==, 0);
    g_assert_cmpuint(totals->events, ==, 0);
    g_assert_cmpuint(totals->peak_bytes, ==, totals->inherited_bytes);
    for (guint i = 0; i < rows->len; i++) {
        const TtBlockRow *row = &g_array_index(rows, TtBlockRow, i);
        guint number = (guint)(row->addr / 0x1000);

        g_assert_cmpuint(row->size, ==, 100 * number);
        g_assert_cmpuint(row->stack, ==, TT_STACK_FIRST);
        g_assert_cmpuint(row->born_ns, ==, 0);
        g_assert_cmpuint(row->before_ns, ==, 5000 - (FORK_NS - count + number));
        g_assert_cmpuint(row->spare, ==, number % 2 == 0 ? number + 1 : 0);
        g_assert_true(row->is_inherited);
        seen |= (guint64)1 << number;
    }
    g_assert_cmpuint(seen, ==, ((guint64)1 << (count + 1)) - 2);
    g_assert_cmpint(tt_snapshot_get_completeness(held.snapshot)->exact, ==, is_exact);
    simple_release(&held);
}

static void add_fork(TtSession *parent, guint64 token_ns, guint64 time_ns) {
    tt_session_add_fork(
        parent, 0,
        &(TtRecordFork){.stamp = SIMPLE_START + time_ns, .token = SIMPLE_START + token_ns});
}

static void tell_fork(TtSession *parent) { add_fork(parent, FORK_NS + 1, FORK_NS + 20); }

/* All that it knew is gone when the child asks, and the history has forgotten. */
static void forked_state_outlives_the_parents_blocks(void) {
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.history_blocks = 2;
    g_autoptr(TtSession) parent = simple_new(&limits);
    give_birth(parent, 10);
    tell_fork(parent);
    for (guint i = 0; i < 10; i++)
        simple_apply(parent, TT_OP_FREE, 0, 2000 + i, 0x1000 * (i + 1), 0);
    for (guint i = 0; i < 10; i++)
        simple_apply(parent, TT_OP_ALLOC, 0, 3000 + i, 0x1000 * (i + 1), 7);
    g_autoptr(TtSession) child = inherit(parent, SIMPLE_START + FORK_NS + 1, 0);
    check_inherited(child, 10, TRUE);
}

/* Other threads went on between the last event that the child saw and the parent's word of it. */
static void events_between_fork_and_its_word_are_taken_back(void) {
    g_autoptr(TtSession) parent = simple_new(NULL);

    give_birth(parent, 10);
    simple_apply(parent, TT_OP_FREE, 1, FORK_NS + 5, 0x3000, 0);
    simple_apply(parent, TT_OP_ALLOC, 1, FORK_NS + 6, 0x3000, 9);
    simple_apply(parent, TT_OP_ALLOC, 1, FORK_NS + 7, 0x20000, 9);
    tell_fork(parent);
    simple_apply(parent, TT_OP_FREE, 1, FORK_NS + 30, 0x4000, 0);
    g_autoptr(TtSession) child = inherit(parent, SIMPLE_START + FORK_NS + 1, 3);
    check_inherited(child, 10, FALSE); /* of three threads a call may be missing */
}

/* Without a word of it: through the history, as far as that goes. */
static void fork_without_a_word_is_led_back(void) {
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.history_blocks = 4;
    g_autoptr(TtSession) parent = simple_new(&limits);
    give_birth(parent, 10);
    for (guint i = 0; i < 3; i++)
        simple_apply(parent, TT_OP_FREE, 0, 2000 + i, 0x1000 * (i + 1), 0);
    g_autoptr(TtSession) child = inherit(parent, 0, 0);
    check_inherited(child, 10, FALSE);

    for (guint i = 3; i < 8; i++)
        simple_apply(parent, TT_OP_FREE, 0, 3000 + i, 0x1000 * (i + 1), 0);
    g_autoptr(TtSession) late = inherit(parent, 0, 0);
    SimpleHeld held;
    g_assert_true(simple_hold(late, "now", &held));
    g_assert_cmpuint(tt_snapshot_get_totals(held.snapshot)->inherited_blocks, ==, 6);
    g_assert_cmpuint(tt_snapshot_get_completeness(held.snapshot)->doubts->len, ==, 2);
    simple_release(&held);
}

static gboolean has_paused(TtSession *session) {
    g_autoptr(TtSnapshot) snapshot = simple_look(session);

    return tt_snapshot_get_completeness(snapshot)->has_paused;
}

/* What the parent leaves out from some time after the fork on is not the child's; what it had left
 * out by then is, though its last event was before. */
static void pauses_are_inherited_as_of_the_fork(void) {
    static const guint64 times_ns[] = {FORK_NS + 2, FORK_NS + 1, FORK_NS};

    for (guint i = 0; i < G_N_ELEMENTS(times_ns); i++) {
        g_autoptr(TtSession) parent = simple_new(NULL);

        give_birth(parent, 10);
        tell_fork(parent);
        tt_session_pause(parent, SIMPLE_START + FORK_NS + 30);
        tt_session_pause(parent, SIMPLE_START + times_ns[i]); /* another lane's */
        g_autoptr(TtSession) child = inherit(parent, SIMPLE_START + FORK_NS + 1, 0);
        g_assert_cmpint(has_paused(child), ==, i > 0);
        simple_apply(child, TT_OP_FREE, tt_session_get_thread(child, 0, 100), 6000, 0x999000, 0);
        g_autoptr(TtSnapshot) snapshot = simple_look(child);
        g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->unknown_frees, ==, i == 0);
        g_autoptr(TtSession) raw = inherit(parent, 0, 0);
        g_assert_true(has_paused(raw));
    }
}

static gsize count_allocated(void) {
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* Of each that has no point what has died since is held until its turn: out of what the parent's
 * blocks are charged to, of which it leaves nearly all; where that does not do it is said. */
static void children_in_line_share_the_parents_memory(void) {
    const guint count = 20000;
    TtForkInstant instant = {.stamp = SIMPLE_START + FORK_NS, .stacks = TT_STACK_FIRST + 4};
    TtBequest *line[32];
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.history_blocks = 2 * count;
    limits.detail_bytes = 16 << 20;
    limits.pinned_bytes = limits.detail_bytes / 2;
    g_autoptr(TtSession) parent = simple_new(&limits);
    give_birth(parent, 10);
    for (guint i = 0; i < count; i++) {
        simple_apply(parent, TT_OP_ALLOC, 0, 2000 + 2 * i, 0x100000, 8);
        simple_apply(parent, TT_OP_FREE, 0, 2001 + 2 * i, 0x100000, 0);
    }
    simple_apply(parent, TT_OP_FREE, 0, 3000 + 2 * count, 0x1000, 0);
    gsize before = count_allocated();
    for (guint i = 0; i < G_N_ELEMENTS(line); i++)
        line[i] = tt_bequest_new(parent, &instant);
    g_assert_cmpuint(count_allocated(), <, before + limits.detail_bytes / 4);
    g_autoptr(TtSession) late = inherit(parent, 0, 0);
    SimpleHeld held;
    g_assert_true(simple_hold(late, "now", &held));
    const TtCompleteness *completeness = tt_snapshot_get_completeness(held.snapshot);
    g_assert_nonnull(strstr(g_ptr_array_index(completeness->doubts, 1), "are not kept"));
    simple_release(&held);
    for (guint i = 0; i < 5 * count; i++)
        simple_apply(parent, TT_OP_ALLOC, 0, 4000 + 2 * count + i, 0x1000000 + i * (guint64)64, 8);
    g_autoptr(TtSnapshot) snapshot = simple_look(parent);
    g_assert_true(tt_snapshot_get_completeness(snapshot)->exact);

    for (guint i = 0; i < G_N_ELEMENTS(line); i++)
        tt_bequest_free(line[i]);
    g_autoptr(TtSession) child = inherit(parent, 0, 0);
    check_inherited(child, 10, FALSE); /* no handler told of the fork, but all are there */
}

/* allocated + inherited = freed + live, at each instant and of each site. */
static void books_of_a_child_balance(void) {
    static const char *const instants[] = {"start", "1000ns", "peak", "now"};
    static const guint64 live[] = {1000, 900 + 50, 1000, 900 + 777 + 50 - 400};
    g_autoptr(TtSession) parent = simple_new(NULL);

    give_birth(parent, 4);
    tell_fork(parent);
    g_autoptr(TtSession) child = inherit(parent, SIMPLE_START + FORK_NS + 1, 0);
    guint16 thread = tt_session_get_thread(child, 0, 500);
    g_assert_cmpuint(thread, ==, 2);
    simple_apply(child, TT_OP_FREE, thread, 5500, 0x1000, 0);
    simple_apply(child, TT_OP_ALLOC, thread, 5600, 0x9000, 50);
    simple_apply(child, TT_OP_REALLOC_BEGIN, thread, 6500, 0x4000, 0);
    simple_apply(child, TT_OP_REALLOC_END, thread, 6501, 0x7000, 777);
    for (guint i = 0; i < G_N_ELEMENTS(instants); i++) {
        SimpleHeld held;

        g_assert_true(simple_hold(child, instants[i], &held));
        const TtTotals *totals = tt_snapshot_get_totals(held.snapshot);
        g_autoptr(GArray) rows = simple_read_all(&held);
        guint64 bytes = 0;
        gsize count;
        const TtSiteRow *sites = tt_snapshot_get_sites(held.snapshot, &count);

        for (guint k = 0; k < rows->len; k++)
            bytes += g_array_index(rows, TtBlockRow, k).size;
        if (!g_str_equal(instants[i], "peak"))
            g_assert_cmpuint(totals->live_bytes, ==, live[i]);
        g_assert_cmpuint(bytes, ==, totals->live_bytes);
        g_assert_cmpuint(totals->cumulative_allocated + 1000, ==,
                         totals->cumulative_freed + totals->live_bytes);
        g_assert_cmpuint(totals->cumulative_allocations + 4, ==,
                         totals->cumulative_frees + totals->live_blocks);
        for (gsize k = 0; k < count; k++)
            g_assert_cmpuint(sites[k].cumulative_bytes + sites[k].inherited_bytes, ==,
                             sites[k].freed_bytes + sites[k].live_bytes);
        simple_release(&held);
    }
}

/* What comes may be a recording's, damaged or made up. */
static void inheritance_out_of_turn_is_refused(void) {
    g_autoptr(TtSession) parent = simple_new(NULL);
    g_autoptr(GByteArray) records = g_byte_array_new();
    TtForkInstant instant = {.stamp = SIMPLE_START + FORK_NS, .stacks = TT_STACK_FIRST};

    give_birth(parent, 2);
    TtBequest *bequest = tt_bequest_new(parent, &instant);
    g_assert_false(tt_bequest_write(bequest, records, G_MAXSIZE));
    tt_bequest_free(bequest);

    TtCursor cursor = tt_cursor_new(records->data, records->len);
    g_autoptr(TtSession) begun = new_child(5000), unbegun = new_child(5000);
    TtRawRecord raw;
    (void)tt_session_get_thread(begun, 0, 1);
    while (tt_decode_framed(&cursor, &raw) == TT_ITEM_RECORD) {
        if (raw.number == TT_RECORD_DOUBT)
            continue;
        g_assert_false(tt_session_inherit(begun, &raw));
        if (raw.number != TT_RECORD_INHERITANCE)
            g_assert_false(tt_session_inherit(unbegun, &raw));
    }
}

/* ---- Scopes ---- */

static void enter(TtSession *session, guint16 thread, guint64 time_ns, const char *name,
                  guint64 depth) {
    tt_session_enter_scope(session, thread,
                           &(TtRecordScopeEnter){.stamp = SIMPLE_START + time_ns,
                                                 .name = simple_string(name),
                                                 .depth = depth});
}

static void leave(TtSession *session, guint16 thread, guint64 time_ns, guint64 depth) {
    tt_session_leave_scope(session, thread,
                           &(TtRecordScopeLeave){.stamp = SIMPLE_START + time_ns, .depth = depth});
}

/* Has the child's first thread allocate, leave a scope, and allocate; and compares where they are
 * with names of scopes, innermost first. NULL: in none */
static void check_scopes_of_child(TtSession *parent, const TtForkInstant *instant,
                                  const char *const *names) {
    g_autoptr(GByteArray) records = g_byte_array_new();
    TtSessionInfo info = {.exe = (char *)"child",
                          .own_pid = 500,
                          .timescale = {.start_stamp = SIMPLE_START + 5000, .mult = 1}};
    g_autoptr(TtSession) child = tt_session_new(&info, NULL);
    TtBequest *bequest = tt_bequest_new(parent, instant);
    TtBlockRow rows[8];

    g_assert_false(tt_bequest_write(bequest, records, G_MAXSIZE));
    tt_bequest_free(bequest);
    apply_all(child, records);
    guint16 other = tt_session_get_thread(child, 0, 501);
    guint16 first = tt_session_get_thread(child, 1, 500);
    simple_apply(child, TT_OP_ALLOC, other, 5001, 0x1000, 1);
    for (guint i = 0; i < 3; i++) {
        simple_apply(child, TT_OP_ALLOC, first, 5010 + 10 * i, 0x2000 + 0x1000 * i, 2 + i);
        leave(child, first, 5011 + 10 * i, 1 - MIN(i, 1));
    }

    g_autoptr(TtSnapshot) snapshot = simple_look(child);
    gsize scope_count, count = simple_read_live(child, rows, G_N_ELEMENTS(rows));
    const TtScopeRow *scopes = tt_snapshot_get_scopes(snapshot, &scope_count);
    g_assert_cmpuint(count, ==, 4);
    for (gsize i = 0; i < count; i++) {
        gboolean is_others = rows[i].size == 1;
        const char *want = is_others ? NULL : names[rows[i].size - 2];

        if (!want)
            g_assert_cmpuint(rows[i].scope, ==, TT_NONE);
        else
            g_assert_cmpstr(scopes[rows[i].scope].name, ==, want);
    }
}

static void child_is_in_the_scopes_of_its_fork(void) {
    static const char *const known[] = {"parse", "request", NULL};
    static const char *const lost[] = {"(lost)", "(lost)", NULL};
    g_autoptr(TtSession) parent = simple_new(NULL);
    TtForkInstant instant = {.stamp = SIMPLE_START + 15, .tid = 101, .scopes = 2};

    enter(parent, 0, 9, "elsewhere", 1); /* another thread */
    enter(parent, 1, 10, "request", 1);
    enter(parent, 1, 11, "parse", 2);

    /* It is faster than its parent's word of the fork, not than that of another thread. */
    tt_session_add_fork(parent, 0,
                        &(TtRecordFork){.stamp = SIMPLE_START + 26, .token = SIMPLE_START + 25});
    instant.token = SIMPLE_START + 20;
    check_scopes_of_child(parent, &instant, known);

    /* The parent has gone elsewhere meanwhile. */
    tt_session_add_fork(parent, 1,
                        &(TtRecordFork){.stamp = SIMPLE_START + 31, .token = SIMPLE_START + 30});
    leave(parent, 1, 32, 0);
    enter(parent, 1, 33, "later", 1);
    enter(parent, 1, 34, "still later", 2);
    instant.token = SIMPLE_START + 30;
    check_scopes_of_child(parent, &instant, known);

    /* And the point is given up. */
    check_scopes_of_child(parent, &instant, lost);

    /* It was not made by fork(). */
    instant.token = 0;
    check_scopes_of_child(parent, &instant, lost);
}

/* Children that call exec never ask. */
static void forks_that_nobody_asks_for_are_bounded(void) {
    g_autoptr(TtSession) parent = simple_new(NULL);
    TtSummary summary;

    for (guint i = 0; i < 2000; i++) {
        simple_apply(parent, TT_OP_ALLOC, 0, 10 * i, 0x1000, 64);
        add_fork(parent, 10 * i + 1, 10 * i + 2);
        simple_apply(parent, TT_OP_FREE, 0, 10 * i + 3, 0x1000, 0);
    }
    tt_session_get_summary(parent, &summary);
    guint64 bytes = summary.state_bytes;
    for (guint i = 2000; i < 4000; i++) {
        simple_apply(parent, TT_OP_ALLOC, 0, 10 * i, 0x1000, 64);
        add_fork(parent, 10 * i + 1, 10 * i + 2);
        simple_apply(parent, TT_OP_FREE, 0, 10 * i + 3, 0x1000, 0);
    }
    tt_session_get_summary(parent, &summary);
    g_assert_cmpuint(summary.state_bytes, <, bytes + (256 << 10)); /* the history's */
}

/* ---- Many that wait ---- */

#define ROUND_NS 10000u
#define ROUND_BLOCKS 100u

/* In each round blocks come, the process forks, and they go; the history forgets most at once.
 * Blocks of round @i are of i + 1 bytes. */
static TtSession *run_rounds(guint count, gsize pinned_bytes) {
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.history_blocks = 10;
    if (pinned_bytes > 0)
        limits.pinned_bytes = pinned_bytes;
    TtSession *session = simple_new(&limits);
    for (guint i = 0; i < count; i++) {
        for (guint k = 0; k < ROUND_BLOCKS; k++)
            simple_apply(session, TT_OP_ALLOC, 0, i * ROUND_NS + k, 0x1000 * (k + 1), i + 1);
        add_fork(session, i * ROUND_NS + 200, i * ROUND_NS + 201);
        for (guint k = 0; k < ROUND_BLOCKS; k++)
            simple_apply(session, TT_OP_FREE, 0, i * ROUND_NS + 300 + k, 0x1000 * (k + 1), 0);
    }
    return session;
}

/* Whether the child of round @i has what lived then, and says that it knows all of it. */
static gboolean is_exact(TtSession *parent, guint i) {
    TtForkInstant instant = {.stamp = SIMPLE_START + i * ROUND_NS + ROUND_BLOCKS - 1,
                             .token = SIMPLE_START + i * ROUND_NS + 200,
                             .stacks = TT_STACK_FIRST + 4};
    g_autoptr(GByteArray) records = g_byte_array_new();
    g_autoptr(TtSession) child = new_child((i + 1) * ROUND_NS);
    TtBequest *bequest = tt_bequest_new(parent, &instant);
    SimpleHeld held;

    g_assert_false(tt_bequest_write(bequest, records, G_MAXSIZE));
    tt_bequest_free(bequest);
    apply_all(child, records);
    g_assert_true(simple_hold(child, "now", &held));
    g_autoptr(GArray) rows = simple_read_all(&held);
    gboolean is_exact = tt_snapshot_get_completeness(held.snapshot)->exact;

    g_assert_cmpint(rows->len == ROUND_BLOCKS, ==, is_exact);
    for (guint k = 0; k < rows->len; k++)
        g_assert_cmpuint(g_array_index(rows, TtBlockRow, k).size, ==, i + 1);
    simple_release(&held);
    return is_exact;
}

/* In whatever order they come. */
static void hundreds_of_late_children_are_exact(void) {
    g_autoptr(TtSession) parent = run_rounds(400, 0);

    for (guint i = 0; i < 400; i++)
        g_assert_true(is_exact(parent, i * 7 % 400));
}

/* What waits takes no more than its share of memory: the oldest gives way, and it is said. */
static void oldest_forks_give_way_where_memory_is_scarce(void) {
    gsize round_bytes = ROUND_BLOCKS * 44; /* what the model takes for as many that died */
    g_autoptr(TtSession) parent = run_rounds(50, 20 * round_bytes);
    guint kept = 0;

    while (kept < 50 && is_exact(parent, 49 - kept))
        kept++;
    g_assert_cmpuint(kept, >=, 8);
    g_assert_cmpuint(kept, <=, 10);
    for (guint i = 0; i < 50 - kept; i++)
        g_assert_false(is_exact(parent, i));
}

/* Points are charged, and what died in the time of a fork itself takes no more than its share. */
static void points_of_forks_count_as_memory(void) {
    TtModelLimits limits;
    TtSummary summary;
    TtPool pool;

    tt_model_limits_init(&limits);
    tt_pool_init(&pool, 1 << 30, NULL, NULL);
    limits.detail_pool = &pool;
    limits.history_blocks = 2000;
    limits.pinned_bytes = 4 << 20;
    g_autoptr(TtSession) session = simple_new(&limits);
    for (guint i = 0; i < 200; i++) {
        for (guint k = 0; k < 1000; k++) {
            simple_apply(session, TT_OP_ALLOC, 0, i * ROUND_NS + 2 * k, 0x1000, 8);
            simple_apply(session, TT_OP_FREE, 0, i * ROUND_NS + 2 * k + 1, 0x1000, 0);
        }
        gsize used = pool.used_bytes;
        add_fork(session, i * ROUND_NS, i * ROUND_NS + 5000);
        if (i < 10)
            g_assert_cmpuint(pool.used_bytes, >=, used + 1000 * 50 + 50);
    }
    tt_session_get_summary(session, &summary);
    g_assert_cmpuint(summary.state_bytes, >, 512 << 10);
    g_assert_cmpuint(summary.state_bytes, <, 2 << 20);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/model/forks/" #name, name)
    ADD(forked_state_outlives_the_parents_blocks);
    ADD(events_between_fork_and_its_word_are_taken_back);
    ADD(fork_without_a_word_is_led_back);
    ADD(pauses_are_inherited_as_of_the_fork);
    ADD(children_in_line_share_the_parents_memory);
    ADD(books_of_a_child_balance);
    ADD(inheritance_out_of_turn_is_refused);
    ADD(child_is_in_the_scopes_of_its_fork);
    ADD(forks_that_nobody_asks_for_are_bounded);
    ADD(hundreds_of_late_children_are_exact);
    ADD(oldest_forks_give_way_where_memory_is_scarce);
    ADD(points_of_forks_count_as_memory);
    return g_test_run();
}
