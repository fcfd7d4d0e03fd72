/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: the instants of a session's forks, for children that have not asked yet, and
 * what is handed to one that asks.
 *
 * The parent tells of a fork just after it, and the point that is kept then is a pin (pins.h) and
 * the few blocks that have died since the stamp taken just before. So the state of any moment in
 * between can be told exactly, however late a child asks: what was born up to its stamp and had not
 * died by then. An event costs the same however many points wait, and they share what they see.
 * They are bounded in number and, with what marks keep, in bytes; the oldest goes first. */
#pragma once

#include "model/pins.h"

G_BEGIN_DECLS

/* A block that has died, as it was; ticks and indices are its session's. */
typedef struct TtLateDead {
    guint64 addr, size;
    guint64 born, died;
    guint32 stack, variable, scope;
    guint32 thread;
    guint32 spare; /* as tt_extras_get_spare */
} TtLateDead;

/* The scopes that are open in a thread. */
typedef struct TtOpenScopes {
    guint32 scope; /* the innermost that is known, or TT_NONE */
    guint32 depth; /* how many there are */
} TtOpenScopes;

typedef struct TtForkPoint {
    guint64 token;
    TtPin *pin;          /* owned */
    GArray *dead;        /* of TtLateDead: since the token's stamp, newest first */
    gboolean knows_all;  /* the history went back as far */
    TtOpenScopes scopes; /* of the thread that forked */
} TtForkPoint;

#define TT_FORKS_AHEAD_MAX 16u

/* Plain memory; all zero bytes are none. */
typedef struct TtForks {
    GQueue points;    /* of TtForkPoint, oldest first; owned */
    gsize bytes;      /* of the points, charged to the session's detail; not of what they see */
    gsize line_bytes; /* of the dead that children in line hold, charged to it too */
    guint64 ahead[TT_FORKS_AHEAD_MAX]; /* tokens of children that came before their fork was told */
    guint ahead_count;
} TtForks;

typedef struct TtSession TtSession;

/* For a child in line that has no point: those that died from a tick on, newest first, as many as
 * the share of all such children has room for. @ret_knows_all: none is missing
 *
 * Returns: (transfer full) (element-type TtLateDead): for tt_session_free_dead */
GArray *tt_session_collect_dead(TtSession *session, guint64 since, gboolean *ret_knows_all);

/* Of a child that has had its turn; a point's too. */
void tt_session_free_dead(TtSession *session, GArray *dead);

/* The scopes that thread @tid of the process was in when it took a token for a fork, of which no
 * point is kept: those that it is in, where it has not come to tell of the fork. FALSE: not known
 */
gboolean tt_session_find_fork_scopes(const TtSession *session, guint64 tid, guint64 token,
                                     TtOpenScopes *ret_scopes);

/* A child has come: its point is the caller's from here on, its dead are for tt_session_free_dead.
 * Returns: (transfer full) (nullable) */
TtForkPoint *tt_session_claim_fork(TtSession *session, guint64 token);

/* Gives up the oldest point. FALSE: there is none. */
gboolean tt_session_give_up_fork(TtSession *session);

void tt_session_clear_forks(TtSession *session);

G_END_DECLS
