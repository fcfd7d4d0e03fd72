/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pictures of every session in every view: safe to open, tidy to look at, and with the figures
 * of the session, which are counted here anew from its blocks and compared with JSON's. */
#include <cairo.h>
#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <librsvg/rsvg.h>
#include <locale.h>
#include <string.h>

#include "svg-page.h"
#include "svg-sessions.h"

#include "report/svg/canvas.h"
#include "report/svg/measure.h"

static const char *const view_names[] = {"overview", "top", "lifecycles", NULL};

typedef void (*Inspect)(Sample *sample, const char *view, const char *document, gsize len);

static void inspect_session(const char *name, Inspect inspect, guint top) {
    Sample *sample = svg_session_new(name);

    for (gsize i = 0; view_names[i]; i++) {
        gsize len;
        g_autofree char *document = svg_session_draw(sample, view_names[i], top, &len);

        g_test_message("%s as %s: %" G_GSIZE_FORMAT " bytes", name, view_names[i], len);
        inspect(sample, view_names[i], document, len);
    }
    sample_free(sample);
}

static void inspect_all(Inspect inspect) {
    for (gsize i = 0; svg_session_names[i]; i++)
        inspect_session(svg_session_names[i], inspect, 0);
    for (gsize i = 0; sample_names[i]; i++)
        inspect_session(sample_names[i], inspect, 0);
}

/* As few rows as can be asked for, and more than there are. */
static void inspect_extremes(Inspect inspect) {
    inspect_session("server", inspect, 1);
    inspect_session("server", inspect, G_MAXUINT);
    inspect_session("hostile", inspect, 1);
    inspect_session("hostile", inspect, G_MAXUINT);
}

/* What a picture may consist of; nothing that runs, loads or links. */
static const char *const known_elements[] = {"svg",  "title", "desc", "style",  "g", "rect",
                                             "line", "path",  "text", "circle", "tspan", NULL};
static const char *const number_attributes[] = {"x", "y", "width", "height", "rx", "x1", "x2", "y1",
                                                "y2", "cx", "cy", "r", "dx", NULL};

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
    inspect_all(inspect_safety);
    inspect_extremes(inspect_safety);
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
    inspect_all(inspect_with_xmllint);
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
    inspect_all(inspect_layout);
    inspect_extremes(inspect_layout);
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

static void fault_J01_pictures_render(void) {
    inspect_all(inspect_rendering);
}

/* Who owns what, counted block by block. */
typedef struct Amount {
    guint64 bytes, blocks;
} Amount;

static gboolean is_there(const TtBlockRow *row, gboolean is_peak, guint64 peak_ns) {
    if (!is_peak)
        return row->died_ns == TT_TIME_NONE;
    return row->born_ns <= peak_ns && row->died_ns > peak_ns;
}

static Amount count_blocks(const TtSnapshot *snapshot, gboolean is_peak, guint32 variable,
                           guint32 stack) {
    const GArray *parts[] = {snapshot->live, snapshot->freed};
    Amount amount = {0};

    for (gsize p = 0; p < G_N_ELEMENTS(parts); p++) {
        for (guint i = 0; i < parts[p]->len; i++) {
            const TtBlockRow *row = &g_array_index(parts[p], TtBlockRow, i);
            gboolean is_owned = variable != TT_NONE
                                    ? row->variable == variable
                                    : row->stack == stack && row->variable == TT_NONE;
            if (is_owned && is_there(row, is_peak, snapshot->totals.peak_ns)) {
                amount.bytes += row->size;
                amount.blocks++;
            }
        }
    }
    return amount;
}

static guint32 find_variable(const TtSnapshot *snapshot, const char *shown_name, guint64 bytes,
                             gboolean is_peak) {
    for (guint i = 0; i < snapshot->variables->len; i++) {
        g_autofree char *shown =
            tt_measure_show(g_array_index(snapshot->variables, TtVariableRow, i).name,
                            TT_CANVAS_NAME_CHARACTERS);
        if (g_str_equal(shown, shown_name) &&
            count_blocks(snapshot, is_peak, i, 0).bytes == bytes)
            return i;
    }
    return TT_NONE;
}

