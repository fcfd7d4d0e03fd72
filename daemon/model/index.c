/* SPDX-License-Identifier: Apache-2.0 */
/* The cold half of the index: leaves and spans come and go, and what is round what. */
#include "model/index.h"

#define TABLE_SHIFT_FIRST 60        /* 16 entries */
#define LEAVES_MAX ((gsize)1 << 26) /* 2 TiB of heap */

static gint compare_keys(gconstpointer a, gconstpointer b, gpointer unused) {
    guint64 left = *(const guint64 *)a, right = *(const guint64 *)b;

    (void)unused;
    return left < right ? -1 : left > right;
}

static gsize table_entries(const TtIndex *index) {
    return (gsize)(G_MAXUINT64 >> index->table_shift) + 1;
}

void tt_index_init(TtIndex *index, TtBlocks *blocks, gsize max_bytes, TtBudget *budget) {
    *index = (TtIndex){.blocks = blocks,
                       .budget = budget,
                       .leaf_end = 1,
                       .table_shift = TABLE_SHIFT_FIRST,
                       .spans = g_tree_new_full(compare_keys, NULL, NULL, g_free)};
    index->table = g_new0(TtSpanEntry, table_entries(index));
    tt_reserve_init(&index->leaves, MIN(max_bytes, LEAVES_MAX * sizeof(TtLeaf)), budget);
}

void tt_index_clear(TtIndex *index) {
    tt_budget_give(index->budget, index->span_count * sizeof(TtSpan));
    g_clear_pointer(&index->spans, g_tree_unref);
    g_clear_pointer(&index->table, g_free);
    tt_reserve_clear(&index->leaves);
}

/* ---- Spans and leaves ---- */

static gsize home_of(const TtIndex *index, guint64 key) {
    return (gsize)((key * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) >> index->table_shift);
}

static TtSpanEntry *find_entry(const TtIndex *index, guint64 key) {
    gsize at = home_of(index, key);

    while (index->table[at].span && index->table[at].key != key)
        at = (at + 1) & (table_entries(index) - 1);
    return &index->table[at];
}

static TtSpan *find_span(const TtIndex *index, guint64 key) { return find_entry(index, key)->span; }

static void grow_table(TtIndex *index) {
    g_autofree TtSpanEntry *old = index->table;
    gsize old_entries = table_entries(index);

    index->table_shift--;
    index->table = g_new0(TtSpanEntry, table_entries(index));
    for (gsize i = 0; i < old_entries; i++)
        if (old[i].span)
            *find_entry(index, old[i].key) = old[i];
}

static TtSpan *ensure_span(TtIndex *index, guint64 key) {
    TtSpan *span = find_span(index, key);

    if (span)
        return span;
    if (!tt_budget_take(index->budget, sizeof *span))
        return NULL;
    if ((index->span_count + 1) * (gsize)2 > table_entries(index))
        grow_table(index);

    span = g_new0(TtSpan, 1);
    span->key = key;
    *find_entry(index, key) = (TtSpanEntry){.key = key, .span = span};
    g_tree_insert(index->spans, &span->key, span);
    index->span_count++;
    return span;
}

/* Takes an entry out of the table so that no search which passed over it breaks off. */
static void remove_entry(TtIndex *index, TtSpanEntry *entry) {
    gsize mask = table_entries(index) - 1;
    gsize hole = (gsize)(entry - index->table);

    for (gsize at = (hole + 1) & mask; index->table[at].span; at = (at + 1) & mask) {
        gsize home = home_of(index, index->table[at].key);

        /* May stand at the hole if its home is not behind it. */
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            index->table[hole] = index->table[at];
            hole = at;
        }
    }
    index->table[hole].span = NULL;
}

static void remove_span(TtIndex *index, TtSpan *span) {
    remove_entry(index, find_entry(index, span->key));
    g_tree_remove(index->spans, &span->key); /* frees it */
    index->span_count--;
    tt_budget_give(index->budget, sizeof *span);
}

