/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a session's sites and blocks a picture shows. A session may have millions: they are read
 * once, in slices, and only what may be shown is kept. */
#pragma once

#include "model/snapshot.h"

G_BEGIN_DECLS

/* Pictures taller than this many rows are refused by viewers. */
#define TT_SELECT_ROWS_MAX 1000u

/* An owner of memory: a declared variable, or the blocks of a site that have no name. */
typedef struct TtOwner {
    guint32 variable; /* index, or TT_NONE: a site */
    guint32 stack;    /* of all its blocks; TT_STACK_NONE where they have several */
    guint64 bytes, blocks;
    guint64 id;       /* of its only block; 0 where it has several or that is not known */
    gboolean is_part; /* other blocks of its site belong to variables */
} TtOwner;

typedef struct TtRanking {
    GArray *owners; /* of TtOwner: the largest first, equal ones by stack and name */
    guint64 total_bytes, total_blocks;
    guint64 rest_count, rest_bytes, rest_blocks; /* owners that did not fit, and what they have */
} TtRanking;

/* Owned by whoever selects; any thread. */
typedef struct TtSelection {
    TtRanking live; /* of what is alive; every byte has one owner */
    TtRanking peak; /* of what was alive at the peak. Blocks that are no longer known one by one
                       count for their site, also if they had names */
    GArray *named;  /* of TtBlockRow, in order of birth: blocks that have a name */
    GArray *others; /* likewise: large and long-lived ones, first one of each site */
    guint64 block_count; /* of all there ever were, those not known one by one too */
} TtSelection;

/**
 * tt_select:
 * @owner_max: rows of each ranking; 1 … TT_SELECT_ROWS_MAX
 * @block_max: rows of @named and @others together; likewise
 * @end_ns: when blocks that are alive stop living, for the picture
 * @has_ended: they never will be freed, and are the more telling
 *
 * Reads every block of the snapshot once, rewinding it first. Needs memory for the rows, for the
 * session's variables and for the sites of blocks that have names; never for blocks.
 *
 * Returns: (transfer full): never %NULL
 */
TtSelection *tt_select(TtSnapshot *snapshot, guint owner_max, guint block_max, guint64 end_ns,
                       gboolean has_ended);
void tt_selection_free(TtSelection *selection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtSelection, tt_selection_free)

G_END_DECLS
