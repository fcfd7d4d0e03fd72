/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: what of a process's memory is not to be taken for the program's own words,
 * though it can be written: where dead things lie.
 *
 *  - the heap of glibc's malloc between the live blocks: freed blocks, caches, headers. A pointer
 *    in a freed block keeps nothing. The main heap is named by the kernel; the others begin at
 *    multiples of 64 MiB with their own head, by which they are known (malloc/arena.c: heap_info);
 *  - stacks below the stack pointer;
 *  - stacks of threads that have ended, which glibc keeps for the next ones: a guard page below
 * and, at their upper end, the thread's control block, which points to itself (the tcbhead_t of the
 *    psABI) and is no living thread's.
 *
 * What is not known for one of these is looked at: too much keeps a leak unseen, too little would
 * call a block lost that is not. */
#pragma once

#include "scan/image.h"

G_BEGIN_DECLS

typedef struct TtHole {
    guint64 start, end;
} TtHole;

/**
 * tt_holes_find:
 * @has_gaps: live blocks may be unknown: the heap is none then
 * @ret_kept: (out) (transfer full) (element-type guint64): words in holes that count all the same:
 *   where ended threads keep their vectors of TLS blocks, which the next ones will use
 *
 * Returns: (transfer full) (element-type TtHole): in order, apart
 */
GArray *tt_holes_find(TtImage *image, gboolean has_gaps, GArray **ret_kept);

/* From a thread's control block, its vector of TLS blocks, of which glibc keeps the second
 * element's address (elf/dl-tls.c). 0: none. */
guint64 tt_holes_read_tls_vector(TtImage *image, guint64 thread_pointer);

G_END_DECLS
