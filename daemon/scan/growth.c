/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/growth.h"

#include "protocol/checked.h"

#define SPANS 16u
#define SPANS_MIN 12u /* that saw births */
#define BLOCKS_MIN 12u
#define LIFETIMES_MIN 3u /* of watching: a queue that was slow for a moment is not over so soon */
#define HOUR_NS G_GUINT64_CONSTANT(3600000000000)

/* One stack's live blocks. */
typedef struct Site {
    TtGrowth growth;
    guint64 end_ns; /* what was born later may yet be freed as usual */
    guint64 last_ns;
    guint16 spans; /* a bit each: something was born in it */
} Site;

static gpointer key_of(guint32 stack) { return GUINT_TO_POINTER(stack); }

/* A site for each stack with enough live blocks. */
static GHashTable *make_sites(const TtSnapshot *snapshot) {
    GHashTable *sites = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    guint64 now_ns = tt_snapshot_get_time_ns(snapshot);
    gsize count;
    const TtSiteRow *rows = tt_snapshot_get_sites(snapshot, &count);

    for (gsize i = 0; i < count; i++) {
        Site *site;

        if (rows[i].live_blocks < BLOCKS_MIN || rows[i].lifetime_p95_ns >= now_ns)
            continue;
        site = g_new0(Site, 1);
        site->growth.stack = rows[i].stack;
        site->growth.first_ns = G_MAXUINT64;
        site->growth.lifetime_ns = rows[i].lifetime_p95_ns;
        site->end_ns = now_ns - rows[i].lifetime_p95_ns;
        g_hash_table_replace(sites, key_of(rows[i].stack), site);
    }
    return sites;
}

static void count_block(Site *site, const TtLive *block) {
    if (block->born_ns > site->end_ns)
        return;
    site->growth.settled.blocks =
        tt_saturating_add(site->growth.settled.blocks, block->weight.blocks);
    site->growth.settled.bytes = tt_saturating_add(site->growth.settled.bytes, block->weight.bytes);
    site->growth.first_ns = MIN(site->growth.first_ns, block->born_ns);
    site->last_ns = MAX(site->last_ns, block->born_ns);
}

static void note_span(Site *site, const TtLive *block) {
    guint64 all = site->end_ns - site->growth.first_ns;

    if (block->born_ns <= site->end_ns && all >= SPANS)
        site->spans |= (guint16)(1u << MIN((block->born_ns - site->growth.first_ns) / (all / SPANS),
                                           SPANS - 1));
}

static gboolean is_growing(const Site *site) {
    return site->growth.settled.blocks >= BLOCKS_MIN &&
           (site->end_ns - site->growth.first_ns) / LIFETIMES_MIN >= site->growth.lifetime_ns &&
           (guint)__builtin_popcount(site->spans) >= SPANS_MIN &&
           (site->spans & (3u << (SPANS - 2))) != 0;
}

static gint compare(gconstpointer a, gconstpointer b) {
    const TtGrowth *one = a, *other = b;

    if (one->bytes_per_hour != other->bytes_per_hour)
        return one->bytes_per_hour > other->bytes_per_hour ? -1 : 1;
    return (one->stack > other->stack) - (one->stack < other->stack);
}

GArray *tt_growth_find(const TtTable *table, const TtSnapshot *snapshot) {
    GArray *growths = g_array_new(FALSE, FALSE, sizeof(TtGrowth));
    g_autoptr(GHashTable) sites = make_sites(snapshot);
    GHashTableIter iter;
    gpointer value;

    for (guint32 i = 0; i < table->count; i++) {
        Site *site = g_hash_table_lookup(sites, key_of(table->blocks[i].stack));

        if (site)
            count_block(site, &table->blocks[i]);
    }
    for (guint32 i = 0; i < table->count; i++) {
        Site *site = g_hash_table_lookup(sites, key_of(table->blocks[i].stack));

        if (site && site->growth.first_ns < site->end_ns)
            note_span(site, &table->blocks[i]);
    }
    g_hash_table_iter_init(&iter, sites);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Site *site = value;

        if (!is_growing(site))
            continue;
        site->growth.bytes_per_hour =
            (guint64)((double)site->growth.settled.bytes * (double)HOUR_NS /
                      (double)(site->end_ns - site->growth.first_ns));
        g_array_append_val(growths, site->growth);
    }
    g_array_sort(growths, compare);
    return growths;
}
