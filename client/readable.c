/* SPDX-License-Identifier: Apache-2.0 */
#include "client/readable.h"

#include <string.h>

#include "client/probe.h"

#define VISIT_PAGES 16u
#define OBJECT_PAGES 1024u /* the tables of a compiler's 60,000 functions are as many */

/* Page + 1, at the page's remainder; 0: none. */
static uint64_t visit_pages[VISIT_PAGES], object_pages[OBJECT_PAGES];
static uint32_t object_epoch; /* of object_pages */
static uint64_t object_start, object_end;

void tt_readable_begin(uint32_t epoch) {
    memset(visit_pages, 0, sizeof visit_pages);
    object_start = object_end = 0;
    if (object_epoch == epoch)
        return;
    memset(object_pages, 0, sizeof object_pages);
    object_epoch = epoch;
}

void tt_readable_set_object(uint64_t start, uint64_t end) {
    object_start = start;
    object_end = end;
}

bool tt_readable_page(uint64_t addr) {
    uint64_t page = addr / TT_PAGE_BYTES;
    uint64_t *known = addr - object_start < object_end - object_start
                          ? &object_pages[page % OBJECT_PAGES]
                          : &visit_pages[page % VISIT_PAGES];

    if (*known != page + 1) {
        if (!tt_probe_page(addr))
            return false;
        *known = page + 1;
    }
    return true;
}

bool tt_readable_get(uint64_t addr, uint64_t *ret_value) {
    if (!tt_readable_page(addr) || !tt_readable_page(addr + 7))
        return false;
    memcpy(ret_value, (const void *)addr, 8);
    return true;
}
