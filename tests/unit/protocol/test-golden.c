/* SPDX-License-Identifier: Apache-2.0 */
/* The golden vectors: what this version writes is byte for byte what was written when they were
 * made, and cut anywhere nothing but whole records comes out of them. */
#include <glib.h>

#include "protocol/encode.h"
#include "protocol/wire-vectors.h"

/* The bytes of a golden file: hex pairs, up to a '#' on each line. */
static GByteArray *read_golden(const char *name) {
    g_autofree char *file = g_strconcat(name, ".hex", NULL);
    g_autofree char *path = g_build_filename(g_getenv("TT_GOLDEN"), "wire", file, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    GByteArray *bytes = g_byte_array_new();
    for (char **line = lines; *line != NULL; line++) {
        const char *end = strchr(*line, '#');

        for (const char *c = *line; *c != '\0' && c != end; c++) {
            if (*c == ' ')
                continue;
            g_assert_true(g_ascii_isxdigit(c[0]) && g_ascii_isxdigit(c[1]));
            guint8 byte = (guint8)(g_ascii_xdigit_value(c[0]) << 4 | g_ascii_xdigit_value(c[1]));
            g_byte_array_append(bytes, &byte, 1);
            c++;
        }
    }
    return bytes;
}

static void vector_is_as_it_was(gconstpointer data) {
    const TtVector *vector = data;
    g_autoptr(GByteArray) golden = read_golden(vector->name);
    size_t told = 0;

    g_assert_cmpmem(vector->bytes, vector->len, golden->data, golden->len);
    for (size_t i = 0; i < vector->part_count; i++)
        told += vector->parts[i].len;
    g_assert_cmpuint(told, ==, vector->len);
}

/* Messages and records, cut at each byte: refused, or the end between two records. */
static void vector_cut_anywhere(gconstpointer data) {
    const TtVector *vector = data;
    size_t start = vector->kind == TT_VECTOR_MESSAGE ? sizeof(TtMessageHead) : 0;

    for (size_t len = start; len <= vector->len; len++) {
        g_autofree uint8_t *copy = g_memdup2(vector->bytes + start, MAX(len - start, 1));
        TtCursor cursor = tt_cursor_new(copy, len - start);
        TtRawRecord raw;
        int r;

        while ((r = tt_decode_framed(&cursor, &raw)) == TT_ITEM_RECORD)
            g_assert_true(raw.fields.end == cursor.at);
        if (r == TT_ITEM_END)
            g_assert_true(tt_cursor_left(&cursor) == 0);
        else
            g_assert_cmpint(r, ==, -EBADMSG);
        if (vector->kind == TT_VECTOR_RECORD)
            g_assert_cmpint(r, ==, len == 0 || len == vector->len ? TT_ITEM_END : -EBADMSG);
    }
}

static void no_golden_is_left_over(void) {
    g_autofree char *path = g_build_filename(g_getenv("TT_GOLDEN"), "wire", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    size_t count, files = 0;

    g_assert_nonnull(dir);
    tt_vectors(&count);
    while (g_dir_read_name(dir) != NULL)
        files++;
    g_assert_cmpuint(files, ==, count);
}

int main(int argc, char **argv) {
    size_t count;
    const TtVector *vectors = tt_vectors(&count);

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < count; i++) {
        g_autofree char *same = g_strdup_printf("/protocol/golden/%s/as_it_was", vectors[i].name);
        g_autofree char *cut = g_strdup_printf("/protocol/golden/%s/cut", vectors[i].name);

        g_test_add_data_func(same, &vectors[i], vector_is_as_it_was);
        if (vectors[i].kind != TT_VECTOR_CHUNK)
            g_test_add_data_func(cut, &vectors[i], vector_cut_anywhere);
    }
    g_test_add_func("/protocol/golden/no_golden_is_left_over", no_golden_is_left_over);
    return g_test_run();
}
