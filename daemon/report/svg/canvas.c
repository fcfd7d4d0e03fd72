/* SPDX-License-Identifier: Apache-2.0 */
/* Every byte of a picture passes append_escaped() or append_literal(). What makes it hard is that
 * XML has no way at all to spell some characters, and that a colour scheme has to reach renderers
 * that know neither CSS variables nor media queries: light colours are plain rules, dark ones
 * come after them in a media query, which such renderers skip. */
#include "report/svg/canvas.h"

#include <math.h>
#include <string.h>

#include "report/svg/measure.h"
#include "report/text.h"

G_DEFINE_QUARK(tt - picture - error - quark, tt_picture_error)

/* Less of a part than this, in its font's size, says nothing. */
#define PART_LEAST 4.0
#define PART_GAP 8.0

/* Okabe and Ito's palette, which stays apart in every kind of colour blindness; in the dark its
 * lighter relatives. */
static const char style_sheet[] =
    "text{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",\"DejaVu Sans\","
    "sans-serif;font-size:12px;fill:#1d2430}"
    "tspan{unicode-bidi:isolate}"
    ".title{font-size:22px;font-weight:700}"
    ".heading{font-size:14px;font-weight:700}"
    ".figure{font-size:20px;font-weight:700}"
    ".strong{font-weight:700}"
    ".number{font-variant-numeric:tabular-nums}"
    ".note{font-size:11px;fill:#667085}"
    ".peak-text{font-weight:700;stroke:#fff;stroke-width:4px;stroke-linejoin:round;"
    "paint-order:stroke}"
    ".middle{text-anchor:middle}.end{text-anchor:end}"
    ".page{fill:#f5f6f8}.card{fill:#fff;stroke:#e3e6eb}"
    ".track{fill:#f1f3f6}.rule{stroke:#e9ecf0}.axis{stroke:#c3c9d3}"
    ".variable{fill:#0072b2}.site{fill:#56b4e9}.rest{fill:#b4bcc8}"
    ".live-area{fill:#56b4e9;fill-opacity:.28}"
    ".live-line{fill:none;stroke:#0072b2;stroke-width:1.5;stroke-linejoin:round}"
    ".freed{fill:#2b8cc9}.alive{fill:#009e73}.leaked{fill:#d55e00}"
    ".peak-dot{fill:#d55e00;stroke:#fff;stroke-width:2}"
    ".mark{stroke:#a3548a;stroke-dasharray:3 3}.mark-tip{fill:#a3548a}"
    ".pill{fill:#f1f3f6;stroke:#dfe3e9}.good{fill:#009e73}.warn{fill:#e69f00}.bad{fill:#d55e00}"
    ".band{fill:#0072b2;fill-opacity:0}.band:hover{fill-opacity:.1}"
    ".hit{fill:#0072b2;fill-opacity:0}.row:hover .hit{fill-opacity:.07}"
    "@media (prefers-color-scheme:dark){"
    "text{fill:#e7eaf0}.note{fill:#9aa4b5}"
    ".page{fill:#0e1217}.card{fill:#171c24;stroke:#29303b}"
    ".track{fill:#1f2630}.rule{stroke:#262d38}.axis{stroke:#4a5464}"
    ".variable{fill:#3ba0dc}.site{fill:#2f6f98}.rest{fill:#4a5464}"
    ".live-area{fill:#3ba0dc;fill-opacity:.25}.live-line{stroke:#56b4e9}"
    ".freed{fill:#3ba0dc}.alive{fill:#1fb78c}.leaked{fill:#f0823a}"
    ".peak-dot{fill:#f0823a;stroke:#171c24}.peak-text{stroke:#171c24}"
    ".mark{stroke:#d58cbe}.mark-tip{fill:#d58cbe}"
    ".pill{fill:#1f2630;stroke:#323b48}.good{fill:#1fb78c}.warn{fill:#f0b429}.bad{fill:#f0823a}"
    ".band,.hit{fill:#56b4e9}}";

