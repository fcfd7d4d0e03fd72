/* SPDX-License-Identifier: Apache-2.0 */
/* What comes in as words and goes out as words: options, tables, file names. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "tools/args.h"
#include "tools/command.h"
#include "tools/list.h"
#include "tools/say.h"
#include "tools/summary.h"
#include "tools/tree.h"

typedef struct Parsed {
    const char *words; /* separated by spaces; NULL: refused */
    const char *json, *view, *full;
} Parsed;

static void test_args(void) {
    static const struct {
        const char *line;
        gboolean ends_at_word;
        Parsed parsed;
    } cases[] = {
        {"", FALSE, {"", NULL, NULL, NULL}},
        {"--json", FALSE, {"", "", NULL, NULL}},
        {"--json 123", FALSE, {"123", "", NULL, NULL}}, /* a target, not a file */
        {"--json=f 123", FALSE, {"123", "f", NULL, NULL}},
        {"--json=", FALSE, {"", "", NULL, NULL}},
        {"--json=a=b", FALSE, {"", "a=b", NULL, NULL}},
        {"123 --view=top --full", FALSE, {"123", NULL, "top", ""}},
        {"--view top x", FALSE, {"x", NULL, "top", NULL}},
        {"--view", FALSE, {NULL, NULL, NULL, NULL}},
        {"--full=yes", FALSE, {NULL, NULL, NULL, NULL}},
        {"--ful", FALSE, {NULL, NULL, NULL, NULL}},
        {"--jsonx", FALSE, {NULL, NULL, NULL, NULL}},
        {"-x", FALSE, {NULL, NULL, NULL, NULL}},
        {"- --full", FALSE, {"-", NULL, NULL, ""}},
        {"-- --json", FALSE, {"--json", NULL, NULL, NULL}},
        {"--full -- ls --json -- x", TRUE, {"ls --json -- x", NULL, NULL, ""}},
        {"ls --json", TRUE, {"ls --json", NULL, NULL, NULL}},
        {"ls --json", FALSE, {"ls", "", NULL, NULL}},
        {"--json=a --json=b", FALSE, {"", "b", NULL, NULL}},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *json = NULL, *view = NULL, *full = NULL;
        const TtOption options[] = {{"json", TT_OPTION_OPTIONAL, &json},
                                    {"view", TT_OPTION_REQUIRED, &view},
                                    {"full", TT_OPTION_FLAG, &full},
                                    {0}};
        g_auto(GStrv) argv = g_strsplit(cases[i].line, " ", -1);
        const char *words[16];
        g_autoptr(GError) error = NULL;

        g_test_message("'%s'", cases[i].line);
        if (!tt_args_parse(argv, options, cases[i].ends_at_word, words, &error)) {
            g_assert_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE);
            g_assert_null(cases[i].parsed.words);
            continue;
        }
        g_autofree char *joined = g_strjoinv(" ", (char **)words);
        g_assert_cmpstr(joined, ==, cases[i].parsed.words);
        g_assert_cmpstr(json, ==, cases[i].parsed.json);
        g_assert_cmpstr(view, ==, cases[i].parsed.view);
        g_assert_cmpstr(full, ==, cases[i].parsed.full);
    }
}

static void test_picture(void) {
    static const struct {
        const char *top, *at;
        gboolean is_good;
        guint count;
    } cases[] = {
        {NULL, NULL, TRUE, 0},   {"1", NULL, TRUE, 1},   {"100000", "now", TRUE, 100000},
        {"0", NULL, FALSE, 0},   {"-1", NULL, FALSE, 0}, {"1e3", NULL, FALSE, 0},
        {"", NULL, FALSE, 0},    {" 1", NULL, FALSE, 0}, {"99999999999999999999", NULL, FALSE, 0},
        {NULL, "peak", TRUE, 0}, {NULL, "", FALSE, 0},   {NULL, "5s", TRUE, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        TtPicture picture = {0};

        g_assert_cmpint(tt_command_read_picture(NULL, cases[i].top, cases[i].at, &picture, &error),
                        ==, cases[i].is_good);
        if (!cases[i].is_good)
            g_assert_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE);
        g_assert_cmpuint(picture.top, ==, cases[i].count);
    }
}

