/* SPDX-License-Identifier: Apache-2.0 */
/* Live bytes over time. A session has more points than a picture has columns: of each column the
 * first, the least, the most and the last are drawn, so no extreme is lost and the curve looks as
 * if all of them were. */
#include <math.h>

#include "report/svg/view.h"

#define LEFT_ROOM 76.0 /* the axis of bytes */
#define RIGHT_ROOM 28.0
#define TOP_ROOM 74.0 /* heading and the marks' names */
#define BOTTOM_ROOM 38.0

/* Above the peak for its word. */
#define HEADROOM 1.16

/* Places that tell their figures when pointed at. */
#define BAND_COUNT 120u

typedef struct Chart {
    const TtView *view;
    TtScale time, bytes;
    double top, bottom;
} Chart;

/* The recorded points, and those that the curve must pass: start, peak, end. */
static GArray *get_points(const TtView *view) {
    GArray *points = g_array_new(FALSE, FALSE, sizeof(TtTimePoint));
    const TtTotals *totals = tt_snapshot_get_totals(view->snapshot);
    TtTimePoint start = {0, totals->inherited_bytes, totals->inherited_blocks};
    TtTimePoint peak = {totals->peak_ns, totals->peak_bytes, totals->peak_blocks};
    TtTimePoint end = {view->end_ns, totals->live_bytes, totals->live_blocks};
    gboolean has_peak = totals->peak_bytes > 0;
    gsize count;
    const TtTimePoint *recorded = tt_snapshot_get_timeline(view->snapshot, &count);
    guint64 reached_ns = 0;

    if (count == 0 || recorded[0].t_ns > 0)
        g_array_append_val(points, start);
    for (gsize i = 0; i < count; i++) {
        if (recorded[i].t_ns < reached_ns)
            continue; /* a curve does not turn back */
        if (has_peak && recorded[i].t_ns > peak.t_ns) {
            g_array_append_val(points, peak);
            has_peak = FALSE;
        }
        reached_ns = recorded[i].t_ns;
        g_array_append_val(points, recorded[i]);
    }
    if (has_peak)
        g_array_append_val(points, peak);
    g_array_append_val(points, end);
    return points;
}

static const TtTimePoint *get_point(const GArray *points, guint i) {
    return &g_array_index(points, TtTimePoint, i);
}

/* A step: level until the point, then up or down. */
static void append_step(GString *path, const Chart *chart, const TtTimePoint *point) {
    g_string_append_c(path, 'H');
    tt_canvas_append_number(path, tt_scale_place(&chart->time, point->t_ns));
    g_string_append_c(path, 'V');
    tt_canvas_append_number(path, tt_scale_place(&chart->bytes, point->live_bytes));
}

/* The points of one column of pixels, from @first to before @end. */
static void append_column(GString *path, const Chart *chart, const GArray *points, guint first,
                          guint end) {
    guint least = first, most = first;

    for (guint i = first; i < end; i++) {
        if (get_point(points, i)->live_bytes < get_point(points, least)->live_bytes)
            least = i;
        if (get_point(points, i)->live_bytes > get_point(points, most)->live_bytes)
            most = i;
    }
    guint drawn[] = {first, MIN(least, most), MAX(least, most), end - 1};
    for (guint i = 0; i < G_N_ELEMENTS(drawn); i++)
        if (i == 0 || drawn[i] != drawn[i - 1])
            append_step(path, chart, get_point(points, drawn[i]));
}

static char *make_line(const Chart *chart, const GArray *points) {
    GString *path = g_string_new("M");
    guint first = 0;

    tt_canvas_append_number(path, chart->time.from);
    g_string_append_c(path, ' ');
    tt_canvas_append_number(path, tt_scale_place(&chart->bytes, get_point(points, 0)->live_bytes));
    while (first < points->len) {
        double column = floor(tt_scale_place(&chart->time, get_point(points, first)->t_ns));
        guint end = first + 1;

        while (end < points->len &&
               floor(tt_scale_place(&chart->time, get_point(points, end)->t_ns)) == column)
            end++;
        append_column(path, chart, points, first, end);
        first = end;
    }
    /* An axis without length shows the state all along. */
    g_string_append_c(path, 'H');
    tt_canvas_append_number(path, chart->time.to);
    return g_string_free(path, FALSE);
}

static void draw_curve(const Chart *chart, const GArray *points) {
    TtCanvas *canvas = chart->view->canvas;
    g_autofree char *line = make_line(chart, points);
    GString *area = g_string_new(line);

    g_string_append_c(area, 'V');
    tt_canvas_append_number(area, chart->bottom);
    g_string_append_c(area, 'H');
    tt_canvas_append_number(area, chart->time.from);
    g_string_append_c(area, 'Z');
    tt_canvas_open_path(canvas, "live-area", area->str);
    tt_canvas_close(canvas);
    tt_canvas_open_path(canvas, "live-line", line);
    tt_canvas_close(canvas);
    g_string_free(area, TRUE);
}

static void draw_bytes_axis(const Chart *chart, guint64 most) {
    TtCanvas *canvas = chart->view->canvas;
    TtTicks ticks;

    tt_ticks_bytes(most, 5, &ticks);
    for (guint i = 0; i < ticks.count; i++) {
        double y = tt_scale_place(&chart->bytes, ticks.values[i]);
        g_autofree char *word = tt_scale_tick_bytes(ticks.values[i], most);

        if (i > 0)
            tt_canvas_line(canvas, "rule", chart->time.from, round(y) + 0.5, chart->time.to,
                           round(y) + 0.5);
        tt_canvas_text(canvas, TT_TEXT_NOTE, TT_ANCHOR_END, chart->time.from - 10, y + 4, LEFT_ROOM,
                       word);
    }
}

