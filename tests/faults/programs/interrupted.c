/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates while a timer's handler allocates too. For an allocator that bears it (bump.c).
 *
 * The timer rings once and is set anew when all that it interrupted is left: siglongjmp unblocks
 * the signal on the handler's stack, where the next one, were it due already, would lie on top of
 * it, and so on until the stack is used up.
 *
 *   interrupted return|longjmp ROUNDS
 *
 * until the handler has run ROUNDS times; with longjmp it leaves the call that it interrupted. Then
 * the program leaves 1000 blocks of 777 bytes. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static sigjmp_buf start;
static volatile sig_atomic_t rounds, wanted, jumps;

static void set_timer(void) {
    struct itimerval timer = {.it_value = {0, rounds < wanted ? 47 : 0}};

    setitimer(ITIMER_REAL, &timer, NULL);
}

static void on_alarm(int number) {
    (void)number;
    rounds++;
    free(malloc(33));
    if (jumps)
        siglongjmp(start, 1);
    set_timer();
}

static __attribute__((noinline)) void churn(int depth) {
    if (depth > 0) {
        churn(depth - 1);
        __asm__ volatile("" ::: "memory");
        return;
    }
    for (int i = 0; i < 50; i++)
        free(realloc(malloc((size_t)i), 100));
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = on_alarm};

    wanted = argc > 2 ? atoi(argv[2]) : 0;
    jumps = argc > 1 && strcmp(argv[1], "longjmp") == 0;
    sigaction(SIGALRM, &action, NULL);
    sigsetjmp(start, 1);
    set_timer();
    for (int i = 0; rounds < wanted; i++)
        churn(i % 30);
    for (int i = 0; i < 1000; i++)
        if (malloc(777) == NULL)
            return 1;
    return 0;
}
