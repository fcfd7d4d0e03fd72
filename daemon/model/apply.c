/* SPDX-License-Identifier: Apache-2.0 */
/* Applies heap events: the daemon's hot path.
 *
 * With a million live blocks neither the index nor the records are in the cache, so an event would
 * wait for memory three times in a row: for the cell, for the record that it names, for that one's
 * site. A batch is therefore gone through at three distances: far ahead the cell is asked for,
 * nearer the record, and when the event is applied both are there. What is rare is out of line;
 * nothing is allocated but when something grows. */
#include "model/session-state.h"

#define CELL_AHEAD 24u
#define RECORD_AHEAD 12u
#define SITE_AHEAD 4u
#define RING 32u /* leaves of the events underway: a power of two, more than CELL_AHEAD */

#define LOOKBACK_FREES 4096u  /* how far back a double free is recognized */
#define LOOKBACK_EVENTS 64u   /* each such search is paid for by so many events */
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

static void leave_names(TtSession *session, const TtBlock *block, const TtExtras *extras) {
    if (extras->variable != TT_NONE) {
        TtVariableRow *row = tt_names_get_variable(&session->names, extras->variable);

        row->live_blocks--;
        row->live_bytes -= block->size;
    }
    if (extras->scope != TT_NONE) {
        TtScopeRow *row = &tt_names_get_scope(&session->names, extras->scope)->row;

        row->live_blocks--;
        row->live_bytes -= block->size;
    }
}

/* The extras that go with a block into the history; 0: no room. */
static guint32 extras_for_history(TtSession *session, const TtBlock *block, guint32 freed_stack,
                                  gboolean is_pinned) {
    TtExtrasPool *pool = &session->blocks.extras;
    guint32 number = block->site_or_extras;

    if (!(block->flags & TT_BLOCK_HAS_EXTRAS))
        number = tt_extras_new(pool, block->site_or_extras);
    else if (is_pinned) /* the pin's readers need them as they are */
        number = tt_extras_copy(pool, number);
    if (!number)
        return 0;

    TtExtras *extras = tt_extras_get(pool, number);
    tt_extras_forget_older(pool, number);
    extras->addr = block->addr;
    extras->size = block->size;
    extras->freed_stack =
        tt_stacks_read_flags(session->stacks, freed_stack) ? freed_stack : TT_STACK_NONE;
    return number;
}

/* Writes a death into the history. Returns whether the block's extras have gone there. */
static inline gboolean remember(TtSession *session, const TtBlock *block, guint16 freed_by,
                                guint32 freed_stack, gboolean is_pinned) {
    gboolean has_extras = (block->flags & TT_BLOCK_HAS_EXTRAS) || freed_stack != TT_STACK_NONE ||
                          block->addr >= TT_FREED_ADDR_MAX || block->size >= TT_FREED_SIZE_MAX;
    guint32 site_or_extras = block->site_or_extras;

    if (G_UNLIKELY(session->history.limit == 0)) {
        session->history.total++; /* one that nobody can look up */
        return FALSE;
    }
    if (G_UNLIKELY(has_extras)) {
        site_or_extras = extras_for_history(session, block, freed_stack, is_pinned);
        if (!site_or_extras) {
            session->history.total++;
            return FALSE;
        }
    }
    *tt_history_push(&session->history, &session->blocks.extras) = (TtFreed){
        .addr = MIN(block->addr, TT_FREED_ADDR_MAX),
        .thread = block->thread,
        .size = MIN(block->size, TT_FREED_SIZE_MAX),
        .has_extras = has_extras,
        .freed_by = freed_by,
        .born = block->born,
        .id_high = block->id >> 40,
        .died = session->now,
        .id_middle = block->id >> 32 & 0xff,
        .id_low = (guint32)block->id,
        .site_or_extras = site_or_extras,
    };
    return has_extras && !is_pinned;
}

/* A block has died; it is out of the index. @freed_by: TT_THREAD_NONE where nobody was seen to free
 * it: then nothing is known of how long it lived. */
