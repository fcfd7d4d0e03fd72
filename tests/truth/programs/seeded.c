/* SPDX-License-Identifier: Apache-2.0 */
/* Does all that a program can do to its heap, as a seed decides, and writes down what it did, with
 * nothing of the allocator's:
 *
 *   seeded LOG SEED STEPS
 *
 * It prints its pid. Threads come and go, and one at a time has the turn: so the log's order is the
 * order in which things happened. A forked child goes on in the same way, with its parent's blocks,
 * and writes LOG.PID as every process does. A line is a word, what belongs to it, and when it was,
 * in nanoseconds before and after:
 *
 *   b TID ADDR SIZE SITE SCOPE USABLE      a block was born; SITE is a function and how deep it
 *                                          recursed, USABLE what malloc_usable_size says
 *   r TID OLD ADDR SIZE SITE SCOPE USABLE  a block was resized
 *   d TID ADDR                      a block died
 *   v TID ADDR NAME TYPE            the block around an address got a name
 *   s TID SCOPE                     a scope was entered
 *   l TID SCOPE                     one was left, for the one around it; "-" is outside all
 *   m TID NAME                      tt_mark: what stands above was before it
 *   p TID SCOPE                     it was forked, and has its parent's blocks and scopes
 *   c TID PID                       it forked PID
 *
 * A block that a thread of ours starts or ends with comes from none of the sites below. */
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ttclient.h>

#define LIVE_MAX 150
#define THREADS_MAX 6
#define SCOPES_MAX 3
#define DEPTH_MAX 3
#define SCOPE_LEN 64

typedef struct Worker {
    pthread_t thread;
    sem_t turn;
    int is_there, is_to_end;
    unsigned scope_depth;
    char scope[SCOPE_LEN]; /* "-", or the path */
} Worker;

static Worker workers[THREADS_MAX]; /* the first is the one that gives the turns */
static sem_t is_done;
static _Thread_local Worker *self;
static _Thread_local int tid;

static struct {
    void *ptr;
    size_t size;
} live[LIVE_MAX];
static unsigned live_count, mark_count;
static unsigned forks_left, forks_of_child;
static uint64_t lot;
static const char *log_path;
static int log_fd;

static unsigned draw(unsigned end) {
    lot = lot * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(lot >> 33) % end;
}

/* ---- The log ---- */

