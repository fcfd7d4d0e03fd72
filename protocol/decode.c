/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding. The packed events are read without a branch on their lengths: eight bytes are loaded
 * at each number and masked, which is why a chunk's bytes are followed by readable ones. */
#include "protocol/decode.h"

int tt_decode_framed(TtCursor *cursor, TtRawRecord *ret_record) {
    size_t left = tt_cursor_left(cursor);
    uint32_t head;

    if (left == 0)
        return TT_ITEM_END;
    if (left < TT_RECORD_HEAD_BYTES)
        return -EBADMSG;
    memcpy(&head, cursor->at, sizeof head);
    TT_READ_ONCE(head);

    uint16_t number = (head & 0xffff) >> 3;
    size_t len = head >> 16;
    if ((head & 7) != TT_KIND_RECORD || len > left - TT_RECORD_HEAD_BYTES)
        return -EBADMSG;
    ret_record->number = number;
    ret_record->fields = tt_cursor_new(cursor->at + TT_RECORD_HEAD_BYTES, len);
    cursor->at += TT_RECORD_HEAD_BYTES + len;
    return TT_ITEM_RECORD;
}

int tt_chunk_reader_init(TtChunkReader *reader, const uint8_t *bytes, size_t len, uint64_t number) {
    if (len < TT_CHUNK_HEAD_BYTES || len > TT_CHUNK_BYTES)
        return -EBADMSG;
    memcpy(&reader->head, bytes, sizeof reader->head);
    if (reader->head.magic != TT_CHUNK_MAGIC || reader->head.number != number)
        return -EBADMSG;
    reader->cursor = tt_cursor_new(bytes + TT_CHUNK_HEAD_BYTES, len - TT_CHUNK_HEAD_BYTES);
    reader->delta = (TtDelta){.stamp = reader->head.base_stamp, .stack = TT_STACK_NONE};
    return 0;
}

static inline uint64_t load_number(const uint8_t **at, unsigned len) {
    uint64_t value;

    memcpy(&value, *at, 8);
    *at += len;
    /* len is at most 7: a shift by 64 would be undefined. */
    return value & (((uint64_t)1 << (len * 8)) - 1);
}

static int decode_wide(const TtRawRecord *raw, TtDelta *delta, TtEvent *ret_event) {
    TtRecordWideEvent wide;

    if (tt_decode_wide_event(raw, &wide) < 0 || wide.op < TT_OP_ALLOC ||
        wide.op > TT_OP_REALLOC_END || wide.stack > UINT32_MAX)
        return -EBADMSG;
    *ret_event = (TtEvent){.stamp = wide.stamp,
                           .addr = wide.addr,
                           .size = wide.size,
                           .stack = (uint32_t)wide.stack,
                           .op = (uint8_t)wide.op};
    delta->stamp = wide.stamp;
    return TT_ITEM_EVENT;
}

int tt_chunk_reader_next(TtChunkReader *reader, TtEvent *ret_event, TtRawRecord *ret_record) {
    static const uint8_t op_of_kind[8] = {
        [TT_KIND_ALLOC] = TT_OP_ALLOC,
        [TT_KIND_FREE] = TT_OP_FREE,
        [TT_KIND_REALLOC_BEGIN] = TT_OP_REALLOC_BEGIN,
        [TT_KIND_REALLOC_END] = TT_OP_REALLOC_END,
        [TT_KIND_ALLOC8] = TT_OP_ALLOC,
        [TT_KIND_FREE8] = TT_OP_FREE,
    };
    TtDelta *delta = &reader->delta;
    const uint8_t *at = reader->cursor.at;
    size_t left = tt_cursor_left(&reader->cursor);
    uint16_t head;

    if (left == 0)
        return TT_ITEM_END;
    memcpy(&head, at, sizeof head); /* of a single byte left, with one that follows */
    TT_READ_ONCE(head);

    unsigned kind = head & 7;
    if (kind == TT_KIND_CHUNK_END) {
        reader->cursor.at = reader->cursor.end;
        return TT_ITEM_END;
    }
    if (kind == TT_KIND_RECORD) {
        int r = tt_decode_framed(&reader->cursor, ret_record);
        if (r == TT_ITEM_RECORD && ret_record->number == TT_RECORD_WIDE_EVENT)
            return decode_wide(ret_record, delta, ret_event);
        return r;
    }

    unsigned shift = kind >= TT_KIND_ALLOC8 ? 3 : 4;
    bool is_birth = kind == TT_KIND_ALLOC || kind == TT_KIND_REALLOC_END || kind == TT_KIND_ALLOC8;
    unsigned addr_len = tt_length_of(TT_ADDR_LENGTHS, head >> 3 & 3);
    unsigned time_len = tt_length_of(TT_TIME_LENGTHS, head >> 5 & 3);
    unsigned stack_len = tt_length_of(TT_STACK_LENGTHS, head >> 7 & 3);
    unsigned size_len = is_birth ? tt_length_of(TT_SIZE_LENGTHS, head >> 9 & 3) : 0;

    if (2 + addr_len + time_len + stack_len + size_len > left)
        return -EBADMSG;
    at += 2;

    int64_t moved = tt_unzigzag(load_number(&at, addr_len));
    uint64_t later = load_number(&at, time_len);
    uint64_t stack = load_number(&at, stack_len);
    uint64_t size = load_number(&at, size_len);

    delta->addr = ((delta->addr >> shift) + (uint64_t)moved) << shift;
    if (is_birth) {
        delta->stamp += later << TT_BIRTH_TIME_BITS | (head >> 11 & 31);
        if (stack_len > 0)
            delta->stack = stack;
        if (size_len > 0)
            delta->size = size;
        stack = delta->stack;
        size = delta->size;
    } else {
        delta->stamp += later << TT_DEATH_TIME_BITS | (head >> 9 & 127);
        if (stack_len == 0)
            stack = TT_STACK_NONE;
    }
    reader->cursor.at = at;
    *ret_event = (TtEvent){.stamp = delta->stamp,
                           .addr = delta->addr,
                           .size = size,
                           .stack = (uint32_t)stack,
                           .op = op_of_kind[kind]};
    return TT_ITEM_EVENT;
}

#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    int tt_decode_##name(const TtRawRecord *raw, TtRecord##Name *ret_record) {                     \
        TtCursor fields = raw->fields;                                                             \
        memset(ret_record, 0, sizeof *ret_record);
#define TT_U(field, doc)                                                                           \
    if (tt_cursor_left(&fields) > 0 && tt_cursor_read_varint(&fields, &ret_record->field) < 0)     \
        return -EBADMSG;
#define TT_S(field, doc)                                                                           \
    if (tt_cursor_left(&fields) > 0 && tt_cursor_read_string(&fields, &ret_record->field) < 0)     \
        return -EBADMSG;
#define TT_RECORD_END(name, Name)                                                                  \
    return 0;                                                                                      \
    }
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
