/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, asking and killing the symbolizer.
 *
 * Everything that waits has a deadline, the end of a killed child included: one that hangs inside a
 * dead file system does not even die of SIGKILL, and must not take the daemon along. */
#include "symbols/symbolizer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "symbols/exchange.h"

#define KILL_WAIT_MS 1000      /* for a killed child to be gone */
#define READ_BYTES (64 * 1024) /* memory grows by what came, not by what was announced */

struct TtSymbolizer {
    gint pid; /* 0: none; read by other threads */
    int fd;   /* our end; -1: none */
    char *debug_dir;
    GArray *undead; /* pid_t: killed, not yet gone */
};

TtSymbolizer *tt_symbolizer_new(void) {
    TtSymbolizer *symbolizer = g_new0(TtSymbolizer, 1);

    symbolizer->fd = -1;
    symbolizer->undead = g_array_new(FALSE, FALSE, sizeof(pid_t));
    return symbolizer;
}

void tt_symbolizer_set_debug_dir(TtSymbolizer *symbolizer, const char *dir) {
    g_free(symbolizer->debug_dir);
    symbolizer->debug_dir = g_strdup(dir);
}

GPid tt_symbolizer_get_pid(TtSymbolizer *symbolizer) { return g_atomic_int_get(&symbolizer->pid); }

/* Takes the child's status if it is there. Returns: whether the child is gone. */
static gboolean reap(pid_t pid, int *ret_status) {
    pid_t r;

    do
        r = waitpid(pid, ret_status, WNOHANG);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        *ret_status = 0; /* somebody else has reaped it */
    return r != 0;
}

/* The same, and waits for it. */
static gboolean reap_within(pid_t pid, int wait_ms, int *ret_status) {
    int pidfd = pidfd_open(pid, 0);
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

    if (pidfd >= 0) {
        while (poll(&poll_fd, 1, wait_ms) < 0 && errno == EINTR)
            continue;
        close(pidfd);
    }
    return reap(pid, ret_status);
}

static void reap_undead(TtSymbolizer *symbolizer) {
    for (guint i = symbolizer->undead->len; i > 0; i--) {
        int status;

        if (reap(g_array_index(symbolizer->undead, pid_t, i - 1), &status))
            g_array_remove_index_fast(symbolizer->undead, i - 1);
    }
}

/* Ends the process. Returns: its status, or -1 where it is not known. */
static int stop(TtSymbolizer *symbolizer) {
    pid_t pid = symbolizer->pid;
    int status = -1;

    if (pid == 0)
        return -1;
    close(symbolizer->fd);
    symbolizer->fd = -1;
    g_atomic_int_set(&symbolizer->pid, 0);
    if (reap(pid, &status))
        return status;
    kill(pid, SIGKILL);
    if (!reap_within(pid, KILL_WAIT_MS, &status)) {
        g_array_append_val(symbolizer->undead, pid);
        return -1;
    }
    return status;
}

void tt_symbolizer_stop(TtSymbolizer *symbolizer) { stop(symbolizer); }

void tt_symbolizer_free(TtSymbolizer *symbolizer) {
    if (!symbolizer)
        return;
    stop(symbolizer);
    reap_undead(symbolizer);
    g_array_unref(symbolizer->undead);
    g_free(symbolizer->debug_dir);
    g_free(symbolizer);
}

/* The installed tree may lie anywhere, so the way to the program starts at our own. */
static char *find_program(void) {
    static const char *const places[] = {"../libexec/trace-tools/tt-symbolizer",
                                         "symbols/tt-symbolizer"};
    const char *told = g_getenv("TT_SYMBOLIZER");
    g_autofree char *self = NULL;
    g_autofree char *dir = NULL;

    if (told && *told)
        return g_strdup(told);
    self = g_file_read_link("/proc/self/exe", NULL);
    if (!self)
        return NULL;
    dir = g_path_get_dirname(self);
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = g_build_filename(dir, places[i], NULL);

        if (access(path, X_OK) == 0)
            return g_steal_pointer(&path);
    }
    return NULL;
}

/* Our environment without what would have the process traced, audited or ask the network.
 * Returns: (transfer container): borrows the strings */
static char **make_environment(void) {
    static const char *const refused[] = {"LD_PRELOAD=", "LD_AUDIT=", "TT_", "DEBUGINFOD_"};
    GPtrArray *kept = g_ptr_array_new();

    for (char **at = environ; at && *at; at++) {
        gboolean is_kept = TRUE;

        for (gsize i = 0; i < G_N_ELEMENTS(refused); i++)
            is_kept = is_kept && !g_str_has_prefix(*at, refused[i]);
        if (is_kept)
            g_ptr_array_add(kept, *at);
    }
    g_ptr_array_add(kept, NULL);
    return (char **)g_ptr_array_free(kept, FALSE);
}

/* Returns: 0 or a positive errno. */
static int spawn(const char *program, const char *debug_dir, int fd, pid_t *ret_pid) {
    g_autofree char **environment = make_environment();
    char *const args[] = {(char *)program, (char *)debug_dir, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    int r;

    /* Our end first: it may be one of 0 … 2 in a daemon that was started with those closed. What it
     * reads could make a library print; nobody is to see that. */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, TT_EXCHANGE_FD);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, TT_EXCHANGE_FD + 1);

    /* A group of its own: Ctrl-C in the terminal of a foreground daemon is not meant for it. */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);

    r = posix_spawn(ret_pid, program, &actions, &attributes, args, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return r;
}

