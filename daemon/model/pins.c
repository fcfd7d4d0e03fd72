/* SPDX-License-Identifier: Apache-2.0 */
#include "model/pins.h"

static void free_point(gpointer data) {
    TtPoint *point = data;

    g_array_unref(point->dead);
    g_free(point);
}

void tt_pins_init(TtPins *pins) {
    *pins = (TtPins){.points = g_ptr_array_new_with_free_func(free_point)};
}

/* Pins still held are their holders' to lose. */
void tt_pins_clear(TtPins *pins) { g_clear_pointer(&pins->points, g_ptr_array_unref); }

TtPin *tt_pins_add(TtPins *pins, const TtBlocks *blocks, guint64 next_id) {
    TtPoint *point = g_new0(TtPoint, 1);
    TtPin *pin = g_new0(TtPin, 1);

    point->number = ++pins->last_number;
    point->pin_count = 1;
    point->next_id = next_id;
    point->end_slot = blocks->end;
    point->dead = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_ptr_array_add(pins->points, point);
    pins->below_id = next_id;
    *pin = (TtPin){.point = point, .at_slot = 1};
    return pin;
}

TtPin *tt_pins_add_again(TtPin *pin) {
    TtPin *again = g_new0(TtPin, 1);

    pin->point->pin_count++;
    *again = (TtPin){.point = pin->point, .at_slot = 1};
    return again;
}

static void release_dead(TtPins *pins, TtBlocks *blocks, guint32 slot) {
    TtBlock *block = tt_blocks_get(blocks, slot);

    if (block->flags & TT_BLOCK_HAS_EXTRAS)
        tt_extras_free(&blocks->extras, block->site_or_extras);
    tt_blocks_release_slot(blocks, slot);
    pins->dead_count--;
}

static void remove_point(TtPins *pins, TtPoint *point, TtBlocks *blocks) {
    guint at;

    if (!g_ptr_array_find(pins->points, point, &at))
        g_assert_not_reached();

    TtPoint *older = at > 0 ? pins->points->pdata[at - 1] : NULL;
    for (guint i = 0; i < point->dead->len; i++) {
        guint32 slot = g_array_index(point->dead, guint32, i);

        if (older && tt_blocks_get(blocks, slot)->id < older->next_id)
            g_array_append_val(older->dead, slot);
        else
            release_dead(pins, blocks, slot);
    }
    g_ptr_array_remove_index(pins->points, at);

    guint count = pins->points->len;
    pins->below_id = count > 0 ? ((TtPoint *)pins->points->pdata[count - 1])->next_id : 0;
}

void tt_pins_remove(TtPins *pins, TtPin *pin, TtBlocks *blocks) {
    if (--pin->point->pin_count == 0)
        remove_point(pins, pin->point, blocks);
    g_free(pin);
}

void tt_pins_keep_dead(TtPins *pins, TtBlocks *blocks, guint32 slot) {
    TtPoint *newest = pins->points->pdata[pins->points->len - 1];
    TtBlock *block = tt_blocks_get(blocks, slot);

    block->flags |= TT_BLOCK_IS_DEAD;
    block->next = pins->last_number;
    g_array_append_val(newest->dead, slot);
    pins->dead_count++;
}

guint32 tt_pin_next_slot(TtPin *pin, const TtBlocks *blocks) {
    const TtPoint *point = pin->point;

    while (pin->at_slot < point->end_slot) {
        guint32 slot = tt_blocks_next_used(blocks, pin->at_slot);

        if (slot == 0 || slot >= point->end_slot)
            break;
        pin->at_slot = slot + 1;

        const TtBlock *block = tt_blocks_get(blocks, slot);
        if (block->id < point->next_id &&
            (!(block->flags & TT_BLOCK_IS_DEAD) || block->next >= point->number))
            return slot;
    }
    pin->at_slot = point->end_slot;
    return 0;
}

gsize tt_pins_bytes(const TtPins *pins) {
    return pins->points->len * (sizeof(TtPoint) + sizeof(TtPin) + sizeof(GArray)) +
           pins->dead_count * sizeof(guint32);
}
