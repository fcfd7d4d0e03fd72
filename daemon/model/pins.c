/* SPDX-License-Identifier: Apache-2.0 */
#include "model/pins.h"

static void free_pin(gpointer data) {
    TtPin *pin = data;

    g_array_unref(pin->dead);
    g_free(pin);
}

void tt_pins_init(TtPins *pins) {
    *pins = (TtPins){.pins = g_ptr_array_new_with_free_func(free_pin)};
}

void tt_pins_clear(TtPins *pins) { g_clear_pointer(&pins->pins, g_ptr_array_unref); }

TtPin *tt_pins_add(TtPins *pins, const TtBlocks *blocks, guint64 next_id) {
    TtPin *pin = g_new0(TtPin, 1);

    pin->number = ++pins->last_number;
    pin->next_id = next_id;
    pin->end_slot = blocks->end;
    pin->at_slot = 1;
    pin->dead = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_ptr_array_add(pins->pins, pin);
    pins->below_id = next_id;
    return pin;
}

static void release_dead(TtBlocks *blocks, guint32 slot) {
    TtBlock *block = tt_blocks_get(blocks, slot);

    if (block->flags & TT_BLOCK_HAS_EXTRAS)
        tt_extras_free(&blocks->extras, block->site_or_extras);
    tt_blocks_release_slot(blocks, slot);
}

void tt_pins_remove(TtPins *pins, TtPin *pin, TtBlocks *blocks) {
    guint at;

    if (!g_ptr_array_find(pins->pins, pin, &at))
        g_assert_not_reached();

    TtPin *older = at > 0 ? pins->pins->pdata[at - 1] : NULL;
    for (guint i = 0; i < pin->dead->len; i++) {
        guint32 slot = g_array_index(pin->dead, guint32, i);

        if (older && tt_blocks_get(blocks, slot)->id < older->next_id)
            g_array_append_val(older->dead, slot);
        else
            release_dead(blocks, slot);
    }
    g_ptr_array_remove_index(pins->pins, at);

    guint count = pins->pins->len;
    pins->below_id = count > 0 ? ((TtPin *)pins->pins->pdata[count - 1])->next_id : 0;
}

void tt_pins_keep_dead(TtPins *pins, TtBlocks *blocks, guint32 slot) {
    TtPin *newest = pins->pins->pdata[pins->pins->len - 1];
    TtBlock *block = tt_blocks_get(blocks, slot);

    block->flags |= TT_BLOCK_IS_DEAD;
    block->next = pins->last_number;
    g_array_append_val(newest->dead, slot);
}

guint32 tt_pin_next_slot(TtPin *pin, const TtBlocks *blocks) {
    while (pin->at_slot < pin->end_slot) {
        guint32 slot = tt_blocks_next_used(blocks, pin->at_slot);

        if (slot == 0 || slot >= pin->end_slot)
            break;
        pin->at_slot = slot + 1;

        const TtBlock *block = tt_blocks_get(blocks, slot);
        if (block->id < pin->next_id &&
            (!(block->flags & TT_BLOCK_IS_DEAD) || block->next >= pin->number))
            return slot;
    }
    pin->at_slot = pin->end_slot;
    return 0;
}

gsize tt_pins_bytes(const TtPins *pins) {
    gsize bytes = 0;

    for (guint i = 0; i < pins->pins->len; i++) {
        const TtPin *pin = pins->pins->pdata[i];

        bytes += sizeof *pin + pin->dead->len * sizeof(guint32);
    }
    return bytes;
}
