/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces that several cards need: names, headings, legends. */
#include "report/svg/view.h"

#include <string.h>

#include "report/svg/measure.h"
#include "report/text.h"

#define SWATCH 10.0
#define SWATCH_GAP 6.0
#define LEGEND_GAP 18.0

static char *show(const char *bytes) {
    return tt_measure_show(bytes ? bytes : "", TT_CANVAS_NAME_CHARACTERS);
}

/* "parse (config.c:120)" or "parse (libconfig.so.0+0x1f40)" in its two parts. */
static void split_place(const char *label, char **ret_name, char **ret_place) {
    gsize len = strlen(label);
    const char *bracket = g_strrstr(label, " (");

    if (bracket && label[len - 1] == ')' && (strchr(bracket, ':') || strstr(bracket, "+0x"))) {
        *ret_name = g_strndup(label, (gsize)(bracket - label));
        *ret_place = g_strndup(bracket + 2, len - 1 - (gsize)(bracket + 2 - label));
    } else {
        *ret_name = g_strdup(label);
        *ret_place = g_strdup("");
    }
}

/* @type: may be NULL */
static void init_variable(TtLabel *label, const TtVariableRow *variable, const char *type) {
    g_autofree char *name =
        show(variable->name && variable->name[0] ? variable->name : "(no name)");
    g_autofree char *file = show(tt_text_basename(variable->file ? variable->file : ""));

    label->is_variable = TRUE;
    label->caller = g_strdup("");
    label->type = show(type);
    label->place = variable->line > 0 && file[0] ? g_strdup_printf("%s:%u", file, variable->line)
                                                 : g_strdup(file);
    label->name = g_strconcat(name, label->type[0] ? ":" : "", NULL);
    label->whole =
        g_strconcat(label->name, label->type[0] ? " " : "", label->type,
                    label->place[0] ? " (" : "", label->place, label->place[0] ? ")" : "", NULL);
}

void tt_label_init(TtLabel *label, const TtView *view, guint32 variable, guint32 stack) {
    gsize variable_count;
    const TtVariableRow *variables = tt_snapshot_get_variables(view->snapshot, &variable_count);

    *label = (TtLabel){0};
    if (variable < variable_count) {
        init_variable(label, &variables[variable],
                      tt_variable_types_find(view->types, variable, NULL));
        return;
    }
    g_autofree char *raw = tt_frame_names_label(view->names, stack);
    label->whole = show(raw);
    label->type = g_strdup("");
    label->caller = show(tt_callers_find(view->callers, stack));
    split_place(label->whole, &label->name, &label->place);
}

void tt_label_clear(TtLabel *label) {
    g_clear_pointer(&label->name, g_free);
    g_clear_pointer(&label->type, g_free);
    g_clear_pointer(&label->caller, g_free);
    g_clear_pointer(&label->place, g_free);
    g_clear_pointer(&label->whole, g_free);
}

void tt_label_set_data(const TtLabel *label, const TtView *view, guint32 variable, guint32 stack) {
    gsize variable_count;
    const TtVariableRow *variables = tt_snapshot_get_variables(view->snapshot, &variable_count);

    tt_canvas_set_text(view->canvas, "data-name",
                       variable < variable_count ? variables[variable].name : label->whole);
    if (label->is_variable && label->type[0])
        tt_canvas_set_text(view->canvas, "data-type", label->type);
    if (stack != TT_STACK_NONE)
        tt_canvas_set_count(view->canvas, "data-stack", stack);
}

#define PART_COUNT 4u

static void get_parts(const TtLabel *label, TtTextPart ret_parts[PART_COUNT]) {
    ret_parts[0] = (TtTextPart){label->is_variable ? TT_TEXT_STRONG : TT_TEXT_LABEL, label->name};
    ret_parts[1] = (TtTextPart){TT_TEXT_LABEL, label->type};
    ret_parts[2] = (TtTextPart){TT_TEXT_NOTE, label->caller};
    ret_parts[3] = (TtTextPart){TT_TEXT_NOTE, label->place};
}

double tt_label_measure(const TtLabel *label) {
    TtTextPart parts[PART_COUNT];

    get_parts(label, parts);
    return tt_canvas_measure_parts(parts, PART_COUNT);
}

void tt_label_draw(const TtLabel *label, const TtView *view, double x, double baseline,
                   double room) {
    TtTextPart parts[PART_COUNT];

    get_parts(label, parts);
    tt_canvas_parts(view->canvas, x, baseline, room, parts, PART_COUNT);
}

/* Returns where the legend begins. */
static double draw_legend(const TtView *view, double right, double baseline, const TtLegend *legend,
                          gsize legend_count) {
    double x = right;

    for (gsize i = legend_count; i-- > 0;) {
        double width = tt_canvas_measure(TT_TEXT_NOTE, legend[i].text);

        x -= width;
        tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, x, baseline, width + 1,
                       legend[i].text);
        x -= SWATCH_GAP + SWATCH;
        tt_canvas_open_rect(view->canvas, legend[i].class_name, x, baseline - 9, SWATCH, SWATCH);
        tt_canvas_set_number(view->canvas, "rx", 2);
        tt_canvas_close(view->canvas);
        x -= LEGEND_GAP;
    }
    return x;
}

void tt_view_draw_heading(const TtView *view, const TtBox *box, const char *heading,
                          const char *note, const char *brief_note, const TtLegend *legend,
                          gsize legend_count) {
    double left = box->x + TT_CARD_PADDING, baseline = box->y + 31;
    double right =
        draw_legend(view, box->x + box->width - TT_CARD_PADDING, baseline, legend, legend_count);
    TtTextPart parts[] = {{TT_TEXT_HEADING, heading}, {TT_TEXT_NOTE, note}};

    if (tt_canvas_measure_parts(parts, G_N_ELEMENTS(parts)) > right - left)
        parts[1].text = brief_note;
    tt_canvas_parts(view->canvas, left, baseline, right - left, parts, G_N_ELEMENTS(parts));
}

void tt_view_draw_nothing(const TtView *view, const TtBox *box, const char *sentence) {
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_MIDDLE, box->x + box->width / 2,
                   box->y + box->height / 2 + 4, box->width - 2 * TT_CARD_PADDING, sentence);
}
