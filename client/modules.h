/* SPDX-License-Identifier: Apache-2.0 */
/* Which ELF object an address lies in, and whether it is still the one that it was.
 *
 * A module is an identity: where it is mapped, under which path, with which build-id. An id names
 * one identity for ever; a library that is loaded again as it was gets its old one. dlclose and
 * dlopen may put another library at the same base, with a link_map at the same address: so whatever
 * was learnt is held for an epoch only, which ends when the loader frees memory. */
#pragma once

#include <stdbool.h>

#include "client/thread.h"

/* Returns 0, or -ENOMEM. In the library's constructor. */
int tt_modules_init(void);

/* Finds the module that an address lies in, and makes it known if need be.
 *
 * @addr    on the calling thread's stack: so the module stays loaded
 * @epoch   tt_epoch_now(), read before
 * @ret_id  1 … 65535; 0 where there are too many
 *
 * Returns false where the loader knows no module there. Any thread; may lock, with signals blocked.
 */
bool tt_modules_find(uint64_t addr, uint32_t epoch, uint64_t *ret_id);

/* Bytes of lane that tt_modules_announce may need for module @id; 0: nothing is to be said, the
 * daemon can read all of it. Any thread. */
size_t tt_modules_announce_bytes(uint64_t id, uint32_t session);

/* Publishes MODULE and SEGMENT of module @id, whose address @ip is, and what modules went before.
 * The caller has reserved tt_modules_announce_bytes, and holds the lock of announcing (intern.c).
 */
void tt_modules_announce(TtThread *thread, uint64_t id, uint64_t ip, uint32_t session);

/* How many have ids: those up to it. */
uint32_t tt_modules_count(void);

/* In a forked child: was the lock held, what it guards may be half changed. */
void tt_modules_after_fork(void);
