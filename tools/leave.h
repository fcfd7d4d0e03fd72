/* SPDX-License-Identifier: Apache-2.0 */
/* What must not stay behind: files and folders that are removed when we end, also by a signal.
 *
 * The one global state of the tools, for a signal handler has no other. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Removes what is registered on SIGINT, SIGTERM and SIGHUP (those that are not ignored), which then
 * have their usual effect. */
void tt_leave_init(void);

/* Registers a file or an empty folder; the last registered goes first. Past 16, or a path that is
 * too long, it is not removed on a signal. */
void tt_leave_add(const char *path);

/* It is gone, or is to stay. */
void tt_leave_drop(const char *path);

G_END_DECLS
