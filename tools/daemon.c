/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a daemon in bounded time, whatever state it is in: not there, its socket left behind, its
 * backlog full, stopped in the midst of a handshake, or another user's. */
#include "tools/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixconnection.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/wire.h"
#include "tools/leave.h"
#include "tools/say.h"

#define OBJECT "/org/tracetools/Daemon"
#define RETRY_MS 20    /* between attempts at a daemon whose backlog is full */
#define START_MS 10000 /* for one of our own to say that it is ready */
#define END_MS 6000    /* and to end */
/* One of our own keeps all that a run makes, as far as its memory goes. */
#define OWN_SESSIONS "--sessions=100000"
#define COMPLAINT_MAX 400 /* bytes of what it said, where it failed to start */

static gboolean fits_socket(const char *dir) {
    struct sockaddr_un name;

    return strlen(dir) + sizeof "/" TT_CONTROL_SOCKET <= sizeof name.sun_path;
}

char *tt_daemon_find_dir(GError **error) {
    const char *dir = g_getenv("TT_SOCKET_DIR");
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");
    char *found;

    if (dir && !g_path_is_absolute(dir)) {
        g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE,
                    "TT_SOCKET_DIR is '%s': give the absolute path of a folder, or unset it", dir);
        return NULL;
    }
    if (dir)
        found = g_strdup(dir);
    else if (runtime && g_path_is_absolute(runtime))
        found = g_build_filename(runtime, "trace-tools", NULL);
    else
        found = g_strdup_printf("/tmp/trace-tools-%u", (guint)getuid());
    if (fits_socket(found))
        return found;
    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE,
                "The path %s is too long for sockets: set TT_SOCKET_DIR to a shorter one", found);
    g_free(found);
    return NULL;
}

static void set_no_daemon(GError **error, const char *dir, const char *why) {
    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_NO_DAEMON,
                "No tt-daemon answers in %s (%s): start one with `systemctl --user start "
                "tt-daemon-events.socket` or `tt-daemon &`",
                dir, why);
}

/* Returns a connected socket, or a negative errno value. -EAGAIN: its backlog is full. */
static int connect_once(const char *dir) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t len = sizeof peer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code;

    if (fd < 0)
        return -errno;
    g_snprintf(name.sun_path, sizeof name.sun_path, "%s/%s", dir, TT_CONTROL_SOCKET);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0) {
        if (peer.uid == geteuid())
            return fd;
        errno = EPERM;
    }
    code = -errno;
    close(fd);
    return code;
}

/* One attempt, handshake included. */
static GDBusConnection *try_connect(const char *dir, guint seconds, int *ret_errno,
                                    GError **error) {
    g_autoptr(GSocket) socket = NULL;
    g_autoptr(GSocketConnection) stream = NULL;
    GDBusConnection *connection;
    int fd = connect_once(dir);

    *ret_errno = fd < 0 ? -fd : 0;
    if (fd < 0) {
        g_set_error_literal(error, G_IO_ERROR, (gint)g_io_error_from_errno(-fd), g_strerror(-fd));
        return NULL;
    }
    socket = g_socket_new_from_fd(fd, error);
    if (!socket) {
        close(fd);
        return NULL;
    }
    g_socket_set_timeout(socket, seconds);
    stream = g_socket_connection_factory_create_connection(socket);
    connection = g_dbus_connection_new_sync(G_IO_STREAM(stream), NULL,
                                            G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                                            NULL, NULL, error);
    g_socket_set_timeout(socket, 0);
    if (connection)
        g_dbus_connection_start_message_processing(connection);
    return connection;
}

static GDBusConnection *connect_to(const char *dir, GError **error) {
    gint64 deadline = g_get_monotonic_time() + TT_DAEMON_CONNECT_MS * 1000;

    for (;;) {
        g_autoptr(GError) failure = NULL;
        int code;
        GDBusConnection *connection =
            try_connect(dir, (TT_DAEMON_CONNECT_MS + 999) / 1000, &code, &failure);
        gboolean is_timeout = g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);

        if (connection)
            return connection;
        /* Whoever was dropped in a crowd, or found the backlog full, tries again. */
        if (is_timeout || (code != 0 && code != EAGAIN) || g_get_monotonic_time() >= deadline) {
            set_no_daemon(error, dir, is_timeout ? "it is stopped or too busy" : failure->message);
            return NULL;
        }
        g_usleep(RETRY_MS * 1000);
    }
}

