/* SPDX-License-Identifier: Apache-2.0 */
/* One table from codes to the names that travel. */
#include "control/error.h"

#define NAME(name) "org.tracetools.Error." name

GQuark tt_control_error_quark(void) {
    static const GDBusErrorEntry entries[] = {
        {TT_CONTROL_ERROR_FAILED, NAME("Failed")},
        {TT_CONTROL_ERROR_NO_SUCH_TARGET, NAME("NoSuchTarget")},
        {TT_CONTROL_ERROR_AMBIGUOUS, NAME("Ambiguous")},
        {TT_CONTROL_ERROR_INVALID_ARGUMENT, NAME("InvalidArgument")},
        {TT_CONTROL_ERROR_BUSY, NAME("Busy")},
        {TT_CONTROL_ERROR_NOT_WRITABLE, NAME("NotWritable")},
        {TT_CONTROL_ERROR_OUTPUT_FAILED, NAME("OutputFailed")},
        {TT_CONTROL_ERROR_BROKEN_PIPE, NAME("BrokenPipe")},
        {TT_CONTROL_ERROR_CANCELLED, NAME("Cancelled")},
    };
    static gsize quark;

    g_dbus_error_register_error_domain("tt-control-error-quark", &quark, entries,
                                       G_N_ELEMENTS(entries));
    return (GQuark)quark;
}
