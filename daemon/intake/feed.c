/* SPDX-License-Identifier: Apache-2.0 */
/* When to read, and when a session is over.
 *
 * Sleeping without missing anything: the daemon sets wants_doorbell and then looks once more; the
 * program begins a chunk and, where a part of its lane is to be read, looks at wants_doorbell; both
 * with a full fence between, so one sees the other. What is never announced is found by the tick,
 * which slows down while it finds nothing, and speeds up where so much was there and no bell rang
 * (seccomp may forbid it).
 *
 * The end: a pidfd tells of death, whoever still holds the socket. A closed socket tells of an exec
 * or of a program that closed what is not its own; whether our memory is still mapped decides. */
#include "intake/feed.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/wait.h>
#include <unistd.h>

#include "intake/adopt.h"
#include "intake/estate.h"
#include "intake/merger.h"
#include "intake/messages.h"
#include "protocol/checked.h"

#define SLICE_BYTES (1u << 20)           /* decoded before other sessions have their turn */
#define BUSY_BYTES (4u * TT_CHUNK_BYTES) /* found so much: look again at once */
#define MESSAGES_AT_ONCE 64
#define TICK_FAST_MS 5u /* a lane is due each time, and nobody rings */
#define TICK_MS 250u
#define TICK_SLOW_MS 2000u
#define STATUS_TRY_MS 10u /* how the process ended is known when it was reaped */
#define STATUS_TRIES 100u
#define LEAVE_US G_USEC_PER_SEC
#define BEHIND_MS 2u /* the recording's disk is slower than the program: look again */

#define BROKEN "The connection broke: bytes came over it that no library of ours sends"
#define OVERWRITTEN                                                                                \
    "The program wrote over memory that it shares with the daemon: some of what it did is missing"
#define DISINHERITED                                                                               \
    "What it inherited of its parent is not known: the parent's session is not kept, or was none."
#define ASLEEP "The program was asleep for a while: what it allocated and freed then is not known."

typedef enum Cause {
    CAUSE_NONE, /* it runs */
    CAUSE_PROCESS,
    CAUSE_EXEC,
    CAUSE_LOST,
} Cause;

struct TtFeed {
    gatomicrefcount refs;
    TtWorker *worker;
    TtSessionInfo *info;
    guint64 order;
    guint64 inode; /* of the first segment */
    TtModelLimits limits;
    void (*on_ended)(TtFeed *feed, gpointer data);
    gpointer data;

    /* The worker's. */
    TtSession *session;
    TtMerger *merger;
    GPtrArray *recorders; /* of TtRecorder, until it begins; or NULL */
    TtTape *tape;         /* NULL: nobody records */
    TtJournal *journal;   /* NULL: none */
    TtRecorder *journal_recorder;
    TtResumption resumption;
    gboolean is_adopted, is_stored; /* as in TtFeedSetup */
    gboolean is_closing;            /* the daemon ends: its journal stays for the next */
    TtStampClock clock;
    TtBudget *backlog;
    gsize ahead_max;
    TtProcess process;
    int socket_fd;    /* -1: closed */
    GArray *segments; /* of TtSegment */
    GSource *socket_source, *process_source, *tick_source, *slice_source, *status_source;
    guint tick_ms;
    gboolean has_rung; /* since the last tick */
    Cause cause;       /* set: reading to the end */
    gint told_status;  /* by its parent; -1: nothing */
    guint status_tries;
    TtFeed *parent; /* until it is asked */
    TtForkInstant fork;
    TtEstates *estates;
    GQueue heirs; /* of TtEstate, each of which refers to it */

    /* Shared. */
    GMutex lock;
    GCond has_inherited;
    gboolean is_inheriting; /* its own events wait; the worker alone writes */
    GPtrArray *leaving;     /* of TtRecorder, to be left when it has inherited; or NULL */
    TtProcess identity;     /* without the descriptor */
    TtSummary summary;
    gboolean has_ended;
    gboolean has_connection;
    TtLaneControl *control; /* the session's block; NULL once it is unmapped */
    guint32 is_recording;   /* what stands there, as long as the program keeps off */
};

static void begin_end(TtFeed *feed, Cause cause);
static void arm_tick(TtFeed *feed, guint ms);

