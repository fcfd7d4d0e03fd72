/* SPDX-License-Identifier: Apache-2.0 */
/* Who has the memory: variables and sites as bars, the largest first. What is alive comes first;
 * of a program that has ended also what was alive at its peak, for often nothing else is left. */
#include "report/svg/measure.h"
#include "report/svg/view.h"

#define HEAD_HEIGHT 68.0 /* heading and the columns' captions */
#define ROW_HEIGHT 26.0
#define BAR_HEIGHT 12.0
#define FOOT_HEIGHT 14.0

/* A card narrower than this has no column of block counts. */
#define WIDE 800.0

#define GAP 16.0
#define LABEL_LEAST 180.0
#define BYTES_WIDTH 72.0
#define BLOCKS_WIDTH 76.0
#define BLOCKS_DIGITS 8u
#define SHARE_WIDTH 54.0

#define NOTHING_HEIGHT 160.0

typedef struct Columns {
    double label, label_width;
    double bar, bar_width;
    double size, blocks, share; /* right edges; @blocks 0: no such column */
} Columns;

/* As wide as the labels are, within bounds. */
static double get_label_width(const TtView *view, const TtRanking *ranking, guint row_count,
                              double most) {
    double widest = LABEL_LEAST;

    for (guint i = 0; i < row_count; i++) {
        const TtOwner *owner = &g_array_index(ranking->owners, TtOwner, i);
        g_auto(TtLabel) label = {0};

        tt_label_init(&label, view, owner->variable, owner->stack);
        widest = MAX(widest, tt_label_measure(&label) + 1);
    }
    return MIN(widest, most);
}

static Columns place_columns(const TtBox *box, double label_width) {
    gboolean is_wide = box->width >= WIDE;
    Columns at = {.label = box->x + TT_CARD_PADDING};

    at.label_width = label_width;
    at.bar = at.label + at.label_width + GAP;
    at.share = box->x + box->width - TT_CARD_PADDING;
    at.size = at.share - SHARE_WIDTH - GAP;
    if (is_wide) {
        at.blocks = at.size;
        at.size = at.blocks - BLOCKS_WIDTH - GAP;
    }
    at.bar_width = at.size - BYTES_WIDTH - GAP - at.bar;
    return at;
}

static void draw_captions(const TtView *view, const Columns *at, double baseline) {
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, at->label, baseline,
                   at->label_width, "Declared variable, or site");
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_END, at->size, baseline, BYTES_WIDTH,
                   "Size");
    if (at->blocks > 0)
        tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_END, at->blocks, baseline,
                       BLOCKS_WIDTH, "Blocks");
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_END, at->share, baseline, SHARE_WIDTH,
                   "Share");
}

/* Bar and figures of a row. The scale ends at the largest row. */
static void draw_figures(const TtView *view, const Columns *at, double y, const char *class_name,
                         guint64 bytes, guint64 blocks, guint64 total_bytes, guint64 most_bytes) {
    TtScale scale = {0, MAX(most_bytes, 1), 0, at->bar_width};
    double top = y + (ROW_HEIGHT - BAR_HEIGHT) / 2, baseline = y + 17;
    g_autofree char *size = tt_scale_bytes(bytes);
    g_autofree char *share = tt_scale_share(bytes, total_bytes);
    g_autofree char *count = tt_scale_count_within(blocks, BLOCKS_DIGITS);

    tt_canvas_open_rect(view->canvas, "track", at->bar, top, at->bar_width, BAR_HEIGHT);
    tt_canvas_set_number(view->canvas, "rx", 3);
    tt_canvas_close(view->canvas);
    if (bytes > 0) {
        double width = tt_scale_place(&scale, bytes);
        tt_canvas_open_rect(view->canvas, class_name, at->bar, top, MAX(width, 2), BAR_HEIGHT);
        tt_canvas_set_number(view->canvas, "rx", MIN(3, MAX(width, 2) / 2));
        tt_canvas_close(view->canvas);
    }
    tt_canvas_text(view->canvas, TT_TEXT_NUMBER, TT_ANCHOR_END, at->size, baseline, BYTES_WIDTH,
                   size);
    if (at->blocks > 0)
        tt_canvas_text(view->canvas, TT_TEXT_NUMBER, TT_ANCHOR_END, at->blocks, baseline,
                       BLOCKS_WIDTH, count);
    tt_canvas_text(view->canvas, TT_TEXT_NUMBER, TT_ANCHOR_END, at->share, baseline, SHARE_WIDTH,
                   share);
}

