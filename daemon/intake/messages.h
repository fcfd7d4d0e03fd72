/* SPDX-License-Identifier: Apache-2.0 */
/* Whole messages in and out of an events socket. Nothing here blocks. Any thread. */
#pragma once

#include <glib.h>

#include "protocol/records.h"

G_BEGIN_DECLS

/* Reads one message.
 *
 * @buffer  TT_MESSAGE_MAX bytes are the longest that may come
 * @ret_fd  set to a descriptor that came with it, or -1; NULL: none may come
 *
 * Returns its length; 0: nothing more will come (or it was empty, which is no message either);
 * -EAGAIN: nothing now; -EBADMSG: too long, or with descriptors that nobody asked for (which are
 * closed); another negative errno: the socket is broken. */
gssize tt_message_receive(int socket_fd, guint8 *buffer, gsize room, int *ret_fd);

/* Checks a message's head. Returns NULL and sets @ret_records to what follows it; or, (transfer
 * full), a sentence for the peer: why it is refused. */
char *tt_message_open(const guint8 *message, gsize len, TtCursor *ret_records);

/* Each sends one record. A peer that does not read loses it: nobody waits for a peer. */
void tt_message_send_refused(int socket_fd, const char *reason);
void tt_message_send_export_done(int socket_fd, int error, const char *text);

/* Sends LANES with @memory_fd, which stays the caller's. Returns 0, or a negative errno. */
int tt_message_send_lanes(int socket_fd, const TtRecordLanes *lanes, int memory_fd);

G_END_DECLS
