/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign bytes to valid text. A backslash of the program's own stays as it is: what is shown is
 * for people, and a path that is text should look like itself. */
#include "control/text.h"

#include <string.h>

char *tt_text_make_valid(const char *bytes) {
    const char *at = bytes ? bytes : "";
    gsize left = strlen(at);
    const char *bad;
    GString *text;

    if (g_utf8_validate(at, (gssize)left, &bad))
        return g_strdup(at);
    text = g_string_sized_new(left + 16);
    while (!g_utf8_validate(at, (gssize)left, &bad)) {
        g_string_append_len(text, at, bad - at);
        g_string_append_printf(text, "\\x%02x", (guint8)*bad);
        left -= (gsize)(bad + 1 - at);
        at = bad + 1;
    }
    g_string_append_len(text, at, (gssize)left);
    return g_string_free(text, FALSE);
}

char *tt_text_get_name(const char *exe) {
    const char *slash = exe ? strrchr(exe, '/') : NULL;
    const char *name = slash ? slash + 1 : exe;

    return tt_text_make_valid(name && *name ? name : "?");
}

void tt_text_write_id(const guint8 *id, char ret_hex[TT_SESSION_HEX_BYTES]) {
    static const char digits[] = "0123456789abcdef";

    for (gsize i = 0; i < TT_SESSION_ID_BYTES; i++) {
        ret_hex[2 * i] = digits[id[i] >> 4];
        ret_hex[2 * i + 1] = digits[id[i] & 15];
    }
    ret_hex[2 * TT_SESSION_ID_BYTES] = '\0';
}
