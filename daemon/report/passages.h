/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that allocations merely pass through: a library's wrapper of malloc, told by how many
 * of the library's sites call malloc there, for a wrapper in a stripped library has no name. */
#pragma once

#include "model/snapshot.h"

G_BEGIN_DECLS

/* Fewer sites of a module than these tell nothing. */
#define TT_PASSAGE_SITES_MIN 8

typedef struct TtPassages TtPassages;

/**
 * tt_passages_new:
 *
 * Walks all sites of the snapshot. A return address is a passage where more than half of a module's
 * sites allocate through it; then those sites are looked at from their next frame on, and so on
 * outwards, a few times. Depends on nothing but the snapshot, so that all documents of it agree.
 *
 * Returns: (transfer full): never %NULL
 */
TtPassages *tt_passages_new(TtSnapshot *snapshot);
void tt_passages_free(TtPassages *passages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtPassages, tt_passages_free)

gboolean tt_passages_contains(const TtPassages *passages, guint64 ip);

G_END_DECLS
