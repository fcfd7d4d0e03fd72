/* SPDX-License-Identifier: Apache-2.0 */
/* From any address to the block that it lies in.
 *
 * Address space is cut into cells of 32 bytes, which is the least distance of two blocks of glibc's
 * malloc. A cell holds the slot of the block that starts in it; where several do (other allocators,
 * reported blocks) they are chained through their records. Beside the cells stand a few bits that
 * say where blocks start and end, so that most births need no other block's record (leaf.h). A
 * block is entered where it starts, and its end is marked: it costs the same whatever its size.
 *
 *   addr:   63 … 25              24 … 15             14 … 9            8 … 5           4 … 0
 *           span, by hash table  leaf of the span    line of the leaf  cell of a line  in the cell
 *
 * A leaf (32 KiB of addresses) exists only while blocks start in it, a span (32 MiB) while it has
 * leaves. That bounds what hostile addresses cost to one leaf and one span for each block.
 *
 * Live blocks never cross each other: two are apart, or one lies in the other and starts later
 * (memory of a pool, reported by the pool's owner). The inner one knows the outer, so the innermost
 * block round an address is the nearest start before it or one of that block's parents. */
#pragma once

#include "model/leaf.h"

G_BEGIN_DECLS

#define TT_SPAN_SHIFT 25
#define TT_SPAN_LEAVES (1u << (TT_SPAN_SHIFT - TT_LEAF_SHIFT))

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

/* Returns the slot of the block that starts at @addr, which is in this leaf, or 0. */
static inline guint32 tt_index_find_in_leaf(const TtIndex *index, guint32 leaf, guint64 addr) {
    TtLeaf *at = tt_index_get_leaf(index, leaf);
    guint32 slot = tt_line_get_cell(tt_leaf_get_line(at, addr), addr);

    while (slot) {
        const TtBlock *block = tt_blocks_get(index->blocks, slot);

        if (G_LIKELY(block->addr == addr))
            break;
        slot = block->next;
    }
    return slot;
}

/* Returns the slot of the block that starts at @addr, or 0. */
guint32 tt_index_find_start(const TtIndex *index, guint64 addr);

/* Returns the slot of the innermost block round @addr, or 0. */
guint32 tt_index_find_inside(const TtIndex *index, guint64 addr);

/* Enters a block that crosses no other. Its flags and extras are the caller's. Where it lies in no
 * other, and its place was not taken by tt_leaf_claim(), tt_index_settle_link() must follow. */
static inline void tt_leaf_link(TtLeaf *leaf, TtBlock *block, guint32 slot) {
    TtLine *line = tt_leaf_get_line(leaf, block->addr);

    block->next = tt_line_get_cell(line, block->addr);
    tt_line_set_cell(line, block->addr, slot);
    tt_leaf_set_start(leaf, block->addr);
}

/* Takes away the ends in the place of a block that lies in no other, and marks its own, and one
 * just before it, if they are plain. Where a block lies in another that has been done for the
 * other. Cold. */
void tt_index_settle_link(TtIndex *index, const TtBlock *block);

/* tt_index_unlink() of one that is not alone in its cell, or the last of its line. Cold. */
void tt_index_unlink_slowly(TtIndex *index, guint32 leaf, guint32 slot);

/* Takes out a block. Those in it are not told. */
static inline void tt_index_unlink(TtIndex *index, guint32 leaf, guint32 slot,
                                   const TtBlock *block) {
    TtLine *line = tt_leaf_get_line(tt_index_get_leaf(index, leaf), block->addr);
    guint32 starts = line->starts & ~tt_line_start_bit(block->addr);

    if (G_UNLIKELY(block->next != 0 || starts == 0 ||
                   tt_line_get_cell(line, block->addr) != slot)) {
        tt_index_unlink_slowly(index, leaf, slot);
        return;
    }
    tt_line_set_cell(line, block->addr, 0);
    line->starts = starts;
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
