/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pictures of every session in every view: safe to open, tidy to look at, and telling. */
#include <cairo.h>
#include <gio/gio.h>
#include <librsvg/rsvg.h>
#include <locale.h>
#include <string.h>

#include "svg-page.h"
#include "svg-sessions.h"

#include "report/svg/callers.h"
#include "report/svg/canvas.h"
#include "report/svg/measure.h"

/* What a picture may consist of; nothing that runs, loads or links. */
static const char *const known_elements[] = {"svg",  "title", "desc", "style",  "g",     "rect",
                                             "line", "path",  "text", "circle", "tspan", NULL};
static const char *const number_attributes[] = {"x",  "y",  "width", "height", "rx", "x1", "x2",
                                                "y1", "y2", "cx",    "cy",     "r",  "dx", NULL};

static void inspect_safety(Sample *sample G_GNUC_UNUSED, const char *view G_GNUC_UNUSED,
                           const char *document, gsize len) {
    g_autoptr(Page) page = page_read(document, len);

    g_assert_cmpuint(len, <=, 8u << 20);
    g_assert_cmpuint(page->elements->len, <=, 100000);
    g_assert_null(strstr(document, "http://www.w3.org/1999"));
    g_assert_null(strstr(document, "url("));
    g_assert_null(strstr(document, "@import"));
    g_assert_true(g_utf8_validate(document, (gssize)len, NULL));
    for (guint i = 0; i < page->elements->len; i++) {
        const Element *element = g_ptr_array_index(page->elements, i);
        GHashTableIter iter;
        gpointer key, value;

        g_assert_true(g_strv_contains(known_elements, element->name));
        g_assert_cmpuint(element->depth, <, 200);
        g_hash_table_iter_init(&iter, element->attributes);
        while (g_hash_table_iter_next(&iter, &key, &value)) {
            g_assert_false(g_str_has_prefix(key, "on"));
            g_assert_false(g_str_has_suffix(key, "href"));
            if (g_strv_contains(number_attributes, key))
                element_get_number(element, key);
            if (g_str_equal(key, "d"))
                g_assert_cmpuint(strspn(value, "MmHhVvLlAaZz0123456789. -"), ==, strlen(value));
        }
    }
    const Element *root = g_ptr_array_index(page->elements, 0);
    g_assert_cmpstr(element_get(root, "role"), ==, "img");
    g_assert_nonnull(page_find(page, "id", "tt-title"));
    g_assert_nonnull(page_find(page, "id", "tt-desc"));
}

static void fault_J03_pictures_are_inert(void) {
    svg_session_inspect_all(inspect_safety);
    svg_session_inspect_extremes(inspect_safety);
}

static void inspect_with_xmllint(Sample *sample G_GNUC_UNUSED, const char *view G_GNUC_UNUSED,
                                 const char *document, gsize len) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) xmllint =
        g_subprocess_new(G_SUBPROCESS_FLAGS_STDIN_PIPE, &error, "xmllint", "--noout", "-", NULL);
    g_assert_no_error(error);
    g_autoptr(GBytes) input = g_bytes_new_static(document, len);

    g_assert_true(g_subprocess_communicate(xmllint, input, NULL, NULL, NULL, &error));
    g_assert_cmpint(g_subprocess_get_exit_status(xmllint), ==, 0);
}

static void fault_J03_another_parser_reads_them(void) {
    g_autofree char *path = g_find_program_in_path("xmllint");

    if (!path) {
        g_test_skip("xmllint is not installed");
        return;
    }
    svg_session_inspect_all(inspect_with_xmllint);
}

/* Texts must not touch each other, nor bars, nor leave their card or the page. */
static gboolean is_bar(const Element *element) {
    static const char *const classes[] = {"track", "variable", "site",   "rest",
                                          "freed", "alive",    "leaked", NULL};

    if (!g_str_equal(element->name, "rect"))
        return FALSE;
    for (gsize i = 0; classes[i]; i++)
        if (element_has_class(element, classes[i]))
            return TRUE;
    return FALSE;
}

typedef struct Placed {
    const Element *element;
    Box box;
} Placed;

