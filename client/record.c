/* SPDX-License-Identifier: Apache-2.0 */
/* The cold ways into a lane: from within a hook, after one that never ended, in a pause. */
#include "client/record.h"

#include <errno.h>
#include <signal.h>

#include "client/extent.h"
#include "client/lanes.h"
#include "client/probe.h"
#include "client/real.h"
#include "client/sys.h"

/* Addresses tell nothing of who called whom on a handler's own stack, which may itself be an array
 * on the thread's. */
static bool is_on_signal_stack(void) {
    stack_t stack;

    return tt_is_sealed_now() || TT_SYS2(SYS_sigaltstack, NULL, &stack) != 0 ||
           (stack.ss_flags & SS_ONSTACK) != 0;
}

/* Do the busy hook's frame and this one lie on one stack? What is known of the thread's own may not
 * reach down to the busy one yet. */
static bool is_same_stack(const TtThread *thread, uintptr_t frame) {
    uint64_t low = thread->stack.stack_low, high = thread->stack.stack_high;

    if (high == 0)
        return tt_extent_is_readable(thread->busy_frame, frame);
    return frame <= high &&
           (thread->busy_frame >= low || tt_extent_is_readable(thread->busy_frame, low));
}

/* A handler left the hook by longjmp: its frame is gone when an older one calls us on the same
 * stack. */
static bool is_stale(const TtThread *thread, uintptr_t frame) {
    return frame >= thread->busy_frame && !is_on_signal_stack() && is_same_stack(thread, frame);
}

static void resync(TtThread *thread) {
    tt_lanes_recover_side(thread->tid); /* which a handler had, when another one left it */
    tt_lane_resync(thread);
    thread->stack.frame_count = 0;
    thread->is_measuring = false;
    thread->busy_frame = tt_record_idle_frame();
}

/* The lane to write to where the thread's own may be busy, or NULL: the event is counted as
 * dropped. */
static TtThread *enter(TtThread *thread, uintptr_t frame) {
    if (thread->busy_frame <= TT_BUSY_OPERATOR)
        return thread; /* no hook of ours is at work in it */
    if (is_stale(thread, frame)) {
        resync(thread);
        return thread;
    }

    /* One that this thread's handler had, when another one jumped back into that; with 0 it is
     * being taken, or given back. */
    TtThread *side = tt_lanes_find_held_side(thread->tid);
    if (side != NULL && side->busy_frame != 0 && is_stale(side, frame))
        tt_lanes_recover_side(thread->tid);
    side = tt_lanes_take_side();
    if (side == NULL)
        atomic_fetch_add_explicit(&tt_session.control->dropped_events, 1, memory_order_relaxed);
    else
        side->busy_frame = 0;
    return side;
}

/* @was  busy_frame after enter() */
static void leave(TtThread *used, uintptr_t was) {
    used->busy_frame = was;
    if (used != tt_self.thread)
        tt_lanes_release_side(used);
}

/* The same, with the hook's frame at work in it; @ret_was is for end(). */
static TtThread *begin(TtThread *thread, uintptr_t frame, uintptr_t *ret_was) {
    TtThread *used = enter(thread, frame);

    if (used == NULL)
        return NULL;
    *ret_was = used->busy_frame;
    used->busy_frame = frame;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return used;
}

static void end(TtThread *used, uintptr_t was) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    leave(used, was);
}

/* A record of the lane's open reallocation; without it the daemon does not know how that ended. */
#define TELL(used, name, Name)                                                                     \
    do {                                                                                           \
        TtRecord##Name record = {.stamp = tt_clock_stamp()};                                       \
        if (tt_lane_reserve(used, 32)) {                                                           \
            used->at += tt_encode_##name(used->at, 32, &record);                                   \
            tt_lane_publish(used);                                                                 \
        } else {                                                                                   \
            tt_lane_drop(used);                                                                    \
        }                                                                                          \
    } while (0)

