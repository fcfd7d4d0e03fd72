/* SPDX-License-Identifier: Apache-2.0 */
/* libttclient, and how a program is made to load it. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Returns: (transfer full): where it is: TT_CLIENT, or beside our own program. */
char *tt_client_find(GError **error);

/**
 * tt_client_make_preload:
 * @path: of libttclient
 * @users: (nullable): what LD_PRELOAD is already; stays, behind ours
 * @ret_dir: (out) (transfer full) (nullable): a folder to be removed when nothing can be started
 * with it any more
 *
 * The loader splits LD_PRELOAD at spaces and colons and expands $, and knows no escape: such a path
 * is reached by a link from a folder without them.
 *
 * Returns: (transfer full): a value for LD_PRELOAD
 */
char *tt_client_make_preload(const char *path, const char *users, char **ret_dir, GError **error);

G_END_DECLS
