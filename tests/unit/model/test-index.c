/* SPDX-License-Identifier: Apache-2.0 */
/* The index against a list that is walked from end to end, and what must hold of its bits: above
 * all that no end lies in a live block before its last granule, for such an end hides the block
 * from those that are born in it. */
#include "model/session-state.h"
#include "simple.h"

#define THREADS 2u

/* How blocks lie. */
typedef struct Layout {
    guint64 base;
    guint64 extent; /* of addresses used */
    guint64 align;
    guint64 size_max;
    guint live_max; /* blocks, about */
} Layout;

/* Bases lie before the ends of a leaf and a span, so that blocks lie across them. */
static const Layout aligned = {0x7f0001fff000, 0x4000, 16, 3000, 150};
static const Layout packed = {0x7f0001fff800, 0x1000, 16, 200, 150};
static const Layout sparse = {0x7f0001f00000, 0x8000000, 16, 100000, 150};
static const Layout large = {0x7f0001ff0000, 0x40000, 16, 200000, 100};
static const Layout eights = {0x7f0000007000, 0x1800, 8, 24, 300};
static const Layout odd = {0x7f0000007800, 0x1000, 1, 700, 150};
static const Layout first_bytes = {0, 0x800, 1, 90, 100};
static const Layout last_bytes = {G_MAXUINT64 - 0x7ff, 0x7ff, 1, 90, 100};

static guint64 draw(guint64 end) {
    return ((guint64)(guint32)g_test_rand_int() << 32 | (guint32)g_test_rand_int()) % end;
}

static guint64 draw_addr(const Layout *layout) {
    return layout->base + draw(layout->extent / layout->align) * layout->align;
}

static guint64 draw_size(const Layout *layout, guint64 addr) {
    guint64 size = draw(12) == 0 ? 0 : draw(draw(6) == 0 ? layout->size_max : 120);

    return MIN(size, G_MAXUINT64 - addr);
}

/* ---- The list ---- */

typedef struct Place {
    guint64 addr, end;
    guint32 slot;
} Place;

/* Those that are alive and at their address. */
static GArray *list_places(const TtBlocks *blocks) {
    GArray *places = g_array_new(FALSE, FALSE, sizeof(Place));

    for (guint32 slot = 1; (slot = tt_blocks_next_used(blocks, slot)) != 0; slot++) {
        const TtBlock *block = tt_blocks_get(blocks, slot);
        Place place = {block->addr, tt_block_get_end(block), slot};

        if (!(block->flags & (TT_BLOCK_IS_DEAD | TT_BLOCK_IS_OPEN)))
            g_array_append_val(places, place);
    }
    return places;
}

static gboolean is_clear(const GArray *places, guint64 addr, guint64 end) {
    for (guint i = 0; i < places->len; i++) {
        const Place *place = &g_array_index(places, Place, i);

        if (place->addr < end && addr < place->end)
            return FALSE;
    }
    return TRUE;
}

/* Whether it can be alive together with all others. */
static gboolean is_possible(const GArray *places, guint64 addr, guint64 end) {
    for (guint i = 0; i < places->len; i++) {
        const Place *place = &g_array_index(places, Place, i);
        gboolean is_apart = place->end <= addr || end <= place->addr;
        gboolean is_round = place->addr < addr && end <= place->end;
        gboolean is_inside = addr < place->addr && place->end <= end;

        if (!is_apart && !is_round && !is_inside)
            return FALSE;
    }
    return TRUE;
}

static guint32 find_innermost(const GArray *places, guint64 addr) {
    const Place *best = NULL;

    for (guint i = 0; i < places->len; i++) {
        const Place *place = &g_array_index(places, Place, i);

        if (place->addr <= addr && addr < place->end && (!best || place->addr > best->addr))
            best = place;
    }
    return best ? best->slot : 0;
}

/* ---- What must hold ---- */

static void check_end(const GArray *places, guint64 granule) {
    for (guint i = 0; i < places->len; i++) {
        const Place *place = &g_array_index(places, Place, i);

        g_assert_false(place->addr >> TT_GRANULE_SHIFT <= granule &&
                       granule < (place->end - 1) >> TT_GRANULE_SHIFT);
    }
}

static gboolean has_start(const GArray *places, guint64 granule) {
    for (guint i = 0; i < places->len; i++)
        if (g_array_index(places, Place, i).addr >> TT_GRANULE_SHIFT == granule)
            return TRUE;
    return FALSE;
}

