/* SPDX-License-Identifier: Apache-2.0 */
/* The writer alone: shape, numbers, escapes, failing sinks. json-glib is the second opinion. */
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "report/json-writer.h"

typedef struct Fixture {
    int fd;
    TtSink *sink;
    TtJsonWriter *writer;
} Fixture;

static Fixture begin(void) {
    Fixture fixture = {.fd = memfd_create("writer", MFD_CLOEXEC)};

    fixture.sink = tt_sink_new(fixture.fd);
    fixture.writer = tt_json_writer_new(fixture.sink);
    return fixture;
}

/* Ends the document and returns it. */
static char *end(Fixture *fixture) {
    g_autoptr(GError) error = NULL;
    gsize len;
    char *text;

    g_assert_true(tt_json_finish(fixture->writer, &error));
    g_assert_true(tt_sink_flush(fixture->sink, &error));
    len = tt_sink_get_bytes(fixture->sink);
    text = g_malloc0(len + 1);
    g_assert_cmpint(pread(fixture->fd, text, len, 0), ==, (gssize)len);
    tt_json_writer_free(fixture->writer);
    tt_sink_free(fixture->sink);
    close(fixture->fd);
    return text;
}

static void members_and_elements_have_lines(void) {
    Fixture fixture = begin();
    TtJsonWriter *writer = fixture.writer;
    g_autofree char *text = NULL;

    tt_json_begin_object(writer);
    tt_json_put_uint(writer, "a", 1);
    tt_json_key(writer, "none");
    tt_json_begin_array(writer);
    tt_json_end_array(writer);
    tt_json_key(writer, "two");
    tt_json_begin_array(writer);
    for (guint i = 0; i < 2; i++) {
        tt_json_begin_object(writer);
        tt_json_put_uint(writer, "x", i);
        tt_json_key(writer, "y");
        tt_json_begin_array(writer);
        tt_json_null(writer);
        tt_json_bool(writer, TRUE);
        tt_json_end_array(writer);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
    tt_json_key(writer, "o");
    tt_json_begin_object(writer);
    tt_json_put_bool(writer, "p", FALSE);
    tt_json_put_null(writer, "q");
    tt_json_end_object(writer);
    tt_json_end_object(writer);
    text = end(&fixture);
    g_assert_cmpstr(text, ==,
                    "{\n"
                    "  \"a\": 1,\n"
                    "  \"none\": [],\n"
                    "  \"two\": [\n"
                    "    {\"x\":0,\"y\":[null,true]},\n"
                    "    {\"x\":1,\"y\":[null,true]}\n"
                    "  ],\n"
                    "  \"o\": {\"p\":false,\"q\":null}\n"
                    "}\n");
}

static void integers_are_exact(void) {
    static const guint64 values[] = {0,
                                     1,
                                     9,
                                     10,
                                     99,
                                     100,
                                     101,
                                     999,
                                     1000,
                                     65535,
                                     4294967295u,
                                     4294967296u,
                                     9007199254740993u,
                                     (guint64)1 << 63,
                                     G_MAXUINT64 - 1,
                                     G_MAXUINT64};
    Fixture fixture = begin();
    g_autoptr(GString) expected = g_string_new("[");
    g_autofree char *text = NULL;

    tt_json_begin_array(fixture.writer);
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        tt_json_uint(fixture.writer, values[i]);
        tt_json_int(fixture.writer, (gint64)values[i]);
        tt_json_addr(fixture.writer, values[i]);
        g_string_append_printf(expected,
                               "%s\n  %" G_GUINT64_FORMAT ",\n  %" G_GINT64_FORMAT
                               ",\n  \"0x%" G_GINT64_MODIFIER "x\"",
                               i > 0 ? "," : "", values[i], (gint64)values[i], values[i]);
    }
    tt_json_end_array(fixture.writer);
    g_string_append(expected, "\n]\n");
    text = end(&fixture);
    g_assert_cmpstr(text, ==, expected->str);
}

static void assert_string(const char *bytes, gsize len, const char *expected) {
    Fixture fixture = begin();
    g_autofree char *text = NULL, *line = g_strconcat("\"", expected, "\"\n", NULL);

    tt_json_begin_string(fixture.writer);
    tt_json_add_text(fixture.writer, bytes, len);
    tt_json_end_string(fixture.writer);
    text = end(&fixture);
    g_assert_cmpstr(text, ==, line);
}

#define ASSERT_STRING(bytes, expected) assert_string(bytes, sizeof bytes - 1, expected)