static void test_text(void) {
    g_autofree char *valid = tt_args_to_text("a\xff"
                                             "b\xc3\xa4");
    g_autofree char *escaped = tt_say_escape("a\x1b[2Jb\nc\xe2\x80\xae"
                                             "d\x7f");

    g_assert_cmpstr(valid, ==, "a\\xffb\xc3\xa4");
    g_assert_cmpstr(escaped, ==, "a\\x1b[2Jb\nc\\u202ed\\x7f");
}

static void test_sizes(void) {
    static const struct {
        guint64 bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1048524, "1023.9 KiB"},
        {1048575, "1.0 MiB"},
        {1048576, "1.0 MiB"},
        {G_MAXUINT64, "16.0 EiB"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        char text[16];

        g_assert_cmpstr(tt_list_write_size(cases[i].bytes, text), ==, cases[i].text);
    }
}

/* Two sessions; the second's name is to be cut, and could do things to a terminal. */
static GVariant *sessions_new(void) {
    return g_variant_ref_sink(g_variant_new_parsed(
        "[{'id': <'aaaaaaaaaa0000000000000000000000'>, 'pid': <7>, 'name': <'one'>,"
        "  'exe': <'/bin/one'>, 'state': <'running'>, 'live_bytes': <uint64 2048>,"
        "  'live_blocks': <uint64 3>, 'peak_bytes': <uint64 9007199254740993>,"
        "  'events': <uint64 9>, 'dropped_events': <uint64 0>, 'order': <uint64 1>},"
        " {'id': <'aaaaaaaaab0000000000000000000000'>, 'pid': <123456>,"
        "  'name': <'a\\u001b[2Jvery long name of a program 漢字'>, 'exe': <'/bin/\"two\\n'>,"
        "  'state': <'exited'>, 'order': <uint64 2>,"
        "  'parent': <'aaaaaaaaaa0000000000000000000000'>}]"));
}

static void test_table(void) {
    g_autoptr(GVariant) sessions = sessions_new();
    g_autofree char *table = tt_list_to_table(sessions);
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);

    g_assert_cmpuint(g_strv_length(lines), ==, 4);
    g_assert_nonnull(strstr(lines[1], "2.0 KiB"));
    g_assert_nonnull(strstr(lines[2], "a\\x1b[2Jvery"));
    g_assert_null(strchr(table, 0x1b));
    /* The columns stand below each other, and the ids shown tell the two apart. */
    g_assert_cmpint(g_utf8_strlen(lines[0], -1), ==, g_utf8_strlen(lines[1], -1));
    g_assert_cmpint(g_utf8_strlen(lines[0], -1), ==, g_utf8_strlen(lines[2], -1));
    g_assert_true(g_str_has_prefix(lines[1], "aaaaaaaaaa "));
    g_assert_true(g_str_has_prefix(lines[2], "aaaaaaaaab "));
}

/* What is estimated says so; what is not does not. */
static void test_table_of_estimates(void) {
    g_autoptr(GVariant) sessions = g_variant_ref_sink(g_variant_new_parsed(
        "[{'id': <'aaaaaaaaaa'>, 'pid': <7>, 'name': <'one'>, 'state': <'exited'>,"
        "  'live_bytes': <uint64 1048524>, 'live_blocks': <uint64 300>, 'events': <uint64 9>,"
        "  'peak_bytes': <uint64 1048524>, 'sample_bytes': <uint64 4096>},"
        " {'id': <'bbbbbbbbbb'>, 'pid': <8>, 'name': <'two'>, 'state': <'exited'>,"
        "  'live_bytes': <uint64 1048524>, 'sample_bytes': <uint64 0>}]"));
    g_autofree char *table = tt_list_to_table(sessions);
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);

    g_assert_cmpuint(g_strv_length(lines), ==, 5);
    g_assert_nonnull(strstr(lines[1], "  ~1023.9 KiB    ~300  ~1023.9 KiB       9 "));
    g_assert_nonnull(strstr(lines[2], "   1023.9 KiB       0 "));
    g_assert_cmpuint(strlen(lines[0]), <=, 80);
    g_assert_cmpuint(strlen(lines[0]), ==, strlen(lines[1]));
    g_assert_cmpuint(strlen(lines[0]), ==, strlen(lines[2]));
    g_assert_cmpstr(lines[3], ==, "~ is an estimate from a sample");
}

