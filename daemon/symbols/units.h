/* SPDX-License-Identifier: Apache-2.0 */
/* The units of a module's debug information, and the functions of each: where to look. */
#pragma once

#include <elfutils/libdw.h>

#include "symbols/ranges.h"

G_BEGIN_DECLS

/* A call that was inlined, in the order of the tree: those inside it follow, up to @subtree_end. */
typedef struct TtInline {
    Dwarf_Die die;
    guint first_range, range_count; /* in TtFunction.inline_ranges */
    guint subtree_end;
} TtInline;

typedef struct TtFunction {
    Dwarf_Die die;
    GArray *inlines;       /* (nullable) TtInline; read when first needed */
    GArray *inline_ranges; /* (nullable) TtRange */
} TtFunction;

/* One compilation. Lines and ranges are its @die's; functions are under its @tree, which is another
 * die where they are in a .dwo file. */
typedef struct TtUnit {
    Dwarf_Die die;
    Dwarf_Die tree;
    gboolean is_indexed, is_indexed_deeply;
    TtRanges function_ranges; /* → functions */
    GArray *functions;        /* TtFunction */
    GArray *scopes;           /* namespaces and classes; see units.c */
    GArray *members;          /* functions in them; see units.c */
    GHashTable *globals;      /* (nullable) variables outside functions, by name */
    const char *directory;    /* (nullable) in which it was compiled */
    GHashTable *paths; /* file name as the unit has it, by its place in memory → full path */
} TtUnit;

/* One thread; borrows the Dwarf. */
typedef struct TtUnits TtUnits;

TtUnits *tt_units_new(Dwarf *dwarf);
void tt_units_free(TtUnits *units);

gboolean tt_units_is_empty(const TtUnits *units);

/* Returns: (transfer none) (nullable): the unit that holds the address of the debug information.
 * Reads all of its functions when first asked for one of them. */
TtUnit *tt_units_find(TtUnits *units, guint64 addr);

/* Returns: (transfer none) (nullable): the function, its inlined calls read. Stays where it is
 * until the next call. */
const TtFunction *tt_unit_find_function(TtUnit *unit, guint64 addr);

/* Finds a variable that is declared in the unit outside all functions and classes. */
gboolean tt_unit_find_global(TtUnit *unit, const char *name, Dwarf_Die *ret_variable);

/* Returns: (transfer full) (nullable): "space::Class::name" of a function that lies in some; NULL
 * where it does not, or in another unit. */
char *tt_unit_qualify(const TtUnit *unit, const Dwarf_Die *function, const char *name);

G_END_DECLS
