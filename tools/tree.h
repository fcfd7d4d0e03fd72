/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions a run made: those of CMD's process, and of what descended from them. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Returns: (transfer full) (element-type utf8): the ids in an aa{sv}, to tell old from new. */
GHashTable *tt_tree_get_ids(GVariant *sessions);

/* Returns: the order (of the daemon's List) of the one that began last; 0: there is none. */
guint64 tt_tree_get_last_order(GVariant *sessions);

/* Returns: how many that began after the one of @order are listed no more. Anybody's. */
guint64 tt_tree_count_gone(GVariant *sessions, guint64 order);

/**
 * tt_tree_find:
 * @sessions: aa{sv}, as of now
 * @before: (element-type utf8): ids that were there before CMD was started: never CMD's, though a
 * pid be the same
 * @pid: CMD's process, or 0: the daemon served nobody else, and all others are CMD's too, also
 * those behind a process that could not be traced
 *
 * Returns: (transfer full) (element-type GVariant): its sessions and its descendants', the oldest
 *   first
 */
GPtrArray *tt_tree_find(GVariant *sessions, GHashTable *before, gint pid);

/* Returns: (transfer none) (nullable): the last image of the process. */
GVariant *tt_tree_find_last(GPtrArray *family, gint pid);

/**
 * tt_tree_expand:
 * @pattern: %p is the pid, %s the session, %% a percent sign; other % stay
 */
char *tt_tree_expand(const char *pattern, GVariant *session);

/* Whether it names a file for each session. */
gboolean tt_tree_is_pattern(const char *path);

G_END_DECLS
