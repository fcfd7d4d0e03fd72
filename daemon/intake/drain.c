/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a lane, live or dead.
 *
 * The ring is shared with a program that may be hostile, or torn apart by its own bugs: each value
 * is loaded once, checked, and used from our copy; bytes are copied out before a single one is
 * looked at. What does not fit closes this lane and no other.
 *
 * Exactly-once is in the positions: they only grow, and what lies below ours was read. */
#include "intake/drain.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "intake/order.h"
#include "protocol/checked.h"

#define DAMAGED "A lane's data was damaged: some of what a thread did is missing"
#define COUNTER_BEGAN_ANEW                                                                         \
    "The machine slept, and its counter began anew: times after that are too early by as long"
#define IMPOSSIBLE_TIME "Times were impossible and were set right: the order may be wrong"

struct TtPiece {
    guint64 position; /* of the first byte in the lane */
    guint32 len;
    guint8 bytes[]; /* TT_EVENT_MAX more than len */
};

TtLane *tt_lane_new(guint index, TtLaneControl *control, const guint8 *chunks,
                    guint32 chunk_count) {
    TtLane *lane = g_new0(TtLane, 1);

    lane->control = control;
    lane->chunks = chunks;
    lane->ring_bytes = (guint64)chunk_count * TT_CHUNK_BYTES;
    lane->index = index;
    lane->last_position = G_MAXUINT64;
    lane->is_complete = TRUE;
    g_queue_init(&lane->pieces);
    return lane;
}

static void free_first_piece(TtLane *lane, TtDrain *drain) {
    TtPiece *piece = g_queue_pop_head(&lane->pieces);

    drain->waiting_bytes -= piece->len;
    tt_budget_give(drain->backlog, piece->len);
    g_free(piece);
}

void tt_lane_free(TtLane *lane, TtDrain *drain) {
    if (!lane)
        return;
    while (lane->pieces.length > 0)
        free_first_piece(lane, drain);
    g_free(lane->items);
    g_free(lane);
}

static void add_doubt(TtDrain *drain, const char *sentence) {
    tt_session_add_doubt(drain->session, sentence);
    tt_tape_add_doubt(drain->tape, sentence);
}

void tt_lane_finish(TtLane *lane) {
    if (lane->last_position == G_MAXUINT64)
        lane->last_position =
            atomic_load_explicit(&lane->control->write_position, memory_order_acquire);
}

static gboolean take_room(TtLane *lane, TtDrain *drain, gsize len) {
    if (lane->pieces.length == 0) {
        /* Without it a lane that lags could be shut out by those that wait for it in the merge. */
        tt_budget_force(drain->backlog, len);
    } else if (drain->waiting_bytes + len > drain->ahead_max ||
               !tt_budget_take(drain->backlog, len)) {
        return FALSE;
    }
    drain->waiting_bytes += len;
    return TRUE;
}

static void copy_piece(TtLane *lane, gsize len) {
    TtPiece *piece = g_malloc(sizeof *piece + len + TT_EVENT_MAX);

    piece->position = lane->position;
    piece->len = (guint32)len;
    memcpy(piece->bytes, lane->chunks + lane->position % lane->ring_bytes, len);
    memset(piece->bytes + len, 0, TT_EVENT_MAX);
    g_queue_push_tail(&lane->pieces, piece);
    lane->position += len;
}

void tt_lane_wake_writer(TtLane *lane) {
    TtLaneControl *control = lane->control;

    /* Pairs with the writer's store of writer_waits before its last look at read_position: one of
     * the two sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&control->writer_waits, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&control->writer_waits, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&control->reader_waits, 1, memory_order_release);
    syscall(SYS_futex, &control->reader_waits, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void tell_position(TtLane *lane, guint64 position) {
    lane->told_position = position;
    /* Pairs with the acquire in tt_send_has_room. */
    atomic_store_explicit(&lane->control->read_position, position, memory_order_release);
    tt_lane_wake_writer(lane);
}

/* Nothing more is taken from it. What is decoded stays; the rest goes with the next decode. The
 * writer may wait for room, which will not come. */
static void close_damaged(TtLane *lane, TtDrain *drain) {
    lane->is_damaged = lane->is_complete = TRUE;
    add_doubt(drain, DAMAGED);
    tell_position(lane, TT_LANE_GIVEN_UP);
}

