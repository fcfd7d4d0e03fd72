/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of the traced program, as the model keeps them: bytes as they came, with two exceptions.
 * They end where C strings end, so NUL bytes are shown as a sign; and they have a bound, past which
 * they are cut with a sign. Shared by counting references, from any thread. */
#pragma once

#include <glib.h>

#include "protocol/cursor.h"

G_BEGIN_DECLS

#define TT_TEXT_MAX_BYTES 4096u

/* Returns: (transfer full): a GRefString of @string's bytes */
char *tt_text_new(TtString string);

/* The same of a string of ours. */
char *tt_text_new_plain(const char *text);

G_END_DECLS
