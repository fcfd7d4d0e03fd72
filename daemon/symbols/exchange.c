/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers to bytes and back. */
#include "symbols/exchange.h"

#include <errno.h>
#include <string.h>

#include "protocol/checked.h"

/* Half of what an answer may be: names that hostile debug information made up stop here, and there
 * is room left for the frames. */
#define STRING_BYTES_MAX (TT_EXCHANGE_ANSWER_MAX / 2)

static void put_varint(GByteArray *to, guint64 value) {
    guint8 bytes[10];
    guint len = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[len++] = (guint8)(value | 0x80);
    bytes[len++] = (guint8)value;
    g_byte_array_append(to, bytes, len);
}

static void put_string(GByteArray *to, const void *text, gsize len) {
    g_assert(len <= TT_STRING_MAX);
    put_varint(to, len);
    g_byte_array_append(to, text, (guint)len);
}

/* Leaves room for a message's length; returns what put_length() wants. */
static guint begin_message(GByteArray *to) {
    static const guint8 head[TT_EXCHANGE_HEAD_BYTES];

    g_byte_array_append(to, head, sizeof head);
    return to->len;
}

static void put_length(GByteArray *to, guint begin) {
    guint32 len = GUINT32_TO_LE(to->len - begin);

    memcpy(to->data + begin - TT_EXCHANGE_HEAD_BYTES, &len, sizeof len);
}

/* Returns: what put_length() wants. */
static guint begin_question(GByteArray *to, guint64 id, guint timeout_ms,
                            const TtSymbolModule *module, TtAskedFor asked_for, gsize count) {
    guint begin = begin_message(to);

    g_assert(module->build_id_len <= TT_BUILD_ID_MAX);
    put_varint(to, TT_EXCHANGE_VERSION);
    put_varint(to, id);
    put_varint(to, timeout_ms);
    put_string(to, module->path, strlen(module->path));
    put_string(to, module->build_id, module->build_id_len);
    put_varint(to, asked_for);
    put_varint(to, count);
    return begin;
}

void tt_question_write(GByteArray *to, guint64 id, guint timeout_ms, const TtSymbolModule *module,
                       const guint64 *addrs, gsize addr_count) {
    guint begin = begin_question(to, id, timeout_ms, module, TT_ASKED_FOR_FRAMES, addr_count);
    guint64 last = 0;

    g_assert(addr_count >= 1 && addr_count <= TT_EXCHANGE_ADDRS_MAX);
    for (gsize i = 0; i < addr_count; i++) {
        g_assert(i == 0 || addrs[i] > last);
        put_varint(to, addrs[i] - last);
        last = addrs[i];
    }
    put_length(to, begin);
}

void tt_type_question_write(GByteArray *to, guint64 id, guint timeout_ms,
                            const TtSymbolModule *module, const TtSymbolVariable *variables,
                            gsize variable_count) {
    guint begin = begin_question(to, id, timeout_ms, module, TT_ASKED_FOR_TYPES, variable_count);
    guint64 last = 0;

    g_assert(variable_count >= 1 && variable_count <= TT_EXCHANGE_VARIABLES_MAX);
    for (gsize i = 0; i < variable_count; i++) {
        gsize len = strlen(variables[i].name);

        g_assert(variables[i].addr >= last && len <= TT_EXCHANGE_VARIABLE_BYTES);
        put_varint(to, variables[i].addr - last);
        put_string(to, variables[i].name, len);
        last = variables[i].addr;
    }
    put_length(to, begin);
}

static int read_addrs(TtCursor *cursor, TtQuestion *question) {
    gboolean has_names = question->asked_for == TT_ASKED_FOR_TYPES;
    guint64 addr = 0;

    for (gsize i = 0; i < question->addr_count; i++) {
        guint64 step;

        if (tt_cursor_read_varint(cursor, &step) < 0 || (step == 0 && i > 0 && !has_names) ||
            !tt_checked_add(addr, step, &addr))
            return -EBADMSG;
        question->addrs[i] = addr;
        if (has_names && tt_cursor_read_string(cursor, &question->names[i]) < 0)
            return -EBADMSG;
    }
    return 0;
}

