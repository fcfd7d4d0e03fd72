/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: what the program can still reach.
 *
 * From the roots (registers, stacks, everything that can be written and is no block and no hole)
 * words are followed that are the address of a live block, or lie in one; from those blocks on.
 * Twice: first by addresses of blocks alone, which makes what is still reachable, then by those in
 * the middle too, which makes what is possibly lost. What is left is lost: its blocks and the
 * pointers between them are a graph, of which the strongly connected parts that none other leads to
 * are definitely lost, the oldest block of each standing for it, and all else indirectly.
 *
 * Some addresses in the middle are the only ones that a sound program keeps, and count as the
 * block's own (valgrind's heuristics of the same names): that of an array with its length before it
 * (new T[n]; length64), and that of a second base class. */
#pragma once

#include "scan/image.h"
#include "scan/table.h"

G_BEGIN_DECLS

typedef struct TtMarks {
    guint8 *classes;       /* of TtLeakClass, a block each */
    guint32 *leaders;      /* of an indirectly lost one: index of a definite one that leads to it */
    guint64 scanned_bytes; /* roots and blocks */
} TtMarks;

/**
 * tt_marks_init:
 * @has_gaps: live blocks may be unknown
 * @moving: (array length=moving_count): ids of blocks in a reallocation. The allocator has them in
 *   hand, and knows them by other addresses: they are reachable. They may not be where the table
 * has them, so what stacks and registers point to counts as a block, known or not
 */
void tt_marks_init(TtMarks *marks, TtImage *image, const TtTable *table, gboolean has_gaps,
                   const guint64 *moving, gsize moving_count);
void tt_marks_clear(TtMarks *marks);

G_END_DECLS
