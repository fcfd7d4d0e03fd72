/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/table.h"

#include <stdlib.h>

#define SLICE_ROWS 4096u
/* With its place in starts and has_nested, and what mark.c notes of it. */
#define BLOCK_BYTES 100u

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

/* Has room for so many blocks. */
static gboolean grow(TtTable *table, gsize room, GError **error) {
    gsize bytes = room * BLOCK_BYTES - table->taken_bytes;

    if (table->memory && !tt_budget_take(table->memory, bytes))
        return g_set_error(error, TT_SCAN_ERROR, TT_SCAN_ERROR_LIMIT,
                           "To look at each live block takes %zu MiB of memory, more than the "
                           "daemon has left: start it with a greater --memory-limit",
                           room * BLOCK_BYTES / (1 << 20) + 1),
               FALSE;
    table->taken_bytes += bytes;
    table->blocks = g_renew(TtLive, table->blocks, room);
    return TRUE;
}

/* Of a sample the totals are estimates, and some blocks may be known by the totals alone. */
static gsize guess_count(const TtSnapshot *snapshot) {
    const TtCompleteness *completeness = tt_snapshot_get_completeness(snapshot);

    if (tt_snapshot_get_sample(snapshot) || completeness->shed_blocks > 0 ||
        completeness->unlisted_blocks > 0)
        return 0;
    return (gsize)MIN(tt_snapshot_get_totals(snapshot)->live_blocks, TT_TABLE_BLOCKS_MAX);
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
            room = room > 0 ? 2 * room : MAX(guess_count(snapshot), SLICE_ROWS);
            if (!grow(table, room, error))
                return FALSE;
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

gboolean tt_table_init(TtTable *table, TtSnapshot *snapshot, TtBudget *memory, GError **error) {
    *table = (TtTable){.memory = memory};
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
    if (table->memory)
        tt_budget_give(table->memory, table->taken_bytes);
    table->taken_bytes = 0;
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
