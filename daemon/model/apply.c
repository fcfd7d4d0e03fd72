/* SPDX-License-Identifier: Apache-2.0 */
/* Applies heap events: the daemon's hot path.
 *
 * With a million live blocks neither the index nor the records are in the cache, so an event would
 * wait for memory three times in a row: for its line of the index, for the record that it names,
 * for that one's site. A batch is therefore gone through in rows: before one is applied its sites
 * are asked for, the records of the next, and the lines of the one after that.
 *
 * In rows and not event by event, because what is asked for lies in pages whose translation is not
 * at hand either. Until it is, the processor runs on only as far as its window goes: that is over
 * the asking for a whole row, but over two or three events applied.
 *
 * What is rare is out of line; nothing is allocated but when something grows. */
#include "model/deaths.h"

#define ROW 16u  /* events */
#define RING 64u /* leaves of three rows: a power of two */

#define HINDSIGHT_EVENTS 512u /* how far ahead the cause of an impossible event is looked for */
#define PLAIN_BITS 47u        /* no address or size of a program of this machine has more */

/* A birth underway. */
typedef struct Birth {
    guint64 addr, size;
    guint32 site;
    guint32 leaf; /* 0: to be found or made */
    guint32 parent;
    guint16 thread;
    gboolean has_shrunk; /* its size was more than sums can hold */
    gboolean is_claimed; /* its place, by tt_leaf_claim() */
} Birth;

/* ---- Order ---- */

/* The next event of an address among those that follow, if it is another thread's, and such that it
 * can have been before: a stamp may be taken ahead of what its thread waits for. Taken out of its
 * turn. */
static G_GNUC_NO_INLINE gboolean take_cause(TtSession *session, guint64 addr, guint16 thread,
                                            gboolean is_birth, TtEvent *ret_cause) {
    guint64 latest = session->now + session->hindsight;
    gsize known = (gsize)(session->known_end - session->next_event);

    for (gsize i = 0; i < MIN(known, HINDSIGHT_EVENTS); i++) {
        TtEvent *event = &session->next_event[i];

        if (event->addr != addr || event->op == 0 || event->op > TT_OP_REALLOC_END)
            continue;
        if (event->thread == thread || event->stamp - session->start_stamp > latest ||
            is_birth != (event->op == TT_OP_ALLOC || event->op == TT_OP_REALLOC_END))
            return FALSE;
        *ret_cause = *event;
        event->op = 0;
        return TRUE;
    }
    return FALSE;
}

static gboolean let_birth_come_first(TtSession *session, const TtEvent *death);
static gboolean let_death_come_first(TtSession *session, guint32 slot, guint16 thread);

/* ---- Deaths ---- */

/* Takes the block that starts where the event says out of the index. Returns its slot, or 0. */
static inline __attribute__((always_inline)) guint32 take_out(TtSession *session,
                                                              const TtEvent *event, guint32 leaf) {
    guint32 slot;

    if (G_UNLIKELY(leaf == 0))
        leaf = tt_index_find_leaf(&session->index, event->addr);
    slot = leaf ? tt_index_find_in_leaf(&session->index, leaf, event->addr) : 0;
    if (G_UNLIKELY(!slot) && let_birth_come_first(session, event)) {
        leaf = tt_index_find_leaf(&session->index, event->addr);
        slot = leaf ? tt_index_find_in_leaf(&session->index, leaf, event->addr) : 0;
    }
    if (G_UNLIKELY(!slot)) {
        tt_session_free_unknown(session, event);
        return 0;
    }

    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    if (G_UNLIKELY(block->flags & TT_BLOCK_HAS_NESTED))
        tt_index_remove(&session->index, slot);
    else
        tt_index_unlink(&session->index, leaf, slot, block);
    return slot;
}

static inline __attribute__((always_inline)) void
apply_free(TtSession *session, const TtEvent *event, guint32 leaf, gboolean is_sampled) {
    guint32 slot = take_out(session, event, leaf);

    if (G_LIKELY(slot != 0))
        tt_death_bury(session, slot, event->thread, event->stack, is_sampled);
}

