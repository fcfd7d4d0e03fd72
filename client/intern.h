/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks as a tree: a node is a frame called from its parent's, and its id that of the whole stack
 * from there outward. A node is defined in some thread's lane before any thread can find it here.
 *
 * Nodes lie in the order in which they came, found by their ids: so the nodes of a stack, and of
 * those that are met next, are neighbours in memory, where in a hash each would be a cache miss.
 * The callees of a frame are a tree again, by the bits of a hash of their keys, and whoever finds
 * an empty link puts a new one there with one compare-and-swap: no lock, nothing is ever moved, a
 * handler may come in between. Of two threads that define one node at once, one has defined an id
 * in vain.
 *
 * Of the first 4 million nodes each gets an id; what is new after that is TT_STACK_NONE, "other":
 * sums hold, and nothing is ascribed to a wrong stack. */
#pragma once

#include "client/rules.h"
#include "client/thread.h"

#define TT_NODES_A_PART (1u << 14)
#define TT_NODE_PARTS 256u /* 384 KiB each, mapped when the first of its nodes comes */

typedef struct TtNode {
    uint64_t key;              /* of its frame (rules.h); does not change once it can be found */
    _Atomic uint32_t callees;  /* id of the first that came; 0: none. Release */
    _Atomic uint32_t links[2]; /* ids of callees of the same frame, by the next bit of their hash */
} TtNode;

/* The nodes of one session. */
typedef struct TtNodes {
    _Atomic(TtNode *) parts[TT_NODE_PARTS];
    _Atomic uint32_t next_id;
    uint32_t session; /* from 1 */
} TtNodes;

/* Returns 0, or -ENOMEM. In the library's constructor. */
int tt_intern_init(void);

/* The nodes of the session that is current. They stay readable for some sessions more: a thread may
 * be in a hook that began in an earlier one. */
TtNodes *tt_intern_nodes(void);

/* Begins anew: no node is known. @keeps_ids: those that were given are not given again. Callers
 * hold the session's lock. */
void tt_intern_restart(bool keeps_ids);
void tt_intern_after_fork(void);

/* The nodes so far have lesser ids. */
uint32_t tt_intern_next_id(void);

/* A new node, of whose absence the caller has made sure just before. Returns as tt_intern_get. */
uint32_t tt_intern_add(TtThread *thread, TtNodes *nodes, uint32_t parent, uint64_t key);

/* A node by its id: one that was found, or is below TT_STACK_FIRST. */
static inline TtNode *tt_intern_node(const TtNodes *nodes, uint32_t id) {
    return atomic_load_explicit(&nodes->parts[id / TT_NODES_A_PART], memory_order_relaxed) +
           id % TT_NODES_A_PART;
}

/* A key's way among the callees of a frame, its upper bit first. No two keys have the same. */
static inline uint64_t tt_intern_hash(uint64_t key) { return key * 0x9e3779b97f4a7c15u; }

/* The id of the node of @key (rules.h) below @parent, which is TT_STACK_ROOT, TT_STACK_TRUNCATED or
 * was returned from here.
 *
 * Returns TT_STACK_NONE where there are too many, or 0 where its definition could not be written:
 * the lane is full. May wait for the lane; no lock of ours may be held. */
static inline __attribute__((always_inline)) uint32_t
tt_intern_get(TtThread *thread, TtNodes *nodes, uint32_t parent, uint64_t key) {
    uint64_t hash = tt_intern_hash(key);
    const _Atomic uint32_t *link = &tt_intern_node(nodes, parent)->callees;

    for (;; hash <<= 1) {
        /* Pairs with the release in put. */
        uint32_t id = atomic_load_explicit(link, memory_order_acquire);
        if (__builtin_expect(id == 0, 0))
            return tt_intern_add(thread, nodes, parent, key);
        const TtNode *node = tt_intern_node(nodes, id);
        if (node->key == key)
            return id;
        link = &node->links[hash >> 63];
    }
}
