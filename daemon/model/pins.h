/* SPDX-License-Identifier: Apache-2.0 */
/* Instants whose live blocks can still be read. A block that dies while a pin may see it stays in
 * its slot, marked dead, on the list of the newest point; when that is released the list goes to
 * the next older one, but for what was born after that.
 *
 * Points and blocks are told apart by two numbers. A point sees the blocks whose ids were given
 * before it, but for those that had died: a dead block bears the last point's number given when it
 * died, and is seen by points up to that number. Several pins may be held on one point: a mark's,
 * and those of its readers. */
#pragma once

#include "model/blocks.h"

G_BEGIN_DECLS

/* An instant, as long as pins are held on it. */
typedef struct TtPoint {
    guint32 number;
    guint32 pin_count;
    guint64 next_id;  /* blocks with less were born before it */
    guint32 end_slot; /* such blocks lie in slots below */
    guint32 variable_count, scope_count;
    GArray *dead; /* of guint32: slots of those that died while this was the newest point */
} TtPoint;

struct TtPin {
    TtPoint *point;
    guint32 at_slot; /* where reading goes on */
};

typedef struct TtPins {
    GPtrArray *points; /* of TtPoint, oldest first; owned */
    guint32 last_number;
    guint32 dead_count; /* blocks that are kept for them alone */
    guint64 below_id;   /* blocks with less are seen by some point; 0: there are none */
} TtPins;

void tt_pins_init(TtPins *pins);
void tt_pins_clear(TtPins *pins);

/* Returns: (transfer none): a pin of what lives now, until tt_pins_remove. */
TtPin *tt_pins_add(TtPins *pins, const TtBlocks *blocks, guint64 next_id);

/* Returns: (transfer none): one more pin of the same instant. */
TtPin *tt_pins_add_again(TtPin *pin);

/* Frees the pin; with the last of its instant the dead that nobody sees any more. */
void tt_pins_remove(TtPins *pins, TtPin *pin, TtBlocks *blocks);

/* Keeps a block that has died and whose id is less than below_id. */
void tt_pins_keep_dead(TtPins *pins, TtBlocks *blocks, guint32 slot);

/* Returns the next slot that @pin sees, and steps over it; 0 at the end. */
guint32 tt_pin_next_slot(TtPin *pin, const TtBlocks *blocks);

/* Of all points, with a pin each. */
gsize tt_pins_bytes(const TtPins *pins);

G_END_DECLS