int tt_question_read(const guint8 *bytes, gsize len, TtQuestion *ret_question) {
    TtCursor cursor = tt_cursor_new(bytes, len);
    guint64 version, asked_for, count;

    if (tt_cursor_read_varint(&cursor, &version) < 0 || version != TT_EXCHANGE_VERSION ||
        tt_cursor_read_varint(&cursor, &ret_question->id) < 0 ||
        tt_cursor_read_varint(&cursor, &ret_question->timeout_ms) < 0 ||
        tt_cursor_read_string(&cursor, &ret_question->path) < 0 ||
        tt_cursor_read_string(&cursor, &ret_question->build_id) < 0 ||
        tt_cursor_read_varint(&cursor, &asked_for) < 0 ||
        tt_cursor_read_varint(&cursor, &count) < 0)
        return -EBADMSG;
    if (ret_question->build_id.len > TT_BUILD_ID_MAX || asked_for > TT_ASKED_FOR_TYPES ||
        count >
            (asked_for == TT_ASKED_FOR_TYPES ? TT_EXCHANGE_VARIABLES_MAX : TT_EXCHANGE_ADDRS_MAX))
        return -EBADMSG;
    ret_question->asked_for = (TtAskedFor)asked_for;
    ret_question->addr_count = count;
    if (read_addrs(&cursor, ret_question) < 0 || tt_cursor_left(&cursor) > 0)
        return -EBADMSG;
    return 0;
}

/* Owned by whoever made it; one thread. */
struct TtAnswerWriter {
    guint64 id;
    GByteArray *strings;
    GByteArray *frames;
    GHashTable *numbers; /* (owned) string as it was given → number on the wire, from 1 */
    guint frames_due;    /* of the current address */
};

TtAnswerWriter *tt_answer_writer_new(guint64 id) {
    TtAnswerWriter *writer = g_new0(TtAnswerWriter, 1);

    writer->id = id;
    writer->strings = g_byte_array_new();
    writer->frames = g_byte_array_new();
    writer->numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return writer;
}

void tt_answer_writer_free(TtAnswerWriter *writer) {
    if (!writer)
        return;
    g_byte_array_unref(writer->strings);
    g_byte_array_unref(writer->frames);
    g_hash_table_unref(writer->numbers);
    g_free(writer);
}

/* Appends @text, cut so that it fits with the sign of the cut, never inside a character. */
static void put_bounded(GByteArray *to, const char *text) {
    static const char sign[] = "…";
    gsize len = strlen(text);
    const char *end = text + TT_STRING_MAX - (sizeof sign - 1);

    if (len <= TT_STRING_MAX) {
        put_string(to, text, len);
        return;
    }
    while ((*end & 0xc0) == 0x80)
        end--;
    len = (gsize)(end - text);
    put_varint(to, len + sizeof sign - 1);
    g_byte_array_append(to, (const guint8 *)text, (guint)len);
    g_byte_array_append(to, (const guint8 *)sign, sizeof sign - 1);
}

static guint number_of(TtAnswerWriter *writer, const char *text) {
    gpointer number;

    if (!text || !*text)
        return 0;
    if (g_hash_table_lookup_extended(writer->numbers, text, NULL, &number))
        return GPOINTER_TO_UINT(number);
    if (writer->strings->len >= STRING_BYTES_MAX)
        return 0;
    /* What lies past the bound is cut anyway; a replaced byte takes three. */
    if (g_utf8_validate(text, -1, NULL)) {
        put_bounded(writer->strings, text);
    } else {
        g_autofree char *valid = g_utf8_make_valid(text, (gssize)strnlen(text, 2 * TT_STRING_MAX));

        put_bounded(writer->strings, valid);
    }
    number = GUINT_TO_POINTER(g_hash_table_size(writer->numbers) + 1);
    g_hash_table_insert(writer->numbers, g_strdup(text), number);
    return GPOINTER_TO_UINT(number);
}

void tt_answer_writer_begin_addr(TtAnswerWriter *writer, guint frame_count) {
    g_assert(writer->frames_due == 0 && frame_count <= TT_EXCHANGE_FRAMES_MAX);
    put_varint(writer->frames, frame_count);
    writer->frames_due = frame_count;
}

void tt_answer_writer_add_frame(TtAnswerWriter *writer, const TtSymbolFrame *frame) {
    g_assert(writer->frames_due > 0);
    writer->frames_due--;
    put_varint(writer->frames, number_of(writer, frame->function));
    put_varint(writer->frames, number_of(writer, frame->file));
    put_varint(writer->frames, frame->line);
    put_varint(writer->frames, frame->is_inlined ? 1 : 0);
}

void tt_answer_writer_finish(TtAnswerWriter *writer, TtSymbolsLack lack, GByteArray *to) {
    guint begin = begin_message(to);

    g_assert(writer->frames_due == 0);
    put_varint(to, TT_EXCHANGE_VERSION);
    put_varint(to, writer->id);
    put_varint(to, lack);
    put_varint(to, g_hash_table_size(writer->numbers));
    g_byte_array_append(to, writer->strings->data, writer->strings->len);
    g_byte_array_append(to, writer->frames->data, writer->frames->len);
    put_length(to, begin);
}

