/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/summary.h"

#include <string.h>
#include <sys/wait.h>

#include "tools/list.h"
#include "tools/say.h"

#define DOUBTS_MAX 5

static void append_end(GString *text, gint wait_status) {
    if (WIFSIGNALED(wait_status))
        g_string_append_printf(text, "was killed by signal %d (%s)", WTERMSIG(wait_status),
                               strsignal(WTERMSIG(wait_status)));
    else
        g_string_append_printf(text, "exited with status %d", WEXITSTATUS(wait_status));
}

/* Ends a line of bytes; of an estimate with its standard error. */
static void append_bytes(GString *text, GVariant *figures, const char *key, const char *error_key) {
    char size[16], error[16];

    g_string_append_printf(text, " %12s",
                           tt_list_write_size(tt_list_get_number(figures, key), size));
    if (tt_list_get_number(figures, "sample_bytes") > 0)
        g_string_append_printf(text, " ±%s",
                               tt_list_write_size(tt_list_get_number(figures, error_key), error));
    g_string_append_c(text, '\n');
}

static void append_blocks(GString *text, GVariant *figures, const char *label, const char *key) {
    g_string_append_printf(text, "  %-14s %15" G_GUINT64_FORMAT " blocks", label,
                           tt_list_get_number(figures, key));
}

/* One of the reasons for which figures are not exact. */
static void append_count(GString *text, GVariant *figures, const char *key, const char *words) {
    guint64 count = tt_list_get_number(figures, key);

    if (count > 0)
        g_string_append_printf(text, "    %" G_GUINT64_FORMAT " %s\n", count, words);
}

static void append_why(GString *text, GVariant *figures) {
    guint64 sample_bytes = tt_list_get_number(figures, "sample_bytes");
    char size[16];

    if (sample_bytes > 0)
        g_string_append_printf(text,
                               "  estimates from a sample of one in %s, ± their standard error\n",
                               tt_list_write_size(sample_bytes, size));
    else
        g_string_append(text, "  not exact:\n");
}

static void append_completeness(GString *text, GVariant *figures) {
    g_autofree const char **doubts = NULL;
    gboolean exact = FALSE;

    g_variant_lookup(figures, "exact", "b", &exact);
    if (exact) {
        g_string_append(text, "  exact: no event was lost\n");
    } else {
        append_why(text, figures);
        append_count(text, figures, "dropped_events", "events were dropped");
        append_count(text, figures, "unknown_frees", "frees of unknown blocks");
        append_count(text, figures, "synthesized_frees", "frees were made up where one was missed");
        append_count(text, figures, "untraced_before_ns", "ns had passed before tracing began");
    }
    append_count(text, figures, "double_frees", "blocks were freed twice");
    append_count(text, figures, "truncated_stacks", "allocations have a cut stack");
    g_variant_lookup(figures, "doubts", "^a&s", &doubts);
    for (gsize i = 0; doubts && doubts[i] && i < DOUBTS_MAX; i++)
        g_string_append_printf(text, "    %s\n", doubts[i]);
}

char *tt_summary_write(GVariant *figures, gint wait_status, guint other_count) {
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%s (pid %d) ", tt_list_get_text(figures, "name"),
                           tt_list_get_int(figures, "pid"));
    append_end(text, wait_status);
    g_string_append_c(text, '\n');
    append_blocks(text, figures, "allocated", "cumulative_allocations");
    append_bytes(text, figures, "cumulative_allocated", "cumulative_allocated_error");
    append_blocks(text, figures, "left at exit", "live_blocks");
    append_bytes(text, figures, "live_bytes", "live_bytes_error");
    g_string_append_printf(text, "  %-14s %15s       ", "peak", "");
    append_bytes(text, figures, "peak_bytes", "peak_bytes_error");
    append_completeness(text, figures);
    if (other_count > 0)
        g_string_append_printf(text,
                               "  and %u more session%s of its descendants and earlier images\n",
                               other_count, other_count == 1 ? "" : "s");
    g_string_append(text, "  (--json=F or --svg=F writes all of it)");
    return g_string_free(text, FALSE);
}
