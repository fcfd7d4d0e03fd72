/* SPDX-License-Identifier: Apache-2.0 */
/* What the model shows, held against the oracle. */
#include "oracle.h"

#include <math.h>
#include <string.h>

#define SAME(is, should, field) g_assert_cmpuint((is)->field, ==, (should)->field)

void oracle_check_row(const TtBlockRow *is, const TtBlockRow *should) {
    SAME(is, should, id);
    SAME(is, should, addr);
    SAME(is, should, size);
    SAME(is, should, weight.blocks);
    SAME(is, should, weight.bytes);
    SAME(is, should, born_ns);
    SAME(is, should, died_ns);
    SAME(is, should, resized_from);
    SAME(is, should, stack);
    SAME(is, should, freed_stack);
    SAME(is, should, variable);
    SAME(is, should, scope);
    SAME(is, should, thread);
    SAME(is, should, freed_by);
    SAME(is, should, spare);
    g_assert_false(is->is_inherited);
}

static void check_totals(const Oracle *oracle, const TtSnapshot *snapshot) {
    const TtTotals *is = tt_snapshot_get_totals(snapshot), *should = &oracle->totals;
    const TtCompleteness *completeness = tt_snapshot_get_completeness(snapshot);

    SAME(is, should, live_blocks);
    SAME(is, should, live_bytes);
    SAME(is, should, cumulative_allocations);
    SAME(is, should, cumulative_allocated);
    SAME(is, should, cumulative_frees);
    SAME(is, should, cumulative_freed);
    SAME(is, should, reallocations);
    SAME(is, should, temporary_allocations);
    SAME(is, should, peak_bytes);
    SAME(is, should, peak_blocks);
    SAME(is, should, peak_ns);
    SAME(is, should, events);
    SAME(completeness, oracle, unknown_frees);
    SAME(completeness, oracle, double_frees);
    SAME(completeness, oracle, synthesized_frees);
    g_assert_cmpuint(is->cumulative_allocated, ==, is->cumulative_freed + is->live_bytes);
}

static gint compare_numbers(gconstpointer a, gconstpointer b) {
    guint64 left = *(const guint64 *)a, right = *(const guint64 *)b;
    return left < right ? -1 : left > right;
}

static void check_near(guint64 is, guint64 should) {
    guint64 distance = is > should ? is - should : should - is;
    g_assert_cmpuint(distance * 16, <=, should);
}

static void check_lifetimes(const TtSiteRow *is, GArray *lifetimes) {
    if (lifetimes->len == 0) {
        g_assert_cmpuint(is->lifetime_max_ns, ==, 0);
        return;
    }
    g_array_sort(lifetimes, compare_numbers);
    gdouble last = lifetimes->len - 1;
    g_assert_cmpuint(is->lifetime_min_ns, ==, g_array_index(lifetimes, guint64, 0));
    g_assert_cmpuint(is->lifetime_max_ns, ==,
                     g_array_index(lifetimes, guint64, lifetimes->len - 1));
    check_near(is->lifetime_median_ns,
               g_array_index(lifetimes, guint64, (guint)(last * 0.5 + 0.5)));
    check_near(is->lifetime_p95_ns, g_array_index(lifetimes, guint64, (guint)(last * 0.95 + 0.5)));
}

