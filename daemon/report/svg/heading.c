/* SPDX-License-Identifier: Apache-2.0 */
/* Whose picture it is: program, command line, how it went. */
#include <string.h>
#include <sys/wait.h>

#include "report/svg/measure.h"
#include "report/svg/view.h"
#include "report/text.h"

#define PILL_HEIGHT 26.0
#define ESTIMATE_HEIGHT 22.0
#define SESSION_DIGITS 12u

/* Longer ones are cut anyway. */
#define COMMAND_BYTES 1024u
#define MARK_BYTES 40

gboolean tt_view_is_earlier(const TtView *view) {
    return tt_snapshot_get_instant(view->snapshot)->kind != TT_INSTANT_NOW;
}

gboolean tt_view_has_ended(const TtView *view) {
    return view->state != TT_SESSION_RUNNING && view->state != TT_SESSION_LOST;
}

const char *tt_view_get_alive_word(const TtView *view) {
    switch (view->state) {
    case TT_SESSION_RUNNING:
        return "alive";
    case TT_SESSION_EXITED:
        return "leaked";
    default:
        return "alive at the end";
    }
}

const char *tt_view_get_alive_class(const TtView *view) {
    return tt_view_has_ended(view) ? "leaked" : "alive";
}

char *tt_heading_get_program(const TtView *view) {
    const TtSessionInfo *info = tt_snapshot_get_info(view->snapshot);

    if (info->exe && info->exe[0])
        return g_strdup(tt_text_basename(info->exe));
    if (info->command_line && info->command_line[0] && info->command_line[0][0])
        return g_strdup(tt_text_basename(info->command_line[0]));
    return g_strdup_printf("process %d", info->pid);
}

static char *get_instant(const TtInstantRow *instant) {
    g_autofree char *when = tt_scale_time(instant->t_ns);

    switch (instant->kind) {
    case TT_INSTANT_MARK:
        return g_strdup_printf("as of mark %.*s", MARK_BYTES, instant->mark);
    case TT_INSTANT_TIME:
        return g_strdup_printf("as of %s", when);
    case TT_INSTANT_PEAK:
        return g_strdup("as of the peak");
    case TT_INSTANT_START:
        return g_strdup("as of the start");
    case TT_INSTANT_NOW:
        break;
    }
    return g_strdup("");
}

char *tt_heading_get_ending(const TtView *view) {
    gint status = view->exit_status;

    if (tt_view_is_earlier(view))
        return get_instant(tt_snapshot_get_instant(view->snapshot));
    switch (view->state) {
    case TT_SESSION_RUNNING:
        return g_strdup("running");
    case TT_SESSION_EXITED:
        if (status < 0 || !WIFEXITED(status))
            return g_strdup("exited");
        return g_strdup_printf("exited with status %d", WEXITSTATUS(status));
    case TT_SESSION_KILLED: {
        /* Not strsignal(), which speaks the locale's language. */
        const char *name =
            status >= 0 && WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
        return name ? g_strdup_printf("killed by SIG%s", name) : g_strdup("killed");
    }
    case TT_SESSION_EXEC:
        return g_strdup("went on as another program");
    case TT_SESSION_ENDED:
        return g_strdup("ended");
    case TT_SESSION_LOST:
        return g_strdup("connection lost");
    }
    return g_strdup("");
}

static const char *get_state_class(const TtView *view) {
    if (tt_view_is_earlier(view))
        return "rest";
    switch (view->state) {
    case TT_SESSION_RUNNING:
        return "good";
    case TT_SESSION_EXITED:
        return view->exit_status == 0 ? "good" : "warn";
    case TT_SESSION_KILLED:
        return "bad";
    default:
        return "rest";
    }
}

static char *get_command_line(const TtSessionInfo *info) {
    GString *line = g_string_new(NULL);

    for (gsize i = 0; info->command_line && info->command_line[i]; i++) {
        if (line->len > COMMAND_BYTES)
            break;
        if (i > 0)
            g_string_append_c(line, ' ');
        g_string_append_len(line, info->command_line[i],
                            (gssize)strnlen(info->command_line[i], COMMAND_BYTES));
    }
    return g_string_free(line, FALSE);
}

/* What happened, in a word, with a dot of its colour. Returns where it begins. */
static double draw_pill(const TtView *view, double right, double middle) {
    g_autofree char *ending = tt_heading_get_ending(view);
    double width = tt_canvas_measure(TT_TEXT_LABEL, ending) + 38;
    double left = right - width;

    tt_canvas_open(view->canvas, "g", NULL);
    tt_canvas_set_text(view->canvas, "data-state", tt_session_state_name(view->state));
    tt_canvas_open_rect(view->canvas, "pill", left + 0.5, middle - PILL_HEIGHT / 2 + 0.5, width - 1,
                        PILL_HEIGHT - 1);
    tt_canvas_set_number(view->canvas, "rx", (PILL_HEIGHT - 1) / 2);
    tt_canvas_close(view->canvas);
    tt_canvas_open(view->canvas, "circle", get_state_class(view));
    tt_canvas_set_number(view->canvas, "cx", left + 15);
    tt_canvas_set_number(view->canvas, "cy", middle);
    tt_canvas_set_number(view->canvas, "r", 4);
    tt_canvas_close(view->canvas);
    tt_canvas_text(view->canvas, TT_TEXT_LABEL, TT_ANCHOR_START, left + 25, middle + 4, width,
                   ending);
    tt_canvas_close(view->canvas);
    return left;
}

