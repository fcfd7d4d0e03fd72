/* SPDX-License-Identifier: Apache-2.0 */
/* Earlier instants: marks, times, the peak, the start. Random programs whose whole story the oracle
 * knows, whatever the model has kept of it; and small ones for the bounds. */
#include "oracle.h"
#include "simple.h"

#define STEPS 6000u
#define MARKS_MAX 12u
#define HEAP 0x7f0001f00000u

/* What was so at a mark: told by the model then, held against the oracle then. */
typedef struct Then {
    char name[16];
    TtSnapshot *snapshot;
    GArray *live; /* of TtBlockRow, the oracle's */
    guint freed_count;
} Then;

typedef struct World {
    TtSession *session;
    Oracle *oracle;
    guint64 stamp;
    Then marks[MARKS_MAX];
    guint mark_count;
} World;

static guint draw(guint end) { return (guint)g_test_rand_int_range(0, (gint)end); }

static void world_init(World *world, const TtModelLimits *limits) {
    *world = (World){.session = simple_new(limits),
                     .oracle = oracle_new(limits->history_blocks, 0),
                     .stamp = SIMPLE_START + 1};
    for (guint i = 2; i < ORACLE_THREADS; i++)
        g_assert_cmpuint(tt_session_get_thread(world->session, i, 100 + i), ==, i);
    for (guint i = 4; i < ORACLE_STACKS; i++)
        g_assert_true(tt_session_define_stack(
            world->session, &(TtRecordStack){.id = TT_STACK_FIRST + i, .ip = 0x1000 + i}));
}

static void world_clear(World *world) {
    for (guint i = 0; i < world->mark_count; i++) {
        tt_snapshot_free(world->marks[i].snapshot);
        g_array_unref(world->marks[i].live);
    }
    tt_session_free(world->session);
    oracle_free(world->oracle);
}

static void apply(World *world, TtOp op, guint64 addr, guint64 size, guint thread) {
    TtEvent event = {.stamp = world->stamp += 1 + draw(3),
                     .addr = addr,
                     .size = size,
                     .stack = op == TT_OP_ALLOC || op == TT_OP_REALLOC_END
                                  ? TT_STACK_FIRST + draw(12)
                                  : TT_STACK_NONE,
                     .thread = (guint16)thread,
                     .op = (guint8)op};

    oracle_apply(world->oracle, &event);
    tt_session_apply(world->session, &event, 1);
    oracle_end_batch(world->oracle, 1);
}

static const TtBlockRow *draw_live(const World *world) {
    const GPtrArray *live = world->oracle->live;

    return live->len > 0 ? &((const OracleBlock *)live->pdata[draw(live->len)])->row : NULL;
}

static void name_one(World *world) {
    static const char *const names[] = {"buffer", "list", "node", "cache"};
    const TtBlockRow *row = draw_live(world);
    const char *name = names[draw(G_N_ELEMENTS(names))];

    if (!row)
        return;
    guint64 addr = row->addr;
    TtRecordVariable record = {.stamp = ++world->stamp, .addr = addr, .name = simple_string(name)};
    tt_session_name_block(world->session, 0, &record);
    oracle_name(world->oracle, record.stamp, addr, name);
}

static void set_mark(World *world) {
    Then *then = &world->marks[world->mark_count];
    TtPin *pin;

    if (world->mark_count == MARKS_MAX)
        return;
    g_snprintf(then->name, sizeof then->name, "mark %u", world->mark_count++);
    tt_session_add_mark(world->session, world->stamp, simple_string(then->name));
    then->snapshot = tt_snapshot_new(world->session, &pin);
    oracle_check_snapshot(world->oracle, then->snapshot);
    tt_session_unpin(world->session, pin);
    then->live = oracle_copy_live(world->oracle);
    then->freed_count = world->oracle->freed->len;
}

