/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to stack.c: inner parts of earlier stacks, known again where they stand as they stood.
 *
 * A program does most of its work on a stack that changes at its inner end alone: functions are
 * called from one frame, return, and are called again. The last stack knows one such inner part,
 * and each other one would be walked and looked up anew. A branch is a part that was the last
 * stack's once: its innermost frame, the words that were read from there to the frame that it
 * stands on, and the whole's id. It is proven again in the way of the last stack (stack.c): where
 * it begins at the same slot and ip, and its words are as they were, a walk would come to the same
 * frame; and where that is still in the last stack and all beyond it too, to the same end.
 *
 * Only on the thread's own stack, where all between two slots can be read. */
#pragma once

#include "client/rules.h"
#include "client/stack.h"

/* Where the branches from @slot and @ip are, TT_STACK_BRANCH_WAYS of them. */
static inline TtStackBranch *tt_branches_at(TtStackCache *cache, uint64_t slot, uint64_t ip) {
    uint64_t hash = (ip + slot) * 0x9e3779b97f4a7c15u;

    return &cache->branches[(hash >> (64 - TT_STACK_BRANCH_BITS)) * TT_STACK_BRANCH_WAYS];
}

/* The frame of the last stack that a branch from @slot, @ip and @bp stands on, if it still does;
 * what is beyond is for the caller to prove. Else NULL. @slot is in the thread's own stack. */
static inline const TtStackFrame *tt_branch_find_join(const TtStackCache *cache,
                                                      const TtStackBranch *branch, uint64_t slot,
                                                      uint64_t ip, uint64_t bp) {
    const TtStackFrame *join = &cache->frames[branch->join];

    if (branch->slot != slot || !tt_key_is(branch->key, ip) || branch->epoch != cache->epoch ||
        (branch->needs_bp && branch->hidden_bp != ~bp))
        return NULL;
    if (branch->join < TT_STACK_DEPTH_MAX - cache->frame_count || join->slot != branch->join_slot ||
        join->slot >= cache->stack_high || join->node != branch->join_node ||
        (join->needs_bp && join->hidden_bp != branch->hidden_join_bp))
        return NULL;
    for (uint32_t i = 0; i < branch->word_count; i++)
        if (*(const uint64_t *)(slot + branch->offsets[i]) != branch->values[i])
            return NULL;
    return join;
}

/* Is the stack of @id walked for the second time? Most that come once do not come again. */
static inline bool tt_branch_is_worth_it(TtStackCache *cache, uint32_t id) {
    uint32_t *walked = &cache->walked[id % TT_STACK_WALKED];
    bool is_again = *walked == id;

    *walked = id;
    return is_again;
}

/* Keeps the inner part of the last stack, from @ip up to the frame of index @join. A handler that
 * leaves by longjmp leaves no half of a branch behind. */
static inline void tt_branch_keep(TtStackCache *cache, uint64_t ip, uint32_t join) {
    const TtStackFrame *frame = &cache->frames[TT_STACK_DEPTH_MAX - cache->frame_count];
    const TtStackFrame *outer = &cache->frames[join];
    uint32_t count = (uint32_t)(outer->word - frame->word);
    const TtStackWord *word = &cache->words[frame->word];

    if (count > TT_STACK_BRANCH_WORDS || outer->slot - frame->slot > UINT16_MAX)
        return;

    TtStackBranch *branch = tt_branches_at(cache, frame->slot, ip);

    branch += cache->next_branch++ % TT_STACK_BRANCH_WAYS;
    branch->slot = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    branch->key = frame->key;
    branch->hidden_bp = frame->hidden_bp;
    branch->needs_bp = frame->needs_bp;
    branch->node = frame->node;
    branch->epoch = cache->epoch;
    branch->join = (uint16_t)join;
    branch->join_slot = outer->slot;
    branch->join_node = outer->node;
    branch->hidden_join_bp = outer->hidden_bp;
    branch->word_count = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        branch->offsets[i] = (uint16_t)((uint64_t)word[i].addr - frame->slot);
        branch->values[i] = word[i].value;
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    branch->slot = frame->slot;
}
