/* SPDX-License-Identifier: Apache-2.0 */
/* Steps and columns to a session. A section's checksum says that it is as it was written, not who
 * wrote it: every number is checked, and the model believes nothing anyway. */
#include "intake/retell.h"

#include <string.h>

#include "intake/order.h"
#include "protocol/checked.h"
#include "protocol/events.h"

#define SHIFT_MAX 63
#define STAMP_MAX (G_MAXUINT64 >> 1)
#define WORDS_MAX 65536u

/* Before it marks that were asked for bore the first thread's number. */
#define MINOR_OF_NO_THREAD 3u

struct TtRetelling {
    TtSession *session;
    guint64 kept_stamp; /* G_MAXUINT64: none, or it is kept */
    guint minor;        /* of the file */
    gboolean is_damaged, has_inherited;
    guint thread_count;  /* as far as they are known */
    guint64 last_stamp;  /* of the last event that was told */
    guint64 told_count;  /* of them all, lost ones too */
    GArray *lane_counts; /* of TtLaneCounts: since the last interruption */
    GArray *lane_of;     /* of guint: a thread's */
    TtGuess guess;
    TtEvent *events; /* of the section; TT_SECTION_EVENTS_MAX */
    gsize event_at, event_count;
    TtRecordStack *nodes; /* the same; TT_SECTION_NODES_MAX */
    gsize node_at, node_count;
    TtOrder order;
};

TtSessionState tt_retell_get_state(const TtRecordState *record) {
    switch (record->state) {
    case TT_RECORDED_EXITED:
        return TT_SESSION_EXITED;
    case TT_RECORDED_KILLED:
        return TT_SESSION_KILLED;
    case TT_RECORDED_EXEC:
        return TT_SESSION_EXEC;
    case TT_RECORDED_ENDED:
        return TT_SESSION_ENDED;
    case TT_RECORDED_LOST:
        return TT_SESSION_LOST;
    default:
        return TT_SESSION_RUNNING;
    }
}

static gboolean is_sound(const TtRecordSession *record) {
    return record->id.len == TT_SESSION_ID_BYTES &&
           (record->parent_session.len == 0 || record->parent_session.len == TT_SESSION_ID_BYTES) &&
           record->pid <= G_MAXINT && record->own_pid <= G_MAXINT && record->shift <= SHIFT_MAX &&
           record->start_stamp <= STAMP_MAX && record->clock <= TT_CLOCK_MONOTONIC &&
           record->clock_shift <= SHIFT_MAX &&
           memchr(record->executable.text, 0, record->executable.len) == NULL;
}

