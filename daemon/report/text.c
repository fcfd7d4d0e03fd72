/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding UTF-8 that may not be any. Nothing here trusts a byte or a terminator. */
#include "report/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What may follow a first byte: how many bytes, and the bounds of the first of them, which is where
 * overlong spellings, surrogates and what lies past U+10FFFF are told from the rest. */
static guint continuation(guchar first, guchar *ret_low, guchar *ret_high) {
    *ret_low = 0x80;
    *ret_high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf)
        return 1;
    if (first >= 0xe0 && first <= 0xef) {
        if (first == 0xe0)
            *ret_low = 0xa0;
        if (first == 0xed)
            *ret_high = 0x9f;
        return 2;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (first == 0xf0)
            *ret_low = 0x90;
        if (first == 0xf4)
            *ret_high = 0x8f;
        return 3;
    }
    return 0;
}

gunichar tt_text_next(const char **at, const char *end) {
    const guchar *byte = (const guchar *)*at;
    const guchar *stop = (const guchar *)end;
    guchar first = *byte++, low, high;
    gunichar character = first;
    guint more;

    if (first < 0x80) {
        *at = (const char *)byte;
        return character;
    }
    more = continuation(first, &low, &high);
    character = first & (0x3fu >> more);
    if (more == 0)
        character = TT_TEXT_REPLACEMENT;
    for (; more > 0; more--) {
        if (byte == stop || *byte < low || *byte > high) {
            character = TT_TEXT_REPLACEMENT;
            break;
        }
        character = character << 6 | (*byte++ & 0x3f);
        low = 0x80;
        high = 0xbf;
    }
    *at = (const char *)byte;
    return character;
}

char *tt_text_clean(const char *bytes, gsize len) {
    const char *nul = len > 0 ? memchr(bytes, 0, len) : NULL;
    GString *text = g_string_sized_new(len);

    for (const char *at = bytes, *end = nul ? nul : bytes + len; at < end;)
        g_string_append_unichar(text, tt_text_next(&at, end));
    return g_string_free(text, FALSE);
}

gboolean tt_text_is_control(gunichar character) {
    if (character < 0xa0)
        return character < 0x20 || character >= 0x7f;
    switch (character) {
    case 0x061c:            /* Arabic letter mark */
    case 0x200e ... 0x200f: /* left-to-right and right-to-left marks */
    case 0x2028 ... 0x202e: /* separators that older JavaScript ends a string at; embeddings */
    case 0x2066 ... 0x2069: /* isolates */
    case 0xfeff:            /* byte order mark */
    case 0xfff9 ... 0xfffb: /* interlinear annotations */
    case 0xfffe ... 0xffff: /* not characters; XML has none */
        return TRUE;
    default:
        return FALSE;
    }
}

char *tt_text_hex(const guint8 *bytes, gsize len, char *ret_text) {
    static const char digits[] = "0123456789abcdef";

    for (gsize i = 0; i < len; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 0xf];
    }
    ret_text[2 * len] = '\0';
    return ret_text;
}

char *tt_text_rfc3339(guint64 realtime_ns, char *ret_text) {
    time_t seconds = (time_t)(realtime_ns / 1000000000);
    struct tm date = {.tm_year = 70, .tm_mday = 1};

    gmtime_r(&seconds, &date); /* 2^64 ns are in the year 2554: four digits always */
    snprintf(ret_text, TT_TEXT_RFC3339_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (guint)(date.tm_year + 1900) % 10000, (guint)(date.tm_mon + 1) % 100,
             (guint)date.tm_mday % 100, (guint)date.tm_hour % 100, (guint)date.tm_min % 100,
             (guint)date.tm_sec % 100, (guint)(realtime_ns / 1000000 % 1000));
    return ret_text;
}

const char *tt_text_basename(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}
