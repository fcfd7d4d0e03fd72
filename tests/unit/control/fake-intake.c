/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-intake.h"

#include <string.h>
#include <unistd.h>

#include "report/report.h"

static GPtrArray *sessions; /* of TtSessionCard */
guint64 fake_report_bytes;
gboolean fake_report_fails;
gboolean fake_is_sampled;
FakeCalls fake_calls;

static TtSessionCard *card_new(guint8 tag, gint pid, const char *exe, guint64 order) {
    TtSessionCard *card = g_new0(TtSessionCard, 1);

    memset(card->id, tag, sizeof card->id);
    card->pid = pid;
    card->exe = g_strdup(exe);
    card->order = order;
    card->summary.state = TT_SESSION_RUNNING;
    card->summary.exit_status = -1;
    card->summary.live_bytes = 1000 + tag;
    card->summary.sample_bytes = 2000 + tag;
    return card;
}

void tt_session_card_free(TtSessionCard *card) {
    g_free(card->exe);
    g_free(card);
}

static void card_free(gpointer card) { tt_session_card_free(card); }

static TtSessionCard *find(guint8 tag) {
    for (guint i = 0; sessions && i < sessions->len; i++) {
        TtSessionCard *card = g_ptr_array_index(sessions, i);

        if (card->id[0] == tag)
            return card;
    }
    return NULL;
}

void fake_add_session(guint8 tag, gint pid, const char *exe, guint64 order) {
    if (!sessions)
        sessions = g_ptr_array_new_with_free_func(card_free);
    g_ptr_array_add(sessions, card_new(tag, pid, exe, order));
}

void fake_set_parent(guint8 tag, TtRelation relation, guint8 parent_tag) {
    TtSessionCard *card = find(tag);

    card->parent_relation = relation;
    memset(card->parent_id, parent_tag, sizeof card->parent_id);
}

void fake_clear(void) {
    g_clear_pointer(&sessions, g_ptr_array_unref);
    memset(&fake_calls, 0, sizeof fake_calls);
    fake_report_bytes = 0;
    fake_report_fails = fake_is_sampled = FALSE;
}

GQuark tt_intake_error_quark(void) { return g_quark_from_static_string("tt-intake-error-quark"); }

GPtrArray *tt_intake_list(TtIntake *intake) {
    GPtrArray *copies = g_ptr_array_new_with_free_func(card_free);

    (void)intake;
    for (guint i = 0; sessions && i < sessions->len; i++) {
        TtSessionCard *card = g_ptr_array_index(sessions, i);
        TtSessionCard *copy = g_memdup2(card, sizeof *card);

        copy->exe = g_strdup(card->exe);
        g_ptr_array_add(copies, copy);
    }
    return copies;
}

GPtrArray *tt_intake_list_known(TtIntake *intake) { return tt_intake_list(intake); }

GQuark tt_model_error_quark(void) { return g_quark_from_static_string("tt-model-error-quark"); }

gboolean tt_instant_parse(const char *word, TtInstant *ret_instant, GError **error) {
    static const char *const kinds[] = {"now", "start", "peak"};

    *ret_instant = (TtInstant){.kind = TT_INSTANT_MARK, .mark = word};
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (!word || g_str_equal(word, kinds[i]))
            return ret_instant->kind = word ? (TtInstantKind)i : TT_INSTANT_NOW, TRUE;
    if (*word)
        return TRUE;
    g_set_error_literal(error, TT_MODEL_ERROR, TT_MODEL_ERROR_INSTANT, "'' names no instant");
    return FALSE;
}

const TtInstantRow *tt_snapshot_get_instant(const TtSnapshot *snapshot) {
    static const TtInstantRow rows[] = {
        [TT_INSTANT_NOW] = {.kind = TT_INSTANT_NOW, .t_ns = 100},
        [TT_INSTANT_START] = {.kind = TT_INSTANT_START, .t_ns = 0},
        [TT_INSTANT_PEAK] = {.kind = TT_INSTANT_PEAK, .t_ns = 50},
        [TT_INSTANT_MARK] = {.kind = TT_INSTANT_MARK, .t_ns = 70},
    };

    return &rows[GPOINTER_TO_UINT(((const TtHeldSnapshot *)(gconstpointer)snapshot)->held)];
}

TtHeldSnapshot *tt_intake_take_lives(TtIntake *intake, const guint8 *session_id, guint64 addr,
                                     GError **error) {
    fake_calls.last_addr = addr;
    return tt_intake_take_snapshot(intake, session_id, NULL, error);
}

