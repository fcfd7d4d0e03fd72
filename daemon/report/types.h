/* SPDX-License-Identifier: Apache-2.0 */
/* The types of a session's variables: what the program declared or, where it could not, what its
 * debug information says. Used by JSON and the pictures alike. */
#pragma once

#include "model/snapshot.h"
#include "symbols/symbols.h"

G_BEGIN_DECLS

/* How a type is known, as documents say it. */
#define TT_TYPE_SOURCE_DECLARED "declared"
#define TT_TYPE_SOURCE_DWARF "dwarf"

/* One thread at a time. Borrows the snapshot and the symbols, which hold what it gives. */
typedef struct TtVariableTypes TtVariableTypes;

/**
 * tt_variable_types_new:
 * @snapshot: outlives the types
 * @symbols: (nullable): outlives the types; %NULL for none, then only declared types are known
 *
 * Asks for the types of all variables that were not declared with one, a question a module. May
 * block on the symbolizer, within its bounds. Where it fails types are missing, which is no error
 * of a report: tt_variable_types_get_failure() tells.
 *
 * Returns: (transfer full): never %NULL
 */
TtVariableTypes *tt_variable_types_new(TtSnapshot *snapshot, TtSymbols *symbols);
void tt_variable_types_free(TtVariableTypes *types);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtVariableTypes, tt_variable_types_free)

/**
 * tt_variable_types_find:
 * @variable: index into the snapshot's variables; any other is none of them
 * @ret_source: (nullable): %TT_TYPE_SOURCE_DECLARED or such; %NULL where it is not known
 *
 * Returns: (nullable): any bytes; lives as long as @types. %NULL where it is not known
 */
const char *tt_variable_types_find(const TtVariableTypes *types, guint32 variable,
                                   const char **ret_source);

/**
 * tt_variable_types_get_failure:
 *
 * Returns: (nullable): what the symbolizer failed at first, a sentence; %NULL where all went well
 */
const char *tt_variable_types_get_failure(const TtVariableTypes *types);

G_END_DECLS
