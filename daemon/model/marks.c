/* SPDX-License-Identifier: Apache-2.0 */
/* What marks keep, and in which order they give it up. */
#include "model/marks.h"

#include "model/state.h"

/* A row costs about as much as eight events. So much is free, which is a second's work; then so
 * many events must have come in for each row. */
#define FREE_ROWS (G_GUINT64_CONSTANT(1) << 22)
#define EVENTS_A_ROW 8u

#define DEAD_BYTES (sizeof(TtBlock) + sizeof(guint32)) /* of one that is kept */

static void forget_oldest(TtSession *session);

static guint64 count_rows(const TtSession *session) {
    return (guint64)session->sites.count + session->threads.count + session->names.variables->len +
           session->names.scopes->len;
}

static TtKeptMark *keep(TtSession *session) {
    TtKeptMark *kept = g_new(TtKeptMark, 1);

    *kept = (TtKeptMark){
        .mark_count = session->names.marks->len,
        .state = tt_state_new(session),
        .pin = tt_session_pin(session),
        .next_id = session->next_id,
        .death_count = tt_history_count_pushed(&session->history),
        .missed_count = session->history.skipped,
    };
    return kept;
}

static void forget(TtSession *session, TtKeptMark *kept) {
    if (kept->pin)
        tt_pins_remove(&session->pins, kept->pin, &session->blocks);
    tt_state_unref(kept->state);
    g_free(kept);
}

void tt_session_keep_instant(TtSession *session) {
    g_assert(!session->marks.wanted);
    session->marks.wanted = keep(session);
}

void tt_session_want_mark(TtSession *session, guint32 index) {
    session->marks.wanted_mark = index + 1;
}

void tt_session_keep_mark(TtSession *session) {
    TtMarks *marks = &session->marks;
    guint64 rows = count_rows(session);
    TtKeptMark *kept;

    if (session->names.marks->len == marks->wanted_mark) {
        tt_session_keep_instant(session);
        return;
    }

    if (session->limits.pinned_marks == 0 ||
        marks->spent + rows > FREE_ROWS + tt_session_count_events(session) / EVENTS_A_ROW)
        return;
    marks->spent += rows;

    kept = keep(session);
    g_queue_push_tail(&marks->kept, kept);
    marks->pinned_count++;
    gsize bytes = tt_state_bytes(kept->state);
    marks->state_bytes += bytes;
    tt_budget_force(&session->detail, bytes);
    while (marks->state_bytes > 0 && tt_budget_has_overdrawn_pool(&session->detail))
        forget_oldest(session);
    tt_session_bound_marks(session);
}

const TtKeptMark *tt_session_find_kept_mark(const TtSession *session, guint32 index) {
    const TtKeptMark *wanted = session->marks.wanted;

    if (wanted && session->marks.wanted_mark == index + 1)
        return wanted;
    for (const GList *link = session->marks.kept.tail; link; link = link->prev) {
        const TtKeptMark *kept = link->data;

        if (kept->mark_count == index + 1)
            return kept;
    }
    return NULL;
}

/* FALSE: there is none. */
static gboolean give_up_mark(TtSession *session) {
    TtMarks *marks = &session->marks;

    for (GList *link = marks->kept.head; link; link = link->next) {
        TtKeptMark *kept = link->data;

        if (!kept->pin)
            continue;
        tt_pins_remove(&session->pins, g_steal_pointer(&kept->pin), &session->blocks);
        marks->pinned_count--;
        return TRUE;
    }
    return FALSE;
}

/* FALSE: there is none. */
static gboolean give_up_wanted(TtSession *session) {
    TtKeptMark *wanted = session->marks.wanted;

    if (!wanted || !wanted->pin)
        return FALSE;
    tt_pins_remove(&session->pins, g_steal_pointer(&wanted->pin), &session->blocks);
    return TRUE;
}

/* Of a fork first: most children call exec, and never ask. FALSE: there is none. */
static gboolean give_up_pin(TtSession *session) {
    return tt_session_give_up_fork(session) || give_up_mark(session);
}

G_GNUC_NO_INLINE guint32 tt_session_take_pinned_slot(TtSession *session) {
    guint32 slot = 0;

    while (slot == 0 && (give_up_pin(session) || give_up_wanted(session)))
        slot = tt_blocks_take_slot(&session->blocks);
    return slot;
}

static void forget_oldest(TtSession *session) {
    TtMarks *marks = &session->marks;
    TtKeptMark *kept = g_queue_pop_head(&marks->kept);
    gsize bytes = tt_state_bytes(kept->state);

    marks->pinned_count -= kept->pin != NULL;
    marks->state_bytes -= bytes;
    tt_budget_give(&session->detail, bytes);
    forget(session, kept);
}

/* The dead that marks and forks keep. Those that a reader keeps go to the marks when it is done, if
 * they are of interest to them at all. */
static gsize count_dead(const TtSession *session) {
    const TtPins *pins = &session->pins;
    guint32 newest = 0;
    gsize count = 0;

    for (const GList *link = session->marks.kept.tail; link && newest == 0; link = link->prev) {
        const TtKeptMark *kept = link->data;

        if (kept->pin)
            newest = kept->pin->point->number;
    }
    for (const GList *link = session->forks.points.head; link; link = link->next)
        newest = MAX(newest, ((const TtForkPoint *)link->data)->pin->point->number);
    for (guint i = 0; i < pins->points->len; i++) {
        const TtPoint *point = pins->points->pdata[i];

        if (point->number <= newest)
            count += point->dead->len;
    }
    return count;
}

void tt_session_bound_marks(TtSession *session) {
    TtMarks *marks = &session->marks;
    gsize half = session->limits.pinned_bytes / 2;

    while (marks->state_bytes > half)
        forget_oldest(session);
    while (marks->pinned_count > session->limits.pinned_marks + session->forks.points.length)
        (void)give_up_mark(session);
    if (session->pins.dead_count * DEAD_BYTES <= half)
        return;
    while (count_dead(session) * DEAD_BYTES > half && give_up_pin(session))
        ;
}

void tt_session_clear_marks(TtSession *session) {
    while (!g_queue_is_empty(&session->marks.kept))
        forget_oldest(session);
    if (session->marks.wanted)
        forget(session, g_steal_pointer(&session->marks.wanted));
}
