/* SPDX-License-Identifier: Apache-2.0 */
/* From a first message to a session on a worker, and what becomes of those who wait for its end.
 *
 * The main thread accepts, decides and lists; it never waits for a worker but where the door says
 * so, and no worker ever waits for it. */
#include "intake/private.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "intake/adopt.h"
#include "intake/hello.h"
#include "intake/lanes.h"
#include "intake/messages.h"

#define ENDED_SESSIONS 64u
#define RUNNING_MAX 4096u
#define BACKLOG_SHARE 8u /* of the memory limit, for bytes copied and not yet applied */
#define PINNED_SHARE 8u  /* of a session's blocks, for what marks keep */
#define SESSION_SHARE 4u /* of that, for one session */
#define CLOSE_US (2 * G_USEC_PER_SEC)

G_DEFINE_QUARK(tt - intake - error - quark, tt_intake_error)

/* -- Ends ------------------------------------------------------------------------------------- */

/* Somebody waits for all sessions of a process to end. */
typedef struct Waiter {
    gint pid;
    void (*done)(gpointer data, gboolean all_ended);
    gpointer data;
    TtIntake *intake;
    GSource *source; /* its time-out, or its turn */
} Waiter;

static gboolean has_running(TtIntake *intake, gint pid) {
    g_autoptr(GPtrArray) feeds = tt_registry_list(intake->registry);

    for (guint i = 0; i < feeds->len; i++) {
        TtFeed *feed = g_ptr_array_index(feeds, i);

        if (tt_feed_get_info(feed)->pid == pid && !tt_feed_has_ended(feed))
            return TRUE;
    }
    return FALSE;
}

static gboolean answer_waiter(gpointer data) {
    Waiter *waiter = data;

    g_queue_remove(&waiter->intake->waiters, waiter);
    waiter->done(waiter->data, !has_running(waiter->intake, waiter->pid));
    g_source_destroy(waiter->source);
    g_source_unref(waiter->source);
    g_free(waiter);
    return G_SOURCE_REMOVE;
}

static void set_turn(Waiter *waiter, guint after_ms) {
    if (waiter->source) {
        g_source_destroy(waiter->source);
        g_source_unref(waiter->source);
    }
    waiter->source = after_ms > 0 ? g_timeout_source_new(after_ms) : g_idle_source_new();
    g_source_set_callback(waiter->source, answer_waiter, waiter, NULL);
    g_source_attach(waiter->source, waiter->intake->context);
}

void tt_intake_when_ended(TtIntake *intake, gint pid, guint timeout_ms,
                          void (*done)(gpointer data, gboolean all_ended), gpointer data) {
    Waiter *waiter = g_new0(Waiter, 1);

    *waiter = (Waiter){.pid = pid, .done = done, .data = data, .intake = intake};
    g_queue_push_tail(&intake->waiters, waiter);
    tt_accept_poll(intake->accept);
    set_turn(waiter, has_running(intake, pid) ? MAX(timeout_ms, 1) : 0);
}

/* Main thread. */
static gboolean on_end_noticed(gpointer data) {
    TtIntake *intake = g_atomic_pointer_get(&((TtIntakeLink *)data)->intake);

    if (!intake)
        return G_SOURCE_REMOVE;
    for (GList *at = intake->waiters.head; at; at = at->next) {
        Waiter *waiter = at->data;

        if (!has_running(intake, waiter->pid))
            set_turn(waiter, 0);
    }
    tt_registry_trim(intake->registry);
    return G_SOURCE_REMOVE;
}

static void clear_link(gpointer data) { g_main_context_unref(((TtIntakeLink *)data)->context); }

static void unref_link(gpointer data) { g_atomic_rc_box_release_full(data, clear_link); }

/* On the feed's worker. */
static void on_feed_ended(TtFeed *feed, gpointer data) {
    TtIntakeLink *link = data;
    GSource *source = g_idle_source_new();

    /* The intake ends after its workers. */
    tt_registry_note_ended(((TtIntake *)g_atomic_pointer_get(&link->intake))->registry, feed);
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, on_end_noticed, g_atomic_rc_box_acquire(link), unref_link);
    g_source_attach(source, link->context);
    g_source_unref(source);
}

/* A message to a feed's worker with a number. */
typedef struct Told {
    TtFeed *feed;
    gint number;
} Told;

static void free_told(gpointer data) {
    Told *told = data;

    tt_feed_unref(told->feed);
    g_free(told);
}

static void run_tell_status(gpointer data) {
    Told *told = data;

    tt_feed_tell_exit_status(told->feed, told->number);
}