static const struct {
    const char *class_name;
    double size;
    gboolean is_bold;
} styles[] = {
    [TT_TEXT_TITLE] = {"title", 22, TRUE},   [TT_TEXT_HEADING] = {"heading", 14, TRUE},
    [TT_TEXT_FIGURE] = {"figure", 20, TRUE}, [TT_TEXT_STRONG] = {"strong", 12, TRUE},
    [TT_TEXT_LABEL] = {"label", 12, FALSE},  [TT_TEXT_NUMBER] = {"number", 12, FALSE},
    [TT_TEXT_NOTE] = {"note", 11, FALSE},    [TT_TEXT_PEAK] = {"peak-text", 12, TRUE},
};

struct TtCanvas {
    GString *body;
    const char *open[TT_CANVAS_DEPTH_MAX]; /* names of the open elements; literals of the callers */
    guint depth;
    guint element_count;
    gboolean is_in_tag; /* attributes may follow */
};

TtCanvas *tt_canvas_new(void) {
    TtCanvas *canvas = g_new0(TtCanvas, 1);

    canvas->body = g_string_new(NULL);
    return canvas;
}

void tt_canvas_free(TtCanvas *canvas) {
    if (!canvas)
        return;
    if (canvas->body)
        g_string_free(canvas->body, TRUE);
    g_free(canvas);
}

/* The one escaping function: text content and attribute values alike. Takes any bytes. */
static void append_escaped(GString *out, const char *bytes) {
    const char *at = bytes, *end = bytes + strlen(bytes);

    while (at < end) {
        gunichar c = tt_text_next(&at, end);

        switch (c) {
        case '&':
            g_string_append(out, "&amp;");
            break;
        case '<':
            g_string_append(out, "&lt;");
            break;
        case '>': /* "]]>" */
            g_string_append(out, "&gt;");
            break;
        case '"':
            g_string_append(out, "&quot;");
            break;
        case '\'':
            g_string_append(out, "&#39;");
            break;
        default:
            /* What is to be seen of these is spelled by measure.c; XML has no spelling. */
            g_string_append_unichar(out, tt_text_is_control(c) ? TT_TEXT_REPLACEMENT : c);
        }
    }
}

void tt_canvas_append_number(GString *out, double value) {
    /* Beyond every picture, and far from where conversion to an integer is undefined. */
    gint64 hundredths =
        isfinite(value) ? (gint64)(CLAMP(value, -1e9, 1e9) * 100 + (value < 0 ? -0.5 : 0.5)) : 0;
    guint64 size = (guint64)ABS(hundredths);

    if (hundredths < 0)
        g_string_append_c(out, '-');
    g_string_append_printf(out, "%" G_GUINT64_FORMAT, size / 100);
    if (size % 100 == 0)
        return;
    g_string_append_printf(out, size % 10 == 0 ? ".%u" : ".%02u",
                           (guint)(size % 10 == 0 ? size % 100 / 10 : size % 100));
}

static void end_tag(TtCanvas *canvas) {
    if (canvas->is_in_tag)
        g_string_append_c(canvas->body, '>');
    canvas->is_in_tag = FALSE;
}

void tt_canvas_open(TtCanvas *canvas, const char *element, const char *class_name) {
    g_assert(canvas->depth < TT_CANVAS_DEPTH_MAX);

    end_tag(canvas);
    /* One a line, so that a picture can be read and compared; not inside text, where it would show.
     */
    if (canvas->depth == 0 || !g_str_equal(canvas->open[canvas->depth - 1], "text"))
        g_string_append_c(canvas->body, '\n');
    g_string_append_printf(canvas->body, "<%s", element);
    canvas->open[canvas->depth++] = element;
    canvas->element_count++;
    canvas->is_in_tag = TRUE;
    if (class_name)
        tt_canvas_set_text(canvas, "class", class_name);
}

