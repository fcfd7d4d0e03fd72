/* SPDX-License-Identifier: Apache-2.0 */
/* From D-Bus calls to questions, and back. One object serves every connection. */
#pragma once

#include "control/export.h"
#include "intake/intake.h"

G_BEGIN_DECLS

/* Exports and waits that one connection may have under way. */
#define TT_METHODS_PENDING_MAX 128

typedef struct TtMethods TtMethods;

/* @socket_dir  (nullable): what the property says */
TtMethods *tt_methods_new(TtIntake *intake, TtExporter *exporter, const char *socket_dir);

/* After every connection was left. What is under way is cancelled, and answered to nobody. */
void tt_methods_free(TtMethods *methods);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtMethods, tt_methods_free)

/**
 * tt_methods_serve:
 * @connection: authenticated; its messages are not yet processed
 *
 * Returns: %FALSE with @error set where the object cannot be put there
 */
gboolean tt_methods_serve(TtMethods *methods, GDBusConnection *connection, GError **error);

/* The connection is closed: what was asked through it ends. */
void tt_methods_leave(TtMethods *methods, GDBusConnection *connection);

/* Whether something that was asked through it is under way. */
gboolean tt_methods_is_busy(TtMethods *methods, GDBusConnection *connection);

G_END_DECLS
