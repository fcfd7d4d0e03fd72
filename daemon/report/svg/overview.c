/* SPDX-License-Identifier: Apache-2.0 */
/* A session on one page: key figures, live bytes over time, who has the memory, lives of blocks. */
#include "report/svg/measure.h"
#include "report/svg/view.h"

#define FIGURE_COUNT 6u
#define COUNT_DIGITS 12u /* more are not read, and do not fit */
#define FIGURES_HEIGHT 92.0
#define CHART_HEIGHT 320.0
#define DOUBT_HEIGHT 34.0
#define CARDS_LEAST 260.0 /* of the two at the bottom */

/* A key figure: caption, figure, remark. */
typedef struct Figure {
    const char *name; /* data-figure */
    const char *caption;
    const char *text, *remark;
    const char *class_name; /* of a dot before the text, or NULL */
} Figure;

typedef struct Cell {
    const TtView *view;
    double x, y, width;
} Cell;

/* Then come its data, its tooltip and close_figure(). */
static TtCanvas *open_figure(const Cell *cell, const Figure *figure) {
    tt_canvas_open(cell->view->canvas, "g", NULL);
    tt_canvas_set_text(cell->view->canvas, "data-figure", figure->name);
    return cell->view->canvas;
}

static void close_figure(const Cell *cell, const Figure *figure) {
    TtCanvas *canvas = cell->view->canvas;
    double indent = figure->class_name ? 18 : 0;
    double room = cell->width - indent;
    gboolean is_long = tt_canvas_measure(TT_TEXT_FIGURE, figure->text) > room;

    if (figure->class_name) {
        tt_canvas_open(canvas, "circle", figure->class_name);
        tt_canvas_set_number(canvas, "cx", cell->x + 6);
        tt_canvas_set_number(canvas, "cy", cell->y + 49);
        tt_canvas_set_number(canvas, "r", 5);
        tt_canvas_close(canvas);
    }
    tt_canvas_text(canvas, TT_TEXT_NOTE, TT_ANCHOR_START, cell->x, cell->y + 28, cell->width,
                   figure->caption);
    tt_canvas_text(canvas, is_long ? TT_TEXT_HEADING : TT_TEXT_FIGURE, TT_ANCHOR_START,
                   cell->x + indent, cell->y + 56, room, figure->text);
    tt_canvas_text(canvas, TT_TEXT_NOTE, TT_ANCHOR_START, cell->x, cell->y + 76, cell->width,
                   figure->remark);
    tt_canvas_close(canvas);
}

static void set_amount(TtCanvas *canvas, guint64 bytes, guint64 blocks) {
    tt_canvas_set_count(canvas, "data-bytes", bytes);
    tt_canvas_set_count(canvas, "data-blocks", blocks);
}

/* @error: of an estimate; NULL of what is none */
static void hint_amount(TtCanvas *canvas, guint64 bytes, guint64 blocks, const TtAmount *error) {
    g_autofree char *exact_bytes = tt_scale_count(bytes);
    g_autofree char *exact_blocks = tt_scale_things(blocks, "block");

    if (error) {
        g_autofree char *bytes_error = tt_scale_count(error->bytes);
        g_autofree char *blocks_error = tt_scale_count(error->blocks);

        tt_canvas_hint(canvas, "%s bytes in %s, estimated\n±%s bytes, ±%s blocks", exact_bytes,
                       exact_blocks, bytes_error, blocks_error);
    } else {
        tt_canvas_hint(canvas, "%s bytes in %s", exact_bytes, exact_blocks);
    }
}

/* NULL where every event was told. */
static const TtErrors *get_errors(const TtView *view) {
    const TtSample *sample = tt_snapshot_get_sample(view->snapshot);

    return sample ? &sample->errors : NULL;
}

static void draw_live(const Cell *cell, const TtTotals *totals) {
    const TtErrors *errors = get_errors(cell->view);
    g_autofree char *bytes = tt_scale_bytes(totals->live_bytes);
    g_autofree char *blocks = tt_scale_things(totals->live_blocks, "block");
    Figure figure = {"live", "Live", bytes, blocks, NULL};
    TtCanvas *canvas = open_figure(cell, &figure);

    set_amount(canvas, totals->live_bytes, totals->live_blocks);
    hint_amount(canvas, totals->live_bytes, totals->live_blocks, errors ? &errors->live : NULL);
    close_figure(cell, &figure);
}

