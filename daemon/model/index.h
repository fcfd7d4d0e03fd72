/* SPDX-License-Identifier: Apache-2.0 */
/* From any address to the block that it lies in.
 *
 * Address space is cut into cells of 32 bytes, which is the least distance of two blocks of glibc's
 * malloc. A cell holds the slot of the block that starts in it; where several do (other allocators,
 * reported blocks) they are chained through their records. Beside the cells a bit for every 16
 * bytes says whether a block starts there, so that the nearest start to either side is found
 * without walking. Only starts are entered: a block costs the same whatever its size.
 *
 *   addr:   63 … 25              24 … 15             14 … 10       9 … 5          4 … 0
 *           span, by hash table  leaf of the span    word of bits  cell (14 … 5)  in the cell
 *
 * A leaf (32 KiB of addresses) exists only while blocks start in it, a span (32 MiB) while it has
 * leaves. That bounds what hostile addresses cost to one leaf and one span for each block.
 *
 * Live blocks never cross each other: two are apart, or one lies in the other and starts later
 * (memory of a pool, reported by the pool's owner). The inner one knows the outer, so the innermost
 * block round an address is the nearest start before it or one of that block's parents. */
#pragma once

#include "model/blocks.h"

G_BEGIN_DECLS

#define TT_CELL_SHIFT 5
#define TT_LEAF_SHIFT 15
#define TT_SPAN_SHIFT 25
#define TT_LEAF_CELLS (1u << (TT_LEAF_SHIFT - TT_CELL_SHIFT))
#define TT_LEAF_WORDS (1u << (TT_LEAF_SHIFT - 10))
#define TT_SPAN_LEAVES (1u << (TT_SPAN_SHIFT - TT_LEAF_SHIFT))

typedef struct TtLeaf {
    guint64 key;        /* addr >> TT_LEAF_SHIFT */
    guint32 next;       /* in the list of free leaves, or of suspects */
    guint32 is_suspect; /* became empty and is looked at by tt_index_tidy */
    guint64 reserved[6];
    guint64 starts[TT_LEAF_WORDS];
    guint32 cells[TT_LEAF_CELLS];
} TtLeaf;

G_STATIC_ASSERT(sizeof(TtLeaf) == 64 + 256 + 4096);

typedef struct TtSpan {
    guint64 key; /* addr >> TT_SPAN_SHIFT */
    guint64 present[TT_SPAN_LEAVES / 64];
    guint32 leaves[TT_SPAN_LEAVES]; /* numbers, 0: none */
    guint32 leaf_count;
} TtSpan;

typedef struct TtSpanEntry {
    guint64 key;
    TtSpan *span; /* NULL: this entry and the search end here */
} TtSpanEntry;

typedef struct TtIndex {
    TtBlocks *blocks; /* borrowed */
    TtBudget *budget; /* borrowed */
    TtReserve leaves;
    guint32 leaf_end; /* first number never used; 0 is none */
    guint32 first_free_leaf;
    guint32 first_suspect;
    guint table_shift; /* 64 - log2 of the table's size */
    guint span_count;
    TtSpanEntry *table;
    GTree *spans; /* the same by address: guint64 key to TtSpan */
} TtIndex;

void tt_index_init(TtIndex *index, TtBlocks *blocks, gsize max_bytes, TtBudget *budget);
void tt_index_clear(TtIndex *index);

static inline TtLeaf *tt_index_get_leaf(const TtIndex *index, guint32 number) {
    return (TtLeaf *)(gpointer)index->leaves.base + number;
}

/* Returns the number of the leaf of @addr, or 0. It stays right until tt_index_tidy. */
static inline guint32 tt_index_find_leaf(const TtIndex *index, guint64 addr) {
    guint64 key = addr >> TT_SPAN_SHIFT;
    guint64 at = (key * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) >> index->table_shift;
    guint64 mask = G_MAXUINT64 >> index->table_shift;

    for (;; at = (at + 1) & mask) {
        const TtSpanEntry *entry = &index->table[at];

        if (!entry->span)
            return 0;
        if (entry->key == key)
            return entry->span->leaves[(addr >> TT_LEAF_SHIFT) % TT_SPAN_LEAVES];
    }
}

static inline guint32 *tt_leaf_get_cell(TtLeaf *leaf, guint64 addr) {
    return &leaf->cells[(addr >> TT_CELL_SHIFT) % TT_LEAF_CELLS];
}

static inline guint64 *tt_leaf_get_word(TtLeaf *leaf, guint64 addr) {
    return &leaf->starts[(addr >> 10) % TT_LEAF_WORDS];
}

/* Returns where the slot of the block that starts at @addr stands, or NULL. */
static inline guint32 *tt_index_find_link(const TtIndex *index, guint32 leaf, guint64 addr) {
    guint32 *link = tt_leaf_get_cell(tt_index_get_leaf(index, leaf), addr);

    while (*link) {
        TtBlock *block = tt_blocks_get(index->blocks, *link);

        if (block->addr == addr)
            return link;
        link = &block->next;
    }
    return NULL;
}

