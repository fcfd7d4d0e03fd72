/* SPDX-License-Identifier: Apache-2.0 */
#include "client/extent.h"

#include <link.h>

#include "client/glibc.h"

#define LEARN_PAGES_MAX 16384u      /* 64 MiB in one go: under 2 ms, once */
#define TLS_SLACK_BYTES (32u << 10) /* what dlopen may add, the thread's descriptor, alignment */
#define MAIN_SLACK_BYTES 256u       /* from the stack pointer at the entry to the first frame */
#define LEARN_DELAY_MAX 65535u

static uint64_t main_high, tls_bytes;

static int add_tls(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size, (void)arg;
    for (size_t i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            tls_bytes += info->dlpi_phdr[i].p_memsz + info->dlpi_phdr[i].p_align;
    return 0;
}

void tt_extent_init(void) {
    if (&__libc_stack_end != NULL)
        main_high = (uint64_t)__libc_stack_end & ~(uint64_t)7;
    tls_bytes = TLS_SLACK_BYTES;
    dl_iterate_phdr(add_tls, NULL);
}

static uint64_t page_of(uint64_t addr) { return addr & ~(uint64_t)(TT_PAGE_BYTES - 1); }

void tt_extent_begin(TtExtent *extent, TtStackCache *cache, uint64_t slot) {
    uint64_t pointer = tt_thread_pointer();

    /* A cache may pass from one thread to another. */
    if (cache->thread_pointer != pointer) {
        cache->thread_pointer = pointer;
        cache->stack_low = cache->stack_high = 0;
        cache->learn_delay = cache->learn_wait = 0;
        cache->frame_count = 0;
    }

    uint64_t high = cache->stack_high, low = high == 0 ? 0 : cache->stack_low;
    extent->own_low = low;
    extent->own_high = high;
    extent->is_foreign = slot - low >= high - low;
    /* The page that the stack pointer is in is in use. */
    extent->high = extent->is_foreign ? page_of(slot) + TT_PAGE_BYTES : high;
}

__attribute__((cold, noinline)) bool tt_extent_grow(TtExtent *extent, uint64_t slot, uint64_t addr,
                                                    uint64_t other) {
    bool is_own = addr - extent->own_low < extent->own_high - extent->own_low;

    /* Nothing is further out than one's own stack. */
    if (slot - extent->own_low < extent->own_high - extent->own_low || ((addr | other) & 7) != 0)
        return false;
    if (addr - slot >= extent->high - slot) {
        if (!is_own && !tt_probe_page(addr))
            return false;
        if (other - slot >= extent->high - slot && page_of(other) != page_of(addr) &&
            !tt_probe_page(other))
            return false;
        extent->high = is_own ? extent->own_high : page_of(addr) + TT_PAGE_BYTES;
        return true;
    }
    return other - slot < extent->high - slot || tt_probe_page(other);
}

bool tt_extent_is_readable(uint64_t from, uint64_t to) {
    if (to < from || (to - from) / TT_PAGE_BYTES > LEARN_PAGES_MAX)
        return false;
    for (uint64_t page = page_of(from); page < to; page += TT_PAGE_BYTES)
        if (!tt_probe_page(page))
            return false;
    return true;
}

__attribute__((cold, noinline)) void tt_extent_learn(TtStackCache *cache, uint64_t slot,
                                                     uint64_t outer, bool is_whole) {
    uint64_t low = page_of(slot), high = 0, known;

    if (outer - cache->stack_low < cache->stack_high - cache->stack_low) {
        high = cache->stack_high;
        known = cache->stack_low;
    } else if (is_whole) {
        if (main_high - outer < MAIN_SLACK_BYTES)
            high = main_high;
        else if (cache->thread_pointer - outer < tls_bytes)
            high = cache->thread_pointer;
        known = high;
    }
    if (high == 0 || slot >= known)
        return;
    /* A coroutine whose stack leads on to the thread's own would be looked at again and again. */
    if (cache->learn_wait > 0) {
        cache->learn_wait--;
        return;
    }
    if (!tt_extent_is_readable(low, known)) {
        cache->learn_wait = cache->learn_delay =
            cache->learn_delay < LEARN_DELAY_MAX ? 2 * cache->learn_delay + 1 : LEARN_DELAY_MAX;
        return;
    }
    cache->learn_delay = 0;
    /* A handler that leaves by longjmp may leave the first without the second: that is nothing yet.
     */
    cache->stack_low = low;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    cache->stack_high = high;
}

bool tt_extent_is_top(uint64_t slot) { return main_high - slot < 64; }