/* Grows at first and shrinks in the end. */
static void step(World *world, guint at) {
    const TtBlockRow *row = draw_live(world);
    guint thread = draw(ORACLE_THREADS);
    guint dice = draw(100);

    if (dice < 3)
        name_one(world);
    else if (draw(STEPS) < MARKS_MAX + 4)
        set_mark(world);
    else if (dice < 12 && row) {
        guint64 addr = row->addr;
        apply(world, TT_OP_REALLOC_BEGIN, addr, 0, thread);
        apply(world, TT_OP_REALLOC_END, draw(2) ? addr : HEAP + draw(4000) * 16, draw(300), thread);
    } else if (row && draw(STEPS) * 3 / 2 < at)
        apply(world, TT_OP_FREE, row->addr, 0, thread);
    else
        apply(world, TT_OP_ALLOC, HEAP + draw(4000) * 16, draw(300), thread);
}

#define SAME(is, should, field) g_assert_cmpuint((is)->field, ==, (should)->field)

static void check_same_rows(GArray *is, GArray *should) {
    g_assert_cmpuint(is->len, ==, should->len);
    for (guint i = 0; i < is->len; i++)
        oracle_check_row(&g_array_index(is, TtBlockRow, i), &g_array_index(should, TtBlockRow, i));
}

/* Every figure of two states is the same. */
static void check_same_sums(const TtSnapshot *is, const TtSnapshot *should) {
    gsize count, other;
    const TtSiteRow *sites = tt_snapshot_get_sites(is, &count);
    const TtSiteRow *then_sites = tt_snapshot_get_sites(should, &other);

    g_assert_cmpmem(tt_snapshot_get_totals(is), sizeof(TtTotals), tt_snapshot_get_totals(should),
                    sizeof(TtTotals));
    g_assert_cmpmem(sites, count * sizeof *sites, then_sites, other * sizeof *sites);
    const TtTimePoint *points = tt_snapshot_get_timeline(is, &count);
    const TtTimePoint *then_points = tt_snapshot_get_timeline(should, &other);
    g_assert_cmpmem(points, count * sizeof *points, then_points, other * sizeof *points);
    const TtThreadRow *threads = tt_snapshot_get_threads(is, &count);
    const TtThreadRow *then_threads = tt_snapshot_get_threads(should, &other);
    g_assert_cmpuint(count, ==, other);
    for (gsize i = 0; i < count; i++) {
        SAME(&threads[i], &then_threads[i], allocated);
        SAME(&threads[i], &then_threads[i], freed);
        SAME(&threads[i], &then_threads[i], live_bytes);
    }
    const TtVariableRow *names = tt_snapshot_get_variables(is, &count);
    const TtVariableRow *then_names = tt_snapshot_get_variables(should, &other);
    g_assert_cmpuint(count, ==, other);
    for (gsize i = 0; i < count; i++) {
        g_assert_cmpstr(names[i].name, ==, then_names[i].name);
        SAME(&names[i], &then_names[i], named_blocks);
        SAME(&names[i], &then_names[i], live_bytes);
    }
    (void)tt_snapshot_get_marks(is, &count);
    (void)tt_snapshot_get_marks(should, &other);
    g_assert_cmpuint(count, ==, other);
}

static void check_mark(World *world, const Then *then, guint history) {
    g_autoptr(GArray) live = NULL;
    SimpleHeld held;
    TtBlockRow row;

    g_assert_true(simple_hold(world->session, then->name, &held));
    g_assert_cmpint(tt_snapshot_get_instant(held.snapshot)->source, ==, TT_STATE_KEPT);
    g_assert_cmpstr(tt_snapshot_get_instant(held.snapshot)->mark, ==, then->name);
    check_same_sums(held.snapshot, then->snapshot);
    live = simple_read_all(&held);
    check_same_rows(live, then->live);
    g_assert_cmpuint(tt_snapshot_get_completeness(held.snapshot)->unlisted_blocks, ==, 0);

    /* Of the freed those that the history still has. */
    guint lost = world->oracle->freed->len - MIN(world->oracle->freed->len, history);
    guint retained = then->freed_count - MIN(then->freed_count, lost);
    g_assert_cmpuint(tt_snapshot_get_freed_count(held.snapshot), ==, retained);
    for (guint i = 0; i < retained; i++) {
        g_assert_cmpuint(tt_snapshot_read_freed(held.snapshot, i, &row, 1), ==, 1);
        oracle_check_row(&row, &g_array_index(world->oracle->freed, TtBlockRow, lost + i));
    }
    simple_release(&held);
}

