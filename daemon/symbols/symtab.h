/* SPDX-License-Identifier: Apache-2.0 */
/* Functions as the symbol tables know them: .symtab, .dynsym, and the one of .gnu_debugdata. */
#pragma once

#include "symbols/elf.h"

G_BEGIN_DECLS

/* One thread; borrows from the module, which must outlive it. */
typedef struct TtSymtab TtSymtab;

/* Reads all symbols of a module. Returns: (transfer full) */
TtSymtab *tt_symtab_new(const TtElf *elf);
void tt_symtab_free(TtSymtab *symtab);

gboolean tt_symtab_is_empty(const TtSymtab *symtab);

/* Returns: (transfer none) (nullable): the name, still mangled, of the function that holds @addr;
 * never that of one which ends before it. Several names of one function: the plainest. */
const char *tt_symtab_find(const TtSymtab *symtab, guint64 addr);

G_END_DECLS
