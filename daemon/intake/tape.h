/* SPDX-License-Identifier: Apache-2.0 */
/* What a session is told, written down as it is told: one a session that is recorded. The model
 * knows no clock and no chance, so the same words in the same order give the same state (replay.h).
 *
 * A NULL tape records nothing: each function may be called with it. Owner's thread, as all here. */
#pragma once

#include "intake/recorder.h"
#include "model/session.h"

G_BEGIN_DECLS

typedef struct TtTape TtTape;

/**
 * tt_tape_new:
 * @info: what the session was made of
 * @recorders: (element-type TtRecorder): that it goes to; referenced
 * @told_stamp: (nullable): of the last event that is there already; %NULL: it begins
 */
TtTape *tt_tape_new(const TtSessionInfo *info, GPtrArray *recorders, const guint64 *told_stamp);

/* Hands over what it has, and lets go of its recorders. */
void tt_tape_free(TtTape *tape);

/* The same for one of them. Returns whether there are others. Not of %NULL. */
gboolean tt_tape_leave(TtTape *tape, TtRecorder *recorder);

/* One of its recorders is behind: bring nothing more for a moment. */
gboolean tt_tape_is_behind(const TtTape *tape);

/* Hands over what has waited for a second. */
void tt_tape_tick(TtTape *tape);

/* Hands over what there is. */
void tt_tape_flush(TtTape *tape);

/* Items (intake/drain.h) in the order in which they are given to the session; of one thread, and a
 * record by itself. @is_held: they wait for tt_tape_release */
void tt_tape_add_items(TtTape *tape, const TtEvent *items, guint count, gboolean is_held);
void tt_tape_add_release(TtTape *tape, guint64 stamp);

/* A definition that was applied just now: of a stack, or another. */
void tt_tape_add_stack(TtTape *tape, const TtRecordStack *stack);
void tt_tape_add_definition(TtTape *tape, const TtRawRecord *raw);

/* What a forked child began with, as tt_session_inherit took it. */
void tt_tape_add_inherited(TtTape *tape, const TtRawRecord *raw);

void tt_tape_add_thread(TtTape *tape, guint lane, guint32 tid);
void tt_tape_add_thread_name(TtTape *tape, guint16 thread, TtString name);
void tt_tape_add_mark(TtTape *tape, guint64 stamp, TtString name);
void tt_tape_add_doubt(TtTape *tape, const char *sentence);
void tt_tape_add_dropped(TtTape *tape, guint64 count);
void tt_tape_add_interruption(TtTape *tape, const TtRecordInterruption *record);
void tt_tape_add_end(TtTape *tape, TtSessionState state, gint exit_status);

G_END_DECLS