static inline void bury(TtSession *session, guint32 slot, guint16 freed_by, guint32 freed_stack) {
    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    TtThread *threads = session->threads.threads;
    TtThread *born_in = &threads[block->thread];
    guint32 site = tt_block_get_site(&session->blocks, block);
    guint64 size = block->size;
    gboolean is_pinned = block->id < session->pins.below_id;

    session->live_bytes -= size;
    session->live_blocks--;
    session->frees++;
    session->freed += size;
    tt_sites_remove_block(&session->sites, site, size);
    born_in->died_blocks++;
    born_in->died_bytes += size;
    if (G_LIKELY(freed_by != TT_THREAD_NONE)) {
        gboolean is_temporary = born_in->last_id == block->id;

        threads[freed_by].frees++;
        threads[freed_by].freed += size;
        session->temporary += is_temporary;
        tt_sites_get(&session->sites, site)->temporary_blocks += is_temporary;
        tt_sites_note_lifetime(&session->sites, site, session->now - block->born);
    }

    block->flags &= TT_BLOCK_HAS_EXTRAS;
    if (G_UNLIKELY(block->flags))
        leave_names(session, block, tt_extras_get(&session->blocks.extras, block->site_or_extras));
    gboolean has_moved = remember(session, block, freed_by, freed_stack, is_pinned);
    if (G_UNLIKELY(is_pinned)) {
        tt_pins_keep_dead(&session->pins, &session->blocks, slot);
        return;
    }
    if (G_UNLIKELY(block->flags) && !has_moved)
        tt_extras_free(&session->blocks.extras, block->site_or_extras);
    tt_blocks_release_slot(&session->blocks, slot);
}

/* What was alive here cannot be any more: it was freed and nobody saw it. */
static G_GNUC_NO_INLINE void free_unseen(TtSession *session, guint32 slot) {
    bury(session, slot, TT_THREAD_NONE, TT_STACK_NONE);
    session->synthesized_frees++;
}

static G_GNUC_NO_INLINE void free_shed(TtSession *session, guint16 thread) {
    guint32 site;
    guint64 size;

    tt_shed_take(&session->shed, &site, &size);
    session->live_bytes -= size;
    session->live_blocks--;
    session->frees++;
    session->freed += size;
    session->threads.threads[thread].frees++;
    session->threads.threads[thread].freed += size;
    tt_sites_remove_block(&session->sites, site, size);
}

/* No live block starts here. */
static G_GNUC_NO_INLINE void free_unknown(TtSession *session, const TtEvent *event) {
    if (session->shed.blocks > 0) {
        free_shed(session, event->thread);
        return;
    }
    /* Searching costs as much as dozens of events, and a program may do nothing else. */
    if (session->lookback_credit >= LOOKBACK_EVENTS) {
        session->lookback_credit -= LOOKBACK_EVENTS;
        if (tt_history_has_recent(&session->history, event->addr, LOOKBACK_FREES)) {
            session->double_frees++;
            return;
        }
    }
    session->unknown_frees++;
}

/* Takes the block that starts where the event says out of the index. Returns its slot, or 0. */
static inline guint32 take_out(TtSession *session, const TtEvent *event, guint32 leaf) {
    guint32 *link;

    if (G_UNLIKELY(leaf == 0))
        leaf = tt_index_find_leaf(&session->index, event->addr);
    link = leaf ? tt_index_find_link(&session->index, leaf, event->addr) : NULL;
    if (G_UNLIKELY(!link) && let_birth_come_first(session, event)) {
        leaf = tt_index_find_leaf(&session->index, event->addr);
        link = leaf ? tt_index_find_link(&session->index, leaf, event->addr) : NULL;
    }
    if (G_UNLIKELY(!link)) {
        free_unknown(session, event);
        return 0;
    }

    guint32 slot = *link;
    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    if (G_UNLIKELY(block->flags & TT_BLOCK_HAS_NESTED))
        tt_index_remove(&session->index, slot);
    else
        tt_index_unlink(&session->index, leaf, link, block);
    return slot;
}

static inline void apply_free(TtSession *session, const TtEvent *event, guint32 leaf) {
    guint32 slot = take_out(session, event, leaf);

    if (G_LIKELY(slot != 0))
        bury(session, slot, event->thread, event->stack);
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
        free_unseen(session, old);
    }
}

