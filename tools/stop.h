/* SPDX-License-Identifier: Apache-2.0 */
/* Has a process stand still for as long as it takes to copy its memory: all of its threads, by
 * PTRACE_SEIZE, which sends no signal, and which ends with us, however we end. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Threads that stand still. All of it on the thread that made it: the kernel knows no other. */
typedef struct TtStop TtStop;

/**
 * tt_stop_new:
 * @error: TT_TOOLS_ERROR_FAILED: the kernel does not let us, and what to do
 *
 * Returns: (transfer full): once every thread of the process stands still
 */
TtStop *tt_stop_new(gint pid, GError **error);

/* Returns: (transfer none) (element-type guint32): the threads' numbers. */
GArray *tt_stop_get_tids(const TtStop *stop);

/* CLOCK_MONOTONIC: when the first of them was stopped. */
guint64 tt_stop_get_since_ns(const TtStop *stop);

/* Lets all go on, as if nothing had been. */
void tt_stop_free(TtStop *stop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtStop, tt_stop_free)

/* Why ptrace(2) failed with @code on @pid, and what to do, as an error. Returns FALSE. */
gboolean tt_stop_explain(gint pid, int code, GError **error);

/* Whether a thread has ended, though it may still be listed. */
gboolean tt_stop_is_gone(gint pid, guint32 tid);

/* CLOCK_MONOTONIC of now, in nanoseconds. */
guint64 tt_stop_now_ns(void);

G_END_DECLS
