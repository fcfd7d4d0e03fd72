/* SPDX-License-Identifier: Apache-2.0 */
#include "client/intern.h"

#include <errno.h>

#include "client/lane.h"
#include "client/lock.h"
#include "client/modules.h"
#include "client/pages.h"

#define SESSIONS 4u /* how many of the last have nodes still; each takes a second at least */
#define NODES_MAX 4000000u
#define PART_BYTES (TT_NODES_A_PART * sizeof(TtNode))
#define FILL_BYTES ((size_t)64 << 10)
#define STACK_RECORD_BYTES 48u

_Static_assert(PART_BYTES % FILL_BYTES == 0, "no step goes beyond its part");
_Static_assert(NODES_MAX + TT_STACK_FIRST + TT_LANES_MAX <= TT_NODES_A_PART * TT_NODE_PARTS,
               "each id has a place, those too that threads draw beyond the limit at once");

static TtNodes sessions[SESSIONS]; /* by their number's remainder */
static _Atomic(TtNodes *) current; /* release; NULL: no memory for its first node */
static TtLock lock;                /* of announcing modules */

/* The part that holds an id is there from here on, or false: no memory. */
static bool ensure_part(TtNodes *nodes, uint32_t id) {
    _Atomic(TtNode *) *part = &nodes->parts[id / TT_NODES_A_PART];
    TtNode *known = atomic_load_explicit(part, memory_order_acquire);

    if (known != NULL)
        return true;
    TtNode *mapped = tt_pages_map(PART_BYTES);
    if (mapped == NULL)
        return false;
    if (!atomic_compare_exchange_strong_explicit(part, &known, mapped, memory_order_acq_rel,
                                                 memory_order_acquire))
        tt_sys_unmap(mapped, PART_BYTES); /* another thread was faster */
    return true;
}

/* After the first nodes, which are all that a small program has, many follow. */
static void fill_ahead(TtNodes *nodes, uint32_t id) {
    size_t at = id % TT_NODES_A_PART * sizeof(TtNode), step = at - at % FILL_BYTES;

    if (at % FILL_BYTES < sizeof(TtNode) && id * sizeof(TtNode) >= FILL_BYTES)
        tt_pages_fill((char *)tt_intern_node(nodes, id - id % TT_NODES_A_PART) + step, FILL_BYTES);
}

static bool begin(TtNodes *nodes, uint32_t session, uint32_t first_id) {
    for (uint32_t i = 0; i < TT_NODE_PARTS; i++) {
        TtNode *part = atomic_load_explicit(&nodes->parts[i], memory_order_relaxed);
        if (part != NULL)
            tt_pages_zero(part, PART_BYTES);
    }
    nodes->session = session;
    atomic_store_explicit(&nodes->next_id, first_id, memory_order_relaxed);
    bool is_ready = ensure_part(nodes, TT_STACK_ROOT);
    /* Pairs with the acquire in tt_intern_nodes. */
    atomic_store_explicit(&current, is_ready ? nodes : NULL, memory_order_release);
    return is_ready;
}

int tt_intern_init(void) { return begin(&sessions[0], 1, TT_STACK_FIRST) ? 0 : -ENOMEM; }

TtNodes *tt_intern_nodes(void) { return atomic_load_explicit(&current, memory_order_acquire); }

void tt_intern_restart(bool keeps_ids) {
    static uint32_t number = 1;
    const TtNodes *last = &sessions[(number - 1) % SESSIONS];
    uint32_t next_id = atomic_load_explicit(&last->next_id, memory_order_relaxed);

    number++;
    begin(&sessions[(number - 1) % SESSIONS], number,
          keeps_ids && next_id < NODES_MAX ? next_id
          : keeps_ids                      ? NODES_MAX
                                           : TT_STACK_FIRST);
}

void tt_intern_after_fork(void) { tt_lock_after_fork(&lock); }

uint32_t tt_intern_next_id(void) {
    const TtNodes *nodes = tt_intern_nodes();

    return nodes == NULL ? TT_STACK_FIRST
                         : atomic_load_explicit(&nodes->next_id, memory_order_relaxed);
}

/* One thread tells of a module; others that need it wait until it has. */
static void announce(TtThread *thread, const TtNodes *nodes, uint64_t key) {
    uint64_t mask, module = key >> TT_KEY_MODULE_SHIFT;

    tt_lock_take(&lock, &mask);
    if (tt_modules_announce_bytes(module, nodes->session) > 0)
        tt_modules_announce(thread, module, key & TT_KEY_IP_MASK, nodes->session);
    tt_lock_release(&lock, &mask);
}

static void define(TtThread *thread, uint32_t id, uint32_t parent, uint64_t key) {
    TtRecordStack stack = {
        .id = id,
        .parent = parent,
        .ip = key & TT_KEY_IP_MASK,
        .module = key >> TT_KEY_MODULE_SHIFT,
        .flags = (key & TT_KEY_EXACT) != 0 ? TT_STACK_EXACT_IP : 0,
    };
    TtRecordNode node = tt_node_of_stack(&thread->delta, &stack);

    thread->at += tt_encode_node(thread->at, STACK_RECORD_BYTES, &node);
    tt_lane_publish(thread);
}

/* Puts a node where it is looked for. Returns the id by which it is found there: another's, where
 * that has come first. */
static uint32_t put(TtNodes *nodes, uint32_t parent, uint64_t key, uint32_t id) {
    _Atomic uint32_t *link = &tt_intern_node(nodes, parent)->callees;

    for (uint64_t hash = tt_intern_hash(key);; hash <<= 1) {
        uint32_t found = 0;
        /* Pairs with the acquire in tt_intern_get. */
        if (atomic_compare_exchange_strong_explicit(link, &found, id, memory_order_release,
                                                    memory_order_acquire))
            return id;
        TtNode *node = tt_intern_node(nodes, found);
        if (node->key == key)
            return found;
        link = &node->links[hash >> 63];
    }
}

__attribute__((cold, noinline)) uint32_t tt_intern_add(TtThread *thread, TtNodes *nodes,
                                                       uint32_t parent, uint64_t key) {
    if (parent == TT_STACK_NONE || tt_is_sealed_now() ||
        atomic_load_explicit(&nodes->next_id, memory_order_relaxed) >= NODES_MAX)
        return TT_STACK_NONE;

    /* The lane may have to wait: before a lock, never under it. */
    size_t room = tt_modules_announce_bytes(key >> TT_KEY_MODULE_SHIFT, nodes->session);
    if (!tt_lane_reserve(thread, STACK_RECORD_BYTES + room))
        return 0;
    if (room > 0)
        announce(thread, nodes, key);

    uint32_t id = atomic_fetch_add_explicit(&nodes->next_id, 1, memory_order_relaxed);
    if (!ensure_part(nodes, id))
        return TT_STACK_NONE;
    fill_ahead(nodes, id);
    tt_intern_node(nodes, id)->key = key;
    define(thread, id, parent, key);
    return put(nodes, parent, key, id);
}
