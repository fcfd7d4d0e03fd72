/* SPDX-License-Identifier: Apache-2.0 */
/* Counting where sites begin. Stacks are walked again in each round: that costs time once, keeping
 * them would cost memory for as long as the report takes. */
#include "report/passages.h"

#include "report/labels.h"

#define ROUNDS_MAX 4 /* wrappers around wrappers */

/* Where sites of a module begin. */
typedef struct Beginning {
    guint64 ip;
    guint32 module;
    guint site_count;
} Beginning;

struct TtPassages {
    GHashTable *ips; /* (owned) set of guint64 */
};

/* One round's. */
typedef struct Tally {
    GHashTable *beginnings; /* (owned) set of Beginning, by ip */
    guint *site_counts;     /* (owned) of each module */
} Tally;

static gboolean *find_plumbing(const TtModuleRow *modules, gsize count) {
    gboolean *is_plumbing = g_new(gboolean, count + 1);

    for (gsize i = 0; i < count; i++)
        is_plumbing[i] = tt_label_is_plumbing(NULL, NULL, modules[i].path);
    return is_plumbing;
}

/* Counts a site where it begins: at the innermost frame that is neither the C library's nor such,
 * nor a passage found so far. */
static void count_site(Tally *tally, const TtPassages *passages, const gboolean *is_plumbing,
                       gsize module_count, const TtFrame *frames, gsize frame_count) {
    for (gsize i = 0; i < frame_count; i++) {
        Beginning beginning = {.ip = frames[i].ip, .module = frames[i].module};
        Beginning *known;

        if (frames[i].module >= module_count || is_plumbing[frames[i].module] ||
            tt_passages_contains(passages, frames[i].ip))
            continue;
        known = g_hash_table_lookup(tally->beginnings, &beginning.ip);
        if (!known) {
            known = g_memdup2(&beginning, sizeof beginning);
            g_hash_table_add(tally->beginnings, known);
        }
        known->site_count++;
        tally->site_counts[known->module]++;
        return;
    }
}

/* Returns: whether there are passages that were none before. */
static gboolean add_passages(TtPassages *passages, const Tally *tally) {
    GHashTableIter iter;
    gpointer value;
    gboolean has_added = FALSE;

    g_hash_table_iter_init(&iter, tally->beginnings);
    while (g_hash_table_iter_next(&iter, &value, NULL)) {
        const Beginning *beginning = value;
        guint all = tally->site_counts[beginning->module];

        if (all < TT_PASSAGE_SITES_MIN || beginning->site_count <= all / 2)
            continue;
        g_hash_table_add(passages->ips, g_memdup2(&beginning->ip, sizeof beginning->ip));
        has_added = TRUE;
    }
    return has_added;
}

static gboolean count_round(TtPassages *passages, TtSnapshot *snapshot) {
    TtFrame frames[TT_STACK_DEPTH_MAX];
    gsize site_count, module_count;
    const TtSiteRow *sites = tt_snapshot_get_sites(snapshot, &site_count);
    const TtModuleRow *modules = tt_snapshot_get_modules(snapshot, &module_count);
    g_autofree gboolean *is_plumbing = find_plumbing(modules, module_count);
    g_autofree guint *site_counts = g_new0(guint, module_count + 1);
    g_autoptr(GHashTable) beginnings =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    Tally tally = {.beginnings = beginnings, .site_counts = site_counts};

    for (gsize i = 0; i < site_count; i++) {
        gsize frame_count = tt_snapshot_get_frames(snapshot, sites[i].stack, frames, NULL);

        count_site(&tally, passages, is_plumbing, module_count, frames, frame_count);
    }
    return add_passages(passages, &tally);
}

TtPassages *tt_passages_new(TtSnapshot *snapshot) {
    TtPassages *passages = g_new0(TtPassages, 1);

    passages->ips = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    for (int i = 0; i < ROUNDS_MAX && count_round(passages, snapshot); i++)
        continue;
    return passages;
}

void tt_passages_free(TtPassages *passages) {
    if (!passages)
        return;
    g_hash_table_unref(passages->ips);
    g_free(passages);
}

gboolean tt_passages_contains(const TtPassages *passages, guint64 ip) {
    return g_hash_table_contains(passages->ips, &ip);
}