/* What a birth is to the daemon, which knows of the sample alone. Returns the kind to be recorded,
 * or TT_KIND_CHUNK_END: none; or TT_KIND_RECORD: that the old block has gone. */
static TtKind sample_birth(TtThread *thread, TtKind kind, uint64_t addr, uint64_t size) {
    bool was_sampled = kind == TT_KIND_REALLOC_END && thread->is_sampled_realloc;

    thread->is_sampled_realloc = false;
    if (tt_session_samples(thread, size)) {
        tt_sample_put(addr);
        return was_sampled ? TT_KIND_REALLOC_END : TT_KIND_ALLOC;
    }
    return was_sampled ? TT_KIND_RECORD : TT_KIND_CHUNK_END;
}

/* Behind a birth, and under its stamp: before anything that another thread does to the block. An
 * allocator may allocate at its first answer (tcmalloc); of such a block it is not asked. */
static void tell_usable(TtThread *thread, TtThread *used, uint64_t addr) {
    TtRecordUsable record = {.stamp = used->delta.stamp, .addr = addr};
    int kept_errno = errno;

    if (thread->is_measuring)
        return;
    thread->is_measuring = true;
    record.usable = tt_real.malloc_usable_size((void *)addr);
    thread->is_measuring = false;
    errno = kept_errno;
    if (tt_lane_reserve(used, 64)) {
        used->at += tt_encode_usable(used->at, 64, &record);
        tt_lane_publish(used);
    }
}

/* Of a lane's first block that is left out: from here on frees of unknown blocks are none of the
 * program's faults. */
static void tell_pause(TtThread *thread, uint64_t cfa) {
    uintptr_t was;
    TtThread *used = begin(thread, cfa, &was);

    if (used == NULL)
        return;
    TtRecordPause record = {.stamp = tt_clock_stamp()};
    if (tt_lane_reserve(used, 32)) {
        used->at += tt_encode_pause(used->at, 32, &record);
        tt_lane_publish(used);
        thread->has_told_pause = true;
    } else {
        tt_lane_drop(used); /* the next one tells */
    }
    end(used, was);
}

/* A pause leaves out what is new. A block that was told is told on when it is resized: its end has
 * begun, and it would die unseen. */
static bool is_left_out(const TtThread *thread, TtKind kind) {
    return tt_self.pause_depth > 0 &&
           (kind != TT_KIND_REALLOC_END ||
            (tt_session.options.sample_bytes > 0 && !thread->is_sampled_realloc));
}

/* @knows_usable  the real allocator may be asked of it */
static void record_birth(TtThread *thread, TtKind kind, uint64_t addr, uint64_t size, uint64_t cfa,
                         bool knows_usable) {
    if (addr == (uint64_t)thread->dying_ptr)
        thread->dying_ptr = NULL; /* the operator was left, and its block is another now */
    if (is_left_out(thread, kind)) {
        if (!thread->has_told_pause)
            tell_pause(thread, cfa);
        return;
    }
    if (thread->busy_frame == TT_BUSY_OPERATOR)
        thread->born_ptr = (const void *)addr;
    if (tt_session.options.sample_bytes > 0 &&
        (kind = sample_birth(thread, kind, addr, size)) == TT_KIND_CHUNK_END)
        return;

    uintptr_t was;
    TtThread *used = begin(thread, cfa, &was);
    if (used == NULL)
        return;
    if (kind == TT_KIND_RECORD)
        TELL(used, realloc_left, ReallocLeft);
    else if (tt_record_birth_in(used, kind, addr, size, cfa) && knows_usable)
        tell_usable(thread, used, addr);
    end(used, was);
}

__attribute__((cold, noinline)) void
tt_record_birth_cold(TtThread *thread, TtKind kind, uint64_t addr, uint64_t size, uint64_t cfa) {
    record_birth(thread, kind, addr, size, cfa, tt_session.options.records_usable_sizes);
}

