/* SPDX-License-Identifier: Apache-2.0 */
/* Lives of blocks: a bar a block, from its birth to its death. Those that have names come first,
 * then the most telling of the others; each part in order of birth, so that the eye can go down a
 * slope. */
#include "report/svg/measure.h"
#include "report/svg/view.h"
#include "report/text.h"

#define HEAD_HEIGHT 76.0 /* heading, captions and the marks' names */
#define ROW_HEIGHT 24.0
#define PART_HEIGHT 28.0 /* a part's own heading */
#define FOOT_HEIGHT 56.0 /* the axis, and how many are not shown */
#define BAR_HEIGHT 10.0

/* A card narrower than this has no column of lifetimes. */
#define WIDE 800.0

#define GAP 16.0
#define BYTES_WIDTH 72.0
#define LIFETIME_WIDTH 96.0
#define ARROW_WIDTH 9.0
#define LABEL_LEAST 150.0

typedef struct Columns {
    double label, label_width;
    double size, lifetime; /* right edges; @lifetime 0: no such column */
    double right;
    TtScale time;
} Columns;

static double get_widest(const TtView *view, const GArray *rows, double widest) {
    for (guint i = 0; i < rows->len; i++) {
        const TtBlockRow *row = &g_array_index(rows, TtBlockRow, i);
        g_auto(TtLabel) label = {0};

        tt_label_init(&label, view, row->variable, row->stack);
        widest = MAX(widest, tt_label_measure(&label));
    }
    return widest;
}

/* As wide as the labels are, within bounds. */
static double get_label_width(const TtView *view, double most) {
    double widest = get_widest(view, view->selection->named, LABEL_LEAST);

    widest = get_widest(view, view->selection->others, widest);
    return MIN(widest + 1, most);
}

static Columns place_columns(const TtView *view, const TtBox *box) {
    gboolean is_wide = box->width >= WIDE;
    double right = box->x + box->width - TT_CARD_PADDING;
    Columns at = {.label = box->x + TT_CARD_PADDING, .right = right};

    at.label_width = get_label_width(view, is_wide ? 340 : 190);
    at.size = at.label + at.label_width + BYTES_WIDTH + GAP / 2;
    at.time = (TtScale){0, MAX(view->end_ns, 1), at.size + 1.5 * GAP, right - ARROW_WIDTH - 2};
    if (is_wide) {
        at.lifetime = right;
        at.time.to -= LIFETIME_WIDTH + GAP;
    }
    return at;
}

static guint get_row_count(const TtView *view) {
    return view->selection->named->len + view->selection->others->len;
}

static gboolean has_parts(const TtView *view) {
    return view->selection->named->len > 0 && view->selection->others->len > 0;
}

static char *get_thread_word(const TtView *view, guint32 thread) {
    gsize thread_count;
    const TtThreadRow *threads = tt_snapshot_get_threads(view->snapshot, &thread_count);

    if (thread >= thread_count)
        return g_strdup("an unknown thread");
    g_autofree char *name = tt_measure_show(threads[thread].name ? threads[thread].name : "", 64);
    return g_strdup_printf("thread %u%s%s", threads[thread].tid, name[0] ? " " : "", name);
}

/* How large it is; of a sample also what it stands for. */
static char *describe_size(const TtView *view, const TtBlockRow *row) {
    g_autofree char *size = tt_scale_count(row->size);
    g_autofree char *blocks = tt_scale_things(row->weight.blocks, "block");
    g_autofree char *bytes = tt_scale_bytes(row->weight.bytes);

    return tt_snapshot_get_sample(view->snapshot)
               ? g_strdup_printf("%s bytes, standing for %s of %s", size, blocks, bytes)
               : g_strdup_printf("%s bytes", size);
}

static void add_hint(const TtView *view, const TtBlockRow *row, const TtLabel *label) {
    gboolean is_alive = row->died_ns == TT_TIME_NONE;
    guint64 until = is_alive ? view->end_ns : row->died_ns;
    g_autofree char *size = describe_size(view, row);
    g_autofree char *born = tt_scale_time(row->born_ns);
    g_autofree char *born_by = get_thread_word(view, row->thread);
    g_autofree char *died = tt_scale_time(until);
    g_autofree char *died_by = get_thread_word(view, row->freed_by);
    g_autofree char *lived = tt_scale_time(until > row->born_ns ? until - row->born_ns : 0);
    g_autofree char *callers = tt_callers_describe(view->callers, row->stack);

    if (is_alive)
        tt_canvas_hint(
            view->canvas, "%s\n%s, block %" G_GUINT64_FORMAT "\nborn at %s in %s\n%s\n%s",
            label->whole, size, row->id, born, born_by, tt_view_get_alive_word(view), callers);
    else
        tt_canvas_hint(view->canvas,
                       "%s\n%s, block %" G_GUINT64_FORMAT
                       "\nborn at %s in %s\nfreed at %s in %s, lived %s\n%s",
                       label->whole, size, row->id, born, born_by, died, died_by, lived, callers);
}

