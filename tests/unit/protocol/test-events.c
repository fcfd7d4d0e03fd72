/* SPDX-License-Identifier: Apache-2.0 */
/* Packed events: there and back, at their limits, cut anywhere, and in a chunk that lies. */
#include <glib.h>

#include "protocol/encode.h"
#include "protocol/wire-vectors.h"

#define EVENTS 20000

static uint64_t random_bits(unsigned most) {
    unsigned bits = (unsigned)g_test_rand_int_range(0, (gint32)most + 1);
    uint64_t value = (uint64_t)(guint32)g_test_rand_int() << 32 | (guint32)g_test_rand_int();

    return bits == 0 ? 0 : value >> (64 - bits);
}

static TtKind kind_for(uint8_t op, uint64_t addr) {
    switch (op) {
    case TT_OP_ALLOC:
        return addr % 16 == 0 ? TT_KIND_ALLOC : TT_KIND_ALLOC8;
    case TT_OP_FREE:
        return addr % 16 == 0 ? TT_KIND_FREE : TT_KIND_FREE8;
    case TT_OP_REALLOC_BEGIN:
        return TT_KIND_REALLOC_BEGIN;
    default:
        return TT_KIND_REALLOC_END;
    }
}

/* An event that the packed form holds, at and around its limits as often as anywhere. */
static TtEvent random_event(uint64_t last_stamp) {
    TtEvent event = {.op = (uint8_t)g_test_rand_int_range(TT_OP_ALLOC, TT_OP_REALLOC_END + 1)};
    bool may_be_eight = event.op == TT_OP_ALLOC || event.op == TT_OP_FREE;
    bool is_birth = event.op == TT_OP_ALLOC || event.op == TT_OP_REALLOC_END;

    event.addr = random_bits(50) & ~(uint64_t)(may_be_eight ? 7 : 15);
    if (g_test_rand_int_range(0, 50) == 0)
        event.addr = TT_EVENT_ADDR_END - 16;
    event.stack = (uint32_t)random_bits(32);
    if (g_test_rand_bit())
        event.stack = TT_STACK_NONE;
    if (is_birth) {
        event.size = random_bits(48);
        if (g_test_rand_int_range(0, 50) == 0)
            event.size = TT_EVENT_SIZE_END - 1;
    }
    event.stamp = last_stamp + random_bits(g_test_rand_int_range(0, 100) == 0 ? 61 : 30);
    if (event.stamp >= (uint64_t)1 << 63)
        event.stamp = last_stamp;
    return event;
}

static uint8_t *encode(uint8_t *at, TtDelta *delta, const TtEvent *event) {
    TtKind kind = kind_for(event->op, event->addr);

    if (event->op == TT_OP_ALLOC || event->op == TT_OP_REALLOC_END)
        return tt_encode_birth(at, delta, kind, event->addr, event->size, event->stack,
                               event->stamp);
    return tt_encode_death(at, delta, kind, event->addr, event->stack, event->stamp);
}

static void assert_same(const TtEvent *got, const TtEvent *want) {
    g_assert_cmpuint(got->op, ==, want->op);
    g_assert_cmphex(got->addr, ==, want->addr);
    g_assert_cmpuint(got->stamp, ==, want->stamp);
    g_assert_cmpuint(got->stack, ==, want->stack);
    g_assert_cmpuint(got->size, ==, want->size);
}

static uint8_t *begin_chunk(uint8_t *chunk, uint64_t number, uint64_t base_stamp, TtDelta *delta) {
    TtChunkHead head = {.magic = TT_CHUNK_MAGIC, .number = number, .base_stamp = base_stamp};

    memcpy(chunk, &head, sizeof head);
    tt_delta_init(delta, base_stamp);
    return chunk + sizeof head;
}

