/* SPDX-License-Identifier: Apache-2.0 */
/* Heap events and definitions of stacks as columns of bytes, and back: all times together, all
 * sizes together, so that like stands by like and zstd finds what repeats. What each column says
 * stands in RECORDING.md. */
#pragma once

#include <glib.h>

#include "protocol/decode.h"
#include "protocol/recording.h"

G_BEGIN_DECLS

typedef enum TtColumn {
    TT_COLUMN_OPS,
    TT_COLUMN_TIMES,
    TT_COLUMN_LATE_TIMES,
    TT_COLUMN_BIRTH_ADDRS,
    TT_COLUMN_AGES,
    TT_COLUMN_DEATH_ADDRS,
    TT_COLUMN_SIZES,
    TT_COLUMN_BIRTH_STACKS,
    TT_COLUMN_DEATH_STACKS,
    TT_COLUMN_NODE_IDS,
    TT_COLUMN_NODE_PARENTS,
    TT_COLUMN_NODE_IPS,
    TT_COLUMN_NODE_MODULES,
    TT_COLUMN_NODE_FLAGS,
    TT_COLUMNS,
} TtColumn;

/* What the next event is told against. One a session on each side, which both keep alike; zeroed
 * memory is how it begins. */
typedef struct TtGuess {
    guint64 stamp, addr;                  /* of the last event */
    guint64 node, ip;                     /* of the last definition */
    guint64 birth_count;                  /* so far */
    guint64 birth_addrs[TT_GUESS_BIRTHS]; /* of the last ones, by number */
    guint16 birth_sizes[TT_GUESS_BIRTHS]; /* and where their size has its place in last_addrs */
    guint64 last_addrs[TT_GUESS_SIZES];   /* the last address of a size, born or died */
    guint64 numbers_of[TT_GUESS_BIRTHS];  /* writing: a birth by its address, a guess too */
} TtGuess;

/* Room for the columns of one section. */
typedef struct TtColumnSet {
    guint8 *bytes[TT_COLUMNS];
    gsize len[TT_COLUMNS];
} TtColumnSet;

/* For TT_SECTION_EVENTS_MAX events and TT_SECTION_NODES_MAX definitions; pages come as they are
 * used.
 */
void tt_column_set_init(TtColumnSet *columns);
void tt_column_set_clear(TtColumnSet *columns);
void tt_column_set_empty(TtColumnSet *columns);

/* Appends. All of a section, up to what there is room for. */
void tt_columns_write_events(TtColumnSet *columns, TtGuess *guess, const TtEvent *events,
                             gsize count);
void tt_columns_write_nodes(TtColumnSet *columns, TtGuess *guess, const TtRecordStack *nodes,
                            gsize count);

/* Each reads @count of them from their columns; events' threads are left 0.
 *
 * @cursors  TT_COLUMNS of them, advanced; not trusted
 *
 * Returns 0, or -EBADMSG: they do not hold as many, or hold what none is. */
int tt_columns_read_events(TtCursor *cursors, TtGuess *guess, TtEvent *ret_events, gsize count);
int tt_columns_read_nodes(TtCursor *cursors, TtGuess *guess, TtRecordStack *ret_nodes, gsize count);

G_END_DECLS
