/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/say.h"

#include <stdio.h>
#include <string.h>

GQuark tt_tools_error_quark(void) { return g_quark_from_static_string("tt-tools-error-quark"); }

char *tt_say_escape(const char *text) {
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *escaped = g_string_sized_new(strlen(valid));

    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar character = g_utf8_get_char(at);
        GUnicodeType type = g_unichar_type(character);

        if (character == '\n')
            g_string_append_c(escaped, '\n');
        else if (type == G_UNICODE_CONTROL)
            g_string_append_printf(escaped, "\\x%02x", character);
        else if (type == G_UNICODE_FORMAT || type == G_UNICODE_LINE_SEPARATOR ||
                 type == G_UNICODE_PARAGRAPH_SEPARATOR)
            g_string_append_printf(escaped, "\\u%04x", character);
        else
            g_string_append_unichar(escaped, character);
    }
    return g_string_free(escaped, FALSE);
}

void tt_say(const char *format, ...) {
    g_autofree char *text = NULL;
    g_autofree char *escaped = NULL;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    escaped = tt_say_escape(text);
    fprintf(stderr, "tt-ctl: %s\n", escaped);
}

TtStatus tt_say_error(const GError *error) {
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
        return TT_STATUS_FAILED;
    tt_say("%s", error->message);
    return g_error_matches(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE) ? TT_STATUS_USAGE
                                                                        : TT_STATUS_FAILED;
}
