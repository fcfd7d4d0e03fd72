/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an address is or was: a few blocks, each told in full. */
#include "report/json-parts.h"
#include "report/plain.h"
#include "report/stack-text.h"
#include "report/svg/scale.h"
#include "report/text.h"

static gboolean is_live(const TtBlockRow *row) { return row->died_ns == TT_TIME_NONE; }

static void collect(TtJsonReport *report, const TtBlockRow *rows, gsize count) {
    for (gsize i = 0; i < count; i++) {
        tt_json_collect_stack(report, rows[i].stack);
        if (rows[i].freed_stack != TT_STACK_NONE)
            tt_json_collect_stack(report, rows[i].freed_stack);
    }
    tt_frame_names_resolve(report->names);
}

/* ---- As JSON ---- */

static void write_life(TtJsonReport *report, const TtBlockRow *row, guint64 addr) {
    TtBlockRow told = *row;

    if (told.died_ns == TT_TIME_UNKNOWN)
        told.died_ns = TT_TIME_NONE;
    tt_json_begin_object(report->writer);
    tt_json_put_uint(report->writer, "offset_in_block", addr - row->addr);
    tt_json_put_bool(report->writer, "is_live", is_live(row));
    tt_json_put_block(report, &told);
    tt_json_end_object(report->writer);
}

static void write_json(TtJsonReport *report, guint64 addr, const TtBlockRow *rows, gsize count) {
    TtJsonWriter *writer = report->writer;
    const TtCompleteness *completeness = tt_snapshot_get_completeness(report->snapshot);

    tt_json_begin_object(writer);
    tt_json_write_generator(writer);
    tt_json_write_session(report);
    tt_json_put_addr(writer, "address", addr);
    tt_json_put_uint(writer, "ptr", addr);
    tt_json_put_uint(writer, "t_ns", tt_snapshot_get_time_ns(report->snapshot));
    tt_json_put_bool(writer, "exact", completeness->exact);
    tt_json_put_uint(writer, "history_dropped", completeness->history_dropped);
    tt_json_put_uint(writer, "sample_bytes", report->info->sample_bytes);
    tt_json_write_doubts(writer, completeness);
    tt_json_key(writer, "lives");
    tt_json_begin_array(writer);
    for (gsize i = 0; i < count; i++)
        write_life(report, &rows[i], addr);
    tt_json_end_array(writer);
    tt_json_write_stacks(report);
    tt_json_end_object(writer);
}

/* ---- As text ---- */

static void write_stack(TtPlain *plain, const TtJsonReport *report, guint32 stack) {
    tt_stack_text_write(plain, report->names, report->snapshot, stack, "             ", 0);
}

static void write_time(TtPlain *plain, guint64 ns) {
    tt_plain_addf(plain, "%" G_GUINT64_FORMAT ".%09u s", ns / 1000000000, (guint)(ns % 1000000000));
}

static void write_thread(TtPlain *plain, const TtJsonReport *report, guint32 thread) {
    if (thread < report->thread_count) {
        tt_plain_addf(plain, ", thread %u", report->threads[thread].tid);
        if (report->threads[thread].name && *report->threads[thread].name)
            tt_plain_addf(plain, " (%s)", report->threads[thread].name);
    }
    tt_plain_end_line(plain);
}

/* "born 1.20 s, thread 123 (worker)", exactly. */
static void write_event(TtPlain *plain, const TtJsonReport *report, const char *what, guint64 ns,
                        guint32 thread) {
    tt_plain_cell(plain, what, 13, TT_PLAIN_LEFT);
    write_time(plain, ns);
    write_thread(plain, report, thread);
}

/* It was born in the parent, to which the thread belonged. */
static void write_inheritance(TtPlain *plain, const TtJsonReport *report, const TtBlockRow *row) {
    tt_plain_cell(plain, "  inherited", 13, TT_PLAIN_LEFT);
    tt_plain_add(plain, "born ");
    write_time(plain, row->before_ns);
    tt_plain_add(plain, " before this session");
    write_thread(plain, report, row->thread);
}

static void write_name(TtPlain *plain, const TtJsonReport *report, const TtBlockRow *row) {
    const char *type = tt_variable_types_find(report->types, row->variable, NULL);

    if (row->variable >= report->variable_count)
        return;
    tt_plain_cell(plain, "  variable", 13, TT_PLAIN_LEFT);
    tt_plain_add(plain, report->variables[row->variable].name);
    if (type)
        tt_plain_addf(plain, ", %s", type);
    tt_plain_end_line(plain);
}

