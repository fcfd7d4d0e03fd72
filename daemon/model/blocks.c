/* SPDX-License-Identifier: Apache-2.0 */
/* The slab of records. Free slots are chained through the records, last freed first: what was
 * touched a moment ago is in the cache. */
#include "model/blocks.h"

void tt_blocks_init(TtBlocks *blocks, gsize max_bytes, TtBudget *budget) {
    *blocks = (TtBlocks){.end = 1, .slot_limit = 1, .budget = budget};
    tt_reserve_init(&blocks->records, MIN(max_bytes, ((gsize)TT_SLOT_MAX + 1) * sizeof(TtBlock)),
                    budget);
    tt_extras_pool_init(&blocks->extras, max_bytes, budget);
}

void tt_blocks_clear(TtBlocks *blocks) {
    tt_reserve_clear(&blocks->records);
    tt_extras_pool_clear(&blocks->extras);
    tt_budget_give(blocks->budget, blocks->used_words * sizeof *blocks->used);
    g_clear_pointer(&blocks->used, g_free);
    blocks->used_words = 0;
}

G_GNUC_NO_INLINE gboolean tt_blocks_grow(TtBlocks *blocks) {
    if (blocks->end > TT_SLOT_MAX ||
        !tt_reserve_grow(&blocks->records, ((gsize)blocks->end + 1) * sizeof(TtBlock)))
        return FALSE;

    gsize slot_limit =
        MIN(blocks->records.committed_bytes / sizeof(TtBlock), (gsize)TT_SLOT_MAX + 1);
    gsize words = (slot_limit + 63) / 64;
    if (words > blocks->used_words) {
        gsize room = MAX(words, blocks->used_words * 2);
        gsize more = room - blocks->used_words;

        tt_budget_force(blocks->budget, more * sizeof *blocks->used);
        blocks->used = g_renew(guint64, blocks->used, room);
        memset(blocks->used + blocks->used_words, 0, more * sizeof *blocks->used);
        blocks->used_words = room;
    }
    blocks->slot_limit = (guint32)slot_limit;
    return TRUE;
}

guint32 tt_blocks_next_used(const TtBlocks *blocks, guint32 slot) {
    gsize words = ((gsize)blocks->end + 63) / 64;
    gsize word = slot / 64;

    if (word >= words || !blocks->used)
        return 0;

    guint64 bits = blocks->used[word] & (G_MAXUINT64 << (slot % 64));
    while (!bits) {
        if (++word == words)
            return 0;
        bits = blocks->used[word];
    }
    return (guint32)(word * 64 + (gsize)__builtin_ctzll(bits));
}

TtExtras *tt_block_ensure_extras(TtBlocks *blocks, TtBlock *block) {
    if (!(block->flags & TT_BLOCK_HAS_EXTRAS)) {
        guint32 number = tt_extras_new(&blocks->extras, block->site_or_extras);

        if (!number)
            return NULL;
        block->site_or_extras = number;
        block->flags |= TT_BLOCK_HAS_EXTRAS;
    }
    return tt_extras_get(&blocks->extras, block->site_or_extras);
}

gsize tt_blocks_bytes(const TtBlocks *blocks) {
    return blocks->records.committed_bytes + blocks->extras.memory.committed_bytes +
           blocks->used_words * sizeof *blocks->used;
}
