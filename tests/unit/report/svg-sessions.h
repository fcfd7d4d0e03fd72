/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions worth a picture, each by a name. Their books balance: totals, sites, timeline and peak are
 * counted from the blocks' births and deaths, as the model would. */
#pragma once

#include "samples.h"

/* "server": an hour of everyday's figures in twelve seconds. "leaks": nothing was ever freed.
 * "burst": all was. "instant": an axis without length. "hostile": names that mean harm. */
extern const char *const svg_session_names[]; /* ends with NULL */

/* @name: one of svg_session_names, or of sample_names. */
Sample *svg_session_new(const char *name);


/* The picture; fails the test where none is made. */
char *svg_session_draw(Sample *sample, const char *view, guint top, gsize *ret_len);
