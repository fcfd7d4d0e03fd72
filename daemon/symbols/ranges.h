/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of addresses, and the innermost one that holds an address: units of debug information,
 * functions and symbols are all found by it. Ranges may overlap and nest in any way. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct TtRange {
    guint64 start;
    guint64 end; /* one past the last */
    guint32 value;
} TtRange;

/* Owned by what embeds it; one thread. */
typedef struct TtRanges {
    GArray *items;  /* TtRange */
    guint64 *reach; /* of each item: the largest end up to and with it; NULL until sorted */
} TtRanges;

void tt_ranges_init(TtRanges *ranges);
void tt_ranges_clear(TtRanges *ranges);

/* Adds a range; empty and impossible ones, and those that linkers leave of code that they threw
 * away, are left out. */
void tt_ranges_add(TtRanges *ranges, guint64 start, guint64 end, guint32 value);

/* Makes ready for finding. After this nothing is added. */
void tt_ranges_sort(TtRanges *ranges);

/* Returns: (nullable): of the ranges that hold @addr the one that starts last, and of those the
 * shortest; where several are equal they lie side by side, this one last. */
const TtRange *tt_ranges_find(const TtRanges *ranges, guint64 addr);

/* Returns: (nullable): the range that starts last, but not after @addr. */
const TtRange *tt_ranges_find_before(const TtRanges *ranges, guint64 addr);

G_END_DECLS