static void draw_peak(const Chart *chart) {
    TtCanvas *canvas = chart->view->canvas;
    const TtTotals *totals = tt_snapshot_get_totals(chart->view->snapshot);
    g_autofree char *bytes = tt_scale_bytes(totals->peak_bytes);
    g_autofree char *exact = tt_scale_count(totals->peak_bytes);
    g_autofree char *blocks = tt_scale_things(totals->peak_blocks, "block");
    g_autofree char *when = tt_scale_time(totals->peak_ns);
    g_autofree char *word = g_strdup_printf("Peak %s at %s", bytes, when);
    double x = tt_scale_place(&chart->time, totals->peak_ns);
    double y = tt_scale_place(&chart->bytes, totals->peak_bytes);
    double half = tt_canvas_measure(TT_TEXT_PEAK, word) / 2;

    tt_canvas_open(canvas, "g", NULL);
    tt_canvas_set_text(canvas, "data-figure", "peak");
    tt_canvas_set_count(canvas, "data-bytes", totals->peak_bytes);
    tt_canvas_set_count(canvas, "data-blocks", totals->peak_blocks);
    tt_canvas_set_count(canvas, "data-ns", totals->peak_ns);
    tt_canvas_hint(canvas, "Peak: %s bytes in %s, at %s", exact, blocks, when);
    tt_canvas_open(canvas, "circle", "peak-dot");
    tt_canvas_set_number(canvas, "cx", x);
    tt_canvas_set_number(canvas, "cy", y);
    tt_canvas_set_number(canvas, "r", 5);
    tt_canvas_close(canvas);
    tt_canvas_text(canvas, TT_TEXT_PEAK, TT_ANCHOR_MIDDLE,
                   CLAMP(x, chart->time.from + half + 4, chart->time.to - half), y - 12,
                   2 * half + 1, word);
    tt_canvas_close(canvas);
}

/* One band of the chart: tells the most that lived in its time. */
static void draw_band(const Chart *chart, double x, double width, const TtTimePoint *most) {
    TtCanvas *canvas = chart->view->canvas;
    g_autofree char *bytes = tt_scale_bytes(most->live_bytes);
    g_autofree char *blocks = tt_scale_things(most->live_blocks, "block");
    g_autofree char *when = tt_scale_time(most->t_ns);

    tt_canvas_open_rect(canvas, "band", x, chart->top, width, chart->bottom - chart->top);
    tt_canvas_set_count(canvas, "data-ns", most->t_ns);
    tt_canvas_set_count(canvas, "data-bytes", most->live_bytes);
    tt_canvas_set_count(canvas, "data-blocks", most->live_blocks);
    tt_canvas_hint(canvas, "%s in %s\nat %s", bytes, blocks, when);
    tt_canvas_close(canvas);
}

static void draw_bands(const Chart *chart, const GArray *points) {
    double width = (chart->time.to - chart->time.from) / BAND_COUNT;
    guint next = 0;

    for (guint band = 0; band < BAND_COUNT; band++) {
        double from = chart->time.from + band * width;
        /* What lived when the band began, or more that came in it. */
        const TtTimePoint *most = next > 0 ? get_point(points, next - 1) : NULL;

        for (; next < points->len; next++) {
            const TtTimePoint *point = get_point(points, next);
            if (band + 1 < BAND_COUNT && tt_scale_place(&chart->time, point->t_ns) >= from + width)
                break;
            if (!most || point->live_bytes > most->live_bytes)
                most = point;
        }
        if (most)
            draw_band(chart, from, width, most);
    }
}

void tt_live_bytes_draw(const TtView *view, const TtBox *box) {
    const TtTotals *totals = tt_snapshot_get_totals(view->snapshot);
    guint64 most = MAX(totals->peak_bytes, totals->inherited_bytes);
    Chart chart = {.view = view, .top = box->y + TOP_ROOM};
    g_autoptr(GArray) points = get_points(view);

    for (guint i = 0; i < points->len; i++)
        most = MAX(most, get_point(points, i)->live_bytes);
    chart.bottom = box->y + box->height - BOTTOM_ROOM;
    chart.time =
        (TtScale){0, MAX(view->end_ns, 1), box->x + LEFT_ROOM, box->x + box->width - RIGHT_ROOM};
    chart.bytes = (TtScale){0, MAX(most, 1), chart.bottom,
                            chart.bottom - (chart.bottom - chart.top) / HEADROOM};

    tt_canvas_card(view->canvas, box);
    tt_view_draw_heading(view, box, "Live bytes over time", NULL, NULL, NULL, 0);
    if (most == 0 && totals->cumulative_allocations == 0) {
        tt_view_draw_nothing(view, box, "Nothing was allocated.");
        return;
    }
    tt_axis_draw_time(view, &chart.time, chart.top, chart.bottom);
    draw_bytes_axis(&chart, MAX(most, 1));
    draw_curve(&chart, points);
    tt_axis_draw_marks(view, &chart.time, chart.top, chart.bottom);
    draw_bands(&chart, points);
    if (totals->peak_bytes > 0)
        draw_peak(&chart);
}
