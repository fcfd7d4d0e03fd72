/* SPDX-License-Identifier: Apache-2.0 */
/* A stack for people: a frame a line, function and place. */
#pragma once

#include "report/frames.h"
#include "report/plain.h"

G_BEGIN_DECLS

/**
 * tt_stack_text_write:
 * @names: @stack was added and resolved
 * @indent: of every line
 * @max: how many frames at most, the outermost left out; 0: all
 *
 * Writes "parse (config.c:120)"; without a name "app+0x1f40", outside all modules "0x7f12". Where
 * programs and threads begin (tt_label_is_start) is left out, unless there is nothing else.
 */
void tt_stack_text_write(TtPlain *plain, TtFrameNames *names, const TtSnapshot *snapshot,
                         guint32 stack, const char *indent, gsize max);

G_END_DECLS
