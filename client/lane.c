/* SPDX-License-Identifier: Apache-2.0 */
/* A lane's chunks: closing one, opening the next, and what was lost between them. */
#include "client/lane.h"

#include <string.h>
#include <sys/prctl.h>

#include "client/pages.h"
#include "client/probe.h"
#include "client/send.h"
#include "client/session.h"
#include "client/sys.h"

static uint8_t *chunk_of(const TtThread *thread, uint64_t number) {
    return thread->lane_chunks + (number & (thread->chunk_count - 1)) * (size_t)TT_CHUNK_BYTES;
}

void tt_lane_resync(TtThread *thread) {
    uint64_t published =
        atomic_load_explicit(&thread->control->write_position, memory_order_relaxed);
    uint64_t number = published / TT_CHUNK_BYTES;

    thread->position = number * TT_CHUNK_BYTES;
    thread->chunk = published > 0 ? chunk_of(thread, number) : NULL;
    thread->at = published > 0 ? thread->chunk + published % TT_CHUNK_BYTES : NULL;
    thread->limit = thread->at;
    /* What was told last was perhaps not published, or is another thread's. */
    thread->has_told_stop = false;
    thread->told_scopes = published > 0 ? TT_SCOPES_UNKNOWN : 0;
}

static void open_chunk(TtThread *thread, uint64_t number) {
    uint64_t stamp = tt_clock_stamp();
    TtChunkHead head = {.magic = TT_CHUNK_MAGIC,
                        .tid = atomic_load_explicit(&thread->control->tid, memory_order_relaxed),
                        .number = number,
                        .base_stamp = stamp,
                        .events_before = thread->event_count};

    thread->position = number * TT_CHUNK_BYTES;
    thread->chunk = chunk_of(thread, number);
    memcpy(thread->chunk, &head, sizeof head);
    thread->at = thread->chunk + sizeof head;
    thread->limit = thread->chunk + TT_CHUNK_BYTES - 2; /* room for CHUNK_END */
    tt_delta_init(&thread->delta, stamp);
}

/* On the first way round the ring; the first chunk is all that a small program writes. */
static void fill_chunk(const TtThread *thread, uint64_t number) {
    if (number > 0 && number < thread->chunk_count && !tt_is_sealed_now())
        tt_pages_fill(chunk_of(thread, number), TT_CHUNK_BYTES);
}

static size_t room(const TtThread *thread) { return (size_t)(thread->limit - thread->at); }

static void declare_gap(TtThread *thread) {
    TtRecordGap gap = {.stamp = thread->gap_last_stamp,
                       .first_stamp = thread->gap_first_stamp,
                       .count = thread->gap_count};

    thread->at += tt_encode_gap(thread->at, room(thread), &gap);
    thread->gap_count = 0;
}

static bool has_stop_to_tell(const TtThread *thread) {
    return !thread->has_told_stop && tt_clock_is_stopped();
}

bool tt_lane_is_behind(const TtThread *thread) {
    return thread->told_scopes != thread->scope_depth || has_stop_to_tell(thread);
}

static void tell_state(TtThread *thread) {
    uint64_t stamp = tt_clock_stamp();

    if (has_stop_to_tell(thread)) {
        TtRecordGap gap = {.stamp = stamp, .first_stamp = stamp, .count = 0};
        thread->at += tt_encode_gap(thread->at, room(thread), &gap);
        thread->has_told_stop = true;
    }
    if (thread->told_scopes != thread->scope_depth) {
        TtRecordScopeLeave record = {.stamp = stamp, .depth = thread->scope_depth};
        thread->at += tt_encode_scope_leave(thread->at, room(thread), &record);
        thread->told_scopes = thread->scope_depth;
    }
}

void tt_lane_catch_up(TtThread *thread) {
    if (!tt_lane_reserve(thread, 128)) {
        thread->limit = thread->at;
        return;
    }
    tell_state(thread); /* where a new chunk has not told it */
    tt_lane_publish(thread);
}

/* Threads are often named after their first allocation. */
static void look_at_name(TtThread *thread) {
    char name[16] = {0};

    if (tt_is_sealed_now() || TT_SYS2(SYS_prctl, PR_GET_NAME, name) < 0 ||
        strncmp(name, thread->name, sizeof name) == 0)
        return;
    memcpy(thread->name, name, sizeof name);

    TtRecordThread record = {.tid =
                                 atomic_load_explicit(&thread->control->tid, memory_order_relaxed),
                             .name = {.text = name, .len = strnlen(name, sizeof name)}};
    thread->at += tt_encode_thread(thread->at, room(thread), &record);
}

__attribute__((cold, noinline)) bool tt_lane_next_chunk(TtThread *thread, size_t len) {
    uint64_t number = thread->chunk == NULL ? 0 : thread->position / TT_CHUNK_BYTES + 1;

    /* Until there is room nothing is changed: a handler may longjmp out of the wait. */
    if (len > TT_RECORD_MAX)
        return false;
    if (!tt_send_has_room(thread, number) && !tt_send_wait(thread, number)) {
        if (tt_send_is_given_up(thread) &&
            thread == tt_self.thread) /* its next call finds another */
            tt_self.generation = tt_self.lane_generation = TT_SELF_NONE;
        return false;
    }
    if (thread->chunk != NULL)
        memset(thread->at, 0, 2); /* CHUNK_END */
    fill_chunk(thread, number);
    open_chunk(thread, number);
    if (thread->gap_count > 0)
        declare_gap(thread);
    tell_state(thread);
    look_at_name(thread);
    if (tt_send_is_due(thread, number))
        tt_send_doorbell(thread);
    return true;
}

__attribute__((cold, noinline)) void tt_lane_drop(TtThread *thread) {
    uint64_t stamp = tt_clock_stamp();

    if (thread->gap_count++ == 0)
        thread->gap_first_stamp = stamp;
    thread->gap_last_stamp = stamp;
    thread->event_count++;
    atomic_fetch_add_explicit(&thread->control->dropped_events, 1, memory_order_relaxed);
}
