/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl who. */
#include <string.h>

#include "tools/command.h"
#include "tools/recording.h"

static const char help[] =
    "Usage: tt-ctl who [TARGET] ADDRESS [--json] [--full] [--from=RECORDING]\n"
    "\n"
    "Tells which block an address of a traced program is or was in, alive or freed, as far back "
    "as\n"
    "freed blocks are kept: id, size, name, when, by which thread and on which stack it was born "
    "and\n"
    "died. ADDRESS is decimal, or hexadecimal with 0x. TARGET as for tt-ctl export.\n"
    "\n"
    "  --json    as JSON\n"
    "  --full    JSON with every address of every stack in every block\n"
    "  --from=F  a session of recording F rather than of the daemon\n";

typedef struct Asked {
    const char *json, *full, *from, *help;
} Asked;

/* No sign, no space, nothing behind it. */
static gboolean read_address(const char *word, guint64 *ret_addr, GError **error) {
    gboolean is_hex = g_ascii_strncasecmp(word, "0x", 2) == 0;

    if (g_ascii_string_to_unsigned(is_hex ? word + 2 : word, is_hex ? 16 : 10, 0, G_MAXUINT64,
                                   ret_addr, NULL))
        return TRUE;
    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE,
                "'%s' is no address: give 0x and hexadecimal digits, or decimal ones", word);
    return FALSE;
}

static gboolean ask(const char *target, guint64 addr, const Asked *asked, GError **error) {
    g_auto(TtSource) source = {0};
    GVariantDict options;

    if (!tt_source_open(asked->from, &source, error))
        return FALSE;
    g_variant_dict_init(&options, NULL);
    if (asked->full)
        g_variant_dict_insert(&options, "full", "b", TRUE);
    return tt_ask_document(source.daemon, "Who", g_variant_new("(st)", target, addr),
                           asked->json != NULL, &options, source.from_fd, error);
}

int tt_command_who(char **argv, const TtChildStart *start) {
    Asked asked = {0};
    const TtOption options[] = {
        {"json", TT_OPTION_FLAG, &asked.json},
        {"full", TT_OPTION_FLAG, &asked.full},
        {"from", TT_OPTION_REQUIRED, &asked.from},
        {"help", TT_OPTION_FLAG, &asked.help},
        {0},
    };
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    g_autofree char *target = NULL;
    g_autoptr(GError) error = NULL;
    guint64 addr;

    (void)start;
    if (!tt_args_parse(argv, options, FALSE, words, &error))
        return tt_say_error(error);
    if (asked.help)
        return tt_command_print(help);
    if (!words[0] || (words[1] && words[2])) {
        tt_say("who takes an ADDRESS, and before it a TARGET where there are several sessions: see "
               "tt-ctl who --help");
        return TT_STATUS_USAGE;
    }
    target = tt_args_to_text(words[1] ? words[0] : "");
    if (!read_address(words[1] ? words[1] : words[0], &addr, &error) ||
        !ask(target, addr, &asked, &error))
        return tt_say_error(error);
    return TT_STATUS_GOOD;
}
