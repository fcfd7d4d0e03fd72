/* SPDX-License-Identifier: Apache-2.0 */
/* Who called. Many sites can have one name: a program's own allocator, a library without symbols.
 * What tells those apart is the first caller that they do not share, or
 * where they share all, the innermost function that they do not both allocate through. */
#pragma once

#include "report/frames.h"

G_BEGIN_DECLS

/* Borrows snapshot and names. */
typedef struct TtCallers TtCallers;

/**
 * tt_callers_new:
 * @names: whose stacks are resolved
 * @stacks: (array length=count): all that a picture shows, each as often as it likes
 *
 * Returns: (transfer full): never %NULL
 */
TtCallers *tt_callers_new(TtSnapshot *snapshot, TtFrameNames *names, const guint32 *stacks,
                          gsize count);
void tt_callers_free(TtCallers *callers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtCallers, tt_callers_free)

/* "from parse_all", "through getdelim", "at +0x1f40", as any bytes; NULL where the name of @stack
 * is its own, or nothing helps. */
const char *tt_callers_find(const TtCallers *callers, guint32 stack);

/* The site and its callers, for a tooltip: one a line, given shown (tt_measure_show()). */
char *tt_callers_describe(const TtCallers *callers, guint32 stack);

G_END_DECLS
