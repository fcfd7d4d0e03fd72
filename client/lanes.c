/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lanes.h"

#include <errno.h>
#include <sys/mman.h>

#include "client/connect.h"
#include "client/lane.h"
#include "client/pages.h"
#include "client/probe.h"
#include "client/record.h"
#include "client/send.h"
#include "client/sys.h"

#define SEGMENTS_MAX 64
#define RETIRED_MAX 256 /* segments of earlier sessions */
/* How many sessions a segment outlives its own, and how long, at least: they may come fast. */
#define RETIRED_SESSIONS 4u
#define RETIRED_NS 4000000000u

#define ASK_EVERY_NS 1000000000u

typedef struct Segment {
    void *memory; /* shared: controls and chunks */
    size_t size;
    TtThread *threads; /* private, one a lane */
    uint32_t lane_count;
    uint32_t chunks_per_lane;
    uint32_t first_lane;
    uint32_t age;        /* sessions since its own */
    bool is_private;     /* the memory is no longer shared with the daemon */
    uint64_t retired_ns; /* when another session took its place */
    uint64_t told_count; /* of its events those that were counted by then, or later */
} Segment;

/* Under the session's lock, but for the side lane. */
static Segment segments[SEGMENTS_MAX];
static uint32_t segment_count, lane_count;
static Segment retired[RETIRED_MAX];
static uint32_t retired_count;
static uint64_t next_ask_ns; /* for more lanes */

static TtForkNote fork_note;

static _Atomic(TtThread *) side; /* relaxed: what it points to stays mapped */
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
    segment.memory = tt_pages_map_shared(fd, segment.size);
    if (segment.memory == NULL)
        goto out;
    segment.threads = tt_pages_map(segment.lane_count * sizeof(TtThread));
    if (segment.threads == NULL) {
        tt_sys_unmap(segment.memory, segment.size);
        goto out;
    }

    TtLaneControl *controls = segment.memory;
    uint8_t *chunk_memory =
        (uint8_t *)segment.memory + tt_segment_chunks_offset(segment.lane_count);
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