TtHeldSnapshot *tt_intake_take_snapshot(TtIntake *intake, const guint8 *session_id,
                                        const TtInstant *instant, GError **error) {
    TtHeldSnapshot *held;

    (void)intake;
    g_atomic_int_inc(&fake_calls.snapshots);
    if (session_id[0] == 0xee) {
        g_set_error_literal(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_GONE,
                            "That session is no longer kept");
        return NULL;
    }
    if (instant && instant->kind == TT_INSTANT_MARK && g_str_equal(instant->mark, "nowhere")) {
        g_set_error_literal(error, TT_MODEL_ERROR, TT_MODEL_ERROR_INSTANT, "No mark 'nowhere'");
        return NULL;
    }
    g_atomic_int_inc(&fake_calls.held_snapshots);
    held = g_new0(TtHeldSnapshot, 1);
    held->held = GUINT_TO_POINTER(instant ? instant->kind : TT_INSTANT_NOW);
    held->snapshot = (TtSnapshot *)held;
    return held;
}

/* ---- Recordings: one at a time ---- */

struct TtRecording {
    int fd;
    TtRecordingDone done;
    gpointer data;
};

const char *fake_recording_failure;

TtRecording *tt_intake_start_recording(TtIntake *intake, int fd, gint ancestor,
                                       TtRecordingDone done, gpointer data) {
    TtRecording *recording = g_new(TtRecording, 1);

    (void)intake;
    (void)ancestor;
    *recording = (TtRecording){.fd = fd, .done = done, .data = data};
    return recording;
}

static gboolean end_recording(gpointer data) {
    TtRecording *recording = data;
    g_autoptr(GError) error = NULL;

    if (fake_recording_failure)
        error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_NO_SPACE, fake_recording_failure);
    close(recording->fd);
    recording->done(recording->data, 42, error);
    g_free(recording);
    return G_SOURCE_REMOVE;
}

void tt_intake_stop_recording(TtRecording *recording) { g_idle_add(end_recording, recording); }

TtReplay *tt_replay_open(TtIntake *intake, int fd, GCancellable *cancellable, GError **error) {
    (void)intake;
    (void)cancellable;
    close(fd);
    g_set_error_literal(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_NOT_A_RECORDING, "It is none");
    return NULL;
}

void tt_replay_free(TtReplay *replay) { (void)replay; }

GPtrArray *tt_replay_get_cards(TtReplay *replay) {
    (void)replay;
    g_assert_not_reached();
}

TtHeldSnapshot *tt_replay_take_snapshot(TtReplay *replay, const guint8 *session_id,
                                        const TtInstant *instant, GError **error) {
    (void)replay;
    (void)session_id;
    (void)instant;
    (void)error;
    g_assert_not_reached();
}

TtHeldSnapshot *tt_replay_take_lives(TtReplay *replay, const guint8 *session_id, guint64 addr,
                                     GError **error) {
    (void)replay;
    (void)session_id;
    (void)addr;
    (void)error;
    g_assert_not_reached();
}

void tt_held_snapshot_free(TtHeldSnapshot *held) {
    if (held)
        g_atomic_int_add(&fake_calls.held_snapshots, -1);
    g_free(held);
}

gboolean tt_intake_add_mark(TtIntake *intake, const guint8 *session_id, const char *name,
                            GError **error) {
    (void)intake;
    (void)session_id;
    if (g_str_equal(name, "early")) {
        g_set_error_literal(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_BUSY, "Not yet");
        return FALSE;
    }
    fake_calls.marks++;
    g_strlcpy(fake_calls.last_mark, name, sizeof fake_calls.last_mark);
    return TRUE;
}

gboolean tt_intake_set_recording(TtIntake *intake, const guint8 *session_id, gboolean is_recording,
                                 GError **error) {
    (void)intake;
    (void)session_id;
    (void)error;
    fake_calls.recordings++;
    fake_calls.last_is_recording = is_recording;
    return TRUE;
}

void tt_intake_set_exit_status(TtIntake *intake, gint pid, gint wait_status) {
    (void)intake;
    fake_calls.exit_statuses++;
    fake_calls.last_pid = pid;
    fake_calls.last_wait_status = wait_status;
}

typedef struct Wait {
    void (*done)(gpointer data, gboolean all_ended);
    gpointer data;
} Wait;

static gboolean end_wait(gpointer data) {
    Wait *wait = data;

    wait->done(wait->data, TRUE);
    return G_SOURCE_REMOVE;
}

void tt_intake_when_ended(TtIntake *intake, gint pid, guint timeout_ms,
                          void (*done)(gpointer data, gboolean all_ended), gpointer data) {
    Wait wait = {done, data};
    GSource *source = g_idle_source_new();

    (void)intake;
    (void)pid;
    (void)timeout_ms;
    g_source_set_callback(source, end_wait, g_memdup2(&wait, sizeof wait), g_free);
    g_source_attach(source, g_main_context_get_thread_default());
    g_source_unref(source);
}

const char *tt_session_state_name(TtSessionState state) {
    return state == TT_SESSION_RUNNING ? "running" : "ended";
}

static const TtSessionInfo info = {.pid = 77, .exe = (char *)"/bin/f\xffke"};
static TtTotals totals;
static TtCompleteness completeness = {.exact = TRUE};
static const TtSample sample = {
    .mean_bytes = 4096, .errors = {.live.bytes = 11, .cumulative.bytes = 12, .peak.bytes = 13}};

