/* SPDX-License-Identifier: Apache-2.0 */
/* Sampled sessions: are their sums right on average, and their errors honest? A population whose
 * sums are known is sampled many times, as a client would do it, and what the model makes of each
 * sample is held against the truth. Seeds are fixed: what holds today holds tomorrow. */
#include "simple.h"

#include <math.h>

#define MEAN 512u
#define POPULATION 12000u
#define SITES 4u
#define ROUNDS 500u

/* ---- A population ---- */

typedef struct Member {
    guint64 addr, size;
    guint site;
    guint born, died; /* steps; died may be never */
} Member;

enum { BYTES, BLOCKS, KINDS };
enum { LIVE, CUMULATIVE, FREED, SUMS };

/* A figure over all samples: what is true, and what samples made of it. */
typedef struct Figure {
    double truth, variance; /* the true one, of one sample */
    double sum, variance_sum;
    guint within; /* samples that are no more than their own error off */
    double worst; /* in their own errors */
} Figure;

typedef struct Study {
    Member members[POPULATION];
    Figure totals[SUMS][KINDS];
    Figure sites[SITES][KINDS]; /* cumulative */
    double peak, peak_sum;
} Study;

/* xorshift: another hash than the model's lots, or the two might know of each other. */
static guint64 draw(guint64 *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static double draw_share(guint64 *state) { return (double)(draw(state) >> 11) * 0x1p-53; }

static double chance(guint64 size) { return 1 - exp(-(double)MAX(size, 1) / MEAN); }

/* What a block of the population adds to the variance of a sum: of being in the sample or not, and
 * of the rounding if it is. */
static void add_truth(Figure *figure, double value, double p) {
    double fraction = value / p - floor(value / p);

    figure->truth += value;
    figure->variance += value * value * (1 - p) / p + p * fraction * (1 - fraction);
}

static void add_member(Study *study, const Member *member) {
    double values[KINDS] = {[BYTES] = (double)member->size, [BLOCKS] = 1};
    double p = chance(member->size);
    gboolean is_live = member->died == G_MAXUINT;

    for (guint kind = 0; kind < KINDS; kind++) {
        add_truth(&study->totals[CUMULATIVE][kind], values[kind], p);
        add_truth(&study->totals[is_live ? LIVE : FREED][kind], values[kind], p);
        add_truth(&study->sites[member->site][kind], values[kind], p);
    }
}

/* Many small ones, some of about the mean, few of several means; a tenth stays alive. */
static Study *study_new(void) {
    Study *study = g_new0(Study, 1);
    guint64 state = 88172645463325252u, live = 0, addr = 0x10000;
    g_autofree guint64 *change = g_new0(guint64, 2 * POPULATION);

    for (guint i = 0; i < POPULATION; i++) {
        Member *member = &study->members[i];
        guint64 dice = draw(&state) % 100;

        member->size = dice < 2    ? 1
                       : dice < 70 ? 60 + draw(&state) % 190
                       : dice < 97 ? 250 + draw(&state) % (2 * MEAN)
                                   : draw(&state) % (8 * MEAN);
        /* Ones of a byte have a site of their own, or nothing could be said of any other's count.
         */
        member->site = dice < 2 ? 0 : 1 + (guint)(draw(&state) % (SITES - 1));
        member->born = i;
        member->died =
            draw(&state) % 10 == 0 ? G_MAXUINT : i + 1 + (guint)(draw(&state) % (POPULATION / 4));
        if (member->died >= 2 * POPULATION)
            member->died = G_MAXUINT;
        member->addr = addr;
        addr += (member->size + 31) & ~(guint64)15;
        add_member(study, member);
        change[i] += member->size;
        if (member->died != G_MAXUINT)
            change[member->died] -= member->size;
    }
    for (guint step = 0; step < 2 * POPULATION; step++) {
        live += change[step];
        study->peak = MAX(study->peak, (double)live);
    }
    return study;
}

/* ---- A sample ---- */

static TtSession *new_session(guint64 mean_bytes, guint64 seed, const TtModelLimits *limits) {
    TtSessionInfo info = {.exe = (char *)"sampled",
                          .timescale = {.start_stamp = SIMPLE_START, .mult = 1},
                          .sample_bytes = mean_bytes};
    TtSession *session;

    memcpy(info.id, &seed, sizeof seed);
    session = tt_session_new(&info, limits);
    g_assert_cmpuint(tt_session_get_thread(session, 0, 100), ==, 0);
    g_assert_cmpuint(tt_session_get_thread(session, 1, 101), ==, 1);
    for (guint i = 0; i < SITES; i++)
        g_assert_true(tt_session_define_stack(
            session, &(TtRecordStack){.id = TT_STACK_FIRST + i, .ip = 0x1000 + i}));
    return session;
}

static gint compare_stamps(gconstpointer a, gconstpointer b) {
    const TtEvent *one = a, *other = b;

    return (one->stamp > other->stamp) - (one->stamp < other->stamp);
}

/* What a client would tell of the population. */
static GArray *draw_sample(const Study *study, guint64 seed) {
    GArray *events = g_array_new(FALSE, FALSE, sizeof(TtEvent));
    guint64 state = seed * 0x9e3779b97f4a7c15u; /* or neighbouring seeds would draw alike */

    for (guint i = 0; i < POPULATION; i++) {
        const Member *member = &study->members[i];
        TtEvent event = {.stamp = SIMPLE_START + 2 * member->born,
                         .addr = member->addr,
                         .size = member->size,
                         .stack = TT_STACK_FIRST + member->site,
                         .op = TT_OP_ALLOC};

        if (draw_share(&state) >= chance(member->size))
            continue;
        g_array_append_val(events, event);
        if (member->died == G_MAXUINT)
            continue;
        event.stamp = SIMPLE_START + 2 * member->died - 1;
        event.size = 0;
        event.stack = TT_STACK_NONE;
        event.op = TT_OP_FREE;
        g_array_append_val(events, event);
    }
    g_array_sort(events, compare_stamps);
    return events;
}

static void note(Figure *figure, guint64 estimate, guint64 error) {
    double off = fabs((double)estimate - figure->truth);

    g_assert_cmpuint(error, >, 0);
    figure->sum += (double)estimate;
    figure->variance_sum += (double)error * (double)error;
    figure->within += off <= (double)error;
    figure->worst = MAX(figure->worst, off / (double)error);
}

static void note_both(Figure figures[KINDS], guint64 bytes, guint64 blocks, TtAmount error) {
    note(&figures[BYTES], bytes, error.bytes);
    note(&figures[BLOCKS], blocks, error.blocks);
}

static void note_sample(Study *study, const TtSnapshot *snapshot) {
    const TtTotals *totals = tt_snapshot_get_totals(snapshot);
    const TtErrors *errors = &tt_snapshot_get_sample(snapshot)->errors;
    const TtErrors *site_errors = tt_snapshot_get_site_errors(snapshot);
    gsize count;
    const TtSiteRow *sites = tt_snapshot_get_sites(snapshot, &count);

    note_both(study->totals[LIVE], totals->live_bytes, totals->live_blocks, errors->live);
    note_both(study->totals[CUMULATIVE], totals->cumulative_allocated,
              totals->cumulative_allocations, errors->cumulative);
    note_both(study->totals[FREED], totals->cumulative_freed, totals->cumulative_frees,
              errors->freed);
    for (gsize i = 0; i < count; i++)
        if (sites[i].stack > TT_STACK_FIRST)
            note_both(study->sites[sites[i].stack - TT_STACK_FIRST], sites[i].cumulative_bytes,
                      sites[i].cumulative_blocks, site_errors[i].cumulative);
    study->peak_sum += (double)totals->peak_bytes;
    g_assert_cmpfloat(fabs((double)totals->peak_bytes - study->peak), <,
                      5 * (double)errors->peak.bytes);
}

/* ---- What must hold ---- */

static void check_figure(const char *name, const Figure *figure, gboolean has_rare) {
    double mean = figure->sum / ROUNDS, error = sqrt(figure->variance);
    double coverage = (double)figure->within / ROUNDS;
    double variance = figure->variance_sum / ROUNDS / figure->variance;

    g_test_message("%s: %.0f, estimated %.0f on average, error %.0f; within it %.3f, reported "
                   "variance %.3f, worst %.2f",
                   name, figure->truth, mean, error, coverage, variance, figure->worst);
    g_assert_cmpfloat(fabs(mean - figure->truth), <, 3 * error / sqrt(ROUNDS));
    if (has_rare) /* one of a byte in the sample says that there are thousands */
        return;
    g_assert_cmpfloat(figure->worst, <, 4);
    g_assert_cmpfloat(coverage, >, 0.62);
    g_assert_cmpfloat(coverage, <, 0.74);
    g_assert_cmpfloat(variance, >, 0.95);
    g_assert_cmpfloat(variance, <, 1.05);
}

static void estimates_are_right_on_average_and_errors_honest(void) {
    static const char *const names[SUMS] = {"live", "cumulative", "freed"};
    Study *study = study_new();

    for (guint64 seed = 1; seed <= ROUNDS; seed++) {
        g_autoptr(TtSession) session = new_session(MEAN, seed, NULL);
        g_autoptr(GArray) events = draw_sample(study, seed);

        tt_session_apply(session, (const TtEvent *)(gpointer)events->data, events->len);
        g_autoptr(TtSnapshot) snapshot = simple_look(session);
        simple_check_balance(snapshot);
        note_sample(study, snapshot);
    }
    for (guint sum = 0; sum < SUMS; sum++) {
        g_autofree char *blocks = g_strdup_printf("%s blocks", names[sum]);

        check_figure(names[sum], &study->totals[sum][BYTES], FALSE);
        check_figure(blocks, &study->totals[sum][BLOCKS], TRUE);
    }
    for (guint site = 1; site < SITES; site++) {
        check_figure("bytes of a site", &study->sites[site][BYTES], FALSE);
        check_figure("blocks of a site", &study->sites[site][BLOCKS], FALSE);
    }
    g_free(study);
}

/* ---- Sessions, one event at a time ---- */

static void look(TtSession *session, TtTotals *ret_totals, TtCompleteness *ret_completeness) {
    g_autoptr(TtSnapshot) snapshot = simple_look(session);

    simple_check_balance(snapshot);
    *ret_totals = *tt_snapshot_get_totals(snapshot);
    *ret_completeness = *tt_snapshot_get_completeness(snapshot);
    g_assert_false(ret_completeness->exact);
    g_assert_cmpuint(ret_completeness->doubts->len, ==, 0);
}

static void what_is_not_in_the_sample_means_nothing(void) {
    g_autoptr(TtSession) session = new_session(1000, 0, NULL);
    TtRecordVariable variable = {
        .stamp = SIMPLE_START + 6, .addr = 0x9000, .name = simple_string("v")};
    TtCompleteness completeness;
    TtTotals totals;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 5000000);
    simple_apply(session, TT_OP_FREE, 0, 2, 0x9000, 0);
    simple_apply(session, TT_OP_FREE, 0, 3, 0x9000, 0);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 4, 0x9000, 0);
    tt_session_leave_realloc(session, 0, SIMPLE_START + 5);
    tt_session_name_block(session, 0, &variable);
    simple_apply(session, TT_OP_FREE, 0, 7, 0x1000, 0);
    simple_apply(session, TT_OP_FREE, 0, 8, 0x1000, 0);
    look(session, &totals, &completeness);
    g_assert_cmpuint(totals.events, ==, 2);
    g_assert_cmpuint(totals.cumulative_allocated, ==, 5000000); /* so large a one is itself */
    g_assert_cmpuint(totals.cumulative_allocations, ==, 1);
    g_assert_cmpuint(totals.live_blocks + totals.live_bytes + totals.reallocations, ==, 0);
    g_assert_cmpuint(completeness.unknown_frees + completeness.double_frees, ==, 0);
    g_assert_cmpuint(completeness.synthesized_frees, ==, 0);
}

