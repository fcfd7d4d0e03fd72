/* SPDX-License-Identifier: Apache-2.0 */
/* D-Bus specification, "Authentication Protocol", the part that one mechanism needs. Clients
 * differ: GDBus asks for the list first (AUTH alone), libdbus names the user at once, systemd's
 * sends an empty name and the rest without waiting for answers. */
#include "control/handshake.h"

#include <string.h>

void tt_handshake_init(TtHandshake *handshake, uid_t uid) {
    memset(handshake, 0, sizeof *handshake);
    handshake->uid = uid;
    handshake->expect = TT_EXPECT_NUL;
}

static void reject(TtHandshake *handshake, GString *reply) {
    handshake->expect = TT_EXPECT_AUTH;
    g_string_append(reply, "REJECTED EXTERNAL\r\n");
}

/* @hex: the user that the peer says it is, its decimal number in hexadecimal; empty: whoever the
 * kernel says. Nobody may be another than that. */
static void authenticate(TtHandshake *handshake, const char *hex, const char *guid,
                         GString *reply) {
    char decimal[24], expected[2 * sizeof decimal];
    int digits = g_snprintf(decimal, sizeof decimal, "%u", (guint)handshake->uid);

    for (int i = 0; i <= digits; i++)
        g_snprintf(expected + 2 * i, 3, "%02x", (guint8)decimal[i]);
    expected[2 * digits] = '\0';
    if (*hex && g_ascii_strcasecmp(hex, expected) != 0) {
        reject(handshake, reply);
        return;
    }
    handshake->expect = TT_EXPECT_BEGIN;
    g_string_append_printf(reply, "OK %s\r\n", guid);
}

/* What follows @word in @line where @line begins with it as a whole word; else NULL. */
static const char *skip_word(const char *line, const char *word) {
    gsize len = strlen(word);

    if (strncmp(line, word, len) != 0)
        return NULL;
    if (line[len] == '\0')
        return line + len;
    return line[len] == ' ' ? line + len + 1 : NULL;
}

static TtHandshakeStep take_line(TtHandshake *handshake, const char *line, const char *guid,
                                 GString *reply) {
    const char *rest, *user;

    if ((rest = skip_word(line, "AUTH")) && handshake->expect == TT_EXPECT_AUTH) {
        user = skip_word(rest, "EXTERNAL");
        if (!user) {
            reject(handshake, reply);
        } else if (*user) {
            authenticate(handshake, user, guid, reply);
        } else {
            handshake->expect = TT_EXPECT_DATA;
            g_string_append(reply, "DATA\r\n");
        }
    } else if ((rest = skip_word(line, "DATA")) && handshake->expect == TT_EXPECT_DATA) {
        authenticate(handshake, rest, guid, reply);
    } else if (skip_word(line, "BEGIN")) {
        return handshake->expect == TT_EXPECT_BEGIN ? TT_HANDSHAKE_DONE : TT_HANDSHAKE_REFUSED;
    } else if (skip_word(line, "NEGOTIATE_UNIX_FD") && handshake->expect == TT_EXPECT_BEGIN) {
        g_string_append(reply, "AGREE_UNIX_FD\r\n");
    } else if (skip_word(line, "CANCEL") || skip_word(line, "ERROR")) {
        reject(handshake, reply);
    } else {
        g_string_append(reply, "ERROR\r\n");
    }
    return TT_HANDSHAKE_MORE;
}

TtHandshakeStep tt_handshake_feed(TtHandshake *handshake, const char *bytes, gsize len,
                                  gsize *ret_consumed, const char *guid, GString *reply) {
    const char *end;
    gsize taken;

    *ret_consumed = 0;
    if (len == 0)
        return TT_HANDSHAKE_MORE;
    if (handshake->expect == TT_EXPECT_NUL) {
        if (*bytes != '\0')
            return TT_HANDSHAKE_REFUSED;
        handshake->expect = TT_EXPECT_AUTH;
        *ret_consumed = 1;
        return TT_HANDSHAKE_MORE;
    }
    end = memchr(bytes, '\n', len);
    taken = end ? (gsize)(end - bytes) + 1 : len;
    if (taken > sizeof handshake->line - handshake->len)
        return TT_HANDSHAKE_REFUSED;
    memcpy(handshake->line + handshake->len, bytes, taken);
    handshake->len += taken;
    *ret_consumed = taken;
    if (!end)
        return TT_HANDSHAKE_MORE;
    if (handshake->len < 2 || handshake->line[handshake->len - 2] != '\r' ||
        ++handshake->line_count > TT_HANDSHAKE_LINES_MAX ||
        memchr(handshake->line, '\0', handshake->len))
        return TT_HANDSHAKE_REFUSED;
    handshake->line[handshake->len - 2] = '\0';
    handshake->len = 0;
    return take_line(handshake, handshake->line, guid, reply);
}
