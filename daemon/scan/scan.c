/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/scan.h"

#include "protocol/checked.h"
#include "scan/growth.h"
#include "scan/image.h"
#include "scan/mark.h"
#include "scan/table.h"

struct TtScan {
    TtScanFacts facts;
    GArray *groups;  /* of TtLeakGroup */
    GArray *growths; /* of TtGrowth */
};

const char *tt_leak_class_name(TtLeakClass class) {
    static const char *const names[TT_LEAK_CLASSES] = {"definite", "indirect", "possible",
                                                       "reachable", "alive"};

    return names[class];
}

/* ---- Groups ---- */

static TtLeakGroup *find_group(GArray *groups, GHashTable *index, TtLeakClass class,
                               guint32 stack) {
    guint64 key = (guint64)stack * TT_LEAK_CLASSES + class;
    guint at = GPOINTER_TO_UINT(g_hash_table_lookup(index, &key));

    if (at == 0) {
        TtLeakGroup group = {.class = class, .stack = stack};
        guint64 *owned = g_new(guint64, 1);

        *owned = key;
        g_array_append_val(groups, group);
        at = groups->len;
        g_hash_table_insert(index, owned, GUINT_TO_POINTER(at));
    }
    return &g_array_index(groups, TtLeakGroup, at - 1);
}

static void add(TtAmount *sum, TtAmount amount) {
    sum->blocks = tt_saturating_add(sum->blocks, amount.blocks);
    sum->bytes = tt_saturating_add(sum->bytes, amount.bytes);
}

static gint compare_groups(gconstpointer a, gconstpointer b) {
    const TtLeakGroup *one = a, *other = b;
    guint64 bytes = tt_saturating_add(one->amount.bytes, one->led_to.bytes);
    guint64 other_bytes = tt_saturating_add(other->amount.bytes, other->led_to.bytes);

    if (one->class != other->class)
        return one->class < other->class ? -1 : 1;
    if (bytes != other_bytes)
        return bytes > other_bytes ? -1 : 1;
    if (one->amount.blocks != other->amount.blocks)
        return one->amount.blocks > other->amount.blocks ? -1 : 1;
    return (one->stack > other->stack) - (one->stack < other->stack);
}

/* @marks: (nullable): without, all are alive and no more */
static GArray *make_groups(const TtTable *table, const TtMarks *marks) {
    GArray *groups = g_array_new(FALSE, FALSE, sizeof(TtLeakGroup));
    g_autoptr(GHashTable) index = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);

    for (guint32 i = 0; i < table->count; i++) {
        TtLeakClass class = marks ? (TtLeakClass)marks->classes[i] : TT_LEAK_ALIVE;

        add(&find_group(groups, index, class, table->blocks[i].stack)->amount,
            table->blocks[i].weight);
        if (class == TT_LEAK_INDIRECT && marks->leaders[i] < table->count)
            add(&find_group(groups, index, TT_LEAK_DEFINITE, table->blocks[marks->leaders[i]].stack)
                     ->led_to,
                table->blocks[i].weight);
    }
    g_array_sort(groups, compare_groups);
    return groups;
}

/* ---- All of it ---- */

/* Whether there may be blocks that nobody knows. */
static gboolean may_lack_blocks(const TtSnapshot *snapshot) {
    const TtCompleteness *completeness = tt_snapshot_get_completeness(snapshot);

    return completeness->dropped_events > 0 || completeness->untraced_before_ns > 0 ||
           completeness->shed_blocks > 0 || completeness->unlisted_blocks > 0 ||
           completeness->unknown_frees > 0 || completeness->has_paused ||
           (completeness->doubts && completeness->doubts->len > 0);
}

static gboolean classify(TtScan *scan, TtSnapshot *snapshot, const TtTable *table, int image_fd,
                         GError **error) {
    g_auto(TtImage) image = {0};
    TtMarks marks;
    gsize moving_count;
    const guint64 *moving;

    if (!tt_image_open(&image, image_fd, error))
        return FALSE;
    scan->facts.has_gaps = may_lack_blocks(snapshot);
    moving = tt_snapshot_get_moving(snapshot, &moving_count);
    tt_marks_init(&marks, &image, table, scan->facts.has_gaps, moving, moving_count);
    scan->facts.has_classes = TRUE;
    scan->facts.stopped_ns = image.head->stopped_ns;
    scan->facts.thread_count = image.head->thread_count;
    scan->facts.scanned_bytes = marks.scanned_bytes;
    scan->groups = make_groups(table, &marks);
    tt_marks_clear(&marks);
    return TRUE;
}

TtScan *tt_scan_new(TtSnapshot *snapshot, int image_fd, TtBudget *memory, GError **error) {
    g_autoptr(TtScan) scan = g_new0(TtScan, 1);
    TtTable table;
    gboolean is_done = TRUE;

    if (!tt_table_init(&table, snapshot, memory, error))
        return NULL;
    /* Of a sample most blocks, and with them most pointers, are not known. */
    if (image_fd >= 0 && !tt_snapshot_get_sample(snapshot))
        is_done = classify(scan, snapshot, &table, image_fd, error);
    else
        scan->groups = make_groups(&table, NULL);
    if (is_done)
        scan->growths = tt_growth_find(&table, snapshot);
    tt_table_clear(&table);
    return is_done ? g_steal_pointer(&scan) : NULL;
}

void tt_scan_free(TtScan *scan) {
    if (!scan)
        return;
    g_clear_pointer(&scan->groups, g_array_unref);
    g_clear_pointer(&scan->growths, g_array_unref);
    g_free(scan);
}

const TtScanFacts *tt_scan_get_facts(const TtScan *scan) { return &scan->facts; }

const TtLeakGroup *tt_scan_get_groups(const TtScan *scan, gsize *ret_count) {
    *ret_count = scan->groups->len;
    return (const TtLeakGroup *)(gconstpointer)scan->groups->data;
}

const TtGrowth *tt_scan_get_growths(const TtScan *scan, gsize *ret_count) {
    *ret_count = scan->growths->len;
    return (const TtGrowth *)(gconstpointer)scan->growths->data;
}
