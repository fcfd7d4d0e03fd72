/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <string.h>

const char *const sample_names[] = {"empty", "one",  "freed",     "rich",
                                    "full",  "huge", "estimates", NULL};

static Sample *make(void) {
    Sample *sample = g_new0(Sample, 1);

    sample->snapshot = synthetic_new();
    sample->texts = g_ptr_array_new_with_free_func(g_free);
    return sample;
}

void sample_free(Sample *sample) {
    tt_snapshot_free(sample->snapshot);
    if (sample->symbols)
        synthetic_symbols_free(sample->symbols);
    g_ptr_array_unref(sample->texts);
    g_free(sample);
}

static void add_thread(TtSnapshot *snapshot, guint32 tid, const char *name) {
    TtThreadRow thread = {.tid = tid, .name = (char *)name};

    g_array_append_val(snapshot->threads, thread);
}

/* One block of 24 bytes that lives, or has died. */
static Sample *make_one(gboolean is_freed) {
    Sample *sample = make();
    TtSnapshot *snapshot = sample->snapshot;
    static const guint64 ips[] = {0x401234, 0};
    TtBlockRow block = synthetic_block(1, 0x602000, 24, 3);
    TtSiteRow site = {.stack = 3,
                      .cumulative_blocks = 1,
                      .cumulative_bytes = 24,
                      .peak_bytes = 24,
                      .peak_blocks = 1};

    synthetic_add_module(snapshot, "/usr/bin/prog", 0x400000);
    synthetic_add_stack(snapshot, 3, ips);
    add_thread(snapshot, 4711, "prog");
    snapshot->totals.cumulative_allocations = 1;
    snapshot->totals.cumulative_allocated = 24;
    snapshot->totals.peak_bytes = 24;
    snapshot->totals.peak_blocks = 1;
    if (is_freed) {
        block.died_ns = 5000;
        block.freed_by = 0;
        site.freed_blocks = 1;
        site.freed_bytes = 24;
        site.lifetime_min_ns = site.lifetime_median_ns = 4000;
        site.lifetime_p95_ns = site.lifetime_max_ns = 4000;
        snapshot->totals.cumulative_frees = 1;
        snapshot->totals.cumulative_freed = 24;
        g_array_append_val(snapshot->freed, block);
    } else {
        site.live_blocks = snapshot->totals.live_blocks = 1;
        site.live_bytes = snapshot->totals.live_bytes = 24;
        g_array_append_val(snapshot->live, block);
    }
    g_array_append_val(snapshot->sites, site);
    return sample;
}

static void add_names(TtSnapshot *snapshot) {
    TtVariableRow items = {.name = (char *)"items",
                           .type = (char *)"struct item *",
                           .file = (char *)"list.c",
                           .function = (char *)"add",
                           .line = 17,
                           .named_blocks = 2,
                           .live_blocks = 1,
                           .live_bytes = 100,
                           .cumulative_bytes = 150};
    TtVariableRow head = {.name = (char *)"head",
                          .type = (char *)"struct item *",
                          .file = (char *)"",
                          .function = (char *)"",
                          .named_blocks = 1,
                          .live_blocks = 1,
                          .live_bytes = 8,
                          .cumulative_bytes = 8};
    TtVariableRow untyped = {.name = (char *)"p",
                             .type = (char *)"",
                             .file = (char *)"",
                             .function = (char *)"",
                             .stack = 4,
                             .named_blocks = 1,
                             .live_blocks = 1,
                             .live_bytes = 8,
                             .cumulative_bytes = 8};
    TtVariableRow unknown = {
        .name = (char *)"q", .type = (char *)"", .file = (char *)"", .function = (char *)""};
    TtScopeRow outer = {.name = (char *)"outer", .parent = TT_NONE, .entered = 1};
    TtScopeRow inner = {.name = (char *)"inner", .parent = 0, .entered = 2};
    TtMarkRow mark = {.name = (char *)"loaded", .t_ns = 2500, .live_bytes = 108, .live_blocks = 2};
    TtTimePoint points[] = {{0, 0, 0}, {1000, 100, 1}, {3000, 208, 3}};
    TtGapRow gap = {.thread = 1, .first_ns = 10, .last_ns = 20, .dropped_events = 5};

    g_array_append_val(snapshot->variables, items);
    g_array_append_val(snapshot->variables, head);
    g_array_append_val(snapshot->variables, untyped);
    g_array_append_val(snapshot->variables, unknown);
    g_array_append_val(snapshot->scopes, outer);
    g_array_append_val(snapshot->scopes, inner);
    g_array_append_val(snapshot->marks, mark);
    g_array_append_vals(snapshot->timeline, points, 3);
    g_array_append_val(snapshot->gaps, gap);
}

