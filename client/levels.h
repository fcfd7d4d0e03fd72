/* SPDX-License-Identifier: Apache-2.0 */
/* A hash that is read without a lock and never moves an entry.
 *
 * Rehashing would stall a program for milliseconds, or leave readers with tables that must not be
 * freed. So there are levels: a level is an array of cache lines of four entries, and each level
 * has four times the lines of the one before. A key has one line in each level, and lives in the
 * first whose line had room when it came; a line with an empty entry ends the search. Levels are
 * mapped when they are first needed, and pages of them exist once touched. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "client/pages.h"
#include "client/probe.h"

#define TT_LINE_ENTRIES 4u
#define TT_LEVELS_MAX 5u

typedef struct TtEntry {
    _Atomic uint64_t a, b; /* both 0: empty */
} TtEntry;

typedef struct TtLine {
    _Alignas(64) TtEntry entries[TT_LINE_ENTRIES];
} TtLine;

_Static_assert(sizeof(TtLine) == 64, "a line is looked through at the price of one cache miss");

typedef struct TtLevels {
    _Atomic(TtLine *) levels[TT_LEVELS_MAX]; /* release; NULL: not yet */
} TtLevels;

/* The line of a key with @hash, whose upper bits must be good. @bits: log2 of level 0's lines. */
static inline TtLine *tt_level_line(TtLine *level, unsigned number, unsigned bits, uint64_t hash) {
    return level + (hash >> (64 - bits - 2 * number));
}

/* Level @number, or NULL. Pairs with the release in tt_levels_map. */
static inline TtLine *tt_levels_peek(const TtLevels *table, unsigned number) {
    return atomic_load_explicit(&table->levels[number], memory_order_acquire);
}

static inline size_t tt_level_bytes(unsigned number, unsigned bits) {
    return sizeof(TtLine) << (bits + 2 * number);
}

/* Level @number, mapped if need be, or NULL: no memory. Callers hold the table's lock. */
static inline TtLine *tt_levels_map(TtLevels *table, unsigned number, unsigned bits) {
    TtLine *level = tt_levels_peek(table, number);

    if (level != NULL || tt_is_sealed_now())
        return level;
    level = tt_pages_map(tt_level_bytes(number, bits));
    if (level == NULL)
        return NULL;
    atomic_store_explicit(&table->levels[number], level, memory_order_release);
    return level;
}
