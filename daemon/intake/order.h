/* SPDX-License-Identifier: Apache-2.0 */
/* The last step to the session: items that are in their order already, applied at once or held
 * until what follows them is known. What comes through here is what a recording holds, and a replay
 * goes through it too. */
#pragma once

#include "intake/drain.h"
#include "intake/tape.h"

G_BEGIN_DECLS

#define TT_ORDER_ITEMS 4096u /* that are held at most */

/* Plain memory; owner's thread. */
typedef struct TtOrder {
    TtSession *session; /* borrowed */
    TtTape *tape;       /* borrowed; NULL: nobody records */
    guint count;
    TtEvent items[TT_ORDER_ITEMS]; /* held; a record's bytes are its own copy */
} TtOrder;

/* What of a session's records has its place among the events. */
gboolean tt_order_has_place(guint number);

/* @items: of one thread, as tt_lane_decode leaves them; a record by itself. No earlier ones are
 * held when some are applied at once. */
void tt_order_apply(TtOrder *order, const TtEvent *items, guint count);

/* There must be room for them: TT_ORDER_ITEMS. Their bytes are copied. */
void tt_order_hold(TtOrder *order, const TtEvent *items, guint count);

/* What is held, for another order of the same session to go on with: an array of TtEvent, to be
 * given to tt_order_take_held. */
GArray *tt_order_steal_held(TtOrder *order);
void tt_order_take_held(TtOrder *order, GArray *held);

/* Applies what is held up to @stamp; what follows is known by then. */
void tt_order_release(TtOrder *order, guint64 stamp);

/* Gives up what is held. */
void tt_order_clear(TtOrder *order);

G_END_DECLS
