/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's way of an event without the machine's noise: chunks as a program writes them,
 * decoded and then applied, each in a function of its own whose instructions cost.py has counted.
 *
 *   events-cost [BLOCKS [EVENTS]]      prints the number of events
 *
 * BLOCKS are kept alive and replaced at random, from a thousand stacks; every sixteenth step is a
 * realloc that moves its block. */
#include <stdlib.h>

#include "model/session.h"
#include "protocol/encode.h"

#define BATCH 512u
#define STACKS 1000u
#define HEAP_BASE G_GUINT64_CONSTANT(0x555555560010)
#define BLOCK_ROOM 208u /* bytes from one place to the next */

typedef struct Stream {
    guint64 lot, stamp;
    guint32 blocks;
    guint32 *places;    /* the live ones first, then as many free ones */
    GByteArray *chunks; /* of TT_CHUNK_BYTES each, and readable bytes after the last */
    guint8 *at, *limit;
    TtDelta delta;
    guint64 event_count;
} Stream;

static guint64 draw(Stream *stream) {
    stream->lot ^= stream->lot << 13;
    stream->lot ^= stream->lot >> 7;
    stream->lot ^= stream->lot << 17;
    return stream->lot;
}

static void close_chunk(Stream *stream) {
    tt_encode_chunk_end(stream->at, 2); /* limit leaves room for it */
}

static void open_chunk(Stream *stream) {
    guint number = stream->chunks->len / TT_CHUNK_BYTES;
    TtChunkHead head = {.magic = TT_CHUNK_MAGIC,
                        .tid = 1,
                        .number = number,
                        .base_stamp = stream->stamp,
                        .events_before = stream->event_count};

    g_byte_array_set_size(stream->chunks, (number + 1) * TT_CHUNK_BYTES);
    guint8 *start = stream->chunks->data + number * TT_CHUNK_BYTES;
    memset(start, 0, TT_CHUNK_BYTES);
    memcpy(start, &head, sizeof head);
    stream->at = start + sizeof head;
    stream->limit = start + TT_CHUNK_BYTES - TT_EVENT_MAX - 2;
    tt_delta_init(&stream->delta, stream->stamp);
}

static void add(Stream *stream, TtKind kind, guint32 place) {
    guint64 addr = HEAP_BASE + (guint64)place * BLOCK_ROOM;
    gboolean is_birth = kind == TT_KIND_ALLOC || kind == TT_KIND_REALLOC_END;

    stream->stamp += 4 + draw(stream) % 8;
    if (stream->at >= stream->limit) {
        close_chunk(stream);
        open_chunk(stream);
    }
    if (is_birth)
        stream->at =
            tt_encode_birth(stream->at, &stream->delta, kind, addr, 100 + draw(stream) % 101,
                            TT_STACK_FIRST + draw(stream) % STACKS, stream->stamp);
    else
        stream->at =
            tt_encode_death(stream->at, &stream->delta, kind, addr, TT_STACK_NONE, stream->stamp);
    stream->event_count++;
}

static void write_stream(Stream *stream, guint64 steps) {
    open_chunk(stream);
    for (guint32 i = 0; i < stream->blocks; i++)
        add(stream, TT_KIND_ALLOC, stream->places[i]);
    for (guint64 i = 0; i < steps; i++) {
        guint32 *live = &stream->places[draw(stream) % stream->blocks];
        guint32 *other = &stream->places[stream->blocks + draw(stream) % stream->blocks];
        guint32 freed = *live;
        gboolean moves = i % 16 == 0;

        add(stream, moves ? TT_KIND_REALLOC_BEGIN : TT_KIND_FREE, freed);
        add(stream, moves ? TT_KIND_REALLOC_END : TT_KIND_ALLOC, *other);
        *live = *other;
        *other = freed;
    }
    close_chunk(stream);
    g_byte_array_set_size(stream->chunks, stream->chunks->len + TT_EVENT_MAX);
}

/* Counted. */
static __attribute__((noinline)) guint64 decode_all(const Stream *stream, TtEvent *events) {
    guint64 count = 0, chunk_count = stream->chunks->len / TT_CHUNK_BYTES;

    for (guint64 number = 0; number < chunk_count; number++) {
        TtChunkReader reader;
        TtRawRecord record;

        g_assert_cmpint(tt_chunk_reader_init(&reader,
                                             stream->chunks->data + number * TT_CHUNK_BYTES,
                                             TT_CHUNK_BYTES, number),
                        ==, 0);
        while (tt_chunk_reader_next(&reader, &events[count], &record) == TT_ITEM_EVENT)
            count++;
    }
    return count;
}

/* Counted. */
static __attribute__((noinline)) void apply_all(TtSession *session, const TtEvent *events,
                                                guint64 count) {
    for (guint64 i = 0; i < count; i += BATCH)
        tt_session_apply(session, events + i, MIN(BATCH, count - i));
}

static TtSession *make_session(void) {
    TtSessionInfo info = {.exe = (char *)"events-cost", .timescale = {.mult = 1}};
    TtSession *session = tt_session_new(&info, NULL);

    (void)tt_session_get_thread(session, 0, 1);
    for (guint32 i = 0; i < STACKS; i++)
        g_assert_true(tt_session_define_stack(
            session, &(TtRecordStack){.id = TT_STACK_FIRST + i, .ip = 0x1000 + i}));
    return session;
}

int main(int argc, char **argv) {
    Stream stream = {.lot = 88172645463325252, .chunks = g_byte_array_new()};
    guint64 steps = (argc > 2 ? strtoull(argv[2], NULL, 10) : 100000) / 2;
    g_autoptr(TtSession) session = make_session();
    g_autofree TtEvent *events = NULL;
    TtSummary summary;

    stream.blocks = argc > 1 ? (guint32)strtoul(argv[1], NULL, 10) : 20000;
    stream.places = g_new(guint32, 2 * stream.blocks);
    for (guint32 i = 0; i < 2 * stream.blocks; i++)
        stream.places[i] = i;
    write_stream(&stream, steps);
    events = g_new0(TtEvent, stream.event_count + 1);

    guint64 count = decode_all(&stream, events);
    g_assert_cmpuint(count, ==, stream.event_count);
    apply_all(session, events, count);
    tt_session_get_summary(session, &summary);
    g_assert_cmpuint(summary.live_blocks, ==, stream.blocks);
    g_assert_cmpuint(summary.events, ==, count);
    g_print("events %" G_GUINT64_FORMAT "\n", count);
    g_byte_array_unref(stream.chunks);
    g_free(stream.places);
    return 0;
}
