/* SPDX-License-Identifier: Apache-2.0 */
/* A library to preload: the wall clock is set, and the machine sleeps, as the file CLOCKS says.
 * What processors count goes on, and so does CLOCK_MONOTONIC_RAW, by which tests know what really
 * passed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef struct Clocks {
    int64_t set_ns;      /* by so much the wall clock was set forward */
    int64_t slept_ns;    /* CLOCK_MONOTONIC has stood still for so long */
    int64_t sleeping_ns; /* and has stood there since; 0: it goes */
} Clocks;

static const volatile Clocks *clocks;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("CLOCKS");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *clocks, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        clocks = map;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int r = (int)syscall(SYS_clock_gettime, id, now);

    if (r < 0 || clocks == NULL)
        return r;
    int64_t ns = now->tv_sec * INT64_C(1000000000) + now->tv_nsec;
    if (id == CLOCK_REALTIME)
        ns += clocks->set_ns;
    if (id == CLOCK_MONOTONIC)
        ns = (clocks->sleeping_ns != 0 ? clocks->sleeping_ns : ns) - clocks->slept_ns;
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec time;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    if (now != NULL)
        *now = time.tv_sec;
    return time.tv_sec;
}
