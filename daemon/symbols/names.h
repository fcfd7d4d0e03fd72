/* SPDX-License-Identifier: Apache-2.0 */
/* Names of functions as they are shown, each made once for a module. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* By the place in the module's memory that a name was made from, which must stay. One thread. */
typedef struct TtNames TtNames;

TtNames *tt_names_new(void);
void tt_names_free(TtNames *names);

/* Returns: (transfer none) (nullable): @symbol demangled; NULL where that cannot be. */
const char *tt_names_demangle(TtNames *names, const char *symbol);

/* Returns: (transfer none): @symbol as the linker has it, without the symbol's version. */
const char *tt_names_get_bare(TtNames *names, const char *symbol);

/* Returns: (transfer none) (nullable): what tt_names_put() has put there. */
const char *tt_names_find(const TtNames *names, const void *place);

/* Returns: (transfer none): @name, which is kept. */
const char *tt_names_put(TtNames *names, const void *place, char *name);

G_END_DECLS
