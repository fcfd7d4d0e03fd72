/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/connect.h"
#include "client/glibc.h"
#include "client/hello.h"
#include "client/lanes.h"
#include "client/lock.h"
#include "client/names.h"
#include "client/operators.h"
#include "client/preload.h"
#include "client/probe.h"
#include "client/real.h"
#include "client/record.h"
#include "client/seal.h"
#include "client/send.h"
#include "client/sys.h"

#define LOOK_EVERY_STAMPS (1u << 22) /* some 20 ms, and as many as 70 */
#define LOOK_EVERY_BYTES 65536u      /* untraced, of a thread, between two looks at the clock */
#define LOOK_EVERY_NS 1000000000u    /* and between two looks for a daemon */
#define LATE_EVERY_NS 100000000u     /* and, where it has not answered yet, between two for that */

/* One that is cut to this is still too long for a socket's address. */
#define FOLDER_BYTES sizeof(((struct sockaddr_un *)NULL)->sun_path)

#define ROOM_BYTES (64u << 20) /* a program with less is left alone */

/* So that no countdown ends in a process's life. */
#define PASS_FOR_GOOD ((uint64_t)INT64_MAX)

static const _Atomic uint32_t always_zero;

__thread TtSelf tt_self __attribute__((tls_model("initial-exec"))) = {
    .generation = TT_SELF_NONE, .lane_generation = TT_SELF_NONE};
TtGate tt_gate; /* all zeros: only anonymous memory can be wiped */
TtSession tt_session = {.fd = -1, .options = {.follows = true}};

static uint32_t last_generation = TT_SELF_NONE;
static _Atomic uint64_t next_look_ns;
static char socket_dir[FOLDER_BYTES], runtime_dir[FOLDER_BYTES];
static uint8_t message[TT_MESSAGE_MAX]; /* under the lock */

/* Nothing of the program's has run yet. */
static bool is_beginning;

/* Where a thread's clock stands the session there is goes on, and is the last. */
static bool is_barred(void) { return tt_session.is_barred || tt_clock_is_any_stopped(); }

/* The number may be another file's by now. */
static void hang_up(void) {
    if (tt_session.fd >= 0 && tt_connect_cookie(tt_session.fd) == tt_session.fd_cookie)
        tt_sys_close(tt_session.fd);
    tt_session.fd = -1;
}

/* Connects and says hello. Returns 0 once there are lanes; or -EINPROGRESS: the answer is to be
 * taken later. Who was told before can go without it for so long: that it was away is known. Others
 * come again as somebody else: the answer may be on its way, and the daemon then knows this id. */
static int greet(bool is_child, bool *ret_knows_parent) {
    const TtForkNote fork = *tt_lanes_get_fork(); /* of the lanes as they are */
    int memory_fd = -1;

    int fd = tt_connect_open();
    if (fd < 0)
        return fd;
    uint64_t told = tt_lanes_reset();
    /* The lanes of a child are its parent's until it has its own, however late. */
    tt_session.told_events += tt_session.was_told ? told : 0;
    tt_session.fd = fd;
    tt_session.fd_cookie = tt_connect_cookie(fd);
    tt_session.listener = tt_connect_listener(fd);
    int r = tt_connect_send(
        fd, message, tt_hello_write(message, sizeof message, is_child ? &fork : NULL, is_beginning),
        -1);
    if (r < 0)
        return r;
    long len = tt_send_receive_answer(fd, message, sizeof message, &memory_fd);
    if (len == -ETIMEDOUT && tt_session.was_told)
        return -EINPROGRESS;
    if (len == -ETIMEDOUT)
        TT_SYS3(SYS_getrandom, tt_session.id, sizeof tt_session.id, 0);
    return len < 0 ? (int)len
                   : tt_connect_take_lanes(message, (size_t)len, memory_fd, ret_knows_parent);
}

