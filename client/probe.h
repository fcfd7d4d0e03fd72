/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the kernel whether memory can be read, without harm if it cannot.
 *
 * rt_sigprocmask first copies 8 bytes from its @set, and fails with EFAULT where they cannot be
 * read; only then does it look at @how, and an invalid one fails with EINVAL before anything is
 * changed (kernel/signal.c; abseil's address_is_readable.cc relies on the same order). It needs no
 * descriptor, which the program might close or reuse, and is a call that every libc makes. */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/sys.h"

#define TT_PAGE_BYTES 4096u /* of x86-64; larger ones are readable as a whole too */
/* Ours alone: an extern variable is else read through the global offset table. */
#define TT_HIDDEN __attribute__((visibility("hidden")))

#define TT_USER_END ((uint64_t)1 << 47)

/* The program may have forbidden system calls, so often (tt_stack_seal): nothing more can be proven
 * then. */
extern _Atomic uint32_t tt_seal_count TT_HIDDEN;

static inline bool tt_is_sealed_now(void) {
    return atomic_load_explicit(&tt_seal_count, memory_order_relaxed) > 0;
}

/* Can the page of @addr be read? Any thread; another thread may make the answer old. */
static inline bool tt_probe_page(uint64_t addr) {
    if (addr >= TT_USER_END || tt_is_sealed_now())
        return false;
    return TT_SYS4(SYS_rt_sigprocmask, -1, addr & ~(uint64_t)7, NULL, 8) == -EINVAL;
}
