/* SPDX-License-Identifier: Apache-2.0 */
/* Appending to a lane. Only the lane's own thread, with its frame at work there (busy_frame). */
#pragma once

#include "client/thread.h"

/* Slow half of tt_lane_reserve: closes the chunk, waits for room as the session allows. */
bool tt_lane_next_chunk(TtThread *thread, size_t len);

/* Makes sure that @len bytes (up to TT_RECORD_MAX) can be written at thread->at.
 *
 * Returns false where the lane is full and the session does not wait: the caller drops its event
 * (tt_lane_drop). May wait in a lossless session, with signals delivered. No lock of ours may be
 * held. */
static inline bool tt_lane_reserve(TtThread *thread, size_t len) {
    if (__builtin_expect(thread->at + len <= thread->limit, 1))
        return true;
    return tt_lane_next_chunk(thread, len);
}

#define TT_LANE_AHEAD 512u /* bytes: some dozens of events before they are written */

/* Makes all up to thread->at visible to the daemon. */
static inline void tt_lane_publish(TtThread *thread) {
    uint64_t position = thread->position + (uint64_t)(thread->at - thread->chunk);

    /* The daemon read that line a lap ago, so it is another core's still: begin to fetch it. A
     * processor without the instruction passes over it; the compiler has it for a -march alone. */
    __asm__ volatile("prefetchw %0" : : "m"(thread->at[TT_LANE_AHEAD]));
    /* Pairs with the acquire in tt_lane_drain. */
    atomic_store_explicit(&thread->control->write_position, position, memory_order_release);
}

/* Goes back to what was published, whatever a hook that was left halfway (by longjmp, by the end of
 * its thread) had begun: the next event opens a chunk. */
void tt_lane_resync(TtThread *thread);

/* Is there something of the thread's state that the daemon does not know: how many scopes are open
 * (thread->scope_depth), that its clock stands still? */
bool tt_lane_is_behind(const TtThread *thread);

/* Tells it. May wait, as tt_lane_reserve does; where there is no room the chunk that the next event
 * opens tells it. */
void tt_lane_catch_up(TtThread *thread);

/* Counts one lost heap event. */
void tt_lane_drop(TtThread *thread);
