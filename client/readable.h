/* SPDX-License-Identifier: Apache-2.0 */
/* Words that the engine reads, each only once its page was found readable: what it is led by,
 * unwind tables and stacks, may be damaged. Asking costs a system call, and a rule reads a dozen
 * pages of its object's tables, much the same as the one before it. So of an object that the loader
 * knows a page is asked for once in an epoch: it stays until the object goes, and then the loader
 * does not know it any more. Of all else, stacks for one, it is asked for once in a visit.
 *
 * All of it under the engine's lock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A visit begins. @epoch: of the modules, now (rules.h). */
void tt_readable_begin(uint32_t epoch);

/* The loader knows of an object here, now: until the visit ends, or another is told of. */
void tt_readable_set_object(uint64_t start, uint64_t end);

/* Can the page of @addr be read? */
bool tt_readable_page(uint64_t addr);

/* Reads 8 bytes, which need not be aligned, or returns false. */
bool tt_readable_get(uint64_t addr, uint64_t *ret_value);
