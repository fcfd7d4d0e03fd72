/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: what a snapshot consists of. snapshot.c makes it and reads from it, settle.c
 * leads it back to an earlier instant. */
#pragma once

#include "model/state.h"

G_BEGIN_DECLS

/* Any one thread at a time, from the moment that it is made. */
struct TtSnapshot {
    TtSessionInfo *info;
    TtSessionState session_state;
    gint exit_status;
    GArray *moving; /* of guint64: ids */

    TtState *state; /* owned reference */
    TtMarkRow *marks;
    gsize mark_count;
    TtCompleteness completeness;
    TtInstantRow instant; /* its mark's name is one of marks */

    /* What had been born and had died. Either bound may be without effect. */
    guint64 end_id;
    guint64 end_ns;        /* what was born later had not been born */
    gsize dead_count;      /* of the freed, oldest first; the others lived */
    gboolean is_filtered;  /* blocks are the present ones, to be led back */
    gboolean has_all_dead; /* all that died since are among the freed */
    gboolean is_sum_known; /* how much lived at the instant */
    guint64 known_blocks, known_bytes;

    guint64 origin_stamp;    /* of the session's tick 0 */
    guint64 inherited_count; /* blocks with ids up to it were */
    TtSampling sampling;     /* the session's, for weights */
    TtStacks *stacks;
    guint32 *stack_of; /* of a site, as the freed name them */
    TtFreedCopy freed;
    gsize at_freed; /* where reading of live blocks goes on among them */

    guint64 lives_addr;
    GArray *lives; /* of TtBlockRow; NULL: not asked for */

    TtLiveFetch fetch;
    void (*rewind)(gpointer data);
    gpointer fetch_data;
};

/* Expands a freed block as it is known now. */
void tt_snapshot_fill_freed(const TtSnapshot *snapshot, gsize index, TtBlockRow *ret_row);

/* Expands a block of the slab, as @pin sees it. Owner's thread. */
void tt_session_fill_row(const TtSession *session, const TtPin *pin, guint32 slot,
                         TtBlockRow *ret_row);

/* The reader's part of tt_snapshot_new_lives. */
void tt_snapshot_settle_lives(TtSnapshot *snapshot);

G_END_DECLS
