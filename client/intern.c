/* SPDX-License-Identifier: Apache-2.0 */
#include "client/intern.h"

#include <errno.h>

#include "client/lane.h"
#include "client/lock.h"
#include "client/modules.h"

#define INTERN_LEVELS TT_LEVELS_MAX /* up to 5.5 million entries, 85 MiB, for the tests' worst */
#define NODES_MAX 4000000u
#define STACK_RECORD_BYTES 48u

TtLevels tt_intern;

static TtLock lock;
static uint32_t next_id = TT_STACK_FIRST;    /* under the lock */
static _Atomic uint32_t current_session = 1; /* changes under the lock */

int tt_intern_init(void) {
    return tt_levels_map(&tt_intern, 0, TT_INTERN_BITS) == NULL ? -ENOMEM : 0;
}

uint32_t tt_intern_session(void) {
    return atomic_load_explicit(&current_session, memory_order_acquire);
}

void tt_intern_restart(void) {
    uint64_t mask;

    tt_lock_take(&lock, &mask);
    atomic_fetch_add_explicit(&current_session, 1, memory_order_release);
    tt_levels_clear(&tt_intern, TT_INTERN_BITS);
    next_id = TT_STACK_FIRST;
    tt_lock_release(&lock, &mask);
}

/* Only ever followed by tt_intern_restart: what was half done in the parent is forgotten. */
void tt_intern_after_fork(void) { tt_lock_after_fork(&lock); }

/* The node's id, or 0 with the first free entry on its way (or NULL: the way is full or ends where
 * a level is not yet there). */
static uint32_t find(uint32_t parent, uint64_t key, TtEntry **ret_free, unsigned *ret_levels) {
    uint64_t hash = tt_intern_hash(parent, key);

    *ret_free = NULL;
    for (unsigned number = 0; number < INTERN_LEVELS; number++) {
        TtLine *level = tt_levels_peek(&tt_intern, number);
        *ret_levels = number;
        if (level == NULL)
            return 0;

        TtLine *line = tt_level_line(level, number, TT_INTERN_BITS, hash);
        for (unsigned i = 0; i < TT_LINE_ENTRIES; i++) {
            TtEntry *entry = &line->entries[i];
            uint64_t found = atomic_load_explicit(&entry->a, memory_order_acquire);
            if (found == 0) {
                *ret_free = entry;
                return 0;
            }
            uint64_t ids = atomic_load_explicit(&entry->b, memory_order_relaxed);
            if (found == key && ids >> 32 == parent)
                return (uint32_t)ids;
        }
    }
    *ret_levels = INTERN_LEVELS;
    return 0;
}

/* Under the lock, with room in the lane: definition first, then the entry that others find. */
static uint32_t add(TtThread *thread, uint32_t parent, uint64_t key, TtEntry *entry) {
    static TtRecordStack record; /* off the program's stack */
    uint64_t module = key >> TT_KEY_MODULE_SHIFT;

    record = (TtRecordStack){
        .id = next_id,
        .parent = parent,
        .ip = key & TT_KEY_IP_MASK,
        .module = module,
        .flags = (key & TT_KEY_EXACT) != 0 ? TT_STACK_EXACT_IP : 0,
    };

    if (tt_modules_announce_bytes(module, tt_intern_session()) > 0)
        tt_modules_announce(thread, module, record.ip, tt_intern_session());
    thread->at += tt_encode_stack(thread->at, STACK_RECORD_BYTES, &record);
    tt_lane_publish(thread);

    atomic_store_explicit(&entry->b, (uint64_t)parent << 32 | next_id, memory_order_relaxed);
    /* Pairs with the acquire in tt_intern_get. */
    atomic_store_explicit(&entry->a, key, memory_order_release);
    return next_id++;
}

/* The entry that a new node goes to, or NULL. Under the lock. */
static TtEntry *make_room(uint32_t parent, uint64_t key, unsigned number) {
    if (number == INTERN_LEVELS || next_id - TT_STACK_FIRST >= NODES_MAX)
        return NULL;

    TtLine *level = tt_levels_map(&tt_intern, number, TT_INTERN_BITS);
    return level == NULL
               ? NULL
               : tt_level_line(level, number, TT_INTERN_BITS, tt_intern_hash(parent, key))->entries;
}

__attribute__((cold, noinline)) uint32_t tt_intern_get_slow(TtThread *thread, uint32_t parent,
                                                            uint64_t key, uint32_t session) {
    uint64_t mask;
    TtEntry *entry;
    unsigned levels;
    uint32_t id = find(parent, key, &entry, &levels);

    if (id != 0)
        return id;
    if (parent == TT_STACK_NONE || tt_is_sealed_now())
        return TT_STACK_NONE;

    /* The lane may have to wait: before the lock, never under it. */
    size_t room =
        STACK_RECORD_BYTES + tt_modules_announce_bytes(key >> TT_KEY_MODULE_SHIFT, session);
    if (!tt_lane_reserve(thread, room))
        return 0;

    tt_lock_take(&lock, &mask);
    if (session == tt_intern_session()) {
        id = find(parent, key, &entry, &levels);
        if (id == 0 && entry == NULL)
            entry = make_room(parent, key, levels);
        if (id == 0)
            id = entry == NULL || next_id - TT_STACK_FIRST >= NODES_MAX
                     ? TT_STACK_NONE
                     : add(thread, parent, key, entry);
    }
    tt_lock_release(&lock, &mask);
    return id;
}