static void check_sites(const Oracle *oracle, const TtSnapshot *snapshot) {
    gsize count, expected = 0;
    const TtSiteRow *rows = tt_snapshot_get_sites(snapshot, &count);
    guint64 peak_bytes = 0, peak_blocks = 0;

    for (guint i = 0; i < oracle->sites->len; i++)
        expected += g_array_index(oracle->sites, TtSiteRow, i).cumulative_blocks > 0;
    g_assert_cmpuint(count, ==, expected);
    for (gsize i = 0; i < count; i++) {
        const TtSiteRow *is = &rows[i];
        const TtSiteRow *should = &g_array_index(oracle->sites, TtSiteRow, is->stack);

        SAME(is, should, live_blocks);
        SAME(is, should, live_bytes);
        SAME(is, should, cumulative_blocks);
        SAME(is, should, cumulative_bytes);
        SAME(is, should, freed_blocks);
        SAME(is, should, freed_bytes);
        SAME(is, should, peak_bytes);
        SAME(is, should, peak_blocks);
        SAME(is, should, temporary_blocks);
        check_lifetimes(is, oracle->lifetimes[is->stack]);
        peak_bytes += is->peak_bytes;
        peak_blocks += is->peak_blocks;
    }
    g_assert_cmpuint(peak_bytes, ==, oracle->totals.peak_bytes);
    g_assert_cmpuint(peak_blocks, ==, oracle->totals.peak_blocks);
}

/* The model rounds the variance of each block to 256ths. */
static void check_error(guint64 is, long double variance, guint64 block_count) {
    long double slack = block_count / 512.0L + 1e-9L;

    g_assert_cmpfloat(is, >=, sqrtl(MAX(variance - slack, 0)));
    g_assert_cmpfloat(is, <=, sqrtl(MAX(variance, 0) + slack) + 1);
}

static void check_errors(const Oracle *oracle, const TtErrors *is, const OracleVariance *live,
                         const OracleVariance *born, const OracleVariance *peak) {
    guint64 count = oracle->next_id;

    check_error(is->live.blocks, live->blocks, count);
    check_error(is->live.bytes, live->bytes, count);
    check_error(is->cumulative.blocks, born->blocks, count);
    check_error(is->cumulative.bytes, born->bytes, count);
    check_error(is->freed.blocks, born->blocks - live->blocks, 2 * count);
    check_error(is->freed.bytes, born->bytes - live->bytes, 2 * count);
    check_error(is->peak.blocks, peak->blocks, count);
    check_error(is->peak.bytes, peak->bytes, count);
}

static void check_sample(const Oracle *oracle, const TtSnapshot *snapshot) {
    const TtSample *sample = tt_snapshot_get_sample(snapshot);
    const TtErrors *errors = tt_snapshot_get_site_errors(snapshot);
    OracleVariance live[TT_STACK_FIRST + ORACLE_STACKS] = {0}, sums[3] = {0};
    gsize count;
    const TtSiteRow *rows = tt_snapshot_get_sites(snapshot, &count);

    if (oracle->sample_bytes == 0) {
        g_assert_null(sample);
        g_assert_null(errors);
        return;
    }
    g_assert_false(tt_snapshot_get_completeness(snapshot)->exact);
    g_assert_cmpuint(sample->mean_bytes, ==, oracle->sample_bytes);
    g_assert_cmpuint(sample->allocations, ==, oracle->next_id - 1);
    g_assert_cmpuint(sample->frees, ==, oracle->deaths - oracle->synthesized_frees);
    for (guint i = 0; i < oracle->live->len; i++) {
        const OracleBlock *block = oracle->live->pdata[i];
        oracle_add_variance(&live[block->row.stack], &block->variance);
    }
    for (gsize i = 0; i < count; i++) {
        guint32 stack = rows[i].stack;

        check_errors(oracle, &errors[i], &live[stack], &oracle->born[stack],
                     &oracle->at_peak[stack]);
        oracle_add_variance(&sums[0], &live[stack]);
        oracle_add_variance(&sums[1], &oracle->born[stack]);
        oracle_add_variance(&sums[2], &oracle->at_peak[stack]);
    }
    check_errors(oracle, &sample->errors, &sums[0], &sums[1], &sums[2]);
    if (oracle->live->len == 0)
        g_assert_cmpuint(sample->errors.live.blocks | sample->errors.live.bytes, ==, 0);
}