static void drop_source(GSource **source) {
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static GSource *add_source(TtFeed *feed, GSource *source, GSourceFunc call) {
    /* A source holds no reference: all are destroyed on the worker before the feed is freed. */
    g_source_set_callback(source, call, feed, NULL);
    g_source_attach(source, tt_worker_get_context(feed->worker));
    return source;
}

static void refresh_summary(TtFeed *feed) {
    TtSummary summary;

    tt_session_get_summary(feed->session, &summary);
    summary.state_bytes += tt_merger_get_held_bytes(feed->merger);
    g_mutex_lock(&feed->lock);
    feed->summary = summary;
    feed->has_connection = feed->socket_fd >= 0 && feed->cause == CAUSE_NONE;
    g_mutex_unlock(&feed->lock);
}

static TtLaneControl *get_control(const TtFeed *feed) {
    return tt_segment_get_control(&g_array_index(feed->segments, TtSegment, 0));
}

static void refresh_drops(TtFeed *feed) {
    guint64 unlaned =
        atomic_load_explicit(&get_control(feed)->dropped_events, memory_order_relaxed);

    guint64 dropped = tt_merger_get_undeclared_drops(feed->merger, unlaned);

    tt_session_set_dropped(feed->session, dropped);
    tt_tape_add_dropped(feed->tape, dropped);
}

static void add_doubt(TtFeed *feed, const char *sentence) {
    tt_session_add_doubt(feed->session, sentence);
    tt_tape_add_doubt(feed->tape, sentence);
}

/* -- The end ---------------------------------------------------------------------------------- */

static void end_session(TtFeed *feed, TtSessionState state, gint status) {
    tt_session_end(feed->session, state, status, 0);
    tt_tape_add_end(feed->tape, state, status);
}

static void apply_exit_status(TtFeed *feed, gint status) {
    TtSessionState state = status < 0            ? TT_SESSION_ENDED
                           : WIFSIGNALED(status) ? TT_SESSION_KILLED
                                                 : TT_SESSION_EXITED;

    end_session(feed, state, status);
}

static void tell_ended(TtFeed *feed) {
    refresh_summary(feed);
    tt_session_leave_pool(feed->session);
    if (feed->journal)
        tt_journal_note_ended(feed->journal);
    g_mutex_lock(&feed->lock);
    feed->has_ended = TRUE;
    g_mutex_unlock(&feed->lock);
    feed->on_ended(feed, feed->data);
}

static gboolean try_exit_status(gpointer data) {
    TtFeed *feed = data;
    gint status;

    if (tt_process_find_exit_status(&feed->process, &status)) {
        apply_exit_status(feed, status);
        tell_ended(feed);
    } else if (++feed->status_tries < STATUS_TRIES) {
        return G_SOURCE_CONTINUE;
    }
    tt_process_close(&feed->process);
    drop_source(&feed->status_source);
    return G_SOURCE_REMOVE;
}

static void end_process(TtFeed *feed) {
    gint status = feed->told_status;

    if (status < 0 && !tt_process_find_exit_status(&feed->process, &status)) {
        status = -1;
        feed->status_source =
            add_source(feed, g_timeout_source_new(STATUS_TRY_MS), try_exit_status);
    } else {
        tt_process_close(&feed->process);
    }
    apply_exit_status(feed, status);
}

static void close_socket(TtFeed *feed) {
    drop_source(&feed->socket_source);
    if (feed->socket_fd >= 0)
        close(feed->socket_fd);
    feed->socket_fd = -1;
}

static void release_lanes(TtFeed *feed) {
    g_mutex_lock(&feed->lock);
    feed->control = NULL;
    g_mutex_unlock(&feed->lock);
    tt_merger_release_lanes(feed->merger);
    for (guint i = 0; i < feed->segments->len; i++)
        tt_segment_clear(&g_array_index(feed->segments, TtSegment, i));
    g_array_set_size(feed->segments, 0);
}

static void set_recording(TtFeed *feed, guint32 is_recording) {
    g_mutex_lock(&feed->lock);
    feed->is_recording = is_recording;
    if (feed->control)
        /* Nothing is published by it: a hook sees it sooner or later. */
        atomic_store_explicit(&feed->control->is_recording, is_recording, memory_order_relaxed);
    g_mutex_unlock(&feed->lock);
}

/* A wild store of the program's may have put it to sleep, or woken it. */
static void refresh_control(TtFeed *feed) {
    g_mutex_lock(&feed->lock);
    _Atomic guint32 *is_recording = &feed->control->is_recording;
    gboolean is_damaged =
        atomic_load_explicit(is_recording, memory_order_relaxed) != feed->is_recording;
    if (is_damaged)
        atomic_store_explicit(is_recording, feed->is_recording, memory_order_relaxed);
    g_mutex_unlock(&feed->lock);
    if (is_damaged)
        add_doubt(feed, OVERWRITTEN);
}

/* All is applied. */
static void finish_end(TtFeed *feed) {
    drop_source(&feed->slice_source);
    drop_source(&feed->tick_source);
    refresh_drops(feed);
    refresh_control(feed);
    if (feed->is_stored)
        tt_adopt_forget(feed->info->id, feed->segments->len);
    release_lanes(feed);
    if (feed->cause == CAUSE_PROCESS) {
        end_process(feed);
    } else {
        end_session(feed, feed->cause == CAUSE_EXEC ? TT_SESSION_EXEC : TT_SESSION_LOST, -1);
        tt_process_close(&feed->process);
    }
    tell_ended(feed);
}

static gboolean is_over(const TtFeed *feed) { return feed->segments->len == 0; }

/* -- Reading ---------------------------------------------------------------------------------- */

/* One look and as much of the merge as one turn allows. Returns whether there is more to do. */
static gboolean run_slice(TtFeed *feed) {
    if (feed->is_inheriting)
        return FALSE; /* the end of that wakes it; its lanes wait */

    gsize copied = tt_merger_drain(feed->merger);
    gboolean has_more = tt_merger_merge(feed->merger, G_MAXUINT64, SLICE_BYTES);

    if (feed->cause != CAUSE_NONE) {
        if (!has_more && tt_merger_is_empty(feed->merger))
            finish_end(feed);
        return !is_over(feed);
    }
    if (has_more || copied >= BUSY_BYTES)
        return TRUE;

    /* Pairs with the fence in tt_send_doorbell. */
    atomic_store_explicit(&get_control(feed)->wants_doorbell, 1, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    if (!tt_merger_has_due_lane(feed->merger))
        return FALSE;
    atomic_store_explicit(&get_control(feed)->wants_doorbell, 0, memory_order_relaxed);
    return TRUE;
}

static gboolean on_slice(gpointer data);

static void set_slices(TtFeed *feed, GSource *source) {
    drop_source(&feed->slice_source);
    feed->slice_source = source;
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    add_source(feed, source, on_slice);
}

/* While the recorder is behind nothing is read: the lanes fill, and it is the program that waits.
 */
static gboolean on_rest(gpointer data) {
    TtFeed *feed = data;

    if (tt_tape_is_behind(feed->tape))
        return G_SOURCE_CONTINUE;
    set_slices(feed, g_idle_source_new());
    return G_SOURCE_REMOVE;
}

static gboolean on_slice(gpointer data) {
    TtFeed *feed = data;

    if (tt_tape_is_behind(feed->tape)) {
        drop_source(&feed->slice_source);
        feed->slice_source = add_source(feed, g_timeout_source_new(BEHIND_MS), on_rest);
        return G_SOURCE_REMOVE;
    }
    if (run_slice(feed))
        return G_SOURCE_CONTINUE;
    drop_source(&feed->slice_source);
    return G_SOURCE_REMOVE;
}

/* Has slices run, in turn with the worker's other work, until there is nothing to do. */
static void wake(TtFeed *feed) {
    if (feed->slice_source || is_over(feed))
        return;
    set_slices(feed, g_idle_source_new());
}

guint64 tt_feed_read_clock(TtFeed *feed) { return tt_merger_read_clock(feed->merger); }

gboolean tt_feed_catch_up(TtFeed *feed, gint64 deadline_us, guint64 *ret_stamp) {
    guint64 now = tt_feed_read_clock(feed);

    if (ret_stamp)
        *ret_stamp = now;
    return tt_feed_catch_up_to(feed, now, deadline_us);
}

gboolean tt_feed_catch_up_to(TtFeed *feed, guint64 stamp, gint64 deadline_us) {
    gboolean is_in_time = TRUE;

    if (feed->cause == CAUSE_NONE && tt_process_has_ended(&feed->process))
        begin_end(feed, CAUSE_PROCESS);
    if (feed->is_inheriting)
        return FALSE;
    while (!is_over(feed) && is_in_time) {
        if (feed->cause != CAUSE_NONE) {
            run_slice(feed);
        } else {
            tt_merger_drain(feed->merger);
            tt_merger_merge(feed->merger, stamp, SLICE_BYTES);
            if (tt_merger_has_reached(feed->merger, stamp))
                break;
        }
        tt_worker_note_progress();
        is_in_time = deadline_us == G_MAXINT64 || g_get_monotonic_time() < deadline_us;
    }
    if (!is_over(feed)) {
        refresh_drops(feed);
        refresh_control(feed);
    }
    refresh_summary(feed);
    return is_in_time;
}

/* -- What it inherits ------------------------------------------------------------------------ */

static void take_inherited(TtFeed *feed, const TtRawRecord *raw) {
    TtRecordDoubt doubt;

    if (raw->number == TT_RECORD_DOUBT && tt_decode_doubt(raw, &doubt) == 0) {
        g_autofree char *sentence = g_strndup(doubt.sentence.text, doubt.sentence.len);
        add_doubt(feed, sentence);
    } else if (tt_merger_define(feed->merger, raw) == -ENOENT &&
               tt_session_inherit(feed->session, raw)) {
        tt_tape_add_inherited(feed->tape, raw);
    }
}

/* Those that it was to leave while it waited. */
static void leave_recorders(TtFeed *feed) {
    g_autoptr(GPtrArray) leaving = g_steal_pointer(&feed->leaving);

    for (guint i = 0; leaving && i < leaving->len; i++)
        tt_feed_leave_recorder(feed, g_ptr_array_index(leaving, i));
}

void tt_feed_take_inheritance(TtFeed *feed, const guint8 *records, gsize len, gboolean is_last) {
    TtCursor cursor = tt_cursor_new(records, len);
    TtRawRecord raw;

    while (!is_over(feed) && tt_decode_framed(&cursor, &raw) == TT_ITEM_RECORD)
        take_inherited(feed, &raw);
    /* A daemon that ends cuts it off. What the lanes hold is told after all of it, or not by us. */
    if (!is_last || feed->is_closing)
        return;
    g_mutex_lock(&feed->lock);
    feed->is_inheriting = FALSE;
    g_cond_broadcast(&feed->has_inherited);
    g_mutex_unlock(&feed->lock);
    leave_recorders(feed);
    refresh_summary(feed);
    wake(feed);
}

void tt_feed_wait_for_inheritance(TtFeed *feed) {
    g_mutex_lock(&feed->lock);
    while (feed->is_inheriting)
        g_cond_wait(&feed->has_inherited, &feed->lock);
    g_mutex_unlock(&feed->lock);
}

gboolean tt_feed_is_inheriting(TtFeed *feed) {
    g_mutex_lock(&feed->lock);
    gboolean is_inheriting = feed->is_inheriting;
    g_mutex_unlock(&feed->lock);
    return is_inheriting;
}

gboolean tt_feed_is_behind(const TtFeed *feed) { return tt_tape_is_behind(feed->tape); }

/* -- What wakes it ---------------------------------------------------------------------------- */

static void begin_end(TtFeed *feed, Cause cause) {
    if (feed->cause != CAUSE_NONE)
        return;
    feed->cause = cause;
    drop_source(&feed->process_source);
    drop_source(&feed->tick_source);
    close_socket(feed);
    tt_merger_finish(feed->merger);
    wake(feed);
}

/* The socket is of no use any more. */
static void lose_socket(TtFeed *feed) {
    close_socket(feed);
    if (tt_process_has_ended(&feed->process))
        begin_end(feed, CAUSE_PROCESS);
    else if (tt_process_check_image(&feed->process, feed->inode) == TT_IMAGE_OTHER)
        begin_end(feed, CAUSE_EXEC);
    else
        /* The program closed it, perhaps all that it did not know. Its lanes go on. */
        arm_tick(feed, TICK_MS);
}

static void add_lanes(TtFeed *feed) {
    TtSegment segment;
    int fd;

    if (tt_merger_get_lane_count(feed->merger) >= TT_SESSION_LANES_MAX ||
        tt_segment_init(&segment, feed->segments->len, &fd) < 0) {
        tt_message_send_refused(feed->socket_fd, "The session has as many lanes as it may");
        return;
    }
    g_array_append_val(feed->segments, segment);
    tt_merger_add_segment(feed->merger, &segment);
    tt_message_send_lanes(feed->socket_fd,
                          &(TtRecordLanes){.lane_count = segment.lane_count,
                                           .chunks_per_lane = segment.chunks_per_lane,
                                           .size = segment.size},
                          fd);
    if (feed->is_stored)
        tt_adopt_store_lanes(feed->info->id, feed->segments->len - 1, fd);
    close(fd);
}

/* Returns FALSE for what a program never sends. */
static gboolean take_message(TtFeed *feed, const guint8 *message, gsize len) {
    TtCursor records;
    TtRawRecord raw;
    g_autofree char *refusal = tt_message_open(message, len, &records);
    int r = refusal ? -EBADMSG : 0;

    while (r >= 0 && (r = tt_decode_framed(&records, &raw)) == TT_ITEM_RECORD) {
        switch (raw.number) {
        case TT_RECORD_DOORBELL:
            feed->has_rung = TRUE;
            break;
        case TT_RECORD_MORE_LANES:
            add_lanes(feed);
            break;
        case TT_RECORD_HELLO:
        case TT_RECORD_EXPORT:
            return FALSE;
        default:
            break; /* a newer version's */
        }
    }
    return r >= 0;
}

/* Reads what came on the socket. Returns FALSE where it is closed now. */
static gboolean read_socket(TtFeed *feed) {
    guint8 message[1024];

    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        gssize len = tt_message_receive(feed->socket_fd, message, sizeof message, NULL);

        if (len == -EAGAIN)
            return TRUE;
        if (len == -EBADMSG || (len > 0 && !take_message(feed, message, (gsize)len))) {
            add_doubt(feed, BROKEN);
            begin_end(feed, CAUSE_LOST);
            return FALSE;
        }
        if (len <= 0) {
            lose_socket(feed);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean on_socket(int fd, GIOCondition condition, gpointer data) {
    TtFeed *feed = data;

    (void)fd;
    (void)condition;
    if (!read_socket(feed))
        return G_SOURCE_REMOVE;
    if (feed->tick_ms > TICK_MS)
        arm_tick(feed, TICK_MS);
    wake(feed);
    return G_SOURCE_CONTINUE;
}

static gboolean on_process(int fd, GIOCondition condition, gpointer data) {
    (void)fd;
    (void)condition;
    begin_end(data, CAUSE_PROCESS);
    return G_SOURCE_REMOVE;
}

static gboolean on_tick(gpointer data) {
    TtFeed *feed = data;
    guint64 before = tt_merger_get_copied_bytes(feed->merger);
    gboolean has_rung = feed->has_rung, was_due = tt_merger_has_due_lane(feed->merger);
    guint ms = TICK_MS;

    feed->has_rung = FALSE;
    if (!feed->slice_source && run_slice(feed))
        wake(feed);
    refresh_drops(feed);
    refresh_control(feed);
    tt_tape_tick(feed->tape);
    refresh_summary(feed);

    guint64 found = tt_merger_get_copied_bytes(feed->merger) - before;
    if (was_due && found > 0 && !has_rung)
        ms = TICK_FAST_MS;
    else if (found == 0 && !has_rung && feed->socket_fd >= 0)
        ms = CLAMP(feed->tick_ms * 2, TICK_MS, TICK_SLOW_MS);

    /* An exec closes our socket; unless the program has cleared close-on-exec from everything. */
    if ((feed->tick_ms == TICK_SLOW_MS || feed->socket_fd < 0) &&
        tt_process_may_have_execed(&feed->process) &&
        tt_process_check_image(&feed->process, feed->inode) == TT_IMAGE_OTHER)
        begin_end(feed, CAUSE_EXEC);
    else
        arm_tick(feed, ms);
    return G_SOURCE_REMOVE;
}

static void arm_tick(TtFeed *feed, guint ms) {
    drop_source(&feed->tick_source);
    feed->tick_ms = ms;
    feed->tick_source = add_source(feed, g_timeout_source_new(ms), on_tick);
}

/* The process ended before it was known that this image had ended earlier. */
static void correct_cause(TtFeed *feed) {
    feed->cause = CAUSE_EXEC;
    if (!is_over(feed))
        return;
    drop_source(&feed->status_source);
    tt_process_close(&feed->process);
    end_session(feed, TT_SESSION_EXEC, -1);
    tell_ended(feed);
}

void tt_feed_supersede(TtFeed *feed, gboolean is_replaced) {
    if (is_replaced && feed->cause == CAUSE_PROCESS)
        correct_cause(feed);
    else if (is_replaced)
        begin_end(feed, CAUSE_EXEC);
    if (feed->cause == CAUSE_NONE && feed->socket_fd >= 0 && !read_socket(feed))
        g_assert(feed->socket_fd < 0);
    if (feed->cause != CAUSE_NONE)
        return;
    if (tt_process_check_image(&feed->process, feed->inode) == TT_IMAGE_OTHER)
        begin_end(feed, CAUSE_EXEC);
    else if (feed->socket_fd < 0)
        begin_end(feed, CAUSE_LOST);
}

void tt_feed_tell_exit_status(TtFeed *feed, gint wait_status) {
    feed->told_status = wait_status;
    if (!is_over(feed) || feed->cause != CAUSE_PROCESS)
        return;
    drop_source(&feed->status_source);
    tt_process_close(&feed->process);
    apply_exit_status(feed, wait_status);
    tell_ended(feed);
}

void tt_feed_add_mark(TtFeed *feed, TtString name) {
    guint64 stamp;

    tt_feed_catch_up(feed, G_MAXINT64, &stamp);
    tt_session_add_mark(feed->session, stamp, name);
    tt_tape_add_mark(feed->tape, stamp, name);
}

static void unref_recorder(gpointer data) { tt_recorder_unref(data); }

void tt_feed_leave_recorder(TtFeed *feed, TtRecorder *recorder) {
    if (!feed->tape)
        return;
    if (feed->is_inheriting) {
        if (!feed->leaving)
            feed->leaving = g_ptr_array_new_with_free_func(unref_recorder);
        g_ptr_array_add(feed->leaving, tt_recorder_ref(recorder));
        return;
    }
    if (!is_over(feed))
        tt_feed_catch_up(feed, g_get_monotonic_time() + LEAVE_US, NULL);
    if (tt_tape_leave(feed->tape, recorder))
        return;
    tt_merger_set_tape(feed->merger, NULL);
    g_clear_pointer(&feed->tape, tt_tape_free);
}

void tt_feed_close(TtFeed *feed, gint64 deadline_us) {
    feed->is_closing = TRUE;
    if (is_over(feed))
        return;
    if (feed->is_stored)
        tt_merger_keep_room(feed->merger);
    tt_feed_catch_up(feed, deadline_us, NULL);
    if (is_over(feed))
        return;
    if (feed->is_stored)
        tt_merger_free_merged(feed->merger);
    /* Nobody reads any more: the next chunk rings, and finds the connection broken, or the next
     * daemon. */
    atomic_store_explicit(&get_control(feed)->wants_doorbell, 1, memory_order_seq_cst);
    if (feed->is_stored && feed->cause == CAUSE_NONE && feed->socket_fd >= 0)
        return;
    tt_merger_wake_writers(feed->merger);
    if (feed->cause == CAUSE_NONE)
        begin_end(feed, CAUSE_LOST);
    /* And so does the next hook, of a program that is far from its next chunk. */
    set_recording(feed, 0);
    finish_end(feed);
}

/* -- Life ------------------------------------------------------------------------------------- */

static void note_sleep(gpointer data) {
    TtFeed *feed = data;

    if (!is_over(feed))
        add_doubt(feed, ASLEEP);
}

/* It cannot be written, or is too long: the session goes on without. */
static void on_journal_failed(gpointer data) {
    TtFeed *feed = data;

    tt_feed_leave_recorder(feed, feed->journal_recorder);
}

static void free_journal(TtFeed *feed, gboolean is_kept) {
    g_clear_pointer(&feed->journal_recorder, tt_recorder_free);
    tt_journal_free(g_steal_pointer(&feed->journal), is_kept);
}

static void on_journal_done(gpointer data, guint64 bytes, const GError *error) {
    TtFeed *feed = data;

    (void)bytes;
    if (!is_over(feed))
        tt_journal_note_failed(feed->journal, feed->info->pid, error);
    free_journal(feed, FALSE);
}

/* The tape is to hold the one reference. */
static void begin_journal(TtFeed *feed) {
    static const TtRecorderCalls calls = {.failed = on_journal_failed, .done = on_journal_done};

    if (!feed->recorders)
        feed->recorders = g_ptr_array_new_with_free_func(unref_recorder);
    feed->journal_recorder = tt_journal_record(feed->journal, &calls, feed);
    g_ptr_array_add(feed->recorders, feed->journal_recorder);
}

/* All that was told over earlier connections is known up to @end; the rest is missing. */
static void resume(TtFeed *feed, const TtJournalEnd *end) {
    TtRecordInterruption record = {
        .first_stamp = end->stamp,
        .stamp = feed->resumption.stamp,
        .count = tt_saturating_sub(feed->resumption.events_before, end->event_count),
    };

    tt_session_resume(feed->session, &record);
    tt_tape_add_interruption(feed->tape, &record);
}

/* @end: how far the session is known, where it has begun before */
static void begin_session(TtFeed *feed, TtJournalEnd *end) {
    gboolean has_begun = feed->is_adopted || feed->resumption.stamp > 0, is_told = FALSE;

    feed->session = tt_session_new(feed->info, &feed->limits);
    if (has_begun && feed->journal)
        is_told = tt_journal_retell(feed->journal, feed->session, feed->is_adopted, end);
    if (feed->journal)
        begin_journal(feed);
    if (feed->recorders)
        feed->tape = tt_tape_new(feed->info, feed->recorders, is_told ? &end->stamp : NULL);
    g_clear_pointer(&feed->recorders, g_ptr_array_unref);
    if (feed->resumption.stamp > 0)
        resume(feed, end);
    /* However soon the daemon dies, it is known that there was this session. */
    if (feed->journal)
        tt_tape_flush(feed->tape);
}

static void begin(gpointer data) {
    TtFeed *feed = data;
    TtJournalEnd end = {.stamp = feed->info->timescale.start_stamp};

    begin_session(feed, &end);

    feed->merger = tt_merger_new(feed->session, &feed->clock, feed->backlog, feed->ahead_max);
    tt_merger_set_tape(feed->merger, feed->tape);
    if (feed->info->hello_flags & TT_HELLO_DORMANT)
        note_sleep(feed);
    for (guint i = 0; i < feed->segments->len; i++)
        tt_merger_add_segment(feed->merger, &g_array_index(feed->segments, TtSegment, i));
    if (feed->is_adopted)
        tt_merger_resume(feed->merger, end.lane_counts, end.held);
    g_clear_pointer(&end.lane_counts, g_array_unref);
    if (feed->parent)
        tt_estate_settle(feed->estates, feed, feed->parent, &feed->fork);
    else if (feed->fork.stamp > 0 || end.lacks_inheritance)
        add_doubt(feed, DISINHERITED);
    g_clear_pointer(&feed->parent, tt_feed_unref);
    if (feed->socket_fd >= 0)
        feed->socket_source = add_source(feed, g_unix_fd_source_new(feed->socket_fd, G_IO_IN),
                                         G_SOURCE_FUNC(on_socket));
    feed->process_source = add_source(feed, g_unix_fd_source_new(feed->process.fd, G_IO_IN),
                                      G_SOURCE_FUNC(on_process));
    arm_tick(feed, TICK_MS);
    wake(feed);
}

TtFeed *tt_feed_new(const TtFeedSetup *setup) {
    TtFeed *feed = g_new0(TtFeed, 1);

    g_atomic_ref_count_init(&feed->refs);
    g_mutex_init(&feed->lock);
    g_cond_init(&feed->has_inherited);
    feed->worker = setup->worker;
    feed->info = setup->info;
    feed->order = setup->order;
    feed->limits = setup->limits;
    feed->inode = g_array_index(setup->segments, TtSegment, 0).inode;
    feed->on_ended = setup->on_ended;
    feed->data = setup->data;
    feed->clock = setup->clock;
    feed->backlog = setup->backlog;
    feed->ahead_max = setup->ahead_max;
    feed->process = setup->process;
    feed->identity = setup->process;
    feed->socket_fd = setup->socket_fd;
    feed->recorders = setup->recorders;
    feed->journal = setup->journal;
    feed->resumption = setup->resumption;
    feed->is_adopted = setup->is_adopted;
    feed->is_stored = setup->is_stored;
    feed->segments = setup->segments;
    feed->control = get_control(feed);
    feed->is_recording = setup->is_recording;
    feed->told_status = -1;
    feed->parent = setup->parent;
    feed->is_inheriting = setup->parent != NULL;
    feed->fork = setup->fork;
    feed->estates = setup->estates;
    feed->summary = (TtSummary){.state = TT_SESSION_RUNNING, .exit_status = -1};
    feed->has_connection = TRUE;
    tt_worker_send(feed->worker, begin, feed, NULL);
    return feed;
}

TtFeed *tt_feed_ref(TtFeed *feed) {
    g_atomic_ref_count_inc(&feed->refs);
    return feed;
}

static void free_feed(gpointer data) {
    TtFeed *feed = data;

    drop_source(&feed->slice_source);
    drop_source(&feed->tick_source);
    drop_source(&feed->process_source);
    drop_source(&feed->status_source);
    close_socket(feed);
    release_lanes(feed);
    tt_process_close(&feed->process);
    tt_merger_free(feed->merger);
    tt_tape_free(feed->tape);
    free_journal(feed, feed->is_closing);
    tt_session_free(feed->session);
    tt_session_info_free(feed->info);
    g_array_unref(feed->segments);
    g_mutex_clear(&feed->lock);
    g_cond_clear(&feed->has_inherited);
    g_clear_pointer(&feed->leaving, g_ptr_array_unref);
    g_free(feed);
}

void tt_feed_unref(TtFeed *feed) {
    if (feed && g_atomic_ref_count_dec(&feed->refs))
        tt_worker_send(feed->worker, free_feed, feed, NULL);
}

const TtSessionInfo *tt_feed_get_info(const TtFeed *feed) { return feed->info; }

const TtStampClock *tt_feed_get_clock(const TtFeed *feed) { return &feed->clock; }

TtWorker *tt_feed_get_worker(const TtFeed *feed) { return feed->worker; }

guint64 tt_feed_get_order(const TtFeed *feed) { return feed->order; }

TtSession *tt_feed_get_session(TtFeed *feed) { return feed->session; }

GQueue *tt_feed_get_heirs(TtFeed *feed) { return &feed->heirs; }

gboolean tt_feed_has_ended(TtFeed *feed) {
    g_mutex_lock(&feed->lock);
    gboolean has_ended = feed->has_ended;
    g_mutex_unlock(&feed->lock);
    return has_ended;
}

void tt_feed_get_summary(TtFeed *feed, TtSummary *ret_summary) {
    g_mutex_lock(&feed->lock);
    *ret_summary = feed->summary;
    g_mutex_unlock(&feed->lock);
}

gboolean tt_feed_is_of(const TtFeed *feed, const TtProcess *process) {
    return tt_process_is_same(&feed->identity, process);
}

gboolean tt_feed_was_replaced_by(TtFeed *feed, TtProcess *newcomer) {
    return tt_process_is_same(&feed->identity, newcomer) &&
           tt_process_check_image(newcomer, feed->inode) == TT_IMAGE_OTHER;
}

void tt_feed_set_recording(TtFeed *feed, gboolean is_recording) {
    /* Ahead of the events that come after it. */
    if (!is_recording)
        tt_worker_call(feed->worker, note_sleep, feed);
    set_recording(feed, is_recording ? 1 : 0);
}

TtSessionCard *tt_feed_make_card(TtFeed *feed) {
    TtSessionCard *card = g_new0(TtSessionCard, 1);
    const TtSessionInfo *info = feed->info;

    memcpy(card->id, info->id, sizeof card->id);
    card->exe = g_strdup(info->exe);
    card->pid = info->pid;
    card->own_pid = info->own_pid;
    card->order = feed->order;
    card->start_realtime_ns = info->timescale.start_realtime_ns;
    card->parent_relation = info->parent_relation;
    memcpy(card->parent_id, info->parent_id, sizeof card->parent_id);
    g_mutex_lock(&feed->lock);
    card->summary = feed->summary;
    card->has_connection = feed->has_connection;
    g_mutex_unlock(&feed->lock);
    return card;
}
