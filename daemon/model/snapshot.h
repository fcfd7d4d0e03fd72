/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot: the state of a session at one instant, for readers on other threads.
 *
 * Taking one copies what is small (totals, sites, threads, names, timeline, history) and pins the
 * rest: blocks that live at the instant stay readable, dead or alive, until the pin is released.
 * Those are read in slices, by the owner on the reader's behalf (TtLiveFetch), so intake goes on.
 *
 * An earlier instant is shown from what a mark has kept of it; where nothing has, the present state
 * is led back to it, by the reader: what was born since is left out, what has died since and is in
 * the history lives again. How far that goes is in the completeness. */
#pragma once

#include "model/instant.h"
#include "model/session.h"

G_BEGIN_DECLS

#define TT_TIME_NONE G_MAXUINT64          /* has not happened */
#define TT_TIME_UNKNOWN (G_MAXUINT64 - 1) /* has happened; only in lives */
#define TT_NONE G_MAXUINT32               /* no such index */

typedef struct TtAmount {
    guint64 blocks, bytes;
} TtAmount;

typedef struct TtBlockRow {
    guint64
        id; /* from 1, in order of birth (of the inherited, in none), never reused in the session */
    guint64 addr;
    guint64 size;
    TtAmount weight; /* what it counts for in all sums: itself, or in a sampled session more */
    guint64 born_ns;
    guint64 before_ns;    /* inherited: how long before the session's beginning; born_ns is 0 */
    guint64 died_ns;      /* TT_TIME_NONE: alive */
    guint64 resized_from; /* id, or 0 */
    guint32 stack;        /* id; see tt_snapshot_get_frames */
    guint32 freed_stack;  /* TT_STACK_NONE where unknown */
    guint32 variable;     /* index into variables, or TT_NONE */
    guint32 scope;        /* index into scopes, or TT_NONE */
    guint32 thread;       /* index into threads */
    guint32 freed_by;     /* index into threads, or TT_NONE */
    guint32 spare;        /* usable bytes past the size, and 1; 0: not known */
    gboolean is_inherited;
} TtBlockRow;

/* What the allocator gave a block in all. FALSE: it is not known, and the result is untouched. */
static inline gboolean tt_block_row_get_usable(const TtBlockRow *row, guint64 *ret_bytes) {
    if (row->spare == 0)
        return FALSE;
    *ret_bytes = row->size + row->spare - 1;
    return TRUE;
}

typedef struct TtSiteRow {
    guint32 stack;
    guint64 live_blocks, live_bytes;
    guint64 cumulative_blocks, cumulative_bytes;
    guint64 inherited_blocks, inherited_bytes; /* alive when the session began */
    guint64 freed_blocks, freed_bytes;
    guint64 peak_bytes;  /* its share of the session's peak */
    guint64 peak_blocks; /* blocks it had then */
    guint64 temporary_blocks;
    guint64 lifetime_min_ns, lifetime_median_ns, lifetime_p95_ns,
        lifetime_max_ns; /* of the freed; all 0 where none */
} TtSiteRow;

/* Standard errors of estimates, rounded up. */
typedef struct TtErrors {
    TtAmount live, cumulative, freed, peak;
} TtErrors;

/* How far off an estimate may be, squared, in 256ths. Blocks are in a sample or not each for
 * itself, so those of sets that have no block in common add up. */
typedef struct TtVariance {
    unsigned __int128 blocks, bytes;
} TtVariance;

/* The standard error, rounded up: what is not exact does not say so. */
TtAmount tt_variance_get_error(const TtVariance *variance);

/* Of a sampled session. All sums of it are estimates, but for what counts events, names and what is
 * missing. */
typedef struct TtSample {
    guint64 mean_bytes;         /* distance of samples */
    guint64 allocations, frees; /* recorded, blocks */
    TtErrors errors;            /* of the totals */
} TtSample;

typedef struct TtFrame {
    guint64 ip;
    guint32 module;       /* index into modules, or TT_NONE */
    gboolean is_exact_ip; /* else ip is a return address */
} TtFrame;

typedef struct TtModuleRow {
    guint32 id;
    char *path; /* raw bytes */
    GBytes *build_id;
    guint64 bias, start, end;
    guint64 added_ns, removed_ns; /* TT_TIME_NONE: still there */
} TtModuleRow;

typedef struct TtThreadRow {
    guint32 tid;
    char *name;                                   /* raw bytes; "" where unknown */
    guint64 allocations, allocated, frees, freed; /* done by this thread */
    guint64 live_blocks, live_bytes;              /* born in it and alive */
} TtThreadRow;

typedef struct TtVariableRow {
    char *name, *type, *file, *function; /* raw bytes; "" where unknown */
    guint line;
    guint32 stack;        /* that named a block first; TT_STACK_NONE where unknown */
    guint64 named_blocks; /* how often a block got this name */
    guint64 live_blocks, live_bytes;
    guint64 cumulative_bytes;
} TtVariableRow;