/* However long that takes: a daemon answers, or closes the connection, if only by its end. Who hung
 * up just when the answer came would find that the session is known, and be refused for good. */
static int take_late_answer(bool *ret_knows_parent) {
    int memory_fd = -1;

    if (tt_connect_cookie(tt_session.fd) != tt_session.fd_cookie)
        return -EBADF;
    long len = tt_connect_receive(tt_session.fd, message, sizeof message, &memory_fd, 0);
    if (len == -ETIMEDOUT)
        return -EINPROGRESS;
    return len < 0 ? (int)len
                   : tt_connect_take_lanes(message, (size_t)len, memory_fd, ret_knows_parent);
}

/* Under the lock. @is_child: of a process whose blocks it has, sampled as they were. */
static int start_locked(bool is_child) {
    if (atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) != TT_GATE_SHUT)
        return 0;

    if (tt_session.options.sample_bytes > 0 && tt_sample_init() < 0)
        return -ENOMEM;
    bool knows_parent = false;
    int r = tt_session.fd >= 0 ? take_late_answer(&knows_parent) : greet(is_child, &knows_parent);
    if (r == -EINPROGRESS)
        atomic_store_explicit(&next_look_ns, tt_sys_monotonic_ns() + LATE_EVERY_NS,
                              memory_order_relaxed);
    else if (r < 0)
        hang_up();
    if (r < 0)
        return r;
    if (!is_child || !knows_parent)
        tt_stack_restart_session(tt_session.was_told);
    /* A daemon that knows the session still must be told of their end; one that does not ignores
     * it. */
    if (!is_child && !tt_session.was_told)
        tt_sample_clear();
    tt_session.was_told = true;
    atomic_store_explicit(&tt_gate.generation, ++last_generation, memory_order_release);
    return 0;
}

void tt_session_lose(uint32_t generation) {
    uint64_t mask;

    tt_lock_take(&tt_gate.lock, &mask);
    if (generation > TT_GATE_SHUT &&
        atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) == generation) {
        atomic_store_explicit(&tt_gate.generation, TT_GATE_SHUT, memory_order_release);
        hang_up();
        atomic_store_explicit(&next_look_ns, tt_sys_monotonic_ns() + LOOK_EVERY_NS,
                              memory_order_relaxed);
    }
    tt_lock_release(&tt_gate.lock, &mask);
}

/* A child that fork made: a session of its own, which says whose child it is. Two processes with
 * one id would be taken for one, so it gets its own even where nothing is traced yet. */
static void begin_as_child(void) {
    uint64_t mask;

    tt_lock_take(&tt_gate.lock, &mask);
    if (atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) == TT_GATE_FORKED) {
        bool was_traced = tt_session.fd >= 0;

        hang_up();
        tt_lanes_after_fork();
        tt_stack_after_fork();
        memcpy(tt_session.parent_id, tt_session.id, sizeof tt_session.id);
        tt_session.parent_relation = was_traced ? TT_RELATION_FORK : TT_RELATION_NONE;
        TT_SYS3(SYS_getrandom, tt_session.id, sizeof tt_session.id, 0);
        tt_session.was_told = false;
        tt_session.told_events = 0;
        tt_session.pid = tt_sys_getpid();
        tt_session.start_monotonic_ns = tt_sys_monotonic_ns();
        atomic_store_explicit(&tt_gate.generation, TT_GATE_SHUT, memory_order_relaxed);
        tt_session.is_barred |= !tt_session.options.follows;
        is_beginning = true; /* all that it has done so far it did before it was a process */
        if (was_traced && !is_barred())
            start_locked(true);
        is_beginning = false;
    }
    tt_lock_release(&tt_gate.lock, &mask);
}

/* A handler that interrupted a hook may call fork, and the child go on in that hook: then in memory
 * of its own, at once. fork tells its handlers, _Fork nobody; of a raw clone nothing can be known
 * in time, and such a child must not return into an allocation. */
