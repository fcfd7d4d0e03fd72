/* SPDX-License-Identifier: Apache-2.0 */
/* Does what its input says, a word a line, and writes a line when that is done. Between two words
 * it neither allocates nor frees.
 *
 *   init N     calls tt_init() so often, a millisecond apart, or until it gives 0; writes what it
 * gave, each value once work N     so many pairs of malloc and free laneless N the same, of a vfork
 * child of a thread that has made no call before: it gets no lane begin      has another thread do
 * pairs without end hold       holds that thread where it is, by a signal let go     lets it go on,
 * and end
 *
 *   drop       takes words out of its command line, and has freed others
 *   overwrite  writes over its environment
 *   fork       has a child obey from here on, and waits for it; writes the child's pid
 *
 * Where nothing else is said it writes that thread's tid, or 0. Ends with its input. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ttclient.h>

static pthread_t worker;
static sem_t held, may_go;
static _Atomic int worker_tid, ends;
static char **arguments;

/* Unlike dprintf, without an allocation. */
static void say_number(int number, char end) {
    char text[16];
    int len = snprintf(text, sizeof text, "%d%c", number, end);

    (void)!write(1, text, (size_t)len);
}

static void do_pairs(int count) {
    for (int i = 0; i < count; i++)
        free(malloc(1 + (size_t)i % 300));
}

static void ask(int count) {
    int given[16];
    size_t given_count = 0;

    while (count-- > 0) {
        int r = tt_init();
        size_t i = 0;

        while (i < given_count && given[i] != r)
            i++;
        if (i == given_count && given_count < 16)
            given[given_count++] = r;
        if (r == 0)
            break;
        usleep(1000);
    }
    for (size_t i = 0; i < given_count; i++)
        say_number(given[i], i + 1 < given_count ? ' ' : '\n');
}

static void *have_child_work(void *count) {
    pid_t child = vfork();

    if (child == 0) {
        do_pairs(*(int *)count);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return NULL;
}

static void *work_on(void *unused) {
    (void)unused;
    worker_tid = gettid();
    while (!ends)
        do_pairs(1000);
    do_pairs(1000); /* in the lane that it has now */
    return NULL;
}

static void hold(int signal) {
    (void)signal;
    sem_post(&held);
    while (sem_wait(&may_go) < 0)
        ;
}

/* Returns in the child alone. */
static void have_child_obey(void) {
    int status;
    pid_t child = fork();

    if (child == 0)
        return;
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Is it @name? Takes the number after that. */
static bool is_word(const char *word, const char *name, int *ret_number) {
    size_t len = strlen(name);

    *ret_number = atoi(word + (strlen(word) > len ? len : 0));
    return strncmp(word, name, len) == 0;
}

static void obey(const char *word) {
    int number;

    if (is_word(word, "init ", &number)) {
        ask(number);
        return;
    }
    if (is_word(word, "fork", &number)) {
        have_child_obey();
        say_number(getpid(), '\n');
        return;
    }
    if (is_word(word, "work ", &number)) {
        do_pairs(number);
    } else if (is_word(word, "laneless ", &number)) {
        pthread_create(&worker, NULL, have_child_work, &number);
        pthread_join(worker, NULL);
    } else if (is_word(word, "drop", &number)) {
        arguments[1] = NULL;
        arguments[2] = (char *)16; /* nothing lies there */
    } else if (is_word(word, "overwrite", &number)) {
        for (char **entry = environ; *entry != NULL; entry++)
            memset(*entry, 0, strlen(*entry));
    } else if (is_word(word, "begin", &number)) {
        pthread_create(&worker, NULL, work_on, NULL);
        while (worker_tid == 0)
            usleep(1000);
    } else if (is_word(word, "hold", &number)) {
        pthread_kill(worker, SIGUSR1);
        while (sem_wait(&held) < 0)
            ;
    } else if (is_word(word, "let go", &number)) {
        ends = 1;
        sem_post(&may_go);
        pthread_join(worker, NULL);
    } else {
        abort();
    }
    say_number(worker_tid, '\n');
}

int main(int argc, char **argv) {
    char word[64];
    ssize_t len;

    (void)argc;
    arguments = argv;
    sem_init(&held, 0, 0);
    sem_init(&may_go, 0, 0);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = hold}, NULL);
    while ((len = read(0, word, sizeof word - 1)) > 0) {
        word[len] = '\0';
        obey(word);
    }
    return 5;
}
