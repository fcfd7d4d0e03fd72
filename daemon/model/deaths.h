/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: how a block's life ends in the books. Inline what every death passes
 * through; what is rare of it is in deaths.c. */
#pragma once

#include "model/session-state.h"

G_BEGIN_DECLS

/* Takes a block out of the sums of its names. Cold. */
void tt_death_leave_names(TtSession *session, const TtBlock *block, const TtExtras *extras);

/* The extras that go with a block into the history; 0: no room. Cold. */
guint32 tt_death_make_extras(TtSession *session, const TtBlock *block, guint32 freed_stack,
                             gboolean is_pinned);

/* Writes a death into the history. Returns whether the block's extras have gone there. */
static inline __attribute__((always_inline)) gboolean
tt_death_remember(TtSession *session, const TtBlock *block, guint16 freed_by, guint32 freed_stack,
                  gboolean is_pinned) {
    gboolean has_extras = (block->flags & TT_BLOCK_HAS_EXTRAS) || freed_stack != TT_STACK_NONE ||
                          tt_freed_is_wide(block->addr, block->size);
    guint32 site_or_extras = block->site_or_extras;

    if (G_UNLIKELY(session->history.limit == 0)) {
        tt_history_skip(&session->history); /* one that nobody can look up */
        return FALSE;
    }
    if (G_UNLIKELY(has_extras)) {
        site_or_extras = tt_death_make_extras(session, block, freed_stack, is_pinned);
        if (!site_or_extras) {
            tt_history_skip(&session->history);
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

/* A block of a sample has died: takes its variance away. Returns its weight. Cold. */
TtAmount tt_death_weigh(TtSession *session, const TtBlock *block, guint32 site);

/* A block has died; it is out of the index. For the hot path, where @is_sampled is a constant: what
 * it asks for is not there where it is FALSE.
 *
 * @freed_by: TT_THREAD_NONE where nobody was seen to free it: then nothing is known of how long it
 * lived
 * @is_sampled: tt_session_is_sampled() */
static inline __attribute__((always_inline)) void tt_death_bury(TtSession *session, guint32 slot,
                                                                guint16 freed_by,
                                                                guint32 freed_stack,
                                                                gboolean is_sampled) {
    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    TtThread *threads = session->threads.threads;
    TtThread *born_in = &threads[block->thread];
    guint32 site = tt_block_get_site(&session->blocks, block);
    TtAmount weight = {.blocks = 1, .bytes = block->size};
    gboolean is_pinned = block->id < session->pins.below_id;

    if (is_sampled)
        weight = tt_death_weigh(session, block, site);
    session->live_bytes -= weight.bytes;
    session->live_blocks -= weight.blocks;
    session->frees += weight.blocks;
    session->freed += weight.bytes;
    tt_sites_remove_block(&session->sites, site, weight);
    born_in->died_blocks += weight.blocks;
    born_in->died_bytes += weight.bytes;
    if (G_LIKELY(freed_by != TT_THREAD_NONE)) {
        guint64 temporary = born_in->last_id == block->id ? weight.blocks : 0;

        threads[freed_by].frees += weight.blocks;
        threads[freed_by].freed += weight.bytes;
        session->temporary += temporary;
        tt_sites_get(&session->sites, site)->temporary_blocks += temporary;
        if (is_sampled)
            tt_sites_add_lifetime(&session->sites, site, session->now - block->born, weight.blocks);
        else
            tt_sites_note_lifetime(&session->sites, site, session->now - block->born);
    }

    block->flags &= TT_BLOCK_HAS_EXTRAS;
    if (G_UNLIKELY(block->flags))
        tt_death_leave_names(session, block,
                             tt_extras_get(&session->blocks.extras, block->site_or_extras));
    gboolean has_moved = tt_death_remember(session, block, freed_by, freed_stack, is_pinned);
    if (G_UNLIKELY(is_pinned)) {
        tt_pins_keep_dead(&session->pins, &session->blocks, slot);
        return;
    }
    if (G_UNLIKELY(block->flags) && !has_moved)
        tt_extras_free(&session->blocks.extras, block->site_or_extras);
    tt_blocks_release_slot(&session->blocks, slot);
}

/* The same for everybody else. */
void tt_session_bury(TtSession *session, guint32 slot, guint16 freed_by, guint32 freed_stack);

/* What was alive here cannot be any more: it was freed and nobody saw it. Cold. */
void tt_session_free_unseen(TtSession *session, guint32 slot);

/* One of the blocks that are counted only has died; there must be one. Cold. */
void tt_session_free_shed(TtSession *session, guint16 thread);

/* A free of an address where no live block starts, or the begin of such a block's reallocation.
 * Cold. */
void tt_session_free_unknown(TtSession *session, const TtEvent *event);

G_END_DECLS
