/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of extras, and the versions of a name. A pin sees a block as it was then; so a name that
 * is given while pins are held leaves the earlier one behind, once for each newest pin. */
#include "model/extras.h"

#include "model/sites.h"

G_STATIC_ASSERT(TT_SITES_MAX <= 1u << 24); /* TtExtras.site */

void tt_extras_pool_init(TtExtrasPool *pool, gsize max_bytes, TtBudget *budget) {
    *pool = (TtExtrasPool){.end = 1};
    tt_reserve_init(&pool->memory, MIN(max_bytes, (gsize)G_MAXINT32 * sizeof(TtExtras)), budget);
}

void tt_extras_pool_clear(TtExtrasPool *pool) {
    tt_reserve_clear(&pool->memory);
    *pool = (TtExtrasPool){.end = 1};
}

guint32 tt_extras_new(TtExtrasPool *pool, guint32 site) {
    guint32 number = pool->first_free;

    if (number)
        pool->first_free = tt_extras_get(pool, number)->next_free;
    else if (tt_reserve_grow(&pool->memory, ((gsize)pool->end + 1) * sizeof(TtExtras)))
        number = pool->end++;
    else
        return 0;
    *tt_extras_get(pool, number) = (TtExtras){.site = site, .variable = TT_NONE, .scope = TT_NONE};
    return number;
}

guint32 tt_extras_copy(TtExtrasPool *pool, guint32 number) {
    guint32 copy = tt_extras_new(pool, 0);

    if (copy) {
        *tt_extras_get(pool, copy) = *tt_extras_get(pool, number);
        tt_extras_get(pool, copy)->older = 0;
        tt_extras_get(pool, copy)->since_pin = 0;
    }
    return copy;
}

void tt_extras_free(TtExtrasPool *pool, guint32 number) {
    while (number) {
        TtExtras *extras = tt_extras_get(pool, number);
        guint32 older = extras->older;

        extras->next_free = pool->first_free;
        pool->first_free = number;
        number = older;
    }
}

void tt_extras_forget_older(TtExtrasPool *pool, guint32 number) {
    TtExtras *extras = tt_extras_get(pool, number);

    tt_extras_free(pool, extras->older);
    extras->older = 0;
    extras->since_pin = 0;
}

guint32 tt_extras_variable_at(const TtExtrasPool *pool, guint32 number, guint32 pin) {
    const TtExtras *extras = tt_extras_get(pool, number);

    while (extras->since_pin >= pin) {
        if (!extras->older) /* named for the first time since then */
            return TT_NONE;
        extras = tt_extras_get(pool, extras->older);
    }
    return extras->variable;
}
