/* SPDX-License-Identifier: Apache-2.0 */
/* All feeds, those that ended too as far as they are kept, and what memory each may take. */
#pragma once

#include "intake/feed.h"

G_BEGIN_DECLS

typedef struct TtRegistry TtRegistry;

/* @memory_limit_bytes: of all sessions together; @ended_max: how many that ended are kept. */
TtRegistry *tt_registry_new(gsize memory_limit_bytes, guint ended_max);

/* Gives up all feeds. */
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

/* How much a new session's blocks may take. Makes room by giving up sessions that ended. */
gsize tt_registry_grant_bytes(TtRegistry *registry);

/* The same for a session that is not in the list; to be given back. */
gsize tt_registry_lend_bytes(TtRegistry *registry);
void tt_registry_return_bytes(TtRegistry *registry, gsize bytes);

/* Gives up the oldest sessions that ended, beyond the number that is kept. */
void tt_registry_trim(TtRegistry *registry);

G_END_DECLS
