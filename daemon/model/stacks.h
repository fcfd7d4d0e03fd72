/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of stacks: a node is a frame and its caller's node. Nodes are only ever added and never
 * move, so snapshots on other threads read them where they are. */
#pragma once

#include "model/modules.h"
#include "model/reserve.h"

G_BEGIN_DECLS

/* In TtNode.flags. */
enum {
    TT_NODE_IS_DEFINED = 1,
    TT_NODE_IS_EXACT_IP = 2,
    TT_NODE_IS_TRUNCATED = 4, /* the stack goes on beyond the outermost frame known */
};

typedef struct TtNode {
    guint64 ip;
    guint32 parent; /* less than the node's own id: no stack has a loop */
    guint16 module_row;
    guint16 flags; /* release, last of all; pairs with the acquire in tt_stacks_read_flags */
} TtNode;

G_STATIC_ASSERT(sizeof(TtNode) == 16);

/* Shared by a session, which defines, and its snapshots, which read. */
typedef struct TtStacks {
    TtReserve nodes;
    guint32 id_limit;  /* ids from here on are "other" */
    guint32 readable;  /* ids below have memory; release, pairs with tt_stacks_read_flags */
    gboolean has_shed; /* there were such ids; the owner's */
} TtStacks;

/* Returns: (transfer full): an empty tree, to be given back by tt_stacks_unref */
TtStacks *tt_stacks_new(gsize node_limit);
TtStacks *tt_stacks_ref(TtStacks *stacks);
void tt_stacks_unref(TtStacks *stacks);

/**
 * tt_stacks_define:
 *
 * Owner's thread.
 *
 * Returns: %FALSE: the id or its parent cannot be, or the id is defined. An id past the limit is
 *   taken, and is "other" from then on
 */
gboolean tt_stacks_define(TtStacks *stacks, const TtModules *modules, const TtRecordStack *record);

/* Flags of a stack's innermost node; 0 where the id is not defined. Any thread. */
guint tt_stacks_read_flags(const TtStacks *stacks, guint32 id);

/* As tt_snapshot_get_frames; modules of @module_count rows and more are unknown. Any thread. */
gsize tt_stacks_read_frames(const TtStacks *stacks, guint32 id, gsize module_count,
                            TtFrame *ret_frames, gboolean *ret_is_truncated);

/* The record that would define a node. Owner's thread. Returns FALSE where it is not defined. */
gboolean tt_stacks_read_node(const TtStacks *stacks, guint32 id, const TtModules *modules,
                             TtRecordStack *ret_record);

gsize tt_stacks_bytes(const TtStacks *stacks);

G_END_DECLS
