/* SPDX-License-Identifier: Apache-2.0 */
/* Names of frames, the place that a site is called by, and the spellings that reports share. */
#include "report/frames.h"

#include <string.h>

#include "report/labels.h"
#include "report/text.h"
#include "synthetic.h"

static void assert_short(const char *function, const char *expected) {
    gsize len;
    const char *name = tt_label_short_function(function, &len);
    g_autofree char *text = g_strndup(name, len);

    g_assert_cmpstr(text, ==, expected);
}

static void function_names_are_shortened(void) {
    assert_short("parse", "parse");
    assert_short("ns::Parser::parse(char const*, int) const", "ns::Parser::parse");
    assert_short("void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&)",
                 "std::vector<int, std::allocator<int> >::_M_realloc_insert<int>");
    assert_short("(anonymous namespace)::load(int)", "(anonymous namespace)::load");
    assert_short("int a::(anonymous namespace)::load(int)", "a::(anonymous namespace)::load");
    assert_short("main::{lambda(int)#1}::operator()(int) const",
                 "main::{lambda(int)#1}::operator()");
    assert_short("operator new(unsigned long)", "operator new");
    assert_short("Text::operator std::string() const", "Text::operator std::string");
    assert_short("std::ostream& std::operator<< <char>(std::ostream&, char)",
                 "std::operator<< <char>");
    assert_short("List::operator->()", "List::operator->");
    assert_short("decltype (f()) call<F>(F)", "call<F>");
    assert_short("<app::Tree as core::clone::Clone>::clone",
                 "<app::Tree as core::clone::Clone>::clone");
    assert_short("app::run::{{closure}}", "app::run::{{closure}}");
    assert_short("parse(int) [clone .isra.0]", "parse");
    assert_short("parse [clone .cold]", "parse");
    assert_short("cooperator(int)", "cooperator");
    /* Hostile ones end. */
    assert_short("", "");
    assert_short("(((((", "(((((");
    assert_short("<", "<");
    assert_short("operator", "operator");
    assert_short(" ", " ");
}

static void plumbing_is_told_from_the_program(void) {
    g_assert_true(tt_label_is_plumbing("strdup", NULL, "/usr/lib/x86_64-linux-gnu/libc.so.6"));
    g_assert_true(tt_label_is_plumbing(NULL, NULL, "/lib64/ld-linux-x86-64.so.2"));
    g_assert_true(tt_label_is_plumbing("operator new(unsigned long)", NULL, "/opt/prog"));
    g_assert_true(tt_label_is_plumbing("g_malloc0", NULL, "/usr/lib/libglib-2.0.so.0"));
    g_assert_true(tt_label_is_plumbing("xmalloc", "util.c", "/opt/prog"));
    g_assert_true(tt_label_is_plumbing("void std::vector<A>::push_back(A const&)", NULL, NULL));
    g_assert_true(
        tt_label_is_plumbing("_M_allocate", "/usr/include/c++/12/bits/stl_vector.h", NULL));
    g_assert_true(tt_label_is_plumbing("alloc::raw_vec::RawVec<T>::grow", NULL, NULL));
    g_assert_true(
        tt_label_is_plumbing("grow", "/rustc/90b35a6/library/alloc/src/raw_vec.rs", NULL));
    g_assert_false(tt_label_is_plumbing("parse", "parse.c", "/opt/prog"));
    g_assert_false(tt_label_is_plumbing(NULL, NULL, "/opt/prog"));
    g_assert_false(tt_label_is_plumbing(NULL, NULL, NULL));
    g_assert_false(tt_label_is_plumbing("g_hash_table_new", NULL, "/usr/lib/libglib-2.0.so.0"));
    g_assert_false(tt_label_is_plumbing("core::Engine::run()", "engine.cpp", "/opt/prog"));
    g_assert_false(tt_label_is_plumbing("stdx::map()", NULL, NULL));
    g_assert_false(tt_label_is_plumbing("mallocate", NULL, "/opt/libc.sox/prog"));
    g_assert_false(tt_label_is_plumbing("void run<std::string>(std::string)", NULL, "/opt/prog"));
}

