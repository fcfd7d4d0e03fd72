/* SPDX-License-Identifier: Apache-2.0 */
/* One lane, read: from the ring to private memory, and from there to items in the lane's order. */
#pragma once

#include "base/limits.h"
#include "intake/clock.h"
#include "intake/definitions.h"
#include "protocol/lane-layout.h"

G_BEGIN_DECLS

#define TT_LANE_ITEMS 256u /* decoded at a time: 8 KiB, so that merging stays in the cache */

/* An item is a TtEvent. Its op is a TtOp, or this and the number of a record whose fields are the
 * @size bytes at @addr (of ours), to be applied in its place among the events. */
#define TT_ITEM_IS_RECORD 0x80u
#define TT_ITEM_IS_LOSS 0xffu /* @size events are missing, without a word of the program */

/* Bytes copied out of a ring, of one chunk. */
typedef struct TtPiece TtPiece;

/* What the lanes of a session share while they are read. Owner's thread. */
typedef struct TtDrain {
    TtSession *session;
    TtTape *tape; /* NULL: nobody records */
    TtDefinitions *definitions;
    TtStampClock clock;
    guint64 stamps_per_second; /* as far as a stamp may be off without being called impossible */
    TtBudget *backlog;         /* shared by all sessions */
    gsize ahead_max;           /* bytes copied ahead, of this session */
    gsize waiting_bytes;       /* copied, not decoded */
    guint64 decoded_bytes;     /* ever */
    gboolean keeps_room;       /* what is copied may have to be read again: tt_lane_free_merged */
} TtDrain;

/* A lane's reading side. Owner's thread. */
typedef struct TtLane {
    TtLaneControl *control; /* shared memory */
    const guint8 *chunks;   /* shared memory */
    guint64 ring_bytes;
    guint index; /* in the session */

    guint64 position;      /* up to which the ring was copied */
    guint64 told_position; /* up to which the writer knows that it was read */
    guint64 last_position; /* where the lane ends; G_MAXUINT64 while its writer lives */
    gboolean is_complete;  /* all that was published at the last drain is copied */
    gboolean is_damaged;   /* nothing more is taken from it */
    GQueue pieces;         /* of TtPiece: to be decoded; the first is being */

    TtChunkReader reader;
    guint64 piece_end;   /* position after the piece that the reader stands in */
    guint16 thread;      /* index of the chunk's writer */
    guint32 tid;         /* of the chunk's writer; 0: none yet */
    guint64 last_stamp;  /* of the last item decoded: the next has no lesser one */
    guint64 event_count; /* heap events decoded, lost ones as far as declared */
    guint64 gap_count;   /* of those, lost ones that the lane's own counter knows */
    guint64 owed_count;  /* lost ones that the chunk's head tells of and no gap yet */

    TtEvent *items; /* TT_LANE_ITEMS; NULL while the lane was never used */
    guint head, count;

    gboolean is_in_heap; /* merger.c */
} TtLane;

/* How far an earlier daemon came with a lane. */
typedef struct TtLaneCounts {
    guint64 events; /* heap events, lost ones as far as declared */
    guint64 gaps;   /* of those, lost ones of which a GAP told */
    guint64 placed; /* records behind the last of them that have their place among events */
} TtLaneCounts;

/* The stamp of now, never a moment before @settled_stamp, which was read earlier: where the counter
 * has begun anew the session's stamps go on from there, which is declared; those of a lane with its
 * next chunk (encode.h has none lie before the last). */
guint64 tt_drain_read_clock(TtDrain *drain, guint64 settled_stamp);

/* @control and @chunks are borrowed. */
TtLane *tt_lane_new(guint index, TtLaneControl *control, const guint8 *chunks, guint32 chunk_count);
void tt_lane_free(TtLane *lane, TtDrain *drain);

/* Goes on behind what an earlier daemon has @told of the lane. What that one had read and nobody
 * knows of any more is in the ring still, but for what the writer has since written over, which is
 * declared. Before the first drain. */
void tt_lane_resume(TtLane *lane, TtDrain *drain, const TtLaneCounts *told);

/* The writer is gone: what is published now is all there will be. */
void tt_lane_finish(TtLane *lane);

/* Copies what was published since the last call, as far as the backlog allows (one chunk is always
 * allowed), makes its room in the ring free and wakes a writer who waits for it. Returns the bytes.
 */
gsize tt_lane_drain(TtLane *lane, TtDrain *drain);

/* Makes free what was copied while the drain kept the room, and has been merged since. */
void tt_lane_free_merged(TtLane *lane);

/* Wakes a writer who waits for room, if there is one. */
void tt_lane_wake_writer(TtLane *lane);

/* Decodes the next items; lane->head must have reached lane->count, and what its items borrow is
 * given up. Definitions met on the way are applied. Returns FALSE where nothing is left. */
gboolean tt_lane_decode(TtLane *lane, TtDrain *drain);

/* Has so much been written since the last drain that the program has rung its bell, or not been
 * asked to? */
gboolean tt_lane_is_due(const TtLane *lane);

G_END_DECLS
