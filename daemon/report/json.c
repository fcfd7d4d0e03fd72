/* SPDX-License-Identifier: Apache-2.0 */
/* A session as one JSON document: its order, and what is said of the whole.
 *
 * What is hard is size: two million blocks are a gigabyte of text. So the document is in the order
 * in which it can be written at once: everything small first, the two arrays of blocks last, and
 * each value leaves as soon as it is known. The one thing that must be known before is which stacks
 * are referred to, because they are named in bulk. */
#include <sys/wait.h>

#include "protocol/checked.h"
#include "report/json-parts.h"
#include "report/text.h"

#define SCHEMA_VERSION 1

void tt_json_put_id(TtJsonWriter *writer, const char *key, const guint8 *id) {
    char text[2 * TT_SESSION_ID_BYTES + 1];

    tt_json_put_string(writer, key, tt_text_hex(id, TT_SESSION_ID_BYTES, text));
}

void tt_json_put_time(TtJsonWriter *writer, const char *key, guint64 time_ns) {
    tt_json_key(writer, key);
    if (time_ns == TT_TIME_NONE)
        tt_json_null(writer);
    else
        tt_json_uint(writer, time_ns);
}

void tt_json_put_known(TtJsonWriter *writer, const char *key, const char *text) {
    tt_json_put_string(writer, key, text && *text ? text : NULL);
}

void tt_json_put_thread(TtJsonReport *report, const char *key, guint32 thread) {
    tt_json_key(report->writer, key);
    if (thread < report->thread_count)
        tt_json_uint(report->writer, report->threads[thread].tid);
    else
        tt_json_null(report->writer);
}

void tt_json_put_type(TtJsonReport *report, const char *key, guint32 variable) {
    const char *source;

    tt_json_put_string(report->writer, key,
                       tt_variable_types_find(report->types, variable, &source));
    tt_json_put_string(report->writer, "type_source", source);
}

static void put_realtime(TtJsonWriter *writer, const char *key, guint64 realtime_ns) {
    char text[TT_TEXT_RFC3339_BYTES];

    tt_json_put_string(writer, key, tt_text_rfc3339(realtime_ns, text));
}

void tt_json_put_retained(TtJsonReport *report, const char *key, guint64 count) {
    tt_json_key(report->writer, key);
    if (tt_snapshot_is_led_back(report->snapshot))
        tt_json_null(report->writer);
    else
        tt_json_uint(report->writer, count);
}

/* When the state shown was so. */
static guint64 state_realtime_ns(const TtJsonReport *report) {
    if (tt_snapshot_get_state(report->snapshot, NULL) == TT_SESSION_RUNNING &&
        tt_snapshot_get_instant(report->snapshot)->kind == TT_INSTANT_NOW &&
        report->options->now_realtime_ns > 0)
        return report->options->now_realtime_ns;
    return tt_saturating_add(report->info->timescale.start_realtime_ns,
                             tt_snapshot_get_time_ns(report->snapshot));
}

