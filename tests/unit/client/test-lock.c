/* SPDX-License-Identifier: Apache-2.0 */
/* A lock that threads of unequal priority want on one processor. */
#define _GNU_SOURCE
#include <glib.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

#include "client/lock.h"

static TtLock lock;
static atomic_bool has_tried; /* who is of higher priority is about to want the lock */

static void *want(void *unused) {
    uint64_t mask;

    atomic_store(&has_tried, true);
    tt_lock_take(&lock, &mask);
    tt_lock_release(&lock, &mask);
    return unused;
}

static bool begin(pthread_t *ret_thread, int priority, void *(*call)(void *)) {
    struct sched_param param = {.sched_priority = priority};
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
    pthread_attr_setschedparam(&attr, &param);
    int r = pthread_create(ret_thread, &attr, call, NULL);
    pthread_attr_destroy(&attr);
    return r == 0;
}

/* Runs on, holding the lock, once the other one waits for it. */
static void *hold(void *unused) {
    uint64_t mask;
    pthread_t other;

    tt_lock_take(&lock, &mask);
    g_assert_true(begin(&other, 2, want));
    g_assert_true(atomic_load(&has_tried)); /* it ran at once */
    tt_lock_release(&lock, &mask);
    pthread_join(other, NULL);
    return unused;
}

static void holder_of_lower_priority_gets_on(void) {
    cpu_set_t one;
    pthread_t holder;

    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    g_assert_cmpint(sched_setaffinity(0, sizeof one, &one), ==, 0);
    if (!begin(&holder, 1, hold)) {
        g_test_skip("no right to a real-time priority");
        return;
    }
    pthread_join(holder, NULL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lock/holder_of_lower_priority_gets_on", holder_of_lower_priority_gets_on);
    return g_test_run();
}
