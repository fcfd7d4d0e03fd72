/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of the document that are small next to the blocks: sites, threads, modules, names,
 * times. All are in an order that depends on the session alone, so that equal states give equal
 * documents. */
#include "protocol/checked.h"
#include "report/json-parts.h"
#include "report/text.h"

/* Bounds of a scope's path. A name may be 4 KiB and scopes nest as deep as a program likes. */
#define PATH_LEVELS 32
#define PATH_BYTES 1024

static void begin_list(TtJsonReport *report, const char *key) {
    tt_json_key(report->writer, key);
    tt_json_begin_array(report->writer);
}

void tt_json_put_line(TtJsonWriter *writer, guint line) {
    tt_json_put_time(writer, "line", line > 0 ? line : TT_TIME_NONE);
}

void tt_json_put_build_id(TtJsonWriter *writer, GBytes *build_id) {
    char text[2 * TT_BUILD_ID_MAX + 1];
    gsize len = 0;
    const guint8 *bytes = build_id ? g_bytes_get_data(build_id, &len) : NULL;

    tt_json_put_string(writer, "build_id",
                       len > 0 ? tt_text_hex(bytes, MIN(len, TT_BUILD_ID_MAX), text) : NULL);
}

/* By what is alive, then by what ever was, then by age. */
static gint compare_sites(gconstpointer a, gconstpointer b) {
    const TtSiteRow *one = *(const TtSiteRow *const *)a, *other = *(const TtSiteRow *const *)b;

    if (one->live_bytes != other->live_bytes)
        return one->live_bytes > other->live_bytes ? -1 : 1;
    if (one->cumulative_bytes != other->cumulative_bytes)
        return one->cumulative_bytes > other->cumulative_bytes ? -1 : 1;
    return (one->stack > other->stack) - (one->stack < other->stack);
}

gboolean tt_json_has_counts(const TtSiteRow *site) {
    return site->live_blocks | site->live_bytes | site->cumulative_blocks | site->cumulative_bytes |
           site->freed_blocks | site->freed_bytes | site->peak_bytes;
}

void tt_json_put_site_name(TtJsonReport *report, guint32 stack) {
    TtJsonWriter *writer = report->writer;
    TtNamedFrame frame = {.module = TT_NONE};
    gboolean has_frame = tt_frame_names_find_site(report->names, stack, &frame);

    tt_json_key(writer, "function");
    if (has_frame && !frame.function) {
        g_autofree char *label = tt_frame_names_label(report->names, stack);

        tt_json_string(writer, label);
    } else {
        tt_json_string(writer, frame.function);
    }
    tt_json_put_string(writer, "file", frame.file);
    tt_json_put_line(writer, frame.line);
}

static void write_lifetimes(TtJsonReport *report, const TtSiteRow *site) {
    TtJsonWriter *writer = report->writer;

    tt_json_key(writer, "lifetime_ns");
    if (site->freed_blocks == 0 || tt_snapshot_is_led_back(report->snapshot)) {
        tt_json_null(writer);
        return;
    }
    tt_json_begin_object(writer);
    tt_json_put_uint(writer, "min", site->lifetime_min_ns);
    tt_json_put_uint(writer, "median", site->lifetime_median_ns);
    tt_json_put_uint(writer, "p95", site->lifetime_p95_ns);
    tt_json_put_uint(writer, "max", site->lifetime_max_ns);
    tt_json_end_object(writer);
}

static void write_errors(TtJsonWriter *writer, const TtErrors *errors) {
    tt_json_put_uint(writer, "count_error", errors->live.blocks);
    tt_json_put_uint(writer, "total_size_error", errors->live.bytes);
    tt_json_put_uint(writer, "cumulative_count_error", errors->cumulative.blocks);
    tt_json_put_uint(writer, "cumulative_size_error", errors->cumulative.bytes);
    tt_json_put_uint(writer, "freed_count_error", errors->freed.blocks);
    tt_json_put_uint(writer, "freed_size_error", errors->freed.bytes);
    tt_json_put_uint(writer, "peak_size_error", errors->peak.bytes);
    tt_json_put_uint(writer, "peak_count_error", errors->peak.blocks);
}

