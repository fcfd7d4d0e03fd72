/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets, what they share, and sizes. */
#include "base/limits.h"

#include <unistd.h>

#define DEFAULT_MEMORY ((gsize)1 << 30)
#define SMALL_SHARE 256u   /* of a pool: what a budget holds without its share being looked at, */
#define RESERVED_SHARE 16u /* out of what is left for such */
#define PUSHING_SHARE 8u   /* what a budget holds at most for which something that is kept goes */

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

/* ---- Pools ---- */

void tt_pool_init(TtPool *pool, gsize limit_bytes, gboolean (*make_room)(gpointer data),
                  gpointer data) {
    *pool = (TtPool){.limit_bytes = limit_bytes, .make_room = make_room, .data = data};
}

void tt_pool_set_kept(TtPool *pool, gsize bytes) {
    __atomic_store_n(&pool->kept_bytes, bytes, __ATOMIC_SEQ_CST);
}

static gsize subtract(gsize from, gsize bytes) { return from - MIN(bytes, from); }

/* @used: as last seen */
static gsize get_left_bytes(const TtPool *pool, gsize used) {
    gsize kept = __atomic_load_n(&pool->kept_bytes, __ATOMIC_SEQ_CST);

    return subtract(subtract(pool->limit_bytes, used), kept);
}

/* @held: by the budget, with the @bytes */
static gboolean take_share(TtPool *pool, gsize held, gsize bytes, gboolean is_brief) {
    gsize used = __atomic_load_n(&pool->used_bytes, __ATOMIC_SEQ_CST);

    do {
        gsize left = get_left_bytes(pool, used);

        if (bytes > left)
            return FALSE;
        if (held > pool->limit_bytes / SMALL_SHARE &&
            (is_brief ? 1 : held) > subtract(left - bytes, pool->limit_bytes / RESERVED_SHARE))
            return FALSE;
    } while (!__atomic_compare_exchange_n(&pool->used_bytes, &used, used + bytes, TRUE,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return TRUE;
}

static gboolean take_from_pool(TtPool *pool, gsize held, gsize bytes, gboolean is_brief) {
    while (!take_share(pool, held, bytes, is_brief))
        if (!pool->make_room || held > pool->limit_bytes / PUSHING_SHARE ||
            __atomic_load_n(&pool->kept_bytes, __ATOMIC_SEQ_CST) == 0 ||
            !pool->make_room(pool->data))
            return FALSE;
    return TRUE;
}

/* ---- Budgets ---- */

void tt_budget_init(TtBudget *budget, gsize limit_bytes, TtPool *pool) {
    *budget = (TtBudget){.limit_bytes = limit_bytes, .pool = pool};
}

void tt_budget_leave_pool(TtBudget *budget) {
    if (budget->pool)
        __atomic_fetch_sub(&budget->pool->used_bytes, tt_budget_get_used(budget), __ATOMIC_SEQ_CST);
    budget->pool = NULL;
}

gboolean tt_budget_has_overdrawn_pool(const TtBudget *budget) {
    return budget->pool &&
           __atomic_load_n(&budget->pool->used_bytes, __ATOMIC_SEQ_CST) > budget->pool->limit_bytes;
}

gboolean tt_budget_take(TtBudget *budget, gsize bytes) {
    gsize used = __atomic_load_n(&budget->used_bytes, __ATOMIC_SEQ_CST);

    do {
        if (used > budget->limit_bytes || bytes > budget->limit_bytes - used)
            return FALSE;
    } while (!__atomic_compare_exchange_n(&budget->used_bytes, &used, used + bytes, TRUE,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    if (!budget->pool || take_from_pool(budget->pool, used + bytes, bytes, budget->is_brief))
        return TRUE;
    __atomic_fetch_sub(&budget->used_bytes, bytes, __ATOMIC_SEQ_CST);
    return FALSE;
}

void tt_budget_force(TtBudget *budget, gsize bytes) {
    __atomic_fetch_add(&budget->used_bytes, bytes, __ATOMIC_SEQ_CST);
    if (budget->pool)
        __atomic_fetch_add(&budget->pool->used_bytes, bytes, __ATOMIC_SEQ_CST);
}

void tt_budget_give(TtBudget *budget, gsize bytes) {
    __atomic_fetch_sub(&budget->used_bytes, bytes, __ATOMIC_SEQ_CST);
    if (budget->pool)
        __atomic_fetch_sub(&budget->pool->used_bytes, bytes, __ATOMIC_SEQ_CST);
}

gsize tt_budget_get_used(const TtBudget *budget) {
    return __atomic_load_n(&budget->used_bytes, __ATOMIC_SEQ_CST);
}