guint32 tt_index_ensure_leaf(TtIndex *index, guint64 addr) {
    guint32 number = tt_index_find_leaf(index, addr);

    if (number)
        return number;

    if (index->first_free_leaf) {
        number = index->first_free_leaf;
    } else {
        if (!tt_reserve_grow(&index->leaves, ((gsize)index->leaf_end + 1) * sizeof(TtLeaf)))
            return 0;
        number = index->leaf_end;
    }

    TtSpan *span = ensure_span(index, addr >> TT_SPAN_SHIFT);
    if (!span)
        return 0;
    TtLeaf *leaf = tt_index_get_leaf(index, number);
    if (number == index->leaf_end)
        index->leaf_end++;
    else
        index->first_free_leaf = leaf->next;

    /* Free leaves are empty, and have no ends: nothing else is to be cleared. */
    leaf->key = addr >> TT_LEAF_SHIFT;
    leaf->is_suspect = FALSE;
    guint at = leaf->key % TT_SPAN_LEAVES;
    span->leaves[at] = number;
    span->present[at / 64] |= (guint64)1 << (at % 64);
    span->leaf_count++;
    return number;
}

static void remove_leaf(TtIndex *index, guint32 number) {
    TtLeaf *leaf = tt_index_get_leaf(index, number);
    TtSpan *span = find_span(index, leaf->key >> (TT_SPAN_SHIFT - TT_LEAF_SHIFT));
    guint at = leaf->key % TT_SPAN_LEAVES;

    span->leaves[at] = 0;
    span->present[at / 64] &= ~((guint64)1 << (at % 64));
    if (--span->leaf_count == 0)
        remove_span(index, span);
    tt_leaf_drop_ends(leaf, 0, TT_LEAF_GRANULES);
    leaf->next = index->first_free_leaf;
    index->first_free_leaf = number;
}

void tt_index_tidy(TtIndex *index) {
    while (index->first_suspect) {
        guint32 number = index->first_suspect;
        TtLeaf *leaf = tt_index_get_leaf(index, number);

        index->first_suspect = leaf->next;
        leaf->is_suspect = FALSE;
        if (leaf->started == 0)
            remove_leaf(index, number);
    }
}

/* Whether a block of the chain that begins with @slot starts in the granule of @addr. */
static gboolean has_start(const TtIndex *index, guint32 slot, guint64 addr) {
    for (; slot; slot = tt_blocks_get(index->blocks, slot)->next)
        if (tt_blocks_get(index->blocks, slot)->addr >> TT_GRANULE_SHIFT ==
            addr >> TT_GRANULE_SHIFT)
            return TRUE;
    return FALSE;
}

G_GNUC_NO_INLINE void tt_index_unlink_slowly(TtIndex *index, guint32 leaf, guint32 slot) {
    const TtBlock *block = tt_blocks_get(index->blocks, slot);
    TtLeaf *at = tt_index_get_leaf(index, leaf);
    TtLine *line = tt_leaf_get_line(at, block->addr);
    guint32 before = tt_line_get_cell(line, block->addr);

    if (before == slot) {
        tt_line_set_cell(line, block->addr, block->next);
    } else {
        while (tt_blocks_get(index->blocks, before)->next != slot)
            before = tt_blocks_get(index->blocks, before)->next;
        tt_blocks_get(index->blocks, before)->next = block->next;
    }
    if (has_start(index, tt_line_get_cell(line, block->addr), block->addr))
        return;
    tt_leaf_unset_start(at, block->addr);
    if (at->started == 0 && !at->is_suspect) {
        at->is_suspect = TRUE;
        at->next = index->first_suspect;
        index->first_suspect = leaf;
    }
}

/* ---- The nearest starts ---- */

