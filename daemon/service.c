/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets and where they lie.
 *
 * A directory that somebody else can write to is nobody's: he could put his own socket there. Two
 * daemons in one directory would take the sockets from each other: a lock decides, which the kernel
 * gives up with the process, so that a socket found unlocked is stale. */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/wire.h"

#define FIRST_PASSED_FD 3 /* sd_listen_fds(3) */
#define PASSED_MAX 65536
#define BACKLOG 4096
#define LOCK_FILE ".lock"

G_DEFINE_QUARK(tt - service - error - quark, tt_service_error)

/* -- Sockets from the service manager --------------------------------------------------------- */

static gboolean is_listening(int fd, int type) {
    int found = 0, domain = 0, accepts = 0;
    socklen_t len = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &found, &len) == 0 && found == type &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) == 0 && accepts;
}

/* What a passed socket is: by the name it was given, else by its file's. */
static gboolean is_named(int fd, const char *given, const char *name, const char *file) {
    struct sockaddr_un address;
    socklen_t len = sizeof address;

    if (g_strcmp0(given, name) == 0)
        return TRUE;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return FALSE;
    char path[sizeof address.sun_path + 1] = {0};
    memcpy(path, address.sun_path, sizeof address.sun_path);
    g_autofree char *base = g_path_get_basename(path);
    return strcmp(base, file) == 0;
}

/* Returns how many sockets were passed to this process; their numbers begin at FIRST_PASSED_FD. */
static int count_passed(char ***ret_names) {
    const char *pid = g_getenv("LISTEN_PID"), *count = g_getenv("LISTEN_FDS");
    guint64 number;
    int passed = 0;

    if (pid && count && g_ascii_string_to_unsigned(pid, 10, 0, G_MAXINT, &number, NULL) &&
        (pid_t)number == getpid() &&
        g_ascii_string_to_unsigned(count, 10, 0, PASSED_MAX, &number, NULL)) {
        passed = (int)number;
        *ret_names =
            g_strsplit(g_getenv("LISTEN_FDNAMES") ? g_getenv("LISTEN_FDNAMES") : "", ":", -1);
    }
    g_unsetenv("LISTEN_PID");
    g_unsetenv("LISTEN_FDS");
    g_unsetenv("LISTEN_FDNAMES");
    return passed;
}

/* Not a socket that we listen at: what an earlier daemon left to be kept. */
static void keep(TtService *service, const char *name, int fd) {
    TtStored stored = {g_strdup(name ? name : ""), fd};

    g_array_append_val(service->stored, stored);
}

static gboolean adopt(TtService *service, int passed, char **names, GError **error) {
    guint name_count = g_strv_length(names);

    for (int i = 0; i < passed; i++) {
        int fd = FIRST_PASSED_FD + i;
        const char *name = (guint)i < name_count ? names[i] : NULL;

        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (service->events_fd < 0 && is_listening(fd, SOCK_SEQPACKET) &&
            is_named(fd, name, "events", TT_EVENTS_SOCKET))
            service->events_fd = fd;
        else if (service->control_fd < 0 && is_listening(fd, SOCK_STREAM) &&
                 is_named(fd, name, "control", TT_CONTROL_SOCKET))
            service->control_fd = fd;
        else
            keep(service, name, fd);
    }
    if (service->events_fd >= 0 && service->control_fd >= 0)
        return TRUE;
    g_set_error(error, TT_SERVICE_ERROR, TT_SERVICE_ERROR_SOCKETS,
                "The service manager did not pass both sockets (%s: SOCK_SEQPACKET, named events; "
                "%s: SOCK_STREAM, named control): see the units that come with trace-tools",
                TT_EVENTS_SOCKET, TT_CONTROL_SOCKET);
    return FALSE;
}

/* -- Sockets of our own ----------------------------------------------------------------------- */