static void add_blocks(TtSnapshot *snapshot) {
    TtBlockRow blocks[] = {synthetic_block(1, 0x602000, 100, 3), synthetic_block(3, 0x602100, 8, 4),
                           synthetic_block(4, 0x602200, 0, TT_STACK_NONE)};
    TtBlockRow dead = synthetic_block(2, 0x602080, 50, 3);

    blocks[0].variable = 0;
    blocks[0].scope = 1;
    blocks[1].variable = 2;
    blocks[1].resized_from = 2;
    blocks[1].thread = 1;
    blocks[2].is_inherited = TRUE;
    blocks[2].thread = TT_NONE;
    dead.died_ns = 3000;
    dead.freed_by = 1;
    dead.freed_stack = 9;
    g_array_append_vals(snapshot->live, blocks, 3);
    g_array_append_val(snapshot->freed, dead);
}

static void add_sites(TtSnapshot *snapshot) {
    TtSiteRow sites[] = {
        {.stack = 4,
         .live_blocks = 1,
         .live_bytes = 8,
         .cumulative_blocks = 1,
         .cumulative_bytes = 8},
        {.stack = 3,
         .live_blocks = 1,
         .live_bytes = 100,
         .cumulative_blocks = 2,
         .cumulative_bytes = 150,
         .freed_blocks = 1,
         .freed_bytes = 50,
         .peak_bytes = 150,
         .peak_blocks = 2,
         .temporary_blocks = 1,
         .lifetime_min_ns = 1000,
         .lifetime_median_ns = 1000,
         .lifetime_p95_ns = 1000,
         .lifetime_max_ns = 1000},
        {.stack = TT_STACK_NONE, .live_blocks = 1},
        {.stack = 77}, /* never used: left out */
    };

    g_array_append_vals(snapshot->sites, sites, G_N_ELEMENTS(sites));
}

/* Something of everything: a killed child with names, scopes, gaps, an inherited block. */
static Sample *make_rich(void) {
    static const guint64 first[] = {0x7f0000000101, 0x400201, 0x400301, 0};
    static const guint64 second[] = {0x400401, 0x5000, 0}, freeing[] = {0x400501, 0};
    static TtRelated related[] = {
        {.id = {1, 2, 3}, .pid = 4000, .exe = (char *)"/bin/sh", .relation = "parent"},
        {.id = {4}, .pid = 5000, .exe = (char *)"", .relation = "child"}};
    Sample *sample = make();
    TtSnapshot *snapshot = sample->snapshot;

    synthetic_add_module(snapshot, "/usr/bin/prog", 0x400000);
    synthetic_add_module(snapshot, "/lib/libc.so.6", 0x7f0000000000);
    g_clear_pointer(&g_array_index(snapshot->modules, TtModuleRow, 1).build_id, g_bytes_unref);
    synthetic_add_stack(snapshot, 3, first);
    synthetic_add_stack(snapshot, 4, second);
    synthetic_add_stack(snapshot, 9, freeing);
    g_hash_table_add(snapshot->truncated, GUINT_TO_POINTER(4));
    add_thread(snapshot, 4711, "prog");
    add_thread(snapshot, 4712, "");
    add_names(snapshot);
    add_blocks(snapshot);
    add_sites(snapshot);
    snapshot->state = TT_SESSION_KILLED;
    snapshot->exit_status = 9;
    snapshot->time_ns = 1500000000;
    snapshot->info.parent_relation = TT_RELATION_FORK;
    snapshot->info.parent_id[0] = 1;
    snapshot->completeness.exact = FALSE;
    snapshot->completeness.dropped_events = 5;
    g_ptr_array_add(snapshot->completeness.doubts, g_strdup("the clock went backwards"));
    snapshot->totals = (TtTotals){.live_blocks = 3,
                                  .live_bytes = 108,
                                  .cumulative_allocations = 3,
                                  .cumulative_allocated = 158,
                                  .cumulative_frees = 1,
                                  .cumulative_freed = 50,
                                  .reallocations = 1,
                                  .temporary_allocations = 1,
                                  .inherited_blocks = 1,
                                  .peak_bytes = 150,
                                  .peak_blocks = 3,
                                  .peak_ns = 2000};
    sample->symbols = synthetic_symbols_new();
    synthetic_add_name(sample->symbols, 0x100, "strdup", "strdup.c", 42, FALSE);
    synthetic_add_name(sample->symbols, 0x200, "copy", "list.h", 9, TRUE);
    synthetic_add_name(sample->symbols, 0x200, "add", "list.c", 17, FALSE);
    synthetic_add_type(sample->symbols, "p", "struct page *");
    synthetic_add_type(sample->symbols, "q", "struct never *");     /* nobody knows where q is */
    synthetic_add_type(sample->symbols, "items", "struct other *"); /* declared otherwise */
    sample->options.related = related;
    sample->options.related_count = 2;
    sample->options.now_realtime_ns = 1800000000000000000u; /* does not count: it is over */
    return sample;
}

