/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl mark. */
#include "tools/command.h"

static const char help[] =
    "Usage: tt-ctl mark NAME [TARGET]\n"
    "\n"
    "Names this instant of a session and keeps its state, for tt-ctl export --at=NAME and tt-ctl\n"
    "diff. TARGET as for tt-ctl export.\n";

int tt_command_mark(char **argv, const TtChildStart *start) {
    const char *wants_help = NULL;
    const TtOption options[] = {{"help", TT_OPTION_FLAG, &wants_help}, {0}};
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    g_autoptr(TtDaemon) daemon = NULL;
    g_autofree char *name = NULL;
    g_autofree char *target = NULL;
    g_autoptr(GError) error = NULL;

    (void)start;
    if (!tt_args_parse(argv, options, FALSE, words, &error))
        return tt_say_error(error);
    if (wants_help)
        return tt_command_print(help);
    if (!words[0] || (words[1] && words[2])) {
        tt_say("mark takes a NAME, and a TARGET where there are several sessions: see tt-ctl mark "
               "--help");
        return TT_STATUS_USAGE;
    }
    daemon = tt_daemon_open(&error);
    if (!daemon)
        return tt_say_error(error);
    name = tt_args_to_text(words[0]);
    target = tt_args_to_text(words[1] ? words[1] : "");
    if (tt_daemon1_call_mark_sync(daemon->proxy, target, name, NULL, &error))
        return TT_STATUS_GOOD;
    tt_ask_explain(daemon, &error);
    return tt_say_error(error);
}
