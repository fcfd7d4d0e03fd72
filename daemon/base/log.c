/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines. Foreign text is escaped: a program may be named by its enemy, and a terminal obeys. */
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

#define GATE_LINES 5
#define GATE_US (10 * G_USEC_PER_SEC)
#define ESCAPED_MAX 200

static GLogWriterOutput write_line(GLogLevelFlags level, const GLogField *fields, gsize count,
                                   gpointer data) {
    (void)data;
    if (level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO))
        return G_LOG_WRITER_HANDLED;
    if (g_log_writer_is_journald(STDERR_FILENO))
        return g_log_writer_journald(level, fields, count, NULL);
    for (gsize i = 0; i < count; i++)
        if (g_strcmp0(fields[i].key, "MESSAGE") == 0) {
            int len = fields[i].length < 0 ? G_MAXINT : (int)fields[i].length;
            fprintf(stderr, "tt-daemon: %.*s\n", len, (const char *)fields[i].value);
            break;
        }
    return G_LOG_WRITER_HANDLED;
}

void tt_log_init(void) { g_log_set_writer_func(write_line, NULL, NULL); }

gboolean tt_log_gate_pass(TtLogGate *gate, guint *ret_held_back) {
    gint64 now = g_get_monotonic_time();

    if (gate->since_us == 0 || now - gate->since_us > GATE_US) {
        gate->since_us = now;
        gate->passed = 0;
    }
    if (gate->passed == GATE_LINES) {
        gate->held_back++;
        return FALSE;
    }
    gate->passed++;
    *ret_held_back = gate->held_back;
    gate->held_back = 0;
    return TRUE;
}

char *tt_log_escape(const char *text, gsize len) {
    GString *escaped = g_string_new(NULL);

    for (gsize i = 0; i < len; i++) {
        if (escaped->len >= ESCAPED_MAX) {
            g_string_append(escaped, "…");
            break;
        }
        if (g_ascii_isprint(text[i]) && text[i] != '\\')
            g_string_append_c(escaped, text[i]);
        else
            g_string_append_printf(escaped, "\\x%02x", (guint8)text[i]);
    }
    return g_string_free(escaped, FALSE);
}
