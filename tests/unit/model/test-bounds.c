/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever is said, memory stays bounded and the books balance. */
#include "simple.h"

#define MIB ((gsize)1 << 20)

static guint64 lot;

static guint64 draw(void) {
    lot ^= lot << 13;
    lot ^= lot >> 7;
    lot ^= lot << 17;
    return lot;
}

static guint64 state_bytes(const TtSession *session) {
    TtSummary summary;

    tt_session_get_summary(session, &summary);
    return summary.state_bytes;
}

static void start_lot(void) {
    lot = ((guint64)(guint32)g_test_rand_int() << 32 | (guint32)g_test_rand_int()) | 1;
}

static void hostile_addresses_are_bounded(void) {
    TtModelLimits limits;
    TtEvent events[256];

    start_lot();
    tt_model_limits_init(&limits);
    limits.detail_bytes = 16 * MIB;
    limits.history_blocks = 1000;
    g_autoptr(TtSession) session = simple_new(&limits);
    for (guint round = 0; round < 1500; round++) {
        for (guint i = 0; i < G_N_ELEMENTS(events); i++) {
            /* Any op, also those that are none; few bits set, many, or the last address. */
            guint64 addr = draw() >> draw() % 64;
            guint64 size = draw() % 4 == 0 ? draw() : draw() >> draw() % 64;

            events[i] = (TtEvent){.stamp = draw() >> draw() % 64,
                                  .addr = draw() % 64 == 0 ? G_MAXUINT64 : addr,
                                  .size = size,
                                  .stack = (guint32)(draw() >> draw() % 64),
                                  .thread = draw() % 2,
                                  .op = draw() % 6};
        }
        tt_session_apply(session, events, G_N_ELEMENTS(events));
        if (round % 100 == 0) {
            g_autoptr(TtSnapshot) snapshot = simple_look(session);
            simple_check_balance(snapshot);
            g_assert_cmpuint(state_bytes(session), <, 20 * MIB);
        }
    }
    tt_session_end(session, TT_SESSION_KILLED, 9, draw());
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    simple_check_balance(snapshot);
    g_assert_false(tt_snapshot_get_completeness(snapshot)->exact);
}

/* Each address is its own leaf and span; freed, they are given back. */
static void leaves_of_wandering_heaps_are_reused(void) {
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.detail_bytes = 2 * MIB;
    g_autoptr(TtSession) session = simple_new(&limits);
    for (guint64 i = 1; i < 20000; i++) {
        simple_apply(session, TT_OP_ALLOC, 0, 2 * i, i << 30, 100);
        simple_apply(session, TT_OP_FREE, 0, 2 * i + 1, i << 30, 0);
    }
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->live_blocks, ==, 0);
    g_assert_true(tt_snapshot_get_completeness(snapshot)->exact);
}

/* Spans come and go in the table in any order, and none is lost in it. */
static void spread_blocks_are_found(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    gboolean is_live[400] = {FALSE};
    guint64 time = 1;

    start_lot();
    for (guint i = 0; i < 40000; i++) {
        guint at = draw() % G_N_ELEMENTS(is_live);
        guint64 addr = 0x10000 + at * ((guint64)at << 25);

        simple_apply(session, is_live[at] ? TT_OP_FREE : TT_OP_ALLOC, 0, time++, addr, 8);
        is_live[at] = !is_live[at];
    }
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_true(tt_snapshot_get_completeness(snapshot)->exact);
}

/* What blocks have besides goes with them. */
static void extras_do_not_pile_up(void) {
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.history_blocks = 100;
    g_autoptr(TtSession) session = simple_new(&limits);
    TtRecordScopeEnter scope = {.name = simple_string("loop"), .depth = 1};
    guint64 flat = 0;

    tt_session_enter_scope(session, 0, &scope);
    for (guint64 i = 1; i < 20000; i++) {
        TtRecordVariable name = {.addr = 0x1000, .name = simple_string(i % 2 ? "odd" : "even")};
        TtPin *pins[2];

        simple_apply(session, TT_OP_ALLOC, 0, i, 0x1000, 8);
        tt_snapshot_free(tt_snapshot_new(session, &pins[0]));
        tt_session_name_block(session, 0, &name);
        name.name = simple_string("twice");
        tt_snapshot_free(tt_snapshot_new(session, &pins[1]));
        tt_session_name_block(session, 0, &name);
        if (i % 3 == 0)
            tt_session_unpin(session, pins[0]);
        simple_apply(session, TT_OP_FREE, 0, i, 0x1000, 0);
        tt_session_unpin(session, pins[1]);
        if (i % 3 != 0)
            tt_session_unpin(session, pins[0]);
        if (i == 1000)
            flat = state_bytes(session);
    }
    g_assert_cmpuint(state_bytes(session), ==, flat);
}

