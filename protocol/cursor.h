/* SPDX-License-Identifier: Apache-2.0 */
/* Reading bytes that are not trusted, without ever overrunning them. They may lie in memory that
 * their writer still changes: what is checked is a copy, and the copy is what is used. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/wire.h"

/* Keeps the compiler from reading a value again, after its check, from where it was copied. */
#define TT_READ_ONCE(value) __asm__("" : "+r"(value))

/* A string on the wire: points into the message, is not terminated, may hold any byte. */
typedef struct TtString {
    const char *text;
    size_t len;
} TtString;

/* What is left to read. Borrows the bytes. */
typedef struct TtCursor {
    const uint8_t *at;
    const uint8_t *end;
} TtCursor;

static inline TtCursor tt_cursor_new(const void *bytes, size_t len) {
    return (TtCursor){.at = bytes, .end = (const uint8_t *)bytes + len};
}

static inline size_t tt_cursor_left(const TtCursor *cursor) {
    return (size_t)(cursor->end - cursor->at);
}

/* Reads one unsigned LEB128 number, in its shortest spelling.
 *
 * @cursor     advanced past the number on success, untouched on failure
 * @ret_value  set on success only; 0 … 2^64-1
 *
 * Returns 0, or -EBADMSG: ends early, longer than it need be, or past 64 bits.
 * Any thread; errno is kept. The bytes are not trusted. */
static inline int tt_cursor_read_varint(TtCursor *cursor, uint64_t *ret_value) {
    uint64_t value = 0;
    const uint8_t *at = cursor->at;

    for (unsigned shift = 0; shift < 64 && at < cursor->end; shift += 7) {
        uint8_t byte = *at++;

        /* Two spellings of one number would give equal records different checksums. */
        if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1))
            return -EBADMSG;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            cursor->at = at;
            *ret_value = value;
            return 0;
        }
    }
    return -EBADMSG;
}

/* Reads @len bytes in place.
 *
 * @ret_bytes  set on success only; borrows from the cursor's bytes
 *
 * Returns 0, or -EBADMSG: fewer are left; then the cursor is untouched. Any thread. */
static inline int tt_cursor_read_bytes(TtCursor *cursor, size_t len, const uint8_t **ret_bytes) {
    if (len > tt_cursor_left(cursor))
        return -EBADMSG;
    *ret_bytes = cursor->at;
    cursor->at += len;
    return 0;
}

/* Reads a length and that many bytes.
 *
 * @ret_string  set on success only; borrows from the cursor's bytes; up to TT_STRING_MAX
 *
 * Returns 0, or -EBADMSG: ends early or is longer than any sender makes one. Any thread. */
static inline int tt_cursor_read_string(TtCursor *cursor, TtString *ret_string) {
    TtCursor ahead = *cursor;
    uint64_t len;
    const uint8_t *bytes;

    if (tt_cursor_read_varint(&ahead, &len) < 0)
        return -EBADMSG;
    TT_READ_ONCE(len);
    if (len > TT_STRING_MAX || tt_cursor_read_bytes(&ahead, (size_t)len, &bytes) < 0)
        return -EBADMSG;
    *cursor = ahead;
    *ret_string = (TtString){.text = (const char *)bytes, .len = (size_t)len};
    return 0;
}
