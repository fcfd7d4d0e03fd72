/* SPDX-License-Identifier: Apache-2.0 */
/* The door of this room: a snapshot in, one document out. A report neither knows where its session
 * lives nor where its bytes go; it reads what the snapshot holds and writes to a sink, in slices,
 * so that its own memory does not grow with the number of blocks. */
#pragma once

#include "base/sink.h"
#include "model/snapshot.h"
#include "scan/scan.h"
#include "symbols/symbols.h"

G_BEGIN_DECLS

/**
 * TtRelated:
 * @id: the other session
 * @pid: its process
 * @exe: raw bytes; "" where unknown
 * @relation: what it is to the session shown: "parent", "child", "exec_from" or "exec_to"
 *
 * A session that this one descends from or gave rise to.
 */
typedef struct TtRelated {
    guint8 id[16];
    gint pid;
    char *exe;
    const char *relation;
} TtRelated;

/**
 * TtReportOptions:
 * @is_full: JSON: write `backtrace_ips` into every block
 * @top: SVG, diff: how many entries a ranking shows; 0 for its own choice
 * @view: (nullable): SVG: one that tt_report_has_view() knows; %NULL for "overview"
 * @related: (array length=related_count) (nullable): sessions to be named, in this order
 * @related_count: 0 for none
 * @is_text: of a diff, of lives or of leaks: text for people, not JSON
 * @columns: of that text's lines at most; 0 for no limit
 * @now_realtime_ns: the present time, as its start by CLOCK_REALTIME and what has passed since, for
 * a session that still runs. 0 for a state that is no longer the present one: then the state's own
 * time stands, so that one recording exports to the same bytes twice
 *
 * What is asked of a report. Borrows everything; a zeroed one is valid.
 */
typedef struct TtReportOptions {
    gboolean is_full;
    guint top;
    const char *view;
    const TtRelated *related;
    gsize related_count;
    gboolean is_text;
    guint columns;
    guint64 now_realtime_ns;
} TtReportOptions;

/**
 * tt_report_json:
 * @snapshot: its live blocks are read from the start to the end; rewound first
 * @symbols: (nullable): %NULL for no names: functions, files and lines are null then
 * @options: (transfer none): @is_full, @related and @now_realtime_ns count
 * @sink: takes the document; the caller flushes and closes it
 * @error: what the sink said. Names that cannot be had are no error: they are null
 *
 * Writes the session as one JSON document, valid against the installed schema. Strings of the
 * traced program may hold any bytes; the document is UTF-8 and free of control characters whatever
 * they are. Needs memory for sites and names, never for blocks. Any one thread at a time for a
 * snapshot; may block on the sink and on the symbolizer.
 *
 * Returns: %FALSE with @error set where the document is not whole
 */
gboolean tt_report_json(TtSnapshot *snapshot, TtSymbols *symbols, const TtReportOptions *options,
                        TtSink *sink, GError **error);

/**
 * tt_report_svg:
 * @snapshot: its live blocks may be read; rewound first
 * @symbols: (nullable): %NULL for no names: sites are called module+0xoffset then
 * @options: (transfer none): @view must be one that tt_report_has_view() knows
 * @sink: takes the picture; the caller flushes and closes it
 * @error: what the sink said, or that the picture could not be made
 *
 * Writes one view of the session as an SVG document of its own: no script of others, no font, no
 * image from elsewhere. Its figures equal those of tt_report_json() for the same snapshot. Any one
 * thread at a time for a snapshot; may block on the sink and on the symbolizer.
 *
 * Returns: %FALSE with @error set where the picture is not whole
 */
gboolean tt_report_svg(TtSnapshot *snapshot, TtSymbols *symbols, const TtReportOptions *options,
                       TtSink *sink, GError **error);

/**
 * tt_report_diff:
 * @before: the earlier instant
 * @after: the later one, of the same session; its live blocks are read
 * @options: (transfer none): @top, @is_text and @columns count
 *
 * Writes what was born after the one and is alive at the other, by stack; what of the former state
 * has survived and what was freed; how it has grown. As JSON (the schema of diffs) or as a table.
 *
 * Returns: %FALSE with @error set where the document is not whole
 */
gboolean tt_report_diff(TtSnapshot *before, TtSnapshot *after, TtSymbols *symbols,
                        const TtReportOptions *options, TtSink *sink, GError **error);

/**
 * tt_report_lives:
 * @snapshot: with lives (tt_snapshot_get_lives)
 * @addr: whose they are
 * @options: (transfer none): @is_full, @is_text and @columns count
 *
 * Writes which blocks an address is or was in, the newest first, with threads and stacks. As JSON
 * (the schema of lives) or as text.
 *
 * Returns: %FALSE with @error set where the document is not whole
 */
gboolean tt_report_lives(TtSnapshot *snapshot, guint64 addr, TtSymbols *symbols,
                         const TtReportOptions *options, TtSink *sink, GError **error);

/**
 * TtLeaksOptions:
 * @suppressions: (nullable): a file in LeakSanitizer's format (suppress.h); not trusted
 * @why_not: (nullable): where the memory was not looked at, why, as a sentence; not trusted
 * @shows: which classes are listed, a bit each (1 << TtLeakClass)
 * @stood_still_ns: how long the process was stopped for it; 0: it was not
 *
 * What a report of leaks is about, beside TtReportOptions.
 */
typedef struct TtLeaksOptions {
    const char *suppressions;
    const char *why_not;
    guint shows;
    guint64 stood_still_ns;
} TtLeaksOptions;

/**
 * TtLeaksFound:
 * @classes: sums of each class, without what was suppressed
 * @suppressed: sums of that; none of it is reachable
 * @growth_count: stacks that grow, without those suppressed
 */
typedef struct TtLeaksFound {
    gboolean has_classes;
    TtAmount classes[TT_LEAK_CLASSES];
    TtAmount suppressed;
    guint64 growth_count;
} TtLeaksFound;

/**
 * tt_report_leaks:
 * @scan: of @snapshot
 * @options: (transfer none): @top, @is_text and @columns count
 * @ret_found: (out): what was found, for whoever wants to judge it
 * @error: G_IO_ERROR_INVALID_DATA where the suppressions are not to be understood
 *
 * Writes the leaks of a session by class and stack, and which stacks go on growing. Each figure
 * says whether it is exact, conservative or estimated. As JSON (the schema of leaks) or as text.
 *
 * Returns: %FALSE with @error set where the document is not whole
 */
gboolean tt_report_leaks(TtSnapshot *snapshot, const TtScan *scan, TtSymbols *symbols,
                         const TtReportOptions *options, const TtLeaksOptions *leaks, TtSink *sink,
                         TtLeaksFound *ret_found, GError **error);

/**
 * tt_report_has_view:
 * @view: a name, not trusted
 *
 * Returns: whether tt_report_svg() draws it
 */
gboolean tt_report_has_view(const char *view);

G_END_DECLS
