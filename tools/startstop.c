/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl start, tt-ctl stop. */
#include "tools/command.h"

static const char start_help[] =
    "Usage: tt-ctl start TARGET\n"
    "\n"
    "Wakes a session that was started dormant (TT_ENABLE=0) or was stopped. TARGET as for\n"
    "tt-ctl export.\n";

static const char stop_help[] =
    "Usage: tt-ctl stop TARGET\n"
    "\n"
    "Puts a session to sleep: its program runs on unrecorded until tt-ctl start. TARGET as for\n"
    "tt-ctl export.\n";

static int set_recording(char **argv, gboolean is_start) {
    const char *wants_help = NULL;
    const TtOption options[] = {{"help", TT_OPTION_FLAG, &wants_help}, {0}};
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    g_autoptr(TtDaemon) daemon = NULL;
    g_autofree char *target = NULL;
    g_autoptr(GError) error = NULL;

    if (!tt_args_parse(argv, options, FALSE, words, &error))
        return tt_say_error(error);
    if (wants_help)
        return tt_command_print(is_start ? start_help : stop_help);
    if (!words[0] || words[1]) {
        tt_say("%s takes one TARGET: see tt-ctl %s --help", is_start ? "start" : "stop",
               is_start ? "start" : "stop");
        return TT_STATUS_USAGE;
    }
    daemon = tt_daemon_open(&error);
    if (!daemon)
        return tt_say_error(error);
    target = tt_args_to_text(words[0]);
    if (is_start ? tt_daemon1_call_start_sync(daemon->proxy, target, NULL, &error)
                 : tt_daemon1_call_stop_sync(daemon->proxy, target, NULL, &error))
        return TT_STATUS_GOOD;
    tt_ask_explain(daemon, &error);
    return tt_say_error(error);
}

int tt_command_start(char **argv, const TtChildStart *start) {
    (void)start;
    return set_recording(argv, TRUE);
}

int tt_command_stop(char **argv, const TtChildStart *start) {
    (void)start;
    return set_recording(argv, FALSE);
}
