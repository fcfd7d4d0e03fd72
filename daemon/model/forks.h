/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: the instants of a session's forks, for children that have not asked yet, and
 * what is handed to one that asks.
 *
 * The parent tells of a fork just after it, and the point that is kept then is a pin (pins.h) and
 * the few blocks that have died since the stamp taken just before. So the state of any moment in
 * between can be told exactly, however late a child asks: what was born up to its stamp and had not
 * died by then. Points are bounded: a child that only calls exec never asks. */
#pragma once

#include "model/pins.h"

G_BEGIN_DECLS

/* A block that has died, as it was; ticks and indices are its session's. */
typedef struct TtLateDead {
    guint64 addr, size;
    guint64 born, died;
    guint32 stack, variable, scope;
    guint32 thread;
} TtLateDead;

typedef struct TtForkPoint {
    guint64 token;
    TtPin *pin;         /* owned */
    GArray *dead;       /* of TtLateDead: since the token's stamp, newest first */
    gboolean knows_all; /* the history went back as far */
} TtForkPoint;

#define TT_FORK_POINTS_MAX 16u

/* Plain memory; all zero bytes are none. */
typedef struct TtForks {
    GQueue points;                       /* of TtForkPoint, oldest first; owned */
    guint64 claimed[TT_FORK_POINTS_MAX]; /* tokens that children have asked for, as they came */
    guint claimed_count;
} TtForks;

typedef struct TtSession TtSession;

/* Those that died from a tick on, newest first. @ret_knows_all: none of them has left the history
 *
 * Returns: (transfer full) (element-type TtLateDead) */
GArray *tt_session_collect_dead(const TtSession *session, guint64 since, gboolean *ret_knows_all);

/* A child has come: its point is the caller's from here on. Returns: (transfer full) (nullable) */
TtForkPoint *tt_session_claim_fork(TtSession *session, guint64 token);

/* Gives up the oldest point. FALSE: there is none. */
gboolean tt_session_give_up_fork(TtSession *session);

void tt_session_clear_forks(TtSession *session);

G_END_DECLS
