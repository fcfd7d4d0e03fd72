/* SPDX-License-Identifier: Apache-2.0 */
/* Steps into a buffer, events beside them. On the session's own thread nothing is packed: events
 * are copied, 32 bytes each, and the rest is the recorder's. */
#include "intake/tape.h"

#include "intake/drain.h"
#include "protocol/encode.h"

#define FLUSH_STEPS ((gsize)256 << 10)
#define FLUSH_US G_USEC_PER_SEC
#define FLUSH_EVENTS 65536u /* 2 MiB; more in one section saves no more than a hundredth */
#define FIRST_ROOM 256u

_Static_assert(FLUSH_STEPS + 2 * TT_RECORD_MAX < TT_SECTION_BYTES_MAX / 2, "steps fit a section");

/* A recorder, and the session's number in its file. */
typedef struct Place {
    TtRecorder *recorder;
    guint32 number;
} Place;

struct TtTape {
    GArray *places; /* of Place */
    TtBatch *batch;
    guint last_count;   /* events of the last batch, a guess of what the next will hold */
    gint64 begun_us;    /* when the batch got its first word */
    guint64 last_stamp; /* of the last event */
    guint node_count;   /* definitions for which there is no step yet */
    guint64 dropped_count;
    GHashTable *doubts; /* sentences, each once: a hostile program gives reason for many */
    gboolean is_over;   /* the session has ended: each word goes at once */
};

static void clear_place(gpointer data) { tt_recorder_unref(((Place *)data)->recorder); }

/* Steps for the definitions so far, before another step is added. */
static void settle_nodes(TtTape *tape) {
    GByteArray *steps = tape->batch->steps;
    TtRecordNodes nodes = {.count = tape->node_count};
    guint8 step[32];

    if (tape->node_count == 0)
        return;
    tape->node_count = 0;
    g_byte_array_append(steps, step, (guint)tt_encode_nodes(step, sizeof step, &nodes));
}

/* Steps: encodes a record of records.def into the batch. */
#define ADD(tape, name, ...)                                                                       \
    G_STMT_START {                                                                                 \
        settle_nodes(tape);                                                                        \
        GByteArray *steps_ = (tape)->batch->steps;                                                 \
        guint at_ = steps_->len;                                                                   \
        g_byte_array_set_size(steps_, at_ + TT_RECORD_MAX);                                        \
        gsize len_ = tt_encode_##name(steps_->data + at_, TT_RECORD_MAX, __VA_ARGS__);             \
        g_byte_array_set_size(steps_, at_ + (guint)len_);                                          \
        settle(tape);                                                                              \
    }                                                                                              \
    G_STMT_END

static void hand_over(TtTape *tape, gboolean is_last) {
    settle_nodes(tape);
    if (tape->batch->steps->len == 0 && !is_last)
        return;
    tape->batch->realtime_ns = (guint64)g_get_real_time() * 1000;
    for (guint i = 0; i < tape->places->len; i++) {
        const Place *place = &g_array_index(tape->places, Place, i);

        tt_recorder_push(place->recorder, place->number, tape->batch, is_last);
    }
    tape->last_count = tape->batch->event_count;
    tt_batch_unref(tape->batch);
    tape->batch = tt_batch_new();
    tape->begun_us = 0;
}

/* After each word. */
static void settle(TtTape *tape) {
    if (tape->begun_us == 0)
        tape->begun_us = g_get_monotonic_time();
    if (tape->is_over || tape->batch->steps->len >= FLUSH_STEPS ||
        tape->batch->nodes->len >= TT_SECTION_NODES_MAX)
        hand_over(tape, FALSE);
}

static TtString string_of(const char *text) {
    return (TtString){.text = text ? text : "", .len = text ? strlen(text) : 0};
}

static void add_beginning(TtTape *tape, const TtSessionInfo *info) {
    gboolean has_parent = info->parent_relation != TT_RELATION_NONE;
    TtRecordSession record = {
        .id = {(const char *)info->id, sizeof info->id},
        .pid = (guint64)info->pid,
        .own_pid = (guint64)info->own_pid,
        .executable = string_of(info->exe),
        .start_stamp = info->timescale.start_stamp,
        .start_realtime_ns = info->timescale.start_realtime_ns,
        .mult = info->timescale.mult,
        .shift = info->timescale.shift,
        .page_size = info->page_size,
        .sample_bytes = info->sample_bytes,
        .flags = info->hello_flags,
        .parent_session = {(const char *)info->parent_id, has_parent ? sizeof info->parent_id : 0},
        .parent_relation = info->parent_relation,
        .untraced_before_ns = info->untraced_before_ns,
        .clock = info->clock,
        .clock_shift = info->clock_shift,
        .inherits = info->inherits,
        .process_start = string_of(info->process_start),
    };

    ADD(tape, session, &record);
    for (char **word = info->command_line; word && *word; word++)
        ADD(tape, argument, &(TtRecordArgument){.text = string_of(*word)});
}

