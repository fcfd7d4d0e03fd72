/* SPDX-License-Identifier: Apache-2.0 */
/* libunwind's generic API, asked for one rule at a time: all that knows of it.
 *
 * It runs in a link-map namespace of its own, on a stack of ours, with signals blocked, under one
 * lock, waited for no longer than a second: a thread that cannot have it does without. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Loads the engine. In the library's constructor only: takes the loader's lock. Returns 0 or a
 * negative errno; the functions below then fail. */
int tt_engine_init(void);

/* Computes and keeps (tt_rules_put) the rule of an address, given by its @key with its module.
 *
 * Returns false where the engine is not to be had: lost, sealed, or busy for over a second. */
bool tt_engine_learn(uint64_t key, uint32_t epoch, uint64_t *ret_bits);

/* A frame's state: what its rule starts from. */
typedef struct TtFrameState {
    uint64_t ip; /* with TT_KEY_EXACT or without */
    uint64_t sp;
    uint64_t bp;
} TtFrameState;

/* Unwinds the calling thread with all registers, from here to the frame with stack pointer @sp,
 * and on to its caller.
 *
 * Returns 1 with the caller's state; 0 where the frame is the outermost; -EBUSY where the engine is
 * not to be had, -ENOENT where it does not know. */
int tt_engine_ask(uint64_t sp, TtFrameState *ret_caller);

/* Does a call instruction end at @addr? What none precedes is no return address. */
bool tt_engine_is_call_before(uint64_t addr);

/* In a forked child: whoever was in the engine will not come out, and libunwind with its libc is
 * left as it was then. It is lost. */
void tt_engine_after_fork(void);
