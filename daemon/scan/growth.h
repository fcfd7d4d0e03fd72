/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: stacks whose blocks stay and become more. An estimate: time tells, nothing
 * is looked at but when blocks were born and how long those lived that were freed. */
#pragma once

#include "scan/table.h"

G_BEGIN_DECLS

/**
 * tt_growth_find:
 *
 * A stack grows where it has a dozen live blocks at least that are older than 95 of 100 of its
 * freed ones became, and these were born all along: of 16 equal spans from the first one's birth to
 * the time when such a block would have had to be born by now, 12 saw some, and so did one of the
 * last two; and all of that was three times as long as that age at least, for a queue that was slow
 * for a moment has old blocks too. What was allocated once, a cache that has become full, or a
 * queue that is only long does not look so.
 *
 * Returns: (transfer full) (element-type TtGrowth): the fastest first
 */
GArray *tt_growth_find(const TtTable *table, const TtSnapshot *snapshot);

G_END_DECLS
