/* SPDX-License-Identifier: Apache-2.0 */
/* What others ask of sessions. Each question is a message to the owner; who asks waits, the owner
 * never does. */
#include "intake/private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "intake/messages.h"

#define LIST_US (500 * G_TIME_SPAN_MILLISECOND)

static TtFeed *find_feed(TtIntake *intake, const guint8 *session_id, GError **error) {
    TtFeed *feed = tt_registry_find(intake->registry, session_id);

    if (!feed)
        g_set_error(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_GONE,
                    "The session is no longer kept: see tt-ctl list for those that are");
    return feed;
}

static TtFeed *find_running(TtIntake *intake, const guint8 *session_id, GError **error) {
    g_autoptr(TtFeed) feed = find_feed(intake, session_id, error);

    if (!feed)
        return NULL;
    if (tt_feed_has_ended(feed)) {
        g_set_error(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_ENDED,
                    "The session has ended: only a running one can be marked, started or stopped");
        return NULL;
    }
    return g_steal_pointer(&feed);
}

/* -- List ------------------------------------------------------------------------------------- */

/* Counts down as workers have caught up; outlives the asker if one is late. */
typedef struct Roll {
    GMutex lock;
    GCond is_called;
    guint missing;
    gint64 deadline_us;
} Roll;

static void clear_roll(gpointer data) {
    Roll *roll = data;

    g_mutex_clear(&roll->lock);
    g_cond_clear(&roll->is_called);
}

typedef struct RollCall {
    Roll *roll;
    TtFeed *feed;
} RollCall;

static void run_roll_call(gpointer data) {
    RollCall *call = data;

    tt_feed_catch_up(call->feed, call->roll->deadline_us, NULL);
    g_mutex_lock(&call->roll->lock);
    call->roll->missing--;
    g_cond_signal(&call->roll->is_called);
    g_mutex_unlock(&call->roll->lock);
}

static void free_roll_call(gpointer data) {
    RollCall *call = data;

    tt_feed_unref(call->feed);
    g_atomic_rc_box_release_full(call->roll, clear_roll);
    g_free(call);
}

static void catch_all_up(GPtrArray *feeds) {
    Roll *roll = g_atomic_rc_box_new0(Roll);

    g_mutex_init(&roll->lock);
    g_cond_init(&roll->is_called);
    roll->deadline_us = g_get_monotonic_time() + LIST_US;
    for (guint i = 0; i < feeds->len; i++) {
        TtFeed *feed = g_ptr_array_index(feeds, i);
        RollCall *call = g_new(RollCall, 1);

        *call = (RollCall){g_atomic_rc_box_acquire(roll), tt_feed_ref(feed)};
        g_mutex_lock(&roll->lock);
        roll->missing++;
        g_mutex_unlock(&roll->lock);
        tt_worker_send(tt_feed_get_worker(feed), run_roll_call, call, free_roll_call);
    }
    g_mutex_lock(&roll->lock);
    while (roll->missing > 0 && g_cond_wait_until(&roll->is_called, &roll->lock, roll->deadline_us))
        ;
    g_mutex_unlock(&roll->lock);
    g_atomic_rc_box_release_full(roll, clear_roll);
}

void tt_session_card_free(TtSessionCard *card) {
    if (!card)
        return;
    g_free(card->exe);
    g_free(card);
}

static void free_card(gpointer data) { tt_session_card_free(data); }

static GPtrArray *make_cards(GPtrArray *feeds) {
    GPtrArray *cards = g_ptr_array_new_with_free_func(free_card);

    for (guint i = 0; i < feeds->len; i++)
        g_ptr_array_add(cards, tt_feed_make_card(g_ptr_array_index(feeds, i)));
    return cards;
}

GPtrArray *tt_intake_list(TtIntake *intake) {
    tt_accept_poll(intake->accept);
    g_autoptr(GPtrArray) feeds = tt_registry_list(intake->registry);
    catch_all_up(feeds);
    return make_cards(feeds);
}

GPtrArray *tt_intake_list_known(TtIntake *intake) {
    tt_accept_poll(intake->accept);
    g_autoptr(GPtrArray) feeds = tt_registry_list(intake->registry);
    return make_cards(feeds);
}

