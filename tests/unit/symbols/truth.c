/* SPDX-License-Identifier: Apache-2.0 */
#include "truth.h"

#include <glib/gstdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static char *dir;

/* An inlined chain of two, twice, a plain call, and functions of one line each: `here` logs the
 * return address, which lies in whatever `here` was inlined into. */
static const char small_source[] =
    "#include <stdio.h>\n"
    "extern const char __ehdr_start[];\n"
    "#define INLINE static inline __attribute__((always_inline))\n"
    "static volatile int sink;\n"
    "__attribute__((noinline)) void here(const char *f, int line, const char *outer, int call) {\n"
    "    char *ip = (char *)__builtin_return_address(0) - 1;\n"
    "    printf(\"%lx %s %d %s %d\\n\", (unsigned long)(ip - __ehdr_start), f, line, outer, "
    "call);\n"
    "    sink++;\n"
    "}\n"
    "INLINE void inner(const char *outer, int call) {\n"
    "    sink += 1;\n"
    "    here(__func__, __LINE__, outer, call);\n"
    "    sink += 2;\n"
    "}\n"
    "__attribute__((noinline)) void plain(void) {\n"
    "    here(__func__, __LINE__, \"-\", 0);\n"
    "    sink += 3;\n"
    "}\n"
    "__attribute__((noinline)) void twice(void) {\n"
    "    inner(__func__, __LINE__);\n"
    "    sink += 4;\n"
    "    inner(__func__, __LINE__);\n"
    "    sink += 5;\n"
    "}\n"
    "int main(void) {\n"
    "    plain();\n"
    "    twice();\n"
    "    inner(__func__, __LINE__);\n"
    "    return sink == -1;\n"
    "}\n";

const char *truth_get_dir(void) {
    if (!dir) {
        g_autoptr(GError) error = NULL;

        dir = g_dir_make_tmp("tt-symbols-XXXXXX", &error);
        g_assert_no_error(error);
    }
    return dir;
}

void truth_clear(void) {
    if (dir) {
        const char *const args[] = {"rm", "-rf", dir, NULL};

        g_spawn_sync(NULL, (char **)args, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL,
                     NULL);
    }
    g_clear_pointer(&dir, g_free);
}

char *truth_path(const char *name) { return g_build_filename(truth_get_dir(), name, NULL); }

char *truth_run(const char *format, ...) {
    g_autofree char *command = NULL;
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    const char *args[] = {"/bin/sh", "-c", NULL, NULL};
    int status = -1;
    va_list list;

    va_start(list, format);
    command = g_strdup_vprintf(format, list);
    va_end(list);
    args[2] = command;
    if (!g_spawn_sync(truth_get_dir(), (char **)args, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output,
                      &errors, &status, NULL) ||
        status != 0) {
        g_test_message("%s: status %d: %s", command, status, errors ? errors : "");
        return NULL;
    }
    return g_steal_pointer(&output);
}

gboolean truth_has(const char *program) {
    g_autofree char *path = g_find_program_in_path(program);

    if (!path)
        g_test_skip_printf("%s is not installed", program);
    return path != NULL;
}

char *truth_compile(const char *compiler, const char *flags, const char *source_name,
                    const char *source, const char *name) {
    g_autofree char *source_path = truth_path(source_name);
    g_autofree char *output = NULL;

    g_assert_true(g_file_set_contents(source_path, source, -1, NULL));
    output = truth_run("%s %s -o %s '%s'", compiler, flags, name, source_path);
    g_assert_nonnull(output);
    return truth_path(name);
}

char *truth_compile_small(const char *compiler, const char *flags, const char *name) {
    return truth_compile(compiler, flags, "small.c", small_source, name);
}

GBytes *truth_build_id(const char *path) {
    g_autofree char *output = truth_run("readelf -n '%s'", path);
    const char *at = output ? strstr(output, "Build ID: ") : NULL;
    GByteArray *bytes;

    if (!at)
        return NULL;
    bytes = g_byte_array_new();
    for (at += strlen("Build ID: "); g_ascii_isxdigit(at[0]) && g_ascii_isxdigit(at[1]); at += 2) {
        guint8 byte = (guint8)(g_ascii_xdigit_value(at[0]) * 16 + g_ascii_xdigit_value(at[1]));

        g_byte_array_append(bytes, &byte, 1);
    }
    return g_byte_array_free_to_bytes(bytes);
}

const TtSymbolAnswer *truth_resolve(TtSymbols *symbols, const TtSymbolModule *module,
                                    guint64 addr) {
    g_autoptr(GError) error = NULL;
    const TtSymbolAnswer *answer = NULL;

    tt_symbols_resolve(symbols, module, &addr, 1, &answer, &error);
    g_assert_no_error(error);
    g_assert_nonnull(answer);
    return answer;
}

static void check_frame(const TtSymbolFrame *frame, const char *function, guint line,
                        gboolean is_inlined) {
    g_assert_cmpstr(frame->function, ==, function);
    g_assert_cmpuint(frame->line, ==, line);
    g_assert_nonnull(frame->file);
    g_assert_true(g_path_is_absolute(frame->file));
    g_assert_true(g_str_has_suffix(frame->file, "/small.c"));
    g_assert_cmpint(frame->is_inlined, ==, is_inlined);
}

guint truth_check_log(TtSymbols *symbols, const char *program, const TtSymbolModule *module) {
    g_autofree char *log = truth_run("'%s'", program);
    g_auto(GStrv) lines = NULL;
    guint count = 0;

    g_assert_nonnull(log);
    lines = g_strsplit(log, "\n", -1);
    for (char **line = lines; *line && **line; line++, count++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", -1);
        guint64 addr = g_ascii_strtoull(words[0], NULL, 16);
        gboolean is_inlined = strcmp(words[3], "-") != 0;
        const TtSymbolAnswer *answer = truth_resolve(symbols, module, addr);

        g_assert_cmpuint(answer->frame_count, ==, is_inlined ? 2 : 1);
        check_frame(&answer->frames[0], words[1], (guint)atoi(words[2]), is_inlined);
        if (is_inlined)
            check_frame(&answer->frames[1], words[3], (guint)atoi(words[4]), FALSE);
    }
    return count;
}

guint64 truth_find_symbol(const char *path, const char *symbol) {
    g_autofree char *output = truth_run("nm '%s' | grep ' %s$'", path, symbol);

    g_assert_nonnull(output);
    return g_ascii_strtoull(output, NULL, 16);
}
