/* SPDX-License-Identifier: Apache-2.0 */
/* Which file is read: the right one, found wherever it lies, or none. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "truth.h"

static const guint8 other_build[20] = {1, 2, 3};

/* One small program with debug information, what it is, and an address in it. */
typedef struct Fixture {
    TtSymbols *symbols;
    char *program;
    GBytes *build_id;
    guint64 plain; /* address of plain() */
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->symbols = tt_symbols_new();
    fixture->program = truth_compile_small("gcc", "-O2 -g -Wl,--build-id=sha1", "program");
    fixture->build_id = truth_build_id(fixture->program);
    fixture->plain = truth_find_symbol(fixture->program, "plain");
    g_assert_nonnull(fixture->build_id);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    tt_symbols_free(fixture->symbols);
    g_free(fixture->program);
    g_bytes_unref(fixture->build_id);
}

static TtSymbolModule module_of(const Fixture *fixture, const char *path) {
    TtSymbolModule module = {.path = path};

    module.build_id = g_bytes_get_data(fixture->build_id, &module.build_id_len);
    return module;
}

static void assert_unknown(Fixture *fixture, const TtSymbolModule *module, TtSymbolsLack lack) {
    const TtSymbolAnswer *answer = truth_resolve(fixture->symbols, module, fixture->plain);

    g_assert_cmpuint(answer->frame_count, ==, 0);
    g_assert_cmpint(tt_symbols_get_lack(fixture->symbols, module), ==, lack);
}

static void assert_function(Fixture *fixture, const TtSymbolModule *module, TtSymbolsLack lack) {
    const TtSymbolAnswer *answer = truth_resolve(fixture->symbols, module, fixture->plain);

    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "plain");
    g_assert_cmpint(answer->frames[0].file != NULL, ==, lack == TT_SYMBOLS_LACK_NONE);
    g_assert_cmpint(tt_symbols_get_lack(fixture->symbols, module), ==, lack);
}

static void build_id_decides(Fixture *fixture, gconstpointer data) {
    TtSymbolModule right = module_of(fixture, fixture->program);
    TtSymbolModule wrong = {fixture->program, other_build, sizeof other_build};
    TtSymbolModule shorter = {fixture->program, right.build_id, right.build_id_len - 1};
    TtSymbolModule none = {.path = fixture->program};

    (void)data;
    assert_unknown(fixture, &wrong, TT_SYMBOLS_LACK_BUILD);
    assert_unknown(fixture, &shorter, TT_SYMBOLS_LACK_BUILD);
    assert_function(fixture, &right, TT_SYMBOLS_LACK_NONE);
    assert_function(fixture, &none, TT_SYMBOLS_LACK_NONE);
}

/* A file that was replaced is another build; one that appears later is found then. */
static void replaced_and_missing_files(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("comes-and-goes");
    TtSymbolModule module = module_of(fixture, path);

    (void)data;
    g_unlink(path);
    assert_unknown(fixture, &module, TT_SYMBOLS_LACK_FILE);
    truth_do("cp /bin/true comes-and-goes");
    assert_unknown(fixture, &module, TT_SYMBOLS_LACK_BUILD);
    truth_do("cp program comes-and-goes");
    assert_function(fixture, &module, TT_SYMBOLS_LACK_NONE);
}

/* Without a build-id the file that is there now is read, not the one that was. */
static void replaced_without_build_id(Fixture *fixture, gconstpointer data) {
    static const char source[] = "int a(void) { return 1; }\nint main(void) { return 0; }\n";
    static const char shifted[] = "int main(void) { return 0; }\nint b(void) { return 1; }\n";
    g_autofree char *path = truth_compile("gcc", "-O1 -Wl,--build-id=none", "a.c", source, "now");
    TtSymbolModule module = {.path = path};
    guint64 addr = truth_find_symbol(path, "a");
    const TtSymbolAnswer *answer = truth_resolve(fixture->symbols, &module, addr);

    (void)data;
    g_assert_cmpstr(answer->frames[0].function, ==, "a");
    g_unlink(path);
    g_free(truth_compile("gcc", "-O1 -Wl,--build-id=none", "a.c", shifted, "now"));
    addr = truth_find_symbol(path, "b");
    answer = truth_resolve(fixture->symbols, &module, addr);
    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "b");
}

