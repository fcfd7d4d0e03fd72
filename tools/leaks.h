/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of leaks: what leaks and run share. */
#pragma once

#include "tools/args.h"
#include "tools/daemon.h"
#include "tools/watch.h"

G_BEGIN_DECLS

/* What was asked for. Zeroed: nothing. */
typedef struct TtLeaks {
    const char *json; /* where JSON goes; NULL: text */
    const char *path; /* where text goes; NULL: standard output */
    const char *shows_word, *suppressions_path, *fail_on_word, *top_word; /* as they were given */
    /* Made of those by tt_leaks_read(). */
    char *suppressions; /* a file's text, or NULL */
    guint shows, fails_on;
    guint top;
} TtLeaks;

/* The options that both commands have, for tt_args_parse(); borrows @leaks. */
#define TT_LEAKS_OPTIONS(leaks)                                                                    \
    {"show", TT_OPTION_REQUIRED, &(leaks)->shows_word},                                            \
        {"suppressions", TT_OPTION_REQUIRED, &(leaks)->suppressions_path}, {                       \
        "fail-on", TT_OPTION_REQUIRED, &(leaks)->fail_on_word                                      \
    }

/* Understands the options, and reads the file. TT_TOOLS_ERROR_USAGE, _FAILED. */
gboolean tt_leaks_read(TtLeaks *leaks, GError **error);
void tt_leaks_clear(TtLeaks *leaks);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TtLeaks, tt_leaks_clear)

/**
 * tt_leaks_write_ended:
 * @session: of a process that has ended
 * @watch: who has watched it
 * @ret_holds: (out): whether none was found of what --fail-on names
 *
 * Writes the report, with classes where the watch has the memory.
 */
gboolean tt_leaks_write_ended(const TtLeaks *leaks, TtDaemon *daemon, const char *session,
                              TtWatch *watch, gboolean *ret_holds, GError **error);

G_END_DECLS
