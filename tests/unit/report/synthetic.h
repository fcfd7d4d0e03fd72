/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots and symbols out of thin air: they stand in for the model and the symbolizer, so that
 * reports can be given what no program would bring about in a test: names of any bytes, figures up
 * to 2^64-1, two million blocks. Everything is public; a test fills in what it needs. */
#pragma once

#include "report/report.h"

struct TtSnapshot {
    TtSessionInfo info; /* strings are not owned */
    TtSessionState state;
    gint exit_status;
    guint64 time_ns;
    TtTotals totals;
    TtInstantRow instant;
    TtCompleteness completeness;
    TtSample sample;     /* its mean 0: none */
    GArray *site_errors; /* of TtErrors, or NULL */
    GArray *sites, *modules, *threads, *variables, *scopes, *timeline, *marks, *gaps; /* of rows */
    GArray *freed, *live;  /* of TtBlockRow */
    GHashTable *stacks;    /* id to a GArray of TtFrame */
    GHashTable *truncated; /* ids */
    gsize made_count;      /* so many more live rows, of make_row */
    void (*make_row)(gsize index, TtBlockRow *ret_row);
    gsize next;
};

struct TtSymbols {
    GHashTable *answers; /* address in its module to TtSymbolAnswer */
    GHashTable *types;   /* variable's name to its type */
    gboolean is_broken;  /* fails whatever it is asked */
    guint question_count, type_question_count;
    gsize asked_count;
    gint hold_count;
};

TtSnapshot *synthetic_new(void);

/* @ips: ends with 0. The module is that with start <= ip < end, or none. */
void synthetic_add_stack(TtSnapshot *snapshot, guint32 id, const guint64 *ips);

/* Adds a module of one MiB at @start, which is its bias too; returns its index. */
guint32 synthetic_add_module(TtSnapshot *snapshot, const char *path, guint64 start);

TtBlockRow synthetic_block(guint64 id, guint64 addr, guint64 size, guint32 stack);

TtSymbols *synthetic_symbols_new(void);
void synthetic_symbols_free(TtSymbols *symbols);

/* Names the innermost function at @addr; the next outer one where it is called again. */
void synthetic_add_name(TtSymbols *symbols, guint64 addr, const char *function, const char *file,
                        guint line, gboolean is_inlined);

/* Gives variables of this name a type, wherever they are. */
void synthetic_add_type(TtSymbols *symbols, const char *name, const char *type);

/* The whole document; @symbols may be NULL. Fails the test where the sink fails. */
char *synthetic_json(TtSnapshot *snapshot, TtSymbols *symbols, const TtReportOptions *options,
                     gsize *ret_len);