static void paths_that_are_no_regular_files(Fixture *fixture, gconstpointer data) {
    static const char *const made[] = {"fifo", "directory", "loop", "to-fifo", "program/inside"};
    static const char *const paths[] = {
        "",           "/",       "/dev/zero",       "/dev/null",          "/dev/tty",
        "/proc/kmsg", "[vdso]",  "linux-vdso.so.1", "/memfd:x (deleted)", "/proc/self/mem",
        "program",    "./small", "/proc/self/fd/3",
    };

    (void)data;
    truth_do("rm -rf fifo loop directory to-fifo; mkfifo fifo; mkdir directory; "
             "ln -s loop loop; ln -s fifo to-fifo");
    for (gsize i = 0; i < G_N_ELEMENTS(made); i++) {
        g_autofree char *path = truth_path(made[i]);
        TtSymbolModule module = module_of(fixture, path);

        assert_unknown(fixture, &module, TT_SYMBOLS_LACK_FILE);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        TtSymbolModule module = module_of(fixture, paths[i]);

        assert_unknown(fixture, &module, TT_SYMBOLS_LACK_FILE);
    }
}

static void files_that_are_no_elf(Fixture *fixture, gconstpointer data) {
    static const char *const commands[] = {
        "head -c 100000 /dev/urandom > odd",
        "head -c 63 program > odd",
        "head -c 64 program > odd",
        "gcc -O2 -g -c small.c -o odd",
        "printf '#!/bin/sh\\n%080d\\n' 0 > odd",
        "gzip -c program > odd",
    };
    g_autofree char *path = truth_path("odd");
    TtSymbolModule module = {.path = path};

    (void)data;
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        const TtSymbolAnswer *answer;

        truth_do("rm -f odd; %s", commands[i]);
        answer = truth_resolve(fixture->symbols, &module, fixture->plain);
        g_assert_cmpuint(answer->frame_count, ==, 0);
        g_assert_cmpint(tt_symbols_get_lack(fixture->symbols, &module), >=, TT_SYMBOLS_LACK_NAMES);
    }
}

static void strange_paths(Fixture *fixture, gconstpointer data) {
    static const char *const names[] = {"with space", "with\nnewline", "with %s%n",
                                        "in\xff\xfevalid", "quo\"te'"};

    (void)data;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = truth_path(names[i]);
        TtSymbolModule module = {.path = path};

        g_assert_cmpint(link(fixture->program, path), ==, 0);
        assert_function(fixture, &module, TT_SYMBOLS_LACK_NONE);
        g_unlink(path);
    }
}

static void path_too_long(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = g_strnfill(5000, '/');
    TtSymbolModule module = module_of(fixture, path);

    (void)data;
    assert_unknown(fixture, &module, TT_SYMBOLS_LACK_FILE);
    g_assert_cmpint(tt_symbols_get_pid(fixture->symbols), ==, 0); /* not even asked */
}

static void stripped(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("stripped");
    TtSymbolModule module = module_of(fixture, path);

    (void)data;
    truth_do("strip -o stripped program");
    assert_unknown(fixture, &module, TT_SYMBOLS_LACK_NAMES);
}

static void dynamic_symbols_only(Fixture *fixture, gconstpointer data) {
    static const char source[] = "int shown(void) { return 1; }\n";
    g_autofree char *path =
        truth_compile("gcc", "-O1 -g -shared -fPIC -s", "shown.c", source, "shown.so");
    g_autofree char *table = truth_run("nm -D shown.so | grep ' shown$'");
    TtSymbolModule module = {.path = path};

    (void)data;
    g_assert_nonnull(table);
    g_assert_cmpstr(truth_resolve(fixture->symbols, &module, g_ascii_strtoull(table, NULL, 16))
                        ->frames[0]
                        .function,
                    ==, "shown");
    g_assert_cmpint(tt_symbols_get_lack(fixture->symbols, &module), ==, TT_SYMBOLS_LACK_LINES);
}

/* Makes "apart", stripped, and "apart.debug"; no link between them. */
static void split_apart(void) {
    truth_do("rm -rf apart apart.debug debugs; "
             "objcopy --only-keep-debug program apart.debug && "
             "strip -o apart program");
}

