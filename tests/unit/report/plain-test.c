/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people: whatever a program calls its things, lines keep to their columns, are UTF-8, and
 * do nothing to a terminal. libc measures them, whose tables are its own. */
#include <json-glib/json-glib.h>
#include <locale.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wchar.h>

#include "report/plain.h"
#include "samples.h"

#define ADDR 0x602010u

static const char *const texts[] = {
    "plain",
    "",
    "\x1b[2J\x1b]0;title\x07\r\n\t\b",
    "\xff\xfe\xc0\xaf\xed\xa0\x80",
    "中文字符中文字符中文字符中文字符中文字符中文字符中文字符",
    "e\u0301e\u0301e\u0301e\u0301",
    "\u202eevil\u2066 \u200f",
    "%s%n%d",
    "a_very_long_name_of_a_function_that_goes_on_and_on_and_on_and_on_and_on_and_on_and_on",
};

/* What a sink has been given. */
static char *read_all(int fd) {
    off_t len = lseek(fd, 0, SEEK_END);
    char *text = g_malloc0((gsize)len + 1);

    g_assert_cmpint(pread(fd, text, (gsize)len, 0), ==, len);
    close(fd);
    return text;
}

static char *diff_of(TtSnapshot *before, Sample *after, gboolean is_text, guint columns) {
    int fd = memfd_create("diff", MFD_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    TtReportOptions options = {.is_text = is_text, .columns = columns};

    g_assert_true(tt_report_diff(before, after->snapshot, after->symbols, &options, sink, NULL));
    g_assert_true(tt_sink_flush(sink, NULL));
    return read_all(fd);
}

static char *lives_of(Sample *sample, gboolean is_text, guint columns) {
    int fd = memfd_create("lives", MFD_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    TtReportOptions options = {.is_text = is_text, .columns = columns};

    g_assert_true(tt_report_lives(sample->snapshot, ADDR, sample->symbols, &options, sink, NULL));
    g_assert_true(tt_sink_flush(sink, NULL));
    return read_all(fd);
}

/* Of what is alive: without its memory. */
static char *leaks_of(Sample *sample, gboolean is_text, guint columns) {
    int fd = memfd_create("leaks", MFD_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    g_autoptr(TtScan) scan = tt_scan_new(sample->snapshot, -1, NULL, NULL);
    TtReportOptions options = {.is_text = is_text, .columns = columns};
    TtLeaksOptions leaks = {.shows = 1u << TT_LEAK_ALIVE};
    TtLeaksFound found;

    g_assert_nonnull(scan);
    g_assert_true(tt_report_leaks(sample->snapshot, scan, sample->symbols, &options, &leaks, sink,
                                  &found, NULL));
    g_assert_true(tt_sink_flush(sink, NULL));
    return read_all(fd);
}

static void check_line(const char *line, guint columns) {
    guint used = 0;

    for (const char *at = line; *at; at = g_utf8_next_char(at)) {
        gint width = wcwidth((wchar_t)g_utf8_get_char(at));

        g_assert_cmpint(width, >=, 0); /* it can be shown */
        used += (guint)width;
    }
    g_assert_false(g_str_has_suffix(line, " "));
    if (columns > 0)
        g_assert_cmpuint(used, <=, columns);
}

static void check_text(const char *text, guint columns) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    g_assert_true(g_utf8_validate(text, -1, NULL));
    g_assert_true(g_str_has_suffix(text, "\n"));
    for (char **line = lines; *line; line++)
        check_line(*line, columns);
}

static TtSnapshot *nothing(void) {
    TtSnapshot *snapshot = synthetic_new();

    snapshot->instant.kind = TT_INSTANT_START;
    return snapshot;
}

static void text_keeps_to_its_columns(void) {
    static const guint widths[] = {0, 1, 2, 10, 40, 80, 200};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        for (gsize j = 0; j < G_N_ELEMENTS(widths); j++) {
            Sample *sample = sample_new_of_text(texts[i]);
            TtSnapshot *before = nothing();

            before->instant = (TtInstantRow){.kind = TT_INSTANT_MARK, .mark = texts[i]};
            g_ptr_array_add(sample->snapshot->completeness.doubts, g_strdup(texts[i]));
            g_autofree char *diff = diff_of(before, sample, TRUE, widths[j]);
            g_autofree char *lives = lives_of(sample, TRUE, widths[j]);
            g_autofree char *leaks = leaks_of(sample, TRUE, widths[j]);
            check_text(diff, widths[j]);
            check_text(leaks, widths[j]);
            check_text(lives, widths[j]);
            tt_snapshot_free(before);
            sample_free(sample);
        }
    }
}

static void json_reads_back(void) {
    for (gsize i = 0; sample_names[i]; i++) {
        Sample *sample = sample_new(sample_names[i]);
        TtSnapshot *before = nothing();
        g_autofree char *diff = diff_of(before, sample, FALSE, 0);
        g_autofree char *lives = lives_of(sample, FALSE, 0);
        g_autoptr(JsonParser) parser = json_parser_new();

        g_assert_true(json_parser_load_from_data(parser, lives, -1, NULL));
        g_assert_true(json_parser_load_from_data(parser, diff, -1, NULL));
        g_autofree char *leaks = leaks_of(sample, FALSE, 0);
        g_assert_true(json_parser_load_from_data(parser, leaks, -1, NULL));
        tt_snapshot_free(before);
        sample_free(sample);
    }
}

static JsonObject *totals_of(JsonParser *parser, const char *diff) {
    g_assert_true(json_parser_load_from_data(parser, diff, -1, NULL));
    return json_object_get_object_member(json_node_get_object(json_parser_get_root(parser)),
                                         "totals");
}

/* Since nothing, everything has been born. The stand-in's block is off by its size, and twice that
 * in bytes. */
static void diffs_of_a_sample_say_how_far_off_they_are(void) {
    Sample *sample = sample_new("estimates"), *exact = sample_new("rich");
    TtSnapshot *before = nothing();
    g_autofree char *diff = diff_of(before, sample, FALSE, 0);
    g_autofree char *text = diff_of(before, sample, TRUE, 0);
    g_autofree char *exact_diff = diff_of(before, exact, FALSE, 0);
    g_autofree char *exact_text = diff_of(before, exact, TRUE, 0);
    g_autoptr(JsonParser) parser = json_parser_new();
    gint64 squares = 0;

    for (guint i = 0; i < sample->snapshot->live->len; i++) {
        gint64 size = (gint64)g_array_index(sample->snapshot->live, TtBlockRow, i).size;

        squares += size * size;
    }
    JsonObject *totals = totals_of(parser, diff);
    gint64 error = json_object_get_int_member(totals, "born_blocks_error");
    g_assert_cmpint(error * error, >=, squares);
    g_assert_cmpint((error - 1) * (error - 1), <, squares);
    error = json_object_get_int_member(totals, "born_bytes_error");
    g_assert_cmpint(error * error, >=, 4 * squares);
    g_assert_cmpint((error - 1) * (error - 1), <, 4 * squares);
    g_assert_cmpint(json_object_get_int_member(totals, "growth_bytes_error"), ==, error);
    g_assert_cmpint(json_object_get_int_member(totals, "freed_bytes_error"), ==, 0);
    g_assert_nonnull(strstr(text, "±"));
    g_assert_nonnull(strstr(text, "Estimates from a sample of one in 4.0 KiB"));
    g_assert_false(json_object_has_member(totals_of(parser, exact_diff), "born_bytes_error"));
    g_assert_null(strstr(exact_text, "±"));
    tt_snapshot_free(before);
    sample_free(exact);
    sample_free(sample);
}

/* A block stands for others, and an address may be of one that is not in the sample. */
static void lives_of_a_sample_say_so(void) {
    Sample *sample = sample_new("estimates"), *exact = sample_new("rich");

    g_assert_cmpuint(g_array_index(sample->snapshot->live, TtBlockRow, 1).size, ==, 8);
    sample->snapshot->info.sample_bytes = 4096;
    g_autofree char *text = lives_of(sample, TRUE, 0);
    g_autofree char *json = lives_of(sample, FALSE, 0);
    g_autofree char *exact_text = lives_of(exact, TRUE, 0);
    g_autofree char *exact_json = lives_of(exact, FALSE, 0);
    g_assert_nonnull(strstr(text, "stands for 41 blocks (±8) of 3.9 KiB (±16 B)"));
    g_assert_nonnull(strstr(text, "not in it"));
    g_assert_nonnull(strstr(json, "\"sample_bytes\": 4096"));
    g_assert_null(strstr(exact_text, "stands for"));
    g_assert_null(strstr(exact_text, "not in it"));
    g_assert_nonnull(strstr(exact_json, "\"sample_bytes\": 0"));
    sample_free(exact);
    sample_free(sample);
}

static void cells_are_cut_and_filled(void) {
    int fd = memfd_create("plain", MFD_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    g_auto(TtPlain) plain = {0};

    tt_plain_init(&plain, sink, 20);
    tt_plain_cell(&plain, "left", 6, TT_PLAIN_LEFT);
    tt_plain_cell(&plain, "right", 7, TT_PLAIN_RIGHT);
    tt_plain_cell(&plain, "too long", 5, TT_PLAIN_LEFT);
    tt_plain_end_line(&plain);
    tt_plain_add(&plain, "exactly twenty chars");
    tt_plain_end_line(&plain);
    tt_plain_add(&plain, "one more than twenty.");
    tt_plain_add(&plain, "nothing of this");
    tt_plain_end_line(&plain);
    tt_plain_add(&plain, "中中中中中中中中中中中");
    tt_plain_end_line(&plain);
    tt_plain_paragraph(&plain, "words that do not all fit in");
    g_assert_true(tt_sink_flush(sink, NULL));
    g_autofree char *text = read_all(fd);
    g_assert_cmpstr(text, ==,
                    "left    righttoo …\n"
                    "exactly twenty chars\n"
                    "one more than twent…\n"
                    "中中中中中中中中中…\n"
                    "words that do not\n"
                    "  all fit in\n");
}

int main(int argc, char **argv) {
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 77;
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plain/text_keeps_to_its_columns", text_keeps_to_its_columns);
    g_test_add_func("/plain/json_reads_back", json_reads_back);
    g_test_add_func("/plain/diffs_of_a_sample_say_how_far_off_they_are",
                    diffs_of_a_sample_say_how_far_off_they_are);
    g_test_add_func("/plain/lives_of_a_sample_say_so", lives_of_a_sample_say_so);
    g_test_add_func("/plain/cells_are_cut_and_filled", cells_are_cut_and_filled);
    return g_test_run();
}
