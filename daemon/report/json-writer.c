/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine behind the writer, and the spelling of numbers and strings. A document of two
 * million blocks has eighty million tokens, so none goes through printf or through the sink alone:
 * they gather in a buffer. */
#include "report/json-writer.h"

#include "report/text.h"

#define BUFFER_BYTES (64u * 1024)

/* The most that is put into the buffer after one question for room: separator, number, escape. */
#define TOKEN_BYTES 64u

typedef struct JsonLevel {
    gboolean is_array;
    gboolean has_items;
} JsonLevel;

struct TtJsonWriter {
    TtSink *sink; /* borrowed */
    GError *failure;
    guint depth;      /* open levels; levels[depth - 1] is the innermost */
    gboolean has_key; /* the next value's key has been written */
    gboolean is_in_string;
    JsonLevel levels[TT_JSON_DEPTH_MAX];
    gsize used;
    char buffer[BUFFER_BYTES];
};

TtJsonWriter *tt_json_writer_new(TtSink *sink) {
    TtJsonWriter *writer = g_new(TtJsonWriter, 1);

    memset(writer, 0, G_STRUCT_OFFSET(TtJsonWriter, buffer));
    writer->sink = sink;
    return writer;
}

void tt_json_writer_free(TtJsonWriter *writer) {
    if (!writer)
        return;
    g_clear_error(&writer->failure);
    g_free(writer);
}

gboolean tt_json_has_failed(const TtJsonWriter *writer) { return writer->failure != NULL; }

static G_GNUC_NO_INLINE void empty_buffer(TtJsonWriter *writer) {
    if (!writer->failure)
        tt_sink_write(writer->sink, writer->buffer, writer->used, &writer->failure);
    writer->used = 0;
}

/* Room for @len bytes, at most TOKEN_BYTES. */
static inline char *reserve(TtJsonWriter *writer, gsize len) {
    if (G_UNLIKELY(writer->used + len > BUFFER_BYTES))
        empty_buffer(writer);
    return writer->buffer + writer->used;
}

static inline void put_char(TtJsonWriter *writer, char character) {
    *reserve(writer, 1) = character;
    writer->used++;
}

static inline void put_bytes(TtJsonWriter *writer, const char *bytes, gsize len) {
    while (G_UNLIKELY(len > BUFFER_BYTES - writer->used)) {
        gsize part = BUFFER_BYTES - writer->used;

        memcpy(writer->buffer + writer->used, bytes, part);
        writer->used += part;
        bytes += part;
        len -= part;
        empty_buffer(writer);
    }
    memcpy(writer->buffer + writer->used, bytes, len);
    writer->used += len;
}

/* Where the document breaks its lines: before its members, and before the elements of those. */
static void break_line(TtJsonWriter *writer) {
    put_bytes(writer, "\n    ", 1 + 2 * (gsize)writer->depth);
}

static inline gboolean has_lines(const TtJsonWriter *writer) {
    return writer->depth == 1 || (writer->depth == 2 && writer->levels[1].is_array);
}

/* What stands between a member or element and the one before it. */
static inline void separate(TtJsonWriter *writer) {
    JsonLevel *level = &writer->levels[writer->depth - 1];

    if (level->has_items)
        put_char(writer, ',');
    level->has_items = TRUE;
    if (has_lines(writer))
        break_line(writer);
}

/* Every value begins here. */
static inline void begin_value(TtJsonWriter *writer) {
    g_assert(!writer->is_in_string);
    if (writer->has_key) {
        writer->has_key = FALSE;
        return;
    }
    if (writer->depth == 0) {
        g_assert(!writer->levels[0].has_items); /* one document, one value */
        return;
    }
    g_assert(writer->levels[writer->depth - 1].is_array);
    separate(writer);
}

void tt_json_key_len(TtJsonWriter *writer, const char *key, gsize len) {
    g_assert(writer->depth > 0 && !writer->levels[writer->depth - 1].is_array);
    g_assert(!writer->has_key && !writer->is_in_string);
    separate(writer);
    put_char(writer, '"');
    put_bytes(writer, key, len);
    put_bytes(writer, "\": ", writer->depth == 1 ? 3 : 2);
    writer->has_key = TRUE;
}

static void begin_level(TtJsonWriter *writer, gboolean is_array) {
    begin_value(writer);
    g_assert(writer->depth < TT_JSON_DEPTH_MAX);
    writer->levels[writer->depth++] = (JsonLevel){.is_array = is_array};
    put_char(writer, is_array ? '[' : '{');
}

static void end_level(TtJsonWriter *writer, gboolean is_array) {
    const JsonLevel *level;
    gboolean breaks;

    g_assert(writer->depth > 0 && !writer->has_key && !writer->is_in_string);
    level = &writer->levels[writer->depth - 1];
    g_assert(level->is_array == is_array);
    breaks = level->has_items && has_lines(writer);
    writer->depth--;
    if (breaks)
        break_line(writer);
    put_char(writer, is_array ? ']' : '}');
}