/* Returns how many granules of a leaf have a start. */
static guint check_leaf(const GArray *places, const TtLeaf *leaf) {
    guint starts = 0;

    for (guint at = 0; at < TT_LEAF_GRANULES; at++) {
        const TtLine *line = &leaf->lines[at / TT_LINE_GRANULES];
        guint64 granule = leaf->key * TT_LEAF_GRANULES + at;

        if (line->ends >> at % TT_LINE_GRANULES & 1) {
            g_assert_true(leaf->ended >> at / TT_LINE_GRANULES & 1);
            check_end(places, granule);
        }
        if (line->starts >> at % TT_LINE_GRANULES & 1) {
            g_assert_true(has_start(places, granule));
            starts++;
        }
    }
    for (guint i = 0; i < TT_LEAF_LINES; i++)
        g_assert_cmpint(leaf->lines[i].starts != 0, ==, leaf->started >> i & 1);
    return starts;
}

static gint compare_granules(gconstpointer a, gconstpointer b) {
    guint64 left = ((const Place *)a)->addr >> TT_GRANULE_SHIFT;
    guint64 right = ((const Place *)b)->addr >> TT_GRANULE_SHIFT;

    return left < right ? -1 : left > right;
}

static void check(TtIndex *index, const Layout *layout) {
    g_autoptr(GArray) places = list_places(index->blocks);
    guint starts = 0, granules = 0;

    for (guint32 number = 1; number < index->leaf_end; number++) {
        const TtLeaf *leaf = tt_index_get_leaf(index, number);

        if (tt_index_find_leaf(index, leaf->key << TT_LEAF_SHIFT) == number) {
            starts += check_leaf(places, leaf);
        } else { /* free: as good as new */
            g_assert_cmpuint(leaf->started, ==, 0);
            g_assert_cmpuint(leaf->ended, ==, 0);
        }
    }
    g_array_sort(places, compare_granules);
    for (guint i = 0; i < places->len; i++) {
        const Place *place = &g_array_index(places, Place, i);

        granules += i == 0 || compare_granules(place, place - 1) != 0;
        g_assert_cmpuint(tt_index_find_start(index, place->addr), ==, place->slot);
    }
    g_assert_cmpuint(starts, ==, granules);
    for (guint i = 0; i < 20; i++) {
        guint64 addr = draw_addr(layout), size = draw_size(layout, addr);
        guint32 leaf = tt_index_find_leaf(index, addr);

        g_assert_cmpuint(tt_index_find_inside(index, addr), ==, find_innermost(places, addr));
        /* It changes ends, which must be no worse for it. */
        if (leaf && tt_leaf_claim(tt_index_get_leaf(index, leaf), addr, size))
            g_assert_true(is_clear(places, addr, tt_block_end_of(addr, size)));
    }
}

/* ---- By itself ---- */

typedef struct World {
    TtBudget budget;
    TtBlocks blocks;
    TtIndex index;
    guint births, claims;
} World;

static void world_init(World *world) {
    *world = (World){.births = 0};
    tt_budget_init(&world->budget, (gsize)1 << 28, NULL);
    tt_blocks_init(&world->blocks, (gsize)1 << 28, &world->budget);
    tt_index_init(&world->index, &world->blocks, (gsize)1 << 28, &world->budget);
}

static void world_clear(World *world) {
    tt_index_clear(&world->index);
    tt_blocks_clear(&world->blocks);
}

static void link_block(World *world, guint64 addr, guint64 size, gboolean is_claimed,
                       guint32 parent) {
    guint32 leaf = tt_index_ensure_leaf(&world->index, addr);
    guint32 slot = tt_blocks_take_slot(&world->blocks);
    TtBlock *block = tt_blocks_get(&world->blocks, slot);

    *block = (TtBlock){.addr = addr, .size = size};
    tt_leaf_link(tt_index_get_leaf(&world->index, leaf), block, slot);
    world->births++;
    world->claims += is_claimed;
    if (is_claimed)
        return;
    if (parent == 0) {
        tt_index_settle_link(&world->index, block);
    } else {
        tt_block_ensure_extras(&world->blocks, block)->parent = parent;
        block->flags |= TT_BLOCK_IS_NESTED;
        tt_blocks_get(&world->blocks, parent)->flags |= TT_BLOCK_HAS_NESTED;
    }
    tt_index_adopt(&world->index, slot);
}

