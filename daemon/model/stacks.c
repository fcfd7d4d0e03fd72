/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes by their id. Ids are dense, so the array is the tree; but several threads of the program
 * define them, so they come a little out of order, and holes are possible: a node is there once its
 * flags say so. */
#include "model/stacks.h"

TtStacks *tt_stacks_new(gsize node_limit) {
    TtStacks *stacks = g_atomic_rc_box_new0(TtStacks);

    stacks->id_limit = (guint32)MIN(node_limit, G_MAXINT32) + TT_STACK_FIRST;
    tt_reserve_init(&stacks->nodes, (gsize)stacks->id_limit * sizeof(TtNode), NULL);
    return stacks;
}

TtStacks *tt_stacks_ref(TtStacks *stacks) { return g_atomic_rc_box_acquire(stacks); }

static void clear(gpointer data) {
    TtStacks *stacks = data;

    tt_reserve_clear(&stacks->nodes);
}

void tt_stacks_unref(TtStacks *stacks) {
    if (stacks)
        g_atomic_rc_box_release_full(stacks, clear);
}

static TtNode *get_node(const TtStacks *stacks, guint32 id) {
    return (TtNode *)(gpointer)stacks->nodes.base + id;
}

guint tt_stacks_read_flags(const TtStacks *stacks, guint32 id) {
    if (id < TT_STACK_FIRST || id >= __atomic_load_n(&stacks->readable, __ATOMIC_ACQUIRE))
        return 0;
    return __atomic_load_n(&get_node(stacks, id)->flags, __ATOMIC_ACQUIRE);
}

gboolean tt_stacks_define(TtStacks *stacks, const TtModules *modules, const TtRecordStack *record) {
    guint flags = TT_NODE_IS_DEFINED;
    guint16 module_row = TT_MODULE_ROW_NONE;

    if (record->id < TT_STACK_FIRST || record->id > G_MAXUINT32 || record->parent >= record->id ||
        record->parent == TT_STACK_NONE)
        return FALSE;
    if (record->id >= stacks->id_limit) {
        stacks->has_shed = TRUE;
        return TRUE;
    }
    if (record->module != 0) {
        module_row = tt_modules_find_row(modules, record->module);
        if (module_row == TT_MODULE_ROW_NONE)
            return FALSE;
    }
    if (record->parent >= TT_STACK_FIRST) {
        guint parent_flags = tt_stacks_read_flags(stacks, (guint32)record->parent);

        if (!parent_flags)
            return FALSE;
        flags |= parent_flags & TT_NODE_IS_TRUNCATED;
    } else if (record->parent == TT_STACK_TRUNCATED) {
        flags |= TT_NODE_IS_TRUNCATED;
    }
    if (record->flags & TT_STACK_EXACT_IP)
        flags |= TT_NODE_IS_EXACT_IP;

    guint32 id = (guint32)record->id;
    if (tt_stacks_read_flags(stacks, id))
        return FALSE;
    if (!tt_reserve_grow(&stacks->nodes, ((gsize)id + 1) * sizeof(TtNode)))
        return FALSE;
    __atomic_store_n(&stacks->readable,
                     (guint32)MIN(stacks->nodes.committed_bytes / sizeof(TtNode), stacks->id_limit),
                     __ATOMIC_RELEASE);

    TtNode *node = get_node(stacks, id);
    node->ip = record->ip;
    node->parent = (guint32)record->parent;
    node->module_row = module_row;
    __atomic_store_n(&node->flags, (guint16)flags, __ATOMIC_RELEASE);
    return TRUE;
}

gsize tt_stacks_read_frames(const TtStacks *stacks, guint32 id, gsize module_count,
                            TtFrame *ret_frames, gboolean *ret_is_truncated) {
    gboolean is_truncated = FALSE;
    gsize count = 0;
    guint flags;

    while ((flags = tt_stacks_read_flags(stacks, id)) != 0) {
        const TtNode *node = get_node(stacks, id);

        if (count == TT_STACK_DEPTH_MAX) {
            is_truncated = TRUE;
            break;
        }
        ret_frames[count++] = (TtFrame){
            .ip = node->ip,
            .module = node->module_row < module_count ? node->module_row : TT_NONE,
            .is_exact_ip = (flags & TT_NODE_IS_EXACT_IP) != 0,
        };
        is_truncated = (flags & TT_NODE_IS_TRUNCATED) != 0;
        id = node->parent;
    }
    if (ret_is_truncated)
        *ret_is_truncated = is_truncated;
    return count;
}

gboolean tt_stacks_read_node(const TtStacks *stacks, guint32 id, const TtModules *modules,
                             TtRecordStack *ret_record) {
    guint flags = tt_stacks_read_flags(stacks, id);

    if (!flags)
        return FALSE;

    const TtNode *node = get_node(stacks, id);
    *ret_record = (TtRecordStack){
        .id = id,
        .parent = node->parent,
        .ip = node->ip,
        .module = node->module_row < modules->rows->len
                      ? g_array_index(modules->rows, TtModule, node->module_row).id
                      : 0,
        .flags = flags & TT_NODE_IS_EXACT_IP ? TT_STACK_EXACT_IP : 0,
    };
    return TRUE;
}

gsize tt_stacks_bytes(const TtStacks *stacks) { return stacks->nodes.committed_bytes; }
