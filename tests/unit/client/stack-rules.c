/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of rules when it is full: it takes no more memory, and what it says stays true
 * (FAULTS: E11). */
#include <stdio.h>
#include <unistd.h>

#include "client/rules.h"
#include "stack-support.h"

#define NOINLINE __attribute__((noinline))
#define RULES 3000000u         /* rules.c holds 2.8 million */
#define FULL_BYTES (44u << 20) /* and says that these are 43 MiB */
#define FIRST_IP (1ull << 45)  /* where nothing is mapped */
#define MANY 500000u

static volatile int sink;

/* What the kernel says that this process has in memory. */
static size_t resident_bytes(void) {
    g_autofree char *text = NULL;
    unsigned long pages = 0;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%*u %lu", &pages), ==, 1);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t ip_of(unsigned number) { return FIRST_IP + (uint64_t)number * 7; }

/* Each address has a rule of its own. */
static uint64_t bits_of(unsigned number, uint32_t epoch) {
    return (uint64_t)epoch << 32 |
           tt_rule_make(TT_RULE_SP, number & TT_RULE_WORDS_MAX, number >> 20);
}

static void put(unsigned number) {
    tt_rules_put(ip_of(number) | (uint64_t)1 << TT_KEY_MODULE_SHIFT,
                 bits_of(number, tt_epoch_now()));
}

/* Is it kept? What is must be the address's own; of the others nobody knows anything. */
static bool is_kept(unsigned number) {
    uint32_t epoch = tt_epoch_now();
    TtRule rule;

    g_assert_true(tt_rules_get(ip_of(number), epoch, &rule));
    g_assert_true(tt_key_is(rule.key, ip_of(number)));
    if (tt_rule_kind(rule.bits) == TT_RULE_NONE || tt_rule_kind(rule.bits) == TT_RULE_WRONG)
        return false;
    g_assert_cmphex(rule.bits, ==, bits_of(number, epoch));
    return true;
}

static NOINLINE void judged(int depth) {
    if (depth > 0)
        judged(depth - 1);
    else
        support_check(false);
    sink++;
}

static void fault_E11_rules_past_their_limit(void) {
    unsigned kept = 0, asked = 0;

    judged(3);
    size_t before = resident_bytes();
    for (unsigned i = 0; i < RULES; i++) {
        put(i);
        if (i % 64 == 0)
            g_assert_true(is_kept(i)); /* a new one has its place, whoever has to go */
    }
    size_t full = resident_bytes();
    g_test_message("%zu KiB for %u rules", (full - before) >> 10, RULES);
    g_assert_cmpuint(full - before, >, FULL_BYTES / 2);
    g_assert_cmpuint(full - before, <, FULL_BYTES);

    for (unsigned i = 0; i < MANY; i++)
        put(RULES + i);
    g_assert_cmpuint(resident_bytes() - full, <, 1 << 20);

    for (unsigned i = 0; i < RULES + MANY; i += 61, asked++)
        kept += is_kept(i);
    g_test_message("%u of %u are kept", kept, asked);
    g_assert_cmpuint(kept, >, asked / 3);
    g_assert_cmpuint(kept, <, asked);

    judged(3); /* its rules may have had to go */
    judged(40);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    g_test_add_func("/stack/fault_E11_rules_past_their_limit", fault_E11_rules_past_their_limit);
    return g_test_run();
}
