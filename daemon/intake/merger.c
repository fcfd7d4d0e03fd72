/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes to one order.
 *
 * Each lane is in the order of its stamps; between lanes, the events of one address must alternate
 * birth and death. Why a merge by stamp gives that: a death is stamped and published before the
 * real free, a birth stamped after the real allocation. So if we take the time T before we look at
 * the lanes, a birth stamped up to T has the death before it already published somewhere, with an
 * earlier stamp, and we are about to read it. What is stamped after T waits for the next look. The
 * same holds for definitions: they are published before the stamp of the first event that uses
 * them is taken. (T is some microseconds in the past: a processor may read its time stamp counter
 * ahead of the loads before it, as far as its reorder buffer reaches.)
 *
 * A lane of which not all could be copied bounds the merge by the last stamp decoded of it.
 *
 * The lanes with something to apply are in a heap by the stamp of their next item, and are taken in
 * runs: from the first lane up to where the second begins.
 *
 * Even so a stamp can lie before its cause: it is taken while the thread still waits for the cache
 * line that brings it the block (measured in tight hand-overs: one event in 250; a fence before
 * each stamp would cure it and double what a pair costs the program). The model notices what cannot
 * be and looks for the cause among the events that follow, so of several lanes the merged events
 * wait in a window until those of the next microseconds are known too. */
#include "intake/merger.h"

#include "intake/order.h"
#include "protocol/checked.h"

#define MARGIN_PER_SECOND 250000u    /* 1/250000 s: 4 µs */
#define HINDSIGHT_PER_SECOND 100000u /* 1/100000 s: 10 µs */
#define DRAIN_EVERY_BYTES (32u * 1024)

/* A lane and the key of its next item: its stamp doubled, and 1 for what comes last among equals.
 */
typedef struct Entry {
    guint64 key;
    TtLane *lane;
} Entry;

struct TtMerger {
    TtDrain drain;
    GPtrArray *lanes; /* of TtLane */
    Entry *heap;      /* room for all lanes */
    guint heap_count;
    guint64 settled_stamp; /* T of the last drain */
    guint64 reached_stamp; /* up to which all is applied */
    guint64 merged_stamp;  /* of the last item taken from its lane */
    guint64 hindsight;     /* stamps by which one may lie before its cause */
    guint64 copied_bytes;  /* ever */
    gboolean is_finished;
    TtLane *last_lane;    /* the one that was used last */
    gboolean has_threads; /* more than one lane was ever used: what is merged waits in the order */
    TtOrder order;        /* merged */
};

TtMerger *tt_merger_new(TtSession *session, const TtStampClock *clock, TtBudget *backlog,
                        gsize ahead_max) {
    TtMerger *merger = g_new0(TtMerger, 1);
    const TtTimescale *scale = &tt_session_get_info(session)->timescale;

    merger->drain = (TtDrain){
        .session = session,
        .definitions = tt_definitions_new(session),
        .clock = *clock,
        .stamps_per_second =
            (guint64)(((unsigned __int128)1000000000u << scale->shift) / MAX(scale->mult, 1)),
        .backlog = backlog,
        .ahead_max = ahead_max,
    };
    merger->order.session = session;
    merger->hindsight = merger->drain.stamps_per_second / HINDSIGHT_PER_SECOND;
    merger->lanes = g_ptr_array_new();
    return merger;
}

static gboolean is_record(const TtEvent *item) { return item->op & TT_ITEM_IS_RECORD; }

void tt_merger_release_lanes(TtMerger *merger) {
    tt_definitions_finish(merger->drain.definitions);
    for (guint i = 0; i < merger->lanes->len; i++)
        tt_lane_free(g_ptr_array_index(merger->lanes, i), &merger->drain);
    g_ptr_array_set_size(merger->lanes, 0);
    merger->heap_count = 0;
    g_clear_pointer(&merger->heap, g_free);
    tt_order_clear(&merger->order);
}

