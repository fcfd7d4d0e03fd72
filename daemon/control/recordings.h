/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings that callers have started: each belongs to a connection, and ends with it. Main
 * thread.
 */
#pragma once

#include <gio/gio.h>

#include "intake/intake.h"

G_BEGIN_DECLS

/* Of all connections together. */
#define TT_RECORDINGS_MAX 16

typedef struct TtRecordings TtRecordings;

/* @intake: (transfer none): outlives it */
TtRecordings *tt_recordings_new(TtIntake *intake);

/* What is under way ends with the intake; nobody is told. */
void tt_recordings_free(TtRecordings *recordings);

/**
 * tt_recordings_start:
 * @is_own: only what the process at the other end of @connection started
 * @fd: (transfer full): to be written to
 * @error: TT_CONTROL_ERROR_BUSY, _NOT_WRITABLE
 *
 * Returns: its number; 0 with @error set
 */
guint64 tt_recordings_start(TtRecordings *recordings, GDBusConnection *connection, gboolean is_own,
                            int fd, GError **error);

/* @error: TT_CONTROL_ERROR_OUTPUT_FAILED: it ended before it was to; or %NULL */
typedef void (*TtRecordingStopped)(gpointer data, guint64 bytes, const GError *error);

/**
 * tt_recordings_stop:
 * @error: TT_CONTROL_ERROR_INVALID_ARGUMENT: the connection has none of that number
 *
 * Returns: whether @stopped will be called, once; perhaps from within
 */
gboolean tt_recordings_stop(TtRecordings *recordings, GDBusConnection *connection, guint64 number,
                            TtRecordingStopped stopped, gpointer data, GError **error);

/* The connection is closed: its recordings end. */
void tt_recordings_leave(TtRecordings *recordings, GDBusConnection *connection);

gboolean tt_recordings_has_any(TtRecordings *recordings, GDBusConnection *connection);

G_END_DECLS
