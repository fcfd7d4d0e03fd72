/* SPDX-License-Identifier: Apache-2.0 */
/* What foreign text looks like in a picture: which characters stand for it, and how wide they are.
 *
 * No font is asked. The widths are DejaVu Sans's, among the widest of the sans fonts that viewers
 * have, with a margin: what fits here fits there, whichever font is found. And one recording makes
 * the same bytes on every machine, also on one without fonts. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * tt_measure_show:
 * @bytes: not trusted, perhaps not UTF-8
 * @max_characters: after so many it is cut with "…"
 *
 * Spells text so that it shows what is there: controls, bidirectional overrides and line breaks as
 * "\n", "\x1b", "\u202e"; of the marks that pile up on one character the first two. Doing it again
 * changes nothing.
 *
 * Returns: (transfer full): valid UTF-8 of characters that XML allows
 */
char *tt_measure_show(const char *bytes, gsize max_characters);

/**
 * tt_measure_width:
 * @bytes: as for tt_measure_show(), which it is measured as
 * @size: of the font, in the unit of the result
 *
 * Returns: how much room the text takes at most, in any usual sans font
 */
double tt_measure_width(const char *bytes, double size, gboolean is_bold);

/**
 * tt_measure_cut:
 * @width: the room that there is
 *
 * Returns: (transfer full): tt_measure_show() of @bytes, cut with "…" where it would not fit; ""
 *   where not even that fits
 */
char *tt_measure_cut(const char *bytes, double size, gboolean is_bold, double width);

G_END_DECLS
