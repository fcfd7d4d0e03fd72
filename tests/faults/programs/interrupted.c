/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates while a timer's handler allocates too. For an allocator that bears it (bump.c).
 *
 * The timer rings once and is set anew when all that it interrupted is left: siglongjmp unblocks
 * the signal on the handler's stack, where the next one, were it due already, would lie on top of
 * it, and so on until the stack is used up.
 *
 *   interrupted return|longjmp|nested|inner|pause ROUNDS
 *
 * until the handler has run ROUNDS times; with longjmp it leaves the call that it interrupted. With
 * nested it allocates until another handler leaves both it and the call, in the first NESTED
 * rounds; with inner that one leaves the call alone that it interrupted itself. With pause it
 * begins one, in which the program then leaves a block of 778 bytes. Then the program leaves 1000
 * blocks of 777 bytes. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define NESTED 100

extern void tt_pause(void) __attribute__((weak));
extern void tt_resume(void) __attribute__((weak));

static sigjmp_buf start, inner;
static volatile sig_atomic_t rounds, wanted, jumps, nests, stays, pauses;
static timer_t leaver;

static void set_timer(void) {
    struct itimerval timer = {.it_value = {0, rounds < wanted ? 47 : 0}};

    setitimer(ITIMER_REAL, &timer, NULL);
}

static void on_second(int number) {
    (void)number;
    siglongjmp(stays ? inner : start, 1);
}

static void on_alarm(int number) {
    struct itimerspec soon = {.it_value = {0, 30000}};

    (void)number;
    rounds++;
    if (pauses) {
        tt_pause();
        return;
    }
    if (nests && rounds < NESTED && sigsetjmp(inner, 1) == 0) {
        timer_settime(leaver, 0, &soon, NULL);
        for (;;)
            free(malloc(33));
    }
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

static void churn_with_pauses(void) {
    for (int done = 0; done < wanted; done++) {
        set_timer();
        while (rounds == done)
            churn(done % 30);
        if (malloc(778) == NULL)
            exit(1);
        tt_resume();
    }
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = on_alarm}, second = {.sa_handler = on_second};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

    wanted = argc > 2 ? atoi(argv[2]) : 0;
    jumps = argc > 1 && strcmp(argv[1], "longjmp") == 0;
    stays = argc > 1 && strcmp(argv[1], "inner") == 0;
    nests = stays || (argc > 1 && strcmp(argv[1], "nested") == 0);
    pauses = argc > 1 && strcmp(argv[1], "pause") == 0;
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &second, NULL);
    if (timer_create(CLOCK_MONOTONIC, &event, &leaver) < 0)
        return 1;
    sigsetjmp(start, 1);
    if (pauses)
        churn_with_pauses();
    else
        set_timer();
    for (int i = 0; rounds < wanted; i++)
        churn(i % 30);
    for (int i = 0; i < 1000; i++)
        if (malloc(777) == NULL)
            return 1;
    return 0;
}
