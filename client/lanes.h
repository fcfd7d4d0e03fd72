/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes of the process: which memory the daemon lent, and which thread writes where. */
#pragma once

#include "client/thread.h"

/* Maps memory that the daemon sent and adds its lanes; closes @fd.
 *
 * Returns 0, or a negative errno: nothing was added. Callers hold the session's lock. */
int tt_lanes_add(int fd, const TtRecordLanes *lanes);

/* Forgets all lanes for a new session. A thread may still be inside a hook that began in an earlier
 * one, so what it writes to stays mapped for some sessions. Callers hold the session's lock.
 *
 * Returns how many heap events the lanes were told, lost ones too, and those that had no lane. */
uint64_t tt_lanes_reset(void);

/* In a forked child: puts memory of its own in place of the parent's lanes, at the same addresses,
 * as the child may go on in a hook. Once is enough, twice does no harm. One thread;
 * async-signal-safe. */
void tt_lanes_after_fork(void);

/* What the copy of the parent's lanes that a forked child has says of the fork. */
typedef struct TtForkNote {
    uint64_t last_stamp; /* of what was published before it, or the token; 0: neither, or no fork */
    uint64_t token;      /* of the fork, as the parent tells it; 0: it does not know of it */
    uint32_t others;     /* threads that may have been in a call; with a token */
    uint32_t tid;        /* of the thread that forked, in the parent; 0: it had no lane */
    uint32_t scopes;     /* open in it */
    bool was_in_hook;    /* a handler forked, and the child may go on in the hook */
} TtForkNote;

/* As tt_lanes_after_fork() found it, of the session that was the parent's. */
const TtForkNote *tt_lanes_get_fork(void);

/* A lane for thread @tid: one that a dead thread left, or a fresh one; more are asked for.
 *
 * Returns NULL where none is to be had. Callers hold the session's lock. */
TtThread *tt_lanes_attach(uint32_t tid);

/* The lane for events from within a hook (a signal handler allocates), or NULL: another hook
 * is at it. Given back by tt_lanes_release_side. */
TtThread *tt_lanes_take_side(void);
void tt_lanes_release_side(TtThread *taken);

/* The lane that tt_lanes_take_side has given thread @tid, or NULL. */
TtThread *tt_lanes_find_held_side(uint32_t tid);

/* Gives back the side lane that thread @tid has not given back, and never will: the frame that had
 * it is gone. No-op where another has it, or nobody. */
void tt_lanes_recover_side(uint32_t tid);
