/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl export. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/output.h"
#include "tools/recording.h"

static const char help[] =
    "Usage: tt-ctl export [TARGET] [--json[=F]] [--svg[=F]] [--view=V] [--top=N]\n"
    "                     [--at=AT] [--full] [--from=RECORDING]\n"
    "\n"
    "Writes the state of a session, running or ended. TARGET is a pid, a session id or the "
    "beginning\n"
    "of one, or a program's name; it can be left out where there is one session only.\n"
    "\n"
    "  --json[=F]  as JSON, to F or standard output\n"
    "  --svg[=F]   as a picture, to F or standard output\n"
    "  --view=V    which picture: overview, top, lifecycles\n"
    "  --top=N     how many entries a ranking shows\n"
    "  --at=AT     the state at an instant: now (which is shown without it), start, peak, a "
    "mark's\n"
    "              name, or a time in the session (1.5s, 250ms; ns, us, ms, s, m, h)\n"
    "  --full      JSON with every address of every stack in every block\n"
    "  --from=F    a session of recording F (tt-ctl run --record=F) rather than of the daemon\n";

int tt_command_print(const char *text) {
    gsize len = strlen(text);

    if (fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0)
        return TT_STATUS_GOOD;
    if (errno != EPIPE)
        tt_say("Cannot write standard output: %s", g_strerror(errno));
    return TT_STATUS_FAILED;
}

gboolean tt_command_read_picture(const char *view, const char *top, const char *at,
                                 TtPicture *ret_picture, GError **error) {
    guint64 count = 0;

    if (at && !*at)
        return g_set_error_literal(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE,
                                   "--at= names no instant: give now, start, peak, a time like "
                                   "1.5s, or a mark's name"),
               FALSE;
    if (top && !g_ascii_string_to_unsigned(top, 10, 1, 100000, &count, NULL))
        return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE,
                           "--top=%s is not a number from 1 to 100000", top),
               FALSE;
    ret_picture->at = at;
    ret_picture->view = view;
    ret_picture->top = (guint)count;
    return TRUE;
}

typedef struct Asked {
    const char *json, *svg, *view, *top, *at, *full, *from, *help;
} Asked;

/* What is wrong with it on its face. */
static gboolean check(const Asked *asked, const char **words, GError **error) {
    const char *why = NULL;

    if (*words && words[1])
        why = "export takes one TARGET: see tt-ctl export --help";
    else if (!asked->json && !asked->svg)
        why = "Say what to export: --json, --svg or both";
    else if (asked->json && asked->svg && tt_output_is_same(asked->json, asked->svg))
        why = "JSON and SVG cannot go to the same place: give one of them a file of its own";
    if (why)
        g_set_error_literal(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE, why);
    return !why;
}

static gboolean write_documents(TtDaemon *daemon, const Asked *asked, const TtPicture *picture,
                                const char *target, GError **error) {
    return (!asked->json ||
            tt_ask_export_to(daemon, target, "json", picture, asked->json, error)) &&
           (!asked->svg || tt_ask_export_to(daemon, target, "svg", picture, asked->svg, error));
}

/* Which session it is: two documents are of one, and a wrong target touches no file. */
static char *resolve(TtDaemon *daemon, const char *target, GError **error) {
    char *session = NULL;
    g_autofree char *name = NULL;
    gint pid;

    if (!tt_daemon1_call_resolve_sync(daemon->proxy, target, &session, &pid, &name, NULL, error))
        tt_ask_explain(daemon, error);
    return session;
}

static gboolean export(const Asked *asked, TtPicture *picture, const char *target, GError **error) {
    g_auto(TtSource) source = {0};
    g_autofree char *session = NULL;

    if (!tt_source_open(asked->from, &source, error) || !tt_ask_view(source.daemon, picture, error))
        return FALSE;
    picture->from_fd = source.from_fd;
    /* A recording does not change. */
    session = asked->from ? g_strdup(target) : resolve(source.daemon, target, error);
    return session && write_documents(source.daemon, asked, picture, session, error);
}

int tt_command_export(char **argv, const TtChildStart *start) {
    Asked asked = {0};
    const TtOption options[] = {
        {"json", TT_OPTION_OPTIONAL, &asked.json},
        {"svg", TT_OPTION_OPTIONAL, &asked.svg},
        {"view", TT_OPTION_REQUIRED, &asked.view},
        {"top", TT_OPTION_REQUIRED, &asked.top},
        {"at", TT_OPTION_REQUIRED, &asked.at},
        {"full", TT_OPTION_FLAG, &asked.full},
        {"from", TT_OPTION_REQUIRED, &asked.from},
        {"help", TT_OPTION_FLAG, &asked.help},
        {0},
    };
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    g_autofree char *target = NULL;
    g_autofree char *view = NULL;
    g_autofree char *at = NULL;
    g_autoptr(GError) error = NULL;
    TtPicture picture = {0};

    (void)start;
    if (!tt_args_parse(argv, options, FALSE, words, &error))
        return tt_say_error(error);
    if (asked.help)
        return tt_command_print(help);
    target = tt_args_to_text(*words ? *words : "");
    view = asked.view ? tt_args_to_text(asked.view) : NULL;
    at = asked.at ? tt_args_to_text(asked.at) : NULL;
    picture.is_full = asked.full != NULL;
    if (!check(&asked, words, &error) ||
        !tt_command_read_picture(view, asked.top, at, &picture, &error) ||
        !export(&asked, &picture, target, &error))
        return tt_say_error(error);
    return TT_STATUS_GOOD;
}
