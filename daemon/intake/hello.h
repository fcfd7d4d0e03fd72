/* SPDX-License-Identifier: Apache-2.0 */
/* A program's first message: what it says of itself, checked. */
#pragma once

#include "intake/clock.h"
#include "model/bequest.h"

G_BEGIN_DECLS

/* A session that goes on over a new connection. */
typedef struct TtResumption {
    guint64 stamp; /* when its hello was read: it goes on untraced until then; 0: it begins */
    guint64 events_before; /* heap events that its program wrote before, lost ones too */
} TtResumption;

/**
 * tt_hello_read:
 * @records: of the message, HELLO first; not trusted
 * @pid: from the kernel's credentials
 * @calibration: to make the session's timescale with
 * @ret_info: (out) (transfer full): set on success only
 * @ret_clock: (out): how the session stamps; set on success only
 * @ret_resumption: (out): set on success only
 * @ret_fork: (out): what it inherits, of the parent that the info names; set on success only
 *
 * May wait up to 20 ms, in the daemon's first moments. Any thread.
 *
 * Returns: (transfer full) (nullable): %NULL, or a sentence for the peer: why it is refused
 */
char *tt_hello_read(TtCursor records, gint pid, TtCalibration *calibration,
                    TtSessionInfo **ret_info, TtStampClock *ret_clock, TtResumption *ret_resumption,
                    TtForkInstant *ret_fork);

G_END_DECLS