static void write_related(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;

    tt_json_key(writer, "related");
    tt_json_begin_array(writer);
    for (gsize i = 0; i < report->options->related_count; i++) {
        const TtRelated *related = &report->options->related[i];

        tt_json_begin_object(writer);
        tt_json_put_id(writer, "session", related->id);
        tt_json_key(writer, "pid");
        tt_json_int(writer, related->pid);
        tt_json_put_known(writer, "exe", related->exe);
        tt_json_put_string(writer, "relation", related->relation);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
}

static void write_state(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;
    gint status = -1;
    TtSessionState state = tt_snapshot_get_state(report->snapshot, &status);

    tt_json_put_string(writer, "state", tt_session_state_name(state));
    tt_json_key(writer, "exit_status");
    if (status >= 0 && WIFEXITED(status))
        tt_json_int(writer, WEXITSTATUS(status));
    else
        tt_json_null(writer);
    tt_json_key(writer, "signal");
    if (status >= 0 && WIFSIGNALED(status))
        tt_json_int(writer, WTERMSIG(status));
    else
        tt_json_null(writer);
}

static void write_process(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;
    const TtSessionInfo *info = report->info;

    tt_json_key(writer, "process");
    tt_json_begin_object(writer);
    tt_json_put_id(writer, "session", info->id);
    tt_json_key(writer, "pid");
    tt_json_int(writer, info->pid);
    tt_json_key(writer, "own_pid");
    tt_json_int(writer, info->own_pid);
    if (info->parent_relation == TT_RELATION_NONE)
        tt_json_put_null(writer, "parent_session");
    else
        tt_json_put_id(writer, "parent_session", info->parent_id);
    tt_json_put_known(writer, "exe", info->exe);
    tt_json_key(writer, "command_line");
    tt_json_begin_array(writer);
    for (char **argument = info->command_line; argument && *argument; argument++)
        tt_json_string(writer, *argument);
    tt_json_end_array(writer);
    put_realtime(writer, "start_time", info->timescale.start_realtime_ns);
    tt_json_put_uint(writer, "duration_ns", tt_snapshot_get_time_ns(report->snapshot));
    write_state(report);
    write_related(report);
    tt_json_end_object(writer);
}

void tt_json_write_instant(TtJsonWriter *writer, const char *key, const TtSnapshot *snapshot) {
    const TtInstantRow *instant = tt_snapshot_get_instant(snapshot);

    tt_json_key(writer, key);
    tt_json_begin_object(writer);
    tt_json_put_string(writer, "kind", tt_instant_kind_name(instant->kind));
    tt_json_put_string(writer, "mark", instant->mark);
    tt_json_put_uint(writer, "t_ns", instant->t_ns);
    tt_json_put_string(writer, "source", tt_state_source_name(instant->source));
    tt_json_end_object(writer);
}

static const char *get_symbols_failure(const TtJsonReport *report) {
    const char *failure = tt_frame_names_get_failure(report->names);

    return failure ? failure : tt_variable_types_get_failure(report->types);
}

static void put_unlisted(TtJsonWriter *writer, const char *key, guint64 count) {
    tt_json_key(writer, key);
    if (count == TT_COUNT_UNKNOWN)
        tt_json_null(writer);
    else
        tt_json_uint(writer, count);
}

void tt_json_write_unlisted(TtJsonWriter *writer, const TtCompleteness *completeness) {
    put_unlisted(writer, "unlisted_blocks", completeness->unlisted_blocks);
    put_unlisted(writer, "unlisted_bytes", completeness->unlisted_bytes);
}

void tt_json_write_doubts(TtJsonWriter *writer, const TtCompleteness *completeness) {
    tt_json_key(writer, "doubts");
    tt_json_begin_array(writer);
    for (guint i = 0; completeness->doubts && i < completeness->doubts->len; i++)
        tt_json_string(writer, g_ptr_array_index(completeness->doubts, i));
    tt_json_end_array(writer);
}

static void write_completeness(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;
    const TtCompleteness *completeness = tt_snapshot_get_completeness(report->snapshot);

    tt_json_key(writer, "completeness");
    tt_json_begin_object(writer);
    tt_json_put_bool(writer, "exact", completeness->exact);
    tt_json_put_uint(writer, "dropped_events", completeness->dropped_events);
    tt_json_write_gaps(report);
    tt_json_put_uint(writer, "unknown_frees", completeness->unknown_frees);
    tt_json_put_uint(writer, "double_frees", completeness->double_frees);
    tt_json_put_uint(writer, "synthesized_frees", completeness->synthesized_frees);
    tt_json_put_bool(writer, "has_paused", completeness->has_paused);
    tt_json_put_uint(writer, "truncated_stacks", completeness->truncated_stacks);
    tt_json_put_uint(writer, "untraced_before_ns", completeness->untraced_before_ns);
    tt_json_put_uint(writer, "sample_bytes", report->info->sample_bytes);
    tt_json_put_uint(writer, "shed_blocks", completeness->shed_blocks);
    tt_json_put_uint(writer, "history_dropped", completeness->history_dropped);
    tt_json_write_unlisted(writer, completeness);
    tt_json_write_doubts(writer, completeness);
    tt_json_put_string(writer, "symbols_failure", get_symbols_failure(report));
    tt_json_end_object(writer);
}

/* How far the totals of a sampled session may be off; null where every event was told. */
static void write_sampling(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;
    const TtSample *sample = report->sample;

    tt_json_key(writer, "sampling");
    if (!sample) {
        tt_json_null(writer);
        return;
    }
    tt_json_begin_object(writer);
    tt_json_put_uint(writer, "mean_bytes", sample->mean_bytes);
    tt_json_put_uint(writer, "sampled_allocations", sample->allocations);
    tt_json_put_uint(writer, "sampled_frees", sample->frees);
    tt_json_put_uint(writer, "total_allocations_error", sample->errors.live.blocks);
    tt_json_put_uint(writer, "total_allocated_error", sample->errors.live.bytes);
    tt_json_put_uint(writer, "cumulative_allocations_error", sample->errors.cumulative.blocks);
    tt_json_put_uint(writer, "cumulative_allocated_error", sample->errors.cumulative.bytes);
    tt_json_put_uint(writer, "cumulative_frees_error", sample->errors.freed.blocks);
    tt_json_put_uint(writer, "cumulative_freed_error", sample->errors.freed.bytes);
    tt_json_put_uint(writer, "peak_bytes_error", sample->errors.peak.bytes);
    tt_json_put_uint(writer, "peak_blocks_error", sample->errors.peak.blocks);
    tt_json_end_object(writer);
}

/* In a sample they count by the weights of old blocks, which a state that was led back may have
 * lost.
 */
static void put_reallocations(TtJsonReport *report, guint64 count) {
    if (report->sample)
        tt_json_put_retained(report, "reallocations", count);
    else
        tt_json_put_uint(report->writer, "reallocations", count);
}

static void write_totals(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;
    const TtTotals *totals = tt_snapshot_get_totals(report->snapshot);

    tt_json_put_uint(writer, "total_allocations", totals->live_blocks);
    tt_json_put_uint(writer, "total_allocated", totals->live_bytes);
    tt_json_put_uint(writer, "cumulative_allocations", totals->cumulative_allocations);
    tt_json_put_uint(writer, "cumulative_allocated", totals->cumulative_allocated);
    tt_json_put_uint(writer, "cumulative_frees", totals->cumulative_frees);
    tt_json_put_uint(writer, "cumulative_freed", totals->cumulative_freed);
    put_reallocations(report, totals->reallocations);
    tt_json_put_retained(report, "temporary_allocations", totals->temporary_allocations);
    tt_json_put_uint(writer, "inherited_blocks", totals->inherited_blocks);
    tt_json_put_uint(writer, "inherited_bytes", totals->inherited_bytes);
    tt_json_put_uint(writer, "peak_bytes", totals->peak_bytes);
    tt_json_put_uint(writer, "peak_blocks", totals->peak_blocks);
    tt_json_put_uint(writer, "peak_ns", totals->peak_ns);
}

void tt_json_write_generator(TtJsonWriter *writer) {
    tt_json_put_uint(writer, "schema_version", SCHEMA_VERSION);
    tt_json_put_string(writer, "generator", "trace-tools " TT_VERSION);
}

void tt_json_write_session(TtJsonReport *report) {
    tt_json_put_id(report->writer, "session", report->info->id);
    tt_json_key(report->writer, "pid");
    tt_json_int(report->writer, report->info->pid);
    tt_json_put_known(report->writer, "exe", report->info->exe);
}

static void write_document(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;

    tt_json_begin_object(writer);
    tt_json_write_generator(writer);
    put_realtime(writer, "timestamp", state_realtime_ns(report));
    write_process(report);
    tt_json_write_instant(writer, "instant", report->snapshot);
    write_completeness(report);
    write_sampling(report);
    write_totals(report);
    tt_json_write_hotspots(report);
    tt_json_write_threads(report);
    tt_json_write_modules(report);
    tt_json_write_variables(report);
    tt_json_write_scopes(report);
    tt_json_write_types(report);
    tt_json_write_timeline(report);
    tt_json_write_marks(report);
    tt_json_write_stacks(report);
    tt_json_write_live(report);
    tt_json_write_freed(report);
    tt_json_end_object(writer);
}

void tt_json_open_report(TtJsonReport *report, TtSnapshot *snapshot, TtSymbols *symbols,
                         const TtReportOptions *options) {
    report->snapshot = snapshot;
    report->symbols = symbols;
    report->options = options;
    report->names = tt_frame_names_new(snapshot, symbols);
    report->types = tt_variable_types_new(snapshot, symbols);
    report->stack_set = g_hash_table_new(NULL, NULL);
    report->info = tt_snapshot_get_info(snapshot);
    report->sample = tt_snapshot_get_sample(snapshot);
    report->threads = tt_snapshot_get_threads(snapshot, &report->thread_count);
    report->variables = tt_snapshot_get_variables(snapshot, &report->variable_count);
    report->scopes = tt_snapshot_get_scopes(snapshot, &report->scope_count);
    report->modules = tt_snapshot_get_modules(snapshot, &report->module_count);
}

void tt_json_close_report(TtJsonReport *report) {
    g_clear_pointer(&report->stack_set, g_hash_table_unref);
    g_clear_pointer(&report->types, tt_variable_types_free);
    g_clear_pointer(&report->names, tt_frame_names_free);
}

gboolean tt_report_json(TtSnapshot *snapshot, TtSymbols *symbols, const TtReportOptions *options,
                        TtSink *sink, GError **error) {
    g_autoptr(TtJsonWriter) writer = tt_json_writer_new(sink);
    TtJsonReport report = {.writer = writer};

    tt_json_open_report(&report, snapshot, symbols, options);
    tt_json_collect_stacks(&report);
    write_document(&report);
    tt_json_close_report(&report);
    return tt_json_finish(writer, error);
}
