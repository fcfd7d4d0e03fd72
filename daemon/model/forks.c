/* SPDX-License-Identifier: Apache-2.0 */
#include "model/forks.h"

#include "model/state.h"

#define POINTS_SHARE 4u /* of the memory for pins, besides what they keep; as much for the line */

/* But for what died in the midst of the fork, which is charged as it is collected. */
#define POINT_BYTES (sizeof(TtForkPoint) + sizeof(GList) + sizeof(GArray))

static gsize count_dead_bytes(const GArray *dead) { return dead->len * sizeof(TtLateDead); }

static gsize count_bytes(const TtForkPoint *point) {
    return POINT_BYTES + count_dead_bytes(point->dead);
}

static void free_dead(TtSession *session, GArray *dead) {
    tt_budget_give(&session->detail, count_dead_bytes(dead));
    g_array_unref(dead);
}

static void push_point(TtSession *session, TtForkPoint *point) {
    g_queue_push_tail(&session->forks.points, point);
    session->forks.bytes += count_bytes(point);
    tt_budget_force(&session->detail, POINT_BYTES);
    session->marks.pinned_count++;
}

/* What died goes with it. */
static TtForkPoint *take_point(TtSession *session, GList *link) {
    TtForkPoint *point = link->data;

    g_queue_delete_link(&session->forks.points, link);
    session->forks.bytes -= count_bytes(point);
    tt_budget_give(&session->detail, POINT_BYTES);
    session->marks.pinned_count--;
    return point;
}

gboolean tt_session_give_up_fork(TtSession *session) {
    GList *oldest = session->forks.points.head;

    if (!oldest)
        return FALSE;
    TtForkPoint *point = take_point(session, oldest);
    tt_pins_remove(&session->pins, point->pin, &session->blocks);
    free_dead(session, point->dead);
    g_free(point);
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

/* Charged to the session's detail: as many as it has room for, and @max_bytes. */
static GArray *collect(TtSession *session, guint64 since, gsize max_bytes,
                       gboolean *ret_knows_all) {
    const TtHistory *history = &session->history;
    gsize count = count_dead(history, since, ret_knows_all);

    if (count > max_bytes / sizeof(TtLateDead)) {
        count = max_bytes / sizeof(TtLateDead);
        *ret_knows_all = FALSE;
    }
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

static gsize get_share(const TtSession *session) {
    return session->limits.pinned_bytes / POINTS_SHARE;
}

/* Of many children that come at once each has its own, and together they leave the parent room for
 * its blocks. */
GArray *tt_session_collect_dead(TtSession *session, guint64 since, gboolean *ret_knows_all) {
    gsize held = session->forks.line_bytes, share = get_share(session);
    GArray *dead = collect(session, since, share - MIN(held, share), ret_knows_all);

    session->forks.line_bytes += count_dead_bytes(dead);
    return dead;
}

void tt_session_free_dead(TtSession *session, GArray *dead) {
    session->forks.line_bytes -= count_dead_bytes(dead);
    free_dead(session, dead);
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

static gboolean has_come(const TtForks *forks, guint64 token) {
    for (guint i = 0; i < TT_FORKS_AHEAD_MAX; i++)
        if (forks->ahead[i] == token)
            return TRUE;
    return FALSE;
}

/* What the points see is bounded where marks are (marks.c), whose pins share it. */
static gboolean is_over_bounds(const TtSession *session) {
    return session->forks.points.length > session->limits.pinned_forks ||
           session->forks.bytes > get_share(session) ||
           tt_budget_has_overdrawn_pool(&session->detail);
}

void tt_session_add_fork(TtSession *session, guint16 thread, const TtRecordFork *record) {
    TtForks *forks = &session->forks;
    TtThread *at = &session->threads.threads[thread];
    guint64 token = record->token;
    TtForkPoint *point;

    tt_session_advance(session, record->stamp);
    at->told_fork = token;
    /* A child may be faster than its parent. */
    if (token == 0 || session->limits.pinned_forks == 0 || session->limits.pinned_bytes == 0 ||
        has_come(forks, token))
        return;
    point = g_new0(TtForkPoint, 1);
    point->token = token;
    point->scopes = get_scopes(at);
    point->dead =
        collect(session, tt_session_tick_of(session, token), G_MAXSIZE, &point->knows_all);
    point->pin = tt_session_pin(session);
    push_point(session, point);
    while (is_over_bounds(session) && tt_session_give_up_fork(session))
        ;
}

TtForkPoint *tt_session_claim_fork(TtSession *session, guint64 token) {
    TtForks *forks = &session->forks;

    if (token == 0)
        return NULL;
    for (GList *link = forks->points.head; link; link = link->next) {
        const TtForkPoint *point = link->data;

        if (point->token != token)
            continue;
        forks->line_bytes += count_dead_bytes(point->dead);
        return take_point(session, link);
    }
    forks->ahead[forks->ahead_count++ % TT_FORKS_AHEAD_MAX] = token;
    return NULL;
}
