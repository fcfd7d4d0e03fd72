/* SPDX-License-Identifier: Apache-2.0 */
/* As many distinct stacks as a tree of calls has leaves: 2^LEVELS, a pair of malloc and free each.
 *
 *   tree LEVELS PASSES
 *
 * The first pass, which meets every stack for the first time, is timed like the others. */
#include "bench.h"

static uint64_t pairs;

/* Two calls: two return addresses. What follows keeps each frame. */
static __attribute__((noinline)) unsigned climb(unsigned levels) {
    if (levels == 0) {
        free(bench_use(malloc(48)));
        pairs++;
        return 1;
    }
    unsigned leaves = climb(levels - 1);
    __asm__ volatile("" : "+r"(leaves));
    leaves += climb(levels - 1);
    __asm__ volatile("" : "+r"(leaves));
    return leaves;
}

int main(int argc, char **argv) {
    unsigned levels = (unsigned)bench_argument(argc, argv, 1, 17);
    uint64_t passes = bench_argument(argc, argv, 2, 8);
    double start = bench_seconds();

    for (uint64_t i = 0; i < passes; i++)
        climb(levels);
    bench_report(pairs, 1, bench_seconds() - start);
    return 0;
}
