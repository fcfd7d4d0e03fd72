/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon says of itself, on stderr or in the journal. Only main, accept and control speak;
 * the rest returns its errors. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Sends what g_message, g_warning and the like say to the journal where stderr is the journal, else
 * as lines "tt-daemon: …" to stderr. Once, before any other thread. */
void tt_log_init(void);

/* Lets a few lines through in each stretch of time and counts the rest. Zeroed memory is a valid
 * one. One thread. */
typedef struct TtLogGate {
    gint64 since_us;
    guint passed;
    guint held_back;
} TtLogGate;

/* TRUE: say it; @ret_held_back is how many were not since the last that was. Five in 10 seconds. */
gboolean tt_log_gate_pass(TtLogGate *gate, guint *ret_held_back);

/* Returns: (transfer full): foreign bytes made harmless for a terminal and short: printable ASCII,
 * the rest as \xNN, cut with "…" after 200 bytes. */
char *tt_log_escape(const char *text, gsize len);

G_END_DECLS
