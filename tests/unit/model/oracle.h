/* SPDX-License-Identifier: Apache-2.0 */
/* The model once more, as plainly as can be: lists that are walked from end to end, sums made anew.
 * Slow and, it is to be hoped, right; the real one must say the same. */
#pragma once

#include "model/snapshot.h"

#define ORACLE_THREADS 4u
#define ORACLE_STACKS 40u
#define ORACLE_SCOPES_DEEP 4u

typedef struct OracleVariance {
    long double blocks, bytes;
} OracleVariance;

static inline void oracle_add_variance(OracleVariance *sum, const OracleVariance *other) {
    sum->blocks += other->blocks;
    sum->bytes += other->bytes;
}

typedef struct OracleBlock {
    TtBlockRow row; /* names are numbered in the order of their coming, as in the model */
    OracleVariance variance;
    gboolean is_open;
} OracleBlock;

typedef struct OracleThread {
    guint64 last_id;
    OracleBlock *open; /* borrowed from live */
    guint32 scopes[ORACLE_SCOPES_DEEP];
    guint scope_depth;
    TtThreadRow row;
} OracleThread;

typedef struct Oracle {
    gsize history_limit;
    guint64 sample_bytes; /* 0: every event is told */
    guint64 next_id;
    guint64 now_ns;
    GPtrArray *live;   /* of OracleBlock, owned, in order of birth */
    GArray *freed;     /* of TtBlockRow, oldest first, all that ever died */
    GPtrArray *names;  /* of TtVariableRow, strings borrowed */
    GPtrArray *scopes; /* of TtScopeRow, strings borrowed */
    OracleThread threads[ORACLE_THREADS];
    TtTotals totals;
    guint64 unknown_frees, double_frees, synthesized_frees;
    gboolean has_missed;
    guint64 lookback_credit; /* searches for double frees are rationed */
    GArray *sites;           /* of TtSiteRow, one a stack id */
    GArray **lifetimes;      /* of guint64, by stack id */
    guint64 deaths;
    OracleVariance *born, *at_peak; /* by stack id */
    TtTimePoint max;                /* of all states after an event, the first of equals */
} Oracle;

Oracle *oracle_new(gsize history_limit, guint64 sample_bytes);
void oracle_free(Oracle *oracle);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Oracle, oracle_free)

void oracle_apply(Oracle *oracle, const TtEvent *event);
void oracle_end_batch(Oracle *oracle, gsize event_count);
void oracle_fail_realloc(Oracle *oracle, guint thread, guint64 stamp);
void oracle_leave_realloc(Oracle *oracle, guint thread, guint64 stamp);
void oracle_name(Oracle *oracle, guint64 stamp, guint64 addr, const char *name);
void oracle_measure(Oracle *oracle, guint thread, guint64 stamp, guint64 addr, guint64 usable);
void oracle_enter(Oracle *oracle, guint thread, guint64 stamp, const char *name);
void oracle_leave(Oracle *oracle, guint thread, guint64 stamp);
void oracle_forget_thread(Oracle *oracle, guint thread, guint64 stamp); /* a gap */

/* Compares all that a snapshot shows but the live blocks. */
void oracle_check_snapshot(const Oracle *oracle, const TtSnapshot *snapshot);

/* Returns: (transfer full) (element-type TtBlockRow): the live blocks, in order of id. */
GArray *oracle_copy_live(const Oracle *oracle);

void oracle_check_row(const TtBlockRow *is, const TtBlockRow *should);
