/* SPDX-License-Identifier: Apache-2.0 */
/* The records of blocks: live ones, and dead ones that a pin still sees. A block is known by its
 * slot, which does not change while it lives; slots are reused, ids never.
 *
 * A record is 40 bytes. With the index (leaf.h: 65 bytes for each 512 of address space) a live
 * block of 150 bytes costs 62 in all. */
#pragma once

#include "model/extras.h"

G_BEGIN_DECLS

/* In TtBlock.flags. A plain top-level block that lives has none set, which is one test. */
enum {
    TT_BLOCK_HAS_EXTRAS = 1,
    TT_BLOCK_IS_NESTED = 2,  /* lies in another block, its extras say in which */
    TT_BLOCK_HAS_NESTED = 4, /* others lie, or have lain, in this one */
    TT_BLOCK_IS_OPEN = 8,    /* in a reallocation: alive, but not at its address */
    TT_BLOCK_IS_DEAD = 16,   /* kept for pins */
};

typedef struct TtBlock {
    guint64 addr;
    guint64 size;
    guint64 born : 56; /* ticks since the session began */
    guint64 flags : 8;
    guint64 id : 48;
    guint64 thread : 16;
    guint32 site_or_extras;
    guint32 next; /* in the index: slot of another block in the same cell; free: next free slot;
                     dead: number of the newest pin when it died */
} TtBlock;

G_STATIC_ASSERT(sizeof(TtBlock) == 40);

/* As many bits as the index has for one. */
#define TT_SLOT_BITS 28
#define TT_SLOT_MAX ((1u << TT_SLOT_BITS) - 1)

#define TT_TICKS_MAX (((guint64)1 << 56) - 1)
#define TT_ID_MAX (((guint64)1 << 48) - 1)

typedef struct TtBlocks {
    TtReserve records;
    TtExtrasPool extras;
    TtBudget *budget;
    guint32 end;        /* first slot never used, at most TT_SLOT_MAX + 1; 0 is none */
    guint32 slot_limit; /* slots that have memory */
    guint32 first_free;
    guint64 *used; /* a bit a slot, so that readers pass quickly over what is free */
    gsize used_words;
} TtBlocks;

void tt_blocks_init(TtBlocks *blocks, gsize max_bytes, TtBudget *budget);
void tt_blocks_clear(TtBlocks *blocks);

static inline TtBlock *tt_blocks_get(const TtBlocks *blocks, guint32 slot) {
    return (TtBlock *)(gpointer)blocks->records.base + slot;
}

/* Makes room for more slots; FALSE: there is none. Cold. */
gboolean tt_blocks_grow(TtBlocks *blocks);

/* Returns a slot to be filled, or 0: no room. */
static inline guint32 tt_blocks_take_slot(TtBlocks *blocks) {
    guint32 slot = blocks->first_free;

    if (slot) {
        blocks->first_free = tt_blocks_get(blocks, slot)->next;
        __builtin_prefetch(tt_blocks_get(blocks, blocks->first_free), 1);
    } else {
        if (G_UNLIKELY(blocks->end == blocks->slot_limit) && !tt_blocks_grow(blocks))
            return 0;
        slot = blocks->end++;
    }
    blocks->used[slot / 64] |= (guint64)1 << (slot % 64);
    return slot;
}

/* Gives a slot back, its extras not. */
static inline void tt_blocks_release_slot(TtBlocks *blocks, guint32 slot) {
    tt_blocks_get(blocks, slot)->next = blocks->first_free;
    blocks->first_free = slot;
    blocks->used[slot / 64] &= ~((guint64)1 << (slot % 64));
}

/* Returns the first used slot from @slot on, or 0. */
guint32 tt_blocks_next_used(const TtBlocks *blocks, guint32 slot);

static inline guint32 tt_block_get_site(const TtBlocks *blocks, const TtBlock *block) {
    return G_UNLIKELY(block->flags & TT_BLOCK_HAS_EXTRAS)
               ? tt_extras_get(&blocks->extras, block->site_or_extras)->site
               : block->site_or_extras;
}

/* Returns the block's extras, made if there were none; NULL: no room. */
TtExtras *tt_block_ensure_extras(TtBlocks *blocks, TtBlock *block);

/* The first byte after a block; one without bytes still stands on one. Never wraps. */
static inline guint64 tt_block_end_of(guint64 addr, guint64 size) {
    guint64 bytes = size ? size : 1;

    return addr > G_MAXUINT64 - bytes ? G_MAXUINT64 : addr + bytes;
}

static inline guint64 tt_block_get_end(const TtBlock *block) {
    return tt_block_end_of(block->addr, block->size);
}

gsize tt_blocks_bytes(const TtBlocks *blocks);

G_END_DECLS
