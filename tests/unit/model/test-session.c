/* SPDX-License-Identifier: Apache-2.0 */
/* What a session says after a few events that are known. */
#include "simple.h"

static void counting_rule_holds(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtSummary summary;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 100);
    simple_apply(session, TT_OP_FREE, 0, 2, 0x1000, 0); /* temporary */
    simple_apply(session, TT_OP_ALLOC, 0, 3, 0x1000, 10);
    simple_apply(session, TT_OP_ALLOC, 0, 4, 0x2000, 20);
    simple_apply(session, TT_OP_FREE, 1, 5, 0x1000, 0); /* not: another came after it */
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 6, 0x2000, 0);
    simple_apply(session, TT_OP_REALLOC_END, 0, 7, 0x3000, 30); /* temporary: no birth between */
    tt_session_get_summary(session, &summary);
    g_assert_cmpuint(summary.events, ==, 7);

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const TtTotals *totals = tt_snapshot_get_totals(snapshot);
    g_assert_cmpuint(totals->cumulative_allocations, ==, 4);
    g_assert_cmpuint(totals->cumulative_frees, ==, 3);
    g_assert_cmpuint(totals->reallocations, ==, 1);
    g_assert_cmpuint(totals->temporary_allocations, ==, 2);
    g_assert_cmpuint(totals->live_blocks, ==, 1);
    g_assert_cmpuint(totals->live_bytes, ==, 30);
    g_assert_cmpuint(totals->peak_bytes, ==, 100);
    g_assert_cmpuint(totals->peak_ns, ==, 1);
    g_assert_true(tt_snapshot_get_completeness(snapshot)->exact);
    simple_check_balance(snapshot);
}

static void realloc_is_one_step(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtBlockRow row;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 100);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 2, 0x1000, 0);
    simple_apply(session, TT_OP_ALLOC, 1, 3, 0x1000, 7); /* reborn elsewhere meanwhile */
    simple_apply(session, TT_OP_REALLOC_END, 0, 4, 0x2000, 110);

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const TtTotals *totals = tt_snapshot_get_totals(snapshot);
    g_assert_cmpuint(totals->peak_bytes, ==, 117); /* not 217 */
    g_assert_cmpuint(totals->peak_ns, ==, 4);
    g_assert_cmpuint(totals->live_blocks, ==, 2);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->synthesized_frees, ==, 0);
    g_assert_cmpuint(tt_snapshot_read_freed(snapshot, 0, &row, 1), ==, 1);
    g_assert_cmpuint(row.id, ==, 1);
    g_assert_cmpuint(row.died_ns, ==, 4);
    simple_check_balance(snapshot);
}

static void failed_realloc_changes_nothing(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtRecordVariable name = {
        .stamp = SIMPLE_START + 2, .addr = 0x1010, .name = simple_string("list")};
    TtBlockRow row;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 100);
    tt_session_name_block(session, 0, &name);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 3, 0x1000, 0);
    g_assert_cmpuint(simple_read_live(session, &row, 1), ==, 1); /* alive all the time */
    tt_session_fail_realloc(session, 0, SIMPLE_START + 4);
    simple_apply(session, TT_OP_ALLOC, 0, 5, 0x2000, 1);

    g_assert_cmpuint(simple_read_live(session, &row, 1), ==, 1);
    g_assert_cmpuint(row.id, ==, 1);
    g_assert_cmpuint(row.born_ns, ==, 1);
    g_assert_cmpuint(row.variable, ==, 0);
    simple_apply(session, TT_OP_FREE, 0, 6, 0x1000, 0);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->reallocations, ==, 0);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->cumulative_frees, ==, 1);
    g_assert_true(tt_snapshot_get_completeness(snapshot)->exact);
}

static void end_amid_realloc_is_declared(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtBlockRow rows[2];

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 100);
    simple_apply(session, TT_OP_ALLOC, 1, 2, 0x2000, 100);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 3, 0x1000, 0);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 1, 4, 0x2000, 0);
    simple_apply(session, TT_OP_ALLOC, 0, 5, 0x2000, 8); /* so the second was moved */
    tt_session_end(session, TT_SESSION_KILLED, 9, 0);
    tt_session_end(session, TT_SESSION_KILLED, 9, 0);

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->doubts->len, ==, 1);
    g_assert_false(tt_snapshot_get_completeness(snapshot)->exact);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->synthesized_frees, ==, 1);
    g_assert_cmpuint(simple_read_live(session, rows, 2), ==, 2);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->live_bytes, ==, 108);
    simple_check_balance(snapshot);
}

