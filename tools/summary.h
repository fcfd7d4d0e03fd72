/* SPDX-License-Identifier: Apache-2.0 */
/* What `run` says of a program when nobody asked for a document. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * tt_summary_write:
 * @figures: a{sv} of org.tracetools.Daemon1.Describe
 * @wait_status: of CMD
 * @other_count: sessions of its descendants and earlier images
 *
 * Returns: (transfer full): a few lines
 */
char *tt_summary_write(GVariant *figures, gint wait_status, guint other_count);

G_END_DECLS
