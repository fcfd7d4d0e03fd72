/* SPDX-License-Identifier: Apache-2.0 */
/* All feeds, those that ended too as far as they are kept, and what memory each may take. */
#pragma once

#include "intake/feed.h"

G_BEGIN_DECLS

typedef struct TtRegistry TtRegistry;

/* @memory_limit_bytes: of all sessions together; @ended_max: how many that ended are kept. */
TtRegistry *tt_registry_new(gsize memory_limit_bytes, guint ended_max);

/* Gives up all feeds, which go on their workers. */
void tt_registry_give_up_all(TtRegistry *registry);

/* The feeds have gone: it is what they took their memory from. */
void tt_registry_free(TtRegistry *registry);

/* Any thread from here on. */

/* @session_id: TT_SESSION_ID_BYTES. Returns: (transfer full) (nullable). */
TtFeed *tt_registry_find(TtRegistry *registry, const guint8 *session_id);

/* Returns: (transfer full) (nullable): the newest session of process @pid. */
TtFeed *tt_registry_find_newest(TtRegistry *registry, gint pid);

/* Returns: (transfer full) (element-type TtFeed): oldest first. */
GPtrArray *tt_registry_list(TtRegistry *registry);

void tt_registry_add(TtRegistry *registry, TtFeed *feed);
guint tt_registry_get_running_count(TtRegistry *registry);

/* For what is needed to answer a question, and for no longer. Sessions that ended are given up for
 * it as for one that runs: what they fill is no reason to refuse. Any thread. */
void tt_registry_init_budget(TtRegistry *registry, TtBudget *ret_budget);

/* What a new session's blocks may take, in the list or not, and out of what. Sessions that ended
 * are given up for it as it grows. */
void tt_registry_set_limits(TtRegistry *registry, TtModelLimits *limits);

/* A session has ended, or more is known of how: it is charged for what it holds from now on. */
void tt_registry_note_ended(TtRegistry *registry, TtFeed *feed);

/* Gives up those that ended first, beyond the number that is kept. */
void tt_registry_trim(TtRegistry *registry);

G_END_DECLS
