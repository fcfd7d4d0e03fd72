/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lanes.h"

#include <errno.h>
#include <string.h>

#include "client/connect.h"
#include "client/session.h"
#include "client/sys.h"

#define SEGMENTS_MAX 64

typedef struct Segment {
    void *memory; /* shared: controls and chunks */
    size_t size;
    TtThread *threads; /* private, one a lane */
    uint32_t lane_count;
    uint32_t chunks_per_lane;
    uint32_t first_lane;
} Segment;

/* Under the session's lock, but for the side lane. */
static Segment segments[SEGMENTS_MAX];
static uint32_t segment_count, lane_count;
static Segment retired[SEGMENTS_MAX]; /* of the session before */
static uint32_t retired_count;

static TtThread *side;
static _Atomic uint32_t side_owner;

static void unmap(Segment *segment) {
    tt_sys_unmap(segment->memory, segment->size);
    tt_sys_unmap(segment->threads, segment->lane_count * sizeof(TtThread));
}

int tt_lanes_add(int fd, const TtRecordLanes *lanes) {
    int r = -EBADMSG;
    uint64_t chunks = lanes->chunks_per_lane;

    if (segment_count == SEGMENTS_MAX || lanes->lane_count == 0 ||
        lanes->lane_count > TT_LANES_MAX || chunks < 2 || chunks > 4096 ||
        (chunks & (chunks - 1)) != 0 ||
        lanes->size != tt_segment_size((uint32_t)lanes->lane_count, (uint32_t)chunks))
        goto out;

    r = -ENOMEM;
    Segment segment = {.size = lanes->size,
                       .lane_count = (uint32_t)lanes->lane_count,
                       .chunks_per_lane = (uint32_t)chunks,
                       .first_lane = lane_count};
    segment.memory = tt_sys_map_shared(fd, segment.size);
    if (segment.memory == NULL)
        goto out;
    segment.threads = tt_sys_map_private(segment.lane_count * sizeof(TtThread));
    if (segment.threads == NULL) {
        tt_sys_unmap(segment.memory, segment.size);
        goto out;
    }
    TT_SYS3(SYS_madvise, segment.memory, segment.size, 16 /* MADV_DONTDUMP */);

    TtLaneControl *controls = segment.memory;
    uint8_t *chunk_memory = (uint8_t *)segment.memory + tt_segment_chunks_offset(segment.lane_count);
    for (uint32_t i = 0; i < segment.lane_count; i++) {
        TtThread *thread = &segment.threads[i];
        thread->control = &controls[1 + i];
        thread->lane = lane_count + i;
        thread->lane_chunks = chunk_memory + (size_t)i * chunks * TT_CHUNK_BYTES;
        thread->chunk_count = (uint32_t)chunks;
    }
    if (segment_count == 0)
        tt_session.control = &controls[0];
    segments[segment_count++] = segment;
    lane_count += segment.lane_count;
    r = 0;
out:
    tt_sys_close(fd);
    return r;
}

void tt_lanes_reset(void) {
    for (uint32_t i = 0; i < retired_count; i++)
        unmap(&retired[i]);
    memcpy(retired, segments, sizeof retired);
    retired_count = segment_count;
    segment_count = lane_count = 0;
    side = NULL;
}

void tt_lanes_after_fork(void) {
    for (uint32_t i = 0; i < segment_count; i++)
        unmap(&segments[i]);
    for (uint32_t i = 0; i < retired_count; i++)
        unmap(&retired[i]);
    segment_count = retired_count = lane_count = 0;
    side = NULL;
    atomic_store_explicit(&side_owner, 0, memory_order_relaxed);
}

/* Makes a lane the thread's. What its last user had not published is given up; the first event
 * begins a new chunk, whose head names the new user. */
static TtThread *claim(TtThread *thread, uint32_t tid) {
    uint64_t published =
        atomic_load_explicit(&thread->control->write_position, memory_order_relaxed);

    if (thread->chunk != NULL)
        thread->at = thread->chunk + (published - thread->position);
    thread->limit = thread->at;
    thread->busy_frame = 0;
    thread->pause_depth = 0;
    thread->scope_depth = 0;
    thread->tid = tid;
    thread->name[0] = '\0';
    thread->stack.frame_count = 0;
    thread->stack.stack_low = thread->stack.stack_high = 0;
    atomic_store_explicit(&thread->control->tid, tid, memory_order_relaxed);
    return thread;
}

static TtThread *find_free(uint32_t tid) {
    TtThread *fresh = NULL;

    for (uint32_t s = 0; s < segment_count; s++) {
        for (uint32_t i = 0; i < segments[s].lane_count; i++) {
            TtThread *thread = &segments[s].threads[i];
            /* A lane with our own tid belonged to a thread that is no more. */
            if (thread->tid == tid)
                return thread;
            if (thread->tid == 0 && fresh == NULL)
                fresh = thread;
        }
    }
    return fresh;
}

/* Frees the lanes of threads that ended; they left no word of it. */
static void reclaim(void) {
    int pid = tt_sys_getpid();

    for (uint32_t s = 0; s < segment_count; s++) {
        for (uint32_t i = 0; i < segments[s].lane_count; i++) {
            TtThread *thread = &segments[s].threads[i];
            if (thread != side && thread->tid != 0 &&
                TT_SYS3(SYS_tgkill, pid, thread->tid, 0) == -ESRCH)
                thread->tid = 0;
        }
    }
}

static int ask_for_more(void) {
    uint8_t message[256];
    uint64_t deadline = tt_sys_monotonic_ns() +
                        (tt_session.options.is_lossless ? 5000000000u : TT_WAIT_BOUND_NS);
    int memory_fd = -1;

    if (tt_connect_cookie(tt_session.fd) != tt_session.fd_cookie)
        return -EBADF;
    uint8_t *at = tt_connect_begin(message);
    at += tt_encode_more_lanes(at, 64, &(TtRecordMoreLanes){.lane_count = lane_count});
    int r = tt_connect_send(tt_session.fd, message, (size_t)(at - message), -1);
    if (r < 0)
        return r;
    long len = tt_connect_receive(tt_session.fd, message, sizeof message, &memory_fd, deadline);
    return len < 0 ? (int)len : tt_connect_take_lanes(message, (size_t)len, memory_fd);
}

TtThread *tt_lanes_attach(uint32_t tid) {
    TtThread *thread = find_free(tid);

    /* The last lane is kept for events from within hooks. */
    if (side == NULL && thread != NULL) {
        side = &segments[0].threads[segments[0].lane_count - 1];
        claim(side, tid);
        side->tid = UINT32_MAX;
        thread = find_free(tid);
    }
    if (thread == NULL) {
        reclaim();
        thread = find_free(tid);
    }
    if (thread == NULL && ask_for_more() == 0)
        thread = find_free(tid);
    return thread == NULL ? NULL : claim(thread, tid);
}

TtThread *tt_lanes_take_side(void) {
    uint32_t nobody = 0, tid = tt_sys_gettid();

    if (side == NULL || !atomic_compare_exchange_strong_explicit(
                            &side_owner, &nobody, tid, memory_order_acquire, memory_order_relaxed))
        return NULL;
    if (atomic_load_explicit(&side->control->tid, memory_order_relaxed) != tid)
        claim(side, tid);
    side->tid = UINT32_MAX;
    return side;
}

void tt_lanes_release_side(TtThread *taken) {
    (void)taken;
    atomic_store_explicit(&side_owner, 0, memory_order_release);
}

uint32_t tt_lanes_count(void) { return lane_count; }
