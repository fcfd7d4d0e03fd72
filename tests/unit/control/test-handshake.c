/* SPDX-License-Identifier: Apache-2.0 */
/* The dialogue before D-Bus messages: what real clients send, cut anywhere, and what others may
 * try. */
#include <string.h>

#include "control/handshake.h"

#define GUID "0123456789abcdef0123456789abcdef"
#define UID 1000u
#define HEX "31303030" /* "1000" */

/* Feeds @text in pieces of @piece bytes as a socket would: what is not consumed comes again. */
static TtHandshakeStep run(const char *text, gsize len, gsize piece, gsize *ret_consumed,
                           char **ret_reply) {
    GString *reply = g_string_new(NULL);
    TtHandshakeStep step = TT_HANDSHAKE_MORE;
    TtHandshake handshake;
    gsize at = 0, arrived = 0;

    tt_handshake_init(&handshake, UID);
    while (step == TT_HANDSHAKE_MORE && (at < arrived || arrived < len)) {
        gsize consumed;

        arrived = MIN(len, MAX(arrived, at) + piece);
        step = tt_handshake_feed(&handshake, text + at, arrived - at, &consumed, GUID, reply);
        g_assert_cmpuint(consumed, <=, arrived - at);
        at += consumed;
    }
    *ret_consumed = at;
    *ret_reply = g_string_free(reply, FALSE);
    return step;
}

typedef struct Dialogue {
    const char *name, *text;
    gsize len;
    TtHandshakeStep step;
    const char *reply;
} Dialogue;

#define SAID(text) (text), sizeof(text) - 1

static const Dialogue dialogues[] = {
    {"gdbus", SAID("\0AUTH\r\nAUTH EXTERNAL " HEX "\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"),
     TT_HANDSHAKE_DONE, "REJECTED EXTERNAL\r\nOK " GUID "\r\nAGREE_UNIX_FD\r\n"},
    {"libdbus", SAID("\0AUTH EXTERNAL " HEX "\r\nBEGIN\r\n"), TT_HANDSHAKE_DONE, "OK " GUID "\r\n"},
    {"systemd", SAID("\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"),
     TT_HANDSHAKE_DONE, "DATA\r\nOK " GUID "\r\nAGREE_UNIX_FD\r\n"},
    {"data_names_user", SAID("\0AUTH EXTERNAL\r\nDATA " HEX "\r\nBEGIN\r\n"), TT_HANDSHAKE_DONE,
     "DATA\r\nOK " GUID "\r\n"},
    {"other_user", SAID("\0AUTH EXTERNAL 30\r\nBEGIN\r\n"), TT_HANDSHAKE_REFUSED,
     "REJECTED EXTERNAL\r\n"},
    {"user_by_prefix", SAID("\0AUTH EXTERNAL 313030\r\nBEGIN\r\n"), TT_HANDSHAKE_REFUSED,
     "REJECTED EXTERNAL\r\n"},
    {"anonymous", SAID("\0AUTH ANONYMOUS 78\r\nBEGIN\r\n"), TT_HANDSHAKE_REFUSED,
     "REJECTED EXTERNAL\r\n"},
    {"cookie", SAID("\0AUTH DBUS_COOKIE_SHA1 " HEX "\r\nDATA 00\r\nBEGIN\r\n"),
     TT_HANDSHAKE_REFUSED, "REJECTED EXTERNAL\r\nERROR\r\n"},
    {"external_as_prefix", SAID("\0AUTH EXTERNALLY " HEX "\r\nBEGIN\r\n"), TT_HANDSHAKE_REFUSED,
     "REJECTED EXTERNAL\r\n"},
    {"no_nul", SAID("AUTH EXTERNAL " HEX "\r\n"), TT_HANDSHAKE_REFUSED, ""},
    {"begin_at_once", SAID("\0BEGIN\r\n"), TT_HANDSHAKE_REFUSED, ""},
    {"descriptors_before_user", SAID("\0NEGOTIATE_UNIX_FD\r\nBEGIN\r\n"), TT_HANDSHAKE_REFUSED,
     "ERROR\r\n"},
    {"cancelled_after_ok", SAID("\0AUTH EXTERNAL " HEX "\r\nCANCEL\r\nBEGIN\r\n"),
     TT_HANDSHAKE_REFUSED, "OK " GUID "\r\nREJECTED EXTERNAL\r\n"},
    {"bare_newline", SAID("\0AUTH EXTERNAL " HEX "\n"), TT_HANDSHAKE_REFUSED, ""},
    {"nul_in_line", SAID("\0AUTH\0EXTERNAL\r\n"), TT_HANDSHAKE_REFUSED, ""},
    {"an_http_client", SAID("GET / HTTP/1.1\r\n\r\n"), TT_HANDSHAKE_REFUSED, ""},
};

