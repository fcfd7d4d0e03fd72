/* SPDX-License-Identifier: Apache-2.0 */
/* Every record of records.def: there and back, cut, flipped, from an older and from a newer peer.
 */
#include <glib.h>

#include "protocol/encode.h"
#include "protocol/wire-vectors.h"

#define ROUNDS 200

static char text[TT_STRING_MAX + 1000];

/* Extremes of every length are as likely as each other. */
static uint64_t random_number(void) {
    unsigned bits = (unsigned)g_test_rand_int_range(0, 65);
    uint64_t value = (uint64_t)(guint32)g_test_rand_int() << 32 | (guint32)g_test_rand_int();

    return bits == 64 ? UINT64_MAX : value & (((uint64_t)1 << bits) - 1);
}

static TtString random_string(void) {
    static const size_t lens[] = {0, 1, 127, 128, TT_STRING_MAX};
    size_t choice = (size_t)g_test_rand_int_range(0, 2 * G_N_ELEMENTS(lens));
    size_t len = choice < G_N_ELEMENTS(lens) ? lens[choice] : (size_t)g_test_rand_int_range(0, 300);

    return (TtString){.text = text + g_test_rand_int_range(0, 1000), .len = len};
}

/* What the tests need to know of a record's type. */
typedef struct RecordType {
    const char *name;
    unsigned number;
    void (*fill)(void *record);
    void (*fill_largest)(void *record); /* its strings longer than any may be */
    size_t (*encode)(uint8_t *at, size_t room, const void *record);
    int (*decode)(const TtRawRecord *raw, void *record);
    void (*assert_same)(const void *got, const void *want);
} RecordType;

typedef union AnyRecord {
#define TT_RECORD(number, NAME, name, Name, doc) TtRecord##Name name;
#define TT_U(field, doc)
#define TT_S(field, doc)
#define TT_RECORD_END(name, Name)
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
} AnyRecord;

#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    static void fill_##name(void *to) {                                                            \
        TtRecord##Name *record = to;
#define TT_U(field, doc) record->field = random_number();
#define TT_S(field, doc) record->field = random_string();
#define TT_RECORD_END(name, Name) }
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END

#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    static void fill_largest_##name(void *to) {                                                    \
        TtRecord##Name *record = to;
#define TT_U(field, doc) record->field = UINT64_MAX;
#define TT_S(field, doc) record->field = (TtString){.text = text, .len = sizeof text};
#define TT_RECORD_END(name, Name) }
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END

#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    static size_t encode_##name(uint8_t *at, size_t room, const void *record) {                    \
        return tt_encode_##name(at, room, record);                                                 \
    }                                                                                              \
    static int decode_##name(const TtRawRecord *raw, void *record) {                               \
        return tt_decode_##name(raw, record);                                                      \
    }                                                                                              \
    static void assert_same_##name(const void *a, const void *b) {                                 \
        const TtRecord##Name *got = a, *want = b;
#define TT_U(field, doc) g_assert_cmpuint(got->field, ==, want->field);
#define TT_S(field, doc)                                                                           \
    g_assert_cmpmem(got->field.text, got->field.len, want->field.text,                             \
                    MIN(want->field.len, TT_STRING_MAX));
#define TT_RECORD_END(name, Name) }
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END

static const RecordType types[] = {
#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    {#name,         number,        fill_##name,       fill_largest_##name,                         \
     encode_##name, decode_##name, assert_same_##name},
#define TT_U(field, doc)
#define TT_S(field, doc)
#define TT_RECORD_END(name, Name)
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
};

/* The bytes on the heap with nothing behind them, so that a sanitizer sees an overrun. */
static uint8_t *copy_of(const uint8_t *bytes, size_t len, TtCursor *ret_cursor) {
    uint8_t *copy = g_malloc(MAX(len, 1));

    memcpy(copy, bytes, len);
    *ret_cursor = tt_cursor_new(copy, len);
    return copy;
}

static void assert_cuts_are_refused(const uint8_t *bytes, size_t len) {
    size_t step = len > 2000 ? len / 500 : 1;

    for (size_t short_len = 1; short_len < len; short_len += step) {
        TtCursor cursor;
        TtRawRecord raw;
        g_autofree uint8_t *copy = copy_of(bytes, short_len, &cursor);

        g_assert_cmpint(tt_decode_framed(&cursor, &raw), ==, -EBADMSG);
        g_assert_true(cursor.at == copy);
    }
}

static void assert_round_trip(const RecordType *type, const AnyRecord *want) {
    g_autofree uint8_t *bytes = g_malloc(TT_RECORD_MAX);
    size_t len = type->encode(bytes, TT_RECORD_MAX, want);
    TtCursor cursor;
    TtRawRecord raw;
    AnyRecord got;

    g_assert_cmpuint(len, >=, TT_RECORD_HEAD_BYTES);
    g_autofree uint8_t *copy = copy_of(bytes, len, &cursor);

    g_assert_cmpint(tt_decode_framed(&cursor, &raw), ==, TT_ITEM_RECORD);
    g_assert_cmpuint(raw.number, ==, type->number);
    g_assert_cmpint(type->decode(&raw, &got), ==, 0);
    type->assert_same(&got, want);
    g_assert_cmpint(tt_decode_framed(&cursor, &raw), ==, TT_ITEM_END);

    /* Just room enough, and one byte too little: then nothing is written. */
    memset(copy, 0xee, len);
    g_assert_cmpuint(type->encode(copy, len - 1, want), ==, 0);
    for (size_t i = 0; i < len; i++)
        g_assert_cmphex(copy[i], ==, 0xee);
    g_assert_cmpuint(type->encode(copy, len, want), ==, len);
    g_assert_cmpmem(copy, len, bytes, len);
}