/* Another block may have been born there meanwhile. */
static void double_free_is_not_charged_where_events_are_missing(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtRecordGap gap = {.stamp = SIMPLE_START + 2, .first_stamp = SIMPLE_START + 2, .count = 1};

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 100);
    simple_apply(session, TT_OP_FREE, 0, 2, 0x1000, 0);
    tt_session_add_gap(session, 0, &gap);
    simple_apply(session, TT_OP_FREE, 0, 3, 0x1000, 0);

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->double_frees, ==, 0);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->unknown_frees, ==, 1);
}

static void double_free_is_told_from_unknown(void) {
    g_autoptr(TtSession) session = simple_new(NULL);

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 100);
    simple_apply(session, TT_OP_FREE, 0, 2, 0x1000, 0);
    simple_apply(session, TT_OP_FREE, 0, 3, 0x1000, 0);
    simple_apply(session, TT_OP_FREE, 0, 4, 0x5000, 0);
    simple_apply(session, TT_OP_ALLOC, 0, 5, 0x1000, 100);
    simple_apply(session, TT_OP_FREE, 0, 6, 0x1010, 0); /* inside is not at */

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->double_frees, ==, 1);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->unknown_frees, ==, 2);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->cumulative_frees, ==, 1);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->events, ==, 6);
}

static void unknown_deaths_mean_nothing_after_a_pause(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtBlockRow rows[2];

    simple_apply(session, TT_OP_FREE, 0, 1, 0x5000, 0);
    simple_apply(session, TT_OP_ALLOC, 0, 2, 0x1000, 100);
    simple_apply(session, TT_OP_FREE, 0, 3, 0x1000, 0);
    simple_apply(session, TT_OP_ALLOC, 0, 4, 0x2000, 100);
    tt_session_pause(session, SIMPLE_START + 5);
    simple_apply(session, TT_OP_FREE, 0, 6, 0x1000, 0);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 7, 0x5000, 0);
    simple_apply(session, TT_OP_REALLOC_END, 0, 8, 0x6000, 8);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 9, 0x2000, 0);
    simple_apply(session, TT_OP_REALLOC_END, 0, 10, 0x3000, 300);

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_true(tt_snapshot_get_completeness(snapshot)->has_paused);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->double_frees, ==, 0);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->unknown_frees, ==, 1);
    g_assert_cmpuint(simple_read_live(session, rows, 2), ==, 1);
    g_assert_cmpuint(rows[0].size, ==, 300);
    simple_check_balance(snapshot);
}

static void stamps_never_run_backwards(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtEvent before = {.stamp = 1, .addr = 0x100, .size = 1, .op = TT_OP_ALLOC};
    TtBlockRow row;

    tt_session_apply(session, &before, 1);
    g_autoptr(TtSnapshot) fine = simple_look(session);
    g_assert_true(tt_snapshot_get_completeness(fine)->exact); /* before the start is the start */

    simple_apply(session, TT_OP_ALLOC, 0, 100, 0x1000, 100);
    simple_apply(session, TT_OP_FREE, 0, 50, 0x1000, 0);
    simple_apply(session, TT_OP_ALLOC, 0, G_MAXUINT64 / 2, 0x1000, 100);
    simple_apply(session, TT_OP_FREE, 0, 7, 0x1000, 0);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_cmpuint(tt_snapshot_read_freed(snapshot, 0, &row, 1), ==, 1);
    g_assert_cmpuint(row.born_ns, ==, 100);
    g_assert_cmpuint(row.died_ns, ==, 100);
    g_assert_false(tt_snapshot_get_completeness(snapshot)->exact);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->doubts->len, ==, 1);
}

static void state_may_become_better_known(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    gint status;

    simple_apply(session, TT_OP_ALLOC, 0, 5, 0x1000, 100);
    tt_session_end(session, TT_SESSION_ENDED, -1, SIMPLE_START + 40);
    tt_session_end(session, TT_SESSION_EXITED, 256, 0);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_cmpint(tt_snapshot_get_state(snapshot, &status), ==, TT_SESSION_EXITED);
    g_assert_cmpint(status, ==, 256);
    g_assert_cmpuint(tt_snapshot_get_time_ns(snapshot), ==, 40);
    g_assert_cmpstr(tt_session_state_name(TT_SESSION_LOST), ==, "lost");
}

