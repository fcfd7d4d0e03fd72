/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program and writes what it took: a process that is forked from a large one (Python) has
 * its parent's peak of memory for its own.
 *
 *   launch FILE COMMAND [WORD …]
 *
 * FILE gets "seconds S cpu S peak BYTES status N": wall time, CPU time of the program and all that
 * it waited for, the largest of their peaks, the status as wait(2) has it. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now_seconds(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* The program's preload is not ours. */
static char **take_preload(void) {
    static const char *const from = "BENCH_PRELOAD";
    const char *preload = getenv(from);

    if (preload != NULL)
        setenv("LD_PRELOAD", preload, 1);
    unsetenv(from);
    return environ;
}

int main(int argc, char **argv) {
    struct rusage usage;
    int status;
    pid_t pid;

    if (argc < 3)
        return 2;
    FILE *to = fopen(argv[1], "we");
    if (to == NULL)
        return 1;

    char **environment = take_preload();
    double start = now_seconds();
    if (posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environment) != 0)
        return 127;
    while (wait4(pid, &status, 0, &usage) < 0)
        ;
    fprintf(to, "seconds %.9f cpu %.6f peak %ld status %d\n", now_seconds() - start,
            seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime), usage.ru_maxrss * 1024,
            status);
    return fclose(to) == 0 ? 0 : 1;
}