static void run_supersede(gpointer data) {
    Told *told = data;

    tt_feed_supersede(told->feed, told->number != 0);
}

static void tell(TtFeed *feed, TtMessage run, gint number) {
    Told *told = g_new(Told, 1);

    *told = (Told){.feed = tt_feed_ref(feed), .number = number};
    tt_worker_send(tt_feed_get_worker(feed), run, told, free_told);
}

void tt_intake_set_exit_status(TtIntake *intake, gint pid, gint wait_status) {
    tt_accept_poll(intake->accept);
    g_autoptr(TtFeed) feed = tt_registry_find_newest(intake->registry, pid);
    if (feed)
        tell(feed, run_tell_status, wait_status);
}

/* -- Hello ------------------------------------------------------------------------------------ */

/* The worker with the fewest sessions that run. */
static TtWorker *choose_worker(TtIntake *intake) {
    g_autoptr(GPtrArray) feeds = tt_registry_list(intake->registry);
    TtWorker *best = NULL;
    guint best_count = G_MAXUINT;

    for (guint i = 0; i < intake->workers->len; i++) {
        TtWorker *worker = g_ptr_array_index(intake->workers, i);
        guint count = 0;

        for (guint k = 0; k < feeds->len; k++) {
            TtFeed *feed = g_ptr_array_index(feeds, k);
            count += tt_feed_get_worker(feed) == worker && !tt_feed_has_ended(feed);
        }
        if (count < best_count) {
            best = worker;
            best_count = count;
        }
    }
    return best;
}

/* Whoever was started by vfork or posix_spawn knows of no parent, as nothing was traced between
 * that and its exec. Nor does one that somebody untraced has started: the nearest that is traced
 * counts.
 *
 * Returns: (transfer full) (nullable) */
static TtFeed *find_starter(TtIntake *intake, const TtProcess *process) {
    TtProcess ancestor = *process;

    while (tt_process_find_parent(&ancestor, &ancestor)) {
        g_autoptr(TtFeed) feed = tt_registry_find_newest(intake->registry, ancestor.pid);

        if (feed && tt_feed_is_of(feed, &ancestor))
            return g_steal_pointer(&feed);
    }
    return NULL;
}

static void set_relation(TtSessionInfo *info, TtRelation relation, const TtFeed *to) {
    info->parent_relation = relation;
    memcpy(info->parent_id, tt_feed_get_info(to)->id, sizeof info->parent_id);
}

/* To the process's session before, which is over if this is another image, or to its starter's. */
static void relate(TtIntake *intake, TtSessionInfo *info, TtProcess *process) {
    g_autoptr(TtFeed) before = tt_registry_find_newest(intake->registry, info->pid);
    gboolean is_replaced = before && tt_feed_was_replaced_by(before, process);

    if (info->parent_relation == TT_RELATION_NONE && is_replaced)
        set_relation(info, TT_RELATION_EXEC, before);
    if (before)
        tell(before, run_supersede, is_replaced);
    if (info->parent_relation != TT_RELATION_NONE)
        return;

    g_autoptr(TtFeed) starter = find_starter(intake, process);
    if (starter)
        set_relation(info, TT_RELATION_FORK, starter);
}

static gboolean is_same_session(const TtSessionInfo *a, const TtSessionInfo *b) {
    return memcmp(a->id, b->id, sizeof a->id) == 0 && a->pid == b->pid && a->clock == b->clock &&
           a->clock_shift == b->clock_shift;
}

/* Whose blocks a forked child has. Stamps of another clock would say nothing. */
static TtFeed *find_parent(TtIntake *intake, const TtSessionInfo *info, const TtStampClock *clock,
                           const TtForkInstant *fork) {
    g_autoptr(TtFeed) parent = NULL;

    if (fork->stamp > 0)
        parent = tt_registry_find(intake->registry, info->parent_id);
    if (!parent)
        return NULL;

    const TtStampClock *its = tt_feed_get_clock(parent);
    return its->kind == clock->kind && its->shift == clock->shift &&
                   its->offset_ns == clock->offset_ns
               ? g_steal_pointer(&parent)
               : NULL;
}

/* Where a session is to be kept. Of one that goes on, and whose beginning is there, the info
 * becomes what it was then. */