static void sums_do_not_wrap(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    TtBlockRow row;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, ((guint64)1 << 53) + 1);
    g_assert_cmpuint(simple_read_live(session, &row, 1), ==, 1);
    g_assert_cmpuint(row.size, ==, ((guint64)1 << 53) + 1);
    simple_apply(session, TT_OP_FREE, 0, 2, 0x1000, 0);
    for (guint i = 0; i < 10; i++) {
        simple_apply(session, TT_OP_ALLOC, 0, 10 + i, 0x1000, (guint64)1 << 63);
        simple_apply(session, TT_OP_ALLOC, 0, 10 + i, G_MAXUINT64 - i, G_MAXUINT64);
        simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 10 + i, 0x1000, 0);
        simple_apply(session, TT_OP_REALLOC_END, 0, 10 + i, 0x2000 + i, G_MAXUINT64);
    }
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    simple_check_balance(snapshot);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->cumulative_allocated, ==, G_MAXINT64);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->doubts->len, >, 0);
    /* What does not fit a freed block's record is kept beside it. */
    g_assert_cmpuint(tt_snapshot_read_freed(snapshot, 0, &row, 1), ==, 1);
    g_assert_cmpuint(row.size, ==, ((guint64)1 << 53) + 1);
    g_assert_cmpuint(row.addr, ==, 0x1000);
}

static void shed_blocks_are_counted(void) {
    const guint count = 200000;
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.detail_bytes = 2 * MIB;
    limits.history_blocks = 1000;
    g_autoptr(TtSession) session = simple_new(&limits);
    guint64 bytes = 0;
    for (guint i = 0; i < count; i++) {
        TtEvent event = {.stamp = SIMPLE_START + i,
                         .addr = 0x100000 + i * (guint64)64,
                         .size = i % 64,
                         .stack = TT_STACK_FIRST + i % 3,
                         .op = TT_OP_ALLOC};
        tt_session_apply(session, &event, 1);
        bytes += event.size;
    }
    g_assert_cmpuint(state_bytes(session), <, 4 * MIB);

    g_autoptr(TtSnapshot) full = simple_look(session);
    gsize sites;
    simple_check_balance(full);
    g_assert_cmpuint(tt_snapshot_get_totals(full)->live_bytes, ==, bytes);
    g_assert_cmpuint(tt_snapshot_get_completeness(full)->shed_blocks, >, count / 2);
    g_assert_cmpuint(tt_snapshot_get_completeness(full)->doubts->len, ==, 1);
    g_assert_cmpuint(tt_snapshot_get_sites(full, &sites)[0].live_blocks, ==, (count + 2) / 3);

    for (guint i = 0; i < count; i++) {
        simple_apply(session, TT_OP_FREE, 0, count + i, 0x100000 + i * (guint64)64, 0);
        if (i % 50000 == 0) {
            g_autoptr(TtSnapshot) half = simple_look(session);
            simple_check_balance(half);
        }
    }
    g_autoptr(TtSnapshot) empty = simple_look(session);
    simple_check_balance(empty);
    g_assert_cmpuint(tt_snapshot_get_totals(empty)->live_bytes, ==, 0);
    g_assert_cmpuint(tt_snapshot_get_totals(empty)->live_blocks, ==, 0);
    g_assert_cmpuint(tt_snapshot_get_completeness(empty)->unknown_frees, ==, 0);
    g_assert_false(tt_snapshot_get_completeness(empty)->exact);

    /* There is room again. */
    TtBlockRow row;
    simple_apply(session, TT_OP_ALLOC, 0, 3 * count, 0x5000, 1);
    g_assert_cmpuint(simple_read_live(session, &row, 1), ==, 1);
}

