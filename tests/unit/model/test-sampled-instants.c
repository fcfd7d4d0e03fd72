/* SPDX-License-Identifier: Apache-2.0 */
/* Earlier instants of a sampled session: what is led back or was kept by a mark has the weights and
 * errors that the session had then. What it was then is the truth, told by it at the time. */
#include "simple.h"

#define MEAN 256u
#define STEPS 4000u
#define THENS 16u
#define SLOTS 300u

typedef struct Then {
    char mark[16];
    guint64 time_ns;
    TtSnapshot *snapshot;
    GArray *live; /* of TtBlockRow, by id */
} Then;

typedef struct World {
    TtSession *session;
    guint64 time_ns;
    guint64 size_at[SLOTS]; /* 0: no block in the sample there */
    Then thens[THENS];
    guint then_count;
} World;

static guint draw(guint end) { return (guint)g_test_rand_int_range(0, (gint)end); }

static guint64 addr_of(guint slot) { return 0x10000 + (guint64)slot * 4096; }

/* Births, deaths and reallocations of what is in the sample, of any of these sizes. */
static void step(World *world) {
    guint slot = draw(SLOTS), thread = draw(2);
    guint64 addr = addr_of(slot), size = 1 + draw(draw(2) ? 60 : 2000);

    world->time_ns++;
    if (world->size_at[slot] == 0) {
        simple_apply(world->session, TT_OP_ALLOC, thread, world->time_ns, addr, size);
        world->size_at[slot] = size;
    } else if (draw(3) == 0) {
        simple_apply(world->session, TT_OP_REALLOC_BEGIN, thread, world->time_ns, addr, 0);
        world->time_ns++;
        simple_apply(world->session, TT_OP_REALLOC_END, thread, world->time_ns, addr, size);
        world->size_at[slot] = size;
    } else {
        simple_apply(world->session, TT_OP_FREE, thread, world->time_ns, addr, 0);
        world->size_at[slot] = 0;
    }
}

static void look(World *world) {
    Then *then = &world->thens[world->then_count];
    SimpleHeld held;

    g_snprintf(then->mark, sizeof then->mark, "mark %u", world->then_count++);
    tt_session_add_mark(world->session, SIMPLE_START + world->time_ns, simple_string(then->mark));
    then->time_ns = world->time_ns;
    g_assert_true(simple_hold(world->session, "now", &held));
    then->live = simple_read_all(&held);
    then->snapshot = g_steal_pointer(&held.snapshot);
    tt_session_unpin(held.session, held.pin);
}

static void world_init(World *world, const TtModelLimits *limits) {
    *world = (World){.session = simple_new_sampled(limits, MEAN)};
    for (guint i = 1; i <= STEPS; i++) {
        step(world);
        if (i % (STEPS / THENS) == 0)
            look(world);
    }
    /* Most leave in the end, so that the peak is not there. */
    for (guint i = 0; i < SLOTS * 4; i++)
        if (world->size_at[i % SLOTS] > 0 && draw(2)) {
            simple_apply(world->session, TT_OP_FREE, 0, ++world->time_ns, addr_of(i % SLOTS), 0);
            world->size_at[i % SLOTS] = 0;
        }
}

static void world_clear(World *world) {
    for (guint i = 0; i < world->then_count; i++) {
        tt_snapshot_free(world->thens[i].snapshot);
        g_array_unref(world->thens[i].live);
    }
    tt_session_free(world->session);
}

static void check_rows(GArray *is, GArray *should) {
    g_assert_cmpuint(is->len, ==, should->len);
    for (guint i = 0; i < is->len; i++) {
        const TtBlockRow *row = &g_array_index(is, TtBlockRow, i);
        const TtBlockRow *then = &g_array_index(should, TtBlockRow, i);

        g_assert_cmpuint(row->id, ==, then->id);
        g_assert_cmpmem(&row->weight, sizeof row->weight, &then->weight, sizeof then->weight);
    }
}

#define SAME_ERROR(is, should, sum)                                                                \
    g_assert_cmpmem(&(is)->sum, sizeof(TtAmount), &(should)->sum, sizeof(TtAmount))

static void check_errors(const TtErrors *is, const TtErrors *should) {
    SAME_ERROR(is, should, live);
    SAME_ERROR(is, should, cumulative);
    SAME_ERROR(is, should, freed);
}

/* All but what is not to be had: temporary ones, reallocations, the shares of an earlier peak. */
static void check_sums(const TtSnapshot *is, const TtSnapshot *should) {
    TtTotals totals = *tt_snapshot_get_totals(is), then = *tt_snapshot_get_totals(should);
    const TtSample *sample = tt_snapshot_get_sample(is);
    const TtSample *then_sample = tt_snapshot_get_sample(should);
    gsize count, other;
    const TtSiteRow *sites = tt_snapshot_get_sites(is, &count);
    const TtSiteRow *then_sites = tt_snapshot_get_sites(should, &other);

    then.temporary_allocations = then.reallocations = 0;
    totals.peak_bytes = then.peak_bytes;
    totals.peak_blocks = then.peak_blocks;
    totals.peak_ns = then.peak_ns;
    g_assert_cmpmem(&totals, sizeof totals, &then, sizeof then);
    g_assert_cmpuint(sample->mean_bytes, ==, MEAN);
    g_assert_cmpuint(sample->allocations, ==, then_sample->allocations);
    g_assert_cmpuint(sample->frees, ==, then_sample->frees);
    check_errors(&sample->errors, &then_sample->errors);
    g_assert_cmpuint(count, >=, other);
    for (gsize i = 0; i < other; i++) {
        g_assert_cmpuint(sites[i].live_blocks, ==, then_sites[i].live_blocks);
        g_assert_cmpuint(sites[i].freed_bytes, ==, then_sites[i].freed_bytes);
        check_errors(&tt_snapshot_get_site_errors(is)[i], &tt_snapshot_get_site_errors(should)[i]);
    }
}