static inline void prepare_birth(TtSession *session, Birth *birth, const TtEvent *event,
                                 guint32 leaf, gboolean keep_inside) {
    *birth = (Birth){.addr = event->addr, .size = event->size, .thread = event->thread};
    if (G_UNLIKELY((birth->addr | birth->size | session->allocated >> 15) >> PLAIN_BITS)) {
        tame(session, birth);
        leaf = 0; /* of the address as it was */
    }
    birth->leaf = leaf ? leaf : tt_index_find_leaf(&session->index, birth->addr);
    birth->site = tt_sites_get_number(&session->sites, event->stack);
    if (!tt_index_is_clear(&session->index, birth->leaf, birth->addr, birth->size))
        make_room(session, birth, keep_inside);
}

/* Counts a birth. In a reallocation the old block's death has been counted, and nobody has looked
 * in between. */
static inline void count_birth(TtSession *session, const Birth *birth) {
    TtThread *thread = &session->threads.threads[birth->thread];

    session->allocated += birth->size;
    session->live_bytes += birth->size;
    session->live_blocks++;
    thread->allocations++;
    thread->allocated += birth->size;
    thread->last_id = session->next_id++;
    tt_sites_add_block(&session->sites, birth->site, birth->size);
}

/* No memory for the block: it is counted, and no more is known of it. */
static G_GNUC_NO_INLINE void shed(TtSession *session, const Birth *birth) {
    TtThread *thread = &session->threads.threads[birth->thread];

    tt_shed_add(&session->shed, birth->site, birth->size);
    thread->died_blocks++;
    thread->died_bytes += birth->size;
    thread->last_id = 0;
}

/* Enters a counted birth. Returns its slot, or 0: it was shed. */
static inline guint32 enter_birth(TtSession *session, const Birth *birth) {
    guint32 leaf = birth->leaf;

    if (G_UNLIKELY(leaf == 0))
        leaf = tt_index_ensure_leaf(&session->index, birth->addr);
    guint32 slot = leaf ? tt_blocks_take_slot(&session->blocks) : 0;
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
    return slot;
}

/* What only some births have. @from: the block that this one was resized from, or 0. */
static G_GNUC_NO_INLINE void decorate(TtSession *session, const Birth *birth, guint32 slot,
                                      guint64 from) {
    TtThread *thread = &session->threads.threads[birth->thread];
    guint32 scope = tt_session_get_scope(session, thread);
    TtScopeRow *row = NULL;

    if (birth->has_shrunk)
        tt_session_add_doubt(session, "Some blocks are larger than can be counted; they are shown "
                                      "smaller than they were said to be.");
    if (scope != TT_NONE) {
        row = &tt_names_get_scope(&session->names, scope)->row;
        row->allocations++;
        row->allocated += birth->size;
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
        row->live_blocks++;
        row->live_bytes += birth->size;
    }
    if (birth->parent) {
        extras->parent = birth->parent;
        block->flags |= TT_BLOCK_IS_NESTED;
        tt_blocks_get(&session->blocks, birth->parent)->flags |= TT_BLOCK_HAS_NESTED;
    }
}

