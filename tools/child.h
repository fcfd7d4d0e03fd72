/* SPDX-License-Identifier: Apache-2.0 */
/* A program started as a shell would start it: same terminal, process group, signals, descriptors.
 */
#pragma once

#include <glib.h>
#include <signal.h>

#include "tools/watch.h"

G_BEGIN_DECLS

/* What our own program found when it was started, before any library changed it. */
typedef struct TtChildStart {
    sigset_t mask;
    struct sigaction actions[NSIG];
    gboolean was_closed[3]; /* standard descriptors; they hold /dev/null for ourselves */
} TtChildStart;

/* First thing in main. Fills closed standard descriptors, so that no file of ours becomes one. */
void tt_child_read_start(TtChildStart *ret_start);

/**
 * tt_child_spawn:
 * @path: what is executed; a file that the kernel does not know is given to /bin/sh
 * @argv: its words, from its name on
 *
 * @ret_watch: (nullable): it is watched, from before its first instruction on. Set wherever a
 *   process was made
 *
 * From here on SIGINT and SIGQUIT, which the terminal sends to us both, are CMD's alone.
 *
 * Returns: its pid, or 0 with @ret_errno set: it was not executed
 */
gint tt_child_spawn(const TtChildStart *start, const char *path, char **argv, char **environment,
                    TtWatch **ret_watch, int *ret_errno);

/* Waits for its end; ours are as before then. @watch: of tt_child_spawn(), or %NULL. Returns: as
 * from wait(2). */
gint tt_child_wait(gint pid, TtWatch *watch);

/* As a shell says it: the exit status, or 128 + the signal. */
int tt_child_status(gint wait_status);

G_END_DECLS