/* ---- Stacks and modules ---- */

static void stacks_name_their_modules(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtRecordModule module = {
        .id = 7, .path = simple_string("/lib/x.so"), .start = 0x1000, .end = 0x9000};
    TtRecordStack outer = {.id = 20, .parent = TT_STACK_TRUNCATED, .ip = 0x1234, .module = 7};
    TtRecordStack inner = {.id = 21, .parent = 20, .ip = 0x77, .flags = TT_STACK_EXACT_IP};
    TtFrame frames[TT_STACK_DEPTH_MAX];
    gboolean is_truncated;
    gsize count;

    g_assert_false(tt_session_define_stack(session, &outer)); /* its module is not there yet */
    g_assert_true(tt_session_define_module(session, &module));
    g_assert_false(tt_session_define_module(session, &module));
    g_assert_false(tt_session_define_stack(session, &inner)); /* nor its parent */
    g_assert_true(tt_session_define_stack(session, &outer));
    g_assert_true(tt_session_define_stack(session, &inner));
    g_assert_false(tt_session_define_stack(session, &inner));
    tt_session_end_module(session, &(TtRecordModuleGone){.id = 7, .stamp = SIMPLE_START + 9});
    tt_session_apply(session, &(TtEvent){.stamp = 2000, .addr = 1, .stack = 21, .op = TT_OP_ALLOC},
                     1);

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    tt_session_free(g_steal_pointer(&session)); /* a snapshot lives on */
    g_assert_cmpuint(tt_snapshot_get_frames(snapshot, 21, frames, &is_truncated), ==, 2);
    g_assert_true(is_truncated);
    g_assert_cmpuint(frames[0].ip, ==, 0x77);
    g_assert_cmpuint(frames[0].module, ==, TT_NONE);
    g_assert_true(frames[0].is_exact_ip);
    g_assert_cmpuint(frames[1].ip, ==, 0x1234);
    g_assert_cmpuint(frames[1].module, ==, 0);
    g_assert_false(frames[1].is_exact_ip);
    g_assert_cmpuint(tt_snapshot_get_frames(snapshot, TT_STACK_NONE, frames, NULL), ==, 0);
    g_assert_cmpuint(tt_snapshot_get_frames(snapshot, 999999999, frames, NULL), ==, 0);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->truncated_stacks, ==, 1);

    const TtModuleRow *modules = tt_snapshot_get_modules(snapshot, &count);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpstr(modules[0].path, ==, "/lib/x.so");
    g_assert_cmpuint(modules[0].removed_ns, ==, 9);
}

static void impossible_definitions_are_refused(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtRecordStack stacks[] = {
        {.id = TT_STACK_NONE},
        {.id = 100, .parent = 100},
        {.id = 100, .parent = 101},
        {.id = 100, .parent = TT_STACK_NONE},
        {.id = 100, .parent = 99},
        {.id = 100, .module = 1},
        {.id = 100, .module = G_MAXUINT64},
        {.id = (guint64)1 << 32},
        {.id = ((guint64)1 << 32) + TT_STACK_FIRST},
    };
    TtRecordModule modules[] = {
        {.id = 0},
        {.id = TT_MODULES_MAX},
        {.id = G_MAXUINT64},
        {.id = 1, .start = 2, .end = 1},
        {.id = 1, .build_id = {.text = "", .len = TT_BUILD_ID_MAX + 1}},
    };

    for (guint i = 0; i < G_N_ELEMENTS(stacks); i++)
        g_assert_false(tt_session_define_stack(session, &stacks[i]));
    for (guint i = 0; i < G_N_ELEMENTS(modules); i++)
        g_assert_false(tt_session_define_module(session, &modules[i]));
    g_assert_false(tt_session_define_segment(session, &(TtRecordSegment){.module = 1}));
    tt_session_end_module(session, &(TtRecordModuleGone){.id = 1});
}

