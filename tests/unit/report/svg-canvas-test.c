/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that views are made of: text, numbers, elements. */
#include <math.h>
#include <string.h>

#include "report/svg/canvas.h"
#include "report/svg/check.h"
#include "report/svg/chooser.h"
#include "report/svg/measure.h"
#include "report/svg/scale.h"
#include "svg-page.h"

static void expect_shown(const char *bytes, const char *expected) {
    g_autofree char *shown = tt_measure_show(bytes, 1000);
    g_autofree char *again = tt_measure_show(shown, 1000);

    g_assert_cmpstr(shown, ==, expected);
    g_assert_cmpstr(again, ==, shown);
}

static void fault_J03_what_xml_has_not_is_spelled(void) {
    expect_shown("plain", "plain");
    expect_shown("a\nb\tc\x01\x1b\x7f", "a\\nb\\tc\\x01\\x1b\\x7f");
    expect_shown("\xc2\x85", "\\x85");
    expect_shown("\xef\xbf\xbe\xef\xbf\xbf", "\\ufffe\\uffff");
    expect_shown("\xff\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    expect_shown("\xe2\x80\xae"
                 "abc",
                 "\\u202eabc");
    expect_shown("\xe2\x80\x8b", "\\u200b");
    expect_shown("\xf3\xa0\x81\x81", "\\U000e0041");
}

static void fault_J04_marks_are_bounded(void) {
    GString *tower = g_string_new("e");

    for (guint i = 0; i < 1000; i++)
        g_string_append(tower, "\xcc\x81");
    g_string_append_c(tower, 'x');
    expect_shown(tower->str, "e\xcc\x81\xcc\x81x");
    g_string_free(tower, TRUE);
}

