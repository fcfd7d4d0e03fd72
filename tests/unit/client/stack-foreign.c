/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks that are not the thread's own, and an rbp that points anywhere (FAULTS: E06, E07). What is
 * judged: the coroutine's own knowledge of how deep it is, and that nothing is read where there is
 * no memory, which would end the test. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "stack-support.h"

#define NOINLINE __attribute__((noinline))
#define STACK_BYTES ((size_t)65536)

typedef enum Kind {
    KIND_CONTEXT,  /* makecontext */
    KIND_ZERO,     /* switched by hand, first function's return address 0 */
    KIND_FUNCTION, /* the same, a function that ends the coroutine */
    KINDS,
} Kind;

typedef struct Coroutine {
    void *resumer_sp; /* first: co_switch leaves its address in rdi, co_main's argument */
    void *sp;
    Kind kind;
    char *stack;
    size_t len;
    bool is_mapped;
    bool is_done;
    unsigned seed;
    unsigned depth; /* of co_recurse */
    ucontext_t context, resumer;
} Coroutine;

static _Atomic(uint64_t) whole_count, truncated_count;

/* Pushes what a call must keep, and changes stacks. */
void co_switch(void **save_sp, void *sp);
__asm__(".text\n.globl co_switch\n.type co_switch, @function\n"
        "co_switch: .cfi_startproc\n"
        "  push %rbp\n  .cfi_adjust_cfa_offset 8\n  .cfi_rel_offset %rbp, 0\n"
        "  push %rbx\n  .cfi_adjust_cfa_offset 8\n  .cfi_rel_offset %rbx, 0\n"
        "  push %r12\n  .cfi_adjust_cfa_offset 8\n"
        "  push %r13\n  .cfi_adjust_cfa_offset 8\n"
        "  push %r14\n  .cfi_adjust_cfa_offset 8\n"
        "  push %r15\n  .cfi_adjust_cfa_offset 8\n"
        "  mov %rsp, (%rdi)\n  mov %rsi, %rsp\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
        "  .cfi_def_cfa %rsp, 8\n  .cfi_restore %rbp\n  .cfi_restore %rbx\n"
        "  ret\n  .cfi_endproc\n.size co_switch, . - co_switch\n");

/* Where co_main would return. */
void co_exit(void);
NOINLINE void co_exit(void) { g_assert_not_reached(); }

void co_leaf(Coroutine *co);
void co_recurse(Coroutine *co, unsigned depth);
void co_main(Coroutine *co);

NOINLINE void co_leaf(Coroutine *co) {
    static __thread Chain chain;
    uint32_t id = support_hook();

    support_chain(id, &chain);
    g_assert_cmpuint(chain.count, >, 0);
    g_assert_cmpuint(chain.count, <=, co->depth + 2);
    for (size_t i = 0; i < chain.count; i++) {
        const char *truth = i == 0 ? "co_leaf" : i <= co->depth ? "co_recurse" : "co_main";
        g_assert_cmpstr(support_name(chain.ips[i]), ==, truth);
    }
    if (chain.root == TT_STACK_ROOT || co->kind != KIND_FUNCTION)
        g_assert_cmpuint(chain.count, ==, co->depth + 2);
    if (co->kind == KIND_FUNCTION)
        g_assert_cmpuint(chain.root, ==, TT_STACK_TRUNCATED);
    else
        g_assert_cmpuint(chain.root, ==, TT_STACK_ROOT);
    *(chain.root == TT_STACK_ROOT ? &whole_count : &truncated_count) += 1;
}

static NOINLINE void co_yield (Coroutine *co) {
    if (co->kind == KIND_CONTEXT)
        swapcontext(&co->context, &co->resumer);
    else
        co_switch(&co->sp, co->resumer_sp);
}

NOINLINE void co_recurse(Coroutine *co, unsigned depth) {
    volatile char room[100];

    room[depth] = 1;
    co->depth++;
    co_leaf(co);
    if (rand_r(&co->seed) % 3 == 0)
        co_yield (co);
    if (depth > 0)
        co_recurse(co, depth - 1);
    co_leaf(co);
    co->depth--;
    room[depth]++;
}