void tt_merger_free(TtMerger *merger) {
    if (!merger)
        return;
    tt_merger_release_lanes(merger);
    g_ptr_array_unref(merger->lanes);
    tt_definitions_free(merger->drain.definitions);
    g_free(merger);
}

void tt_merger_set_tape(TtMerger *merger, TtTape *tape) {
    merger->order.tape = merger->drain.tape = tape;
    tt_definitions_set_tape(merger->drain.definitions, tape);
}

int tt_merger_define(TtMerger *merger, const TtRawRecord *raw) {
    return tt_definitions_apply(merger->drain.definitions, raw);
}

void tt_merger_add_segment(TtMerger *merger, const TtSegment *segment) {
    for (guint i = 0; i < segment->lane_count; i++)
        g_ptr_array_add(merger->lanes,
                        tt_lane_new(merger->lanes->len, tt_segment_get_lane(segment, i),
                                    tt_segment_get_chunks(segment, i), segment->chunks_per_lane));
    merger->heap = g_renew(Entry, merger->heap, merger->lanes->len);
}

guint tt_merger_get_lane_count(const TtMerger *merger) { return merger->lanes->len; }

/* Deaths before births where stamps are equal: an address is freed before it is born again, and no
 * block can pass to another thread within one tick. */
static inline guint64 key_of(const TtEvent *item) {
    return item->stamp << 1 | !(item->op == TT_OP_FREE || item->op == TT_OP_REALLOC_BEGIN);
}

