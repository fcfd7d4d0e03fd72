/* SPDX-License-Identifier: Apache-2.0 */
/* A program to be looked at, linked in several ways; and what a child finds when it is started. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sigaction action;

    if (argc > 1 && strcmp(argv[1], "kill") == 0)
        raise(SIGTERM);
    if (argc > 1 && strcmp(argv[1], "exit") == 0)
        return atoi(argv[2]);
    for (int number = 1; number < 32; number++) {
        sigaction(number, NULL, &action);
        if (action.sa_handler == SIG_IGN)
            printf("ignored %d\n", number);
    }
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("open %d\n", fd);
    printf("group %s\n", getpgrp() == getpid() ? "own" : "inherited");
    return 0;
}