static void check_threads(const Oracle *oracle, const TtSnapshot *snapshot) {
    gsize count;
    const TtThreadRow *rows = tt_snapshot_get_threads(snapshot, &count);

    g_assert_cmpuint(count, ==, ORACLE_THREADS);
    for (gsize i = 0; i < count; i++) {
        SAME(&rows[i], &oracle->threads[i].row, allocations);
        SAME(&rows[i], &oracle->threads[i].row, allocated);
        SAME(&rows[i], &oracle->threads[i].row, frees);
        SAME(&rows[i], &oracle->threads[i].row, freed);
        SAME(&rows[i], &oracle->threads[i].row, live_blocks);
        SAME(&rows[i], &oracle->threads[i].row, live_bytes);
    }
}

static void check_names(const Oracle *oracle, const TtSnapshot *snapshot) {
    gsize count;
    const TtVariableRow *variables = tt_snapshot_get_variables(snapshot, &count);

    g_assert_cmpuint(count, ==, oracle->names->len);
    for (gsize i = 0; i < count; i++) {
        const TtVariableRow *should = oracle->names->pdata[i];
        g_assert_cmpstr(variables[i].name, ==, should->name);
        SAME(&variables[i], should, named_blocks);
        SAME(&variables[i], should, live_blocks);
        SAME(&variables[i], should, live_bytes);
        SAME(&variables[i], should, cumulative_bytes);
    }

    const TtScopeRow *scopes = tt_snapshot_get_scopes(snapshot, &count);
    g_assert_cmpuint(count, ==, oracle->scopes->len);
    for (gsize i = 0; i < count; i++) {
        const TtScopeRow *should = oracle->scopes->pdata[i];
        g_assert_cmpstr(scopes[i].name, ==, should->name);
        SAME(&scopes[i], should, parent);
        SAME(&scopes[i], should, entered);
        SAME(&scopes[i], should, allocations);
        SAME(&scopes[i], should, allocated);
        SAME(&scopes[i], should, live_blocks);
        SAME(&scopes[i], should, live_bytes);
    }
}

static void check_freed(const Oracle *oracle, const TtSnapshot *snapshot) {
    guint first = oracle->freed->len - MIN(oracle->freed->len, oracle->history_limit);
    gsize count = tt_snapshot_get_freed_count(snapshot), at = 0;
    TtBlockRow rows[7];
    gsize got;

    g_assert_cmpuint(count, ==, oracle->freed->len - first);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->history_dropped, ==, first);
    while ((got = tt_snapshot_read_freed(snapshot, at, rows, G_N_ELEMENTS(rows))) > 0) {
        for (gsize i = 0; i < got; i++)
            oracle_check_row(&rows[i], &g_array_index(oracle->freed, TtBlockRow, first + at + i));
        at += got;
    }
    g_assert_cmpuint(at, ==, count);
}

static void check_timeline(const Oracle *oracle, const TtSnapshot *snapshot) {
    gsize count;
    const TtTimePoint *points = tt_snapshot_get_timeline(snapshot, &count);
    gboolean has_max = oracle->max.live_bytes == 0;

    g_assert_cmpuint(count, >, 0);
    for (gsize i = 0; i < count; i++) {
        if (i > 0)
            g_assert_cmpuint(points[i].t_ns, >=, points[i - 1].t_ns);
        g_assert_cmpuint(points[i].live_bytes, <=, oracle->max.live_bytes);
        if (memcmp(&points[i], &oracle->max, sizeof oracle->max) == 0)
            has_max = TRUE;
    }
    g_assert_true(has_max);
    SAME(&points[count - 1], &oracle->totals, live_bytes);
    SAME(&points[count - 1], &oracle->totals, live_blocks);
}

void oracle_check_snapshot(const Oracle *oracle, const TtSnapshot *snapshot) {
    check_totals(oracle, snapshot);
    check_sites(oracle, snapshot);
    check_sample(oracle, snapshot);
    check_threads(oracle, snapshot);
    check_names(oracle, snapshot);
    check_freed(oracle, snapshot);
    check_timeline(oracle, snapshot);
}