static gboolean start(TtSymbolizer *symbolizer, GError **error) {
    g_autofree char *program = find_program();
    pid_t pid;
    int ends[2], r;

    if (!program) {
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_START,
                    "tt-symbolizer is not installed beside tt-daemon: functions have no names");
        return FALSE;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_START,
                    "No socket for tt-symbolizer: %s", g_strerror(errno));
        return FALSE;
    }
    r = spawn(program, symbolizer->debug_dir, ends[1], &pid);
    close(ends[1]);
    if (r != 0) {
        close(ends[0]);
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_START, "Cannot start %s: %s", program,
                    g_strerror(r));
        return FALSE;
    }
    symbolizer->fd = ends[0];
    g_atomic_int_set(&symbolizer->pid, pid);
    return TRUE;
}

/* Runs one that answers, as far as can be seen: one that died unasked is replaced, unblamed. */
static gboolean ensure_running(TtSymbolizer *symbolizer, GError **error) {
    int status;

    reap_undead(symbolizer);
    if (symbolizer->pid != 0 && reap(symbolizer->pid, &status)) {
        close(symbolizer->fd);
        symbolizer->fd = -1;
        g_atomic_int_set(&symbolizer->pid, 0);
    }
    return symbolizer->pid != 0 || start(symbolizer, error);
}

/* Returns: 0 when @events may go on, -ETIMEDOUT or another negative errno. */
static int wait_for(int fd, short events, gint64 deadline_us) {
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = events};
        gint64 left_us = deadline_us - g_get_monotonic_time();
        int r;

        if (left_us <= 0)
            return -ETIMEDOUT;
        r = poll(&poll_fd, 1, (int)MIN((left_us + 999) / 1000, G_MAXINT));
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return -errno;
    }
}

static int send_all(int fd, const guint8 *bytes, gsize len, gint64 deadline_us) {
    while (len > 0) {
        gssize n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            bytes += n;
            len -= (gsize)n;
        } else if (errno == EAGAIN) {
            int r = wait_for(fd, POLLOUT, deadline_us);

            if (r < 0)
                return r;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* Returns: how many bytes came, at least one; -EPIPE at the end, or another negative errno. */
static gssize receive_some(int fd, guint8 *bytes, gsize len, gint64 deadline_us) {
    for (;;) {
        gssize n = recv(fd, bytes, len, MSG_DONTWAIT);
        int r;

        if (n > 0)
            return n;
        if (n == 0)
            return -EPIPE;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        r = wait_for(fd, POLLIN, deadline_us);
        if (r < 0)
            return r;
    }
}

static int receive_all(int fd, GByteArray *to, gsize len, gint64 deadline_us) {
    while (len > 0) {
        guint8 bytes[READ_BYTES];
        gssize n = receive_some(fd, bytes, MIN(len, sizeof bytes), deadline_us);

        if (n < 0)
            return (int)n;
        g_byte_array_append(to, bytes, (guint)n);
        len -= (gsize)n;
    }
    return 0;
}

/* Returns: 0, -EBADMSG for an answer too long, -ETIMEDOUT, or the socket's negative errno. */
static int exchange(int fd, const GByteArray *question, gint64 deadline_us, GByteArray *answer) {
    guint32 len;
    int r = send_all(fd, question->data, question->len, deadline_us);

    if (r == 0)
        r = receive_all(fd, answer, TT_EXCHANGE_HEAD_BYTES, deadline_us);
    if (r < 0)
        return r;
    memcpy(&len, answer->data, sizeof len);
    len = GUINT32_FROM_LE(len);
    if (len > TT_EXCHANGE_ANSWER_MAX)
        return -EBADMSG;
    g_byte_array_set_size(answer, 0);
    return receive_all(fd, answer, len, deadline_us);
}

static void set_died(GError **error, int status) {
    if (status != -1 && WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM)
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_DIED,
                    "tt-symbolizer was ended by signal %d (%s): names are missing",
                    WTERMSIG(status), g_strsignal(WTERMSIG(status)));
    else if (status != -1 && WIFEXITED(status))
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_DIED,
                    "tt-symbolizer ended with status %d: names are missing", WEXITSTATUS(status));
    else
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_DIED,
                    "tt-symbolizer broke off: names are missing");
}

/* Its end of the socket closes a moment before its status can be had, and that status, not the
 * SIGKILL of stop(), is what the user wants to read. */
static int stop_dying(TtSymbolizer *symbolizer) {
    int status = -1;
    pid_t pid = symbolizer->pid;

    if (!reap_within(pid, KILL_WAIT_MS, &status))
        return stop(symbolizer);
    close(symbolizer->fd);
    symbolizer->fd = -1;
    g_atomic_int_set(&symbolizer->pid, 0);
    return status;
}

gboolean tt_symbolizer_ask(TtSymbolizer *symbolizer, const GByteArray *question, guint timeout_ms,
                           GByteArray *answer, GError **error) {
    gint64 deadline_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    int r;

    if (!ensure_running(symbolizer, error))
        return FALSE;
    g_byte_array_set_size(answer, 0);
    r = exchange(symbolizer->fd, question, deadline_us, answer);
    if (r == 0)
        return TRUE;
    if (r == -ETIMEDOUT) {
        stop(symbolizer);
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_TIMEOUT,
                    "tt-symbolizer did not answer within %u ms: names are missing", timeout_ms);
    } else if (r == -EBADMSG) {
        stop(symbolizer);
        g_set_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_GARBAGE,
                    "tt-symbolizer announced too long an answer: names are missing");
    } else {
        set_died(error, stop_dying(symbolizer));
    }
    return FALSE;
}
