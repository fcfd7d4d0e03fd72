/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of a lane: writes chunks as a program would, with faults on demand. */
#pragma once

#include <glib.h>

#include "protocol/encode.h"
#include "protocol/lane-layout.h"

typedef struct Writer {
    TtLaneControl *control;
    guint8 *chunks;
    guint32 chunk_count;
    guint32 tid;
    guint64 number; /* of the current chunk; G_MAXUINT64: none */
    guint8 *start, *at, *limit;
    TtDelta delta;
    guint64 event_count, gap_count;
    gboolean waits;         /* for room, by futex; else a full lane drops */
    gboolean holds_back;    /* does not publish */
    guint64 (*clock)(void); /* of the stamps that chunks begin with; NULL: 0 */
} Writer;

void writer_init(Writer *writer, TtLaneControl *control, const guint8 *chunks, guint32 chunk_count,
                 guint32 tid);

/* Makes room for @len bytes. FALSE: the lane is full; the event is dropped and counted. */
gboolean writer_reserve(Writer *writer, gsize len);

gboolean writer_alloc(Writer *writer, guint64 addr, guint64 size, guint64 stack, guint64 stamp);
gboolean writer_free(Writer *writer, guint64 addr, guint64 stamp);
void writer_publish(Writer *writer);

/* Where the lane stands. */
guint64 writer_get_position(const Writer *writer);

/* Writes a record: writer_record(writer, stack, &(TtRecordStack){…}). */
#define writer_record(writer, name, ...)                                                           \
    G_STMT_START {                                                                                 \
        Writer *w_ = (writer);                                                                     \
        g_assert_true(writer_reserve(w_, 8192));                                                   \
        w_->at += tt_encode_##name(w_->at, 8192, __VA_ARGS__);                                     \
        writer_publish(w_);                                                                        \
    }                                                                                              \
    G_STMT_END

/* Defines a stack as programs do. */
void writer_stack(Writer *writer, const TtRecordStack *stack);

/* Stamps as programs make them. */
#define WRITER_SHIFT 4
guint64 writer_stamp(void);
