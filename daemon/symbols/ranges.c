/* SPDX-License-Identifier: Apache-2.0 */
/* A sorted array, and for each item how far any up to it reaches. Well-formed input hardly
 * overlaps, so the walk back from the binary search's place ends after a step or two. */
#include "symbols/ranges.h"

void tt_ranges_init(TtRanges *ranges) {
    ranges->items = g_array_new(FALSE, FALSE, sizeof(TtRange));
    ranges->reach = NULL;
}

void tt_ranges_clear(TtRanges *ranges) {
    if (ranges->items)
        g_array_unref(ranges->items);
    g_free(ranges->reach);
    *ranges = (TtRanges){0};
}

void tt_ranges_add(TtRanges *ranges, guint64 start, guint64 end, guint32 value) {
    TtRange range = {.start = start, .end = end, .value = value};

    /* A linker that drops a section leaves its debug information, at 0 or 1; no code is there. */
    if (start <= 1 || end <= start)
        return;
    g_array_append_val(ranges->items, range);
}

static gint compare(gconstpointer a, gconstpointer b) {
    const TtRange *left = a, *right = b;

    if (left->start != right->start)
        return left->start < right->start ? -1 : 1;
    if (left->end != right->end)
        return left->end > right->end ? -1 : 1;
    return left->value < right->value ? -1 : left->value > right->value;
}

static const TtRange *item(const TtRanges *ranges, gsize i) {
    return &g_array_index(ranges->items, TtRange, i);
}

void tt_ranges_sort(TtRanges *ranges) {
    guint64 reach = 0;

    g_array_sort(ranges->items, compare);
    g_free(ranges->reach);
    ranges->reach = g_new(guint64, ranges->items->len + 1);
    for (guint i = 0; i < ranges->items->len; i++) {
        reach = MAX(reach, item(ranges, i)->end);
        ranges->reach[i] = reach;
    }
}

/* Returns: how many ranges start at or before @addr. */
static gsize count_before(const TtRanges *ranges, guint64 addr) {
    gsize low = 0, high = ranges->items->len;

    while (low < high) {
        gsize middle = low + (high - low) / 2;

        if (item(ranges, middle)->start <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const TtRange *tt_ranges_find(const TtRanges *ranges, guint64 addr) {
    for (gsize i = count_before(ranges, addr); i > 0 && ranges->reach[i - 1] > addr; i--)
        if (item(ranges, i - 1)->end > addr)
            return item(ranges, i - 1);
    return NULL;
}

const TtRange *tt_ranges_find_before(const TtRanges *ranges, guint64 addr) {
    gsize count = count_before(ranges, addr);

    return count > 0 ? item(ranges, count - 1) : NULL;
}
