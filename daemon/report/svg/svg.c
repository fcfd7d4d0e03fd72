/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a picture: choose what is shown, name it, draw it, check it, hand it out. Nothing is
 * written before the last of it is known to be good, so there is never half a picture. */
#include <string.h>

#include "report/report.h"
#include "report/svg/check.h"
#include "report/svg/view.h"

#define BOTTOM_MARGIN 16.0

/* A page of its own has room for more rows than a card of the overview. */
static const struct View {
    const char *name;
    const char *what; /* of the session, in the title */
    TtViewDraw draw;
    guint owner_max, block_max; /* rows unless asked for more or less */
} views[] = {
    {"overview", "heap overview", tt_overview_draw, 20, 12},
    {"top", "largest users of the heap", tt_top_draw, 20, 20},
    {"lifecycles", "block lifecycles", tt_lifecycles_draw, 20, 30},
};

static const struct View *find_view(const char *name) {
    for (gsize i = 0; i < G_N_ELEMENTS(views); i++)
        if (g_str_equal(views[i].name, name))
            return &views[i];
    return NULL;
}

gboolean tt_report_has_view(const char *view) { return find_view(view) != NULL; }

/* A session that still runs goes on to the present, also where nothing has happened lately. */
static guint64 get_end_ns(const TtView *view, const TtReportOptions *options) {
    guint64 end_ns = tt_snapshot_get_time_ns(view->snapshot);
    guint64 start = tt_snapshot_get_info(view->snapshot)->timescale.start_realtime_ns;

    if (view->state == TT_SESSION_RUNNING && !tt_view_is_earlier(view) &&
        options->now_realtime_ns > start)
        return MAX(end_ns, options->now_realtime_ns - start);
    return end_ns;
}

static void add_owner_stacks(GArray *stacks, const TtRanking *ranking) {
    for (guint i = 0; i < ranking->owners->len; i++)
        g_array_append_val(stacks, g_array_index(ranking->owners, TtOwner, i).stack);
}

static void add_block_stacks(GArray *stacks, const GArray *rows) {
    for (guint i = 0; i < rows->len; i++)
        g_array_append_val(stacks, g_array_index(rows, TtBlockRow, i).stack);
}

/* Of what is shown only, whatever the session's size. */
static TtCallers *resolve_names(const TtView *view) {
    g_autoptr(GArray) stacks = g_array_new(FALSE, FALSE, sizeof(guint32));

    add_owner_stacks(stacks, &view->selection->live);
    add_owner_stacks(stacks, &view->selection->peak);
    add_block_stacks(stacks, view->selection->named);
    add_block_stacks(stacks, view->selection->others);
    for (guint i = 0; i < stacks->len; i++)
        tt_frame_names_add_stack(view->names, g_array_index(stacks, guint32, i));
    tt_frame_names_resolve(view->names);
    return tt_callers_new(view->snapshot, view->names, (const guint32 *)(gpointer)stacks->data,
                          stacks->len);
}

/* For those who do not see it. */
static char *describe(const TtView *view) {
    const TtTotals *totals = tt_snapshot_get_totals(view->snapshot);
    g_autofree char *ending = tt_heading_get_ending(view);
    g_autofree char *run_time = tt_scale_time(view->end_ns);
    g_autofree char *live = tt_scale_bytes(totals->live_bytes);
    g_autofree char *live_blocks = tt_scale_things(totals->live_blocks, "block");
    g_autofree char *peak = tt_scale_bytes(totals->peak_bytes);
    g_autofree char *peak_time = tt_scale_time(totals->peak_ns);
    g_autofree char *allocations = tt_scale_things(totals->cumulative_allocations, "allocation");

    g_autofree char *estimate = tt_heading_get_estimate(view);

    return g_strdup_printf("Process %d, %s, after %s: %s alive in %s; peak %s at %s; %s.%s%s%s",
                           tt_snapshot_get_info(view->snapshot)->pid, ending, run_time, live,
                           live_blocks, peak, peak_time, allocations, estimate ? " " : "",
                           estimate ? estimate : "", estimate ? "." : "");
}

static GString *draw(const TtView *view, const struct View *what, guint row_max, GError **error) {
    g_autofree char *program = tt_heading_get_program(view);
    g_autofree char *title = g_strdup_printf("%s: %s", program, what->what);
    g_autofree char *desc = describe(view);
    double y = tt_heading_draw(view);

    y = what->draw(view, y, row_max);
    return tt_canvas_finish(view->canvas, TT_PAGE_WIDTH, y + BOTTOM_MARGIN, title, desc, error);
}

gboolean tt_report_svg(TtSnapshot *snapshot, TtSymbols *symbols, const TtReportOptions *options,
                       TtSink *sink, GError **error) {
    const struct View *what = find_view(options->view ? options->view : "overview");
    g_autoptr(TtFrameNames) names = tt_frame_names_new(snapshot, symbols);
    g_autoptr(TtCanvas) canvas = tt_canvas_new();
    TtView view = {.canvas = canvas, .snapshot = snapshot, .names = names};

    g_assert(what);
    guint asked = MIN(options->top, TT_SELECT_ROWS_MAX);
    guint owner_max = asked > 0 ? asked : what->owner_max;
    guint block_max = asked > 0 ? asked : what->block_max;
    view.state = tt_snapshot_get_state(snapshot, &view.exit_status);
    if (tt_view_is_earlier(&view)) /* it ran then, however it has ended */
        view.state = TT_SESSION_RUNNING;
    view.end_ns = get_end_ns(&view, options);
    g_autoptr(TtSelection) selection =
        tt_select(snapshot, owner_max, block_max, view.end_ns, tt_view_has_ended(&view));
    view.selection = selection;
    g_autoptr(TtCallers) callers = resolve_names(&view);
    view.callers = callers;
    g_autoptr(TtVariableTypes) types = tt_variable_types_new(snapshot, symbols);
    view.types = types;

    GString *document = draw(&view, what, owner_max, error);
    if (!document)
        return FALSE;
    gboolean is_good = tt_picture_check(document->str, document->len, error) &&
                       tt_sink_write(sink, document->str, document->len, error);
    g_string_free(document, TRUE);
    return is_good;
}
