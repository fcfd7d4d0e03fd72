/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the document that may be large: blocks, and the stacks that they were born and died
 * on. Blocks are read in slices and never kept, so a slice is all the memory they cost. */
#include "protocol/checked.h"
#include "report/json-parts.h"
#include "report/text.h"

/* Rows at a time: some 400 KiB. The owner of the session is busy for a slice, then free. */
#define SLICE_ROWS 4096

void tt_json_collect_stack(TtJsonReport *report, guint32 stack) {
    if (g_hash_table_add(report->stack_set, GUINT_TO_POINTER(stack)))
        tt_frame_names_add_stack(report->names, stack);
}

void tt_json_collect_stacks(TtJsonReport *report) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE_ROWS);
    gsize site_count, count, first = 0;
    const TtSiteRow *sites = tt_snapshot_get_sites(report->snapshot, &site_count);

    for (gsize i = 0; i < site_count; i++)
        if (tt_json_has_counts(&sites[i]))
            tt_json_collect_stack(report, sites[i].stack);
    /* Every live block's site is among those; frees have stacks of their own. */
    while ((count = tt_snapshot_read_freed(report->snapshot, first, rows, SLICE_ROWS)) > 0) {
        for (gsize i = 0; i < count; i++) {
            tt_json_collect_stack(report, rows[i].stack);
            if (rows[i].freed_stack != TT_STACK_NONE)
                tt_json_collect_stack(report, rows[i].freed_stack);
        }
        first += count;
    }
    tt_frame_names_resolve(report->names);
}

static void write_frame(TtJsonReport *report, const TtNamedFrame *frame) {
    TtJsonWriter *writer = report->writer;
    const TtModuleRow *module = frame->module == TT_NONE ? NULL : &report->modules[frame->module];

    tt_json_begin_object(writer);
    tt_json_put_addr(writer, "ip", frame->ip);
    tt_json_put_string(writer, "module", module ? module->path : NULL);
    tt_json_put_build_id(writer, module ? module->build_id : NULL);
    tt_json_key(writer, "offset");
    if (module)
        tt_json_addr(writer, frame->offset);
    else
        tt_json_null(writer);
    tt_json_put_string(writer, "function", frame->function);
    tt_json_put_string(writer, "file", frame->file);
    tt_json_put_line(writer, frame->line);
    tt_json_put_bool(writer, "inlined", frame->is_inlined);
    tt_json_end_object(writer);
}

static gint compare_ids(gconstpointer a, gconstpointer b) {
    guint32 one = *(const guint32 *)a, other = *(const guint32 *)b;

    return (one > other) - (one < other);
}

void tt_json_write_stacks(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, report->stack_set);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        guint32 id = GPOINTER_TO_UINT(key);

        g_array_append_val(ids, id);
    }
    g_array_sort(ids, compare_ids);

    tt_json_key(writer, "stacks");
    tt_json_begin_array(writer);
    for (guint i = 0; i < ids->len && !tt_json_has_failed(writer); i++) {
        guint32 id = g_array_index(ids, guint32, i);
        gboolean is_truncated;
        gsize count;
        const TtNamedFrame *frames = tt_frame_names_get(report->names, id, &count, &is_truncated);

        tt_json_begin_object(writer);
        tt_json_put_uint(writer, "id", id);
        tt_json_put_bool(writer, "truncated", is_truncated);
        tt_json_key(writer, "frames");
        tt_json_begin_array(writer);
        for (gsize j = 0; j < count; j++)
            write_frame(report, &frames[j]);
        tt_json_end_array(writer);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
}

static void put_epoch_ms(TtJsonReport *report, const char *key, guint64 time_ns) {
    guint64 start_ns = report->info->timescale.start_realtime_ns;

    tt_json_put_time(report->writer, key,
                     time_ns == TT_TIME_NONE ? TT_TIME_NONE
                                             : tt_saturating_add(start_ns, time_ns) / 1000000);
}

