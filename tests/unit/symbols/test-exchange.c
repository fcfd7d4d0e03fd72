/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers: there and back, and every cut or flipped byte is refused or harmless. */
#include <string.h>

#include "symbols/exchange.h"

static const guint8 build_id[] = {0xde, 0xad, 0xbe, 0xef};

static const char *keep(gpointer data, const char *text, gsize len) {
    GStringChunk *chunk = data;

    return g_string_chunk_insert_len(chunk, text, (gssize)len);
}

static void question_there_and_back(void) {
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autofree TtQuestion *question = g_new0(TtQuestion, 1);
    TtSymbolModule module = {"/a\xff/b", build_id, sizeof build_id};
    guint64 addrs[] = {0, 1, 0x1000, G_MAXUINT64};

    tt_question_write(bytes, 77, 1234, &module, addrs, G_N_ELEMENTS(addrs));
    g_assert_cmpuint(GUINT32_FROM_LE(*(guint32 *)(void *)bytes->data), ==, bytes->len - 4);
    g_assert_cmpint(tt_question_read(bytes->data + 4, bytes->len - 4, question), ==, 0);
    g_assert_cmpuint(question->id, ==, 77);
    g_assert_cmpuint(question->timeout_ms, ==, 1234);
    g_assert_cmpmem(question->path.text, question->path.len, "/a\xff/b", 5);
    g_assert_cmpmem(question->build_id.text, question->build_id.len, build_id, sizeof build_id);
    g_assert_cmpmem(question->addrs, question->addr_count * 8, addrs, sizeof addrs);
    for (guint len = 0; len < bytes->len - 4; len++)
        g_assert_cmpint(tt_question_read(bytes->data + 4, len, question), <, 0);
}

static void type_question_there_and_back(void) {
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autofree TtQuestion *question = g_new0(TtQuestion, 1);
    TtSymbolModule module = {"/a", build_id, sizeof build_id};
    TtSymbolVariable variables[] = {{5, "list"}, {5, "c->buf"}, {G_MAXUINT64, "\xff"}};

    tt_type_question_write(bytes, 77, 1234, &module, variables, G_N_ELEMENTS(variables));
    g_assert_cmpint(tt_question_read(bytes->data + 4, bytes->len - 4, question), ==, 0);
    g_assert_cmpint(question->asked_for, ==, TT_ASKED_FOR_TYPES);
    g_assert_cmpuint(question->addr_count, ==, G_N_ELEMENTS(variables));
    for (gsize i = 0; i < G_N_ELEMENTS(variables); i++) {
        g_assert_cmpuint(question->addrs[i], ==, variables[i].addr);
        g_assert_cmpmem(question->names[i].text, question->names[i].len, variables[i].name,
                        strlen(variables[i].name));
    }
    for (guint len = 0; len < bytes->len - 4; len++)
        g_assert_cmpint(tt_question_read(bytes->data + 4, len, question), <, 0);
}

/* One more than there is room for, and something that nobody asks for. */
static void question_past_its_bounds_is_refused(void) {
    static const guint8 head[] = {TT_EXCHANGE_VERSION, 1, 1, 1, 'p', 0};
    const guint8 counts[][3] = {{TT_ASKED_FOR_TYPES, 0x81, 0x02}, {TT_ASKED_FOR_TYPES + 1, 1, 0}};
    g_autofree TtQuestion *question = g_new0(TtQuestion, 1);

    G_STATIC_ASSERT(TT_EXCHANGE_VARIABLES_MAX == 0x100);
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        guint8 rest[2 * 0x101] = {0};

        g_byte_array_append(bytes, head, sizeof head);
        g_byte_array_append(bytes, counts[i], sizeof counts[i]);
        g_byte_array_append(bytes, rest, i == 0 ? sizeof rest : 0);
        g_assert_cmpint(tt_question_read(bytes->data, bytes->len, question), <, 0);
    }
}

static void largest_question_fits(void) {
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autofree char *path = g_strnfill(TT_STRING_MAX, 'p');
    guint8 id[TT_BUILD_ID_MAX] = {0};
    TtSymbolModule module = {path, id, sizeof id};
    g_autofree guint64 *addrs = g_new(guint64, TT_EXCHANGE_ADDRS_MAX);

    for (guint64 i = 0; i < TT_EXCHANGE_ADDRS_MAX; i++)
        addrs[i] = i * (G_MAXUINT64 / TT_EXCHANGE_ADDRS_MAX);
    tt_question_write(bytes, G_MAXUINT64, G_MAXUINT, &module, addrs, TT_EXCHANGE_ADDRS_MAX);
    g_assert_cmpuint(bytes->len, <=, TT_EXCHANGE_QUESTION_MAX);

    g_autofree char *name = g_strnfill(TT_EXCHANGE_VARIABLE_BYTES, 'n');
    TtSymbolVariable variables[TT_EXCHANGE_VARIABLES_MAX];

    for (guint64 i = 0; i < TT_EXCHANGE_VARIABLES_MAX; i++)
        variables[i] = (TtSymbolVariable){i * (G_MAXUINT64 / TT_EXCHANGE_VARIABLES_MAX), name};
    g_byte_array_set_size(bytes, 0);
    tt_type_question_write(bytes, G_MAXUINT64, G_MAXUINT, &module, variables,
                           TT_EXCHANGE_VARIABLES_MAX);
    g_assert_cmpuint(bytes->len, <=, TT_EXCHANGE_QUESTION_MAX);
}

