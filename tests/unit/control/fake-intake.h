/* SPDX-License-Identifier: Apache-2.0 */
/* The rooms below control, as a test wants them: sessions out of a table, reports of a given
 * length. Linked in place of intake, model, symbols and report. */
#pragma once

#include "intake/intake.h"

/* One session; ids are the byte @tag repeated. */
void fake_add_session(guint8 tag, gint pid, const char *exe, guint64 order);
void fake_set_parent(guint8 tag, TtRelation relation, guint8 parent_tag);
void fake_clear(void);

/* How many bytes a report writes, 0: a few words; and whether it makes none. */
extern guint64 fake_report_bytes;
extern gboolean fake_report_fails;
extern gboolean fake_is_sampled; /* snapshots */

/* Why the recording under way ends when it is stopped; NULL: all is written. */
extern const char *fake_recording_failure;

/* What was asked last, and how often; of any thread. */
typedef struct FakeCalls {
    gint marks, recordings, exit_statuses, snapshots, held_snapshots;
    gint last_pid, last_wait_status;
    gboolean last_is_recording;
    char last_mark[64];
    guint64 last_addr;
    gsize last_related_count;
    char last_relations[128];
} FakeCalls;
extern FakeCalls fake_calls;
