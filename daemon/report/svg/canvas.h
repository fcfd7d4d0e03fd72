/* SPDX-License-Identifier: Apache-2.0 */
/* A picture while it is drawn: SVG elements one after the other, with text that is measured, cut
 * and escaped in one place. What is drawn looks the same wherever it is looked at: no script, no
 * font and no image from elsewhere; light or dark as the viewer prefers. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* librsvg refuses 10 MB in an attribute, a million elements, a depth of 256. */
#define TT_CANVAS_BYTES_MAX (8u << 20)
#define TT_CANVAS_ELEMENTS_MAX 100000u
#define TT_CANVAS_DEPTH_MAX 100u

/* Of a tooltip or a name in an attribute. */
#define TT_CANVAS_NAME_CHARACTERS 256u

#define TT_PICTURE_ERROR (tt_picture_error_quark())
GQuark tt_picture_error_quark(void);

/**
 * TtPictureError:
 * @TT_PICTURE_ERROR_SIZE: it would have more elements or bytes than viewers take
 * @TT_PICTURE_ERROR_BROKEN: an SVG library does not read or draw it
 */
typedef enum TtPictureError {
    TT_PICTURE_ERROR_SIZE,
    TT_PICTURE_ERROR_BROKEN,
} TtPictureError;

/* How text looks: size, weight, colour. The names are the classes in the picture. */
typedef enum TtTextStyle {
    TT_TEXT_TITLE,   /* whose picture it is */
    TT_TEXT_HEADING, /* of a card */
    TT_TEXT_FIGURE,  /* a key figure */
    TT_TEXT_STRONG,  /* a declared name */
    TT_TEXT_LABEL,   /* what a row is of */
    TT_TEXT_NUMBER,  /* in a column */
    TT_TEXT_NOTE,    /* what explains the others: captions, ticks, places in the source */
    TT_TEXT_PEAK,    /* at a curve, on the card's colour */
} TtTextStyle;

typedef enum TtAnchor {
    TT_ANCHOR_START,
    TT_ANCHOR_MIDDLE,
    TT_ANCHOR_END,
} TtAnchor;

typedef struct TtBox {
    double x, y, width, height;
} TtBox;

/* A run of text in one line. */
typedef struct TtTextPart {
    TtTextStyle style;
    const char *text; /* NULL or "": no such part */
} TtTextPart;

typedef struct TtCanvas TtCanvas;

TtCanvas *tt_canvas_new(void);
void tt_canvas_free(TtCanvas *canvas);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtCanvas, tt_canvas_free)

/**
 * tt_canvas_finish:
 * @width: of the picture; its coordinates are pixels, from 0
 * @title: what it is, for those who hear it
 * @desc: what it says, likewise
 * @error: TT_PICTURE_ERROR_SIZE
 *
 * Every element is closed.
 *
 * Returns: (transfer full): the document; %NULL with @error set
 */
GString *tt_canvas_finish(TtCanvas *canvas, double width, double height, const char *title,
                          const char *desc, GError **error);

/* Elements. Attributes are set after an element is opened and before anything is put into it. Texts
 * may be any bytes. */
void tt_canvas_open(TtCanvas *canvas, const char *element, const char *class_name);
void tt_canvas_close(TtCanvas *canvas);
void tt_canvas_set_number(TtCanvas *canvas, const char *attribute, double value);
void tt_canvas_set_count(TtCanvas *canvas, const char *attribute, guint64 value);
void tt_canvas_set_text(TtCanvas *canvas, const char *attribute, const char *text);

/* A tooltip of the element that is open; its first child. Its lines are lines; foreign text in it
 * is given as tt_measure_show() has it, lest a name begin a line of its own. */
void tt_canvas_hint(TtCanvas *canvas, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Opened and left so, for attributes and a tooltip. */
void tt_canvas_open_rect(TtCanvas *canvas, const char *class_name, double x, double y, double width,
                         double height);
void tt_canvas_open_path(TtCanvas *canvas, const char *class_name, const char *path);

/* Whole elements. */
void tt_canvas_rect(TtCanvas *canvas, const char *class_name, double x, double y, double width,
                    double height);
void tt_canvas_line(TtCanvas *canvas, const char *class_name, double x1, double y1, double x2,
                    double y2);
void tt_canvas_card(TtCanvas *canvas, const TtBox *box);

/* What is drawn until the matching close stays inside @box. */
void tt_canvas_open_clip(TtCanvas *canvas, const TtBox *box);

/**
 * tt_canvas_text:
 * @x: where the text starts, has its middle or ends, as @anchor says
 * @baseline: of the text
 * @room: it is cut to this width
 *
 * Returns: its width, in the widest font
 */
double tt_canvas_text(TtCanvas *canvas, TtTextStyle style, TtAnchor anchor, double x,
                      double baseline, double room, const char *text);

/* One line of several parts, each a paragraph of its own to the reading direction. The first that
 * does not fit is cut; it is left out where little would remain of it, and if it is the last: half
 * a place in the source is none. */
void tt_canvas_parts(TtCanvas *canvas, double x, double baseline, double room,
                     const TtTextPart *parts, gsize part_count);

double tt_canvas_measure(TtTextStyle style, const char *text);
double tt_canvas_measure_parts(const TtTextPart *parts, gsize part_count);
double tt_text_style_get_size(TtTextStyle style);
gboolean tt_text_style_is_bold(TtTextStyle style);
const char *tt_text_style_get_class(TtTextStyle style);

/* Appends a coordinate: two decimals at most, no exponent, no -0. What is not finite is 0. */
void tt_canvas_append_number(GString *out, double value);

G_END_DECLS