static TtJournal *open_journal(TtIntake *intake, TtSessionInfo **info, gboolean is_resumed,
                               gboolean *ret_is_told) {
    TtJournals *journals = intake->options.journals;

    *ret_is_told = FALSE;
    if (!journals)
        return NULL;
    TtJournal *journal = tt_journal_open(journals, (*info)->id, is_resumed);
    if (!journal || !is_resumed)
        return journal;

    TtSessionInfo *told = tt_journal_read_info(journal);
    if (!told || !is_same_session(told, *info)) {
        tt_session_info_free(told);
        tt_journal_free(journal, FALSE);
        return tt_journal_open(journals, (*info)->id, FALSE);
    }
    tt_session_info_free(*info);
    *info = told;
    *ret_is_told = TRUE;
    return journal;
}

void tt_intake_start_feed(TtIntake *intake, TtFeedSetup *setup) {
    setup->backlog = &intake->backlog;
    setup->ahead_max = intake->backlog.limit_bytes / SESSION_SHARE;
    setup->worker = choose_worker(intake);
    setup->estates = &intake->estates;
    setup->order = ++intake->last_order;
    setup->on_ended = on_feed_ended;
    setup->data = intake->link;
    tt_model_limits_init(&setup->limits);
    setup->limits.history_blocks = intake->options.history_blocks;
    tt_registry_set_limits(intake->registry, &setup->limits);
    setup->limits.pinned_bytes = setup->limits.detail_bytes / PINNED_SHARE;
    g_autoptr(TtFeed) feed = tt_feed_new(setup);
    tt_registry_add(intake->registry, feed);
}

/* @info: taken. The rest of @setup is set. */
static void start_session(TtIntake *intake, TtSessionInfo *info, const TtSegment *segment,
                          TtFeedSetup *setup) {
    gboolean is_told;

    setup->journal = open_journal(intake, &info, setup->resumption.stamp > 0, &is_told);
    setup->info = info;
    /* Recordings begin with sessions, and this one has begun. */
    if (is_told)
        g_clear_pointer(&setup->recorders, g_ptr_array_unref);
    setup->segments = g_array_new(FALSE, FALSE, sizeof(TtSegment));
    g_array_append_val(setup->segments, *segment);
    tt_intake_start_feed(intake, setup);
}

static char *serve_hello(TtIntake *intake, TtCaller *caller) {
    g_autoptr(TtSessionInfo) info = NULL;
    TtFeedSetup setup = {.socket_fd = caller->socket_fd};
    TtSegment segment;
    int memory_fd;
    char *refusal = tt_hello_read(caller->records, caller->credentials.pid, &intake->calibration,
                                  &info, &setup.clock, &setup.resumption, &setup.fork);

    if (refusal)
        return refusal;
    g_autoptr(TtFeed) twin = tt_registry_find(intake->registry, info->id);
    if (twin)
        return g_strdup("A session with this id is known already");
    if (tt_registry_get_running_count(intake->registry) >= RUNNING_MAX)
        return g_strdup("More programs are traced than the daemon serves at once");
    if (tt_process_open(&setup.process, caller->socket_fd, caller->credentials.pid) < 0)
        return g_strdup("The process cannot be watched: it is gone, or not to be seen from here");
    if (tt_segment_init(&segment, 0, &memory_fd) < 0) {
        tt_process_close(&setup.process);
        return g_strdup("There is no memory for lanes");
    }

    if (intake->options.journals)
        info->process_start = tt_process_describe_start(&setup.process);
    g_autoptr(TtFeed) parent = find_parent(intake, info, &setup.clock, &setup.fork);
    info->inherits = parent != NULL;

    /* While it waits for our answer: it may not live much longer, nor be known to have lived. */
    relate(intake, info, &setup.process);
    g_autoptr(GPtrArray) recorders = tt_intake_choose_recorders(intake, info);
    setup.is_recording = (info->hello_flags & TT_HELLO_DORMANT) ? 0 : 1;
    atomic_store_explicit(&tt_segment_get_control(&segment)->is_recording, setup.is_recording,
                          memory_order_relaxed);
    int r = tt_message_send_lanes(caller->socket_fd,
                                  &(TtRecordLanes){.lane_count = segment.lane_count,
                                                   .chunks_per_lane = segment.chunks_per_lane,
                                                   .size = segment.size,
                                                   .knows_parent = parent && setup.fork.stacks > 0},
                                  memory_fd);
    setup.is_stored = r == 0 && intake->options.journals && tt_manager_is_there();
    if (setup.is_stored)
        tt_adopt_store(info->id, caller->socket_fd, &setup.process, memory_fd);
    close(memory_fd);
    if (r < 0) {
        tt_segment_clear(&segment);
        tt_process_close(&setup.process);
        return g_strdup("The lanes could not be sent");
    }
    setup.parent = g_steal_pointer(&parent);
    setup.recorders = g_steal_pointer(&recorders);
    start_session(intake, g_steal_pointer(&info), &segment, &setup);
    return NULL;
}