static void expect_apart(const Page *page, const Placed *text, const Placed *other) {
    if (!box_overlaps(&text->box, &other->box))
        return;
    g_autofree char *one = page_get_text(page, text->element);
    g_autofree char *two = page_get_text(page, other->element);
    g_error("\"%s\" (%.1f %.1f %.1f %.1f) meets \"%s\" %s (%.1f %.1f %.1f %.1f)", one,
            text->box.left, text->box.top, text->box.right, text->box.bottom, two,
            other->element->name, other->box.left, other->box.top, other->box.right,
            other->box.bottom);
}

static void expect_inside(const Page *page, const GArray *cards, const Placed *text) {
    Box bounds = {0, 0, page->width, page->height};
    double x = (text->box.left + text->box.right) / 2;
    double y = (text->box.top + text->box.bottom) / 2;

    for (guint i = 0; i < cards->len; i++) {
        const Box *card = &g_array_index(cards, Placed, i).box;
        if (x >= card->left && x < card->right && y >= card->top && y < card->bottom)
            bounds = *card;
    }
    g_autofree char *words = page_get_text(page, text->element);
    if (text->box.left < bounds.left + 4 || text->box.right > bounds.right - 4 ||
        text->box.top < bounds.top || text->box.bottom > bounds.bottom)
        g_error("\"%s\" (%.1f %.1f %.1f %.1f) leaves its card", words, text->box.left,
                text->box.top, text->box.right, text->box.bottom);
}

static void inspect_layout(Sample *sample G_GNUC_UNUSED, const char *view G_GNUC_UNUSED,
                           const char *document, gsize len) {
    g_autoptr(Page) page = page_read(document, len);
    g_autoptr(GArray) texts = g_array_new(FALSE, FALSE, sizeof(Placed));
    g_autoptr(GArray) bars = g_array_new(FALSE, FALSE, sizeof(Placed));
    g_autoptr(GArray) cards = g_array_new(FALSE, FALSE, sizeof(Placed));

    for (guint i = 0; i < page->elements->len; i++) {
        Placed placed = {.element = g_ptr_array_index(page->elements, i)};
        if (g_str_equal(placed.element->name, "text")) {
            placed.box = page_get_text_box(page, placed.element);
            g_array_append_val(texts, placed);
        } else if (is_bar(placed.element)) {
            placed.box = element_get_box(placed.element);
            g_array_append_val(bars, placed);
        } else if (element_has_class(placed.element, "card") ||
                   element_has_class(placed.element, "pill")) {
            placed.box = element_get_box(placed.element);
            g_array_append_val(cards, placed);
        }
    }
    g_assert_cmpuint(texts->len, >, 3);
    for (guint i = 0; i < texts->len; i++) {
        const Placed *text = &g_array_index(texts, Placed, i);
        expect_inside(page, cards, text);
        for (guint j = 0; j < i; j++)
            expect_apart(page, text, &g_array_index(texts, Placed, j));
        for (guint j = 0; j < bars->len; j++)
            expect_apart(page, text, &g_array_index(bars, Placed, j));
    }
}

static void fault_J04_texts_keep_apart(void) {
    svg_session_inspect_all(inspect_layout);
    svg_session_inspect_extremes(inspect_layout);
}

/* Draws it in full, as rsvg-convert does, and counts its colours. */
static void inspect_rendering(Sample *sample G_GNUC_UNUSED, const char *view G_GNUC_UNUSED,
                              const char *document, gsize len) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Page) page = page_read(document, len);
    RsvgHandle *handle = rsvg_handle_new_from_data((const guint8 *)document, len, &error);
    g_assert_no_error(error);
    gint width = (gint)page->width, height = (gint)MIN(page->height, 2000);
    RsvgRectangle viewport = {0, 0, page->width, page->height};
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *cairo = cairo_create(surface);
    g_autoptr(GHashTable) colours = g_hash_table_new(NULL, NULL);

    g_assert_true(rsvg_handle_render_document(handle, cairo, &viewport, &error));
    cairo_surface_flush(surface);
    const guint8 *pixels = cairo_image_surface_get_data(surface);
    for (gint y = 0; y < height; y++) {
        const guint32 *row =
            (const guint32 *)(gconstpointer)(pixels + y * cairo_image_surface_get_stride(surface));
        for (gint x = 0; x < width; x++)
            g_hash_table_add(colours, GUINT_TO_POINTER(row[x] & 0xffffff));
    }
    g_assert_cmpuint(g_hash_table_size(colours), >, 8);
    g_assert_true(g_hash_table_contains(colours, GUINT_TO_POINTER(0xffffff))); /* cards */
    cairo_destroy(cairo);
    cairo_surface_destroy(surface);
    g_object_unref(handle);
}

