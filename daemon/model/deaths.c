/* SPDX-License-Identifier: Apache-2.0 */
#include "model/deaths.h"

#define LOOKBACK_FREES 4096u /* how far back a double free is recognized */
#define LOOKBACK_EVENTS 64u  /* each such search is paid for by so many events */

#define MISTAKABLE                                                                                 \
    "Blocks that the program left out (tt_pause) cannot be told from those that are counted "      \
    "only: where one was freed or resized, one of these is taken to have been."

void tt_death_leave_names(TtSession *session, const TtBlock *block, const TtExtras *extras) {
    TtAmount weight = tt_sampling_get_weight(&session->sampling, block->id, block->size);

    if (extras->variable != TT_NONE) {
        TtVariableRow *row = tt_names_get_variable(&session->names, extras->variable);

        row->live_blocks -= weight.blocks;
        row->live_bytes -= weight.bytes;
    }
    if (extras->scope != TT_NONE) {
        TtScopeRow *row = &tt_names_get_scope(&session->names, extras->scope)->row;

        row->live_blocks -= weight.blocks;
        row->live_bytes -= weight.bytes;
    }
}

guint32 tt_death_make_extras(TtSession *session, const TtBlock *block, guint32 freed_stack,
                             gboolean is_pinned) {
    TtExtrasPool *pool = &session->blocks.extras;
    gboolean is_wide = tt_freed_is_wide(block->addr, block->size);
    guint32 number = block->site_or_extras, wide = is_wide ? tt_extras_new(pool, 0) : 0;

    if (is_wide && !wide)
        return 0;
    if (!(block->flags & TT_BLOCK_HAS_EXTRAS))
        number = tt_extras_new(pool, block->site_or_extras);
    else if (is_pinned) /* the pin's readers need them as they are */
        number = tt_extras_copy(pool, number);
    if (!number) {
        tt_extras_free(pool, wide);
        return 0;
    }

    TtExtras *extras = tt_extras_get(pool, number);
    tt_extras_forget_older(pool, number);
    extras->freed_stack =
        tt_stacks_read_flags(session->stacks, freed_stack) ? freed_stack : TT_STACK_NONE;
    extras->wide_extras = wide;
    if (wide) {
        tt_extras_get(pool, wide)->wide.addr = block->addr;
        tt_extras_get(pool, wide)->wide.size = block->size;
    }
    return number;
}

TtAmount tt_death_weigh(TtSession *session, const TtBlock *block, guint32 site) {
    TtAmount weight = {.blocks = 0};
    TtVariance variance = {.blocks = 0};

    (void)tt_sampling_weigh(&session->sampling, block->id, block->size, &weight, &variance);
    tt_sites_remove_variance(&session->sites, site, &variance);
    session->sampling.deaths++;
    return weight;
}

void tt_session_bury(TtSession *session, guint32 slot, guint16 freed_by, guint32 freed_stack) {
    if (tt_session_is_sampled(session))
        tt_death_bury(session, slot, freed_by, freed_stack, TRUE);
    else
        tt_death_bury(session, slot, freed_by, freed_stack, FALSE);
}

void tt_session_free_unseen(TtSession *session, guint32 slot) {
    tt_session_bury(session, slot, TT_THREAD_NONE, TT_STACK_NONE);
    session->synthesized_frees++;
}

void tt_session_free_shed(TtSession *session, guint16 thread) {
    TtAmount weight = {.blocks = 1};
    TtVariance variance;
    guint32 site;

    tt_shed_take(&session->shed, &site, &weight.bytes);
    if (tt_session_is_sampled(session)) {
        tt_shed_take_weight(&session->shed, site, &weight.blocks, &variance);
        tt_sites_remove_variance(&session->sites, site, &variance);
        session->sampling.deaths++;
    }
    session->live_bytes -= weight.bytes;
    session->live_blocks -= weight.blocks;
    session->frees += weight.blocks;
    session->freed += weight.bytes;
    session->threads.threads[thread].frees += weight.blocks;
    session->threads.threads[thread].freed += weight.bytes;
    tt_sites_remove_block(&session->sites, site, weight);
    if (session->has_paused)
        tt_session_add_doubt(session, MISTAKABLE);
}

void tt_session_free_unknown(TtSession *session, const TtEvent *event) {
    gboolean is_shed = session->shed.blocks > 0;

    if (event->op == TT_OP_REALLOC_BEGIN) /* the end tells whether it dies */
        session->threads.threads[event->thread].has_open_shed = is_shed;
    else if (is_shed)
        tt_session_free_shed(session, event->thread);
    if (is_shed)
        return;
    /* Of a block that is not in the sample, or was born in a pause. */
    if (tt_session_is_sampled(session) || session->has_paused)
        return;
    /* Searching costs as much as dozens of events, and a program may do nothing else. Where events
     * are missing, another block may have been born at the address and nobody saw it. */
    if (session->lookback_credit >= LOOKBACK_EVENTS && !tt_session_has_missed(session)) {
        session->lookback_credit -= LOOKBACK_EVENTS;
        if (tt_history_has_recent(&session->history, event->addr, LOOKBACK_FREES)) {
            session->double_frees++;
            return;
        }
    }
    session->unknown_frees++;
}
