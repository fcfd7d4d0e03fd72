/* SPDX-License-Identifier: Apache-2.0 */
/* A session told again: what a recording's sections say of it, to a new session. The other end of
 * tape.h. */
#pragma once

#include "intake/sections.h"
#include "model/session.h"

G_BEGIN_DECLS

/* What a recorded state is called here; RUNNING where it is none. */
TtSessionState tt_retell_get_state(const TtRecordState *record);

/* Reads the first step of a session, and its command line, which follows.
 *
 * @steps  advanced past them
 *
 * Returns: (transfer full) (nullable): %NULL: they are none, or cannot be */
TtSessionInfo *tt_retell_read_info(TtCursor *steps);

typedef struct TtRetelling TtRetelling;

/* @session: borrowed. @kept_stamp: it keeps the instant after what happened up to then
 * (tt_session_keep_instant); G_MAXUINT64: none */
TtRetelling *tt_retelling_new(TtSession *session, guint64 kept_stamp);
void tt_retelling_free(TtRetelling *retelling);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtRetelling, tt_retelling_free)

/* Tells one section of the session; its first steps are passed over. FALSE: it is damaged, and
 * nothing after it is to be told. */
gboolean tt_retelling_take(TtRetelling *retelling, TtSection *section);

/* What waits for a RELEASE that has not come, to go on with (tt_order_take_held). Owned. */
GArray *tt_retelling_steal_held(TtRetelling *retelling);

/* Has all told been applied. FALSE: something was damaged. */
gboolean tt_retelling_finish(TtRetelling *retelling);

/* What has been told so far: the stamp of the last event, and heap events, lost ones too. */
guint64 tt_retelling_get_last_stamp(const TtRetelling *retelling);
guint64 tt_retelling_get_event_count(const TtRetelling *retelling);

/* Returns: (transfer full) (element-type TtLaneCounts): of each lane of the last connection. */
GArray *tt_retelling_copy_lane_counts(const TtRetelling *retelling);

/* Whether something of what the session inherited has not been told. */
gboolean tt_retelling_lacks_inheritance(const TtRetelling *retelling);

/* Against what the next section's columns are told. */
const TtGuess *tt_retelling_get_guess(const TtRetelling *retelling);

G_END_DECLS