static __typeof__(_Fork) *real_fork;

__attribute__((visibility("default"))) pid_t _Fork(void) {
    if (real_fork == NULL)
        real_fork = (__typeof__(_Fork) *)tt_real_next("_Fork");

    pid_t pid = real_fork();
    if (pid == 0)
        tt_lanes_after_fork();
    return pid;
}

/* How many other threads run, and may be in a call at a fork that this one is about to make. One
 * without a lane may be in its first, and have its block already: it is the kernel that knows them.
 * Where there is none now, none can come before the fork. */
static uint32_t count_other_threads(void) {
    static const char threads[] = "/proc/self/task"; /* one link each, two of its own */
    struct stat status;

    if (&__libc_single_threaded != NULL && __libc_single_threaded)
        return 0;
    /* A vfork child that forks: the memory is of others' making. */
    if (tt_sys_getpid() == tt_session.pid && TT_SYS2(SYS_stat, threads, &status) == 0 &&
        status.st_nlink > 2)
        return (uint32_t)(status.st_nlink - 3);
    return 1; /* nobody knows: there may be one */
}

/* The parent tells of a fork, so that what lives now is kept for a child, however late that comes.
 * The glibc calls the handlers that were registered first nearest to the fork itself. */
static void before_fork(void) {
    /* Where no system call is allowed any more, the child is not traced. */
    if (!tt_session.is_ready || is_barred() || tt_is_sealed_now())
        return;
    /* A child that has done nothing yet: its own child's parent is it, not its parent. */
    if (atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) == TT_GATE_FORKED)
        begin_as_child();
    if (atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) <= TT_GATE_SHUT)
        return;
    tt_self.fork_others = count_other_threads();
    tt_self.fork_token = tt_clock_stamp();
}

static void after_fork_in_parent(void) {
    if (tt_self.fork_token != 0)
        tt_names_fork(tt_self.fork_token);
    tt_self.fork_token = tt_self.fork_others = 0;
}

static void after_fork_in_child(void) {
    tt_lanes_after_fork();
    tt_self.fork_token = tt_self.fork_others = 0;
}

int tt_session_start(void) {
    uint64_t mask;

    if (is_barred() || !tt_session.is_ready || tt_is_sealed_now())
        return -EPERM;
    if (atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) == TT_GATE_FORKED)
        begin_as_child();
    if (tt_sys_getpid() != tt_session.pid)
        return -EPERM; /* a vfork child: the memory is its parent's, the process is not */
    /* Ahead of the fd that is looked at: where this has changed, that may have. */
    uint32_t generation = atomic_load_explicit(&tt_gate.generation, memory_order_acquire);
    if (generation > TT_GATE_SHUT && tt_send_is_broken())
        tt_session_lose(generation);
    tt_lock_take(&tt_gate.lock, &mask);
    int r = start_locked(false);
    tt_lock_release(&tt_gate.lock, &mask);
    return r;
}

static void pass(uint64_t bytes, uint32_t generation, const _Atomic uint32_t *pass_while) {
    tt_self.pass_generation = generation;
    tt_self.pass_while = pass_while;
    tt_self.pass_bytes = bytes;
}

bool tt_session_samples(TtThread *thread, uint64_t size) {
    uint64_t weight = tt_sample_weight(size);

    if (tt_self.pass_bytes > weight) {
        tt_self.pass_bytes -= weight;
        return false;
    }
    pass(tt_sample_draw(&thread->lot, tt_session.options.sample_bytes), thread->generation,
         &always_zero);
    return true;
}

/* Untraced, a thread with large blocks comes here often, and the clock is a system call away. A
 * stamp is not: it tells that little time has passed since any thread's last look. */
static bool is_too_soon(void) {
    static _Atomic uint64_t looked_at;
    uint64_t now = tt_clock_stamp();

    if (now - atomic_load_explicit(&looked_at, memory_order_relaxed) < LOOK_EVERY_STAMPS)
        return true;
    atomic_store_explicit(&looked_at, now, memory_order_relaxed);
    return false;
}

