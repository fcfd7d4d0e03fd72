/* SPDX-License-Identifier: Apache-2.0 */
/* A session: what is known of one process image. Events go in here, in their one order; a snapshot
 * (snapshot.h) is how anything comes out. Owned by one worker: every function here is for the
 * owner's thread alone, and none blocks. */
#pragma once

#include <glib.h>

#include "base/limits.h"
#include "protocol/decode.h"

G_BEGIN_DECLS

/* Stamps to nanoseconds since the session began: (stamp - start_stamp) * mult >> shift. Fixed when
 * the session begins, so that one event has one time in every export. */
typedef struct TtTimescale {
    guint64 start_stamp;
    guint64 mult;
    guint shift;
    guint64 start_realtime_ns;
} TtTimescale;

/* Stamps before the session's start are its start. */
static inline guint64 tt_timescale_ns(const TtTimescale *scale, guint64 stamp) {
    if (stamp <= scale->start_stamp)
        return 0;
    return (guint64)(((unsigned __int128)(stamp - scale->start_stamp) * scale->mult) >>
                     scale->shift);
}

/* The last stamp whose time is @ns, or before it. */
static inline guint64 tt_timescale_stamp(const TtTimescale *scale, guint64 ns) {
    unsigned __int128 ticks =
        ((((unsigned __int128)ns + 1) << scale->shift) - 1) / MAX(scale->mult, 1);

    return ticks > G_MAXUINT64 - scale->start_stamp ? G_MAXUINT64
                                                    : scale->start_stamp + (guint64)ticks;
}

typedef enum TtSessionState {
    TT_SESSION_RUNNING,
    TT_SESSION_EXITED,
    TT_SESSION_KILLED,
    TT_SESSION_EXEC,
    TT_SESSION_ENDED, /* the cause cannot be known */
    TT_SESSION_LOST,  /* the connection broke and the process may live */
} TtSessionState;

/* The words of TtSessionState as they stand in JSON: "running", … */
const char *tt_session_state_name(TtSessionState state);

/* What a session is told of itself when it begins. Strings are raw bytes, perhaps not UTF-8. */
typedef struct TtSessionInfo {
    guint8 id[TT_SESSION_ID_BYTES];
    gint pid;     /* in the daemon's pid namespace */
    gint own_pid; /* as the process sees itself */
    char *exe;
    char **command_line; /* NULL-terminated */
    TtTimescale timescale;
    guint64 page_size;
    guint64 sample_bytes; /* mean distance of samples; 0: every event is told */
    guint hello_flags;    /* TtHelloFlags */
    TtRelation parent_relation;
    guint8 parent_id[TT_SESSION_ID_BYTES]; /* meaningful unless TT_RELATION_NONE */
    guint64 untraced_before_ns;
    gboolean inherits; /* its parent's state is told it first (tt_session_inherit) */
    TtClock clock;     /* of the stamps, a clock that the model never reads; */
    guint clock_shift;
    char *process_start; /* by which intake knows it again (process.h); NULL: not known */
} TtSessionInfo;

TtSessionInfo *tt_session_info_copy(const TtSessionInfo *info);
void tt_session_info_free(TtSessionInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtSessionInfo, tt_session_info_free)

/* Bounds of what a session keeps. Past one, detail is shed and declared, totals never. */
typedef struct TtModelLimits {
    gsize history_blocks; /* freed lifecycles kept in full; the newest stay */
    gsize stack_nodes;    /* past it stacks become "other" */
    gsize names;          /* distinct variables, scopes, marks each */
    gsize timeline_points;
    gsize detail_bytes;  /* blocks and their index; past it new blocks are counted only */
    TtPool *detail_pool; /* what those are taken out of besides; outlives the session; or NULL */
    gsize pinned_marks;  /* marks whose blocks are kept as they were; the newest are */
    gsize pinned_forks;  /* forks whose blocks are kept so for a child that may ask; the newest */
    /* Of detail_bytes, for those: half for blocks that died, half for sums of marks; for what was
     * freed in the midst of a fork a quarter as much besides. */
    gsize pinned_bytes;
} TtModelLimits;

void tt_model_limits_init(TtModelLimits *limits); /* the defaults */

typedef struct TtSession TtSession;

/**
 * tt_session_new:
 * @info: (transfer none): copied
 * @limits: (nullable): copied; %NULL for the defaults
 *
 * Returns: (transfer full): an empty running session; never %NULL
 */
TtSession *tt_session_new(const TtSessionInfo *info, const TtModelLimits *limits);
void tt_session_free(TtSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtSession, tt_session_free)

/* What it holds counts in its pool no longer: it has ended, and is charged to who keeps it. */
void tt_session_leave_pool(TtSession *session);

const TtSessionInfo *tt_session_get_info(const TtSession *session);

/**
 * tt_session_apply:
 * @events: in order of their stamps; thread is an index from tt_session_get_thread
 *
 * Applies heap events. Nothing in them is trusted: the impossible is counted (unknown frees, births
 * at a live address, which synthesize the missing free) and the books stay balanced. A reallocation
 * changes the live bytes in one step, at its REALLOC_END. The hot path: prefetches across @events,
 * allocates nothing per event.
 *
 * Of a sampled session (sample_bytes) the events are those of the blocks in the sample. All sums
 * are then estimates, in whole numbers that balance as well; a death of any other block is ignored.
 */