/* Returns the slot of the block that starts at @addr, or 0. */
guint32 tt_index_find_start(const TtIndex *index, guint64 addr);

/* Returns the slot of the innermost block round @addr, or 0. */
guint32 tt_index_find_inside(const TtIndex *index, guint64 addr);

/* Returns the slot of the first block in the cell of the nearest start before bit @granule of a
 * leaf (or at it, with @or_at), or 0: none in its word of bits, nor in the one before. */
static inline guint32 tt_leaf_nearest_before(const TtLeaf *leaf, guint granule, gboolean or_at) {
    guint word = granule / 64;
    guint64 bits = leaf->starts[word] & ~((G_MAXUINT64 << (granule % 64)) << or_at);

    if (bits == 0) {
        if (word == 0)
            return 0;
        bits = leaf->starts[--word];
        if (bits == 0)
            return 0;
    }
    return leaf->cells[(word * 64 + 63 - (guint)__builtin_clzll(bits)) / 2];
}

/* Whether it is plain to see that a block here would lie in no other and no other in it. FALSE says
 * nothing. Mostly a word of bits and the block before are all that is looked at. @leaf may be 0. */
static inline gboolean tt_index_is_clear(const TtIndex *index, guint32 leaf, guint64 addr,
                                         guint64 size) {
    if (G_UNLIKELY(leaf == 0))
        return FALSE;

    const TtLeaf *at = tt_index_get_leaf(index, leaf);
    guint first = (addr >> 4) % (TT_LEAF_CELLS * 2);
    guint64 last = (addr % (1u << TT_LEAF_SHIFT) + size - (size > 0)) >> 4;
    guint64 from_first = G_MAXUINT64 << (first % 64);
    guint64 to_last = G_MAXUINT64 >> (63 - last % 64);
    if (last / 64 == first / 64) {
        if (at->starts[first / 64] & from_first & to_last)
            return FALSE;
    } else {
        if (last / 64 != first / 64 + 1 || last / 64 == TT_LEAF_WORDS)
            return FALSE;
        if ((at->starts[first / 64] & from_first) | (at->starts[last / 64] & to_last))
            return FALSE;
    }

    guint32 slot = tt_leaf_nearest_before(at, first, FALSE);
    if (slot == 0)
        return FALSE;
    const TtBlock *block = tt_blocks_get(index->blocks, slot);
    /* More than one in the cell, or one in another: rare enough to be left to the long way. */
    return !block->next && !(block->flags & TT_BLOCK_IS_NESTED) && tt_block_get_end(block) <= addr;
}

/* Enters a block that crosses no other. Its flags and extras are the caller's. */
static inline void tt_leaf_link(TtLeaf *leaf, TtBlock *block, guint32 slot) {
    guint32 *cell = tt_leaf_get_cell(leaf, block->addr);

    block->next = *cell;
    *cell = slot;
    *tt_leaf_get_word(leaf, block->addr) |= (guint64)1 << ((block->addr >> 4) % 64);
}

/* What is left to do once a block is out of its chain. Cold but for the test of one word. */
void tt_index_settle_unlink(TtIndex *index, guint32 leaf, guint64 addr);

/* Takes out a block; @link is from tt_index_find_link. Those in it are not told. */
static inline void tt_index_unlink(TtIndex *index, guint32 leaf, guint32 *link,
                                   const TtBlock *block) {
    TtLeaf *at = tt_index_get_leaf(index, leaf);
    guint64 *word = tt_leaf_get_word(at, block->addr);
    guint64 bit = (guint64)1 << ((block->addr >> 4) % 64);

    *link = block->next;
    if (G_UNLIKELY(*tt_leaf_get_cell(at, block->addr) != 0 || *word == bit))
        tt_index_settle_unlink(index, leaf, block->addr);
    else
        *word &= ~bit;
}

/* The cold ways in and out, which care for those inside. */

/**
 * tt_index_find_conflict:
 * @keep_inside: blocks that lie in it and do not start where it does are none
 * @ret_parent: (out): where there is no conflict, the slot of the block that it would lie in, or 0
 *
 * Returns: the slot of a block that cannot be alive together with one here, or 0
 */
guint32 tt_index_find_conflict(const TtIndex *index, guint64 addr, guint64 size,
                               gboolean keep_inside, guint32 *ret_parent);

/* Makes sure that @addr has a leaf. Returns its number, or 0: no room. */
guint32 tt_index_ensure_leaf(TtIndex *index, guint64 addr);

/* Tells the blocks that lie in the one of @slot that it is round them. */
void tt_index_adopt(TtIndex *index, guint32 slot);

/* Takes out a block with all that hangs on it: those in it are handed to its parent. */
void tt_index_remove(TtIndex *index, guint32 slot);

/* Gives back what became empty. Not while numbers of leaves are held. */
void tt_index_tidy(TtIndex *index);

gsize tt_index_bytes(const TtIndex *index);

G_END_DECLS
