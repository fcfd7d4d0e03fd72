/* SPDX-License-Identifier: Apache-2.0 */
/* fault_J02: a picture of two million live blocks from fifty thousand stacks costs one pass over
 * them and memory for what it shows, measured by the kernel. Says how long it took; the test is of
 * the memory, and of a bound on time that only another order of growth would pass. */
#include <sys/resource.h>
#include <unistd.h>

#include "svg-sessions.h"

#define BLOCKS 2000000u
#define STACKS 50000u
#define POINTS 200000u

static guint made;

/* Each better than all before it: the worst order for whoever keeps the best. */
static void make_row(gsize index, TtBlockRow *ret_row) {
    *ret_row = synthetic_block(index + 1, 0x7f0000000000 + index * 64, 16 + index,
                               3 + (guint32)(index % STACKS));
    ret_row->born_ns = 1117;
    ret_row->variable = index % 16 == 0 ? 0 : TT_NONE;
    made++;
}

static Sample *make(void) {
    Sample *sample = sample_new("rich");
    TtSnapshot *snapshot = sample->snapshot;

    g_array_set_size(snapshot->sites, 0);
    for (guint i = 0; i < STACKS; i++) {
        guint64 ips[] = {0x400001 + i, 0};
        TtSiteRow site = {.stack = 3 + i, .live_blocks = BLOCKS / STACKS, .live_bytes = 1u << 20};

        if (i > 0)
            synthetic_add_stack(snapshot, site.stack, ips);
        g_array_append_val(snapshot->sites, site);
    }
    g_array_set_size(snapshot->timeline, 0);
    for (guint i = 0; i < POINTS; i++) {
        TtTimePoint point = {i * 7000u, (guint64)(i % 977) * 4096 + i, i};
        g_array_append_val(snapshot->timeline, point);
    }
    snapshot->made_count = BLOCKS;
    snapshot->make_row = make_row;
    return sample;
}

static gsize get_peak_bytes(void) {
    struct rusage usage;

    g_assert_cmpint(getrusage(RUSAGE_SELF, &usage), ==, 0);
    return (gsize)usage.ru_maxrss * 1024;
}

#if defined(__SANITIZE_ADDRESS__)
enum { HAS_SANITIZER = 1 };
#else
enum { HAS_SANITIZER = 0 };
#endif

static void draw(Sample *sample, const char *view, guint top) {
    gsize before = get_peak_bytes(), len;
    gint64 begin = g_get_monotonic_time();

    made = 0;
    g_autofree char *picture = svg_session_draw(sample, view, top, &len);
    double seconds = (double)(g_get_monotonic_time() - begin) / 1e6;
    gsize grown = get_peak_bytes() - before;
    g_test_message("%s, %u rows: %" G_GSIZE_FORMAT " bytes in %.2f s, memory grew by %.1f MiB",
                   view, top, len, seconds, (double)grown / (1 << 20));
    g_assert_nonnull(picture);
    g_assert_cmpuint(made, ==, BLOCKS); /* one pass */
    if (!HAS_SANITIZER)                 /* which keeps what was freed for a while */
        g_assert_cmpuint(grown, <, 64 << 20);
    g_assert_cmpuint(len, <, 8 << 20);
    g_assert_cmpfloat(seconds, <, 60);
}

static void fault_J02_a_picture_is_small(void) {
    Sample *sample = make();

    draw(sample, "overview", 0);
    draw(sample, "top", 0);
    draw(sample, "lifecycles", 0);
    draw(sample, "lifecycles", 1000);
    sample_free(sample);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/svg-large/fault_J02_a_picture_is_small", fault_J02_a_picture_is_small);
    return g_test_run();
}