static void draw_peak(const Cell *cell, const TtTotals *totals) {
    const TtErrors *errors = get_errors(cell->view);
    g_autofree char *bytes = tt_scale_bytes(totals->peak_bytes);
    g_autofree char *blocks = tt_scale_things(totals->peak_blocks, "block");
    g_autofree char *time = tt_scale_time(totals->peak_ns);
    g_autofree char *when = g_strdup_printf("at %s", time);
    g_autofree char *both = g_strdup_printf("%s, %s", blocks, when);
    gboolean has_room = tt_canvas_measure(TT_TEXT_NOTE, both) <= cell->width;
    Figure figure = {"peak", "Peak", bytes, has_room ? both : when, NULL};
    TtCanvas *canvas = open_figure(cell, &figure);

    set_amount(canvas, totals->peak_bytes, totals->peak_blocks);
    tt_canvas_set_count(canvas, "data-ns", totals->peak_ns);
    hint_amount(canvas, totals->peak_bytes, totals->peak_blocks, errors ? &errors->peak : NULL);
    close_figure(cell, &figure);
}

static void draw_allocations(const Cell *cell, const TtTotals *totals) {
    const TtErrors *errors = get_errors(cell->view);
    g_autofree char *count = tt_scale_count_within(totals->cumulative_allocations, COUNT_DIGITS);
    g_autofree char *bytes = tt_scale_bytes(totals->cumulative_allocated);
    g_autofree char *remark = g_strdup_printf("%s in all", bytes);
    Figure figure = {"allocated", "Allocations", count, remark, NULL};
    TtCanvas *canvas = open_figure(cell, &figure);

    set_amount(canvas, totals->cumulative_allocated, totals->cumulative_allocations);
    hint_amount(canvas, totals->cumulative_allocated, totals->cumulative_allocations,
                errors ? &errors->cumulative : NULL);
    close_figure(cell, &figure);
}

static void draw_leaked(const Cell *cell, const TtTotals *totals) {
    const TtErrors *errors = get_errors(cell->view);
    gboolean has_exited = cell->view->state == TT_SESSION_EXITED;
    g_autofree char *bytes = tt_scale_bytes(totals->live_bytes);
    g_autofree char *blocks = tt_scale_things(totals->live_blocks, "block");
    Figure leaked = {"leaked", has_exited ? "Leaked at the end" : "Alive at the end", bytes, blocks,
                     NULL};
    Figure open = {"leaked", "Leaked at the end", "–",
                   tt_view_is_earlier(cell->view) ? "an earlier instant" : "has not ended", NULL};
    gboolean has_ended = tt_view_has_ended(cell->view);
    const Figure *figure = has_ended ? &leaked : &open;
    TtCanvas *canvas = open_figure(cell, figure);

    if (has_ended) {
        set_amount(canvas, totals->live_bytes, totals->live_blocks);
        hint_amount(canvas, totals->live_bytes, totals->live_blocks, errors ? &errors->live : NULL);
    }
    close_figure(cell, figure);
}

static void draw_events(const Cell *cell, const TtTotals *totals) {
    gsize thread_count;
    tt_snapshot_get_threads(cell->view->snapshot, &thread_count);
    g_autofree char *count = tt_scale_count_within(totals->events, COUNT_DIGITS);
    g_autofree char *threads = tt_scale_things(thread_count, "thread");
    Figure figure = {"events", "Events", count, threads, NULL};
    TtCanvas *canvas = open_figure(cell, &figure);

    tt_canvas_set_count(canvas, "data-count", totals->events);
    close_figure(cell, &figure);
}

static void draw_exactness(const Cell *cell, const TtTotals *totals G_GNUC_UNUSED) {
    const TtCompleteness *completeness = tt_snapshot_get_completeness(cell->view->snapshot);
    const TtSample *sample = tt_snapshot_get_sample(cell->view->snapshot);
    g_autofree char *distance = tt_scale_bytes(sample ? sample->mean_bytes : 0);
    g_autofree char *sampled = g_strdup_printf("one in %s", distance);
    g_autofree char *count = tt_scale_count_within(completeness->dropped_events, COUNT_DIGITS);
    g_autofree char *dropped = g_strdup_printf("%s dropped", count);
    gboolean has_dropped = completeness->dropped_events > 0;
    Figure exact = {"exact", "Figures are", "Exact", "nothing was missed", "good"};
    Figure rough = {"exact", "Figures are", "Not exact",
                    has_dropped ? dropped : "some things were missed", "warn"};
    Figure estimates = {"exact", "Figures are", "Estimates", has_dropped ? dropped : sampled,
                        "warn"};
    const Figure *figure = sample ? &estimates : completeness->exact ? &exact : &rough;
    TtCanvas *canvas = open_figure(cell, figure);

    tt_canvas_set_text(canvas, "data-exact", completeness->exact ? "true" : "false");
    tt_canvas_set_count(canvas, "data-dropped-events", completeness->dropped_events);
    close_figure(cell, figure);
}

