/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that writes.
 *
 * What makes it hard: those who bring must never wait for a disk, and memory is bounded. So it is
 * known how much waits, feeds rest while it is too much (their lanes fill, and a lossless program
 * waits as it would for us), and where it still grows beyond all measure the recording ends: the
 * program and its session come first. */
#include "intake/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sink.h"
#include "intake/sections.h"
#include "protocol/encode.h"

#define BEHIND_BYTES ((gsize)16 << 20)
#define TOO_FAR_BEHIND_BYTES ((gsize)128 << 20)

struct TtRecorder {
    int fd;
    off_t start;       /* where the descriptor stood, or the file's beginning */
    guint64 max_bytes; /* 0: as many as there is room for */
    gboolean goes_on;  /* no end is written */
    gboolean (*reserve)(gpointer data, gsize bytes); /* NULL: there is no other bound */
    gpointer reserve_data;
    TtRecorderCalls calls;
    gpointer data;
    GMainContext *context;
    GThread *thread;
    GAsyncQueue *queue;        /* of Parcel, to the thread */
    GSource *failing, *ending; /* what there is to tell, on the main context; attached once */
    gatomicrefcount refs;
    gsize waiting_bytes; /* atomic, a plain counter */
    gint session_count;  /* atomic, the same */
    gint has_failed;     /* atomic: set by whoever fails, read by those who need not bring more */

    /* The thread's, and after it the main context's. */
    TtSink *sink;
    TtSectionWriter *writer;
    GHashTable *guesses; /* number of a session to TtGuess */
    guint64 written_bytes;
    GError *failure;
};

/* What is in the queue. Without a batch: the end. */
typedef struct Parcel {
    guint32 session;
    gboolean is_last;
    TtBatch *batch;
} Parcel;

TtBatch *tt_batch_new(void) {
    TtBatch *batch = g_new0(TtBatch, 1);

    g_atomic_ref_count_init(&batch->refs);
    batch->steps = g_byte_array_new();
    batch->nodes = g_array_new(FALSE, FALSE, sizeof(TtRecordStack));
    return batch;
}

void tt_batch_unref(TtBatch *batch) {
    if (!batch || !g_atomic_ref_count_dec(&batch->refs))
        return;
    g_byte_array_unref(batch->steps);
    g_array_unref(batch->nodes);
    g_free(batch->events);
    g_free(batch);
}

static gsize get_bytes(const TtBatch *batch) {
    return sizeof *batch + batch->steps->len + batch->event_count * sizeof *batch->events +
           batch->nodes->len * sizeof(TtRecordStack);
}

/* ---- On the thread ---- */

/* What is whole stays; the beginning of a section would only be in the way of a reader. */
static void cut_to_whole(TtRecorder *recorder) {
    struct stat status;

    if (fstat(recorder->fd, &status) == 0 && S_ISREG(status.st_mode) &&
        ftruncate(recorder->fd, recorder->start + (off_t)recorder->written_bytes) < 0) {
        /* Then a reader stops there by itself. */
    }
}

static gboolean tell_failed(gpointer data) {
    TtRecorder *recorder = data;

    recorder->calls.failed(recorder->data);
    return G_SOURCE_REMOVE;
}

/* The recording ends here; who made it has the sessions let go of it. */
static void fail(TtRecorder *recorder) {
    if (!g_atomic_int_compare_and_exchange(&recorder->has_failed, FALSE, TRUE))
        return;
    g_source_attach(recorder->failing, recorder->context);
}

static void write_bytes(TtRecorder *recorder, const void *bytes, gsize len) {
    if (recorder->failure)
        return;
    if (recorder->max_bytes > 0 && recorder->written_bytes + len > recorder->max_bytes)
        g_set_error_literal(&recorder->failure, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                            "it is as long as it may be");
    else if (recorder->reserve && !recorder->reserve(recorder->reserve_data, len))
        g_set_error_literal(&recorder->failure, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                            "all together are as large as they may be");
    else if (tt_sink_write(recorder->sink, bytes, len, &recorder->failure) &&
             tt_sink_flush(recorder->sink, &recorder->failure)) {
        recorder->written_bytes += len;
        return;
    }
    cut_to_whole(recorder);
    fail(recorder);
}