/* ---- Births ---- */

/* Makes an address and a size that no program of this machine has such that sums hold. */
static G_GNUC_NO_INLINE void tame(TtSession *session, Birth *birth) {
    if (birth->addr == G_MAXUINT64) /* no byte can follow: a block has one at least */
        birth->addr--;

    guint64 room = MIN(TT_SUM_MAX - session->allocated, G_MAXUINT64 - birth->addr);
    if (birth->size > room) {
        birth->size = room;
        birth->has_shrunk = TRUE;
    }
}

/* Clears the place of what cannot be alive together with the new block, and learns what it lies in.
 * With @keep_inside blocks within it stay: it takes the place of one that they lay in. */
static G_GNUC_NO_INLINE void make_room(TtSession *session, Birth *birth, gboolean keep_inside) {
    guint32 old;

    while ((old = tt_index_find_conflict(&session->index, birth->addr, birth->size, keep_inside,
                                         &birth->parent)) != 0) {
        if (let_death_come_first(session, old, birth->thread))
            continue;
        tt_index_remove(&session->index, old);
        tt_session_free_unseen(session, old);
    }
}

static inline __attribute__((always_inline)) void prepare_birth(TtSession *session, Birth *birth,
                                                                const TtEvent *event, guint32 leaf,
                                                                gboolean keep_inside) {
    *birth = (Birth){.addr = event->addr, .size = event->size, .thread = event->thread};
    if (G_UNLIKELY((birth->addr | birth->size | session->allocated >> 15) >> PLAIN_BITS)) {
        tame(session, birth);
        leaf = 0; /* of the address as it was */
    }
    birth->leaf = leaf ? leaf : tt_index_find_leaf(&session->index, birth->addr);
    birth->site = tt_sites_get_number(&session->sites, event->stack);
    birth->is_claimed =
        G_LIKELY(birth->leaf != 0) &&
        tt_leaf_claim(tt_index_get_leaf(&session->index, birth->leaf), birth->addr, birth->size);
    if (G_UNLIKELY(!birth->is_claimed))
        make_room(session, birth, keep_inside);
}

/* Weighs a birth of a sample and counts it where exact sessions count nothing. FALSE: its weight is
 * more than sums can hold, and it stays out of the sample. */
static G_GNUC_NO_INLINE gboolean weigh_birth(TtSession *session, const Birth *birth,
                                             TtAmount *ret_weight) {
    TtSampling *sampling = &session->sampling;
    TtVariance variance;

    if (!tt_sampling_weigh(sampling, session->next_id, birth->size, ret_weight, &variance) ||
        ret_weight->bytes > TT_SUM_MAX - session->allocated ||
        ret_weight->blocks > TT_SUM_MAX - sampling->allocations) {
        tt_session_add_doubt(session, "Some blocks stand for more than can be counted; they are "
                                      "left out.");
        return FALSE;
    }
    sampling->allocations += ret_weight->blocks;
    tt_sites_add_variance(&session->sites, birth->site, &variance);
    return TRUE;
}

/* Counts a birth. In a reallocation the old block's death has been counted, and nobody has looked
 * in between. */
static inline void count_birth(TtSession *session, const Birth *birth, TtAmount weight) {
    TtThread *thread = &session->threads.threads[birth->thread];

    session->allocated += weight.bytes;
    session->live_bytes += weight.bytes;
    session->live_blocks += weight.blocks;
    thread->allocations += weight.blocks;
    thread->allocated += weight.bytes;
    thread->last_id = session->next_id++;
    tt_sites_add_block(&session->sites, birth->site, weight);
}

