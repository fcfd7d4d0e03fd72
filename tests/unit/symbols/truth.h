/* SPDX-License-Identifier: Apache-2.0 */
/* Ground truth for symbols: programs compiled on the spot, whose own log, or another tool, says
 * what is where. */
#pragma once

#include "symbols/symbols.h"

/* Returns: (transfer none): a directory of this program's, gone when truth_clear() is called. */
const char *truth_get_dir(void);
void truth_clear(void);

/* Returns: (transfer full): a path in it. */
char *truth_path(const char *name);

/* Runs a shell command in the directory; its %s are quoted by the caller.
 * Returns: (transfer full) (nullable): its standard output; NULL where it failed. */
char *truth_run(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* The same; the test fails where it failed. */
#define truth_do(...)                                                                              \
    do {                                                                                           \
        g_autofree char *done = truth_run(__VA_ARGS__);                                            \
        g_assert_nonnull(done);                                                                    \
    } while (0)

/* Whether a program is in PATH. Skips the test where it is not. */
gboolean truth_has(const char *program);

/* Writes @source and runs "COMPILER FLAGS -o NAME SOURCE-FILE"; the test fails where that fails.
 * Returns: (transfer full): the path of what was made. */
char *truth_compile(const char *compiler, const char *flags, const char *source_name,
                    const char *source, const char *name);

/* Returns: (transfer full) (nullable): the build-id that readelf reads. */
GBytes *truth_build_id(const char *path);

/* Compiles the small program of many tests. Its log has a line for each place that it reached:
 * address, function, line; and the function that this was inlined into, at which line.
 * Returns: (transfer full): its path */
char *truth_compile_small(const char *compiler, const char *flags, const char *name);

/* Checks that @symbols finds at @path what the log of @program says.
 * Returns: how many places the log has. */
guint truth_check_log(TtSymbols *symbols, const char *program, const TtSymbolModule *module);

/* Resolves one address; asserts that it succeeds. */
const TtSymbolAnswer *truth_resolve(TtSymbols *symbols, const TtSymbolModule *module, guint64 addr);

/* Returns: the address of a symbol, by nm; the test fails where there is none. */
guint64 truth_find_symbol(const char *path, const char *symbol);
