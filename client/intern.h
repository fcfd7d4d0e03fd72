/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks as a tree: a node is its caller's node and an address, and has an id. A node is defined
 * in some thread's lane before any thread can find it here.
 *
 * Of the first 4 million nodes (2.8 million where hashes fall badly) each gets an id; what is new
 * after that is TT_STACK_NONE, "other": sums hold, and nothing is ascribed to a wrong stack. */
#pragma once

#include "client/rules.h"
#include "client/thread.h"

#define TT_INTERN_BITS 12u /* 4096 lines, 16384 nodes, 256 KiB in level 0 */

extern TtLevels tt_intern TT_HIDDEN;

/* Returns 0, or -ENOMEM. In the library's constructor. */
int tt_intern_init(void);

/* The number of the session that ids belong to, from 1. */
uint32_t tt_intern_session(void);

/* Begins a new session: no node is known. */
void tt_intern_restart(void);
void tt_intern_after_fork(void);

/* The rest of tt_intern_get: deeper levels, and new nodes.
 *
 * @session  tt_intern_session() when the thread's lane was attached */
uint32_t tt_intern_get_slow(TtThread *thread, uint32_t parent, uint64_t key, uint32_t session);

static inline uint64_t tt_intern_hash(uint32_t parent, uint64_t key) {
    return (key + parent * 0xd6e8feb86659fd93u) * 0x9e3779b97f4a7c15u;
}

/* The id of the node of @key (rules.h) below @parent.
 *
 * Returns TT_STACK_NONE where there are too many, or 0 where its definition could not be written:
 * the lane is full. May wait for the lane; no lock of ours may be held. */
static inline __attribute__((always_inline)) uint32_t
tt_intern_get(TtThread *thread, uint32_t parent, uint64_t key, uint32_t session) {
    TtLine *level = atomic_load_explicit(&tt_intern.levels[0], memory_order_relaxed);
    TtLine *line = tt_level_line(level, 0, TT_INTERN_BITS, tt_intern_hash(parent, key));

    for (unsigned i = 0; i < TT_LINE_ENTRIES; i++) {
        /* Pairs with the release in add. */
        if (atomic_load_explicit(&line->entries[i].a, memory_order_acquire) == key) {
            uint64_t ids = atomic_load_explicit(&line->entries[i].b, memory_order_relaxed);
            if (ids >> 32 == parent)
                return (uint32_t)ids;
        }
    }
    return tt_intern_get_slow(thread, parent, key, session);
}
