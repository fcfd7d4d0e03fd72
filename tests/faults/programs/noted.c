/* SPDX-License-Identifier: Apache-2.0 */
/* Four threads, or THREADS, allocate, resize and free, and note each step in a file as it is done,
 * so that whoever kills them knows what they had done. Runs until it is killed.
 *
 *   noted FILE [hungry]
 *
 * FILE holds an array of Notes. Between two values of `steps` one call is under way: the one that
 * `next` tells. Hungry, its threads rest between their steps, and once its input ends it takes
 * memory without end. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef THREADS
#define THREADS 4
#endif

enum { BLOCKS = 64, NONE = 99 };

typedef struct Note {
    _Atomic uint64_t address, size; /* 0: no block */
} Note;

typedef struct Notes {
    _Atomic uint64_t tid, steps, allocations, frees;
    _Atomic uint64_t next; /* the block that a call is about; NONE: there is no call */
    Note blocks[BLOCKS];
} Notes;

static Notes *all;
static useconds_t rest_us;

static void note(Notes *notes, uint64_t k, void *block, uint64_t size) {
    atomic_store(&notes->blocks[k].address, (uint64_t)block);
    atomic_store(&notes->blocks[k].size, size);
}

static void step(Notes *notes, uint64_t seed) {
    uint64_t k = seed >> 20 & (BLOCKS - 1), size = 1 + (seed >> 32 & 1023);
    void *block = (void *)(uintptr_t)atomic_load(&notes->blocks[k].address);

    atomic_store(&notes->next, k);
    if (block == NULL) {
        note(notes, k, malloc(size), size);
        atomic_fetch_add(&notes->allocations, 1);
    } else if (seed >> 50 & 1) {
        free(block);
        note(notes, k, NULL, 0);
        atomic_fetch_add(&notes->frees, 1);
    } else {
        note(notes, k, realloc(block, size), size);
        atomic_fetch_add(&notes->allocations, 1);
        atomic_fetch_add(&notes->frees, 1);
    }
    atomic_store(&notes->next, NONE);
    atomic_fetch_add(&notes->steps, 1);
}

static void *work(void *data) {
    Notes *notes = data;
    uint64_t seed = (uint64_t)(notes - all) + 1;

    atomic_store(&notes->next, NONE);
    atomic_store(&notes->tid, (uint64_t)syscall(SYS_gettid));
    for (;;) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        step(notes, seed);
        if (rest_us > 0)
            usleep(rest_us);
    }
    return NULL;
}

/* Past the heap: of this nothing is noted. */
static void eat(void) {
    char byte;

    while (read(0, &byte, 1) > 0)
        ;
    for (;;)
        mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
             0);
}

int main(int argc, char **argv) {
    size_t bytes = THREADS * sizeof *all;
    pthread_t thread;

    if (argc < 2)
        return 2;
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        return 1;
    all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (all == MAP_FAILED)
        return 1;
    rest_us = argc > 2 ? 10000 : 0;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, work, &all[i]) != 0)
            return 1;
    if (argc > 2)
        eat();
    pthread_join(thread, NULL);
}