/* Puts @file where debug files of the fixture's build are looked for, under "debugs". */
static char *put_by_build_id(const Fixture *fixture, const char *file) {
    gsize len;
    const guint8 *id = g_bytes_get_data(fixture->build_id, &len);
    g_autoptr(GString) name = g_string_new(NULL);

    for (gsize i = 1; i < len; i++)
        g_string_append_printf(name, "%02x", id[i]);
    truth_do("mkdir -p debugs/.build-id/%02x && "
             "cp %s debugs/.build-id/%02x/%s.debug",
             id[0], file, id[0], name->str);
    return truth_path("debugs");
}

static void debug_file_by_build_id(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("apart");
    TtSymbolModule module = module_of(fixture, path);
    g_autofree char *debug_dir = NULL;

    (void)data;
    split_apart();
    debug_dir = put_by_build_id(fixture, "apart.debug");
    tt_symbols_set_debug_dir(fixture->symbols, debug_dir);
    assert_function(fixture, &module, TT_SYMBOLS_LACK_NONE);
    g_assert_cmpuint(truth_check_log(fixture->symbols, fixture->program, &module), ==, 4);
}

static void stand_in_for_a_missing_module(Fixture *fixture, gconstpointer data) {
    TtSymbolModule module = module_of(fixture, "/not/there");
    g_autofree char *debug_dir = NULL;

    (void)data;
    split_apart();
    debug_dir = put_by_build_id(fixture, "apart.debug");
    tt_symbols_set_debug_dir(fixture->symbols, debug_dir);
    assert_function(fixture, &module, TT_SYMBOLS_LACK_NONE);
    g_assert_cmpuint(truth_check_log(fixture->symbols, fixture->program, &module), ==, 4);
}

/* What lies at the right place need not be the right file. */
static void debug_file_of_another_build(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("apart");
    TtSymbolModule module = module_of(fixture, path);
    g_autofree char *debug_dir = NULL;

    (void)data;
    split_apart();
    g_free(truth_compile_small("gcc", "-O1 -g -Wl,--build-id=sha1", "another"));
    truth_do("objcopy --only-keep-debug another another.debug");
    debug_dir = put_by_build_id(fixture, "another.debug");
    tt_symbols_set_debug_dir(fixture->symbols, debug_dir);
    assert_unknown(fixture, &module, TT_SYMBOLS_LACK_NAMES);
}

static void debug_file_by_link(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("apart");
    static const char *const places[] = {".", ".debug"};

    (void)data;
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(TtSymbols) symbols = tt_symbols_new();
        Fixture own = {symbols, fixture->program, fixture->build_id, fixture->plain};
        TtSymbolModule module = module_of(fixture, path);

        split_apart();
        truth_do("objcopy --add-gnu-debuglink=apart.debug apart && "
                 "mkdir -p %s && { [ %s = . ] || mv apart.debug %s; }",
                 places[i], places[i], places[i]);
        assert_function(&own, &module, TT_SYMBOLS_LACK_NONE);
    }
    truth_do("rm -rf .debug");
}

/* Without build-ids the link's checksum decides. */
static void debug_link_checksum(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("apart");
    TtSymbolModule module = {.path = path};

    (void)data;
    truth_do("objcopy -R .note.gnu.build-id program bare && "
             "objcopy --only-keep-debug bare apart.debug && "
             "strip -o apart bare && "
             "objcopy --add-gnu-debuglink=apart.debug apart");
    assert_function(fixture, &module, TT_SYMBOLS_LACK_NONE);
    tt_symbols_free(fixture->symbols);
    fixture->symbols = tt_symbols_new();
    truth_do("printf x >> apart.debug");
    assert_unknown(fixture, &module, TT_SYMBOLS_LACK_NAMES);
}

static void debug_link_to_a_fifo(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("apart");
    TtSymbolModule module = module_of(fixture, path);

    (void)data;
    split_apart();
    truth_do("objcopy --add-gnu-debuglink=apart.debug apart && "
             "rm apart.debug && mkfifo apart.debug");
    assert_unknown(fixture, &module, TT_SYMBOLS_LACK_NAMES);
    truth_do("rm apart.debug");
}

