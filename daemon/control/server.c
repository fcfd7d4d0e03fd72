/* SPDX-License-Identifier: Apache-2.0 */
/* From a connect(2) to a GDBusConnection that is known to be of our own user.
 *
 * What makes it hard: before they have said who they are, peers cost something and owe nothing.
 * They are held to a number and a time, the silent ones go before those in the midst of a sentence,
 * and none of them is waited for: the handshake is a value (handshake.h), fed as bytes arrive. A
 * GDBusConnection, with its buffers, is made for those alone that have finished it. */
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixconnection.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "control/handshake.h"
#include "control/methods.h"

#define ACCEPTS_AT_ONCE 16
#define RETRY_MS 100 /* accept after no descriptor was left */

struct TtControl {
    int listen_fd;
    GMainContext *context;
    GSource *acceptor; /* or NULL */
    GSource *retry;    /* in its place while there are no descriptors, or NULL */
    GQueue strangers;  /* of Stranger, the oldest first; owned */
    GQueue callers;    /* of Caller, the oldest first; owned */
    TtMethods *methods;
    char *guid;
    TtLogGate gate;
};

/* A connection that has not yet said who it is. */
typedef struct Stranger {
    TtControl *control;
    GList link;
    int fd;
    GSource *readable;
    GSource *deadline;
    TtHandshake handshake;
} Stranger;

/* One that has. */
typedef struct Caller {
    TtControl *control;
    GList link;
    GDBusConnection *connection; /* owned */
} Caller;

static void start_accepting(TtControl *control);

static void clear_source(GSource **source) {
    if (!*source)
        return;
    g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static GSource *add_source(TtControl *control, GSource *source, GSourceFunc callback,
                           gpointer data) {
    g_source_set_callback(source, callback, data, NULL);
    g_source_attach(source, control->context);
    return source;
}

/* Few lines: a peer must not fill the journal. */
static void complain(TtControl *control, const char *what) {
    guint held_back;

    if (tt_log_gate_pass(&control->gate, &held_back))
        g_warning("control socket: %s (%u lines like this were held back)", what, held_back);
}

/* Closes the connection too, unless that was passed on. */
static void stranger_free(Stranger *stranger) {
    g_queue_unlink(&stranger->control->strangers, &stranger->link);
    clear_source(&stranger->readable);
    clear_source(&stranger->deadline);
    if (stranger->fd >= 0)
        close(stranger->fd);
    g_free(stranger);
}

static void caller_free(Caller *caller) {
    TtControl *control = caller->control;

    g_queue_unlink(&control->callers, &caller->link);
    g_signal_handlers_disconnect_by_data(caller->connection, caller);
    tt_methods_leave(control->methods, caller->connection);
    g_dbus_connection_close(caller->connection, NULL, NULL, NULL);
    g_object_unref(caller->connection);
    g_free(caller);
}

static void on_closed(GDBusConnection *connection, gboolean by_peer, GError *error, gpointer data) {
    (void)connection;
    (void)by_peer;
    (void)error;
    caller_free(data);
}

/* Room for one more, at the cost of the oldest that waits for no answer. */
static gboolean make_room(TtControl *control) {
    if (control->callers.length < TT_CONTROL_CALLERS_MAX)
        return TRUE;
    for (GList *link = control->callers.head; link; link = link->next) {
        Caller *caller = link->data;

        if (!tt_methods_is_busy(control->methods, caller->connection)) {
            caller_free(caller);
            return TRUE;
        }
    }
    complain(control, "all connections are busy: a caller is refused");
    return FALSE;
}

static GDBusConnection *connection_new(int fd, GError **error) {
    g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, error);
    g_autoptr(GSocketConnection) stream = NULL;

    if (!socket) {
        close(fd);
        return NULL;
    }
    stream = g_socket_connection_factory_create_connection(socket);
    /* Without a handshake left to do this does not wait for the peer. */
    return g_dbus_connection_new_sync(G_IO_STREAM(stream), NULL,
                                      G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING, NULL, NULL,
                                      error);
}

static void welcome(TtControl *control, int fd) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GDBusConnection) connection = NULL;
    Caller *caller;

    if (!make_room(control)) {
        close(fd);
        return;
    }
    connection = connection_new(fd, &error);
    if (!connection || !tt_methods_serve(control->methods, connection, &error)) {
        complain(control, error->message);
        return;
    }
    caller = g_new0(Caller, 1);
    caller->control = control;
    caller->link.data = caller;
    caller->connection = g_steal_pointer(&connection);
    g_queue_push_tail_link(&control->callers, &caller->link);
    g_signal_connect(caller->connection, "closed", G_CALLBACK(on_closed), caller);
    g_dbus_connection_start_message_processing(caller->connection);
}

