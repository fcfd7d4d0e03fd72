/* SPDX-License-Identifier: Apache-2.0 */
/* Copies a process that stands still: protocol/image.h. Judges nothing of it. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * tt_capture:
 * @pid: stands still, and its threads are traced by this thread
 * @tids: (element-type guint32): of which the registers are wanted; one at least
 * @since_ns: CLOCK_MONOTONIC: since when it stands still
 * @error: TT_TOOLS_ERROR_FAILED, in a sentence
 *
 * Copies what the program has written: the pages of its private mappings that differ from their
 * files, and of shared memory those that are there. Devices and shared files are left alone.
 *
 * Returns: a sealed memfd, or -1
 */
int tt_capture(gint pid, GArray *tids, guint64 since_ns, GError **error);

G_END_DECLS