void tt_lane_free_merged(TtLane *lane) {
    const TtPiece *first = g_queue_peek_head(&lane->pieces);
    guint64 position = first ? first->position : lane->position;

    if (position > lane->told_position)
        tell_position(lane, position);
}

gsize tt_lane_drain(TtLane *lane, TtDrain *drain) {
    /* After a wild store of the program's its writer might wait for what we told it long since. */
    if (G_UNLIKELY(atomic_load_explicit(&lane->control->read_position, memory_order_relaxed) !=
                   lane->told_position))
        tell_position(lane, lane->told_position);
    if (lane->is_damaged)
        return 0;

    /* Pairs with the release in tt_lane_publish. */
    guint64 published = atomic_load_explicit(&lane->control->write_position, memory_order_acquire);
    if (lane->last_position != G_MAXUINT64)
        published = lane->last_position;
    guint64 start = lane->position;
    if (published == start) {
        lane->is_complete = TRUE;
        return 0;
    }
    /* A chunk's room is free only when we have read the whole of it. */
    guint64 oldest = start - start % TT_CHUNK_BYTES;
    if (published < start || published - oldest > lane->ring_bytes) {
        close_damaged(lane, drain);
        return 0;
    }

    while (lane->position < published) {
        guint64 chunk_end = lane->position - lane->position % TT_CHUNK_BYTES + TT_CHUNK_BYTES;
        gsize len = (gsize)(MIN(chunk_end, published) - lane->position);

        if (!take_room(lane, drain, len))
            break;
        copy_piece(lane, len);
    }
    lane->is_complete = lane->position == published;
    if (lane->position > start && !drain->keeps_room)
        tell_position(lane, lane->position);
    return (gsize)(lane->position - start);
}

gboolean tt_lane_is_due(const TtLane *lane) {
    guint64 written = atomic_load_explicit(&lane->control->write_position, memory_order_relaxed);

    return !lane->is_damaged && written / TT_CHUNK_BYTES - lane->position / TT_CHUNK_BYTES >=
                                    lane->ring_bytes / TT_CHUNK_BYTES / TT_BELL_SHARE;
}

/* Whether the piece at hand may end with @left of its bytes. The chunk goes on in the next one; of
 * a chunk that was closed before its end the whole is published at once. */
static gboolean may_end(const TtLane *lane, gsize left) {
    return left == 0 || lane->piece_end % TT_CHUNK_BYTES == 0;
}

/* The lost events that a record tells of. */
static guint64 count_gap(const TtRawRecord *raw) {
    TtRecordGap gap;

    return raw->number == TT_RECORD_GAP && tt_decode_gap(raw, &gap) == 0 ? gap.count : 0;
}

/* Whether the chunk's first record tells of the events that its head says were lost. */
static guint64 peek_gap(const TtLane *lane) {
    TtChunkReader ahead = lane->reader;
    TtEvent event;
    TtRawRecord raw;

    return tt_chunk_reader_next(&ahead, &event, &raw) == TT_ITEM_RECORD ? count_gap(&raw) : 0;
}

/* Where the counter has begun anew, what it shows lies before a lane's last stamp, and is corrected
 * by that; but not in a lane that is new, or was idle for so long that its stamps have come round
 * to its last one. Of a chunk that began since, the last one is made so late that they lie before
 * it. */
static void go_on(TtLane *lane, const TtDrain *drain) {
    guint64 ahead = drain->clock.ahead, base = lane->reader.head.base_stamp;
    guint64 now = tt_stamp_clock_now(&drain->clock);

    if (base <= now - MIN(ahead, now))
        lane->last_stamp = MAX(lane->last_stamp, base + ahead);
}

static gboolean begin_chunk(TtLane *lane, TtDrain *drain, const TtPiece *piece) {
    if (tt_chunk_reader_init(&lane->reader, piece->bytes, piece->len,
                             piece->position / TT_CHUNK_BYTES) < 0)
        return FALSE;
    if (drain->clock.ahead > 0)
        go_on(lane, drain);
    if (lane->reader.head.tid != lane->tid || lane->reader.head.number == 0) {
        lane->tid = lane->reader.head.tid;
        lane->thread = tt_session_get_thread(drain->session, lane->index, lane->tid);
        tt_tape_add_thread(drain->tape, lane->index, lane->tid);
    }

    /* A hook that a handler left by longjmp counted an event that it never published. */
    guint64 told = tt_saturating_sub(lane->reader.head.events_before, lane->event_count);
    lane->owed_count = told > 0 ? tt_saturating_sub(told, peek_gap(lane)) : 0;
    return TRUE;
}