/* Reads a line, no further: what follows the last one is GDBus's. */
static TtHandshakeStep read_line(Stranger *stranger) {
    g_autoptr(GString) reply = g_string_new(NULL);
    char bytes[TT_HANDSHAKE_LINE_MAX];
    TtHandshakeStep step;
    gsize consumed;
    gssize len = recv(stranger->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return TT_HANDSHAKE_MORE;
    if (len <= 0)
        return TT_HANDSHAKE_REFUSED;
    step = tt_handshake_feed(&stranger->handshake, bytes, (gsize)len, &consumed,
                             stranger->control->guid, reply);
    /* Descriptors that came along are nobody's: the kernel closes them. */
    if (consumed > 0 && recv(stranger->fd, bytes, consumed, MSG_DONTWAIT) != (gssize)consumed)
        return TT_HANDSHAKE_REFUSED;
    /* An answer that does not fit belongs to a peer that has not read the earlier ones. */
    if (reply->len > 0 && send(stranger->fd, reply->str, reply->len, MSG_DONTWAIT | MSG_NOSIGNAL) !=
                              (gssize)reply->len)
        return TT_HANDSHAKE_REFUSED;
    return step;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data) {
    Stranger *stranger = data;
    TtControl *control = stranger->control;

    (void)condition;
    switch (read_line(stranger)) {
    case TT_HANDSHAKE_MORE:
        break;
    case TT_HANDSHAKE_DONE:
        stranger->fd = -1;
        stranger_free(stranger);
        welcome(control, fd);
        break;
    case TT_HANDSHAKE_REFUSED:
        stranger_free(stranger);
        break;
    }
    /* Its source is destroyed where the stranger is gone. */
    return G_SOURCE_CONTINUE;
}

static gboolean on_deadline(gpointer data) {
    stranger_free(data);
    return G_SOURCE_REMOVE;
}

/* The oldest that has said nothing; where all have, the oldest. */
static void drop_one(TtControl *control) {
    for (GList *link = control->strangers.head; link; link = link->next) {
        Stranger *stranger = link->data;

        if (stranger->handshake.expect == TT_EXPECT_NUL) {
            stranger_free(stranger);
            return;
        }
    }
    if (control->strangers.head)
        stranger_free(control->strangers.head->data);
}

static void take_stranger(TtControl *control, int fd) {
    struct ucred credentials;
    socklen_t len = sizeof credentials;
    Stranger *stranger;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0 ||
        credentials.uid != geteuid()) {
        complain(control, "a process of another user was refused");
        close(fd);
        return;
    }
    if (control->strangers.length >= TT_CONTROL_HANDSHAKES_MAX)
        drop_one(control);
    stranger = g_new0(Stranger, 1);
    stranger->control = control;
    stranger->link.data = stranger;
    stranger->fd = fd;
    tt_handshake_init(&stranger->handshake, credentials.uid);
    g_queue_push_tail_link(&control->strangers, &stranger->link);
    stranger->readable = add_source(control, g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP),
                                    G_SOURCE_FUNC(on_readable), stranger);
    stranger->deadline =
        add_source(control, g_timeout_source_new(TT_CONTROL_HANDSHAKE_MS), on_deadline, stranger);
}

static gboolean on_retry(gpointer data) {
    TtControl *control = data;

    clear_source(&control->retry);
    start_accepting(control);
    return G_SOURCE_REMOVE;
}

/* Descriptors are out. A stranger's may serve; else a moment's rest, for the listening socket stays
 * readable and the loop would spin. */
static void on_exhaustion(TtControl *control) {
    complain(control, "no descriptor is left for a caller");
    if (control->strangers.length > 0) {
        drop_one(control);
        return;
    }
    clear_source(&control->acceptor);
    control->retry = add_source(control, g_timeout_source_new(RETRY_MS), on_retry, control);
}

static gboolean on_connection(gint listen_fd, GIOCondition condition, gpointer data) {
    TtControl *control = data;

    (void)condition;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            take_stranger(control, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            on_exhaustion(control);
        if (errno != EINTR && errno != ECONNABORTED)
            break;
    }
    return G_SOURCE_CONTINUE;
}

static void start_accepting(TtControl *control) {
    GSource *source = g_unix_fd_source_new(control->listen_fd, G_IO_IN);

    /* After those that are already here, so that a flood of new ones does not starve them. */
    g_source_set_priority(source, G_PRIORITY_DEFAULT + 10);
    control->acceptor = add_source(control, source, G_SOURCE_FUNC(on_connection), control);
}

/* Where the socket is; NULL for one without a path. */
static char *find_socket_dir(int listen_fd) {
    struct sockaddr_un name = {0};
    socklen_t len = sizeof name - 1; /* so that a path of full length is terminated */

    if (getsockname(listen_fd, (struct sockaddr *)&name, &len) < 0 || !name.sun_path[0])
        return NULL;
    return g_path_get_dirname(name.sun_path);
}

static gboolean is_listening_stream(int fd) {
    int type = 0, is_listening = 0, domain = 0;
    socklen_t len = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) == 0 && is_listening;
}

TtControl *tt_control_new(int listen_fd, TtIntake *intake, TtExporter *exporter, GError **error) {
    TtControl *control;

    if (!is_listening_stream(listen_fd) || !g_unix_set_fd_nonblocking(listen_fd, TRUE, NULL)) {
        close(listen_fd);
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                            "The control socket is not a listening Unix stream socket");
        return NULL;
    }
    g_autofree char *dir = find_socket_dir(listen_fd);
    control = g_new0(TtControl, 1);
    control->listen_fd = listen_fd;
    control->context = g_main_context_ref_thread_default();
    control->guid = g_dbus_generate_guid();
    control->methods = tt_methods_new(intake, exporter, dir);
    start_accepting(control);
    return control;
}

void tt_control_free(TtControl *control) {
    if (!control)
        return;
    clear_source(&control->acceptor);
    clear_source(&control->retry);
    close(control->listen_fd);
    while (control->strangers.head)
        stranger_free(control->strangers.head->data);
    while (control->callers.head)
        caller_free(control->callers.head->data);
    tt_methods_free(control->methods);
    g_main_context_unref(control->context);
    g_free(control->guid);
    g_free(control);
}
