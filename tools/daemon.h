/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon that answers: found, or started for the time of one command. */
#pragma once

#include "trace-tools-dbus.h"

G_BEGIN_DECLS

/* For all that a daemon in good health answers at once. A stopped one costs a command no more than
 * one of the first and one of the second. */
#define TT_DAEMON_CONNECT_MS 2500
#define TT_DAEMON_CALL_MS 2000

typedef struct TtDaemon {
    TtDaemon1 *proxy;
    char *socket_dir;
    gint pid;      /* one of our own: its process; else 0 */
    char *own_dir; /* and its folder */
} TtDaemon;

/**
 * tt_daemon_find_dir:
 * @error: TT_TOOLS_ERROR_USAGE: TT_SOCKET_DIR is no such thing
 *
 * Returns: (transfer full): where the daemon's sockets are to be, by the environment
 */
char *tt_daemon_find_dir(GError **error);

/**
 * tt_daemon_open:
 * @error: TT_TOOLS_ERROR_NO_DAEMON, with how to start one; or as tt_daemon_find_dir()
 *
 * Connects to the running daemon, of our own user only, within TT_DAEMON_CONNECT_MS.
 */
TtDaemon *tt_daemon_open(GError **error);

/**
 * tt_daemon_start:
 *
 * Starts one in a private folder. It ends when we do, however we do.
 */
TtDaemon *tt_daemon_start(GError **error);

/* Connects again where the connection broke. */
gboolean tt_daemon_reopen(TtDaemon *daemon, GError **error);

/* Ends the daemon too where it is our own. */
void tt_daemon_free(TtDaemon *daemon);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtDaemon, tt_daemon_free)

/* A private folder with a short path, for sockets and links: registered with tt_leave_add(). */
char *tt_daemon_make_dir(GError **error);

/* Removes such a folder and what is in it. */
void tt_daemon_remove_dir(const char *dir);

G_END_DECLS
