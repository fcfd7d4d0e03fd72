/* SPDX-License-Identifier: Apache-2.0 */
/* Says on stdout all that it can see of itself: what libttclient must leave as it is. Lines come
 * out the same in two runs but for what differs by nature (addresses, numbers of processes), which
 * is left out. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void tell_status(const char *when) {
    static const char *const wanted[] = {"Threads:", "SigPnd:", "ShdPnd:",  "SigBlk:",
                                         "SigIgn:",  "SigCgt:", "Seccomp:", "NoNewPrivs:"};
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];

    while (fgets(line, sizeof line, status))
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
                printf("%s %s", when, line);
    fclose(status);
}

/* Up to 99, by number and by what they are; those from 100 on are counted. */
static void tell_descriptors(const char *when) {
    for (int fd = 0; fd < 100; fd++) {
        char name[32], target[4096] = "";

        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if (readlink(name, target, sizeof target - 1) > 0) {
            target[strcspn(target, "[")] = '\0'; /* pipe:[12345] */
            printf("%s fd %d %s %#x\n", when, fd, target, (unsigned)fcntl(fd, F_GETFD));
        }
    }
}

static void tell_signals(void) {
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;

        if (sigaction(number, NULL, &action) == 0 &&
            (action.sa_handler != SIG_DFL || action.sa_flags != 0))
            printf("signal %d %s %#x\n", number,
                   action.sa_handler == SIG_IGN   ? "ignored"
                   : action.sa_handler == SIG_DFL ? "default"
                                                  : "handled",
                   (unsigned)action.sa_flags);
    }
    stack_t stack;
    sigaltstack(NULL, &stack);
    printf("sigaltstack %d\n", stack.ss_flags);
}

static void tell_surroundings(int argc, char **argv) {
    struct itimerval timer;
    struct rlimit limit;
    char folder[4096];

    printf("name %s %s\n", program_invocation_name, program_invocation_short_name);
    for (int i = 0; i < argc; i++)
        printf("argument %s\n", argv[i]);
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0 && strncmp(*entry, "TT_", 3) != 0)
            printf("environment %s\n", *entry);
    printf("home %s\n", getenv("HOME") ? getenv("HOME") : "none");
    printf("folder %s\n", getcwd(folder, sizeof folder));
    mode_t mask = umask(0);
    umask(mask);
    printf("umask %o\n", mask);
    for (int which = 0; which < 3; which++)
        printf("timer %d %ld\n", getitimer(which, &timer), timer.it_value.tv_sec);
    printf("alarm %u\n", alarm(0));
    for (int which = 0; which < RLIMIT_NLIMITS; which++)
        if (getrlimit((__rlimit_resource_t)which, &limit) == 0)
            printf("limit %d %ju %ju\n", which, (uintmax_t)limit.rlim_cur,
                   (uintmax_t)limit.rlim_max);
    printf("dumpable %d, name ", prctl(PR_GET_DUMPABLE));
    prctl(PR_GET_NAME, folder);
    printf("%s, group %d, session %d\n", folder, getpgrp() == getpid(), getsid(0) == getpid());
    printf("secure %lu, priority %d, scheduler %d\n", getauxval(AT_SECURE),
           getpriority(PRIO_PROCESS, 0), sched_getscheduler(0));
}

/* What each call does to errno, done well and done badly. */
static void tell_errno(void) {
    void *volatile kept;
    void *block = NULL;

#define TELL(call)                                                                                 \
    do {                                                                                           \
        errno = 77;                                                                                \
        intptr_t result = (intptr_t)(call);                                                        \
        int code = errno;                                                                          \
        printf("%s: %s, errno %d\n", #call, result == 0 ? "0" : "other", code);                    \
    } while (0)
#define TELL_VOID(call)                                                                            \
    do {                                                                                           \
        errno = 77;                                                                                \
        call;                                                                                      \
        int code = errno;                                                                          \
        printf("%s: errno %d\n", #call, code);                                                     \
    } while (0)

    TELL(kept = malloc(100));
    TELL(kept = realloc(kept, 100000));
    TELL(kept = realloc(kept, PTRDIFF_MAX));
    TELL_VOID(free(kept));
    TELL(kept = malloc(PTRDIFF_MAX));
    TELL(kept = malloc(0));
    TELL_VOID(free(kept));
    TELL_VOID(free(NULL));
    TELL(kept = calloc(10, 10));
    TELL(kept = reallocarray(kept, 100, 10));
    TELL(kept = reallocarray(kept, SIZE_MAX, 10));
    TELL(kept = realloc(kept, 0));
    TELL(kept = calloc(SIZE_MAX, 10));
    TELL(kept = calloc(SIZE_MAX / 4, 3));
    TELL(posix_memalign(&block, 64, 100));
    TELL_VOID(free(block));
    TELL(posix_memalign(&block, 63, 100) == EINVAL);
    TELL(posix_memalign(&block, 64, PTRDIFF_MAX) == ENOMEM);
    TELL(kept = aligned_alloc(64, 128));
    TELL(malloc_usable_size(kept) >= 128);
    TELL_VOID(free(kept));
    TELL(kept = aligned_alloc(64, PTRDIFF_MAX));
    TELL(kept = memalign(4096, 1));
    TELL_VOID(free(kept));
    TELL(kept = valloc(1));
    TELL_VOID(free(kept));
    TELL(kept = pvalloc(1));
    TELL_VOID(free(kept));
    TELL(malloc_usable_size(NULL));
}

static void *allocate(void *unused) {
    for (int i = 0; i < 20000; i++)
        free(malloc((size_t)i % 500));
    return unused;
}

static void tell_children(void) {
    int status = 0;
    pid_t child;

    printf("wait %d errno %d\n", (int)waitpid(-1, &status, WNOHANG), errno);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        free(malloc(10));
        tell_status("child");
        tell_descriptors("child");
        fflush(stdout);
        _exit(3);
    }
    while (waitpid(child, &status, 0) != child)
        ;
    printf("child ended with %d\n", WEXITSTATUS(status));
    printf("system %d\n", system("exit 5"));
    errno = 0;
    printf("wait %d ", (int)waitpid(-1, &status, WNOHANG));
    printf("errno %d\n", errno);
}

static void at_exit(void) { puts("at exit"); }

int main(int argc, char **argv) {
    pthread_t threads[3];

    atexit(at_exit);
    tell_status("start");
    tell_descriptors("start");
    tell_surroundings(argc, argv);
    tell_signals();
    tell_errno();
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, allocate, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    int fd = dup(0);
    printf("next descriptor %d\n", fd);
    close(fd);
    tell_children();
    tell_signals();
    tell_status("end");
    tell_descriptors("end");
    fputs("on stderr\n", stderr);
    return 42;
}