static void inspect_ranking(const TtSnapshot *snapshot, const Page *page, const Element *ranking) {
    gboolean is_peak = g_str_equal(element_get(ranking, "data-ranking"), "peak");
    guint64 bytes = 0, blocks = 0, before = G_MAXUINT64;

    for (guint i = 0; i < page->elements->len; i++) {
        const Element *row = g_ptr_array_index(page->elements, i);
        const char *kind = element_get(row, "data-kind");
        if (!kind || !element_is_in(row, ranking))
            continue;
        guint64 row_bytes = element_get_count(row, "data-bytes");
        guint64 row_blocks = element_get_count(row, "data-blocks");
        Amount expected = {row_bytes, row_blocks};

        bytes += row_bytes;
        blocks += row_blocks;
        if (g_str_equal(kind, "rest"))
            continue;
        g_assert_cmpuint(row_bytes, <=, before);
        before = row_bytes;
        if (g_str_equal(kind, "variable")) {
            guint32 variable = find_variable(snapshot, element_get(row, "data-name"), row_bytes,
                                             is_peak);
            g_assert_cmpuint(variable, !=, TT_NONE);
            expected = count_blocks(snapshot, is_peak, variable, 0);
        } else if (element_get(row, "data-stack"))
            expected = count_blocks(snapshot, is_peak, TT_NONE,
                                    (guint32)element_get_count(row, "data-stack"));
        g_assert_cmpuint(row_bytes, ==, expected.bytes);
        g_assert_cmpuint(row_blocks, ==, expected.blocks);
    }
    g_assert_cmpuint(bytes, ==, element_get_count(ranking, "data-total-bytes"));
    g_assert_cmpuint(blocks, ==, element_get_count(ranking, "data-total-blocks"));
    g_assert_cmpuint(bytes, ==,
                     is_peak ? snapshot->totals.peak_bytes : snapshot->totals.live_bytes);
}

static const TtBlockRow *find_block(const TtSnapshot *snapshot, guint64 id) {
    const GArray *parts[] = {snapshot->live, snapshot->freed};

    for (gsize p = 0; p < G_N_ELEMENTS(parts); p++)
        for (guint i = 0; i < parts[p]->len; i++)
            if (g_array_index(parts[p], TtBlockRow, i).id == id)
                return &g_array_index(parts[p], TtBlockRow, i);
    return NULL;
}

/* Returns how many blocks the card shows or counts as not shown. */
static guint64 inspect_lifecycles(const TtSnapshot *snapshot, const Page *page,
                                  const Element *card) {
    guint64 count = 0;

    for (guint i = 0; i < page->elements->len; i++) {
        const Element *row = g_ptr_array_index(page->elements, i);
        if (!element_is_in(row, card))
            continue;
        if (g_strcmp0(element_get(row, "data-kind"), "rest") == 0)
            count += element_get_count(row, "data-count");
        if (!element_get(row, "data-id"))
            continue;
        const TtBlockRow *block = find_block(snapshot, element_get_count(row, "data-id"));
        g_assert_nonnull(block);
        count++;
        g_assert_cmpuint(element_get_count(row, "data-bytes"), ==, block->size);
        g_assert_cmpuint(element_get_count(row, "data-born-ns"), ==, block->born_ns);
        if (block->died_ns != TT_TIME_NONE)
            g_assert_cmpuint(element_get_count(row, "data-died-ns"), ==, block->died_ns);
        g_assert_cmpint(block->died_ns == TT_TIME_NONE, ==, !element_get(row, "data-died-ns"));
        if (block->stack != TT_STACK_NONE)
            g_assert_cmpuint(element_get_count(row, "data-stack"), ==, block->stack);
        else
            g_assert_null(element_get(row, "data-stack"));
    }
    return count;
}

static void inspect_figures(Sample *sample, const char *view, const char *document, gsize len) {
    const TtSnapshot *snapshot = sample->snapshot;
    g_autoptr(Page) page = page_read(document, len);

    for (guint i = 0; i < page->elements->len; i++) {
        const Element *element = g_ptr_array_index(page->elements, i);
        if (element_get(element, "data-ranking"))
            inspect_ranking(snapshot, page, element);
    }
    const Element *card = page_find(page, "data-card", "lifecycles");
    if (card)
        g_assert_cmpuint(inspect_lifecycles(snapshot, page, card), ==,
                         snapshot->live->len + snapshot->freed->len);
    else
        g_assert_true(g_str_equal(view, "top") || snapshot->live->len + snapshot->freed->len == 0);
    for (guint i = 0; i < snapshot->marks->len && !g_str_equal(view, "top"); i++) {
        const TtMarkRow *mark = &g_array_index(snapshot->marks, TtMarkRow, i);
        g_autofree char *name = tt_measure_show(mark->name, TT_CANVAS_NAME_CHARACTERS);
        const Element *drawn = page_find(page, "data-mark", name);
        g_assert_nonnull(drawn);
        g_assert_cmpuint(element_get_count(drawn, "data-ns"), ==, mark->t_ns);
        g_assert_cmpuint(element_get_count(drawn, "data-bytes"), ==, mark->live_bytes);
        g_assert_cmpuint(element_get_count(drawn, "data-blocks"), ==, mark->live_blocks);
    }
}

