/* SPDX-License-Identifier: Apache-2.0 */
/* Text of traced programs on its way into a message. GVariant takes valid UTF-8 only and aborts on
 * anything else; a path may be any bytes. */
#pragma once

#include <glib.h>

#include "protocol/wire.h"

G_BEGIN_DECLS

/* Returns: (transfer full): @bytes, each byte that is no UTF-8 as \xNN. NULL becomes "". */
char *tt_text_make_valid(const char *bytes);

/* The last part of a path of raw bytes, made valid; "?" where there is none. */
char *tt_text_get_name(const char *exe);

#define TT_SESSION_HEX_BYTES (2 * TT_SESSION_ID_BYTES + 1)

/* Writes a session id in lower-case hexadecimal, terminated. */
void tt_text_write_id(const guint8 *id, char ret_hex[TT_SESSION_HEX_BYTES]);

G_END_DECLS
