/* SPDX-License-Identifier: Apache-2.0 */
/* Calls the allocator one instruction at a time (stepper.c), with a handler that allocates coming
 * in between. For an allocator that bears it (bump.c).
 *
 *   stepped known|new ROUNDS
 *
 * A round is made from a depth of calls of its own. What is known has come about before, at full
 * speed; what is new, of a process and at last of a thread that had allocated nothing, with all
 * that the library then gives it and learns, comes about in steps. Then the program leaves 1000
 * blocks of 777 bytes. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void on_signal(int number) {
    (void)number;
    free(malloc(33));
    __asm__ volatile("int3" ::: "memory");
}

static void mark(int is_watched) {
    if (is_watched)
        __asm__ volatile("int3" : : "D"(on_signal) : "memory");
}

static __attribute__((noinline)) void step(int depth, int is_watched) {
    if (depth > 0) {
        step(depth - 1, is_watched);
        __asm__ volatile("" ::: "memory");
        return;
    }
    mark(is_watched);
    void *volatile block = malloc(100);
    block = realloc(block, 200);
    free(block);
    mark(is_watched);
}

static void *step_first(void *unused) {
    step(3, 1);
    return unused;
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int rounds = argc > 2 ? atoi(argv[2]) : 0, is_new = argc > 1 && strcmp(argv[1], "new") == 0;
    pthread_t thread;

    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < rounds; i++)
        for (int is_watched = is_new; is_watched <= 1; is_watched++)
            step(i % 30, is_watched);
    if (is_new) {
        pthread_create(&thread, NULL, step_first, NULL);
        pthread_join(thread, NULL);
    }
    for (int i = 0; i < 1000; i++)
        if (malloc(777) == NULL)
            return 1;
    return 0;
}
