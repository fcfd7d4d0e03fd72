/* SPDX-License-Identifier: Apache-2.0 */
/* What a session was told, in a file of its own as it goes on, so that the next daemon can tell it
 * again: a recording (protocol/RECORDING.md) of one session, which may be written on. */
#pragma once

#include "intake/intake.h"
#include "intake/recorder.h"
#include "model/session.h"

G_BEGIN_DECLS

typedef struct TtJournal TtJournal;

/* The file of a session; one that is not resumed begins anew. Any thread; one at a time, as all
 * here. Returns: (transfer full) (nullable): %NULL: it cannot be had, and the session has none */
TtJournal *tt_journal_open(TtJournals *journals, const guint8 *session_id, gboolean is_resumed);

/* Its session is over: when there is room for another no more it goes, in its turn. More than once
 * does no harm. */
void tt_journal_note_ended(TtJournal *journal);

/* It cannot be written any more: says so in the log, of a session that runs on without. */
void tt_journal_note_failed(TtJournal *journal, gint pid, const GError *error);

/* Closes it, once its recorder is freed. @is_kept: FALSE: the file goes too */
void tt_journal_free(TtJournal *journal, gboolean is_kept);

/* Returns: (transfer full) (nullable): what the file says of its session; %NULL: nothing */
TtSessionInfo *tt_journal_read_info(TtJournal *journal);

/* Whether what the session inherited was still coming when the file ended. */
gboolean tt_journal_is_inheriting(TtJournal *journal, const TtSessionInfo *info);

/* How far a session is known by its file. */
typedef struct TtJournalEnd {
    guint64 stamp;       /* of the last event */
    guint64 event_count; /* heap events told, lost ones too where that was known */
    GArray *lane_counts; /* of TtLaneCounts: of each lane of the last connection; owned */
    GArray *held;        /* with @goes_on: told, and waiting for what follows (order.h); owned */
    gboolean lacks_inheritance; /* some of what it inherited has not come */
} TtJournalEnd;

/* Tells a new session all that the file holds, up to where it was cut. It is written on from there.
 * @goes_on: the next event of each lane will follow. Returns whether it holds the session's
 * beginning. */
gboolean tt_journal_retell(TtJournal *journal, TtSession *session, gboolean goes_on,
                           TtJournalEnd *ret_end);

/* Begins to write. Returns: (transfer full): freed by the caller's tt_recorder_free */
TtRecorder *tt_journal_record(TtJournal *journal, const TtRecorderCalls *calls, gpointer data);

G_END_DECLS
