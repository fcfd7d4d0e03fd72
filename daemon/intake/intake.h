/* SPDX-License-Identifier: Apache-2.0 */
/* The door of intake: from the events socket to sessions that are up to date. */
#pragma once

#include <gio/gio.h>

#include "base/worker.h"
#include "model/snapshot.h"

G_BEGIN_DECLS

#define TT_INTAKE_ERROR (tt_intake_error_quark())
GQuark tt_intake_error_quark(void);
typedef enum TtIntakeError {
    TT_INTAKE_ERROR_GONE,  /* no such session any more */
    TT_INTAKE_ERROR_ENDED, /* what is asked for is for running ones */
} TtIntakeError;

typedef struct TtIntake TtIntake;

typedef struct TtIntakeOptions {
    gsize memory_limit_bytes; /* of all sessions together; 0: the default */
    gsize history_blocks;     /* freed lifecycles kept per session */
    guint ended_sessions;     /* how many that ended are kept */
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

/* Takes a snapshot of a session as of now: all that its program has published when this is called
 * is in. @snapshot reads its live blocks through the session's worker and releases its pin when the
 * returned holder is freed. Any thread but the session's worker. Blocks while the worker catches
 * up. */
typedef struct TtHeldSnapshot {
    TtSnapshot *snapshot;
    gpointer held; /* private */
} TtHeldSnapshot;

TtHeldSnapshot *tt_intake_take_snapshot(TtIntake *intake, const guint8 *session_id, GError **error);
void tt_held_snapshot_free(TtHeldSnapshot *held);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtHeldSnapshot, tt_held_snapshot_free)

/* Sets a mark as of now, in a running session. Any thread but the session's worker. */
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

G_END_DECLS