/* "2024-05-17T09:30:00.123Z" for people. */
static char *get_start(const TtSessionInfo *info) {
    char text[TT_TEXT_RFC3339_BYTES];

    tt_text_rfc3339(info->timescale.start_realtime_ns, text);
    if (strlen(text) < 19)
        return g_strdup(text);
    return g_strdup_printf("%.10s %.8s UTC", text, text + 11);
}

/* "live bytes ±3.1 %" */
static void append_error(GString *text, const char *what, guint64 error, guint64 estimate) {
    g_autofree char *share = tt_scale_share(error, estimate);

    if (estimate > 0)
        g_string_append_printf(text, "%s %s ±%s", text->len > 0 ? "," : ":", what, share);
}

char *tt_heading_get_estimate(const TtView *view) {
    const TtSample *sample = tt_snapshot_get_sample(view->snapshot);
    const TtTotals *totals = tt_snapshot_get_totals(view->snapshot);

    if (!sample)
        return NULL;
    GString *errors = g_string_new(NULL);
    append_error(errors, "live bytes", sample->errors.live.bytes, totals->live_bytes);
    append_error(errors, "peak", sample->errors.peak.bytes, totals->peak_bytes);
    append_error(errors, "all allocated", sample->errors.cumulative.bytes,
                 totals->cumulative_allocated);
    g_autofree char *distance = tt_scale_bytes(sample->mean_bytes);
    g_autofree char *text = g_string_free(errors, FALSE);
    return g_strdup_printf("Estimates from a sample of one in %s%s", distance, text);
}

/* What the figures of a sampled session are worth. Returns how much room it took. */
static double draw_estimate(const TtView *view, double y) {
    const TtSample *sample = tt_snapshot_get_sample(view->snapshot);
    g_autofree char *text = tt_heading_get_estimate(view);

    if (!sample)
        return 0;
    tt_canvas_open(view->canvas, "g", NULL);
    tt_canvas_set_count(view->canvas, "data-sample-bytes", sample->mean_bytes);
    tt_canvas_set_count(view->canvas, "data-live-error", sample->errors.live.bytes);
    tt_canvas_set_count(view->canvas, "data-peak-error", sample->errors.peak.bytes);
    tt_canvas_set_count(view->canvas, "data-allocated-error", sample->errors.cumulative.bytes);
    tt_canvas_hint(view->canvas, "± is the standard error: in two of three sessions the truth is "
                                 "no farther off, in 19 of 20 no farther than twice as much.");
    tt_canvas_open(view->canvas, "circle", "warn");
    tt_canvas_set_number(view->canvas, "cx", TT_PAGE_MARGIN + 5);
    tt_canvas_set_number(view->canvas, "cy", y - 4);
    tt_canvas_set_number(view->canvas, "r", 4);
    tt_canvas_close(view->canvas);
    tt_canvas_text(view->canvas, TT_TEXT_LABEL, TT_ANCHOR_START, TT_PAGE_MARGIN + 16, y,
                   TT_PAGE_WIDTH - 2 * TT_PAGE_MARGIN - 16, text);
    tt_canvas_close(view->canvas);
    return ESTIMATE_HEIGHT;
}

double tt_heading_draw(const TtView *view) {
    const TtSessionInfo *info = tt_snapshot_get_info(view->snapshot);
    double left = TT_PAGE_MARGIN, right = TT_PAGE_WIDTH - TT_PAGE_MARGIN;
    g_autofree char *program = tt_heading_get_program(view);
    g_autofree char *command = get_command_line(info);
    g_autofree char *run_time = tt_scale_time(view->end_ns);
    g_autofree char *start = get_start(info);
    char session[2 * TT_SESSION_ID_BYTES + 1];

    tt_text_hex(info->id, TT_SESSION_ID_BYTES, session);
    g_autofree char *facts =
        g_strdup_printf("pid %d · %s %s · started %s · session %.*s", info->pid,
                        tt_view_has_ended(view) ? "ran" : "running for", run_time, start,
                        (int)SESSION_DIGITS, session);

    tt_canvas_open(view->canvas, "g", NULL);
    tt_canvas_set_text(view->canvas, "data-session", session);
    tt_canvas_set_count(view->canvas, "data-pid", (guint64)MAX(info->pid, 0));
    tt_canvas_set_count(view->canvas, "data-ns", view->end_ns);
    double pill = draw_pill(view, right, 43);
    tt_canvas_text(view->canvas, TT_TEXT_TITLE, TT_ANCHOR_START, left, 51, pill - 24 - left,
                   program);
    tt_canvas_text(view->canvas, TT_TEXT_LABEL, TT_ANCHOR_START, left, 75, right - left, command);
    tt_canvas_text(view->canvas, TT_TEXT_NOTE, TT_ANCHOR_START, left, 95, right - left, facts);
    tt_canvas_close(view->canvas);
    return 114 + draw_estimate(view, 117);
}
