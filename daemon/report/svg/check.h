/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody gets a picture that has not been looked at. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * tt_picture_check:
 * @document: an SVG document
 * @error: TT_PICTURE_ERROR_BROKEN
 *
 * Reads and draws @document as a viewer would, in small, and looks whether anything is to be seen.
 * Any thread.
 */
gboolean tt_picture_check(const char *document, gsize len, GError **error);

G_END_DECLS
