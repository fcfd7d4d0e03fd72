/* SPDX-License-Identifier: Apache-2.0 */
/* Hello and command line to a session's info. What a program says of itself can only harm its own
 * session: ids and numbers are checked, the rest is shown as it is. */
#include "intake/hello.h"

#include <string.h>

#include "intake/process.h"
#include "protocol/decode.h"

#define CLOCK_SHIFT_MAX 16
#define STAMP_MAX (G_MAXUINT64 >> 1)

/* The words of the command line that came; a record of another kind ends them. */
static char **read_arguments(TtCursor *records) {
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    TtRawRecord raw;

    while (tt_decode_framed(records, &raw) == TT_ITEM_RECORD) {
        TtRecordArgument argument;

        if (raw.number != TT_RECORD_ARGUMENT || tt_decode_argument(&raw, &argument) < 0)
            continue;
        g_ptr_array_add(words, g_strndup(argument.text.text, argument.text.len));
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}

static const char *find_fault(const TtRecordHello *hello) {
    if (hello->session.len != TT_SESSION_ID_BYTES)
        return "The session's id is not of 16 bytes";
    if (hello->parent_session.len != 0 && hello->parent_session.len != TT_SESSION_ID_BYTES)
        return "The parent session's id is not of 16 bytes";
    if ((hello->clock != TT_CLOCK_TSC && hello->clock != TT_CLOCK_MONOTONIC) ||
        hello->clock_shift > CLOCK_SHIFT_MAX || hello->start_stamp > STAMP_MAX)
        return "The clock of the stamps is none that the daemon knows";
    return NULL;
}

/* Where the session's time begins: at the stamp that came with the hello, if that can be true. */
static guint64 get_start_stamp(const TtRecordHello *hello, const TtStampClock *clock) {
    guint64 now = tt_stamp_clock_now(clock);

    return MIN(hello->start_stamp, now);
}

/* The session that goes on began when its program did. */
static void begin_earlier(TtTimescale *scale, guint64 ns) {
    guint64 stamps = tt_timescale_stamp(scale, ns) - scale->start_stamp;

    scale->start_stamp -= MIN(stamps, scale->start_stamp);
    scale->start_realtime_ns -= MIN(ns, scale->start_realtime_ns);
}

char *tt_hello_read(TtCursor records, gint pid, TtCalibration *calibration,
                    TtSessionInfo **ret_info, TtStampClock *ret_clock, TtResumption *ret_resumption,
                    TtForkInstant *ret_fork) {
    TtRawRecord raw;
    TtRecordHello hello;

    if (tt_decode_framed(&records, &raw) != TT_ITEM_RECORD || raw.number != TT_RECORD_HELLO ||
        tt_decode_hello(&raw, &hello) < 0)
        return g_strdup("The first message is neither a hello nor a request");
    if (find_fault(&hello))
        return g_strdup(find_fault(&hello));

    TtStampClock clock = {.kind = (TtClock)hello.clock, .shift = (guint)hello.clock_shift};
    if (clock.kind == TT_CLOCK_MONOTONIC)
        clock.offset_ns = tt_process_get_clock_offset_ns(pid);

    TtSessionInfo *info = g_new0(TtSessionInfo, 1);
    memcpy(info->id, hello.session.text, TT_SESSION_ID_BYTES);
    info->pid = pid;
    info->own_pid = (gint)MIN(hello.pid, (guint64)G_MAXINT);
    info->exe = g_strndup(hello.executable.text, hello.executable.len);
    info->command_line = read_arguments(&records);
    tt_calibration_get_scale(calibration, &clock, &info->timescale);
    info->timescale.start_stamp = get_start_stamp(&hello, &clock);
    info->timescale.start_realtime_ns = hello.start_realtime_ns;
    info->page_size = hello.page_size;
    info->sample_bytes = hello.sample_bytes;
    info->hello_flags = (guint)hello.flags;
    info->untraced_before_ns = hello.untraced_before_ns;
    info->clock = clock.kind;
    info->clock_shift = clock.shift;
    if (hello.parent_session.len > 0 &&
        (hello.parent_relation == TT_RELATION_FORK || hello.parent_relation == TT_RELATION_EXEC)) {
        info->parent_relation = (TtRelation)hello.parent_relation;
        memcpy(info->parent_id, hello.parent_session.text, TT_SESSION_ID_BYTES);
    }
    if (info->hello_flags & TT_HELLO_RESUMED) {
        *ret_resumption = (TtResumption){.stamp = tt_stamp_clock_now(&clock),
                                         .events_before = hello.events_before};
        begin_earlier(&info->timescale, hello.untraced_before_ns);
    } else {
        *ret_resumption = (TtResumption){0};
    }
    *ret_fork = (TtForkInstant){.stamp = 0};
    if (info->parent_relation == TT_RELATION_FORK)
        *ret_fork = (TtForkInstant){.stamp = hello.fork_stamp,
                                    .token = hello.fork_token,
                                    .others = hello.fork_others,
                                    .stacks = hello.fork_stacks,
                                    .modules = hello.fork_modules,
                                    .tid = hello.fork_tid,
                                    .scopes = hello.fork_scopes};
    *ret_info = info;
    *ret_clock = clock;
    return NULL;
}
