/* SPDX-License-Identifier: Apache-2.0 */
/* Indices over a tree that can only be walked.
 *
 * The table of units costs one die each; .debug_aranges would be quicker, but clang writes none. A
 * unit's functions are indexed when the first address falls into it, its types and the bodies of
 * its functions skipped over; a function's inlined calls when the first falls into that. Each is
 * read once, so the cost does not grow with the number of addresses. */
#include "symbols/units.h"

#include <dwarf.h>
#include <string.h>

#define DEPTH_MAX 128         /* of dies in dies; deeper is not believed */
#define RANGES_MAX (4u << 20) /* of all units, and of one unit's functions */
#define SCOPE_NONE G_MAXUINT32

/* A namespace or class. */
typedef struct Scope {
    guint32 parent; /* or SCOPE_NONE */
    const char *name;
} Scope;

/* A function in a scope, by its die's place in memory: ascending, as the walk goes. */
typedef struct Member {
    const void *addr;
    guint32 scope;
} Member;

struct TtUnits {
    GArray *units; /* TtUnit */
    TtRanges map;  /* → units */
};

static void unit_forget_functions(TtUnit *unit) {
    for (guint i = 0; unit->functions && i < unit->functions->len; i++) {
        TtFunction *function = &g_array_index(unit->functions, TtFunction, i);

        g_clear_pointer(&function->inlines, g_array_unref);
        g_clear_pointer(&function->inline_ranges, g_array_unref);
    }
    g_clear_pointer(&unit->functions, g_array_unref);
    g_clear_pointer(&unit->scopes, g_array_unref);
    g_clear_pointer(&unit->members, g_array_unref);
    tt_ranges_clear(&unit->function_ranges);
}

/* Adds what a die covers. Returns: whether it is anything. */
static gboolean add_ranges(TtRanges *ranges, Dwarf_Die *die, guint32 value) {
    Dwarf_Addr base, start, end;
    ptrdiff_t at = 0;
    guint before = ranges->items->len;

    while (ranges->items->len < RANGES_MAX && (at = dwarf_ranges(die, at, &base, &start, &end)) > 0)
        tt_ranges_add(ranges, start, end, value);
    return ranges->items->len > before;
}

typedef struct FunctionWalk {
    TtUnit *unit;
    gboolean is_deep; /* into functions too: some languages nest them */
} FunctionWalk;

static void note_function(FunctionWalk *walk, Dwarf_Die *die, guint32 scope) {
    TtUnit *unit = walk->unit;
    TtFunction function = {.die = *die};

    if (scope != SCOPE_NONE) {
        Member member = {.addr = die->addr, .scope = scope};

        g_array_append_val(unit->members, member);
    }
    if (add_ranges(&unit->function_ranges, die, unit->functions->len))
        g_array_append_val(unit->functions, function);
}

static guint32 push_scope(TtUnit *unit, Dwarf_Die *die, guint32 parent) {
    Scope scope = {.parent = parent, .name = dwarf_diename(die)};

    if (!scope.name && dwarf_tag(die) == DW_TAG_namespace)
        scope.name = "(anonymous namespace)";
    if (!scope.name)
        return parent;
    g_array_append_val(unit->scopes, scope);
    return unit->scopes->len - 1;
}

static void walk_functions(FunctionWalk *walk, Dwarf_Die *parent, guint32 scope, guint depth) {
    Dwarf_Die die;

    if (depth > DEPTH_MAX || dwarf_child(parent, &die) != 0)
        return;
    do {
        switch (dwarf_tag(&die)) {
        case DW_TAG_subprogram:
            note_function(walk, &die, scope);
            if (walk->is_deep)
                walk_functions(walk, &die, SCOPE_NONE, depth + 1);
            break;
        case DW_TAG_namespace:
        case DW_TAG_module:
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
        case DW_TAG_union_type:
        case DW_TAG_interface_type:
        case DW_TAG_enumeration_type: /* Rust has functions in them */
            if (dwarf_haschildren(&die) > 0)
                walk_functions(walk, &die, push_scope(walk->unit, &die, scope), depth + 1);
            break;
        case DW_TAG_lexical_block:
            if (walk->is_deep)
                walk_functions(walk, &die, SCOPE_NONE, depth + 1);
            break;
        default:
            break;
        }
    } while (dwarf_siblingof(&die, &die) == 0);
}

