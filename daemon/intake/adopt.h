/* SPDX-License-Identifier: Apache-2.0 */
/* What of a session the service manager keeps, so that its program does not notice when the daemon
 * is started anew: the connection, the process, and the memory of the lanes. Each has a name that
 * says whose it is. What the session was before is in its journal. */
#pragma once

#include "base/manager.h"
#include "intake/process.h"
#include "model/session.h"

G_BEGIN_DECLS

/* Any thread. */
void tt_adopt_store(const guint8 *session_id, int socket_fd, const TtProcess *process,
                    int memory_fd);

/* Memory for more lanes; the first segment is 0. */
void tt_adopt_store_lanes(const guint8 *session_id, guint segment, int memory_fd);

/* The session is over. */
void tt_adopt_forget(const guint8 *session_id, guint segment_count);

G_END_DECLS
