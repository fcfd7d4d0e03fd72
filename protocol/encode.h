/* SPDX-License-Identifier: Apache-2.0 */
/* Writing records and events. Inline: tt_encode_birth and tt_encode_death are the hot path. */
#pragma once

#include <string.h>

#include "protocol/events.h"
#include "protocol/records.h"

/* How many bytes a varint takes. */
static inline size_t tt_varint_len(uint64_t value) {
    return (size_t)(64 - __builtin_clzll(value | 1) + 6) / 7;
}

/* Writes a varint; the caller has made room. Returns one past its last byte. */
static inline uint8_t *tt_encode_varint(uint8_t *at, uint64_t value) {
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline size_t tt_encoded_string_len(TtString string) {
    return string.len < TT_STRING_MAX ? string.len : TT_STRING_MAX;
}

/* size_t tt_encode_NAME(uint8_t *at, size_t room, const TtRecordNAME *record)
 *
 * Writes one record, framed, for every record of records.def. Strings are cut to TT_STRING_MAX.
 * Returns the bytes written, or 0 where @room does not hold it; nothing is written then. */
#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    static inline size_t tt_encode_##name(uint8_t *at, size_t room, const TtRecord##Name *r) {     \
        size_t len = 0;                                                                            \
        for (int pass = 0; pass < 2; pass++) {                                                     \
            uint8_t *to = at + TT_RECORD_HEAD_BYTES;                                               \
            if (pass == 1) {                                                                       \
                if (len > 0xffff || TT_RECORD_HEAD_BYTES + len > room)                             \
                    return 0;                                                                      \
                uint16_t head[2] = {(uint16_t)(TT_KIND_RECORD | (number) << 3), (uint16_t)len};    \
                memcpy(at, head, sizeof head);                                                     \
            }
#define TT_U(field, doc)                                                                           \
    if (pass == 0)                                                                                 \
        len += tt_varint_len(r->field);                                                            \
    else                                                                                           \
        to = tt_encode_varint(to, r->field);
#define TT_S(field, doc)                                                                           \
    {                                                                                              \
        size_t n = tt_encoded_string_len(r->field);                                                \
        if (pass == 0) {                                                                           \
            len += tt_varint_len(n) + n;                                                           \
        } else {                                                                                   \
            to = tt_encode_varint(to, n);                                                          \
            if (n > 0)                                                                             \
                memcpy(to, r->field.text, n);                                                      \
            to += n;                                                                               \
        }                                                                                          \
    }
#define TT_RECORD_END(name, Name)                                                                  \
    (void)to;                                                                                      \
    }                                                                                              \
    return TT_RECORD_HEAD_BYTES + len;                                                             \
    }
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END

/* Starts the differences of a chunk. */
static inline void tt_delta_init(TtDelta *delta, uint64_t base_stamp) {
    *delta = (TtDelta){.stamp = base_stamp, .stack = TT_STACK_NONE};
}

/* Says that the rest of a chunk is unused, where any of it is left. A ring's memory holds older
 * events there. */
static inline void tt_encode_chunk_end(uint8_t *at, size_t room) {
    memset(at, TT_KIND_CHUNK_END, room < 2 ? room : 2);
}

/* Writes the lowest bytes of a number, as many as its form says; touches 8. */
static inline uint8_t *tt_encode_number(uint8_t *at, uint64_t value, unsigned form) {
    memcpy(at, &value, 8); /* what lies beyond is written over by what comes next */
    return at + (form >> TT_FORM_LENGTH_SHIFT);
}

/* A stamp before the last one counts as equal. Stamps have less than 63 bits. */
static inline uint64_t tt_delta_later(const TtDelta *delta, uint64_t stamp) {
    int64_t later = (int64_t)(stamp - delta->stamp);

    return later > 0 ? (uint64_t)later : 0;
}

/* Writes a birth (ALLOC, REALLOC_END).
 *
 * @at     TT_EVENT_MAX bytes may be touched
 * @kind   TT_KIND_ALLOC or REALLOC_END with a 16-aligned @addr, or ALLOC8 with an 8-aligned one
 * @addr   below TT_EVENT_ADDR_END
 * @size   below TT_EVENT_SIZE_END
 * @stack  an id; below 2^32
 * @stamp  not before the lane's last; an earlier one counts as equal
 *
 * Returns one past the event. Only the lane's writer. */
static inline uint8_t *tt_encode_birth(uint8_t *at, TtDelta *delta, TtKind kind, uint64_t addr,
                                       uint64_t size, uint64_t stack, uint64_t stamp) {
    unsigned shift = kind == TT_KIND_ALLOC8 ? 3 : 4;
    uint64_t moved = tt_zigzag((int64_t)(addr >> shift) - (int64_t)(delta->addr >> shift));
    uint64_t later = tt_delta_later(delta, stamp), late = later >> TT_BIRTH_TIME_BITS;
    unsigned addr_form = tt_addr_forms[tt_top_bit(moved)];
    unsigned time_form = tt_time_forms[tt_top_bit(late << 1)];
    unsigned stack_form = tt_stack_forms[tt_top_bit(stack)];
    unsigned size_form = tt_size_forms[tt_top_bit(size)];

    stack_form = stack == delta->stack ? 0 : stack_form;
    size_form = size == delta->size ? 0 : size_form;
    uint16_t head = (uint16_t)(((addr_form | time_form | stack_form | size_form) & TT_FORM_HEAD) |
                               (unsigned)kind | (unsigned)(later << (16 - TT_BIRTH_TIME_BITS)));

    memcpy(at, &head, 2);
    at = tt_encode_number(at + 2, moved, addr_form);
    at = tt_encode_number(at, late, time_form);
    at = tt_encode_number(at, stack, stack_form);
    at = tt_encode_number(at, size, size_form);
    delta->addr = addr;
    delta->stamp += later;
    delta->size = size;
    delta->stack = stack;
    return at;
}

/* Writes a death (FREE, REALLOC_BEGIN).
 *
 * @kind   TT_KIND_FREE or REALLOC_BEGIN with a 16-aligned @addr, or FREE8 with an 8-aligned one
 * @stack  where it died, or TT_STACK_NONE, which no byte is spent on
 *
 * The rest as tt_encode_birth. */
static inline uint8_t *tt_encode_death(uint8_t *at, TtDelta *delta, TtKind kind, uint64_t addr,
                                       uint64_t stack, uint64_t stamp) {
    unsigned shift = kind == TT_KIND_FREE8 ? 3 : 4;
    uint64_t moved = tt_zigzag((int64_t)(addr >> shift) - (int64_t)(delta->addr >> shift));
    uint64_t later = tt_delta_later(delta, stamp), late = later >> TT_DEATH_TIME_BITS;
    unsigned addr_form = tt_addr_forms[tt_top_bit(moved)];
    unsigned time_form = tt_time_forms[tt_top_bit(late << 1)];
    unsigned stack_form = stack == TT_STACK_NONE ? 0 : tt_stack_forms[tt_top_bit(stack)];
    uint16_t head = (uint16_t)(((addr_form | time_form | stack_form) & TT_FORM_HEAD) |
                               (unsigned)kind | (unsigned)(later << (16 - TT_DEATH_TIME_BITS)));

    memcpy(at, &head, 2);
    at = tt_encode_number(at + 2, moved, addr_form);
    at = tt_encode_number(at, late, time_form);
    at = tt_encode_number(at, stack, stack_form);
    delta->addr = addr;
    delta->stamp += later;
    return at;
}
