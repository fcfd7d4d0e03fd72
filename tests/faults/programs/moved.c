/* SPDX-License-Identifier: Apache-2.0 */
/* Goes where its daemon's socket is not: to another root, with no network, as nobody, and with
 * nobody's eyes on it.
 *
 *   moved FOLDER MILLISECONDS
 *
 * FOLDER is its root from then on. Writes "moved", waits for a line on stdin, and then allocates
 * for so long. Exits with 77 and says why where it may not go. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void churn(void) {
    for (int i = 0; i < 10000; i++)
        free(malloc((size_t)i % 300));
}

static void move(const char *folder) {
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 || chroot(folder) != 0 || chdir("/") != 0 ||
        setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0 ||
        prctl(PR_SET_DUMPABLE, 0) != 0) {
        perror("moved");
        exit(77);
    }
}

int main(int argc, char **argv) {
    char line[16];

    if (argc < 3)
        return 2;
    churn();
    void *first = malloc(40001);
    move(argv[1]);
    churn();
    puts("moved");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        return 1;
    uint64_t end = now_ms() + strtoul(argv[2], NULL, 10);
    do
        churn();
    while (now_ms() < end);
    void *second = malloc(40002);
    puts(first != NULL && second != NULL ? "done" : "nothing");
    return 5;
}