/* All of blocks so large that each stands for itself. */
static void reallocations_end_in_the_sample_or_outside(void) {
    g_autoptr(TtSession) session = new_session(1000, 0, NULL);
    TtCompleteness completeness;
    TtBlockRow rows[4];
    TtTotals totals;

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000000, 100000);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 2, 0x1000000, 0);
    simple_apply(session, TT_OP_REALLOC_END, 0, 3, 0x2000000, 200000);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 4, 0x2000000, 0);
    tt_session_fail_realloc(session, 0, SIMPLE_START + 5);
    look(session, &totals, &completeness);
    g_assert_cmpuint(totals.live_bytes, ==, 200000);
    g_assert_cmpuint(totals.reallocations, ==, 1);

    simple_apply(session, TT_OP_REALLOC_BEGIN, 1, 6, 0x2000000, 0);
    tt_session_leave_realloc(session, 1, SIMPLE_START + 7);
    tt_session_leave_realloc(session, 1, SIMPLE_START + 8); /* of nothing */
    look(session, &totals, &completeness);
    g_assert_cmpuint(totals.live_bytes, ==, 0);
    g_assert_cmpuint(totals.reallocations, ==, 2);
    g_assert_cmpuint(totals.cumulative_allocations, ==, 2);
    g_assert_cmpuint(totals.cumulative_frees, ==, 2);
    g_assert_cmpuint(totals.events, ==, 4);
    g_assert_cmpuint(simple_read_live(session, rows, 4), ==, 0);

    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    g_assert_cmpuint(tt_snapshot_read_freed(snapshot, 0, rows, 4), ==, 2);
    g_assert_cmpuint(rows[1].size, ==, 200000);
    g_assert_cmpuint(rows[1].died_ns, ==, 7);
    g_assert_cmpuint(rows[1].freed_by, ==, 1);
}

