/* SPDX-License-Identifier: Apache-2.0 */
/* Who is charged for what: the memory of the daemon is bounded by one number, and everything that a
 * program can make grow is taken out of a budget first. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the daemon keeps to where nothing else is said: 1 GiB, or a quarter of the machine's memory
 * where that is less. Any thread. */
gsize tt_limits_default_memory(void);

/**
 * tt_limits_parse_size:
 * @text: digits and one of the letters K, M, G (or k, m, g), or none
 * @ret_bytes: (out): set on success only
 *
 * Returns: %FALSE: not a size, or more than memory has addresses
 */
gboolean tt_limits_parse_size(const char *text, gsize *ret_bytes);

/* An amount that several threads take from. Plain memory; owned by whoever declares it. */
typedef struct TtBudget {
    gsize limit_bytes; /* fixed after init */
    gsize used_bytes;  /* atomic, sequentially consistent: a plain counter, nothing hangs on it */
} TtBudget;

void tt_budget_init(TtBudget *budget, gsize limit_bytes);

/* Takes @bytes, or returns FALSE and takes nothing: the budget would be exceeded. Any thread. */
gboolean tt_budget_take(TtBudget *budget, gsize bytes);

/* Takes @bytes in any case, for what must go on; the next tt_budget_take feels it. Any thread. */
void tt_budget_force(TtBudget *budget, gsize bytes);

/* Gives back what was taken. Any thread. */
void tt_budget_give(TtBudget *budget, gsize bytes);

gsize tt_budget_get_used(const TtBudget *budget);

G_END_DECLS
