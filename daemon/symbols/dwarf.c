/* SPDX-License-Identifier: Apache-2.0 */
/* Frames out of DWARF 2 to 5.
 *
 * An address lies in one function, and there in inlined calls that lie in one another. The line
 * table says where the address itself is: that is the innermost frame's place. Each call says where
 * it was called: that is the place of the frame around it. */
#include "symbols/dwarf.h"

#include <dwarf.h>
#include <string.h>

#define ORIGINS_MAX 16 /* steps from an instance to what it was declared as; more is a circle */

/* Returns: (transfer none) (nullable): the full path of a file of the unit's table. */
static const char *full_path(TtUnit *unit, const char *name) {
    const char *known;
    char *path;

    if (!name)
        return NULL;
    known = g_hash_table_lookup(unit->paths, name);
    if (known)
        return known;
    if (name[0] == '/' || !unit->directory)
        path = g_strdup(name);
    else
        path =
            g_build_filename(unit->directory, g_str_has_prefix(name, "./") ? name + 2 : name, NULL);
    g_hash_table_insert(unit->paths, (gpointer)name, path);
    return path;
}

static void set_line(TtUnit *unit, guint64 addr, TtSymbolFrame *frame) {
    Dwarf_Line *line = dwarf_getsrc_die(&unit->die, addr);
    int number;

    if (!line)
        return;
    frame->file = full_path(unit, dwarf_linesrc(line, NULL, NULL));
    if (dwarf_lineno(line, &number) == 0 && number > 0)
        frame->line = (guint)number;
}

static Dwarf_Word number_of(Dwarf_Die *die, unsigned name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value;

    if (dwarf_formudata(dwarf_attr(die, name, &attribute), &value) != 0)
        return 0;
    return value;
}

static void set_call(TtUnit *unit, Dwarf_Die *call, TtSymbolFrame *frame) {
    Dwarf_Word line = number_of(call, DW_AT_call_line);
    Dwarf_Attribute attribute;
    Dwarf_Files *files;
    size_t count;

    if (line <= G_MAXINT)
        frame->line = (guint)line;
    if (dwarf_attr(call, DW_AT_call_file, &attribute) &&
        dwarf_getsrcfiles(&unit->tree, &files, &count) == 0)
        frame->file =
            full_path(unit, dwarf_filesrc(files, number_of(call, DW_AT_call_file), NULL, NULL));
}

/* Goes from an instance to what it is one of; the name and the scope are there.
 * Returns: the last die of the way. */
static Dwarf_Die origin_of(const Dwarf_Die *die) {
    Dwarf_Die at = *die;

    for (int i = 0; i < ORIGINS_MAX; i++) {
        Dwarf_Attribute attribute;
        Dwarf_Die next;

        if (!dwarf_attr(&at, DW_AT_abstract_origin, &attribute) &&
            !dwarf_attr(&at, DW_AT_specification, &attribute))
            break;
        if (!dwarf_formref_die(&attribute, &next))
            break;
        at = next;
    }
    return at;
}

static const char *linkage_name(Dwarf_Die *die) {
    Dwarf_Attribute attribute;

    if (!dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) &&
        !dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
        return NULL;
    return dwarf_formstring(&attribute);
}

/* The name in the source, within its namespaces and classes. */
static const char *source_name(TtUnit *unit, Dwarf_Die *die, TtNames *names) {
    Dwarf_Die origin = origin_of(die);
    const char *known = tt_names_find(names, origin.addr);
    const char *name;
    char *qualified;

    if (known)
        return known;
    name = dwarf_diename(die);
    if (!name)
        return NULL;
    qualified = tt_unit_qualify(unit, &origin, name);
    return tt_names_put(names, origin.addr, qualified ? qualified : g_strdup(name));
}

/* What the linker's name says in full comes first. Functions of C have such a name too where their
 * source gives them one ("__GI_abort"); gcc gives none to what is not visible outside its file;
 * very long ones cannot be demangled. All those go by their name in the source.
 *
 * Returns: (nullable): as it is shown; @ret_is_short: whether it is only what the source says. */
static const char *function_name(TtUnit *unit, const Dwarf_Die *die, TtNames *names,
                                 gboolean *ret_is_short) {
    Dwarf_Die copy = *die;
    const char *symbol = linkage_name(&copy);
    const char *full = symbol ? tt_names_demangle(names, symbol) : NULL;
    const char *name = full ? full : source_name(unit, &copy, names);

    *ret_is_short = !full;
    return name || !symbol ? name : tt_names_get_bare(names, symbol);
}

static gboolean holds(const TtFunction *function, const TtInline *call, guint64 addr) {
    for (guint i = 0; i < call->range_count; i++) {
        const TtRange *range =
            &g_array_index(function->inline_ranges, TtRange, call->first_range + i);

        if (addr >= range->start && addr < range->end)
            return TRUE;
    }
    return FALSE;
}

/* Collects the calls that the address is in, the outermost first; of a longer chain the last.
 * Returns: how many. */
static guint find_calls(const TtFunction *function, guint64 addr,
                        TtInline *ret_calls[TT_EXCHANGE_FRAMES_MAX - 1]) {
    const guint room = TT_EXCHANGE_FRAMES_MAX - 1;
    guint count = 0, end = function->inlines->len;

    for (guint i = 0; i < end;) {
        TtInline *call = &g_array_index(function->inlines, TtInline, i);

        if (!holds(function, call, addr)) {
            i = call->subtree_end;
            continue;
        }
        if (count == room)
            memmove(ret_calls, ret_calls + 1, --count * sizeof *ret_calls);
        ret_calls[count++] = call;
        end = call->subtree_end;
        i++;
    }
    return count;
}

void tt_dwarf_find(TtUnits *units, guint64 addr, TtNames *names, TtChain *ret_chain) {
    TtInline *calls[TT_EXCHANGE_FRAMES_MAX - 1];
    TtUnit *unit = tt_units_find(units, addr);
    TtSymbolFrame *frame = ret_chain->frames;
    const TtFunction *function;
    guint call_count;

    ret_chain->count = 0;
    ret_chain->is_short = TRUE;
    if (!unit)
        return;
    ret_chain->count = 1;
    *frame = (TtSymbolFrame){0};
    set_line(unit, addr, frame);
    function = tt_unit_find_function(unit, addr);
    if (!function)
        return;
    call_count = find_calls(function, addr, calls);
    for (guint i = call_count; i > 0; i--) {
        frame->function = function_name(unit, &calls[i - 1]->die, names, &ret_chain->is_short);
        frame->is_inlined = TRUE;
        *++frame = (TtSymbolFrame){0};
        set_call(unit, &calls[i - 1]->die, frame);
    }
    frame->function = function_name(unit, &function->die, names, &ret_chain->is_short);
    ret_chain->count += call_count;
}
