/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions worth a picture, each by a name. Their books balance: totals, sites, timeline and peak
 * are counted from the blocks' births and deaths, as the model would. */
#pragma once

#include "samples.h"

/* "server": an hour of everyday's figures in twelve seconds. "leaks": nothing was ever freed.
 * "burst": all was. "instant": an axis without length. "hostile": names that mean harm.
 * "sampled": what a sample tells of the server. */
extern const char *const svg_session_names[]; /* ends with NULL */

/* @name: one of svg_session_names, or of sample_names. */
Sample *svg_session_new(const char *name);

/* The picture; fails the test where none is made. */
char *svg_session_draw(Sample *sample, const char *view, guint top, gsize *ret_len);

extern const char *const svg_view_names[]; /* ends with NULL */

/* Looks at a picture of @sample in @view. */
typedef void (*SvgInspect)(Sample *sample, const char *view, const char *document, gsize len);

/* Every view of a session. @top: 0 for the views' own number of rows. */
void svg_session_inspect(const char *name, guint top, SvgInspect inspect);

/* Every view of every session, and of every sample. */
void svg_session_inspect_all(SvgInspect inspect);

/* As few rows as can be asked for, and more than there are. */
void svg_session_inspect_extremes(SvgInspect inspect);
