/* SPDX-License-Identifier: Apache-2.0 */
/* Modules, bounded in number by the format and in bytes here. */
#include "model/modules.h"

#include "model/blocks.h"
#include "model/text.h"

#define SEGMENTS_MAX 64u
#define PATHS_MAX_BYTES ((gsize)8 << 20)

static void clear_module(gpointer data) {
    TtModule *module = data;

    g_ref_string_release(module->path);
    g_bytes_unref(module->build_id);
    if (module->segments)
        g_array_unref(module->segments);
}

void tt_modules_init(TtModules *modules) {
    *modules = (TtModules){.rows = g_array_new(FALSE, FALSE, sizeof(TtModule)),
                           .row_of_id = g_array_new(FALSE, FALSE, sizeof(guint16))};
    g_array_set_clear_func(modules->rows, clear_module);
}

void tt_modules_clear(TtModules *modules) {
    g_clear_pointer(&modules->rows, g_array_unref);
    g_clear_pointer(&modules->row_of_id, g_array_unref);
}

guint16 tt_modules_find_row(const TtModules *modules, guint64 id) {
    return id < modules->row_of_id->len ? g_array_index(modules->row_of_id, guint16, id)
                                        : TT_MODULE_ROW_NONE;
}

static TtModule *find(const TtModules *modules, guint64 id) {
    guint16 row = tt_modules_find_row(modules, id);

    return row == TT_MODULE_ROW_NONE ? NULL : &g_array_index(modules->rows, TtModule, row);
}

gboolean tt_modules_define(TtModules *modules, const TtRecordModule *record) {
    static const guint16 none = TT_MODULE_ROW_NONE;

    if (record->id == 0 || record->id >= TT_MODULES_MAX || record->end < record->start ||
        record->build_id.len > TT_BUILD_ID_MAX || find(modules, record->id))
        return FALSE;

    TtString path = record->path;
    if (modules->string_bytes + path.len > PATHS_MAX_BYTES) {
        path.len = 0;
        modules->has_cut = TRUE;
    }
    modules->string_bytes += path.len;

    TtModule module = {
        .id = (guint32)record->id,
        .path = tt_text_new(path),
        .build_id = g_bytes_new(record->build_id.text, record->build_id.len),
        .bias = record->bias,
        .start = record->start,
        .end = record->end,
        .added_stamp = record->stamp,
        .removed_stamp = TT_TIME_NONE,
    };
    while (modules->row_of_id->len <= record->id)
        g_array_append_val(modules->row_of_id, none);
    /* Ids are less than TT_MODULES_MAX and each is a row once: rows fit 16 bits. */
    g_array_index(modules->row_of_id, guint16, record->id) = (guint16)modules->rows->len;
    g_array_append_val(modules->rows, module);
    return TRUE;
}

gboolean tt_modules_define_segment(TtModules *modules, const TtRecordSegment *record) {
    TtModule *module = find(modules, record->module);

    if (!module || record->addr > G_MAXUINT64 - record->size)
        return FALSE;
    if (!module->segments)
        module->segments = g_array_new(FALSE, FALSE, sizeof(TtRecordSegment));
    if (module->segments->len >= SEGMENTS_MAX)
        return FALSE;
    g_array_append_val(module->segments, *record);
    return TRUE;
}

void tt_modules_end(TtModules *modules, const TtRecordModuleGone *record) {
    TtModule *module = find(modules, record->id);

    if (module && module->removed_stamp == TT_TIME_NONE)
        module->removed_stamp = record->stamp;
}

/* Stamps of definitions are not in order with events, and nobody has checked them yet. */
static guint64 stamp_ns(const TtTimescale *scale, guint64 stamp) {
    return tt_timescale_ns(scale, MIN(stamp, scale->start_stamp + TT_TICKS_MAX));
}

TtModuleRow *tt_modules_copy(const TtModules *modules, const TtTimescale *scale, gsize *ret_count) {
    TtModuleRow *rows = g_new0(TtModuleRow, modules->rows->len + 1);

    for (guint i = 0; i < modules->rows->len; i++) {
        const TtModule *module = &g_array_index(modules->rows, TtModule, i);
        gboolean is_gone = module->removed_stamp != TT_TIME_NONE;

        rows[i] = (TtModuleRow){
            .id = module->id,
            .path = g_ref_string_acquire(module->path),
            .build_id = g_bytes_ref(module->build_id),
            .bias = module->bias,
            .start = module->start,
            .end = module->end,
            .added_ns = stamp_ns(scale, module->added_stamp),
            .removed_ns = is_gone ? stamp_ns(scale, module->removed_stamp) : TT_TIME_NONE,
        };
    }
    *ret_count = modules->rows->len;
    return rows;
}

void tt_module_rows_free(TtModuleRow *rows, gsize count) {
    for (gsize i = 0; i < count; i++) {
        g_ref_string_release(rows[i].path);
        g_bytes_unref(rows[i].build_id);
    }
    g_free(rows);
}

gsize tt_modules_bytes(const TtModules *modules) {
    gsize bytes = modules->rows->len * (sizeof(TtModule) + 96) + modules->string_bytes +
                  modules->row_of_id->len * sizeof(guint16);

    for (guint i = 0; i < modules->rows->len; i++) {
        const TtModule *module = &g_array_index(modules->rows, TtModule, i);

        if (module->segments)
            bytes += module->segments->len * sizeof(TtRecordSegment);
    }
    return bytes;
}
