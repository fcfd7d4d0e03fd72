/* SPDX-License-Identifier: Apache-2.0 */
/* The door of this room: from an address in a module to functions, files and lines, and to the
 * types of what is declared there.
 *
 * ELF and DWARF from anywhere are hostile input, so nothing of them is read in the daemon. A
 * process of its own, tt-symbolizer, does that; what it says is not trusted either. It may die or
 * hang at any time: that costs names, never the daemon. This side keeps the process, and every
 * answer. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Milliseconds that one question may take, 4,096 addresses at most, unless set otherwise. */
#define TT_SYMBOLS_TIMEOUT_MS 10000

#define TT_SYMBOLS_ERROR (tt_symbols_error_quark())
GQuark tt_symbols_error_quark(void);

/**
 * TtSymbolsError:
 * @TT_SYMBOLS_ERROR_START: the process cannot be started
 * @TT_SYMBOLS_ERROR_DIED: it ended before it answered, or broke off
 * @TT_SYMBOLS_ERROR_TIMEOUT: it did not answer in time and was killed
 * @TT_SYMBOLS_ERROR_GARBAGE: what it answered makes no sense; it was killed
 * @TT_SYMBOLS_ERROR_GIVEN_UP: this module has cost two processes in a row and is not asked for
 */
typedef enum TtSymbolsError {
    TT_SYMBOLS_ERROR_START,
    TT_SYMBOLS_ERROR_DIED,
    TT_SYMBOLS_ERROR_TIMEOUT,
    TT_SYMBOLS_ERROR_GARBAGE,
    TT_SYMBOLS_ERROR_GIVEN_UP,
} TtSymbolsError;

/**
 * TtSymbolsLack:
 * @TT_SYMBOLS_LACK_NONE: nothing is lacking: functions, files and lines
 * @TT_SYMBOLS_LACK_LINES: no debug information: functions of the symbol table only
 * @TT_SYMBOLS_LACK_NAMES: the file is the right one, but stripped of everything
 * @TT_SYMBOLS_LACK_FILE: no such file, not a regular one, or not readable
 * @TT_SYMBOLS_LACK_BUILD: the file is of another build (its build-id differs)
 * @TT_SYMBOLS_LACK_ELF: the file is not ELF, or damaged
 * @TT_SYMBOLS_LACK_ANSWER: not known: never asked, or the process failed when it was
 *
 * What a module lacks for complete answers. An export says it once per module.
 */
typedef enum TtSymbolsLack {
    TT_SYMBOLS_LACK_NONE,
    TT_SYMBOLS_LACK_LINES,
    TT_SYMBOLS_LACK_NAMES,
    TT_SYMBOLS_LACK_FILE,
    TT_SYMBOLS_LACK_BUILD,
    TT_SYMBOLS_LACK_ELF,
    TT_SYMBOLS_LACK_ANSWER,
} TtSymbolsLack;

/**
 * TtSymbolModule:
 * @path: raw bytes as the traced program has it: perhaps not UTF-8, not absolute, not there
 * @build_id: (array length=build_id_len) (nullable): of what was loaded; decides over @path
 * @build_id_len: 0 where none is known; then any file at @path is taken for the right one
 */
typedef struct TtSymbolModule {
    const char *path;
    const guint8 *build_id;
    gsize build_id_len;
} TtSymbolModule;

/**
 * TtSymbolFrame:
 * @function: (nullable): demangled; valid UTF-8 of at most 4 KiB, cut with "…"
 * @file: (nullable): the source file, absolute where the debug information allows; as @function
 * @line: from 1, or 0 where unknown
 * @is_inlined: %TRUE where the compiler put @function into the next frame's function
 *
 * Text of a foreign file: valid UTF-8, but any character may be in it.
 */
typedef struct TtSymbolFrame {
    const char *function;
    const char *file;
    guint line;
    gboolean is_inlined;
} TtSymbolFrame;

/**
 * TtSymbolAnswer:
 * @frame_count: 0 (nothing is known of the address) … 64
 * @frames: (array length=frame_count): the innermost inlined function first; the last is the real
 *   function, each line that at which the frame before it is called
 */
typedef struct TtSymbolAnswer {
    guint frame_count;
    TtSymbolFrame *frames;
} TtSymbolAnswer;

/**
 * TtSymbolVariable:
 * @addr: file virtual address, inside the instruction that gives the variable to somebody
 * @name: as the source has it there, any bytes: a variable, or an expression made of one, of
 *   members, "*" and "[…]"
 */
typedef struct TtSymbolVariable {
    guint64 addr;
    const char *name;
} TtSymbolVariable;

