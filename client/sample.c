/* SPDX-License-Identifier: Apache-2.0 */
/* The set of blocks in the sample. It is a table of lines of eight addresses; an address is in its
 * hash's line or the three after that, in any place that was free. So nothing needs to be moved or
 * marked when one is taken out, and all that threads do to a place is a compare-and-swap. */
#include "client/sample.h"

#include <errno.h>
#include <stddef.h>

#include "client/pages.h"

#define LINE_PLACES 8u
#define LINE_BITS 17u
#define LINES (1u << LINE_BITS)
#define LINES_TRIED 4u
#define COUNT_MAX UINT8_MAX /* stays so: nobody knows any more */

typedef struct Line {
    _Alignas(64) _Atomic uint64_t addrs[LINE_PLACES]; /* 0: free */
} Line;

_Atomic uint8_t tt_sample_counts[1u << TT_SAMPLE_BITS];

static Line *lines;
static _Atomic bool is_overfull; /* some block of the sample found no place */

int tt_sample_init(void) {
    if (lines == NULL)
        lines = tt_pages_map(LINES * sizeof(Line));
    return lines == NULL ? -ENOMEM : 0;
}

void tt_sample_clear(void) {
    if (lines == NULL)
        return;
    for (size_t i = 0; i < sizeof tt_sample_counts; i++)
        atomic_store_explicit(&tt_sample_counts[i], 0, memory_order_relaxed);
    tt_pages_zero(lines, LINES * sizeof(Line));
    atomic_store_explicit(&is_overfull, false, memory_order_relaxed);
}

/* -log2(x / 2^64) of a number that is not 0, in 2^32nds. Without floating point: the program may
 * have its exceptions unmasked. */
static uint64_t negative_log2(uint64_t x) {
    unsigned zeros = (unsigned)__builtin_clzll(x);
    uint64_t y = x << zeros, fraction = 0; /* y / 2^63 in [1, 2) */

    for (int bit = 31; bit >= 0; bit--) {
        unsigned __int128 square = (unsigned __int128)y * y; /* in [2^126, 2^128) */
        bool is_two = (square >> 127) != 0;

        fraction |= (uint64_t)is_two << bit;
        y = (uint64_t)(square >> (is_two ? 64 : 63));
    }
    return ((uint64_t)(zeros + 1) << 32) - fraction;
}

uint64_t tt_sample_draw(uint64_t *lot, uint64_t mean) {
    static const uint64_t ln2 = 0xb17217f7d1cf79ac; /* in 2^64ths */
    uint64_t x = *lot;

    x ^= x >> 12; /* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift
                     generators, scrambled", 2016 */
    x ^= x << 25;
    x ^= x >> 27;
    *lot = x;

    uint64_t distance = negative_log2(x * 0x2545f4914f6cdd1d); /* both factors are not 0, one odd */
    uint64_t scaled = (uint64_t)((unsigned __int128)distance * ln2 >> 64); /* -ln, in 2^32nds */
    unsigned __int128 bytes = ((unsigned __int128)mean * scaled >> 32) + 1;
    return bytes > INT64_MAX ? INT64_MAX : (uint64_t)bytes;
}

static void count_up(uint64_t addr) {
    _Atomic uint8_t *count = tt_sample_count_of(addr);
    uint8_t old = atomic_load_explicit(count, memory_order_relaxed);

    while (old < COUNT_MAX && !atomic_compare_exchange_weak_explicit(
                                  count, &old, old + 1, memory_order_relaxed, memory_order_relaxed))
        ;
}

static void count_down(uint64_t addr) {
    _Atomic uint8_t *count = tt_sample_count_of(addr);
    uint8_t old = atomic_load_explicit(count, memory_order_relaxed);

    while (old > 0 && old < COUNT_MAX &&
           !atomic_compare_exchange_weak_explicit(count, &old, old - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

/* The first place with @old, which becomes @new. */
static bool replace(uint64_t addr, uint64_t old, uint64_t new) {
    uint64_t hash = (addr >> 3) * 0x9e3779b97f4a7c15u;

    for (unsigned i = 0; i < LINES_TRIED; i++) {
        Line *line = &lines[((hash >> (64 - LINE_BITS)) + i) % LINES];
        for (unsigned j = 0; j < LINE_PLACES; j++) {
            uint64_t found = old;
            if (atomic_load_explicit(&line->addrs[j], memory_order_relaxed) == old &&
                atomic_compare_exchange_strong_explicit(&line->addrs[j], &found, new,
                                                        memory_order_relaxed, memory_order_relaxed))
                return true;
        }
    }
    return false;
}

/* Every free is told from here on: the daemon leaves out those of blocks that it does not know. */
static void give_up(void) {
    atomic_store_explicit(&is_overfull, true, memory_order_relaxed);
    for (size_t i = 0; i < sizeof tt_sample_counts; i++)
        atomic_store_explicit(&tt_sample_counts[i], COUNT_MAX, memory_order_relaxed);
}

void tt_sample_put(uint64_t addr) {
    if (replace(addr, 0, addr))
        count_up(addr);
    else if (!atomic_load_explicit(&is_overfull, memory_order_relaxed))
        give_up();
}

bool tt_sample_take(uint64_t addr) {
    if (replace(addr, addr, 0)) {
        count_down(addr);
        return true;
    }
    return atomic_load_explicit(&is_overfull, memory_order_relaxed);
}
