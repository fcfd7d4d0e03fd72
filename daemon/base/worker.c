/* SPDX-License-Identifier: Apache-2.0 */
/* A thread with a main context. Messages are idle sources of default priority: sources of one
 * priority are dispatched in the order in which they were attached, which is all the order that
 * is promised, and they take turns with the sockets and timers of the sessions. */
#include "base/worker.h"

struct TtWorker {
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    gint is_asked; /* atomic, a plain flag: whether an answer is still awaited */
};

/* The worker whose thread this is. */
static GPrivate own_worker = G_PRIVATE_INIT(NULL);

static gpointer run_worker(gpointer data) {
    TtWorker *worker = data;

    g_private_set(&own_worker, worker);
    g_main_context_push_thread_default(worker->context);
    g_main_loop_run(worker->loop);
    g_main_context_pop_thread_default(worker->context);
    return NULL;
}

TtWorker *tt_worker_new(const char *name) {
    TtWorker *worker = g_new0(TtWorker, 1);

    worker->context = g_main_context_new();
    worker->loop = g_main_loop_new(worker->context, FALSE);
    worker->thread = g_thread_new(name, run_worker, worker);
    return worker;
}

/* What is sent before the end may itself send something, and that once more (a session's last
 * reader gives it up, and it is freed here): the end lets two rounds pass. */
typedef struct Farewell {
    TtWorker *worker;
    guint rounds;
} Farewell;

static void say_farewell(gpointer data) {
    Farewell *farewell = data;

    if (farewell->rounds-- > 0)
        tt_worker_send(farewell->worker, say_farewell, farewell, NULL);
    else
        g_main_loop_quit(farewell->worker->loop);
}

void tt_worker_free(TtWorker *worker) {
    Farewell farewell = {.worker = worker, .rounds = 2};

    if (!worker)
        return;
    g_assert(g_thread_self() != worker->thread);
    tt_worker_send(worker, say_farewell, &farewell, NULL);
    g_thread_join(worker->thread);
    g_main_loop_unref(worker->loop);
    g_main_context_unref(worker->context);
    g_free(worker);
}

GMainContext *tt_worker_get_context(TtWorker *worker) { return worker->context; }

typedef struct Envelope {
    TtMessage run;
    gpointer data;
    GDestroyNotify destroy;
} Envelope;

static gboolean open_envelope(gpointer data) {
    Envelope *envelope = data;

    envelope->run(envelope->data);
    return G_SOURCE_REMOVE;
}

static void free_envelope(gpointer data) {
    Envelope *envelope = data;

    if (envelope->destroy)
        envelope->destroy(envelope->data);
    g_free(envelope);
}

void tt_worker_send(TtWorker *worker, TtMessage run, gpointer data, GDestroyNotify destroy) {
    Envelope *envelope = g_new(Envelope, 1);
    GSource *source = g_idle_source_new();

    *envelope = (Envelope){.run = run, .data = data, .destroy = destroy};
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, open_envelope, envelope, free_envelope);
    g_source_attach(source, worker->context);
    g_source_unref(source);
}

typedef struct Call {
    TtMessage run;
    gpointer data;
    GMutex lock;
    GCond returned;
    gboolean has_returned;
} Call;

static void run_call(gpointer data) {
    Call *call = data;

    call->run(call->data);
    /* The caller's frame holds the call: signal under the lock, it is gone once that is given up.
     */
    g_mutex_lock(&call->lock);
    call->has_returned = TRUE;
    g_cond_signal(&call->returned);
    g_mutex_unlock(&call->lock);
}

void tt_worker_call(TtWorker *worker, TtMessage run, gpointer data) {
    if (g_thread_self() == worker->thread) {
        run(data);
        return;
    }

    Call call = {.run = run, .data = data};
    g_mutex_init(&call.lock);
    g_cond_init(&call.returned);
    tt_worker_send(worker, run_call, &call, NULL);
    g_mutex_lock(&call.lock);
    while (!call.has_returned)
        g_cond_wait(&call.returned, &call.lock);
    g_mutex_unlock(&call.lock);
    g_cond_clear(&call.returned);
    g_mutex_clear(&call.lock);
}

/* ---- Whether it hangs ---- */

static void answer(gpointer data) {
    TtWorker *worker = data;

    g_atomic_int_set(&worker->is_asked, FALSE);
}

gboolean tt_worker_has_answered(TtWorker *worker) {
    if (!g_atomic_int_compare_and_exchange(&worker->is_asked, FALSE, TRUE))
        return FALSE;
    tt_worker_send(worker, answer, worker, NULL);
    return TRUE;
}

void tt_worker_note_progress(void) {
    TtWorker *worker = g_private_get(&own_worker);

    if (worker)
        answer(worker);
}
