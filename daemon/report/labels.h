/* SPDX-License-Identifier: Apache-2.0 */
/* Which frame of a stack people would name as the place of an allocation, and what they would call
 * it. Every allocation comes from malloc or the like; most pass through a library's wrapper first.
 * Those frames are true, and say nothing. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * tt_label_is_plumbing:
 * @function: (nullable): demangled
 * @file: (nullable): where it was written
 * @module: (nullable): path of its module, raw bytes
 *
 * Whether a frame only passes an allocation on:
 *  - anything in the C and C++ libraries, the loader, other allocators and libttclient;
 *  - the C allocation functions and copies of strings, wherever they are defined; `operator new`;
 *    those of GLib; the customary xmalloc family;
 *  - anything of `std::` and `__gnu_cxx::`, or from the headers of the C++ library, which have been
 *    compiled into the program;
 *  - the same of Rust: `alloc::`, `core::`, `std::`, and what comes from its library's sources.
 */
gboolean tt_label_is_plumbing(const char *function, const char *file, const char *module);

/**
 * tt_label_is_allocator:
 * @function: demangled
 *
 * Whether a function says by its name that it is somebody's malloc: "sqlite3DbMallocRaw",
 * "png_malloc_warn", "xmlStrdup". A program's own may be called so and be what its author looks
 * for, so this counts only where there is no source to show.
 */
gboolean tt_label_is_allocator(const char *function);

/**
 * tt_label_is_start:
 * @function: demangled
 *
 * Whether it is where programs and threads begin, before any of their own functions.
 */
gboolean tt_label_is_start(const char *function);

/**
 * tt_label_short_function:
 * @function: demangled
 * @ret_len: its length in bytes
 *
 * Finds the qualified name in a demangled function: without return type, parameters and what
 * follows them.
 *
 * Returns: (transfer none): where it begins in @function
 */
const char *tt_label_short_function(const char *function, gsize *ret_len);

G_END_DECLS