static void index_functions(TtUnit *unit, gboolean is_deep) {
    FunctionWalk walk = {.unit = unit, .is_deep = is_deep};

    unit_forget_functions(unit);
    unit->functions = g_array_new(FALSE, FALSE, sizeof(TtFunction));
    unit->scopes = g_array_new(FALSE, FALSE, sizeof(Scope));
    unit->members = g_array_new(FALSE, FALSE, sizeof(Member));
    tt_ranges_init(&unit->function_ranges);
    walk_functions(&walk, &unit->tree, SCOPE_NONE, 0);
    tt_ranges_sort(&unit->function_ranges);
    unit->is_indexed = TRUE;
    unit->is_indexed_deeply = is_deep;
}

/* Finds the tree in its .dwo file where it is in one: a search of the file system, so not before an
 * address falls into the unit. */
static void open_tree(TtUnit *unit) {
    Dwarf_Die split;
    Dwarf_Attribute attribute;

    if (dwarf_cu_info(unit->die.cu, NULL, NULL, NULL, &split, NULL, NULL, NULL) == 0 &&
        dwarf_tag(&split) == DW_TAG_compile_unit)
        unit->tree = split;
    unit->directory = dwarf_formstring(dwarf_attr(&unit->die, DW_AT_comp_dir, &attribute));
    if (!unit->directory)
        unit->directory = dwarf_formstring(dwarf_attr(&unit->tree, DW_AT_comp_dir, &attribute));
    unit->paths = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

static void add_unit(TtUnits *units, Dwarf_Die *die) {
    TtUnit unit = {.die = *die, .tree = *die};
    guint32 number = units->units->len;
    gboolean has_ranges = add_ranges(&units->map, die, number);

    /* Producers that do not say what a unit covers do so for its functions. */
    if (!has_ranges && dwarf_haschildren(die) > 0) {
        index_functions(&unit, FALSE);
        for (guint i = 0; i < unit.function_ranges.items->len; i++) {
            const TtRange *range = &g_array_index(unit.function_ranges.items, TtRange, i);

            tt_ranges_add(&units->map, range->start, range->end, number);
            has_ranges = TRUE;
        }
        if (!has_ranges)
            unit_forget_functions(&unit);
    }
    if (has_ranges)
        g_array_append_val(units->units, unit);
}

TtUnits *tt_units_new(Dwarf *dwarf) {
    TtUnits *units = g_new0(TtUnits, 1);
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;
    guint8 type;

    units->units = g_array_new(FALSE, FALSE, sizeof(TtUnit));
    tt_ranges_init(&units->map);
    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, &type, &die, NULL) == 0)
        if ((type == DW_UT_compile || type == DW_UT_skeleton) && units->map.items->len < RANGES_MAX)
            add_unit(units, &die);
    tt_ranges_sort(&units->map);
    return units;
}

void tt_units_free(TtUnits *units) {
    if (!units)
        return;
    for (guint i = 0; i < units->units->len; i++) {
        TtUnit *unit = &g_array_index(units->units, TtUnit, i);

        unit_forget_functions(unit);
        g_clear_pointer(&unit->paths, g_hash_table_unref);
        g_clear_pointer(&unit->globals, g_hash_table_unref);
    }
    g_array_unref(units->units);
    tt_ranges_clear(&units->map);
    g_free(units);
}

gboolean tt_units_is_empty(const TtUnits *units) { return units->units->len == 0; }

TtUnit *tt_units_find(TtUnits *units, guint64 addr) {
    const TtRange *range = tt_ranges_find(&units->map, addr);
    TtUnit *unit;

    if (!range)
        return NULL;
    unit = &g_array_index(units->units, TtUnit, range->value);
    if (!unit->paths)
        open_tree(unit);
    if (!unit->is_indexed)
        index_functions(unit, FALSE);
    return unit;
}