static void write_section(TtRecorder *recorder, const TtSectionContent *content) {
    gsize len;
    const guint8 *bytes = tt_section_write(recorder->writer, content, &len);

    write_bytes(recorder, bytes, len);
}

static void write_batch(TtRecorder *recorder, guint32 session, const TtBatch *batch) {
    TtGuess *guess = g_hash_table_lookup(recorder->guesses, GUINT_TO_POINTER(session));

    if (!guess) {
        guess = g_new0(TtGuess, 1);
        g_hash_table_insert(recorder->guesses, GUINT_TO_POINTER(session), guess);
    }
    write_section(recorder, &(TtSectionContent){
                                .session = session,
                                .realtime_ns = batch->realtime_ns,
                                .steps = batch->steps->data,
                                .step_len = batch->steps->len,
                                .guess = guess,
                                .events = batch->events,
                                .event_count = batch->event_count,
                                .nodes = (const TtRecordStack *)(void *)batch->nodes->data,
                                .node_count = batch->nodes->len,
                            });
}

static void write_finish(TtRecorder *recorder) {
    TtRecordFinish finish = {.session_count = (guint64)g_atomic_int_get(&recorder->session_count)};
    guint8 step[64];
    gsize step_len = tt_encode_finish(step, sizeof step, &finish);

    write_section(recorder, &(TtSectionContent){.realtime_ns = (guint64)g_get_real_time() * 1000,
                                                .steps = step,
                                                .step_len = step_len});
}

static void take_parcel(TtRecorder *recorder, Parcel *parcel) {
    /* A journal's time is that of its last word. */
    gboolean says_nothing = recorder->goes_on && parcel->batch->steps->len == 0;

    if (!recorder->failure && !says_nothing)
        write_batch(recorder, parcel->session, parcel->batch);
    if (parcel->is_last)
        g_hash_table_remove(recorder->guesses, GUINT_TO_POINTER(parcel->session));
    (void)g_atomic_pointer_add(&recorder->waiting_bytes, -(gssize)get_bytes(parcel->batch));
    tt_batch_unref(parcel->batch);
}

static gboolean tell_end(gpointer data) {
    TtRecorder *recorder = data;

    recorder->calls.done(recorder->data, recorder->written_bytes, recorder->failure);
    return G_SOURCE_REMOVE;
}

static gpointer run_recorder(gpointer data) {
    TtRecorder *recorder = data;
    TtRecordingHead head;
    gboolean is_over = FALSE;

    tt_section_write_head(&head);
    if (recorder->written_bytes == 0)
        write_bytes(recorder, &head, sizeof head);
    while (!is_over) {
        g_autofree Parcel *parcel = g_async_queue_pop(recorder->queue);

        is_over = !parcel->batch;
        if (!is_over)
            take_parcel(recorder, parcel);
    }
    if (!recorder->failure && g_atomic_int_get(&recorder->has_failed))
        g_set_error_literal(&recorder->failure, G_IO_ERROR, G_IO_ERROR_BUSY,
                            "it could not be written as fast as events came");
    if (!recorder->goes_on)
        write_finish(recorder);
    g_clear_pointer(&recorder->sink, tt_sink_free);
    close(recorder->fd);
    g_source_attach(recorder->ending, recorder->context);
    return NULL;
}

/* ---- Life ---- */

static GSource *make_source(TtRecorder *recorder, GSourceFunc tell) {
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, tell, recorder, NULL);
    return source;
}

static void drop_source(GSource *source) {
    g_source_destroy(source);
    g_source_unref(source);
}

