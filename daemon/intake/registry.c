/* SPDX-License-Identifier: Apache-2.0 */
/* The list of sessions.
 *
 * Memory: those that run grow into one pool, each as far as its share of what is left. When a
 * session ends it is charged for all that it holds. Those that ended first go where one that runs
 * would have to shed blocks, or a question be refused; what those that run do not use is no reason.
 */
#include "intake/registry.h"

/* Each session sets addresses aside for it, three times at most; there are 2^47. */
#define DETAIL_MAX ((gsize)16 << 30)

struct TtRegistry {
    TtPool pool;
    guint ended_max;
    GMutex lock;
    GPtrArray *feeds; /* of TtFeed, oldest first */
    GPtrArray *ended; /* those of them that ended, in that order; borrowed */
};

static void unref_feed(gpointer data) { tt_feed_unref(data); }

static gboolean make_room(gpointer data);

TtRegistry *tt_registry_new(gsize memory_limit_bytes, guint ended_max) {
    TtRegistry *registry = g_new0(TtRegistry, 1);

    tt_pool_init(&registry->pool, memory_limit_bytes, make_room, registry);
    registry->ended_max = ended_max;
    registry->feeds = g_ptr_array_new_with_free_func(unref_feed);
    registry->ended = g_ptr_array_new();
    g_mutex_init(&registry->lock);
    return registry;
}

void tt_registry_give_up_all(TtRegistry *registry) {
    g_mutex_lock(&registry->lock);
    g_ptr_array_set_size(registry->ended, 0);
    g_ptr_array_set_size(registry->feeds, 0);
    tt_pool_set_kept(&registry->pool, 0);
    g_mutex_unlock(&registry->lock);
}

void tt_registry_free(TtRegistry *registry) {
    if (!registry)
        return;
    g_ptr_array_unref(registry->ended);
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
    if (tt_feed_has_ended(feed)) /* on its worker, already */
        g_ptr_array_add(registry->ended, feed);
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

/* Under the lock. */
static void charge_ended(TtRegistry *registry) {
    gsize kept = 0;

    for (guint i = 0; i < registry->ended->len; i++) {
        TtSummary summary;

        tt_feed_get_summary(g_ptr_array_index(registry->ended, i), &summary);
        kept += (gsize)summary.state_bytes;
    }
    tt_pool_set_kept(&registry->pool, kept);
}

void tt_registry_note_ended(TtRegistry *registry, TtFeed *feed) {
    g_mutex_lock(&registry->lock);
    if (g_ptr_array_find(registry->feeds, feed, NULL) &&
        !g_ptr_array_find(registry->ended, feed, NULL))
        g_ptr_array_add(registry->ended, feed);
    charge_ended(registry);
    g_mutex_unlock(&registry->lock);
}

/* Under the lock. Returns FALSE where none is left that ended. A parent began before its children
 * and may end after them: the first that ended goes first. */
static gboolean give_up_first(TtRegistry *registry) {
    if (registry->ended->len == 0)
        return FALSE;
    g_ptr_array_remove(registry->feeds, g_ptr_array_steal_index(registry->ended, 0));
    charge_ended(registry);
    return TRUE;
}

/* On the worker of a session that grows, or the thread that answers a question. */
static gboolean make_room(gpointer data) {
    TtRegistry *registry = data;

    g_mutex_lock(&registry->lock);
    gboolean is_made = give_up_first(registry);
    g_mutex_unlock(&registry->lock);
    return is_made;
}

void tt_registry_set_limits(TtRegistry *registry, TtModelLimits *limits) {
    limits->detail_bytes = MIN(registry->pool.limit_bytes / 2, DETAIL_MAX);
    limits->detail_pool = &registry->pool;
}

void tt_registry_init_budget(TtRegistry *registry, TtBudget *ret_budget) {
    tt_budget_init(ret_budget, registry->pool.limit_bytes, &registry->pool);
    ret_budget->is_brief = TRUE;
}

void tt_registry_trim(TtRegistry *registry) {
    g_mutex_lock(&registry->lock);
    while (registry->ended->len > registry->ended_max)
        give_up_first(registry);
    g_mutex_unlock(&registry->lock);
}