/* What reading an answer has at hand. */
typedef struct AnswerReader {
    TtCursor cursor;
    GArray *strings; /* TtString, borrowed from the bytes */
    GArray *frames;  /* TtSymbolFrame of all addresses */
    TtInternString intern;
    gpointer data;
} AnswerReader;

static gboolean read_strings(AnswerReader *reader) {
    guint64 count;

    /* Nothing is reserved for a count: each string takes at least a byte that is really there. */
    if (tt_cursor_read_varint(&reader->cursor, &count) < 0 ||
        count > tt_cursor_left(&reader->cursor))
        return FALSE;
    for (guint64 i = 0; i < count; i++) {
        TtString string;

        if (tt_cursor_read_string(&reader->cursor, &string) < 0 ||
            !g_utf8_validate_len(string.text, string.len, NULL))
            return FALSE;
        g_array_append_val(reader->strings, string);
    }
    return TRUE;
}

static gboolean read_text(AnswerReader *reader, const char **ret_text) {
    guint64 number;
    TtString string;

    if (tt_cursor_read_varint(&reader->cursor, &number) < 0 || number > reader->strings->len)
        return FALSE;
    *ret_text = NULL;
    if (number > 0) {
        string = g_array_index(reader->strings, TtString, number - 1);
        *ret_text = reader->intern(reader->data, string.text, string.len);
    }
    return TRUE;
}

static gboolean read_frame(AnswerReader *reader) {
    TtSymbolFrame frame = {0};
    guint64 line, is_inlined;

    if (!read_text(reader, &frame.function) || !read_text(reader, &frame.file) ||
        tt_cursor_read_varint(&reader->cursor, &line) < 0 || line > G_MAXUINT32 ||
        tt_cursor_read_varint(&reader->cursor, &is_inlined) < 0 || is_inlined > 1)
        return FALSE;
    frame.line = (guint)line;
    frame.is_inlined = is_inlined == 1;
    g_array_append_val(reader->frames, frame);
    return TRUE;
}

/* Reads all frames; @counts takes how many each address has. */
static gboolean read_all_frames(AnswerReader *reader, guint8 *counts, gsize addr_count) {
    for (gsize i = 0; i < addr_count; i++) {
        guint64 count;

        if (tt_cursor_read_varint(&reader->cursor, &count) < 0 || count > TT_EXCHANGE_FRAMES_MAX)
            return FALSE;
        counts[i] = (guint8)count;
        for (guint64 j = 0; j < count; j++)
            if (!read_frame(reader))
                return FALSE;
    }
    return tt_cursor_left(&reader->cursor) == 0;
}

static TtAnswerBlock *block_new(TtSymbolsLack lack, const guint8 *counts, gsize addr_count,
                                const GArray *frames) {
    gsize answers_bytes = sizeof(TtAnswerBlock) + addr_count * sizeof(TtSymbolAnswer);
    gsize size_bytes = answers_bytes + frames->len * sizeof(TtSymbolFrame);
    TtAnswerBlock *block = g_malloc(size_bytes);
    TtSymbolFrame *at = (TtSymbolFrame *)((char *)block + answers_bytes);

    block->lack = lack;
    block->answer_count = addr_count;
    block->size_bytes = size_bytes;
    if (frames->len > 0)
        memcpy(at, frames->data, frames->len * sizeof(TtSymbolFrame));
    for (gsize i = 0; i < addr_count; i++) {
        block->answers[i] = (TtSymbolAnswer){.frame_count = counts[i], .frames = at};
        at += counts[i];
    }
    return block;
}

TtAnswerBlock *tt_answer_read(const guint8 *bytes, gsize len, guint64 id, gsize addr_count,
                              TtInternString intern, gpointer data) {
    g_autoptr(GArray) strings = g_array_new(FALSE, FALSE, sizeof(TtString));
    g_autoptr(GArray) frames = g_array_new(FALSE, FALSE, sizeof(TtSymbolFrame));
    guint8 counts[TT_EXCHANGE_ADDRS_MAX];
    AnswerReader reader = {
        .cursor = tt_cursor_new(bytes, len),
        .strings = strings,
        .frames = frames,
        .intern = intern,
        .data = data,
    };
    guint64 version, answer_id, lack;

    g_assert(addr_count <= TT_EXCHANGE_ADDRS_MAX);
    if (tt_cursor_read_varint(&reader.cursor, &version) < 0 || version != TT_EXCHANGE_VERSION ||
        tt_cursor_read_varint(&reader.cursor, &answer_id) < 0 || answer_id != id ||
        tt_cursor_read_varint(&reader.cursor, &lack) < 0 || lack >= TT_SYMBOLS_LACK_ANSWER)
        return NULL;
    if (!read_strings(&reader) || !read_all_frames(&reader, counts, addr_count))
        return NULL;
    return block_new((TtSymbolsLack)lack, counts, addr_count, frames);
}