/* The answers so far and the process that gives them. Any thread may use one, at the same time. */
typedef struct TtSymbols TtSymbols;

/**
 * tt_symbols_new:
 *
 * Starts nothing yet: the process starts with the first question.
 *
 * Returns: (transfer full): never %NULL
 */
TtSymbols *tt_symbols_new(void);

/**
 * tt_symbols_free:
 * @symbols: (transfer full) (nullable): nobody else uses it any more
 *
 * Ends the process, and with it every answer.
 */
void tt_symbols_free(TtSymbols *symbols);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtSymbols, tt_symbols_free)

/**
 * tt_symbols_set_timeout:
 * @timeout_ms: for each question from the next one on; at least 1
 */
void tt_symbols_set_timeout(TtSymbols *symbols, guint timeout_ms);

/**
 * tt_symbols_set_debug_dir:
 * @dir: (nullable): absolute; where separate debug files lie, %NULL for /usr/lib/debug
 *
 * From the next start of the process on: to be called before the first question.
 */
void tt_symbols_set_debug_dir(TtSymbols *symbols, const char *dir);

/**
 * tt_symbols_resolve:
 * @module: where the addresses lie
 * @addrs: (array length=count): file virtual addresses (instruction pointer - load bias), each
 *   inside the instruction that is meant: of a return address, that address - 1
 * @ret_answers: (array length=count) (transfer none): every one is set, whatever is returned: to an
 *   answer without frames where nothing is known. Immutable; they live as long as a hold
 *   (tt_symbols_hold()) that was taken before, without one until the next tt_symbols_trim()
 * @error: TT_SYMBOLS_ERROR
 *
 * Answers from what is known, and asks the process for the rest. Blocks, but for no longer than the
 * time-out for every 4,096 unknown addresses; after a failure no more is asked in this call. What
 * failed is not remembered as unknown: a later call asks again. Any thread.
 *
 * Returns: %FALSE with @error set where the process failed and names are missing because of it
 */
gboolean tt_symbols_resolve(TtSymbols *symbols, const TtSymbolModule *module, const guint64 *addrs,
                            gsize count, const TtSymbolAnswer **ret_answers, GError **error);

/**
 * tt_symbols_find_variable_types:
 * @module: where the addresses lie
 * @variables: (array length=count): in any order
 * @ret_types: (array length=count) (transfer none): every one is set, whatever is returned: to the
 *   declared type as C or C++ spells it ("struct node *", "int *" for an array of int), valid UTF-8
 *   of at most 4 KiB; to %NULL where the debug information does not tell, or what goes by that name
 *   there is no pointer. They live as long as answers do
 * @error: TT_SYMBOLS_ERROR
 *
 * Finds what is declared by a name in the innermost scope at an address. Otherwise as
 * tt_symbols_resolve(), its bounds for every 256 variables included.
 *
 * Returns: %FALSE with @error set where the process failed and types are missing because of it
 */
gboolean tt_symbols_find_variable_types(TtSymbols *symbols, const TtSymbolModule *module,
                                        const TtSymbolVariable *variables, gsize count,
                                        const char **ret_types, GError **error);

/**
 * tt_symbols_get_lack:
 *
 * Returns: what @module lacked when it was last asked for; asks nothing. Any thread.
 */
TtSymbolsLack tt_symbols_get_lack(TtSymbols *symbols, const TtSymbolModule *module);

/**
 * tt_symbols_hold:
 *
 * Until the matching tt_symbols_release() every answer stays where it is. An export takes one hold
 * for all its length. Any thread; counts.
 */
void tt_symbols_hold(TtSymbols *symbols);

/* Ends one tt_symbols_hold(). Frees nothing by itself. Any thread. */
void tt_symbols_release(TtSymbols *symbols);

/**
 * tt_symbols_trim:
 *
 * Forgets every answer where they have become many (a million, or 256 MiB) and no hold stands;
 * otherwise does nothing. Its owner calls it between exports. Answers got without a hold are gone
 * then. Any thread.
 *
 * Returns: whether the answers were forgotten
 */
gboolean tt_symbols_trim(TtSymbols *symbols);

/**
 * tt_symbols_set_limit:
 * @answer_count: how many answers are many; a million unless set
 */
void tt_symbols_set_limit(TtSymbols *symbols, gsize answer_count);

/**
 * tt_symbols_get_pid:
 *
 * Returns: the process as of now, or 0; for tests and diagnosis. Any thread.
 */
GPid tt_symbols_get_pid(TtSymbols *symbols);

G_END_DECLS
