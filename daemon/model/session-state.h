/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: what a session consists of. session.c makes it and takes what is rare,
 * apply.c the heap events, snapshot.c shows it to others. */
#pragma once

#include "model/forks.h"
#include "model/heritage.h"
#include "model/history.h"
#include "model/index.h"
#include "model/marks.h"
#include "model/modules.h"
#include "model/names.h"
#include "model/pins.h"
#include "model/shed.h"
#include "model/sites.h"
#include "model/threads.h"
#include "model/timeline.h"

G_BEGIN_DECLS

/* Sums stay below this by construction: a block that would lift the allocated bytes beyond it is
 * taken for a smaller one. So no sum can wrap, and all of them balance. */
#define TT_SUM_MAX ((guint64)G_MAXINT64)

/* The owner's thread alone touches it, but for what its parts say of themselves. */
struct TtSession {
    /* Every event. Ticks are stamps since @start_stamp, the session's start or, where blocks
     * were inherited, that of its first ancestor; never running backwards. */
    guint64 start_stamp;
    guint64 now;          /* tick of the last event */
    guint64 next_id;      /* births so far, inherited blocks too, are one less */
    guint64 allocated;    /* this and what follows by weight: sampling.h */
    guint64 frees, freed; /* the synthesized too */
    guint64 live_bytes, live_blocks;
    guint64 reallocations;
    guint64 temporary;
    TtSites sites;
    TtThreads threads;
    TtBlocks blocks;
    TtIndex index;
    TtHistory history;
    TtPins pins;
    TtMarks marks;
    TtForks forks;
    TtHeritage heritage;
    TtTimeline timeline;

    /* The impossible, the unknown, the lost. */
    guint64 unknown_frees, double_frees, synthesized_frees;
    guint64 lookback_credit;         /* events for which no lookup of a double free has been made */
    TtEvent *next_event, *known_end; /* of the batch underway: those that come after this one */
    guint64 hindsight;               /* stamps by which a thread's may precede their cause */
    guint64 unknown_names;           /* variables that pointed to no block */
    gboolean has_paused;             /* some blocks are not told, on purpose */
    guint64 pause_tick;              /* then: from when on; 0: since before the session */
    guint64 gap_events;              /* lost, as gaps declare */
    guint64 dropped_events;          /* lost otherwise */
    TtSampling sampling;
    TtShed shed;
    GArray *gaps;      /* of TtGapRow, times as stamps */
    GPtrArray *doubts; /* of GRefString, each once */

    TtNames names;
    TtModules modules;
    TtStacks *stacks;
    TtBudget detail;
    TtModelLimits limits;
    TtSessionInfo *info;
    TtSessionState state;
    gint exit_status;
};

static inline gboolean tt_session_is_sampled(const TtSession *session) {
    return session->sampling.mean_bytes != 0;
}

/* Births of whatever weight. */
static inline guint64 tt_session_count_allocations(const TtSession *session) {
    return tt_session_is_sampled(session) ? session->sampling.allocations
                                          : session->next_id - 1 - session->heritage.id_count;
}

/* Births recorded. */
static inline guint64 tt_session_count_births(const TtSession *session) {
    return session->next_id - 1 - session->heritage.id_count;
}

/* For stamps that tt_session_advance does not take as they are. Cold. */
void tt_session_advance_oddly(TtSession *session, guint64 stamp);

/* Sets the clock forward to an event's stamp; one that would set it back leaves it. */
static inline guint64 tt_session_advance(TtSession *session, guint64 stamp) {
    guint64 tick = stamp - session->start_stamp;

    /* One test for: before the start, before the last event, and beyond what records hold. */
    if (G_UNLIKELY(tick - session->now > TT_TICKS_MAX - session->now))
        tt_session_advance_oddly(session, stamp);
    else
        session->now = tick;
    return session->now;
}

/* After each step of the live bytes. */
static inline void tt_session_settle(TtSession *session) {
    tt_sites_note_total(&session->sites, session->live_bytes, session->live_blocks, session->now);
    tt_timeline_note(&session->timeline, session->now, session->live_bytes, session->live_blocks);
}

/* A thread's open reallocation has not moved its block, as far as is known: back to its address,
 * or, where another is alive by now, taken for freed. No-op without one. */
void tt_session_reopen(TtSession *session, guint16 thread);

/* Gives a live block a variable's name. */
void tt_session_set_variable(TtSession *session, guint32 slot, guint32 variable);

/* The scope that a thread's births belong to, or TT_NONE. */
guint32 tt_session_get_scope(TtSession *session, const TtThread *thread);

/* Allocations and frees recorded, which those that nobody recorded are not. */
static inline guint64 tt_session_count_events(const TtSession *session) {
    guint64 deaths = tt_session_is_sampled(session) ? session->sampling.deaths : session->frees;

    return tt_session_count_births(session) + deaths - session->synthesized_frees +
           session->unknown_frees + session->double_frees;
}

/* Whether events are known to be missing: then a block may have been born or freed unseen. */
static inline gboolean tt_session_has_missed(const TtSession *session) {
    return session->gaps->len > 0 || session->dropped_events > 0 || session->doubts->len > 0 ||
           session->info->untraced_before_ns > 0 || session->info->sample_bytes > 0;
}

/* The tick of a stamp that may lie outside the session. */
static inline guint64 tt_session_tick_of(const TtSession *session, guint64 stamp) {
    return stamp > session->start_stamp ? MIN(stamp - session->start_stamp, TT_TICKS_MAX) : 0;
}

static inline guint64 tt_session_tick_ns(const TtSession *session, guint64 tick) {
    return tt_timescale_ns(&session->info->timescale, session->start_stamp + tick);
}

G_END_DECLS