/* Enters a block where one can be: apart, in others, or round them. */
static void add(World *world, guint64 addr, guint64 size) {
    g_autoptr(GArray) places = list_places(&world->blocks);
    guint32 leaf = tt_index_find_leaf(&world->index, addr);
    guint64 end = tt_block_end_of(addr, size);
    guint32 parent = 0;
    gboolean is_claimed = leaf && tt_leaf_claim(tt_index_get_leaf(&world->index, leaf), addr, size);

    if (is_claimed) {
        g_assert_true(is_clear(places, addr, end));
    } else {
        gboolean is_free = tt_index_find_conflict(&world->index, addr, size, TRUE, &parent) == 0;

        g_assert_cmpint(is_free, ==, is_possible(places, addr, end));
        if (!is_free)
            return;
        g_assert_cmpuint(parent, ==, addr > 0 ? find_innermost(places, addr) : 0);
    }
    link_block(world, addr, size, is_claimed, parent);
}

static void remove_block(World *world, guint32 slot) {
    TtBlock *block = tt_blocks_get(&world->blocks, slot);

    tt_index_remove(&world->index, slot);
    if (block->flags & TT_BLOCK_HAS_EXTRAS)
        tt_extras_free(&world->blocks.extras, block->site_or_extras);
    tt_blocks_release_slot(&world->blocks, slot);
}

static guint32 draw_slot(const World *world) {
    guint32 slot = tt_blocks_next_used(&world->blocks, (guint32)draw(world->blocks.end));

    return slot ? slot : tt_blocks_next_used(&world->blocks, 1);
}

static void agrees_with_list(gconstpointer data) {
    const Layout *layout = data;
    World world;

    world_init(&world);
    for (guint i = 0; i < 6000; i++) {
        guint64 addr = draw_addr(layout);

        if (draw(layout->live_max) > world.births)
            add(&world, addr, draw_size(layout, addr));
        guint32 slot = draw_slot(&world);
        if (slot && draw(layout->live_max * 2) < world.births) {
            remove_block(&world, slot);
            world.births--;
        }
        if (draw(8) == 0)
            tt_index_tidy(&world.index);
        if (i % 16 == 0)
            check(&world.index, layout);
    }
    for (guint32 slot; (slot = draw_slot(&world)) != 0;)
        remove_block(&world, slot);
    tt_index_tidy(&world.index);
    check(&world.index, layout);
    g_assert_cmpuint(world.index.span_count, ==, 0);
    world_clear(&world);
}

/* A heap as malloc makes it: nearly all births need no other block's record. */
static void births_of_a_heap_are_claimed(void) {
    static const guint64 sizes_max[] = {40, 200, 900, 5000};

    for (guint n = 0; n < G_N_ELEMENTS(sizes_max); n++) {
        g_autofree Place *places = g_new0(Place, 1000);
        guint64 addr = 0x555555560010;
        World world;

        world_init(&world);
        for (guint i = 0; i < 1000; i++) {
            guint64 size = draw(sizes_max[n]);

            places[i] = (Place){.addr = addr, .end = addr + size};
            addr += MAX(32, (size + 8 + 15) & ~(guint64)15);
        }
        for (guint i = 0; i < 10000; i++) {
            Place *place = &places[draw(1000)];

            if (place->slot) {
                remove_block(&world, place->slot);
                place->slot = 0;
            } else {
                add(&world, place->addr, place->end - place->addr);
                place->slot = tt_index_find_start(&world.index, place->addr);
            }
            if (i == 5000) /* the first in their places have nobody before them */
                world.births = world.claims = 0;
        }
        g_test_message("%u of %u births of up to %" G_GUINT64_FORMAT " bytes", world.claims,
                       world.births, sizes_max[n]);
        /* But one that begins or ends beyond its leaf, and one behind an end that is missing. */
        g_assert_cmpuint(world.claims, >=, world.births * (sizes_max[n] < 5000 ? 95 : 80) / 100);
        world_clear(&world);
    }
}

/* ---- In a session ---- */

static guint64 draw_live_addr(const TtSession *session, const Layout *layout) {
    guint32 slot = tt_blocks_next_used(&session->blocks, (guint32)draw(session->blocks.end));

    return slot ? tt_blocks_get(&session->blocks, slot)->addr : draw_addr(layout);
}