void tt_canvas_close(TtCanvas *canvas) {
    g_assert(canvas->depth > 0);

    const char *element = canvas->open[--canvas->depth];
    if (canvas->is_in_tag)
        g_string_append(canvas->body, "/>");
    else
        g_string_append_printf(canvas->body, "</%s>", element);
    canvas->is_in_tag = FALSE;
}

static void begin_attribute(TtCanvas *canvas, const char *attribute) {
    g_assert(canvas->is_in_tag);
    g_string_append_printf(canvas->body, " %s=\"", attribute);
}

void tt_canvas_set_number(TtCanvas *canvas, const char *attribute, double value) {
    begin_attribute(canvas, attribute);
    tt_canvas_append_number(canvas->body, value);
    g_string_append_c(canvas->body, '"');
}

void tt_canvas_set_count(TtCanvas *canvas, const char *attribute, guint64 value) {
    begin_attribute(canvas, attribute);
    g_string_append_printf(canvas->body, "%" G_GUINT64_FORMAT "\"", value);
}

void tt_canvas_set_text(TtCanvas *canvas, const char *attribute, const char *text) {
    g_autofree char *shown = tt_measure_show(text, TT_CANVAS_NAME_CHARACTERS);

    begin_attribute(canvas, attribute);
    append_escaped(canvas->body, shown);
    g_string_append_c(canvas->body, '"');
}

void tt_canvas_hint(TtCanvas *canvas, const char *format, ...) {
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);

    /* Line by line: a tooltip's own breaks stay, those in names are spelled. */
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    tt_canvas_open(canvas, "title", NULL);
    end_tag(canvas);
    for (gsize i = 0; lines[i]; i++) {
        g_autofree char *shown = tt_measure_show(lines[i], 2 * TT_CANVAS_NAME_CHARACTERS);

        if (i > 0)
            g_string_append_c(canvas->body, '\n');
        append_escaped(canvas->body, shown);
    }
    tt_canvas_close(canvas);
}

static void set_box(TtCanvas *canvas, double x, double y, double width, double height) {
    tt_canvas_set_number(canvas, "x", x);
    tt_canvas_set_number(canvas, "y", y);
    /* A negative one is an error to renderers. */
    tt_canvas_set_number(canvas, "width", MAX(width, 0));
    tt_canvas_set_number(canvas, "height", MAX(height, 0));
}

void tt_canvas_open_rect(TtCanvas *canvas, const char *class_name, double x, double y, double width,
                         double height) {
    tt_canvas_open(canvas, "rect", class_name);
    set_box(canvas, x, y, width, height);
}

void tt_canvas_open_path(TtCanvas *canvas, const char *class_name, const char *path) {
    tt_canvas_open(canvas, "path", class_name);
    begin_attribute(canvas, "d");
    /* Not as text, which is of limited length. */
    append_escaped(canvas->body, path);
    g_string_append_c(canvas->body, '"');
}

void tt_canvas_rect(TtCanvas *canvas, const char *class_name, double x, double y, double width,
                    double height) {
    tt_canvas_open_rect(canvas, class_name, x, y, width, height);
    tt_canvas_close(canvas);
}

void tt_canvas_line(TtCanvas *canvas, const char *class_name, double x1, double y1, double x2,
                    double y2) {
    tt_canvas_open(canvas, "line", class_name);
    tt_canvas_set_number(canvas, "x1", x1);
    tt_canvas_set_number(canvas, "y1", y1);
    tt_canvas_set_number(canvas, "x2", x2);
    tt_canvas_set_number(canvas, "y2", y2);
    tt_canvas_close(canvas);
}

void tt_canvas_card(TtCanvas *canvas, const TtBox *box) {
    /* Half a pixel in, so that the line is one pixel and not two halves. */
    tt_canvas_open_rect(canvas, "card", box->x + 0.5, box->y + 0.5, box->width - 1,
                        box->height - 1);
    tt_canvas_set_number(canvas, "rx", 10);
    tt_canvas_close(canvas);
}

