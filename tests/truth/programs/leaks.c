/* SPDX-License-Identifier: Apache-2.0 */
/* Leaks with known answers. Each case is a function of its own, whose name begins with the class
 * that its blocks are to have, and is called from a frame that is gone when the program is looked
 * at. Built by C and C++ compilers, and run under LeakSanitizer and valgrind too.
 *
 *   leaks [CASE] …   runs those cases, without any all; then ends
 *
 * PLUGIN in the environment is a module for reachable_in_plugin. WAIT=1: says "ready" and waits for
 * a byte, threads and registers as they are. END=_exit, kill, segv: another end. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CASE __attribute__((noinline, noclone)) static void

typedef struct Node {
    struct Node *next;
    void *data;
} Node;

/* Writes over what the cases left on the stack below, so that no stale pointer is there by chance.
 */
__attribute__((noinline, noclone)) static void wipe(void) {
    volatile char bytes[32768];

    memset((char *)bytes, 0x55, sizeof bytes);
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

/* The compiler must believe that what a pointer leads to is used. */
#define KEEP(ptr) __asm__ volatile("" : : "r"(ptr) : "memory")

static void *volatile sink;

/* ---- Definitely lost ---- */

CASE definite_dropped(void) {
    sink = malloc(101);
    sink = NULL;
}

CASE definite_overwritten(void) {
    void *volatile block = malloc(102);

    sink = block;
    block = malloc(16);
    sink = NULL;
    free(block);
}

CASE definite_realloced(void) {
    void *volatile block = malloc(10);

    block = realloc(block, 10300);
    block = NULL;
}

/* A stale pointer in a freed block keeps nothing. */
CASE definite_behind_freed(void) {
    void **holders[8];

    for (int i = 0; i < 8; i++) {
        holders[i] = (void **)malloc(1040); /* too large for caches that write over it all */
        holders[i][64] = NULL;
    }
    holders[3][64] = malloc(104);
    KEEP(holders[3]);
    for (int i = 0; i < 8; i++)
        free(holders[i]);
}

/* ---- Lost with what they lead to ---- */

/* The head is definitely lost, 3 nodes of 4 and their data indirectly. */
CASE indirect_list(void) {
    Node *head = NULL;

    for (int i = 0; i < 4; i++) {
        Node *node = (Node *)malloc(sizeof(Node) + 100);

        node->next = head;
        node->data = malloc(201);
        head = node;
    }
    sink = head;
    sink = NULL;
}

/* One of the two stands for both. */
CASE indirect_cycle(void) {
    Node *one = (Node *)malloc(sizeof(Node) + 200), *other = (Node *)malloc(sizeof(Node) + 200);

    one->next = other;
    other->next = one;
    one->data = other->data = NULL;
    KEEP(one);
}

/* ---- Possibly lost ---- */

static char *volatile interior;

CASE possible_interior(void) { interior = (char *)malloc(301) + 32; }

static char *volatile of_object;

/* What only such a block points to is no better. */
CASE possible_behind_interior(void) {
    Node *node = (Node *)malloc(sizeof(Node) + 300);

    memset(node, 0x55, sizeof(Node) + 300);
    node->data = malloc(302);
    node->next = NULL;
    KEEP(node);
    of_object = (char *)node + 24;
}

/* ---- Still reachable ---- */

static void *volatile global;
static Node *volatile chain;
static __thread void *volatile in_tls;
static void **volatile mapped;

CASE reachable_global(void) { global = malloc(401); }

CASE reachable_chain(void) {
    for (int i = 0; i < 50; i++) {
        Node *node = (Node *)malloc(sizeof(Node) + 400);

        node->next = chain;
        node->data = malloc(402);
        chain = node;
    }
}

CASE reachable_tls(void) { in_tls = malloc(403); }

CASE reachable_mapped(void) {
    mapped = (void **)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mapped[513] = malloc(404);
    mapped = (void **)((uintptr_t)mapped ^ 0x5555000000000000);
}

CASE reachable_in_plugin(void) {
    void *plugin = getenv("PLUGIN") ? dlopen(getenv("PLUGIN"), RTLD_NOW) : NULL;
    void *volatile *slot = plugin ? (void *volatile *)dlsym(plugin, "plugin_slot") : NULL;

    if (slot)
        *slot = malloc(405);
}

/* ---- Threads ---- */

static pthread_barrier_t are_ready;
static int leaves[2]; /* a pipe: the threads' end is when it is closed */

static void wait_for_end(void) {
    char byte;

    pthread_barrier_wait(&are_ready);
    while (read(leaves[0], &byte, 1) < 0)
        ;
}

__attribute__((noinline)) static void *reachable_thread_stack(void *unused) {
    void *volatile block = malloc(406);

    (void)unused;
    wait_for_end();
    sink = block;
    return NULL;
}

static volatile int is_in_register;

/* The pointer is in a register that no call saves, and nowhere else. */
__attribute__((noinline)) static void *reachable_register(void *unused) {
    (void)unused;
    pthread_barrier_wait(&are_ready);
    void *block = malloc(407);
    /* read(2), forever: the block's address stands in r13 alone. */
    __asm__ volatile("mov %0, %%r13\n\t"
                     "xor %0, %0\n\t"
                     "mov %%rsp, %%r14\n\t"
                     "movl $1, %2\n"
                     "1: xor %%eax, %%eax\n\t"
                     "lea -128(%%r14), %%rsi\n\t"
                     "mov %1, %%edi\n\t"
                     "mov $1, %%edx\n\t"
                     "syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "js 1b\n\t"
                     : "+a"(block)
                     : "m"(leaves[0]), "m"(is_in_register)
                     : "r13", "r14", "rsi", "rdi", "rdx", "rcx", "r11", "memory", "cc");
    return NULL;
}

/* A thread that has ended: its stack is kept for the next, and keeps nothing. */
__attribute__((noinline)) static void *definite_ended_thread(void *unused) {
    void *volatile block = malloc(107);

    (void)unused;
    block = malloc(107);
    return NULL;
}

#ifdef __cplusplus
/* ---- C++ ---- */

struct Counted {
    int64_t value;
    ~Counted() { value = 0; }
};

static Counted *volatile array;

/* The only pointer is that behind the length. */
CASE reachable_array_with_length(void) { array = new Counted[50]; }

struct First {
    virtual ~First() {}
    int64_t first[5];
};
struct Second {
    virtual ~Second() {}
    int64_t second[5];
};
struct Both : First, Second {
    int64_t third[10];
};

static Second *volatile as_second;

CASE reachable_second_base(void) { as_second = new Both; }
#endif

typedef struct Case {
    const char *name;
    void (*run)(void);
    void *(*run_thread)(void *);
} Case;

static const Case cases[] = {
    {"definite_dropped", definite_dropped, NULL},
    {"definite_overwritten", definite_overwritten, NULL},
    {"definite_realloced", definite_realloced, NULL},
    {"definite_ended_thread", NULL, definite_ended_thread},
    {"indirect_list", indirect_list, NULL},
    {"indirect_cycle", indirect_cycle, NULL},
    {"possible_interior", possible_interior, NULL},
    {"possible_behind_interior", possible_behind_interior, NULL},
    {"reachable_global", reachable_global, NULL},
    {"reachable_chain", reachable_chain, NULL},
    {"reachable_tls", reachable_tls, NULL},
    {"reachable_mapped", reachable_mapped, NULL},
    {"reachable_in_plugin", reachable_in_plugin, NULL},
    {"reachable_thread_stack", NULL, reachable_thread_stack},
    {"reachable_register", NULL, reachable_register},
#ifdef __cplusplus
    {"reachable_array_with_length", reachable_array_with_length, NULL},
    {"reachable_second_base", reachable_second_base, NULL},
#endif
    /* Last: a block born in freed memory would hold what that held, and be right to keep it. */
    {"definite_behind_freed", definite_behind_freed, NULL},
};

static int is_asked(const Case *one, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], one->name) == 0)
            return 1;
    return argc == 1;
}

__attribute__((noinline, noclone)) static void run_all(int argc, char **argv) {
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        pthread_t thread;

        if (!is_asked(&cases[i], argc, argv))
            continue;
        if (cases[i].run) {
            cases[i].run();
            continue;
        }
        pthread_create(&thread, NULL, cases[i].run_thread, NULL);
        if (cases[i].run_thread == definite_ended_thread)
            pthread_join(thread, NULL);
        else
            pthread_barrier_wait(&are_ready);
        while (cases[i].run_thread == reachable_register && !is_in_register)
            usleep(100);
    }
}

int main(int argc, char **argv) {
    const char *end = getenv("END");
    char byte = 0;

    pthread_barrier_init(&are_ready, NULL, 2);
    if (pipe(leaves) < 0)
        return 1;
    run_all(argc, argv);
    wipe();
    sink = NULL;
    if (getenv("WAIT")) {
        (void)!write(1, "ready\n", 6);
        (void)!read(0, &byte, 1);
    }
    if (end && strcmp(end, "_exit") == 0)
        _exit(7);
    if (end && strcmp(end, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (end && strcmp(end, "segv") == 0)
        raise(SIGSEGV);
    return 0;
}
