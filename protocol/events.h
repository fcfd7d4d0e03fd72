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
 * chunk: from address 0, the chunk's base stamp, no stack, size 0; so do those of NODEs, from 0. */
#pragma once

#include <stdint.h>

#include "protocol/records.h"

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

/* The same for the writer, by the number's highest bit: what a number adds to the head, and from
 * bit 12 on its length in bytes. A table has no branches, and what programs allocate is in no
 * branch predictor. */
#define TT_FORM_HEAD 0x7ffu /* bits of the head that forms tell */
#define TT_FORM_LENGTH_SHIFT 12u
#define TT_FORM(lengths, shift, code)                                                              \
    (uint16_t)((code) << (shift) | ((lengths) >> ((code)*8) & 0xf) << TT_FORM_LENGTH_SHIFT)
#define TT_ADDR_FORM(top) TT_FORM(TT_ADDR_LENGTHS, 3, ((top) > 7) + ((top) > 15) + ((top) > 23))
#define TT_STACK_FORM(top) TT_FORM(TT_STACK_LENGTHS, 7, 1 + ((top) > 15) + ((top) > 23))
#define TT_SIZE_FORM(top) TT_FORM(TT_SIZE_LENGTHS, 9, 1 + ((top) > 7) + ((top) > 15))
/* By the highest bit of the doubled number and 1, as 0 takes no byte. */
#define TT_TIME_FORM(top) TT_FORM(TT_TIME_LENGTHS, 5, ((top) > 0) + ((top) > 8) + ((top) > 16))

#define TT_8_FORMS(F, n) F(n), F(n + 1), F(n + 2), F(n + 3), F(n + 4), F(n + 5), F(n + 6), F(n + 7)
#define TT_64_FORMS(F)                                                                             \
    TT_8_FORMS(F, 0), TT_8_FORMS(F, 8), TT_8_FORMS(F, 16), TT_8_FORMS(F, 24), TT_8_FORMS(F, 32),   \
        TT_8_FORMS(F, 40), TT_8_FORMS(F, 48), TT_8_FORMS(F, 56)

static const uint16_t tt_addr_forms[64] = {TT_64_FORMS(TT_ADDR_FORM)};
static const uint16_t tt_stack_forms[64] = {TT_64_FORMS(TT_STACK_FORM)};
static const uint16_t tt_size_forms[64] = {TT_64_FORMS(TT_SIZE_FORM)};
static const uint16_t tt_time_forms[64] = {TT_64_FORMS(TT_TIME_FORM)};

/* Index of the highest bit that is set; of 0 as of 1. */
static inline unsigned tt_top_bit(uint64_t value) {
    return 63u ^ (unsigned)__builtin_clzll(value | 1);
}

/* What differences are told against. One a lane on each side; its first event in a chunk is told
 * against the chunk's head. */
typedef struct TtDelta {
    uint64_t addr;
    uint64_t stamp;
    uint64_t size;
    uint64_t stack;
    uint64_t node_id, node_ip; /* of the chunk's last NODE */
} TtDelta;

static inline uint64_t tt_zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t tt_unzigzag(uint64_t value) {
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* A stack's definition as it is told, NODE, and what that tells. Any number gives some stack: who
 * defines it checks it. */
static inline TtRecordNode tt_node_of_stack(TtDelta *delta, const TtRecordStack *stack) {
    TtRecordNode node = {
        .id = tt_zigzag((int64_t)(stack->id - delta->node_id)),
        .parent = stack->id - stack->parent,
        .ip = tt_zigzag((int64_t)(stack->ip - delta->node_ip)),
        .module = stack->module << 1 | (stack->flags & TT_STACK_EXACT_IP),
    };

    delta->node_id = stack->id;
    delta->node_ip = stack->ip;
    return node;
}

static inline TtRecordStack tt_stack_of_node(TtDelta *delta, const TtRecordNode *node) {
    delta->node_id += (uint64_t)tt_unzigzag(node->id);
    delta->node_ip += (uint64_t)tt_unzigzag(node->ip);
    return (TtRecordStack){
        .id = delta->node_id,
        .parent = delta->node_id - node->parent,
        .ip = delta->node_ip,
        .module = node->module >> 1,
        .flags = node->module & TT_STACK_EXACT_IP,
    };
}

static inline unsigned tt_length_of(uint32_t lengths, unsigned code) {
    return (lengths >> (code * 8)) & 0xff;
}
