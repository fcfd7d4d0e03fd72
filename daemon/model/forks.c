/* SPDX-License-Identifier: Apache-2.0 */
#include "model/forks.h"

#include "model/state.h"

static void free_point(TtSession *session, TtForkPoint *point) {
    if (point->pin) {
        tt_pins_remove(&session->pins, point->pin, &session->blocks);
        session->marks.pinned_count--;
    }
    tt_session_free_dead(session, point->dead);
    g_free(point);
}

gboolean tt_session_give_up_fork(TtSession *session) {
    TtForkPoint *point = g_queue_pop_head(&session->forks.points);

    if (!point)
        return FALSE;
    free_point(session, point);
    return TRUE;
}

void tt_session_clear_forks(TtSession *session) {
    while (tt_session_give_up_fork(session))
        ;
}

/* ---- What has died since ---- */

static TtLateDead expand(const TtSession *session, const TtFreed *freed) {
    TtLateDead dead = {
        .addr = freed->addr,
        .size = freed->size,
        .born = freed->born,
        .died = freed->died,
        .variable = TT_NONE,
        .scope = TT_NONE,
        .thread = freed->thread,
    };
    guint32 site = freed->site_or_extras;

    if (freed->has_extras) {
        const TtExtras *extras = tt_extras_get(&session->blocks.extras, site);

        if (extras->wide_extras) {
            const TtExtras *wide = tt_extras_get(&session->blocks.extras, extras->wide_extras);

            dead.addr = wide->wide.addr;
            dead.size = wide->wide.size;
        }
        dead.variable = extras->variable;
        dead.scope = extras->scope;
        dead.spare = tt_extras_get_spare(extras);
        site = extras->site;
    }
    dead.stack = session->sites.stack_of[site];
    return dead;
}

/* 0: the newest */
static const TtFreed *get_freed(const TtHistory *history, gsize age) {
    return &history->ring[history->next - 1 - age + (history->next > age ? 0 : history->room)];
}

/* How many there are from a tick on. */
static gsize count_dead(const TtHistory *history, guint64 since, gboolean *ret_knows_all) {
    for (gsize age = 0; age < history->count; age++)
        if (get_freed(history, age)->died < since) {
            /* One older is there still, so are all that came later. */
            *ret_knows_all = history->skipped == 0;
            return age;
        }
    *ret_knows_all = history->total == history->count;
    return history->count;
}

GArray *tt_session_collect_dead(TtSession *session, guint64 since, gboolean *ret_knows_all) {
    const TtHistory *history = &session->history;
    gsize count = count_dead(history, since, ret_knows_all);

    /* As many as there is room for: of many children that come at once each has its own. */
    while (count > 0 && !tt_budget_take(&session->detail, count * sizeof(TtLateDead))) {
        count /= 2;
        *ret_knows_all = FALSE;
    }
    GArray *found = g_array_sized_new(FALSE, FALSE, sizeof(TtLateDead), (guint)count);
    for (gsize age = 0; age < count; age++) {
        TtLateDead dead = expand(session, get_freed(history, age));
        g_array_append_val(found, dead);
    }
    return found;
}

void tt_session_free_dead(TtSession *session, GArray *dead) {
    tt_budget_give(&session->detail, dead->len * sizeof(TtLateDead));
    g_array_unref(dead);
}

/* ---- Scopes ---- */

static TtOpenScopes get_scopes(const TtThread *thread) {
    return (TtOpenScopes){.scope = thread->scope, .depth = thread->scope_depth};
}

gboolean tt_session_find_fork_scopes(const TtSession *session, guint64 tid, guint64 token,
                                     TtOpenScopes *ret_scopes) {
    guint32 index = tt_threads_find(&session->threads, tid);
    const TtThread *thread = index != TT_NONE ? &session->threads.threads[index] : NULL;

    if (token == 0 || (thread && token <= thread->told_fork))
        return FALSE;
    if (!thread && session->heritage.open.depth == 0)
        return FALSE;
    /* One that was forked itself has no lane before its first call. */
    *ret_scopes = thread ? get_scopes(thread) : session->heritage.open;
    return TRUE;
}

/* ---- Points ---- */

static gboolean is_claimed(const TtForks *forks, guint64 token) {
    for (guint i = 0; i < TT_FORK_POINTS_MAX; i++)
        if (forks->claimed[i] == token)
            return TRUE;
    return FALSE;
}

void tt_session_add_fork(TtSession *session, guint16 thread, const TtRecordFork *record) {
    TtForks *forks = &session->forks;
    TtThread *at = &session->threads.threads[thread];
    guint64 token = record->token;
    TtForkPoint *point;

    tt_session_advance(session, record->stamp);
    at->told_fork = token;
    /* A child may be faster than its parent. */
    if (token == 0 || session->limits.pinned_bytes == 0 || is_claimed(forks, token))
        return;
    while (forks->points.length >= TT_FORK_POINTS_MAX)
        (void)tt_session_give_up_fork(session);
    point = g_new0(TtForkPoint, 1);
    point->token = token;
    point->scopes = get_scopes(at);
    point->dead =
        tt_session_collect_dead(session, tt_session_tick_of(session, token), &point->knows_all);
    point->pin = tt_session_pin(session);
    session->marks.pinned_count++;
    g_queue_push_tail(&forks->points, point);
}

TtForkPoint *tt_session_claim_fork(TtSession *session, guint64 token) {
    TtForks *forks = &session->forks;

    if (token == 0)
        return NULL;
    forks->claimed[forks->claimed_count++ % TT_FORK_POINTS_MAX] = token;
    for (GList *link = forks->points.head; link; link = link->next) {
        TtForkPoint *point = link->data;

        if (point->token != token)
            continue;
        g_queue_delete_link(&forks->points, link);
        session->marks.pinned_count--; /* it is the claimer's */
        return point;
    }
    return NULL;
}
