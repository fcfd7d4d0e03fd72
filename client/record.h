/* SPDX-License-Identifier: Apache-2.0 */
/* From a hook to its lane. A hook's frame is at work in one lane at a time (thread->busy_frame);
 * what a signal handler allocates meanwhile goes to a lane kept for that. */
#pragma once

#include "client/lane.h"
#include "client/session.h"

/* Who called the function that this stands in, which thereby keeps a frame pointer: its stack
 * pointer before the call. The rest is read from there when it is wanted, rather than kept over the
 * real call. */
#define TT_CFA() ((uint64_t)__builtin_frame_address(0) + 16)
static inline uint64_t tt_cfa_ip(uint64_t cfa) { return ((const uint64_t *)cfa)[-1]; }
static inline uint64_t tt_cfa_bp(uint64_t cfa) { return ((const uint64_t *)cfa)[-2]; }

/* In place of busy_frame, for a hook to look twice though none is at work. */
#define TT_BUSY_OPTIONS 1u  /* is this block in the sample, and how many bytes did it get? */
#define TT_BUSY_PAUSED 2u   /* in tt_pause */
#define TT_BUSY_OPERATOR 3u /* in an allocator's own operator new or delete (operators.c) */

/* The calling thread's busy_frame while no hook is at work. */
static inline uintptr_t tt_record_idle_frame(void) {
    if (tt_self.pause_depth > 0)
        return TT_BUSY_PAUSED;
    return tt_session.options.sample_bytes > 0 || tt_session.options.records_usable_sizes
               ? TT_BUSY_OPTIONS
               : 0;
}

/* As tt_record_birth and _death, for a thread whose busy_frame is not 0. A pause holds for births
 * alone, those by resizing excepted: a block that was born traced must not live for ever. */
void tt_record_birth_cold(TtThread *thread, TtKind kind, uint64_t addr, uint64_t size,
                          uint64_t cfa);
void tt_record_foreign_birth_cold(TtThread *thread, TtKind kind, uint64_t addr, uint64_t size,
                                  uint64_t cfa);
void tt_record_death_cold(TtThread *thread, TtKind kind, uint64_t addr, uint64_t cfa);

/* A block whose address is not 16-aligned, or with a size that the packed form cannot tell. Returns
 * whether that could be told. */
bool tt_record_wide(TtThread *thread, TtOp op, uint64_t addr, uint64_t size, uint32_t stack);

/* Can the packed form tell an address and a size? One test for low and high bits of the address. */
static inline bool tt_record_is_packable(uint64_t addr, uint64_t size) {
    _Static_assert(TT_EVENT_ADDR_END == UINT64_C(1) << 50 && TT_EVENT_SIZE_END == UINT64_C(1) << 48,
                   "the shifts below");
    return (((addr >> 4 | addr << 60) >> 46) | size >> 48) == 0;
}

/* Returns false where the event was lost. */
static inline __attribute__((always_inline)) bool
tt_record_birth_in(TtThread *thread, TtKind kind, uint64_t addr, uint64_t size, uint64_t cfa) {
    uint32_t stack = tt_stack_capture(thread, tt_cfa_ip(cfa), cfa, tt_cfa_bp(cfa));

    if (__builtin_expect(stack == TT_STACK_ROOT || !tt_lane_reserve(thread, TT_EVENT_MAX), 0)) {
        tt_lane_drop(thread);
        return false;
    }
    if (__builtin_expect(!tt_record_is_packable(addr, size), 0))
        return tt_record_wide(thread, kind == TT_KIND_ALLOC ? TT_OP_ALLOC : TT_OP_REALLOC_END, addr,
                              size, stack);
    thread->at =
        tt_encode_birth(thread->at, &thread->delta, kind, addr, size, stack, tt_clock_stamp());
    thread->event_count++;
    tt_lane_publish(thread);
    return true;
}

static inline __attribute__((always_inline)) void tt_record_death_in(TtThread *thread, TtKind kind,
                                                                     uint64_t addr, uint64_t cfa) {
    uint32_t stack = TT_STACK_NONE;

    if (__builtin_expect(tt_session.options.records_free_stacks, 0))
        stack = tt_stack_capture(thread, tt_cfa_ip(cfa), cfa, tt_cfa_bp(cfa));
    if (__builtin_expect(stack == TT_STACK_ROOT || !tt_lane_reserve(thread, TT_EVENT_MAX), 0)) {
        tt_lane_drop(thread);
        return;
    }
    if (__builtin_expect(!tt_record_is_packable(addr, 0), 0)) {
        tt_record_wide(thread, kind == TT_KIND_FREE ? TT_OP_FREE : TT_OP_REALLOC_BEGIN, addr, 0,
                       stack);
        return;
    }
    thread->at = tt_encode_death(thread->at, &thread->delta, kind, addr, stack, tt_clock_stamp());
    thread->event_count++;
    tt_lane_publish(thread);
}

static inline __attribute__((always_inline)) void
tt_record_birth_idle(TtThread *thread, TtKind kind, const void *ptr, uint64_t size, uint64_t cfa) {
    thread->busy_frame = cfa;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    tt_record_birth_in(thread, kind, (uint64_t)ptr, size, cfa);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    thread->busy_frame = 0;
}

/* Records that a block was born: after the real allocation. errno is kept. */
static inline __attribute__((always_inline)) void
tt_record_birth(TtThread *thread, TtKind kind, const void *ptr, uint64_t size, uint64_t cfa) {
    if (__builtin_expect(thread->busy_frame != 0, 0))
        tt_record_birth_cold(thread, kind, (uint64_t)ptr, size, cfa);
    else
        tt_record_birth_idle(thread, kind, ptr, size, cfa);
}

/* The same of a block that the real allocator may not know. */
static inline __attribute__((always_inline)) void
tt_record_foreign_birth(TtThread *thread, TtKind kind, const void *ptr, uint64_t size,
                        uint64_t cfa) {
    if (__builtin_expect(thread->busy_frame != 0, 0))
        tt_record_foreign_birth_cold(thread, kind, (uint64_t)ptr, size, cfa);
    else
        tt_record_birth_idle(thread, kind, ptr, size, cfa);
}

/* Records that a block is about to die: before the real call. errno is kept. */
static inline __attribute__((always_inline)) void tt_record_death(TtThread *thread, TtKind kind,
                                                                  const void *ptr, uint64_t cfa) {
    if (__builtin_expect(thread->busy_frame != 0, 0)) {
        tt_record_death_cold(thread, kind, (uint64_t)ptr, cfa);
        return;
    }
    thread->busy_frame = cfa;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    tt_record_death_in(thread, kind, (uint64_t)ptr, cfa);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    thread->busy_frame = 0;
}

/* The calling thread is about to lose the right to read a clock: from here on its stamps stand
 * still, which the lane declares, and no further session can begin. */
void tt_record_stop_clock(uintptr_t frame);

/* The real reallocation of @old failed: its end, told before, is taken back. errno is kept. */
void tt_record_realloc_failed(const void *old, uintptr_t frame);

/* Enters the lane for a record that is none of a block's; NULL: not now. tt_record_end leaves. */
TtThread *tt_record_begin(uintptr_t frame);
void tt_record_end(TtThread *used);