/* A text is never wider than measured, in the widest font that is usual. */
static void widths_cover_the_font(void) {
    static const char *const texts[] = {
        "The quick brown fox jumps over the lazy dog",
        "WWWWMMMM@@@@%%%%",
        "std::unordered_map<std::string, std::vector<int>>::operator[](key)",
        "0123456789,.:;-_()[]{}<>/\\|~^*+=!?#$&'\"`",
        "Übergrößenträger, naïveté, Œuvre, ŒŒŒŒ",
        "Ещё чужой щит; ЩЩЩЩ жжжж",
        "Ελληνικά ΩΩΩ",
        "“quotes” – dashes — and …",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        for (gint bold = FALSE; bold <= TRUE; bold++)
            g_assert_cmpfloat(tt_measure_width(texts[i], 12, bold), >=,
                              font_measure(texts[i], 12, bold));
    /* And not by much, where it matters. */
    g_assert_cmpfloat(tt_measure_width(texts[0], 12, FALSE), <=,
                      1.05 * font_measure(texts[0], 12, FALSE));
    g_assert_cmpfloat(tt_measure_width("漢字", 12, FALSE), >=, 24);
}

static void cutting_keeps_the_width(void) {
    static const char *const texts[] = {"a rather long name of a variable", "漢字仮名交じり文",
                                        "\n\n\n\n\n\n\n\n\n\n\n", "éééééééééééééé"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        for (double width = 0; width < 300; width += 3.5) {
            g_autofree char *cut = tt_measure_cut(texts[i], 12, FALSE, width);
            g_assert_cmpfloat(tt_measure_width(cut, 12, FALSE), <=, width);
        }
        g_autofree char *whole = tt_measure_cut(texts[i], 12, FALSE, 1000);
        g_autofree char *shown = tt_measure_show(texts[i], 1000);
        g_assert_cmpstr(whole, ==, shown);
    }
    g_autofree char *cut = tt_measure_cut("abcdefghij klm", 10, FALSE, 70);
    g_assert_true(g_str_has_suffix(cut, "…"));
    g_autofree char *long_name = g_strnfill(1 << 20, 'x');
    g_autofree char *short_name = tt_measure_show(long_name, 10);
    g_assert_cmpstr(short_name, ==, "xxxxxxxxxx…");
}

static void expect(char *text, const char *expected) {
    g_assert_cmpstr(text, ==, expected);
    g_free(text);
}

static void numbers_are_spelled_for_people(void) {
    expect(tt_scale_bytes(0), "0 B");
    expect(tt_scale_bytes(1023), "1023 B");
    expect(tt_scale_bytes(1024), "1.0 KiB");
    expect(tt_scale_bytes(1024 * 1024 - 1), "1.0 MiB");
    expect(tt_scale_bytes(102349), "100 KiB");
    expect(tt_scale_bytes(G_MAXUINT64), "16.0 EiB");
    expect(tt_scale_count(0), "0");
    expect(tt_scale_count(999), "999");
    expect(tt_scale_count(1234567), "1,234,567");
    expect(tt_scale_count(G_MAXUINT64), "18,446,744,073,709,551,615");
    expect(tt_scale_count_within(12345678, 8), "12,345,678");
    expect(tt_scale_count_within(123456789, 8), "1.23e8");
    expect(tt_scale_count_within(999999999, 8), "1.00e9");
    expect(tt_scale_count_within(G_MAXUINT64, 8), "1.84e19");
    expect(tt_scale_things(1, "block"), "1 block");
    expect(tt_scale_things(0, "block"), "0 blocks");
    expect(tt_scale_time(0), "0 ns");
    expect(tt_scale_time(999), "999 ns");
    expect(tt_scale_time(1000), "1.00 µs");
    expect(tt_scale_time(999499), "999 µs");
    expect(tt_scale_time(999500), "1.00 ms");
    expect(tt_scale_time(9999999), "10.0 ms");
    expect(tt_scale_time(1200000000), "1.20 s");
    expect(tt_scale_time(59940000000), "59.9 s");
    expect(tt_scale_time(59960000000), "1 min 00 s");
    expect(tt_scale_time(3599600000000), "1 h 00 min");
    expect(tt_scale_time(86399000000000), "1 d 00 h");
    expect(tt_scale_time(G_MAXUINT64), "213504 d 00 h");
    expect(tt_scale_share(0, 0), "–");
    expect(tt_scale_share(0, 10), "0 %");
    expect(tt_scale_share(1, 100000), "<0.1 %");
    expect(tt_scale_share(1, 3), "33.3 %");
    expect(tt_scale_share(99999, 100000), ">99.9 %");
    expect(tt_scale_share(7, 7), "100 %");
    expect(tt_scale_share(G_MAXUINT64, G_MAXUINT64), "100 %");
}

/* Whatever the last value is: ticks from 0 up, evenly, within it, and words that tell them apart.
 */
static void expect_ticks(const TtTicks *ticks, guint64 last, gboolean is_time) {
    g_assert_cmpuint(ticks->count, >=, 1);
    g_assert_cmpuint(ticks->count, <=, 9);
    g_assert_cmpuint(ticks->values[0], ==, 0);
    g_assert_cmpuint(ticks->values[ticks->count - 1], <=, last);
    for (guint i = 1; i < ticks->count; i++) {
        g_autofree char *word = is_time ? tt_scale_tick_time(ticks->values[i], last)
                                        : tt_scale_tick_bytes(ticks->values[i], last);
        g_autofree char *before = is_time ? tt_scale_tick_time(ticks->values[i - 1], last)
                                          : tt_scale_tick_bytes(ticks->values[i - 1], last);
        g_assert_cmpuint(ticks->values[i] - ticks->values[i - 1], ==, ticks->values[1]);
        g_assert_cmpstr(word, !=, before);
    }
    if (last > 0)
        g_assert_cmpuint(ticks->count, >=, 2);
}

static void ticks_are_even(void) {
    TtTicks ticks;

    for (guint shift = 0; shift < 64; shift++) {
        guint64 around[] = {((guint64)1 << shift) - 1, (guint64)1 << shift,
                            ((guint64)1 << shift) + ((guint64)1 << shift) / 3};
        for (gsize i = 0; i < G_N_ELEMENTS(around); i++) {
            for (guint count = 2; count <= 8; count += 3) {
                tt_ticks_time(around[i], count, &ticks);
                expect_ticks(&ticks, around[i], TRUE);
                tt_ticks_bytes(around[i], count, &ticks);
                expect_ticks(&ticks, around[i], FALSE);
            }
        }
    }
    tt_ticks_time(12400000000, 8, &ticks);
    g_assert_cmpuint(ticks.values[1], ==, 2000000000);
    expect(tt_scale_tick_time(200000000, 1200000000), "0.2 s");
    expect(tt_scale_tick_bytes(512 << 10, 3 << 20), "0.5 MiB");
}

static void expect_number(double value, const char *expected) {
    GString *text = g_string_new(NULL);

    tt_canvas_append_number(text, value);
    g_assert_cmpstr(text->str, ==, expected);
    g_string_free(text, TRUE);
}

static void fault_J01_coordinates_are_plain(void) {
    TtScale flat = {5, 5, 10, 20}, whole = {0, G_MAXUINT64, 0, 1000};

    expect_number(0, "0");
    expect_number(-0.0, "0");
    expect_number(-0.004, "0");
    expect_number(0.005, "0.01");
    expect_number(1.5, "1.5");
    expect_number(-12.345, "-12.35");
    expect_number(100, "100");
    expect_number((double)NAN, "0");
    expect_number((double)INFINITY, "0");
    expect_number(1e30, "1000000000");
    g_assert_cmpfloat(tt_scale_place(&flat, 5), ==, 10);
    g_assert_cmpfloat(tt_scale_place(&flat, 9), ==, 10);
    g_assert_cmpfloat(tt_scale_place(&whole, G_MAXUINT64), ==, 1000);
    g_assert_cmpfloat(tt_scale_place(&whole, (guint64)1 << 63), ==, 500);
}

static void fault_J03_markup_is_escaped(void) {
    static const char hostile[] = "</text><script>alert(\"1\" & '2')]]>\xff\x02";
    g_autoptr(TtCanvas) canvas = tt_canvas_new();
    g_autoptr(GError) error = NULL;

    tt_canvas_open(canvas, "g", NULL);
    tt_canvas_set_text(canvas, "data-name", hostile);
    tt_canvas_hint(canvas, "%s\nsecond line", "<b>&");
    tt_canvas_text(canvas, TT_TEXT_LABEL, TT_ANCHOR_START, 10, 20, 600, hostile);
    tt_canvas_close(canvas);
    GString *document = tt_canvas_finish(canvas, 640, 480, hostile, hostile, &error);
    g_assert_no_error(error);
    g_assert_true(tt_picture_check(document->str, document->len, &error));

    g_autoptr(Page) page = page_read(document->str, document->len);
    const char *expected = "</text><script>alert(\"1\" & '2')]]>\xef\xbf\xbd\\x02";
    const Element *group = page_find(page, "data-name", expected);
    g_assert_nonnull(group);
    for (guint i = 0; i < page->elements->len; i++) {
        const Element *element = g_ptr_array_index(page->elements, i);
        g_assert_cmpstr(element->name, !=, "script");
        if (g_str_equal(element->name, "text"))
            g_assert_cmpstr(element->text->str, ==, expected);
        if (g_str_equal(element->name, "title") && element->parent == group)
            g_assert_cmpstr(element->text->str, ==, "<b>&\nsecond line");
    }
    g_string_free(document, TRUE);
}

static void fault_J11_size_is_limited(void) {
    g_autoptr(TtCanvas) canvas = tt_canvas_new();
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i <= TT_CANVAS_ELEMENTS_MAX; i++)
        tt_canvas_rect(canvas, "card", 0, 0, 1, 1);
    g_assert_null(tt_canvas_finish(canvas, 10, 10, "", "", &error));
    g_assert_error(error, TT_PICTURE_ERROR, TT_PICTURE_ERROR_SIZE);
    g_clear_error(&error);

    g_autoptr(TtCanvas) wide = tt_canvas_new();
    g_autofree char *path = g_strnfill(TT_CANVAS_BYTES_MAX, '0');
    tt_canvas_open_path(wide, "live-line", path);
    tt_canvas_close(wide);
    g_assert_null(tt_canvas_finish(wide, 10, 10, "", "", &error));
    g_assert_error(error, TT_PICTURE_ERROR, TT_PICTURE_ERROR_SIZE);
}