/* -- Snapshots -------------------------------------------------------------------------------- */

/* What keeps a snapshot's live blocks readable. */
typedef struct Held {
    TtFeed *feed;
    TtPin *pin;
    TtSnapshot *snapshot;
    guint64 realtime_ns; /* when it was taken, on the session's axis */
    /* Of the taking. */
    const TtInstant *instant;
    guint64 addr;
    GError *error;
    /* Of the fetch that is under way. */
    TtBlockRow *rows;
    gsize max, count;
} Held;

/* Returns the stamp of now, up to which the session is told then. */
static guint64 catch_up(Held *held) {
    const TtTimescale *scale = &tt_feed_get_info(held->feed)->timescale;
    guint64 stamp;

    tt_feed_catch_up(held->feed, G_MAXINT64, &stamp);
    held->realtime_ns = scale->start_realtime_ns + tt_timescale_ns(scale, stamp);
    return stamp;
}

static void run_take(gpointer data) {
    Held *held = data;
    guint64 stamp = catch_up(held);

    held->snapshot = tt_snapshot_new_at(tt_feed_get_session(held->feed), held->instant, stamp,
                                        &held->pin, &held->error);
}

static void run_fetch(gpointer data) {
    Held *held = data;

    held->count =
        tt_session_read_live(tt_feed_get_session(held->feed), held->pin, held->rows, held->max);
}

static void run_take_lives(gpointer data) {
    Held *held = data;

    (void)catch_up(held);
    held->snapshot = tt_snapshot_new_lives(tt_feed_get_session(held->feed), held->addr, &held->pin);
}

static gsize fetch(gpointer data, TtBlockRow *ret_rows, gsize max) {
    Held *held = data;

    held->rows = ret_rows;
    held->max = max;
    tt_worker_call(tt_feed_get_worker(held->feed), run_fetch, held);
    return held->count;
}

static void run_rewind(gpointer data) {
    Held *held = data;

    tt_session_rewind_pin(tt_feed_get_session(held->feed), held->pin);
}

static void rewind_live(gpointer data) {
    Held *held = data;

    tt_worker_call(tt_feed_get_worker(held->feed), run_rewind, held);
}

static void run_unpin(gpointer data) {
    Held *held = data;

    tt_session_unpin(tt_feed_get_session(held->feed), held->pin);
}

static void free_held(gpointer data) {
    Held *held = data;

    tt_feed_unref(held->feed);
    g_free(held);
}

static void release_held(gpointer data) {
    Held *held = data;

    tt_worker_send(tt_feed_get_worker(held->feed), run_unpin, held, free_held);
}

/* Has @run take a snapshot; @held becomes the snapshot's. */
static TtHeldSnapshot *take(Held *held, TtMessage run, GError **error) {
    TtHeldSnapshot *taken;

    tt_feed_wait_for_inheritance(held->feed);
    tt_worker_call(tt_feed_get_worker(held->feed), run, held);
    held->instant = NULL; /* the caller's */
    if (!held->snapshot) {
        g_propagate_error(error, held->error);
        free_held(held);
        return NULL;
    }
    tt_snapshot_set_fetch(held->snapshot, fetch, rewind_live, held);
    tt_snapshot_settle(held->snapshot);
    taken = g_new(TtHeldSnapshot, 1);
    *taken = (TtHeldSnapshot){.snapshot = held->snapshot,
                              .realtime_ns = held->realtime_ns,
                              .held = held,
                              .release = release_held};
    return taken;
}

TtHeldSnapshot *tt_intake_take_snapshot(TtIntake *intake, const guint8 *session_id,
                                        const TtInstant *instant, GError **error) {
    static const TtInstant now = {.kind = TT_INSTANT_NOW};
    TtFeed *feed = find_feed(intake, session_id, error);
    Held *held;

    if (!feed)
        return NULL;
    held = g_new0(Held, 1);
    held->feed = feed;
    held->instant = instant ? instant : &now;
    return take(held, run_take, error);
}

