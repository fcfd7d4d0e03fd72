/* SPDX-License-Identifier: Apache-2.0 */
/* The cold ways into a lane: from within a hook, after one that never ended, in a pause. */
#include "client/record.h"

#include "client/lanes.h"

/* A handler left the hook by longjmp: its frame is gone when an older one calls us on the same
 * stack. On another stack (sigaltstack) addresses tell nothing, and the hook still waits below. */
static bool is_stale(const TtThread *thread, uintptr_t frame) {
    return frame >= thread->busy_frame && thread->stack.stack_high != 0 &&
           frame <= thread->stack.stack_high && thread->busy_frame >= thread->stack.stack_low;
}

/* What the lost hook had half written was never published; a new chunk starts from a clean state. */
static void resync(TtThread *thread) {
    uint64_t published =
        atomic_load_explicit(&thread->control->write_position, memory_order_relaxed);

    if (thread->chunk != NULL && published >= thread->position)
        thread->at = thread->chunk + (published - thread->position);
    else if (thread->chunk != NULL)
        thread->at = thread->chunk + TT_CHUNK_HEAD_BYTES;
    thread->limit = thread->at;
    thread->stack.frame_count = 0;
    thread->busy_frame = 0;
}

__attribute__((cold, noinline)) TtThread *tt_record_enter_cold(TtThread *thread, uintptr_t frame,
                                                               bool is_death) {
    if (thread->busy_frame == TT_BUSY_PAUSED) {
        if (!is_death)
            return NULL;
    } else if (is_stale(thread, frame)) {
        resync(thread);
        return thread;
    }

    TtThread *side = tt_lanes_take_side();
    if (side == NULL)
        atomic_fetch_add_explicit(&tt_session.control->dropped_events, 1, memory_order_relaxed);
    return side;
}

__attribute__((cold, noinline)) void tt_record_leave_cold(TtThread *own, TtThread *used) {
    (void)own;
    tt_lanes_release_side(used);
}

__attribute__((cold, noinline)) void tt_record_wide(TtThread *thread, TtOp op, uint64_t addr,
                                                    uint64_t size, uint32_t stack) {
    uint64_t stamp = tt_clock_stamp();
    bool is_by_eights = (addr & 7) == 0 && addr < TT_EVENT_ADDR_END && size < TT_EVENT_SIZE_END;

    if (is_by_eights && op == TT_OP_ALLOC)
        thread->at = tt_encode_birth(thread->at, &thread->delta, TT_KIND_ALLOC8, addr, size, stack,
                                     stamp);
    else if (is_by_eights && op == TT_OP_FREE)
        thread->at =
            tt_encode_death(thread->at, &thread->delta, TT_KIND_FREE8, addr, stack, stamp);
    else {
        TtRecordWideEvent wide = {
            .stamp = stamp, .op = op, .addr = addr, .size = size, .stack = stack};
        if (!tt_lane_reserve(thread, 64)) {
            tt_lane_drop(thread);
            return;
        }
        thread->at += tt_encode_wide_event(thread->at, 64, &wide);
        thread->delta.stamp = stamp;
    }
    thread->event_count++;
    tt_lane_publish(thread);
}

TtThread *tt_record_begin(uintptr_t frame) {
    TtThread *thread = tt_session_thread();

    if (thread == NULL)
        return NULL;
    if (thread->busy_frame != 0)
        thread = tt_record_enter_cold(thread, frame, true);
    if (thread != NULL)
        thread->busy_frame = frame;
    return thread;
}

void tt_record_end(TtThread *used) {
    used->busy_frame = 0;
    if (used != tt_self.thread)
        tt_lanes_release_side(used);
}
