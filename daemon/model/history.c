/* SPDX-License-Identifier: Apache-2.0 */
#include "model/history.h"

#include <string.h>

#define ROOM_FIRST 64u

void tt_history_init(TtHistory *history, gsize limit) { *history = (TtHistory){.limit = limit}; }

void tt_history_clear(TtHistory *history) { g_clear_pointer(&history->ring, g_free); }

/* Called when the ring is full, which is when its oldest is at its start: nothing has to move. */
G_GNUC_NO_INLINE void tt_history_grow(TtHistory *history) {
    gsize room = MIN(MAX(ROOM_FIRST, history->room * 2), history->limit);

    history->ring = g_renew(TtFreed, history->ring, room);
    history->next = history->room;
    history->room = room;
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
        extras_count += ret_copy->freed[i].has_extras;
    ret_copy->extras = g_new(TtExtras, extras_count);
    extras_count = 0;
    for (gsize i = 0; i < ret_copy->count; i++) {
        TtFreed *freed = &ret_copy->freed[i];

        if (!freed->has_extras)
            continue;
        ret_copy->extras[extras_count] = *tt_extras_get(extras, freed->site_or_extras);
        freed->site_or_extras = (guint32)extras_count++;
    }
}

void tt_freed_copy_clear(TtFreedCopy *copy) {
    g_clear_pointer(&copy->freed, g_free);
    g_clear_pointer(&copy->extras, g_free);
    copy->count = 0;
}

gsize tt_history_bytes(const TtHistory *history) { return history->room * sizeof(TtFreed); }