/* What was alive at a time, by the whole story: names are those of now. */
static GArray *copy_live_at(const World *world, guint64 time_ns) {
    GArray *all = oracle_copy_live(world->oracle);

    for (guint i = 0; i < all->len;)
        if (g_array_index(all, TtBlockRow, i).born_ns > time_ns)
            g_array_remove_index(all, i);
        else
            i++;
    for (guint i = 0; i < world->oracle->freed->len; i++) {
        TtBlockRow row = g_array_index(world->oracle->freed, TtBlockRow, i);

        if (row.born_ns > time_ns || row.died_ns <= time_ns)
            continue;
        row.died_ns = TT_TIME_NONE;
        row.freed_by = TT_NONE;
        row.freed_stack = TT_STACK_NONE;
        g_array_append_val(all, row);
    }
    g_array_sort(all, simple_compare_ids);
    return all;
}

static void check_sites_of(const TtSnapshot *snapshot, GArray *live) {
    gsize count;
    const TtSiteRow *sites = tt_snapshot_get_sites(snapshot, &count);

    for (gsize i = 0; i < count; i++) {
        guint64 blocks = 0, bytes = 0;

        for (guint j = 0; j < live->len; j++) {
            const TtBlockRow *row = &g_array_index(live, TtBlockRow, j);

            blocks += row->stack == sites[i].stack;
            bytes += row->stack == sites[i].stack ? row->size : 0;
        }
        g_assert_cmpuint(sites[i].live_blocks, ==, blocks);
        g_assert_cmpuint(sites[i].live_bytes, ==, bytes);
    }
}

/* Sums that only the whole story tells. */
static void check_totals_at(const World *world, const TtSnapshot *snapshot, guint64 time_ns) {
    const TtTotals *totals = tt_snapshot_get_totals(snapshot);
    guint64 births_of[ORACLE_THREADS] = {0}, frees_of[ORACLE_THREADS] = {0};
    gsize count;
    const TtThreadRow *threads = tt_snapshot_get_threads(snapshot, &count);
    g_autoptr(GArray) rows = oracle_copy_live(world->oracle);
    guint64 births = 0, born = 0, deaths = 0, died = 0, resized = 0;

    g_array_append_vals(rows, world->oracle->freed->data, world->oracle->freed->len);
    for (guint i = 0; i < rows->len; i++) {
        const TtBlockRow *row = &g_array_index(rows, TtBlockRow, i);

        if (row->born_ns > time_ns)
            continue;
        births++;
        births_of[row->thread]++;
        born += row->size;
        resized += row->resized_from != 0;
        if (row->died_ns > time_ns)
            continue;
        deaths++;
        died += row->size;
        if (row->freed_by != TT_NONE)
            frees_of[row->freed_by]++;
    }
    for (guint i = 0; i < ORACLE_THREADS; i++) {
        g_assert_cmpuint(threads[i].allocations, ==, births_of[i]);
        g_assert_cmpuint(threads[i].frees, ==, frees_of[i]);
    }
    g_assert_cmpuint(totals->cumulative_allocations, ==, births);
    g_assert_cmpuint(totals->cumulative_allocated, ==, born);
    g_assert_cmpuint(totals->cumulative_frees, ==, deaths);
    g_assert_cmpuint(totals->cumulative_freed, ==, died);
    g_assert_cmpuint(totals->reallocations, ==, resized);
}

