/* SPDX-License-Identifier: Apache-2.0 */
/* What the index knows of 32 KiB of addresses, without a look at any record.
 *
 * A leaf is 64 lines for 512 bytes of addresses each, and a line is one cache line: all that a
 * death touches of the index, and a birth too unless it reaches into the next. It holds a slot for
 * each cell of 32 bytes and two bits for each granule of 16:
 *
 *   cells    16 x 28 bits   the slot of the block that starts there, or of the first of several
 *   starts   32 bits        a block starts here
 *   ends     32 bits        here ends a block that lay in no other
 *
 * This holds at any time:
 *
 *   In the granules of a live block there is no end, but in its last one.
 *
 * So no live block lies across an end, and where the nearest end before an address is not before
 * the nearest start, nothing is round the address. A birth takes away the ends in its place; a
 * death has nothing to do, for ends of the dead are as good as those of the living. One that is
 * missing costs a longer way (index.c), no more; and none is set where others lie round the block,
 * in it, or start in its last granule. */
#pragma once

#include <string.h>

#include "model/blocks.h"

G_BEGIN_DECLS

#define TT_GRANULE_SHIFT 4
#define TT_CELL_SHIFT 5
#define TT_LINE_SHIFT 9
#define TT_LEAF_SHIFT 15
#define TT_LINE_CELLS (1u << (TT_LINE_SHIFT - TT_CELL_SHIFT))
#define TT_LINE_GRANULES (1u << (TT_LINE_SHIFT - TT_GRANULE_SHIFT))
#define TT_LEAF_LINES (1u << (TT_LEAF_SHIFT - TT_LINE_SHIFT))
#define TT_LEAF_GRANULES (1u << (TT_LEAF_SHIFT - TT_GRANULE_SHIFT))

typedef struct TtLine {
    guint8 cells[TT_LINE_CELLS * TT_SLOT_BITS / 8];
    guint32 starts;
    guint32 ends;
} TtLine;

G_STATIC_ASSERT(sizeof(TtLine) == 64);

typedef struct TtLeaf {
    guint64 key;        /* addr >> TT_LEAF_SHIFT */
    guint32 next;       /* in the list of free leaves, or of suspects */
    guint32 is_suspect; /* became empty and is looked at by tt_index_tidy */
    guint64 started;    /* a bit a line: it has starts */
    guint64 ended;      /* it may have ends */
    guint64 reserved[4];
    TtLine lines[TT_LEAF_LINES];
} TtLeaf;

G_STATIC_ASSERT(sizeof(TtLeaf) == 64 + 4096);

static inline guint tt_leaf_granule(guint64 addr) {
    return (guint)(addr >> TT_GRANULE_SHIFT) % TT_LEAF_GRANULES;
}

static inline TtLine *tt_leaf_get_line(TtLeaf *leaf, guint64 addr) {
    return &leaf->lines[(addr >> TT_LINE_SHIFT) % TT_LEAF_LINES];
}

/* ---- Cells: 28 bits begin on a half byte, so four bytes hold any of them ---- */

static inline guint tt_line_cell_byte(guint64 addr) {
    return (guint)(addr >> TT_CELL_SHIFT) % TT_LINE_CELLS * TT_SLOT_BITS / 8;
}

static inline guint tt_line_cell_shift(guint64 addr) {
    return (guint)(addr >> TT_CELL_SHIFT) % 2 * (TT_SLOT_BITS % 8);
}

static inline guint32 tt_line_get_cell(const TtLine *line, guint64 addr) {
    guint32 bytes;

    memcpy(&bytes, &line->cells[tt_line_cell_byte(addr)], sizeof bytes);
    return bytes >> tt_line_cell_shift(addr) & TT_SLOT_MAX;
}

static inline void tt_line_set_cell(TtLine *line, guint64 addr, guint32 slot) {
    guint at = tt_line_cell_byte(addr), shift = tt_line_cell_shift(addr);
    guint32 bytes;

    memcpy(&bytes, &line->cells[at], sizeof bytes);
    bytes = (bytes & ~(TT_SLOT_MAX << shift)) | slot << shift;
    memcpy(&line->cells[at], &bytes, sizeof bytes);
}

