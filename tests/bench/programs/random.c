/* SPDX-License-Identifier: Apache-2.0 */
/* A heap of many live blocks, replaced at random.
 *
 *   random BLOCKS PAIRS
 *
 * Blocks are of 16 to 200 bytes, and are born in eight places. Filling the heap is not timed. */
#include "bench.h"

static void **blocks;

/* Each place is a stack of its own, deeper than the last. */
static __attribute__((noinline)) void *make(unsigned deeper, size_t size) {
    void *ptr = deeper > 0 ? make(deeper - 1, size) : malloc(size);

    return bench_use(ptr);
}

int main(int argc, char **argv) {
    uint64_t count = bench_argument(argc, argv, 1, 1000000);
    uint64_t pairs = bench_argument(argc, argv, 2, 4000000);
    uint64_t lot = 88172645463325252;

    blocks = calloc(count, sizeof *blocks);
    if (blocks == NULL)
        return 1;
    for (uint64_t i = 0; i < count; i++)
        blocks[i] = make(i % 8, 16 + bench_draw(&lot) % 185);

    double start = bench_seconds();
    for (uint64_t i = 0; i < pairs; i++) {
        uint64_t drawn = bench_draw(&lot);
        void **block = &blocks[(drawn >> 16) % count];

        free(*block);
        *block = make(drawn % 8, 16 + (drawn >> 3) % 185);
    }
    bench_report(pairs, 1, bench_seconds() - start);
    return 0;
}
