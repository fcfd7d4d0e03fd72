/* SPDX-License-Identifier: Apache-2.0 */
/* From what a program called a variable to the type that it was declared with. */
#pragma once

#include "symbols/exchange.h"
#include "symbols/units.h"

G_BEGIN_DECLS

/* @addr: of the debug information; in the function that named the variable
 * @name: an expression as the source has it; not trusted
 *
 * Returns: (transfer full) (nullable): any bytes but NUL, bounded (tt_type_spell()); NULL where
 *   nothing of that name is declared there, it is more than a chain of members, "*" and "[…]", or
 *   its value cannot say where a block is */
char *tt_variable_find_type(TtUnits *units, guint64 addr, TtString name);

G_END_DECLS