/* @errors: or NULL */
static void write_hotspot(TtJsonReport *report, const TtSiteRow *site, const TtErrors *errors) {
    TtJsonWriter *writer = report->writer;

    tt_json_begin_object(writer);
    tt_json_put_uint(writer, "stack", site->stack);
    tt_json_put_site_name(report, site->stack);
    tt_json_put_uint(writer, "count", site->live_blocks);
    tt_json_put_uint(writer, "total_size", site->live_bytes);
    tt_json_put_uint(writer, "cumulative_count", site->cumulative_blocks);
    tt_json_put_uint(writer, "cumulative_size", site->cumulative_bytes);
    tt_json_put_uint(writer, "inherited_count", site->inherited_blocks);
    tt_json_put_uint(writer, "inherited_size", site->inherited_bytes);
    tt_json_put_uint(writer, "freed_count", site->freed_blocks);
    tt_json_put_uint(writer, "freed_size", site->freed_bytes);
    tt_json_put_uint(writer, "peak_size", site->peak_bytes);
    tt_json_put_uint(writer, "peak_count", site->peak_blocks);
    tt_json_put_retained(report, "temporary_count", site->temporary_blocks);
    write_lifetimes(report, site);
    if (errors)
        write_errors(writer, errors);
    tt_json_end_object(writer);
}

void tt_json_write_hotspots(TtJsonReport *report) {
    gsize count;
    const TtSiteRow *sites = tt_snapshot_get_sites(report->snapshot, &count);
    const TtErrors *errors = tt_snapshot_get_site_errors(report->snapshot);
    g_autoptr(GPtrArray) order = g_ptr_array_new();

    for (gsize i = 0; i < count; i++)
        if (tt_json_has_counts(&sites[i]))
            g_ptr_array_add(order, (gpointer)&sites[i]);
    g_ptr_array_sort(order, compare_sites);
    begin_list(report, "allocation_hotspots");
    for (guint i = 0; i < order->len && !tt_json_has_failed(report->writer); i++) {
        const TtSiteRow *site = g_ptr_array_index(order, i);

        write_hotspot(report, site, errors ? &errors[site - sites] : NULL);
    }
    tt_json_end_array(report->writer);
}

