/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "stack-support.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <string.h>

#include "client/clock.h"
#include "client/lane.h"
#include "client/sys.h"
#include "protocol/decode.h"

const char *tt_program_path = "/the/program";
bool support_lane_is_full;
_Atomic uint64_t support_checks;

typedef struct Node {
    uint64_t parent, ip, module, flags;
} Node;

#define LANE_BYTES ((size_t)256 << 20)

/* Everything the lanes told so far, under the lock. */
static GMutex lock;
static GArray *nodes; /* by id */
static GPtrArray *module_paths;
static Counts counts;
static GPtrArray *lanes; /* Lane */
static __thread TtThread *own;

typedef struct Lane {
    TtThread thread;
    TtLaneControl control;
    uint8_t *memory;
    size_t read;
    TtDelta delta; /* the reader's */
} Lane;

/* The lane is one chunk, big enough for a test. */
bool tt_lane_next_chunk(TtThread *thread, size_t len) {
    (void)len;
    if (support_lane_is_full || thread->chunk != NULL)
        return false;
    Lane *lane = (Lane *)thread;
    thread->chunk = thread->at = lane->memory;
    thread->limit = lane->memory + LANE_BYTES;
    return true;
}

static void note_stack(const TtRecordStack *stack) {
    if (nodes->len <= stack->id)
        g_array_set_size(nodes, (guint)stack->id + 1);
    Node *node = &g_array_index(nodes, Node, stack->id);
    g_assert_cmpuint(node->ip, ==, 0); /* an id is defined once */
    *node = (Node){stack->parent, stack->ip, stack->module, stack->flags};
    counts.stacks++;
}

static void note_module(const TtRecordModule *module) {
    if (module_paths->len <= module->id)
        g_ptr_array_set_size(module_paths, (gint)module->id + 1);
    g_assert_null(g_ptr_array_index(module_paths, module->id));
    module_paths->pdata[module->id] = g_strndup(module->path.text, module->path.len);
    counts.modules++;
}

/* Reads what a lane has published. Under the lock. */
static void drain(Lane *lane) {
    size_t end = (size_t)atomic_load_explicit(&lane->control.write_position, memory_order_acquire);
    TtCursor cursor = tt_cursor_new(lane->memory + lane->read, end - lane->read);
    TtRawRecord raw;
    int item;

    while ((item = tt_decode_framed(&cursor, &raw)) == TT_ITEM_RECORD) {
        TtRecordNode node;
        TtRecordStack stack;
        TtRecordModule module;
        TtRecordSegment segment;
        TtRecordModuleGone gone;

        switch (raw.number) {
        case TT_RECORD_NODE:
            g_assert_cmpint(tt_decode_node(&raw, &node), ==, 0);
            stack = tt_stack_of_node(&lane->delta, &node);
            note_stack(&stack);
            break;
        case TT_RECORD_MODULE:
            g_assert_cmpint(tt_decode_module(&raw, &module), ==, 0);
            note_module(&module);
            break;
        case TT_RECORD_SEGMENT:
            g_assert_cmpint(tt_decode_segment(&raw, &segment), ==, 0);
            break;
        case TT_RECORD_MODULE_GONE:
            g_assert_cmpint(tt_decode_module_gone(&raw, &gone), ==, 0);
            counts.gone++;
            break;
        default:
            g_assert_not_reached();
        }
    }
    g_assert_cmpint(item, ==, TT_ITEM_END);
    lane->read = end;
}

static void drain_all(void) {
    for (guint i = 0; i < lanes->len; i++)
        drain(g_ptr_array_index(lanes, i));
}

void support_init(void) {
    nodes = g_array_new(FALSE, TRUE, sizeof(Node));
    module_paths = g_ptr_array_new();
    lanes = g_ptr_array_new();
    g_assert_cmpint(tt_stack_init(), ==, 0);

    void *ips[4];
    backtrace(ips, 4); /* loads libgcc now */
}

