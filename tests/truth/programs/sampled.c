/* SPDX-License-Identifier: Apache-2.0 */
/* A heap of which all is known, for a sample to be judged by. Prints what it did:
 *
 *   NAME allocations allocated live-blocks live-bytes       for each place
 *
 * Places are functions: small blocks that mostly die, large ones, blocks that grow by realloc,
 * zeroed ones in another thread, which the main thread frees. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Place {
    const char *name;
    unsigned long allocations, allocated, live, live_bytes;
} Place;

static Place small = {"small"}, large = {"large"}, grown = {"grown"}, zeroed = {"zeroed"};
static unsigned long lot = 88172645463325252ul;

static unsigned long draw(void) {
    lot ^= lot << 13;
    lot ^= lot >> 7;
    lot ^= lot << 17;
    return lot;
}

static void count(Place *place, size_t size, int lives) {
    place->allocations++;
    place->allocated += size;
    place->live += (unsigned long)lives;
    place->live_bytes += lives ? size : 0;
}

static __attribute__((noinline)) void make_small(void) {
    for (int i = 0; i < 400000; i++) {
        size_t size = draw() % 200;
        char *block = malloc(size);
        int lives = i % 4 == 0;

        count(&small, size, lives);
        if (!lives)
            free(block);
    }
}

static __attribute__((noinline)) void make_large(void) {
    for (int i = 0; i < 3000; i++) {
        size_t size = 1000 + draw() % 100000;
        char *block = malloc(size);

        count(&large, size, i % 2);
        if (i % 2 == 0)
            free(block);
    }
}

static __attribute__((noinline)) void make_grown(void) {
    for (int i = 0; i < 2000; i++) {
        char *block = NULL;
        size_t size = 0;

        for (size = 16; size < 20000; size *= 2) {
            block = realloc(block, size);
            count(&grown, size, 0);
        }
        grown.live++;
        grown.live_bytes += size / 2;
    }
}

static void **handed;

static void *make_zeroed(void *unused) {
    for (int i = 0; i < 50000; i++) {
        handed[i] = calloc(1, 300);
        count(&zeroed, 300, i % 5 == 0);
    }
    return unused;
}

int main(void) {
    pthread_t thread;
    const Place *places[] = {&small, &large, &grown, &zeroed};

    make_small();
    make_large();
    make_grown();
    handed = calloc(50000, sizeof *handed);
    pthread_create(&thread, NULL, make_zeroed, NULL);
    pthread_join(thread, NULL);
    for (int i = 0; i < 50000; i++)
        if (i % 5 != 0)
            free(handed[i]);
    for (int i = 0; i < 4; i++)
        printf("%s %lu %lu %lu %lu\n", places[i]->name, places[i]->allocations,
               places[i]->allocated, places[i]->live, places[i]->live_bytes);
    return 0;
}
