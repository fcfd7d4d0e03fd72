/* SPDX-License-Identifier: Apache-2.0 */
/* A model that believes nothing: it keeps what it was told, and counts what cannot be. Stands in
 * for the room model where the order of events is what is tested. */
#pragma once

#include "model/snapshot.h"

struct TtSession {
    TtSessionInfo *info;
    GArray *events;     /* of TtEvent, as applied; only while keeps_events */
    GHashTable *live;   /* addr to size */
    GHashTable *stacks; /* ids defined, to TtRecordStack */
    GPtrArray *words;   /* of char *: marks, names, gaps, doubts, in order */
    guint64 event_count;
    guint64 impossible;     /* births at a live address, deaths of no block */
    guint64 disordered;     /* stamps that went backwards */
    guint64 unknown_stacks; /* events and stacks whose stack or parent was not defined before */
    guint64 lost;
    guint64 dropped;
    guint64 last_stamp;
    TtSessionState state;
    gint exit_status;
    guint thread_count;
    guint32 tids[64];
    gboolean is_null; /* does nothing at all: for measuring */
};