/* No memory for the block: it is counted, and no more is known of it. */
static G_GNUC_NO_INLINE void shed(TtSession *session, const Birth *birth) {
    TtThread *thread = &session->threads.threads[birth->thread];
    TtAmount weight = {.blocks = 1, .bytes = birth->size};
    TtVariance variance;

    if (tt_session_is_sampled(session))
        (void)tt_sampling_weigh(&session->sampling, session->next_id - 1, birth->size, &weight,
                                &variance);
    tt_shed_add(&session->shed, birth->site, weight.bytes);
    if (tt_session_is_sampled(session))
        tt_shed_add_weight(&session->shed, birth->site, weight.blocks, &variance);
    thread->died_blocks += weight.blocks;
    thread->died_bytes += weight.bytes;
    thread->last_id = 0;
}

/* Enters a counted birth. Returns its slot, or 0: it was shed. */
static inline __attribute__((always_inline)) guint32 enter_birth(TtSession *session,
                                                                 const Birth *birth) {
    guint32 leaf = birth->leaf;

    if (G_UNLIKELY(leaf == 0))
        leaf = tt_index_ensure_leaf(&session->index, birth->addr);
    guint32 slot = leaf ? tt_blocks_take_slot(&session->blocks) : 0;
    if (G_UNLIKELY(slot == 0) && leaf)
        slot = tt_session_take_pinned_slot(session);
    if (G_UNLIKELY(slot == 0)) {
        shed(session, birth);
        return 0;
    }

    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    *block = (TtBlock){
        .addr = birth->addr,
        .size = birth->size,
        .born = session->now,
        .id = session->next_id - 1,
        .thread = birth->thread,
        .site_or_extras = birth->site,
    };
    tt_leaf_link(tt_index_get_leaf(&session->index, leaf), block, slot);
    if (G_UNLIKELY(!birth->is_claimed) && birth->parent == 0)
        tt_index_settle_link(&session->index, block);
    return slot;
}

/* What only some births have. @from: the block that this one was resized from, or 0. */
static G_GNUC_NO_INLINE void decorate(TtSession *session, const Birth *birth, guint32 slot,
                                      guint64 from) {
    TtThread *thread = &session->threads.threads[birth->thread];
    guint32 scope = tt_session_get_scope(session, thread);
    TtAmount weight = tt_sampling_get_weight(&session->sampling, session->next_id - 1, birth->size);
    TtScopeRow *row = NULL;

    if (birth->has_shrunk)
        tt_session_add_doubt(session, "Some blocks are larger than can be counted; they are shown "
                                      "smaller than they were said to be.");
    if (scope != TT_NONE) {
        row = &tt_names_get_scope(&session->names, scope)->row;
        row->allocations += weight.blocks;
        row->allocated += weight.bytes;
    }
    if (slot == 0)
        return;

    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    TtExtras *extras = tt_block_ensure_extras(&session->blocks, block);
    if (!extras)
        return;
    extras->resized_from = from;
    if (row) {
        extras->scope = scope;
        row->live_blocks += weight.blocks;
        row->live_bytes += weight.bytes;
    }
    if (birth->parent) {
        extras->parent = birth->parent;
        block->flags |= TT_BLOCK_IS_NESTED;
        tt_blocks_get(&session->blocks, birth->parent)->flags |= TT_BLOCK_HAS_NESTED;
    }
}

static inline __attribute__((always_inline)) void
apply_alloc(TtSession *session, const TtEvent *event, guint32 leaf, gboolean is_sampled) {
    Birth birth;

    prepare_birth(session, &birth, event, leaf, FALSE);
    TtAmount weight = {.blocks = 1, .bytes = birth.size};
    if (is_sampled && !weigh_birth(session, &birth, &weight))
        return;
    count_birth(session, &birth, weight);
    guint32 slot = enter_birth(session, &birth);
    if (G_UNLIKELY(birth.parent | birth.has_shrunk |
                   session->threads.threads[birth.thread].scope_depth))
        decorate(session, &birth, slot, 0);
}

/* ---- Reallocations ---- */

