/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses blocks worth a row out of any number of them, fairly: a loop that makes a million large
 * blocks must not be all that one sees. Blocks come in groups (of a site, or of a variable); first
 * comes the best of each group, then the second best of each, and so on. */
#pragma once

#include "model/snapshot.h"

G_BEGIN_DECLS

/* Of one group no more than this many are shown. */
#define TT_CHOOSER_GROUP_ROWS 8u

typedef struct TtChooser TtChooser;

/* @row_max: how many blocks are wanted; at least 1. */
TtChooser *tt_chooser_new(guint row_max);
void tt_chooser_free(TtChooser *chooser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtChooser, tt_chooser_free)

/* Considers a block. The higher @score is, the more it tells; of equal ones the older wins. */
void tt_chooser_offer(TtChooser *chooser, guint32 group, double score, const TtBlockRow *row);

/* How many rows tt_chooser_take() could give. */
guint tt_chooser_get_count(const TtChooser *chooser);

/* Returns: (transfer full): of TtBlockRow, the @row_max best of what was offered, in order of
 * birth. */
GArray *tt_chooser_take(TtChooser *chooser, guint row_max);

G_END_DECLS
