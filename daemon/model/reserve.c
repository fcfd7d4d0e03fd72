/* SPDX-License-Identifier: Apache-2.0 */
/* Reserved addresses, committed step by step. They are mapped without access first, which costs
 * nothing even where the kernel does not overcommit. Steps grow with what is there: a session of
 * ten blocks takes a page or two, and one of millions lies in huge pages, without which half the
 * time of an event at random goes into address translation.
 *
 * After the first a step is filled with pages at once, for it is about to be used: one by one they
 * cost an exception each, which on a virtual machine may take longer than a hundred events. */
#include "model/reserve.h"

#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

#define STEP_BYTES ((gsize)16 << 10)
#define HUGE_BYTES ((gsize)2 << 20)

static gsize round_up(gsize bytes, gsize unit) { return (bytes + unit - 1) / unit * unit; }

void tt_reserve_init(TtReserve *reserve, gsize max_bytes, TtBudget *budget) {
    *reserve = (TtReserve){.max_bytes = round_up(max_bytes, STEP_BYTES), .budget = budget};
}

void tt_reserve_clear(TtReserve *reserve) {
    if (reserve->mapping)
        munmap(reserve->mapping, reserve->mapping_bytes);
    if (reserve->budget)
        tt_budget_give(reserve->budget, reserve->committed_bytes);
    *reserve = (TtReserve){.budget = NULL};
}

static gboolean map(TtReserve *reserve) {
    gsize bytes = reserve->max_bytes + HUGE_BYTES;
    gpointer mapping =
        mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mapping == MAP_FAILED)
        return FALSE;
    reserve->mapping = mapping;
    reserve->mapping_bytes = bytes;
    reserve->base = (guint8 *)round_up((gsize)mapping, HUGE_BYTES);
    return TRUE;
}

gboolean tt_reserve_grow(TtReserve *reserve, gsize bytes) {
    gsize committed = reserve->committed_bytes;

    if (bytes <= committed)
        return TRUE;
    if (bytes > reserve->max_bytes)
        return FALSE;
    if (!reserve->mapping && !map(reserve))
        return FALSE;

    gsize target = MAX(bytes, committed + CLAMP(committed / 4, STEP_BYTES, HUGE_BYTES));
    target = round_up(target, target <= HUGE_BYTES ? STEP_BYTES : HUGE_BYTES);
    target = MIN(target, reserve->max_bytes);
    if (reserve->budget && !tt_budget_take(reserve->budget, target - committed))
        return FALSE;
    if (mprotect(reserve->base + committed, target - committed, PROT_READ | PROT_WRITE) < 0) {
        if (reserve->budget)
            tt_budget_give(reserve->budget, target - committed);
        return FALSE;
    }
    reserve->committed_bytes = target;
    /* Wishes; without them all is as right, and slower. */
    if (target > HUGE_BYTES) {
        gsize first = committed & ~(HUGE_BYTES - 1);

        (void)madvise(reserve->base + first, target - first, MADV_HUGEPAGE);
    }
    if (committed > 0)
        (void)madvise(reserve->base + committed, target - committed, MADV_POPULATE_WRITE);
    return TRUE;
}
