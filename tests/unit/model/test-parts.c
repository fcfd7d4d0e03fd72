/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that sum up over time or at random, each by itself. */
#include "model/lifetimes.h"
#include "model/shed.h"
#include "model/timeline.h"

static guint64 draw(void) {
    return (guint64)(guint32)g_test_rand_int() << 32 | (guint32)g_test_rand_int();
}

static void buckets_are_in_order(void) {
    guint last = 0;

    for (guint64 ticks = 1; ticks < 100000; ticks++) {
        guint bucket = tt_lifetimes_bucket(ticks);
        g_assert_cmpuint(bucket - last, <=, 1);
        last = bucket;
    }
    for (guint bit = 5; bit < 64; bit++)
        g_assert_cmpuint(tt_lifetimes_bucket((guint64)1 << bit), ==,
                         tt_lifetimes_bucket(((guint64)1 << bit) - 1) + 1);
    g_assert_cmpuint(tt_lifetimes_bucket(G_MAXUINT64), ==, 495);
}

static gint compare_numbers(gconstpointer a, gconstpointer b, gpointer unused) {
    guint64 left = *(const guint64 *)a, right = *(const guint64 *)b;
    (void)unused;
    return left < right ? -1 : left > right;
}

static void quantiles_are_near(void) {
    guint64 values[5001];
    TtLifetimes *one = tt_lifetimes_new(), *sum = tt_lifetimes_new(), *rest = tt_lifetimes_new();

    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        values[i] = draw() >> draw() % 64;
        tt_lifetimes_add(one, values[i]);
        tt_lifetimes_add(i % 3 ? sum : rest, values[i]);
    }
    tt_lifetimes_merge(sum, rest);
    g_qsort_with_data(values, G_N_ELEMENTS(values), sizeof *values, compare_numbers, NULL);
    for (guint i = 0; i <= 100; i += 5) {
        guint64 should = values[i * (G_N_ELEMENTS(values) - 1) / 100];
        guint64 is = tt_lifetimes_quantile(one, i / 100.0);

        g_assert_cmpuint(is > should ? is - should : should - is, <=, should / 16);
        g_assert_cmpuint(tt_lifetimes_quantile(sum, i / 100.0), ==, is);
    }
    g_assert_cmpuint(sum->min, ==, values[0]);
    g_assert_cmpuint(sum->max, ==, values[G_N_ELEMENTS(values) - 1]);
    tt_lifetimes_free(one);
    tt_lifetimes_free(sum);
    tt_lifetimes_free(rest);
}

static void full_buckets_keep_quantiles(void) {
    TtLifetimes *lifetimes = tt_lifetimes_new();

    tt_lifetimes_add(lifetimes, 100);
    tt_lifetimes_add(lifetimes, 10000);
    lifetimes->buckets[tt_lifetimes_bucket(100) - lifetimes->first] = G_MAXUINT32;
    lifetimes->buckets[tt_lifetimes_bucket(10000) - lifetimes->first] = G_MAXUINT32 / 4;
    lifetimes->count = (guint64)G_MAXUINT32 + G_MAXUINT32 / 4;
    tt_lifetimes_add(lifetimes, 100);
    g_assert_cmpuint(tt_lifetimes_quantile(lifetimes, 0.78), <, 110);
    g_assert_cmpuint(tt_lifetimes_quantile(lifetimes, 0.82), >, 9000);
    tt_lifetimes_free(lifetimes);
}

/* Weights far beyond what a bucket counts to, and light ones after them. */
static void heavy_lifetimes_keep_quantiles(void) {
    TtLifetimes *lifetimes = tt_lifetimes_new();
    const guint64 heavy = (guint64)1 << 50;

    for (guint i = 0; i < 100; i++) {
        tt_lifetimes_add_many(lifetimes, 100, heavy);
        tt_lifetimes_add_many(lifetimes, 1000, heavy * 2);
        tt_lifetimes_add_many(lifetimes, 10000, heavy);
        tt_lifetimes_add_many(lifetimes, 7 + i, 1);
        tt_lifetimes_add_many(lifetimes, 100000, 1);
    }
    g_assert_cmpuint(tt_lifetimes_quantile(lifetimes, 0.24), <, 110);
    g_assert_cmpuint(tt_lifetimes_quantile(lifetimes, 0.26), >, 900);
    g_assert_cmpuint(tt_lifetimes_quantile(lifetimes, 0.74), <, 1100);
    g_assert_cmpuint(tt_lifetimes_quantile(lifetimes, 0.76), >, 9000);
    g_assert_cmpuint(lifetimes->min, ==, 7);
    g_assert_cmpuint(lifetimes->max, ==, 100000);
    tt_lifetimes_free(lifetimes);
}