static TtRecorder *make_recorder(int fd, const TtRecorderCalls *calls, gpointer data) {
    TtRecorder *recorder = g_new0(TtRecorder, 1);

    recorder->fd = fd;
    recorder->calls = *calls;
    recorder->data = data;
    recorder->context = g_main_context_ref_thread_default();
    recorder->queue = g_async_queue_new();
    recorder->sink = tt_sink_new(fd);
    recorder->writer = tt_section_writer_new();
    recorder->guesses = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_atomic_ref_count_init(&recorder->refs);
    recorder->failing = make_source(recorder, tell_failed);
    recorder->ending = make_source(recorder, tell_end);
    return recorder;
}

TtRecorder *tt_recorder_new(int fd, const TtRecorderCalls *calls, gpointer data) {
    TtRecorder *recorder = make_recorder(fd, calls, data);

    recorder->start = MAX(lseek(fd, 0, SEEK_CUR), 0);
    recorder->thread = g_thread_new("recorder", run_recorder, recorder);
    return recorder;
}

TtRecorder *tt_recorder_new_at(int fd, const TtRecorderStart *start, const TtRecorderCalls *calls,
                               gpointer data) {
    TtRecorder *recorder = make_recorder(fd, calls, data);

    recorder->max_bytes = start->max_bytes;
    recorder->goes_on = start->goes_on;
    recorder->reserve = start->reserve;
    recorder->reserve_data = start->reserve_data;
    recorder->written_bytes = start->whole_bytes;
    if (start->whole_bytes > 0)
        g_hash_table_insert(recorder->guesses, GUINT_TO_POINTER(1),
                            g_memdup2(start->guess, sizeof *start->guess));
    cut_to_whole(recorder);
    (void)lseek(fd, (off_t)start->whole_bytes, SEEK_SET);
    recorder->thread = g_thread_new("recorder", run_recorder, recorder);
    return recorder;
}

TtRecorder *tt_recorder_ref(TtRecorder *recorder) {
    g_atomic_ref_count_inc(&recorder->refs);
    return recorder;
}

void tt_recorder_unref(TtRecorder *recorder) {
    if (g_atomic_ref_count_dec(&recorder->refs))
        g_async_queue_push(recorder->queue, g_new0(Parcel, 1));
}

void tt_recorder_free(TtRecorder *recorder) {
    if (!recorder)
        return;
    g_thread_join(recorder->thread);
    drop_source(recorder->failing);
    drop_source(recorder->ending);
    g_async_queue_unref(recorder->queue);
    tt_section_writer_free(recorder->writer);
    g_hash_table_unref(recorder->guesses);
    g_clear_error(&recorder->failure);
    g_main_context_unref(recorder->context);
    g_free(recorder);
}

guint32 tt_recorder_add_session(TtRecorder *recorder) {
    gint number = g_atomic_int_add(&recorder->session_count, 1) + 1;

    if (number <= (gint)TT_RECORDED_SESSIONS_MAX)
        return (guint32)number;
    g_atomic_int_add(&recorder->session_count, -1);
    return 0;
}

static gsize get_waiting(TtRecorder *recorder) {
    return (gsize)g_atomic_pointer_get(&recorder->waiting_bytes);
}

gboolean tt_recorder_is_behind(TtRecorder *recorder) {
    return get_waiting(recorder) > BEHIND_BYTES && !g_atomic_int_get(&recorder->has_failed);
}

void tt_recorder_push(TtRecorder *recorder, guint32 session, TtBatch *batch, gboolean is_last) {
    if (get_waiting(recorder) > TOO_FAR_BEHIND_BYTES)
        fail(recorder);
    if (g_atomic_int_get(&recorder->has_failed))
        return;
    Parcel *parcel = g_new(Parcel, 1);
    *parcel = (Parcel){.session = session, .is_last = is_last, .batch = batch};
    g_atomic_ref_count_inc(&batch->refs);
    (void)g_atomic_pointer_add(&recorder->waiting_bytes, (gssize)get_bytes(batch));
    g_async_queue_push(recorder->queue, parcel);
}
