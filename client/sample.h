/* SPDX-License-Identifier: Apache-2.0 */
/* Poisson sampling by bytes: which blocks are told of.
 *
 * Points lie on the axis of allocated bytes, at exponential distances of TT_SAMPLE bytes on
 * average; a block with a point in it is in the sample. So one of s bytes is with probability
 * 1 - exp(-s / mean), whatever came before, and the daemon can tell what it stands for. A block
 * without bytes counts as one byte.
 *
 * A thread counts down to its next point (session.h), and a block that has none in it is passed
 * over in 17 instructions. Its free must cost as little: addresses in the sample are in a set, and
 * a table of 16 KiB counts them by hash. Where that says none, and nearly always it does, there is
 * nothing to be told. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/probe.h"

#define TT_SAMPLE_BITS 14u

extern _Atomic uint8_t tt_sample_counts[1u << TT_SAMPLE_BITS] TT_HIDDEN;

static inline _Atomic uint8_t *tt_sample_count_of(uint64_t addr) {
    return &tt_sample_counts[(addr >> 4) * 0x9e3779b97f4a7c15u >> (64 - TT_SAMPLE_BITS)];
}

/* May a block be in the sample? False is certain: whoever frees it knows of its birth, and so
 * finds what that had stored before. */
static inline bool tt_sample_may_hold(const void *ptr) {
    return atomic_load_explicit(tt_sample_count_of((uint64_t)ptr), memory_order_relaxed) != 0;
}

/* What a block counts for on the axis of bytes. */
static inline uint64_t tt_sample_weight(uint64_t size) { return size + (size == 0); }

/* Returns 0, or -ENOMEM. Before the first sampled session begins; more often does no harm. */
int tt_sample_init(void);

/* Forgets all blocks, for a session that knows none. */
void tt_sample_clear(void);

/* The distance to a next point, at least 1.
 *
 * @lot   a state of random bits, any but 0; advanced
 * @mean  bytes, at least 1 */
uint64_t tt_sample_draw(uint64_t *lot, uint64_t mean);

/* Enters a block into the sample. Any thread. */
void tt_sample_put(uint64_t addr);

/* Takes a block out. Returns whether it was in, or may have been: there were once more than the set
 * holds (half a million), and since then nobody can know. */
bool tt_sample_take(uint64_t addr);
