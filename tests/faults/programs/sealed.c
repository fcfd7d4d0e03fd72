/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates, gives up the right to what a tracer might want, and goes on from a warm heap.
 *
 *   sealed WAY PAIRS [waits]
 *
 * WAY: strict, tsc, prctl, syscall, tsync, between, threads, tsc-threads, fork. PAIRS of malloc and
 * free before, and as many after; in between, where it waits, it says "sealed" and reads a byte.
 * Exit status 5 where all went well, 77 where the kernel refuses. Whatever else it is killed for,
 * it did not do.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KILL(number)                                                                               \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##number, 0, 1),                                       \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* All that a client could want, but what a thread's start and end need. */
static struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    KILL(sendmsg),
    KILL(sendto),
    KILL(recvmsg),
    KILL(recvfrom),
    KILL(getsockopt),
    KILL(socket),
    KILL(connect),
    KILL(mmap),
    KILL(futex),
    KILL(memfd_create),
    KILL(getpid),
    KILL(gettid),
    KILL(tgkill),
    KILL(prctl),
    KILL(sigaltstack),
    KILL(sched_yield),
    KILL(nanosleep),
    KILL(ppoll),
    KILL(poll),
    KILL(openat),
    KILL(fcntl),
    KILL(clock_gettime),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

static long pairs;
static atomic_int done, is_sealed;

static __attribute__((noinline)) void churn(void) {
    for (long i = 0; i < pairs; i++)
        free(malloc((size_t)i % 500));
}

/* A way to allocate that the client has not seen yet. */
static __attribute__((noinline)) void *churn_anew(void) {
    churn();
    void *kept = malloc(40002);
    __asm__ volatile("" ::: "memory");
    return kept;
}

static void *work(void *unused) {
    churn_anew();
    atomic_fetch_add(&done, 1);
    for (;;)
        __asm__ volatile("pause"); /* its end would be a system call */
    return unused;
}

static void start_threads(void) {
    static _Alignas(4096) char stacks[4][256 << 10];
    pthread_attr_t attributes;
    pthread_t thread;

    for (int i = 0; i < 4; i++) {
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, stacks[i], sizeof stacks[i]);
        if (pthread_create(&thread, &attributes, work, NULL) != 0)
            _exit(3);
        /* One at a time: glibc's own lock would be a futex. */
        while (atomic_load(&done) <= i)
            __asm__ volatile("pause");
    }
}

/* Has allocated before another thread's filter binds it too, and goes on. */
static void *work_on(void *unused) {
    churn();
    atomic_fetch_add(&done, 1);
    while (!atomic_load(&is_sealed))
        __asm__ volatile("pause");
    return work(unused);
}

static void start(void *(*run)(void *)) {
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, NULL) != 0)
        _exit(3);
    while (atomic_load(&done) < 1)
        __asm__ volatile("pause");
}

static void *seal_and_work_on(void *unused) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
    return work_on(unused);
}

/* For a library to call when the kernel has been called and has not answered. */
void in_between(void) { start(seal_and_work_on); }

static int seal(const char *way) {
    if (strcmp(way, "strict") == 0)
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    if (strncmp(way, "tsc", 3) == 0)
        return prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    if (strcmp(way, "syscall") == 0)
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    if (strcmp(way, "tsync") == 0)
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
                            &program);
    if (strcmp(way, "between") == 0)
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == -1 ? 0 : -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv) {
    static void *warm[64];

    pairs = atol(argv[2]);
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    for (int i = 0; i < 64; i++)
        warm[i] = malloc(60000);
    for (int i = 0; i < 64; i++)
        free(warm[i]);
    malloc(40001);
    churn();

    if (strcmp(argv[1], "tsync") == 0)
        start(work_on);
    if (seal(argv[1]) != 0) {
        perror("sealed");
        return 77;
    }
    if (argc > 3) {
        write(1, "sealed\n", 7);
        read(0, warm, 1);
    }
    if (strstr(argv[1], "threads") != NULL)
        start_threads();
    else if (strcmp(argv[1], "fork") == 0) {
        pid_t child = (pid_t)syscall(SYS_fork);
        if (child == 0) {
            churn_anew();
            syscall(SYS_exit_group, 0);
        }
        if (fork() == 0) {
            churn_anew();
            syscall(SYS_exit_group, 0);
        }
    }
    if (strcmp(argv[1], "tsync") == 0 || strcmp(argv[1], "between") == 0) {
        atomic_store(&is_sealed, 1);
        while (atomic_load(&done) < 2)
            __asm__ volatile("pause");
    }
    churn_anew();
    write(1, "done\n", 5);
    if (strcmp(argv[1], "strict") == 0)
        syscall(SYS_exit, 5); /* exit_group is not allowed */
    syscall(SYS_exit_group, 5);
}
