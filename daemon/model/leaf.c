/* SPDX-License-Identifier: Apache-2.0 */
/* The ways through a leaf that pass more than a line or two. Its head says which lines are worth a
 * look. */
#include "model/leaf.h"

/* The bits of a line, or of the lines of a leaf, from @bit on. */
static guint32 from(guint bit) { return G_MAXUINT32 << bit % TT_LINE_GRANULES; }
static guint64 lines_from(guint line) { return line < TT_LEAF_LINES ? G_MAXUINT64 << line : 0; }

void tt_leaf_unset_start(TtLeaf *leaf, guint64 addr) {
    TtLine *line = tt_leaf_get_line(leaf, addr);

    line->starts &= ~tt_line_start_bit(addr);
    if (line->starts == 0)
        leaf->started &= ~((guint64)1 << (line - leaf->lines));
}

void tt_leaf_drop_ends(TtLeaf *leaf, guint first, guint end) {
    if (first >= end)
        return;

    guint first_line = first / TT_LINE_GRANULES, last_line = (end - 1) / TT_LINE_GRANULES;
    guint64 lines = leaf->ended & lines_from(first_line) & ~lines_from(last_line + 1);

    for (; lines; lines &= lines - 1) {
        guint number = (guint)__builtin_ctzll(lines);
        guint32 gone = G_MAXUINT32;

        if (number == first_line)
            gone &= from(first);
        if (number == last_line && end % TT_LINE_GRANULES != 0)
            gone &= ~from(end);
        leaf->lines[number].ends &= ~gone;
        if (leaf->lines[number].ends == 0)
            leaf->ended &= ~((guint64)1 << number);
    }
}

guint tt_leaf_next_start(const TtLeaf *leaf, guint granule, guint end) {
    if (granule >= end)
        return end;

    guint number = granule / TT_LINE_GRANULES;
    guint32 starts = leaf->lines[number].starts & from(granule);

    if (starts == 0) {
        if ((end - 1) / TT_LINE_GRANULES == number)
            return end;
        guint64 lines = leaf->started & lines_from(number + 1);
        if (lines == 0)
            return end;
        number = (guint)__builtin_ctzll(lines);
        /* Where it lies behind the end its line need not be fetched. */
        if (number * TT_LINE_GRANULES >= end)
            return end;
        starts = leaf->lines[number].starts;
    }
    return MIN(end, number * TT_LINE_GRANULES + (guint)__builtin_ctz(starts));
}

static guint behind_highest(guint line, guint32 bits) {
    return (line + 1) * TT_LINE_GRANULES - (guint)__builtin_clz(bits);
}

guint tt_leaf_previous_start(const TtLeaf *leaf, guint granule) {
    guint number = granule / TT_LINE_GRANULES;
    guint32 starts = number < TT_LEAF_LINES ? leaf->lines[number].starts & ~from(granule) : 0;

    if (starts == 0) {
        guint64 lines = leaf->started & ~lines_from(number);

        if (lines == 0)
            return 0;
        number = 63 - (guint)__builtin_clzll(lines);
        starts = leaf->lines[number].starts;
    }
    return behind_highest(number, starts);
}

/* The same of ends. */
static guint previous_end(const TtLeaf *leaf, guint granule) {
    guint number = granule / TT_LINE_GRANULES;
    guint32 ends = leaf->lines[number].ends & ~from(granule);

    for (guint64 lines = leaf->ended & ~lines_from(number); ends == 0;
         lines &= ~((guint64)1 << number)) {
        if (lines == 0)
            return 0;
        number = 63 - (guint)__builtin_clzll(lines);
        ends = leaf->lines[number].ends;
    }
    return behind_highest(number, ends);
}

G_GNUC_NO_INLINE gboolean tt_leaf_claim_far(TtLeaf *leaf, guint64 addr, guint64 size) {
    guint first = tt_leaf_granule(addr);
    guint64 last = (addr % (1u << TT_LEAF_SHIFT) + size - (size > 0)) >> TT_GRANULE_SHIFT;

    if (last >= TT_LEAF_GRANULES || tt_leaf_next_start(leaf, first, (guint)last + 1) <= last)
        return FALSE;
    guint end = previous_end(leaf, first);
    if (end == 0 || end < tt_leaf_previous_start(leaf, first))
        return FALSE;
    tt_leaf_drop_ends(leaf, first, (guint)last);
    tt_leaf_set_end(leaf, (guint)last);
    return TRUE;
}
