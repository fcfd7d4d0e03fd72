/* SPDX-License-Identifier: Apache-2.0 */
/* The records of records.def as structs: TtRecordHello, TtRecordMark, … with a number each
 * (TT_RECORD_HELLO). In lanes and in messages alike a record is framed as
 *
 *   u16  kind 7 | number << 3
 *   u16  bytes of fields that follow
 *   …    fields
 */
#pragma once

#include <stdint.h>

#include "protocol/cursor.h"
#include "protocol/wire.h"

#define TT_RECORD_HEAD_BYTES 4u
#define TT_RECORD_MAX 24576u /* bytes of the largest record, framed; fits any chunk */

#define TT_RECORD(number, NAME, name, Name, doc) TT_RECORD_##NAME = number,
#define TT_U(field, doc)
#define TT_S(field, doc)
#define TT_RECORD_END(name, Name)
typedef enum TtRecordNumber {
#include "protocol/records.def"
} TtRecordNumber;
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END

#define TT_RECORD(number, NAME, name, Name, doc) typedef struct TtRecord##Name {
#define TT_U(field, doc) uint64_t field;
#define TT_S(field, doc) TtString field;
#define TT_RECORD_END(name, Name)                                                                  \
    }                                                                                              \
    TtRecord##Name;
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