void tt_canvas_open_clip(TtCanvas *canvas, const TtBox *box) {
    GString *view = g_string_new(NULL);

    /* An inner picture with the coordinates of the outer one: it clips without needing an id. */
    tt_canvas_open(canvas, "svg", NULL);
    set_box(canvas, box->x, box->y, box->width, box->height);
    tt_canvas_append_number(view, box->x);
    g_string_append_c(view, ' ');
    tt_canvas_append_number(view, box->y);
    g_string_append_c(view, ' ');
    tt_canvas_append_number(view, box->width);
    g_string_append_c(view, ' ');
    tt_canvas_append_number(view, box->height);
    tt_canvas_set_text(canvas, "viewBox", view->str);
    g_string_free(view, TRUE);
}

double tt_text_style_get_size(TtTextStyle style) { return styles[style].size; }

gboolean tt_text_style_is_bold(TtTextStyle style) { return styles[style].is_bold; }

const char *tt_text_style_get_class(TtTextStyle style) { return styles[style].class_name; }

double tt_canvas_measure(TtTextStyle style, const char *text) {
    return tt_measure_width(text, styles[style].size, styles[style].is_bold);
}

double tt_canvas_measure_parts(const TtTextPart *parts, gsize part_count) {
    double width = 0;

    for (gsize i = 0; i < part_count; i++)
        if (parts[i].text && parts[i].text[0] != '\0')
            width += (width > 0 ? PART_GAP : 0) + tt_canvas_measure(parts[i].style, parts[i].text);
    return width;
}

static char *cut(TtTextStyle style, const char *text, double room) {
    return tt_measure_cut(text, styles[style].size, styles[style].is_bold, room);
}

static void add_text(TtCanvas *canvas, const char *text) {
    end_tag(canvas);
    append_escaped(canvas->body, text);
}

/* Latin letters and punctuation are in every font, about as wide. */
static gboolean is_plain(const char *text) {
    for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c >= 0x180 && (c < 0x2010 || c >= 0x2028))
            return FALSE;
    }
    return TRUE;
}

/* Other scripts come from whichever font has them, with glyphs as wide and as high as it pleases:
 * what they do beyond their line's box is not seen. */
static gboolean open_line(TtCanvas *canvas, const char *text, double x, double baseline,
                          double width, double size) {
    TtBox box = {x, baseline - 1.25 * size, width, 1.75 * size};

    if (is_plain(text))
        return FALSE;
    tt_canvas_open_clip(canvas, &box);
    return TRUE;
}

double tt_canvas_text(TtCanvas *canvas, TtTextStyle style, TtAnchor anchor, double x,
                      double baseline, double room, const char *text) {
    static const char *const anchor_classes[] = {"", " middle", " end"};
    g_autofree char *shown = cut(style, text, room);

    if (shown[0] == '\0')
        return 0;
    double width = tt_canvas_measure(style, shown);
    double left = anchor == TT_ANCHOR_START ? x
                  : anchor == TT_ANCHOR_END ? x - width
                                            : x - width / 2;
    gboolean is_clipped = open_line(canvas, shown, left, baseline, width, styles[style].size);
    g_autofree char *class_name =
        g_strconcat(styles[style].class_name, anchor_classes[anchor], NULL);
    tt_canvas_open(canvas, "text", class_name);
    tt_canvas_set_number(canvas, "x", x);
    tt_canvas_set_number(canvas, "y", baseline);
    add_text(canvas, shown);
    tt_canvas_close(canvas);
    if (is_clipped)
        tt_canvas_close(canvas);
    return width;
}

