/* SPDX-License-Identifier: Apache-2.0 */
/* Interning by the bytes as they came: a key is all that makes a row distinct, each string with its
 * length before it, so that no two different rows have one key. */
#include "model/names.h"

#include "model/text.h"

#define STRING_BYTES_A_ROW 256u /* on average; the limit of rows times this bounds the bytes */
#define ROW_COST_BYTES 160u     /* hash table and reference counts, about */

static const TtString other_name = {.text = "other", .len = 5};

static void clear_variable(gpointer data) {
    TtVariableRow *row = data;

    g_ref_string_release(row->name);
    g_ref_string_release(row->type);
    g_ref_string_release(row->file);
    g_ref_string_release(row->function);
}

static void clear_scope(gpointer data) { g_ref_string_release(((TtScope *)data)->row.name); }

static void clear_mark(gpointer data) { g_ref_string_release(((TtMark *)data)->name); }

static GHashTable *new_table(void) {
    return g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
}

void tt_names_init(TtNames *names, gsize limit) {
    *names = (TtNames){
        .limit = CLAMP(limit, 2, G_MAXINT32),
        .variables = g_array_new(FALSE, FALSE, sizeof(TtVariableRow)),
        .variable_of = new_table(),
        .other_variable = TT_NONE,
        .scopes = g_array_new(FALSE, FALSE, sizeof(TtScope)),
        .scope_of = new_table(),
        .other_scope = TT_NONE,
        .marks = g_array_new(FALSE, FALSE, sizeof(TtMark)),
    };
    g_array_set_clear_func(names->variables, clear_variable);
    g_array_set_clear_func(names->scopes, clear_scope);
    g_array_set_clear_func(names->marks, clear_mark);
}

void tt_names_clear(TtNames *names) {
    g_clear_pointer(&names->variables, g_array_unref);
    g_clear_pointer(&names->variable_of, g_hash_table_unref);
    g_clear_pointer(&names->scopes, g_array_unref);
    g_clear_pointer(&names->scope_of, g_hash_table_unref);
    g_clear_pointer(&names->marks, g_array_unref);
}

/* Room for one more row besides "other", and for its strings twice: in the row and in its key. */
static gboolean has_room(TtNames *names, guint row_count, gsize string_bytes) {
    if (row_count + 1 >= names->limit ||
        names->string_bytes + 2 * string_bytes > names->limit * STRING_BYTES_A_ROW)
        return FALSE;
    names->string_bytes += 2 * string_bytes;
    return TRUE;
}

static void append_string(GByteArray *key, TtString string) {
    guint32 len = (guint32)MIN(string.len, G_MAXUINT32);

    g_byte_array_append(key, (const guint8 *)&len, sizeof len);
    if (len > 0)
        g_byte_array_append(key, (const guint8 *)string.text, len);
}

static guint32 add_variable(TtNames *names, const TtRecordVariable *record) {
    TtVariableRow row = {
        .name = tt_text_new(record->name),
        .type = tt_text_new(record->type),
        .file = tt_text_new(record->file),
        .function = tt_text_new(record->function),
        .line = (guint)MIN(record->line, G_MAXUINT32),
        .stack = record->stack <= G_MAXUINT32 ? (guint32)record->stack : TT_STACK_NONE,
    };

    g_array_append_val(names->variables, row);
    return names->variables->len - 1;
}

guint32 tt_names_intern_variable(TtNames *names, const TtRecordVariable *record) {
    g_autoptr(GByteArray) key = g_byte_array_sized_new(256);
    gpointer found;

    append_string(key, record->name);
    append_string(key, record->type);
    append_string(key, record->file);
    append_string(key, record->function);
    g_byte_array_append(key, (const guint8 *)&record->line, sizeof record->line);

    gsize string_bytes = key->len;
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(g_steal_pointer(&key));
    if (g_hash_table_lookup_extended(names->variable_of, bytes, NULL, &found))
        return GPOINTER_TO_UINT(found);
    if (has_room(names, names->variables->len, string_bytes)) {
        guint32 index = add_variable(names, record);

        g_hash_table_insert(names->variable_of, g_steal_pointer(&bytes), GUINT_TO_POINTER(index));
        return index;
    }
    if (names->other_variable == TT_NONE)
        names->other_variable =
            add_variable(names, &(TtRecordVariable){.name = other_name, .stack = TT_STACK_NONE});
    return names->other_variable;
}

