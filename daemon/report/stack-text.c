/* SPDX-License-Identifier: Apache-2.0 */
#include "report/stack-text.h"

#include "report/labels.h"
#include "report/text.h"

#define NAME_BYTES_MAX 160

static void write_frame(TtPlain *plain, const TtSnapshot *snapshot, const TtNamedFrame *frame) {
    gsize count, len;
    const TtModuleRow *modules = tt_snapshot_get_modules(snapshot, &count);
    const char *module = frame->module < count ? modules[frame->module].path : NULL;

    if (frame->function) {
        const char *name = tt_label_short_function(frame->function, &len);

        tt_plain_addf(plain, "%.*s", (int)MIN(len, NAME_BYTES_MAX), name);
    } else if (module) {
        tt_plain_addf(plain, "%s+0x%" G_GINT64_MODIFIER "x", tt_text_basename(module),
                      frame->offset);
    } else {
        tt_plain_addf(plain, "0x%" G_GINT64_MODIFIER "x", frame->ip);
    }
    if (frame->file)
        tt_plain_addf(plain, " (%s:%u)", tt_text_basename(frame->file), frame->line);
    tt_plain_end_line(plain);
}

/* How many frames there are up to where the program or a thread begins: all begin alike. */
static gsize count_own(const TtNamedFrame *frames, gsize count) {
    gsize own = count;

    while (own > 0 && frames[own - 1].function && tt_label_is_start(frames[own - 1].function))
        own--;
    return own > 0 ? own : count;
}

void tt_stack_text_write(TtPlain *plain, TtFrameNames *names, const TtSnapshot *snapshot,
                         guint32 stack, const char *indent, gsize max) {
    gboolean is_truncated = FALSE;
    gsize count, shown;
    const TtNamedFrame *frames = tt_frame_names_get(names, stack, &count, &is_truncated);

    count = is_truncated ? count : count_own(frames, count);
    shown = max > 0 ? MIN(count, max) : count;
    for (gsize i = 0; i < shown; i++) {
        tt_plain_add(plain, indent);
        write_frame(plain, snapshot, &frames[i]);
    }
    if (!is_truncated && count > 0 && shown == count)
        return;
    tt_plain_add(plain, indent);
    tt_plain_add(plain, count > 0 || is_truncated ? "…" : "(no stack)");
    tt_plain_end_line(plain);
}