static void draw_owner(const TtView *view, const Columns *at, double y, const TtRanking *ranking,
                       const TtOwner *owner, gboolean is_peak) {
    guint64 most = g_array_index(ranking->owners, TtOwner, 0).bytes;
    g_auto(TtLabel) label = {0};
    g_autofree char *bytes = tt_scale_count(owner->bytes);
    g_autofree char *blocks = tt_scale_things(owner->blocks, "block");
    g_autofree char *share = tt_scale_share(owner->bytes, ranking->total_bytes);
    g_autofree char *callers = tt_callers_describe(view->callers, owner->stack);

    tt_label_init(&label, view, owner->variable, owner->stack);
    tt_canvas_open(view->canvas, "g", "row");
    tt_canvas_set_text(view->canvas, "data-kind", owner->variable == TT_NONE ? "site" : "variable");
    /* Of a site whose other blocks have names the figures are not the site's. */
    tt_label_set_data(&label, view, owner->variable, owner->is_part ? TT_STACK_NONE : owner->stack);
    if (owner->is_part)
        tt_canvas_set_count(view->canvas, "data-unnamed-of-stack", owner->stack);
    tt_canvas_set_count(view->canvas, "data-bytes", owner->bytes);
    tt_canvas_set_count(view->canvas, "data-blocks", owner->blocks);
    if (owner->id != 0)
        tt_canvas_set_count(view->canvas, "data-id", owner->id);
    tt_canvas_hint(view->canvas, "%s\n%s bytes in %s%s\n%s of %s\n%s", label.whole, bytes, blocks,
                   owner->is_part ? " that have no name" : "", share,
                   is_peak ? "the peak" : "all that is alive", callers);

    tt_label_draw(&label, view, at->label, y + 17, at->label_width);
    draw_figures(view, at, y, label.is_variable ? "variable" : "site", owner->bytes, owner->blocks,
                 ranking->total_bytes, most);
    tt_canvas_close(view->canvas);
}

/* What the rows leave out, so that shares make a whole. */
static void draw_rest(const TtView *view, const Columns *at, double y, const TtRanking *ranking,
                      guint row_count) {
    guint64 most = g_array_index(ranking->owners, TtOwner, 0).bytes;
    guint64 count = ranking->rest_count, bytes = ranking->rest_bytes;
    guint64 blocks = ranking->rest_blocks;

    for (guint i = row_count; i < ranking->owners->len; i++) {
        const TtOwner *owner = &g_array_index(ranking->owners, TtOwner, i);
        count++;
        bytes += owner->bytes;
        blocks += owner->blocks;
    }
    g_autofree char *number = tt_scale_count(count);
    g_autofree char *text = g_strdup_printf("+%s not shown", number);

    tt_canvas_open(view->canvas, "g", "row");
    tt_canvas_set_text(view->canvas, "data-kind", "rest");
    tt_canvas_set_count(view->canvas, "data-count", count);
    tt_canvas_set_count(view->canvas, "data-bytes", bytes);
    tt_canvas_set_count(view->canvas, "data-blocks", blocks);
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, at->label, y + 17, at->label_width,
                   text);
    /* Together they may be more than the largest; the bar then ends at the column. */
    draw_figures(view, at, y, "rest", bytes, blocks, ranking->total_bytes, MAX(most, 1));
    tt_canvas_close(view->canvas);
}

static gboolean has_rest(const TtRanking *ranking, guint row_count) {
    return ranking->rest_count > 0 || row_count < ranking->owners->len;
}

static double get_part_height(const TtRanking *ranking, guint row_count) {
    return HEAD_HEIGHT + ROW_HEIGHT * (row_count + has_rest(ranking, row_count));
}

static const char *get_live_heading(const TtView *view) {
    if (tt_view_is_earlier(view))
        return "Largest alive then";
    if (!tt_view_has_ended(view))
        return "Largest alive now";
    return view->state == TT_SESSION_EXITED ? "Largest leaked" : "Largest alive at the end";
}