static void test_json(void) {
    static const char *const keys[] = {
        "id",          "pid",         "name",       "exe",    "state",
        "live_bytes",  "live_blocks", "peak_bytes", "events", "dropped_events",
        "sample_bytes"};
    g_autoptr(GVariant) sessions = sessions_new();
    g_autofree char *text = tt_list_to_json(sessions);
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonObject *session;

    g_assert_true(json_parser_load_from_data(parser, text, -1, NULL));
    session = json_array_get_object_element(json_node_get_array(json_parser_get_root(parser)), 0);
    g_assert_cmpuint(json_object_get_size(session), ==, G_N_ELEMENTS(keys));
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        g_assert_true(json_object_has_member(session, keys[i]));
    g_assert_nonnull(strstr(text, "9007199254740993"));
    session = json_array_get_object_element(json_node_get_array(json_parser_get_root(parser)), 1);
    g_assert_cmpstr(json_object_get_string_member(session, "exe"), ==, "/bin/\"two\n");

    g_autoptr(GVariant) none =
        g_variant_ref_sink(g_variant_new_array(G_VARIANT_TYPE_VARDICT, NULL, 0));
    g_autofree char *empty = tt_list_to_json(none);
    g_assert_cmpstr(empty, ==, "[]\n");
}

/* Process 7 forked 8 and became another image; 9 is 8's; 10 is a stranger; an older 7 was before.
 */
static void test_tree(void) {
    g_autoptr(GVariant) sessions = g_variant_ref_sink(g_variant_new_parsed(
        "[{'id': <'grandchild'>, 'pid': <9>, 'order': <uint64 6>, 'parent': <'child'>},"
        " {'id': <'old'>, 'pid': <7>, 'order': <uint64 1>, 'parent': <''>},"
        " {'id': <'old-child'>, 'pid': <11>, 'order': <uint64 2>, 'parent': <'old'>},"
        " {'id': <'first'>, 'pid': <7>, 'order': <uint64 3>, 'parent': <'shell'>},"
        " {'id': <'child'>, 'pid': <8>, 'order': <uint64 4>, 'parent': <'first'>},"
        " {'id': <'second'>, 'pid': <7>, 'order': <uint64 5>, 'parent': <'first'>},"
        " {'id': <'stranger'>, 'pid': <10>, 'order': <uint64 7>, 'parent': <''>}]"));
    g_autoptr(GVariant) earlier =
        g_variant_ref_sink(g_variant_new_parsed("[{'id': <'old'>}, {'id': <'old-child'>}]"));
    g_autoptr(GHashTable) before = tt_tree_get_ids(earlier);
    g_autoptr(GPtrArray) family = tt_tree_find(sessions, before, 7);
    g_autoptr(GString) ids = g_string_new(NULL);

    for (guint i = 0; i < family->len; i++)
        g_string_append_printf(ids, "%s ", tt_list_get_text(g_ptr_array_index(family, i), "id"));
    g_assert_cmpstr(ids->str, ==, "first child second grandchild ");
    g_assert_cmpstr(tt_list_get_text(tt_tree_find_last(family, 7), "id"), ==, "second");
    g_assert_null(tt_tree_find_last(family, 10));
}

