/* SPDX-License-Identifier: Apache-2.0 */
/* What reading the time stamp counter costs here, in ns: two of them are in a traced pair. */
#include <x86intrin.h>

#include "bench.h"

#define READS 20000000u

int main(void) {
    uint64_t last = 0;
    double start = bench_seconds();

    for (unsigned i = 0; i < READS; i++)
        last ^= __rdtsc();
    bench_use((void *)last);
    printf("%.2f\n", (bench_seconds() - start) * 1e9 / READS);
    return 0;
}