/* Exact as far as the history goes, declared beyond. */
static void check_time(World *world, guint64 time_ns, guint history) {
    const GArray *freed = world->oracle->freed;
    g_autofree char *word = g_strdup_printf("%" G_GUINT64_FORMAT, time_ns);
    g_autoptr(GArray) should = copy_live_at(world, time_ns);
    g_autoptr(GArray) is = NULL;
    SimpleHeld held;
    gboolean is_within =
        freed->len <= history || time_ns >= world->oracle->now_ns ||
        (history > 0 && g_array_index(freed, TtBlockRow, freed->len - history).died_ns <= time_ns);

    g_assert_true(simple_hold(world->session, word, &held));
    is = simple_read_all(&held);
    const TtCompleteness *completeness = tt_snapshot_get_completeness(held.snapshot);
    simple_check_balance(held.snapshot);
    check_sites_of(held.snapshot, is);
    g_assert_cmpuint(tt_snapshot_get_time_ns(held.snapshot), ==, time_ns);
    if (is_within) {
        g_assert_cmpuint(completeness->unlisted_blocks, ==, 0);
        check_same_rows(is, should);
        check_totals_at(world, held.snapshot, time_ns);
    } else {
        g_assert_cmpuint(completeness->unlisted_blocks, ==, TT_COUNT_UNKNOWN);
        g_assert_false(completeness->exact);
        g_assert_cmpuint(is->len, <=, should->len);
    }
    simple_release(&held);
}

static void check_peak(World *world, guint history) {
    const TtTotals *then = &world->oracle->totals;
    g_autoptr(GArray) should = copy_live_at(world, then->peak_ns);
    g_autoptr(GArray) is = NULL;
    gsize count;
    SimpleHeld held;

    g_assert_true(simple_hold(world->session, "peak", &held));
    const TtTotals *totals = tt_snapshot_get_totals(held.snapshot);
    const TtSiteRow *sites = tt_snapshot_get_sites(held.snapshot, &count);
    g_assert_cmpuint(totals->live_bytes, ==, then->peak_bytes);
    g_assert_cmpuint(totals->live_blocks, ==, then->peak_blocks);
    g_assert_cmpuint(tt_snapshot_get_time_ns(held.snapshot), ==, then->peak_ns);
    simple_check_balance(held.snapshot);
    for (gsize i = 0; i < count; i++) {
        const TtSiteRow *site = &g_array_index(world->oracle->sites, TtSiteRow, sites[i].stack);

        SAME(&sites[i], site, peak_bytes);
        g_assert_cmpuint(sites[i].live_bytes, ==, site->peak_bytes);
        g_assert_cmpuint(sites[i].live_blocks, ==, site->peak_blocks);
    }
    is = simple_read_all(&held);
    const TtCompleteness *completeness = tt_snapshot_get_completeness(held.snapshot);
    g_assert_cmpuint(is->len + completeness->unlisted_blocks, ==, should->len);
    if (completeness->unlisted_blocks == 0)
        check_same_rows(is, should);
    else
        g_assert_cmpuint(world->oracle->freed->len, >, history);
    simple_release(&held);
}

static void check_start(World *world) {
    SimpleHeld held;
    TtBlockRow row;

    g_assert_true(simple_hold(world->session, "start", &held));
    g_assert_cmpuint(tt_snapshot_get_totals(held.snapshot)->live_bytes, ==, 0);
    g_assert_cmpuint(tt_snapshot_get_totals(held.snapshot)->cumulative_allocations, ==, 0);
    g_assert_cmpuint(tt_snapshot_next_live(held.snapshot, &row, 1), ==, 0);
    g_assert_cmpuint(tt_snapshot_get_freed_count(held.snapshot), ==, 0);
    g_assert_cmpuint(tt_snapshot_get_completeness(held.snapshot)->unlisted_blocks, ==, 0);
    simple_check_balance(held.snapshot);
    simple_release(&held);
}

