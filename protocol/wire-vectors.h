/* SPDX-License-Identifier: Apache-2.0 */
/* Examples of everything on the wire, made by the encoder. WIRE.md shows them, tests/golden/wire
 * holds them, tests cut and flip them, fuzzers begin with them. For tools and tests. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "protocol/decode.h"

#define TT_VECTOR_BYTES 1024u
#define TT_VECTOR_PARTS 160u
#define TT_VECTOR_NOTE 112u

typedef enum TtVectorKind {
    TT_VECTOR_RECORD,  /* one framed record */
    TT_VECTOR_MESSAGE, /* a message of the events socket */
    TT_VECTOR_CHUNK,   /* a chunk of a lane, as far as it was written */
} TtVectorKind;

/* A run of bytes and what it says. Parts follow each other without holes. */
typedef struct TtVectorPart {
    size_t len;
    char note[TT_VECTOR_NOTE];
} TtVectorPart;

typedef struct TtVector {
    char name[40]; /* of the file: record-hello, message-hello, chunk-events */
    const char *about;
    TtVectorKind kind;
    uint8_t bytes[TT_VECTOR_BYTES + TT_EVENT_MAX]; /* may be read TT_EVENT_MAX past @len */
    size_t len;
    TtVectorPart parts[TT_VECTOR_PARTS];
    size_t part_count;
} TtVector;

/* The chunk number that the chunk vectors bear. */
#define TT_VECTOR_CHUNK_NUMBER 7u

/* The examples of the records, with plausible values: tt_vector_hello, tt_vector_mark, … */
#define TT_RECORD(number, NAME, name, Name, doc) extern const TtRecord##Name tt_vector_##name;
#define TT_U(field, doc)
#define TT_S(field, doc)
#define TT_RECORD_END(name, Name)
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END

/* The events of the vector chunk-events, in order. */
extern const TtRecordStack tt_vector_inner_stack; /* the second that the events' chunk defines */
extern const TtEvent tt_vector_events[];
extern const size_t tt_vector_event_count;

/* All vectors. Made at the first call, one thread; never freed. */
const TtVector *tt_vectors(size_t *ret_count);

/* Prints a vector as lines of hex bytes and notes: what the golden files and WIRE.md hold. */
void tt_vector_print(const TtVector *vector, FILE *to);
