/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that more than one command asks. */
#pragma once

#include <gio/gunixfdlist.h>

#include "tools/daemon.h"

G_BEGIN_DECLS

/* What an export is to look like, as it came from the command line. */
typedef struct TtPicture {
    const char *at;   /* the word of an instant; NULL: now */
    const char *view; /* NULL: the daemon's own choice */
    guint top;        /* 0: the same */
    gboolean is_full;
    int from_fd; /* a recording, whose session it is; 0: one that the daemon keeps */
} TtPicture;

/* Whether the daemon draws @picture's view. TT_TOOLS_ERROR_USAGE where not, with those it does. */
gboolean tt_ask_view(TtDaemon *daemon, const TtPicture *picture, GError **error);

/**
 * tt_ask_export:
 * @fd: (transfer none)
 *
 * Has the daemon write one document, however long that takes, as long as it shows that it lives.
 */
gboolean tt_ask_export(TtDaemon *daemon, const char *target, const char *format,
                       const TtPicture *picture, int fd, GError **error);

/* One document to one place: a whole file or none. */
gboolean tt_ask_export_to(TtDaemon *daemon, const char *target, const char *format,
                          const TtPicture *picture, const char *path, GError **error);

/**
 * tt_ask_document:
 * @method: Diff or Who
 * @arguments: (transfer floating): those before the options, a tuple
 * @is_json: or as text, as wide as standard output where that is a terminal
 * @options: (transfer none): initialized; consumed
 * @from_fd: a recording, whose session it is; 0: one that the daemon keeps
 *
 * Has the daemon write one document to standard output, as tt_ask_export() does.
 */
gboolean tt_ask_document(TtDaemon *daemon, const char *method, GVariant *arguments,
                         gboolean is_json, GVariantDict *options, int from_fd, GError **error);

/* Somebody who waits, while a call is under way, for the daemon to send a byte. */
typedef struct TtAskWaiter {
    int fd;
    void (*done)(gpointer data); /* called once: it came, or will not come */
    gpointer data;
} TtAskWaiter;

/**
 * tt_ask_leaks:
 * @arguments: (transfer floating): all of the method's
 * @fds: (transfer none): that @arguments name
 * @waiter: (nullable)
 * @ret_found: (out) (transfer full): what was found, a{st}
 *
 * Has the daemon write one report of leaks, however long that takes.
 */
gboolean tt_ask_leaks(TtDaemon *daemon, GVariant *arguments, GUnixFDList *fds, TtAskWaiter *waiter,
                      GVariant **ret_found, GError **error);

/* How wide a line may be on standard output; 0: as wide as it likes. */
guint tt_ask_get_columns(void);

/**
 * tt_ask_explain:
 * @error: (inout): of a call; becomes one for people
 *
 * What the daemon refuses is TT_TOOLS_ERROR_USAGE or _FAILED, in its own words; a reader that went
 * away G_IO_ERROR_BROKEN_PIPE. Where the versions do not fit both are named.
 *
 * Returns: %FALSE, so that a failed call can return it
 */
gboolean tt_ask_explain(TtDaemon *daemon, GError **error);

G_END_DECLS
