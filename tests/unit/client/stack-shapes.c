/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of every shape that compilers make, each captured over and over from changing places, and
 * judged by another unwinder. Built several times, with different options. */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <elf.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include "stack-support.h"

#define NOINLINE __attribute__((noinline))
#define ROUNDS 20

static volatile int sink, depth_now;
static uint32_t last;

static NOINLINE void leaf(void) {
    last = support_check(false);
    sink++;
}

static NOINLINE void recurse(int depth) {
    if (depth == 0)
        leaf();
    else
        recurse(depth - 1);
    sink++;
}

static void recursion(void) {
    for (int depth = 0; depth < 200; depth++) {
        recurse(depth);
        recurse(depth / 3);
    }
    for (int depth = 200; depth > 0; depth -= 7)
        recurse(depth);
}

static NOINLINE void recurse_cut(int depth) {
    if (depth > 0) {
        recurse_cut(depth - 1);
        sink++;
        return;
    }

    static Chain chain;
    last = support_check(true);
    support_chain(last, &chain);
    g_assert_cmpuint(chain.root, ==, TT_STACK_TRUNCATED);
    g_assert_cmpuint(chain.count, ==, TT_STACK_DEPTH_MAX);
    sink++;
}

static void fault_E02_deep_recursion_is_cut(void) {
    for (int depth = 256; depth < 320; depth += 3) {
        recurse_cut(depth);
        recurse_cut(depth);
        recurse_cut(600 - depth);
    }
    recurse(10);
}

static NOINLINE void big_frame(int depth) {
    volatile char big[70000];

    big[depth] = 1;
    if (depth > 0)
        big_frame(depth - 1);
    else
        leaf();
    big[depth]++;
}

static NOINLINE void huge_frame(void) {
    volatile char huge[1 << 20];

    huge[77] = 1;
    leaf();
    huge[78]++;
}

static NOINLINE void variable_array(int len) {
    volatile char *memory = alloca((size_t)len * 16 + 16);

    memory[len] = 1;
    if (len > 0)
        variable_array(len - 1);
    else
        leaf();
    memory[len]++;
}

static NOINLINE void realigned(int depth) {
    _Alignas(64) volatile char array[128];

    array[depth % 128] = 1;
    g_assert_cmpuint((uintptr_t)array % 64, ==, 0);
    if (depth > 0)
        realigned(depth - 1);
    else
        leaf();
    array[depth % 128]++;
}

static NOINLINE void realigned_variable(int depth) {
    _Alignas(128) volatile char array[128];
    volatile char *memory = alloca((size_t)depth * 24 + 8);

    array[depth % 128] = memory[depth] = 1;
    if (depth > 0)
        realigned_variable(depth - 1);
    else
        leaf();
    array[depth % 128] += memory[depth];
}

/* Each such frame is known again by three words. */
static void deep_recursion_of_realigned_frames_is_whole(void) {
    for (int depth = 160; depth < 230; depth += 3) {
        realigned(depth);
        realigned_variable(depth);
    }
}

static NOINLINE int many_arguments(int a, int b, int c, int d, int e, int f, int g, int h, int i) {
    leaf();
    return a + b * 2 + c * 3 + d + e + f + g * 4 + h + i;
}

static NOINLINE void pushed_arguments(int n) {
    sink += many_arguments(n, n + 1, n + 2, 3, 4, 5, n * 3, n * 7, n);
    sink += many_arguments(1, n + 1, n + 2, 3, many_arguments(n, 1, 2, 3, 4, 5, 6, 7, 8), 5, n * 3,
                           7, n);
}

/* rbp and the others full of numbers, if the compiler has frame pointers omitted. */
static NOINLINE uint64_t many_values(uint64_t n) {
    uint64_t a = n * 3, b = n ^ 77, c = n << 3, d = n - 9, e = n * n, f = ~n, g = n >> 2, h = n | 1;

    for (int i = 0; i < 5; i++) {
        leaf();
        a += b * 3;
        b ^= c + (uint64_t)sink;
        c -= d * 5;
        d += e;
        e ^= f;
        f += g * 7;
        g ^= h;
        h += a;
    }
    return a + b + c + d + e + f + g + h;
}

