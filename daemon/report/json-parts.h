/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the JSON document share. Of json*.c alone. */
#pragma once

#include "report/frames.h"
#include "report/json-writer.h"
#include "report/report.h"
#include "report/types.h"

G_BEGIN_DECLS

/* A document in the making. Borrows all but what is marked owned. */
typedef struct TtJsonReport {
    TtSnapshot *snapshot;
    TtSymbols *symbols; /* or NULL */
    const TtReportOptions *options;
    TtJsonWriter *writer; /* owned */
    TtFrameNames *names;  /* owned, as is the next */
    TtVariableTypes *types;
    GHashTable *stack_set; /* owned; ids of every stack that the document refers to, as pointers */

    const TtSessionInfo *info;
    const TtSample *sample; /* NULL: the session tells every event */
    const TtThreadRow *threads;
    const TtVariableRow *variables;
    const TtScopeRow *scopes;
    const TtModuleRow *modules;
    gsize thread_count, variable_count, scope_count, module_count;
} TtJsonReport;

/* json.c */

/* What every document on a session opens and closes with. @report: zeroed but for its writer. */
void tt_json_open_report(TtJsonReport *report, TtSnapshot *snapshot, TtSymbols *symbols,
                         const TtReportOptions *options);
void tt_json_close_report(TtJsonReport *report);
/* `session`, `pid` and `exe`. */
void tt_json_write_session(TtJsonReport *report);
/* `schema_version` and `generator`. */
void tt_json_write_generator(TtJsonWriter *writer);
/* `doubts`: sentences. */
void tt_json_write_doubts(TtJsonWriter *writer, const TtCompleteness *completeness);
/* `unlisted_blocks` and `unlisted_bytes`. */
void tt_json_write_unlisted(TtJsonWriter *writer, const TtCompleteness *completeness);

/* json-blocks.c */

/* Notes a stack that will be referred to. */
void tt_json_collect_stack(TtJsonReport *report, guint32 stack);
/* Notes every stack that will be referred to, and has them named. Before anything is written. */
void tt_json_collect_stacks(TtJsonReport *report);
/* stacks[]: each of the collected, in order of their ids. */
void tt_json_write_stacks(TtJsonReport *report);
/* All that is said of a block, into an open object. */
void tt_json_put_block(TtJsonReport *report, const TtBlockRow *row);
/* active_allocations[] and freed_allocations[]: slice by slice. */
void tt_json_write_live(TtJsonReport *report);
void tt_json_write_freed(TtJsonReport *report);

/* json-lists.c: what is small, a list each. */

/* Whether there is anything to say of a site. */
gboolean tt_json_has_counts(const TtSiteRow *site);
/* `function`, `file` and `line` of a stack. */
void tt_json_put_site_name(TtJsonReport *report, guint32 stack);
void tt_json_write_hotspots(TtJsonReport *report);
void tt_json_write_threads(TtJsonReport *report);
void tt_json_write_modules(TtJsonReport *report);
void tt_json_write_variables(TtJsonReport *report);
void tt_json_write_types(TtJsonReport *report);
void tt_json_write_scopes(TtJsonReport *report);
void tt_json_write_timeline(TtJsonReport *report);
void tt_json_write_marks(TtJsonReport *report);
void tt_json_write_gaps(TtJsonReport *report);

/* The kernel's number of a thread, or null for none. */
void tt_json_put_thread(TtJsonReport *report, const char *key, guint32 thread);
/* A scope's path, "outer/inner", or null for none. The outermost are left out of one that is very
 * deep or long, which then begins with "…/". */
void tt_json_put_scope(TtJsonReport *report, const char *key, guint32 scope);
/* What is not known of a state that was led back: null then. */
void tt_json_put_retained(TtJsonReport *report, const char *key, guint64 count);
/* `instant`, or another key: which one a snapshot shows. */
void tt_json_write_instant(TtJsonWriter *writer, const char *key, const TtSnapshot *snapshot);
/* A session's id in hexadecimal. */
void tt_json_put_id(TtJsonWriter *writer, const char *key, const guint8 *id);
/* A time in the session, or null for TT_TIME_NONE. */
void tt_json_put_time(TtJsonWriter *writer, const char *key, guint64 time_ns);
/* `type_name` or `type`, as @key says, and `type_source` of a variable; null where it has none. */
void tt_json_put_type(TtJsonReport *report, const char *key, guint32 variable);
/* A raw string of which "" means that it is not known, or null then. */
void tt_json_put_known(TtJsonWriter *writer, const char *key, const char *text);
/* `line`: a line of a file, or null for 0. */
void tt_json_put_line(TtJsonWriter *writer, guint line);
/* `build_id`: in hexadecimal, or null where none is known. */
void tt_json_put_build_id(TtJsonWriter *writer, GBytes *build_id);

G_END_DECLS
