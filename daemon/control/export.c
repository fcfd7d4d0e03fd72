/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of exports.
 *
 * What makes it hard: an export is seconds of work on a pinned snapshot, its output may be a pipe
 * that nobody reads, and whoever asked may go away at any time. So two are at work at once, one
 * that waits for its reader makes room for the next, the line is short, and every job can be
 * cancelled in each of its states. A job is owned by the queue it is in, or by the thread that
 * works on it; its answer is given on the main thread, where it was asked. */
#include "control/export.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/error.h"
#include "control/figures.h"
#include "control/target.h"
#include "control/text.h"
#include "protocol/checked.h"
#include "report/report.h"

#define QUOTED_MAX 64 /* bytes of a word that a message repeats */

struct TtExporter {
    TtIntake *intake; /* not owned */
    TtSymbols *symbols;
    GThreadPool *pool;
    GSource *answer; /* dispatched on the main thread when something is in asked or finished */
    GQueue asked;    /* main thread: programs' own exports, whose relations are still to be read */

    GMutex lock; /* of what follows */
    GQueue waiting;
    GQueue working;
    GQueue finished;
    guint active_count; /* of the working, those that do not wait for their reader */
    gboolean is_closing;
};

typedef struct Job {
    TtExporter *exporter;
    guint8 session_id[TT_SESSION_ID_BYTES];
    GCancellable *cancellable;
    gboolean is_description;
    TtExportAsk ask;  /* its strings are owned */
    int fd;           /* owned; -1 for a description */
    int recording_fd; /* owned; -1: of a session that is kept here */
    char *target;     /* of a recording's; owned */
    TtReplay *replay; /* of that, once it is open; owned */
    GArray *related;  /* of TtRelated, their exe owned; NULL where not yet known */

    guint64 bytes;
    guint64 let_go_ns; /* CLOCK_MONOTONIC: when a process that stood still could go on; or 0 */
    GVariant *figures; /* owned */
    GError *error;     /* of TT_CONTROL_ERROR */
    int output_errno;  /* what the output said; 0: it is not to blame */

    TtExportDone done;
    TtDescribeDone described;
    void (*done_fd)(gpointer data, int error, const char *message);
    gpointer data;
} Job;

typedef struct AnswerSource {
    GSource source;
    TtExporter *exporter;
} AnswerSource;

static void related_clear(gpointer data) {
    TtRelated *related = data;

    g_free(related->exe);
}

/* The sessions that @card's came from and gave rise to. */
static GArray *related_new(GPtrArray *cards, const TtSessionCard *card) {
    GArray *all = g_array_new(FALSE, TRUE, sizeof(TtRelated));

    g_array_set_clear_func(all, related_clear);
    for (guint i = 0; i < cards->len; i++) {
        const TtSessionCard *other = g_ptr_array_index(cards, i);
        TtRelated related = {.pid = other->pid};

        if (other == card)
            continue;
        if (card->parent_relation != TT_RELATION_NONE &&
            memcmp(card->parent_id, other->id, sizeof other->id) == 0)
            related.relation = card->parent_relation == TT_RELATION_EXEC ? "exec_from" : "parent";
        else if (other->parent_relation != TT_RELATION_NONE &&
                 memcmp(other->parent_id, card->id, sizeof card->id) == 0)
            related.relation = other->parent_relation == TT_RELATION_EXEC ? "exec_to" : "child";
        else
            continue;
        memcpy(related.id, other->id, sizeof related.id);
        related.exe = g_strdup(other->exe ? other->exe : "");
        g_array_append_val(all, related);
    }
    return all;
}

static Job *job_new(TtExporter *exporter, const guint8 *session_id, GCancellable *cancellable) {
    Job *job = g_new0(Job, 1);

    job->exporter = exporter;
    if (session_id)
        memcpy(job->session_id, session_id, sizeof job->session_id);
    job->cancellable = cancellable ? g_object_ref(cancellable) : g_cancellable_new();
    job->fd = job->recording_fd = job->ask.image_fd = job->ask.taken_fd = -1;
    return job;
}

static void job_close_output(Job *job) {
    if (job->fd >= 0)
        close(job->fd);
    job->fd = -1;
}

