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

/* What several budgets grow into; nothing is set aside for those that do not grow.
 *
 * A budget may hold as much as would be left afterwards. So one that takes all it can get stops at
 * about a half, a second one at a third each, or at a quarter where it comes later, and there is
 * something left for whoever comes, without anybody having to know how many there are. What is
 * small (1/256 of the pool) has the last 1/16 to itself. What is kept makes room for a budget that
 * holds up to 1/8, a brief one too, but not for the rest of what a greedy one could get.
 *
 * Plain memory; outlives its budgets. Fixed after init but for the two atomic counters, which are
 * sequentially consistent, and on which nothing hangs. */
typedef struct TtPool {
    gsize limit_bytes;
    gsize used_bytes; /* atomic: by its budgets */
    gsize kept_bytes; /* atomic: by what is kept for as long as nobody needs the room */
    /* Called without a lock: gives up some of what is kept, or returns FALSE. Any thread; NULL:
     * nothing is kept. */
    gboolean (*make_room)(gpointer data);
    gpointer data;
} TtPool;

void tt_pool_init(TtPool *pool, gsize limit_bytes, gboolean (*make_room)(gpointer data),
                  gpointer data);

/* Any thread. */
void tt_pool_set_kept(TtPool *pool, gsize bytes);

/* An amount that several threads take from. Plain memory; owned by whoever declares it. */
typedef struct TtBudget {
    gsize limit_bytes; /* fixed after init */
    gsize used_bytes;  /* atomic, sequentially consistent: a plain counter, nothing hangs on it */
    TtPool *pool;      /* borrowed; NULL: none */
    /* Set after init, for what is given back in a moment: it may have all that is left but what is
     * for the small. */
    gboolean is_brief;
} TtBudget;

/* @pool: (nullable): what its bytes are taken out of besides */
void tt_budget_init(TtBudget *budget, gsize limit_bytes, TtPool *pool);

/* What it holds counts in its pool no longer. Not while another thread uses it. */
void tt_budget_leave_pool(TtBudget *budget);

/* Whether more is taken out of its pool than there is, which tt_budget_force alone can do. */
gboolean tt_budget_has_overdrawn_pool(const TtBudget *budget);

/* Takes @bytes, or returns FALSE and takes nothing: the budget would be exceeded, or its share of
 * the pool. Any thread. */
gboolean tt_budget_take(TtBudget *budget, gsize bytes);

/* Takes @bytes in any case, for what must go on; the next tt_budget_take feels it. Any thread. */
void tt_budget_force(TtBudget *budget, gsize bytes);

/* Gives back what was taken. Any thread. */
void tt_budget_give(TtBudget *budget, gsize bytes);

gsize tt_budget_get_used(const TtBudget *budget);

G_END_DECLS
