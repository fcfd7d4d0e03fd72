/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over all blocks, the freed ones first.
 *
 * What variables hold is known only block by block; what sites hold, for all their blocks together.
 * So while the blocks go by, those that have names are added up for their variable and for their
 * site, and a site then owns what is left of it. */
#include "report/svg/select.h"

#include "report/svg/chooser.h"

/* Rows that are read at a time. */
#define SLICE 512u

/* Leaked blocks count as if they had lived so many times as long. */
#define LEAK_WEIGHT 4.0

/* What a variable holds, or what of a site has names. */
typedef struct Holding {
    guint64 bytes, blocks;
    guint64 id;    /* of the last block */
    guint32 stack; /* of all of them, or TT_STACK_NONE */
} Holding;

/* The two instants that are ranked. */
enum { LIVE, PEAK, INSTANT_COUNT };

typedef struct Pass {
    TtChooser *named, *others;
    Holding *variables[INSTANT_COUNT]; /* by index */
    gsize variable_count;
    GHashTable *named_parts; /* stack to Holding[INSTANT_COUNT] */
    guint64 block_count;
    guint64 peak_ns, end_ns;
    gboolean has_ended;
} Pass;

static const Holding *find_named_part(const Pass *pass, guint32 stack, guint instant) {
    const Holding *parts = g_hash_table_lookup(pass->named_parts, GUINT_TO_POINTER(stack));

    return parts ? &parts[instant] : NULL;
}

static Holding *get_named_parts(Pass *pass, guint32 stack) {
    Holding *parts = g_hash_table_lookup(pass->named_parts, GUINT_TO_POINTER(stack));

    if (!parts) {
        parts = g_new0(Holding, INSTANT_COUNT);
        g_hash_table_insert(pass->named_parts, GUINT_TO_POINTER(stack), parts);
    }
    return parts;
}

static void add_to_holding(Holding *holding, const TtBlockRow *row) {
    if (holding->blocks == 0)
        holding->stack = row->stack;
    else if (holding->stack != row->stack)
        holding->stack = TT_STACK_NONE;
    holding->bytes += row->weight.bytes;
    holding->blocks += row->weight.blocks;
    holding->id = row->id;
}

static void add_named(Pass *pass, const TtBlockRow *row) {
    gboolean is_there[INSTANT_COUNT] = {
        [LIVE] = row->died_ns == TT_TIME_NONE,
        [PEAK] = row->born_ns <= pass->peak_ns && row->died_ns > pass->peak_ns,
    };
    Holding *parts = get_named_parts(pass, row->stack);

    for (guint i = 0; i < INSTANT_COUNT; i++) {
        if (!is_there[i])
            continue;
        add_to_holding(&pass->variables[i][row->variable], row);
        add_to_holding(&parts[i], row);
    }
}

static double get_score(const Pass *pass, const TtBlockRow *row) {
    gboolean is_alive = row->died_ns == TT_TIME_NONE;
    guint64 until = is_alive ? pass->end_ns : row->died_ns;
    double lifetime = until > row->born_ns ? (double)(until - row->born_ns) : 0;
    double score = ((double)row->size + 1) * (lifetime + 1);

    return is_alive && pass->has_ended ? LEAK_WEIGHT * score : score;
}

static void offer(Pass *pass, const TtBlockRow *row) {
    double score = get_score(pass, row);

    pass->block_count++;
    if (row->variable < pass->variable_count) {
        tt_chooser_offer(pass->named, row->variable, score, row);
        add_named(pass, row);
    } else
        tt_chooser_offer(pass->others, row->stack, score, row);
}

static void read_blocks(Pass *pass, TtSnapshot *snapshot) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE);
    gsize first = 0, count;

    while ((count = tt_snapshot_read_freed(snapshot, first, rows, SLICE)) > 0) {
        for (gsize i = 0; i < count; i++)
            offer(pass, &rows[i]);
        first += count;
    }
    tt_snapshot_rewind_live(snapshot);
    while ((count = tt_snapshot_next_live(snapshot, rows, SLICE)) > 0) {
        for (gsize i = 0; i < count; i++) {
            /* Alive at the snapshot's instant, whatever became of them since. */
            rows[i].died_ns = TT_TIME_NONE;
            offer(pass, &rows[i]);
        }
    }
}

static gint compare_owners(gconstpointer a, gconstpointer b) {
    const TtOwner *left = a, *right = b;

    if (left->bytes != right->bytes)
        return left->bytes > right->bytes ? -1 : 1;
    if (left->blocks != right->blocks)
        return left->blocks > right->blocks ? -1 : 1;
    if (left->variable != right->variable)
        return left->variable < right->variable ? -1 : 1;
    return left->stack < right->stack ? -1 : left->stack > right->stack;
}

/* Twice the rows, then a cut to the best: amortised as cheap as a heap, and simpler. */
static void cut_ranking(TtRanking *ranking, guint owner_max) {
    g_array_sort(ranking->owners, compare_owners);
    if (ranking->owners->len > owner_max)
        g_array_set_size(ranking->owners, owner_max);
}

