/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller on the control socket can be told. Each code is a D-Bus error of its own,
 * org.tracetools.Error.NAME, registered when the domain is first used. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define TT_CONTROL_ERROR (tt_control_error_quark())
GQuark tt_control_error_quark(void);

/**
 * TtControlError:
 * @TT_CONTROL_ERROR_FAILED: something else; the message says what
 * @TT_CONTROL_ERROR_NO_SUCH_TARGET: no session is meant by it; the message lists those there are
 * @TT_CONTROL_ERROR_AMBIGUOUS: several are; the message lists them
 * @TT_CONTROL_ERROR_INVALID_ARGUMENT: a format, view or option that does not exist
 * @TT_CONTROL_ERROR_BUSY: too many exports wait already, or the session is not ready for it
 * @TT_CONTROL_ERROR_NOT_WRITABLE: the descriptor given is missing or not open for writing
 * @TT_CONTROL_ERROR_OUTPUT_FAILED: writing failed: no space, nobody reads, …
 * @TT_CONTROL_ERROR_BROKEN_PIPE: the reader went away, which is no news to whoever did it
 * @TT_CONTROL_ERROR_CANCELLED: the caller or the daemon went away
 */
typedef enum TtControlError {
    TT_CONTROL_ERROR_FAILED,
    TT_CONTROL_ERROR_NO_SUCH_TARGET,
    TT_CONTROL_ERROR_AMBIGUOUS,
    TT_CONTROL_ERROR_INVALID_ARGUMENT,
    TT_CONTROL_ERROR_BUSY,
    TT_CONTROL_ERROR_NOT_WRITABLE,
    TT_CONTROL_ERROR_OUTPUT_FAILED,
    TT_CONTROL_ERROR_BROKEN_PIPE,
    TT_CONTROL_ERROR_CANCELLED,
} TtControlError;

G_END_DECLS