static void shapes(void) {
    for (int round = 0; round < ROUNDS; round++) {
        big_frame(round % 4);
        huge_frame();
        variable_array(round);
        realigned(round % 5);
        realigned_variable(round % 3);
        pushed_arguments(round);
        sink += (int)many_values((uint64_t)round);
        recurse(round);
    }
}

static int compare(const void *a, const void *b) {
    leaf();
    return *(const int *)a - *(const int *)b;
}

static void once(void) { leaf(); }

static void through_libc(void) {
    int numbers[] = {4, 2, 9, 1, 5, 7, 3};
    pthread_once_t control = PTHREAD_ONCE_INIT;

    qsort(numbers, G_N_ELEMENTS(numbers), sizeof *numbers, compare);
    pthread_once(&control, once);
    bsearch(&numbers[2], numbers, G_N_ELEMENTS(numbers), sizeof *numbers, compare);
}

static sigjmp_buf back;
static bool leaves;

static void handler(int number) {
    static Chain chain;
    bool has_exact = false;

    recurse(3);
    support_chain(last, &chain);
    for (size_t i = 0; i < chain.count; i++)
        has_exact |= chain.is_exact[i];
    g_assert_true(has_exact);
    if (leaves)
        siglongjmp(back, number);
}

static NOINLINE void raise_at(int depth) {
    if (depth > 0)
        raise_at(depth - 1);
    else
        raise(SIGUSR1);
    sink++;
}

/* Interrupted in the middle of computing, not in a call. */
static NOINLINE void trap(void) {
    static void *volatile nowhere;

    if (sigsetjmp(back, 1) == 0)
        *(volatile int *)nowhere = 1;
    sink++;
}

static void fault_E08_signal_handlers(void) {
    struct sigaction action = {.sa_handler = handler};

    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        raise_at(i % 4);
        leaf();
        leaves = true;
        trap();
        leaves = false;
    }

    /* On a stack of its own, below and above the thread's. */
    static char below[65536];
    stack_t stack = {.ss_sp = below, .ss_size = sizeof below};
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaltstack(&stack, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        raise_at(i % 4);
        leaf();
        leaves = true;
        trap();
        leaves = false;
    }
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
}

static NOINLINE void jump(int depth) {
    if (depth > 0) {
        jump(depth - 1);
        sink++;
    } else {
        leaf();
        siglongjmp(back, 1);
    }
}

static void fault_E05_longjmp_and_another_path(void) {
    for (depth_now = 0; depth_now < ROUNDS; depth_now++) {
        if (sigsetjmp(back, 0) == 0)
            jump(100 - depth_now);
        else
            recurse(depth_now);
        leaf();
    }
}

static void *thread_main(void *data) {
    for (int round = 0; round < ROUNDS * 5; round++) {
        recurse(GPOINTER_TO_INT(data) + round % 7);
        big_frame(round % 3);
        realigned(round % 5);
        pushed_arguments(round);
    }
    return NULL;
}

static void fault_E14_threads_end_cleanly(void) {
    pthread_t threads[8];

    for (int i = 0; i < 8; i++)
        g_assert_cmpint(pthread_create(&threads[i], NULL, thread_main, GINT_TO_POINTER(i)), ==, 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

static void fault_E14_user_given_stack(void) {
    size_t len = 1 << 20;
    char *stack = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, len);
    g_assert_cmpint(pthread_create(&thread, &attr, thread_main, NULL), ==, 0);
    pthread_join(thread, NULL);
    munmap(stack, len);
}

/* A capture of what was never seen before, on a stack filled with a pattern. */
#define PATTERN 0xa5a5a5a5a5a5a5a5u
static char *painted;
static size_t used_bytes;

static __attribute__((noinline)) void capture_on_paint(void) {
    uint64_t *here = __builtin_frame_address(0), *low = (uint64_t *)(void *)painted;

    support_thread();
    for (uint64_t *at = low; at < here - 64; at++)
        *at = PATTERN;
    support_hook();
    while (*low == PATTERN)
        low++;
    used_bytes = (size_t)((char *)here - (char *)low);
}

static __attribute__((noinline)) void *paint_main(void *data) {
    capture_on_paint();
    sink++;
    return data;
}

static void fault_E09_needs_little_stack(void) {
    size_t len = 1 << 16;
    pthread_attr_t attr;
    pthread_t thread;

    painted = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, painted, len);
    tt_stack_advance_epoch();
    g_assert_cmpint(pthread_create(&thread, &attr, paint_main, NULL), ==, 0);
    pthread_join(thread, NULL);
    munmap(painted, len);
    g_test_message("%zu bytes of stack from the hook's caller on", used_bytes);
    g_assert_cmpuint(used_bytes, <, 1024);
}

