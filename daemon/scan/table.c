/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/table.h"

#include <stdlib.h>

#define SLICE_ROWS 4096

static int compare(const void *a, const void *b) {
    const TtLive *one = a, *other = b;

    if (one->addr != other->addr)
        return one->addr < other->addr ? -1 : 1;
    if (one->end != other->end)
        return one->end > other->end ? -1 : 1;
    return (one->id > other->id) - (one->id < other->id);
}

static TtLive read_row(const TtBlockRow *row) {
    guint64 bytes = MAX(row->size, 1);

    return (TtLive){
        .addr = row->addr,
        .end = row->addr > G_MAXUINT64 - bytes ? G_MAXUINT64 : row->addr + bytes,
        .size = row->size,
        .id = row->id,
        .born_ns = row->born_ns,
        .weight = row->weight,
        .stack = row->stack,
    };
}

static gboolean read_blocks(TtTable *table, TtSnapshot *snapshot, GError **error) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE_ROWS);
    gsize room = 0, count;

    tt_snapshot_rewind_live(snapshot);
    while ((count = tt_snapshot_next_live(snapshot, rows, SLICE_ROWS)) > 0) {
        if (table->count + count > TT_TABLE_BLOCKS_MAX)
            return g_set_error(error, TT_SCAN_ERROR, TT_SCAN_ERROR_LIMIT,
                               "More than %u blocks are alive: too many to look at each",
                               TT_TABLE_BLOCKS_MAX),
                   FALSE;
        if (table->count + count > room) {
            room = MAX(2 * room, SLICE_ROWS);
            table->blocks = g_renew(TtLive, table->blocks, room);
        }
        for (gsize i = 0; i < count; i++)
            table->blocks[table->count++] = read_row(&rows[i]);
    }
    return TRUE;
}

/* Blocks lie apart, or one within the other. What crosses all the same (where events are missing)
 * is taken to lie apart. */
static void nest(TtTable *table) {
    guint32 outer = TT_NONE; /* the innermost that is still open */

    for (guint32 i = 0; i < table->count; i++) {
        TtLive *block = &table->blocks[i];

        while (outer != TT_NONE && table->blocks[outer].end < block->end)
            outer = table->blocks[outer].parent ? table->blocks[outer].parent - 1 : TT_NONE;
        while (outer != TT_NONE && table->blocks[outer].end <= block->addr)
            outer = table->blocks[outer].parent ? table->blocks[outer].parent - 1 : TT_NONE;
        if (outer != TT_NONE) {
            block->parent = outer + 1;
            table->has_nested[outer] = TRUE;
        }
        outer = i;
    }
}

gboolean tt_table_init(TtTable *table, TtSnapshot *snapshot, GError **error) {
    *table = (TtTable){0};
    if (!read_blocks(table, snapshot, error)) {
        tt_table_clear(table);
        return FALSE;
    }
    if (table->count > 0)
        qsort(table->blocks, table->count, sizeof *table->blocks, compare);
    table->starts = g_new(guint64, table->count);
    table->has_nested = g_new0(guint8, table->count);
    for (guint32 i = 0; i < table->count; i++)
        table->starts[i] = table->blocks[i].addr;
    nest(table);
    return TRUE;
}

void tt_table_clear(TtTable *table) {
    g_clear_pointer(&table->blocks, g_free);
    g_clear_pointer(&table->starts, g_free);
    g_clear_pointer(&table->has_nested, g_free);
    table->count = 0;
}

guint32 tt_table_find_next(const TtTable *table, guint64 addr) {
    guint32 low = 0, high = table->count;

    while (low < high) {
        guint32 middle = low + (high - low) / 2;

        if (table->starts[middle] < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

guint32 tt_table_find(const TtTable *table, guint64 addr) {
    guint32 at = addr == G_MAXUINT64 ? table->count : tt_table_find_next(table, addr + 1);

    for (; at > 0; at = table->blocks[at - 1].parent)
        if (addr < table->blocks[at - 1].end)
            return at - 1;
    return TT_NONE;
}