static void add_to_ranking(TtRanking *ranking, guint owner_max, const TtOwner *owner) {
    if (owner->blocks == 0 && owner->bytes == 0)
        return;
    ranking->rest_count++;
    ranking->rest_bytes += owner->bytes;
    ranking->rest_blocks += owner->blocks;
    g_array_append_val(ranking->owners, *owner);
    if (ranking->owners->len >= 2 * owner_max)
        cut_ranking(ranking, owner_max);
}

static void finish_ranking(TtRanking *ranking, guint owner_max, guint64 total_bytes,
                           guint64 total_blocks) {
    cut_ranking(ranking, owner_max);
    ranking->total_bytes = total_bytes;
    ranking->total_blocks = total_blocks;
    for (guint i = 0; i < ranking->owners->len; i++) {
        const TtOwner *owner = &g_array_index(ranking->owners, TtOwner, i);
        ranking->rest_count--;
        ranking->rest_bytes -= owner->bytes;
        ranking->rest_blocks -= owner->blocks;
    }
}

static guint64 subtract(guint64 from, guint64 what) { return from > what ? from - what : 0; }

static void rank_variables(TtRanking *ranking, const Pass *pass, guint instant, guint owner_max) {
    for (gsize i = 0; i < pass->variable_count; i++) {
        const Holding *holding = &pass->variables[instant][i];
        TtOwner owner = {.variable = (guint32)i,
                         .stack = holding->stack,
                         .bytes = holding->bytes,
                         .blocks = holding->blocks,
                         .id = holding->blocks == 1 ? holding->id : 0};
        add_to_ranking(ranking, owner_max, &owner);
    }
}

static void rank_sites(TtRanking *ranking, const Pass *pass, const TtSnapshot *snapshot,
                       guint instant, guint owner_max) {
    gsize site_count;
    const TtSiteRow *sites = tt_snapshot_get_sites(snapshot, &site_count);

    for (gsize i = 0; i < site_count; i++) {
        const TtSiteRow *site = &sites[i];
        const Holding *named = find_named_part(pass, site->stack, instant);
        guint64 bytes = instant == LIVE ? site->live_bytes : site->peak_bytes;
        guint64 blocks = instant == LIVE ? site->live_blocks : site->peak_blocks;
        TtOwner owner = {.variable = TT_NONE,
                         .stack = site->stack,
                         .bytes = subtract(bytes, named ? named->bytes : 0),
                         .blocks = subtract(blocks, named ? named->blocks : 0),
                         .is_part = named && named->blocks > 0};
        add_to_ranking(ranking, owner_max, &owner);
    }
}

static void rank(TtRanking *ranking, const Pass *pass, const TtSnapshot *snapshot, guint instant,
                 guint owner_max) {
    const TtTotals *totals = tt_snapshot_get_totals(snapshot);

    ranking->owners = g_array_new(FALSE, FALSE, sizeof(TtOwner));
    rank_variables(ranking, pass, instant, owner_max);
    rank_sites(ranking, pass, snapshot, instant, owner_max);
    if (instant == LIVE)
        finish_ranking(ranking, owner_max, totals->live_bytes, totals->live_blocks);
    else
        finish_ranking(ranking, owner_max, totals->peak_bytes, totals->peak_blocks);
}

TtSelection *tt_select(TtSnapshot *snapshot, guint owner_max, guint block_max, guint64 end_ns,
                       gboolean has_ended) {
    TtSelection *selection = g_new0(TtSelection, 1);
    const TtCompleteness *completeness = tt_snapshot_get_completeness(snapshot);
    g_autoptr(TtChooser) named = tt_chooser_new(block_max);
    g_autoptr(TtChooser) others = tt_chooser_new(block_max);
    Pass pass = {.named = named,
                 .others = others,
                 .peak_ns = tt_snapshot_get_totals(snapshot)->peak_ns,
                 .end_ns = end_ns,
                 .has_ended = has_ended};

    tt_snapshot_get_variables(snapshot, &pass.variable_count);
    g_autofree Holding *variables = g_new0(Holding, INSTANT_COUNT * pass.variable_count + 1);
    for (guint i = 0; i < INSTANT_COUNT; i++)
        pass.variables[i] = variables + i * pass.variable_count;
    g_autoptr(GHashTable) named_parts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    pass.named_parts = named_parts;
    read_blocks(&pass, snapshot);

    rank(&selection->live, &pass, snapshot, LIVE, owner_max);
    rank(&selection->peak, &pass, snapshot, PEAK, owner_max);

    /* What has a name comes first, but leaves a third to the rest, where there is one. */
    guint other_count = MIN(tt_chooser_get_count(others), block_max / 3);
    selection->named = tt_chooser_take(named, block_max - other_count);
    selection->others = tt_chooser_take(others, block_max - selection->named->len);
    selection->block_count =
        pass.block_count + completeness->history_dropped + completeness->shed_blocks;
    return selection;
}

void tt_selection_free(TtSelection *selection) {
    if (!selection)
        return;
    g_clear_pointer(&selection->live.owners, g_array_unref);
    g_clear_pointer(&selection->peak.owners, g_array_unref);
    g_clear_pointer(&selection->named, g_array_unref);
    g_clear_pointer(&selection->others, g_array_unref);
    g_free(selection);
}
