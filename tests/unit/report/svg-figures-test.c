/* SPDX-License-Identifier: Apache-2.0 */
/* What pictures say is what the session has: every figure is counted anew from the session's
 * blocks, and the totals are compared with those of its JSON document. */
#include <json-glib/json-glib.h>

#include "report/svg/canvas.h"
#include "report/svg/measure.h"
#include "svg-page.h"
#include "svg-sessions.h"

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
                amount.bytes += row->weight.bytes;
                amount.blocks += row->weight.blocks;
            }
        }
    }
    return amount;
}

static guint32 find_variable(const TtSnapshot *snapshot, const char *shown_name, guint64 bytes,
                             gboolean is_peak) {
    for (guint i = 0; i < snapshot->variables->len; i++) {
        g_autofree char *shown = tt_measure_show(
            g_array_index(snapshot->variables, TtVariableRow, i).name, TT_CANVAS_NAME_CHARACTERS);
        if (g_str_equal(shown, shown_name) && count_blocks(snapshot, is_peak, i, 0).bytes == bytes)
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
            guint32 variable =
                find_variable(snapshot, element_get(row, "data-name"), row_bytes, is_peak);
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
                         snapshot->live->len + snapshot->freed->len +
                             snapshot->completeness.history_dropped +
                             snapshot->completeness.shed_blocks);
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
        svg_session_inspect(svg_session_names[i], 0, inspect_figures);
    svg_session_inspect("empty", 0, inspect_figures);
    svg_session_inspect("one", 0, inspect_figures);
    svg_session_inspect_extremes(inspect_figures);
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
    static const char *const names[] = {"server", "leaks", "burst",   "one",
                                        "rich",   "huge",  "sampled", NULL};

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

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/svg-figures/figures_equal_the_session", figures_equal_the_session);
    g_test_add_func("/svg-figures/fault_J10_figures_equal_json", fault_J10_figures_equal_json);
    return g_test_run();
}
