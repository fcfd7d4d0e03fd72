/* SPDX-License-Identifier: Apache-2.0 */
/* The door of intake: from the events socket to sessions that are up to date. */
#pragma once

#include <gio/gio.h>

#include "base/limits.h"
#include "base/worker.h"
#include "model/snapshot.h"

G_BEGIN_DECLS

#define TT_INTAKE_ERROR (tt_intake_error_quark())
GQuark tt_intake_error_quark(void);
typedef enum TtIntakeError {
    TT_INTAKE_ERROR_GONE,            /* no such session any more */
    TT_INTAKE_ERROR_ENDED,           /* what is asked for is for running ones */
    TT_INTAKE_ERROR_NOT_A_RECORDING, /* the file is none, or none that can be read */
    TT_INTAKE_ERROR_CANCELLED,
    TT_INTAKE_ERROR_BUSY, /* not yet; in a moment */
} TtIntakeError;

typedef struct TtIntake TtIntake;

/* Where sessions are written down for the next daemon, and the bound over all that lies there. */
typedef struct TtJournals TtJournals;

/**
 * tt_journals_new:
 * @dir: made where it is not there
 * @limit_bytes: of all files; 0: 2 GiB, or a quarter of what the disk has left where that is less
 * @error: of G_FILE_ERROR
 *
 * Gives up the oldest of what earlier daemons left there of processes that are no more: all but
 * sixteen, and more where there is no room for those.
 *
 * Returns: (transfer full) (nullable): %NULL with @error set
 */
TtJournals *tt_journals_new(const char *dir, guint64 limit_bytes, GError **error);
void tt_journals_free(TtJournals *journals);

typedef struct TtIntakeOptions {
    gsize memory_limit_bytes; /* of all sessions together; 0: the default */
    gsize history_blocks;     /* freed lifecycles kept per session */
    guint ended_sessions;     /* how many that ended are kept */
    TtJournals *journals;     /* outlives the intake; NULL: none are written */
} TtIntakeOptions;

/* A program asked for its own export over the events socket (records EXPORT). The callee owns @fd
 * and answers exactly once by tt_intake_answer_export. Called on the main thread. */
typedef void (*TtExportRequest)(gpointer data, const guint8 *session_id, TtExportFormat format,
                                int fd, gpointer request);

/**
 * tt_intake_new:
 * @listen_fd: (transfer full): a listening AF_UNIX SOCK_SEQPACKET socket
 *
 * Accepts on the thread-default main context of the caller, its own user's processes alone.
 */
TtIntake *tt_intake_new(int listen_fd, const TtIntakeOptions *options, TtExportRequest on_export,
                        gpointer data);

/* Takes up sessions where an earlier daemon left them. @stored: (element-type TtStored): what the
 * service manager kept; descriptors are taken. Needs the journals that daemon wrote; what has none
 * is let go, and says hello again. Main thread, before the first is accepted. */
void tt_intake_adopt(TtIntake *intake, const GArray *stored);

/* Whether every worker has answered since this was last asked, or goes on with something long
 * (base/worker.h); asks those again that have. Main thread. */
gboolean tt_intake_have_workers_answered(TtIntake *intake);

/* Stops accepting, applies all that was accepted, ends the sessions, frees all. */
void tt_intake_free(TtIntake *intake);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtIntake, tt_intake_free)

void tt_intake_answer_export(gpointer request, int error, const char *message);

/* One session, for lists and for finding targets. Strings are raw bytes. */
typedef struct TtSessionCard {
    guint8 id[TT_SESSION_ID_BYTES];
    char *exe;
    gint pid, own_pid;
    guint64 order; /* greater: began later */
    guint64 start_realtime_ns;
    TtRelation parent_relation;
    guint8 parent_id[TT_SESSION_ID_BYTES];
    gboolean has_connection; /* its socket is open: not yet ended */
    TtSummary summary;       /* as of the call */
} TtSessionCard;

void tt_session_card_free(TtSessionCard *card);

/* Returns: (transfer full) (element-type TtSessionCard): all, oldest first, each brought up to date
 * (its lanes were read) before its summary was taken, within about 500 ms; a session that takes
 * longer shows what it had. Main thread. */
GPtrArray *tt_intake_list(TtIntake *intake);

/* The same at once, with figures as of the last look: for finding out which session is meant. */
GPtrArray *tt_intake_list_known(TtIntake *intake);

/* Takes a snapshot of a session at an instant (NULL: now), which is settled: all that its program
 * has published when this is called is in. @error: TT_INTAKE_ERROR_GONE, or TT_MODEL_ERROR_INSTANT
 * where the session has no such instant. @snapshot reads its live blocks through the session's
 * worker and releases its pin when the returned holder is freed. Any thread but the session's
 * worker. Blocks while the worker catches up. */