TtThread *support_thread(void) {
    if (own != NULL)
        return own;

    Lane *lane = tt_sys_map_private(sizeof *lane);
    lane->memory = tt_sys_map_private(LANE_BYTES);
    lane->thread.control = &lane->control;
    lane->thread.tid = tt_sys_gettid();
    own = &lane->thread;
    g_mutex_lock(&lock);
    g_ptr_array_add(lanes, lane);
    g_mutex_unlock(&lock);
    return own;
}

void support_adopt_thread(TtThread *thread) {
    if (thread != NULL)
        own = thread;
}

void support_restart(void) {
    tt_stack_restart_session(false);
    g_mutex_lock(&lock);
    drain_all();
    g_array_set_size(nodes, 0);
    g_ptr_array_set_size(module_paths, 0);
    g_mutex_unlock(&lock);
}

uint32_t support_hook(void) {
    uint64_t *frame = __builtin_frame_address(0);

    return tt_stack_capture(support_thread(), (uint64_t)__builtin_return_address(0),
                            (uint64_t)frame + 16, *frame);
}

void support_chain(uint32_t id, Chain *ret_chain) {
    g_mutex_lock(&lock);
    drain_all();
    ret_chain->count = 0;
    while (id >= TT_STACK_FIRST) {
        g_assert_cmpuint(id, <, nodes->len);
        const Node *node = &g_array_index(nodes, Node, id);
        g_assert_cmpuint(node->ip, !=, 0);
        g_assert_cmpuint(ret_chain->count, <, CHAIN_MAX);
        ret_chain->ips[ret_chain->count] = node->ip;
        ret_chain->modules[ret_chain->count] = node->module;
        ret_chain->is_exact[ret_chain->count++] = (node->flags & TT_STACK_EXACT_IP) != 0;
        id = (uint32_t)node->parent;
    }
    ret_chain->root = id;
    g_mutex_unlock(&lock);
}

const char *support_name(uint64_t ip) {
    Dl_info info;

    return dladdr((void *)(ip - 1), &info) != 0 && info.dli_sname != NULL ? info.dli_sname : "?";
}

const char *support_module_path(uint64_t id) {
    g_mutex_lock(&lock);
    drain_all();
    const char *path = id < module_paths->len ? g_ptr_array_index(module_paths, id) : NULL;
    g_mutex_unlock(&lock);
    return path;
}

Counts support_counts(void) {
    g_mutex_lock(&lock);
    drain_all();
    Counts now = counts;
    g_mutex_unlock(&lock);
    return now;
}

static void show(const Chain *chain, void *const *ips, size_t count) {
    for (size_t i = 0; i < chain->count || i < count; i++)
        g_test_message(
            "%3zu  ours %#14" G_GINT64_MODIFIER "x %-24s judge %#14" G_GINT64_MODIFIER "x %s", i,
            i < chain->count ? chain->ips[i] : 0,
            i < chain->count ? support_name(chain->ips[i]) : "", i < count ? (uint64_t)ips[i] : 0,
            i < count ? support_name((uint64_t)ips[i]) : "");
}

/* A frame of its own, so that both begin at the same return address. */
__attribute__((noinline)) uint32_t support_check(bool may_be_truncated) {
    uint64_t *frame = __builtin_frame_address(0);
    uint32_t id = tt_stack_capture(support_thread(), (uint64_t)__builtin_return_address(0),
                                   (uint64_t)frame + 16, *frame);
    static __thread Chain chain;
    static __thread void *ips[CHAIN_MAX + 1];

    int count = backtrace(ips, CHAIN_MAX + 1) - 1;
    support_chain(id, &chain);
    support_checks++;

    bool is_whole = chain.root == TT_STACK_ROOT;
    bool is_right = is_whole || may_be_truncated;
    if (is_whole)
        is_right &= chain.count == (size_t)count;
    is_right &= chain.count > 0 && chain.count <= (size_t)count;
    for (size_t i = 0; is_right && i < chain.count; i++)
        is_right = chain.ips[i] == (uint64_t)ips[i + 1];
    if (!is_right) {
        show(&chain, ips + 1, (size_t)count);
        g_test_message("root %u", chain.root);
        g_test_fail();
        g_assert_true(is_right);
    }
    return id;
}