static char **read_words(TtCursor *steps) {
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    TtCursor ahead = *steps;
    TtRawRecord raw;

    while (tt_decode_framed(&ahead, &raw) == TT_ITEM_RECORD && raw.number == TT_RECORD_ARGUMENT) {
        TtRecordArgument argument;

        if (tt_decode_argument(&raw, &argument) == 0 && words->len < WORDS_MAX)
            g_ptr_array_add(words, g_strndup(argument.text.text, argument.text.len));
        *steps = ahead;
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}

TtSessionInfo *tt_retell_read_info(TtCursor *steps) {
    TtRecordSession record;
    TtRawRecord raw;

    if (tt_decode_framed(steps, &raw) != TT_ITEM_RECORD || raw.number != TT_RECORD_SESSION ||
        tt_decode_session(&raw, &record) < 0 || !is_sound(&record))
        return NULL;

    TtSessionInfo *info = g_new0(TtSessionInfo, 1);
    memcpy(info->id, record.id.text, sizeof info->id);
    info->pid = (gint)record.pid;
    info->own_pid = (gint)record.own_pid;
    info->exe = g_strndup(record.executable.text, record.executable.len);
    info->command_line = read_words(steps);
    info->timescale = (TtTimescale){.start_stamp = record.start_stamp,
                                    .mult = record.mult,
                                    .shift = (guint)record.shift,
                                    .start_realtime_ns = record.start_realtime_ns};
    info->page_size = record.page_size;
    info->sample_bytes = record.sample_bytes;
    info->hello_flags = (guint)record.flags;
    info->untraced_before_ns = record.untraced_before_ns;
    info->clock = (TtClock)record.clock;
    info->clock_shift = (guint)record.clock_shift;
    info->inherits = record.inherits != 0;
    if (record.process_start.len > 0)
        info->process_start = g_strndup(record.process_start.text, record.process_start.len);
    if (record.parent_session.len > 0 && (record.parent_relation == TT_RELATION_FORK ||
                                          record.parent_relation == TT_RELATION_EXEC)) {
        info->parent_relation = (TtRelation)record.parent_relation;
        memcpy(info->parent_id, record.parent_session.text, sizeof info->parent_id);
    }
    return info;
}

TtRetelling *tt_retelling_new(TtSession *session, guint64 kept_stamp) {
    TtRetelling *retelling = g_new0(TtRetelling, 1);

    retelling->session = session;
    retelling->kept_stamp = kept_stamp;
    retelling->last_stamp = tt_session_get_info(session)->timescale.start_stamp;
    retelling->events = g_new(TtEvent, TT_SECTION_EVENTS_MAX);
    retelling->nodes = g_new(TtRecordStack, TT_SECTION_NODES_MAX);
    retelling->order.session = session;
    retelling->lane_counts = g_array_new(FALSE, TRUE, sizeof(TtLaneCounts));
    retelling->lane_of = g_array_new(FALSE, TRUE, sizeof(guint));
    return retelling;
}

void tt_retelling_free(TtRetelling *retelling) {
    if (!retelling)
        return;
    tt_order_clear(&retelling->order);
    g_array_unref(retelling->lane_counts);
    g_array_unref(retelling->lane_of);
    g_free(retelling->events);
    g_free(retelling->nodes);
    g_free(retelling);
}

/* ---- In order ---- */

/* All has been applied that happened up to the instant. */
static void keep_instant(TtRetelling *retelling) {
    tt_session_keep_instant(retelling->session);
    retelling->kept_stamp = G_MAXUINT64;
}

static void apply(TtRetelling *retelling, const TtEvent *items, guint count) {
    guint earlier = 0;

    if (items[count - 1].stamp > retelling->kept_stamp) {
        while (items[earlier].stamp <= retelling->kept_stamp)
            earlier++;
        if (earlier > 0)
            tt_order_apply(&retelling->order, items, earlier);
        keep_instant(retelling);
    }
    tt_order_apply(&retelling->order, items + earlier, count - earlier);
}

static void release(TtRetelling *retelling, guint64 stamp) {
    if (stamp > retelling->kept_stamp) {
        tt_order_release(&retelling->order, retelling->kept_stamp);
        if (retelling->order.count > 0)
            keep_instant(retelling);
    }
    tt_order_release(&retelling->order, stamp);
}

/* Items that are held come back with a RELEASE. Returns 0, or -EBADMSG. */
static int give(TtRetelling *retelling, const TtEvent *items, guint count, guint64 is_held) {
    if (is_held) {
        if (count > TT_ORDER_ITEMS - retelling->order.count)
            return -EBADMSG;
        tt_order_hold(&retelling->order, items, count);
    } else {
        apply(retelling, items, count);
    }
    return 0;
}

/* @thread: a known one */
static TtLaneCounts *get_counts(TtRetelling *retelling, guint64 thread) {
    guint lane =
        thread < retelling->lane_of->len ? g_array_index(retelling->lane_of, guint, thread) : 0;

    if (lane >= retelling->lane_counts->len)
        g_array_set_size(retelling->lane_counts, lane + 1);
    return &g_array_index(retelling->lane_counts, TtLaneCounts, lane);
}

static void count_events(TtRetelling *retelling, guint64 thread, guint64 count) {
    TtLaneCounts *counts = get_counts(retelling, thread);

    retelling->told_count = tt_saturating_add(retelling->told_count, count);
    counts->events = tt_saturating_add(counts->events, count);
    counts->placed = 0;
}

static void count_gap(TtRetelling *retelling, guint64 thread, guint64 count) {
    TtLaneCounts *counts = get_counts(retelling, thread);

    count_events(retelling, thread, count);
    counts->gaps = tt_saturating_add(counts->gaps, count);
}

static int take_run(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordRun run;

    if (tt_decode_run(raw, &run) < 0 || run.thread >= retelling->thread_count || run.count == 0 ||
        run.count > retelling->event_count - retelling->event_at)
        return -EBADMSG;

    TtEvent *events = retelling->events + retelling->event_at;
    for (gsize i = 0; i < run.count; i++)
        events[i].thread = (guint16)run.thread;
    retelling->event_at += run.count;
    count_events(retelling, run.thread, run.count);
    retelling->last_stamp = events[run.count - 1].stamp;
    return give(retelling, events, (guint)run.count, run.is_held);
}

/* Whether the record is of the thread that it is told of. Where that cannot be known it is not: it
 * may be told again then; the other way others of the lane would never be. */
static gboolean is_of_its_thread(const TtRetelling *retelling, const TtRecordPlaced *placed,
                                 const TtRawRecord *record) {
    return placed->thread < retelling->thread_count &&
           (placed->thread > 0 || record->number != TT_RECORD_MARK ||
            retelling->minor >= MINOR_OF_NO_THREAD);
}

/* The record after this one belongs to it. */
static int take_placed(TtRetelling *retelling, const TtRawRecord *raw, TtCursor *steps) {
    TtRecordPlaced placed;
    TtRawRecord record;

    if (tt_decode_placed(raw, &placed) < 0 || tt_decode_framed(steps, &record) != TT_ITEM_RECORD ||
        !tt_order_has_place(record.number) ||
        (record.number != TT_RECORD_MARK && placed.thread >= retelling->thread_count))
        return -EBADMSG;

    TtRecordGap gap;
    if (record.number == TT_RECORD_GAP && tt_decode_gap(&record, &gap) == 0 && gap.count > 0)
        count_gap(retelling, placed.thread, gap.count);
    else if (is_of_its_thread(retelling, &placed, &record))
        get_counts(retelling, placed.thread)->placed++;
    TtEvent item = {.stamp = placed.stamp,
                    .addr = (guint64)(guintptr)record.fields.at,
                    .size = tt_cursor_left(&record.fields),
                    .thread = (guint16)placed.thread,
                    .op = (guint8)(TT_ITEM_IS_RECORD | record.number)};
    return give(retelling, &item, 1, placed.is_held);
}

static int take_loss(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordLoss loss;

    if (tt_decode_loss(raw, &loss) < 0 || loss.thread >= retelling->thread_count)
        return -EBADMSG;
    count_events(retelling, loss.thread, loss.count);
    TtEvent item = {.stamp = loss.stamp,
                    .size = loss.count,
                    .thread = (guint16)loss.thread,
                    .op = TT_ITEM_IS_LOSS};
    return give(retelling, &item, 1, loss.is_held);
}

static int take_release(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordRelease record;

    if (tt_decode_release(raw, &record) < 0)
        return -EBADMSG;
    release(retelling, retelling->last_stamp + (guint64)tt_unzigzag(record.stamp));
    return 0;
}

/* ---- At once ---- */

static int take_thread(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordLaneThread thread;

    if (tt_decode_lane_thread(raw, &thread) < 0 || thread.lane >= TT_LANES_MAX ||
        thread.tid > G_MAXUINT32)
        return -EBADMSG;
    guint index =
        tt_session_get_thread(retelling->session, (guint)thread.lane, (guint32)thread.tid);
    retelling->thread_count = MAX(retelling->thread_count, index + 1);
    if (index >= retelling->lane_of->len)
        g_array_set_size(retelling->lane_of, index + 1);
    g_array_index(retelling->lane_of, guint, index) = (guint)thread.lane;
    return 0;
}

static int take_thread_name(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordThreadName name;

    if (tt_decode_thread_name(raw, &name) < 0 || name.thread >= retelling->thread_count)
        return -EBADMSG;
    tt_session_name_thread(retelling->session, (guint16)name.thread,
                           &(TtRecordThread){.name = name.name});
    return 0;
}

static int take_nodes(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordNodes nodes;

    if (tt_decode_nodes(raw, &nodes) < 0 ||
        nodes.count > retelling->node_count - retelling->node_at)
        return -EBADMSG;
    for (guint64 i = 0; i < nodes.count; i++)
        (void)tt_session_define_stack(retelling->session, &retelling->nodes[retelling->node_at++]);
    return 0;
}

static int take_module(TtRetelling *retelling, const TtRawRecord *raw) {
    union {
        TtRecordModule module;
        TtRecordSegment segment;
        TtRecordModuleGone gone;
    } record;

    switch (raw->number) {
    case TT_RECORD_MODULE:
        if (tt_decode_module(raw, &record.module) < 0)
            return -EBADMSG;
        (void)tt_session_define_module(retelling->session, &record.module);
        return 0;
    case TT_RECORD_SEGMENT:
        if (tt_decode_segment(raw, &record.segment) < 0)
            return -EBADMSG;
        (void)tt_session_define_segment(retelling->session, &record.segment);
        return 0;
    default:
        if (tt_decode_module_gone(raw, &record.gone) < 0)
            return -EBADMSG;
        tt_session_end_module(retelling->session, &record.gone);
        return 0;
    }
}

static int take_inherited(TtRetelling *retelling, const TtRawRecord *raw) {
    if (!tt_session_inherit(retelling->session, raw))
        return -EBADMSG;
    if (raw->number == TT_RECORD_INHERITED_THREAD)
        /* All past the limit are one. */
        retelling->thread_count = MIN(retelling->thread_count + 1, TT_THREAD_OTHER + 1);
    retelling->has_inherited |= raw->number == TT_RECORD_INHERITANCE_END;
    return 0;
}

static int take_doubt(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordDoubt doubt;

    if (tt_decode_doubt(raw, &doubt) < 0)
        return -EBADMSG;
    g_autofree char *sentence = g_strndup(doubt.sentence.text, doubt.sentence.len);
    tt_session_add_doubt(retelling->session, sentence);
    return 0;
}

static int take_dropped(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordDropped dropped;

    if (tt_decode_dropped(raw, &dropped) < 0)
        return -EBADMSG;
    tt_session_set_dropped(retelling->session, dropped.count);
    return 0;
}

static int take_interruption(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordInterruption record;

    if (tt_decode_interruption(raw, &record) < 0)
        return -EBADMSG;
    release(retelling, G_MAXUINT64);
    if (record.stamp > retelling->kept_stamp)
        keep_instant(retelling);
    retelling->told_count = tt_saturating_add(retelling->told_count, record.count);
    g_array_set_size(retelling->lane_counts, 0);
    tt_session_resume(retelling->session, &record);
    return 0;
}

static int take_state(TtRetelling *retelling, const TtRawRecord *raw) {
    TtRecordState record;

    if (tt_decode_state(raw, &record) < 0 || record.exit_status > G_MAXINT ||
        tt_retell_get_state(&record) == TT_SESSION_RUNNING)
        return -EBADMSG;
    release(retelling, G_MAXUINT64);
    tt_session_end(retelling->session, tt_retell_get_state(&record), (gint)record.exit_status - 1,
                   0);
    return 0;
}

static int take_step(TtRetelling *retelling, const TtRawRecord *raw, TtCursor *steps) {
    switch (raw->number) {
    case TT_RECORD_RUN:
        return take_run(retelling, raw);
    case TT_RECORD_PLACED:
        return take_placed(retelling, raw, steps);
    case TT_RECORD_LOSS:
        return take_loss(retelling, raw);
    case TT_RECORD_RELEASE:
        return take_release(retelling, raw);
    case TT_RECORD_LANE_THREAD:
        return take_thread(retelling, raw);
    case TT_RECORD_THREAD_NAME:
        return take_thread_name(retelling, raw);
    case TT_RECORD_NODES:
        return take_nodes(retelling, raw);
    case TT_RECORD_MODULE:
    case TT_RECORD_SEGMENT:
    case TT_RECORD_MODULE_GONE:
        return take_module(retelling, raw);
    case TT_RECORD_INHERITANCE:
    case TT_RECORD_INHERITED_THREAD:
    case TT_RECORD_INHERITED_VARIABLE:
    case TT_RECORD_INHERITED_SCOPE:
    case TT_RECORD_INHERITED_BLOCK:
    case TT_RECORD_INHERITANCE_END:
        return take_inherited(retelling, raw);
    case TT_RECORD_DOUBT:
        return take_doubt(retelling, raw);
    case TT_RECORD_DROPPED:
        return take_dropped(retelling, raw);
    case TT_RECORD_INTERRUPTION:
        return take_interruption(retelling, raw);
    case TT_RECORD_STATE:
        return take_state(retelling, raw);
    default:
        return 0; /* its beginning, or a newer version's */
    }
}

/* FALSE: they do not hold what the section's head says, and that alone. */
static gboolean read_columns(TtRetelling *retelling, TtSection *section) {
    retelling->event_at = retelling->node_at = 0;
    retelling->event_count = (gsize)section->head.event_count;
    retelling->node_count = (gsize)section->head.node_count;
    if (tt_columns_read_events(section->columns, &retelling->guess, retelling->events,
                               retelling->event_count) < 0 ||
        tt_columns_read_nodes(section->columns, &retelling->guess, retelling->nodes,
                              retelling->node_count) < 0)
        return FALSE;
    for (guint i = 0; i < TT_COLUMNS; i++)
        if (tt_cursor_left(&section->columns[i]) > 0)
            return FALSE;
    return TRUE;
}

gboolean tt_retelling_take(TtRetelling *retelling, TtSection *section) {
    TtCursor steps = section->steps;
    TtRawRecord raw;
    int r = read_columns(retelling, section) ? 0 : -EBADMSG;

    retelling->minor = section->minor;
    while (r == 0 && (r = tt_decode_framed(&steps, &raw)) == TT_ITEM_RECORD)
        r = take_step(retelling, &raw, &steps);
    retelling->is_damaged = r < 0;
    return r >= 0;
}

GArray *tt_retelling_steal_held(TtRetelling *retelling) {
    return tt_order_steal_held(&retelling->order);
}

gboolean tt_retelling_finish(TtRetelling *retelling) {
    release(retelling, G_MAXUINT64);
    if (retelling->kept_stamp != G_MAXUINT64)
        keep_instant(retelling); /* nothing happened after it */
    return !retelling->is_damaged;
}

guint64 tt_retelling_get_last_stamp(const TtRetelling *retelling) { return retelling->last_stamp; }

guint64 tt_retelling_get_event_count(const TtRetelling *retelling) { return retelling->told_count; }

gboolean tt_retelling_lacks_inheritance(const TtRetelling *retelling) {
    return tt_session_get_info(retelling->session)->inherits && !retelling->has_inherited;
}

const TtGuess *tt_retelling_get_guess(const TtRetelling *retelling) { return &retelling->guess; }

GArray *tt_retelling_copy_lane_counts(const TtRetelling *retelling) {
    return g_array_copy(retelling->lane_counts);
}
