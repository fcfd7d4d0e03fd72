/* SPDX-License-Identifier: Apache-2.0 */
/* Types of variables, against what programs say of themselves: programs/variables.* name theirs
 * through a function that logs where that was, the name, and the type that stands in the source. */
#include <signal.h>
#include <string.h>

#include "truth.h"

typedef struct Variant {
    const char *name;
    const char *compiler;
    const char *flags;
    const char *source;
} Variant;

static const Variant variants[] = {
    {"gcc-O0-dwarf4", "gcc", "-O0 -g -gdwarf-4", "variables.c"},
    {"gcc-O0-dwarf5", "gcc", "-O0 -g -gdwarf-5", "variables.c"},
    {"gcc-O2-dwarf4", "gcc", "-O2 -g -gdwarf-4", "variables.c"},
    {"gcc-O2-dwarf5", "gcc", "-O2 -g -gdwarf-5", "variables.c"},
    {"gcc-O3", "gcc", "-O3 -g -fomit-frame-pointer", "variables.c"},
    {"gcc-strict-dwarf3", "gcc", "-O2 -gdwarf-3 -gstrict-dwarf", "variables.c"},
    {"gcc-split", "gcc", "-O2 -g -gsplit-dwarf", "variables.c"},
    {"gcc-type-units", "gcc", "-O2 -g -fdebug-types-section", "variables.c"},
    {"gcc-lto", "gcc", "-O2 -g -flto=1", "variables.c"},
    {"gcc-no-pie", "gcc", "-O2 -g -no-pie", "variables.c"},
    {"clang-O0-dwarf4", "clang", "-O0 -g -gdwarf-4", "variables.c"},
    {"clang-O0-dwarf5", "clang", "-O0 -g -gdwarf-5", "variables.c"},
    {"clang-O2-dwarf4", "clang", "-O2 -g -gdwarf-4", "variables.c"},
    {"clang-O2-dwarf5", "clang", "-O2 -g -gdwarf-5", "variables.c"},
    {"clang-split", "clang", "-O2 -g -gsplit-dwarf", "variables.c"},
    {"g++-O0", "g++", "-O0 -g", "variables.cc"},
    {"g++-O2", "g++", "-O2 -g", "variables.cc"},
    {"clang++-O2", "clang++", "-O2 -g", "variables.cc"},
};

static char *compile(const Variant *variant) {
    g_autofree char *source = g_build_filename(g_getenv("TT_PROGRAMS"), variant->source, NULL);

    truth_do("%s %s -w -o %s '%s'", variant->compiler, variant->flags, variant->name, source);
    return truth_path(variant->name);
}

/* A line of a program's log. */
typedef struct Named {
    TtSymbolVariable variable;
    const char *type; /* "" where there is none */
} Named;

/* @text: the log; holds the strings */
static GArray *read_log(char *text) {
    GArray *named = g_array_new(FALSE, FALSE, sizeof(Named));

    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        Named one = {.variable.addr = g_ascii_strtoull(line, NULL, 16)};
        char *name = strchr(line, '|') + 1, *type = strchr(name, '|') + 1;

        type[-1] = '\0';
        one.variable.name = name;
        one.type = type;
        g_array_append_val(named, one);
    }
    return named;
}

static const char *find(TtSymbols *symbols, const TtSymbolModule *module, guint64 addr,
                        const char *name) {
    TtSymbolVariable variable = {addr, name};
    g_autoptr(GError) error = NULL;
    const char *type = "never set";
    gboolean is_good = tt_symbols_find_variable_types(symbols, module, &variable, 1, &type, &error);

    g_assert_no_error(error);
    g_assert_true(is_good);
    return type;
}

static void match_program_log(gconstpointer data) {
    const Variant *variant = data;
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autoptr(GArray) named = NULL;
    g_autofree char *program = NULL;
    g_autofree char *log = NULL;
    TtSymbolModule module = {0};
    guint64 base;

    if (!truth_has(variant->compiler))
        return;
    program = compile(variant);
    module.path = program;
    base = strstr(variant->flags, "-no-pie") ? 0x400000 : 0;
    log = truth_run("'%s'", program);
    named = read_log(log);
    g_assert_cmpuint(named->len, >=, 15);
    for (guint i = 0; i < named->len; i++) {
        const Named *one = &g_array_index(named, Named, i);
        const char *type = find(symbols, &module, one->variable.addr + base, one->variable.name);

        if (g_strcmp0(type ? type : "", one->type) != 0) {
            g_test_message("%s at %lx: %s, want %s", one->variable.name,
                           (unsigned long)one->variable.addr, type, one->type);
            g_test_fail();
        }
    }
}

/* The first of the C programs, and what it says. */
static char *program;
static GArray *program_log;

static void set_up_program(char **text) {
    program = compile(&variants[1]);
    *text = truth_run("'%s'", program);
    g_assert_nonnull(*text);
    program_log = read_log(*text);
}

