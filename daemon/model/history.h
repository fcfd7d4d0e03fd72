/* SPDX-License-Identifier: Apache-2.0 */
/* The freed: a ring of the newest, 40 bytes each. What does not fit (addresses and sizes that no
 * program of this machine has, stacks of frees) goes to the block's extras, as for live ones. */
#pragma once

#include "model/blocks.h"

G_BEGIN_DECLS

#define TT_FREED_SIZE_MAX (((guint64)1 << 47) - 1)
#define TT_FREED_ADDR_MAX (((guint64)1 << 48) - 1)
#define TT_THREAD_NONE G_MAXUINT16

typedef struct TtFreed {
    guint64 addr : 48; /* TT_FREED_ADDR_MAX: see the extras */
    guint64 thread : 16;
    guint64 size : 47; /* TT_FREED_SIZE_MAX: see the extras */
    guint64 has_extras : 1;
    guint64 freed_by : 16; /* TT_THREAD_NONE: nobody was seen to free it */
    guint64 born : 56;     /* ticks */
    guint64 id_high : 8;
    guint64 died : 56; /* ticks */
    guint64 id_middle : 8;
    guint32 id_low;
    guint32 site_or_extras;
} TtFreed;

G_STATIC_ASSERT(sizeof(TtFreed) == 40);

/* Whether a block's place has to be told in extras. */
static inline gboolean tt_freed_is_wide(guint64 addr, guint64 size) {
    return addr >= TT_FREED_ADDR_MAX || size >= TT_FREED_SIZE_MAX;
}

typedef struct TtHistory {
    TtReserve memory;
    TtFreed *ring;   /* in it */
    gsize limit;     /* how many are kept; less than asked for where there are no addresses */
    gsize room;      /* of the ring: grows to the limit */
    gsize next;      /* where the next goes */
    gsize count;     /* in the ring */
    guint64 total;   /* ever */
    guint64 skipped; /* of these, the ones for which there was no room at all */
} TtHistory;

void tt_history_init(TtHistory *history, gsize limit);
void tt_history_clear(TtHistory *history);

/* Makes the ring longer, up to its limit. Cold. */
void tt_history_grow(TtHistory *history);

/* Gives up the extras of the oldest. Cold. */
void tt_history_free_extras(TtHistory *history, TtExtrasPool *extras);

/* Returns where to write the next one. What stood there has gone; its extras too. */
static inline TtFreed *tt_history_push(TtHistory *history, TtExtrasPool *extras) {
    TtFreed *freed;

    if (G_UNLIKELY(history->count == history->room) && history->room < history->limit)
        tt_history_grow(history);
    freed = &history->ring[history->next];
    if (history->count < history->room)
        history->count++;
    else if (G_UNLIKELY(freed->has_extras))
        tt_history_free_extras(history, extras);
    if (++history->next == history->room)
        history->next = 0;
    history->total++;
    return freed;
}

/* How many have ever been written, kept still or not. */
static inline guint64 tt_history_count_pushed(const TtHistory *history) {
    return history->total - history->skipped;
}

/* Counts one that is not kept. */
static inline void tt_history_skip(TtHistory *history) {
    history->total++;
    history->skipped++;
}

static inline guint64 tt_freed_get_id(const TtFreed *freed) {
    return (guint64)freed->id_high << 40 | (guint64)freed->id_middle << 32 | freed->id_low;
}

/* Whether one of the last @depth freed blocks began at @addr. */
gboolean tt_history_has_recent(const TtHistory *history, guint64 addr, gsize depth);

/* Returns the one of the last @depth freed blocks that has this id, or NULL. */
TtFreed *tt_history_find_recent(const TtHistory *history, guint64 id, gsize depth);

/* The freed of a snapshot: copies, oldest first, with their extras. */
typedef struct TtFreedCopy {
    TtFreed *freed; /* site_or_extras of those with extras is an index into these: */
    gsize count;
    TtExtras *extras; /* wide ones follow those that they belong to */
} TtFreedCopy;

void tt_history_copy(const TtHistory *history, const TtExtrasPool *extras, TtFreedCopy *ret_copy);
void tt_freed_copy_clear(TtFreedCopy *copy);

gsize tt_history_bytes(const TtHistory *history);

G_END_DECLS