/* A reader of an old snapshot, on a thread of its own. */
static gpointer read_stacks(gpointer data) {
    const TtSnapshot *snapshot = data;
    TtFrame frames[TT_STACK_DEPTH_MAX];

    for (guint round = 0; round < 200; round++) {
        for (guint32 id = TT_STACK_FIRST; id < TT_STACK_FIRST + 2000; id += 7) {
            gsize count = tt_snapshot_get_frames(snapshot, id, frames, NULL);

            for (gsize i = 0; i < count; i++)
                g_assert_cmpuint(frames[i].ip, ==, 0x1000 + id - TT_STACK_FIRST - i);
        }
    }
    return NULL;
}

/* For the thread sanitizer above all. */
static void stacks_are_read_while_others_are_defined(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    GThread *reader = g_thread_new("reader", read_stacks, snapshot);

    for (guint i = 4; i < 200000; i++) {
        guint32 id = TT_STACK_FIRST + i;
        guint32 parent = i % 100 == 4 ? TT_STACK_ROOT : id - 1;

        g_assert_true(tt_session_define_stack(
            session, &(TtRecordStack){.id = id, .parent = parent, .ip = 0x1000 + i}));
    }
    g_thread_join(reader);
}

/* ---- Threads ---- */

static void tids_that_return_are_other_threads(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    gsize count;

    g_assert_cmpuint(tt_session_get_thread(session, 0, 100), ==, 0);
    g_assert_cmpuint(tt_session_get_thread(session, 2, 100), ==, 2); /* in another lane */
    g_assert_cmpuint(tt_session_get_thread(session, 0, 55), ==, 3);
    g_assert_cmpuint(tt_session_get_thread(session, 0, 100), ==, 4);
    tt_session_end_thread(session, 0);
    g_assert_cmpuint(tt_session_get_thread(session, 0, 100), ==, 5);
    for (guint i = 0; i < 1000; i++)
        tt_session_name_thread(session, 5, &(TtRecordThread){.name = simple_string("worker")});

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const TtThreadRow *rows = tt_snapshot_get_threads(snapshot, &count);
    g_assert_cmpuint(count, ==, 6);
    g_assert_cmpstr(rows[5].name, ==, "worker");
    g_assert_cmpstr(rows[0].name, ==, "");
    g_assert_cmpuint(rows[3].tid, ==, 55);
}

/* ---- Scopes ---- */

static void enter(TtSession *session, const char *name, guint64 depth) {
    tt_session_enter_scope(session, 0,
                           &(TtRecordScopeEnter){.name = simple_string(name), .depth = depth});
}

static const char *scope_of_next(TtSession *session) {
    static guint64 addr = 0x10000;
    g_autoptr(TtSnapshot) snapshot = NULL;
    TtBlockRow rows[100];
    gsize count;

    simple_apply(session, TT_OP_ALLOC, 0, addr, addr, 8);
    addr += 16;
    gsize live = simple_read_live(session, rows, G_N_ELEMENTS(rows));
    snapshot = simple_look(session);
    const TtScopeRow *scopes = tt_snapshot_get_scopes(snapshot, &count);
    guint32 scope = rows[live - 1].scope;
    return scope == TT_NONE ? NULL : g_intern_string(scopes[scope].name);
}

static void lost_scopes_are_repaired(void) {
    g_autoptr(TtSession) session = simple_new(NULL);

    g_assert_cmpstr(scope_of_next(session), ==, NULL);
    enter(session, "a", 1);
    enter(session, "b", 2);
    g_assert_cmpstr(scope_of_next(session), ==, "b");
    enter(session, "c", 2); /* the leave of b was lost */
    g_assert_cmpstr(scope_of_next(session), ==, "c");
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = 1});
    g_assert_cmpstr(scope_of_next(session), ==, "a");
    enter(session, "d", 4); /* two enters were lost */
    g_assert_cmpstr(scope_of_next(session), ==, "d");
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = 3});
    g_assert_cmpstr(scope_of_next(session), ==, "(lost)");
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = 1});
    g_assert_cmpstr(scope_of_next(session), ==, "a");
    enter(session, "far", (guint64)1 << 60);
    g_assert_cmpstr(scope_of_next(session), ==, "other");
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = 1});
    g_assert_cmpstr(scope_of_next(session), ==, "a");
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = 0});
    g_assert_cmpstr(scope_of_next(session), ==, NULL);
}

