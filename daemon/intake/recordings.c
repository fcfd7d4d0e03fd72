/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings under way: which sessions go to which, and how one ends. */
#include <string.h>

#include "intake/private.h"
#include "intake/process.h"

/* The main thread's. */
struct TtRecording {
    TtIntake *intake;
    TtRecorder *recorder;
    gint ancestor;
    GHashTable *ids; /* of GBytes: sessions that are in it; their children are too */
    TtRecordingDone done;
    gpointer data;
    gboolean is_stopping; /* our reference to the recorder is given up */
};

static void unref_recorder(gpointer data) { tt_recorder_unref(data); }

static void free_id(gpointer data) { g_bytes_unref(data); }

static void free_recording(TtRecording *recording) {
    tt_recorder_free(recording->recorder);
    g_hash_table_unref(recording->ids);
    g_free(recording);
}

static gboolean has_id(const TtRecording *recording, const guint8 *id) {
    g_autoptr(GBytes) key = g_bytes_new(id, TT_SESSION_ID_BYTES);

    return g_hash_table_contains(recording->ids, key);
}

static gboolean wants(const TtRecording *recording, const TtSessionInfo *info) {
    if (recording->is_stopping)
        return FALSE;
    return recording->ancestor == 0 ||
           (info->parent_relation != TT_RELATION_NONE && has_id(recording, info->parent_id)) ||
           tt_process_descends_from(info->pid, recording->ancestor);
}

GPtrArray *tt_intake_choose_recorders(TtIntake *intake, const TtSessionInfo *info) {
    GPtrArray *recorders = NULL;

    for (GList *at = intake->recordings.head; at; at = at->next) {
        TtRecording *recording = at->data;

        if (!wants(recording, info))
            continue;
        if (recording->ancestor > 0)
            g_hash_table_add(recording->ids, g_bytes_new(info->id, TT_SESSION_ID_BYTES));
        if (!recorders)
            recorders = g_ptr_array_new_with_free_func(unref_recorder);
        g_ptr_array_add(recorders, tt_recorder_ref(recording->recorder));
    }
    return recorders;
}

/* A message to a feed: let go. */
typedef struct Leaving {
    TtFeed *feed;
    TtRecorder *recorder;
} Leaving;

static void run_leave(gpointer data) {
    Leaving *leaving = data;

    tt_feed_leave_recorder(leaving->feed, leaving->recorder);
}

static void free_leaving(gpointer data) {
    Leaving *leaving = data;

    tt_recorder_unref(leaving->recorder);
    tt_feed_unref(leaving->feed);
    g_free(leaving);
}

void tt_intake_stop_recording(TtRecording *recording) {
    if (recording->is_stopping)
        return;
    recording->is_stopping = TRUE;
    g_autoptr(GPtrArray) feeds = tt_registry_list(recording->intake->registry);
    for (guint i = 0; i < feeds->len; i++) {
        Leaving *leaving = g_new(Leaving, 1);

        *leaving = (Leaving){tt_feed_ref(g_ptr_array_index(feeds, i)),
                             tt_recorder_ref(recording->recorder)};
        tt_worker_send(tt_feed_get_worker(leaving->feed), run_leave, leaving, free_leaving);
    }
    tt_recorder_unref(recording->recorder);
}

static void on_failed(gpointer data) { tt_intake_stop_recording(data); }

static void on_done(gpointer data, guint64 bytes, const GError *error) {
    TtRecording *recording = data;

    g_queue_remove(&recording->intake->recordings, recording);
    recording->done(recording->data, bytes, error);
    free_recording(recording);
}

TtRecording *tt_intake_start_recording(TtIntake *intake, int fd, gint ancestor,
                                       TtRecordingDone done, gpointer data) {
    static const TtRecorderCalls calls = {.failed = on_failed, .done = on_done};
    TtRecording *recording = g_new0(TtRecording, 1);

    recording->intake = intake;
    recording->ancestor = ancestor;
    recording->ids = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, free_id, NULL);
    recording->done = done;
    recording->data = data;
    recording->recorder = tt_recorder_new(fd, &calls, recording);
    g_queue_push_tail(&intake->recordings, recording);
    return recording;
}

void tt_intake_free_recordings(TtIntake *intake) {
    TtRecording *recording;

    while ((recording = g_queue_pop_head(&intake->recordings))) {
        if (!recording->is_stopping)
            tt_recorder_unref(recording->recorder);
        free_recording(recording);
    }
}
