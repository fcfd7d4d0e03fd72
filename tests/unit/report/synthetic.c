/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-ins. Every function of the model's and the symbols' that a report calls is defined
 * here, so neither room is linked. */
#include "synthetic.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void free_frames(gpointer frames) { g_array_unref(frames); }

TtSnapshot *synthetic_new(void) {
    TtSnapshot *snapshot = g_new0(TtSnapshot, 1);
    static char *command_line[] = {(char *)"prog", (char *)"--fast", NULL};

    snapshot->info.pid = 4711;
    snapshot->info.own_pid = 7;
    snapshot->info.exe = (char *)"/usr/bin/prog";
    snapshot->info.command_line = command_line;
    snapshot->info.timescale.start_realtime_ns = 1700000000123456789u;
    snapshot->exit_status = -1;
    snapshot->completeness.exact = TRUE;
    snapshot->completeness.doubts = g_ptr_array_new_with_free_func(g_free);
    snapshot->sites = g_array_new(FALSE, TRUE, sizeof(TtSiteRow));
    snapshot->modules = g_array_new(FALSE, TRUE, sizeof(TtModuleRow));
    snapshot->threads = g_array_new(FALSE, TRUE, sizeof(TtThreadRow));
    snapshot->variables = g_array_new(FALSE, TRUE, sizeof(TtVariableRow));
    snapshot->scopes = g_array_new(FALSE, TRUE, sizeof(TtScopeRow));
    snapshot->timeline = g_array_new(FALSE, TRUE, sizeof(TtTimePoint));
    snapshot->marks = g_array_new(FALSE, TRUE, sizeof(TtMarkRow));
    snapshot->gaps = g_array_new(FALSE, TRUE, sizeof(TtGapRow));
    snapshot->freed = g_array_new(FALSE, TRUE, sizeof(TtBlockRow));
    snapshot->live = g_array_new(FALSE, TRUE, sizeof(TtBlockRow));
    snapshot->stacks = g_hash_table_new_full(NULL, NULL, NULL, free_frames);
    snapshot->truncated = g_hash_table_new(NULL, NULL);
    return snapshot;
}

