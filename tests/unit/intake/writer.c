/* SPDX-License-Identifier: Apache-2.0 */
#include "writer.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

guint64 writer_stamp(void) {
    /* Without the fence the counter may be read before a lock that stands above it is taken: in
     * these tests' tight hand-overs, one event in 200,000 had a stamp before its cause. */
    _mm_lfence();
    return __rdtsc() >> WRITER_SHIFT;
}

void writer_init(Writer *writer, TtLaneControl *control, const guint8 *chunks, guint32 chunk_count,
                 guint32 tid) {
    *writer = (Writer){.control = control,
                       .chunks = (guint8 *)(guintptr)chunks,
                       .chunk_count = chunk_count,
                       .tid = tid,
                       .number = G_MAXUINT64};
}

guint64 writer_get_position(const Writer *writer) {
    return writer->number == G_MAXUINT64
               ? 0
               : writer->number * TT_CHUNK_BYTES + (guint64)(writer->at - writer->start);
}

void writer_publish(Writer *writer) {
    if (!writer->holds_back)
        atomic_store_explicit(&writer->control->write_position, writer_get_position(writer),
                              memory_order_release);
}

static gboolean has_room(Writer *writer, guint64 number) {
    guint64 read = atomic_load_explicit(&writer->control->read_position, memory_order_acquire);

    return number < read / TT_CHUNK_BYTES + writer->chunk_count;
}

static void wait_for_room(Writer *writer, guint64 number) {
    while (!has_room(writer, number)) {
        guint32 seen = atomic_load(&writer->control->reader_waits);

        atomic_store(&writer->control->writer_waits, 1);
        if (has_room(writer, number))
            return;
        syscall(SYS_futex, &writer->control->reader_waits, FUTEX_WAIT, seen, NULL, NULL, 0);
    }
}

gboolean writer_reserve(Writer *writer, gsize len) {
    guint64 number = writer->number + 1; /* wraps to 0 for the first */

    if (writer->start && writer->at + len <= writer->limit)
        return TRUE;
    if (writer->waits)
        wait_for_room(writer, number);
    if (!has_room(writer, number)) {
        writer->gap_count++;
        writer->event_count++;
        atomic_fetch_add(&writer->control->dropped_events, 1);
        return FALSE;
    }
    if (writer->start)
        memset(writer->at, 0, 2);

    TtChunkHead head = {.magic = TT_CHUNK_MAGIC,
                        .tid = writer->tid,
                        .number = number,
                        .base_stamp = writer_stamp(),
                        .events_before = writer->event_count};
    writer->number = number;
    writer->start = writer->chunks + (number % writer->chunk_count) * (gsize)TT_CHUNK_BYTES;
    memcpy(writer->start, &head, sizeof head);
    writer->at = writer->start + sizeof head;
    writer->limit = writer->start + TT_CHUNK_BYTES - 2;
    /* Tests choose their stamps: the base is no bound. */
    guint64 base = writer->clock ? writer->clock() : 0;
    tt_delta_init(&writer->delta, base);
    memcpy(writer->start + offsetof(TtChunkHead, base_stamp), &base, sizeof base);
    if (writer->gap_count > 0) {
        TtRecordGap gap = {.stamp = writer_stamp(), .first_stamp = 1, .count = writer->gap_count};
        writer->at += tt_encode_gap(writer->at, 64, &gap);
        writer->gap_count = 0;
    }
    return TRUE;
}

gboolean writer_alloc(Writer *writer, guint64 addr, guint64 size, guint64 stack, guint64 stamp) {
    if (!writer_reserve(writer, TT_EVENT_MAX))
        return FALSE;
    writer->at =
        tt_encode_birth(writer->at, &writer->delta, TT_KIND_ALLOC, addr, size, stack, stamp);
    writer->event_count++;
    writer_publish(writer);
    return TRUE;
}

gboolean writer_free(Writer *writer, guint64 addr, guint64 stamp) {
    if (!writer_reserve(writer, TT_EVENT_MAX))
        return FALSE;
    writer->at =
        tt_encode_death(writer->at, &writer->delta, TT_KIND_FREE, addr, TT_STACK_NONE, stamp);
    writer->event_count++;
    writer_publish(writer);
    return TRUE;
}

void writer_stack(Writer *writer, const TtRecordStack *stack) {
    const gsize room = TT_RECORD_HEAD_BYTES + 4 * 10;

    g_assert_true(writer_reserve(writer, room));
    TtRecordNode node = tt_node_of_stack(&writer->delta, stack);
    writer->at += tt_encode_node(writer->at, room, &node);
    writer_publish(writer);
}