void tt_json_begin_object(TtJsonWriter *writer) { begin_level(writer, FALSE); }
void tt_json_end_object(TtJsonWriter *writer) { end_level(writer, FALSE); }
void tt_json_begin_array(TtJsonWriter *writer) { begin_level(writer, TRUE); }
void tt_json_end_array(TtJsonWriter *writer) { end_level(writer, TRUE); }

gboolean tt_json_finish(TtJsonWriter *writer, GError **error) {
    g_assert(writer->depth == 0 && !writer->has_key && !writer->is_in_string);
    put_char(writer, '\n');
    empty_buffer(writer);
    if (!writer->failure)
        return TRUE;
    g_propagate_error(error, g_error_copy(writer->failure));
    return FALSE;
}

static inline void put_uint(TtJsonWriter *writer, guint64 value) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[20], *at = digits + sizeof digits;
    gsize len;

    while (value >= 100) {
        at -= 2;
        memcpy(at, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(at, pairs + 2 * value, 2);
    } else {
        *--at = (char)('0' + value);
    }
    len = (gsize)(digits + sizeof digits - at);
    memcpy(reserve(writer, TOKEN_BYTES), at, len);
    writer->used += len;
}

void tt_json_uint(TtJsonWriter *writer, guint64 value) {
    begin_value(writer);
    put_uint(writer, value);
}

void tt_json_int(TtJsonWriter *writer, gint64 value) {
    begin_value(writer);
    if (value < 0)
        put_char(writer, '-');
    put_uint(writer, value < 0 ? 0 - (guint64)value : (guint64)value);
}

void tt_json_bool(TtJsonWriter *writer, gboolean value) {
    begin_value(writer);
    put_bytes(writer, value ? "true" : "false", value ? 4 : 5);
}

void tt_json_null(TtJsonWriter *writer) {
    begin_value(writer);
    put_bytes(writer, "null", 4);
}

static const char hex_digits[] = "0123456789abcdef";

void tt_json_addr(TtJsonWriter *writer, guint64 addr) {
    char *at;
    guint digits = addr ? (guint)(67 - __builtin_clzll(addr)) / 4 : 1;

    begin_value(writer);
    at = reserve(writer, TOKEN_BYTES);
    memcpy(at, "\"0x", 3);
    at += 3;
    for (guint i = digits; i > 0; i--)
        *at++ = hex_digits[addr >> 4 * (i - 1) & 0xf];
    *at = '"';
    writer->used += digits + 4;
}

/* \uXXXX. No character past U+FFFF needs one. */
static void put_escape(TtJsonWriter *writer, gunichar character) {
    char *at = reserve(writer, 6);

    at[0] = '\\';
    at[1] = 'u';
    for (guint i = 0; i < 4; i++)
        at[2 + i] = hex_digits[character >> (12 - 4 * i) & 0xf];
    writer->used += 6;
}

/* How many bytes from @at on go into a string as they are. */
static inline gsize plain_len(const char *at, const char *end) {
    const char *start = at;

    while (at < end && *at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\' && *at != '<')
        at++;
    return (gsize)(at - start);
}

static void put_character(TtJsonWriter *writer, gunichar character, const char *next,
                          const char *end) {
    char bytes[6];
    gint len;

    if (character == '"' || character == '\\') {
        put_char(writer, '\\');
        put_char(writer, (char)character);
    } else if (tt_text_is_control(character) ||
               (character == '<' && next < end && (*next == '/' || *next == '!'))) {
        put_escape(writer, character);
    } else {
        len = g_unichar_to_utf8(character, bytes);
        put_bytes(writer, bytes, (gsize)len);
    }
}

void tt_json_add_text(TtJsonWriter *writer, const char *bytes, gsize len) {
    const char *at = bytes, *end = bytes + len;

    g_assert(writer->is_in_string);
    while (at < end) {
        gsize plain = plain_len(at, end);
        gunichar character;

        put_bytes(writer, at, plain);
        at += plain;
        if (at == end)
            break;
        character = tt_text_next(&at, end);
        put_character(writer, character, at, end);
    }
}

void tt_json_begin_string(TtJsonWriter *writer) {
    begin_value(writer);
    put_char(writer, '"');
    writer->is_in_string = TRUE;
}

void tt_json_end_string(TtJsonWriter *writer) {
    g_assert(writer->is_in_string);
    writer->is_in_string = FALSE;
    put_char(writer, '"');
}

void tt_json_string(TtJsonWriter *writer, const char *text) {
    if (!text) {
        tt_json_null(writer);
        return;
    }
    tt_json_begin_string(writer);
    tt_json_add_text(writer, text, strlen(text));
    tt_json_end_string(writer);
}