#define SVG "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\">"

static void broken_pictures_are_refused(void) {
    static const char blank[] = SVG "<rect width=\"9\" height=\"9\"/></svg>";
    static const char unclosed[] = SVG "<g></svg>";
    static const char control[] = SVG "\x01</svg>";
    static const char empty[] = SVG "</svg>";
    static const char *const broken[] = {"", "<svg", "<html/>", unclosed, empty, blank, control};

    for (gsize i = 0; i < G_N_ELEMENTS(broken); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(tt_picture_check(broken[i], strlen(broken[i]), &error));
        g_assert_error(error, TT_PICTURE_ERROR, TT_PICTURE_ERROR_BROKEN);
    }
}

/* What the chooser keeps in little memory is what sorting everything would find. */
typedef struct Offer {
    guint32 group;
    double score;
    guint64 id;
    guint rank;
} Offer;

static gint compare_scores(gconstpointer a, gconstpointer b) {
    const Offer *left = a, *right = b;

    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return left->id < right->id ? -1 : 1;
}

static gint compare_ranks(gconstpointer a, gconstpointer b) {
    const Offer *left = a, *right = b;

    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    return compare_scores(a, b);
}

static void expect_choice(GRand *random, guint group_count, guint offer_count, guint row_max) {
    g_autoptr(TtChooser) chooser = tt_chooser_new(row_max);
    g_autoptr(GArray) offers = g_array_new(FALSE, FALSE, sizeof(Offer));
    g_autofree guint *seen = g_new0(guint, group_count);

    for (guint i = 0; i < offer_count; i++) {
        Offer offer = {(guint32)g_rand_int_range(random, 0, (gint)group_count),
                       g_rand_int_range(random, 0, 50), i + 1, 0};
        TtBlockRow row = {.id = offer.id, .born_ns = offer.id};
        tt_chooser_offer(chooser, offer.group, offer.score, &row);
        g_array_append_val(offers, offer);
    }
    g_array_sort(offers, compare_scores);
    for (guint i = 0; i < offers->len; i++) {
        Offer *offer = &g_array_index(offers, Offer, i);
        offer->rank = seen[offer->group]++;
    }
    g_array_sort(offers, compare_ranks);
    guint expected = 0;
    while (expected < offers->len && expected < row_max &&
           g_array_index(offers, Offer, expected).rank < TT_CHOOSER_GROUP_ROWS)
        expected++;

    g_autoptr(GArray) rows = tt_chooser_take(chooser, row_max);
    g_assert_cmpuint(rows->len, ==, expected);
    for (guint i = 0; i < rows->len; i++) {
        guint64 id = g_array_index(rows, TtBlockRow, i).id;
        gboolean is_expected = FALSE;
        for (guint j = 0; j < expected; j++)
            is_expected |= g_array_index(offers, Offer, j).id == id;
        g_assert_true(is_expected);
        if (i > 0)
            g_assert_cmpuint(id, >, g_array_index(rows, TtBlockRow, i - 1).id);
    }
}