static void apply_births(TtSession *session, guint64 first, guint count) {
    for (guint i = 0; i < count; i++)
        simple_apply(session, TT_OP_ALLOC, 0, first + i, (first + i) * 64, 8);
}

static void check_live(TtSession *session, guint64 blocks, guint64 bytes) {
    g_autoptr(TtSnapshot) snapshot = simple_look(session);

    simple_check_balance(snapshot);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->live_blocks, ==, blocks);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->live_bytes, ==, bytes);
}

static gboolean has_doubt_of(TtSession *session, const char *word) {
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const GPtrArray *doubts = tt_snapshot_get_completeness(snapshot)->doubts;
    gboolean has_it = FALSE;

    for (guint i = 0; i < doubts->len; i++)
        has_it |= strstr(g_ptr_array_index(doubts, i), word) != NULL;
    return has_it;
}

/* A block that is counted only lives through its reallocation, whether or not the program leaves
 * out others. */
static void shed_blocks_are_resized(void) {
    const guint count = 20000, size = 32;
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.detail_bytes = 300000;
    g_autoptr(TtSession) session = simple_new(&limits);
    for (guint i = 0; i < count; i++)
        simple_apply(session, TT_OP_ALLOC, 0, i, 0x100000 + i * (guint64)64, size);
    guint64 last = 0x100000 + (count - 1) * (guint64)64, time = count;
    for (guint has_paused = 0; has_paused < 2; has_paused++) {
        if (has_paused)
            tt_session_pause(session, SIMPLE_START + time);
        simple_apply(session, TT_OP_REALLOC_BEGIN, 0, time++, last, 0);
        simple_apply(session, TT_OP_REALLOC_END, 0, time++, last, size);
        check_live(session, count, count * (guint64)size);
        simple_apply(session, TT_OP_REALLOC_BEGIN, 1, time++, last, 0);
        tt_session_fail_realloc(session, 1, SIMPLE_START + time++);
        check_live(session, count, count * (guint64)size);
        g_assert_cmpint(has_doubt_of(session, "tt_pause"), ==, has_paused);
    }
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, time++, last, 0);
    tt_session_leave_realloc(session, 0, SIMPLE_START + time++);
    check_live(session, count - 1, (count - 1) * (guint64)size);
    /* Of one that was left out nobody knows that it was. */
    simple_apply(session, TT_OP_FREE, 0, time++, 0x10, 0);
    check_live(session, count - 2, (count - 2) * (guint64)size);
}

static guint64 count_shed(TtSession *session) {
    g_autoptr(TtSnapshot) snapshot = simple_look(session);

    simple_check_balance(snapshot);
    return tt_snapshot_get_completeness(snapshot)->shed_blocks;
}

/* Sessions of one pool: those that are there, and those that come later. */
static void fault_G14_neighbours_of_a_flood_lose_nothing(void) {
    TtModelLimits limits;
    TtPool pool;
    guint64 flooded_bytes;

    tt_pool_init(&pool, 16 * MIB, NULL, NULL);
    tt_model_limits_init(&limits);
    limits.detail_bytes = 8 * MIB;
    limits.detail_pool = &pool;
    {
        g_autoptr(TtSession) early = simple_new(&limits);
        g_autoptr(TtSession) flood = simple_new(&limits);

        apply_births(early, 1, 10000);
        apply_births(flood, 1, 500000);
        g_assert_cmpuint(count_shed(flood), >, 100000);
        flooded_bytes = pool.used_bytes;
        g_autoptr(TtSession) late = simple_new(&limits);
        apply_births(late, 1, 10000);
        apply_births(early, 20000, 10000);
        apply_births(flood, 600000, 10000);
        g_assert_cmpuint(count_shed(early), ==, 0);
        g_assert_cmpuint(count_shed(late), ==, 0);
        g_assert_cmpuint(flooded_bytes, >, 7 * MIB);
        g_assert_cmpuint(pool.used_bytes, <, 10 * MIB);
    }
    g_assert_cmpuint(pool.used_bytes, ==, 0);
}

