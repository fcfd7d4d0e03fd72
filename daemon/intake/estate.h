/* SPDX-License-Identifier: Apache-2.0 */
/* What a forked child inherits, on its way from its parent's owner to its own. The two hand it to
 * each other in pieces, by messages: one writes the next records, the other applies them. Neither
 * waits, and no more than a piece is ever in memory. */
#pragma once

#include "intake/feed.h"

G_BEGIN_DECLS

typedef struct TtEstate TtEstate;

/* Those that are under way: workers may end only when there are none. */
typedef struct TtEstates {
    GMutex lock;
    GCond is_changed;
    guint count;
    gboolean is_closed;
} TtEstates;

void tt_estates_init(TtEstates *estates);
void tt_estates_clear(TtEstates *estates);

/* Has those under way dropped, and waits until they are: a message or two each. */
void tt_estates_close(TtEstates *estates);

/* Asks for what @child inherits of @parent; both are referenced while it is under way. The child's
 * worker calls tt_feed_take_inheritance with each piece, and in any case with the last. */
void tt_estate_settle(TtEstates *estates, TtFeed *child, TtFeed *parent,
                      const TtForkInstant *instant);

G_END_DECLS
