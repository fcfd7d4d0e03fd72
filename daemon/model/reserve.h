/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that grows without moving. Addresses are reserved once, at the largest size allowed, and
 * become memory as they are needed: so an element is found by its number with one multiplication,
 * growing copies nothing, and other threads may read what does not change any more. */
#pragma once

#include "base/limits.h"

G_BEGIN_DECLS

/* Plain memory; all zero bytes are a valid empty one without room. */
typedef struct TtReserve {
    guint8 *base; /* NULL until something is in it */
    gsize committed_bytes;
    gsize max_bytes;
    TtBudget *budget; /* borrowed, or NULL: not charged */
    gpointer mapping;
    gsize mapping_bytes;
} TtReserve;

/* @budget: (nullable): what committed bytes are taken out of; outlives the reserve */
void tt_reserve_init(TtReserve *reserve, gsize max_bytes, TtBudget *budget);
void tt_reserve_clear(TtReserve *reserve);

/**
 * tt_reserve_grow:
 * @bytes: from the start that must be usable; new ones are zero
 *
 * Commits more than asked for, so that calls are few.
 *
 * Returns: %FALSE: past the maximum, the budget does not allow it, or there are no addresses;
 * nothing changed
 */
gboolean tt_reserve_grow(TtReserve *reserve, gsize bytes);

G_END_DECLS