/* The plugin's resolver of an indirect function runs below the loader's lazy binding, whose frame
 * has its CFA in rbx. */
static void fault_E10_lazy_binding(void) {
    const char *path = g_getenv("TT_TEST_LAZY_PLUGIN");

    if (path == NULL) {
        g_test_skip("no TT_TEST_LAZY_PLUGIN");
        return;
    }
    void *plugin = dlopen(path, RTLD_LAZY);
    g_assert_nonnull(plugin);
    void (**hook)(void) = dlsym(plugin, "plugin_hook");
    int (*call)(int) = (int (*)(int))dlsym(plugin, "plugin_call");
    uint64_t before = support_checks;

    *hook = leaf;
    leaf();
    for (int i = 0; i < 4; i++)
        g_assert_cmpint(call(i), ==, i + 1);
    g_assert_cmpuint(support_checks, >, before + 1);
    tt_stack_advance_epoch();
    dlclose(plugin);
    leaf();
}

/* The vdso has no file, and is no library's caller: a handler comes in at each of its instructions,
 * and is judged by libgcc's walk, which goes through the frames that the kernel describes there. */
static uint64_t vdso_start, vdso_end;
static int vdso_steps;

static void in_vdso(int number, siginfo_t *info, void *data) {
    const ucontext_t *context = data;
    uint64_t ip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];

    (void)number;
    (void)info;
    if (ip >= vdso_start && ip < vdso_end) {
        vdso_steps++;
        support_check(false);
    }
}

/* Past the red zone, which what is pushed would lie in. */
#define CHANGE_FLAGS(change)                                                                       \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n pushfq\n" change ", (%%rsp)\n popfq\n"              \
                     "lea 128(%%rsp), %%rsp"                                                       \
                     :                                                                             \
                     :                                                                             \
                     : "memory", "cc")

static NOINLINE void step_through_clock(void) {
    struct timespec now;

    CHANGE_FLAGS("orq $0x100");
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHANGE_FLAGS("andq $~0x100");
    sink += (int)now.tv_nsec;
}

static void fault_E15_within_the_vdso(void) {
    struct sigaction action = {.sa_sigaction = in_vdso, .sa_flags = SA_SIGINFO}, old;
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);

    if (header == NULL) {
        g_test_skip("the kernel gives no vdso");
        return;
    }
    vdso_start = (uint64_t)header;
    vdso_end = vdso_start + header->e_shoff + (uint64_t)header->e_shentsize * header->e_shnum;
    sigaction(SIGTRAP, &action, &old);
    for (int i = 0; i < 3; i++)
        step_through_clock();
    sigaction(SIGTRAP, &old, NULL);
    if (vdso_steps == 0)
        g_test_skip("the C library asks the kernel for the time");
    g_test_message("%d steps", vdso_steps);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    support_init();
    g_test_add_func("/stack/fault_E09_needs_little_stack", fault_E09_needs_little_stack);
    g_test_add_func("/stack/recursion", recursion);
    g_test_add_func("/stack/fault_E02_deep_recursion_is_cut", fault_E02_deep_recursion_is_cut);
    g_test_add_func("/stack/deep_recursion_of_realigned_frames_is_whole",
                    deep_recursion_of_realigned_frames_is_whole);
    g_test_add_func("/stack/fault_E03_shapes", shapes);
    g_test_add_func("/stack/fault_E05_longjmp_and_another_path",
                    fault_E05_longjmp_and_another_path);
    g_test_add_func("/stack/fault_E08_signal_handlers", fault_E08_signal_handlers);
    g_test_add_func("/stack/fault_E10_lazy_binding", fault_E10_lazy_binding);
    g_test_add_func("/stack/fault_E14_threads_end_cleanly", fault_E14_threads_end_cleanly);
    g_test_add_func("/stack/fault_E14_user_given_stack", fault_E14_user_given_stack);
    g_test_add_func("/stack/fault_E15_through_libc", through_libc);
    g_test_add_func("/stack/fault_E15_within_the_vdso", fault_E15_within_the_vdso);
    return g_test_run();
}
