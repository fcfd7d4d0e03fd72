/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl record. */
#include <signal.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/recording.h"

static const char help[] =
    "Usage: tt-ctl record F\n"
    "\n"
    "Records into file F each session of the running tt-daemon that begins from now on, until it "
    "is\n"
    "stopped by Ctrl-C or SIGTERM; tt-ctl export --from=F reads it. What runs already is not in\n"
    "it: start the program afterwards. tt-ctl run --record=F records one program.\n";

/* Waits for a signal to stop, or for the daemon's end. FALSE: the latter. */
static gboolean wait_for_stop(TtDaemon *daemon, const sigset_t *signals) {
    GDBusConnection *connection = g_dbus_proxy_get_connection(G_DBUS_PROXY(daemon->proxy));
    const struct timespec moment = {.tv_nsec = 200000000};

    while (!g_dbus_connection_is_closed(connection))
        if (sigtimedwait(signals, NULL, &moment) > 0)
            return TRUE;
    return FALSE;
}

static gboolean record(const char *path, const sigset_t *signals, GError **error) {
    g_autoptr(TtDaemon) daemon = tt_daemon_open(error);
    g_autoptr(TtRecordingFile) file = NULL;

    if (!daemon || !tt_recording_file_check(path, error))
        return FALSE;
    file = tt_recording_file_open(path, error);
    if (!file || !tt_recording_file_start(file, daemon, FALSE, error))
        return FALSE;
    tt_say("Records into %s until Ctrl-C", path);
    if (wait_for_stop(daemon, signals))
        return tt_recording_file_stop(file, daemon, error);
    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                "tt-daemon in %s ended; %s holds what came before that", daemon->socket_dir, path);
    return FALSE;
}

int tt_command_record(char **argv, const TtChildStart *start) {
    const char *wants_help = NULL;
    const TtOption options[] = {{"help", TT_OPTION_FLAG, &wants_help}, {0}};
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    g_autoptr(GError) error = NULL;
    sigset_t signals;

    (void)start;
    if (!tt_args_parse(argv, options, FALSE, words, &error))
        return tt_say_error(error);
    if (wants_help)
        return tt_command_print(help);
    if (!words[0] || words[1]) {
        tt_say("record takes one file: see tt-ctl record --help");
        return TT_STATUS_USAGE;
    }
    /* Before GDBus has threads, which would take them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return record(words[0], &signals, &error) ? TT_STATUS_GOOD : tt_say_error(error);
}
