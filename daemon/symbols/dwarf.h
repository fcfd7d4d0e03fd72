/* SPDX-License-Identifier: Apache-2.0 */
/* From an address to its chain of frames, by the debug information. */
#pragma once

#include "symbols/exchange.h"
#include "symbols/names.h"
#include "symbols/units.h"

G_BEGIN_DECLS

/* The frames of one address, the innermost first. */
typedef struct TtChain {
    guint count; /* 0: no unit holds the address */
    TtSymbolFrame frames[TT_EXCHANGE_FRAMES_MAX];
    gboolean is_short; /* the last function has no full name: the symbol table may know better */
} TtChain;

/* Finds the frames of one address of the debug information.
 *
 * @names: keeps the text of their strings, and the module the rest */
void tt_dwarf_find(TtUnits *units, guint64 addr, TtNames *names, TtChain *ret_chain);

G_END_DECLS