static void test_patterns(void) {
    static const struct {
        const char *pattern, *path;
        gboolean is_pattern;
    } cases[] = {
        {"f", "f", FALSE},           {"f-%p", "f-7", TRUE},   {"%s.json", "abc.json", TRUE},
        {"%p%s%%p", "7abc%p", TRUE}, {"100%", "100%", FALSE}, {"%%p", "%p", FALSE},
        {"%d", "%d", FALSE},         {"%%%p", "%7", TRUE},    {"a%", "a%", FALSE},
    };
    g_autoptr(GVariant) session =
        g_variant_ref_sink(g_variant_new_parsed("{'id': <'abc'>, 'pid': <7>}"));

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = tt_tree_expand(cases[i].pattern, session);

        g_assert_cmpstr(path, ==, cases[i].path);
        g_assert_cmpint(tt_tree_is_pattern(cases[i].pattern), ==, cases[i].is_pattern);
    }
    g_assert_false(tt_tree_is_pattern(NULL));
}

static void test_summary(void) {
    g_autoptr(GVariant) good = g_variant_ref_sink(g_variant_new_parsed(
        "{'name': <'x'>, 'pid': <7>, 'exact': <true>, 'cumulative_allocations': <uint64 12>}"));
    g_autoptr(GVariant) bad = g_variant_ref_sink(g_variant_new_parsed(
        "{'name': <'x'>, 'pid': <7>, 'exact': <false>, 'dropped_events': <uint64 5>,"
        " 'doubts': <['Something happened']>}"));
    g_autofree char *text = tt_summary_write(good, 4 << 8, 0);
    g_autofree char *worse = tt_summary_write(bad, 9, 2);

    g_assert_nonnull(strstr(text, "x (pid 7) exited with status 4\n"));
    g_assert_nonnull(strstr(text, "12 blocks"));
    g_assert_nonnull(strstr(text, "exact: no event was lost"));
    g_assert_nonnull(strstr(worse, "was killed by signal 9"));
    g_assert_nonnull(strstr(worse, "not exact"));
    g_assert_nonnull(strstr(worse, "5 events were dropped"));
    g_assert_nonnull(strstr(worse, "Something happened"));
    g_assert_nonnull(strstr(worse, "2 more sessions"));

    g_autoptr(GVariant) sampled = g_variant_ref_sink(g_variant_new_parsed(
        "{'name': <'x'>, 'pid': <7>, 'exact': <false>, 'cumulative_allocations': <uint64 120>,"
        " 'cumulative_allocated': <uint64 20480>, 'cumulative_allocated_error': <uint64 1536>,"
        " 'peak_bytes': <uint64 2048>, 'peak_bytes_error': <uint64 100>,"
        " 'sample_bytes': <uint64 524288>, 'dropped_events': <uint64 5>}"));
    g_autofree char *estimates = tt_summary_write(sampled, 0, 0);
    g_assert_nonnull(strstr(estimates, "120 blocks     20.0 KiB ±1.5 KiB\n"));
    g_assert_nonnull(strstr(estimates, "2.0 KiB ±100 B\n"));
    g_assert_nonnull(strstr(estimates, "estimates from a sample of one in 512.0 KiB"));
    g_assert_nonnull(strstr(estimates, "5 events were dropped"));
    g_assert_null(strstr(estimates, "not exact"));
    g_assert_null(strchr(text, 0xc2)); /* no "±" */
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tools/args/parse", test_args);
    g_test_add_func("/tools/args/picture", test_picture);
    g_test_add_func("/tools/args/text", test_text);
    g_test_add_func("/tools/list/sizes", test_sizes);
    g_test_add_func("/tools/list/table", test_table);
    g_test_add_func("/tools/list/table_of_estimates", test_table_of_estimates);
    g_test_add_func("/tools/list/json", test_json);
    g_test_add_func("/tools/tree/family", test_tree);
    g_test_add_func("/tools/tree/patterns", test_patterns);
    g_test_add_func("/tools/summary/text", test_summary);
    return g_test_run();
}
