/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/args.h"

#include <string.h>

#include "tools/say.h"

static gboolean refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean refuse(GError **error, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    if (error)
        *error = g_error_new_valist(TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE, format, arguments);
    va_end(arguments);
    return FALSE;
}

/* Takes one option, and the word after it where that is its value. */
static gboolean take_option(char ***argv, const TtOption *options, GError **error) {
    const char *word = **argv;
    const char *name = g_str_equal(word, "-h") ? "help" : word + 2;
    const char *equals = strchr(name, '=');
    gsize len = equals ? (gsize)(equals - name) : strlen(name);

    if (word[1] != '-' && !g_str_equal(word, "-h"))
        return refuse(error, "Unknown option '%s': see --help", word);
    for (; options->name; options++)
        if (strlen(options->name) == len && strncmp(options->name, name, len) == 0)
            break;
    if (!options->name)
        return refuse(error, "Unknown option '%s': see --help", word);
    if (equals && options->kind == TT_OPTION_FLAG)
        return refuse(error, "Option '--%s' takes no value", options->name);
    if (!equals && options->kind == TT_OPTION_REQUIRED) {
        if (!(*argv)[1])
            return refuse(error, "Option '--%s' needs a value", options->name);
        *options->ret_value = *++*argv;
        return TRUE;
    }
    *options->ret_value = equals ? equals + 1 : "";
    return TRUE;
}

gboolean tt_args_parse(char **argv, const TtOption *options, gboolean ends_at_word,
                       const char **ret_words, GError **error) {
    gboolean is_over = FALSE;

    for (; *argv; argv++) {
        if (!is_over && g_str_equal(*argv, "--")) {
            is_over = TRUE;
        } else if (!is_over && (*argv)[0] == '-' && (*argv)[1]) {
            if (!take_option(&argv, options, error))
                return FALSE;
        } else {
            *ret_words++ = *argv;
            is_over |= ends_at_word;
        }
    }
    *ret_words = NULL;
    return TRUE;
}

char *tt_args_to_text(const char *word) {
    gsize left = strlen(word);
    GString *text = g_string_sized_new(left);
    const char *bad;

    while (!g_utf8_validate(word, (gssize)left, &bad)) {
        g_string_append_len(text, word, bad - word);
        g_string_append_printf(text, "\\x%02x", (guint8)*bad);
        left -= (gsize)(bad + 1 - word);
        word = bad + 1;
    }
    g_string_append_len(text, word, (gssize)left);
    return g_string_free(text, FALSE);
}