typedef struct TtScopeRow {
    char *name;
    guint32 parent; /* index, or TT_NONE */
    guint64 entered;
    guint64 allocations, allocated;
    guint64 live_blocks, live_bytes;
} TtScopeRow;

typedef struct TtTimePoint {
    guint64 t_ns;
    guint64 live_bytes, live_blocks;
} TtTimePoint;

typedef struct TtMarkRow {
    char *name;
    guint64 t_ns;
    guint64 live_bytes, live_blocks;
} TtMarkRow;

typedef struct TtGapRow {
    guint32 thread;
    guint64 first_ns, last_ns;
    guint64 dropped_events;
} TtGapRow;

typedef struct TtTotals {
    guint64 live_blocks, live_bytes;
    guint64 cumulative_allocations, cumulative_allocated;
    guint64 cumulative_frees, cumulative_freed;
    guint64 reallocations, temporary_allocations;
    guint64 inherited_blocks, inherited_bytes;
    guint64 peak_bytes, peak_blocks, peak_ns; /* peak_blocks: blocks alive at the peak of bytes */
    guint64 events;
} TtTotals;

typedef struct TtCompleteness {
    gboolean exact;
    guint64 dropped_events;
    guint64 unknown_frees, double_frees, synthesized_frees;
    gboolean has_paused;      /* the program left out blocks; all else may be exact */
    guint64 truncated_stacks; /* allocations whose stack was cut */
    guint64 untraced_before_ns;
    guint64 shed_blocks;     /* alive but counted only, for want of memory */
    guint64 history_dropped; /* freed lifecycles that made room for newer ones */
    /* Of an earlier instant: alive in the sums, not among the blocks. TT_COUNT_UNKNOWN where the
     * sums themselves may lack them. */
    guint64 unlisted_blocks, unlisted_bytes;
    GPtrArray *doubts; /* of char *: sentences */
} TtCompleteness;

#define TT_COUNT_UNKNOWN G_MAXUINT64

/* Where a state comes from. */
typedef enum TtStateSource {
    TT_STATE_PRESENT, /* it is as of the call */
    TT_STATE_KEPT,    /* a mark kept its sums and its blocks, or the sums alone */
    TT_STATE_LED_BACK /* from the present one; see tt_snapshot_is_led_back */
} TtStateSource;

/* The words of TtStateSource as they stand in JSON: "present", … */
const char *tt_state_source_name(TtStateSource source);

/* What was asked for. */
typedef struct TtInstantRow {
    TtInstantKind kind;
    const char *mark; /* raw bytes, the snapshot's; or NULL */
    guint64 t_ns;
    guint64 peak_stamp; /* PEAK: of the event that reached it, which may share its nanosecond */
    TtStateSource source;
} TtInstantRow;

typedef struct TtSnapshot TtSnapshot;

/* Reads up to @max pinned live blocks, from where it stopped last. Called on the reader's thread;
 * has the owner run tt_session_read_live. Returns 0 at the end. */
typedef gsize (*TtLiveFetch)(gpointer data, TtBlockRow *ret_rows, gsize max);

/* A pin, as the owner knows it. */
typedef struct TtPin TtPin;

/**
 * tt_snapshot_new:
 * @session: its owner's thread calls
 * @ret_pin: (out): to be given to tt_session_read_live, and to tt_session_unpin in the end
 *
 * Returns: (transfer full): the state after the last applied event
 */
TtSnapshot *tt_snapshot_new(TtSession *session, TtPin **ret_pin);

/**
 * tt_snapshot_new_at:
 * @session: its owner's thread calls
 * @instant: (transfer none):
 * @now_stamp: of the present, for a session that runs: a time up to then is inside it though
 *   nothing has happened since; 0 for that of the last event
 * @ret_pin: (out): as of tt_snapshot_new
 * @error: TT_MODEL_ERROR_INSTANT: no such mark, or a time outside the session
 *
 * Returns: (transfer full) (nullable): the state at @instant, to be completed by tt_snapshot_settle
 */
TtSnapshot *tt_snapshot_new_at(TtSession *session, const TtInstant *instant, guint64 now_stamp,
                               TtPin **ret_pin, GError **error);

/**
 * tt_snapshot_new_lives:
 * @session: its owner's thread calls
 *
 * Returns: (transfer full): the present state, with the lives of @addr (tt_snapshot_get_lives) once
 *   it is settled
 */
TtSnapshot *tt_snapshot_new_lives(TtSession *session, guint64 addr, TtPin **ret_pin);

/* Does the reader's part for an earlier instant: once, when live blocks can be fetched, before
 * anything is read. Reads all of them, where that is needed. */
void tt_snapshot_settle(TtSnapshot *snapshot);

/* Owner's thread. Writes up to @max blocks that lived at the pin, in order of their slots, each
 * once; keeps its place in the pin. Returns how many; 0 at the end. tt_session_rewind_pin starts
 * over. */
