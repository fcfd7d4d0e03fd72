/* SPDX-License-Identifier: Apache-2.0 */
/* Does all that a program can do to its heap, as a seed decides, and writes down what it did, with
 * nothing of the allocator's:
 *
 *   seeded LOG SEED STEPS
 *
 * It prints its pid. Threads come and go, and one at a time has the turn: so the log's order is the
 * order in which things happened, but for what stands between "(" and ")": there all threads act at
 * once, each on blocks that it has taken from what all have, and of each alone the order is the
 * log's. A forked child goes on in the same way, with its parent's blocks, and writes LOG.PID as
 * every process does. A line is a word, what belongs to it, and when it was, in nanoseconds of
 * CLOCK_MONOTONIC before and after:
 *
 *   o TID LEAST MOST                the log begins: how far CLOCK_REALTIME is ahead of that clock
 *   n TID NAME                      the thread is called so; it has done nothing yet
 *   b TID ADDR SIZE SITE SCOPE USABLE      a block was born; SITE is the functions that it was born
 *                                          in, the innermost first, USABLE what malloc_usable_size
 *                                          says
 *   r TID OLD ADDR SIZE SITE SCOPE USABLE  a block was resized
 *   d TID ADDR SITE                 a block died
 *   v TID ADDR NAME TYPE            the block around an address got a name
 *   s TID SCOPE                     a scope was entered
 *   l TID SCOPE                     one was left, for the one around it; "-" is outside all
 *   m TID NAME                      tt_mark: what stands above was before it
 *   p TID SCOPE                     it was forked, and has its parent's blocks and scopes
 *   c TID PID                       it forked PID
 *   w TID PID                       it saw PID's end
 *   ( TID, ) TID                    all threads begin to act at once, and have done so
 *   e TID STATUS                    it is about to exit
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
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ttclient.h>

#define LIVE_MAX 150
#define THREADS_MAX 6
#define SCOPES_MAX 3
#define DEPTH_MAX 3
#define SCOPE_LEN 64
#define TRAIL_MAX 32
#define SITE_LEN 256
#define ACTS_AT_ONCE 12

typedef struct Worker {
    pthread_t thread;
    sem_t turn;
    int is_there, is_to_end, is_beside;
    uint64_t lot;
    unsigned scope_depth;
    char scope[SCOPE_LEN]; /* "-", or the path */
    char name[16];
} Worker;

typedef struct Held {
    void *ptr;
    size_t size;
} Held;

static Worker workers[THREADS_MAX]; /* the first is the one that gives the turns */
static sem_t is_done;
static _Thread_local Worker *self;
static _Thread_local int tid;

static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;
static Held live[LIVE_MAX]; /* what no thread works on */
static unsigned live_count, mark_count;
static unsigned forks_left, forks_of_child;
static const char *log_path;
static int log_fd;

static unsigned draw(unsigned end) {
    self->lot = self->lot * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(self->lot >> 33) % end;
}

/* ---- By which way a thread has come ---- */

static _Thread_local const char *trail[TRAIL_MAX];
static _Thread_local unsigned trail_len;

static int arrive(const char *function) {
    if (trail_len == TRAIL_MAX)
        abort();
    trail[trail_len++] = function;
    return 0;
}

static void depart(const int *here) {
    (void)here;
    trail_len--;
}

/* Stands first in every function between a thread's start and a site. */
#define HERE int here __attribute__((cleanup(depart), unused)) = arrive(__func__)

/* The functions of a call of @function, which called itself @depth times, by the caller. */
static const char *site_of(const char *function, unsigned depth) {
    static _Thread_local char site[SITE_LEN];
    size_t len = 0;

    for (unsigned i = 0; i <= depth; i++)
        len += (size_t)snprintf(site + len, sizeof site - len, "%s<", function);
    for (unsigned i = trail_len; i-- > 0;)
        len += (size_t)snprintf(site + len, sizeof site - len, "%s%s", trail[i], i ? "<" : "");
    if (len >= sizeof site)
        abort();
    return site;
}

/* ---- The log ---- */

static uint64_t read_ns(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void) { return read_ns(CLOCK_MONOTONIC); }