TtHeldSnapshot *tt_intake_take_lives(TtIntake *intake, const guint8 *session_id, guint64 addr,
                                     GError **error) {
    TtFeed *feed = find_feed(intake, session_id, error);
    Held *held;

    if (!feed)
        return NULL;
    held = g_new0(Held, 1);
    held->feed = feed;
    held->addr = addr;
    return take(held, run_take_lives, error);
}

void tt_held_snapshot_free(TtHeldSnapshot *taken) {
    if (!taken)
        return;
    tt_snapshot_free(taken->snapshot);
    taken->release(taken->held);
    g_free(taken);
}

void tt_intake_init_budget(TtIntake *intake, TtBudget *ret_budget) {
    tt_registry_init_budget(intake->registry, ret_budget);
}

/* -- Marks, recording ------------------------------------------------------------------------- */

typedef struct MarkCall {
    TtFeed *feed;
    const char *name;
} MarkCall;

static void run_mark(gpointer data) {
    MarkCall *call = data;

    tt_feed_add_mark(call->feed, (TtString){call->name, MIN(strlen(call->name), TT_STRING_MAX)});
}

gboolean tt_intake_add_mark(TtIntake *intake, const guint8 *session_id, const char *name,
                            GError **error) {
    g_autoptr(TtFeed) feed = find_running(intake, session_id, error);

    if (!feed)
        return FALSE;
    /* When that comes hangs on another process, and who asks may be the thread of all who ask. */
    if (tt_feed_is_inheriting(feed)) {
        g_set_error(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_BUSY,
                    "What the session inherits of its parent has not come yet: mark it again in a "
                    "moment");
        return FALSE;
    }
    tt_worker_call(tt_feed_get_worker(feed), run_mark, &(MarkCall){feed, name});
    return TRUE;
}

gboolean tt_intake_set_recording(TtIntake *intake, const guint8 *session_id, gboolean is_recording,
                                 GError **error) {
    g_autoptr(TtFeed) feed = find_running(intake, session_id, error);

    if (!feed)
        return FALSE;
    tt_feed_set_recording(feed, is_recording);
    return TRUE;
}

/* -- A program's own export ------------------------------------------------------------------- */

/* Until it is answered it holds the connection that asked. */
typedef struct Request {
    int socket_fd;
} Request;

void tt_intake_answer_export(gpointer request, int error, const char *message) {
    Request *asked = request;

    tt_message_send_export_done(asked->socket_fd, error, message);
    close(asked->socket_fd);
    g_free(asked);
}

/* The peer may have just connected as a child of whom the session is: its own pid decides. */
static const char *find_fault(TtFeed *feed, const TtCaller *caller, const TtRecordExport *request,
                              int *ret_error) {
    *ret_error = ENOTCONN; /* it has not yet seen that its own daemon is gone */
    if (!feed)
        return "The daemon does not know the session: it began before the daemon did";
    *ret_error = EINVAL;
    if (tt_feed_get_info(feed)->pid != caller->credentials.pid)
        return "The session is not that of the process that asks";
    if (request->format != TT_EXPORT_JSON && request->format != TT_EXPORT_SVG)
        return "The daemon does not know the format: install it and the library from one release";
    if (caller->passed_fd < 0)
        return "No descriptor to write to came with the request";
    return NULL;
}

char *tt_intake_serve_export(TtIntake *intake, TtCaller *caller, const TtRawRecord *raw) {
    TtRecordExport request;

    if (tt_decode_export(raw, &request) < 0 || request.session.len != TT_SESSION_ID_BYTES)
        return g_strdup("The request for an export is damaged");

    const guint8 *id = (const guint8 *)request.session.text;
    g_autoptr(TtFeed) feed = tt_registry_find(intake->registry, id);
    int error;
    const char *fault = find_fault(feed, caller, &request, &error);
    Request *asked = g_new(Request, 1);

    asked->socket_fd = caller->socket_fd;
    if (fault) {
        tt_intake_answer_export(asked, error, fault);
        return NULL;
    }
    int fd = caller->passed_fd;
    caller->passed_fd = -1;
    intake->on_export(intake->on_export_data, id, (TtExportFormat)request.format, fd, asked);
    return NULL;
}
