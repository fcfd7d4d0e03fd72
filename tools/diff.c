/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl diff. */
#include "tools/command.h"
#include "tools/recording.h"

static const char help[] =
    "Usage: tt-ctl diff A B [TARGET] [--json] [--top=N] [--from=RECORDING]\n"
    "\n"
    "Shows what was born after instant A and is alive at instant B, by stack: the bytes and "
    "blocks\n"
    "born and alive, what was freed of the blocks of A and what survived, and the growth. An\n"
    "instant is start, now, peak, a mark's name, or a time in the session (1.5s, 250ms; ns, us, "
    "ms,\n"
    "s, m, h). TARGET as for tt-ctl export.\n"
    "\n"
    "  --json    as JSON, every stack\n"
    "  --top=N   how many stacks are shown; without, 20 as a table and all as JSON\n"
    "  --from=F  a session of recording F rather than of the daemon\n";

typedef struct Asked {
    const char *json, *top, *from, *help;
} Asked;

static gboolean ask(const char *target, const char *before, const char *after, const Asked *asked,
                    guint top, GError **error) {
    g_auto(TtSource) source = {0};
    GVariantDict options;

    if (!tt_source_open(asked->from, &source, error))
        return FALSE;
    g_variant_dict_init(&options, NULL);
    if (top > 0)
        g_variant_dict_insert(&options, "top", "u", top);
    return tt_ask_document(source.daemon, "Diff", g_variant_new("(sss)", target, before, after),
                           asked->json != NULL, &options, source.from_fd, error);
}

int tt_command_diff(char **argv, const TtChildStart *start) {
    Asked asked = {0};
    const TtOption options[] = {
        {"json", TT_OPTION_FLAG, &asked.json},
        {"top", TT_OPTION_REQUIRED, &asked.top},
        {"from", TT_OPTION_REQUIRED, &asked.from},
        {"help", TT_OPTION_FLAG, &asked.help},
        {0},
    };
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autofree char *target = NULL;
    g_autoptr(GError) error = NULL;
    TtPicture picture = {0};

    (void)start;
    if (!tt_args_parse(argv, options, FALSE, words, &error))
        return tt_say_error(error);
    if (asked.help)
        return tt_command_print(help);
    if (!words[0] || !words[1] || (words[2] && words[3])) {
        tt_say("diff takes two instants, and a TARGET where there are several sessions: see tt-ctl "
               "diff --help");
        return TT_STATUS_USAGE;
    }
    before = tt_args_to_text(words[0]);
    after = tt_args_to_text(words[1]);
    target = tt_args_to_text(words[2] ? words[2] : "");
    if (!tt_command_read_picture(NULL, asked.top, NULL, &picture, &error) ||
        !ask(target, before, after, &asked, picture.top, &error))
        return tt_say_error(error);
    return TT_STATUS_GOOD;
}