/* What the sums say of a site's live blocks is what those blocks bring. @live: of TtBlockRow */
static void check_variances(const TtSnapshot *snapshot, const GArray *live) {
    gsize count;
    const TtSiteRow *sites = tt_snapshot_get_sites(snapshot, &count);

    for (gsize i = 0; i < count; i++) {
        TtVariance is = tt_snapshot_get_live_variance(snapshot, i), sum = {.blocks = 0};

        for (guint k = 0; k < live->len; k++) {
            const TtBlockRow *row = &g_array_index(live, TtBlockRow, k);
            TtVariance variance = tt_snapshot_get_block_variance(snapshot, row);

            sum.blocks += row->stack == sites[i].stack ? variance.blocks : 0;
            sum.bytes += row->stack == sites[i].stack ? variance.bytes : 0;
        }
        g_assert_cmpmem(&is, sizeof is, &sum, sizeof sum);
        g_assert_cmpint(is.bytes > 0, ==, sites[i].live_bytes > 0);
    }
}

/* An error that is not known is told as one that it cannot exceed. The peak itself is the greatest
 * point of the timeline, which may have missed the one there was. */
static void check_peak_error(const TtSnapshot *is, const TtSnapshot *should) {
    if (tt_snapshot_get_totals(is)->peak_bytes == tt_snapshot_get_totals(should)->peak_bytes)
        g_assert_cmpuint(tt_snapshot_get_sample(is)->errors.peak.bytes, >=,
                         tt_snapshot_get_sample(should)->errors.peak.bytes);
}

static void sample_is_led_back(void) {
    World world;

    world_init(&world, NULL);
    for (guint i = 0; i < THENS; i++) {
        const Then *then = &world.thens[i];
        g_autofree char *word = g_strdup_printf("%" G_GUINT64_FORMAT "ns", then->time_ns);
        SimpleHeld held;

        g_assert_true(simple_hold(world.session, word, &held));
        g_assert_cmpint(tt_snapshot_get_instant(held.snapshot)->source, ==, TT_STATE_LED_BACK);
        g_autoptr(GArray) live = simple_read_all(&held);
        check_rows(live, then->live);
        check_sums(held.snapshot, then->snapshot);
        check_variances(held.snapshot, live);
        check_peak_error(held.snapshot, then->snapshot);
        simple_check_balance(held.snapshot);
        g_assert_cmpuint(tt_snapshot_get_completeness(held.snapshot)->unlisted_blocks, ==, 0);
        simple_release(&held);
    }
    world_clear(&world);
}

/* Also without their pins, as long as the history has what died since. */
static void marks_of_a_sample_keep_weights(void) {
    TtModelLimits limits;
    World world;

    tt_model_limits_init(&limits);
    limits.pinned_marks = THENS / 2;
    world_init(&world, &limits);
    for (guint i = 0; i < THENS; i++) {
        const Then *then = &world.thens[i];
        SimpleHeld held;

        g_assert_true(simple_hold(world.session, then->mark, &held));
        g_assert_cmpint(tt_snapshot_get_instant(held.snapshot)->source, ==, TT_STATE_KEPT);
        g_autoptr(GArray) live = simple_read_all(&held);
        check_rows(live, then->live);
        g_assert_cmpmem(tt_snapshot_get_totals(held.snapshot), sizeof(TtTotals),
                        tt_snapshot_get_totals(then->snapshot), sizeof(TtTotals));
        g_assert_cmpmem(tt_snapshot_get_sample(held.snapshot), sizeof(TtSample),
                        tt_snapshot_get_sample(then->snapshot), sizeof(TtSample));
        g_assert_cmpuint(tt_snapshot_get_completeness(held.snapshot)->unlisted_blocks, ==, 0);
        simple_release(&held);
    }
    world_clear(&world);
}

static void peak_of_a_sample_balances(void) {
    World world;
    SimpleHeld held;
    guint64 blocks = 0, bytes = 0;

    world_init(&world, NULL);
    g_autoptr(TtSnapshot) now = simple_look(world.session);
    const TtErrors *errors = &tt_snapshot_get_sample(now)->errors;
    g_assert_true(simple_hold(world.session, "peak", &held));
    const TtTotals *totals = tt_snapshot_get_totals(held.snapshot);
    simple_check_balance(held.snapshot);
    g_autoptr(GArray) live = simple_read_all(&held);
    for (guint i = 0; i < live->len; i++) {
        blocks += g_array_index(live, TtBlockRow, i).weight.blocks;
        bytes += g_array_index(live, TtBlockRow, i).weight.bytes;
    }
    g_assert_cmpuint(totals->live_bytes, ==, tt_snapshot_get_totals(now)->peak_bytes);
    g_assert_cmpuint(totals->live_bytes, ==, bytes);
    g_assert_cmpuint(totals->live_blocks, ==, blocks);
    SAME_ERROR(&tt_snapshot_get_sample(held.snapshot)->errors, errors, peak);
    g_assert_cmpuint(tt_snapshot_get_sample(held.snapshot)->errors.live.bytes, ==,
                     errors->peak.bytes);
    simple_release(&held);
    world_clear(&world);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sampled-instants/sample_is_led_back", sample_is_led_back);
    g_test_add_func("/sampled-instants/marks_of_a_sample_keep_weights",
                    marks_of_a_sample_keep_weights);
    g_test_add_func("/sampled-instants/peak_of_a_sample_balances", peak_of_a_sample_balances);
    return g_test_run();
}
