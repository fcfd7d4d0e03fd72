/* SPDX-License-Identifier: Apache-2.0 */
/* Where a result goes: a whole file or none. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct TtOutput TtOutput;

/* Whether @path means standard output: NULL, empty or "-". */
gboolean tt_output_is_stdout(const char *path);

/**
 * tt_output_check:
 *
 * What tt_output_open() would refuse for the file's or its folder's sake, without a trace. For
 * those who have long work to do first.
 */
gboolean tt_output_check(const char *path, GError **error);

/**
 * tt_output_open:
 * @path: (nullable): see tt_output_is_stdout()
 * @error: G_IO_ERROR, naming @path
 *
 * A file is written beside its place, unseen, until tt_output_commit(); what is there stays as it
 * is until then. A link is followed and kept. What is no file (a FIFO, a device) is written
 * directly.
 *
 * Returns: (transfer full): or %NULL with @error set
 */
TtOutput *tt_output_open(const char *path, GError **error);

/* Open for writing as long as the output is. */
int tt_output_get_fd(const TtOutput *output);

/* Puts the file in its place. On failure the place is as it was. */
gboolean tt_output_commit(TtOutput *output, GError **error);

/* Without a commit before it, nothing stays. */
void tt_output_free(TtOutput *output);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtOutput, tt_output_free)

/* Whether two paths end up in one file, pipe or standard output. Devices may be shared. */
gboolean tt_output_is_same(const char *one, const char *other);

G_END_DECLS