void tt_session_reopen(TtSession *session, guint16 thread) {
    TtThread *at = &session->threads.threads[thread];
    guint32 slot = at->open_slot;
    guint32 parent;

    at->has_open_shed = FALSE;
    if (slot == 0)
        return;
    at->open_slot = 0;

    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    guint32 leaf = 0;
    if (!tt_index_find_conflict(&session->index, block->addr, block->size, TRUE, &parent))
        leaf = tt_index_ensure_leaf(&session->index, block->addr);
    if (leaf == 0) {
        tt_session_free_unseen(session, slot);
        tt_session_settle(session);
        return;
    }

    block->flags &= TT_BLOCK_HAS_EXTRAS;
    if (parent) {
        TtExtras *extras = tt_block_ensure_extras(&session->blocks, block);

        if (extras) {
            extras->parent = parent;
            block->flags |= TT_BLOCK_IS_NESTED;
            tt_blocks_get(&session->blocks, parent)->flags |= TT_BLOCK_HAS_NESTED;
        }
    }
    tt_leaf_link(tt_index_get_leaf(&session->index, leaf), block, slot);
    if (parent == 0)
        tt_index_settle_link(&session->index, block);
    tt_index_adopt(&session->index, slot);
}

/* The block leaves its address, which may be given away at once, and lives on until its end. */
static G_GNUC_NO_INLINE void apply_realloc_begin(TtSession *session, const TtEvent *event,
                                                 guint32 leaf) {
    TtThread *thread = &session->threads.threads[event->thread];

    if (thread->open_slot) {
        tt_session_reopen(session, event->thread);
        tt_session_add_doubt(session, "The end of a reallocation was not seen; its block is taken "
                                      "to be where it was.");
        leaf = 0;
    }
    guint32 slot = take_out(session, event, leaf);
    if (slot) {
        TtBlock *block = tt_blocks_get(&session->blocks, slot);

        block->flags = (block->flags & TT_BLOCK_HAS_EXTRAS) | TT_BLOCK_IS_OPEN;
        thread->open_slot = slot;
        thread->open_stack = event->stack;
    }
}

/* The old block of a thread's reallocation dies. */
static void bury_resized(TtSession *session, guint32 slot, guint16 thread) {
    const TtBlock *block = tt_blocks_get(&session->blocks, slot);

    session->reallocations +=
        tt_sampling_get_weight(&session->sampling, block->id, block->size).blocks;
    tt_session_bury(session, slot, thread, session->threads.threads[thread].open_stack);
}

/* The same where it is counted only. FALSE: it is not. */
static gboolean free_resized(TtSession *session, guint16 thread) {
    TtThread *at = &session->threads.threads[thread];

    if (!at->has_open_shed)
        return FALSE;
    at->has_open_shed = FALSE;
    if (session->shed.blocks > 0) /* else others' frees were taken for its */
        tt_session_free_shed(session, thread);
    return TRUE;
}

static G_GNUC_NO_INLINE void apply_realloc_end(TtSession *session, const TtEvent *event,
                                               guint32 leaf) {
    TtThread *thread = &session->threads.threads[event->thread];
    guint32 old_slot = thread->open_slot;
    gboolean is_sampled = tt_session_is_sampled(session);
    Birth birth;

    if (old_slot == 0) { /* of a block that nobody knew; or that is not to be known */
        if (free_resized(session, event->thread) || !session->has_paused)
            apply_alloc(session, event, leaf, is_sampled);
        return;
    }
    thread->open_slot = 0;

    TtBlock *old = tt_blocks_get(&session->blocks, old_slot);
    guint64 old_id = old->id;
    gboolean is_in_place = old->addr == event->addr;
    guint32 variable = old->flags & TT_BLOCK_HAS_EXTRAS
                           ? tt_extras_get(&session->blocks.extras, old->site_or_extras)->variable
                           : TT_NONE;

    prepare_birth(session, &birth, event, leaf, is_in_place);
    bury_resized(session, old_slot, event->thread);
    TtAmount weight = {.blocks = 1, .bytes = birth.size};
    if (is_sampled && !weigh_birth(session, &birth, &weight))
        return;
    count_birth(session, &birth, weight);
    guint32 slot = enter_birth(session, &birth);
    decorate(session, &birth, slot, old_id);
    if (slot && is_in_place)
        tt_index_adopt(&session->index, slot);
    if (slot && variable != TT_NONE)
        tt_session_set_variable(session, slot, variable);
}

