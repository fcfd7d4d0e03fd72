/* SPDX-License-Identifier: Apache-2.0 */
/* The door of this room: D-Bus, peer to peer, on a socket of our own. Same user only. What can be
 * asked stands in protocol/trace-tools.xml. */
#pragma once

#include "control/export.h"
#include "intake/intake.h"

G_BEGIN_DECLS

#define TT_CONTROL_OBJECT "/org/tracetools/Daemon"

/* Connections that have not yet said who they are; past it the oldest is dropped. */
#define TT_CONTROL_HANDSHAKES_MAX 64
/* What such a one has time for. */
#define TT_CONTROL_HANDSHAKE_MS 2000
/* Connections that have; past it the oldest that waits for no answer is dropped. */
#define TT_CONTROL_CALLERS_MAX 256

typedef struct TtControl TtControl;

/**
 * tt_control_new:
 * @listen_fd: (transfer full): a listening AF_UNIX SOCK_STREAM socket
 * @intake: (transfer none): outlives it
 * @exporter: (transfer none): outlives it
 * @error: G_IO_ERROR
 *
 * Serves on the thread-default main context of the caller, and never blocks it on a peer.
 *
 * Returns: (transfer full): %NULL with @error set where @listen_fd is no such socket
 */
TtControl *tt_control_new(int listen_fd, TtIntake *intake, TtExporter *exporter, GError **error);

/* Closes every connection, which cancels what was asked through it. */
void tt_control_free(TtControl *control);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtControl, tt_control_free)

G_END_DECLS