TtTape *tt_tape_new(const TtSessionInfo *info, GPtrArray *recorders, const guint64 *told_stamp) {
    TtTape *tape = g_new0(TtTape, 1);

    tape->places = g_array_new(FALSE, FALSE, sizeof(Place));
    g_array_set_clear_func(tape->places, clear_place);
    for (guint i = 0; i < recorders->len; i++) {
        TtRecorder *recorder = g_ptr_array_index(recorders, i);
        Place place = {recorder, tt_recorder_add_session(recorder)};

        if (place.number > 0) {
            tt_recorder_ref(recorder);
            g_array_append_val(tape->places, place);
        }
    }
    tape->batch = tt_batch_new();
    tape->doubts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    tape->last_stamp = told_stamp ? *told_stamp : info->timescale.start_stamp;
    /* What an earlier daemon said last is not known here. */
    tape->dropped_count = told_stamp ? G_MAXUINT64 : 0;
    if (!told_stamp)
        add_beginning(tape, info);
    return tape;
}

void tt_tape_free(TtTape *tape) {
    if (!tape)
        return;
    hand_over(tape, TRUE);
    g_array_unref(tape->places);
    tt_batch_unref(tape->batch);
    g_hash_table_unref(tape->doubts);
    g_free(tape);
}

gboolean tt_tape_leave(TtTape *tape, TtRecorder *recorder) {
    hand_over(tape, FALSE);
    for (guint i = 0; i < tape->places->len; i++)
        if (g_array_index(tape->places, Place, i).recorder == recorder) {
            g_array_remove_index(tape->places, i);
            break;
        }
    return tape->places->len > 0;
}

gboolean tt_tape_is_behind(const TtTape *tape) {
    for (guint i = 0; tape && i < tape->places->len; i++)
        if (tt_recorder_is_behind(g_array_index(tape->places, Place, i).recorder))
            return TRUE;
    return FALSE;
}

void tt_tape_tick(TtTape *tape) {
    if (tape && tape->begun_us > 0 && g_get_monotonic_time() - tape->begun_us >= FLUSH_US)
        hand_over(tape, FALSE);
}

void tt_tape_flush(TtTape *tape) {
    if (tape)
        hand_over(tape, FALSE);
}

/* ---- In order ---- */

static void copy_events(TtTape *tape, const TtEvent *events, guint count) {
    TtBatch *batch = tape->batch;

    if (batch->event_count + count > batch->event_room) {
        guint least = MAX(FIRST_ROOM, batch->event_room ? batch->event_room * 2 : tape->last_count);

        batch->event_room = MAX(least, batch->event_count + count);
        batch->events = g_renew(TtEvent, batch->events, batch->event_room);
    }
    memcpy(batch->events + batch->event_count, events, count * sizeof *events);
    batch->event_count += count;
    tape->last_stamp = events[count - 1].stamp;
}

static void add_run(TtTape *tape, const TtEvent *events, guint count, gboolean is_held) {
    TtRecordRun run = {.thread = events->thread, .count = count, .is_held = is_held};

    if (tape->batch->event_count + count > FLUSH_EVENTS)
        hand_over(tape, FALSE);
    copy_events(tape, events, count);
    ADD(tape, run, &run);
}

/* A record as it came, behind the step that tells its place: both in one section. */
static void add_raw(TtTape *tape, guint number, const void *fields, gsize len) {
    guint16 head[2] = {(guint16)(TT_KIND_RECORD | number << 3), (guint16)len};

    settle_nodes(tape);
    g_byte_array_append(tape->batch->steps, (const guint8 *)head, sizeof head);
    if (len > 0)
        g_byte_array_append(tape->batch->steps, fields, (guint)len);
}

static void add_placed(TtTape *tape, const TtRecordPlaced *placed, guint number, const void *fields,
                       gsize len) {
    guint8 step[64];
    gsize step_len = tt_encode_placed(step, sizeof step, placed);

    settle_nodes(tape);
    g_byte_array_append(tape->batch->steps, step, (guint)step_len);
    add_raw(tape, number, fields, len);
    settle(tape);
}