gsize tt_session_read_live(TtSession *session, TtPin *pin, TtBlockRow *ret_rows, gsize max);
void tt_session_rewind_pin(TtSession *session, TtPin *pin);
void tt_session_unpin(TtSession *session, TtPin *pin);

/* How the holder reads live blocks; @rewind starts over. Without it there are none. */
void tt_snapshot_set_fetch(TtSnapshot *snapshot, TtLiveFetch fetch, void (*rewind)(gpointer data),
                           gpointer data);

/* Any one thread at a time. */
gsize tt_snapshot_next_live(TtSnapshot *snapshot, TtBlockRow *ret_rows, gsize max);
void tt_snapshot_rewind_live(TtSnapshot *snapshot);

/* Frees the copy, not the pin. Any thread. */
void tt_snapshot_free(TtSnapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtSnapshot, tt_snapshot_free)

const TtSessionInfo *tt_snapshot_get_info(const TtSnapshot *snapshot);
/* What became of it, as far as is known now. */
TtSessionState tt_snapshot_get_state(const TtSnapshot *snapshot, gint *ret_exit_status);
guint64 tt_snapshot_get_time_ns(const TtSnapshot *snapshot); /* of the state shown, session time */
const TtInstantRow *tt_snapshot_get_instant(const TtSnapshot *snapshot);
/* Are all blocks known that were alive at its instant? */
gboolean tt_snapshot_is_whole(const TtSnapshot *snapshot);

/* Whether its sums were led back from later ones. Then nothing is known of how long the blocks
 * freed until then lived, and which were temporary: those figures are 0. */
gboolean tt_snapshot_is_led_back(const TtSnapshot *snapshot);

/* Whether a block, from any snapshot of the session, had been born at this one's instant. */
gboolean tt_snapshot_has_born(const TtSnapshot *snapshot, const TtBlockRow *row);
const TtTotals *tt_snapshot_get_totals(const TtSnapshot *snapshot);
const TtCompleteness *tt_snapshot_get_completeness(const TtSnapshot *snapshot);

/* Of the present state: ids of blocks that are in a reallocation: alive, and perhaps no longer
 * where they were. */
const guint64 *tt_snapshot_get_moving(const TtSnapshot *snapshot, gsize *ret_count);

/* NULL: the session tells every event. */
const TtSample *tt_snapshot_get_sample(const TtSnapshot *snapshot);

/* Arrays, owned by the snapshot. */
const TtSiteRow *tt_snapshot_get_sites(const TtSnapshot *snapshot, gsize *ret_count);
const TtErrors *tt_snapshot_get_site_errors(const TtSnapshot *snapshot); /* NULL: exact */
/* Of the live blocks of a site, by its index. Nothing where all is exact. */
TtVariance tt_snapshot_get_live_variance(const TtSnapshot *snapshot, gsize site);
/* What a block brings to that. */
TtVariance tt_snapshot_get_block_variance(const TtSnapshot *snapshot, const TtBlockRow *row);
const TtModuleRow *tt_snapshot_get_modules(const TtSnapshot *snapshot, gsize *ret_count);
const TtThreadRow *tt_snapshot_get_threads(const TtSnapshot *snapshot, gsize *ret_count);
const TtVariableRow *tt_snapshot_get_variables(const TtSnapshot *snapshot, gsize *ret_count);
const TtScopeRow *tt_snapshot_get_scopes(const TtSnapshot *snapshot, gsize *ret_count);
const TtTimePoint *tt_snapshot_get_timeline(const TtSnapshot *snapshot, gsize *ret_count);
const TtMarkRow *tt_snapshot_get_marks(const TtSnapshot *snapshot, gsize *ret_count);
const TtGapRow *tt_snapshot_get_gaps(const TtSnapshot *snapshot, gsize *ret_count);

/* The freed blocks that are retained, of those that had died, oldest first, expanded in slices:
 * from @first, up to @max. */
gsize tt_snapshot_read_freed(const TtSnapshot *snapshot, gsize first, TtBlockRow *ret_rows,
                             gsize max);
gsize tt_snapshot_get_freed_count(const TtSnapshot *snapshot);

/* The blocks in which the address lies or lay, as far as they are known: alive, retained, or kept
 * by a mark, which knows that one died, not when. The newest first. */
const TtBlockRow *tt_snapshot_get_lives(const TtSnapshot *snapshot, gsize *ret_count);

/* The frames of a stack, innermost first.
 *
 * @ret_frames: TT_STACK_DEPTH_MAX of them have room
 * @ret_is_truncated: (nullable): the stack went on where the frames end
 *
 * Returns how many; 0 for TT_STACK_NONE and ids that are not defined. */
gsize tt_snapshot_get_frames(const TtSnapshot *snapshot, guint32 stack, TtFrame *ret_frames,
                             gboolean *ret_is_truncated);

G_END_DECLS
