/* SPDX-License-Identifier: Apache-2.0 */
#include "model/history.h"

#include <string.h>

#define EXTRAS_AHEAD 16u /* events, at which extras are asked for */

void tt_history_init(TtHistory *history, gsize limit) {
    *history = (TtHistory){.limit = limit};
    tt_reserve_init(&history->memory, limit * sizeof(TtFreed), NULL);
    tt_history_grow(history);
}

void tt_history_clear(TtHistory *history) { tt_reserve_clear(&history->memory); }

/* Called when the ring is full, which is when its oldest is at its start: nothing has to move. */
G_GNUC_NO_INLINE void tt_history_grow(TtHistory *history) {
    if (history->room == history->limit)
        return;
    if (tt_reserve_grow(&history->memory, (history->room + 1) * sizeof(TtFreed))) {
        history->ring = (TtFreed *)(gpointer)history->memory.base;
        history->next = history->room;
        history->room = MIN(history->memory.committed_bytes / sizeof(TtFreed), history->limit);
    } else {
        history->limit = history->room;
    }
}

/* Where one has extras the next ones often have; none has been looked at for a long time. */
G_GNUC_NO_INLINE void tt_history_free_extras(TtHistory *history, TtExtrasPool *extras) {
    gsize soon = history->next + EXTRAS_AHEAD;

    if (soon < history->room && history->ring[soon].has_extras)
        __builtin_prefetch(tt_extras_get(extras, history->ring[soon].site_or_extras), 1);
    tt_extras_free(extras, history->ring[history->next].site_or_extras);
}

gboolean tt_history_has_recent(const TtHistory *history, guint64 addr, gsize depth) {
    gsize at = history->next;

    if (addr >= TT_FREED_ADDR_MAX)
        return FALSE;
    for (gsize left = MIN(depth, history->count); left > 0; left--) {
        at = at > 0 ? at - 1 : history->room - 1;
        if (history->ring[at].addr == addr)
            return TRUE;
    }
    return FALSE;
}

TtFreed *tt_history_find_recent(const TtHistory *history, guint64 id, gsize depth) {
    gsize at = history->next;

    for (gsize i = 0; i < MIN(depth, history->count); i++) {
        at = (at > 0 ? at : history->room) - 1;
        if (tt_freed_get_id(&history->ring[at]) == id)
            return &history->ring[at];
    }
    return NULL;
}

void tt_history_copy(const TtHistory *history, const TtExtrasPool *extras, TtFreedCopy *ret_copy) {
    gsize oldest = history->count < history->room ? 0 : history->next;
    gsize first = MIN(history->count, history->room - oldest);
    gsize extras_count = 0;

    *ret_copy = (TtFreedCopy){.freed = g_new(TtFreed, history->count), .count = history->count};
    if (history->count == 0)
        return;
    memcpy(ret_copy->freed, history->ring + oldest, first * sizeof(TtFreed));
    memcpy(ret_copy->freed + first, history->ring, (history->count - first) * sizeof(TtFreed));

    for (gsize i = 0; i < ret_copy->count; i++)
        if (ret_copy->freed[i].has_extras)
            extras_count +=
                tt_extras_get(extras, ret_copy->freed[i].site_or_extras)->wide_extras ? 2 : 1;
    ret_copy->extras = g_new(TtExtras, extras_count);
    extras_count = 0;
    for (gsize i = 0; i < ret_copy->count; i++) {
        TtFreed *freed = &ret_copy->freed[i];

        if (!freed->has_extras)
            continue;
        const TtExtras *own = tt_extras_get(extras, freed->site_or_extras);
        freed->site_or_extras = (guint32)extras_count;
        ret_copy->extras[extras_count++] = *own;
        if (own->wide_extras)
            ret_copy->extras[extras_count++] = *tt_extras_get(extras, own->wide_extras);
    }
}

void tt_freed_copy_clear(TtFreedCopy *copy) {
    g_clear_pointer(&copy->freed, g_free);
    g_clear_pointer(&copy->extras, g_free);
    copy->count = 0;
}

gsize tt_history_bytes(const TtHistory *history) { return history->memory.committed_bytes; }