/* ---- Granules: by their number in the leaf ---- */

static inline guint32 tt_line_start_bit(guint64 addr) {
    return 1u << (addr >> TT_GRANULE_SHIFT) % TT_LINE_GRANULES;
}

/* Of those in a line before some granule: whether the last start has no end. */
static inline gboolean tt_line_is_open(guint32 starts, guint32 ends) {
    return ends < (starts & ~ends); /* as their highest bits are */
}

static inline void tt_leaf_set_start(TtLeaf *leaf, guint64 addr) {
    TtLine *line = tt_leaf_get_line(leaf, addr);

    if (G_UNLIKELY(line->starts == 0))
        leaf->started |= (guint64)1 << (line - leaf->lines);
    line->starts |= tt_line_start_bit(addr);
}

static inline void tt_leaf_set_end(TtLeaf *leaf, guint granule) {
    TtLine *line = &leaf->lines[granule / TT_LINE_GRANULES];

    if (G_UNLIKELY(line->ends == 0))
        leaf->ended |= (guint64)1 << granule / TT_LINE_GRANULES;
    line->ends |= 1u << granule % TT_LINE_GRANULES;
}

void tt_leaf_unset_start(TtLeaf *leaf, guint64 addr);

/* Takes away the ends of [first, end). */
void tt_leaf_drop_ends(TtLeaf *leaf, guint first, guint end);

/* Returns the first granule of [granule, end) in which a block starts, or @end. */
guint tt_leaf_next_start(const TtLeaf *leaf, guint granule, guint end);

/* Returns one more than the last granule before @granule in which a block starts, or 0. */
guint tt_leaf_previous_start(const TtLeaf *leaf, guint granule);

/* tt_leaf_claim() where more than a line and the one after it is to be looked at. */
gboolean tt_leaf_claim_far(TtLeaf *leaf, guint64 addr, guint64 size);

/* Takes a place for a block, if it is plain to see that it would lie in no other and no other in
 * it: marks its end, so that it is as plain to those that come after it. FALSE says nothing, and
 * nothing has changed. Mostly it is one line that is looked at.
 *
 * A place that is not used in the end does no harm. */
static inline gboolean tt_leaf_claim(TtLeaf *leaf, guint64 addr, guint64 size) {
    guint number = (guint)(addr >> TT_LINE_SHIFT) % TT_LEAF_LINES;
    TtLine *line = &leaf->lines[number];
    guint first = (guint)(addr >> TT_GRANULE_SHIFT) % TT_LINE_GRANULES;
    guint64 last = (addr % (1u << TT_LINE_SHIFT) + size - (size > 0)) >> TT_GRANULE_SHIFT;
    guint32 to_first = (1u << first) - 1;
    guint32 starts = line->starts & to_first, ends = line->ends & to_first;

    if (G_UNLIKELY(ends == 0 || last >= 2 * TT_LINE_GRANULES ||
                   number + last / TT_LINE_GRANULES == TT_LEAF_LINES))
        return tt_leaf_claim_far(leaf, addr, size);

    /* Without a branch: whether it ends in the next line is as good as random. */
    TtLine *to = line + last / TT_LINE_GRANULES;
    guint64 range = (G_MAXUINT64 << first) & (G_MAXUINT64 >> (63 - last));
    guint32 here = (guint32)range, there = (guint32)(range >> 32);
    if (G_UNLIKELY((line->starts & here) | (to->starts & there)))
        return FALSE;
    if (G_UNLIKELY(tt_line_is_open(starts, ends)))
        return FALSE;
    line->ends &= ~here;
    to->ends &= ~there;
    tt_leaf_set_end(leaf, number * TT_LINE_GRANULES + (guint)last);
    return TRUE;
}

G_END_DECLS