/* Rarely: has a daemon come? */
static void look_again(void) {
    if (is_too_soon())
        return;

    uint64_t now = tt_sys_monotonic_ns();
    uint64_t due = atomic_load_explicit(&next_look_ns, memory_order_relaxed);
    if (now < due ||
        !atomic_compare_exchange_strong_explicit(&next_look_ns, &due, now + LOOK_EVERY_NS,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    tt_session_start();
}

/* Rarely: is the daemon still there that would wake us? One that ends puts its sessions to sleep.
 */
static void look_at_sleep(uint32_t generation) {
    /* Who may make no call, or read no clock, is woken by that daemon or by none. */
    if (is_barred() || tt_is_sealed_now() || is_too_soon())
        return;

    uint64_t now = tt_sys_monotonic_ns();
    uint64_t due = atomic_load_explicit(&next_look_ns, memory_order_relaxed);

    if (now >= due &&
        atomic_compare_exchange_strong_explicit(&next_look_ns, &due, now + LOOK_EVERY_NS,
                                                memory_order_relaxed, memory_order_relaxed) &&
        tt_sys_getpid() == tt_session.pid && tt_send_is_broken())
        tt_session_lose(generation);
}

/* Where no two threads begin alike. */
static void begin_sampling(TtThread *thread) {
    thread->lot = (tt_clock_stamp() << 24 ^ (uint64_t)(uintptr_t)thread ^ thread->tid) | 1;
    for (int i = 0; i < 4; i++) /* the first of similar states are similar */
        tt_sample_draw(&thread->lot, 1);
    pass(tt_sample_draw(&thread->lot, tt_session.options.sample_bytes), thread->generation,
         &always_zero);
}

/* Declared, though no lane can tell of it. */
static void drop_without_lane(void) {
    atomic_fetch_add_explicit(&tt_session.control->dropped_events, 1, memory_order_relaxed);
}

static TtThread *attach(uint32_t generation) {
    uint64_t mask;
    TtThread *thread = NULL;

    if (tt_is_sealed_now()) {
        drop_without_lane();
        return NULL;
    }
    tt_clock_inherit();

    tt_lock_take(&tt_gate.lock, &mask);
    uint32_t current = atomic_load_explicit(&tt_gate.generation, memory_order_relaxed);
    /* A lane goes by its thread's tid, and a vfork child's will be dead before its thread is. */
    if (current == generation && tt_sys_getpid() == tt_session.pid)
        thread = tt_lanes_attach(tt_sys_gettid());
    if (thread != NULL) {
        tt_self.thread = thread;
        tt_self.generation = tt_self.lane_generation = generation;
        tt_self.pass_bytes = 0;
        thread->scope_depth = tt_self.scope_depth;
        /* The hello told of a child's first thread; some may have begun or ended since. */
        if (tt_session.parent_relation == TT_RELATION_FORK &&
            thread->tid == (uint32_t)tt_session.pid)
            thread->told_scopes = TT_SCOPES_UNKNOWN;
        thread->busy_frame = tt_record_idle_frame();
        if (tt_session.options.sample_bytes > 0)
            begin_sampling(thread);
    } else if (current > TT_GATE_SHUT) {
        drop_without_lane(); /* or it was asked for in a session that another has replaced */
    }
    tt_lock_release(&tt_gate.lock, &mask);
    return thread;
}

/* What tt_session_put_off left to the next call. In a pause each one looks: a hook that had found
 * none when a handler began it ends as if there were none. */
static TtThread *take_up(void) {
    TtThread *thread = tt_self.thread;

    if (thread->busy_frame > TT_BUSY_OPERATOR)
        return thread; /* a hook is still at work, or was left */
    if (tt_self.pause_depth == 0)
        tt_self.generation = tt_self.lane_generation;
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* a pause that begins here is seen here, or later */
    if (thread->busy_frame == 0)
        thread->dying_ptr = NULL; /* whose operator was left; births did not look */
    if (thread->busy_frame != TT_BUSY_OPERATOR)
        thread->busy_frame = tt_record_idle_frame();
    thread->scope_depth = tt_self.scope_depth;
    if (tt_lane_is_behind(thread))
        thread->limit = thread->at; /* the chunk that the next event opens tells it */
    return thread;
}

__attribute__((cold, noinline)) TtThread *tt_session_thread_slow(void) {
    uint32_t generation = atomic_load_explicit(&tt_gate.generation, memory_order_relaxed);

    if (generation <= TT_GATE_SHUT) {
        bool is_over = is_barred() || tt_is_sealed_now();

        if (is_over)
            pass(PASS_FOR_GOOD, generation, &always_zero);
        if (is_over || !tt_session.is_ready)
            return NULL;
        if (generation == TT_GATE_FORKED)
            begin_as_child();
        else
            look_again();
        generation = atomic_load_explicit(&tt_gate.generation, memory_order_relaxed);
        if (generation <= TT_GATE_SHUT) {
            pass(is_barred() ? PASS_FOR_GOOD : LOOK_EVERY_BYTES, generation, &always_zero);
            return NULL;
        }
    }
    const _Atomic uint32_t *is_recording = &tt_session.control->is_recording;
    if (tt_self.generation == generation ||
        atomic_load_explicit(is_recording, memory_order_relaxed) == 0) {
        look_at_sleep(generation);
        pass(LOOK_EVERY_BYTES, generation, is_recording); /* dormant */
        return NULL;
    }
    return tt_self.lane_generation == generation ? take_up() : attach(generation);
}

static const char *value_of(const char *entry, const char *name) {
    size_t len = strlen(name);

    return strncmp(entry, name, len) == 0 && entry[len] == '=' ? entry + len + 1 : NULL;
}

/* A whole decimal number; false for anything else. */
static bool read_number(const char *text, uint64_t *ret_number) {
    uint64_t number = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
            return false;
    *ret_number = number;
    return true;
}

static bool read_switch(const char *text, bool otherwise) {
    return strcmp(text, "1") == 0 ? true : strcmp(text, "0") == 0 ? false : otherwise;
}

/* The environment is the program's, which may write its title over it. */
static const char *keep_folder(char *kept, const char *value) {
    return strncpy(kept, value, FOLDER_BYTES - 1);
}

/* Nonsense in TT_* leaves the program untraced; it may not be ours to complain. */
static void read_options(char **environment) {
    TtOptions *options = &tt_session.options;
    const char *value;

    for (char **entry = environment; entry != NULL && *entry != NULL; entry++) {
        if ((value = value_of(*entry, "TT_SOCKET_DIR")) != NULL) {
            options->socket_dir = keep_folder(socket_dir, value);
            tt_session.is_barred |= value[0] != '/';
        } else if ((value = value_of(*entry, "XDG_RUNTIME_DIR")) != NULL)
            options->runtime_dir = keep_folder(runtime_dir, value);
        else if ((value = value_of(*entry, "TT_ENABLE")) != NULL)
            options->is_dormant = !read_switch(value, true);
        else if ((value = value_of(*entry, "TT_SAMPLE")) != NULL)
            tt_session.is_barred |= !read_number(value, &options->sample_bytes);
        else if ((value = value_of(*entry, "TT_LOSSLESS")) != NULL)
            options->is_lossless = read_switch(value, false);
        else if ((value = value_of(*entry, "TT_FOLLOW")) != NULL)
            options->follows = read_switch(value, true);
        else if ((value = value_of(*entry, "TT_FREE_STACKS")) != NULL)
            options->records_free_stacks = read_switch(value, false);
        else if ((value = value_of(*entry, "TT_USABLE_SIZES")) != NULL)
            options->records_usable_sizes = read_switch(value, false) && tt_real_knows_usable();
    }
}

/* Tracing the tracer would feed it with itself. */
static bool is_our_own_tool(void) {
    static const char *const names[] = {"tt-daemon", "tt-ctl", "tt-symbolizer"};
    const char *slash = strrchr(tt_program_path, '/'),
               *name = slash != NULL ? slash + 1 : tt_program_path;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Lanes and tables are some 8 MiB of addresses. A program that is given few needs them all, and
 * would come to its limit where it does not untraced. */
static bool has_room(void) {
    static const int limits[] = {RLIMIT_AS, RLIMIT_DATA};
    struct rlimit limit;

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (TT_SYS4(SYS_prlimit64, 0, limits[i], NULL, &limit) == 0 && limit.rlim_cur < ROOM_BYTES)
            return false;
    return true;
}

/* All that may have the loader allocate. */
static void prepare(int argc, char **argv, char **environment) {
    tt_session.start_monotonic_ns = tt_sys_monotonic_ns();
    real_fork = (__typeof__(_Fork) *)tt_real_next("_Fork"); /* glibc 2.34 */
    tt_operators_init();
    tt_seal_init();
    tt_hello_init();
    read_options(environment);
    if (!tt_session.options.follows)
        tt_preload_leave(environment);
    if (is_our_own_tool() || !has_room())
        tt_session.is_barred = true;
    if (is_barred())
        return;

    tt_hello_keep_arguments(argc, argv);
    tt_clock_init();
    atomic_store_explicit(&tt_gate.generation, TT_GATE_SHUT, memory_order_relaxed);
    /* Without it a child would write on in its parent's lanes. */
    if (TT_SYS3(SYS_madvise, &tt_gate, sizeof tt_gate, MADV_WIPEONFORK) < 0) {
        tt_session.is_barred = true;
        return;
    }
    if (&__register_atfork != NULL)
        __register_atfork(before_fork, after_fork_in_parent, after_fork_in_child, NULL);
    tt_session.pid = tt_sys_getpid();
    TT_SYS3(SYS_getrandom, tt_session.id, sizeof tt_session.id, 0);
    tt_stack_init();
}

/* The linker's -z initfirst has this run before every other library's constructor, even libc's:
 * environ is not yet set, but the arguments are passed. */
__attribute__((constructor(101))) static void begin(int argc, char **argv, char **environment) {
    static bool has_begun;

    if (has_begun)
        return;
    has_begun = true;
    /* Before anything that the program's own allocator could notice. */
    if (tt_real_is_sanitized() || getauxval(AT_SECURE) != 0 || !tt_glibc_is_there() ||
        !tt_real_is_in_use()) {
        tt_session.is_barred = true;
        return;
    }
    tt_real_find();
    tt_real_set_aside(true);
    prepare(argc, argv, environment);
    tt_real_set_aside(false);
    if (is_barred())
        return;
    tt_session.is_ready = true;
    is_beginning = true;
    tt_session_start();
    is_beginning = false;
    atomic_store_explicit(&next_look_ns, tt_sys_monotonic_ns() + LOOK_EVERY_NS,
                          memory_order_relaxed);
}

/* The loader knows one library to initialise first, the last that asks for it. Where that is
 * another its constructor may allocate before ours has run; the arguments lie where the kernel put
 * them. */
__attribute__((cold, noinline)) void tt_session_begin_early(uint64_t caller) {
    if (&__libc_stack_end == NULL || is_barred() || tt_session.is_ready || !tt_glibc_is_there() ||
        !tt_glibc_may_load(caller))
        return;

    const long *argc = __libc_stack_end;
    char **argv = (char **)(argc + 1);
    begin((int)*argc, argv, argv + *argc + 1);
}

__attribute__((destructor(101))) static void end(void) {
    if (tt_session.is_ready)
        tt_names_end();
}