/* Comes to the next piece that has something to decode. */
static gboolean seek_piece(TtLane *lane, TtDrain *drain) {
    for (;;) {
        TtPiece *piece = g_queue_peek_head(&lane->pieces);

        if (piece && lane->piece_end > piece->position) {
            /* It was begun: the reader stands in it. */
            if (tt_cursor_left(&lane->reader.cursor) > 0)
                return TRUE;
            free_first_piece(lane, drain);
            continue;
        }
        if (!piece)
            return FALSE;
        lane->piece_end = piece->position + piece->len;
        if (piece->position % TT_CHUNK_BYTES == 0) {
            if (!begin_chunk(lane, drain, piece)) {
                close_damaged(lane, drain);
                return FALSE;
            }
        } else {
            lane->reader.cursor = tt_cursor_new(piece->bytes, piece->len);
        }
    }
}

guint64 tt_drain_read_clock(TtDrain *drain, guint64 settled_stamp) {
    guint64 now = tt_stamp_clock_now(&drain->clock);

    /* Processors may be some ticks apart. */
    if (G_LIKELY(now + drain->stamps_per_second / 1000 >= settled_stamp))
        return now;
    add_doubt(drain, COUNTER_BEGAN_ANEW);
    tt_stamp_clock_go_on(&drain->clock, settled_stamp);
    return settled_stamp;
}

/* A stamp before the lane's last, or one that is still to come: made possible again. */
static guint64 correct_stamp(const TtLane *lane, TtDrain *drain, guint64 stamp, guint64 latest) {
    guint64 ahead = drain->clock.ahead;

    if (ahead > 0 && stamp <= latest - MIN(ahead, latest) && stamp + ahead >= lane->last_stamp)
        return stamp + ahead;
    if (stamp > latest || lane->last_stamp - stamp > drain->stamps_per_second / 1000)
        add_doubt(drain, IMPOSSIBLE_TIME);
    return stamp > latest ? MAX(lane->last_stamp, tt_stamp_clock_now(&drain->clock))
                          : lane->last_stamp;
}

/* A record in the order of events; all of those begin with their stamp. */
static gboolean queue_record(TtLane *lane, const TtRawRecord *raw) {
    TtCursor fields = raw->fields;
    guint64 stamp;

    if (tt_cursor_read_varint(&fields, &stamp) < 0)
        return FALSE;
    if (raw->number == TT_RECORD_GAP) {
        TtRecordGap gap;

        if (tt_decode_gap(raw, &gap) < 0)
            return FALSE;
        lane->event_count = tt_saturating_add(lane->event_count, gap.count);
        lane->gap_count = tt_saturating_add(lane->gap_count, gap.count);
    }
    lane->items[lane->count] = (TtEvent){.stamp = stamp,
                                         .addr = (guint64)(guintptr)raw->fields.at,
                                         .size = tt_cursor_left(&raw->fields),
                                         .op = (guint8)(TT_ITEM_IS_RECORD | raw->number)};
    return TRUE;
}

/* Has the loss that a chunk's head tells of stand before the chunk's events. */
static void queue_loss(TtLane *lane) {
    lane->items[lane->count++] = (TtEvent){.stamp = lane->last_stamp,
                                           .size = lane->owed_count,
                                           .op = TT_ITEM_IS_LOSS,
                                           .thread = lane->thread};
    lane->event_count = tt_saturating_add(lane->event_count, lane->owed_count);
    lane->owed_count = 0;
}

/* Returns 1 where an item was queued, 0 where not, or -EBADMSG. */
static int take_record(TtLane *lane, TtDrain *drain, const TtRawRecord *raw) {
    TtRecordThread thread;
    TtRecordStack stack;
    TtRecordNode node;

    switch (raw->number) {
    case TT_RECORD_MARK:
    case TT_RECORD_VARIABLE:
    case TT_RECORD_SCOPE_ENTER:
    case TT_RECORD_SCOPE_LEAVE:
    case TT_RECORD_GAP:
    case TT_RECORD_REALLOC_FAILED:
    case TT_RECORD_REALLOC_LEFT:
    case TT_RECORD_FORK:
    case TT_RECORD_USABLE:
    case TT_RECORD_PAUSE:
        return queue_record(lane, raw) ? 1 : -EBADMSG;
    case TT_RECORD_NODE:
        if (tt_decode_node(raw, &node) < 0)
            return -EBADMSG;
        stack = tt_stack_of_node(&lane->reader.delta, &node);
        tt_definitions_apply_stack(drain->definitions, &stack);
        return 0;
    case TT_RECORD_THREAD:
        if (tt_decode_thread(raw, &thread) < 0)
            return -EBADMSG;
        if (thread.tid == lane->tid) {
            tt_session_name_thread(drain->session, lane->thread, &thread);
            tt_tape_add_thread_name(drain->tape, lane->thread, thread.name);
        }
        return 0;
    default:
        return tt_definitions_apply(drain->definitions, raw) == -EBADMSG ? -EBADMSG : 0;
    }
}

