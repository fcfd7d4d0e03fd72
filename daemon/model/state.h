/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: what a session says of an instant but for its blocks and marks: sums, names,
 * times. Copied in one go by the session's owner and shared from then on, by a mark that keeps it
 * and the snapshots made of it. It holds on to nothing of the session but what never changes. */
#pragma once

#include "model/session-state.h"

G_BEGIN_DECLS

/* Counts references, from any thread; whoever has the only one may change it. */
typedef struct TtState {
    guint64 time_ns;
    TtTotals totals;
    TtCompleteness completeness;

    TtSiteRow *sites;
    gsize site_count;
    TtSiteVariance *variances; /* one for each site; NULL: exact, as the next two */
    TtErrors *site_errors;
    TtSample sample;
    TtModuleRow *modules;
    gsize module_count;
    TtThreadRow *threads;
    gsize thread_count;
    TtVariableRow *variables;
    gsize variable_count;
    TtScopeRow *scopes;
    gsize scope_count;
    TtTimePoint *timeline;
    gsize timeline_count;
    TtGapRow *gaps;
    gsize gap_count;
} TtState;

/* Returns: (transfer full): the state after the last applied event. Owner's thread. */
TtState *tt_state_new(const TtSession *session);
TtState *tt_state_ref(TtState *state);
void tt_state_unref(TtState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtState, tt_state_unref)

/* Returns: (transfer full): a pin of what lives now, for a reader of tt_state_new's. Owner's
 * thread. */
TtPin *tt_session_pin(TtSession *session);

/* Works out a sample's errors from the variances of its sites. No-op where all is exact. */
void tt_state_set_errors(TtState *state);

/* Memory that it holds, strings that it shares with the session left out. */
gsize tt_state_bytes(const TtState *state);

/* Returns: (transfer full): a copy, to be given back by tt_completeness_clear */
TtCompleteness tt_completeness_copy(const TtCompleteness *completeness);
void tt_completeness_clear(TtCompleteness *completeness);

/* Says something that makes the figures less than exact. */
void tt_completeness_doubt(TtCompleteness *completeness, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

G_END_DECLS