/* In a child. What its parent locks in memory beforehand it does not. */
static void make_private(Segment *segment) {
    if (segment->is_private)
        return;
    long r = tt_sys6(SYS_mmap, (long)segment->memory, (long)segment->size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    segment->is_private = r == (long)segment->memory;
}

/* Nobody reads it any more, but somebody may still write. Pages in its place are moved there:
 * locked beforehand they would be filled, and charged (tt_pages_map). */
static void let_go(Segment *segment) {
    if (segment->is_private)
        return;
    void *pages = tt_pages_map(segment->size);
    if (pages == NULL)
        return; /* it stays shared with nobody */
    long r = tt_sys6(SYS_mremap, (long)pages, (long)segment->size, (long)segment->size,
                     MREMAP_MAYMOVE | MREMAP_FIXED, (long)segment->memory, 0);
    segment->is_private = r == (long)segment->memory;
    if (!segment->is_private)
        tt_sys_unmap(pages, segment->size);
}

static bool is_at_work(const Segment *segment) {
    for (uint32_t i = 0; i < segment->lane_count; i++)
        if (segment->threads[i].busy_frame > TT_BUSY_OPERATOR)
            return true;
    return false;
}

/* What has been out of use for long goes. A thread between asking for its lane and saying that it
 * is at work there was not seen for so long. */
static void expire(void) {
    uint64_t now = tt_sys_monotonic_ns();
    uint32_t kept = 0;

    for (uint32_t i = 0; i < retired_count; i++) {
        if (++retired[i].age < RETIRED_SESSIONS || now - retired[i].retired_ns < RETIRED_NS ||
            is_at_work(&retired[i]))
            retired[kept++] = retired[i];
        else
            unmap(&retired[i]);
    }
    retired_count = kept;
}

static uint64_t count_events(const Segment *segment) {
    uint64_t count = 0;

    for (uint32_t i = 0; i < segment->lane_count; i++)
        count += __atomic_load_n(&segment->threads[i].event_count, __ATOMIC_RELAXED);
    return count;
}

/* A thread that was in a hook when its session was over counts one more, which nobody will read. It
 * has done so when it comes for its next lane. */
static uint64_t count_late(void) {
    uint64_t late = 0;

    for (uint32_t i = 0; i < retired_count; i++) {
        uint64_t count = count_events(&retired[i]);

        late += count - retired[i].told_count;
        retired[i].told_count = count;
    }
    return late;
}

uint64_t tt_lanes_reset(void) {
    uint64_t count = 0;

    fork_note = (TtForkNote){.last_stamp = 0};
    if (segment_count == 0)
        return 0;
    count = count_late() +
            atomic_load_explicit(&tt_session.control->dropped_events, memory_order_relaxed);
    expire();
    for (uint32_t i = 0; i < segment_count; i++) {
        segments[i].retired_ns = tt_sys_monotonic_ns();
        count += segments[i].told_count = count_events(&segments[i]);
    }
    for (uint32_t i = 0; i < segment_count; i++) {
        let_go(&segments[i]);
        if (retired_count < RETIRED_MAX) /* else it stays mapped for good */
            retired[retired_count++] = segments[i];
    }
    segment_count = lane_count = 0;
    next_ask_ns = 0;
    atomic_store_explicit(&side, NULL, memory_order_relaxed);
    atomic_store_explicit(&side_owner, 0, memory_order_relaxed);
    return count;
}

const TtForkNote *tt_lanes_get_fork(void) { return &fork_note; }

/* The writing side of each lane is private memory, which stands as it was at the fork: all that was
 * published then bears stamps up to the greatest here, and what came later has later ones, but for
 * one event a thread that was stamped and not yet published. */
static void note_fork(void) {
    /* Without a lane it is one that has not called since it was forked itself. */
    fork_note = (TtForkNote){
        .token = tt_self.fork_token, .others = tt_self.fork_others, .scopes = tt_self.scope_depth};
    for (uint32_t s = 0; s < segment_count; s++)
        for (uint32_t i = 0; i < segments[s].lane_count; i++) {
            const TtThread *thread = &segments[s].threads[i];

            if (thread->delta.stamp > fork_note.last_stamp)
                fork_note.last_stamp = thread->delta.stamp;
            if (thread != tt_self.thread || thread->generation != tt_self.lane_generation)
                continue;
            fork_note.tid = thread->tid;
            fork_note.was_in_hook = thread->busy_frame > TT_BUSY_OPERATOR;
        }
    /* Nothing has happened in it yet, and it has what it inherited itself. */
    if (fork_note.last_stamp == 0)
        fork_note.last_stamp = fork_note.token;
}

void tt_lanes_after_fork(void) {
    if (tt_is_sealed_now())
        return; /* nor is the child traced */
    if (segment_count > 0 && !segments[0].is_private)
        note_fork();
    for (uint32_t i = 0; i < segment_count; i++)
        make_private(&segments[i]);
    for (uint32_t i = 0; i < retired_count; i++)
        make_private(&retired[i]);
    atomic_store_explicit(&side, NULL, memory_order_relaxed);
    atomic_store_explicit(&side_owner, 0, memory_order_relaxed);
}

/* Makes a lane the thread's. What its last user had not published is given up; the first event
 * begins a new chunk, whose head names the new user. */
static TtThread *claim(TtThread *thread, uint32_t tid) {
    tt_lane_resync(thread);
    thread->busy_frame = 0;
    thread->generation = atomic_load_explicit(&tt_gate.generation, memory_order_relaxed);
    thread->scope_depth = 0;
    thread->is_measuring = false;
    thread->has_told_pause = false;
    thread->born_ptr = thread->dying_ptr = NULL;
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
            if (tt_send_is_given_up(thread))
                continue;
            /* A lane with our own tid belonged to a thread that is no more. */
            if (thread->tid == tid)
                return thread;
            if (thread->tid == 0 && fresh == NULL)
                fresh = thread;
        }
    }
    return fresh;
}

TtThread *tt_lanes_find_held_side(uint32_t tid) {
    return atomic_load_explicit(&side_owner, memory_order_relaxed) == tid
               ? atomic_load_explicit(&side, memory_order_relaxed)
               : NULL;
}

/* Of a holder that is gone, or the calling thread, which no handler interrupts: it alone could take
 * it again meanwhile. The next holder claims it. */
static void free_side(uint32_t tid) {
    TtThread *kept = tt_lanes_find_held_side(tid);

    if (kept == NULL)
        return;
    kept->busy_frame = 0;
    atomic_store_explicit(&kept->control->tid, 0, memory_order_relaxed);
    atomic_compare_exchange_strong_explicit(&side_owner, &tid, 0, memory_order_release,
                                            memory_order_relaxed);
}

