/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks whose stacks are known: each case leaks one block of a size of its own, and says on stdout
 * which functions called which, innermost first, by names that the source alone decides:
 *
 *   SIZE NAME NAME … [*]        "*": other frames may follow; else the chain ends at main
 *   "~" stands for any frames of libraries in between.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define NOINLINE __attribute__((noinline))
/* After a call: keeps it from being the function's last instruction, a tail call. */
#define STAY() __asm__ volatile("" ::: "memory")

void *volatile kept;
static volatile int one = 1;

NOINLINE void leak(size_t size) {
    kept = malloc(size);
    STAY();
}

NOINLINE void plain_c(void) {
    leak(70001);
    STAY();
}
NOINLINE void plain_b(void) {
    plain_c();
    STAY();
}
NOINLINE void plain_a(void) {
    plain_b();
    STAY();
}

NOINLINE int compare(const void *a, const void *b) {
    static int done;
    if (!done++)
        leak(70002);
    return *(const int *)a - *(const int *)b;
}
NOINLINE void sorts(void) {
    int numbers[] = {3, 1, 2, 7, 5};
    qsort(numbers, 5, sizeof *numbers, compare);
    STAY();
}

NOINLINE void big_frame(void) {
    volatile char room[70000];
    room[0] = 1;
    room[69999] = (char)one;
    leak(70003);
    STAY();
    room[5] = 1;
}

NOINLINE void variable_array(int n) {
    volatile char room[n];
    room[0] = 1;
    leak(70004);
    STAY();
    room[n - 1] = 2;
}

NOINLINE void with_alloca(size_t n) {
    volatile char *room = alloca(n);
    room[0] = 1;
    leak(70005);
    STAY();
    room[n - 1] = 2;
}

NOINLINE void realigned(void) {
    _Alignas(64) volatile char room[128];
    room[0] = (char)one;
    leak(70006);
    STAY();
    room[1] = 1;
}

NOINLINE void realigned_with_array(int n) {
    _Alignas(128) volatile char room[128];
    volatile char more[n];
    room[0] = (char)one;
    more[0] = 1;
    leak(70007);
    STAY();
    room[1] = more[n - 1];
}

NOINLINE void duplicates(void) {
    char text[70008];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    kept = strdup(text);
    STAY();
}

NOINLINE void reads_line(void) {
    char *line = NULL;
    size_t size = 70009; /* getline allocates nothing else when it has to grow from none */
    FILE *file = fopen("/proc/self/comm", "r");
    (void)size;
    size = 0;
    if (file != NULL && getline(&line, &size, file) > 0)
        kept = line; /* 120 bytes: glibc's first size */
    STAY();
    if (file != NULL)
        fclose(file);
}

NOINLINE void recursion(int depth, size_t size) {
    if (depth == 0)
        leak(size);
    else
        recursion(depth - 1, size);
    STAY();
}

/* Many arguments: some are pushed, which moves rsp within the function. */
NOINLINE int many(int a, int b, int c, int d, int e, int f, long g, long h, long i, long j) {
    leak(70012);
    STAY();
    return a + b + c + d + e + f + (int)(g + h + i + j);
}
NOINLINE void pushes(void) {
    one += many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    one += -55 + 55;
    STAY();
}

static jmp_buf back;
NOINLINE void jumps(int depth) {
    volatile char room[100];
    room[0] = (char)depth;
    if (depth == 0) {
        free(malloc(10));
        longjmp(back, 1);
    }
    jumps(depth - 1);
    STAY();
}
NOINLINE void after_jump(void) {
    leak(70013);
    STAY();
}

NOINLINE void in_thread(void) {
    leak(70014);
    STAY();
}
NOINLINE void *thread_main(void *argument) {
    in_thread();
    STAY();
    return argument;
}

NOINLINE void once_routine(void) {
    leak(70015);
    STAY();
}
NOINLINE void calls_once(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, once_routine);
    STAY();
}

static volatile size_t handler_size;
NOINLINE void handler(int number) {
    leak(handler_size);
    STAY();
    (void)number;
}
NOINLINE void raises(void) {
    raise(SIGUSR1);
    STAY();
}
NOINLINE void on_signal(void) {
    struct sigaction action = {.sa_handler = handler};
    handler_size = 70016;
    sigaction(SIGUSR1, &action, NULL);
    raises();
    STAY();
}
NOINLINE void on_other_stack(void) {
    static char stack[65536];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    handler_size = 70017;
    sigaltstack(&other, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raises();
    STAY();
}

static ucontext_t outer, inner;
NOINLINE void coroutine_work(void) {
    leak(70018);
    STAY();
}
NOINLINE void coroutine(void) {
    coroutine_work();
    swapcontext(&inner, &outer);
    leak(70019);
    STAY();
}
NOINLINE void coroutines(void) {
    static char stack[65536];
    getcontext(&inner);
    inner.uc_stack.ss_sp = stack;
    inner.uc_stack.ss_size = sizeof stack;
    inner.uc_link = &outer;
    makecontext(&inner, coroutine, 0);
    swapcontext(&outer, &inner);
    swapcontext(&outer, &inner);
    STAY();
}

NOINLINE void at_exit(void) {
    leak(70020);
    STAY();
}

NOINLINE void uses_plugin(const char *path) {
    void *plugin = dlopen(path, RTLD_LAZY);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    void (*entry)(void) = (void (*)(void))dlsym(plugin, "plugin_entry");
    entry();
    STAY();
}

/* noreturn: the call is the function's last instruction, its return address lies in the next one.
 */
NOINLINE __attribute__((noreturn)) void ends(void) {
    leak(70022);
    exit(0);
}

int main(int argc, char **argv) {
    puts("70001 leak plain_c plain_b plain_a main");
    puts("70002 leak compare ~ sorts main");
    puts("70003 leak big_frame main");
    puts("70004 leak variable_array main");
    puts("70005 leak with_alloca main");
    puts("70006 leak realigned main");
    puts("70007 leak realigned_with_array main");
    puts("70008 ~ duplicates main");
    puts("120 ~ reads_line main");
    printf("70010 leak");
    for (int i = 0; i <= 200; i++)
        printf(" recursion");
    puts(" main");
    puts("70012 leak many pushes main");
    puts("70013 leak after_jump main");
    puts("70014 leak in_thread thread_main *");
    puts("70015 leak once_routine ~ calls_once main");
    puts("70016 leak handler ~ raises on_signal main");
    puts("70017 leak handler ~ raises on_other_stack main");
    puts("70018 leak coroutine_work coroutine *");
    puts("70019 leak coroutine *");
    if (argc > 1)
        puts("70021 plugin_leak plugin_entry uses_plugin main");
    puts("70020 leak at_exit *");
    puts("70022 leak ends main");

    plain_a();
    sorts();
    big_frame();
    variable_array(5000 + one);
    with_alloca(3000 + (size_t)one);
    realigned();
    realigned_with_array(700 + one);
    duplicates();
    reads_line();
    recursion(200, 70010);
    recursion(400, 70011); /* deeper than a stack is recorded */
    pushes();
    if (setjmp(back) == 0)
        jumps(40);
    after_jump();
    pthread_t thread;
    pthread_create(&thread, NULL, thread_main, NULL);
    pthread_join(thread, NULL);
    calls_once();
    on_signal();
    on_other_stack();
    coroutines();
    if (argc > 1)
        uses_plugin(argv[1]);
    atexit(at_exit);
    fflush(stdout);
    ends();
}
