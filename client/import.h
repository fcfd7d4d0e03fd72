/* SPDX-License-Identifier: Apache-2.0 */
/* What a library of ours alone imports, given from here instead. */
#pragma once

#include <stdbool.h>

/* Has a library call @function where it calls the imported function @symbol.
 *
 * @inside  an address in it; all its imports are bound (RTLD_NOW), and nobody is in a call of it
 *
 * Returns false where it has no such import that is called through a slot (it may have been linked
 * otherwise): it goes on as it was. In the library's constructor. */
bool tt_import_replace(void *inside, const char *symbol, void *function);