/* In an exact session the record is a lie about a block. */
static void exact_session_doubts_a_sampled_record(void) {
    g_autoptr(TtSession) session = simple_new(NULL);

    simple_apply(session, TT_OP_ALLOC, 0, 1, 0x1000, 10);
    simple_apply(session, TT_OP_REALLOC_BEGIN, 0, 2, 0x1000, 0);
    tt_session_leave_realloc(session, 0, SIMPLE_START + 3);
    g_autoptr(TtSnapshot) snapshot = simple_look(session);
    simple_check_balance(snapshot);
    g_assert_cmpuint(tt_snapshot_get_totals(snapshot)->live_blocks, ==, 0);
    g_assert_false(tt_snapshot_get_completeness(snapshot)->exact);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->doubts->len, ==, 1);
}

/* No mean and no size makes a sum wrap, nor a variance. */
static void hostile_weights_are_left_out(void) {
    for (guint bit = 0; bit < 64; bit++) {
        g_autoptr(TtSession) session = new_session((guint64)1 << bit, bit, NULL);
        TtSession *wide = new_session(((guint64)2 << bit) - 1, bit, NULL);

        for (guint64 i = 0; i < 4000; i++) {
            guint64 size = i % 3 == 0 ? 1 : G_MAXUINT64 >> i % 64;

            simple_apply(session, TT_OP_ALLOC, 0, i, i << 12, i % 3 ? size >> 52 : size);
            simple_apply(wide, TT_OP_ALLOC, 0, i, i << 50, size);
        }
        g_autoptr(TtSnapshot) snapshot = simple_look(session), other = simple_look(wide);
        const TtTotals *totals = tt_snapshot_get_totals(snapshot);
        const TtErrors *errors = &tt_snapshot_get_sample(snapshot)->errors;
        simple_check_balance(snapshot);
        simple_check_balance(other);
        g_assert_cmpuint(totals->cumulative_allocated, <=, G_MAXINT64);
        g_assert_cmpuint(totals->cumulative_allocations, <=, G_MAXINT64);
        /* Of blocks of a byte it is about the mean times the root of their number. */
        g_assert_cmpuint(errors->cumulative.blocks / 4000, <=, (guint64)1 << bit);
        tt_session_free(wide);
    }
}