static void figures_equal_the_session(void) {
    /* Those whose books balance. */
    for (gsize i = 0; svg_session_names[i]; i++)
        inspect_session(svg_session_names[i], inspect_figures, 0);
    inspect_session("empty", inspect_figures, 0);
    inspect_session("one", inspect_figures, 0);
    inspect_extremes(inspect_figures);
}

static guint64 get_json_count(JsonObject *document, const char *key) {
    return (guint64)json_object_get_int_member(document, key);
}

static void expect_figure(const Page *page, const char *name, const char *attribute,
                          guint64 expected) {
    const Element *figure = page_find(page, "data-figure", name);

    g_assert_nonnull(figure);
    g_assert_cmpuint(element_get_count(figure, attribute), ==, expected);
}

static void fault_J10_figures_equal_json(void) {
    static const char *const names[] = {"server", "leaks", "burst", "one", "rich", "huge", NULL};

    for (gsize i = 0; names[i]; i++) {
        Sample *sample = svg_session_new(names[i]);
        gsize len;
        g_autofree char *json =
            synthetic_json(sample->snapshot, sample->symbols, &sample->options, &len);
        g_autoptr(JsonParser) parser = json_parser_new();
        g_autoptr(GError) error = NULL;
        g_assert_true(json_parser_load_from_data(parser, json, (gssize)len, &error));
        JsonObject *document = json_node_get_object(json_parser_get_root(parser));

        g_autofree char *picture = svg_session_draw(sample, "overview", 0, &len);
        g_autoptr(Page) page = page_read(picture, len);
        if (!g_str_equal(names[i], "huge")) /* json-glib reads no number beyond 2^63 */
            expect_figure(page, "live", "data-bytes", get_json_count(document, "total_allocated"));
        else
            expect_figure(page, "live", "data-bytes", (guint64)1 << 63);
        expect_figure(page, "live", "data-blocks", get_json_count(document, "total_allocations"));
        expect_figure(page, "peak", "data-bytes", get_json_count(document, "peak_bytes"));
        expect_figure(page, "peak", "data-blocks", get_json_count(document, "peak_blocks"));
        expect_figure(page, "peak", "data-ns", get_json_count(document, "peak_ns"));
        expect_figure(page, "allocated", "data-blocks",
                      get_json_count(document, "cumulative_allocations"));
        sample_free(sample);
    }
}

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
    g_assert_cmpuint(g_hash_table_size(stacks), >=, 28);
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
    g_assert_nonnull(strstr(picture, "nothing is alive any more"));
    sample_free(sample);
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
        g_spawn_sync(NULL, (char **)localedef, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                     NULL, NULL, NULL, NULL, NULL, NULL);
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

static void views_are_known(void) {
    for (gsize i = 0; view_names[i]; i++)
        g_assert_true(tt_report_has_view(view_names[i]));
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
    g_test_add_func("/svg-picture/figures_equal_the_session", figures_equal_the_session);
    g_test_add_func("/svg-picture/fault_J10_figures_equal_json", fault_J10_figures_equal_json);
    g_test_add_func("/svg-picture/fault_J13_locale_does_not_matter",
                    fault_J13_locale_does_not_matter);
    g_test_add_func("/svg-picture/declared_variables_are_shown", declared_variables_are_shown);
    g_test_add_func("/svg-picture/lifecycles_come_from_many_sites",
                    lifecycles_come_from_many_sites);
    g_test_add_func("/svg-picture/nothing_alive_shows_the_peak", nothing_alive_shows_the_peak);
    g_test_add_func("/svg-picture/running_sessions_last_until_now",
                    running_sessions_last_until_now);
    return g_test_run();
}
