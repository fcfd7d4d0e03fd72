/* SPDX-License-Identifier: Apache-2.0 */
/* What makes it hard: threads come while others are stopped, so /proc is read until nobody is new;
 * a signal may be on its way to a thread, and goes on to it when it is let go; and a system call
 * that the kernel would have gone on with, were it for nothing but us, comes back with EINTR from
 * some (epoll_wait(2), semop(2), a recv(2) with a time-out: see signal(7)), which many programs do
 * not expect. Such a call is made to begin anew. */
#include "tools/stop.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/say.h"

#define ROUNDS_MAX 1000 /* of looking for threads that are new; each finds some */

struct TtStop {
    gint pid;
    GArray *tids;    /* of guint32 */
    GArray *signals; /* of int: what each is to get when it goes on, or 0 */
    guint64 since_ns;
};

guint64 tt_stop_now_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (guint64)now.tv_sec * 1000000000u + (guint64)now.tv_nsec;
}

gboolean tt_stop_is_gone(gint pid, guint32 tid) {
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%u/stat", pid, tid);
    g_autofree char *text = NULL;
    const char *at;

    if (!g_file_get_contents(path, &text, NULL, NULL) || !(at = strrchr(text, ')')))
        return TRUE;
    return at[1] == ' ' && (at[2] == 'Z' || at[2] == 'X');
}

/* A number of /proc, or @otherwise. */
static gint64 read_number(const char *path, const char *key, gint64 otherwise) {
    g_autofree char *text = NULL;
    const char *at;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return otherwise;
    at = key ? strstr(text, key) : text;
    return at ? g_ascii_strtoll(at + (key ? strlen(key) : 0), NULL, 10) : otherwise;
}

/* Yama's rule, as in the kernel's Documentation/admin-guide/LSM/Yama.rst. */
static void explain_yama(gint pid, gint64 scope, GError **error) {
    static const char *const advice[] = {
        "start it by tt-ctl leaks -- CMD, or allow it by sysctl kernel.yama.ptrace_scope=0",
        "run tt-ctl leaks as root, or allow it by sysctl kernel.yama.ptrace_scope=0",
        "that stays so until the machine is started anew, with a lesser one",
    };

    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                "The kernel does not let us look into process %d (kernel.yama.ptrace_scope is "
                "%" G_GINT64_FORMAT "): %s",
                pid, scope, advice[CLAMP(scope, 1, 3) - 1]);
}

/* The kernel gives the files of such a process to root (PR_SET_DUMPABLE in prctl(2)). */
static gboolean is_hidden(gint pid, const char *status) {
    g_autofree char *maps = g_strdup_printf("/proc/%d/maps", pid);
    struct stat owner;

    return stat(maps, &owner) == 0 && (gint64)owner.st_uid != read_number(status, "Uid:", -1);
}

gboolean tt_stop_explain(gint pid, int code, GError **error) {
    g_autofree char *status = g_strdup_printf("/proc/%d/status", pid);
    gint64 tracer = read_number(status, "TracerPid:", 0);
    gint64 scope = read_number("/proc/sys/kernel/yama/ptrace_scope", NULL, 0);

    if (code == ESRCH)
        g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED, "Process %d has just ended", pid);
    else if (tracer > 0 && tracer != gettid())
        g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                    "Process %d is traced by process %" G_GINT64_FORMAT " already (a debugger, or "
                    "tt-ctl leaks itself, which looks when it ends): only one can",
                    pid, tracer);
    else if (is_hidden(pid, status))
        g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                    "Process %d lets nobody look into it (it is set-uid, or called prctl with "
                    "PR_SET_DUMPABLE): run tt-ctl leaks as root, or leave that call out",
                    pid);
    else if (code == EPERM && scope > 0)
        explain_yama(pid, scope, error);
    else
        g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                    "The kernel does not let us look into process %d: %s; it has to be our own "
                    "user's, and neither it nor tt-ctl in a sandbox or container that forbids "
                    "ptrace(2)",
                    pid, g_strerror(code));
    return FALSE;
}

