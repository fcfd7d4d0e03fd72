/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of cold paths. Its holder has all signals blocked, so a handler never meets a lock that
 * its own thread holds; nothing is called under it that could take a lock of anybody else's. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "client/sys.h"

typedef struct TtLock {
    _Atomic uint32_t owner; /* tid, or 0 */
} TtLock;

/* Waits, also for a holder of lower priority. @ret_mask goes to tt_lock_release. */
static inline void tt_lock_take(TtLock *lock, uint64_t *ret_mask) {
    tt_sys_block_signals(ret_mask);
    uint32_t tid = tt_sys_gettid();
    unsigned round = 0;

    for (uint32_t owner = 0; !atomic_compare_exchange_weak_explicit(
             &lock->owner, &owner, tid, memory_order_acquire, memory_order_relaxed);
         owner = 0)
        tt_sys_wait_a_little(round++);
}

static inline void tt_lock_release(TtLock *lock, const uint64_t *mask) {
    atomic_store_explicit(&lock->owner, 0, memory_order_release);
    tt_sys_restore_signals(mask);
}

/* In a forked child: whoever held it is no more. */
static inline void tt_lock_after_fork(TtLock *lock) {
    atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
}