static void sift_down(TtMerger *merger, guint at) {
    Entry *heap = merger->heap;
    Entry moving = heap[at];

    for (guint child; (child = 2 * at + 1) < merger->heap_count; at = child) {
        if (child + 1 < merger->heap_count && heap[child + 1].key < heap[child].key)
            child++;
        if (moving.key <= heap[child].key)
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static void push_lane(TtMerger *merger, TtLane *lane) {
    Entry *heap = merger->heap;
    guint at = merger->heap_count++;
    Entry entry = {key_of(&lane->items[lane->head]), lane};

    for (; at > 0 && heap[(at - 1) / 2].key > entry.key; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
    lane->is_in_heap = TRUE;
}

/* Lanes that had nothing to apply and have now. */
static void push_new(TtMerger *merger) {
    for (guint i = 0; i < merger->lanes->len; i++) {
        TtLane *lane = g_ptr_array_index(merger->lanes, i);

        if (!lane->is_in_heap && lane->pieces.length > 0 && tt_lane_decode(lane, &merger->drain)) {
            merger->has_threads |= lane != merger->last_lane && merger->last_lane != NULL;
            merger->last_lane = lane;
            push_lane(merger, lane);
        }
    }
}

guint64 tt_merger_read_clock(TtMerger *merger) {
    /* Of one that is finished nothing is compared with the present any more. */
    return merger->is_finished ? tt_stamp_clock_now(&merger->drain.clock)
                               : tt_drain_read_clock(&merger->drain, merger->settled_stamp);
}

gsize tt_merger_drain(TtMerger *merger) {
    gsize copied = 0;
    guint64 now = tt_merger_read_clock(merger);

    merger->settled_stamp = now - MIN(now, merger->drain.stamps_per_second / MARGIN_PER_SECOND);
    for (guint i = 0; i < merger->lanes->len; i++)
        copied += tt_lane_drain(g_ptr_array_index(merger->lanes, i), &merger->drain);
    if (copied > 0)
        push_new(merger);
    merger->copied_bytes += copied;
    return copied;
}

void tt_merger_resume(TtMerger *merger, const GArray *told_counts, GArray *held) {
    if (held)
        tt_order_take_held(&merger->order, held);
    if (merger->order.count > 0) {
        /* What follows lines up behind them, be it of one lane. */
        merger->has_threads = TRUE;
        merger->merged_stamp = merger->order.items[merger->order.count - 1].stamp;
    }
    for (guint i = 0; i < merger->lanes->len; i++) {
        TtLaneCounts told = {0};

        if (told_counts && i < told_counts->len)
            told = g_array_index(told_counts, TtLaneCounts, i);
        tt_lane_resume(g_ptr_array_index(merger->lanes, i), &merger->drain, &told);
    }
    push_new(merger);
}

void tt_merger_finish(TtMerger *merger) {
    merger->is_finished = TRUE;
    for (guint i = 0; i < merger->lanes->len; i++)
        tt_lane_finish(g_ptr_array_index(merger->lanes, i));
}

/* Takes the first lane's items up to the key @last, at least one; a record by itself. */
static void take_first(TtMerger *merger, guint64 last) {
    TtLane *lane = merger->heap[0].lane;
    guint start = lane->head, at = start + 1;

    if (!is_record(&lane->items[start]))
        while (at < lane->count && key_of(&lane->items[at]) <= last && !is_record(&lane->items[at]))
            at++;
    lane->head = at;
    merger->merged_stamp = lane->items[at - 1].stamp;
    if (merger->has_threads)
        tt_order_hold(&merger->order, lane->items + start, at - start);
    else
        tt_order_apply(&merger->order, lane->items + start, at - start);
}

/* A thread can be stopped between taking a stamp and publishing its event, and others go on: when
 * it comes, its time has passed. No event of its address can have been among those (it was not yet
 * free, or not yet born for anybody else), so it happens now. */
static void make_late_ones_now(TtMerger *merger, TtLane *lane) {
    for (guint i = lane->head; i < lane->count && lane->items[i].stamp < merger->merged_stamp; i++)
        lane->items[i].stamp = merger->merged_stamp;
}

/* The key of the item after the first in order. */
static guint64 second_key(const TtMerger *merger) {
    guint64 key = G_MAXUINT64;

    for (guint i = 1; i < MIN(merger->heap_count, 3); i++)
        key = MIN(key, merger->heap[i].key);
    return key;
}

/* Up to where nothing earlier can come, as of the last drain. */
static guint64 find_limit(const TtMerger *merger, guint64 until) {
    guint64 limit = merger->is_finished ? until : MIN(until, merger->settled_stamp);

    /* Of a lane in the heap the next item is known; the others are at their copied end. */
    for (guint i = 0; i < merger->lanes->len; i++) {
        const TtLane *lane = g_ptr_array_index(merger->lanes, i);

        if (!lane->is_in_heap && !lane->is_complete)
            limit = MIN(limit, lane->last_stamp);
    }
    return limit;
}

/* Up to where what is merged may be applied, where all is merged up to @limit. */
static guint64 find_ripe(const TtMerger *merger, guint64 limit) {
    if (!merger->has_threads || limit == G_MAXUINT64)
        return limit;
    return limit - MIN(limit, merger->hindsight);
}

/* Makes room in the window for what is decoded at a time: never less than half of it is applied,
 * however close the stamps are. Returns FALSE where what it holds is later than @until. */
static gboolean make_room(TtMerger *merger, guint64 until) {
    TtOrder *order = &merger->order;

    if (order->count <= TT_ORDER_ITEMS - TT_LANE_ITEMS)
        return TRUE;
    guint64 ripe = find_ripe(merger, order->items[order->count - 1].stamp);
    tt_order_release(order, MIN(until, MAX(ripe, order->items[order->count / 2].stamp)));
    return order->count <= TT_ORDER_ITEMS - TT_LANE_ITEMS;
}

/* The first lane's items are used up: its next ones, or another lane. */
static void refill_first(TtMerger *merger, guint64 *limit) {
    TtLane *lane = merger->heap[0].lane;

    if (tt_lane_decode(lane, &merger->drain)) {
        merger->heap[0].key = key_of(&lane->items[lane->head]);
    } else {
        lane->is_in_heap = FALSE;
        merger->heap[0] = merger->heap[--merger->heap_count];
        if (!lane->is_complete)
            *limit = MIN(*limit, lane->last_stamp);
    }
}

gboolean tt_merger_merge(TtMerger *merger, guint64 until, gsize max_bytes) {
    guint64 start = merger->drain.decoded_bytes, drained_at = start;
    guint64 wanted = merger->has_threads ? tt_saturating_add(until, merger->hindsight) : until;
    guint64 limit = find_limit(merger, wanted);

    while (merger->heap_count > 0 && merger->heap[0].key >> 1 <= limit) {
        TtLane *lane = merger->heap[0].lane;
        guint64 last = MIN(second_key(merger), MIN(limit, G_MAXUINT64 >> 1) << 1 | 1);

        if (!make_room(merger, until))
            break;
        if (G_UNLIKELY(lane->items[lane->head].stamp < merger->merged_stamp))
            make_late_ones_now(merger, lane);
        take_first(merger, last);
        if (lane->head < lane->count)
            merger->heap[0].key = key_of(&lane->items[lane->head]);
        else
            refill_first(merger, &limit);
        if (merger->heap_count > 0)
            sift_down(merger, 0);
        if (merger->drain.decoded_bytes - start >= max_bytes)
            return TRUE;
        if (merger->drain.decoded_bytes - drained_at >= DRAIN_EVERY_BYTES) {
            drained_at = merger->drain.decoded_bytes;
            tt_merger_drain(merger);
            limit = find_limit(merger, wanted);
        }
    }
    guint64 ripe = MIN(until, find_ripe(merger, limit));
    tt_order_release(&merger->order, ripe);
    merger->reached_stamp = MAX(merger->reached_stamp, ripe);
    return FALSE;
}

gboolean tt_merger_has_reached(const TtMerger *merger, guint64 stamp) {
    return merger->reached_stamp >= stamp;
}

gboolean tt_merger_is_empty(const TtMerger *merger) {
    if (merger->heap_count > 0 || merger->order.count > 0)
        return FALSE;
    for (guint i = 0; i < merger->lanes->len; i++) {
        const TtLane *lane = g_ptr_array_index(merger->lanes, i);

        if (lane->pieces.length > 0 || !lane->is_complete)
            return FALSE;
    }
    return TRUE;
}

gboolean tt_merger_has_due_lane(const TtMerger *merger) {
    for (guint i = 0; i < merger->lanes->len; i++)
        if (tt_lane_is_due(g_ptr_array_index(merger->lanes, i)))
            return TRUE;
    return FALSE;
}

guint64 tt_merger_get_undeclared_drops(const TtMerger *merger, guint64 others) {
    guint64 dropped = others, declared = 0;

    for (guint i = 0; i < merger->lanes->len; i++) {
        const TtLane *lane = g_ptr_array_index(merger->lanes, i);

        dropped = tt_saturating_add(
            dropped, atomic_load_explicit(&lane->control->dropped_events, memory_order_relaxed));
        declared = tt_saturating_add(declared, lane->gap_count);
    }
    return tt_saturating_sub(dropped, declared);
}

guint64 tt_merger_get_copied_bytes(const TtMerger *merger) { return merger->copied_bytes; }

gsize tt_merger_get_held_bytes(const TtMerger *merger) {
    gsize held = merger->drain.waiting_bytes + sizeof *merger;

    for (guint i = 0; i < merger->lanes->len; i++) {
        const TtLane *lane = g_ptr_array_index(merger->lanes, i);

        held += sizeof *lane + (lane->items ? TT_LANE_ITEMS * sizeof *lane->items : 0);
    }
    return held;
}

void tt_merger_keep_room(TtMerger *merger) { merger->drain.keeps_room = TRUE; }

void tt_merger_free_merged(TtMerger *merger) {
    for (guint i = 0; i < merger->lanes->len; i++)
        tt_lane_free_merged(g_ptr_array_index(merger->lanes, i));
}

void tt_merger_wake_writers(TtMerger *merger) {
    for (guint i = 0; i < merger->lanes->len; i++)
        tt_lane_wake_writer(g_ptr_array_index(merger->lanes, i));
}
