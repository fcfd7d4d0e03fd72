/* SPDX-License-Identifier: Apache-2.0 */
/* A command's options: --name, --name=VALUE. GOption would take the word after an option whose
 * value may be left out for that value, and so a TARGET for a file. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct TtOption {
    const char *name;
    enum {
        TT_OPTION_FLAG,     /* no value; @ret_value becomes "" */
        TT_OPTION_OPTIONAL, /* --name=VALUE, or --name, which is "" */
        TT_OPTION_REQUIRED, /* --name=VALUE or --name VALUE */
    } kind;
    const char **ret_value; /* NULL where the option is not given; the last one counts */
} TtOption;

/**
 * tt_args_parse:
 * @argv: (array zero-terminated=1): behind the command's name
 * @options: (array zero-terminated=1)
 * @ret_words: the rest, in order; has room for as many as @argv. Ends with %NULL
 * @error: TT_TOOLS_ERROR_USAGE
 *
 * "--" ends the options; so does the first word where @ends_at_word.
 */
gboolean tt_args_parse(char **argv, const TtOption *options, gboolean ends_at_word,
                       const char **ret_words, GError **error);

/* Returns: (transfer full): a word as text: each byte that is no UTF-8 as \xNN, as the daemon shows
 * it. */
char *tt_args_to_text(const char *word);

G_END_DECLS