/* Every number as large as it gets. */
static Sample *make_huge(void) {
    Sample *sample = make_one(FALSE);
    TtSnapshot *snapshot = sample->snapshot;
    TtSiteRow *site = &g_array_index(snapshot->sites, TtSiteRow, 0);
    TtBlockRow *block = &g_array_index(snapshot->live, TtBlockRow, 0);

    block->addr = G_MAXUINT64;
    block->size = (guint64)1 << 63;
    block->id = G_MAXUINT64;
    block->born_ns = G_MAXUINT64 - 1;
    site->live_bytes = site->cumulative_bytes = (guint64)1 << 63;
    site->freed_blocks = site->lifetime_max_ns = G_MAXUINT64;
    snapshot->totals.live_bytes = snapshot->totals.cumulative_allocated = (guint64)1 << 63;
    snapshot->time_ns = G_MAXUINT64;
    snapshot->info.timescale.start_realtime_ns = G_MAXUINT64;
    snapshot->info.pid = G_MAXINT;
    g_array_index(snapshot->threads, TtThreadRow, 0).tid = G_MAXUINT32;
    return sample;
}

static void weigh(GArray *rows) {
    for (guint i = 0; i < rows->len; i++)
        g_array_index(rows, TtBlockRow, i).weight = (TtAmount){40 + i, 4000 + i};
}

/* What was rich, if it was a sample. Its weights agree with nothing; the SVG session's do. */
static Sample *make_sampled(void) {
    Sample *sample = make_rich();
    TtSnapshot *snapshot = sample->snapshot;

    snapshot->sample = (TtSample){
        .mean_bytes = 4096,
        .allocations = 5,
        .frees = 2,
        .errors = {.live = {11, 12}, .cumulative = {13, 14}, .freed = {15, 16}, .peak = {17, 18}}};
    snapshot->site_errors = g_array_new(FALSE, FALSE, sizeof(TtErrors));
    for (guint64 i = 0; i < snapshot->sites->len; i++) {
        TtErrors errors = {.live = {100 * i + 1, 100 * i + 2},
                           .cumulative = {100 * i + 3, 100 * i + 4},
                           .freed = {100 * i + 5, 100 * i + 6},
                           .peak = {100 * i + 7, 100 * i + 8}};
        g_array_append_val(snapshot->site_errors, errors);
    }
    weigh(snapshot->live);
    weigh(snapshot->freed);
    return sample;
}

Sample *sample_new(const char *name) {
    Sample *sample;

    if (g_str_equal(name, "empty"))
        return make();
    if (g_str_equal(name, "one"))
        return make_one(FALSE);
    if (g_str_equal(name, "freed"))
        return make_one(TRUE);
    if (g_str_equal(name, "huge"))
        return make_huge();
    if (g_str_equal(name, "estimates"))
        return make_sampled();
    sample = make_rich();
    sample->options.is_full = g_str_equal(name, "full");
    return sample;
}

Sample *sample_new_of_text(const char *bytes) {
    Sample *sample = make_rich();
    TtSnapshot *snapshot = sample->snapshot;
    char *text = g_strdup(bytes);
    g_autofree char *clean = g_utf8_make_valid(bytes, -1); /* what symbols are promised to be */
    char *name = g_steal_pointer(&clean);
    char **command_line = g_new0(char *, 2);

    g_ptr_array_add(sample->texts, text);
    g_ptr_array_add(sample->texts, name);
    g_ptr_array_add(sample->texts, command_line);
    command_line[0] = text;
    snapshot->info.exe = text;
    snapshot->info.command_line = command_line;
    g_array_index(snapshot->modules, TtModuleRow, 0).path = text;
    g_array_index(snapshot->threads, TtThreadRow, 0).name = text;
    for (guint i = 0; i < snapshot->variables->len; i++) {
        TtVariableRow *variable = &g_array_index(snapshot->variables, TtVariableRow, i);

        variable->name = variable->type = variable->file = variable->function = text;
    }
    for (guint i = 0; i < snapshot->scopes->len; i++)
        g_array_index(snapshot->scopes, TtScopeRow, i).name = text;
    g_array_index(snapshot->marks, TtMarkRow, 0).name = text;
    g_ptr_array_add(snapshot->completeness.doubts, g_strdup(bytes));
    synthetic_add_name(sample->symbols, 0x400, name, name, 1, FALSE);
    return sample;
}
