/* SPDX-License-Identifier: Apache-2.0 */
/* What makes it hard: a traced process stops for us at every signal, every new thread, every
 * Ctrl-Z, and has to be told to go on as if we were not there; and the end of one thread is to be
 * told from that of all, for whoever joins a thread waits until we let it go.
 *
 * A thread of its own, since the kernel knows the thread that traces, and so that it waits for what
 * it traces alone (__WNOTHREAD): tt-ctl may have a daemon for a child. */
#define _GNU_SOURCE
#include "tools/watch.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/capture.h"
#include "tools/say.h"
#include "tools/stop.h"

#define GATHER_NS 1000000000u /* for all threads to come to their end; then without the others */
#define GATHER_STEP_US 200

struct TtWatch {
    gint pid;
    GThread *thread;
    GMutex lock;
    GCond is_set_up;
    gboolean is_ready; /* with the lock */

    /* The thread's, until it has ended. */
    gint wait_status;
    GArray *held;     /* of guint32: threads at their end that wait for us */
    guint64 since_ns; /* when the first of them came; 0: the process is not ending */
    gboolean has_looked;
    int image_fd;
    GError *error;
};

static void go_on(guint32 tid, int request, int signal) {
    /* One that was killed meanwhile does not hear it, nor need it. */
    (void)ptrace((enum __ptrace_request)request, (pid_t)tid, NULL, (gpointer)(gintptr)signal);
}

static gboolean is_ours(const TtWatch *watch, guint32 tid) {
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/task/%u", watch->pid, tid);
    return access(path, F_OK) == 0;
}

/* ---- The end ---- */

/* Whether a thread at its end has the whole process end: all but exit(2) do, which ends the thread.
 */
static gboolean ends_all(guint32 tid) {
    struct user_regs_struct regs;

    return ptrace(PTRACE_GETREGS, (pid_t)tid, NULL, &regs) == 0 && regs.orig_rax != SYS_exit;
}

static gboolean is_held(const TtWatch *watch, guint32 tid) {
    for (guint i = 0; i < watch->held->len; i++)
        if (g_array_index(watch->held, guint32, i) == tid)
            return TRUE;
    return FALSE;
}

/* Whether every thread that there is waits for us, or is @tid. */
static gboolean are_all_held(const TtWatch *watch, guint32 tid) {
    g_autofree char *path = g_strdup_printf("/proc/%d/task", watch->pid);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    gboolean is_one_missing = FALSE;

    while (dir && !is_one_missing && (entry = readdir(dir))) {
        guint32 other = (guint32)strtoul(entry->d_name, NULL, 10);

        is_one_missing = other != 0 && other != tid && !is_held(watch, other) &&
                         !tt_stop_is_gone(watch->pid, other);
    }
    if (dir)
        closedir(dir);
    return !is_one_missing;
}

/* The last look, and the end of all that waited for it. */
static void look(TtWatch *watch) {
    watch->has_looked = TRUE;
    watch->image_fd = tt_capture(watch->pid, watch->held, watch->since_ns, &watch->error);
    for (guint i = 0; i < watch->held->len; i++)
        go_on(g_array_index(watch->held, guint32, i), PTRACE_CONT, 0);
    g_array_set_size(watch->held, 0);
}

static void on_end_of_thread(TtWatch *watch, guint32 tid) {
    if (watch->has_looked ||
        (watch->since_ns == 0 && !ends_all(tid) && !are_all_held(watch, tid))) {
        go_on(tid, PTRACE_CONT, 0);
        return;
    }
    if (watch->since_ns == 0)
        watch->since_ns = tt_stop_now_ns();
    g_array_append_val(watch->held, tid);
}

/* ---- What comes before it ---- */

