/* SPDX-License-Identifier: Apache-2.0 */
#include "model/shed.h"

#include <string.h>

#include "model/lot.h"

#define ROOM_FIRST 64u

void tt_shed_clear(TtShed *shed) {
    g_free(shed->tree);
    g_free(shed->of_blocks);
    g_free(shed->of_bytes);
    g_free(shed->of_weights);
    memset(shed, 0, sizeof *shed);
}

static void add_to_tree(TtShed *shed, guint32 site, guint64 difference) {
    for (; site <= shed->room; site += site & -site)
        shed->tree[site] += difference;
}

static void grow(TtShed *shed, guint32 site) {
    guint32 old_room = shed->room;

    shed->room = MAX(ROOM_FIRST, old_room);
    while (shed->room <= site)
        shed->room *= 2;
    g_free(shed->tree);
    shed->tree = g_new0(guint64, (gsize)shed->room + 1);
    shed->of_blocks = g_renew(guint64, shed->of_blocks, shed->room);
    shed->of_bytes = g_renew(guint64, shed->of_bytes, shed->room);
    memset(shed->of_blocks + old_room, 0, (shed->room - old_room) * sizeof(guint64));
    memset(shed->of_bytes + old_room, 0, (shed->room - old_room) * sizeof(guint64));
    for (guint32 i = 1; i < old_room; i++)
        if (shed->of_blocks[i] > 0)
            add_to_tree(shed, i, shed->of_blocks[i]);
}

void tt_shed_add(TtShed *shed, guint32 site, guint64 size) {
    if (site >= shed->room)
        grow(shed, site);
    shed->of_blocks[site]++;
    shed->of_bytes[site] += size;
    add_to_tree(shed, site, 1);
    shed->blocks++;
    shed->ever++;
}

void tt_shed_take(TtShed *shed, guint32 *ret_site, guint64 *ret_size) {
    guint64 ticket = tt_lot_draw(shed->lot += TT_LOT_STEP) % shed->blocks;
    guint32 site = 0;

    /* The last site before which there are no more blocks than the ticket says, and one further. */
    for (guint32 step = shed->room; step > 0; step /= 2) {
        if (site + step <= shed->room && shed->tree[site + step] <= ticket) {
            site += step;
            ticket -= shed->tree[site];
        }
    }
    site++;

    guint64 size = shed->of_bytes[site] / shed->of_blocks[site];
    shed->of_blocks[site]--;
    shed->of_bytes[site] -= size;
    add_to_tree(shed, site, G_MAXUINT64);
    shed->blocks--;
    *ret_site = site;
    *ret_size = size;
}

void tt_shed_add_weight(TtShed *shed, guint32 site, guint64 blocks, const TtVariance *variance) {
    if (site >= shed->weight_room) {
        shed->of_weights = g_renew(TtShedWeight, shed->of_weights, shed->room);
        memset(shed->of_weights + shed->weight_room, 0,
               (shed->room - shed->weight_room) * sizeof *shed->of_weights);
        shed->weight_room = shed->room;
    }
    shed->of_weights[site].blocks += blocks;
    tt_variance_add(&shed->of_weights[site].variance, variance);
}

void tt_shed_take_weight(TtShed *shed, guint32 site, guint64 *ret_blocks,
                         TtVariance *ret_variance) {
    TtShedWeight *weight = &shed->of_weights[site];
    guint64 count = shed->of_blocks[site] + 1;

    *ret_blocks = weight->blocks / count;
    *ret_variance = (TtVariance){.blocks = weight->variance.blocks / count,
                                 .bytes = weight->variance.bytes / count};
    weight->blocks -= *ret_blocks;
    tt_variance_subtract(&weight->variance, ret_variance);
}

gsize tt_shed_bytes(const TtShed *shed) {
    return (gsize)shed->room * 3 * sizeof(guint64) +
           (gsize)shed->weight_room * sizeof(TtShedWeight);
}