gboolean tt_lane_decode(TtLane *lane, TtDrain *drain) {
    guint64 latest = tt_stamp_clock_now(&drain->clock) + drain->stamps_per_second;

    lane->head = lane->count = 0;
    if (!lane->items)
        lane->items = g_new(TtEvent, TT_LANE_ITEMS);
    latest = MAX(latest, lane->last_stamp);

    while (lane->count == 0) {
        if (lane->is_damaged || !seek_piece(lane, drain)) {
            while (lane->pieces.length > 0)
                free_first_piece(lane, drain);
            return FALSE;
        }

        /* Items borrow from one piece: it stays until they are used up. */
        const guint8 *start = lane->reader.cursor.at;
        if (lane->owed_count > 0)
            queue_loss(lane);
        while (lane->count < TT_LANE_ITEMS) {
            TtEvent *item = &lane->items[lane->count];
            gsize left = tt_cursor_left(&lane->reader.cursor);
            TtRawRecord raw;
            int r = tt_chunk_reader_next(&lane->reader, item, &raw);

            if (r == TT_ITEM_RECORD) {
                r = take_record(lane, drain, &raw);
                if (r == 0)
                    continue;
            } else if (r == TT_ITEM_EVENT) {
                lane->event_count++;
            } else if (r == TT_ITEM_END) {
                if (may_end(lane, left))
                    break;
                r = -EBADMSG;
            }
            if (r < 0) {
                /* What came before the damage counts. Its bytes are needed as long. */
                close_damaged(lane, drain);
                break;
            }
            item->thread = lane->thread;
            if (G_UNLIKELY(item->stamp - lane->last_stamp > latest - lane->last_stamp)) {
                item->stamp = correct_stamp(lane, drain, item->stamp, latest);
                latest = MAX(latest, item->stamp);
            }
            lane->last_stamp = item->stamp;
            lane->count++;
        }
        drain->decoded_bytes += (gsize)(lane->reader.cursor.at - start);
    }
    return TRUE;
}

/* ---- After an earlier daemon ---- */

/* The head of chunk @number, if that lies in its place. */
static gboolean read_head(const TtLane *lane, guint64 number, TtChunkHead *ret_head) {
    memcpy(ret_head, lane->chunks + number * TT_CHUNK_BYTES % lane->ring_bytes, sizeof *ret_head);
    return ret_head->magic == TT_CHUNK_MAGIC && ret_head->number == number;
}

/* The oldest chunk of which the writer keeps off while @last is its last. It may be about to begin
 * the next, over the oldest in the ring, but where that is still to be read: then it waits. @read:
 * the furthest that the writer can have been told of what was read. */
static guint64 oldest_chunk(const TtLane *lane, guint64 last, guint64 read) {
    guint64 ring_chunks = lane->ring_bytes / TT_CHUNK_BYTES;
    gboolean is_full = last + 1 >= tt_saturating_add(read / TT_CHUNK_BYTES, ring_chunks);

    return tt_saturating_sub(last + (is_full ? 1 : 2), ring_chunks);
}

/* The chunk in which the last event lies that is known: what follows it may be in there too. Or the
 * oldest there is. Nothing where @last is none. */
static guint64 find_chunk(const TtLane *lane, guint64 last, guint64 read, guint64 told_count) {
    guint64 oldest = oldest_chunk(lane, last, read), number = last;
    TtChunkHead head;

    if (!read_head(lane, last, &head))
        return G_MAXUINT64;
    while (head.events_before >= told_count && number > oldest &&
           read_head(lane, number - 1, &head))
        number--;
    return number;
}