static gboolean attach(TtDaemon *daemon, GError **error) {
    g_autoptr(GDBusConnection) connection = connect_to(daemon->socket_dir, error);

    if (!connection)
        return FALSE;
    g_clear_object(&daemon->proxy);
    daemon->proxy = tt_daemon1_proxy_new_sync(connection,
                                              G_DBUS_PROXY_FLAGS_DO_NOT_CONNECT_SIGNALS |
                                                  G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES,
                                              NULL, OBJECT, NULL, error);
    if (!daemon->proxy)
        return FALSE;
    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(daemon->proxy), TT_DAEMON_CALL_MS);
    return TRUE;
}

TtDaemon *tt_daemon_open(GError **error) {
    g_autoptr(TtDaemon) daemon = g_new0(TtDaemon, 1);

    daemon->socket_dir = tt_daemon_find_dir(error);
    if (!daemon->socket_dir || !attach(daemon, error))
        return NULL;
    return g_steal_pointer(&daemon);
}

gboolean tt_daemon_reopen(TtDaemon *daemon, GError **error) {
    GDBusConnection *connection = g_dbus_proxy_get_connection(G_DBUS_PROXY(daemon->proxy));

    return !g_dbus_connection_is_closed(connection) || attach(daemon, error);
}

char *tt_daemon_make_dir(GError **error) {
    const char *const places[] = {"/tmp", g_getenv("XDG_RUNTIME_DIR")};

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        char *dir = places[i] && g_path_is_absolute(places[i])
                        ? g_build_filename(places[i], "tt-run-XXXXXX", NULL)
                        : NULL;

        if (dir && fits_socket(dir) && g_mkdtemp_full(dir, 0700)) {
            tt_leave_add(dir);
            return dir;
        }
        g_free(dir);
    }
    g_set_error_literal(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                        "No folder can be made in /tmp or XDG_RUNTIME_DIR");
    return NULL;
}

void tt_daemon_remove_dir(const char *dir) {
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;

    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        unlink(path);
        tt_leave_drop(path);
    }
    rmdir(dir);
    tt_leave_drop(dir);
}

/* Beside ourselves, in the build tree, or in PATH. */
static char *find_program(void) {
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : g_strdup(".");
    const char *const places[] = {"tt-daemon", "../daemon/tt-daemon"};

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        char *path = g_build_filename(folder, places[i], NULL);

        if (access(path, X_OK) == 0)
            return path;
        g_free(path);
    }
    return g_find_program_in_path("tt-daemon");
}

/* Without what is meant for the traced program: the tracer is not traced. */
static char **daemon_environment(const char *notify_address) {
    static const char *const dropped[] = {
        "LD_PRELOAD", "TT_ENABLE",      "TT_SAMPLE",       "TT_LOSSLESS",
        "TT_FOLLOW",  "TT_FREE_STACKS", "TT_USABLE_SIZES", "LISTEN_FDS",
        "LISTEN_PID", "LISTEN_FDNAMES", "TT_SOCKET_DIR",
    };
    char **environment = g_get_environ();

    for (gsize i = 0; i < G_N_ELEMENTS(dropped); i++)
        environment = g_environ_unsetenv(environment, dropped[i]);
    return g_environ_setenv(environment, "NOTIFY_SOCKET", notify_address, TRUE);
}

/* In the child, between fork and exec: nothing that a lock of another thread could hold. */
static void become_daemon(const char *program, char **environment, const char *dir_option,
                          int log_fd, pid_t parent) {
    char *const arguments[] = {(char *)program, (char *)dir_option, (char *)OWN_SESSIONS, NULL};
    sigset_t none;
    int null_fd;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0); /* it died before that */
    setsid();     /* keys pressed at the terminal are for CMD */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            signal(number, SIG_DFL);
    null_fd = open("/dev/null", O_RDWR);
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || dup2(log_fd, 2) < 0 ||
        chdir("/") < 0)
        _exit(1);
    if (null_fd > 2)
        close(null_fd);
    execve(program, arguments, environment);
    _exit(127);
}