static void record_returns_as_it_was(gconstpointer data) {
    const RecordType *type = data;
    AnyRecord record;

    memset(&record, 0, sizeof record);
    assert_round_trip(type, &record);
    for (int round = 0; round < ROUNDS; round++) {
        type->fill(&record);
        assert_round_trip(type, &record);
    }
    /* With numbers and strings as long as they get it fits TT_RECORD_MAX. */
    type->fill_largest(&record);
    assert_round_trip(type, &record);
}

static void record_is_refused_when_cut(gconstpointer data) {
    const RecordType *type = data;
    g_autofree uint8_t *bytes = g_malloc(TT_RECORD_MAX);
    AnyRecord record;

    for (int round = 0; round < 10; round++) {
        type->fill(&record);
        assert_cuts_are_refused(bytes, type->encode(bytes, TT_RECORD_MAX, &record));
    }
}

/* A shorter or longer list of fields in a whole frame: fields are absent, empty or refused. */
static void record_takes_other_minors(gconstpointer data) {
    const RecordType *type = data;
    g_autofree uint8_t *bytes = g_malloc(TT_RECORD_MAX + 16);
    AnyRecord want, got;

    type->fill(&want);
    size_t len = type->encode(bytes, TT_RECORD_MAX, &want);

    memset(bytes + len, 0x81, 16);
    TtRawRecord newer = {.number = (uint16_t)type->number,
                         .fields = tt_cursor_new(bytes + 4, len - 4 + 16)};
    g_assert_cmpint(type->decode(&newer, &got), ==, 0);
    type->assert_same(&got, &want);

    TtRawRecord oldest = {.number = (uint16_t)type->number, .fields = tt_cursor_new(bytes + 4, 0)};
    AnyRecord zero;
    memset(&zero, 0, sizeof zero);
    g_assert_cmpint(type->decode(&oldest, &got), ==, 0);
    type->assert_same(&got, &zero);

    for (size_t short_len = 0; short_len < MIN(len - 4, 600); short_len++) {
        TtCursor fields;
        g_autofree uint8_t *copy = copy_of(bytes + 4, short_len, &fields);
        TtRawRecord older = {.number = (uint16_t)type->number, .fields = fields};
        int r = type->decode(&older, &got);

        g_assert_true(r == 0 || r == -EBADMSG);
        (void)copy;
    }
}

/* Any byte changed: what then comes out is within the frame, or nothing does. */
static void record_survives_flipped_bytes(gconstpointer data) {
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    const RecordType *type = data;
    g_autofree uint8_t *bytes = g_malloc(TT_RECORD_MAX);
    AnyRecord record, got;

    type->fill(&record);
    size_t len = type->encode(bytes, TT_RECORD_MAX, &record);
    for (size_t i = 0; i < MIN(len, 600); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(values); j++) {
            TtCursor cursor;
            TtRawRecord raw;
            g_autofree uint8_t *copy = copy_of(bytes, len, &cursor);

            copy[i] = values[j];
            while (tt_decode_framed(&cursor, &raw) == TT_ITEM_RECORD) {
                g_assert_true(raw.fields.at >= copy && raw.fields.end <= copy + len);
                type->decode(&raw, &got);
            }
        }
    }
}

static void unknown_record_is_passed_over(void) {
    uint8_t bytes[32];
    const uint16_t unknown[2] = {TT_KIND_RECORD | 0x1fff << 3, 3};
    TtRawRecord raw;

    memcpy(bytes, unknown, 4);
    memset(bytes + 4, 0xff, 3);
    size_t len = 7 + tt_encode_end(bytes + 7, sizeof bytes - 7, &(TtRecordEnd){.stamp = 5});
    TtCursor cursor = tt_cursor_new(bytes, len);

    g_assert_cmpint(tt_decode_framed(&cursor, &raw), ==, TT_ITEM_RECORD);
    g_assert_cmpuint(raw.number, ==, 0x1fff);
    g_assert_cmpuint(tt_cursor_left(&raw.fields), ==, 3);
    g_assert_cmpint(tt_decode_framed(&cursor, &raw), ==, TT_ITEM_RECORD);
    g_assert_cmpuint(raw.number, ==, TT_RECORD_END);
    g_assert_cmpint(tt_decode_framed(&cursor, &raw), ==, TT_ITEM_END);
}

/* In a message an event is no record. */
static void event_in_message_is_refused(void) {
    for (unsigned kind = 0; kind < TT_KIND_RECORD; kind++) {
        uint8_t bytes[8] = {(uint8_t)kind};
        TtCursor cursor = tt_cursor_new(bytes, sizeof bytes);
        TtRawRecord raw;

        g_assert_cmpint(tt_decode_framed(&cursor, &raw), ==, -EBADMSG);
    }
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(gconstpointer data);
    } tests[] = {
        {"returns_as_it_was", record_returns_as_it_was},
        {"is_refused_when_cut", record_is_refused_when_cut},
        {"takes_other_minors", record_takes_other_minors},
        {"survives_flipped_bytes", record_survives_flipped_bytes},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 131);
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(tests); j++) {
            g_autofree char *path =
                g_strdup_printf("/protocol/record/%s/%s", types[i].name, tests[j].name);
            g_test_add_data_func(path, &types[i], tests[j].run);
        }
    }
    g_test_add_func("/protocol/record/unknown_record_is_passed_over",
                    unknown_record_is_passed_over);
    g_test_add_func("/protocol/record/event_in_message_is_refused", event_in_message_is_refused);
    return g_test_run();
}