NOINLINE void co_main(Coroutine *co) {
    for (int i = 0; i < 3; i++) {
        co_recurse(co, (unsigned)rand_r(&co->seed) % 30);
        co_leaf(co);
        co_yield (co);
    }
    co->is_done = true;
    for (;;)
        co_yield (co);
}

static void co_prepare(Coroutine *co, char *stack, size_t len) {
    co->stack = stack;
    co->len = len;
    co->depth = 0;
    co->is_done = false;
    if (co->kind == KIND_CONTEXT) {
        getcontext(&co->context);
        co->context.uc_stack.ss_sp = stack;
        co->context.uc_stack.ss_size = len;
        makecontext(&co->context, (void (*)(void))co_main, 1, co);
    } else {
        uint64_t *top = (uint64_t *)(stack + len) - 4;
        *--top = co->kind == KIND_ZERO ? 0 : (uint64_t)co_exit; /* co_main's return address */
        *--top = (uint64_t)co_main;
        for (int i = 0; i < 6; i++)
            *--top = 0;
        co->sp = top;
    }
}

static NOINLINE void co_resume(Coroutine *co) {
    if (co->kind == KIND_CONTEXT)
        swapcontext(&co->resumer, &co->context);
    else
        co_switch(&co->resumer_sp, co->sp);
}

static char *map(size_t len) {
    char *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(memory != MAP_FAILED);
    return memory;
}

/* Memory comes and goes at @place, which nobody else gets meanwhile. */
static char *appear(char *place, size_t len) {
    g_assert_true(mmap(place, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                       -1, 0) == place);
    return place;
}

