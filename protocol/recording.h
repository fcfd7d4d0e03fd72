/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a recording: what a session was told, in that order, so that it can be told again.
 * RECORDING.md shows it byte by byte.
 *
 * A file is a row of zstd frames (RFC 8878), so that `zstd -t` checks it and `zstd -d` opens it: a
 * skippable one, TtRecordingHead, and then a section each. It begins with a record SECTION; steps
 * and the columns of its heap events follow, as long as it says. Each ends with zstd's checksum. */
#pragma once

#include <stdint.h>

#define TT_RECORDING_MAJOR 1 /* another major cannot be read */
#define TT_RECORDING_MINOR 4 /* a newer minor only adds records and fields */

#define TT_RECORDING_SKIPPABLE 0x184d2a5cu /* the magic of a skippable frame */
#define TT_RECORDING_NAME "TTREC"

/* The first bytes of a file. */
typedef struct TtRecordingHead {
    uint32_t magic; /* TT_RECORDING_SKIPPABLE */
    uint32_t len;   /* bytes that follow: 8 */
    char name[6];   /* TT_RECORDING_NAME */
    uint8_t major;
    uint8_t minor;
} TtRecordingHead;

_Static_assert(sizeof(TtRecordingHead) == 16, "a recording's head is 16 bytes");

#define TT_SECTION_BYTES_MAX (16u << 20)  /* of a section, not compressed */
#define TT_SECTION_EVENTS_MAX (1u << 17)  /* in one section */
#define TT_RECORDED_SESSIONS_MAX 65536u   /* in one file */
#define TT_RECORDED_CARDS_MAX (32u << 20) /* bytes of what their first steps say, together */

#define TT_SECTION_NODES_MAX (1u << 16) /* definitions of stacks in one section */

#define TT_RECORDED_NO_THREAD 65536u /* past all numbers: of a mark that was asked for */

/* What the ops column says of an event: its TtOp, and the lowest bits of its address. */
#define TT_COLUMN_OP_BITS 4u

/* A time that does not fit a byte of the times column, and goes on in that of the late ones. */
#define TT_COLUMN_LATE 255u

/* How addresses are told, by both sides alike. */
#define TT_GUESS_BIRTHS 1024u /* the births that a death can be told by the age of */
#define TT_GUESS_SIZES 1024u  /* sizes of which the last address is remembered */

/* As it stands in files; never renumbered. */
typedef enum TtRecordedState {
    TT_RECORDED_EXITED = 1,
    TT_RECORDED_KILLED = 2,
    TT_RECORDED_EXEC = 3,
    TT_RECORDED_ENDED = 4, /* the cause cannot be known */
    TT_RECORDED_LOST = 5,  /* the connection broke and the process may live */
} TtRecordedState;