/* A lane that has had no room for their beginning tells how many there are. */
static void scopes_that_are_only_counted_are_lost_ones(void) {
    g_autoptr(TtSession) session = simple_new(NULL);

    enter(session, "a", 1);
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = 3});
    g_assert_cmpstr(scope_of_next(session), ==, "(lost)");
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = 1});
    g_assert_cmpstr(scope_of_next(session), ==, "a");
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = (guint64)1 << 60});
    g_assert_cmpstr(scope_of_next(session), ==, "other");
    tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = 0});
    g_assert_cmpstr(scope_of_next(session), ==, NULL);
}

static void deep_scopes_come_back(void) {
    g_autoptr(TtSession) session = simple_new(NULL);

    for (guint depth = 1; depth <= 3000; depth++)
        enter(session, "deeper", depth);
    g_assert_cmpstr(scope_of_next(session), ==, "other");
    for (guint depth = 2999; depth > 500; depth--)
        tt_session_leave_scope(session, 0, &(TtRecordScopeLeave){.depth = depth});
    g_assert_cmpstr(scope_of_next(session), ==, "deeper");
}

/* ---- Names ---- */

static void a_variable_keeps_the_stack_that_named_it_first(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtRecordVariable name = {
        .addr = 0x1000, .name = simple_string("list"), .stack = TT_STACK_FIRST + 1};
    gsize count;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 16);
    tt_session_name_block(session, 0, &name);
    name.stack = TT_STACK_FIRST + 2;
    tt_session_name_block(session, 0, &name);
    name =
        (TtRecordVariable){.addr = 0x1000, .name = simple_string("far"), .stack = (guint64)1 << 40};
    tt_session_name_block(session, 0, &name);

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const TtVariableRow *variables = tt_snapshot_get_variables(snapshot, &count);
    g_assert_cmpuint(count, ==, 2);
    g_assert_cmpuint(variables[0].stack, ==, TT_STACK_FIRST + 1);
    g_assert_cmpuint(variables[1].stack, ==, TT_STACK_NONE);
}

/* ---- Usable sizes ---- */

static void measure(TtSession *session, guint16 thread, guint64 time_ns, guint64 addr,
                    guint64 usable) {
    TtRecordUsable record = {.stamp = SIMPLE_START + time_ns, .addr = addr, .usable = usable};

    tt_session_measure_block(session, thread, &record);
}

static void usable_size_is_of_the_threads_last_birth(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtBlockRow rows[3];
    guint64 usable = 7;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 20);
    simple_apply(session, TT_OP_ALLOC, 1, 1, 0x2000, 20);
    simple_apply(session, TT_OP_ALLOC, 0, 2, 0x3000, 20);
    measure(session, 0, 2, 0x1000, 24); /* not its last */
    measure(session, 0, 2, 0x2000, 24); /* another thread's */
    measure(session, 1, 2, 0x4000, 24); /* no block */
    g_assert_cmpuint(simple_read_live(session, rows, 3), ==, 3);
    for (guint i = 0; i < 3; i++)
        g_assert_false(tt_block_row_get_usable(&rows[i], &usable));
    g_assert_cmpuint(usable, ==, 7);

    measure(session, 1, 2, 0x2000, 20);
    measure(session, 0, 2, 0x3000, 24);
    g_assert_cmpuint(simple_read_live(session, rows, 3), ==, 3);
    g_assert_true(tt_block_row_get_usable(&rows[1], &usable));
    g_assert_cmpuint(usable, ==, 20);
    g_assert_true(tt_block_row_get_usable(&rows[2], &usable));
    g_assert_cmpuint(usable, ==, 24);
}