/* Chunk after chunk, filled to the brim as the client does, over what the last one left. */
static void events_return_as_they_were(void) {
    g_autofree uint8_t *chunk = g_malloc(TT_CHUNK_BYTES + TT_EVENT_MAX);
    g_autofree TtEvent *want = g_new(TtEvent, TT_CHUNK_BYTES);
    uint64_t stamp = random_bits(40);

    memset(chunk, 0xa5, TT_CHUNK_BYTES + TT_EVENT_MAX);
    for (size_t done = 0, number = 0; done < EVENTS; number++) {
        TtDelta delta;
        uint8_t *end = chunk + TT_CHUNK_BYTES;
        uint8_t *at = begin_chunk(chunk, number, stamp, &delta);
        size_t count = 0;

        while ((size_t)(end - at) >= TT_EVENT_MAX) {
            want[count] = random_event(stamp);
            stamp = want[count].stamp;
            at = encode(at, &delta, &want[count++]);
        }
        tt_encode_chunk_end(at, (size_t)(end - at));

        TtChunkReader reader;
        TtEvent got;
        TtRawRecord raw;
        g_assert_cmpint(tt_chunk_reader_init(&reader, chunk, TT_CHUNK_BYTES, number), ==, 0);
        for (size_t i = 0; i < count; i++) {
            g_assert_cmpint(tt_chunk_reader_next(&reader, &got, &raw), ==, TT_ITEM_EVENT);
            assert_same(&got, &want[i]);
        }
        g_assert_cmpint(tt_chunk_reader_next(&reader, &got, &raw), ==, TT_ITEM_END);
        g_assert_cmpint(tt_chunk_reader_next(&reader, &got, &raw), ==, TT_ITEM_END);
        done += count;
    }
}

/* TT_EVENT_MAX is what the client keeps free, to the byte. */
static void longest_event_touches_what_it_may(void) {
    static const TtEvent longest[] = {
        {.op = TT_OP_ALLOC,
         .addr = TT_EVENT_ADDR_END - 8,
         .size = TT_EVENT_SIZE_END - 1,
         .stack = UINT32_MAX,
         .stamp = (uint64_t)1 << 61},
        {.op = TT_OP_FREE,
         .addr = TT_EVENT_ADDR_END - 8,
         .stack = UINT32_MAX,
         .stamp = (uint64_t)1 << 62},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(longest); i++) {
        uint8_t bytes[TT_EVENT_MAX + 8];
        TtDelta delta;
        size_t touched = 0;

        memset(bytes, 0xee, sizeof bytes);
        tt_delta_init(&delta, 0);
        size_t len = (size_t)(encode(bytes, &delta, &longest[i]) - bytes);
        for (size_t j = 0; j < sizeof bytes; j++)
            if (bytes[j] != 0xee)
                touched = j + 1;
        g_assert_cmpuint(len, <=, TT_EVENT_MAX - 2);
        g_assert_cmpuint(touched, <=, TT_EVENT_MAX);
        if (i == 0)
            g_assert_cmpuint(touched, ==, TT_EVENT_MAX);
    }
}

/* The wire has no room for stamps that go back: they count as equal, and the next is right. */
static void stamp_before_the_last_counts_as_equal(void) {
    uint8_t chunk[256] = {0};
    TtDelta delta;
    uint8_t *at = begin_chunk(chunk, 0, 1000, &delta);
    TtChunkReader reader;
    TtEvent got;
    TtRawRecord raw;

    at = tt_encode_birth(at, &delta, TT_KIND_ALLOC, 0x1000, 1, 3, 900);
    at = tt_encode_death(at, &delta, TT_KIND_FREE, 0x1000, TT_STACK_NONE, 999);
    at = tt_encode_death(at, &delta, TT_KIND_FREE, 0x1000, TT_STACK_NONE, 1001);
    g_assert_cmpint(tt_chunk_reader_init(&reader, chunk, (size_t)(at - chunk), 0), ==, 0);
    for (uint64_t i = 0; i < 3; i++) {
        g_assert_cmpint(tt_chunk_reader_next(&reader, &got, &raw), ==, TT_ITEM_EVENT);
        g_assert_cmpuint(got.stamp, ==, i < 2 ? 1000 : 1001);
    }
}

/* An event in the hot form costs what DESIGN promises: a birth up to 6 bytes, a death up to 4. */
static void near_events_are_short(void) {
    uint8_t bytes[TT_EVENT_MAX];
    TtDelta delta;

    tt_delta_init(&delta, 0);
    tt_encode_birth(bytes, &delta, TT_KIND_ALLOC, 0x55550000, 64, 70, 10);
    g_assert_cmpint(tt_encode_birth(bytes, &delta, TT_KIND_ALLOC, 0x55550040, 64, 70, 40) - bytes,
                    ==, 3);
    g_assert_cmpint(tt_encode_birth(bytes, &delta, TT_KIND_ALLOC, 0x55550080, 32, 71, 60) - bytes,
                    ==, 6);
    g_assert_cmpint(tt_encode_death(bytes, &delta, TT_KIND_FREE, 0x55550000, TT_STACK_NONE, 150) -
                        bytes,
                    ==, 3);
    g_assert_cmpint(tt_encode_death(bytes, &delta, TT_KIND_FREE, 0x55554000, TT_STACK_NONE, 220) -
                        bytes,
                    ==, 4);
}