/* An answer to three addresses: two frames, none, one. */
static GByteArray *make_answer(void) {
    g_autoptr(TtAnswerWriter) writer = tt_answer_writer_new(9);
    GByteArray *bytes = g_byte_array_new();
    TtSymbolFrame inner = {"inner", "/x/a.c", 3, TRUE};
    TtSymbolFrame outer = {"outer", "/x/a.c", 300, FALSE};
    TtSymbolFrame bare = {"bare", NULL, 0, FALSE};

    tt_answer_writer_begin_addr(writer, 2);
    tt_answer_writer_add_frame(writer, &inner);
    tt_answer_writer_add_frame(writer, &outer);
    tt_answer_writer_begin_addr(writer, 0);
    tt_answer_writer_begin_addr(writer, 1);
    tt_answer_writer_add_frame(writer, &bare);
    tt_answer_writer_finish(writer, TT_SYMBOLS_LACK_LINES, bytes);
    return bytes;
}

static void answer_there_and_back(void) {
    g_autoptr(GByteArray) bytes = make_answer();
    GStringChunk *chunk = g_string_chunk_new(1024);
    g_autofree TtAnswerBlock *block =
        tt_answer_read(bytes->data + 4, bytes->len - 4, 9, 3, keep, chunk);

    g_assert_nonnull(block);
    g_assert_cmpint(block->lack, ==, TT_SYMBOLS_LACK_LINES);
    g_assert_cmpuint(block->answers[0].frame_count, ==, 2);
    g_assert_cmpstr(block->answers[0].frames[0].function, ==, "inner");
    g_assert_true(block->answers[0].frames[0].is_inlined);
    g_assert_cmpstr(block->answers[0].frames[1].function, ==, "outer");
    g_assert_cmpstr(block->answers[0].frames[1].file, ==, "/x/a.c");
    g_assert_cmpuint(block->answers[0].frames[1].line, ==, 300);
    g_assert_false(block->answers[0].frames[1].is_inlined);
    g_assert_cmpuint(block->answers[1].frame_count, ==, 0);
    g_assert_cmpstr(block->answers[2].frames[0].function, ==, "bare");
    g_assert_null(block->answers[2].frames[0].file);
    g_assert_null(tt_answer_read(bytes->data + 4, bytes->len - 4, 8, 3, keep, chunk));
    g_assert_null(tt_answer_read(bytes->data + 4, bytes->len - 4, 9, 2, keep, chunk));
    g_assert_null(tt_answer_read(bytes->data + 4, bytes->len - 4, 9, 4, keep, chunk));
    g_string_chunk_free(chunk);
}

static void every_cut_answer_is_refused(void) {
    g_autoptr(GByteArray) bytes = make_answer();
    GStringChunk *chunk = g_string_chunk_new(1024);

    for (guint len = 0; len < bytes->len - 4; len++) {
        /* A copy of just that length, so that a sanitizer sees a step beyond. */
        g_autofree guint8 *copy = g_memdup2(bytes->data + 4, MAX(len, 1));

        g_assert_null(tt_answer_read(copy, len, 9, 3, keep, chunk));
    }
    g_string_chunk_free(chunk);
}

static void flipped_bits_are_refused_or_bounded(void) {
    g_autoptr(GByteArray) bytes = make_answer();
    GStringChunk *chunk = g_string_chunk_new(1024);

    for (guint i = 0; i < (bytes->len - 4) * 8; i++) {
        g_autofree guint8 *copy = g_memdup2(bytes->data + 4, bytes->len - 4);
        g_autofree TtAnswerBlock *block = NULL;

        copy[i / 8] ^= (guint8)(1u << i % 8);
        block = tt_answer_read(copy, bytes->len - 4, 9, 3, keep, chunk);
        for (guint j = 0; block && j < 3; j++)
            for (guint k = 0; k < block->answers[j].frame_count; k++)
                g_assert_true(!block->answers[j].frames[k].function ||
                              g_utf8_validate(block->answers[j].frames[k].function, -1, NULL));
    }
    g_string_chunk_free(chunk);
}