static void on_stop(TtWatch *watch, guint32 tid, int status) {
    int signal = WSTOPSIG(status);

    switch (status >> 16) {
    case 0: /* a signal on its way */
        go_on(tid, PTRACE_CONT, signal);
        break;
    case PTRACE_EVENT_EXIT:
        on_end_of_thread(watch, tid);
        break;
    case PTRACE_EVENT_STOP:
        /* A process that was cloned by hand comes to us as a thread would. */
        if (!is_ours(watch, tid))
            go_on(tid, PTRACE_DETACH, 0);
        else if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)
            go_on(tid, PTRACE_LISTEN, 0); /* Ctrl-Z: it stays stopped until SIGCONT */
        else
            go_on(tid, PTRACE_CONT, 0);
        break;
    default:
        go_on(tid, PTRACE_CONT, 0);
    }
}

/* Returns a thread that has something to tell, 0 where none has any more. */
static pid_t wait_next(TtWatch *watch, int *ret_status) {
    for (;;) {
        gboolean is_gathering = watch->since_ns > 0 && !watch->has_looked;
        pid_t tid = waitpid(-1, ret_status, __WALL | __WNOTHREAD | (is_gathering ? WNOHANG : 0));

        if (tid > 0)
            return tid;
        if (tid < 0 && errno != EINTR)
            return 0;
        if (!is_gathering)
            continue;
        if (are_all_held(watch, 0) || tt_stop_now_ns() - watch->since_ns > GATHER_NS)
            look(watch);
        else
            g_usleep(GATHER_STEP_US);
    }
}

static gboolean seize(TtWatch *watch) {
    gulong options = PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
    gboolean is_seized = ptrace(PTRACE_SEIZE, watch->pid, NULL, (gpointer)options) == 0;

    if (!is_seized)
        tt_stop_explain(watch->pid, errno, &watch->error);
    g_mutex_lock(&watch->lock);
    watch->is_ready = TRUE;
    g_cond_signal(&watch->is_set_up);
    g_mutex_unlock(&watch->lock);
    return is_seized;
}

static gpointer run(gpointer data) {
    TtWatch *watch = data;
    pid_t tid;
    int status;

    if (!seize(watch)) {
        while (waitpid(watch->pid, &watch->wait_status, 0) < 0 && errno == EINTR)
            ;
        return NULL;
    }
    while ((tid = wait_next(watch, &status)) > 0) {
        if (WIFSTOPPED(status)) {
            on_stop(watch, (guint32)tid, status);
        } else if (tid == watch->pid) {
            watch->wait_status = status;
            break;
        }
    }
    return NULL;
}

TtWatch *tt_watch_new(gint pid) {
    TtWatch *watch = g_new0(TtWatch, 1);

    watch->pid = pid;
    watch->image_fd = -1;
    watch->held = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_mutex_init(&watch->lock);
    g_cond_init(&watch->is_set_up);
    watch->thread = g_thread_new("watch", run, watch);
    g_mutex_lock(&watch->lock);
    while (!watch->is_ready)
        g_cond_wait(&watch->is_set_up, &watch->lock);
    g_mutex_unlock(&watch->lock);
    return watch;
}

gint tt_watch_wait(TtWatch *watch) {
    g_clear_pointer(&watch->thread, g_thread_join);
    return watch->wait_status;
}

int tt_watch_take_image(TtWatch *watch, GError **error) {
    int fd = watch->image_fd;

    watch->image_fd = -1;
    if (fd >= 0)
        return fd;
    if (watch->error)
        g_propagate_error(error, g_steal_pointer(&watch->error));
    else
        g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                    "Process %d was gone before its memory could be looked at", watch->pid);
    return -1;
}

void tt_watch_free(TtWatch *watch) {
    if (!watch)
        return;
    g_clear_pointer(&watch->thread, g_thread_join);
    if (watch->image_fd >= 0)
        close(watch->image_fd);
    g_clear_error(&watch->error);
    g_array_unref(watch->held);
    g_mutex_clear(&watch->lock);
    g_cond_clear(&watch->is_set_up);
    g_free(watch);
}