/* A stamp of the one thread's may precede its cause by some nanoseconds. */
static void usable_size_of_a_block_that_was_freed_too_early(void) {
    for (guint has_stack = 0; has_stack < 2; has_stack++) {
        g_autoptr(TtSession) session = simple_new(NULL);
        TtEvent events[] = {
            {.stamp = SIMPLE_START + 75,
             .addr = 0x1000,
             .stack = has_stack ? TT_STACK_FIRST + 1 : TT_STACK_NONE,
             .thread = 1,
             .op = TT_OP_FREE},
            {.stamp = SIMPLE_START + 80,
             .addr = 0x1000,
             .size = 20,
             .stack = TT_STACK_FIRST,
             .op = TT_OP_ALLOC},
        };
        TtBlockRow row;
        guint64 usable = 0;

        tt_session_apply_ahead(session, events, 2, 0);
        measure(session, 0, 80, 0x1000, 24);
        measure(session, 1, 80, 0x1000, 25);
        measure(session, 0, 80, 0x2000, 26);

        g_autoptr(TtSnapshot) snapshot = simple_look(session);
        g_assert_cmpuint(tt_snapshot_read_freed(snapshot, 0, &row, 1), ==, 1);
        g_assert_true(tt_block_row_get_usable(&row, &usable));
        g_assert_cmpuint(usable, ==, 24);
        g_assert_cmpuint(row.stack, ==, TT_STACK_FIRST);
        g_assert_cmpuint(row.freed_stack, ==, has_stack ? TT_STACK_FIRST + 1 : TT_STACK_NONE);
        g_assert_cmpuint(row.variable, ==, TT_NONE);
        g_assert_cmpuint(row.scope, ==, TT_NONE);
        simple_check_balance(snapshot);
    }
}

/* With all else that extras hold, whose bits they share. */
static void usable_size_is_whole_or_not_known(void) {
    static const guint64 spares[] = {0, 1, 0xfffe, 0xffff, 0x10000, 0xabcdef, 0xfffffe, 0xffffff};

    for (guint i = 0; i < G_N_ELEMENTS(spares); i++) {
        g_autoptr(TtSession) session = simple_new(NULL);
        TtBlockRow row;
        guint64 usable = 0;

        simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 100);
        simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 2, 0x1000, 0);
        simple_apply(session, TT_OP_REALLOC_END, 0, 3, 0x1000, 200);
        measure(session, 0, 3, 0x1000, 199); /* less than was asked for */
        g_assert_cmpuint(simple_read_live(session, &row, 1), ==, 1);
        g_assert_false(tt_block_row_get_usable(&row, &usable));
        measure(session, 0, 3, 0x1000, 200 + spares[i]);
        for (guint is_freed = 0; is_freed < 2; is_freed++) {
            if (is_freed)
                simple_apply(session, TT_OP_FREE, 0, 4, 0x1000, 0);
            g_autoptr(TtSnapshot) snapshot = simple_look(session);
            if (is_freed)
                g_assert_cmpuint(tt_snapshot_read_freed(snapshot, 1, &row, 1), ==, 1);
            else
                g_assert_cmpuint(simple_read_live(session, &row, 1), ==, 1);
            g_assert_cmpint(tt_block_row_get_usable(&row, &usable), ==, spares[i] < 0xffffff);
            g_assert_cmpuint(usable, ==, spares[i] < 0xffffff ? 200 + spares[i] : 0);
            g_assert_cmpuint(row.resized_from, ==, 1);
            g_assert_cmpuint(row.stack, ==, TT_STACK_FIRST);
        }
    }
}

static void names_go_to_the_innermost_block(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtBlockRow rows[4];
    TtRecordVariable name = {.name = simple_string("pool")};

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x10000, 0x1000);
    simple_apply(session, TT_OP_ALLOC, 0, 2, 0x10100, 64); /* reported by the pool */
    name.addr = 0x10200;                                   /* in the pool, behind the part */
    tt_session_name_block(session, 0, &name);
    name = (TtRecordVariable){.addr = 0x1013f, .name = simple_string("part")};
    tt_session_name_block(session, 0, &name);
    name = (TtRecordVariable){.addr = 0x11000, .name = simple_string("past the end")};
    tt_session_name_block(session, 0, &name);

    g_assert_cmpuint(simple_read_live(session, rows, 4), ==, 2);
    g_assert_cmpuint(rows[0].variable, ==, 0);
    g_assert_cmpuint(rows[1].variable, ==, 1);
    simple_apply(session, TT_OP_FREE, 0, 4, 0x10000, 0); /* the part lives on */
    name = (TtRecordVariable){.addr = 0x10200, .name = simple_string("nobody")};
    tt_session_name_block(session, 0, &name);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    gsize count;
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->live_blocks, ==, 1);
    (void)tt_snapshot_get_variables(snapshot, &count);
    g_assert_cmpuint(count, ==, 2);
}

