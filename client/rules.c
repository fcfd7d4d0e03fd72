/* SPDX-License-Identifier: Apache-2.0 */
#include "client/rules.h"

#include <errno.h>

#include "client/engine.h"
#include "client/glibc.h"
#include "client/modules.h"

TtLevels tt_rules;
_Atomic uint32_t tt_epoch = 1;
uint64_t tt_rules_context_end;

#define MANY_RULES 64u /* who has so many will soon have touched all pages of level 0 */
#define RULE_LEVELS 4u /* up to 2.8 million rules, 43 MiB; then old ones make room */

int tt_rules_init(void) { return tt_levels_map(&tt_rules, 0, TT_RULES_BITS) == NULL ? -ENOMEM : 0; }

static void store(TtEntry *entry, uint64_t key, uint64_t bits) {
    atomic_store_explicit(&entry->a, key ^ bits, memory_order_relaxed);
    atomic_store_explicit(&entry->b, bits, memory_order_relaxed);
}

/* The entry of @ip, of whatever epoch and module, or NULL. */
static TtEntry *find(uint64_t ip, TtRule *ret_rule) {
    for (unsigned number = 0; number < RULE_LEVELS; number++) {
        TtLine *level = tt_levels_peek(&tt_rules, number);
        if (level == NULL)
            return NULL;

        TtLine *line = tt_level_line(level, number, TT_RULES_BITS, tt_rules_hash(ip));
        bool is_full = true;
        for (unsigned i = 0; i < TT_LINE_ENTRIES; i++) {
            TtEntry *entry = &line->entries[i];
            uint64_t bits = atomic_load_explicit(&entry->b, memory_order_relaxed);
            uint64_t key = atomic_load_explicit(&entry->a, memory_order_relaxed) ^ bits;

            if (tt_key_is(key, ip)) {
                *ret_rule = (TtRule){.key = key, .bits = bits};
                return entry;
            }
            is_full &= (key | bits) != 0;
        }
        if (!is_full)
            return NULL;
    }
    return NULL;
}

/* A place for a new rule. Under the engine's lock. */
static TtEntry *make_room(uint64_t ip) {
    TtLine *line = NULL;

    for (unsigned number = 0; number < RULE_LEVELS; number++) {
        TtLine *level = tt_levels_map(&tt_rules, number, TT_RULES_BITS);
        if (level == NULL)
            break;
        line = tt_level_line(level, number, TT_RULES_BITS, tt_rules_hash(ip));
        for (unsigned i = 0; i < TT_LINE_ENTRIES; i++)
            if (atomic_load_explicit(&line->entries[i].b, memory_order_relaxed) == 0)
                return &line->entries[i];
    }
    return &line->entries[ip >> 4 & (TT_LINE_ENTRIES - 1)];
}

/* Called by the engine, which holds its lock. */
void tt_rules_put(uint64_t key, uint64_t bits) {
    uint64_t ip = key & ~(UINT64_MAX << TT_KEY_MODULE_SHIFT);
    static unsigned count;
    TtRule old;

    if (++count == MANY_RULES)
        tt_pages_fill(tt_levels_peek(&tt_rules, 0), tt_level_bytes(0, TT_RULES_BITS));
    TtEntry *entry = find(ip, &old);

    store(entry != NULL ? entry : make_room(ip), key, bits);
}

__attribute__((cold, noinline)) bool tt_rules_get_slow(uint64_t ip, uint32_t epoch,
                                                       TtRule *ret_rule) {
    TtRule rule = {0};

    if (ip == tt_rules_context_end) {
        *ret_rule = (TtRule){.key = ip, .bits = tt_rule_make(TT_RULE_WRONG, 0, 0)};
        return true;
    }
    TtEntry *entry = find(ip, &rule);

    if (entry != NULL && rule.bits >> 32 == epoch) {
        *ret_rule = rule;
        return true;
    }

    uint64_t addr = ip & TT_KEY_IP_MASK, module;
    bool is_exact = (ip & TT_KEY_EXACT) != 0;
    if (!tt_modules_find(is_exact ? addr : addr - 1, epoch, &module)) {
        /* Code that no loader knows, mostly compiled at run time: not kept, for it may be many. */
        ret_rule->key = ip;
        ret_rule->bits = tt_rule_make(
            is_exact || tt_engine_is_call_before(addr) ? TT_RULE_NONE : TT_RULE_WRONG, 0, 0);
        return true;
    }

    uint64_t key = ip | module << TT_KEY_MODULE_SHIFT;
    if (entry != NULL && rule.key == key && module != 0) {
        /* The same module as ever: the rule holds in the new epoch. */
        rule.bits = (rule.bits & UINT32_MAX) | (uint64_t)epoch << 32;
        store(entry, key, rule.bits);
        *ret_rule = rule;
        return true;
    }
    *ret_rule = (TtRule){.key = key, .bits = tt_rule_make(TT_RULE_NONE, 0, 0)};
    return tt_engine_learn(key, epoch, &ret_rule->bits);
}