static void names_of_allocators_and_starts(void) {
    static const char *const allocators[] = {"sqlite3Malloc",
                                             "sqlite3DbMallocRawNN",
                                             "sqlite3_malloc64",
                                             "png_malloc_warn",
                                             "av_mallocz",
                                             "CRYPTO_zalloc",
                                             "xmlStrdup",
                                             "sqlite3DbStrNDup",
                                             "PyMem_RawCalloc",
                                             "Pool::realloc(int)",
                                             "malloc"};
    static const char *const others[] = {"preallocate", "node_alloc", "sqlite3_step", "main",
                                         "parse",       "",           "dup"};

    for (gsize i = 0; i < G_N_ELEMENTS(allocators); i++)
        g_assert_true(tt_label_is_allocator(allocators[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        g_assert_false(tt_label_is_allocator(others[i]));
        g_assert_false(tt_label_is_start(others[i]));
    }
    g_assert_true(tt_label_is_start("_start"));
    g_assert_true(tt_label_is_start("__libc_start_call_main"));
}

typedef struct Fixture {
    TtSnapshot *snapshot;
    TtSymbols *symbols;
} Fixture;

/* prog at 0x100000, libc at 0x7f0000000000; stack 3: strdup, an inlined helper in parse, main. */
static Fixture make(void) {
    Fixture fixture = {synthetic_new(), synthetic_symbols_new()};
    static const guint64 ips[] = {0x7f0000000100, 0x100200, 0x100300, 0x5000, 0};

    synthetic_add_module(fixture.snapshot, "/opt/prog", 0x100000);
    synthetic_add_module(fixture.snapshot, "/lib/libc.so.6", 0x7f0000000000);
    synthetic_add_stack(fixture.snapshot, 3, ips);
    synthetic_add_name(fixture.symbols, 0xff, "strdup", "/build/string/strdup.c", 42, FALSE);
    synthetic_add_name(fixture.symbols, 0x1ff, "copy_word", "/src/words.h", 9, TRUE);
    synthetic_add_name(fixture.symbols, 0x1ff, "parse(char const*)", "/src/parse.cpp", 120, FALSE);
    synthetic_add_name(fixture.symbols, 0x2ff, "main", "/src/main.cpp", 0, FALSE);
    return fixture;
}

static void clear(Fixture *fixture) {
    synthetic_symbols_free(fixture->symbols);
    tt_snapshot_free(fixture->snapshot);
}

static void inlined_functions_are_frames(void) {
    Fixture fixture = make();
    TtFrameNames *names = tt_frame_names_new(fixture.snapshot, fixture.symbols);
    const TtNamedFrame *frames;
    gsize count;
    gboolean is_truncated = TRUE;

    tt_frame_names_add_stack(names, 3);
    tt_frame_names_add_stack(names, 3);
    tt_frame_names_add_stack(names, 99);
    tt_frame_names_resolve(names);
    g_assert_cmpuint(fixture.symbols->question_count, ==, 2); /* one a module */
    g_assert_cmpuint(fixture.symbols->asked_count, ==, 3);
    tt_frame_names_resolve(names);
    g_assert_cmpuint(fixture.symbols->asked_count, ==, 3);

    frames = tt_frame_names_get(names, 3, &count, &is_truncated);
    g_assert_cmpuint(count, ==, 5);
    g_assert_false(is_truncated);
    g_assert_cmpstr(frames[0].function, ==, "strdup");
    g_assert_cmpuint(frames[0].offset, ==, 0x100);
    g_assert_cmpstr(frames[1].function, ==, "copy_word");
    g_assert_true(frames[1].is_inlined);
    g_assert_cmpuint(frames[1].ip, ==, 0x100200);
    g_assert_cmpuint(frames[2].ip, ==, 0x100200);
    g_assert_false(frames[2].is_inlined);
    g_assert_cmpuint(frames[2].line, ==, 120);
    g_assert_cmpuint(frames[4].module, ==, TT_NONE);
    g_assert_null(frames[4].function);
    g_assert_cmpuint(frames[4].ip, ==, 0x5000);

    tt_frame_names_get(names, 99, &count, &is_truncated);
    g_assert_cmpuint(count, ==, 0);
    g_assert_null(tt_frame_names_get_failure(names));
    tt_frame_names_free(names);
    clear(&fixture);
}

static char *label_of(Fixture *fixture, TtSymbols *symbols, guint32 stack) {
    g_autoptr(TtFrameNames) names = tt_frame_names_new(fixture->snapshot, symbols);

    tt_frame_names_add_stack(names, stack);
    tt_frame_names_resolve(names);
    return tt_frame_names_label(names, stack);
}

static void assert_label(Fixture *fixture, TtSymbols *symbols, guint32 stack, const char *label) {
    g_autofree char *text = label_of(fixture, symbols, stack);

    g_assert_cmpstr(text, ==, label);
}

static void labels_say_where_the_program_allocates(void) {
    static const guint64 in_libc[] = {0x7f0000000100, 0x7f0000000200, 0};
    static const guint64 nowhere[] = {0x1234, 0};
    Fixture fixture = make();

    assert_label(&fixture, fixture.symbols, 3, "copy_word (words.h:9)");
    assert_label(&fixture, NULL, 3, "prog+0x200");
    synthetic_add_stack(fixture.snapshot, 4, in_libc);
    assert_label(&fixture, fixture.symbols, 4, "strdup (strdup.c:42)");
    assert_label(&fixture, NULL, 4, "libc.so.6+0x100");
    synthetic_add_stack(fixture.snapshot, 5, nowhere);
    assert_label(&fixture, fixture.symbols, 5, "0x1234");
    assert_label(&fixture, fixture.symbols, TT_STACK_NONE, "(no stack)");
    clear(&fixture);
}

/* What is known of libdb, a library without debug information: two functions that others call, and
 * one that is its malloc. */
enum {
    DB = 0x600000000000,
    DB_WRAPPER = DB + 0x5001, /* has no name, and calls malloc for all */
    DB_MALLOC = DB + 0x5101,
    DB_NAMELESS = DB + 0x6001, /* and further on, every 16 bytes */
    DB_STEP = DB + 0x7001,
    DB_OPEN = DB + 0x8001,
    DB_START = DB + 0x9001,
    LIBC = 0x7f0000000100,
    PROG_MAIN = 0x100901,
    PROG_NAMELESS = 0x100a01
};

static Fixture make_stripped(void) {
    Fixture fixture = make();

    synthetic_add_module(fixture.snapshot, "/usr/lib/libdb.so.1", DB);
    synthetic_add_name(fixture.symbols, 0x5100, "dbMallocRaw", NULL, 0, FALSE);
    synthetic_add_name(fixture.symbols, 0x7000, "db_step", NULL, 0, FALSE);
    synthetic_add_name(fixture.symbols, 0x8000, "db_open", NULL, 0, FALSE);
    synthetic_add_name(fixture.symbols, 0x9000, "_start", NULL, 0, FALSE);
    synthetic_add_name(fixture.symbols, 0x900, "main", "main.c", 12, FALSE);
    return fixture;
}

static void add_site(Fixture *fixture, guint32 stack, const guint64 *ips) {
    TtSiteRow site = {.stack = stack, .live_blocks = 1, .live_bytes = 8};

    synthetic_add_stack(fixture->snapshot, stack, ips);
    g_array_append_val(fixture->snapshot->sites, site);
}

static void nameless_sites_are_called_by_the_first_name_outward(void) {
    static const struct {
        guint64 ips[7];
        const char *label;
    } sites[] = {
        {{DB_NAMELESS, DB_STEP, PROG_MAIN}, "db_step (libdb.so.1+0x6001)"},
        {{LIBC, DB_NAMELESS, DB_NAMELESS + 16, DB_OPEN}, "db_open (libdb.so.1+0x6001)"},
        /* its own malloc says nothing, and neither does what is below it */
        {{DB_WRAPPER, DB_MALLOC, DB_NAMELESS, DB_STEP}, "db_step (libdb.so.1+0x6001)"},
        {{DB_WRAPPER, DB_MALLOC, DB_STEP, PROG_MAIN}, "db_step (libdb.so.1+0x7001)"},
        {{DB_MALLOC, DB_STEP}, "db_step (libdb.so.1+0x7001)"},
        /* where lines are known they are the place */
        {{DB_NAMELESS, PROG_NAMELESS, PROG_MAIN}, "main (main.c:12)"},
        {{DB_NAMELESS, LIBC, PROG_MAIN}, "main (main.c:12)"},
        /* nothing has a name */
        {{DB_NAMELESS, PROG_NAMELESS}, "libdb.so.1+0x6001"},
        {{DB_NAMELESS, LIBC}, "libdb.so.1+0x6001"},
        {{DB_NAMELESS, DB_START}, "libdb.so.1+0x6001"},
        {{DB_WRAPPER, DB_MALLOC, DB_NAMELESS}, "libdb.so.1+0x6001"},
        {{DB_WRAPPER, DB_MALLOC, PROG_NAMELESS}, "prog+0xa01"},
        {{DB_WRAPPER, DB_MALLOC}, "libdb.so.1+0x5001"},
        {{DB_MALLOC}, "dbMallocRaw"},
        /* and what has one is called by it as ever */
        {{DB_STEP, PROG_MAIN}, "db_step"},
    };
    Fixture fixture = make_stripped();

    for (guint32 i = 0; i < G_N_ELEMENTS(sites); i++) {
        synthetic_add_stack(fixture.snapshot, 10 + i, sites[i].ips);
        assert_label(&fixture, fixture.symbols, 10 + i, sites[i].label);
    }
    clear(&fixture);
}

/* A wrapper that has no name is known by how many sites of its module pass through it. */
static void what_most_sites_share_is_not_their_place(void) {
    enum { COUNT = 7 };
    static const guint64 last[] = {DB_WRAPPER, DB_WRAPPER + 16, DB_NAMELESS, DB_STEP, 0};
    Fixture fixture = make_stripped();

    for (guint32 i = 0; i < COUNT; i++) {
        const guint64 ips[] = {DB_WRAPPER, DB_WRAPPER + 16, DB_NAMELESS + 16 * i,
                               DB_STEP,    PROG_MAIN,       0};

        add_site(&fixture, 10 + i, ips);
        assert_label(&fixture, fixture.symbols, 10 + i, "db_step (libdb.so.1+0x5001)");
    }
    add_site(&fixture, 10 + COUNT, last);
    for (guint32 i = 0; i < COUNT; i++) {
        g_autofree char *label =
            g_strdup_printf("db_step (libdb.so.1+0x%x)", 0x6001 + 16 * (guint)i);

        assert_label(&fixture, fixture.symbols, 10 + i, label);
        label[strlen(label) - 1] = '\0';
        assert_label(&fixture, NULL, 10 + i, strchr(label, '(') + 1);
    }
    clear(&fixture);
}

static void fault_J04_long_names_are_cut(void) {
    static const guint64 ips[] = {0x100801, 0};
    Fixture fixture = make();
    g_autoptr(GString) name = g_string_new(NULL);
    g_autofree char *label = NULL;

    while (name->len < 65536)
        g_string_append(name, "é");
    synthetic_add_name(fixture.symbols, 0x800, name->str, name->str, 1, FALSE);
    synthetic_add_stack(fixture.snapshot, 6, ips);
    label = label_of(&fixture, fixture.symbols, 6);
    g_assert_true(g_utf8_validate(label, -1, NULL));
    g_assert_cmpuint(strlen(label), <=, 160 + 64 + 8);
    g_assert_nonnull(strstr(label, "é… ("));
    clear(&fixture);
}

static void fault_I08_names_are_missing_where_the_symbolizer_fails(void) {
    Fixture fixture = make();
    g_autoptr(TtFrameNames) names = NULL;
    gsize count;

    fixture.symbols->is_broken = TRUE;
    names = tt_frame_names_new(fixture.snapshot, fixture.symbols);
    tt_frame_names_add_stack(names, 3);
    tt_frame_names_resolve(names);
    g_assert_cmpstr(tt_frame_names_get_failure(names), ==, "the symbolizer died");
    g_assert_null(tt_frame_names_get(names, 3, &count, NULL)[0].function);
    g_assert_cmpuint(count, ==, 4);
    g_clear_pointer(&names, tt_frame_names_free);
    clear(&fixture);
}

/* Each module may cost a time-out: a symbolizer that hangs is not asked for all of a hundred. */
static void a_failing_symbolizer_is_asked_for_few_modules(void) {
    TtSnapshot *snapshot = synthetic_new();
    TtSymbols *symbols = synthetic_symbols_new();
    TtFrameNames *names;

    symbols->is_broken = TRUE;
    for (guint i = 1; i <= 100; i++)
        synthetic_add_module(snapshot, "lib", (guint64)i << 32);
    for (guint i = 1; i <= 100; i++) {
        guint64 ips[] = {((guint64)i << 32) + 1, 0};

        synthetic_add_stack(snapshot, 2 + i, ips);
    }
    names = tt_frame_names_new(snapshot, symbols);
    for (guint i = 1; i <= 100; i++)
        tt_frame_names_add_stack(names, 2 + i);
    tt_frame_names_resolve(names);
    g_assert_cmpuint(symbols->question_count, ==, 3);
    tt_frame_names_free(names);
    synthetic_symbols_free(symbols);
    tt_snapshot_free(snapshot);
}

/* A million distinct addresses and more: bounded, and still quick. */
static void fault_E16_addresses_are_bounded(void) {
    TtSnapshot *snapshot = synthetic_new();
    TtSymbols *symbols = synthetic_symbols_new();
    TtFrameNames *names;
    guint stacks = TT_FRAME_NAMES_MAX / 255 + 100;
    gint64 begin;

    synthetic_add_module(snapshot, "/opt/prog", 0x100000);
    g_array_index(snapshot->modules, TtModuleRow, 0).end = G_MAXUINT64;
    for (guint i = 0; i < stacks; i++) {
        guint64 ips[256];

        for (guint j = 0; j < 255; j++)
            ips[j] = 0x100001 + (guint64)i * 255 + j;
        ips[255] = 0;
        synthetic_add_stack(snapshot, 3 + i, ips);
    }
    begin = g_get_monotonic_time();
    names = tt_frame_names_new(snapshot, symbols);
    for (guint i = 0; i < stacks; i++)
        tt_frame_names_add_stack(names, 3 + i);
    tt_frame_names_resolve(names);
    g_test_message("%u addresses in %.0f ms", TT_FRAME_NAMES_MAX,
                   (double)(g_get_monotonic_time() - begin) / 1000);
    g_assert_cmpuint(symbols->asked_count, ==, TT_FRAME_NAMES_MAX);
    tt_frame_names_free(names);
    synthetic_symbols_free(symbols);
    tt_snapshot_free(snapshot);
}

static void text_is_spelled(void) {
    char hex[9], date[TT_TEXT_RFC3339_BYTES];
    g_autofree char *clean = tt_text_clean("a\xff"
                                           "b\0c",
                                           5);

    g_assert_cmpstr(tt_text_hex((const guint8 *)"\x00\x01\xab\xff", 4, hex), ==, "0001abff");
    g_assert_cmpstr(tt_text_rfc3339(0, date), ==, "1970-01-01T00:00:00.000Z");
    g_assert_cmpstr(tt_text_rfc3339(1709210096789999999u, date), ==, "2024-02-29T12:34:56.789Z");
    g_assert_cmpstr(tt_text_rfc3339(G_MAXUINT64, date), ==, "2554-07-21T23:34:33.709Z");
    g_assert_cmpstr(clean, ==, "a�b");
    g_assert_cmpstr(tt_text_basename("/a/b"), ==, "b");
    g_assert_cmpstr(tt_text_basename("b"), ==, "b");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/frames/function_names_are_shortened", function_names_are_shortened);
    g_test_add_func("/frames/plumbing_is_told_from_the_program", plumbing_is_told_from_the_program);
    g_test_add_func("/frames/inlined_functions_are_frames", inlined_functions_are_frames);
    g_test_add_func("/frames/labels_say_where_the_program_allocates",
                    labels_say_where_the_program_allocates);
    g_test_add_func("/frames/names_of_allocators_and_starts", names_of_allocators_and_starts);
    g_test_add_func("/frames/nameless_sites_are_called_by_the_first_name_outward",
                    nameless_sites_are_called_by_the_first_name_outward);
    g_test_add_func("/frames/what_most_sites_share_is_not_their_place",
                    what_most_sites_share_is_not_their_place);
    g_test_add_func("/frames/fault_J04_long_names_are_cut", fault_J04_long_names_are_cut);
    g_test_add_func("/frames/fault_I08_names_are_missing_where_the_symbolizer_fails",
                    fault_I08_names_are_missing_where_the_symbolizer_fails);
    g_test_add_func("/frames/a_failing_symbolizer_is_asked_for_few_modules",
                    a_failing_symbolizer_is_asked_for_few_modules);
    g_test_add_func("/frames/fault_E16_addresses_are_bounded", fault_E16_addresses_are_bounded);
    g_test_add_func("/frames/text_is_spelled", text_is_spelled);
    return g_test_run();
}