static void instants_agree_with_oracle(gconstpointer data) {
    guint history = GPOINTER_TO_UINT(data);
    TtModelLimits limits;
    World world;

    tt_model_limits_init(&limits);
    limits.history_blocks = history;
    limits.timeline_points = 64;
    world_init(&world, &limits);
    for (guint i = 0; i < STEPS; i++) {
        step(&world, i);
        if (i % 500 != 499)
            continue;
        for (guint j = 0; j < world.mark_count; j++)
            check_mark(&world, &world.marks[j], history);
        for (guint j = 0; j < 8; j++)
            check_time(&world, draw((guint)world.oracle->now_ns + 1), history);
        check_peak(&world, history);
        check_start(&world);
    }
    g_assert_cmpuint(world.mark_count, >, 3);
    world_clear(&world);
}

/* ---- Words ---- */

static void check_word(const char *word, TtInstantKind kind, guint64 time_ns, const char *mark) {
    TtInstant instant = {0};

    g_assert_true(tt_instant_parse(word, &instant, NULL));
    g_assert_cmpint(instant.kind, ==, kind);
    g_assert_cmpuint(instant.time_ns, ==, time_ns);
    g_assert_cmpstr(instant.mark, ==, mark);
}

static void words_say_instants(void) {
    TtInstant instant;

    check_word(NULL, TT_INSTANT_NOW, 0, NULL);
    check_word("now", TT_INSTANT_NOW, 0, NULL);
    check_word("start", TT_INSTANT_START, 0, NULL);
    check_word("peak", TT_INSTANT_PEAK, 0, NULL);
    check_word("1500", TT_INSTANT_TIME, 1500, NULL);
    check_word("0", TT_INSTANT_TIME, 0, NULL);
    check_word("7ns", TT_INSTANT_TIME, 7, NULL);
    check_word("7us", TT_INSTANT_TIME, 7000, NULL);
    check_word("250ms", TT_INSTANT_TIME, 250000000, NULL);
    check_word("1.5s", TT_INSTANT_TIME, 1500000000, NULL);
    check_word("0.0000000019s", TT_INSTANT_TIME, 1, NULL);
    check_word("1.25m", TT_INSTANT_TIME, 75000000000, NULL);
    check_word("2h", TT_INSTANT_TIME, 7200000000000, NULL);
    check_word("18446744073709551614", TT_INSTANT_TIME, 18446744073709551614u, NULL);
    check_word("mark:now", TT_INSTANT_MARK, 0, "now");
    check_word("mark:5s", TT_INSTANT_MARK, 0, "5s");
    check_word("before upload", TT_INSTANT_MARK, 0, "before upload");
    check_word("5 s", TT_INSTANT_MARK, 0, "5 s");
    check_word("1.s", TT_INSTANT_MARK, 0, "1.s");
    check_word(".5s", TT_INSTANT_MARK, 0, ".5s");
    check_word("-1s", TT_INSTANT_MARK, 0, "-1s");
    check_word("5d", TT_INSTANT_MARK, 0, "5d");
    g_assert_false(tt_instant_parse("", &instant, NULL));
    g_assert_false(tt_instant_parse("mark:", &instant, NULL));
    g_assert_false(tt_instant_parse("18446744073709551615", &instant, NULL));
    g_assert_false(
        tt_instant_parse("99999999999999999999999999999999999999999999s", &instant, NULL));
    g_assert_false(tt_instant_parse("6000000h", &instant, NULL));
}

