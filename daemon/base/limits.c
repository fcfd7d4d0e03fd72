/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets and sizes. */
#include "base/limits.h"

#include <unistd.h>

#define DEFAULT_MEMORY ((gsize)1 << 30)

gsize tt_limits_default_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);

    if (pages <= 0 || page_size <= 0)
        return DEFAULT_MEMORY;
    return MIN(DEFAULT_MEMORY, (gsize)pages / 4 * (gsize)page_size);
}

gboolean tt_limits_parse_size(const char *text, gsize *ret_bytes) {
    guint64 number;
    gsize digits = strspn(text, "0123456789");
    g_autofree char *count = g_strndup(text, digits);
    guint shift;

    switch (text[digits]) {
    case '\0':
        shift = 0;
        break;
    case 'k':
    case 'K':
        shift = 10;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'g':
    case 'G':
        shift = 30;
        break;
    default:
        return FALSE;
    }
    if (digits == 0 || (shift > 0 && text[digits + 1] != '\0') ||
        !g_ascii_string_to_unsigned(count, 10, 0, G_MAXSIZE >> shift, &number, NULL))
        return FALSE;
    *ret_bytes = (gsize)number << shift;
    return TRUE;
}

void tt_budget_init(TtBudget *budget, gsize limit_bytes) {
    *budget = (TtBudget){.limit_bytes = limit_bytes};
}

gboolean tt_budget_take(TtBudget *budget, gsize bytes) {
    gsize used = __atomic_load_n(&budget->used_bytes, __ATOMIC_SEQ_CST);

    do {
        if (used > budget->limit_bytes || bytes > budget->limit_bytes - used)
            return FALSE;
    } while (!__atomic_compare_exchange_n(&budget->used_bytes, &used, used + bytes, TRUE,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return TRUE;
}

void tt_budget_force(TtBudget *budget, gsize bytes) {
    __atomic_fetch_add(&budget->used_bytes, bytes, __ATOMIC_SEQ_CST);
}

void tt_budget_give(TtBudget *budget, gsize bytes) {
    __atomic_fetch_sub(&budget->used_bytes, bytes, __ATOMIC_SEQ_CST);
}

gsize tt_budget_get_used(const TtBudget *budget) {
    return __atomic_load_n(&budget->used_bytes, __ATOMIC_SEQ_CST);
}
