/* SPDX-License-Identifier: Apache-2.0 */
/* What the views have in common: the session that they show, how its things are called, and the
 * cards that they are put together from. Each view is one file; overview.c puts others in a page.
 *
 * A card's rows are planned before anything is drawn, so that cards can be made equally high. */
#pragma once

#include "report/frames.h"
#include "report/svg/callers.h"
#include "report/svg/canvas.h"
#include "report/svg/scale.h"
#include "report/svg/select.h"
#include "report/types.h"

G_BEGIN_DECLS

/* Of all pictures, in pixels. */
#define TT_PAGE_WIDTH 1200.0
#define TT_PAGE_MARGIN 32.0
#define TT_CARD_GAP 16.0
#define TT_CARD_PADDING 20.0

/* A session being drawn. Borrows everything. */
typedef struct TtView {
    TtCanvas *canvas;
    TtSnapshot *snapshot;
    TtFrameNames *names;
    const TtCallers *callers;
    const TtVariableTypes *types;
    const TtSelection *selection;
    guint64 end_ns; /* where time axes end */
    TtSessionState state;
    gint exit_status;
} TtView;

/* Draws the cards below @y. Returns where the next would begin. */
typedef double (*TtViewDraw)(const TtView *view, double y, guint row_max);

double tt_overview_draw(const TtView *view, double y, guint row_max);
double tt_top_draw(const TtView *view, double y, guint row_max);
double tt_lifecycles_draw(const TtView *view, double y, guint row_max);

/* heading.c: whose picture it is. Returns where the first card begins. */
double tt_heading_draw(const TtView *view);
char *tt_heading_get_program(const TtView *view); /* as people call it; raw bytes */
/* "running", "exited with status 0", …; of an earlier instant which one */
char *tt_heading_get_ending(const TtView *view);
/* What the figures of a sampled session are worth, a sentence; NULL of one that tells every event.
 */
char *tt_heading_get_estimate(const TtView *view);
gboolean tt_view_has_ended(const TtView *view);
/* Whether it shows an earlier instant than the latest state; then it has not ended. */
gboolean tt_view_is_earlier(const TtView *view);

/* What lives at the end of a process that exited is leaked; of others nobody can say so. */
const char *tt_view_get_alive_word(const TtView *view); /* "alive", "leaked", "alive at the end" */
const char *tt_view_get_alive_class(const TtView *view);

/* live-bytes.c: the curve, its peak and the marks. */
void tt_live_bytes_draw(const TtView *view, const TtBox *box);

/* top.c: as a card of a page, planned for a height. @box: as high as planned, or higher. */
typedef struct TtTopPlan {
    guint live_rows, peak_rows; /* 0: no such part */
} TtTopPlan;

TtTopPlan tt_top_plan(const TtView *view, double height);
double tt_top_get_height(const TtView *view, const TtTopPlan *plan);
void tt_top_draw_card(const TtView *view, const TtBox *box, const TtTopPlan *plan);

/* lifecycles.c: likewise; all rows that were selected. */
double tt_lifecycles_get_height(const TtView *view);
void tt_lifecycles_draw_card(const TtView *view, const TtBox *box);

/* A thing's names. All are given shown (tt_measure_show()); "" for what it does not have. */
typedef struct TtLabel {
    char *name;   /* of the variable, with a colon where a type follows, or of the function */
    char *type;   /* of the variable */
    char *caller; /* of the site, where others have its name */
    char *place;  /* in the source */
    char *whole;  /* in one line, for tooltips */
    gboolean is_variable;
} TtLabel;

/* @variable: index, or TT_NONE: what is at @stack is called by its place. */
void tt_label_init(TtLabel *label, const TtView *view, guint32 variable, guint32 stack);
void tt_label_clear(TtLabel *label);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TtLabel, tt_label_clear)

/* data-name, data-type and data-stack of the element that is open. */
void tt_label_set_data(const TtLabel *label, const TtView *view, guint32 variable, guint32 stack);
/* The room that it takes whole. */
double tt_label_measure(const TtLabel *label);
void tt_label_draw(const TtLabel *label, const TtView *view, double x, double baseline,
                   double room);

/* A heading with a legend at the right end of its line. @brief_note: in place of @note where that
 * has no room. */
typedef struct TtLegend {
    const char *class_name;
    const char *text;
} TtLegend;

void tt_view_draw_heading(const TtView *view, const TtBox *box, const char *heading,
                          const char *note, const char *brief_note, const TtLegend *legend,
                          gsize legend_count);

/* In place of a card's content. */
void tt_view_draw_nothing(const TtView *view, const TtBox *box, const char *sentence);

/* Vertical lines at round times from @top to @bottom, their words below. */
void tt_axis_draw_time(const TtView *view, const TtScale *scale, double top, double bottom);

/* Dashed lines at the marks, as many names above @top as have room. */
void tt_axis_draw_marks(const TtView *view, const TtScale *scale, double top, double bottom);

G_END_DECLS
