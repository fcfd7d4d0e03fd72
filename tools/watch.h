/* SPDX-License-Identifier: Apache-2.0 */
/* Watches a child until its end, to copy its memory at the last instant that there is any: when
 * exit(2), exit_group(2) or a signal has ended it, and before the kernel takes it apart
 * (PTRACE_EVENT_EXIT). docs/decisions/0004 says why here. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct TtWatch TtWatch;

/**
 * tt_watch_new:
 * @pid: a child that has not called exec yet
 *
 * Watches from a thread of its own, which alone can wait for it from now on. Where the kernel does
 * not allow it the child is only waited for, and tt_watch_take_image() says so.
 *
 * Returns: (transfer full): once the child is watched
 */
TtWatch *tt_watch_new(gint pid);

/* Returns: how it ended, as from wait(2), when it has. Once. */
gint tt_watch_wait(TtWatch *watch);

/* Returns: (transfer full): after its end, its memory (protocol/image.h); or -1 with @error set. */
int tt_watch_take_image(TtWatch *watch, GError **error);

/* After tt_watch_wait(). */
void tt_watch_free(TtWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtWatch, tt_watch_free)

G_END_DECLS