void tt_snapshot_free(TtSnapshot *snapshot) {
    GArray *rows[] = {snapshot->sites,  snapshot->modules,  snapshot->threads, snapshot->variables,
                      snapshot->scopes, snapshot->timeline, snapshot->marks,   snapshot->gaps,
                      snapshot->freed,  snapshot->live};

    for (guint i = 0; i < snapshot->modules->len; i++) {
        TtModuleRow *module = &g_array_index(snapshot->modules, TtModuleRow, i);

        g_clear_pointer(&module->build_id, g_bytes_unref);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        g_array_unref(rows[i]);
    g_clear_pointer(&snapshot->site_errors, g_array_unref);
    g_ptr_array_unref(snapshot->completeness.doubts);
    g_hash_table_unref(snapshot->stacks);
    g_hash_table_unref(snapshot->truncated);
    g_free(snapshot);
}

guint32 synthetic_add_module(TtSnapshot *snapshot, const char *path, guint64 start) {
    static const guint8 build_id[] = {0xab, 0xcd, 0xef, 0x01};
    TtModuleRow module = {
        .id = snapshot->modules->len + 1,
        .path = (char *)path,
        .build_id = g_bytes_new_static(build_id, sizeof build_id),
        .bias = start,
        .start = start,
        .end = start + (1 << 20),
        .removed_ns = TT_TIME_NONE,
    };

    g_array_append_val(snapshot->modules, module);
    return snapshot->modules->len - 1;
}

void synthetic_add_stack(TtSnapshot *snapshot, guint32 id, const guint64 *ips) {
    GArray *frames = g_array_new(FALSE, FALSE, sizeof(TtFrame));

    for (; *ips; ips++) {
        TtFrame frame = {.ip = *ips, .module = TT_NONE};

        for (guint i = 0; i < snapshot->modules->len; i++) {
            const TtModuleRow *module = &g_array_index(snapshot->modules, TtModuleRow, i);

            if (*ips >= module->start && *ips < module->end)
                frame.module = i;
        }
        g_array_append_val(frames, frame);
    }
    g_hash_table_insert(snapshot->stacks, GUINT_TO_POINTER(id), frames);
}

TtBlockRow synthetic_block(guint64 id, guint64 addr, guint64 size, guint32 stack) {
    return (TtBlockRow){
        .id = id,
        .addr = addr,
        .size = size,
        .weight = {1, size},
        .born_ns = id * 1000,
        .died_ns = TT_TIME_NONE,
        .stack = stack,
        .freed_stack = TT_STACK_NONE,
        .variable = TT_NONE,
        .scope = TT_NONE,
        .freed_by = TT_NONE,
    };
}

const char *tt_session_state_name(TtSessionState state) {
    static const char *const names[] = {"running", "exited", "killed", "exec", "ended", "lost"};

    return names[state];
}

const TtSessionInfo *tt_snapshot_get_info(const TtSnapshot *snapshot) { return &snapshot->info; }

TtSessionState tt_snapshot_get_state(const TtSnapshot *snapshot, gint *ret_exit_status) {
    if (ret_exit_status)
        *ret_exit_status = snapshot->exit_status;
    return snapshot->state;
}

guint64 tt_snapshot_get_time_ns(const TtSnapshot *snapshot) { return snapshot->time_ns; }
const TtTotals *tt_snapshot_get_totals(const TtSnapshot *snapshot) { return &snapshot->totals; }

const TtCompleteness *tt_snapshot_get_completeness(const TtSnapshot *snapshot) {
    return &snapshot->completeness;
}

const TtSample *tt_snapshot_get_sample(const TtSnapshot *snapshot) {
    return snapshot->sample.mean_bytes > 0 ? &snapshot->sample : NULL;
}

const TtErrors *tt_snapshot_get_site_errors(const TtSnapshot *snapshot) {
    return snapshot->site_errors ? (const TtErrors *)(gpointer)snapshot->site_errors->data : NULL;
}

/* Of a site as its errors say; of a block its size, and twice that in bytes. */
TtVariance tt_snapshot_get_live_variance(const TtSnapshot *snapshot, gsize site) {
    const TtErrors *errors = tt_snapshot_get_site_errors(snapshot);

    if (!errors)
        return (TtVariance){.blocks = 0};
    return (TtVariance){.blocks = 256 * errors[site].live.blocks * errors[site].live.blocks,
                        .bytes = 256 * errors[site].live.bytes * errors[site].live.bytes};
}

TtVariance tt_snapshot_get_block_variance(const TtSnapshot *snapshot, const TtBlockRow *row) {
    unsigned __int128 size = snapshot->site_errors ? row->size : 0, square = 256 * size * size;

    return (TtVariance){.blocks = square, .bytes = 4 * square};
}

TtAmount tt_variance_get_error(const TtVariance *variance) {
    return (TtAmount){(guint64)ceil(sqrt((double)variance->blocks / 256)),
                      (guint64)ceil(sqrt((double)variance->bytes / 256))};
}

const char *tt_instant_kind_name(TtInstantKind kind) {
    static const char *const names[] = {"now", "start", "peak", "mark", "time"};

    return names[kind];
}

const char *tt_state_source_name(TtStateSource source) {
    static const char *const names[] = {"present", "kept", "led_back"};

    return names[source];
}

const TtInstantRow *tt_snapshot_get_instant(const TtSnapshot *snapshot) {
    return &snapshot->instant;
}

gboolean tt_snapshot_is_led_back(const TtSnapshot *snapshot) {
    return snapshot->instant.source == TT_STATE_LED_BACK;
}

gboolean tt_snapshot_has_born(const TtSnapshot *snapshot, const TtBlockRow *row) {
    return row->born_ns <= snapshot->instant.t_ns;
}

const TtBlockRow *tt_snapshot_get_lives(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->live->len;
    return (const TtBlockRow *)(gpointer)snapshot->live->data;
}

#define ROWS(Type, name)                                                                           \
    const Type *tt_snapshot_get_##name(const TtSnapshot *snapshot, gsize *ret_count) {             \
        *ret_count = snapshot->name->len;                                                          \
        return (const Type *)(gpointer)snapshot->name->data;                                       \
    }
ROWS(TtSiteRow, sites)
ROWS(TtModuleRow, modules)
ROWS(TtThreadRow, threads)
ROWS(TtVariableRow, variables)
ROWS(TtScopeRow, scopes)
ROWS(TtTimePoint, timeline)
ROWS(TtMarkRow, marks)
ROWS(TtGapRow, gaps)

gsize tt_snapshot_read_freed(const TtSnapshot *snapshot, gsize first, TtBlockRow *ret_rows,
                             gsize max) {
    gsize count = first < snapshot->freed->len ? MIN(max, snapshot->freed->len - first) : 0;

    if (count > 0)
        memcpy(ret_rows, &g_array_index(snapshot->freed, TtBlockRow, first),
               count * sizeof(TtBlockRow));
    return count;
}

gsize tt_snapshot_get_freed_count(const TtSnapshot *snapshot) { return snapshot->freed->len; }

const guint64 *tt_snapshot_get_moving(const TtSnapshot *snapshot G_GNUC_UNUSED, gsize *ret_count) {
    *ret_count = 0;
    return NULL;
}

void tt_snapshot_rewind_live(TtSnapshot *snapshot) { snapshot->next = 0; }

gsize tt_snapshot_next_live(TtSnapshot *snapshot, TtBlockRow *ret_rows, gsize max) {
    gsize count = 0;

    for (; count < max && snapshot->next < snapshot->live->len + snapshot->made_count; count++) {
        gsize index = snapshot->next++;

        if (index < snapshot->live->len)
            ret_rows[count] = g_array_index(snapshot->live, TtBlockRow, index);
        else
            snapshot->make_row(index - snapshot->live->len, &ret_rows[count]);
    }
    return count;
}