/* Whether a signal waits that the thread would get now. */
static gboolean has_signal(gint pid, guint32 tid) {
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%u/status", pid, tid);
    g_autofree char *text = NULL;
    guint64 sets[3] = {0}; /* its own, the process's, the blocked */
    static const char *const keys[] = {"SigPnd:", "ShdPnd:", "SigBlk:"};

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return TRUE;
    for (int i = 0; i < 3; i++) {
        const char *at = strstr(text, keys[i]);

        if (at)
            sets[i] = g_ascii_strtoull(at + strlen(keys[i]), NULL, 16);
    }
    return ((sets[0] | sets[1]) & ~sets[2]) != 0;
}

/* A call that came back with EINTR for our sake alone begins anew. close(2) and connect(2) have
 * done their part of it already. */
static void redo_call(gint pid, guint32 tid) {
    struct user_regs_struct regs;
    glong number;

    if (ptrace(PTRACE_GETREGS, (pid_t)tid, NULL, &regs) < 0)
        return;
    number = (glong)regs.orig_rax;
    if (number < 0 || (glong)regs.rax != -EINTR || number == SYS_close || number == SYS_connect ||
        has_signal(pid, tid))
        return;
    regs.rax = regs.orig_rax;
    regs.rip -= 2; /* the instruction `syscall` */
    (void)ptrace(PTRACE_SETREGS, (pid_t)tid, NULL, &regs);
}

/* Returns FALSE where the thread has ended meanwhile, or cannot be had (errno). */
static gboolean stop_thread(TtStop *stop, guint32 tid) {
    int status, signal = 0;

    if (ptrace(PTRACE_SEIZE, (pid_t)tid, NULL, NULL) < 0 ||
        ptrace(PTRACE_INTERRUPT, (pid_t)tid, NULL, NULL) < 0)
        return FALSE;
    if (waitpid((pid_t)tid, &status, __WALL) < 0 || !WIFSTOPPED(status)) {
        errno = ESRCH;
        return FALSE;
    }
    if (status >> 16 == PTRACE_EVENT_STOP)
        redo_call(stop->pid, tid);
    else
        signal = WSTOPSIG(status);
    g_array_append_val(stop->tids, tid);
    g_array_append_val(stop->signals, signal);
    return TRUE;
}

static gboolean has_thread(const TtStop *stop, guint32 tid) {
    for (guint i = stop->tids->len; i > 0; i--)
        if (g_array_index(stop->tids, guint32, i - 1) == tid)
            return TRUE;
    return FALSE;
}

/* Stops those that are new. Returns how many there were, or -1 with errno. */
static int stop_new(TtStop *stop) {
    g_autofree char *path = g_strdup_printf("/proc/%d/task", stop->pid);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int count = 0, failed = 0;

    if (!dir)
        return errno = ESRCH, -1;
    while ((entry = readdir(dir))) {
        guint32 tid = (guint32)strtoul(entry->d_name, NULL, 10);

        if (tid == 0 || has_thread(stop, tid))
            continue;
        if (stop_thread(stop, tid)) {
            count++;
            continue;
        }
        int code = errno;
        if (code != ESRCH && !tt_stop_is_gone(stop->pid, tid))
            failed = code;
    }
    closedir(dir);
    if (failed == 0 && stop->tids->len == 0)
        failed = ESRCH;
    return failed ? (errno = failed, -1) : count;
}

TtStop *tt_stop_new(gint pid, GError **error) {
    g_autoptr(TtStop) stop = g_new0(TtStop, 1);
    int count;

    stop->pid = pid;
    stop->tids = g_array_new(FALSE, FALSE, sizeof(guint32));
    stop->signals = g_array_new(FALSE, FALSE, sizeof(int));
    stop->since_ns = tt_stop_now_ns();
    for (int i = 0; (count = stop_new(stop)) > 0 && i < ROUNDS_MAX; i++)
        ;
    if (count < 0) {
        tt_stop_explain(pid, errno, error);
        return NULL;
    }
    return g_steal_pointer(&stop);
}

GArray *tt_stop_get_tids(const TtStop *stop) { return stop->tids; }

guint64 tt_stop_get_since_ns(const TtStop *stop) { return stop->since_ns; }

void tt_stop_free(TtStop *stop) {
    if (!stop)
        return;
    for (guint i = 0; i < stop->tids->len; i++)
        (void)ptrace(PTRACE_DETACH, (pid_t)g_array_index(stop->tids, guint32, i), NULL,
                     (gpointer)(gintptr)g_array_index(stop->signals, int, i));
    g_array_unref(stop->tids);
    g_array_unref(stop->signals);
    g_free(stop);
}