static void fault_J03_strings_are_escaped(void) {
    ASSERT_STRING("", "");
    ASSERT_STRING("a\"b\\c/d", "a\\\"b\\\\c/d");
    ASSERT_STRING("\0\1\n\t\x1f\x7f", "\\u0000\\u0001\\u000a\\u0009\\u001f\\u007f");
    ASSERT_STRING("</script><!--a<b", "\\u003c/script>\\u003c!--a<b");
    ASSERT_STRING("]]>&--", "]]>&--");
    ASSERT_STRING("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", "é中😀");
    ASSERT_STRING("\xc2\x85\xe2\x80\xa8\xe2\x80\xa9", "\\u0085\\u2028\\u2029");
    ASSERT_STRING("\xef\xbf\xbe\xef\xbf\xbf\xef\xbb\xbf", "\\ufffe\\uffff\\ufeff");
    /* Trojan source: an override, an isolate. */
    ASSERT_STRING("\xe2\x80\xae\xe2\x81\xa6", "\\u202e\\u2066");
}

static void fault_J03_what_is_not_utf8_is_replaced(void) {
    ASSERT_STRING("\x80", "�");
    ASSERT_STRING("a\xff\xfe"
                  "b",
                  "a��b");
    ASSERT_STRING("\xc0\xaf", "��");                     /* overlong */
    ASSERT_STRING("\xe0\x80\xaf", "���");                /* overlong */
    ASSERT_STRING("\xed\xa0\x80\xed\xbf\xbf", "������"); /* surrogates */
    ASSERT_STRING("\xf4\x90\x80\x80", "����");           /* past U+10FFFF */
    ASSERT_STRING("\xe4\xb8", "�");                      /* cut: one for the beginning of one */
    ASSERT_STRING("\xf0\x9f\x98"
                  "x",
                  "�x");
    ASSERT_STRING("\xe4\xb8\"", "�\\\"");
}

/* Longer than the buffer, in pieces, with an escape on every boundary that there may be. */
static void strings_longer_than_the_buffer(void) {
    for (gsize shift = 0; shift < 8; shift++) {
        Fixture fixture = begin();
        g_autoptr(GString) raw = g_string_new(NULL);
        g_autoptr(JsonParser) parser = json_parser_new();
        g_autoptr(GError) error = NULL;
        g_autofree char *text = NULL;

        for (gsize i = 0; i < shift; i++)
            g_string_append_c(raw, 'x');
        while (raw->len < 200000)
            g_string_append(raw, "\x01😀\"");
        tt_json_begin_array(fixture.writer);
        tt_json_string(fixture.writer, raw->str);
        tt_json_end_array(fixture.writer);
        text = end(&fixture);
        g_assert_true(json_parser_load_from_data(parser, text, -1, &error));
        g_assert_cmpstr(
            json_array_get_string_element(json_node_get_array(json_parser_get_root(parser)), 0), ==,
            raw->str);
    }
}

static void a_full_disk_is_reported_once_and_at_the_end(void) {
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    g_autoptr(TtJsonWriter) writer = tt_json_writer_new(sink);
    g_autoptr(GError) error = NULL;

    tt_json_begin_array(writer);
    for (guint i = 0; i < 1000000 && !tt_json_has_failed(writer); i++)
        tt_json_uint(writer, i);
    g_assert_true(tt_json_has_failed(writer));
    tt_json_end_array(writer);
    g_assert_false(tt_json_finish(writer, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    close(fd);
}

static void misuse(void) {
    Fixture fixture = begin();

    tt_json_begin_object(fixture.writer);
    tt_json_uint(fixture.writer, 1); /* without a key */
}

static void unclosed(void) {
    Fixture fixture = begin();

    tt_json_begin_object(fixture.writer);
    tt_json_finish(fixture.writer, NULL);
}

static void misuse_is_asserted(void) {
    g_test_trap_subprocess("/json-writer/subprocess/misuse", 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_subprocess("/json-writer/subprocess/unclosed", 0, 0);
    g_test_trap_assert_failed();
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-writer/members_and_elements_have_lines",
                    members_and_elements_have_lines);
    g_test_add_func("/json-writer/integers_are_exact", integers_are_exact);
    g_test_add_func("/json-writer/fault_J03_strings_are_escaped", fault_J03_strings_are_escaped);
    g_test_add_func("/json-writer/fault_J03_what_is_not_utf8_is_replaced",
                    fault_J03_what_is_not_utf8_is_replaced);
    g_test_add_func("/json-writer/strings_longer_than_the_buffer", strings_longer_than_the_buffer);
    g_test_add_func("/json-writer/a_full_disk_is_reported_once_and_at_the_end",
                    a_full_disk_is_reported_once_and_at_the_end);
    g_test_add_func("/json-writer/misuse_is_asserted", misuse_is_asserted);
    g_test_add_func("/json-writer/subprocess/misuse", misuse);
    g_test_add_func("/json-writer/subprocess/unclosed", unclosed);
    return g_test_run();
}