static void drop_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void job_free(Job *job) {
    job_close_output(job);
    drop_fd(&job->ask.image_fd);
    drop_fd(&job->ask.taken_fd);
    if (job->recording_fd >= 0)
        close(job->recording_fd);
    g_clear_pointer(&job->replay, tt_replay_free);
    g_free(job->target);
    g_object_unref(job->cancellable);
    g_clear_pointer(&job->related, g_array_unref);
    g_clear_pointer(&job->figures, g_variant_unref);
    g_clear_error(&job->error);
    g_free((char *)job->ask.at);
    g_free((char *)job->ask.since);
    g_free((char *)job->ask.view);
    g_free((char *)job->ask.leaks.suppressions);
    g_free((char *)job->ask.leaks.why_not);
    g_free(job);
}

/* For a program, which knows errno alone. */
static int errno_of(const Job *job) {
    if (!job->error)
        return 0;
    if (job->output_errno)
        return job->output_errno;
    switch (job->error->code) {
    case TT_CONTROL_ERROR_NO_SUCH_TARGET:
        return ESRCH;
    case TT_CONTROL_ERROR_INVALID_ARGUMENT:
        return EINVAL;
    case TT_CONTROL_ERROR_BUSY:
        return EBUSY;
    case TT_CONTROL_ERROR_NOT_WRITABLE:
        return EBADF;
    case TT_CONTROL_ERROR_CANCELLED:
        return ECANCELED;
    default:
        return EIO;
    }
}

static void job_set_cancelled(Job *job, const char *why) {
    g_set_error_literal(&job->error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_CANCELLED, why);
}

static void job_answer(Job *job) {
    if (job->done)
        job->done(job->data, job->session_id, job->bytes, job->error);
    else if (job->described)
        job->described(job->data, job->figures, job->error);
    else
        job->done_fd(job->data, errno_of(job), job->error ? job->error->message : "");
    job_free(job);
}