/* The address at which a granule of a leaf begins. */
static guint64 granule_addr(const TtLeaf *leaf, guint granule) {
    return (leaf->key << TT_LEAF_SHIFT) + ((guint64)granule << TT_GRANULE_SHIFT);
}

/* The first block of a leaf that starts in [from, to); @from lies in the leaf. Records beyond are
 * not looked at: they are not in the cache. */
static guint32 first_in_leaf(const TtIndex *index, TtLeaf *leaf, guint64 from, guint64 to) {
    guint end = (to - 1 - granule_addr(leaf, 0)) >> TT_LEAF_SHIFT ? TT_LEAF_GRANULES
                                                                  : tt_leaf_granule(to - 1) + 1;

    for (guint at = tt_leaf_next_start(leaf, tt_leaf_granule(from), end); at < end;
         at = tt_leaf_next_start(leaf, at + 1, end)) {
        guint64 start = granule_addr(leaf, at);
        guint32 first = 0;

        /* Of those in this granule. */
        for (guint32 slot = tt_line_get_cell(tt_leaf_get_line(leaf, start), start); slot;) {
            const TtBlock *block = tt_blocks_get(index->blocks, slot);

            if (tt_leaf_granule(block->addr) == at && block->addr >= from &&
                (!first || block->addr < tt_blocks_get(index->blocks, first)->addr))
                first = slot;
            slot = block->next;
        }
        if (first)
            return tt_blocks_get(index->blocks, first)->addr < to ? first : 0;
    }
    return 0;
}

/* The last block of a leaf that starts at @until or before; @until lies in the leaf. */
static guint32 last_in_leaf(const TtIndex *index, TtLeaf *leaf, guint64 until) {
    guint behind = tt_leaf_granule(until) + 1;

    while ((behind = tt_leaf_previous_start(leaf, behind)) > 0) {
        guint64 start = granule_addr(leaf, --behind);
        guint32 last = 0;

        for (guint32 slot = tt_line_get_cell(tt_leaf_get_line(leaf, start), start); slot;) {
            const TtBlock *block = tt_blocks_get(index->blocks, slot);

            if (tt_leaf_granule(block->addr) == behind && block->addr <= until &&
                (!last || block->addr > tt_blocks_get(index->blocks, last)->addr))
                last = slot;
            slot = block->next;
        }
        if (last)
            return last;
    }
    return 0;
}

/* The first leaf after the one of @addr, or 0. */
static guint32 next_leaf(const TtIndex *index, guint64 addr) {
    guint64 key = addr >> TT_SPAN_SHIFT;
    const TtSpan *span = find_span(index, key);
    guint first = ((addr >> TT_LEAF_SHIFT) % TT_SPAN_LEAVES) + 1;

    if (!span) {
        GTreeNode *node = g_tree_upper_bound(index->spans, &key);

        span = node ? g_tree_node_value(node) : NULL;
        first = 0;
    }
    while (span) {
        for (guint word = first / 64; word < TT_SPAN_LEAVES / 64; word++) {
            guint64 bits = span->present[word];

            if (word == first / 64)
                bits &= G_MAXUINT64 << (first % 64);
            if (bits)
                return span->leaves[word * 64 + (guint)__builtin_ctzll(bits)];
        }
        GTreeNode *node = g_tree_upper_bound(index->spans, &span->key);
        span = node ? g_tree_node_value(node) : NULL;
        first = 0;
    }
    return 0;
}

/* The last span whose key is less, or NULL. */
static TtSpan *previous_span(const TtIndex *index, guint64 key) {
    GTreeNode *node = g_tree_lower_bound(index->spans, &key);

    node = node ? g_tree_node_previous(node) : g_tree_node_last(index->spans);
    return node ? g_tree_node_value(node) : NULL;
}

