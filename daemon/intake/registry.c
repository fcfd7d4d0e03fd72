/* SPDX-License-Identifier: Apache-2.0 */
/* The list of sessions.
 *
 * Memory: what a session may take is decided when it begins, half of what is not yet given away, so
 * that the first ones get plenty and there is always something for the next. When a session ends
 * it is charged for what it really holds. Where little is left the oldest that ended go. */
#include "intake/registry.h"

#define LEAST_SHARE 256u /* a session may always have 1/256 of the limit */
#define SCARCE_SHARE 8u  /* less than 1/8 of the limit left: give up sessions that ended */

struct TtRegistry {
    gsize memory_limit_bytes;
    guint ended_max;
    GMutex lock;
    gsize lent_bytes;
    GPtrArray *feeds; /* of TtFeed, oldest first */
};

static void unref_feed(gpointer data) { tt_feed_unref(data); }

TtRegistry *tt_registry_new(gsize memory_limit_bytes, guint ended_max) {
    TtRegistry *registry = g_new0(TtRegistry, 1);

    registry->memory_limit_bytes = memory_limit_bytes;
    registry->ended_max = ended_max;
    registry->feeds = g_ptr_array_new_with_free_func(unref_feed);
    g_mutex_init(&registry->lock);
    return registry;
}

void tt_registry_free(TtRegistry *registry) {
    if (!registry)
        return;
    g_ptr_array_unref(registry->feeds);
    g_mutex_clear(&registry->lock);
    g_free(registry);
}

TtFeed *tt_registry_find(TtRegistry *registry, const guint8 *session_id) {
    TtFeed *found = NULL;

    g_mutex_lock(&registry->lock);
    for (guint i = 0; i < registry->feeds->len && !found; i++) {
        TtFeed *feed = g_ptr_array_index(registry->feeds, i);

        if (memcmp(tt_feed_get_info(feed)->id, session_id, TT_SESSION_ID_BYTES) == 0)
            found = tt_feed_ref(feed);
    }
    g_mutex_unlock(&registry->lock);
    return found;
}

TtFeed *tt_registry_find_newest(TtRegistry *registry, gint pid) {
    TtFeed *found = NULL;

    g_mutex_lock(&registry->lock);
    for (guint i = registry->feeds->len; i > 0 && !found; i--) {
        TtFeed *feed = g_ptr_array_index(registry->feeds, i - 1);

        if (tt_feed_get_info(feed)->pid == pid)
            found = tt_feed_ref(feed);
    }
    g_mutex_unlock(&registry->lock);
    return found;
}

GPtrArray *tt_registry_list(TtRegistry *registry) {
    GPtrArray *list = g_ptr_array_new_with_free_func(unref_feed);

    g_mutex_lock(&registry->lock);
    for (guint i = 0; i < registry->feeds->len; i++)
        g_ptr_array_add(list, tt_feed_ref(g_ptr_array_index(registry->feeds, i)));
    g_mutex_unlock(&registry->lock);
    return list;
}

void tt_registry_add(TtRegistry *registry, TtFeed *feed) {
    g_mutex_lock(&registry->lock);
    g_ptr_array_add(registry->feeds, tt_feed_ref(feed));
    g_mutex_unlock(&registry->lock);
}

guint tt_registry_get_running_count(TtRegistry *registry) {
    guint count = 0;

    g_mutex_lock(&registry->lock);
    for (guint i = 0; i < registry->feeds->len; i++)
        count += !tt_feed_has_ended(g_ptr_array_index(registry->feeds, i));
    g_mutex_unlock(&registry->lock);
    return count;
}

static gsize charge_of(TtFeed *feed) {
    TtSummary summary;

    if (!tt_feed_has_ended(feed))
        return tt_feed_get_detail_bytes(feed);
    tt_feed_get_summary(feed, &summary);
    return (gsize)summary.state_bytes;
}

/* Under the lock. */
static gsize get_left_bytes(TtRegistry *registry) {
    gsize charged = registry->lent_bytes;

    for (guint i = 0; i < registry->feeds->len; i++)
        charged += charge_of(g_ptr_array_index(registry->feeds, i));
    return registry->memory_limit_bytes - MIN(charged, registry->memory_limit_bytes);
}

/* Under the lock. Returns FALSE where none is left that ended. */
static gboolean give_up_oldest(TtRegistry *registry) {
    for (guint i = 0; i < registry->feeds->len; i++)
        if (tt_feed_has_ended(g_ptr_array_index(registry->feeds, i))) {
            g_ptr_array_remove_index(registry->feeds, i);
            return TRUE;
        }
    return FALSE;
}

/* Under the lock. */
static gsize grant_bytes(TtRegistry *registry) {
    gsize left;

    do
        left = get_left_bytes(registry);
    while (left < registry->memory_limit_bytes / SCARCE_SHARE && give_up_oldest(registry));
    return MAX(left / 2, registry->memory_limit_bytes / LEAST_SHARE);
}

gsize tt_registry_grant_bytes(TtRegistry *registry) {
    g_mutex_lock(&registry->lock);
    gsize bytes = grant_bytes(registry);
    g_mutex_unlock(&registry->lock);
    return bytes;
}

gsize tt_registry_lend_bytes(TtRegistry *registry) {
    g_mutex_lock(&registry->lock);
    gsize bytes = grant_bytes(registry);
    registry->lent_bytes += bytes;
    g_mutex_unlock(&registry->lock);
    return bytes;
}

void tt_registry_return_bytes(TtRegistry *registry, gsize bytes) {
    g_mutex_lock(&registry->lock);
    registry->lent_bytes -= bytes;
    g_mutex_unlock(&registry->lock);
}

void tt_registry_trim(TtRegistry *registry) {
    guint ended = 0;

    g_mutex_lock(&registry->lock);
    for (guint i = 0; i < registry->feeds->len; i++)
        ended += tt_feed_has_ended(g_ptr_array_index(registry->feeds, i));
    for (; ended > registry->ended_max; ended--)
        give_up_oldest(registry);
    g_mutex_unlock(&registry->lock);
}