static void fault_J01_pictures_render(void) { svg_session_inspect_all(inspect_rendering); }

/* Names are what people look for: they come first, with their types. */
static void declared_variables_are_shown(void) {
    static const char *const expected[] = {"numbers: int[256]", "text: char *",
                                           "cache: struct Cache *"};
    Sample *sample = svg_session_new("server");
    gsize len;
    g_autofree char *picture = svg_session_draw(sample, "lifecycles", 0, &len);
    g_autoptr(Page) page = page_read(picture, len);
    guint found = 0;

    for (guint i = 0; i < page->elements->len; i++) {
        const Element *element = g_ptr_array_index(page->elements, i);
        if (!g_str_equal(element->name, "text") || !element->parent ||
            !element_get(element->parent, "data-id"))
            continue;
        g_autofree char *words = page_get_text(page, element);
        if (found < G_N_ELEMENTS(expected) && g_str_has_prefix(words, expected[found]))
            found++;
        else if (!element_has_class(element, "number") && !element_has_class(element, "note"))
            g_assert_cmpuint(found, ==, G_N_ELEMENTS(expected)); /* nothing else before them */
    }
    g_assert_cmpuint(found, ==, G_N_ELEMENTS(expected));
    sample_free(sample);
}

/* Not thirty rows of one site. */
static void lifecycles_come_from_many_sites(void) {
    Sample *sample = svg_session_new("server");
    gsize len;
    g_autofree char *picture = svg_session_draw(sample, "lifecycles", 0, &len);
    g_autoptr(Page) page = page_read(picture, len);
    g_autoptr(GHashTable) stacks = g_hash_table_new(NULL, NULL);
    guint count = 0;

    for (guint i = 0; i < page->elements->len; i++) {
        const Element *row = g_ptr_array_index(page->elements, i);
        if (!element_get(row, "data-id"))
            continue;
        count++;
        g_hash_table_add(stacks, GSIZE_TO_POINTER(element_get_count(row, "data-stack")));
    }
    g_assert_cmpuint(count, ==, 30);
    g_assert_cmpuint(g_hash_table_size(stacks), >=, 27); /* each its own, but for three names' */
    sample_free(sample);
}

/* All freed: the peak is shown, and it is said. */
static void nothing_alive_shows_the_peak(void) {
    Sample *sample = svg_session_new("burst");
    gsize len;
    g_autofree char *picture = svg_session_draw(sample, "top", 0, &len);
    g_autoptr(Page) page = page_read(picture, len);

    g_assert_null(page_find(page, "data-ranking", "live"));
    g_assert_nonnull(page_find(page, "data-ranking", "peak"));
    g_assert_nonnull(strstr(picture, "nothing is alive now"));
    sample_free(sample);
}

static void expect_estimate(Sample *sample, const char *view, const char *document, gsize len) {
    g_autoptr(Page) page = page_read(document, len);
    gboolean is_sampled = sample->snapshot->sample.mean_bytes > 0;

    g_assert_cmpint(page_find(page, "data-sample-bytes", "16384") != NULL, ==, is_sampled);
    g_assert_cmpint(strstr(document, "Estimates from a sample of one in 16.0 KiB: live bytes ±") !=
                        NULL,
                    ==, is_sampled);
    if (g_str_equal(view, "overview"))
        g_assert_cmpint(strstr(document, ">Estimates</text>") != NULL, ==, is_sampled);
}

static void estimates_say_what_they_are(void) {
    svg_session_inspect("sampled", 0, expect_estimate);
    svg_session_inspect("server", 0, expect_estimate);
}

