/* SPDX-License-Identifier: Apache-2.0 */
/* Text from traced programs, which may be any bytes, and the few spellings that reports share. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define TT_TEXT_REPLACEMENT 0xfffdu

/* With the terminating NUL. */
#define TT_TEXT_RFC3339_BYTES 32

/**
 * tt_text_next:
 * @at: (inout): before @end; moved past what was read, by at least one byte
 * @end: one past the last byte
 *
 * Reads one character of bytes that are not trusted. A run that is not UTF-8 (overlong, a
 * surrogate, past U+10FFFF, cut) reads as one U+FFFD for each maximal beginning of a character, as
 * Unicode recommends and other decoders do.
 *
 * Returns: a Unicode scalar value
 */
gunichar tt_text_next(const char **at, const char *end);

/**
 * tt_text_clean:
 * @bytes: (array length=len): not trusted
 *
 * Returns: (transfer full): valid UTF-8, invalid bytes as U+FFFD; as C strings do it ends at a NUL
 */
char *tt_text_clean(const char *bytes, gsize len);

/* Whether it is a character that shows nothing itself and changes how its neighbours are read or
 * drawn: controls, bidirectional overrides, line separators, U+FEFF, U+FFFE, U+FFFF. */
gboolean tt_text_is_control(gunichar character);

/**
 * tt_text_hex:
 * @ret_text: 2 * @len bytes and a NUL have room
 *
 * Returns: @ret_text, in lower case
 */
char *tt_text_hex(const guint8 *bytes, gsize len, char *ret_text);

/**
 * tt_text_rfc3339:
 * @realtime_ns: since 1970
 * @ret_text: TT_TEXT_RFC3339_BYTES have room
 *
 * Returns: @ret_text: "2024-05-17T09:30:00.123Z", whatever locale and time zone are
 */
char *tt_text_rfc3339(guint64 realtime_ns, char *ret_text);

/* What follows the last slash of a path; all of it where there is none. */
const char *tt_text_basename(const char *path);

G_END_DECLS