/* Bound beside the sockets, so that nobody else can say that the daemon is ready. */
static int open_notify_socket(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    g_strlcpy(name.sun_path, path, sizeof name.sun_path);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Whether the daemon says READY=1 before it ends. */
static gboolean wait_until_ready(int notify_fd, pid_t pid) {
    gint64 deadline = g_get_monotonic_time() + START_MS * 1000;
    int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    gboolean is_ready = FALSE;

    for (;;) {
        struct pollfd fds[] = {{.fd = notify_fd, .events = POLLIN},
                               {.fd = pid_fd, .events = POLLIN}};
        gint64 left_ms = (deadline - g_get_monotonic_time()) / 1000;
        char text[512];
        ssize_t len;

        if (left_ms <= 0 || (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR))
            break;
        len = recv(notify_fd, text, sizeof text - 1, MSG_DONTWAIT);
        if (len > 0) {
            text[len] = '\0';
            is_ready = strstr(text, "READY=1") != NULL;
        }
        if (is_ready || fds[1].revents)
            break;
    }
    if (pid_fd >= 0)
        close(pid_fd);
    return is_ready;
}

static void set_start_failed(GError **error, int log_fd) {
    char text[COMPLAINT_MAX + 1];
    ssize_t len = pread(log_fd, text, COMPLAINT_MAX, 0);

    text[MAX(len, 0)] = '\0';
    g_strchomp(text);
    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                "No tt-daemon is running, and one of our own did not start%s%s", *text ? ": " : "",
                text);
}

/* On a signal the folder must be empty to go. */
static void register_sockets(const char *dir) {
    static const char *const names[] = {TT_EVENTS_SOCKET, TT_CONTROL_SOCKET, ".lock", "notify"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);

        tt_leave_add(path);
    }
}

TtDaemon *tt_daemon_start(GError **error) {
    g_autoptr(TtDaemon) daemon = g_new0(TtDaemon, 1);
    g_autofree char *program = find_program();
    g_autofree char *option = NULL;
    g_autofree char *notify_path = NULL;
    g_auto(GStrv) environment = NULL;
    pid_t parent = getpid();
    gboolean is_ready;
    int log_fd, notify_fd;

    if (!program) {
        g_set_error_literal(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                            "tt-daemon is neither beside tt-ctl nor in PATH");
        return NULL;
    }
    daemon->own_dir = tt_daemon_make_dir(error);
    if (!daemon->own_dir)
        return NULL;
    daemon->socket_dir = g_strdup(daemon->own_dir);
    register_sockets(daemon->own_dir);
    option = g_strdup_printf("--socket-dir=%s", daemon->own_dir);
    notify_path = g_build_filename(daemon->own_dir, "notify", NULL);
    environment = daemon_environment(notify_path);
    log_fd = memfd_create("tt-daemon-log", MFD_CLOEXEC);
    notify_fd = open_notify_socket(notify_path);
    daemon->pid = log_fd < 0 || notify_fd < 0 ? -1 : fork();
    if (daemon->pid == 0)
        become_daemon(program, environment, option, log_fd, parent);
    is_ready = daemon->pid > 0 && wait_until_ready(notify_fd, daemon->pid);
    unlink(notify_path);
    if (!is_ready)
        set_start_failed(error, log_fd);
    if (log_fd >= 0)
        close(log_fd);
    if (notify_fd >= 0)
        close(notify_fd);
    if (!is_ready || !attach(daemon, error))
        return NULL;
    return g_steal_pointer(&daemon);
}

/* SIGTERM, and SIGKILL for one that does not heed it. */
static void end_own(pid_t pid) {
    int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = pid_fd, .events = POLLIN};

    kill(pid, SIGTERM);
    if (pid_fd < 0 || poll(&ended, 1, END_MS) != 1)
        kill(pid, SIGKILL);
    if (pid_fd >= 0)
        close(pid_fd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

void tt_daemon_free(TtDaemon *daemon) {
    if (!daemon)
        return;
    g_clear_object(&daemon->proxy);
    if (daemon->pid > 0)
        end_own(daemon->pid);
    if (daemon->own_dir)
        tt_daemon_remove_dir(daemon->own_dir);
    g_free(daemon->own_dir);
    g_free(daemon->socket_dir);
    g_free(daemon);
}