static const TtVector *chunk_events(void) {
    size_t count;
    const TtVector *vectors = tt_vectors(&count);

    for (size_t i = 0; i < count; i++)
        if (g_str_equal(vectors[i].name, "chunk-events"))
            return &vectors[i];
    g_assert_not_reached();
}

/* Reads @len bytes of the vector with nothing behind them but what a reader may touch. Returns how
 * many items came before the end; @ret_result is the last result. */
static size_t read_items(const uint8_t *bytes, size_t len, int *ret_result) {
    g_autofree uint8_t *copy = g_malloc0(len + TT_EVENT_MAX);
    TtChunkReader reader;
    TtEvent event;
    TtRawRecord raw;
    size_t count = 0;

    memcpy(copy, bytes, len);
    memset(copy + len, 0xff, TT_EVENT_MAX); /* what lies behind must not matter */
    *ret_result = tt_chunk_reader_init(&reader, copy, len, TT_VECTOR_CHUNK_NUMBER);
    if (*ret_result < 0)
        return 0;
    while ((*ret_result = tt_chunk_reader_next(&reader, &event, &raw)) > 0) {
        g_assert_true(reader.cursor.at <= reader.cursor.end);
        if (*ret_result == TT_ITEM_EVENT)
            g_assert_true(event.op >= TT_OP_ALLOC && event.op <= TT_OP_REALLOC_END);
        count++;
    }
    return count;
}

static void assert_node(TtChunkReader *reader, const TtRecordStack *want) {
    TtEvent event;
    TtRawRecord raw;
    TtRecordNode node;

    g_assert_cmpint(tt_chunk_reader_next(reader, &event, &raw), ==, TT_ITEM_RECORD);
    g_assert_cmpint(tt_decode_node(&raw, &node), ==, 0);
    TtRecordStack got = tt_stack_of_node(&reader->delta, &node);
    g_assert_cmpuint(got.id, ==, want->id);
    g_assert_cmpuint(got.parent, ==, want->parent);
    g_assert_cmpuint(got.ip, ==, want->ip);
    g_assert_cmpuint(got.module, ==, want->module);
    g_assert_cmpuint(got.flags, ==, want->flags);
}

static void chunk_holds_its_story(void) {
    const TtVector *vector = chunk_events();
    TtChunkReader reader;
    TtEvent event;
    TtRawRecord raw;

    g_assert_cmpint(tt_chunk_reader_init(&reader, vector->bytes, vector->len, 7), ==, 0);
    assert_node(&reader, &tt_vector_stack);
    assert_node(&reader, &tt_vector_inner_stack);
    for (size_t i = 0; i < tt_vector_event_count; i++) {
        g_assert_cmpint(tt_chunk_reader_next(&reader, &event, &raw), ==, TT_ITEM_EVENT);
        assert_same(&event, &tt_vector_events[i]);
    }
    g_assert_cmpint(tt_chunk_reader_next(&reader, &event, &raw), ==, TT_ITEM_END);
}

/* Published up to any byte: whole items come, a cut one is refused. */
static void chunk_cut_anywhere(void) {
    const TtVector *vector = chunk_events();
    bool is_boundary[TT_VECTOR_BYTES + 1] = {false};
    size_t whole = 0;
    int result;

    for (size_t len = 0; len < TT_CHUNK_HEAD_BYTES; len++) {
        read_items(vector->bytes, len, &result);
        g_assert_cmpint(result, ==, -EBADMSG);
    }
    for (size_t len = TT_CHUNK_HEAD_BYTES; len <= vector->len; len++) {
        size_t count = read_items(vector->bytes, len, &result);

        is_boundary[len] = result == TT_ITEM_END;
        g_assert_cmpuint(
            count, ==,
            whole + (is_boundary[len] && len > TT_CHUNK_HEAD_BYTES && len < vector->len - 1));
        whole = MAX(whole, count);
    }
    g_assert_true(is_boundary[TT_CHUNK_HEAD_BYTES]);
    g_assert_cmpuint(whole, ==, 2 + tt_vector_event_count);
}

static void chunk_survives_flipped_bytes(void) {
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    const TtVector *vector = chunk_events();

    for (size_t i = 0; i < vector->len; i++) {
        for (size_t j = 0; j < 256 + G_N_ELEMENTS(values); j++) {
            uint8_t bytes[TT_VECTOR_BYTES];
            int result;

            memcpy(bytes, vector->bytes, vector->len);
            bytes[i] = j < 256 ? (uint8_t)j : values[j - 256];
            read_items(bytes, vector->len, &result);
            g_assert_true(result == TT_ITEM_END || result == -EBADMSG);
        }
    }
}

