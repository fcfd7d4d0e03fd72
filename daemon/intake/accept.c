/* SPDX-License-Identifier: Apache-2.0 */
/* The door to the street. Anybody of the same user may knock, as often as he likes, and say
 * nothing: silent ones are bounded in number and in time, the oldest go first, and a real program
 * is served in the moment in which it is accepted, for its hello is there by then. */
#include "intake/accept.h"

#include <errno.h>
#include <glib-unix.h>
#include <unistd.h>

#include "base/log.h"
#include "intake/messages.h"

#define SILENT_MAX 1024u
#define SILENT_US (2 * G_USEC_PER_SEC)
#define ACCEPTS_AT_ONCE 256
#define RETRY_MS 100u /* when there are no descriptors left: rest, do not spin */

/* A peer who has not spoken yet. */
typedef struct Peer {
    TtAccept *accept;
    GList link; /* in accept->silent */
    int fd;
    struct ucred credentials;
    gint64 deadline_us;
    GSource *source;
} Peer;

struct TtAccept {
    int listen_fd;
    TtServeCaller serve;
    gpointer data;
    GMainContext *context;
    GSource *listen_source, *retry_source, *deadline_source;
    GQueue silent; /* of Peer, oldest first */
    TtLogGate refused_gate, failed_gate;
    guint8 message[TT_MESSAGE_MAX];
};

static void start_listening(TtAccept *accept);

static void drop_source(GSource **source) {
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static GSource *add_source(TtAccept *accept, GSource *source, GSourceFunc call, gpointer data) {
    g_source_set_callback(source, call, data, NULL);
    g_source_attach(source, accept->context);
    return source;
}

static void free_peer(Peer *peer) {
    g_queue_unlink(&peer->accept->silent, &peer->link);
    drop_source(&peer->source);
    if (peer->fd >= 0)
        close(peer->fd);
    g_free(peer);
}

static void refuse(TtAccept *accept, int fd, const struct ucred *credentials, const char *reason) {
    guint held_back;

    tt_message_send_refused(fd, reason);
    if (!tt_log_gate_pass(&accept->refused_gate, &held_back))
        return;
    if (held_back > 0)
        g_message("refused process %d (and %u before it): %s", credentials->pid, held_back, reason);
    else
        g_message("refused process %d: %s", credentials->pid, reason);
}

/* Reads the first message if it is there. Returns FALSE where the peer may still speak. */
static gboolean hear(TtAccept *accept, int *fd, const struct ucred *credentials) {
    TtCaller caller = {.socket_fd = *fd, .credentials = *credentials};
    g_autofree char *refusal = NULL;
    gssize len =
        tt_message_receive(*fd, accept->message, sizeof accept->message, &caller.passed_fd);

    if (len == -EAGAIN)
        return FALSE;
    if (len == -EBADMSG) {
        refusal = g_strdup("The first message is too long, or brought what nobody asked for");
    } else if (len > 0) {
        refusal = tt_message_open(accept->message, (gsize)len, &caller.records);
        if (!refusal)
            refusal = accept->serve(accept->data, &caller);
        if (!refusal)
            *fd = -1;
    }
    if (refusal)
        refuse(accept, *fd, credentials, refusal);
    if (caller.passed_fd >= 0)
        close(caller.passed_fd);
    return TRUE;
}

static gboolean on_peer(int fd, GIOCondition condition, gpointer data) {
    Peer *peer = data;

    (void)fd;
    (void)condition;
    if (!hear(peer->accept, &peer->fd, &peer->credentials))
        return G_SOURCE_CONTINUE;
    free_peer(peer);
    return G_SOURCE_REMOVE;
}

static gboolean on_deadline(gpointer data) {
    TtAccept *accept = data;
    Peer *peer;

    while ((peer = g_queue_peek_head(&accept->silent)) &&
           peer->deadline_us <= g_get_monotonic_time())
        free_peer(peer);
    drop_source(&accept->deadline_source);
    if (peer) {
        gint64 left_us = peer->deadline_us - g_get_monotonic_time();

        accept->deadline_source = add_source(
            accept, g_timeout_source_new((guint)(MAX(left_us, 0) / 1000 + 1)), on_deadline, accept);
    }
    return G_SOURCE_REMOVE;
}

static void keep_silent(TtAccept *accept, int fd, const struct ucred *credentials) {
    Peer *peer = g_new0(Peer, 1);

    if (accept->silent.length >= SILENT_MAX)
        free_peer(g_queue_peek_head(&accept->silent));
    peer->accept = accept;
    peer->fd = fd;
    peer->credentials = *credentials;
    peer->deadline_us = g_get_monotonic_time() + SILENT_US;
    peer->link.data = peer;
    g_queue_push_tail_link(&accept->silent, &peer->link);
    peer->source =
        add_source(accept, g_unix_fd_source_new(fd, G_IO_IN), G_SOURCE_FUNC(on_peer), peer);
    if (!accept->deadline_source)
        on_deadline(accept);
}

static void welcome(TtAccept *accept, int fd) {
    struct ucred credentials;
    socklen_t len = sizeof credentials;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0) {
        close(fd);
    } else if (credentials.uid != geteuid()) {
        refuse(accept, fd, &credentials, "The daemon serves the processes of its own user alone");
        close(fd);
    } else if (!hear(accept, &fd, &credentials)) {
        keep_silent(accept, fd, &credentials);
    } else if (fd >= 0) {
        close(fd);
    }
}

static gboolean on_retry(gpointer data) {
    TtAccept *accept = data;

    drop_source(&accept->retry_source);
    start_listening(accept);
    return G_SOURCE_REMOVE;
}

/* No descriptor or no memory: the silent ones give theirs, and we rest. */
static void rest(TtAccept *accept, int error) {
    guint held_back;

    if (tt_log_gate_pass(&accept->failed_gate, &held_back))
        g_warning("cannot accept a program for now (%s): too many are traced, or its limit of "
                  "descriptors is low",
                  g_strerror(error));
    for (guint i = accept->silent.length / 2; i > 0; i--)
        free_peer(g_queue_peek_head(&accept->silent));
    drop_source(&accept->listen_source);
    if (!accept->retry_source)
        accept->retry_source = add_source(accept, g_timeout_source_new(RETRY_MS), on_retry, accept);
}

void tt_accept_poll(TtAccept *accept) {
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept4(accept->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            welcome(accept, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rest(accept, errno);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static gboolean on_connect(int fd, GIOCondition condition, gpointer data) {
    (void)fd;
    (void)condition;
    tt_accept_poll(data);
    return G_SOURCE_CONTINUE;
}

static void start_listening(TtAccept *accept) {
    accept->listen_source = add_source(accept, g_unix_fd_source_new(accept->listen_fd, G_IO_IN),
                                       G_SOURCE_FUNC(on_connect), accept);
}

TtAccept *tt_accept_new(int listen_fd, TtServeCaller serve, gpointer data) {
    TtAccept *accept = g_new0(TtAccept, 1);

    accept->listen_fd = listen_fd;
    accept->serve = serve;
    accept->data = data;
    accept->context = g_main_context_ref_thread_default();
    g_queue_init(&accept->silent);
    g_unix_set_fd_nonblocking(listen_fd, TRUE, NULL);
    start_listening(accept);
    return accept;
}

void tt_accept_free(TtAccept *accept) {
    if (!accept)
        return;
    while (accept->silent.length > 0)
        free_peer(g_queue_peek_head(&accept->silent));
    drop_source(&accept->listen_source);
    drop_source(&accept->retry_source);
    drop_source(&accept->deadline_source);
    g_main_context_unref(accept->context);
    g_free(accept);
}
