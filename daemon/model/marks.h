/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: marks whose state can still be asked for. Such a mark keeps its sums, and a
 * pin on its blocks. Both are bounded: under pressure the oldest mark gives up its pin, then its
 * sums; what it is called, when it was and how much was alive then stays (names.h). The instant
 * that a session is told again for is kept the same way, and gives up nothing as long as there is a
 * slot for the living. */
#pragma once

#include "model/pins.h"

G_BEGIN_DECLS

typedef struct TtState TtState;

typedef struct TtKeptMark {
    guint32 mark_count;   /* up to and with this one */
    TtState *state;       /* owned reference */
    TtPin *pin;           /* owned; NULL: given up */
    guint64 next_id;      /* blocks with less were born before it */
    guint64 death_count;  /* deaths before it, as tt_history_count_pushed says */
    guint64 missed_count; /* those of them that the history had lost */
} TtKeptMark;

/* Plain memory; all zero bytes are none. */
typedef struct TtMarks {
    GQueue kept;         /* of TtKeptMark, oldest first; owned */
    TtKeptMark *wanted;  /* tt_session_keep_instant; gives up its pin last; owned; NULL: none */
    guint32 wanted_mark; /* what that is to be kept of: a mark's index, and one; 0: no mark */
    guint pinned_count;  /* those of forks too (forks.h) */
    gsize state_bytes;   /* of all the states */
    guint64 spent;       /* rows copied so far */
} TtMarks;

typedef struct TtSession TtSession;

/* Keeps the state as of now for the newest mark; or not, where marks
 * are set so often and there is so much to copy that it would take more than events themselves. */
void tt_session_keep_mark(TtSession *session);

/* Returns: (nullable) (transfer none): what is kept of a mark. */
const TtKeptMark *tt_session_find_kept_mark(const TtSession *session, guint32 index);

/* Has marks give up what is over their bounds. Not in the midst of an event. */
void tt_session_bound_marks(TtSession *session);

/* Memory for blocks ran out: has marks give up their pins, the oldest first, until there is a slot,
 * for the living come before the dead. Returns it, or 0. In the midst of an event too. */
guint32 tt_session_take_pinned_slot(TtSession *session);

/* Releases all. */
void tt_session_clear_marks(TtSession *session);

G_END_DECLS