gsize tt_snapshot_get_frames(const TtSnapshot *snapshot, guint32 stack, TtFrame *ret_frames,
                             gboolean *ret_is_truncated) {
    const GArray *frames = g_hash_table_lookup(snapshot->stacks, GUINT_TO_POINTER(stack));

    if (ret_is_truncated)
        *ret_is_truncated = g_hash_table_contains(snapshot->truncated, GUINT_TO_POINTER(stack));
    if (!frames || frames->len == 0)
        return 0;
    memcpy(ret_frames, frames->data, frames->len * sizeof(TtFrame));
    return frames->len;
}

static void free_answer(gpointer data) {
    TtSymbolAnswer *answer = data;

    g_free(answer->frames);
    g_free(answer);
}

TtSymbols *synthetic_symbols_new(void) {
    TtSymbols *symbols = g_new0(TtSymbols, 1);

    symbols->answers = g_hash_table_new_full(NULL, NULL, NULL, free_answer);
    symbols->types = g_hash_table_new(g_str_hash, g_str_equal);
    return symbols;
}

void synthetic_symbols_free(TtSymbols *symbols) {
    g_assert_cmpint(symbols->hold_count, ==, 0);
    g_hash_table_unref(symbols->answers);
    g_hash_table_unref(symbols->types);
    g_free(symbols);
}

void synthetic_add_name(TtSymbols *symbols, guint64 addr, const char *function, const char *file,
                        guint line, gboolean is_inlined) {
    TtSymbolAnswer *answer = g_hash_table_lookup(symbols->answers, GSIZE_TO_POINTER(addr));
    TtSymbolFrame frame = {function, file, line, is_inlined};

    if (!answer) {
        answer = g_new0(TtSymbolAnswer, 1);
        g_hash_table_insert(symbols->answers, GSIZE_TO_POINTER(addr), answer);
    }
    answer->frames = g_renew(TtSymbolFrame, answer->frames, answer->frame_count + 1);
    answer->frames[answer->frame_count++] = frame;
}

void tt_symbols_hold(TtSymbols *symbols) { symbols->hold_count++; }
void tt_symbols_release(TtSymbols *symbols) { symbols->hold_count--; }

gboolean tt_symbols_resolve(TtSymbols *symbols, const TtSymbolModule *module G_GNUC_UNUSED,
                            const guint64 *addrs, gsize count, const TtSymbolAnswer **ret_answers,
                            GError **error) {
    static const TtSymbolAnswer nothing;

    g_assert_cmpint(symbols->hold_count, >, 0);
    symbols->question_count++;
    symbols->asked_count += count;
    for (gsize i = 0; i < count; i++) {
        const TtSymbolAnswer *answer =
            g_hash_table_lookup(symbols->answers, GSIZE_TO_POINTER(addrs[i]));

        ret_answers[i] = answer && !symbols->is_broken ? answer : &nothing;
    }
    if (!symbols->is_broken)
        return TRUE;
    g_set_error(error, g_quark_from_static_string("synthetic"), 0, "the symbolizer died");
    return FALSE;
}

void synthetic_add_type(TtSymbols *symbols, const char *name, const char *type) {
    g_hash_table_insert(symbols->types, (gpointer)name, (gpointer)type);
}

gboolean tt_symbols_find_variable_types(TtSymbols *symbols,
                                        const TtSymbolModule *module G_GNUC_UNUSED,
                                        const TtSymbolVariable *variables, gsize count,
                                        const char **ret_types, GError **error) {
    g_assert_cmpint(symbols->hold_count, >, 0);
    symbols->type_question_count++;
    for (gsize i = 0; i < count; i++)
        ret_types[i] =
            symbols->is_broken ? NULL : g_hash_table_lookup(symbols->types, variables[i].name);
    if (!symbols->is_broken)
        return TRUE;
    g_set_error(error, g_quark_from_static_string("synthetic"), 0, "the symbolizer died");
    return FALSE;
}

TtSymbolsLack tt_symbols_get_lack(TtSymbols *symbols, const TtSymbolModule *module G_GNUC_UNUSED) {
    return symbols->is_broken ? TT_SYMBOLS_LACK_ANSWER : TT_SYMBOLS_LACK_NONE;
}

char *synthetic_json(TtSnapshot *snapshot, TtSymbols *symbols, const TtReportOptions *options,
                     gsize *ret_len) {
    int fd = memfd_create("document", MFD_CLOEXEC);
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    g_autoptr(GError) error = NULL;
    gsize len;
    char *text;

    g_assert_true(tt_report_json(snapshot, symbols, options, sink, &error));
    g_assert_no_error(error);
    g_assert_true(tt_sink_flush(sink, &error));
    len = tt_sink_get_bytes(sink);
    text = g_malloc(len + 1);
    g_assert_cmpint(pread(fd, text, len, 0), ==, (gssize)len);
    text[len] = '\0';
    close(fd);
    if (ret_len)
        *ret_len = len;
    return text;
}
