/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: what a session of a forked child began with. Its blocks have the first ids,
 * and are counted as inherited, not as allocations. Ticks then count from where the time of its
 * first ancestor began, so that births before the session have one too. */
#pragma once

#include "model/forks.h"
#include "model/snapshot.h"

G_BEGIN_DECLS

/* Plain memory; all zero bytes are nothing inherited. */
typedef struct TtHeritage {
    guint64 id_count;           /* ids up to it are of inherited blocks */
    TtAmount amount;            /* by weight */
    gboolean is_open;           /* more is still to come */
    TtOpenScopes open;          /* that its first thread goes on in, until it is met */
    GArray *variables, *scopes; /* of guint32: rows, in the order in which they came; while open */
} TtHeritage;

typedef struct TtSession TtSession;

void tt_session_clear_heritage(TtSession *session);

G_END_DECLS
