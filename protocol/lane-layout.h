/* SPDX-License-Identifier: Apache-2.0 */
/* The shared memory through which events travel.
 *
 * Each thread of a program writes its own lane: a ring of chunks. A chunk is self-contained (its
 * head resets all differences), so a reader may begin at any. Positions count bytes from the
 * lane's beginning and never wrap: position / TT_CHUNK_BYTES is the chunk's number in the lane,
 * and number % chunks_per_lane is where it lies. That makes reading exactly-once by nature,
 * whoever died and whenever, and gives the writer one thing to publish: write_position.
 *
 * The daemon makes, sizes and seals the memory; both map it. Neither trusts what the other wrote:
 * a value is copied once, then checked.
 *
 *   memory := TtLaneControl[1 + lane_count] (the first is the segment's own), chunks of lane 0, …
 *
 * A session may have several such memories ("segments"); lanes are numbered through all of them. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TT_CHUNK_BYTES 32768u
#define TT_CHUNK_HEAD_BYTES 40u
#define TT_CHUNK_MAGIC 0x4b484354u /* "TCHK" */

/* A daemon that sleeps is woken when this part of a lane is to be read, which costs the program
 * more than all the events of a chunk. The rest is its room while the daemon wakes. */
#define TT_BELL_SHARE 4u

/* read_position of a lane whose data was damaged: nothing more is taken from it. Its writer waits
 * for no room, counts what it drops, and goes on in another lane. */
#define TT_LANE_GIVEN_UP UINT64_MAX

/* What the program and the daemon tell each other outside the stream. Writer and reader keep to
 * cache lines of their own. The first control block of segment 0 speaks for the session. */
typedef struct TtLaneControl {
    /* Written by the traced program. */
    _Alignas(64) _Atomic uint64_t write_position; /* release; pairs with tt_lane_drain's acquire */
    _Atomic uint64_t dropped_events; /* relaxed: all ever dropped in this lane, for a live look */
    _Atomic uint32_t tid;            /* relaxed: whose lane it is now; 0: nobody's yet */
    uint32_t reserved_writer;

    /* Written by the daemon. */
    _Alignas(64) _Atomic uint64_t
        read_position; /* release; pairs with tt_send_has_room's acquire; or TT_LANE_GIVEN_UP */
    _Atomic uint32_t reader_waits;   /* futex word: bumped when room was made */
    _Atomic uint32_t wants_doorbell; /* session block: the daemon sleeps (both write it) */
    _Atomic uint32_t is_recording;   /* session block: 1, or 0 while dormant */
    _Atomic uint32_t writer_waits;   /* client sets 1 when it sleeps on reader_waits */
} TtLaneControl;

/* What a program keeps of each of its lanes begins with pointers to the lane's memory, and within
 * so many words of any of these has the last block's address: whoever looks for pointers to blocks
 * in the program's memory passes over them. */
#define TT_LANE_NOTE_WORDS 40u

_Static_assert(sizeof(TtLaneControl) == 128, "lane control is two cache lines");
_Static_assert(offsetof(TtLaneControl, read_position) == 64, "the daemon's line is its own");

typedef struct TtChunkHead {
    uint32_t magic;
    uint32_t tid;           /* the writing thread; a lane passes to another only between chunks */
    uint64_t number;        /* of the chunk in its lane */
    uint64_t base_stamp;    /* the first event's time is told relative to it */
    uint64_t events_before; /* heap events written to this lane before this chunk, lost ones too */
    uint64_t reserved;
} TtChunkHead;

_Static_assert(sizeof(TtChunkHead) == TT_CHUNK_HEAD_BYTES, "chunk head is 40 bytes");

/* Bytes of a segment; lanes' chunks begin on a page. */
static inline size_t tt_segment_chunks_offset(uint32_t lane_count) {
    return (sizeof(TtLaneControl) * (1u + (size_t)lane_count) + 4095) & ~(size_t)4095;
}

static inline size_t tt_segment_size(uint32_t lane_count, uint32_t chunks_per_lane) {
    return tt_segment_chunks_offset(lane_count) +
           (size_t)lane_count * chunks_per_lane * TT_CHUNK_BYTES;
}