__attribute__((cold, noinline)) void tt_record_foreign_birth_cold(TtThread *thread, TtKind kind,
                                                                  uint64_t addr, uint64_t size,
                                                                  uint64_t cfa) {
    record_birth(thread, kind, addr, size, cfa, false);
}

__attribute__((cold, noinline)) void tt_record_death_cold(TtThread *thread, TtKind kind,
                                                          uint64_t addr, uint64_t cfa) {
    if (addr == (uint64_t)thread->dying_ptr) {
        thread->dying_ptr = NULL; /* told already */
        return;
    }
    if (addr == (uint64_t)thread->born_ptr)
        thread->born_ptr = NULL; /* the operator may be given the address without a word of it */
    if (tt_session.options.sample_bytes > 0) {
        bool is_sampled = tt_sample_take(addr);

        thread->is_sampled_realloc = kind == TT_KIND_REALLOC_BEGIN && is_sampled;
        if (!is_sampled)
            return;
    }

    uintptr_t was;
    TtThread *used = begin(thread, cfa, &was);
    if (used == NULL)
        return;
    tt_record_death_in(used, kind, addr, cfa);
    end(used, was);
}

__attribute__((cold, noinline)) bool tt_record_wide(TtThread *thread, TtOp op, uint64_t addr,
                                                    uint64_t size, uint32_t stack) {
    uint64_t stamp = tt_clock_stamp();
    bool is_by_eights = (addr & 7) == 0 && addr < TT_EVENT_ADDR_END && size < TT_EVENT_SIZE_END;

    if (is_by_eights && op == TT_OP_ALLOC)
        thread->at =
            tt_encode_birth(thread->at, &thread->delta, TT_KIND_ALLOC8, addr, size, stack, stamp);
    else if (is_by_eights && op == TT_OP_FREE)
        thread->at = tt_encode_death(thread->at, &thread->delta, TT_KIND_FREE8, addr, stack, stamp);
    else {
        TtRecordWideEvent wide = {
            .stamp = stamp, .op = op, .addr = addr, .size = size, .stack = stack};
        if (!tt_lane_reserve(thread, 64)) {
            tt_lane_drop(thread);
            return false;
        }
        thread->at += tt_encode_wide_event(thread->at, 64, &wide);
        thread->delta.stamp = stamp;
    }
    thread->event_count++;
    tt_lane_publish(thread);
    return true;
}

TtThread *tt_record_begin(uintptr_t frame) {
    TtThread *thread = tt_session_thread();

    if (thread == NULL)
        return NULL;
    if (thread->busy_frame != 0)
        thread = enter(thread, frame);
    if (thread != NULL)
        thread->busy_frame = frame;
    return thread;
}

void tt_record_end(TtThread *used) {
    leave(used, used == tt_self.thread ? tt_record_idle_frame() : 0);
}

__attribute__((cold, noinline)) void tt_record_realloc_failed(const void *old, uintptr_t frame) {
    int kept_errno = errno;
    TtThread *used = tt_record_begin(frame);

    if (used != NULL) {
        bool is_told = true;

        if (tt_session.options.sample_bytes > 0) {
            is_told = tt_self.thread->is_sampled_realloc;
            tt_self.thread->is_sampled_realloc = false;
            if (is_told)
                tt_sample_put((uint64_t)old);
        }
        if (is_told)
            TELL(used, realloc_failed, ReallocFailed);
        tt_record_end(used);
    }
    errno = kept_errno;
}

void tt_record_stop_clock(uintptr_t frame) {
    int kept_errno = errno;
    TtThread *used = tt_record_begin(frame);

    tt_clock_stop();
    if (used != NULL) {
        used->has_told_stop = false; /* not of this one */
        tt_lane_catch_up(used);
        tt_record_end(used);
    }
    if (used != tt_self.thread)
        tt_session_put_off();
    errno = kept_errno;
}