void tt_json_write_threads(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;

    begin_list(report, "threads");
    for (gsize i = 0; i < report->thread_count; i++) {
        const TtThreadRow *thread = &report->threads[i];

        tt_json_begin_object(writer);
        tt_json_put_uint(writer, "thread_id", thread->tid);
        tt_json_put_known(writer, "name", thread->name);
        tt_json_put_uint(writer, "allocations", thread->allocations);
        tt_json_put_uint(writer, "allocated", thread->allocated);
        tt_json_put_uint(writer, "frees", thread->frees);
        tt_json_put_uint(writer, "freed", thread->freed);
        tt_json_put_uint(writer, "live_blocks", thread->live_blocks);
        tt_json_put_uint(writer, "live_bytes", thread->live_bytes);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
}

/* What keeps a module's frames from having full names, in one word; NULL where they were not asked
 * for. */
static const char *lack_name(TtSymbols *symbols, const TtModuleRow *row) {
    static const char *const words[] = {
        [TT_SYMBOLS_LACK_NONE] = "full",         [TT_SYMBOLS_LACK_LINES] = "no_lines",
        [TT_SYMBOLS_LACK_NAMES] = "stripped",    [TT_SYMBOLS_LACK_FILE] = "no_file",
        [TT_SYMBOLS_LACK_BUILD] = "other_build", [TT_SYMBOLS_LACK_ELF] = "damaged",
        [TT_SYMBOLS_LACK_ANSWER] = "not_asked",
    };
    TtSymbolModule module = {.path = row->path};
    TtSymbolsLack lack;

    if (!symbols)
        return NULL;
    if (row->build_id)
        module.build_id = g_bytes_get_data(row->build_id, &module.build_id_len);
    lack = tt_symbols_get_lack(symbols, &module);
    return (guint)lack < G_N_ELEMENTS(words) ? words[lack] : NULL;
}

void tt_json_write_modules(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;

    begin_list(report, "modules");
    for (gsize i = 0; i < report->module_count; i++) {
        const TtModuleRow *module = &report->modules[i];

        tt_json_begin_object(writer);
        tt_json_put_uint(writer, "id", module->id);
        tt_json_put_string(writer, "path", module->path);
        tt_json_put_build_id(writer, module->build_id);
        tt_json_put_addr(writer, "start", module->start);
        tt_json_put_addr(writer, "end", module->end);
        tt_json_put_addr(writer, "bias", module->bias);
        tt_json_put_uint(writer, "added_ns", module->added_ns);
        tt_json_put_time(writer, "removed_ns", module->removed_ns);
        tt_json_put_string(writer, "symbols", lack_name(report->symbols, module));
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
}

void tt_json_write_variables(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;

    begin_list(report, "variables");
    for (gsize i = 0; i < report->variable_count; i++) {
        const TtVariableRow *variable = &report->variables[i];

        tt_json_begin_object(writer);
        tt_json_put_string(writer, "name", variable->name);
        tt_json_put_type(report, "type", (guint32)i);
        tt_json_put_known(writer, "file", variable->file);
        tt_json_put_line(writer, variable->line);
        tt_json_put_known(writer, "function", variable->function);
        tt_json_put_uint(writer, "named_blocks", variable->named_blocks);
        tt_json_put_uint(writer, "live_blocks", variable->live_blocks);
        tt_json_put_uint(writer, "live_bytes", variable->live_bytes);
        tt_json_put_uint(writer, "cumulative_bytes", variable->cumulative_bytes);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
}

/* The sums of the variables that share a type. */
typedef struct TypeSum {
    const char *type; /* borrowed from the types */
    const char *source;
    guint64 named_blocks, live_blocks, live_bytes, cumulative_bytes;
} TypeSum;

static gint compare_types(gconstpointer a, gconstpointer b) {
    const TypeSum *one = *(const TypeSum *const *)a, *other = *(const TypeSum *const *)b;

    if (one->live_bytes != other->live_bytes)
        return one->live_bytes > other->live_bytes ? -1 : 1;
    if (one->cumulative_bytes != other->cumulative_bytes)
        return one->cumulative_bytes > other->cumulative_bytes ? -1 : 1;
    return strcmp(one->type, other->type);
}

static GPtrArray *sum_types(const TtJsonReport *report) {
    GPtrArray *sums = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) by_type = g_hash_table_new(g_str_hash, g_str_equal);

    for (gsize i = 0; i < report->variable_count; i++) {
        const TtVariableRow *variable = &report->variables[i];
        const char *source;
        const char *type = tt_variable_types_find(report->types, (guint32)i, &source);
        TypeSum *sum;

        if (!type)
            continue;
        sum = g_hash_table_lookup(by_type, type);
        if (!sum) {
            sum = g_new0(TypeSum, 1);
            sum->type = type;
            g_hash_table_insert(by_type, (gpointer)type, sum);
            g_ptr_array_add(sums, sum);
        }
        /* Where some were declared with it and others found, the program has said so itself. */
        if (!sum->source || g_str_equal(source, TT_TYPE_SOURCE_DECLARED))
            sum->source = source;
        sum->named_blocks = tt_saturating_add(sum->named_blocks, variable->named_blocks);
        sum->live_blocks = tt_saturating_add(sum->live_blocks, variable->live_blocks);
        sum->live_bytes = tt_saturating_add(sum->live_bytes, variable->live_bytes);
        sum->cumulative_bytes =
            tt_saturating_add(sum->cumulative_bytes, variable->cumulative_bytes);
    }
    g_ptr_array_sort(sums, compare_types);
    return sums;
}

void tt_json_write_types(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;
    g_autoptr(GPtrArray) sums = sum_types(report);

    begin_list(report, "memory_by_type");
    for (guint i = 0; i < sums->len; i++) {
        const TypeSum *sum = g_ptr_array_index(sums, i);

        tt_json_begin_object(writer);
        tt_json_put_string(writer, "type", sum->type);
        tt_json_put_string(writer, "type_source", sum->source);
        tt_json_put_uint(writer, "live_blocks", sum->live_blocks);
        tt_json_put_uint(writer, "live_bytes", sum->live_bytes);
        tt_json_put_uint(writer, "cumulative_blocks", sum->named_blocks);
        tt_json_put_uint(writer, "cumulative_bytes", sum->cumulative_bytes);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
}

void tt_json_put_scope(TtJsonReport *report, const char *key, guint32 scope) {
    const char *names[PATH_LEVELS];
    gsize levels = 0, bytes = 0;

    tt_json_key(report->writer, key);
    if (scope >= report->scope_count) {
        tt_json_null(report->writer);
        return;
    }
    for (; scope < report->scope_count && levels < PATH_LEVELS; levels++) {
        names[levels] = report->scopes[scope].name;
        bytes += strlen(names[levels]) + 1;
        if (levels > 0 && bytes > PATH_BYTES)
            break;
        scope = report->scopes[scope].parent;
    }
    tt_json_begin_string(report->writer);
    if (scope < report->scope_count)
        tt_json_add_text(report->writer, "…/", strlen("…/"));
    while (levels-- > 0) {
        tt_json_add_text(report->writer, names[levels], strlen(names[levels]));
        if (levels > 0)
            tt_json_add_text(report->writer, "/", 1);
    }
    tt_json_end_string(report->writer);
}

void tt_json_write_scopes(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;

    begin_list(report, "scopes");
    for (gsize i = 0; i < report->scope_count; i++) {
        const TtScopeRow *scope = &report->scopes[i];

        tt_json_begin_object(writer);
        tt_json_put_scope(report, "scope", (guint32)i);
        tt_json_put_string(writer, "name", scope->name);
        tt_json_put_scope(report, "parent", scope->parent);
        tt_json_put_uint(writer, "entered", scope->entered);
        tt_json_put_uint(writer, "allocations", scope->allocations);
        tt_json_put_uint(writer, "allocated", scope->allocated);
        tt_json_put_uint(writer, "live_blocks", scope->live_blocks);
        tt_json_put_uint(writer, "live_bytes", scope->live_bytes);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
}

static void write_point(TtJsonWriter *writer, guint64 t_ns, guint64 bytes, guint64 blocks) {
    tt_json_put_uint(writer, "t_ns", t_ns);
    tt_json_put_uint(writer, "live_bytes", bytes);
    tt_json_put_uint(writer, "live_blocks", blocks);
}

void tt_json_write_timeline(TtJsonReport *report) {
    gsize count;
    const TtTimePoint *points = tt_snapshot_get_timeline(report->snapshot, &count);

    begin_list(report, "timeline");
    for (gsize i = 0; i < count; i++) {
        tt_json_begin_object(report->writer);
        write_point(report->writer, points[i].t_ns, points[i].live_bytes, points[i].live_blocks);
        tt_json_end_object(report->writer);
    }
    tt_json_end_array(report->writer);
}

void tt_json_write_marks(TtJsonReport *report) {
    gsize count;
    const TtMarkRow *marks = tt_snapshot_get_marks(report->snapshot, &count);

    begin_list(report, "marks");
    for (gsize i = 0; i < count; i++) {
        tt_json_begin_object(report->writer);
        tt_json_put_string(report->writer, "name", marks[i].name);
        write_point(report->writer, marks[i].t_ns, marks[i].live_bytes, marks[i].live_blocks);
        tt_json_end_object(report->writer);
    }
    tt_json_end_array(report->writer);
}

void tt_json_write_gaps(TtJsonReport *report) {
    TtJsonWriter *writer = report->writer;
    gsize count;
    const TtGapRow *gaps = tt_snapshot_get_gaps(report->snapshot, &count);

    begin_list(report, "gaps");
    for (gsize i = 0; i < count; i++) {
        tt_json_begin_object(writer);
        tt_json_put_thread(report, "thread_id", gaps[i].thread);
        tt_json_put_uint(writer, "first_ns", gaps[i].first_ns);
        tt_json_put_uint(writer, "last_ns", gaps[i].last_ns);
        tt_json_put_uint(writer, "dropped_events", gaps[i].dropped_events);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
}