static void put_birth_ms(TtJsonReport *report, const TtBlockRow *row) {
    guint64 start_ns = report->info->timescale.start_realtime_ns;

    if (row->before_ns == 0)
        put_epoch_ms(report, "timestamp_alloc", row->born_ns);
    else
        tt_json_put_time(report->writer, "timestamp_alloc",
                         tt_saturating_sub(start_ns, row->before_ns) / 1000000);
}

static void put_name_and_type(TtJsonReport *report, guint32 index) {
    const TtVariableRow *variable =
        index < report->variable_count ? &report->variables[index] : NULL;

    tt_json_put_known(report->writer, "var_name", variable ? variable->name : NULL);
    tt_json_put_type(report, "type_name", index);
}

static void put_ips(TtJsonReport *report, guint32 stack) {
    TtFrame frames[TT_STACK_DEPTH_MAX];
    gsize count = tt_snapshot_get_frames(report->snapshot, stack, frames, NULL);

    tt_json_key(report->writer, "backtrace_ips");
    tt_json_begin_array(report->writer);
    for (gsize i = 0; i < count; i++)
        tt_json_addr(report->writer, frames[i].ip);
    tt_json_end_array(report->writer);
}

static void put_usable_size(TtJsonWriter *writer, const TtBlockRow *row) {
    guint64 usable;

    if (tt_block_row_get_usable(row, &usable))
        tt_json_put_uint(writer, "usable_size", usable);
    else
        tt_json_put_null(writer, "usable_size");
}

void tt_json_put_block(TtJsonReport *report, const TtBlockRow *row) {
    TtJsonWriter *writer = report->writer;

    tt_json_put_uint(writer, "id", row->id);
    tt_json_put_uint(writer, "ptr", row->addr);
    tt_json_put_addr(writer, "address", row->addr);
    tt_json_put_uint(writer, "size", row->size);
    if (report->sample) {
        tt_json_put_uint(writer, "represents_blocks", row->weight.blocks);
        tt_json_put_uint(writer, "represents_bytes", row->weight.bytes);
    }
    put_usable_size(writer, row);
    put_birth_ms(report, row);
    put_epoch_ms(report, "timestamp_dealloc", row->died_ns);
    tt_json_put_uint(writer, "born_ns", row->born_ns);
    tt_json_put_time(writer, "died_ns", row->died_ns);
    tt_json_put_thread(report, "thread_id", row->thread);
    tt_json_put_thread(report, "freed_by_thread", row->freed_by);
    put_name_and_type(report, row->variable);
    tt_json_put_scope(report, "scope", row->scope);
    tt_json_put_uint(writer, "stack", row->stack);
    if (row->freed_stack != TT_STACK_NONE)
        tt_json_put_uint(writer, "freed_stack", row->freed_stack);
    tt_json_put_time(writer, "resized_from", row->resized_from ? row->resized_from : TT_TIME_NONE);
    tt_json_put_bool(writer, "inherited", row->is_inherited);
    if (report->options->is_full)
        put_ips(report, row->stack);
}

static void write_block(TtJsonReport *report, const TtBlockRow *row) {
    tt_json_begin_object(report->writer);
    tt_json_put_block(report, row);
    tt_json_end_object(report->writer);
}

void tt_json_write_live(TtJsonReport *report) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE_ROWS);
    gsize count;

    tt_json_key(report->writer, "active_allocations");
    tt_json_begin_array(report->writer);
    tt_snapshot_rewind_live(report->snapshot);
    while (!tt_json_has_failed(report->writer) &&
           (count = tt_snapshot_next_live(report->snapshot, rows, SLICE_ROWS)) > 0)
        for (gsize i = 0; i < count; i++)
            write_block(report, &rows[i]);
    tt_json_end_array(report->writer);
}

void tt_json_write_freed(TtJsonReport *report) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE_ROWS);
    gsize count, first = 0;

    tt_json_key(report->writer, "freed_allocations");
    tt_json_begin_array(report->writer);
    while (!tt_json_has_failed(report->writer) &&
           (count = tt_snapshot_read_freed(report->snapshot, first, rows, SLICE_ROWS)) > 0) {
        for (gsize i = 0; i < count; i++)
            write_block(report, &rows[i]);
        first += count;
    }
    tt_json_end_array(report->writer);
}
