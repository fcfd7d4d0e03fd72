/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people, on a terminal or in a file: lines with columns that never run over. Strings of
 * the traced program may hold any bytes; none of them does anything to the terminal. */
#pragma once

#include "base/sink.h"

G_BEGIN_DECLS

typedef enum TtPlainSide {
    TT_PLAIN_LEFT,
    TT_PLAIN_RIGHT, /* the text stands at the column's right */
} TtPlainSide;

/* One thread's. Borrows the sink. */
typedef struct TtPlain {
    TtSink *sink;
    guint columns; /* of a line at most; 0: no limit */
    guint used;    /* by the line underway */
    GString *line; /* owned */
} TtPlain;

void tt_plain_init(TtPlain *plain, TtSink *sink, guint columns);
void tt_plain_clear(TtPlain *plain);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TtPlain, tt_plain_clear)

/**
 * tt_plain_add:
 * @text: any bytes up to a NUL
 *
 * Adds text to the line; what no longer fits is left out, and "…" stands at the line's end.
 */
void tt_plain_add(TtPlain *plain, const char *text);
void tt_plain_addf(TtPlain *plain, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Adds text in so many columns, cut with "…" or filled with spaces. */
void tt_plain_cell(TtPlain *plain, const char *text, guint columns, TtPlainSide side);

/* Columns that are left; G_MAXUINT without a limit. */
guint tt_plain_get_room(const TtPlain *plain);

/* Writes the line, spaces at its end left out. A failure stays with the sink. */
void tt_plain_end_line(TtPlain *plain);

/* A whole paragraph, broken between words, each line but the first indented by two. */
void tt_plain_paragraph(TtPlain *plain, const char *text);

G_END_DECLS
