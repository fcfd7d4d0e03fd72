/* SPDX-License-Identifier: Apache-2.0 */
/* A session being fed: its process, its connection, its lanes. Lives on a worker.
 *
 * It wakes by three things: the program's doorbell (a lane is due), a slow tick (the last chunk
 * of each lane is not announced, nor can every program make a system call), and the pidfd. */
#pragma once

#include "base/limits.h"
#include "base/worker.h"
#include "intake/clock.h"
#include "intake/hello.h"
#include "intake/intake.h"
#include "intake/journal.h"
#include "intake/lanes.h"
#include "intake/process.h"
#include "intake/recorder.h"
#include "model/bequest.h"

G_BEGIN_DECLS

typedef struct TtFeed TtFeed;
typedef struct TtEstates TtEstates;

/* What a feed is made of. It takes over what is marked so. */
typedef struct TtFeedSetup {
    TtSessionInfo *info; /* taken */
    TtModelLimits limits;
    TtStampClock clock;
    TtProcess process;    /* taken */
    int socket_fd;        /* taken; its program has been sent the lanes; -1: it closed it */
    GArray *segments;     /* taken; of TtSegment, one at least */
    guint32 is_recording; /* what the first one's control says, as of before a program had it */
    TtBudget *backlog;    /* outlives it */
    gsize ahead_max;      /* bytes that it may copy ahead of the merge */
    TtWorker *worker;     /* outlives it */
    GPtrArray *recorders; /* taken; of TtRecorder, that it goes to; or NULL */
    TtJournal *journal;   /* taken; or NULL */
    TtResumption resumption;
    gboolean is_adopted; /* an earlier daemon had it, and its connection has stood since */
    gboolean is_stored;  /* the service manager keeps it for the next daemon; it has a journal */
    guint64 order;
    TtFeed *parent; /* taken; that forked it, and whose blocks it has; or NULL */
    TtForkInstant fork;
    TtEstates *estates; /* outlives it */
    /* On the worker: the session has ended, or more is known of how. */
    void (*on_ended)(TtFeed *feed, gpointer data);
    gpointer data;
} TtFeedSetup;

/* Begins at once, on its worker. Any thread. */
TtFeed *tt_feed_new(const TtFeedSetup *setup);

/* Any thread; the last one has it freed on its worker. */
TtFeed *tt_feed_ref(TtFeed *feed);
void tt_feed_unref(TtFeed *feed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtFeed, tt_feed_unref)

/* What never changes. Any thread. */
const TtSessionInfo *tt_feed_get_info(const TtFeed *feed);
const TtStampClock *tt_feed_get_clock(const TtFeed *feed);
TtWorker *tt_feed_get_worker(const TtFeed *feed);
guint64 tt_feed_get_order(const TtFeed *feed);

/* As of the last look, a moment ago. Any thread. */
gboolean tt_feed_has_ended(TtFeed *feed);
void tt_feed_get_summary(TtFeed *feed, TtSummary *ret_summary);
TtSessionCard *tt_feed_make_card(TtFeed *feed);

/* Waits until what it inherits has come, however long that takes: then its session can be asked.
 * Any thread but a worker and the main one. */
void tt_feed_wait_for_inheritance(TtFeed *feed);

/* Whether it has not come yet. Any thread. */
gboolean tt_feed_is_inheriting(TtFeed *feed);

/* Whether it is this process's. Any thread. */
gboolean tt_feed_is_of(const TtFeed *feed, const TtProcess *process);

/* Whether @newcomer is the process of this feed after an exec. Any thread. */
gboolean tt_feed_was_replaced_by(TtFeed *feed, TtProcess *newcomer);

/* Wakes a dormant program, or puts it to sleep, which its session then says. Any thread. */
void tt_feed_set_recording(TtFeed *feed, gboolean is_recording);

/* What follows is for the worker's thread alone (tt_worker_send, tt_worker_call). */

/* Applies all that the program has published up to now, within @deadline_us of the monotonic clock
 * (G_MAXINT64: however long it takes). A process that is found dead is brought to its end. Returns
 * FALSE where time ran out, or where what it inherits has not come yet. The stamp of now is left in
 * @ret_stamp (nullable). */
gboolean tt_feed_catch_up(TtFeed *feed, gint64 deadline_us, guint64 *ret_stamp);

/* The same, up to a moment that has passed: of a program that always has more, now is never reached
 * by looks that are short. */
gboolean tt_feed_catch_up_to(TtFeed *feed, guint64 stamp, gint64 deadline_us);

/* The stamp of now, as its events are stamped. */
guint64 tt_feed_read_clock(TtFeed *feed);

TtSession *tt_feed_get_session(TtFeed *feed);

/* The children that inherit of it, in the order in which they are served: estate.c's. */
GQueue *tt_feed_get_heirs(TtFeed *feed);

/* Its recording's disk is slower than it: bring nothing more for a moment. */
gboolean tt_feed_is_behind(const TtFeed *feed);

/* Applies records of what it inherits (tt_bequest_write). Its own events wait for the last; from
 * tt_feed_close() on for the next daemon. */
void tt_feed_take_inheritance(TtFeed *feed, const guint8 *records, gsize len, gboolean is_last);

/* Marks the instant of now, up to which it catches up. */
void tt_feed_add_mark(TtFeed *feed, TtString name);

/* Records no more, up to now being the last. */
void tt_feed_leave_recorder(TtFeed *feed, TtRecorder *recorder);

/* Its process has said hello anew. @is_replaced: by another image, as tt_feed_was_replaced_by()
 * found in time; by now that one may have ended too. */
void tt_feed_supersede(TtFeed *feed, gboolean is_replaced);

/* Its parent was told how it ended. */
void tt_feed_tell_exit_status(TtFeed *feed, gint wait_status);

/* The daemon goes: applies what it can, and lets the program notice. */
void tt_feed_close(TtFeed *feed, gint64 deadline_us);

G_END_DECLS
