/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads allocate, fill, check and free, and count what they did in a file, until they are
 * told to stop there. The last thing that is allocated is a block of LAST_BYTES.
 *
 *   shift FILE
 *
 * Prints how many blocks were found to hold something else than what was written into them: 0. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BLOCKS = 64, LAST_BYTES = 40001, THREADS = 2 };

typedef struct Notes {
    _Atomic uint64_t stop, allocations, frees, longest_ns;
} Notes;

static Notes *notes;
static _Atomic int unsound;

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void give_up(unsigned char *block, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (block[i] != (unsigned char)size)
            unsound++;
    free(block);
    atomic_fetch_add(&notes->frees, 1);
}

static void *work(void *data) {
    unsigned char *blocks[BLOCKS] = {0};
    size_t sizes[BLOCKS];
    uint64_t seed = (uint64_t)(uintptr_t)data + 1;

    for (unsigned round = 1; !atomic_load(&notes->stop); round++) {
        /* Busy, and yet leaving something of the machine to others. */
        if (round % 64 == 0)
            usleep(1000);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t k = seed >> 20 & (BLOCKS - 1);
        if (blocks[k] != NULL) {
            give_up(blocks[k], sizes[k]);
            blocks[k] = NULL;
            continue;
        }
        uint64_t start = now_ns();
        sizes[k] = 1 + (seed >> 32 & 255);
        blocks[k] = malloc(sizes[k]);
        memset(blocks[k], (int)sizes[k], sizes[k]);
        atomic_fetch_add(&notes->allocations, 1);
        uint64_t took = now_ns() - start, longest = atomic_load(&notes->longest_ns);
        if (took > longest)
            atomic_store(&notes->longest_ns, took);
    }
    for (int k = 0; k < BLOCKS; k++)
        if (blocks[k] != NULL)
            give_up(blocks[k], sizes[k]);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];

    if (argc < 2)
        return 2;
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *notes) < 0)
        return 1;
    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (notes == MAP_FAILED)
        return 1;
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (malloc(LAST_BYTES) == NULL)
        return 1;
    printf("%d\n", unsound);
    return 5;
}