void tt_canvas_parts(TtCanvas *canvas, double x, double baseline, double room,
                     const TtTextPart *parts, gsize part_count) {
    gboolean is_clipped = FALSE;
    double used = 0;

    for (gsize i = 0; i < part_count && !is_clipped; i++) {
        g_autofree char *shown = parts[i].text ? cut(parts[i].style, parts[i].text, room) : NULL;
        is_clipped =
            shown && open_line(canvas, shown, x, baseline, room, styles[parts[i].style].size);
    }
    tt_canvas_open(canvas, "text", NULL);
    tt_canvas_set_number(canvas, "x", x);
    tt_canvas_set_number(canvas, "y", baseline);
    for (gsize i = 0; i < part_count; i++) {
        if (!parts[i].text || parts[i].text[0] == '\0')
            continue;
        double gap = used > 0 ? PART_GAP : 0;
        double left = room - used - gap;
        double width = tt_canvas_measure(parts[i].style, parts[i].text);
        if (width > left && used > 0 &&
            (i + 1 == part_count || left < PART_LEAST * styles[parts[i].style].size))
            break;

        g_autofree char *shown = cut(parts[i].style, parts[i].text, left);
        if (shown[0] == '\0')
            break;
        tt_canvas_open(canvas, "tspan", styles[parts[i].style].class_name);
        if (gap > 0)
            tt_canvas_set_number(canvas, "dx", gap);
        add_text(canvas, shown);
        tt_canvas_close(canvas);
        used += gap + width;
        if (width > left)
            break;
    }
    tt_canvas_close(canvas);
    if (is_clipped)
        tt_canvas_close(canvas);
}

GString *tt_canvas_finish(TtCanvas *canvas, double width, double height, const char *title,
                          const char *desc, GError **error) {
    g_assert(canvas->depth == 0);

    if (canvas->element_count > TT_CANVAS_ELEMENTS_MAX ||
        canvas->body->len > TT_CANVAS_BYTES_MAX - sizeof(style_sheet) - 16 * 1024) {
        g_set_error(error, TT_PICTURE_ERROR, TT_PICTURE_ERROR_SIZE,
                    "The picture would have %u elements and %" G_GSIZE_FORMAT
                    " bytes, more than viewers take: ask for fewer rows (--top)",
                    canvas->element_count, canvas->body->len);
        return NULL;
    }

    TtCanvas *head = tt_canvas_new();
    g_autofree char *view_box = g_strdup_printf("0 0 %d %d", (int)width, (int)height);
    g_string_append(head->body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    tt_canvas_open(head, "svg", NULL);
    tt_canvas_set_text(head, "xmlns", "http://www.w3.org/2000/svg");
    tt_canvas_set_count(head, "width", (guint64)width);
    tt_canvas_set_count(head, "height", (guint64)height);
    tt_canvas_set_text(head, "viewBox", view_box);
    tt_canvas_set_text(head, "role", "img");
    tt_canvas_set_text(head, "aria-labelledby", "tt-title tt-desc");
    tt_canvas_open(head, "title", NULL);
    tt_canvas_set_text(head, "id", "tt-title");
    g_autofree char *shown_title = tt_measure_show(title, TT_CANVAS_NAME_CHARACTERS);
    add_text(head, shown_title);
    tt_canvas_close(head);
    tt_canvas_open(head, "desc", NULL);
    tt_canvas_set_text(head, "id", "tt-desc");
    g_autofree char *shown_desc = tt_measure_show(desc, 4 * TT_CANVAS_NAME_CHARACTERS);
    add_text(head, shown_desc);
    tt_canvas_close(head);
    tt_canvas_open(head, "style", NULL);
    end_tag(head);
    g_string_append(head->body, style_sheet); /* ours, and free of markup */
    tt_canvas_close(head);
    tt_canvas_rect(head, "page", 0, 0, width, height);

    GString *document = g_steal_pointer(&head->body);
    tt_canvas_free(head);
    g_string_append_len(document, canvas->body->str, (gssize)canvas->body->len);
    g_string_append(document, "\n</svg>\n");
    return document;
}
