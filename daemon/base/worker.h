/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: threads that own sessions. Each runs a GMainContext; what another thread wants of a
 * session it sends there as a message that owns what it carries. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct TtWorker TtWorker;

/* Starts a thread. Returns: (transfer full): never %NULL. */
TtWorker *tt_worker_new(const char *name);

/* Ends the thread after what was sent before, and what that sends, has run; joins it. Not from the
 * worker itself. */
void tt_worker_free(TtWorker *worker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtWorker, tt_worker_free)

GMainContext *tt_worker_get_context(TtWorker *worker);

typedef void (*TtMessage)(gpointer data);

/* Has @run called on the worker's thread, in the order of sending; then @destroy, there too.
 * Any thread. */
void tt_worker_send(TtWorker *worker, TtMessage run, gpointer data, GDestroyNotify destroy);

/* The same, and waits until it has run. Any thread but the worker's own, where it runs at once. */
void tt_worker_call(TtWorker *worker, TtMessage run, gpointer data);

/* Whether the worker has come round to its messages, or has noted progress, since this was last
 * called; it is asked anew with each answer. The first time it counts as having done so. One thread
 * at a time. */
gboolean tt_worker_has_answered(TtWorker *worker);

/* Says that a long piece of work goes on, to whoever wonders whether this thread's worker hangs. On
 * a thread that is no worker's nothing is done. */
void tt_worker_note_progress(void);

G_END_DECLS
