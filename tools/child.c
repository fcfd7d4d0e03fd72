/* SPDX-License-Identifier: Apache-2.0 */
/* What makes it hard: GLib ignores SIGPIPE and runs threads, so the child is put back by hand, with
 * nothing but system calls between fork and exec; and a process group is one, so that Ctrl-Z stops
 * us with CMD and `fg` continues us both, for which there is nothing to do but not to interfere. */
#include "tools/child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sigaction interrupt, quit; /* while a child runs: what they were */

void tt_child_read_start(TtChildStart *ret_start) {
    memset(ret_start, 0, sizeof *ret_start);
    for (int fd = 0; fd < 3; fd++) {
        ret_start->was_closed[fd] = fcntl(fd, F_GETFD) < 0;
        /* What is read cannot be written: a result that goes there fails. Gone at exec. */
        if (ret_start->was_closed[fd])
            (void)!open("/dev/null", (fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    }
    sigprocmask(SIG_SETMASK, NULL, &ret_start->mask);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &ret_start->actions[number]);
}

/* In the child. */
static void restore(const TtChildStart *start) {
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            sigaction(number, &start->actions[number], NULL);
    sigprocmask(SIG_SETMASK, &start->mask, NULL);
}

static void execute(const char *path, char **argv, char **shell_argv, char **environment) {
    execve(path, argv, environment);
    /* A script without a first line that says for whom: as execvp(3) does. */
    if (errno == ENOEXEC)
        execve("/bin/sh", shell_argv, environment);
}

/* In the child. Until the other end is closed, by our going on or by our death. */
static void wait_for_watch(const int *held) {
    char byte;

    close(held[1]);
    while (read(held[0], &byte, 1) < 0 && errno == EINTR)
        ;
    close(held[0]);
}

gint tt_child_spawn(const TtChildStart *start, const char *path, char **argv, char **environment,
                    TtWatch **ret_watch, int *ret_errno) {
    g_autoptr(GPtrArray) shell_argv = g_ptr_array_new();
    struct sigaction ignore = {.sa_handler = SIG_IGN}, usual = {.sa_handler = SIG_DFL};
    int failure[2], held[2], code = 0;
    pid_t pid;

    g_ptr_array_add(shell_argv, (gpointer) "/bin/sh");
    g_ptr_array_add(shell_argv, (gpointer)path);
    for (char **word = argv + 1; *word; word++)
        g_ptr_array_add(shell_argv, *word);
    g_ptr_array_add(shell_argv, NULL);

    if (pipe2(failure, O_CLOEXEC) < 0) {
        *ret_errno = errno;
        return 0;
    }
    if (ret_watch && pipe2(held, O_CLOEXEC) < 0) {
        *ret_errno = errno;
        close(failure[0]);
        close(failure[1]);
        return 0;
    }
    sigaction(SIGINT, &ignore, &interrupt);
    sigaction(SIGQUIT, &ignore, &quit);
    sigaction(SIGCHLD, &usual, NULL); /* where it is ignored nobody learns how a child ended */
    pid = fork();
    if (pid == 0) {
        if (ret_watch)
            wait_for_watch(held);
        restore(start);
        execute(path, argv, (char **)shell_argv->pdata, environment);
        code = errno;
        (void)!write(failure[1], &code, sizeof code);
        _exit(127);
    }
    if (pid < 0)
        code = errno;
    close(failure[1]);
    if (ret_watch) {
        close(held[0]);
        if (pid > 0)
            *ret_watch = tt_watch_new(pid);
        close(held[1]);
    }
    /* Nothing comes where exec has closed it. */
    while (pid > 0 && read(failure[0], &code, sizeof code) < 0 && errno == EINTR)
        ;
    close(failure[0]);
    if (code == 0)
        return pid;
    if (pid > 0)
        tt_child_wait(pid, ret_watch ? *ret_watch : NULL);
    *ret_errno = code;
    return 0;
}

gint tt_child_wait(gint pid, TtWatch *watch) {
    int wait_status = 0;

    if (watch)
        wait_status = tt_watch_wait(watch);
    else
        while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
            ;
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGQUIT, &quit, NULL);
    return wait_status;
}

int tt_child_status(gint wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
