/* SPDX-License-Identifier: Apache-2.0 */
/* Children of one parent are served one after another. Side by side, all would wait until the last
 * is served, and each would hold a part of its blocks meanwhile: a hundred that end at once would
 * share the memory of the daemon in their first moment, where one after another each has room for
 * all, and gives it to the next when it has ended. The instant of each is kept when it comes. */
#include "intake/estate.h"

#define PIECE_BYTES ((gsize)256 << 10)
#define TURN_US (5 * G_TIME_SPAN_MILLISECOND) /* that a parent is read further in one go */
#define RETRY_MS 2u                           /* it is behind, or the child's recording is */

struct TtEstate {
    TtEstates *estates;
    TtFeed *child, *parent;
    TtForkInstant instant;
    guint64 asked_stamp; /* when its parent was asked first, by the parent's clock; 0: not yet */
    TtBequest *bequest;  /* the parent's owner's */
    GByteArray *records; /* of a piece */
    gboolean is_last;
};

void tt_estates_init(TtEstates *estates) {
    g_mutex_init(&estates->lock);
    g_cond_init(&estates->is_changed);
    estates->count = 0;
    estates->is_closed = FALSE;
}

void tt_estates_clear(TtEstates *estates) {
    g_mutex_clear(&estates->lock);
    g_cond_clear(&estates->is_changed);
}

void tt_estates_close(TtEstates *estates) {
    g_mutex_lock(&estates->lock);
    estates->is_closed = TRUE;
    while (estates->count > 0)
        g_cond_wait(&estates->is_changed, &estates->lock);
    g_mutex_unlock(&estates->lock);
}

static gboolean is_closed(TtEstate *estate) {
    g_mutex_lock(&estate->estates->lock);
    gboolean is_closed = estate->estates->is_closed;
    g_mutex_unlock(&estate->estates->lock);
    return is_closed;
}

static void run_bequeath(gpointer data);
static void run_take(gpointer data);

static gboolean on_retry_bequeath(gpointer data) {
    run_bequeath(data);
    return G_SOURCE_REMOVE;
}

static gboolean on_retry_take(gpointer data) {
    run_take(data);
    return G_SOURCE_REMOVE;
}

static void retry(TtFeed *feed, GSourceFunc call, TtEstate *estate) {
    GSource *source = g_timeout_source_new(RETRY_MS);

    g_source_set_callback(source, call, estate, NULL);
    g_source_attach(source, tt_worker_get_context(tt_feed_get_worker(feed)));
    g_source_unref(source);
}

/* On the child's worker; the bequest is given back. */
static void free_estate(TtEstate *estate) {
    TtEstates *estates = estate->estates;

    tt_feed_unref(estate->parent);
    tt_feed_unref(estate->child);
    g_byte_array_unref(estate->records);
    g_free(estate);
    g_mutex_lock(&estates->lock);
    estates->count--;
    g_cond_signal(&estates->is_changed);
    g_mutex_unlock(&estates->lock);
}

/* On the child's worker. */
static void run_take(gpointer data) {
    TtEstate *estate = data;

    if (!is_closed(estate) && tt_feed_is_behind(estate->child)) {
        retry(estate->child, on_retry_take, estate);
        return;
    }
    tt_feed_take_inheritance(estate->child, estate->records->data, estate->records->len,
                             estate->is_last);
    if (estate->is_last) {
        free_estate(estate);
        return;
    }
    g_byte_array_set_size(estate->records, 0);
    tt_worker_send(tt_feed_get_worker(estate->parent), run_bequeath, estate, NULL);
}

/* Whether the parent has come as far as it was when it was asked, which is later than the fork. */
static gboolean read_on(TtEstate *estate) {
    if (estate->asked_stamp == 0)
        estate->asked_stamp = tt_feed_read_clock(estate->parent);
    return tt_feed_catch_up_to(estate->parent, estate->asked_stamp,
                               g_get_monotonic_time() + TURN_US);
}

/* Keeps the instant, and has the child line up. Returns whether its turn has come. */
static gboolean line_up(TtEstate *estate) {
    GQueue *heirs = tt_feed_get_heirs(estate->parent);

    estate->bequest = tt_bequest_new(tt_feed_get_session(estate->parent), &estate->instant);
    g_queue_push_tail(heirs, estate);
    return heirs->length == 1;
}

/* It has all: the next one's turn. */
static void leave_line(TtEstate *estate) {
    GQueue *heirs = tt_feed_get_heirs(estate->parent);

    g_clear_pointer(&estate->bequest, tt_bequest_free);
    if (g_queue_peek_head(heirs) != estate)
        return; /* it was closed before it lined up */
    g_queue_pop_head(heirs);
    if (!g_queue_is_empty(heirs))
        tt_worker_send(tt_feed_get_worker(estate->parent), run_bequeath, g_queue_peek_head(heirs),
                       NULL);
}

/* On the parent's worker. */
static void run_bequeath(gpointer data) {
    TtEstate *estate = data;

    estate->is_last = is_closed(estate);
    if (!estate->is_last && !estate->bequest) {
        if (!read_on(estate)) {
            retry(estate->parent, on_retry_bequeath, estate);
            return;
        }
        if (!line_up(estate))
            return;
    }
    if (!estate->is_last)
        estate->is_last = !tt_bequest_write(estate->bequest, estate->records, PIECE_BYTES);
    if (estate->is_last)
        leave_line(estate);
    tt_worker_send(tt_feed_get_worker(estate->child), run_take, estate, NULL);
}

void tt_estate_settle(TtEstates *estates, TtFeed *child, TtFeed *parent,
                      const TtForkInstant *instant) {
    TtEstate *estate = g_new0(TtEstate, 1);

    *estate = (TtEstate){
        .estates = estates,
        .child = tt_feed_ref(child),
        .parent = tt_feed_ref(parent),
        .instant = *instant,
        .records = g_byte_array_new(),
    };
    g_mutex_lock(&estates->lock);
    estates->count++;
    g_mutex_unlock(&estates->lock);
    tt_worker_send(tt_feed_get_worker(parent), run_bequeath, estate, NULL);
}