static gboolean refuse_place(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean refuse_place(GError **error, const char *format, ...) {
    va_list values;

    va_start(values, format);
    g_autofree char *sentence = g_strdup_vprintf(format, values);
    va_end(values);
    g_set_error_literal(error, TT_SERVICE_ERROR, TT_SERVICE_ERROR_PLACE, sentence);
    return FALSE;
}

/* The same three places, in the same order, in which libttclient looks. */
static char *choose_directory(const char *socket_dir, GError **error) {
    const char *asked = g_getenv("TT_SOCKET_DIR"), *runtime = g_getenv("XDG_RUNTIME_DIR");

    if (socket_dir)
        return g_canonicalize_filename(socket_dir, NULL);
    if (asked && asked[0] != '/') {
        refuse_place(error, "TT_SOCKET_DIR is '%s': it must be an absolute path", asked);
        return NULL;
    }
    if (asked)
        return g_strdup(asked);
    if (runtime && runtime[0] == '/')
        return g_build_filename(runtime, "trace-tools", NULL);
    return g_strdup_printf("/tmp/trace-tools-%u", (guint)getuid());
}

static gboolean prepare_directory(const char *dir, GError **error) {
    struct stat found;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return refuse_place(error,
                            "Cannot make the socket directory %s (%s): choose another by "
                            "--socket-dir or TT_SOCKET_DIR",
                            dir, g_strerror(errno));
    if (lstat(dir, &found) < 0)
        return refuse_place(error, "Cannot look at the socket directory %s: %s", dir,
                            g_strerror(errno));
    if (!S_ISDIR(found.st_mode))
        return refuse_place(error,
                            "%s is not a directory: the sockets need one; remove it, or choose "
                            "another by --socket-dir or TT_SOCKET_DIR",
                            dir);
    if (found.st_uid != geteuid())
        return refuse_place(error,
                            "The socket directory %s belongs to another user: choose another by "
                            "--socket-dir or TT_SOCKET_DIR",
                            dir);
    if (found.st_mode & 022)
        return refuse_place(error,
                            "Others may write to the socket directory %s: take that from them "
                            "(chmod 700), or choose another by --socket-dir or TT_SOCKET_DIR",
                            dir);
    return TRUE;
}

static gboolean take_place(TtService *service, const char *dir, GError **error) {
    g_autofree char *path = g_build_filename(dir, LOCK_FILE, NULL);

    service->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (service->lock_fd < 0)
        return refuse_place(error, "Cannot make %s: %s", path, g_strerror(errno));
    if (flock(service->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return refuse_place(error,
                            "Another tt-daemon listens in %s already: use it, or choose another "
                            "directory by --socket-dir or TT_SOCKET_DIR",
                            dir);
    return TRUE;
}

static int listen_at(const char *path, int type, GError **error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = -1;

    if (strlen(path) >= sizeof address.sun_path) {
        refuse_place(error,
                     "The socket's path is too long (%s; %zu bytes are possible): choose a "
                     "shorter directory by --socket-dir or TT_SOCKET_DIR",
                     path, sizeof address.sun_path - 1);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (unlink(path) < 0 && errno != ENOENT) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0) {
        refuse_place(error, "Cannot listen at %s: %s", path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static gboolean make_sockets(TtService *service, const char *socket_dir, GError **error) {
    g_autofree char *dir = choose_directory(socket_dir, error);

    if (!dir || !prepare_directory(dir, error) || !take_place(service, dir, error))
        return FALSE;
    g_autofree char *events_path = g_build_filename(dir, TT_EVENTS_SOCKET, NULL);
    service->events_fd = listen_at(events_path, SOCK_SEQPACKET, error);
    if (service->events_fd < 0)
        return FALSE;
    service->events_path = g_steal_pointer(&events_path);

    g_autofree char *control_path = g_build_filename(dir, TT_CONTROL_SOCKET, NULL);
    service->control_fd = listen_at(control_path, SOCK_STREAM, error);
    if (service->control_fd < 0)
        return FALSE;
    service->control_path = g_steal_pointer(&control_path);
    return TRUE;
}

static void clear_stored(gpointer data) { g_free(((TtStored *)data)->name); }

gboolean tt_service_open(TtService *service, const char *socket_dir, GError **error) {
    g_auto(GStrv) names = NULL;
    gboolean is_open;

    *service = (TtService){.events_fd = -1,
                           .control_fd = -1,
                           .lock_fd = -1,
                           .stored = g_array_new(FALSE, FALSE, sizeof(TtStored))};
    g_array_set_clear_func(service->stored, clear_stored);
    int passed = count_passed(&names);
    is_open = passed > 0 ? adopt(service, passed, names, error)
                         : make_sockets(service, socket_dir, error);
    if (!is_open)
        tt_service_close(service);
    return is_open;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void remove_socket(char **path) {
    if (*path)
        (void)unlink(*path);
    g_clear_pointer(path, g_free);
}

void tt_service_close(TtService *service) {
    remove_socket(&service->events_path);
    remove_socket(&service->control_path);
    close_fd(&service->events_fd);
    close_fd(&service->control_fd);
    /* Last: whoever gets the lock finds no sockets of ours. The file stays; two could hold locks on
     * one that was removed and made again. */
    close_fd(&service->lock_fd);
    g_clear_pointer(&service->stored, g_array_unref);
}