static void stacks_past_the_limit_are_other(void) {
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.stack_nodes = 100;
    g_autoptr(TtSession) session = simple_new(&limits);
    for (guint i = 4; i < 100000; i++) {
        guint32 id = TT_STACK_FIRST + i;

        g_assert_true(tt_session_define_stack(
            session, &(TtRecordStack){.id = id, .parent = i > 4 ? id - 1 : 0, .ip = i}));
        TtEvent event = {.stamp = i, .addr = i * (guint64)64, .size = 1, .stack = id, .op = 1};
        tt_session_apply(session, &event, 1);
    }
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    gsize count;
    const TtSiteRow *sites = tt_snapshot_get_sites(snapshot, &count);
    g_assert_cmpuint(count, ==, 97);
    g_assert_cmpuint(sites[0].stack, ==, TT_STACK_NONE);
    g_assert_cmpuint(sites[0].live_blocks, ==, 100000 - 100);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->doubts->len, ==, 1);
    simple_check_balance(snapshot);
}

static void floods_of_names_are_other(void) {
    TtModelLimits limits;
    char text[4000];
    gsize count;

    memset(text, 'x', sizeof text);
    tt_model_limits_init(&limits);
    limits.names = 100;
    g_autoptr(TtSession) session = simple_new(&limits);
    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 8);
    for (guint i = 0; i < 20000; i++) {
        gsize len = i % 2 ? sizeof text : 8;
        TtRecordVariable variable = {.addr = 0x1000, .name = {text, len}, .line = i};
        TtRecordScopeEnter scope = {.name = {text, len}, .depth = 1};

        memcpy(text, &i, sizeof i);
        tt_session_name_block(session, 0, &variable);
        tt_session_enter_scope(session, 0, &scope);
        tt_session_add_mark(session, i, scope.name);
    }
    g_assert_cmpuint(state_bytes(session), <, 2 * MIB);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const TtVariableRow *variables = tt_snapshot_get_variables(snapshot, &count);
    guint64 named = 0, live = 0;
    guint others = 0;
    g_assert_cmpuint(count, <=, 100);
    for (gsize i = 0; i < count; i++) {
        others += strcmp(variables[i].name, "other") == 0;
        named += variables[i].named_blocks;
        live += variables[i].live_blocks;
    }
    g_assert_cmpuint(others, ==, 1);
    g_assert_cmpuint(live, ==, 1);
    g_assert_cmpuint(named, >=, 2);
    (void)tt_snapshot_get_scopes(snapshot, &count);
    g_assert_cmpuint(count, <=, 100);
    (void)tt_snapshot_get_marks(snapshot, &count);
    g_assert_cmpuint(count, <=, 100);
}

static void floods_of_modules_and_threads_are_bounded(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    char path[TT_STRING_MAX];
    gsize count;

    memset(path, '/', sizeof path);
    for (guint id = 1; id < TT_MODULES_MAX + 10; id++) {
        TtRecordModule record = {.id = id, .path = {path, sizeof path}};
        g_assert_cmpint(tt_session_define_module(session, &record), ==, id < TT_MODULES_MAX);
    }
    for (guint i = 0; i < 70000; i++) {
        guint16 thread = tt_session_get_thread(session, i, i);
        TtEvent event = {.stamp = i, .addr = i * (guint64)64, .thread = thread, .op = TT_OP_ALLOC};
        tt_session_apply(session, &event, 1);
    }
    g_assert_cmpuint(tt_session_get_thread(session, 7, 123456), ==, 65534);
    g_assert_cmpuint(state_bytes(session), <, 64 * MIB);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    const TtThreadRow *threads = tt_snapshot_get_threads(snapshot, &count);
    g_assert_cmpuint(count, ==, 65535);
    g_assert_cmpstr(threads[65534].name, ==, "other");
    g_assert_cmpuint(threads[65534].live_blocks, >, 1000);
    simple_check_balance(snapshot);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/model/bounds/" #name, name)
    TEST(hostile_addresses_are_bounded);
    TEST(leaves_of_wandering_heaps_are_reused);
    TEST(spread_blocks_are_found);
    TEST(extras_do_not_pile_up);
    TEST(sums_do_not_wrap);
    TEST(shed_blocks_are_counted);
    TEST(shed_blocks_are_resized);
    TEST(fault_G14_neighbours_of_a_flood_lose_nothing);
    TEST(stacks_past_the_limit_are_other);
    TEST(floods_of_names_are_other);
    TEST(floods_of_modules_and_threads_are_bounded);
    return g_test_run();
}
