/* SPDX-License-Identifier: Apache-2.0 */
/* All lanes of a session to one order, and into the session. */
#pragma once

#include "intake/drain.h"
#include "intake/lanes.h"
#include "intake/tape.h"

G_BEGIN_DECLS

typedef struct TtMerger TtMerger;

/* @session, @backlog are borrowed; @ahead_max: bytes that may be copied ahead of the merge.
 * Owner's thread, as all here. */
TtMerger *tt_merger_new(TtSession *session, const TtStampClock *clock, TtBudget *backlog,
                        gsize ahead_max);
void tt_merger_free(TtMerger *merger);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtMerger, tt_merger_free)

/* Writes down what the session is told from here on; borrowed. %NULL: nothing more. */
void tt_merger_set_tape(TtMerger *merger, TtTape *tape);

/* Applies a definition that came another way than through a lane; as tt_definitions_apply. */
int tt_merger_define(TtMerger *merger, const TtRawRecord *raw);

/* Adds a segment's lanes; its memory is borrowed until tt_merger_release_lanes. */
void tt_merger_add_segment(TtMerger *merger, const TtSegment *segment);

/* Goes on where an earlier daemon stood, before the first drain: @told_counts: (nullable)
 * (element-type TtLaneCounts): what the session knows of each lane. @held: (nullable)
 * (transfer full): the last of them, which wait for what follows (tt_order_steal_held). */
void tt_merger_resume(TtMerger *merger, const GArray *told_counts, GArray *held);

/* The writers are gone: what they have published is all there will be, and is merged to its end. */
void tt_merger_finish(TtMerger *merger);

/* The stamp of now, as the session's events are stamped; see tt_drain_read_clock. */
guint64 tt_merger_read_clock(TtMerger *merger);

/* Copies what was published. Returns the bytes. */
gsize tt_merger_drain(TtMerger *merger);

/* Applies, in the order of their stamps, the events that can have no earlier one still to come, but
 * none with a stamp above @until (G_MAXUINT64: all). Returns TRUE where it stopped after @max_bytes
 * with more to do. Drains meanwhile, so that no program waits for the model. */
gboolean tt_merger_merge(TtMerger *merger, guint64 until, gsize max_bytes);

/* Is everything with a stamp up to @stamp applied? */
gboolean tt_merger_has_reached(const TtMerger *merger, guint64 stamp);

/* Nothing copied is left to apply (a finished one is then at its end). */
gboolean tt_merger_is_empty(const TtMerger *merger);

/* Is any lane to be read without waiting for more? */
gboolean tt_merger_has_due_lane(const TtMerger *merger);

/* Events that lanes' counters and @others know lost and no gap record told of. */
guint64 tt_merger_get_undeclared_drops(const TtMerger *merger, guint64 others);

guint64 tt_merger_get_copied_bytes(const TtMerger *merger); /* ever */

/* Bytes that reading holds beyond the session's own. */
gsize tt_merger_get_held_bytes(const TtMerger *merger);

/* Gives up the shared memory and all that reading needed; the session stays. */
void tt_merger_release_lanes(TtMerger *merger);

guint tt_merger_get_lane_count(const TtMerger *merger);

/* For a daemon after which the next one reads on: from here on no room is made free of what is
 * copied, for some of it may not be merged any more; and of what has been merged since it is. */
void tt_merger_keep_room(TtMerger *merger);
void tt_merger_free_merged(TtMerger *merger);

/* Wakes writers who wait for room, whatever room there is: the daemon goes. */
void tt_merger_wake_writers(TtMerger *merger);

G_END_DECLS
