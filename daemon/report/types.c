/* SPDX-License-Identifier: Apache-2.0 */
/* A language without templates cannot tell a macro the type of its argument. Its compiler writes it
 * down all the same: the stack that named the variable says where, the name what. */
#include "report/types.h"

/* Modules whose question may fail before no more are asked: each may cost a time-out. */
#define FAILURES_MAX 3

struct TtVariableTypes {
    TtSymbols *symbols; /* borrowed, as is the next; or NULL */
    const TtVariableRow *variables;
    gsize variable_count;
    const char **found; /* (owned) one a variable; the texts are the symbols'; NULL: not known */
    char *failure;
};

/* A variable without a type, and where to ask for it. */
typedef struct Untyped {
    guint32 module;
    guint32 variable;
    TtSymbolVariable question;
} Untyped;

static gboolean is_declared(const TtVariableRow *variable) {
    return variable->type && *variable->type;
}

/* FALSE: nobody can know where the variable is. The innermost frame is of the function that named
 * it; what was inlined into that is the debug information's business. */
static gboolean locate(TtSnapshot *snapshot, const TtVariableRow *variable, Untyped *ret_untyped) {
    TtFrame frames[TT_STACK_DEPTH_MAX];
    gsize module_count;
    const TtModuleRow *modules = tt_snapshot_get_modules(snapshot, &module_count);

    if (tt_snapshot_get_frames(snapshot, variable->stack, frames, NULL) == 0 ||
        frames[0].module >= module_count || !variable->name)
        return FALSE;
    ret_untyped->module = frames[0].module;
    ret_untyped->question = (TtSymbolVariable){
        .addr = frames[0].ip - modules[frames[0].module].bias - (frames[0].is_exact_ip ? 0 : 1),
        .name = variable->name,
    };
    return TRUE;
}

static gint compare_modules(gconstpointer a, gconstpointer b) {
    const Untyped *one = a, *other = b;

    if (one->module != other->module)
        return one->module < other->module ? -1 : 1;
    return (one->variable > other->variable) - (one->variable < other->variable);
}

/* Returns: (transfer full): of Untyped, those of a module together */
static GArray *collect(const TtVariableTypes *types, TtSnapshot *snapshot) {
    GArray *untyped = g_array_new(FALSE, FALSE, sizeof(Untyped));

    for (gsize i = 0; i < types->variable_count; i++) {
        Untyped one = {.variable = (guint32)i};

        if (!is_declared(&types->variables[i]) && locate(snapshot, &types->variables[i], &one))
            g_array_append_val(untyped, one);
    }
    g_array_sort(untyped, compare_modules);
    return untyped;
}

/* Asks for @count variables of one module. FALSE: types are missing. */
static gboolean ask(TtVariableTypes *types, const TtModuleRow *row, const Untyped *untyped,
                    gsize count) {
    TtSymbolModule module = {.path = row->path};
    g_autofree TtSymbolVariable *questions = g_new(TtSymbolVariable, count);
    g_autofree const char **answers = g_new0(const char *, count);
    g_autoptr(GError) error = NULL;
    gboolean is_complete;

    if (row->build_id)
        module.build_id = g_bytes_get_data(row->build_id, &module.build_id_len);
    for (gsize i = 0; i < count; i++)
        questions[i] = untyped[i].question;
    is_complete =
        tt_symbols_find_variable_types(types->symbols, &module, questions, count, answers, &error);
    for (gsize i = 0; i < count; i++)
        types->found[untyped[i].variable] = answers[i];
    if (!is_complete && !types->failure)
        types->failure = g_strdup(error ? error->message : "types are missing");
    return is_complete;
}

static void ask_all(TtVariableTypes *types, TtSnapshot *snapshot) {
    g_autoptr(GArray) untyped = collect(types, snapshot);
    const Untyped *all = (const Untyped *)(gpointer)untyped->data;
    gsize module_count;
    const TtModuleRow *modules = tt_snapshot_get_modules(snapshot, &module_count);
    guint failures = 0, count;

    for (guint at = 0; at < untyped->len && failures < FAILURES_MAX; at += count) {
        for (count = 1; at + count < untyped->len; count++)
            if (all[at + count].module != all[at].module)
                break;
        failures += !ask(types, &modules[all[at].module], all + at, count);
    }
}

TtVariableTypes *tt_variable_types_new(TtSnapshot *snapshot, TtSymbols *symbols) {
    TtVariableTypes *types = g_new0(TtVariableTypes, 1);

    types->symbols = symbols;
    types->variables = tt_snapshot_get_variables(snapshot, &types->variable_count);
    types->found = g_new0(const char *, types->variable_count + 1);
    if (symbols) {
        tt_symbols_hold(symbols);
        ask_all(types, snapshot);
    }
    return types;
}

void tt_variable_types_free(TtVariableTypes *types) {
    if (!types)
        return;
    if (types->symbols)
        tt_symbols_release(types->symbols);
    g_free(types->found);
    g_free(types->failure);
    g_free(types);
}

const char *tt_variable_types_find(const TtVariableTypes *types, guint32 variable,
                                   const char **ret_source) {
    const char *type = NULL, *source = NULL;

    if (variable < types->variable_count && is_declared(&types->variables[variable])) {
        type = types->variables[variable].type;
        source = TT_TYPE_SOURCE_DECLARED;
    } else if (variable < types->variable_count && types->found[variable]) {
        type = types->found[variable];
        source = TT_TYPE_SOURCE_DWARF;
    }
    if (ret_source)
        *ret_source = source;
    return type;
}

const char *tt_variable_types_get_failure(const TtVariableTypes *types) { return types->failure; }