/* "stands for 41 blocks (±41) of 4.00 KB (±3.9 KB)": what it counts for in all sums. */
static void write_weight(TtPlain *plain, const TtJsonReport *report, const TtBlockRow *row) {
    TtVariance variance = tt_snapshot_get_block_variance(report->snapshot, row);
    TtAmount error = tt_variance_get_error(&variance);
    g_autofree char *blocks = tt_scale_things(row->weight.blocks, "block");
    g_autofree char *bytes = tt_scale_bytes(row->weight.bytes);
    g_autofree char *bytes_error = tt_scale_bytes(error.bytes);

    tt_plain_cell(plain, "  stands for", 13, TT_PLAIN_LEFT);
    tt_plain_addf(plain, "%s (±%" G_GUINT64_FORMAT ") of %s (±%s)", blocks, error.blocks, bytes,
                  bytes_error);
    tt_plain_end_line(plain);
}

static void write_story(TtPlain *plain, TtJsonReport *report, const TtBlockRow *row, guint64 addr) {
    g_autofree char *size = tt_scale_things(row->size, "byte");
    guint64 usable;

    tt_plain_end_line(plain);
    tt_plain_addf(plain, "block %" G_GUINT64_FORMAT ", %s: %s at 0x%" G_GINT64_MODIFIER "x",
                  row->id, is_live(row) ? "alive" : "freed", size, row->addr);
    if (tt_block_row_get_usable(row, &usable))
        tt_plain_addf(plain, " (%" G_GUINT64_FORMAT " usable)", usable);
    tt_plain_addf(plain, ", the address is at offset %" G_GUINT64_FORMAT, addr - row->addr);
    tt_plain_end_line(plain);
    write_name(plain, report, row);
    if (row->resized_from) {
        tt_plain_addf(plain, "  resized    from block %" G_GUINT64_FORMAT, row->resized_from);
        tt_plain_end_line(plain);
    }
    if (report->sample)
        write_weight(plain, report, row);
    if (row->is_inherited)
        write_inheritance(plain, report, row);
    else
        write_event(plain, report, "  born", row->born_ns, row->thread);
    write_stack(plain, report, row->stack);
    if (row->died_ns == TT_TIME_UNKNOWN) {
        tt_plain_add(plain, "  died       not known when: a mark has kept the block, its end is "
                            "no longer retained");
        tt_plain_end_line(plain);
    } else if (!is_live(row)) {
        write_event(plain, report, "  died", row->died_ns, row->freed_by);
    }
    if (row->freed_stack != TT_STACK_NONE)
        write_stack(plain, report, row->freed_stack);
}

static void write_text(TtPlain *plain, TtJsonReport *report, guint64 addr, const TtBlockRow *rows,
                       gsize count) {
    const TtCompleteness *completeness = tt_snapshot_get_completeness(report->snapshot);
    g_autofree char *lives = tt_scale_things(count, "block");

    tt_plain_addf(plain, "0x%" G_GINT64_MODIFIER "x in %s, pid %d: ", addr,
                  tt_text_basename(report->info->exe), report->info->pid);
    tt_plain_add(plain, count > 0 ? lives : "no block that is known was there");
    tt_plain_end_line(plain);
    if (completeness->history_dropped > 0) {
        g_autofree char *dropped = tt_scale_things(completeness->history_dropped, "block");
        g_autofree char *text = g_strdup_printf(
            "%s freed long ago are no longer retained; the address may have been theirs too.",
            dropped);

        tt_plain_paragraph(plain, text);
    }
    if (report->sample) {
        g_autofree char *mean = tt_scale_bytes(report->sample->mean_bytes);
        g_autofree char *text =
            g_strdup_printf("A sample of one in %s is known; the address may have "
                            "been of blocks that are not in it.",
                            mean);

        tt_plain_paragraph(plain, text);
    }
    for (gsize i = 0; i < count; i++)
        write_story(plain, report, &rows[i], addr);
}

gboolean tt_report_lives(TtSnapshot *snapshot, guint64 addr, TtSymbols *symbols,
                         const TtReportOptions *options, TtSink *sink, GError **error) {
    g_autoptr(TtJsonWriter) writer = options->is_text ? NULL : tt_json_writer_new(sink);
    TtJsonReport report = {.writer = writer};
    gsize count;
    const TtBlockRow *rows = tt_snapshot_get_lives(snapshot, &count);

    tt_json_open_report(&report, snapshot, symbols, options);
    collect(&report, rows, count);
    if (options->is_text) {
        g_auto(TtPlain) plain = {0};

        tt_plain_init(&plain, sink, options->columns);
        write_text(&plain, &report, addr, rows, count);
    } else {
        write_json(&report, addr, rows, count);
    }
    tt_json_close_report(&report);
    return options->is_text ? tt_sink_write(sink, "", 0, error) : tt_json_finish(writer, error);
}
