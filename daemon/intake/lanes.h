/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of lanes: made, sized, sealed and lent by the daemon. */
#pragma once

#include <glib.h>

#include "protocol/lane-layout.h"

G_BEGIN_DECLS

#define TT_SESSION_LANES_MAX                                                                       \
    1024u /* of one session; more threads than that share or go unrecorded */

/* One memory with lanes, mapped. */
typedef struct TtSegment {
    guint8 *map;
    gsize size;
    guint64 inode; /* of the memfd: tells it from others in /proc/PID/maps */
    guint32 lane_count;
    guint32 chunks_per_lane;
} TtSegment;

/* Makes the @index-th segment of a session.
 *
 * @ret_fd  (transfer full) its memfd, to be sent to the program
 *
 * Returns 0, or a negative errno; then nothing is set. Any thread. */
int tt_segment_init(TtSegment *segment, guint index, int *ret_fd);

/* Unmaps it. */
/* The same of memory that an earlier daemon made, which stays the caller's. */
int tt_segment_adopt(TtSegment *segment, guint index, int fd);

void tt_segment_clear(TtSegment *segment);

TtLaneControl *tt_segment_get_control(const TtSegment *segment); /* the segment's own block */
TtLaneControl *tt_segment_get_lane(const TtSegment *segment, guint lane);
const guint8 *tt_segment_get_chunks(const TtSegment *segment, guint lane);

G_END_DECLS