/* Whatever a program does, in place and out of it, and what its daemon makes of it. */
static void holds_in_sessions(gconstpointer data) {
    const Layout *layout = data;
    g_autoptr(TtSession) session = simple_new(NULL);

    for (guint i = 0; i < 6000; i++) {
        gboolean is_full = session->live_blocks > draw(layout->live_max * 2);
        guint thread = (guint)draw(THREADS);
        guint64 addr = draw_addr(layout), time = session->now + 1;
        guint32 open = session->threads.threads[thread].open_slot;

        if (open && draw(3) == 0) {
            guint64 at = tt_blocks_get(&session->blocks, open)->addr;

            if (draw(2) == 0)
                addr = at;
            if (draw(4) == 0)
                tt_session_fail_realloc(session, (guint16)thread, SIMPLE_START + time);
            else
                simple_apply(session, TT_OP_REALLOC_END, thread, time, addr,
                             draw_size(layout, addr));
        } else if (draw(8) == 0) {
            simple_apply(session, TT_OP_REALLOC_BEGIN, thread, time,
                         draw_live_addr(session, layout), 0);
        } else if (is_full) {
            simple_apply(session, TT_OP_FREE, thread, time, draw_live_addr(session, layout), 0);
        } else {
            simple_apply(session, TT_OP_ALLOC, thread, time, addr, draw_size(layout, addr));
        }
        if (i % 16 == 0)
            check(&session->index, layout);
    }
}

/* ---- Its parts ---- */

/* A program that does nothing but this has no other block near, whose end would show it. */
static void births_at_one_place_are_claimed(void) {
    World world;

    world_init(&world);
    for (guint64 addr = 0x10010; addr + 24 <= 0x18000; addr += 16) {
        world.births = world.claims = 0;
        for (guint i = 0; i < 3; i++) {
            add(&world, addr, 24);
            remove_block(&world, tt_index_find_start(&world.index, addr));
        }
        g_assert_cmpuint(world.claims, ==, world.births - 1);
        tt_index_tidy(&world.index);
    }
    world_clear(&world);
}

static void cells_are_apart(void) {
    guint32 slots[TT_LINE_CELLS] = {0};
    TtLine line = {.starts = 0x12345678, .ends = 0x9abcdef0};

    for (guint i = 0; i < 10000; i++) {
        guint64 addr = draw(G_MAXUINT64);
        guint at = (addr >> TT_CELL_SHIFT) % TT_LINE_CELLS;

        slots[at] = draw(4) == 0 ? TT_SLOT_MAX : (guint32)draw((guint64)TT_SLOT_MAX + 1);
        tt_line_set_cell(&line, addr, slots[at]);
        for (guint cell = 0; cell < TT_LINE_CELLS; cell++)
            g_assert_cmpuint(tt_line_get_cell(&line, cell << TT_CELL_SHIFT), ==, slots[cell]);
    }
    g_assert_cmphex(line.starts, ==, 0x12345678);
    g_assert_cmphex(line.ends, ==, 0x9abcdef0);
}

static void slots_fit_cells(void) {
    World world;

    world_init(&world);
    world.blocks.end = world.blocks.slot_limit = TT_SLOT_MAX + 1; /* as if all had been given out */
    g_assert_cmpuint(tt_blocks_take_slot(&world.blocks), ==, 0);
    world_clear(&world);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        const Layout *layout;
    } layouts[] = {{"aligned", &aligned},         {"packed", &packed},
                   {"sparse", &sparse},           {"large", &large},
                   {"eights", &eights},           {"odd", &odd},
                   {"first_bytes", &first_bytes}, {"last_bytes", &last_bytes}};

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(layouts); i++) {
        g_autofree char *alone =
            g_strconcat("/model/index/agrees_with_list/", layouts[i].name, NULL);
        g_autofree char *within =
            g_strconcat("/model/index/holds_in_sessions/", layouts[i].name, NULL);

        g_test_add_data_func(alone, layouts[i].layout, agrees_with_list);
        g_test_add_data_func(within, layouts[i].layout, holds_in_sessions);
    }
    g_test_add_func("/model/index/births_of_a_heap_are_claimed", births_of_a_heap_are_claimed);
    g_test_add_func("/model/index/births_at_one_place_are_claimed",
                    births_at_one_place_are_claimed);
    g_test_add_func("/model/index/cells_are_apart", cells_are_apart);
    g_test_add_func("/model/index/slots_fit_cells", slots_fit_cells);
    return g_test_run();
}