static void choosing_equals_sorting(void) {
    guint32 seed = (guint32)g_test_rand_int(); /* --seed= takes it back */
    GRand *random = g_rand_new_with_seed(seed);

    g_test_message("seed %u", seed);
    for (guint i = 0; i < 400; i++)
        expect_choice(random, (guint)g_rand_int_range(random, 1, 60),
                      (guint)g_rand_int_range(random, 0, 500),
                      (guint)g_rand_int_range(random, 1, 40));
    g_rand_free(random);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/svg-canvas/fault_J03_what_xml_has_not_is_spelled",
                    fault_J03_what_xml_has_not_is_spelled);
    g_test_add_func("/svg-canvas/fault_J04_marks_are_bounded", fault_J04_marks_are_bounded);
    g_test_add_func("/svg-canvas/widths_cover_the_font", widths_cover_the_font);
    g_test_add_func("/svg-canvas/cutting_keeps_the_width", cutting_keeps_the_width);
    g_test_add_func("/svg-canvas/numbers_are_spelled_for_people", numbers_are_spelled_for_people);
    g_test_add_func("/svg-canvas/ticks_are_even", ticks_are_even);
    g_test_add_func("/svg-canvas/fault_J01_coordinates_are_plain", fault_J01_coordinates_are_plain);
    g_test_add_func("/svg-canvas/fault_J03_markup_is_escaped", fault_J03_markup_is_escaped);
    g_test_add_func("/svg-canvas/fault_J11_size_is_limited", fault_J11_size_is_limited);
    g_test_add_func("/svg-canvas/broken_pictures_are_refused", broken_pictures_are_refused);
    g_test_add_func("/svg-canvas/choosing_equals_sorting", choosing_equals_sorting);
    return g_test_run();
}