static void vanish(char *place, size_t len) {
    g_assert_true(mmap(place, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                  place);
}

#define COROUTINES 1000

static Coroutine coroutines[COROUTINES];
static pthread_mutex_t locks[COROUTINES];

static void begin_again(Coroutine *co) {
    if (co->stack != NULL && co->is_mapped)
        munmap(co->stack, co->len);
    else
        free(co->stack);
    co->kind = (Kind)rand_r(&co->seed) % KINDS;
    co->is_mapped = rand_r(&co->seed) % 2;
    size_t len = STACK_BYTES >> rand_r(&co->seed) % 3;
    co_prepare(co, co->is_mapped ? map(len) : malloc(len), len);
}

/* Each takes a coroutine that nobody runs and lets it go on: they wander from thread to thread. */
static void *run_coroutines(void *data) {
    unsigned seed = GPOINTER_TO_UINT(data);

    for (int i = 0; i < 15000; i++) {
        int which = rand_r(&seed) % COROUTINES;
        Coroutine *co = &coroutines[which];

        if (pthread_mutex_trylock(&locks[which]) != 0)
            continue;
        if (co->is_done)
            begin_again(co);
        co_resume(co);
        pthread_mutex_unlock(&locks[which]);
        if (i % 50 == 0)
            support_check(false);
    }
    return NULL;
}

static void fault_E06_wandering_coroutines(void) {
    pthread_t threads[2];
    unsigned seed = g_test_rand_int();

    for (int i = 0; i < COROUTINES; i++) {
        pthread_mutex_init(&locks[i], NULL);
        coroutines[i].seed = seed + (unsigned)i;
        begin_again(&coroutines[i]);
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run_coroutines, GUINT_TO_POINTER(seed + (unsigned)i));
    run_coroutines(GUINT_TO_POINTER(seed + 7));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    g_assert_cmpuint(whole_count, >, 1000);
    g_assert_cmpuint(truncated_count, >, 1000);
}

/* The same memory with less of it: frames at the same places, nothing beyond them. */
static void fault_E06_stack_remapped_smaller(void) {
    size_t most = 16 * STACK_BYTES;
    char *base = map(most);

    vanish(base, most);
    for (int round = 0; round < 300; round++) {
        static Coroutine co;
        size_t len = (size_t)16384 << round % 5;
        bool is_at_top = round / 5 % 2;
        char *stack = appear(is_at_top ? base + most - len : base, len);

        co.seed = (unsigned)round / 20;
        co.kind = (Kind)(round % KINDS);
        co_prepare(&co, stack, len);
        for (int i = 0; i < 5; i++)
            co_resume(&co);
        vanish(stack, len);
    }
    munmap(base, most);
    support_check(false);
}

/* liar(value, function): fills rbp without a word on it. Its caller is found by rbp. */
void liar(uint64_t value, void (*function)(void));
__asm__(".text\n.globl liar\n.type liar, @function\n"
        "liar: .cfi_startproc\n"
        "  push %rbp\n  .cfi_adjust_cfa_offset 8\n"
        "  mov %rdi, %rbp\n  call *%rsi\n  pop %rbp\n  .cfi_adjust_cfa_offset -8\n"
        "  ret\n  .cfi_endproc\n.size liar, . - liar\n");

NOINLINE void liar_leaf(void);
NOINLINE void victim(uint64_t value);

NOINLINE void liar_leaf(void) {
    static __thread Chain chain;
    uint32_t id = support_hook();

    support_chain(id, &chain);
    g_assert_cmpuint(chain.count, >=, 3);
    g_assert_cmpstr(support_name(chain.ips[0]), ==, "liar_leaf");
    g_assert_cmpstr(support_name(chain.ips[1]), ==, "liar");
    g_assert_cmpstr(support_name(chain.ips[2]), ==, "victim");
}

NOINLINE void victim(uint64_t value) {
    volatile char *memory = __builtin_alloca(value % 32 + 8); /* so that rbp finds the caller */

    memory[0] = 1;
    liar(value, liar_leaf);
    memory[0]++;
}

extern void *__libc_stack_end;

/* From the frame at hand to where stacks end, and everywhere else. */
static void sweep(void) {
    uint64_t here = (uint64_t)__builtin_frame_address(0), end = (uint64_t)__libc_stack_end;
    const uint64_t odd[] = {0,        1,          8,          4095,         4096,
                            ~0ull,    ~7ull,      1ull << 47, 1ull << 63,   (1ull << 47) - 8,
                            end,      end - 8,    end - 16,   end + 4096,   here,
                            here + 1, here - 128, here - 8,   here & ~15ull};

    for (size_t i = 0; i < G_N_ELEMENTS(odd); i++)
        victim(odd[i]);
    for (uint64_t at = here; at < here + 8192; at += 8)
        victim(at);
    if (end > here)
        for (int i = 0; i < 20000; i++) {
            uint64_t wide = (uint64_t)g_test_rand_int() << 32 | g_test_rand_int();
            victim(here + (wide % (end - here)) / 8 * 8);
        }
}

static void *sweep_in_thread(void *data) {
    sweep();
    return data;
}

static ucontext_t sweep_context, sweep_resumer;
static void sweep_coroutine(void) {
    sweep();
    swapcontext(&sweep_context, &sweep_resumer);
}

static void sweep_on(char *stack, size_t len, void (*function)(void)) {
    getcontext(&sweep_context);
    sweep_context.uc_stack.ss_sp = stack;
    sweep_context.uc_stack.ss_size = len;
    makecontext(&sweep_context, function, 0);
    swapcontext(&sweep_resumer, &sweep_context);
}

static void fault_E07_rbp_anywhere(void) {
    pthread_t thread;
    char *heap = malloc(STACK_BYTES), *mapped = map(STACK_BYTES);

    sweep();
    pthread_create(&thread, NULL, sweep_in_thread, NULL);
    pthread_join(thread, NULL);
    sweep_on(heap, STACK_BYTES, sweep_coroutine);
    sweep_on(mapped, STACK_BYTES, sweep_coroutine);
    free(heap);
    munmap(mapped, STACK_BYTES);
}

/* rbp points to memory beyond the stack at hand: zeros, or what looks like frames. It was there
 * when the last stack was taken; now it is not. */
static char *prey;

static NOINLINE uint64_t here(void) { return (uint64_t)__builtin_return_address(0); }

static void rug_coroutine(void) {
    uint64_t ip = here();

    for (volatile int round = 0; round < 20; round++) {
        char *place = appear(prey, 65536);
        uint64_t *frame = (uint64_t *)(place + 1024 * (round % 16));

        if (round % 2) { /* frames that find each other by rbp, over two pages, with an end */
            for (int i = 0; i < 7; i++) {
                frame[0] = (uint64_t)(frame + 128 * (i + 1));
                frame[1] = ip;
                frame += 128;
            }
            frame = (uint64_t *)(place + 1024 * (round % 16));
        }
        for (volatile int again = 0; again < 3; again++) {
            if (again == 2)
                vanish(place, 65536); /* the same call, from the same place, as before */
            victim((uint64_t)frame);
        }
    }
    swapcontext(&sweep_context, &sweep_resumer);
}

static void fault_E07_memory_goes_away(void) {
    char *region = map(4 * STACK_BYTES);

    prey = region + 2 * STACK_BYTES + 16384;
    sweep_on(region, STACK_BYTES, rug_coroutine);
    prey = region + STACK_BYTES; /* next to it */
    sweep_on(region, STACK_BYTES, rug_coroutine);
    munmap(region, 4 * STACK_BYTES);
}

/* A thread takes over the cache of one whose stack began lower and ended higher. */
static TtThread *handed_on;
static char *upper_half;

static void *first_main(void *data) {
    for (int i = 0; i < 4; i++)
        support_check(false);
    g_assert_cmpuint(support_thread()->stack.stack_high, !=, 0);
    handed_on = support_thread();
    return data;
}

static void *second_main(void *data) {
    support_adopt_thread(handed_on);
    for (int i = 0; i < 1000; i++)
        victim((uint64_t)upper_half + (unsigned)i * 48);
    return data;
}

static void fault_E07_a_smaller_stack_with_the_cache_of_another(void) {
    char *region = map(4 * STACK_BYTES);
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, region, 4 * STACK_BYTES);
    g_assert_cmpint(pthread_create(&thread, &attr, first_main, NULL), ==, 0);
    pthread_join(thread, NULL);
    upper_half = region + 2 * STACK_BYTES;
    vanish(upper_half, 2 * STACK_BYTES);
    pthread_attr_setstack(&attr, region, 2 * STACK_BYTES);
    g_assert_cmpint(pthread_create(&thread, &attr, second_main, NULL), ==, 0);
    pthread_join(thread, NULL);
    munmap(region, 4 * STACK_BYTES);
}