/* The last leaf before the one of @addr, or 0. */
static guint32 previous_leaf(const TtIndex *index, guint64 addr) {
    const TtSpan *span = find_span(index, addr >> TT_SPAN_SHIFT);
    guint end = (addr >> TT_LEAF_SHIFT) % TT_SPAN_LEAVES; /* one past the last to be looked at */

    if (!span) {
        span = previous_span(index, addr >> TT_SPAN_SHIFT);
        end = TT_SPAN_LEAVES;
    }
    while (span) {
        for (guint words = (end + 63) / 64; words > 0; words--) {
            guint64 bits = span->present[words - 1];

            if (end < words * 64)
                bits &= ~(G_MAXUINT64 << (end % 64));
            if (bits)
                return span->leaves[words * 64 - 1 - (guint)__builtin_clzll(bits)];
        }
        span = previous_span(index, span->key);
        end = TT_SPAN_LEAVES;
    }
    return 0;
}

/* The block of least address that starts in [from, to), or 0. Leaves that became empty a moment ago
 * are passed over. */
static guint32 next_start(const TtIndex *index, guint64 from, guint64 to) {
    guint32 number = tt_index_find_leaf(index, from);

    while (from < to) {
        if (number) {
            guint32 slot = first_in_leaf(index, tt_index_get_leaf(index, number), from, to);

            if (slot)
                return slot;
        }
        number = next_leaf(index, from);
        if (!number)
            return 0;
        from = tt_index_get_leaf(index, number)->key << TT_LEAF_SHIFT;
    }
    return 0;
}

/* The block of greatest address that starts at @addr or before, or 0. */
static guint32 previous_start(const TtIndex *index, guint64 addr) {
    guint32 number = tt_index_find_leaf(index, addr);

    for (;;) {
        if (number) {
            guint32 slot = last_in_leaf(index, tt_index_get_leaf(index, number), addr);

            if (slot)
                return slot;
        }
        number = previous_leaf(index, addr);
        if (!number)
            return 0;
        addr =
            (tt_index_get_leaf(index, number)->key << TT_LEAF_SHIFT) + ((1u << TT_LEAF_SHIFT) - 1);
    }
}

/* ---- What is round what ---- */

static guint32 parent_of(const TtIndex *index, const TtBlock *block) {
    return block->flags & TT_BLOCK_IS_NESTED
               ? tt_extras_get(&index->blocks->extras, block->site_or_extras)->parent
               : 0;
}

guint32 tt_index_find_start(const TtIndex *index, guint64 addr) {
    guint32 leaf = tt_index_find_leaf(index, addr);

    return leaf ? tt_index_find_in_leaf(index, leaf, addr) : 0;
}

guint32 tt_index_find_inside(const TtIndex *index, guint64 addr) {
    guint32 slot = previous_start(index, addr);

    while (slot) {
        const TtBlock *block = tt_blocks_get(index->blocks, slot);

        /* An address at the very start of a block without bytes is its own. */
        if (addr - block->addr < MAX(block->size, 1))
            return slot;
        slot = parent_of(index, block);
    }
    return 0;
}

guint32 tt_index_find_conflict(const TtIndex *index, guint64 addr, guint64 size,
                               gboolean keep_inside, guint32 *ret_parent) {
    guint64 end = tt_block_end_of(addr, size);
    guint64 from = addr;
    guint32 slot;

    while ((slot = next_start(index, from, end)) != 0) {
        const TtBlock *block = tt_blocks_get(index->blocks, slot);

        if (!keep_inside || block->addr == addr || tt_block_get_end(block) > end)
            return slot;
        from = block->addr + 1;
    }

    slot = addr > 0 ? previous_start(index, addr - 1) : 0;
    while (slot) {
        const TtBlock *block = tt_blocks_get(index->blocks, slot);

        if (tt_block_get_end(block) > addr) {
            if (end > tt_block_get_end(block))
                return slot;
            break;
        }
        slot = parent_of(index, block);
    }
    *ret_parent = slot;
    return 0;
}