/* A comma for a point, another time zone: the same picture. */
static void fault_J13_locale_does_not_matter(void) {
    g_autofree char *folder = g_dir_make_tmp("locales-XXXXXX", NULL);
    g_autofree char *target = g_build_filename(folder, "de_DE.UTF-8", NULL);
    const char *localedef[] = {"localedef", "-i", "de_DE", "-f", "UTF-8", target, NULL};
    g_autofree char *path = g_find_program_in_path("localedef");
    Sample *sample = svg_session_new("server");
    g_autofree char *before = svg_session_draw(sample, "overview", 0, NULL);

    if (path)
        g_spawn_sync(NULL, (char **)localedef, NULL,
                     G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, NULL, NULL,
                     NULL);
    g_setenv("LOCPATH", folder, TRUE);
    g_setenv("TZ", "Asia/Kathmandu", TRUE);
    if (setlocale(LC_ALL, "de_DE.UTF-8")) {
        g_autofree char *number = g_strdup_printf("%.1f", 0.5);
        g_assert_cmpstr(number, ==, "0,5");
    } else
        g_test_message("no comma locale can be made; the time zone is tested alone");
    g_autofree char *after = svg_session_draw(sample, "overview", 0, NULL);
    g_assert_cmpstr(before, ==, after);
    setlocale(LC_ALL, "C");
    g_unsetenv("TZ");
    g_unsetenv("LOCPATH");
    sample_free(sample);

    const char *remove[] = {"rm", "-r", folder, NULL};
    g_spawn_sync(NULL, (char **)remove, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL,
                 NULL);
}

/* Sites of one name are told apart by the first caller that they do not share, or else by what they
 * called. */
static void equal_names_are_told_apart(void) {
    enum {
        ALLOC = 0x400101,
        PARSE = 0x400201,
        LOAD = 0x400301,
        RUN = 0x400401,
        MAIN = 0x400501,
        READ = 0x7f0000000701,
        OPEN = 0x7f0000000801,
        BARE = 0x400601,
        WRAPPER = 0x500901,
        PAGE = 0x500a01,
        OTHER_PAGE = 0x500b01,
        STEP = 0x500c01,
        ALSO_STEP = 0x500c11
    };
    static const struct {
        guint64 ips[6];
        const char *expected; /* NULL: its name is its own */
    } sites[] = {
        {{ALLOC, PARSE, RUN, MAIN, 0}, "from parse"},
        {{ALLOC, LOAD, RUN, MAIN, 0}, "from run"},
        {{ALLOC, LOAD, BARE, MAIN, 0}, "from +0x601"},
        {{READ, MAIN, 0}, "through readdir"},
        {{OPEN, MAIN, 0}, "through opendir"},
        {{PARSE, MAIN, 0}, NULL},
        {{WRAPPER, PAGE, STEP, MAIN, 0}, "at +0xc01"},
        {{WRAPPER, OTHER_PAGE, STEP, MAIN, 0}, "through +0xb01"},
        {{WRAPPER, PAGE, ALSO_STEP, MAIN, 0}, "at +0xc11"},
    };
    Sample *sample = sample_new("empty");
    TtSnapshot *snapshot = sample->snapshot;
    guint32 stacks[2 * G_N_ELEMENTS(sites)];

    sample->symbols = synthetic_symbols_new();
    synthetic_add_module(snapshot, "/bin/prog", 0x400000);
    synthetic_add_module(snapshot, "/lib/libc.so.6", 0x7f0000000000);
    synthetic_add_module(snapshot, "/lib/libdb.so.1", 0x500000);
    synthetic_add_name(sample->symbols, 0xc00, "db_step", NULL, 0, FALSE);
    synthetic_add_name(sample->symbols, 0xc10, "db_step", NULL, 0, FALSE);
    synthetic_add_name(sample->symbols, 0x100, "my_alloc", "alloc.c", 3, FALSE);
    synthetic_add_name(sample->symbols, 0x200, "parse(int)", "parse.c", 8, FALSE);
    synthetic_add_name(sample->symbols, 0x300, "load", "load.c", 1, FALSE);
    synthetic_add_name(sample->symbols, 0x400, "run", "main.c", 5, FALSE);
    synthetic_add_name(sample->symbols, 0x500, "main", "main.c", 9, FALSE);
    synthetic_add_name(sample->symbols, 0x700, "readdir", "dirent.c", 1, FALSE);
    synthetic_add_name(sample->symbols, 0x800, "opendir", "dirent.c", 2, FALSE);
    TtFrameNames *names = tt_frame_names_new(snapshot, sample->symbols);
    for (guint32 i = 0; i < G_N_ELEMENTS(sites); i++) {
        synthetic_add_stack(snapshot, 10 + i, sites[i].ips);
        tt_frame_names_add_stack(names, 10 + i);
        stacks[2 * i] = stacks[2 * i + 1] = 10 + i;
    }
    tt_frame_names_resolve(names);
    TtCallers *callers = tt_callers_new(snapshot, names, stacks, G_N_ELEMENTS(stacks));
    for (guint32 i = 0; i < G_N_ELEMENTS(sites); i++) {
        const char *found = tt_callers_find(callers, 10 + i);
        g_assert_cmpstr(found, ==, sites[i].expected);
    }
    g_autofree char *described = tt_callers_describe(callers, 10);
    g_assert_cmpstr(described, ==,
                    "my_alloc (alloc.c:3)\nparse (parse.c:8)\nrun (main.c:5)\n"
                    "main (main.c:9)");
    tt_callers_free(callers);
    tt_frame_names_free(names);
    sample_free(sample);
}

