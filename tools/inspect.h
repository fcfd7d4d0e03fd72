/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a program can be traced by what is preloaded into it, seen from its file. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * tt_inspect_find:
 * @word: a program as a shell takes it: with a slash a path, else searched for in PATH
 * @ret_errno: why there is none: ENOENT, EACCES, …
 *
 * Returns: (transfer full) (nullable): its path, as execvp(3) would choose
 */
char *tt_inspect_find(const char *word, int *ret_errno);

/**
 * tt_inspect_why_not:
 * @path: an executable
 *
 * Reads the file's beginning and its tables of strings; nothing in it is trusted. A script is as
 * traceable as its interpreter.
 *
 * Returns: (transfer full) (nullable): why it cannot be traced, to follow "cannot be traced: ";
 * %NULL where nothing speaks against it, or it cannot be read
 */
char *tt_inspect_why_not(const char *path);

G_END_DECLS