static void note(uint64_t before_ns, char word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void note(uint64_t before_ns, char word, const char *format, ...) {
    uint64_t after_ns = now_ns();
    char line[512];
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
    log_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        abort();

    uint64_t before_ns = now_ns(), real_ns = read_ns(CLOCK_REALTIME), after_ns = now_ns();
    note(before_ns, 'o', "%" PRIu64 " %" PRIu64, real_ns - after_ns, real_ns - before_ns);
    note(before_ns, 'n', "%s", self->name);
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

static __attribute__((noinline)) void by_free(unsigned depth, void *ptr) {
    if (depth > 0)
        by_free(depth - 1, ptr);
    else
        free(ptr);
    KEEP(ptr);
}

/* ---- What nobody works on ---- */

/* One of them, which is the caller's from now on; an empty one where there is none. */
static Held take(void) {
    Held held = {0};

    pthread_mutex_lock(&live_lock);
    if (live_count > 0) {
        unsigned at = draw(3) ? draw(live_count) : live_count - 1;

        held = live[at];
        live[at] = live[--live_count];
    }
    pthread_mutex_unlock(&live_lock);
    return held;
}

/* What is put there has been noted. */
static void put(Held held) {
    pthread_mutex_lock(&live_lock);
    live[live_count++] = held;
    pthread_mutex_unlock(&live_lock);
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
    HERE;
    static const char *const names[] = {"by_malloc", "by_calloc", "by_alignment", "by_realloc"};
    size_t size = draw_size();
    unsigned way = draw(4), depth = draw(DEPTH_MAX);
    uint64_t before_ns = now_ns();
    void *ptr = way == 0   ? by_malloc(depth, size)
                : way == 1 ? by_calloc(depth, size)
                : way == 2 ? by_alignment(depth, size)
                           : by_realloc(depth, NULL, size);

    note(before_ns, 'b', "0x%" PRIxPTR " %zu %s %s %zu", (uintptr_t)ptr, size,
         site_of(names[way], depth), self->scope, malloc_usable_size(ptr));
    put((Held){.ptr = ptr, .size = size});
}

static void put_to_death(Held held) {
    HERE;
    int is_freed = draw(8) > 0;
    unsigned depth = draw(DEPTH_MAX);
    uint64_t before_ns = now_ns();

    if (is_freed)
        by_free(depth, held.ptr);
    else
        by_realloc(depth, held.ptr, 0);
    note(before_ns, 'd', "0x%" PRIxPTR " %s", (uintptr_t)held.ptr,
         site_of(is_freed ? "by_free" : "by_realloc", depth));
}

static void resize(Held held) {
    HERE;
    size_t size = (draw(2) ? draw_size() : held.size + draw(40)) + 1;
    unsigned depth = draw(DEPTH_MAX);
    uint64_t before_ns = now_ns();
    uintptr_t old = (uintptr_t)held.ptr;
    void *ptr = by_realloc(depth, held.ptr, size);

    note(before_ns, 'r', "0x%" PRIxPTR " 0x%" PRIxPTR " %zu %s %s %zu", old, (uintptr_t)ptr, size,
         site_of("by_realloc", depth), self->scope, malloc_usable_size(ptr));
    put((Held){.ptr = ptr, .size = size});
}

/* Nothing comes of it. */
static void fail(Held held) {
    volatile size_t size = PTRDIFF_MAX;

    if (realloc(held.ptr, size) != NULL || malloc(size) != NULL)
        abort();
    free(NULL);
    put(held);
}

static void name(Held held) {
    static const char *const types[] = {"", "Node *", "std::vector<int>"};
    const char *type = types[draw(3)];
    char name[16];

    if (held.size > 0) { /* else its address is one past its end */
        /* Anywhere in it, but not past its end. */
        char *inside = (char *)held.ptr + draw((unsigned)held.size);
        uint64_t before_ns = now_ns();

        snprintf(name, sizeof name, "name-%u", draw(5));
        if (tt_track(inside, name, type) != 0)
            abort();
        note(before_ns, 'v', "0x%" PRIxPTR " %s %c", (uintptr_t)inside, name, *type ? *type : '-');
    }
    put(held);
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

static void leave(int status) __attribute__((noreturn));

static void leave(int status) {
    note(now_ns(), 'e', "%d", status);
    _exit(status);
}

/* The thread that has the turn is all of the child. */
static void be_child(void) {
    HERE;
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
    leave((int)draw(256));
}

static void split(void) {
    HERE;
    uint64_t before_ns = now_ns();
    pid_t child = fork();

    if (child < 0)
        abort();
    if (child == 0)
        be_child();
    forks_left--;
    note(before_ns, 'c', "%d", child);
}

/* Returns 0 where there was nothing to do it to. */
static int work_on_one(unsigned what) {
    HERE;
    Held held = take();

    if (held.ptr == NULL)
        return 0;
    if (what < 70)
        put_to_death(held);
    else if (what < 83)
        resize(held);
    else if (what < 90)
        name(held);
    else
        fail(held);
    return 1;
}

/* What threads may do at once; @is_room: for one block more. */
static void act_beside(int is_room) {
    HERE;
    unsigned what = draw(92);

    if ((what >= 45 || !is_room) && work_on_one(what < 45 ? 45 + what / 2 : what))
        return;
    if (is_room)
        give_birth();
}

static void act(void) {
    HERE;
    unsigned what = draw(100);

    if (what < 45 ? live_count < LIVE_MAX : live_count == 0)
        give_birth();
    else if (what < 91)
        work_on_one(what < 45 ? 45 + what / 2 : what);
    else if (what < 96)
        change_scope();
    else if (what < 99)
        mark();
    else if (forks_left > 0)
        split();
}

/* ---- Turns ---- */

static void act_at_once(void) {
    HERE;
    for (unsigned i = 0; i < ACTS_AT_ONCE; i++)
        act_beside(i % 2);
}

static void *work(void *data) {
    HERE;
    self = data;
    tid = gettid();
    uint64_t before_ns = now_ns();

    if (draw(2)) {
        snprintf(self->name, sizeof self->name, "worker-%u", draw(10));
        if (pthread_setname_np(pthread_self(), self->name) != 0)
            abort();
    }
    note(before_ns, 'n', "%s", self->name);
    sem_post(&is_done);
    for (;;) {
        while (sem_wait(&self->turn) != 0)
            ;
        if (self->is_to_end)
            return NULL;
        if (self->is_beside)
            act_at_once();
        else
            act();
        sem_post(&is_done);
    }
}

static void await_one(void) {
    while (sem_wait(&is_done) != 0)
        ;
}

/* The loader's own blocks for a thread come between two of ours: so it is known of ours which was
 * the last one before the next. */
static void start_thread(Worker *worker) {
    HERE;
    give_birth();
    *worker = (Worker){.is_there = 1, .lot = draw(1u << 31), .scope = "-"};
    strcpy(worker->name, self->name);
    sem_init(&worker->turn, 0, 0);
    if (pthread_create(&worker->thread, NULL, work, worker) != 0)
        abort();
    await_one();
    give_birth();
}

static void end_thread(Worker *worker) {
    worker->is_to_end = 1;
    sem_post(&worker->turn);
    pthread_join(worker->thread, NULL);
    worker->is_there = 0;
}

static void give_turn(Worker *worker) {
    HERE;
    if (worker == self) {
        act();
        return;
    }
    sem_post(&worker->turn);
    await_one();
}

/* All have the turn. */
static void give_turns(void) {
    HERE;
    unsigned others = 0;

    note(now_ns(), '(', "-");
    for (unsigned i = 0; i < THREADS_MAX; i++)
        if (workers[i].is_there && &workers[i] != self) {
            workers[i].is_beside = 1;
            sem_post(&workers[i].turn);
            others++;
        }
    act_at_once();
    for (unsigned i = 0; i < others; i++)
        await_one();
    for (unsigned i = 0; i < THREADS_MAX; i++)
        workers[i].is_beside = 0;
    note(now_ns(), ')', "-");
}

static void await_children(void) {
    pid_t child;

    while ((child = wait(NULL)) > 0)
        note(now_ns(), 'w', "%d", child);
}

static void go_on(unsigned steps) {
    HERE;
    for (unsigned i = 0; i < steps; i++) {
        Worker *worker = &workers[draw(THREADS_MAX)];

        if (draw(60) == 0 && live_count + THREADS_MAX * ACTS_AT_ONCE / 2 <= LIVE_MAX)
            give_turns();
        else if (!worker->is_there && live_count + 2 <= LIVE_MAX)
            start_thread(worker);
        else if (worker->is_there && worker != self && draw(40) == 0)
            end_thread(worker);
        else if (worker->is_there)
            give_turn(worker);
    }
    for (unsigned i = 1; i < THREADS_MAX; i++)
        if (workers[i].is_there)
            end_thread(&workers[i]);
    await_children();
}

int main(int argc, char **argv) {
    HERE;
    if (argc != 4)
        return EXIT_FAILURE;
    log_path = argv[1];
    sem_init(&is_done, 0, 0);
    workers[0] = (Worker){.is_there = 1, .scope = "-"};
    self = &workers[0];
    self->lot = strtoull(argv[2], NULL, 10) * 2862933555777941757u + 3037000493u;
    tid = gettid();
    prctl(PR_GET_NAME, self->name);
    /* Two children, or one that has one: a daemon keeps what has ended as long as few run at once.
     */
    forks_left = 1 + draw(2);
    forks_of_child = 2 - forks_left;
    open_log();
    dprintf(STDOUT_FILENO, "%d\n", getpid());
    go_on((unsigned)atoi(argv[3]));
    note(now_ns(), 'e', "%d", EXIT_SUCCESS);
    return EXIT_SUCCESS;
}
