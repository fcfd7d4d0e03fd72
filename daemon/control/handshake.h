/* SPDX-License-Identifier: Apache-2.0 */
/* The few lines that come before D-Bus messages, from the server's side: EXTERNAL alone, which is
 * the kernel's word for who the peer is.
 *
 * GDBus can do this too, but blocks a thread for each peer that says nothing, from a pool that
 * other work shares. This is the same dialogue as a value: it is fed bytes, and never waits. No
 * cookie file exists for it, so none is ever written. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

#define TT_HANDSHAKE_LINE_MAX 512
#define TT_HANDSHAKE_LINES_MAX 16

typedef enum TtHandshakeStep {
    TT_HANDSHAKE_MORE,    /* goes on */
    TT_HANDSHAKE_DONE,    /* authenticated; what follows are messages */
    TT_HANDSHAKE_REFUSED, /* to be closed */
} TtHandshakeStep;

typedef struct TtHandshake {
    uid_t uid; /* the peer's, as the kernel says */
    enum { TT_EXPECT_NUL, TT_EXPECT_AUTH, TT_EXPECT_DATA, TT_EXPECT_BEGIN } expect;
    guint line_count;
    gsize len;
    char line[TT_HANDSHAKE_LINE_MAX];
} TtHandshake;

void tt_handshake_init(TtHandshake *handshake, uid_t uid);

/**
 * tt_handshake_feed:
 * @bytes: (array length=len): what has arrived and was not yet consumed; not trusted
 * @ret_consumed: how many of them belong to the handshake: at most to the end of one line, so that
 *   no message behind the last line is eaten
 * @guid: the server's, 32 hexadecimal digits
 * @reply: what is to be sent back is appended
 */
TtHandshakeStep tt_handshake_feed(TtHandshake *handshake, const char *bytes, gsize len,
                                  gsize *ret_consumed, const char *guid, GString *reply);

G_END_DECLS
