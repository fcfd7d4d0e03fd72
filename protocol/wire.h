/* SPDX-License-Identifier: Apache-2.0 */
/* The constants of the wire format: version, limits, sockets, enumerations.
 *
 * Two things travel between a traced program and the daemon. Messages go over the events socket
 * (AF_UNIX, SOCK_SEQPACKET): few, each a head and records. Heap events go through lanes, memory
 * shared by both (lane-layout.h). WIRE.md shows both byte by byte. */
#pragma once

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire format is little-endian and read in place"
#endif

#define TT_WIRE_MAJOR 1 /* another major: the peers refuse each other, naming both */
#define TT_WIRE_MINOR 4 /* a newer minor only adds records and fields */

#define TT_MESSAGE_MAGIC 0x31525454u /* "TTR1" */
#define TT_MESSAGE_MAX 65536u        /* bytes of one message, head included */
#define TT_STRING_MAX 4096u          /* bytes of one string; longer ones are cut by the sender */
#define TT_SESSION_ID_BYTES 16u
#define TT_BUILD_ID_MAX 64u
#define TT_STACK_DEPTH_MAX 256u /* frames of one stack, innermost first; the rest is cut off */
#define TT_MODULES_MAX 65536u
#define TT_LANES_MAX 65536u /* of one session */

#define TT_EVENTS_SOCKET "events.sock"
#define TT_CONTROL_SOCKET "control.sock"

/* Every message begins so; records follow up to its end. */
typedef struct TtMessageHead {
    uint32_t magic;
    uint8_t major;
    uint8_t minor;
    uint16_t reserved; /* 0 */
} TtMessageHead;

_Static_assert(sizeof(TtMessageHead) == 8, "message head is 8 bytes on the wire");

/* Ids of stacks that are not defined by a record. */
enum {
    TT_STACK_ROOT = 0,      /* parent of the outermost frame of a whole stack */
    TT_STACK_TRUNCATED = 1, /* parent of the outermost frame known of a stack that was cut */
    TT_STACK_NONE = 2,      /* an event without any frame */
    TT_STACK_FIRST = 3,
};

enum { TT_STACK_EXACT_IP = 1 };

typedef enum TtOp {
    TT_OP_ALLOC = 1,
    TT_OP_FREE = 2,
    TT_OP_REALLOC_BEGIN = 3, /* the block at addr is about to be resized, and may move */
    TT_OP_REALLOC_END = 4,   /* the block of the lane's open reallocation is now here */
} TtOp;

typedef enum TtClock {
    TT_CLOCK_TSC = 1,       /* rdtsc; only where the processor says that it is invariant */
    TT_CLOCK_MONOTONIC = 2, /* clock_gettime(CLOCK_MONOTONIC), nanoseconds */
} TtClock;

typedef enum TtHelloFlags {
    TT_HELLO_LOSSLESS = 1,      /* waits for the daemon rather than drop events */
    TT_HELLO_FREE_STACKS = 2,   /* frees carry stacks */
    TT_HELLO_DORMANT = 4,       /* TT_ENABLE=0: sends nothing until it is woken */
    TT_HELLO_RESUMED = 8,       /* this session was told over another connection, which broke */
    TT_HELLO_USABLE_SIZES = 16, /* births are followed by USABLE */
} TtHelloFlags;

typedef enum TtRelation {
    TT_RELATION_NONE = 0,
    TT_RELATION_FORK = 1, /* parent_session is the parent's */
    TT_RELATION_EXEC = 2, /* parent_session is that of this process before exec */
} TtRelation;

typedef enum TtExportFormat {
    TT_EXPORT_JSON = 1,
    TT_EXPORT_SVG = 2,
} TtExportFormat;
