/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a chunk or a message to one event or record at a time. Nothing read is trusted. */
#pragma once

#include <stdbool.h>

#include "protocol/events.h"
#include "protocol/lane-layout.h"
#include "protocol/records.h"

/* A heap event as the daemon applies it. */
typedef struct TtEvent {
    uint64_t stamp; /* absolute, in the session's ticks */
    uint64_t addr;
    uint64_t size;   /* births only */
    uint32_t stack;  /* TT_STACK_NONE where unknown */
    uint16_t thread; /* index of the thread in the session; the decoder leaves it 0 */
    uint8_t op;      /* TtOp */
    uint8_t reserved;
} TtEvent;

_Static_assert(sizeof(TtEvent) == 32, "half a cache line an event");

/* A record still in its frame. */
typedef struct TtRawRecord {
    uint16_t number; /* TtRecordNumber, or one that this version does not know */
    TtCursor fields;
} TtRawRecord;

typedef enum TtItem {
    TT_ITEM_END = 0, /* nothing more in this chunk or message: the cursor is at its end */
    TT_ITEM_EVENT = 1,
    TT_ITEM_RECORD = 2,
} TtItem;

/* Reads one record in its frame from a message.
 *
 * @ret_record  set on TT_ITEM_RECORD; borrows the cursor's bytes
 *
 * Returns TT_ITEM_RECORD, TT_ITEM_END, or -EBADMSG: no record stands here. Any thread. */
int tt_decode_framed(TtCursor *cursor, TtRawRecord *ret_record);

/* A chunk being read. */
typedef struct TtChunkReader {
    TtCursor cursor; /* the bytes after the head */
    TtDelta delta;
    TtChunkHead head;
} TtChunkReader;

/* Checks a chunk's head and begins with its first item.
 *
 * @bytes  of the chunk so far published, head included; at least TT_EVENT_MAX readable bytes must
 *         follow them (of any value)
 *
 * Returns 0, or -EBADMSG: no chunk, or not number @number of its lane. Any thread. */
int tt_chunk_reader_init(TtChunkReader *reader, const uint8_t *bytes, size_t len, uint64_t number);

/* Reads the next item of a chunk.
 *
 * @ret_event   set on TT_ITEM_EVENT, but for its thread. WIDE_EVENT comes as an event too.
 * @ret_record  set on TT_ITEM_RECORD
 *
 * Returns a TtItem, or -EBADMSG: damaged from here on. Any thread. */
int tt_chunk_reader_next(TtChunkReader *reader, TtEvent *ret_event, TtRawRecord *ret_record);

/* int tt_decode_NAME(const TtRawRecord *raw, TtRecordNAME *ret_record)
 *
 * Reads a record's fields, for every record of records.def. Absent ones are 0 or empty, unknown
 * ones at the end are passed over; strings borrow the record's bytes. Returns 0, or -EBADMSG with
 * @ret_record undefined. Any thread. */
#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    int tt_decode_##name(const TtRawRecord *raw, TtRecord##Name *ret_record);
#define TT_U(field, doc)
#define TT_S(field, doc)
#define TT_RECORD_END(name, Name)
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