static guint32 add_scope(TtNames *names, guint32 parent, TtString name) {
    TtScope scope = {
        .row = {.name = tt_text_new(name), .parent = parent},
        .depth = parent == TT_NONE ? 1 : tt_names_get_scope(names, parent)->depth + 1,
    };

    g_array_append_val(names->scopes, scope);
    return names->scopes->len - 1;
}

guint32 tt_names_get_other_scope(TtNames *names) {
    if (names->other_scope == TT_NONE)
        names->other_scope = add_scope(names, TT_NONE, other_name);
    return names->other_scope;
}

guint32 tt_names_intern_scope(TtNames *names, guint32 parent, TtString name) {
    g_autoptr(GByteArray) key = g_byte_array_sized_new(64);
    gpointer found;

    g_byte_array_append(key, (const guint8 *)&parent, sizeof parent);
    append_string(key, name);

    gsize string_bytes = key->len;
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(g_steal_pointer(&key));
    if (g_hash_table_lookup_extended(names->scope_of, bytes, NULL, &found))
        return GPOINTER_TO_UINT(found);
    if ((parent != TT_NONE && tt_names_get_scope(names, parent)->depth >= TT_SCOPE_DEPTH_MAX) ||
        !has_room(names, names->scopes->len, string_bytes))
        return tt_names_get_other_scope(names);

    guint32 index = add_scope(names, parent, name);
    g_hash_table_insert(names->scope_of, g_steal_pointer(&bytes), GUINT_TO_POINTER(index));
    return index;
}

gboolean tt_names_add_mark(TtNames *names, const TtMark *mark, TtString name) {
    TtMark kept = *mark;

    if (!has_room(names, names->marks->len, name.len)) {
        names->shed_marks++;
        return FALSE;
    }
    kept.name = tt_text_new(name);
    g_array_append_val(names->marks, kept);
    return TRUE;
}

TtVariableRow *tt_names_copy_variables(const TtNames *names, gsize *ret_count) {
    TtVariableRow *rows = g_new(TtVariableRow, names->variables->len + 1);

    for (guint i = 0; i < names->variables->len; i++) {
        rows[i] = *tt_names_get_variable(names, i);
        g_ref_string_acquire(rows[i].name);
        g_ref_string_acquire(rows[i].type);
        g_ref_string_acquire(rows[i].file);
        g_ref_string_acquire(rows[i].function);
    }
    *ret_count = names->variables->len;
    return rows;
}

void tt_variable_rows_free(TtVariableRow *rows, gsize count) {
    for (gsize i = 0; i < count; i++)
        clear_variable(&rows[i]);
    g_free(rows);
}

TtScopeRow *tt_names_copy_scopes(const TtNames *names, gsize *ret_count) {
    TtScopeRow *rows = g_new(TtScopeRow, names->scopes->len + 1);

    for (guint i = 0; i < names->scopes->len; i++) {
        rows[i] = tt_names_get_scope(names, i)->row;
        g_ref_string_acquire(rows[i].name);
    }
    *ret_count = names->scopes->len;
    return rows;
}

void tt_scope_rows_free(TtScopeRow *rows, gsize count) {
    for (gsize i = 0; i < count; i++)
        g_ref_string_release(rows[i].name);
    g_free(rows);
}

TtMarkRow *tt_names_copy_marks(const TtNames *names, const TtTimescale *scale, gsize count) {
    TtMarkRow *rows = g_new(TtMarkRow, count + 1);

    for (guint i = 0; i < count; i++) {
        const TtMark *mark = &g_array_index(names->marks, TtMark, i);

        rows[i] = (TtMarkRow){
            .name = g_ref_string_acquire(mark->name),
            .t_ns = tt_timescale_ns(scale, mark->stamp),
            .live_bytes = mark->live_bytes,
            .live_blocks = mark->live_blocks,
        };
    }
    return rows;
}

void tt_mark_rows_free(TtMarkRow *rows, gsize count) {
    for (gsize i = 0; i < count; i++)
        g_ref_string_release(rows[i].name);
    g_free(rows);
}

gsize tt_names_bytes(const TtNames *names) {
    return names->string_bytes + names->variables->len * (sizeof(TtVariableRow) + ROW_COST_BYTES) +
           names->scopes->len * (sizeof(TtScope) + ROW_COST_BYTES) +
           names->marks->len * (sizeof(TtMark) + ROW_COST_BYTES);
}
