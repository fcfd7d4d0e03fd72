/* SPDX-License-Identifier: Apache-2.0 */
/* What the client keeps for each traced thread. Private memory, reached through one static TLS
 * pointer; a dead thread's is found by its tid and used again (a key destructor would cost the
 * program one of its 1024 keys, and miss what is allocated after it). */
#pragma once

#include <stdbool.h>

#include "client/stack.h"
#include "protocol/encode.h"
#include "protocol/lane-layout.h"

#define TT_SCOPES_UNKNOWN UINT32_MAX

typedef struct TtThread {
    /* The hot lines. */
    uint8_t *at;       /* where the next event goes */
    uint8_t *limit;    /* no event may begin at or after this; == at's chunk start while there is no
                          chunk */
    uint64_t position; /* lane position that corresponds to @at == chunk start */
    uint8_t *chunk;    /* start of the current chunk */
    TtLaneControl *control;
    TtDelta delta;
    uint64_t event_count; /* heap events of this lane so far, lost ones too */
    uintptr_t busy_frame; /* frame address of the hook at work in this thread, or 0 */
    uint32_t generation;  /* of the session that the lane belongs to */
    uint32_t tid;

    /* Colder. */
    uint32_t lane;        /* index in the session */
    uint32_t scope_depth; /* how many scopes are open: the thread's (tt_self), or, in the lane for
                             events from within hooks, the handler's */
    uint32_t told_scopes; /* and as far as the daemon knows; or TT_SCOPES_UNKNOWN */
    bool has_told_stop;   /* that its clock stands still */
    uint8_t *lane_chunks; /* the lane's ring */
    uint32_t chunk_count; /* chunks in the ring, a power of two */
    uint64_t gap_count;   /* events lost since the last gap record */
    uint64_t gap_first_stamp, gap_last_stamp;
    uint64_t lot;            /* random bits of the sampling */
    bool is_sampled_realloc; /* the block of the reallocation at work was in the sample */
    bool has_told_pause;     /* that blocks of its are left out */
    bool is_measuring;       /* in the allocator's malloc_usable_size */
    const void *born_ptr;    /* the last block recorded in the operator new at work, */
    const void *dying_ptr;   /* that of the operator delete at work (operators.c) */
    char name[16];

    TtStackCache stack;
} TtThread;

_Static_assert(offsetof(TtThread, stack) <= 8 * TT_LANE_NOTE_WORDS,
               "what is noted of blocks lies within this of the pointers to the lane");
