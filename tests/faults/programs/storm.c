/* SPDX-License-Identifier: Apache-2.0 */
/* All that moves at once: libraries that come and go, forks, births of threads, marks and exports.
 *
 *   storm SECONDS FOLDER PLUGIN PLUGIN
 *
 * The plugins are two libraries with a function make(). Exports go to FOLDER. Writes what was done:
 *
 *   LOADS FORKS BIRTHS MARKS EXPORTS
 *
 * Ends with 5; with another status where a call of its own fails. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ttclient.h"

/* Not there where the program runs untraced. */
extern __typeof__(tt_mark) tt_mark __attribute__((weak));
extern __typeof__(tt_export_json) tt_export_json __attribute__((weak));

typedef void *(*Make)(void);

static char **plugins;
static const char *folder;
static atomic_bool is_over;
static atomic_ulong loads, forks, births, marks, exports;

static void fail(const char *what) {
    perror(what);
    _exit(3);
}

/* Two libraries in turn, of which the second may come to lie where the first was. */
static void *load(void *number) {
    for (unsigned i = (unsigned)(size_t)number; !is_over; i++) {
        void *plugin = dlopen(plugins[i % 2], RTLD_NOW | RTLD_LOCAL);
        if (plugin == NULL)
            fail("dlopen");
        Make make = (Make)dlsym(plugin, "make");
        for (int k = 0; k < 50; k++)
            free(make());
        dlclose(plugin);
        loads++;
    }
    return NULL;
}

static void *churn(void *unused) {
    void *blocks[64] = {0};

    for (size_t i = 0; !is_over; i++) {
        free(blocks[i % 64]);
        blocks[i % 64] = malloc(i % 1000);
        if (i % 100 == 0)
            usleep(1000);
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    return unused;
}

static void *fork_on(void *unused) {
    while (!is_over) {
        int status;
        pid_t child = fork();

        if (child == 0) {
            for (size_t i = 0; i < 100; i++)
                free(malloc(i));
            _exit(7);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 7 << 8)
            fail("fork");
        forks++;
    }
    return unused;
}

static void *be_born(void *number) {
    free(malloc((size_t)number));
    return NULL;
}

static void *bear(void *unused) {
    pthread_t threads[8];

    while (!is_over) {
        for (size_t i = 0; i < 8; i++)
            if (pthread_create(&threads[i], NULL, be_born, (void *)i) != 0)
                fail("pthread_create");
        for (size_t i = 0; i < 8; i++)
            pthread_join(threads[i], NULL);
        births += 8;
    }
    return unused;
}

static void *mark_and_export(void *unused) {
    char text[256];

    for (unsigned i = 0; !is_over; i++) {
        snprintf(text, sizeof text, "mark %u", i % 50);
        if (&tt_mark != NULL && tt_mark(text) == 0)
            marks++;
        snprintf(text, sizeof text, "%s/%u.json", folder, i % 4);
        if (&tt_export_json != NULL && i % 8 == 0 && tt_export_json(text) == 0)
            exports++;
        usleep(5000);
    }
    return unused;
}

int main(int argc, char **argv) {
    void *(*const works[])(void *) = {load, load, churn, churn, fork_on, bear, mark_and_export};
    enum { COUNT = sizeof works / sizeof *works };
    pthread_t threads[COUNT];

    if (argc < 5)
        return 2;
    int seconds = atoi(argv[1]);
    alarm((unsigned)seconds + 60); /* who hangs is killed */
    folder = argv[2];
    plugins = argv + 3;
    for (size_t i = 0; i < COUNT; i++)
        if (pthread_create(&threads[i], NULL, works[i], (void *)i) != 0)
            fail("pthread_create");
    sleep((unsigned)seconds);
    is_over = 1;
    for (size_t i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    void *last = malloc(40001);
    printf("%lu %lu %lu %lu %lu\n", (unsigned long)loads, (unsigned long)forks,
           (unsigned long)births, (unsigned long)marks, (unsigned long)exports);
    return last != NULL ? 5 : 4;
}