static void set_data(const TtView *view, const TtBlockRow *row, const TtLabel *label) {
    tt_label_set_data(label, view, row->variable, row->stack);
    tt_canvas_set_count(view->canvas, "data-id", row->id);
    tt_canvas_set_count(view->canvas, "data-bytes", row->size);
    tt_canvas_set_count(view->canvas, "data-born-ns", row->born_ns);
    if (row->died_ns != TT_TIME_NONE)
        tt_canvas_set_count(view->canvas, "data-died-ns", row->died_ns);
    tt_canvas_set_text(view->canvas, "data-state",
                       row->died_ns == TT_TIME_NONE ? "alive" : "freed");
}

/* A closed bar for a life that is over; one that ends in an arrow for one that is not. */
static void draw_bar(const TtView *view, const Columns *at, double y, const TtBlockRow *row) {
    gboolean is_alive = row->died_ns == TT_TIME_NONE;
    double from = tt_scale_place(&at->time, row->born_ns);
    double to = tt_scale_place(&at->time, is_alive ? at->time.last : row->died_ns);
    double top = y + (ROW_HEIGHT - BAR_HEIGHT) / 2;

    if (!is_alive) {
        /* A short life is still to be seen, also at the right end. */
        double width = MAX(to - from, 2.5);
        tt_canvas_open_rect(view->canvas, "freed", MIN(from, at->time.to - width), top, width,
                            BAR_HEIGHT);
        tt_canvas_set_number(view->canvas, "rx", MIN(3, width / 2));
        tt_canvas_close(view->canvas);
        return;
    }
    /* An arrow: half of BAR_HEIGHT up and down; rounded where it begins, as the others are. */
    GString *path = g_string_new("M");
    tt_canvas_append_number(path, MIN(from, to - 2) + 2);
    g_string_append_c(path, ' ');
    tt_canvas_append_number(path, top);
    g_string_append_c(path, 'H');
    tt_canvas_append_number(path, to);
    g_string_append(path, "l8 5l-8 5H");
    tt_canvas_append_number(path, MIN(from, to - 2) + 2);
    g_string_append(path, "a2 2 0 0 1-2-2v-6a2 2 0 0 1 2-2Z");
    tt_canvas_open_path(view->canvas, tt_view_get_alive_class(view), path->str);
    tt_canvas_close(view->canvas);
    g_string_free(path, TRUE);
}

static void draw_row(const TtView *view, const Columns *at, double y, const TtBlockRow *row) {
    g_auto(TtLabel) label = {0};
    g_autofree char *size = tt_scale_bytes(row->size);
    gboolean is_alive = row->died_ns == TT_TIME_NONE;
    guint64 lived_ns = !is_alive && row->died_ns > row->born_ns ? row->died_ns - row->born_ns : 0;
    g_autofree char *lived =
        is_alive ? g_strdup(tt_view_get_alive_word(view)) : tt_scale_time(lived_ns);

    tt_label_init(&label, view, row->variable, row->stack);
    tt_canvas_open(view->canvas, "g", "row");
    set_data(view, row, &label);
    add_hint(view, row, &label);
    /* Not to be seen; with it the whole row has the tooltip. */
    tt_canvas_rect(view->canvas, "hit", at->label - 6, y, at->right - at->label + 12, ROW_HEIGHT);
    tt_label_draw(&label, view, at->label, y + 16, at->label_width);
    tt_canvas_text(view->canvas, TT_TEXT_NUMBER, TT_ANCHOR_END, at->size, y + 16, BYTES_WIDTH,
                   size);
    draw_bar(view, at, y, row);
    if (at->lifetime > 0)
        tt_canvas_text(view->canvas, is_alive ? TT_TEXT_NOTE : TT_TEXT_NUMBER, TT_ANCHOR_END,
                       at->lifetime, y + 16, LIFETIME_WIDTH, lived);
    tt_canvas_close(view->canvas);
}

