/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an address is or was. The owner looks up the living through the index and goes through what
 * pins keep of the dead; the reader goes through the history, which alone knows deaths. */
#include "model/reader.h"

static gboolean is_round(const TtBlockRow *row, guint64 addr) {
    return row->addr <= addr && addr < tt_block_end_of(row->addr, row->size);
}

static void add_slot(TtSnapshot *snapshot, const TtSession *session, const TtPin *pin,
                     guint32 slot) {
    TtBlockRow row;

    tt_session_fill_row(session, pin, slot, &row);
    if (tt_blocks_get(&session->blocks, slot)->flags & TT_BLOCK_IS_DEAD)
        row.died_ns = TT_TIME_UNKNOWN;
    if (is_round(&row, snapshot->lives_addr))
        g_array_append_val(snapshot->lives, row);
}

/* The innermost, and those that it lies in. */
static void add_live(TtSnapshot *snapshot, const TtSession *session, const TtPin *pin) {
    guint32 slot = tt_index_find_inside(&session->index, snapshot->lives_addr);

    while (slot) {
        const TtBlock *block = tt_blocks_get(&session->blocks, slot);

        add_slot(snapshot, session, pin, slot);
        if (!(block->flags & TT_BLOCK_IS_NESTED))
            break;
        slot = tt_extras_get(&session->blocks.extras, block->site_or_extras)->parent;
    }
    /* In a reallocation a block is alive, and in no index. */
    for (guint32 i = 0; i < session->threads.count; i++)
        if (session->threads.threads[i].open_slot)
            add_slot(snapshot, session, pin, session->threads.threads[i].open_slot);
}

static void add_kept(TtSnapshot *snapshot, const TtSession *session, const TtPin *pin) {
    for (guint i = 0; i < session->pins.points->len; i++) {
        const TtPoint *point = session->pins.points->pdata[i];

        for (guint j = 0; j < point->dead->len; j++)
            add_slot(snapshot, session, pin, g_array_index(point->dead, guint32, j));
    }
}

TtSnapshot *tt_snapshot_new_lives(TtSession *session, guint64 addr, TtPin **ret_pin) {
    TtSnapshot *snapshot = tt_snapshot_new(session, ret_pin);

    snapshot->lives_addr = addr;
    snapshot->lives = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));
    add_live(snapshot, session, *ret_pin);
    add_kept(snapshot, session, *ret_pin);
    return snapshot;
}

/* Replaces what a pin kept of a block by what the history says. */
static void add_freed(TtSnapshot *snapshot, const TtBlockRow *row) {
    for (guint i = 0; i < snapshot->lives->len; i++) {
        TtBlockRow *known = &g_array_index(snapshot->lives, TtBlockRow, i);

        if (known->id == row->id) {
            *known = *row;
            return;
        }
    }
    g_array_append_val(snapshot->lives, *row);
}

static gint compare_newest_first(gconstpointer a, gconstpointer b) {
    guint64 one = ((const TtBlockRow *)a)->id, other = ((const TtBlockRow *)b)->id;

    return (one < other) - (one > other);
}

void tt_snapshot_settle_lives(TtSnapshot *snapshot) {
    TtBlockRow row;

    for (gsize i = 0; i < snapshot->freed.count; i++) {
        tt_snapshot_fill_freed(snapshot, i, &row);
        if (is_round(&row, snapshot->lives_addr))
            add_freed(snapshot, &row);
    }
    g_array_sort(snapshot->lives, compare_newest_first);
}

const TtBlockRow *tt_snapshot_get_lives(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->lives ? snapshot->lives->len : 0;
    return snapshot->lives ? (const TtBlockRow *)(void *)snapshot->lives->data : NULL;
}