static void walk_inlines(TtFunction *function, Dwarf_Die *parent, guint depth);

static void note_inline(TtFunction *function, Dwarf_Die *die, guint depth) {
    TtInline call = {.die = *die, .first_range = function->inline_ranges->len};
    TtRanges ranges = {.items = function->inline_ranges};
    guint number = function->inlines->len;

    if (!add_ranges(&ranges, die, number))
        return;
    call.range_count = function->inline_ranges->len - call.first_range;
    g_array_append_val(function->inlines, call);
    walk_inlines(function, die, depth);
    g_array_index(function->inlines, TtInline, number).subtree_end = function->inlines->len;
}

static void walk_inlines(TtFunction *function, Dwarf_Die *parent, guint depth) {
    Dwarf_Die die;

    if (depth > DEPTH_MAX || dwarf_child(parent, &die) != 0)
        return;
    do {
        switch (dwarf_tag(&die)) {
        case DW_TAG_inlined_subroutine:
            note_inline(function, &die, depth + 1);
            break;
        case DW_TAG_lexical_block:
        case DW_TAG_try_block:
        case DW_TAG_catch_block:
        case DW_TAG_with_stmt:
            walk_inlines(function, &die, depth + 1);
            break;
        default:
            break;
        }
    } while (dwarf_siblingof(&die, &die) == 0);
}

const TtFunction *tt_unit_find_function(TtUnit *unit, guint64 addr) {
    const TtRange *range = tt_ranges_find(&unit->function_ranges, addr);
    TtFunction *function;

    if (!range && !unit->is_indexed_deeply) {
        index_functions(unit, TRUE);
        range = tt_ranges_find(&unit->function_ranges, addr);
    }
    if (!range)
        return NULL;
    function = &g_array_index(unit->functions, TtFunction, range->value);
    if (!function->inlines) {
        function->inlines = g_array_new(FALSE, FALSE, sizeof(TtInline));
        function->inline_ranges = g_array_new(FALSE, FALSE, sizeof(TtRange));
        walk_inlines(function, &function->die, 0);
    }
    return function;
}

/* The first of a name counts: a definition repeats what a declaration said. */
static void index_globals(TtUnit *unit) {
    Dwarf_Die die;

    unit->globals = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    if (dwarf_child(&unit->tree, &die) != 0)
        return;
    do {
        const char *name = dwarf_tag(&die) == DW_TAG_variable ? dwarf_diename(&die) : NULL;

        if (name && !g_hash_table_contains(unit->globals, name))
            g_hash_table_insert(unit->globals, (gpointer)name, g_memdup2(&die, sizeof die));
    } while (dwarf_siblingof(&die, &die) == 0);
}

gboolean tt_unit_find_global(TtUnit *unit, const char *name, Dwarf_Die *ret_variable) {
    const Dwarf_Die *found;

    if (!unit->globals)
        index_globals(unit);
    found = g_hash_table_lookup(unit->globals, name);
    if (found)
        *ret_variable = *found;
    return found != NULL;
}

/* Returns: the scope of the function whose die lies at @addr, or SCOPE_NONE. */
static guint32 find_scope(const TtUnit *unit, const void *addr) {
    gsize low = 0, high = unit->members->len;

    while (low < high) {
        gsize middle = low + (high - low) / 2;
        const Member *member = &g_array_index(unit->members, Member, middle);

        if (member->addr == addr)
            return member->scope;
        if ((const char *)member->addr < (const char *)addr)
            low = middle + 1;
        else
            high = middle;
    }
    return SCOPE_NONE;
}

char *tt_unit_qualify(const TtUnit *unit, const Dwarf_Die *function, const char *name) {
    guint32 scope = find_scope(unit, function->addr);
    GString *text;

    if (scope == SCOPE_NONE)
        return NULL;
    text = g_string_new(name);
    for (; scope != SCOPE_NONE; scope = g_array_index(unit->scopes, Scope, scope).parent) {
        g_string_prepend(text, "::");
        g_string_prepend(text, g_array_index(unit->scopes, Scope, scope).name);
    }
    return g_string_free(text, FALSE);
}
