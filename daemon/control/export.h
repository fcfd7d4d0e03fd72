/* SPDX-License-Identifier: Apache-2.0 */
/* Exports: what is told of a session's snapshots, to a descriptor, on threads of their own, few at
 * a time. */
#pragma once

#include "intake/intake.h"
#include "protocol/wire.h"
#include "report/report.h"

G_BEGIN_DECLS

/* At work at one time. One that waits for its reader does not count, up to the second figure. */
#define TT_EXPORTER_ACTIVE_MAX 2
#define TT_EXPORTER_THREADS_MAX 16
/* Waiting for their turn; past it an export is refused as busy. */
#define TT_EXPORTER_QUEUE_MAX 64

typedef struct TtExporter TtExporter;

/**
 * tt_exporter_new:
 * @intake: (transfer none): outlives it
 *
 * Calls back on the thread-default main context of the caller, whose thread alone calls the
 * functions below.
 */
TtExporter *tt_exporter_new(TtIntake *intake);

/* Cancels what is waiting and at work, waits for it, and has called everybody back. */
void tt_exporter_free(TtExporter *exporter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtExporter, tt_exporter_free)

/**
 * TtQuestion:
 * @TT_QUESTION_STATE: the state at an instant, as a document
 * @TT_QUESTION_DIFF: what lies between two instants
 * @TT_QUESTION_LIVES: which blocks an address is or was in
 * @TT_QUESTION_LEAKS: which blocks are lost
 */
typedef enum TtQuestion {
    TT_QUESTION_STATE,
    TT_QUESTION_DIFF,
    TT_QUESTION_LIVES,
    TT_QUESTION_LEAKS,
} TtQuestion;

/**
 * TtExportAsk:
 * @format: of the document
 * @is_text: text for people in place of @format; of a diff, of lives and of leaks
 * @at: (nullable): the word of an instant (model/instant.h), of a diff the later; %NULL for now
 * @since: of a diff, the word of the earlier one
 * @addr: of lives
 * @view: (nullable): which picture; %NULL for the overview
 * @top: how many entries a ranking shows; 0 for the view's own choice
 * @columns: of a line of text; 0 for any
 * @is_full: with every address
 * @leaks: of leaks; its strings are copied
 * @image_fd: (transfer full): of leaks, the memory; -1: there is none
 * @taken_fd: (transfer full): of leaks, a socket that is sent a byte as soon as the state is taken,
 *   or will not be: the process stands still until then; -1: nobody waits for it
 * @found: (transfer none) (nullable): of leaks; set before @done is called
 */
typedef struct TtExportAsk {
    TtQuestion question;
    TtExportFormat format;
    gboolean is_text;
    const char *at, *since;
    guint64 addr;
    const char *view;
    guint top, columns;
    gboolean is_full;
    TtLeaksOptions leaks;
    int image_fd, taken_fd;
    TtLeaksFound *found;
} TtExportAsk;

/* @session_id: whose state it was; meaningful without an error
 * @error: of TT_CONTROL_ERROR, or %NULL: all @bytes are with the system. */
typedef void (*TtExportDone)(gpointer data, const guint8 *session_id, guint64 bytes,
                             const GError *error);

/**
 * tt_exporter_export:
 * @cards: (element-type TtSessionCard): all sessions, for the names of the related ones
 * @ask: copied
 * @fd: (transfer full): open for writing; closed before @done is called, and also on failure
 * @cancellable: (nullable): ends it at the next write, or while it waits
 * @error: TT_CONTROL_ERROR_BUSY, _INVALID_ARGUMENT, _NOT_WRITABLE
 *
 * Returns: whether @done will be called, once; it is never called from within
 */
gboolean tt_exporter_export(TtExporter *exporter, GPtrArray *cards, const TtSessionCard *card,
                            const TtExportAsk *ask, int fd, GCancellable *cancellable,
                            TtExportDone done, gpointer data, GError **error);

/**
 * tt_exporter_export_recorded:
 * @recording_fd: (transfer full): a recording, open for reading; not trusted
 * @target: which of its sessions
 *
 * The rest as tt_exporter_export(). Which session it is turns out when the file is read, so a
 * target that is none is told through @done.
 */
gboolean tt_exporter_export_recorded(TtExporter *exporter, int recording_fd, const char *target,
                                     const TtExportAsk *ask, int fd, GCancellable *cancellable,
                                     TtExportDone done, gpointer data, GError **error);

/* @figures: (transfer none): floating no more, a{sv}; %NULL with @error set */
typedef void (*TtDescribeDone)(gpointer data, GVariant *figures, const GError *error);

/* The totals and the completeness of a session as of now, exact, in the same queue. */
gboolean tt_exporter_describe(TtExporter *exporter, const TtSessionCard *card,
                              GCancellable *cancellable, TtDescribeDone done, gpointer data,
                              GError **error);

/* What a program asks of itself over the events socket; see TtExportRequest.
 *
 * @fd     (transfer full)
 * @done   @error is an errno value, 0: all is written; @message a sentence. Perhaps called at once
 */
void tt_exporter_export_fd(TtExporter *exporter, const guint8 *session_id, TtExportFormat format,
                           int fd, void (*done)(gpointer data, int error, const char *message),
                           gpointer data);

G_END_DECLS