static void instants_outside_are_refused(void) {
    g_autoptr(TtSession) session = simple_new(NULL);
    g_autoptr(GError) error = NULL;
    TtInstant instant = {.kind = TT_INSTANT_TIME, .time_ns = 150};
    SimpleHeld held;
    TtPin *pin;

    simple_apply(session, TT_OP_ALLOC, 0, 100, 0x1000, 8);
    g_assert_true(simple_hold(session, "100ns", &held));
    simple_release(&held);
    g_assert_false(simple_hold(session, "101ns", &held));
    g_assert_false(simple_hold(session, "nowhere", &held));
    /* Nothing has happened since, but time has passed. */
    TtSnapshot *snapshot = tt_snapshot_new_at(session, &instant, SIMPLE_START + 150, &pin, &error);
    g_assert_no_error(error);
    g_assert_nonnull(snapshot);
    tt_session_unpin(session, pin);
    tt_snapshot_free(snapshot);
    tt_session_add_mark(session, SIMPLE_START + 100, simple_string("somewhere"));
    instant = (TtInstant){.kind = TT_INSTANT_MARK, .mark = "nowhere"};
    g_assert_null(tt_snapshot_new_at(session, &instant, 0, &pin, &error));
    g_assert_nonnull(strstr(error->message, "somewhere"));
}

/* ---- Bounds ---- */

static void fill(TtSession *session, guint64 first, guint count, guint64 time_ns) {
    for (guint i = 0; i < count; i++)
        simple_apply(session, TT_OP_ALLOC, 0, time_ns + i, 0x100000 + (first + i) * 64, 10);
}

static void drain(TtSession *session, guint64 first, guint count, guint64 time_ns) {
    for (guint i = 0; i < count; i++)
        simple_apply(session, TT_OP_FREE, 0, time_ns + i, 0x100000 + (first + i) * 64, 0);
}

/* The oldest marks give up their blocks first; their sums stay, and say what is missing. */
static void old_marks_fold_into_sums(void) {
    TtModelLimits limits;
    SimpleHeld held;

    tt_model_limits_init(&limits);
    limits.history_blocks = 10;
    limits.pinned_marks = 2;
    g_autoptr(TtSession) session = simple_new(&limits);
    for (guint i = 0; i < 4; i++) {
        char name[] = {(char)('a' + i), '\0'};

        fill(session, i * 100, 100, 1000 * (i + 1));
        tt_session_add_mark(session, SIMPLE_START + 1000 * (i + 1) + 500, simple_string(name));
    }
    drain(session, 0, 400, 10000);
    for (guint i = 0; i < 4; i++) {
        char name[] = {(char)('a' + i), '\0'};
        guint listed = i < 2 ? 0 : 100 * (i + 1);

        g_assert_true(simple_hold(session, name, &held));
        const TtCompleteness *completeness = tt_snapshot_get_completeness(held.snapshot);
        g_autoptr(GArray) live = simple_read_all(&held);
        g_assert_cmpuint(live->len, ==, listed);
        g_assert_cmpuint(tt_snapshot_get_totals(held.snapshot)->live_blocks, ==, 100 * (i + 1));
        g_assert_cmpuint(completeness->unlisted_blocks, ==, 100 * (i + 1) - listed);
        g_assert_cmpuint(completeness->unlisted_bytes, ==, 1000 * (i + 1) - 10 * listed);
        g_assert_cmpint(completeness->exact, ==, i >= 2);
        simple_check_balance(held.snapshot);
        simple_release(&held);
    }
}

/* The dead that marks keep take no more than their share of memory, and no slot for long. */
static void pinned_dead_are_bounded(void) {
    TtModelLimits limits;
    TtSummary summary;
    guint64 first = 0;

    tt_model_limits_init(&limits);
    limits.history_blocks = 10;
    limits.pinned_bytes = 100000;
    g_autoptr(TtSession) session = simple_new(&limits);
    for (guint i = 0; i < 500; i++) {
        fill(session, 0, 1000, 1 + i * 10000);
        tt_session_add_mark(session, SIMPLE_START + 1 + i * 10000, simple_string("again"));
        drain(session, 0, 1000, 5000 + i * 10000);
        tt_session_get_summary(session, &summary);
        if (i == 20)
            first = summary.state_bytes;
    }
    /* But for the marks' own rows. */
    g_assert_cmpuint(summary.state_bytes, <, first + 500 * 400);
}

