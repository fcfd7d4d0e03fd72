/* SPDX-License-Identifier: Apache-2.0 */
#include "report/suppress.h"

#include <gio/gio.h>
#include <string.h>

/* "*" takes as little as it can, and more where what follows does not fit: only the last one need
 * be tried again, so this ends soon whatever the pattern. */
gboolean tt_suppression_matches(const char *pattern, const char *name) {
    gboolean is_at_start = *pattern == '^';
    const char *at = pattern + is_at_start, *star = NULL, *retry = NULL;
    const char *end = strchrnul(at, '$');
    gboolean is_at_end = *end == '$';

    if (*name == '\0')
        return FALSE;
    if (!is_at_start) {
        star = at;
        retry = name;
    }
    for (;;) {
        if (at == end && (!is_at_end || *name == '\0'))
            return TRUE;
        if (at < end && *at == '*') {
            star = ++at;
            retry = name;
        } else if (at < end && *name != '\0' && *at == *name) {
            at++;
            name++;
        } else {
            if (!star || *retry == '\0')
                return FALSE;
            at = star;
            name = ++retry;
        }
    }
}

static void suppression_free(gpointer data) {
    TtSuppression *suppression = data;

    g_free(suppression->pattern);
    g_free(suppression);
}

GPtrArray *tt_suppressions_parse(const char *text, GError **error) {
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(suppression_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = 0; lines[i]; i++) {
        const char *line = g_strstrip(lines[i]);
        TtSuppression *suppression;

        if (*line == '\0' || *line == '#')
            continue;
        if (!g_str_has_prefix(line, "leak:") || line[strlen("leak:")] == '\0') {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "Line %u of the suppressions is not leak:PATTERN", i + 1);
            return NULL;
        }
        suppression = g_new0(TtSuppression, 1);
        suppression->pattern = g_strdup(line + strlen("leak:"));
        g_ptr_array_add(all, suppression);
    }
    return g_steal_pointer(&all);
}

static gboolean matches_frame(const char *pattern, const TtNamedFrame *frame,
                              const TtModuleRow *modules, gsize module_count) {
    return (frame->function && tt_suppression_matches(pattern, frame->function)) ||
           (frame->file && tt_suppression_matches(pattern, frame->file)) ||
           (frame->module < module_count && modules[frame->module].path &&
            tt_suppression_matches(pattern, modules[frame->module].path));
}

TtSuppression *tt_suppressions_find(GPtrArray *suppressions, TtFrameNames *names,
                                    const TtSnapshot *snapshot, guint32 stack) {
    gsize module_count, count = 0;
    const TtModuleRow *modules = tt_snapshot_get_modules(snapshot, &module_count);
    const TtNamedFrame *frames =
        suppressions->len > 0 ? tt_frame_names_get(names, stack, &count, NULL) : NULL;

    for (guint i = 0; i < suppressions->len; i++) {
        TtSuppression *suppression = g_ptr_array_index(suppressions, i);

        for (gsize j = 0; j < count; j++)
            if (matches_frame(suppression->pattern, &frames[j], modules, module_count))
                return suppression;
    }
    return NULL;
}
