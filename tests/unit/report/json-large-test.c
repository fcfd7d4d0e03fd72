/* SPDX-License-Identifier: Apache-2.0 */
/* fault_J02: two million live blocks and fifty thousand stacks cost the exporter a slice of blocks
 * and a table of addresses, measured by the kernel. Says how fast it was; bench, not test, of that.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "samples.h"

#define BLOCKS 2000000
#define STACKS 50000
#define DEPTH 32

static void make_row(gsize index, TtBlockRow *ret_row) {
    *ret_row = synthetic_block(index + 1, 0x7f0000000000 + index * 64, 16 + index % 4096,
                               3 + (guint32)(index % STACKS));
    ret_row->born_ns = index * 1117;
    ret_row->scope = index % 8 == 0 ? 1 : TT_NONE;
    ret_row->variable = index % 16 == 0 ? 0 : TT_NONE;
}

static gsize peak_bytes(void) {
    struct rusage usage;

    g_assert_cmpint(getrusage(RUSAGE_SELF, &usage), ==, 0);
    return (gsize)usage.ru_maxrss * 1024;
}

/* Stacks of 32 frames over 200,000 addresses, all of which have names. */
static void add_stacks(Sample *sample) {
    for (guint i = 0; i < STACKS; i++) {
        guint64 ips[DEPTH + 1] = {0};
        TtSiteRow site = {.stack = 3 + i, .live_blocks = BLOCKS / STACKS, .live_bytes = 1};

        for (guint j = 0; j < DEPTH; j++)
            ips[j] = 0x400001 + (i * 4 + j * (j < 4 ? 1 : 977)) % 200000;
        if (i > 0) /* one is a sample's own */
            synthetic_add_stack(sample->snapshot, site.stack, ips);
        g_array_append_val(sample->snapshot->sites, site);
    }
    for (guint i = 0; i < 200000; i++)
        synthetic_add_name(sample->symbols, i, "some_function_of_the_program", "/src/some/file.c",
                           i + 1, FALSE);
}

static Sample *make(gboolean has_names) {
    Sample *sample = sample_new("rich");

    g_array_set_size(sample->snapshot->sites, 0);
    if (has_names) {
        add_stacks(sample);
    } else {
        synthetic_symbols_free(sample->symbols);
        sample->symbols = NULL;
    }
    sample->snapshot->made_count = BLOCKS;
    sample->snapshot->make_row = make_row;
    return sample;
}

static void export(Sample *sample, const char *what) {
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    g_autoptr(GError) error = NULL;
    gsize before = peak_bytes(), grown;
    gint64 begin = g_get_monotonic_time();
    double seconds, megabytes;

    g_assert_true(
        tt_report_json(sample->snapshot, sample->symbols, &sample->options, sink, &error));
    g_assert_true(tt_sink_flush(sink, &error));
    seconds = (double)(g_get_monotonic_time() - begin) / 1e6;
    grown = peak_bytes() - before;
    megabytes = (double)tt_sink_get_bytes(sink) / 1e6;
    g_test_message("%s: %.0f MB in %.2f s, %.0f MB/s, memory grew by %.1f MiB", what, megabytes,
                   seconds, megabytes / seconds, (double)grown / (1 << 20));
    g_assert_cmpfloat(megabytes, >, 500);
    g_assert_cmpuint(grown, <, 64 << 20);
    close(fd);
}

static void fault_J02_blocks_are_streamed(void) {
    Sample *sample = make(FALSE);

    export(sample, "blocks alone");
    sample_free(sample);
}

static void fault_J02_stacks_are_bounded(void) {
    Sample *sample = make(TRUE);

    export(sample, "with stacks and names");
    sample_free(sample);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-large/fault_J02_blocks_are_streamed", fault_J02_blocks_are_streamed);
    g_test_add_func("/json-large/fault_J02_stacks_are_bounded", fault_J02_stacks_are_bounded);
    return g_test_run();
}
