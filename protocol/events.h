/* SPDX-License-Identifier: Apache-2.0 */
/* The packed form of heap events, which are nearly all that a lane carries.
 *
 * An event is a 16-bit head and up to four little-endian numbers, whose lengths the head tells, so
 * that neither side branches on a byte's value:
 *
 *   bits 0-2    kind
 *   bits 3-4    length of the address difference: 1, 2, 3 or 6 bytes
 *   bits 5-6    length of the time difference's upper part: 0, 1, 2 or 7 bytes
 *   bits 7-8    length of the stack id: 0, 2, 3 or 4 bytes; 0 is the stack of the chunk's last
 *               birth, and for a death: none
 *   births:     bits 9-10 length of the size: 0, 1, 2 or 6 bytes; 0 is that of the last birth
 *               bits 11-15 the time difference's lowest 5 bits
 *   deaths:     bits 9-15 the time difference's lowest 7 bits
 *
 * and then address, time, stack, size, in this order. The address is told as the zigzag of
 * (addr >> s) - (last addr >> s), where s is 4, or 3 for the kinds that end in 8. What does not fit
 * (an odd address, an address or a size beyond its limit) is a record WIDE_EVENT, whose stamp is
 * the last one from then on; its address, size and stack are not. Differences start anew in each
 * chunk: from address 0, the chunk's base stamp, no stack, size 0. */
#pragma once

#include <stdint.h>

typedef enum TtKind {
    TT_KIND_CHUNK_END =
        0, /* the rest of this chunk is unused; one byte will do where one is left */
    TT_KIND_ALLOC = 1,
    TT_KIND_FREE = 2,
    TT_KIND_REALLOC_BEGIN = 3,
    TT_KIND_REALLOC_END = 4,
    TT_KIND_ALLOC8 = 5,
    TT_KIND_FREE8 = 6,
    TT_KIND_RECORD = 7,
} TtKind;

/* Bytes that writing one packed event may touch: 2 + 6 + 7 + 4, and 8 stored for the last number.
 */
#define TT_EVENT_MAX 27u

/* What the packed form holds. With 6 bytes the zigzag of a difference of two addresses >> 3 fits;
 * 7 bytes of time are 73 years of nanoseconds, so that a thread may sleep as long as it likes. */
#define TT_EVENT_ADDR_END ((uint64_t)1 << 50)
#define TT_EVENT_SIZE_END ((uint64_t)1 << 48)

/* Lengths by the head's two bits, a byte each. */
#define TT_ADDR_LENGTHS 0x06030201u
#define TT_TIME_LENGTHS 0x07020100u
#define TT_STACK_LENGTHS 0x04030200u
#define TT_SIZE_LENGTHS 0x06020100u

#define TT_BIRTH_TIME_BITS 5u
#define TT_DEATH_TIME_BITS 7u

/* What differences are told against. One a lane on each side; its first event in a chunk is told
 * against the chunk's head. */
typedef struct TtDelta {
    uint64_t addr;
    uint64_t stamp;
    uint64_t size;
    uint64_t stack;
} TtDelta;

static inline uint64_t tt_zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t tt_unzigzag(uint64_t value) {
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static inline unsigned tt_length_of(uint32_t lengths, unsigned code) {
    return (lengths >> (code * 8)) & 0xff;
}