void tt_session_apply(TtSession *session, const TtEvent *events, gsize count);

/* The same for events of several threads, whose order may be wrong by some hundred nanoseconds: a
 * processor reads its time stamp counter ahead of what it waits for. What cannot be (a birth at a
 * live address, a death of no block) is then what came after its cause, which is looked for among
 * the events that follow; it is applied before, and its op set to 0.
 *
 * @ahead: how many events after the @count are known, for the look; they are not applied otherwise
 */
void tt_session_apply_ahead(TtSession *session, TtEvent *events, gsize count, gsize ahead);

/* Definitions. They are given as soon as they are read, ahead of the events in order. FALSE: out of
 * bounds or a second definition of an id; the session is as before. */
gboolean tt_session_define_stack(TtSession *session, const TtRecordStack *record);
gboolean tt_session_define_module(TtSession *session, const TtRecordModule *record);
gboolean tt_session_define_segment(TtSession *session, const TtRecordSegment *record);
void tt_session_end_module(TtSession *session, const TtRecordModuleGone *record);

/* Is an id defined? */
gboolean tt_session_has_stack(const TtSession *session, guint64 id);
gboolean tt_session_has_module(const TtSession *session, guint64 id);

#define TT_THREAD_OTHER 65534u /* the greatest index of a thread; 65535 says none */

/* The index of the thread with this kernel tid that writes lane @lane now; made when it is new. A
 * tid that comes back in another lane, or in the same one after tt_session_end_thread, is another
 * thread. When there are too many, the last one, "other", serves all. */
guint16 tt_session_get_thread(TtSession *session, guint lane, guint32 tid);

/* The thread that writes lane @lane has ended. */
void tt_session_end_thread(TtSession *session, guint lane);

void tt_session_name_thread(TtSession *session, guint16 thread, const TtRecordThread *record);

/* What is in order with the events: the caller has applied all earlier ones. */
void tt_session_fail_realloc(TtSession *session, guint16 thread, guint64 stamp);

/* The thread's open reallocation ended its block, and of the new one nothing is known. */
void tt_session_leave_realloc(TtSession *session, guint16 thread, guint64 stamp);

/* Some blocks are not told, on purpose: from here on deaths of unknown ones mean nothing, and what
 * those are resized to is not told either. */
void tt_session_pause(TtSession *session, guint64 stamp);

/* A mark keeps the state as of now, within bounds (tt_snapshot_new_at). */
void tt_session_add_mark(TtSession *session, guint64 stamp, TtString name);

/* For whom a session is told again, to know all of one instant. Either once: */
void tt_session_keep_instant(TtSession *session); /* now: the time that is asked for, or the peak */
void tt_session_want_mark(TtSession *session, guint32 index); /* that is to come: has it kept */
void tt_session_name_block(TtSession *session, guint16 thread, const TtRecordVariable *record);

/* What the allocator gave the block that the thread's last birth was. */
void tt_session_measure_block(TtSession *session, guint16 thread, const TtRecordUsable *record);
void tt_session_enter_scope(TtSession *session, guint16 thread, const TtRecordScopeEnter *record);
void tt_session_leave_scope(TtSession *session, guint16 thread, const TtRecordScopeLeave *record);
void tt_session_add_gap(TtSession *session, guint16 thread, const TtRecordGap *record);

/* The session goes on after a time of which nothing is known of any thread: from @first_stamp to
 * @stamp, in which at least @count events were lost. One that had ended as lost runs again. */
void tt_session_resume(TtSession *session, const TtRecordInterruption *record);

/* The thread has forked: what lives now can be told to a child that asks later (bequest.h), within
 * bounds. */
void tt_session_add_fork(TtSession *session, guint16 thread, const TtRecordFork *record);

/* Takes a record of what a forked child began with (INHERITANCE to INHERITANCE_END), before
 * anything else but definitions and doubts. FALSE: it cannot be, and the session is as before. */
gboolean tt_session_inherit(TtSession *session, const TtRawRecord *raw);

/* Sets the number of events known dropped and not declared by a gap (lanes' live counters). */
void tt_session_set_dropped(TtSession *session, guint64 dropped_events);

/* The process or the connection ended. @exit_status: as from wait(2) (WIFEXITED …), or -1 where it
 * cannot be known. @stamp: 0 for the last event's. May be called again with better knowledge (state
 * ENDED to EXITED). */
void tt_session_end(TtSession *session, TtSessionState state, gint exit_status, guint64 stamp);

/* Notes something that makes the figures less than exact, once each: a sentence for people. */
void tt_session_add_doubt(TtSession *session, const char *sentence);

/* What `list` shows. Cheap. */
typedef struct TtSummary {
    TtSessionState state;
    gint exit_status; /* as from wait(2), or -1 */
    guint64 live_bytes, live_blocks, peak_bytes;
    guint64 cumulative_allocations, cumulative_allocated;
    guint64 events; /* allocations and frees recorded, a realloc of a block is two */
    guint64 dropped_events;
    guint64 sample_bytes; /* more than 0: bytes, blocks and allocations are estimates */
    guint64 state_bytes;  /* memory that the session holds in the daemon */
} TtSummary;

void tt_session_get_summary(const TtSession *session, TtSummary *ret_summary);

G_END_DECLS
