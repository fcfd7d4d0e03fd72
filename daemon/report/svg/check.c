/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that knows librsvg. It reads XML of its own making here, so a failure is a fault of
 * ours, which the user still must not find out from a viewer. */
#include "report/svg/check.h"

#include <cairo.h>
#include <librsvg/rsvg.h>

#include "report/svg/canvas.h"

/* Small, for drawing costs by the pixel; large enough for a card to be more than a point. */
#define SIDE 240

/* Whether not all pixels are the same. */
static gboolean shows_something(cairo_surface_t *surface) {
    cairo_surface_flush(surface);
    const guint8 *pixels = cairo_image_surface_get_data(surface);
    gsize stride = (gsize)cairo_image_surface_get_stride(surface);
    /* The middle belongs to the picture, whatever its proportions. */
    const guint32 *middle = (const guint32 *)(const void *)(pixels + SIDE / 2 * stride);

    for (guint y = 0; y < SIDE; y++) {
        const guint32 *row = (const guint32 *)(const void *)(pixels + y * stride);
        for (guint x = 0; x < SIDE; x++)
            if (row[x] != 0 && row[x] != middle[SIDE / 2])
                return TRUE;
    }
    return FALSE;
}

gboolean tt_picture_check(const char *document, gsize len, GError **error) {
    g_autoptr(GError) failure = NULL;
    RsvgHandle *handle = rsvg_handle_new_from_data((const guint8 *)document, len, &failure);
    RsvgRectangle viewport = {0, 0, SIDE, SIDE};

    if (!handle) {
        g_set_error(error, TT_PICTURE_ERROR, TT_PICTURE_ERROR_BROKEN,
                    "The picture cannot be read back (%s): this is a fault of trace-tools",
                    failure->message);
        return FALSE;
    }

    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, SIDE, SIDE);
    cairo_t *cairo = cairo_create(surface);
    gboolean is_drawn = rsvg_handle_render_document(handle, cairo, &viewport, &failure) &&
                        cairo_status(cairo) == CAIRO_STATUS_SUCCESS;
    gboolean is_seen = is_drawn && shows_something(surface);
    cairo_destroy(cairo);
    cairo_surface_destroy(surface);
    g_object_unref(handle);

    if (!is_seen)
        g_set_error(error, TT_PICTURE_ERROR, TT_PICTURE_ERROR_BROKEN,
                    "The picture cannot be drawn (%s): this is a fault of trace-tools",
                    failure    ? failure->message
                    : is_drawn ? "it is blank"
                               : "no memory");
    return is_seen;
}