static void symbols_in_gnu_debugdata(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("mini");
    TtSymbolModule module = module_of(fixture, path);

    (void)data;
    if (!truth_has("xz"))
        return;
    truth_do("rm -f mini.debug.xz; strip -g -o mini.debug program && "
             "objcopy --only-keep-debug mini.debug && "
             "xz mini.debug && strip -o mini program && "
             "objcopy --add-section .gnu_debugdata=mini.debug.xz mini");
    assert_function(fixture, &module, TT_SYMBOLS_LACK_LINES);
}

/* dwz keeps what several files share in one of its own. */
static void shared_debug_file_of_dwz(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("dwz-a");
    TtSymbolModule module = {.path = path};

    (void)data;
    if (!truth_has("dwz"))
        return;
    truth_do("cp program dwz-a && "
             "gcc -O2 -g -DOTHER -x c small.c -o dwz-b && "
             "dwz -m dwz-common dwz-a dwz-b");
    assert_function(fixture, &module, TT_SYMBOLS_LACK_NONE);
    g_assert_cmpuint(truth_check_log(fixture->symbols, fixture->program, &module), ==, 4);
}

/* Every byte of a file may be wrong: names may be too, or missing, and the process may die, but
 * each question ends, and a sound file is read after. */
static void damaged_files(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = truth_path("damaged");
    g_autofree char *bytes = NULL;
    gsize len;

    (void)data;
    g_assert_true(g_file_get_contents(fixture->program, &bytes, &len, NULL));
    tt_symbols_set_timeout(fixture->symbols, 3000);
    for (guint i = 0; i < 300; i++) {
        g_autofree char *copy = g_memdup2(bytes, len);
        TtSymbolModule module = {.path = path};
        const TtSymbolAnswer *answers[200] = {0};
        guint64 addrs[200];
        g_autoptr(GError) error = NULL;

        for (guint j = 0; j < G_N_ELEMENTS(addrs); j++)
            addrs[j] = fixture->plain - 100 + j;
        for (guint j = 0; j < 1u << (i % 8); j++)
            copy[(guint)g_test_rand_int() % (i % 3 == 0 ? 4096 : len)] ^= 1 << (i % 8);
        g_unlink(path);
        g_assert_true(g_file_set_contents(path, copy, (gssize)len, NULL));
        if (tt_symbols_resolve(fixture->symbols, &module, addrs, G_N_ELEMENTS(addrs), answers,
                               &error))
            g_assert_no_error(error);
        else
            g_test_message("%s", error->message);
        for (guint j = 0; j < G_N_ELEMENTS(addrs); j++)
            g_assert_cmpuint(answers[j]->frame_count, <=, 64);
    }
    TtSymbolModule sound = module_of(fixture, fixture->program);

    assert_function(fixture, &sound, TT_SYMBOLS_LACK_NONE);
}

#define TEST(name, function)                                                                       \
    g_test_add("/symbols/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    int r;

    g_test_init(&argc, &argv, NULL);
    TEST("build-id-decides", build_id_decides);
    TEST("replaced-and-missing-files", replaced_and_missing_files);
    TEST("replaced-without-build-id", replaced_without_build_id);
    TEST("paths-that-are-no-regular-files", paths_that_are_no_regular_files);
    TEST("files-that-are-no-elf", files_that_are_no_elf);
    TEST("strange-paths", strange_paths);
    TEST("path-too-long", path_too_long);
    TEST("stripped", stripped);
    TEST("dynamic-symbols-only", dynamic_symbols_only);
    TEST("debug-file-by-build-id", debug_file_by_build_id);
    TEST("stand-in-for-a-missing-module", stand_in_for_a_missing_module);
    TEST("debug-file-of-another-build", debug_file_of_another_build);
    TEST("debug-file-by-link", debug_file_by_link);
    TEST("debug-link-checksum", debug_link_checksum);
    TEST("debug-link-to-a-fifo", debug_link_to_a_fifo);
    TEST("symbols-in-gnu-debugdata", symbols_in_gnu_debugdata);
    TEST("shared-debug-file-of-dwz", shared_debug_file_of_dwz);
    TEST("damaged-files", damaged_files);
    r = g_test_run();
    truth_clear();
    return r;
}