static void draw_figures(const TtView *view, const TtBox *box) {
    static void (*const draw[FIGURE_COUNT])(const Cell *cell, const TtTotals *totals) = {
        draw_live, draw_peak, draw_allocations, draw_leaked, draw_events, draw_exactness,
    };
    const TtTotals *totals = tt_snapshot_get_totals(view->snapshot);
    double width = box->width / FIGURE_COUNT;

    tt_canvas_card(view->canvas, box);
    for (guint i = 0; i < FIGURE_COUNT; i++) {
        double x = box->x + i * width;
        Cell cell = {view, x + TT_CARD_PADDING, box->y, width - 2 * TT_CARD_PADDING + 12};

        if (i > 0)
            tt_canvas_line(view->canvas, "rule", x, box->y + 18, x, box->y + box->height - 18);
        draw[i](&cell, totals);
    }
}

/* Why the figures are not exact: the first reason, and how many more there are. */
static double draw_doubts(const TtView *view, double y) {
    const TtCompleteness *completeness = tt_snapshot_get_completeness(view->snapshot);
    TtBox box = {TT_PAGE_MARGIN, y, TT_PAGE_WIDTH - 2 * TT_PAGE_MARGIN, DOUBT_HEIGHT};
    guint count = completeness->doubts ? completeness->doubts->len : 0;
    g_autofree char *more = count > 1 ? g_strdup_printf("and %u more", count - 1) : NULL;

    if (count == 0)
        return y;
    TtTextPart parts[] = {
        {TT_TEXT_LABEL, g_ptr_array_index(completeness->doubts, 0)},
        {TT_TEXT_NOTE, more},
    };
    tt_canvas_card(view->canvas, &box);
    tt_canvas_open(view->canvas, "circle", completeness->exact ? "rest" : "warn");
    tt_canvas_set_number(view->canvas, "cx", box.x + TT_CARD_PADDING + 6);
    tt_canvas_set_number(view->canvas, "cy", box.y + DOUBT_HEIGHT / 2);
    tt_canvas_set_number(view->canvas, "r", 4);
    tt_canvas_close(view->canvas);
    tt_canvas_parts(view->canvas, box.x + TT_CARD_PADDING + 18, box.y + DOUBT_HEIGHT / 2 + 4,
                    box.width - 2 * TT_CARD_PADDING - 18, parts, G_N_ELEMENTS(parts));
    return y + DOUBT_HEIGHT + TT_CARD_GAP;
}

double tt_overview_draw(const TtView *view, double y, guint row_max G_GNUC_UNUSED) {
    double width = TT_PAGE_WIDTH - 2 * TT_PAGE_MARGIN;
    double half = (width - TT_CARD_GAP) / 2;
    double height = MAX(tt_lifecycles_get_height(view), CARDS_LEAST);
    TtTopPlan plan = tt_top_plan(view, height);
    TtBox figures = {TT_PAGE_MARGIN, y, width, FIGURES_HEIGHT};

    draw_figures(view, &figures);
    y = draw_doubts(view, y + FIGURES_HEIGHT + TT_CARD_GAP);

    TtBox chart = {TT_PAGE_MARGIN, y, width, CHART_HEIGHT};
    tt_live_bytes_draw(view, &chart);
    y += CHART_HEIGHT + TT_CARD_GAP;

    TtBox left = {TT_PAGE_MARGIN, y, half, height};
    TtBox right = {TT_PAGE_MARGIN + half + TT_CARD_GAP, y, half, height};
    tt_top_draw_card(view, &left, &plan);
    tt_lifecycles_draw_card(view, &right);
    return y + height + TT_CARD_GAP;
}
