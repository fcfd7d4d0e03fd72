/* SPDX-License-Identifier: Apache-2.0 */
/* Names as people write them. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Demangles a C++ (Itanium) or Rust (legacy, v0) name.
 *
 * @name: any bytes; not trusted
 *
 * Returns: (transfer full) (nullable): the name, C++ with its parameters, Rust without its hash;
 * not much longer than TT_STRING_MAX, where it is cut. NULL: mangled in no way that is known,
 * longer than 64 KiB, or past libiberty's limits. Not reentrant. */
char *tt_demangle(const char *name);

G_END_DECLS
