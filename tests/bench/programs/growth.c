/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers that grow by realloc, by half each time, from 16 bytes to 64 KiB.
 *
 *   growth PAIRS */
#include "bench.h"

int main(int argc, char **argv) {
    uint64_t wanted = bench_argument(argc, argv, 1, 2000000), pairs = 0;
    double start = bench_seconds();

    while (pairs < wanted) {
        void *buffer = NULL;

        for (size_t size = 16; size <= 65536; size += size / 2, pairs++) {
            void *grown = realloc(buffer, size);
            if (grown == NULL)
                return 1;
            buffer = bench_use(grown);
        }
        free(buffer);
    }
    bench_report(pairs, 1, bench_seconds() - start);
    return 0;
}