/* The same in a process whose stack may grow for ever: the kernel then lays out all memory the
 * other way round, and the thread's own stack has no end that could be known. */
static void fault_E06_again_with_unlimited_stack(void) {
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    pid_t child = fork();
    int status;

    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO); /* its TAP is not ours */
        if (setrlimit(RLIMIT_STACK, &unlimited) != 0)
            _exit(77);
        execl("/proc/self/exe", "again", "-p", "/stack/fault_E06_wandering_coroutines", "-p",
              "/stack/fault_E06_stack_remapped_smaller", "-p", "/stack/fault_E07_rbp_anywhere",
              NULL);
        _exit(78);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        g_test_skip("no unlimited stack is to be had");
    else
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    g_test_add_func("/stack/fault_E06_wandering_coroutines", fault_E06_wandering_coroutines);
    g_test_add_func("/stack/fault_E06_stack_remapped_smaller", fault_E06_stack_remapped_smaller);
    g_test_add_func("/stack/fault_E06_again_with_unlimited_stack",
                    fault_E06_again_with_unlimited_stack);
    g_test_add_func("/stack/fault_E07_rbp_anywhere", fault_E07_rbp_anywhere);
    g_test_add_func("/stack/fault_E07_memory_goes_away", fault_E07_memory_goes_away);
    g_test_add_func("/stack/fault_E07_a_smaller_stack_with_the_cache_of_another",
                    fault_E07_a_smaller_stack_with_the_cache_of_another);
    return g_test_run();
}