void tt_tape_add_items(TtTape *tape, const TtEvent *items, guint count, gboolean is_held) {
    if (!tape)
        return;
    if (items->op == TT_ITEM_IS_LOSS) {
        TtRecordLoss loss = {.stamp = items->stamp,
                             .thread = items->thread,
                             .count = items->size,
                             .is_held = is_held};

        ADD(tape, loss, &loss);
    } else if (items->op & TT_ITEM_IS_RECORD) {
        TtRecordPlaced placed = {
            .stamp = items->stamp, .thread = items->thread, .is_held = is_held};

        add_placed(tape, &placed, items->op & (TT_ITEM_IS_RECORD - 1),
                   (gconstpointer)(guintptr)items->addr, (gsize)items->size);
    } else {
        add_run(tape, items, count, is_held);
    }
}

void tt_tape_add_release(TtTape *tape, guint64 stamp) {
    TtRecordRelease release;

    if (!tape)
        return;
    release.stamp = tt_zigzag((gint64)(stamp - tape->last_stamp));
    ADD(tape, release, &release);
}

void tt_tape_add_mark(TtTape *tape, guint64 stamp, TtString name) {
    TtRecordMark mark = {.stamp = stamp, .name = name};
    guint8 bytes[TT_RECORD_MAX];

    if (!tape)
        return;
    gsize len = tt_encode_mark(bytes, sizeof bytes, &mark);
    add_placed(tape, &(TtRecordPlaced){.stamp = stamp, .thread = TT_RECORDED_NO_THREAD},
               TT_RECORD_MARK, bytes + TT_RECORD_HEAD_BYTES, len - TT_RECORD_HEAD_BYTES);
}

/* ---- At once ---- */

void tt_tape_add_stack(TtTape *tape, const TtRecordStack *stack) {
    if (!tape)
        return;
    g_array_append_vals(tape->batch->nodes, stack, 1);
    tape->node_count++;
    settle(tape);
}

void tt_tape_add_definition(TtTape *tape, const TtRawRecord *raw) {
    if (!tape)
        return;
    add_raw(tape, raw->number, raw->fields.at, tt_cursor_left(&raw->fields));
    settle(tape);
}

void tt_tape_add_inherited(TtTape *tape, const TtRawRecord *raw) {
    if (!tape)
        return;
    add_raw(tape, raw->number, raw->fields.at, tt_cursor_left(&raw->fields));
    settle(tape);
}

void tt_tape_add_thread(TtTape *tape, guint lane, guint32 tid) {
    if (tape)
        ADD(tape, lane_thread, &(TtRecordLaneThread){.lane = lane, .tid = tid});
}

void tt_tape_add_thread_name(TtTape *tape, guint16 thread, TtString name) {
    if (tape)
        ADD(tape, thread_name, &(TtRecordThreadName){.thread = thread, .name = name});
}

void tt_tape_add_doubt(TtTape *tape, const char *sentence) {
    if (tape && g_hash_table_add(tape->doubts, g_strdup(sentence)))
        ADD(tape, doubt, &(TtRecordDoubt){.sentence = string_of(sentence)});
}

void tt_tape_add_dropped(TtTape *tape, guint64 count) {
    if (!tape || tape->dropped_count == count)
        return;
    tape->dropped_count = count;
    ADD(tape, dropped, &(TtRecordDropped){.count = count});
}

void tt_tape_add_interruption(TtTape *tape, const TtRecordInterruption *record) {
    if (tape)
        ADD(tape, interruption, record);
}

void tt_tape_add_end(TtTape *tape, TtSessionState state, gint exit_status) {
    static const guint numbers[] = {
        [TT_SESSION_RUNNING] = 0,
        [TT_SESSION_EXITED] = TT_RECORDED_EXITED,
        [TT_SESSION_KILLED] = TT_RECORDED_KILLED,
        [TT_SESSION_EXEC] = TT_RECORDED_EXEC,
        [TT_SESSION_ENDED] = TT_RECORDED_ENDED,
        [TT_SESSION_LOST] = TT_RECORDED_LOST,
    };
    TtRecordState record = {.state = numbers[state],
                            .exit_status = exit_status < 0 ? 0 : (guint64)exit_status + 1};

    if (!tape)
        return;
    tape->is_over = TRUE;
    ADD(tape, state, &record);
}
