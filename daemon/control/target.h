/* SPDX-License-Identifier: Apache-2.0 */
/* From what a person writes to the session that is meant. */
#pragma once

#include "intake/intake.h"

G_BEGIN_DECLS

/* Characters of a session id that a prefix must have, lest a short word be taken for one. */
#define TT_TARGET_PREFIX_MIN 4

/**
 * tt_target_find:
 * @cards: (element-type TtSessionCard): all sessions
 * @target: (nullable): a pid, a session id or a prefix of one, a program's name or its full path;
 *   %NULL or empty: the only session there is. Any bytes; not trusted
 * @error: TT_CONTROL_ERROR_NO_SUCH_TARGET or _AMBIGUOUS, with a list of sessions for people
 *
 * A number is a pid first, and means the newest session that has or had it. Where no process had
 * it, it is read like any other word. Sessions of one process that a word fits are one candidate,
 * the newest: a program that replaces its own image does not become ambiguous by that.
 *
 * Returns: (transfer none): one of @cards, or %NULL with @error set
 */
const TtSessionCard *tt_target_find(GPtrArray *cards, const char *target, GError **error);

G_END_DECLS
