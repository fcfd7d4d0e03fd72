/* SPDX-License-Identifier: Apache-2.0 */
#include "svg-page.h"

#include <cairo.h>
#include <math.h>
#include <string.h>

#include "report/svg/canvas.h"

static void element_free(gpointer data) {
    Element *element = data;

    g_free(element->name);
    g_hash_table_unref(element->attributes);
    g_string_free(element->text, TRUE);
    g_free(element);
}

typedef struct Parser {
    Page *page;
    Element *open;
} Parser;

static void on_start(GMarkupParseContext *context G_GNUC_UNUSED, const char *name,
                     const char **keys, const char **values, gpointer data,
                     GError **error G_GNUC_UNUSED) {
    Parser *parser = data;
    Element *element = g_new0(Element, 1);

    element->name = g_strdup(name);
    element->attributes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    element->text = g_string_new(NULL);
    element->parent = parser->open;
    element->depth = parser->open ? parser->open->depth + 1 : 1;
    for (gsize i = 0; keys[i]; i++)
        g_assert_true(g_hash_table_insert(element->attributes, g_strdup(keys[i]),
                                          g_strdup(values[i]))); /* each once */
    g_ptr_array_add(parser->page->elements, element);
    parser->open = element;
}

static void on_end(GMarkupParseContext *context G_GNUC_UNUSED, const char *name G_GNUC_UNUSED,
                   gpointer data, GError **error G_GNUC_UNUSED) {
    Parser *parser = data;

    parser->open = parser->open->parent;
}

static void on_text(GMarkupParseContext *context G_GNUC_UNUSED, const char *text, gsize len,
                    gpointer data, GError **error G_GNUC_UNUSED) {
    Parser *parser = data;

    if (parser->open)
        g_string_append_len(parser->open->text, text, (gssize)len);
}

Page *page_read(const char *document, gsize len) {
    static const GMarkupParser callbacks = {
        .start_element = on_start, .end_element = on_end, .text = on_text};
    Parser parser = {.page = g_new0(Page, 1)};
    g_autoptr(GError) error = NULL;

    parser.page->elements = g_ptr_array_new_with_free_func(element_free);
    GMarkupParseContext *context = g_markup_parse_context_new(&callbacks, 0, &parser, NULL);
    g_markup_parse_context_parse(context, document, (gssize)len, &error);
    g_assert_no_error(error);
    g_markup_parse_context_end_parse(context, &error);
    g_assert_no_error(error);
    g_markup_parse_context_free(context);

    const Element *root = g_ptr_array_index(parser.page->elements, 0);
    parser.page->width = element_get_number(root, "width");
    parser.page->height = element_get_number(root, "height");
    return parser.page;
}

void page_free(Page *page) {
    g_ptr_array_unref(page->elements);
    g_free(page);
}

const char *element_get(const Element *element, const char *attribute) {
    return g_hash_table_lookup(element->attributes, attribute);
}

gboolean element_has_class(const Element *element, const char *class_name) {
    const char *value = element_get(element, "class");
    g_auto(GStrv) names = g_strsplit(value ? value : "", " ", -1);

    return g_strv_contains((const char *const *)names, class_name);
}

const Element *page_find(const Page *page, const char *attribute, const char *value) {
    for (guint i = 0; i < page->elements->len; i++) {
        const Element *element = g_ptr_array_index(page->elements, i);
        if (g_strcmp0(element_get(element, attribute), value) == 0)
            return element;
    }
    return NULL;
}

guint64 element_get_count(const Element *element, const char *attribute) {
    const char *text = element_get(element, attribute);
    char *end;

    g_assert_nonnull(text);
    g_assert_cmpuint(strspn(text, "0123456789"), ==, strlen(text));
    guint64 value = g_ascii_strtoull(text, &end, 10);
    g_assert_true(*end == '\0' && end != text);
    return value;
}

double element_get_number(const Element *element, const char *attribute) {
    const char *text = element_get(element, attribute);
    char *end;

    g_assert_nonnull(text);
    g_assert_cmpuint(strspn(text, "-.0123456789"), ==, strlen(text)); /* no nan, inf, exponent */
    g_assert_cmpstr(text, !=, "-0");
    double value = g_ascii_strtod(text, &end);
    g_assert_true(*end == '\0' && end != text);
    return value;
}

gboolean element_is_in(const Element *element, const Element *ancestor) {
    for (; element; element = element->parent)
        if (element == ancestor)
            return TRUE;
    return FALSE;
}

Box element_get_box(const Element *rect) {
    double x = element_get_number(rect, "x"), y = element_get_number(rect, "y");

    return (Box){x, y, x + element_get_number(rect, "width"),
                 y + element_get_number(rect, "height")};
}

gboolean box_overlaps(const Box *a, const Box *b) {
    return a->left < b->right && b->left < a->right && a->top < b->bottom && b->top < a->bottom;
}

double font_measure(const char *text, double size, gboolean is_bold) {
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t *cairo = cairo_create(surface);
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_text_extents_t extents;

    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_set_font_options(cairo, options);
    cairo_select_font_face(cairo, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           is_bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, size);
    cairo_text_extents(cairo, text, &extents);
    cairo_font_options_destroy(options);
    cairo_destroy(cairo);
    cairo_surface_destroy(surface);
    return extents.x_advance;
}

static TtTextStyle get_style(const Element *element) {
    for (guint i = TT_TEXT_TITLE; i <= TT_TEXT_PEAK; i++)
        if (element_has_class(element, tt_text_style_get_class(i)))
            return i;
    return TT_TEXT_LABEL;
}

/* The element's own text, in its font. */
static double measure_part(const Element *element, double *inout_size) {
    TtTextStyle style = get_style(element);

    *inout_size = MAX(*inout_size, tt_text_style_get_size(style));
    return font_measure(element->text->str, tt_text_style_get_size(style),
                        tt_text_style_is_bold(style));
}

Box page_get_text_box(const Page *page, const Element *text) {
    double x = element_get_number(text, "x"), y = element_get_number(text, "y");
    double size = 0, width = measure_part(text, &size);

    for (guint i = 0; i < page->elements->len; i++) {
        const Element *part = g_ptr_array_index(page->elements, i);
        if (part->parent != text)
            continue;
        width += measure_part(part, &size);
        if (element_get(part, "dx"))
            width += element_get_number(part, "dx");
    }
    if (element_has_class(text, "middle"))
        x -= width / 2;
    else if (element_has_class(text, "end"))
        x -= width;

    Box box = {x, y - 0.76 * size, x + width, y + 0.24 * size};
    for (const Element *clip = text->parent; clip && clip->parent; clip = clip->parent) {
        if (!g_str_equal(clip->name, "svg"))
            continue;
        Box bounds = element_get_box(clip);
        box = (Box){MAX(box.left, bounds.left), MAX(box.top, bounds.top),
                    MIN(box.right, bounds.right), MIN(box.bottom, bounds.bottom)};
    }
    return box;
}

char *page_get_text(const Page *page, const Element *text) {
    GString *whole = g_string_new(text->text->str);

    for (guint i = 0; i < page->elements->len; i++) {
        const Element *part = g_ptr_array_index(page->elements, i);
        if (part->parent != text)
            continue;
        if (whole->len > 0)
            g_string_append_c(whole, ' ');
        g_string_append(whole, part->text->str);
    }
    return g_string_free(whole, FALSE);
}