static void test_dialogue(gconstpointer data) {
    const Dialogue *dialogue = data;
    g_autofree char *followed = g_malloc(dialogue->len + 4);

    for (gsize piece = 1; piece <= dialogue->len; piece++) {
        g_autofree char *reply = NULL;
        gsize consumed;

        g_assert_cmpint(run(dialogue->text, dialogue->len, piece, &consumed, &reply), ==,
                        dialogue->step);
        g_assert_cmpstr(reply, ==, dialogue->reply);
    }
    if (dialogue->step == TT_HANDSHAKE_DONE) {
        g_autofree char *reply = NULL;
        gsize consumed;

        /* A message right behind the last line is left where it is. */
        memcpy(followed, dialogue->text, dialogue->len);
        memcpy(followed + dialogue->len, "l\1\0\n", 4);
        g_assert_cmpint(run(followed, dialogue->len + 4, dialogue->len + 4, &consumed, &reply), ==,
                        TT_HANDSHAKE_DONE);
        g_assert_cmpuint(consumed, ==, dialogue->len);
    }
}

static void test_long_line(void) {
    g_autofree char *text = g_strnfill(100000, 'A');
    g_autofree char *reply = NULL;
    gsize consumed;

    text[0] = '\0';
    g_assert_cmpint(run(text, 100000, 100, &consumed, &reply), ==, TT_HANDSHAKE_REFUSED);
    g_assert_cmpuint(consumed, <=, TT_HANDSHAKE_LINE_MAX + 1);
}

static void test_many_lines(void) {
    g_autoptr(GString) text = g_string_new_len("\0", 1);
    g_autofree char *reply = NULL;
    gsize consumed;

    for (int i = 0; i < 1000; i++)
        g_string_append(text, "AUTH\r\n");
    g_assert_cmpint(run(text->str, text->len, 64, &consumed, &reply), ==, TT_HANDSHAKE_REFUSED);
    g_assert_cmpuint(strlen(reply), <, 1000);
}

/* Nothing authenticates but what names our user: any one byte changed. */
static void test_flipped_bytes(void) {
    static const char good[] = "\0AUTH EXTERNAL " HEX "\r\nBEGIN\r\n";
    char text[sizeof good - 1];

    for (gsize at = 0; at < sizeof text; at++) {
        for (int value = 0; value < 256; value++) {
            g_autofree char *reply = NULL;
            gsize consumed;

            memcpy(text, good, sizeof text);
            text[at] = (char)value;
            if (text[at] == good[at])
                continue;
            g_assert_cmpint(run(text, sizeof text, 7, &consumed, &reply), !=, TT_HANDSHAKE_DONE);
        }
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(dialogues); i++) {
        g_autofree char *path = g_strdup_printf("/control/handshake/%s", dialogues[i].name);

        g_test_add_data_func(path, &dialogues[i], test_dialogue);
    }
    g_test_add_func("/control/handshake/long_line", test_long_line);
    g_test_add_func("/control/handshake/many_lines", test_many_lines);
    g_test_add_func("/control/handshake/flipped_bytes", test_flipped_bytes);
    return g_test_run();
}