static void chunk_of_another_number_is_refused(void) {
    const TtVector *vector = chunk_events();
    TtChunkReader reader;

    for (uint64_t number = 0; number < 20; number++)
        g_assert_cmpint(tt_chunk_reader_init(&reader, vector->bytes, vector->len, number), ==,
                        number == TT_VECTOR_CHUNK_NUMBER ? 0 : -EBADMSG);
    g_autofree uint8_t *large = g_malloc0(TT_CHUNK_BYTES + 1);
    memcpy(large, vector->bytes, vector->len);
    g_assert_cmpint(tt_chunk_reader_init(&reader, large, TT_CHUNK_BYTES + 1, 7), ==, -EBADMSG);
    g_assert_cmpint(tt_chunk_reader_init(&reader, large, TT_CHUNK_BYTES, 7), ==, 0);
}

/* A single byte left takes the end's sign, or the chunk is damaged. */
static void last_byte_may_be_left(void) {
    uint8_t chunk[64 + TT_EVENT_MAX] = {0};
    TtDelta delta;
    TtChunkReader reader;
    TtEvent event;
    TtRawRecord raw;

    begin_chunk(chunk, 0, 0, &delta);
    tt_chunk_reader_init(&reader, chunk, TT_CHUNK_HEAD_BYTES + 1, 0);
    g_assert_cmpint(tt_chunk_reader_next(&reader, &event, &raw), ==, TT_ITEM_END);
    g_assert_cmpuint(tt_cursor_left(&reader.cursor), ==, 0);
    chunk[TT_CHUNK_HEAD_BYTES] = TT_KIND_ALLOC;
    tt_chunk_reader_init(&reader, chunk, TT_CHUNK_HEAD_BYTES + 1, 0);
    g_assert_cmpint(tt_chunk_reader_next(&reader, &event, &raw), ==, -EBADMSG);

    tt_encode_chunk_end(chunk + TT_CHUNK_HEAD_BYTES, 1);
    g_assert_cmphex(chunk[TT_CHUNK_HEAD_BYTES], ==, 0);
}

static void wide_event_with_nonsense_is_refused(void) {
    static const TtRecordWideEvent cases[] = {
        {.op = 0},
        {.op = 5},
        {.op = 257},
        {.op = UINT64_MAX},
        {.op = TT_OP_ALLOC, .stack = (uint64_t)1 << 32},
        {.op = TT_OP_ALLOC, .stack = UINT32_MAX, .addr = UINT64_MAX, .size = UINT64_MAX},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint8_t chunk[256] = {0};
        TtDelta delta;
        uint8_t *at = begin_chunk(chunk, 0, 0, &delta);
        TtChunkReader reader;
        TtEvent event;
        TtRawRecord raw;

        at += tt_encode_wide_event(at, 100, &cases[i]);
        g_assert_cmpint(tt_chunk_reader_init(&reader, chunk, (size_t)(at - chunk), 0), ==, 0);
        g_assert_cmpint(tt_chunk_reader_next(&reader, &event, &raw), ==,
                        i == G_N_ELEMENTS(cases) - 1 ? TT_ITEM_EVENT : -EBADMSG);
    }
}

/* Anything at all as a chunk's body. */
static void random_bytes_end_somewhere(void) {
    for (int round = 0; round < 3000; round++) {
        uint8_t bytes[400];
        TtDelta delta;
        int result;

        begin_chunk(bytes, TT_VECTOR_CHUNK_NUMBER, (uint64_t)round, &delta);
        for (size_t i = TT_CHUNK_HEAD_BYTES; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)g_test_rand_int();
        read_items(bytes, sizeof bytes, &result);
        g_assert_true(result == TT_ITEM_END || result == -EBADMSG);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/protocol/event/" #name, name)
    ADD(events_return_as_they_were);
    ADD(longest_event_touches_what_it_may);
    ADD(stamp_before_the_last_counts_as_equal);
    ADD(near_events_are_short);
    ADD(chunk_holds_its_story);
    ADD(chunk_cut_anywhere);
    ADD(chunk_survives_flipped_bytes);
    ADD(chunk_of_another_number_is_refused);
    ADD(last_byte_may_be_left);
    ADD(wide_event_with_nonsense_is_refused);
    ADD(random_bytes_end_somewhere);
#undef ADD
    return g_test_run();
}