/* What went wrong while writing, told as what the caller can do something about. */
static void job_fail(Job *job, const TtSink *sink, const GError *failure) {
    const GError *output = tt_sink_get_error(sink);
    TtControlError code = TT_CONTROL_ERROR_OUTPUT_FAILED;

    if (!output) {
        g_set_error(&job->error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_FAILED,
                    "The document cannot be made: %s", failure->message);
        return;
    }
    job->output_errno = EIO;
    if (g_error_matches(output, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        code = TT_CONTROL_ERROR_CANCELLED;
        job->output_errno = ECANCELED;
    } else if (g_error_matches(output, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE)) {
        code = TT_CONTROL_ERROR_BROKEN_PIPE;
        job->output_errno = EPIPE;
    } else if (g_error_matches(output, G_IO_ERROR, G_IO_ERROR_NO_SPACE)) {
        job->output_errno = ENOSPC;
    } else if (g_error_matches(output, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
        job->output_errno = ETIMEDOUT;
    }
    g_set_error(&job->error, TT_CONTROL_ERROR, (gint)code, "The output cannot be written: %s",
                output->message);
}

static void start_next(TtExporter *exporter);

/* A reader that takes its time holds a thread, not the turn of others. */
static void on_wait(gpointer data, gboolean is_waiting) {
    Job *job = data;
    TtExporter *exporter = job->exporter;

    g_mutex_lock(&exporter->lock);
    if (is_waiting) {
        exporter->active_count--;
        start_next(exporter);
    } else {
        exporter->active_count++;
    }
    g_mutex_unlock(&exporter->lock);
}

/* The process goes on: its state is taken, or will not be. */
static guint64 let_go(Job *job) {
    guint64 now_ns = (guint64)g_get_monotonic_time() * 1000;

    if (job->ask.taken_fd < 0)
        return 0;
    /* Whatever the caller has passed, it is not waited for. */
    (void)!send(job->ask.taken_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    drop_fd(&job->ask.taken_fd);
    return now_ns;
}

static gboolean write_leaks(const Job *job, TtSnapshot *snapshot, const TtReportOptions *options,
                            TtSink *sink, GError **error) {
    TtLeaksOptions leaks = job->ask.leaks;
    TtBudget memory;

    tt_intake_init_budget(job->exporter->intake, &memory);
    g_autoptr(TtScan) scan = tt_scan_new(snapshot, job->ask.image_fd, &memory, error);
    if (!scan)
        return FALSE;
    if (tt_scan_get_facts(scan)->has_classes)
        leaks.stood_still_ns =
            tt_saturating_sub(job->let_go_ns, tt_scan_get_facts(scan)->stopped_ns);
    return tt_report_leaks(snapshot, scan, job->exporter->symbols, options, &leaks, sink,
                           job->ask.found, error);
}

/* Writes what was asked, of one snapshot or, for a diff, of two. */
static gboolean write_report(const Job *job, TtSnapshot *snapshot, TtSnapshot *before,
                             const TtReportOptions *options, TtSink *sink, GError **error) {
    TtSymbols *symbols = job->exporter->symbols;

    switch (job->ask.question) {
    case TT_QUESTION_DIFF:
        return tt_report_diff(before, snapshot, symbols, options, sink, error);
    case TT_QUESTION_LIVES:
        return tt_report_lives(snapshot, job->ask.addr, symbols, options, sink, error);
    case TT_QUESTION_LEAKS:
        return write_leaks(job, snapshot, options, sink, error);
    case TT_QUESTION_STATE:
        break;
    }
    return job->ask.format == TT_EXPORT_SVG
               ? tt_report_svg(snapshot, symbols, options, sink, error)
               : tt_report_json(snapshot, symbols, options, sink, error);
}

/* @before: (nullable): of a diff */
static void write_document(Job *job, const TtHeldSnapshot *held, const TtHeldSnapshot *before) {
    TtReportOptions options = {
        .is_full = job->ask.is_full,
        .top = job->ask.top,
        .view = job->ask.view,
        .is_text = job->ask.is_text,
        .columns = job->ask.columns,
        .related = job->related ? (const TtRelated *)(void *)job->related->data : NULL,
        .related_count = job->related ? job->related->len : 0,
        .now_realtime_ns = held->realtime_ns,
    };
    g_autoptr(TtSink) sink = tt_sink_new(job->fd);
    g_autoptr(GError) failure = NULL;
    gboolean is_written;

    tt_sink_set_cancellable(sink, job->cancellable);
    tt_sink_set_on_wait(sink, on_wait, job);
    is_written = write_report(job, held->snapshot, before ? before->snapshot : NULL, &options, sink,
                              &failure);
    if (is_written)
        is_written = tt_sink_flush(sink, &failure);
    job->bytes = tt_sink_get_bytes(sink);
    if (!is_written)
        job_fail(job, sink, failure);
    tt_symbols_trim(job->exporter->symbols);
}

/* Why there is no snapshot, in words for the caller. */
static void job_refuse(Job *job, const GError *error) {
    TtControlError code = TT_CONTROL_ERROR_FAILED;

    if (error->domain == TT_CONTROL_ERROR)
        code = (TtControlError)error->code;
    else if (error->domain == TT_MODEL_ERROR)
        code = TT_CONTROL_ERROR_INVALID_ARGUMENT;
    else if (g_error_matches(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_GONE))
        code = TT_CONTROL_ERROR_NO_SUCH_TARGET;
    else if (g_error_matches(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_CANCELLED))
        code = TT_CONTROL_ERROR_CANCELLED;
    g_set_error(&job->error, TT_CONTROL_ERROR, (gint)code, "%s%s",
                code == TT_CONTROL_ERROR_FAILED ? "The recording cannot be read: " : "",
                error->message);
}

/* Finds the session of the job's recording that is meant. FALSE: the job has its error. */
static gboolean open_recording(Job *job) {
    g_autoptr(GError) error = NULL;
    const TtSessionCard *card = NULL;

    job->replay = tt_replay_open(job->exporter->intake, g_steal_fd(&job->recording_fd),
                                 job->cancellable, &error);
    if (job->replay)
        card = tt_target_find(tt_replay_get_cards(job->replay), job->target, &error);
    if (!card) {
        job_refuse(job, error);
        return FALSE;
    }
    memcpy(job->session_id, card->id, sizeof job->session_id);
    job->related = related_new(tt_replay_get_cards(job->replay), card);
    return TRUE;
}

static TtHeldSnapshot *take_lives(Job *job, GError **error) {
    if (job->replay)
        return tt_replay_take_lives(job->replay, job->session_id, job->ask.addr, error);
    return tt_intake_take_lives(job->exporter->intake, job->session_id, job->ask.addr, error);
}

static TtHeldSnapshot *take_instant(Job *job, const char *word, GError **error) {
    TtInstant instant;

    if (!tt_instant_parse(word, &instant, error))
        return NULL;
    if (job->replay)
        return tt_replay_take_snapshot(job->replay, job->session_id, &instant, error);
    return tt_intake_take_snapshot(job->exporter->intake, job->session_id, &instant, error);
}

/* What is asked for, at an instant's word. NULL: the job has its error. */
static TtHeldSnapshot *take(Job *job, const char *word) {
    g_autoptr(GError) error = NULL;
    TtHeldSnapshot *held = job->ask.question == TT_QUESTION_LIVES ? take_lives(job, &error)
                                                                  : take_instant(job, word, &error);

    if (!held)
        job_refuse(job, error);
    return held;
}

/* Whether two instants are in their order. Marks may bear a time after the last event's. */
static gboolean is_ordered(const TtSnapshot *before, const TtSnapshot *after) {
    return tt_snapshot_get_instant(after)->kind == TT_INSTANT_NOW ||
           tt_snapshot_get_instant(before)->t_ns <= tt_snapshot_get_instant(after)->t_ns;
}

static void work(Job *job) {
    g_autoptr(TtHeldSnapshot) held = NULL;
    g_autoptr(TtHeldSnapshot) before = NULL;

    if (g_cancellable_is_cancelled(job->cancellable)) {
        job_set_cancelled(job, "The caller went away");
        return;
    }
    if (job->recording_fd >= 0 && !open_recording(job))
        return;
    if (job->ask.question == TT_QUESTION_DIFF && !(before = take(job, job->ask.since)))
        return;
    held = take(job, job->ask.at);
    job->let_go_ns = let_go(job);
    if (!held)
        return;
    if (job->is_description)
        job->figures = tt_figures_of_snapshot(held->snapshot);
    else if (before && !is_ordered(before->snapshot, held->snapshot))
        g_set_error(&job->error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT,
                    "'%s' is later than '%s': the earlier instant comes first", job->ask.since,
                    job->ask.at ? job->ask.at : "now");
    else
        write_document(job, held, before);
}

/* On a thread of the pool. */
static void run_job(gpointer data, gpointer user_data) {
    TtExporter *exporter = user_data;
    Job *job = data;

    work(job);
    /* A pipe's reader sees the end before the caller hears of it. */
    job_close_output(job);

    g_mutex_lock(&exporter->lock);
    g_queue_remove(&exporter->working, job);
    g_queue_push_tail(&exporter->finished, job);
    exporter->active_count--;
    start_next(exporter);
    g_mutex_unlock(&exporter->lock);
    g_source_set_ready_time(exporter->answer, 0);
}

/* With the lock held. */
static void start_next(TtExporter *exporter) {
    while (exporter->active_count < TT_EXPORTER_ACTIVE_MAX &&
           exporter->working.length < TT_EXPORTER_THREADS_MAX &&
           !g_queue_is_empty(&exporter->waiting)) {
        Job *job = g_queue_pop_head(&exporter->waiting);

        exporter->active_count++;
        g_queue_push_tail(&exporter->working, job);
        g_thread_pool_push(exporter->pool, job, NULL);
    }
}

/* With the lock held. Those whose caller went away give up their place in the line. */
static void drop_cancelled(TtExporter *exporter) {
    GList *next;

    for (GList *link = exporter->waiting.head; link; link = next) {
        Job *job = link->data;

        next = link->next;
        if (!g_cancellable_is_cancelled(job->cancellable))
            continue;
        job_set_cancelled(job, "The caller went away");
        g_queue_unlink(&exporter->waiting, link);
        g_queue_push_tail_link(&exporter->finished, link);
        g_source_set_ready_time(exporter->answer, 0);
    }
}

/* Takes the job only where it returns TRUE. */
static gboolean enqueue(TtExporter *exporter, Job *job, GError **error) {
    gboolean has_room;

    g_mutex_lock(&exporter->lock);
    drop_cancelled(exporter);
    has_room = !exporter->is_closing && exporter->waiting.length < TT_EXPORTER_QUEUE_MAX;
    if (has_room) {
        g_queue_push_tail(&exporter->waiting, job);
        start_next(exporter);
    }
    g_mutex_unlock(&exporter->lock);
    if (!has_room)
        g_set_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_BUSY,
                    "%d exports wait already: try again when some are done", TT_EXPORTER_QUEUE_MAX);
    return has_room;
}

static void answer_finished(TtExporter *exporter) {
    for (;;) {
        Job *job;

        g_mutex_lock(&exporter->lock);
        job = g_queue_pop_head(&exporter->finished);
        g_mutex_unlock(&exporter->lock);
        if (!job)
            return;
        job_answer(job);
    }
}

/* Reads the relations of the programs that asked, here and not when they asked: their request came
 * in the midst of intake's own work. */
static void enqueue_asked(TtExporter *exporter) {
    g_autoptr(GPtrArray) cards = NULL;
    Job *job;

    while ((job = g_queue_pop_head(&exporter->asked))) {
        if (!cards)
            cards = tt_intake_list_known(exporter->intake);
        for (guint i = 0; i < cards->len && !job->related; i++) {
            const TtSessionCard *card = g_ptr_array_index(cards, i);

            if (memcmp(card->id, job->session_id, sizeof card->id) == 0)
                job->related = related_new(cards, card);
        }
        if (!enqueue(exporter, job, &job->error))
            job_answer(job);
    }
}

static gboolean answer_dispatch(GSource *source, GSourceFunc callback, gpointer user_data) {
    TtExporter *exporter = ((AnswerSource *)source)->exporter;

    (void)callback;
    (void)user_data;
    g_source_set_ready_time(source, -1);
    enqueue_asked(exporter);
    answer_finished(exporter);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs answer_funcs = {.dispatch = answer_dispatch};

TtExporter *tt_exporter_new(TtIntake *intake) {
    TtExporter *exporter = g_new0(TtExporter, 1);

    exporter->intake = intake;
    exporter->symbols = tt_symbols_new();
    g_mutex_init(&exporter->lock);
    exporter->pool = g_thread_pool_new(run_job, exporter, TT_EXPORTER_THREADS_MAX, FALSE, NULL);
    exporter->answer = g_source_new(&answer_funcs, sizeof(AnswerSource));
    ((AnswerSource *)exporter->answer)->exporter = exporter;
    g_source_attach(exporter->answer, g_main_context_get_thread_default());
    return exporter;
}

static void cancel_job(gpointer data, gpointer user_data) {
    Job *job = data;

    (void)user_data;
    g_cancellable_cancel(job->cancellable);
}

void tt_exporter_free(TtExporter *exporter) {
    Job *job;

    if (!exporter)
        return;
    /* Whoever is asked from here on finds the door closed; those who wait are let through
     * cancelled. The cancellables are given no callbacks that could come back in here. */
    g_mutex_lock(&exporter->lock);
    exporter->is_closing = TRUE;
    g_queue_foreach(&exporter->waiting, cancel_job, NULL);
    g_queue_foreach(&exporter->working, cancel_job, NULL);
    while (!g_queue_is_empty(&exporter->waiting)) {
        job = g_queue_pop_head(&exporter->waiting);
        job_set_cancelled(job, "The daemon is ending");
        g_queue_push_tail(&exporter->finished, job);
    }
    g_mutex_unlock(&exporter->lock);
    g_thread_pool_free(exporter->pool, FALSE, TRUE);

    while ((job = g_queue_pop_head(&exporter->asked))) {
        job_set_cancelled(job, "The daemon is ending");
        job_answer(job);
    }
    answer_finished(exporter);
    g_source_destroy(exporter->answer);
    g_source_unref(exporter->answer);
    tt_symbols_free(exporter->symbols);
    g_mutex_clear(&exporter->lock);
    g_free(exporter);
}

static gboolean check_output(int fd, GError **error) {
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY)
        return TRUE;
    g_set_error_literal(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_NOT_WRITABLE,
                        "The output descriptor is not open for writing");
    return FALSE;
}

static gboolean check_view(const TtExportAsk *ask, GError **error) {
    g_autofree char *cut = NULL;
    g_autofree char *view = NULL;

    if (!ask->view || tt_report_has_view(ask->view))
        return TRUE;
    cut = g_strndup(ask->view, QUOTED_MAX);
    view = tt_text_make_valid(cut);
    g_set_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT, "There is no view '%s'",
                view);
    return FALSE;
}

/* The words alone; whether the session has such instants is for its owner to say. */
static gboolean check_instants(const TtExportAsk *ask, GError **error) {
    g_autoptr(GError) why = NULL;
    TtInstant instant;

    if (tt_instant_parse(ask->at, &instant, &why) &&
        (ask->question != TT_QUESTION_DIFF || tt_instant_parse(ask->since, &instant, &why)))
        return TRUE;
    g_set_error_literal(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT, why->message);
    return FALSE;
}

/* Takes the job. */
static gboolean export(TtExporter *exporter, Job *job, const TtExportAsk *ask, int fd,
                       TtExportDone done, gpointer data, GError **error) {
    job->fd = fd;
    job->ask = *ask;
    job->ask.at = g_strdup(ask->at);
    job->ask.since = g_strdup(ask->since);
    job->ask.view = g_strdup(ask->view);
    job->ask.leaks.suppressions = g_strdup(ask->leaks.suppressions);
    job->ask.leaks.why_not = g_strdup(ask->leaks.why_not);
    if (ask->question != TT_QUESTION_LEAKS)
        job->ask.image_fd = job->ask.taken_fd = -1;
    job->done = done;
    job->data = data;
    if (check_output(fd, error) && check_view(ask, error) && check_instants(ask, error) &&
        enqueue(exporter, job, error))
        return TRUE;
    job_free(job);
    return FALSE;
}

gboolean tt_exporter_export(TtExporter *exporter, GPtrArray *cards, const TtSessionCard *card,
                            const TtExportAsk *ask, int fd, GCancellable *cancellable,
                            TtExportDone done, gpointer data, GError **error) {
    Job *job = job_new(exporter, card->id, cancellable);

    job->related = related_new(cards, card);
    return export(exporter, job, ask, fd, done, data, error);
}

gboolean tt_exporter_export_recorded(TtExporter *exporter, int recording_fd, const char *target,
                                     const TtExportAsk *ask, int fd, GCancellable *cancellable,
                                     TtExportDone done, gpointer data, GError **error) {
    Job *job = job_new(exporter, NULL, cancellable);

    job->recording_fd = recording_fd;
    job->target = g_strdup(target);
    return export(exporter, job, ask, fd, done, data, error);
}

gboolean tt_exporter_describe(TtExporter *exporter, const TtSessionCard *card,
                              GCancellable *cancellable, TtDescribeDone done, gpointer data,
                              GError **error) {
    Job *job = job_new(exporter, card->id, cancellable);

    job->is_description = TRUE;
    job->described = done;
    job->data = data;
    if (enqueue(exporter, job, error))
        return TRUE;
    job_free(job);
    return FALSE;
}

void tt_exporter_export_fd(TtExporter *exporter, const guint8 *session_id, TtExportFormat format,
                           int fd, void (*done)(gpointer data, int error, const char *message),
                           gpointer data) {
    Job *job = job_new(exporter, session_id, NULL);

    job->fd = fd;
    job->ask.format = format;
    job->done_fd = done;
    job->data = data;
    if (exporter->asked.length >= TT_EXPORTER_QUEUE_MAX)
        g_set_error_literal(&job->error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_BUSY,
                            "Too many exports wait already: try again");
    else if (check_output(fd, &job->error)) {
        g_queue_push_tail(&exporter->asked, job);
        g_source_set_ready_time(exporter->answer, 0);
        return;
    }
    job_answer(job);
}
