/* SPDX-License-Identifier: Apache-2.0 */
/* A recording being written: sections of several sessions into one descriptor, on a thread of its
 * own. Sessions hand it batches (tape.h) and never wait for it; it says when they are ahead. */
#pragma once

#include <gio/gio.h>

#include "intake/columns.h"
#include "protocol/decode.h"
#include "protocol/recording.h"

G_BEGIN_DECLS

/* What a session was told, as much as makes a section. Shared by the recorders that it goes to;
 * whoever has handed it over changes it no more. */
typedef struct TtBatch {
    gatomicrefcount refs;
    GByteArray *steps;
    GArray *nodes;   /* of TtRecordStack */
    TtEvent *events; /* room for event_room */
    guint event_count, event_room;
    guint64 realtime_ns;
} TtBatch;

TtBatch *tt_batch_new(void);
void tt_batch_unref(TtBatch *batch);

typedef struct TtRecorder TtRecorder;

/* Called on the thread-default main context of who made the recorder. */
typedef struct TtRecorderCalls {
    /* Nothing more can be written: have the sessions let go of it. At most once, before the end. */
    void (*failed)(gpointer data);
    /* The last reference is gone and the descriptor closed: it can be freed without a wait.
     * @error: %NULL: all is written; else of G_IO_ERROR: the recording ends where it was then */
    void (*done)(gpointer data, guint64 bytes, const GError *error);
} TtRecorderCalls;

/**
 * tt_recorder_new:
 * @fd: (transfer full): open for writing
 * @calls: copied
 *
 * Returns: (transfer full): with one reference, that of who made it
 */
TtRecorder *tt_recorder_new(int fd, const TtRecorderCalls *calls, gpointer data);

/* Of a file of one session, which may be written on later: it is not brought to an end. */
typedef struct TtRecorderStart {
    guint64 whole_bytes;  /* of the file: so much is there, the rest is cut off; 0: it begins */
    guint64 max_bytes;    /* it fails rather than grow beyond; 0: no matter */
    const TtGuess *guess; /* of its session, there */
    gboolean goes_on;
    /* Whether there is room for so many bytes more; it fails where there is none. On its thread;
     * NULL: as many as the disk takes. */
    gboolean (*reserve)(gpointer data, gsize bytes);
    gpointer reserve_data;
} TtRecorderStart;

/* The same, at @start. */
TtRecorder *tt_recorder_new_at(int fd, const TtRecorderStart *start, const TtRecorderCalls *calls,
                               gpointer data);

/* Any thread, as all but tt_recorder_free. Each session that is recorded holds one; when the last
 * is given up the recording is brought to its end. */
TtRecorder *tt_recorder_ref(TtRecorder *recorder);
void tt_recorder_unref(TtRecorder *recorder);

/* Frees it; waits for the end, where that has not come. All references are given up by then. The
 * thread that made it; it is called no more. */
void tt_recorder_free(TtRecorder *recorder);

/* Returns: the session's number in the file; 0: there are as many as a file may have. */
guint32 tt_recorder_add_session(TtRecorder *recorder);

/* More waits than it should: come back in a moment. */
gboolean tt_recorder_is_behind(TtRecorder *recorder);

/* Has a batch written in its turn; @batch is shared from here on. Where it has failed nothing is
 * done. @is_last: nothing more comes of this session */
void tt_recorder_push(TtRecorder *recorder, guint32 session, TtBatch *batch, gboolean is_last);

G_END_DECLS
