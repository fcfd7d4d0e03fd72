/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks whose whole story is known: temporary ones, one resized three times, some that another
 * thread frees on a stack of its own, some that live for a while. Prints what only it can know:
 *
 *   TID_MAIN TID_OTHER SHORTEST LONGEST
 *
 * the tids of its threads, and bounds of how long the blocks of waiting() lived, in nanoseconds. */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define COUNT 50

static void *kept[COUNT], *waited[COUNT];
static int other_tid;
static uint64_t shortest = UINT64_MAX, longest;

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static __attribute__((noinline)) void temporary(void) {
    for (int i = 0; i < COUNT; i++) {
        void *volatile ptr = malloc(100);
        free(ptr);
    }
}

static __attribute__((noinline)) void resizing(void) {
    void *ptr = malloc(1000);

    for (size_t i = 2; i <= 4; i++) {
        void *volatile next = realloc(ptr, i * 1000);
        ptr = next;
    }
    kept[0] = ptr;
}

static __attribute__((noinline)) void handing_over(void) {
    for (int i = 1; i < COUNT; i++)
        kept[i] = malloc(300);
}

static __attribute__((noinline)) void freeing_elsewhere(void) {
    for (int i = 0; i < COUNT; i++) {
        free(kept[i]);
        __asm__ volatile("" : : : "memory");
    }
}

static void *other(void *data) {
    other_tid = gettid();
    freeing_elsewhere();
    return data;
}

static __attribute__((noinline)) void waiting(void) {
    uint64_t before[COUNT], after[COUNT];

    for (int i = 0; i < COUNT; i++) {
        before[i] = now_ns();
        waited[i] = malloc(777);
        after[i] = now_ns();
    }
    for (int i = 0; i < COUNT; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        uint64_t least = now_ns() - after[i];
        free(waited[i]);
        uint64_t most = now_ns() - before[i];
        shortest = least < shortest ? least : shortest;
        longest = most > longest ? most : longest;
    }
}

int main(void) {
    pthread_t thread;

    temporary();
    resizing();
    handing_over();
    if (pthread_create(&thread, NULL, other, NULL) != 0)
        return EXIT_FAILURE;
    pthread_join(thread, NULL);
    waiting();
    printf("%d %d %" PRIu64 " %" PRIu64 "\n", gettid(), other_tid, shortest, longest);
    return EXIT_SUCCESS;
}