static inline void apply_alloc(TtSession *session, const TtEvent *event, guint32 leaf) {
    Birth birth;

    prepare_birth(session, &birth, event, leaf, FALSE);
    count_birth(session, &birth);
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

    if (slot == 0)
        return;
    at->open_slot = 0;

    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    guint32 leaf = 0;
    if (!tt_index_find_conflict(&session->index, block->addr, block->size, TRUE, &parent))
        leaf = tt_index_ensure_leaf(&session->index, block->addr);
    if (leaf == 0) {
        free_unseen(session, slot);
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

static G_GNUC_NO_INLINE void apply_realloc_end(TtSession *session, const TtEvent *event,
                                               guint32 leaf) {
    TtThread *thread = &session->threads.threads[event->thread];
    guint32 old_slot = thread->open_slot;
    Birth birth;

    if (old_slot == 0) { /* of a block that nobody knew */
        apply_alloc(session, event, leaf);
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
    session->reallocations++;
    bury(session, old_slot, event->thread, thread->open_stack);
    count_birth(session, &birth);
    guint32 slot = enter_birth(session, &birth);
    decorate(session, &birth, slot, old_id);
    if (slot && is_in_place)
        tt_index_adopt(&session->index, slot);
    if (slot && variable != TT_NONE)
        tt_session_set_variable(session, slot, variable);
}

/* ---- What came before its cause ---- */

static gboolean let_birth_come_first(TtSession *session, const TtEvent *death) {
    TtEvent birth;

    if (!take_cause(session, death->addr, death->thread, TRUE, &birth))
        return FALSE;
    if (birth.op == TT_OP_ALLOC)
        apply_alloc(session, &birth, 0);
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
        apply_free(session, &death, 0);
    else
        apply_realloc_begin(session, &death, 0);
    return TRUE;
}

/* ---- Batches ---- */

/* Asks for the cell and the bits round an event's address. Returns the leaf, or 0. */
static inline guint32 ask_for_cell(const TtSession *session, const TtEvent *event) {
    guint32 number = tt_index_find_leaf(&session->index, event->addr);

    if (number) {
        TtLeaf *leaf = tt_index_get_leaf(&session->index, number);

        /* The start before may stand in the line before. */
        __builtin_prefetch(tt_leaf_get_cell(leaf, event->addr), 1);
        __builtin_prefetch((const char *)tt_leaf_get_cell(leaf, event->addr) - 32, 1);
        __builtin_prefetch(tt_leaf_get_word(leaf, event->addr), 1);
    }
    return number;
}

/* Asks for the record nearest at or before an event's address: for a death its own, for a birth the
 * one that it is compared with. Always inline, because gcc takes a function that only prefetches
 * for one without effect and drops its calls. */
static inline __attribute__((always_inline)) void
ask_for_record(const TtSession *session, const TtEvent *event, guint32 leaf) {
    if (leaf == 0)
        return;

    guint granule = (event->addr >> 4) % (TT_LEAF_CELLS * 2);
    guint32 slot = tt_leaf_nearest_before(tt_index_get_leaf(&session->index, leaf), granule, TRUE);
    const TtBlock *block = tt_blocks_get(&session->blocks, slot);
    /* Every other record lies across two lines. */
    __builtin_prefetch(block, 1);
    __builtin_prefetch((const char *)block + sizeof *block - 1, 1);
}

/* Asks for an event's site; its record is there by now. A guess: of blocks that share a cell the
 * first is taken, and extras for a site. */
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
        guint32 slot = *tt_leaf_get_cell(tt_index_get_leaf(&session->index, leaf), event->addr);
        if (slot == 0)
            return;
        site = tt_blocks_get(&session->blocks, slot)->site_or_extras;
    }
    __builtin_prefetch(&session->sites.sites[site], 1);
}

static inline void apply_event(TtSession *session, const TtEvent *event, guint32 leaf) {
    tt_session_advance(session, event->stamp);
    switch (event->op) {
    case TT_OP_ALLOC:
        apply_alloc(session, event, leaf);
        break;
    case TT_OP_FREE:
        apply_free(session, event, leaf);
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

static inline __attribute__((always_inline)) void
apply_batch(TtSession *session, const TtEvent *events, gsize count, TtEvent *known, gsize ahead) {
    guint32 leaves[RING];
    gsize cell = 0, record = 0, site = 0;

    session->known_end = known ? known + count + ahead : NULL;
    session->next_event = NULL;
    for (gsize i = 0; i < count; i++) {
        for (; cell < count && cell < i + CELL_AHEAD; cell++)
            leaves[cell % RING] = ask_for_cell(session, &events[cell]);
        for (; record < count && record < i + RECORD_AHEAD; record++)
            ask_for_record(session, &events[record], leaves[record % RING]);
        for (; site < count && site < i + SITE_AHEAD; site++)
            ask_for_site(session, &events[site], leaves[site % RING]);
        if (known)
            session->next_event = known + i + 1;
        apply_event(session, &events[i], leaves[i % RING]);
    }
    session->next_event = session->known_end = NULL;
    tt_sites_drain_lifetimes(&session->sites);
    session->lookback_credit += count;
    tt_index_tidy(&session->index);
}

void tt_session_apply(TtSession *session, const TtEvent *events, gsize count) {
    apply_batch(session, events, count, NULL, 0);
}

void tt_session_apply_ahead(TtSession *session, TtEvent *events, gsize count, gsize ahead) {
    apply_batch(session, events, count, events, ahead);
}
