/* SPDX-License-Identifier: Apache-2.0 */
/* The threads of a session, by the lanes that they write. Kernel thread ids are reused; an index
 * is not, until there are too many: then one thread "other" serves all further ones. */
#pragma once

#include "model/snapshot.h"

G_BEGIN_DECLS

typedef struct TtThread {
    guint64 allocations, allocated; /* done by it */
    guint64 frees, freed;
    guint64 died_blocks, died_bytes; /* born in it and no longer alive, or counted only; of one that
                                        was inherited less than 0 by what was alive then */
    guint64 last_id;                 /* of its last allocation, 0: not known */
    guint32 open_slot;               /* the block of its open reallocation, or 0 */
    guint32 open_stack;              /* the one that began it */
    guint32 scope;                   /* its innermost scope that has a row, or TT_NONE */
    guint32 scope_depth;             /* how many are open; more than the row is deep: "other" */
    guint32 tid;
    gboolean has_open_shed; /* that block is one of those that are counted only */
    guint64 told_fork;      /* token of the last fork that it has told of, or 0 */
    char *name;             /* GRefString, or NULL */
} TtThread;

typedef struct TtLaneThread {
    guint32 tid;
    guint32 index; /* TT_NONE: nobody's */
} TtLaneThread;

typedef struct TtThreads {
    TtThread *threads; /* of room; moves when it grows */
    guint32 count;     /* "other" is made at once when the limit is near, and is the last */
    guint32 room;
    GArray *lanes; /* of TtLaneThread */
} TtThreads;

void tt_threads_init(TtThreads *threads);
void tt_threads_clear(TtThreads *threads);

/* One more, that writes no lane so far; "other" past the limit. Returns its index. */
guint16 tt_threads_add(TtThreads *threads, guint32 tid);

/* As tt_session_get_thread. Quick where the lane's thread is the same as last time. */
guint16 tt_threads_get(TtThreads *threads, guint lane, guint32 tid);

/* Returns the index of the thread of that tid that has a lane, or TT_NONE. */
guint32 tt_threads_find(const TtThreads *threads, guint64 tid);

/* Whoever comes next in this lane is another thread. */
void tt_threads_end(TtThreads *threads, guint lane);

void tt_threads_set_name(TtThreads *threads, guint16 thread, TtString name);

/* Returns: (transfer full): rows as a snapshot has them, freed by tt_thread_rows_free. */
TtThreadRow *tt_threads_copy(const TtThreads *threads, gsize *ret_count);
void tt_thread_rows_free(TtThreadRow *rows, gsize count);

gsize tt_threads_bytes(const TtThreads *threads);

G_END_DECLS