/* Where memory for blocks runs out, marks give way before the living are shed. */
static void living_come_before_pinned_dead(void) {
    TtModelLimits limits;
    SimpleHeld held;

    tt_model_limits_init(&limits);
    limits.detail_bytes = 1 << 20;
    limits.history_blocks = 10;
    g_autoptr(TtSession) session = simple_new(&limits);
    for (guint i = 0; i < 4; i++) /* so that the index needs nothing later */
        simple_apply(session, TT_OP_ALLOC, 0, 1, 0x100020 + i * 0x8000, 10);
    for (guint i = 0; i < 20; i++) {
        fill(session, 0, 2000, 1 + i * 10000);
        tt_session_add_mark(session, SIMPLE_START + 1 + i * 10000, simple_string("again"));
        drain(session, 0, 2000, 5000 + i * 10000);
    }
    g_assert_true(simple_hold(session, "now", &held));
    g_assert_cmpuint(tt_snapshot_get_completeness(held.snapshot)->doubts->len, ==, 0);
    simple_release(&held);
}

/* A mark whose sums went too is as good as its time, and knows how much lived. */
static void forgotten_mark_tells_what_is_missing(void) {
    TtModelLimits limits;
    SimpleHeld held;

    tt_model_limits_init(&limits);
    limits.history_blocks = 10;
    limits.pinned_bytes = 0;
    g_autoptr(TtSession) session = simple_new(&limits);
    fill(session, 0, 100, 1000);
    tt_session_add_mark(session, SIMPLE_START + 2000, simple_string("full"));
    drain(session, 0, 60, 3000);
    g_assert_true(simple_hold(session, "full", &held));
    g_autoptr(GArray) live = simple_read_all(&held);
    g_assert_cmpuint(live->len, ==, 50);
    g_assert_cmpuint(tt_snapshot_get_completeness(held.snapshot)->unlisted_blocks, ==, 50);
    g_assert_cmpuint(tt_snapshot_get_completeness(held.snapshot)->unlisted_bytes, ==, 500);
    simple_check_balance(held.snapshot);
    simple_release(&held);
}

/* A reader of a mark goes on although the mark gives up its pin meanwhile. */
static void reader_outlives_mark(void) {
    TtModelLimits limits;
    SimpleHeld held;

    tt_model_limits_init(&limits);
    limits.history_blocks = 0;
    limits.pinned_marks = 1;
    g_autoptr(TtSession) session = simple_new(&limits);
    fill(session, 0, 100, 1000);
    tt_session_add_mark(session, SIMPLE_START + 2000, simple_string("one"));
    g_assert_true(simple_hold(session, "one", &held));
    tt_session_add_mark(session, SIMPLE_START + 2001, simple_string("two"));
    tt_session_add_mark(session, SIMPLE_START + 2002, simple_string("three"));
    drain(session, 0, 100, 3000);
    g_autoptr(GArray) live = simple_read_all(&held);
    g_assert_cmpuint(live->len, ==, 100);
    simple_release(&held);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/instants/agree_with_oracle/whole_history", GUINT_TO_POINTER(100000),
                         instants_agree_with_oracle);
    g_test_add_data_func("/instants/agree_with_oracle/short_history", GUINT_TO_POINTER(300),
                         instants_agree_with_oracle);
    g_test_add_data_func("/instants/agree_with_oracle/no_history", GUINT_TO_POINTER(0),
                         instants_agree_with_oracle);
    g_test_add_func("/instants/words_say_instants", words_say_instants);
    g_test_add_func("/instants/instants_outside_are_refused", instants_outside_are_refused);
    g_test_add_func("/instants/old_marks_fold_into_sums", old_marks_fold_into_sums);
    g_test_add_func("/instants/pinned_dead_are_bounded", pinned_dead_are_bounded);
    g_test_add_func("/instants/living_come_before_pinned_dead", living_come_before_pinned_dead);
    g_test_add_func("/instants/forgotten_mark_tells_what_is_missing",
                    forgotten_mark_tells_what_is_missing);
    g_test_add_func("/instants/reader_outlives_mark", reader_outlives_mark);
    return g_test_run();
}