static gboolean has_point(const TtTimePoint *points, gsize count, const TtTimelinePoint *point) {
    for (gsize i = 0; i < count; i++)
        if (points[i].t_ns == point->tick && points[i].live_bytes == point->bytes &&
            points[i].live_blocks == point->blocks)
            return TRUE;
    return FALSE;
}

/* Each bucket's least and greatest are those of all points in its time, the first of equals. */
static void check_buckets(const TtTimeline *timeline, const TtTimelinePoint *all, gsize count) {
    gsize at = 0;

    for (gsize i = 0; i < timeline->count; i++) {
        const TtBucket *bucket = &timeline->buckets[i];
        const TtTimelinePoint *min = &all[at], *max = &all[at];

        g_assert_cmpuint(all[at].tick >> timeline->width_shift, ==, bucket->number);
        for (; at < count && all[at].tick >> timeline->width_shift == bucket->number; at++) {
            min = all[at].bytes < min->bytes ? &all[at] : min;
            max = all[at].bytes > max->bytes ? &all[at] : max;
        }
        g_assert_cmpmem(&bucket->min, sizeof *min, min, sizeof *min);
        g_assert_cmpmem(&bucket->max, sizeof *max, max, sizeof *max);
    }
    g_assert_cmpuint(at, ==, count);
}

/* Fast and slow, with pauses, over all scales of time. */
static void timeline_keeps_extremes(void) {
    g_autofree TtTimelinePoint *all = g_new(TtTimelinePoint, 20000);

    const TtTimescale scale = {.mult = 1};

    for (guint limit = 8; limit <= 1024; limit *= 2) {
        TtTimelinePoint now = {.tick = 0}, max = now, min = now;
        TtTimeline timeline;
        gsize count;

        tt_timeline_init(&timeline, limit);
        for (guint i = 0; i < 20000; i++) {
            now.tick += draw() % 1000 == 0 ? draw() >> (20 + draw() % 30) : draw() % 200;
            now.tick = MIN(now.tick, (guint64)1 << 55);
            /* Often equal: the first of equals is to stay. */
            now.bytes = 1000000 + draw() % 20 * (draw() % 20);
            now.blocks = draw() % 1000;
            tt_timeline_note(&timeline, now.tick, now.bytes, now.blocks);
            all[i] = now;
            if (now.bytes > max.bytes)
                max = now;
            if (i == 0 || now.bytes < min.bytes)
                min = now;
        }
        check_buckets(&timeline, all, 20000);
        g_autofree TtTimePoint *points = tt_timeline_copy(
            &timeline, &scale, scale.start_stamp, &(TtTimelinePoint){.tick = 0}, &now, &count);
        g_assert_cmpuint(count, <=, limit);
        g_assert_cmpuint(count, >=, limit / 8);
        g_assert_true(has_point(points, count, &max));
        g_assert_true(has_point(points, count, &min));
        g_assert_true(has_point(points, count, &now));
        for (gsize i = 1; i < count; i++)
            g_assert_cmpuint(points[i].t_ns, >=, points[i - 1].t_ns);
        tt_timeline_clear(&timeline);
    }
}

static void shed_draws_by_share(void) {
    TtShed shed = {.blocks = 0};
    guint64 bytes[301] = {0}, blocks[301] = {0}, taken[301] = {0};
    guint32 site;
    guint64 size;

    for (guint round = 0; round < 300; round++) {
        for (guint i = 1; i <= 300; i++) {
            if (i > 3 && round > 0)
                continue;
            for (guint n = 0; n < (i == 3 ? 10 : 1); n++) {
                guint64 bytes_now = i * 7 + round;
                tt_shed_add(&shed, i, bytes_now);
                blocks[i]++;
                bytes[i] += bytes_now;
            }
        }
    }
    guint64 all = shed.blocks;
    for (guint64 n = 0; n < all; n++) {
        tt_shed_take(&shed, &site, &size);
        g_assert_cmpuint(taken[site], <, blocks[site]);
        taken[site]++;
        g_assert_cmpuint(size, <=, bytes[site]);
        bytes[site] -= size;
        if (n == all / 2) { /* half of all are half of each, about */
            g_assert_cmpuint(taken[3], >, blocks[3] * 4 / 10);
            g_assert_cmpuint(taken[3], <, blocks[3] * 6 / 10);
        }
    }
    for (guint i = 1; i <= 300; i++)
        g_assert_cmpuint(bytes[i], ==, 0);
    g_assert_cmpuint(shed.blocks, ==, 0);
    tt_shed_clear(&shed);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/model/parts/" #name, name)
    TEST(buckets_are_in_order);
    TEST(quantiles_are_near);
    TEST(full_buckets_keep_quantiles);
    TEST(heavy_lifetimes_keep_quantiles);
    TEST(timeline_keeps_extremes);
    TEST(shed_draws_by_share);
    return g_test_run();
}