/* Frees the lanes of threads that ended; they left no word of it. */
static void reclaim(void) {
    TtThread *kept = atomic_load_explicit(&side, memory_order_relaxed);
    uint32_t owner = atomic_load_explicit(&side_owner, memory_order_relaxed);

    if (owner != 0 && TT_SYS3(SYS_tgkill, tt_session.pid, owner, 0) == -ESRCH)
        free_side(owner);
    for (uint32_t s = 0; s < segment_count; s++) {
        for (uint32_t i = 0; i < segments[s].lane_count; i++) {
            TtThread *thread = &segments[s].threads[i];
            if (thread != kept && thread->tid != 0 &&
                TT_SYS3(SYS_tgkill, tt_session.pid, thread->tid, 0) == -ESRCH)
                thread->tid = 0;
        }
    }
}

/* Rarely: each try may take its time, and threads without a lane would try at each allocation. */
static int ask_for_more(void) {
    uint8_t message[256];
    uint64_t now = tt_sys_monotonic_ns();
    int memory_fd = -1;

    if (now < next_ask_ns)
        return -EAGAIN;
    next_ask_ns = now + ASK_EVERY_NS;
    if (tt_connect_cookie(tt_session.fd) != tt_session.fd_cookie)
        return -EBADF;
    uint8_t *at = tt_connect_begin(message);
    at += tt_encode_more_lanes(at, 64, &(TtRecordMoreLanes){.lane_count = lane_count});
    int r = tt_connect_send(tt_session.fd, message, (size_t)(at - message), -1);
    if (r < 0)
        return r;
    long len = tt_send_receive_answer(tt_session.fd, message, sizeof message, &memory_fd);
    if (len < 0)
        return (int)len;
    r = tt_connect_take_lanes(message, (size_t)len, memory_fd, NULL);
    if (r == 0)
        next_ask_ns = 0;
    return r;
}

static void keep_side(void) {
    TtThread *last = &segments[0].threads[segments[0].lane_count - 1];

    claim(last, UINT32_MAX);
    atomic_store_explicit(&last->control->tid, 0, memory_order_relaxed);
    atomic_store_explicit(&side, last, memory_order_relaxed);
}

TtThread *tt_lanes_attach(uint32_t tid) {
    /* The last lane is kept for events from within hooks. */
    if (segment_count > 0 && atomic_load_explicit(&side, memory_order_relaxed) == NULL)
        keep_side();
    if (retired_count > 0)
        atomic_fetch_add_explicit(&tt_session.control->dropped_events, count_late(),
                                  memory_order_relaxed);

    TtThread *thread = find_free(tid);
    if (thread == NULL) {
        reclaim();
        thread = find_free(tid);
    }
    if (thread == NULL && ask_for_more() == 0)
        thread = find_free(tid);
    return thread == NULL ? NULL : claim(thread, tid);
}

TtThread *tt_lanes_take_side(void) {
    TtThread *taken = atomic_load_explicit(&side, memory_order_relaxed);
    uint32_t nobody = 0, tid = tt_is_sealed_now() ? tt_self.thread->tid : tt_sys_gettid();

    if (taken == NULL || !atomic_compare_exchange_strong_explicit(
                             &side_owner, &nobody, tid, memory_order_acquire, memory_order_relaxed))
        return NULL;
    if (atomic_load_explicit(&taken->control->tid, memory_order_relaxed) != tid) {
        claim(taken, tid);
        taken->tid = UINT32_MAX;
    }
    return taken;
}

void tt_lanes_recover_side(uint32_t tid) {
    uint64_t mask;

    if (tt_lanes_find_held_side(tid) == NULL)
        return;
    if (tt_is_sealed_now()) {
        free_side(tid);
        return;
    }
    tt_sys_block_signals(&mask);
    free_side(tid);
    tt_sys_restore_signals(&mask);
}

void tt_lanes_release_side(TtThread *taken) {
    /* After a fork or a new session it is another lane, and may be another's. */
    if (taken == atomic_load_explicit(&side, memory_order_relaxed))
        atomic_store_explicit(&side_owner, 0, memory_order_release);
}