/* More than a question holds, in no order, each of them several times. */
static void find_many(TtSymbols *symbols, const TtSymbolModule *module, gboolean is_known,
                      GError **error) {
    enum { COUNT = 2000 };
    g_autofree TtSymbolVariable *variables = g_new(TtSymbolVariable, COUNT);
    g_autofree const char **types = g_new(const char *, COUNT);

    for (guint i = 0; i < COUNT; i++)
        variables[i] = g_array_index(program_log, Named, i * 7919u % program_log->len).variable;
    if (!tt_symbols_find_variable_types(symbols, module, variables, COUNT, types, error))
        return;
    for (guint i = 0; i < COUNT; i++) {
        const char *type = g_array_index(program_log, Named, i * 7919u % program_log->len).type;

        g_assert_cmpstr(types[i] ? types[i] : "", ==, is_known ? type : "");
    }
}

static void many_at_once_and_kept(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autoptr(GError) error = NULL;
    TtSymbolModule module = {.path = program};
    GPid pid;

    find_many(symbols, &module, TRUE, &error);
    g_assert_no_error(error);
    pid = tt_symbols_get_pid(symbols);
    kill(pid, SIGSTOP); /* from here on nobody can be asked */
    find_many(symbols, &module, TRUE, &error);
    g_assert_no_error(error);
    tt_symbols_set_limit(symbols, 0);
    g_assert_true(tt_symbols_trim(symbols));
    tt_symbols_set_timeout(symbols, 100);
    find_many(symbols, &module, TRUE, &error);
    g_assert_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_TIMEOUT);
}

static void no_debug_information_no_types(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *stripped = truth_path("stripped");
    TtSymbolModule module = {.path = stripped};

    truth_do("strip -g -o stripped '%s'", program);
    find_many(symbols, &module, FALSE, &error);
    g_assert_no_error(error);
    g_assert_cmpint(tt_symbols_get_lack(symbols, &module), ==, TT_SYMBOLS_LACK_LINES);
    module.path = "/not/there";
    find_many(symbols, &module, FALSE, &error);
    g_assert_no_error(error);
    g_assert_cmpint(tt_symbols_get_lack(symbols, &module), ==, TT_SYMBOLS_LACK_FILE);
}

static void names_of_any_bytes(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    TtSymbolModule module = {.path = program};
    guint64 addr = g_array_index(program_log, Named, 0).variable.addr;

    for (guint len = 0; len <= 300; len++) {
        g_autofree char *long_name = g_strnfill(len, 'x');
        g_autofree char *stars = g_strnfill(len, '*');
        g_autofree char *brackets = g_strnfill(len, '(');

        g_assert_null(find(symbols, &module, addr, long_name));
        g_assert_null(find(symbols, &module, addr, stars));
        g_assert_null(find(symbols, &module, addr, brackets));
    }
    for (guint seed = 0; seed < 1000; seed++) {
        static const char letters[] = "argument->.*()[] \t\"'0x\\\xff\x01,&";
        char name[64] = "";

        for (gint i = 0, len = g_test_rand_int_range(0, 20); i < len; i++)
            name[i] = letters[g_test_rand_int_range(0, sizeof letters - 1)];
        find(symbols, &module, addr, name);
    }
    g_assert_cmpstr(find(symbols, &module, addr, "argument"), ==, "struct node *");
    g_assert_null(find(symbols, &module, 0, "argument"));
    g_assert_null(find(symbols, &module, G_MAXUINT64, "argument"));
}

/* Circles, wrong tags, types that are none: each costs types at most. */
static void damaged_debug_information(void) {
    g_autofree char *damaged = truth_path("damaged");
    g_autofree char *place = truth_run(
        "readelf -SW '%s' | sed -n 's/.* .debug_info  *PROGBITS  *[0-9a-f]* //p'", program);
    g_autofree char *bytes = NULL;
    char *at = place;
    guint64 start, len;
    gsize size;

    g_assert_nonnull(place);
    start = g_ascii_strtoull(at, &at, 16);
    len = g_ascii_strtoull(at, NULL, 16);
    g_assert_true(g_file_get_contents(program, &bytes, &size, NULL));
    g_assert_cmpuint(start + len, <=, size);
    for (guint i = 0; i < 100; i++) {
        g_autoptr(TtSymbols) symbols = tt_symbols_new();
        g_autofree char *copy = g_memdup2(bytes, size);
        TtSymbolModule module = {.path = damaged};

        for (guint j = 0; j < 20; j++)
            copy[start + (guint64)g_test_rand_int_range(0, (gint32)len)] =
                (char)g_test_rand_int_range(0, 256);
        g_assert_true(g_file_set_contents(damaged, copy, (gssize)size, NULL));
        for (guint j = 0; j < program_log->len; j++) {
            const char *type = "never set";

            tt_symbols_find_variable_types(
                symbols, &module, &g_array_index(program_log, Named, j).variable, 1, &type, NULL);
            g_assert_true(!type || g_utf8_validate(type, -1, NULL));
        }
    }
}

int main(int argc, char **argv) {
    g_autofree char *log = NULL;
    int r;

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(variants); i++) {
        g_autofree char *path = g_strdup_printf("/types/match-program-log/%s", variants[i].name);

        g_test_add_data_func(path, &variants[i], match_program_log);
    }
    set_up_program(&log);
    g_test_add_func("/types/many-at-once-and-kept", many_at_once_and_kept);
    g_test_add_func("/types/no-debug-information-no-types", no_debug_information_no_types);
    g_test_add_func("/types/names-of-any-bytes", names_of_any_bytes);
    g_test_add_func("/types/damaged-debug-information", damaged_debug_information);
    r = g_test_run();
    truth_clear();
    g_array_unref(program_log);
    g_free(program);
    return r;
}