/* Where there is no memory for blocks sums go on, and come back to nothing. */
static void shed_blocks_keep_their_weight(void) {
    TtModelLimits limits;
    const guint64 count = 20000;

    tt_model_limits_init(&limits);
    limits.detail_bytes = 300000;
    g_autoptr(TtSession) session = new_session(MEAN, 7, &limits);
    for (guint64 i = 0; i < count; i++)
        simple_apply(session, TT_OP_ALLOC, 0, i, 0x10000 + i * 0x1000, 1 + i * 7919 % 0xfff);
    g_autoptr(TtSnapshot) full = simple_look(session);
    simple_check_balance(full);
    g_assert_cmpuint(tt_snapshot_get_completeness(full)->shed_blocks, >, count / 2);
    TtAmount error = tt_snapshot_get_sample(full)->errors.live;
    TtAmount born_error = tt_snapshot_get_sample(full)->errors.cumulative;
    g_assert_cmpuint(error.bytes, ==, born_error.bytes);
    g_assert_cmpuint(error.blocks, ==, born_error.blocks);

    for (guint64 i = 0; i < count; i++) {
        simple_apply(session, TT_OP_FREE, 0, count + i, 0x10000 + i * 0x1000, 0);
        if (i % 1000 == 0) {
            g_autoptr(TtSnapshot) some = simple_look(session);
            simple_check_balance(some);
        }
    }
    g_autoptr(TtSnapshot) empty = simple_look(session);
    simple_check_balance(empty);
    g_assert_cmpuint(tt_snapshot_get_totals(empty)->live_bytes, ==, 0);
    g_assert_cmpuint(tt_snapshot_get_totals(empty)->live_blocks, ==, 0);
    error = tt_snapshot_get_sample(empty)->errors.live;
    g_assert_cmpuint(error.bytes + error.blocks, ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/model/sampling/" #name, name)
    TEST(estimates_are_right_on_average_and_errors_honest);
    TEST(what_is_not_in_the_sample_means_nothing);
    TEST(reallocations_end_in_the_sample_or_outside);
    TEST(exact_session_doubts_a_sampled_record);
    TEST(hostile_weights_are_left_out);
    TEST(shed_blocks_keep_their_weight);
    return g_test_run();
}