void tt_session_leave_realloc(TtSession *session, guint16 thread, guint64 stamp) {
    TtThread *at = &session->threads.threads[thread];
    guint32 slot = at->open_slot;

    tt_session_advance(session, stamp);
    if (!tt_session_is_sampled(session))
        tt_session_add_doubt(session, "A block is missing: its program took the session for a "
                                      "sampled one.");
    at->open_slot = 0;
    if (slot)
        bury_resized(session, slot, thread);
    else if (!free_resized(session, thread)) /* of a block that nobody knew */
        return;
    tt_session_settle(session);
    tt_sites_drain_lifetimes(&session->sites);
}

/* ---- What came before its cause ---- */

static gboolean let_birth_come_first(TtSession *session, const TtEvent *death) {
    TtEvent birth;

    if (!take_cause(session, death->addr, death->thread, TRUE, &birth))
        return FALSE;
    if (birth.op == TT_OP_ALLOC)
        apply_alloc(session, &birth, 0, tt_session_is_sampled(session));
    else
        apply_realloc_end(session, &birth, 0);
    tt_session_settle(session);
    return TRUE;
}

/* @slot: the block that cannot be alive any more */
static gboolean let_death_come_first(TtSession *session, guint32 slot, guint16 thread) {
    TtEvent death;

    if (!take_cause(session, tt_blocks_get(&session->blocks, slot)->addr, thread, FALSE, &death))
        return FALSE;
    if (death.op == TT_OP_FREE)
        apply_free(session, &death, 0, tt_session_is_sampled(session));
    else
        apply_realloc_begin(session, &death, 0);
    return TRUE;
}

/* ---- Batches ---- */

/* Asks for the lines of an event. A birth is compared with what ends just before it, and marks its
 * own end; the line of its address is nearly always that of the one or the other. Returns the leaf,
 * or 0. */
static inline guint32 ask_for_lines(const TtSession *session, const TtEvent *event) {
    guint32 number = tt_index_find_leaf(&session->index, event->addr);

    if (number) {
        TtLine *lines = tt_index_get_leaf(&session->index, number)->lines;
        guint64 at = event->addr % (1u << TT_LEAF_SHIFT);
        guint64 before = at - MIN(at, 1u << TT_CELL_SHIFT);
        guint64 end = MIN(at + event->size, (1u << TT_LEAF_SHIFT) - 1); /* a death has no size */

        __builtin_prefetch(&lines[before >> TT_LINE_SHIFT], 1);
        __builtin_prefetch(&lines[end >> TT_LINE_SHIFT], 1);
    }
    return number;
}

/* Asks for the record of a block that is to die; of a birth, for that of the block before where it
 * is not plain that it ends there. Always inline, because gcc takes a function that only prefetches
 * for one without effect and drops its calls. */
static inline __attribute__((always_inline)) void
ask_for_record(const TtSession *session, const TtEvent *event, guint32 leaf) {
    if (leaf == 0)
        return;

    const TtLine *line = tt_leaf_get_line(tt_index_get_leaf(&session->index, leaf), event->addr);
    guint64 start = event->addr;
    if (event->op == TT_OP_ALLOC) {
        guint32 before = tt_line_start_bit(start) - 1;
        guint32 starts = line->starts & before;

        if (G_LIKELY(!tt_line_is_open(starts, line->ends & before)))
            return;
        start = (guint64)(31 - __builtin_clz(starts)) << TT_GRANULE_SHIFT; /* in the line */
    }
    const TtBlock *block = tt_blocks_get(&session->blocks, tt_line_get_cell(line, start));
    /* Every other record lies across two lines. */
    __builtin_prefetch(block, 1);
    __builtin_prefetch((const char *)block + sizeof *block - 1, 1);
}