static void copy_up_to(TtLane *lane, TtDrain *drain, guint64 published) {
    while (lane->position < published) {
        guint64 chunk_end = lane->position - lane->position % TT_CHUNK_BYTES + TT_CHUNK_BYTES;
        gsize len = (gsize)(MIN(chunk_end, published) - lane->position);

        tt_budget_force(drain->backlog, len);
        drain->waiting_bytes += len;
        copy_piece(lane, len);
    }
}

/* Passes over the next item, where it is known: @events and @placed, as in TtLaneCounts, are what
 * is left of the chunk. What is defined is applied, which does no harm where that is known. */
static gboolean skip_item(TtLane *lane, TtDrain *drain, guint64 *events, guint64 *placed) {
    TtChunkReader ahead = lane->reader;
    TtEvent event;
    TtRawRecord raw;
    int r = tt_chunk_reader_next(&ahead, &event, &raw);
    gboolean is_record = r == TT_ITEM_RECORD;
    guint64 count = is_record ? count_gap(&raw) : r == TT_ITEM_EVENT ? 1 : 0;
    gboolean has_place = is_record && count == 0 && tt_order_has_place(raw.number);

    if (r == TT_ITEM_END && !may_end(lane, tt_cursor_left(&lane->reader.cursor)))
        return FALSE;
    if (r < 0 || (*events == 0 && (count > 0 || (has_place && *placed == 0))))
        return FALSE;
    lane->reader = ahead;
    if (r == TT_ITEM_EVENT)
        lane->last_stamp = MAX(lane->last_stamp, event.stamp);
    else if (has_place && *events == 0)
        --*placed;
    else if (is_record && count == 0 && !has_place)
        (void)take_record(lane, drain, &raw);
    *events = tt_saturating_sub(*events, count);
    return r != TT_ITEM_END;
}

/* Of a chunk that was begun just now: the events before what it holds. Its head counts those too of
 * which its first record tells. */
static guint64 count_before(const TtLane *lane) {
    return tt_saturating_sub(lane->reader.head.events_before, peek_gap(lane));
}

static void skip_told(TtLane *lane, TtDrain *drain, const TtLaneCounts *told) {
    /* Where its last event has been written over, records behind it may have been as well. */
    gboolean is_there = lane->reader.head.number == 0 || count_before(lane) < told->events;
    guint64 placed = is_there ? told->placed : 0;

    do {
        guint64 events = tt_saturating_sub(told->events, count_before(lane));

        while (skip_item(lane, drain, &events, &placed))
            ;
    } while (tt_cursor_left(&lane->reader.cursor) == 0 && seek_piece(lane, drain) &&
             lane->owed_count == 0);
}

static void begin_again(TtLane *lane, TtDrain *drain, const TtLaneCounts *told) {
    if (!seek_piece(lane, drain))
        return;
    if (lane->owed_count > 0) /* at the time that the chunk begins with */
        lane->last_stamp = MIN(lane->reader.head.base_stamp, tt_stamp_clock_now(&drain->clock));
    else
        skip_told(lane, drain, told);
}

void tt_lane_resume(TtLane *lane, TtDrain *drain, const TtLaneCounts *told) {
    guint64 published = atomic_load_explicit(&lane->control->write_position, memory_order_acquire);
    guint64 read = atomic_load_explicit(&lane->control->read_position, memory_order_relaxed);
    guint64 number;

    if (published == 0)
        return;
    lane->event_count = told->events;
    lane->gap_count = told->gaps;
    do {
        number = find_chunk(lane, (published - 1) / TT_CHUNK_BYTES, read, told->events);
        if (number == G_MAXUINT64)
            break;
        /* From here on the writer leaves it alone; if it has not begun to write there just now,
         * which the next look tells. */
        lane->position = number * TT_CHUNK_BYTES;
        read = MAX(read, lane->position);
        lane->told_position = lane->position;
        atomic_store_explicit(&lane->control->read_position, lane->position, memory_order_seq_cst);
        copy_up_to(lane, drain, published);
        guint64 seen = published;
        published = atomic_load_explicit(&lane->control->write_position, memory_order_seq_cst);
        if (published / TT_CHUNK_BYTES == seen / TT_CHUNK_BYTES)
            break;
        while (lane->pieces.length > 0)
            free_first_piece(lane, drain);
    } while (TRUE);
    if (number == G_MAXUINT64) {
        close_damaged(lane, drain);
        return;
    }
    /* A writer whose ring was full has nothing more to wait for. */
    tell_position(lane, lane->position);
    begin_again(lane, drain, told);
}