static char *serve(gpointer data, TtCaller *caller) {
    TtIntake *intake = data;
    TtCursor records = caller->records;
    TtRawRecord first;

    if (tt_decode_framed(&records, &first) == TT_ITEM_RECORD && first.number == TT_RECORD_EXPORT)
        return tt_intake_serve_export(intake, caller, &first);
    if (caller->passed_fd >= 0)
        return g_strdup("A descriptor came that nobody asked for");
    return serve_hello(intake, caller);
}

/* -- Life ------------------------------------------------------------------------------------- */

/* Each session takes two descriptors; the soft limit is for programs that use select(). */
static void raise_descriptor_limit(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void free_worker(gpointer data) { tt_worker_free(data); }

TtIntake *tt_intake_new(int listen_fd, const TtIntakeOptions *options, TtExportRequest on_export,
                        gpointer data) {
    TtIntake *intake = g_new0(TtIntake, 1);

    intake->options = *options;
    if (intake->options.memory_limit_bytes == 0)
        intake->options.memory_limit_bytes = tt_limits_default_memory();
    if (intake->options.ended_sessions == 0)
        intake->options.ended_sessions = ENDED_SESSIONS;
    intake->on_export = on_export;
    intake->on_export_data = data;
    intake->listen_fd = listen_fd;
    intake->context = g_main_context_ref_thread_default();
    intake->link = g_atomic_rc_box_new0(TtIntakeLink);
    intake->link->context = g_main_context_ref(intake->context);
    intake->link->intake = intake;
    g_queue_init(&intake->waiters);
    g_queue_init(&intake->recordings);
    tt_estates_init(&intake->estates);
    tt_calibration_init(&intake->calibration);
    tt_budget_init(&intake->backlog, intake->options.memory_limit_bytes / BACKLOG_SHARE, NULL);
    intake->registry =
        tt_registry_new(intake->options.memory_limit_bytes - intake->backlog.limit_bytes,
                        intake->options.ended_sessions);
    raise_descriptor_limit();
    intake->workers = g_ptr_array_new_with_free_func(free_worker);
    for (guint i = 0; i < g_get_num_processors(); i++) {
        g_autofree char *name = g_strdup_printf("worker-%u", i);
        g_ptr_array_add(intake->workers, tt_worker_new(name));
    }
    intake->accept = tt_accept_new(listen_fd, serve, intake);
    return intake;
}

gboolean tt_intake_have_workers_answered(TtIntake *intake) {
    gboolean have_answered = TRUE;

    for (guint i = 0; i < intake->workers->len; i++)
        have_answered &= tt_worker_has_answered(g_ptr_array_index(intake->workers, i));
    return have_answered;
}

typedef struct Closing {
    TtFeed *feed;
    gint64 deadline_us;
} Closing;

static void run_close(gpointer data) {
    Closing *closing = data;

    tt_feed_close(closing->feed, closing->deadline_us);
}

static void free_closing(gpointer data) {
    tt_feed_unref(((Closing *)data)->feed);
    g_free(data);
}

static void close_feeds(TtIntake *intake) {
    g_autoptr(GPtrArray) feeds = tt_registry_list(intake->registry);
    gint64 deadline_us = g_get_monotonic_time() + CLOSE_US;

    for (guint i = 0; i < feeds->len; i++) {
        Closing *closing = g_new(Closing, 1);

        *closing = (Closing){tt_feed_ref(g_ptr_array_index(feeds, i)), deadline_us};
        tt_worker_send(tt_feed_get_worker(closing->feed), run_close, closing, free_closing);
    }
}

void tt_intake_free(TtIntake *intake) {
    if (!intake)
        return;
    tt_accept_poll(intake->accept);
    tt_accept_free(intake->accept);
    close(intake->listen_fd);
    close_feeds(intake);
    tt_estates_close(&intake->estates);
    while (intake->waiters.length > 0)
        answer_waiter(g_queue_peek_head(&intake->waiters));
    /* In this order: feeds are freed on their workers, which end when they have done so. */
    tt_registry_give_up_all(intake->registry);
    g_ptr_array_unref(intake->workers);
    tt_estates_clear(&intake->estates);
    tt_registry_free(intake->registry);
    tt_intake_free_recordings(intake);
    g_atomic_pointer_set(&intake->link->intake, NULL);
    unref_link(intake->link);
    g_main_context_unref(intake->context);
    g_free(intake);
}
