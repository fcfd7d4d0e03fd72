/* SPDX-License-Identifier: Apache-2.0 */
/* What a full chunk leads to: waking the daemon, and waiting for it as far as the session may. */
#pragma once

#include <stdbool.h>

#include "client/thread.h"

/* Tells a sleeping daemon that a lane has something to read. */
void tt_send_doorbell(TtThread *thread);

/* Is there enough before chunk @number for that? */
static inline bool tt_send_is_due(const TtThread *thread, uint64_t number) {
    uint64_t read = atomic_load_explicit(&thread->control->read_position, memory_order_relaxed);

    return number >= read / TT_CHUNK_BYTES + thread->chunk_count / TT_BELL_SHARE;
}

/* Is chunk @number of the lane free to be written? */
static inline bool tt_send_has_room(const TtThread *thread, uint64_t number) {
    /* Pairs with the release in tt_lane_drain: what was there has been copied out. */
    uint64_t read = atomic_load_explicit(&thread->control->read_position, memory_order_acquire);

    return number < read / TT_CHUNK_BYTES + thread->chunk_count && read != TT_LANE_GIVEN_UP;
}

/* Has the daemon found the lane damaged? There will be no more room in it. */
static inline bool tt_send_is_given_up(const TtThread *thread) {
    return atomic_load_explicit(&thread->control->read_position, memory_order_relaxed) ==
           TT_LANE_GIVEN_UP;
}

/* Waits until it is: in a lossless session as long as the connection stands and the lane is sound,
 * else as long as the process has not yet waited TT_WAIT_BOUND_NS in all. A broken connection ends
 * the session. Signals are delivered; a handler may leave by longjmp. Returns whether there is
 * room. */
bool tt_send_wait(TtThread *thread, uint64_t number);

/* Has the daemon left the connection? Where the program closed our end of it: does nobody listen at
 * the daemon's socket any more, or another process? That is asked ten times a second at most, and
 * false in between. Where systemd listens it is the same for ever; there the next daemon has the
 * connections of the last, and reads on. */
bool tt_send_is_broken(void);

/* Waits for the daemon's answer as tt_connect_receive does, as long as the session may: who must be
 * traced for seconds, others for what is left of the process's bound, and then for a moment. */
long tt_send_receive_answer(int fd, uint8_t *buffer, size_t room, int *ret_fd);
