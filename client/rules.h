/* SPDX-License-Identifier: Apache-2.0 */
/* One small rule for each return address: how a frame's caller is found from its stack pointer and
 * rbp alone. Learnt from the engine the first time an address is seen, and held until its module
 * changes. What two registers do not suffice for is a rule that says "ask the engine". */
#pragma once

#include <stdbool.h>

#include "client/levels.h"

/* A key is an ip with what must never be mixed up with another: whether it is an interrupted
 * instruction rather than a return address, and the module that it lies in. */
#define TT_KEY_EXACT ((uint64_t)1 << 47)
#define TT_KEY_MODULE_SHIFT 48
#define TT_KEY_IP_MASK (TT_KEY_EXACT - 1)

/* Is @key's address @ip (with TT_KEY_EXACT or without)? */
static inline bool tt_key_is(uint64_t key, uint64_t ip) { return (key ^ ip) << 16 == 0; }

typedef enum TtRuleKind {
    TT_RULE_SP = 0,        /* CFA = stack pointer + words */
    TT_RULE_BP = 1,        /* CFA = rbp + words */
    TT_RULE_REALIGNED = 2, /* CFA = the word at rbp - words (gcc's realigned frames); rbp at rbp */
    TT_RULE_SIGNAL = 3,    /* all from the ucontext at the stack pointer */
    TT_RULE_END = 4,       /* the outermost frame */
    TT_RULE_ASK = 5,       /* the engine knows, given all registers */
    TT_RULE_NONE = 6,      /* nobody knows */
    TT_RULE_WRONG = 7,     /* no return address at all: no call stands before it */
} TtRuleKind;

/* What the return address is read from is always CFA - 8 but after a signal. */
typedef struct TtRule {
    uint64_t key;  /* with its module */
    uint64_t bits; /* epoch << 32 | kind << 29 | saved rbp at CFA - 8 n (n < 512, 0: unchanged) <<
                      20 | words */
} TtRule;

#define TT_RULE_IS_BP ((uint64_t)1 << 29) /* of the two first kinds */
#define TT_RULE_WORDS_MAX ((1u << 20) - 1)
#define TT_RULE_BP_MAX ((1u << 9) - 1)

static inline TtRuleKind tt_rule_kind(uint64_t bits) { return (TtRuleKind)(bits >> 29 & 7); }
static inline uint64_t tt_rule_bytes(uint64_t bits) { return (bits & TT_RULE_WORDS_MAX) * 8; }
static inline uint64_t tt_rule_bp_bytes(uint64_t bits) { return (bits >> 20 & TT_RULE_BP_MAX) * 8; }
static inline uint64_t tt_rule_make(TtRuleKind kind, uint64_t words, uint64_t bp_words) {
    return (uint64_t)kind << 29 | bp_words << 20 | words;
}

/* Offsets in the ucontext that the kernel lays at the stack pointer of a signal's return
 * trampoline: uc_mcontext.gregs[REG_RBP, REG_RSP, REG_RIP]. Part of the kernel's ABI. */
#define TT_UCONTEXT_BP 120u
#define TT_UCONTEXT_SP 160u
#define TT_UCONTEXT_IP 168u

#define TT_RULES_BITS 13u /* 8192 lines, 32768 rules, 512 KiB in level 0 */

extern TtLevels tt_rules TT_HIDDEN;
extern _Atomic uint32_t tt_epoch TT_HIDDEN; /* of the modules; from 1 */

static inline uint32_t tt_epoch_now(void) {
    return atomic_load_explicit(&tt_epoch, memory_order_acquire);
}

/* Returns 0, or -ENOMEM. In the library's constructor. */
int tt_rules_init(void);

static inline uint64_t tt_rules_hash(uint64_t ip) { return ip * 0x9e3779b97f4a7c15u; }

/* makecontext's return address for a coroutine's first function: the stack's end, and no call's.
 * Set by tt_stack_init. */
extern uint64_t tt_rules_context_end TT_HIDDEN;

/* Keeps a rule. Only the engine, under its lock. */
void tt_rules_put(uint64_t key, uint64_t bits);

/* The rest of tt_rules_get: deeper levels, revalidation in a new epoch, the engine. */
bool tt_rules_get_slow(uint64_t ip, uint32_t epoch, TtRule *ret_rule);

/* The rule of an address.
 *
 * @ip     below 2^47, with TT_KEY_EXACT or without
 * @epoch  tt_epoch_now() at the beginning of the capture
 *
 * Returns false where the engine is not to be had now: only the key is set then. */
static inline __attribute__((always_inline)) bool tt_rules_get(uint64_t ip, uint32_t epoch,
                                                               TtRule *ret_rule) {
    TtLine *level = atomic_load_explicit(&tt_rules.levels[0], memory_order_relaxed);
    TtLine *line = tt_level_line(level, 0, TT_RULES_BITS, tt_rules_hash(ip));

    for (unsigned i = 0; i < TT_LINE_ENTRIES; i++) {
        /* The pair is stored as (key ^ bits, bits): a reader between a writer's two stores finds
         * another key, or bits that did not change. No order is needed. */
        uint64_t bits = atomic_load_explicit(&line->entries[i].b, memory_order_relaxed);
        uint64_t key = atomic_load_explicit(&line->entries[i].a, memory_order_relaxed) ^ bits;

        if (tt_key_is(key, ip) && bits >> 32 == epoch) {
            *ret_rule = (TtRule){.key = key, .bits = bits};
            return true;
        }
    }
    TtRule rule; /* not *ret_rule, which is to stay in registers */
    bool is_known = tt_rules_get_slow(ip, epoch, &rule);
    *ret_rule = rule;
    return is_known;
}
