/* SPDX-License-Identifier: Apache-2.0 */
/* The axis of time, which several cards share, and the marks on it. */
#include "report/svg/measure.h"
#include "report/svg/view.h"

/* About so many pixels between two ticks: their words are up to half of that. */
#define TICK_PIXELS 90.0

/* Beyond the axis's end, for half of a word. */
#define END_ROOM 22.0

/* Of marks closer to the one before only the first is drawn. */
#define MARK_PIXELS_LEAST 3.0

#define MARK_NAME_ROOM 140.0
#define MARK_NAME_GAP 10.0

void tt_axis_draw_time(const TtView *view, const TtScale *scale, double top, double bottom) {
    TtTicks ticks;
    double right = 0;

    tt_canvas_line(view->canvas, "axis", scale->from, bottom + 0.5, scale->to, bottom + 0.5);
    tt_ticks_time(scale->last, (guint)CLAMP((scale->to - scale->from) / TICK_PIXELS, 2, 8), &ticks);
    for (guint i = 0; i < ticks.count; i++) {
        double x = tt_scale_place(scale, ticks.values[i]);
        g_autofree char *word = tt_scale_tick_time(ticks.values[i], scale->last);
        double half = tt_canvas_measure(TT_TEXT_NOTE, word) / 2;

        tt_canvas_line(view->canvas, "rule", x, top, x, bottom);
        if (i > 0 && x - half < right + 8)
            continue;
        /* Moved in where it would leave the card. */
        x = MIN(x, scale->to + END_ROOM - half);
        tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_MIDDLE, x, bottom + 18, 2 * half + 1,
                       word);
        right = x + half;
    }
}

void tt_axis_draw_marks(const TtView *view, const TtScale *scale, double top, double bottom) {
    gsize mark_count;
    const TtMarkRow *marks = tt_snapshot_get_marks(view->snapshot, &mark_count);
    double free_from = scale->from; /* where the next name may begin */
    double last = scale->from - MARK_PIXELS_LEAST;

    for (gsize i = 0; i < mark_count; i++) {
        const TtMarkRow *mark = &marks[i];
        double x = tt_scale_place(scale, mark->t_ns);
        if (x < last + MARK_PIXELS_LEAST)
            continue;
        last = x;
        g_autofree char *name = tt_measure_show(mark->name, TT_CANVAS_NAME_CHARACTERS);
        g_autofree char *when = tt_scale_time(mark->t_ns);
        g_autofree char *bytes = tt_scale_bytes(mark->live_bytes);
        g_autofree char *blocks = tt_scale_things(mark->live_blocks, "block");

        tt_canvas_open(view->canvas, "g", NULL);
        tt_canvas_set_text(view->canvas, "data-mark", name);
        tt_canvas_set_count(view->canvas, "data-ns", mark->t_ns);
        tt_canvas_set_count(view->canvas, "data-bytes", mark->live_bytes);
        tt_canvas_set_count(view->canvas, "data-blocks", mark->live_blocks);
        tt_canvas_hint(view->canvas, "Mark %s\n%s in %s, at %s", name, bytes, blocks, when);
        tt_canvas_line(view->canvas, "mark", x, top, x, bottom);
        tt_canvas_open(view->canvas, "circle", "mark-tip");
        tt_canvas_set_number(view->canvas, "cx", x);
        tt_canvas_set_number(view->canvas, "cy", top);
        tt_canvas_set_number(view->canvas, "r", 2.5);
        tt_canvas_close(view->canvas);

        /* Its name stands over its line, moved in at the ends; none where another's stands. */
        double width = MIN(tt_canvas_measure(TT_TEXT_NOTE, name), MARK_NAME_ROOM);
        double left = CLAMP(x - width / 2, scale->from, MAX(scale->from, scale->to - width));
        if (left >= free_from) {
            tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, left, top - 11, width + 0.1,
                           name);
            free_from = left + width + MARK_NAME_GAP;
        }
        tt_canvas_close(view->canvas);
    }
}