/* What a name becomes on its way. Returns: (transfer full) */
static char *send_name(const char *name) {
    g_autoptr(TtAnswerWriter) writer = tt_answer_writer_new(1);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    GStringChunk *chunk = g_string_chunk_new(1024);
    g_autofree TtAnswerBlock *block = NULL;
    TtSymbolFrame frame = {.function = name};
    char *text;

    tt_answer_writer_begin_addr(writer, 1);
    tt_answer_writer_add_frame(writer, &frame);
    tt_answer_writer_finish(writer, TT_SYMBOLS_LACK_NONE, bytes);
    block = tt_answer_read(bytes->data + 4, bytes->len - 4, 1, 1, keep, chunk);
    g_assert_nonnull(block);
    text = g_strdup(block->answers[0].frames[0].function);
    g_string_chunk_free(chunk);
    return text;
}

static void strings_are_bounded_and_valid(void) {
    for (guint len = TT_STRING_MAX - 6; len <= TT_STRING_MAX + 6; len++) {
        g_autoptr(GString) name = g_string_new(NULL);
        g_autofree char *sent = NULL;

        while (name->len < len)
            g_string_append(name, "ä");
        sent = send_name(name->str);
        g_assert_cmpuint(strlen(sent), <=, TT_STRING_MAX);
        g_assert_true(g_utf8_validate(sent, -1, NULL));
        g_assert_cmpint(g_str_has_suffix(sent, "…"), ==, name->len > TT_STRING_MAX);
        if (name->len <= TT_STRING_MAX)
            g_assert_cmpstr(sent, ==, name->str);
        else
            g_assert_cmpuint(strlen(sent), >=, TT_STRING_MAX - 3);
    }
    g_autofree char *broken = send_name("a\xff\xfe"
                                        "b");
    g_autofree char *garbage = g_strnfill(100000, '\xff');
    g_autofree char *sent = send_name(garbage);

    g_assert_cmpstr(broken, ==,
                    "a\xef\xbf\xbd\xef\xbf\xbd"
                    "b");
    g_assert_true(g_utf8_validate(sent, -1, NULL) && strlen(sent) <= TT_STRING_MAX);
    g_assert_null(send_name(""));
}

/* A module with more text than an answer may have: the rest is unknown, the answer is good. */
static void answer_stays_below_its_limit(void) {
    enum { COUNT = 100 }; /* addresses: 12,800 different texts of 4 KiB */
    g_autoptr(TtAnswerWriter) writer = tt_answer_writer_new(1);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    GStringChunk *chunk = g_string_chunk_new(1024);
    g_autofree TtAnswerBlock *block = NULL;
    g_autofree char *name = g_strnfill(5000, 'n');
    g_autofree char *file = g_strnfill(5000, 'f');

    for (guint i = 0; i < COUNT; i++) {
        tt_answer_writer_begin_addr(writer, TT_EXCHANGE_FRAMES_MAX);
        for (guint j = 0; j < TT_EXCHANGE_FRAMES_MAX; j++) {
            char number[32];
            TtSymbolFrame frame = {name, file, G_MAXUINT, TRUE};

            g_snprintf(number, sizeof number, "%08u", i * TT_EXCHANGE_FRAMES_MAX + j);
            memcpy(name, number, 8);
            memcpy(file, number, 8);
            tt_answer_writer_add_frame(writer, &frame);
        }
    }
    tt_answer_writer_finish(writer, TT_SYMBOLS_LACK_NONE, bytes);
    g_assert_cmpuint(bytes->len - 4, <=, TT_EXCHANGE_ANSWER_MAX);
    block = tt_answer_read(bytes->data + 4, bytes->len - 4, 1, COUNT, keep, chunk);
    g_assert_nonnull(block);
    g_assert_nonnull(block->answers[0].frames[0].function);
    g_assert_null(block->answers[COUNT - 1].frames[TT_EXCHANGE_FRAMES_MAX - 1].file);
    g_string_chunk_free(chunk);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/exchange/question-there-and-back", question_there_and_back);
    g_test_add_func("/exchange/type-question-there-and-back", type_question_there_and_back);
    g_test_add_func("/exchange/question-past-its-bounds-is-refused",
                    question_past_its_bounds_is_refused);
    g_test_add_func("/exchange/largest-question-fits", largest_question_fits);
    g_test_add_func("/exchange/answer-there-and-back", answer_there_and_back);
    g_test_add_func("/exchange/every-cut-answer-is-refused", every_cut_answer_is_refused);
    g_test_add_func("/exchange/flipped-bits-are-refused-or-bounded",
                    flipped_bits_are_refused_or_bounded);
    g_test_add_func("/exchange/strings-are-bounded-and-valid", strings_are_bounded_and_valid);
    g_test_add_func("/exchange/answer-stays-below-its-limit", answer_stays_below_its_limit);
    return g_test_run();
}