const TtSessionInfo *tt_snapshot_get_info(const TtSnapshot *snapshot) {
    (void)snapshot;
    return &info;
}

TtSessionState tt_snapshot_get_state(const TtSnapshot *snapshot, gint *ret_exit_status) {
    (void)snapshot;
    *ret_exit_status = 0;
    return TT_SESSION_EXITED;
}

const TtTotals *tt_snapshot_get_totals(const TtSnapshot *snapshot) {
    (void)snapshot;
    totals.cumulative_allocations = G_MAXUINT64;
    return &totals;
}

const TtCompleteness *tt_snapshot_get_completeness(const TtSnapshot *snapshot) {
    (void)snapshot;
    return &completeness;
}

const TtSample *tt_snapshot_get_sample(const TtSnapshot *snapshot) {
    (void)snapshot;
    return fake_is_sampled ? &sample : NULL;
}

TtSymbols *tt_symbols_new(void) { return NULL; }

void tt_symbols_free(TtSymbols *symbols) { (void)symbols; }

gboolean tt_symbols_trim(TtSymbols *symbols) {
    (void)symbols;
    return FALSE;
}

static gboolean write_report(const char *kind, const TtReportOptions *options, TtSink *sink,
                             GError **error) {
    char piece[4096];

    fake_calls.last_related_count = options->related_count;
    fake_calls.last_relations[0] = '\0';
    for (gsize i = 0; i < options->related_count; i++) {
        g_strlcat(fake_calls.last_relations, options->related[i].relation,
                  sizeof fake_calls.last_relations);
        g_strlcat(fake_calls.last_relations, " ", sizeof fake_calls.last_relations);
    }
    if (fake_report_fails) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, "librsvg does not like it");
        return FALSE;
    }
    if (fake_report_bytes == 0)
        return tt_sink_write(sink, kind, strlen(kind), error);
    memset(piece, 'x', sizeof piece);
    for (guint64 left = fake_report_bytes; left > 0;) {
        gsize len = MIN(left, sizeof piece);

        if (!tt_sink_write(sink, piece, len, error))
            return FALSE;
        left -= len;
    }
    return TRUE;
}

gboolean tt_report_json(TtSnapshot *snapshot, TtSymbols *symbols, const TtReportOptions *options,
                        TtSink *sink, GError **error) {
    (void)snapshot;
    (void)symbols;
    return write_report("{\"json\": 1}\n", options, sink, error);
}

gboolean tt_report_svg(TtSnapshot *snapshot, TtSymbols *symbols, const TtReportOptions *options,
                       TtSink *sink, GError **error) {
    (void)snapshot;
    (void)symbols;
    return write_report("<svg/>\n", options, sink, error);
}

gboolean tt_report_diff(TtSnapshot *before, TtSnapshot *after, TtSymbols *symbols,
                        const TtReportOptions *options, TtSink *sink, GError **error) {
    (void)before;
    (void)after;
    (void)symbols;
    return write_report(options->is_text ? "diff\n" : "{\"diff\": 1}\n", options, sink, error);
}

/* A scan that found nothing. */

void tt_intake_init_budget(TtIntake *intake, TtBudget *ret_budget) {
    (void)intake;
    *ret_budget = (TtBudget){.limit_bytes = 1 << 20};
}

TtScan *tt_scan_new(TtSnapshot *snapshot, int image_fd, TtBudget *memory, GError **error) {
    g_assert_nonnull(memory);
    (void)snapshot;
    (void)image_fd;
    (void)error;
    return g_malloc0(1);
}

void tt_scan_free(TtScan *scan) { g_free(scan); }

const TtScanFacts *tt_scan_get_facts(const TtScan *scan) {
    static const TtScanFacts facts;

    (void)scan;
    return &facts;
}

const char *tt_leak_class_name(TtLeakClass class) {
    (void)class;
    return "class";
}

gboolean tt_report_leaks(TtSnapshot *snapshot, const TtScan *scan, TtSymbols *symbols,
                         const TtReportOptions *options, const TtLeaksOptions *leaks, TtSink *sink,
                         TtLeaksFound *ret_found, GError **error) {
    (void)scan;
    (void)leaks;
    *ret_found = (TtLeaksFound){0};
    return tt_report_json(snapshot, symbols, options, sink, error);
}

gboolean tt_report_lives(TtSnapshot *snapshot, guint64 addr, TtSymbols *symbols,
                         const TtReportOptions *options, TtSink *sink, GError **error) {
    (void)snapshot;
    (void)addr;
    (void)symbols;
    return write_report(options->is_text ? "lives\n" : "{\"lives\": 1}\n", options, sink, error);
}

gboolean tt_report_has_view(const char *view) {
    return g_str_equal(view, "overview") || g_str_equal(view, "top");
}
