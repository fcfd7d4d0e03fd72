/* SPDX-License-Identifier: Apache-2.0 */
/* Leaks that are known and not to be told: a file in LeakSanitizer's format.
 *
 *   # a comment
 *   leak:PATTERN
 *
 * PATTERN is found anywhere in the function, the file or the module of any frame; "*" stands for
 * any text, "^" at its beginning for that of the name, "$" for the name's end, and its own. */
#pragma once

#include "report/frames.h"

G_BEGIN_DECLS

#define TT_SUPPRESSIONS_BYTES_MAX (1u << 20)

typedef struct TtSuppression {
    char *pattern;   /* as it was given */
    TtAmount amount; /* what it has suppressed */
} TtSuppression;

/**
 * tt_suppressions_parse:
 * @text: not trusted
 * @error: G_IO_ERROR_INVALID_DATA, naming the line
 *
 * Returns: (transfer full) (element-type TtSuppression): in order; %NULL with @error set
 */
GPtrArray *tt_suppressions_parse(const char *text, GError **error);

/* Returns: (transfer none) (nullable): the first that a stack falls under. @names: resolved */
TtSuppression *tt_suppressions_find(GPtrArray *suppressions, TtFrameNames *names,
                                    const TtSnapshot *snapshot, guint32 stack);

/* Whether a name matches a pattern; an empty one never does. In time proportional to the product of
 * their lengths at most.
 */
gboolean tt_suppression_matches(const char *pattern, const char *name);

G_END_DECLS
