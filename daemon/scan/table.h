/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: the live blocks of an instant, in order of their addresses. The model's own
 * index is its worker's alone, and has gone on since. */
#pragma once

#include "scan/scan.h"

G_BEGIN_DECLS

#define TT_TABLE_BLOCKS_MAX (1u << 24) /* a GiB of them */

typedef struct TtLive {
    guint64 addr, end; /* one without bytes still stands on one */
    guint64 size;
    guint64 id;
    guint64 born_ns;
    TtAmount weight;
    guint32 stack;
    guint32 parent; /* index + 1 of the block that this one lies in; 0: none */
} TtLive;

typedef struct TtTable {
    TtLive *blocks;     /* by address; of those that begin together the outer one first */
    guint64 *starts;    /* their addresses, for searching */
    guint8 *has_nested; /* a byte each */
    guint32 count;
    TtBudget *memory; /* NULL: none */
    gsize taken_bytes;
} TtTable;

/* Reads the live blocks of @snapshot. @memory: (nullable): the table is charged to it, and what
 * mark.c needs for its blocks. TT_SCAN_ERROR_LIMIT. */
gboolean tt_table_init(TtTable *table, TtSnapshot *snapshot, TtBudget *memory, GError **error);
void tt_table_clear(TtTable *table);

/* Returns: index of the innermost block round @addr, or TT_NONE. */
guint32 tt_table_find(const TtTable *table, guint64 addr);

/* Returns: index of the first block that begins at @addr or later; @table's count: none. */
guint32 tt_table_find_next(const TtTable *table, guint64 addr);

G_END_DECLS
