/* SPDX-License-Identifier: Apache-2.0 */
#include "model/text.h"

#include <string.h>

static const char nul_sign[] = "\xe2\x90\x80"; /* U+2400, SYMBOL FOR NULL */
static const char cut_sign[] = "\xe2\x80\xa6"; /* U+2026, HORIZONTAL ELLIPSIS */

/* Where to cut so that no UTF-8 sequence is halved, if it is UTF-8 at all. */
static gsize cut_before(const char *text, gsize len) {
    gsize at = len;

    while (at > 0 && len - at < 4 && ((guchar)text[at] & 0xc0) == 0x80)
        at--;
    return ((guchar)text[at] & 0xc0) == 0x80 ? len : at;
}

char *tt_text_new(TtString string) {
    gboolean is_cut = string.len > TT_TEXT_MAX_BYTES;
    gsize len = is_cut ? cut_before(string.text, TT_TEXT_MAX_BYTES) : string.len;

    if (!is_cut && (len == 0 || !memchr(string.text, 0, len)))
        return g_ref_string_new_len(string.text ? string.text : "", (gssize)len);

    g_autoptr(GString) text = g_string_sized_new(len + sizeof cut_sign);
    for (gsize i = 0; i < len; i++) {
        if (string.text[i])
            g_string_append_c(text, string.text[i]);
        else
            g_string_append(text, nul_sign);
    }
    if (is_cut)
        g_string_append(text, cut_sign);
    return g_ref_string_new_len(text->str, (gssize)text->len);
}

char *tt_text_new_plain(const char *text) {
    return tt_text_new((TtString){.text = text, .len = strlen(text)});
}
