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

static void append_amount(GString *text, const char *label, guint64 count, guint64 bytes) {
    char size[16];

    g_string_append_printf(text, "  %-14s %15" G_GUINT64_FORMAT " blocks %12s\n", label, count,
                           tt_list_write_size(bytes, size));
}

/* One of the reasons for which figures are not exact. */
static void append_count(GString *text, GVariant *figures, const char *key, const char *words) {
    guint64 count = tt_list_get_number(figures, key);

    if (count > 0)
        g_string_append_printf(text, "    %" G_GUINT64_FORMAT " %s\n", count, words);
}

static void append_completeness(GString *text, GVariant *figures) {
    g_autofree const char **doubts = NULL;
    gboolean exact = FALSE;

    g_variant_lookup(figures, "exact", "b", &exact);
    if (exact) {
        g_string_append(text, "  exact: no event was lost\n");
    } else {
        g_string_append(text, "  not exact:\n");
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
    char peak[16];

    g_string_append_printf(text, "%s (pid %d) ", tt_list_get_text(figures, "name"),
                           tt_list_get_int(figures, "pid"));
    append_end(text, wait_status);
    g_string_append_c(text, '\n');
    append_amount(text, "allocated", tt_list_get_number(figures, "cumulative_allocations"),
                  tt_list_get_number(figures, "cumulative_allocated"));
    append_amount(text, "left at exit", tt_list_get_number(figures, "live_blocks"),
                  tt_list_get_number(figures, "live_bytes"));
    g_string_append_printf(text, "  %-14s %15s        %12s\n", "peak", "",
                           tt_list_write_size(tt_list_get_number(figures, "peak_bytes"), peak));
    append_completeness(text, figures);
    if (other_count > 0)
        g_string_append_printf(text,
                               "  and %u more session%s of its descendants and earlier images\n",
                               other_count, other_count == 1 ? "" : "s");
    g_string_append(text, "  (--json=F or --svg=F writes all of it)");
    return g_string_free(text, FALSE);
}
