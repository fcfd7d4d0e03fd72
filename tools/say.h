/* SPDX-License-Identifier: Apache-2.0 */
/* What tt-ctl says on stderr, and the status that goes with it. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum TtStatus {
    TT_STATUS_GOOD = 0,
    TT_STATUS_FAILED = 1,
    TT_STATUS_USAGE = 2,        /* bad usage, or no such target */
    TT_STATUS_ASSERTION = 3,    /* an assertion did not hold */
    TT_STATUS_RUN_FAILED = 125, /* run: failed itself, or CMD cannot be traced */
    TT_STATUS_NOT_EXECUTABLE = 126,
    TT_STATUS_NOT_FOUND = 127,
} TtStatus;

#define TT_TOOLS_ERROR (tt_tools_error_quark())
GQuark tt_tools_error_quark(void);

typedef enum TtToolsError {
    TT_TOOLS_ERROR_FAILED,
    TT_TOOLS_ERROR_USAGE,
    TT_TOOLS_ERROR_NO_DAEMON,
} TtToolsError;

/* One line "tt-ctl: …". Control characters of foreign text are shown escaped, so that they do
 * nothing to the terminal. */
void tt_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Says an error (the daemon's after tt_ask_explain()) and returns its status. That nobody reads any
 * more is known to whoever went away: nothing is said of it. */
TtStatus tt_say_error(const GError *error);

/* Returns: (transfer full): @text, in which newlines stay and other controls are \xNN. */
char *tt_say_escape(const char *text);

G_END_DECLS