/* Asks for an event's site, or for the extras that a block has in its place; its record is there by
 * now. A guess: of blocks that share a cell the first is taken. */
static inline __attribute__((always_inline)) void ask_for_site(TtSession *session,
                                                               const TtEvent *event, guint32 leaf) {
    guint32 site;

    if (event->op == TT_OP_ALLOC) {
        if (event->stack >= session->sites.site_of_room)
            return;
        site = session->sites.site_of[event->stack];
    } else {
        if (leaf == 0)
            return;
        TtLine *line = tt_leaf_get_line(tt_index_get_leaf(&session->index, leaf), event->addr);
        guint32 slot = tt_line_get_cell(line, event->addr);
        if (slot == 0)
            return;
        const TtBlock *block = tt_blocks_get(&session->blocks, slot);
        site = block->site_or_extras;
        if (G_UNLIKELY(block->flags & TT_BLOCK_HAS_EXTRAS)) {
            __builtin_prefetch(tt_extras_get(&session->blocks.extras, site), 1);
            return;
        }
    }
    __builtin_prefetch(&session->sites.sites[site], 1);
}

static inline __attribute__((always_inline)) void
apply_event(TtSession *session, const TtEvent *event, guint32 leaf, gboolean is_sampled) {
    tt_session_advance(session, event->stamp);
    switch (event->op) {
    case TT_OP_ALLOC:
        apply_alloc(session, event, leaf, is_sampled);
        break;
    case TT_OP_FREE:
        apply_free(session, event, leaf, is_sampled);
        break;
    case TT_OP_REALLOC_BEGIN:
        apply_realloc_begin(session, event, leaf);
        break;
    case TT_OP_REALLOC_END:
        apply_realloc_end(session, event, leaf);
        break;
    default: /* not an event */
        break;
    }
    tt_session_settle(session);
}

static inline __attribute__((always_inline)) void apply_batch(TtSession *session,
                                                              const TtEvent *events, gsize count,
                                                              TtEvent *known, gsize ahead,
                                                              gboolean is_sampled) {
    guint32 leaves[RING];
    gsize line = 0, record = 0, site = 0;

    session->known_end = known ? known + count + ahead : NULL;
    session->next_event = NULL;
    for (gsize i = 0; i < count;) {
        for (; line < MIN(count, i + 3 * ROW); line++)
            leaves[line % RING] = ask_for_lines(session, &events[line]);
        for (; record < MIN(count, i + 2 * ROW); record++)
            ask_for_record(session, &events[record], leaves[record % RING]);
        for (; site < MIN(count, i + ROW); site++)
            ask_for_site(session, &events[site], leaves[site % RING]);
        for (; i < site; i++) {
            if (known)
                session->next_event = known + i + 1;
            apply_event(session, &events[i], leaves[i % RING], is_sampled);
        }
    }
    session->next_event = session->known_end = NULL;
    tt_sites_drain_lifetimes(&session->sites);
    session->lookback_credit += count;
    tt_index_tidy(&session->index);
    if (G_UNLIKELY(session->marks.pinned_count > 0))
        tt_session_bound_marks(session);
}

/* Samples are few, so what they need may cost a call; where every event is told it is not there. */
static G_GNUC_NO_INLINE void apply_sample(TtSession *session, const TtEvent *events, gsize count,
                                          TtEvent *known, gsize ahead) {
    apply_batch(session, events, count, known, ahead, TRUE);
}

void tt_session_apply(TtSession *session, const TtEvent *events, gsize count) {
    if (tt_session_is_sampled(session))
        apply_sample(session, events, count, NULL, 0);
    else
        apply_batch(session, events, count, NULL, 0, FALSE);
}

void tt_session_apply_ahead(TtSession *session, TtEvent *events, gsize count, gsize ahead) {
    if (tt_session_is_sampled(session))
        apply_sample(session, events, count, events, ahead);
    else
        apply_batch(session, events, count, events, ahead, FALSE);
}
