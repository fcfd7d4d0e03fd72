/* SPDX-License-Identifier: Apache-2.0 */
/* The symbolizer seen from the daemon: a child that is started when needed and killed when it does
 * not behave. Knows messages, not what is in them. */
#pragma once

#include "symbols/symbols.h"

G_BEGIN_DECLS

/* One thread at a time. */
typedef struct TtSymbolizer TtSymbolizer;

/* Starts nothing yet. Returns: (transfer full) */
TtSymbolizer *tt_symbolizer_new(void);

/* Kills it where it still runs. NULL is taken. */
void tt_symbolizer_free(TtSymbolizer *symbolizer);

/* From the next start on; see tt_symbols_set_debug_dir(). */
void tt_symbolizer_set_debug_dir(TtSymbolizer *symbolizer, const char *dir);

/**
 * tt_symbolizer_ask:
 * @question: a message with its length
 * @timeout_ms: for all of it, the start of the process included
 * @answer: emptied, then filled with the answer without its length; not trusted
 * @error: TT_SYMBOLS_ERROR
 *
 * Starts the process where it does not run, sends the question and waits for the answer. After any
 * failure the process is gone, and the next question starts another.
 *
 * Returns: %FALSE with @error set
 */
gboolean tt_symbolizer_ask(TtSymbolizer *symbolizer, const GByteArray *question, guint timeout_ms,
                           GByteArray *answer, GError **error);

/* Kills it: it has answered nonsense. Does nothing where none runs. */
void tt_symbolizer_stop(TtSymbolizer *symbolizer);

/* Returns: its pid, or 0. Any thread. */
GPid tt_symbolizer_get_pid(TtSymbolizer *symbolizer);

G_END_DECLS
