/* SPDX-License-Identifier: Apache-2.0 */
/* The loaded object that an address lies in. */
#pragma once

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

/* In the library's constructor only: takes the loader's lock. */
void tt_object_init(void);

/* As _dl_find_object, which takes no lock; but the object's first and last byte are always those of
 * the whole of it. Returns false where the loader knows none. Any thread. */
bool tt_object_find(uint64_t addr, struct dl_find_object *ret_object);
