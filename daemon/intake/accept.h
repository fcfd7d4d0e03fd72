/* SPDX-License-Identifier: Apache-2.0 */
/* Peers until they have said what they want: accepted without waiting for any of them, and given
 * two seconds for their first message. */
#pragma once

#include <glib.h>
#include <sys/socket.h>

#include "protocol/records.h"

G_BEGIN_DECLS

typedef struct TtAccept TtAccept;

/* A peer with its first message. */
typedef struct TtCaller {
    int socket_fd; /* taken by who serves it */
    int passed_fd; /* came with the message, or -1; set to -1 by who takes it */
    struct ucred credentials;
    TtCursor records; /* borrowed; not trusted */
} TtCaller;

/* Returns: (transfer full) (nullable): %NULL: the caller is served, its socket was taken; or a
 * sentence: why it is refused. */
typedef char *(*TtServeCaller)(gpointer data, TtCaller *caller);

/* @listen_fd is borrowed. On the thread-default main context, as all here. */
TtAccept *tt_accept_new(int listen_fd, TtServeCaller serve, gpointer data);
void tt_accept_free(TtAccept *accept);

/* Serves who has already called, before the main loop comes to it. */
void tt_accept_poll(TtAccept *accept);

G_END_DECLS