typedef struct TtHeldSnapshot {
    TtSnapshot *snapshot;
    /* When it was taken: the session's start by CLOCK_REALTIME, and what has passed since by its
     * own clock, whatever has been set meanwhile. A recording's: of its last word. */
    guint64 realtime_ns;
    /* Private. */
    gpointer held;
    void (*release)(gpointer held);
} TtHeldSnapshot;

TtHeldSnapshot *tt_intake_take_snapshot(TtIntake *intake, const guint8 *session_id,
                                        const TtInstant *instant, GError **error);
/* The same as of now, with the lives of an address: tt_snapshot_get_lives. */
TtHeldSnapshot *tt_intake_take_lives(TtIntake *intake, const guint8 *session_id, guint64 addr,
                                     GError **error);
void tt_held_snapshot_free(TtHeldSnapshot *held);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtHeldSnapshot, tt_held_snapshot_free)

/* Sets a mark as of now, in a running session. Any thread but the session's worker.
 * @error: TT_INTAKE_ERROR_GONE, _ENDED, _BUSY: what it inherits has not come */
gboolean tt_intake_add_mark(TtIntake *intake, const guint8 *session_id, const char *name,
                            GError **error);

/* Wakes a dormant session, or puts a running one to sleep (is_recording of the lanes). */
gboolean tt_intake_set_recording(TtIntake *intake, const guint8 *session_id, gboolean is_recording,
                                 GError **error);

/* What the parent learnt by wait(2): how process @pid ended. Sessions of that pid that are the last
 * of it get it, also those that ended a moment ago; remembered for a while for those that have not
 * been seen to end. Main thread. */
void tt_intake_set_exit_status(TtIntake *intake, gint pid, gint wait_status);

/* Calls @done on the main thread once every session of process @pid has ended (lanes drained), or
 * after @timeout_ms. Main thread. */
void tt_intake_when_ended(TtIntake *intake, gint pid, guint timeout_ms,
                          void (*done)(gpointer data, gboolean all_ended), gpointer data);

/* Memory for an answer, out of the daemon's limit; given back with the answer. No session that is
 * kept goes for it. Any thread. */
void tt_intake_init_budget(TtIntake *intake, TtBudget *ret_budget);

/* -- Recordings ------------------------------------------------------------------------------- */

/* Sessions that are written down as they go on; the file can be told again (TtReplay). */
typedef struct TtRecording TtRecording;

/* The end of a recording, on the main thread; it is gone with that.
 * @error: %NULL: all is written; else of G_IO_ERROR: the file ends where it was then */
typedef void (*TtRecordingDone)(gpointer data, guint64 bytes, const GError *error);

/**
 * tt_intake_start_recording:
 * @fd: (transfer full): open for writing, at the file's start
 * @ancestor: only what this process started, and what that started; 0: whoever comes
 *
 * Records every session that begins from now on. Those that run already are not in it: what they
 * did is not known any more. Main thread, as the next.
 *
 * Returns: (transfer none): valid until @done is called
 */
TtRecording *tt_intake_start_recording(TtIntake *intake, int fd, gint ancestor,
                                       TtRecordingDone done, gpointer data);

/* All that programs have published by now is in, then @done is called. Once more does nothing. It
 * stops by itself where it cannot be written, and when the intake is freed. */
void tt_intake_stop_recording(TtRecording *recording);

/* A recording that is read. One thread at a time, which may be any. */
typedef struct TtReplay TtReplay;

/**
 * tt_replay_open:
 * @intake: (transfer none): whose limits hold; outlives it
 * @fd: (transfer full): open for reading; not trusted
 * @cancellable: (nullable)
 * @error: TT_INTAKE_ERROR_NOT_A_RECORDING, _CANCELLED
 *
 * Reads the file once, to know who is in it. One that was cut or damaged holds up to its last whole
 * section, and its sessions say so.
 *
 * Returns: (transfer full): or %NULL with @error set
 */
TtReplay *tt_replay_open(TtIntake *intake, int fd, GCancellable *cancellable, GError **error);
void tt_replay_free(TtReplay *replay);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtReplay, tt_replay_free)

/* Returns: (transfer none) (element-type TtSessionCard): oldest first; of the summary the state
 * alone is known. */
GPtrArray *tt_replay_get_cards(TtReplay *replay);

/**
 * tt_replay_take_snapshot:
 * @instant: (nullable): as of tt_intake_take_snapshot(); %NULL: after all of it
 * @error: TT_INTAKE_ERROR_GONE, _CANCELLED, TT_MODEL_ERROR_INSTANT
 *
 * Tells a session again; a second time where an instant's blocks have left what it retains. The
 * same file gives the same state, always. It may be held longer than the replay.
 */
TtHeldSnapshot *tt_replay_take_snapshot(TtReplay *replay, const guint8 *session_id,
                                        const TtInstant *instant, GError **error);
/* The same of the whole, with the lives of an address. */
TtHeldSnapshot *tt_replay_take_lives(TtReplay *replay, const guint8 *session_id, guint64 addr,
                                     GError **error);

G_END_DECLS