static void draw_part(const TtView *view, const TtBox *box, const TtRanking *ranking,
                      guint row_count, double label_width, gboolean is_peak, gboolean has_legend) {
    static const TtLegend legend[] = {{"variable", "declared variable"}, {"site", "site"}};
    Columns at = place_columns(box, label_width);
    gboolean has_variable = FALSE;
    g_autofree char *bytes = tt_scale_bytes(ranking->total_bytes);
    g_autofree char *blocks = tt_scale_things(ranking->total_blocks, "block");
    g_autofree char *when = tt_scale_time(tt_snapshot_get_totals(view->snapshot)->peak_ns);
    gboolean has_live = view->selection->live.owners->len > 0;
    const char *brief = has_live ? bytes : "nothing is alive now";
    g_autofree char *note = is_peak ? g_strdup_printf("%s%s in %s, at %s",
                                                      has_live ? "" : "nothing is alive now; then ",
                                                      bytes, blocks, when)
                                    : g_strdup_printf("%s in %s", bytes, blocks);

    for (guint i = 0; i < row_count; i++)
        has_variable |= g_array_index(ranking->owners, TtOwner, i).variable != TT_NONE;
    tt_canvas_open(view->canvas, "g", NULL);
    tt_canvas_set_text(view->canvas, "data-ranking", is_peak ? "peak" : "live");
    tt_canvas_set_count(view->canvas, "data-total-bytes", ranking->total_bytes);
    tt_canvas_set_count(view->canvas, "data-total-blocks", ranking->total_blocks);
    tt_view_draw_heading(view, box, is_peak ? "Largest at the peak" : get_live_heading(view), note,
                         brief, legend, has_variable && has_legend ? G_N_ELEMENTS(legend) : 0);
    draw_captions(view, &at, box->y + 58);

    double y = box->y + HEAD_HEIGHT;
    for (guint i = 0; i < row_count; i++, y += ROW_HEIGHT)
        draw_owner(view, &at, y, ranking, &g_array_index(ranking->owners, TtOwner, i), is_peak);
    if (has_rest(ranking, row_count))
        draw_rest(view, &at, y, ranking, row_count);
    tt_canvas_close(view->canvas);
}

/* Where the present tells little: nothing more will come, or there is nothing. */
static gboolean wants_peak(const TtView *view) {
    const TtSelection *selection = view->selection;

    return (tt_view_has_ended(view) || selection->live.owners->len == 0) &&
           selection->peak.total_bytes > selection->live.total_bytes;
}

/* How many rows of a part fit into @height; the last place may go to what is not shown. */
static guint fit_rows(const TtRanking *ranking, double height) {
    gint room = (gint)((height - HEAD_HEIGHT) / ROW_HEIGHT);

    if (room <= 1)
        return 0;
    if (ranking->rest_count == 0 && ranking->owners->len <= (guint)room)
        return ranking->owners->len;
    return MIN(ranking->owners->len, (guint)room - 1);
}

TtTopPlan tt_top_plan(const TtView *view, double height) {
    const TtSelection *selection = view->selection;
    TtTopPlan plan = {0};

    height -= FOOT_HEIGHT;
    if (!wants_peak(view)) {
        plan.live_rows = fit_rows(&selection->live, height);
        return plan;
    }
    /* What is left behind gets half of the room at most. */
    plan.live_rows = fit_rows(&selection->live, height / 2);
    if (plan.live_rows > 0)
        height -= get_part_height(&selection->live, plan.live_rows);
    plan.peak_rows = fit_rows(&selection->peak, height);
    return plan;
}

double tt_top_get_height(const TtView *view, const TtTopPlan *plan) {
    double height = FOOT_HEIGHT;

    if (plan->live_rows == 0 && plan->peak_rows == 0)
        return NOTHING_HEIGHT;
    if (plan->live_rows > 0)
        height += get_part_height(&view->selection->live, plan->live_rows);
    if (plan->peak_rows > 0)
        height += get_part_height(&view->selection->peak, plan->peak_rows);
    return height;
}

void tt_top_draw_card(const TtView *view, const TtBox *box, const TtTopPlan *plan) {
    const TtSelection *selection = view->selection;
    double most = box->width >= WIDE ? 420 : 240;
    double width = get_label_width(view, &selection->live, plan->live_rows, most);
    TtBox part = *box;

    tt_canvas_card(view->canvas, box);
    if (plan->live_rows == 0 && plan->peak_rows == 0) {
        tt_view_draw_heading(view, box, get_live_heading(view), NULL, NULL, NULL, 0);
        tt_view_draw_nothing(view, box, "Nothing was allocated.");
        return;
    }
    width = MAX(width, get_label_width(view, &selection->peak, plan->peak_rows, most));
    if (plan->live_rows > 0) {
        draw_part(view, &part, &selection->live, plan->live_rows, width, FALSE, TRUE);
        part.y += get_part_height(&selection->live, plan->live_rows);
    }
    if (plan->peak_rows > 0)
        draw_part(view, &part, &selection->peak, plan->peak_rows, width, TRUE,
                  plan->live_rows == 0);
}

/* A view of its own shows both in full. */
double tt_top_draw(const TtView *view, double y, guint row_max) {
    const TtSelection *selection = view->selection;
    TtTopPlan plan = {.live_rows = MIN(selection->live.owners->len, row_max)};

    if (wants_peak(view))
        plan.peak_rows = MIN(selection->peak.owners->len, row_max);

    TtBox box = {TT_PAGE_MARGIN, y, TT_PAGE_WIDTH - 2 * TT_PAGE_MARGIN,
                 tt_top_get_height(view, &plan)};
    tt_top_draw_card(view, &box, &plan);
    return y + box.height + TT_CARD_GAP;
}
