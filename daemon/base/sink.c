/* SPDX-License-Identifier: Apache-2.0 */
/* Writing that ends in bounded time.
 *
 * What makes it hard: a blocking descriptor cannot be made non-blocking, for that flag belongs to
 * the open file and so to whoever passed it here (a shell would find its terminal changed). And to
 * be told by poll(2) that a pipe is writable does not mean that it takes more than PIPE_BUF bytes.
 * So pipes and terminals are opened a second time, where that is possible; sockets take a flag per
 * call; and what is left is written in pieces of PIPE_BUF. */
#include "base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (64u * 1024)
#define PATIENCE_MS 30000u

typedef enum SinkKind {
    SINK_FILE,     /* takes what it is given, or fails */
    SINK_SOCKET,   /* MSG_DONTWAIT */
    SINK_NONBLOCK, /* says EAGAIN itself */
    SINK_BLOCKING, /* asked before each piece of PIPE_BUF */
} SinkKind;

struct TtSink {
    int fd;
    int own_fd; /* a second description of @fd without blocking, or -1 */
    SinkKind kind;
    guint patience_ms;
    GCancellable *cancellable; /* owned; or NULL */
    void (*on_wait)(gpointer data, gboolean is_waiting);
    gpointer on_wait_data;
    GError *failure; /* the first one; repeated from then on */
    guint64 bytes;
    gsize buffered;
    guint8 buffer[BUFFER_BYTES];
};

static SinkKind classify(int fd, int *ret_own_fd) {
    struct stat status;
    int flags = fcntl(fd, F_GETFL);

    if (fstat(fd, &status) < 0 || flags < 0)
        return SINK_FILE; /* the first write says what is wrong with it */
    if (S_ISREG(status.st_mode))
        return SINK_FILE;
    if (S_ISSOCK(status.st_mode))
        return SINK_SOCKET;
    if (flags & O_NONBLOCK)
        return SINK_NONBLOCK;
    if (S_ISFIFO(status.st_mode) || (S_ISCHR(status.st_mode) && isatty(fd))) {
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

        *ret_own_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        return *ret_own_fd < 0 ? SINK_BLOCKING : SINK_NONBLOCK;
    }
    return SINK_BLOCKING;
}

TtSink *tt_sink_new(int fd) {
    TtSink *sink = g_new0(TtSink, 1);

    sink->own_fd = -1;
    sink->patience_ms = PATIENCE_MS;
    sink->kind = classify(fd, &sink->own_fd);
    sink->fd = sink->own_fd < 0 ? fd : sink->own_fd;
    return sink;
}

void tt_sink_free(TtSink *sink) {
    if (!sink)
        return;
    if (sink->own_fd >= 0)
        close(sink->own_fd);
    g_clear_object(&sink->cancellable);
    g_clear_error(&sink->failure);
    g_free(sink);
}

void tt_sink_set_cancellable(TtSink *sink, GCancellable *cancellable) {
    g_set_object(&sink->cancellable, cancellable);
}

void tt_sink_set_patience(TtSink *sink, guint milliseconds) { sink->patience_ms = milliseconds; }

void tt_sink_set_on_wait(TtSink *sink, void (*on_wait)(gpointer data, gboolean is_waiting),
                         gpointer data) {
    sink->on_wait = on_wait;
    sink->on_wait_data = data;
}

guint64 tt_sink_get_bytes(const TtSink *sink) { return sink->bytes; }

const GError *tt_sink_get_error(const TtSink *sink) { return sink->failure; }

static gboolean fail(TtSink *sink, GError *failure, GError **error) {
    if (failure != sink->failure) {
        g_clear_error(&sink->failure);
        sink->failure = failure;
    }
    g_propagate_error(error, g_error_copy(failure));
    return FALSE;
}

static gboolean fail_errno(TtSink *sink, int code, GError **error) {
    return fail(sink,
                g_error_new_literal(G_IO_ERROR, g_io_error_from_errno(code), g_strerror(code)),
                error);
}

/* Waits until the reader takes something, or a deadline that noise does not move. */
static gboolean wait_for_reader(TtSink *sink, GError **error) {
    gint64 deadline = g_get_monotonic_time() + (gint64)sink->patience_ms * 1000;
    struct pollfd fds[2] = {{.fd = sink->fd, .events = POLLOUT}, {.fd = -1}};
    GError *cancelled = NULL;
    GPollFD cancel_fd;
    int ready, code;

    if (sink->cancellable && g_cancellable_make_pollfd(sink->cancellable, &cancel_fd)) {
        fds[1].fd = cancel_fd.fd;
        fds[1].events = POLLIN;
    }
    ready = poll(fds, G_N_ELEMENTS(fds), 0);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
        if (sink->on_wait)
            sink->on_wait(sink->on_wait_data, TRUE);
        do {
            gint64 left = deadline - g_get_monotonic_time();

            ready = poll(fds, G_N_ELEMENTS(fds), left > 0 ? (int)((left + 999) / 1000) : 0);
        } while (ready < 0 && errno == EINTR);
        code = errno;
        if (sink->on_wait)
            sink->on_wait(sink->on_wait_data, FALSE);
        errno = code;
    }
    code = errno;
    if (fds[1].fd >= 0)
        g_cancellable_release_fd(sink->cancellable);
    if (ready < 0)
        return fail_errno(sink, code, error);
    if (ready == 0)
        return fail(sink,
                    g_error_new(G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                "its reader took nothing for %.0f seconds",
                                sink->patience_ms / 1000.0),
                    error);
    if (g_cancellable_set_error_if_cancelled(sink->cancellable, &cancelled))
        return fail(sink, cancelled, error);
    return TRUE; /* an error or a hang-up of the descriptor is told by the next write */
}

static gssize write_some(TtSink *sink, const guint8 *bytes, gsize len) {
    switch (sink->kind) {
    case SINK_SOCKET:
        return send(sink->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case SINK_BLOCKING:
        return write(sink->fd, bytes, MIN(len, PIPE_BUF));
    case SINK_FILE:
    case SINK_NONBLOCK:
        break;
    }
    return write(sink->fd, bytes, len);
}

static gboolean write_all(TtSink *sink, const guint8 *bytes, gsize len, GError **error) {
    while (len > 0) {
        GError *cancelled = NULL;
        gssize written;

        if (g_cancellable_set_error_if_cancelled(sink->cancellable, &cancelled))
            return fail(sink, cancelled, error);
        if (sink->kind == SINK_BLOCKING && !wait_for_reader(sink, error))
            return FALSE;
        written = write_some(sink, bytes, len);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                return fail_errno(sink, errno, error);
            if (!wait_for_reader(sink, error))
                return FALSE;
            continue;
        }
        bytes += written;
        len -= (gsize)written;
    }
    return TRUE;
}

gboolean tt_sink_flush(TtSink *sink, GError **error) {
    gsize len = sink->buffered;

    if (sink->failure)
        return fail(sink, sink->failure, error);
    sink->buffered = 0;
    return write_all(sink, sink->buffer, len, error);
}

gboolean tt_sink_write(TtSink *sink, const void *bytes, gsize len, GError **error) {
    if (sink->failure)
        return fail(sink, sink->failure, error);
    sink->bytes += len;
    if (len > BUFFER_BYTES - sink->buffered) {
        if (!tt_sink_flush(sink, error))
            return FALSE;
        if (len >= BUFFER_BYTES)
            return write_all(sink, bytes, len, error);
    }
    memcpy(sink->buffer + sink->buffered, bytes, len);
    sink->buffered += len;
    return TRUE;
}
