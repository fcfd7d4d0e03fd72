/* SPDX-License-Identifier: Apache-2.0 */
/* Instants of a session, as people write them:
 *
 *   INSTANT = "now" | "start" | "peak" | TIME | "mark:" NAME | NAME
 *   TIME    = DIGITS [ "." DIGITS ] [ "ns" | "us" | "ms" | "s" | "m" | "h" ]
 *
 * TIME counts from the session's beginning, in nanoseconds where no unit stands. What is neither a
 * word nor a TIME is a mark's name, the last one of that name; "mark:" is for marks that are called
 * like something else. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define TT_MODEL_ERROR (tt_model_error_quark())
GQuark tt_model_error_quark(void);
typedef enum TtModelError {
    TT_MODEL_ERROR_INSTANT, /* no such instant in the session, or not the word of one */
} TtModelError;

typedef enum TtInstantKind {
    TT_INSTANT_NOW,   /* after the last event */
    TT_INSTANT_START, /* before the first */
    TT_INSTANT_PEAK,  /* when most bytes were alive, for the first time */
    TT_INSTANT_MARK,
    TT_INSTANT_TIME, /* after the events up to a time */
} TtInstantKind;

/* Borrows the word that it was read from. */
typedef struct TtInstant {
    TtInstantKind kind;
    guint64 time_ns;  /* TIME */
    const char *mark; /* MARK: its name; raw bytes */
} TtInstant;

/* The words of TtInstantKind as they stand in JSON: "now", … */
const char *tt_instant_kind_name(TtInstantKind kind);

/**
 * tt_instant_parse:
 * @word: (nullable): not trusted; %NULL means now
 * @ret_instant: set on success only; borrows @word
 * @error: TT_MODEL_ERROR_INSTANT: it is empty, or a time that no number holds
 *
 * Any thread.
 */
gboolean tt_instant_parse(const char *word, TtInstant *ret_instant, GError **error);

G_END_DECLS
