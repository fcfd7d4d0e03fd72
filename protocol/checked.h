/* SPDX-License-Identifier: Apache-2.0 */
/* Sums that cannot wrap. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Each stores the result and returns true, or returns false where it does not fit. Any thread. */
static inline bool tt_checked_add(uint64_t a, uint64_t b, uint64_t *ret_sum) {
    return !__builtin_add_overflow(a, b, ret_sum);
}

static inline bool tt_checked_mul(uint64_t a, uint64_t b, uint64_t *ret_product) {
    return !__builtin_mul_overflow(a, b, ret_product);
}

/* Adds, or stays at the largest number. For totals that hostile input may drive. */
static inline uint64_t tt_saturating_add(uint64_t a, uint64_t b) {
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Subtracts, or stays at 0. */
static inline uint64_t tt_saturating_sub(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
