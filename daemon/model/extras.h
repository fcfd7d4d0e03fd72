/* SPDX-License-Identifier: Apache-2.0 */
/* What only some blocks have: a name, a scope, an earlier self. Kept apart, so that a plain block
 * stays small; a block that has any carries the number of its extras in place of its site. */
#pragma once

#include "model/reserve.h"
#include "model/snapshot.h"

G_BEGIN_DECLS

typedef struct TtExtras {
    union {
        struct {
            guint64 resized_from : 48; /* id, or 0 */
            guint64 spare_low : 16;    /* see tt_extras_get_spare */
            guint32 site : 24;         /* what the block's own field would hold */
            guint32 spare_high : 8;
            guint32 variable; /* or TT_NONE */
        };
        struct {
            guint64 addr, size;
        } wide; /* of extras that are another's @wide_extras */
    };
    guint32 scope; /* or TT_NONE */
    union {
        guint32 parent;      /* alive: slot of the block that this one lies in, or 0 */
        guint32 freed_stack; /* in the history: a stack's id, or TT_STACK_NONE */
    };
    union {
        guint32 older;       /* alive: extras with the name before, for pins that saw it; or 0 */
        guint32 wide_extras; /* in the history: extras with what does not fit there; or 0 */
        guint32 next_free;
    };
    guint32 since_pin; /* the newest pin when the name was given: it and older ones saw another */
} TtExtras;

G_STATIC_ASSERT(sizeof(TtExtras) == 32); /* two to a cache line, none across */

#define TT_SPARE_MAX ((1u << 24) - 1) /* 16 MiB */

typedef struct TtExtrasPool {
    TtReserve memory;
    guint32 end; /* first number never used; 0 is none */
    guint32 first_free;
} TtExtrasPool;

void tt_extras_pool_init(TtExtrasPool *pool, gsize max_bytes, TtBudget *budget);
void tt_extras_pool_clear(TtExtrasPool *pool);

static inline TtExtras *tt_extras_get(const TtExtrasPool *pool, guint32 number) {
    return (TtExtras *)(gpointer)pool->memory.base + number;
}

/* What a block's allocator gave it past its size, and 1; 0: not known. */
static inline guint32 tt_extras_get_spare(const TtExtras *extras) {
    return (guint32)extras->spare_high << 16 | (guint32)extras->spare_low;
}

/* More than TT_SPARE_MAX is not known. */
static inline void tt_extras_set_spare(TtExtras *extras, guint64 spare) {
    guint32 kept = spare <= TT_SPARE_MAX ? (guint32)spare : 0;

    extras->spare_low = kept & 0xffff;
    extras->spare_high = kept >> 16 & 0xff;
}

/* Returns the number of empty extras for @site, or 0: no room. */
guint32 tt_extras_new(TtExtrasPool *pool, guint32 site);

/* Returns the number of a copy that has no older ones, or 0: no room. */
guint32 tt_extras_copy(TtExtrasPool *pool, guint32 number);

/* Frees extras and those that they lead to. */
void tt_extras_free(TtExtrasPool *pool, guint32 number);

/* Frees the older ones only. */
void tt_extras_forget_older(TtExtrasPool *pool, guint32 number);

/* The variable that a block had for @pin (a pin's number). */
guint32 tt_extras_variable_at(const TtExtrasPool *pool, guint32 number, guint32 pin);

G_END_DECLS