static uint64_t now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void note(uint64_t before_ns, char word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void note(uint64_t before_ns, char word, const char *format, ...) {
    uint64_t after_ns = now_ns();
    char line[256];
    va_list values;

    int len = snprintf(line, sizeof line, "%c %d ", word, tid);
    va_start(values, format);
    len += vsnprintf(line + len, sizeof line - (size_t)len, format, values);
    va_end(values);
    len += snprintf(line + len, sizeof line - (size_t)len, " %" PRIu64 " %" PRIu64 "\n", before_ns,
                    after_ns);
    if (write(log_fd, line, (size_t)len) != len)
        abort();
}

static void open_log(void) {
    char path[4096];

    snprintf(path, sizeof path, "%s.%d", log_path, getpid());
    log_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (log_fd < 0)
        abort();
}

/* ---- The sites ---- */

/* What keeps a site's frame on the stack, and a block from being optimized away. */
#define KEEP(ptr) __asm__ volatile("" : : "r"(ptr) : "memory")

static __attribute__((noinline)) void *by_malloc(unsigned depth, size_t size) {
    void *ptr = depth > 0 ? by_malloc(depth - 1, size) : malloc(size);
    KEEP(ptr);
    return ptr;
}

static __attribute__((noinline)) void *by_calloc(unsigned depth, size_t size) {
    void *ptr = depth > 0       ? by_calloc(depth - 1, size)
                : size % 3 == 0 ? calloc(size / 3, 3)
                                : calloc(1, size);
    KEEP(ptr);
    return ptr;
}

static __attribute__((noinline)) void *by_alignment(unsigned depth, size_t size) {
    size_t alignment = (size_t)16 << size % 8;
    void *ptr = NULL;

    if (depth > 0)
        ptr = by_alignment(depth - 1, size);
    else if (size % 2 == 0)
        ptr = aligned_alloc(alignment, size);
    else if (posix_memalign(&ptr, alignment, size) != 0)
        abort();
    KEEP(ptr);
    return ptr;
}

static __attribute__((noinline)) void *by_realloc(unsigned depth, void *old, size_t size) {
    void *ptr = depth > 0       ? by_realloc(depth - 1, old, size)
                : size % 2 == 0 ? realloc(old, size)
                                : reallocarray(old, size, 1);
    KEEP(ptr);
    return ptr;
}

/* ---- What a thread does when it has the turn ---- */

static size_t draw_size(void) {
    switch (draw(12)) {
    case 0:
        return draw(3);
    case 1:
        return draw(20000);
    case 2:
        return draw(4) == 0 ? draw(1 << 20) : 4096; /* beyond 128 KiB it is mapped */
    case 3:
    case 4:
        return draw(4000);
    default:
        return draw(300);
    }
}

static void give_birth(void) {
    static const char *const names[] = {"by_malloc", "by_calloc", "by_alignment", "by_realloc"};
    size_t size = draw_size();
    unsigned way = draw(4), depth = draw(DEPTH_MAX);
    uint64_t before_ns = now_ns();
    void *ptr = way == 0   ? by_malloc(depth, size)
                : way == 1 ? by_calloc(depth, size)
                : way == 2 ? by_alignment(depth, size)
                           : by_realloc(depth, NULL, size);

    live[live_count].ptr = ptr;
    live[live_count++].size = size;
    note(before_ns, 'b', "0x%" PRIxPTR " %zu %s/%u %s %zu", (uintptr_t)ptr, size, names[way], depth,
         self->scope, malloc_usable_size(ptr));
}

static void put_to_death(unsigned at) {
    uint64_t before_ns = now_ns();
    void *ptr = live[at].ptr;

    if (draw(8) > 0) {
        free(ptr);
    } else {
        void *volatile nothing = realloc(ptr, 0);
        KEEP(nothing);
    }
    note(before_ns, 'd', "0x%" PRIxPTR, (uintptr_t)ptr);
    live[at] = live[--live_count];
}

static void resize(unsigned at) {
    size_t size = (draw(2) ? draw_size() : live[at].size + draw(40)) + 1;
    unsigned depth = draw(DEPTH_MAX);
    uint64_t before_ns = now_ns();
    uintptr_t old = (uintptr_t)live[at].ptr;
    void *ptr = by_realloc(depth, live[at].ptr, size);

    live[at].ptr = ptr;
    live[at].size = size;
    note(before_ns, 'r', "0x%" PRIxPTR " 0x%" PRIxPTR " %zu by_realloc/%u %s %zu", old,
         (uintptr_t)ptr, size, depth, self->scope, malloc_usable_size(ptr));
}

/* Nothing comes of it. */
static void fail(unsigned at) {
    volatile size_t size = PTRDIFF_MAX;

    if (realloc(live[at].ptr, size) != NULL || malloc(size) != NULL)
        abort();
    free(NULL);
}

static void name(unsigned at) {
    if (live[at].size == 0)
        return; /* its address is one past its end */
    static const char *const types[] = {"", "Node *", "std::vector<int>"};
    const char *type = types[draw(3)];
    char name[16];
    /* Anywhere in it, but not past its end. */
    char *inside = (char *)live[at].ptr + draw((unsigned)live[at].size);
    uint64_t before_ns = now_ns();

    snprintf(name, sizeof name, "name-%u", draw(5));
    if (tt_track(inside, name, type) != 0)
        abort();
    note(before_ns, 'v', "0x%" PRIxPTR " %s %c", (uintptr_t)inside, name, *type ? *type : '-');
}

static void change_scope(void) {
    uint64_t before_ns = now_ns();

    if (self->scope_depth == SCOPES_MAX || (self->scope_depth > 0 && draw(2))) {
        char *slash = strrchr(self->scope, '/');

        tt_scope_leave(NULL);
        if (--self->scope_depth == 0)
            strcpy(self->scope, "-");
        else
            *slash = '\0';
        note(before_ns, 'l', "%s", self->scope);
        return;
    }
    char name[16];
    snprintf(name, sizeof name, "scope-%u", draw(3));
    tt_scope_enter(name);
    if (self->scope_depth++ == 0)
        self->scope[0] = '\0';
    else
        strcat(self->scope, "/");
    strcat(self->scope, name);
    note(before_ns, 's', "%s", self->scope);
}

static void mark(void) {
    uint64_t before_ns = now_ns();
    char name[32];

    snprintf(name, sizeof name, "mark-%u", mark_count++);
    if (tt_mark(name) != 0)
        abort();
    note(before_ns, 'm', "%s", name);
}

static void go_on(unsigned steps);

/* The thread that has the turn is all of the child. */
static void be_child(void) {
    static Worker first;
    uint64_t before_ns = now_ns();

    first = *self;
    memset(workers, 0, sizeof workers);
    workers[0] = first;
    self = &workers[0];
    tid = gettid();
    mark_count = 0;
    forks_left = forks_of_child;
    forks_of_child = 0;
    sem_init(&is_done, 0, 0);
    open_log();
    note(before_ns, 'p', "%s", self->scope);
    go_on(120);
    _exit(EXIT_SUCCESS);
}

static void split(void) {
    uint64_t before_ns = now_ns();
    pid_t child = fork();

    if (child < 0)
        abort();
    if (child == 0)
        be_child();
    forks_left--;
    note(before_ns, 'c', "%d", child);
}

static void act(void) {
    unsigned what = draw(100), at = live_count > 0 ? draw(live_count) : 0;

    if (live_count == 0 || (what < 45 && live_count < LIVE_MAX))
        give_birth();
    else if (what < 70)
        put_to_death(draw(3) ? at : live_count - 1);
    else if (what < 83)
        resize(at);
    else if (what < 90)
        name(at);
    else if (what < 96)
        change_scope();
    else if (what < 97)
        fail(at);
    else if (what < 99)
        mark();
    else if (forks_left > 0)
        split();
}

/* ---- Turns ---- */

static void *work(void *data) {
    self = data;
    tid = gettid();
    for (;;) {
        while (sem_wait(&self->turn) != 0)
            ;
        if (self->is_to_end)
            return NULL;
        act();
        sem_post(&is_done);
    }
}

/* The loader's own blocks for a thread come between two of ours: so it is known of ours which was
 * the last one before the next. */
static void start_thread(Worker *worker) {
    give_birth();
    *worker = (Worker){.is_there = 1, .scope = "-"};
    sem_init(&worker->turn, 0, 0);
    if (pthread_create(&worker->thread, NULL, work, worker) != 0)
        abort();
    give_birth();
}

static void end_thread(Worker *worker) {
    worker->is_to_end = 1;
    sem_post(&worker->turn);
    pthread_join(worker->thread, NULL);
    worker->is_there = 0;
}

static void give_turn(Worker *worker) {
    if (worker == self) {
        act();
        return;
    }
    sem_post(&worker->turn);
    while (sem_wait(&is_done) != 0)
        ;
}

static void go_on(unsigned steps) {
    for (unsigned i = 0; i < steps; i++) {
        Worker *worker = &workers[draw(THREADS_MAX)];

        if (!worker->is_there && live_count + 2 <= LIVE_MAX)
            start_thread(worker);
        else if (worker->is_there && worker != self && draw(40) == 0)
            end_thread(worker);
        else if (worker->is_there)
            give_turn(worker);
    }
    for (unsigned i = 1; i < THREADS_MAX; i++)
        if (workers[i].is_there)
            end_thread(&workers[i]);
    while (wait(NULL) > 0)
        ;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return EXIT_FAILURE;
    log_path = argv[1];
    lot = strtoull(argv[2], NULL, 10) * 2862933555777941757u + 3037000493u;
    sem_init(&is_done, 0, 0);
    workers[0] = (Worker){.is_there = 1, .scope = "-"};
    self = &workers[0];
    tid = gettid();
    /* Two children, or one that has one: a daemon keeps what has ended as long as few run at once.
     */
    forks_left = 1 + draw(2);
    forks_of_child = 2 - forks_left;
    open_log();
    dprintf(STDOUT_FILENO, "%d\n", getpid());
    go_on((unsigned)atoi(argv[3]));
    return EXIT_SUCCESS;
}
