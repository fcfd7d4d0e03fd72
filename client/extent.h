/* SPDX-License-Identifier: Apache-2.0 */
/* Which memory a walk may read.
 *
 * A thread's own stack is readable from its stack pointer up to its top, for as long as it runs.
 * How far down that stack reaches is learnt: a walk that went from a lower stack pointer into what
 * is known, or to the thread's first frame near the top, proves it, once every page between was
 * found readable. Any other stack (a coroutine's, a handler's, one of a thread that has shown no
 * whole stack yet) is foreign: it may be unmapped by whoever owns it, and an address "below the end
 * of the stack" may lie in no memory at all. There each page but the stack pointer's is asked for,
 * whenever a wrong rbp could lead outside. */
#pragma once

#include "client/probe.h"
#include "client/stack.h"

/* What a walk knows of the memory around the frame that it has reached: [slot, high) may be read,
 * from the frame's own slot on. */
typedef struct TtExtent {
    uint64_t high;
    uint64_t own_low, own_high;
    bool is_foreign; /* began outside of the thread's own stack */
} TtExtent;

/* Finds the ends of the main thread's stack and the size of static TLS, which lies between another
 * thread's first frame and its thread pointer. In the library's constructor: takes the loader's
 * lock. */
void tt_extent_init(void);

/* What may be read from a stack pointer on; @slot, in use, is 8 below it. */
void tt_extent_begin(TtExtent *extent, TtStackCache *cache, uint64_t slot);

/* The thread pointer: its first word is itself (x86-64 psABI, TLS). */
static inline uint64_t tt_thread_pointer(void) {
    uint64_t pointer;

    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

/* Is @slot known to be in the calling thread's own stack? */
static inline bool tt_extent_is_own(const TtStackCache *cache, uint64_t slot) {
    return slot - cache->stack_low < cache->stack_high - cache->stack_low &&
           cache->thread_pointer == tt_thread_pointer();
}

/* A walk at @slot wants the words at @addr and at @other, both further out (and so on their way to
 * a frame there, or in it). Makes sure of both, and that what lies from @addr to the extent's new
 * end may be read. */
bool tt_extent_grow(TtExtent *extent, uint64_t slot, uint64_t addr, uint64_t other);

/* After a walk over a foreign stack from @slot to the outermost frame's @outer: is it the thread's
 * own? @is_whole: the walk ended at a first frame. */
void tt_extent_learn(TtStackCache *cache, uint64_t slot, uint64_t outer, bool is_whole);

/* Can all of [from, to) be read, 64 MiB at the most? Asks for each page. */
bool tt_extent_is_readable(uint64_t from, uint64_t to);

/* Does the main thread's stack end here, so that no frame can be further out? */
bool tt_extent_is_top(uint64_t slot);
