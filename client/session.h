/* SPDX-License-Identifier: Apache-2.0 */
/* The one root of the client: is this process traced, by which session, since when.
 *
 * A hook asks one question first: does the calling thread's generation equal the gate's? The gate
 * lies in a page that the kernel zeroes in a forked child (MADV_WIPEONFORK: also after _Fork and
 * raw clone, where no atfork handler runs).
 *
 * Before that it asks whether the thread is passing: counting down the bytes up to where there is
 * something to do, be it the next sample, be it, untraced, the next look for a daemon. Of a thread
 * that has everything recorded the countdown stands at 0. */
#pragma once

#include "client/clock.h"
#include "client/lock.h"
#include "client/sample.h"
#include "client/thread.h"

#define TT_GATE_FORKED                                                                             \
    0u /* the kernel's zeros: a child that does not know it yet; or no constructor yet */
#define TT_GATE_SHUT 1u /* not traced */
#define TT_SELF_NONE 2u /* of a thread: no lane. Sessions count on from here */

typedef struct TtSelf {
    TtThread *thread;         /* this thread's lane, valid for its generation */
    uint32_t generation;      /* lane_generation, or TT_SELF_NONE: its next call is to look first */
    uint32_t pause_depth;     /* tt_pause; outlives the lane */
    uint32_t scope_depth;     /* scopes that are open, told or not; outlives the lane */
    uint32_t lane_generation; /* of the session that the lane belongs to, or TT_SELF_NONE */
    uint64_t pass_bytes;      /* blocks that are less in all are passed over; 0: none */
    const _Atomic uint32_t *pass_while; /* as long as this is 0, */
    uint32_t pass_generation;           /* and the gate stands at that */
    uint32_t fork_others;               /* threads that may be in a call, in the fork at work */
    uint64_t fork_token; /* of the fork at work in this thread; 0: none, or one that tells nobody */
} TtSelf;

extern __thread TtSelf tt_self __attribute__((tls_model("initial-exec")));

typedef struct TtGate {
    _Alignas(4096) _Atomic uint32_t generation; /* of the session, or TT_GATE_ */
    TtLock lock; /* of starting, ending, attaching; a child finds it free */
} TtGate;

extern TtGate tt_gate;

typedef struct TtOptions {
    const char *socket_dir; /* NULL: the default places */
    const char *runtime_dir;
    uint64_t sample_bytes;
    bool is_dormant;
    bool is_lossless;
    bool follows;
    bool records_free_stacks;
    bool records_usable_sizes; /* and the allocator can tell them */
} TtOptions;

typedef struct TtSession {
    TtOptions options;
    TtLaneControl *control; /* the session's own block in segment 0 */
    int fd;                 /* the events socket, at 100 or above; -1: none */
    uint64_t fd_cookie;     /* SO_COOKIE: proof that fd is still ours */
    int listener;           /* who listened where it connected (connect.h) */
    uint8_t id[TT_SESSION_ID_BYTES];
    uint8_t parent_id[TT_SESSION_ID_BYTES];
    TtRelation parent_relation;
    int pid;                     /* whose memory this is; a vfork child has another */
    bool was_told;               /* a daemon has taken this id before */
    uint64_t told_events;        /* heap events that lanes of earlier connections hold */
    bool is_barred;              /* never to be traced (set-uid, our own tools, TT_* nonsense) */
    bool is_ready;               /* the constructor has run */
    uint64_t start_monotonic_ns; /* of the process, as far as we saw it */
} TtSession;

extern TtSession tt_session;

static inline __attribute__((always_inline)) bool tt_session_is_passing(void) {
    return tt_self.pass_generation ==
               atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) &&
           atomic_load_explicit(tt_self.pass_while, memory_order_relaxed) == 0;
}

/* Is a block to be passed over? Counts it down. */
static inline __attribute__((always_inline)) bool tt_session_passes_birth(size_t size) {
    uint64_t weight = tt_sample_weight(size);

    if (tt_self.pass_bytes <= weight || !tt_session_is_passing())
        return false;
    tt_self.pass_bytes -= weight;
    return true;
}

/* Is a block's end to be passed over? */
static inline __attribute__((always_inline)) bool tt_session_passes_death(const void *ptr) {
    return tt_self.pass_bytes != 0 && tt_session_is_passing() && !tt_sample_may_hold(ptr);
}

/* From the place of a block of @size bytes: is it in the sample? Counts down, to the next point
 * where it is. Only in a sampled session. */
bool tt_session_samples(TtThread *thread, uint64_t size);

/* Cold half of tt_session_thread: attaches, looks for a daemon, notices a fork. NULL: untraced. */
TtThread *tt_session_thread_slow(void);

/* The calling thread's lane, or NULL where it is not traced. */
static inline __attribute__((always_inline)) TtThread *tt_session_thread(void) {
    uint32_t generation = atomic_load_explicit(&tt_gate.generation, memory_order_relaxed);

    if (__builtin_expect(tt_self.generation == generation, 1) &&
        __builtin_expect(
            atomic_load_explicit(&tt_session.control->is_recording, memory_order_relaxed), 1))
        return tt_self.thread;
    return tt_session_thread_slow();
}

/* The calling thread is in other scopes, in a pause or out of it, or has no clock any more. Its
 * lane, which may be asleep or have a hook at work that a handler has interrupted, hears of it at
 * the next call that finds it otherwise. One store: a handler may come at any time. */
static inline void tt_session_put_off(void) { tt_self.generation = TT_SELF_NONE; }

/* Connects now, where the connection is not there or broke. Returns 0, or a negative errno: -ENOENT
 * or -ECONNREFUSED without a daemon, -EINPROGRESS: it is there, and its answer to be asked for
 * again.
 */
int tt_session_start(void);

/* A call from @caller is the first of all to be served by the real allocator: begins now where the
 * constructor has not yet run. Not from the loader, in whose midst nothing can be loaded. */
void tt_session_begin_early(uint64_t caller);

/* The connection of session @generation broke: untraced from here on, until a daemon is found
 * again. Nothing where another session has taken its place. Any thread. */
void tt_session_lose(uint32_t generation);