static double draw_part(const TtView *view, const Columns *at, double y, const char *heading,
                        const GArray *rows) {
    if (rows->len == 0)
        return y;
    if (has_parts(view)) {
        tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, at->label, y + 19,
                       at->size - at->label, heading);
        y += PART_HEIGHT;
    }
    for (guint i = 0; i < rows->len; i++, y += ROW_HEIGHT)
        draw_row(view, at, y, &g_array_index(rows, TtBlockRow, i));
    return y;
}

static void draw_captions(const TtView *view, const Columns *at, double baseline) {
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, at->label, baseline,
                   at->label_width, "Block");
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_END, at->size, baseline, BYTES_WIDTH,
                   "Size");
    if (at->lifetime > 0)
        tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_END, at->lifetime, baseline,
                       LIFETIME_WIDTH, "Lived");
}

static void draw_foot(const TtView *view, const Columns *at, double y) {
    guint64 rest = view->selection->block_count - get_row_count(view);

    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, at->label, y + 18,
                   at->size - at->label, "Time since the start");
    if (rest == 0)
        return;
    g_autofree char *number = tt_scale_things(rest, "block");
    g_autofree char *text = g_strdup_printf("+%s not shown", number);
    tt_canvas_open(view->canvas, "g", NULL);
    tt_canvas_set_text(view->canvas, "data-kind", "rest");
    tt_canvas_set_count(view->canvas, "data-count", rest);
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, at->label, y + 40,
                   at->size - at->label, text);
    tt_canvas_close(view->canvas);
}

/* Of what is there. */
static gsize get_legend(const TtView *view, TtLegend ret_legend[2]) {
    const GArray *parts[] = {view->selection->named, view->selection->others};
    gboolean has_freed = FALSE, has_alive = FALSE;
    gsize count = 0;

    for (gsize p = 0; p < G_N_ELEMENTS(parts); p++) {
        for (guint i = 0; i < parts[p]->len; i++) {
            gboolean is_alive = g_array_index(parts[p], TtBlockRow, i).died_ns == TT_TIME_NONE;
            has_alive |= is_alive;
            has_freed |= !is_alive;
        }
    }
    if (has_freed)
        ret_legend[count++] = (TtLegend){"freed", "freed"};
    if (has_alive)
        ret_legend[count++] =
            (TtLegend){tt_view_get_alive_class(view), tt_view_get_alive_word(view)};
    return count;
}

double tt_lifecycles_get_height(const TtView *view) {
    guint row_count = get_row_count(view);

    if (row_count == 0)
        return 160;
    return HEAD_HEIGHT + ROW_HEIGHT * row_count + (has_parts(view) ? 2 * PART_HEIGHT : 0) +
           FOOT_HEIGHT;
}

void tt_lifecycles_draw_card(const TtView *view, const TtBox *box) {
    TtLegend legend[2];
    gsize legend_count = get_legend(view, legend);
    Columns at = place_columns(view, box);
    double top = box->y + HEAD_HEIGHT;
    double bottom = box->y + tt_lifecycles_get_height(view) - FOOT_HEIGHT;

    tt_canvas_card(view->canvas, box);
    if (get_row_count(view) == 0) {
        tt_view_draw_heading(view, box, "Block lifecycles", NULL, NULL, NULL, 0);
        tt_view_draw_nothing(view, box, "No blocks are known one by one.");
        return;
    }
    tt_canvas_open(view->canvas, "g", NULL);
    tt_canvas_set_text(view->canvas, "data-card", "lifecycles");
    tt_canvas_set_count(view->canvas, "data-ns", view->end_ns);
    tt_view_draw_heading(view, box, "Block lifecycles", NULL, NULL, legend, legend_count);
    draw_captions(view, &at, top - 11);
    tt_axis_draw_time(view, &at.time, top, bottom);
    tt_axis_draw_marks(view, &at.time, top, bottom);
    double y = draw_part(view, &at, top, "Declared variables", view->selection->named);
    draw_part(view, &at, y, "Other blocks, large and long-lived", view->selection->others);
    draw_foot(view, &at, bottom);
    tt_canvas_close(view->canvas);
}

double tt_lifecycles_draw(const TtView *view, double y, guint row_max G_GNUC_UNUSED) {
    TtBox box = {TT_PAGE_MARGIN, y, TT_PAGE_WIDTH - 2 * TT_PAGE_MARGIN,
                 tt_lifecycles_get_height(view)};

    tt_lifecycles_draw_card(view, &box);
    return y + box.height + TT_CARD_GAP;
}