static void views_are_known(void) {
    for (gsize i = 0; svg_view_names[i]; i++)
        g_assert_true(tt_report_has_view(svg_view_names[i]));
    g_assert_false(tt_report_has_view("flame"));
    g_assert_false(tt_report_has_view(""));
    g_assert_false(tt_report_has_view("overview "));
}

/* A session that runs goes on to the present; a recording's does not. */
static void running_sessions_last_until_now(void) {
    Sample *sample = svg_session_new("running");
    guint64 start = sample->snapshot->info.timescale.start_realtime_ns;
    gsize len;

    sample->options.now_realtime_ns = start + 60000000000u;
    g_autofree char *live = svg_session_draw(sample, "lifecycles", 0, &len);
    g_autoptr(Page) live_page = page_read(live, len);
    g_assert_nonnull(page_find(live_page, "data-ns", "60000000000"));
    sample->options.now_realtime_ns = 0;
    g_autofree char *recorded = svg_session_draw(sample, "lifecycles", 0, &len);
    g_autoptr(Page) recorded_page = page_read(recorded, len);
    g_assert_nonnull(page_find(recorded_page, "data-ns", "12400000000"));
    sample_free(sample);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/svg-picture/views_are_known", views_are_known);
    g_test_add_func("/svg-picture/fault_J01_pictures_render", fault_J01_pictures_render);
    g_test_add_func("/svg-picture/fault_J03_pictures_are_inert", fault_J03_pictures_are_inert);
    g_test_add_func("/svg-picture/fault_J03_another_parser_reads_them",
                    fault_J03_another_parser_reads_them);
    g_test_add_func("/svg-picture/fault_J04_texts_keep_apart", fault_J04_texts_keep_apart);
    g_test_add_func("/svg-picture/fault_J13_locale_does_not_matter",
                    fault_J13_locale_does_not_matter);
    g_test_add_func("/svg-picture/declared_variables_are_shown", declared_variables_are_shown);
    g_test_add_func("/svg-picture/lifecycles_come_from_many_sites",
                    lifecycles_come_from_many_sites);
    g_test_add_func("/svg-picture/nothing_alive_shows_the_peak", nothing_alive_shows_the_peak);
    g_test_add_func("/svg-picture/estimates_say_what_they_are", estimates_say_what_they_are);
    g_test_add_func("/svg-picture/equal_names_are_told_apart", equal_names_are_told_apart);
    g_test_add_func("/svg-picture/running_sessions_last_until_now",
                    running_sessions_last_until_now);
    return g_test_run();
}