static void pins_keep_the_name_of_their_time(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtRecordVariable name = {.addr = 0x1000, .name = simple_string("first")};
    TtSnapshot *snapshots[3];
    TtPin *pins[3];
    TtBlockRow row;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 64);
    snapshots[0] = tt_snapshot_new(session, &pins[0]);
    tt_session_name_block(session, 0, &name);
    snapshots[1] = tt_snapshot_new(session, &pins[1]);
    name.name = simple_string("second");
    tt_session_name_block(session, 0, &name);
    name.name = simple_string("third");
    tt_session_name_block(session, 0, &name);
    snapshots[2] = tt_snapshot_new(session, &pins[2]);
    simple_apply(session, TT_OP_FREE, 0, 9, 0x1000, 0);

    const guint32 variables[] = {TT_NONE, 0, 2};
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpuint(tt_session_read_live(session, pins[i], &row, 1), ==, 1);
        g_assert_cmpuint(row.variable, ==, variables[i]);
        g_assert_cmpuint(row.died_ns, ==, TT_TIME_NONE);
    }
    for (guint i = 0; i < 3; i++) {
        tt_session_unpin(session, pins[i]);
        tt_snapshot_free(snapshots[i]);
    }
}

static void strings_keep_no_nul(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    gsize count;

    tt_session_add_mark(session, SIMPLE_START + 3, (TtString){.text = "a\0b", .len = 3});
    tt_session_add_mark(session, SIMPLE_START + 4, (TtString){.text = NULL, .len = 0});
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const TtMarkRow *marks = tt_snapshot_get_marks(snapshot, &count);
    g_assert_cmpuint(count, ==, 2);
    g_assert_cmpstr(marks[0].name, ==,
                    "a\xe2\x90\x80"
                    "b");
    g_assert_cmpuint(marks[0].t_ns, ==, 3);
    g_assert_cmpstr(marks[1].name, ==, "");
}

/* It may come in the midst of a reallocation, with the next chunk. */
static void a_clock_that_stands_still_loses_nothing(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtBlockRow rows[2];

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 100);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 2, 0x1000, 0);
    tt_session_add_gap(session, 0, &(TtRecordGap){.count = 0});
    simple_apply(session, TT_OP_REALLOC_END, 0, 3, 0x2000, 200);
    g_assert_cmpuint(simple_read_live(session, rows, G_N_ELEMENTS(rows)), ==, 1);
    g_assert_cmpuint(rows[0].size, ==, 200);
}

static void gaps_and_drops_add_up(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtRecordGap gap = {.stamp = SIMPLE_START + 20, .first_stamp = SIMPLE_START + 10, .count = 5};
    gsize count;

    tt_session_add_gap(session, 1, &gap);
    tt_session_set_dropped(session, 2);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const TtGapRow *rows = tt_snapshot_get_gaps(snapshot, &count);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpuint(rows[0].first_ns, ==, 10);
    g_assert_cmpuint(rows[0].last_ns, ==, 20);
    g_assert_cmpuint(rows[0].thread, ==, 1);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->dropped_events, ==, 7);
    g_assert_false(tt_snapshot_get_completeness(snapshot)->exact);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/model/session/" #name, name)
    TEST(counting_rule_holds);
    TEST(realloc_is_one_step);
    TEST(failed_realloc_changes_nothing);
    TEST(end_amid_realloc_is_declared);
    TEST(double_free_is_told_from_unknown);
    TEST(unknown_deaths_mean_nothing_after_a_pause);
    TEST(double_free_is_not_charged_where_events_are_missing);
    TEST(stamps_never_run_backwards);
    TEST(state_may_become_better_known);
    TEST(stacks_name_their_modules);
    TEST(impossible_definitions_are_refused);
    TEST(stacks_are_read_while_others_are_defined);
    TEST(tids_that_return_are_other_threads);
    TEST(lost_scopes_are_repaired);
    TEST(scopes_that_are_only_counted_are_lost_ones);
    TEST(deep_scopes_come_back);
    TEST(a_variable_keeps_the_stack_that_named_it_first);
    TEST(usable_size_is_of_the_threads_last_birth);
    TEST(usable_size_of_a_block_that_was_freed_too_early);
    TEST(usable_size_is_whole_or_not_known);
    TEST(names_go_to_the_innermost_block);
    TEST(pins_keep_the_name_of_their_time);
    TEST(strings_keep_no_nul);
    TEST(a_clock_that_stands_still_loses_nothing);
    TEST(gaps_and_drops_add_up);
    return g_test_run();
}