/* What was looked for in vain round the block's first byte: whatever lives in the granule before it
 * ends there, if the granule ends where the block starts. So the next one to be born here, which in
 * a loop it is, sees with one look that nothing is round it. */
static void mark_before(TtLeaf *leaf, const TtBlock *block) {
    guint granule = tt_leaf_granule(block->addr);

    if (granule > 0 && block->addr % (1u << TT_GRANULE_SHIFT) == 0)
        tt_leaf_set_end(leaf, granule - 1);
}

G_GNUC_NO_INLINE void tt_index_settle_link(TtIndex *index, const TtBlock *block) {
    guint64 last_addr = tt_block_get_end(block) - 1;
    guint64 first = block->addr >> TT_GRANULE_SHIFT, last = last_addr >> TT_GRANULE_SHIFT;
    guint32 number = tt_index_find_leaf(index, block->addr);

    mark_before(tt_index_get_leaf(index, number), block);
    while (number) {
        TtLeaf *leaf = tt_index_get_leaf(index, number);
        guint64 begin = leaf->key * TT_LEAF_GRANULES; /* numbers of all granules there are */

        if (begin > last)
            break;
        tt_leaf_drop_ends(leaf, (guint)(MAX(first, begin) - begin),
                          (guint)(MIN(last, begin + TT_LEAF_GRANULES) - begin));
        number = next_leaf(index, leaf->key << TT_LEAF_SHIFT);
    }

    guint64 behind = tt_block_end_of(last_addr | ((1u << TT_GRANULE_SHIFT) - 1), 1);
    if (next_start(index, block->addr + 1, behind))
        return;
    number = tt_index_find_leaf(index, last_addr);
    if (number)
        tt_leaf_set_end(tt_index_get_leaf(index, number), tt_leaf_granule(last_addr));
}

static void set_parent(TtIndex *index, TtBlock *block, guint32 parent) {
    TtExtras *extras;

    if (!parent) {
        block->flags &= ~(guint64)TT_BLOCK_IS_NESTED;
        return;
    }
    extras = tt_block_ensure_extras(index->blocks, block);
    if (!extras) /* no room: it is found by its start, not by what it lies in */
        return;
    extras->parent = parent;
    block->flags |= TT_BLOCK_IS_NESTED;
}

/* Those in @slot whose parent is @old get @parent. Returns whether there were any. */
static gboolean reparent_inside(TtIndex *index, guint32 slot, guint32 old, guint32 parent) {
    const TtBlock *outer = tt_blocks_get(index->blocks, slot);
    guint64 end = tt_block_get_end(outer);
    guint64 from = outer->addr + 1;
    gboolean has_any = FALSE;
    guint32 inner;

    while ((inner = next_start(index, from, end)) != 0) {
        TtBlock *block = tt_blocks_get(index->blocks, inner);

        if (parent_of(index, block) == old) {
            set_parent(index, block, parent);
            has_any = TRUE;
        }
        from = block->addr + 1;
    }
    return has_any;
}

void tt_index_adopt(TtIndex *index, guint32 slot) {
    TtBlock *block = tt_blocks_get(index->blocks, slot);

    if (reparent_inside(index, slot, parent_of(index, block), slot))
        block->flags |= TT_BLOCK_HAS_NESTED;
}

void tt_index_remove(TtIndex *index, guint32 slot) {
    TtBlock *block = tt_blocks_get(index->blocks, slot);
    guint32 leaf = tt_index_find_leaf(index, block->addr);

    if (block->flags & TT_BLOCK_HAS_NESTED)
        reparent_inside(index, slot, slot, parent_of(index, block));
    tt_index_unlink(index, leaf, slot, block);
    block->flags &= ~(guint64)(TT_BLOCK_IS_NESTED | TT_BLOCK_HAS_NESTED);
}

gsize tt_index_bytes(const TtIndex *index) {
    return index->leaves.committed_bytes + index->span_count * sizeof(TtSpan) +
           table_entries(index) * sizeof *index->table;
}
