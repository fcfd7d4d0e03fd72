/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a list and of a description, each named once where both have it. */
#include "control/figures.h"

#include "control/text.h"

/* What both tell of a session. */
typedef struct Head {
    const guint8 *id;
    gint pid;
    const char *exe; /* raw bytes */
    TtSessionState state;
    gint exit_status;
    guint64 start_time_ns;
    TtRelation relation;
    const guint8 *parent_id;
} Head;

static const char *relation_name(TtRelation relation) {
    switch (relation) {
    case TT_RELATION_FORK:
        return "fork";
    case TT_RELATION_EXEC:
        return "exec";
    case TT_RELATION_NONE:
        break;
    }
    return "none";
}

static void add_head(GVariantDict *figures, const Head *head) {
    g_autofree char *name = tt_text_get_name(head->exe);
    g_autofree char *exe = tt_text_make_valid(head->exe);
    char hex[TT_SESSION_HEX_BYTES], parent_hex[TT_SESSION_HEX_BYTES] = "";

    tt_text_write_id(head->id, hex);
    if (head->relation != TT_RELATION_NONE)
        tt_text_write_id(head->parent_id, parent_hex);
    g_variant_dict_insert(figures, "id", "s", hex);
    g_variant_dict_insert(figures, "pid", "i", head->pid);
    g_variant_dict_insert(figures, "name", "s", name);
    g_variant_dict_insert(figures, "exe", "s", exe);
    g_variant_dict_insert(figures, "state", "s", tt_session_state_name(head->state));
    g_variant_dict_insert(figures, "exit_status", "i", head->exit_status);
    g_variant_dict_insert(figures, "start_time_ns", "t", head->start_time_ns);
    g_variant_dict_insert(figures, "relation", "s", relation_name(head->relation));
    g_variant_dict_insert(figures, "parent", "s", parent_hex);
}

static void add(GVariantDict *figures, const char *key, guint64 value) {
    g_variant_dict_insert(figures, key, "t", value);
}

GVariant *tt_figures_of_card(const TtSessionCard *card) {
    const TtSummary *summary = &card->summary;
    const Head head = {
        .id = card->id,
        .pid = card->pid,
        .exe = card->exe,
        .state = summary->state,
        .exit_status = summary->exit_status,
        .start_time_ns = card->start_realtime_ns,
        .relation = card->parent_relation,
        .parent_id = card->parent_id,
    };
    GVariantDict figures;

    g_variant_dict_init(&figures, NULL);
    add_head(&figures, &head);
    add(&figures, "order", card->order);
    add(&figures, "live_bytes", summary->live_bytes);
    add(&figures, "live_blocks", summary->live_blocks);
    add(&figures, "peak_bytes", summary->peak_bytes);
    add(&figures, "events", summary->events);
    add(&figures, "dropped_events", summary->dropped_events);
    add(&figures, "cumulative_allocations", summary->cumulative_allocations);
    add(&figures, "cumulative_allocated", summary->cumulative_allocated);
    add(&figures, "sample_bytes", summary->sample_bytes);
    return g_variant_dict_end(&figures);
}

static void add_doubts(GVariantDict *figures, GPtrArray *sentences) {
    GVariantBuilder doubts;

    g_variant_builder_init(&doubts, G_VARIANT_TYPE_STRING_ARRAY);
    for (guint i = 0; sentences && i < sentences->len; i++)
        g_variant_builder_add_value(&doubts, g_variant_new_take_string(tt_text_make_valid(
                                                 g_ptr_array_index(sentences, i))));
    g_variant_dict_insert_value(figures, "doubts", g_variant_builder_end(&doubts));
}

/* @sample: NULL of a session that tells every event */
static void add_sample(GVariantDict *figures, const TtSample *sample) {
    add(figures, "sample_bytes", sample ? sample->mean_bytes : 0);
    if (!sample)
        return;
    add(figures, "live_bytes_error", sample->errors.live.bytes);
    add(figures, "peak_bytes_error", sample->errors.peak.bytes);
    add(figures, "cumulative_allocated_error", sample->errors.cumulative.bytes);
}

GVariant *tt_figures_of_snapshot(const TtSnapshot *snapshot) {
    const TtSessionInfo *info = tt_snapshot_get_info(snapshot);
    const TtTotals *totals = tt_snapshot_get_totals(snapshot);
    const TtCompleteness *completeness = tt_snapshot_get_completeness(snapshot);
    Head head = {
        .id = info->id,
        .pid = info->pid,
        .exe = info->exe,
        .start_time_ns = info->timescale.start_realtime_ns,
        .relation = info->parent_relation,
        .parent_id = info->parent_id,
    };
    GVariantDict figures;

    head.state = tt_snapshot_get_state(snapshot, &head.exit_status);
    g_variant_dict_init(&figures, NULL);
    add_head(&figures, &head);
    add(&figures, "live_bytes", totals->live_bytes);
    add(&figures, "live_blocks", totals->live_blocks);
    add(&figures, "peak_bytes", totals->peak_bytes);
    add(&figures, "peak_blocks", totals->peak_blocks);
    add(&figures, "peak_ns", totals->peak_ns);
    add(&figures, "events", totals->events);
    add(&figures, "cumulative_allocations", totals->cumulative_allocations);
    add(&figures, "cumulative_allocated", totals->cumulative_allocated);
    add(&figures, "cumulative_frees", totals->cumulative_frees);
    add(&figures, "cumulative_freed", totals->cumulative_freed);
    add(&figures, "reallocations", totals->reallocations);
    add(&figures, "temporary_allocations", totals->temporary_allocations);
    add(&figures, "inherited_blocks", totals->inherited_blocks);
    add(&figures, "inherited_bytes", totals->inherited_bytes);
    add_sample(&figures, tt_snapshot_get_sample(snapshot));
    add(&figures, "dropped_events", completeness->dropped_events);
    add(&figures, "unknown_frees", completeness->unknown_frees);
    add(&figures, "double_frees", completeness->double_frees);
    add(&figures, "synthesized_frees", completeness->synthesized_frees);
    add(&figures, "truncated_stacks", completeness->truncated_stacks);
    add(&figures, "untraced_before_ns", completeness->untraced_before_ns);
    g_variant_dict_insert(&figures, "exact", "b", completeness->exact);
    add_doubts(&figures, completeness->doubts);
    return g_variant_ref_sink(g_variant_dict_end(&figures));
}

static void add_sum(GVariantBuilder *figures, const char *name, TtAmount amount) {
    g_autofree char *blocks = g_strconcat(name, "_blocks", NULL);
    g_autofree char *bytes = g_strconcat(name, "_bytes", NULL);

    g_variant_builder_add(figures, "{st}", blocks, amount.blocks);
    g_variant_builder_add(figures, "{st}", bytes, amount.bytes);
}

GVariant *tt_figures_of_leaks(const TtLeaksFound *found) {
    GVariantBuilder figures;

    g_variant_builder_init(&figures, G_VARIANT_TYPE("a{st}"));
    for (TtLeakClass class = 0; class < TT_LEAK_CLASSES; class ++)
        if ((class == TT_LEAK_ALIVE) != found->has_classes)
            add_sum(&figures, tt_leak_class_name(class), found->classes[class]);
    add_sum(&figures, "suppressed", found->suppressed);
    g_variant_builder_add(&figures, "{st}", "growing", found->growth_count);
    return g_variant_builder_end(&figures);
}
