/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <string.h>

#define LOOKBACK 4096u
#define LOOKBACK_PRICE 64u
#define START_STAMP 1000u /* as the tests' sessions have it, a tick being a nanosecond */

static guint64 end_of(guint64 addr, guint64 size) { return addr + MAX(size, 1); }

static TtSiteRow *site_of(Oracle *oracle, guint32 stack) {
    if (stack < TT_STACK_FIRST || stack >= TT_STACK_FIRST + ORACLE_STACKS)
        stack = TT_STACK_NONE;
    return &g_array_index(oracle->sites, TtSiteRow, stack);
}

Oracle *oracle_new(gsize history_limit) {
    Oracle *oracle = g_new0(Oracle, 1);

    oracle->history_limit = history_limit;
    oracle->next_id = 1;
    oracle->lookback_credit = 16384;
    oracle->live = g_ptr_array_new_with_free_func(g_free);
    oracle->freed = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));
    oracle->names = g_ptr_array_new_with_free_func(g_free);
    oracle->scopes = g_ptr_array_new_with_free_func(g_free);
    oracle->sites = g_array_new(FALSE, TRUE, sizeof(TtSiteRow));
    g_array_set_size(oracle->sites, TT_STACK_FIRST + ORACLE_STACKS);
    oracle->lifetimes = g_new0(GArray *, oracle->sites->len);
    for (guint i = 0; i < oracle->sites->len; i++) {
        g_array_index(oracle->sites, TtSiteRow, i).stack = i;
        oracle->lifetimes[i] = g_array_new(FALSE, FALSE, sizeof(guint64));
    }
    return oracle;
}

void oracle_free(Oracle *oracle) {
    for (guint i = 0; i < oracle->sites->len; i++)
        g_array_unref(oracle->lifetimes[i]);
    g_free(oracle->lifetimes);
    g_array_unref(oracle->sites);
    g_array_unref(oracle->freed);
    g_ptr_array_unref(oracle->live);
    g_ptr_array_unref(oracle->names);
    g_ptr_array_unref(oracle->scopes);
    g_free(oracle);
}

/* ---- Steps ---- */

static void die(Oracle *oracle, OracleBlock *block, guint32 freed_by, guint32 freed_stack) {
    TtBlockRow row = block->row;
    TtSiteRow *site = site_of(oracle, row.stack);
    OracleThread *born_in = &oracle->threads[row.thread];

    row.died_ns = oracle->now_ns;
    row.freed_by = freed_by;
    row.freed_stack = freed_stack;
    oracle->totals.live_blocks--;
    oracle->totals.live_bytes -= row.size;
    oracle->totals.cumulative_frees++;
    oracle->totals.cumulative_freed += row.size;
    site->live_blocks--;
    site->live_bytes -= row.size;
    site->freed_blocks++;
    site->freed_bytes += row.size;
    born_in->row.live_blocks--;
    born_in->row.live_bytes -= row.size;
    if (freed_by != TT_NONE) {
        guint64 lifetime = row.died_ns - row.born_ns;

        oracle->threads[freed_by].row.frees++;
        oracle->threads[freed_by].row.freed += row.size;
        g_array_append_val(oracle->lifetimes[site->stack], lifetime);
        if (born_in->last_id == row.id) {
            oracle->totals.temporary_allocations++;
            site->temporary_blocks++;
        }
    }
    if (row.variable != TT_NONE) {
        TtVariableRow *variable = oracle->names->pdata[row.variable];
        variable->live_blocks--;
        variable->live_bytes -= row.size;
    }
    if (row.scope != TT_NONE) {
        TtScopeRow *scope = oracle->scopes->pdata[row.scope];
        scope->live_blocks--;
        scope->live_bytes -= row.size;
    }
    g_array_append_val(oracle->freed, row);
    g_ptr_array_remove(oracle->live, block);
}

static void settle(Oracle *oracle) {
    TtTimePoint point = {oracle->now_ns, oracle->totals.live_bytes, oracle->totals.live_blocks};

    if (point.live_bytes > oracle->max.live_bytes)
        oracle->max = point;
    if (point.live_bytes <= oracle->totals.peak_bytes)
        return;
    oracle->totals.peak_bytes = point.live_bytes;
    oracle->totals.peak_blocks = point.live_blocks;
    oracle->totals.peak_ns = point.t_ns;
    for (guint i = 0; i < oracle->sites->len; i++) {
        TtSiteRow *site = &g_array_index(oracle->sites, TtSiteRow, i);
        site->peak_bytes = site->live_bytes;
        site->peak_blocks = site->live_blocks;
    }
}

static OracleBlock *find_start(const Oracle *oracle, guint64 addr) {
    for (guint i = 0; i < oracle->live->len; i++) {
        OracleBlock *block = oracle->live->pdata[i];
        if (!block->is_open && block->row.addr == addr)
            return block;
    }
    return NULL;
}

static gboolean lies_in(guint64 addr, guint64 size, const OracleBlock *outer) {
    return outer->row.addr < addr && end_of(addr, size) <= end_of(outer->row.addr, outer->row.size);
}

/* What cannot be alive together with a block here, in the order in which it is freed: what starts
 * in it, from low to high, then what it starts in, from high to low. */
static OracleBlock *find_conflict(const Oracle *oracle, guint64 addr, guint64 size,
                                  gboolean keep_inside) {
    OracleBlock *in = NULL, *before = NULL;
    guint64 end = end_of(addr, size);

    for (guint i = 0; i < oracle->live->len; i++) {
        OracleBlock *block = oracle->live->pdata[i];
        guint64 start = block->row.addr, block_end = end_of(start, block->row.size);

        if (block->is_open || block_end <= addr || start >= end || lies_in(addr, size, block))
            continue;
        if (keep_inside && start > addr && block_end <= end)
            continue;
        if (start >= addr && (!in || start < in->row.addr))
            in = block;
        if (start < addr && (!before || start > before->row.addr))
            before = block;
    }
    return in ? in : before;
}

static void make_room(Oracle *oracle, guint64 addr, guint64 size, gboolean keep_inside) {
    OracleBlock *block;

    while ((block = find_conflict(oracle, addr, size, keep_inside)) != NULL) {
        die(oracle, block, TT_NONE, TT_STACK_NONE);
        oracle->synthesized_frees++;
    }
}

static OracleBlock *birth(Oracle *oracle, const TtEvent *event, guint64 resized_from) {
    OracleThread *thread = &oracle->threads[event->thread];
    TtSiteRow *site = site_of(oracle, event->stack);
    OracleBlock *block = g_new0(OracleBlock, 1);

    block->row = (TtBlockRow){
        .id = oracle->next_id++,
        .addr = event->addr,
        .size = event->size,
        .born_ns = oracle->now_ns,
        .died_ns = TT_TIME_NONE,
        .resized_from = resized_from,
        .stack = site->stack,
        .freed_stack = TT_STACK_NONE,
        .variable = TT_NONE,
        .scope = thread->scope_depth > 0 ? thread->scopes[thread->scope_depth - 1] : TT_NONE,
        .thread = event->thread,
        .freed_by = TT_NONE,
    };
    g_ptr_array_add(oracle->live, block);
    oracle->totals.live_blocks++;
    oracle->totals.live_bytes += event->size;
    oracle->totals.cumulative_allocations++;
    oracle->totals.cumulative_allocated += event->size;
    site->live_blocks++;
    site->live_bytes += event->size;
    site->cumulative_blocks++;
    site->cumulative_bytes += event->size;
    thread->last_id = block->row.id;
    thread->row.allocations++;
    thread->row.allocated += event->size;
    thread->row.live_blocks++;
    thread->row.live_bytes += event->size;
    if (block->row.scope != TT_NONE) {
        TtScopeRow *scope = oracle->scopes->pdata[block->row.scope];
        scope->allocations++;
        scope->allocated += event->size;
        scope->live_blocks++;
        scope->live_bytes += event->size;
    }
    return block;
}

static void miss(Oracle *oracle, guint64 addr) {
    guint first =
        oracle->freed->len - MIN(oracle->freed->len, MIN(oracle->history_limit, LOOKBACK));

    if (oracle->lookback_credit < LOOKBACK_PRICE)
        first = oracle->freed->len;
    else
        oracle->lookback_credit -= LOOKBACK_PRICE;
    for (guint i = first; i < oracle->freed->len; i++) {
        if (g_array_index(oracle->freed, TtBlockRow, i).addr == addr) {
            oracle->double_frees++;
            return;
        }
    }
    oracle->unknown_frees++;
}

static void reopen(Oracle *oracle, guint thread) {
    OracleBlock *block = oracle->threads[thread].open;

    oracle->threads[thread].open = NULL;
    if (!block)
        return;
    if (find_conflict(oracle, block->row.addr, block->row.size, TRUE)) {
        die(oracle, block, TT_NONE, TT_STACK_NONE);
        oracle->synthesized_frees++;
        settle(oracle);
        return;
    }
    block->is_open = FALSE;
}

static void set_variable(Oracle *oracle, OracleBlock *block, guint32 index) {
    TtVariableRow *row = oracle->names->pdata[index];

    if (block->row.variable == index)
        return;
    row->live_blocks++;
    row->live_bytes += block->row.size;
    row->cumulative_bytes += block->row.size;
    if (block->row.variable != TT_NONE) {
        row = oracle->names->pdata[block->row.variable];
        row->live_blocks--;
        row->live_bytes -= block->row.size;
    }
    block->row.variable = index;
}

static void end_realloc(Oracle *oracle, const TtEvent *event) {
    OracleThread *thread = &oracle->threads[event->thread];
    OracleBlock *old = thread->open;

    if (!old) {
        make_room(oracle, event->addr, event->size, FALSE);
        birth(oracle, event, 0);
        return;
    }
    guint64 old_id = old->row.id;
    guint32 variable = old->row.variable;
    thread->open = NULL;
    make_room(oracle, event->addr, event->size, old->row.addr == event->addr);
    die(oracle, old, event->thread, TT_STACK_NONE);
    OracleBlock *block = birth(oracle, event, old_id);
    oracle->totals.reallocations++;
    if (variable != TT_NONE)
        set_variable(oracle, block, variable);
}

void oracle_apply(Oracle *oracle, const TtEvent *event) {
    OracleThread *thread = &oracle->threads[event->thread];
    OracleBlock *block;

    oracle->now_ns = event->stamp - START_STAMP;
    switch (event->op) {
    case TT_OP_ALLOC:
        oracle->totals.events++;
        make_room(oracle, event->addr, event->size, FALSE);
        birth(oracle, event, 0);
        break;
    case TT_OP_FREE:
        oracle->totals.events++;
        block = find_start(oracle, event->addr);
        if (block)
            die(oracle, block, event->thread, site_of(oracle, event->stack)->stack);
        else
            miss(oracle, event->addr);
        break;
    case TT_OP_REALLOC_BEGIN:
        reopen(oracle, event->thread);
        block = find_start(oracle, event->addr);
        if (block) {
            block->is_open = TRUE;
            thread->open = block;
        } else {
            oracle->totals.events++;
            miss(oracle, event->addr);
        }
        break;
    case TT_OP_REALLOC_END:
        oracle->totals.events += thread->open ? 2 : 1;
        end_realloc(oracle, event);
        break;
    default:
        g_assert_not_reached();
    }
    settle(oracle);
}

void oracle_end_batch(Oracle *oracle, gsize event_count) { oracle->lookback_credit += event_count; }

void oracle_fail_realloc(Oracle *oracle, guint thread, guint64 stamp) {
    oracle->now_ns = stamp - START_STAMP;
    reopen(oracle, thread);
}

void oracle_forget_thread(Oracle *oracle, guint thread, guint64 stamp) {
    oracle->now_ns = stamp - START_STAMP;
    reopen(oracle, thread);
    oracle->threads[thread].last_id = 0;
}

/* ---- Names ---- */

void oracle_name(Oracle *oracle, guint64 stamp, guint64 addr, const char *name) {
    OracleBlock *inner = NULL;
    guint index;

    oracle->now_ns = stamp - START_STAMP;
    for (guint i = 0; i < oracle->live->len; i++) {
        OracleBlock *block = oracle->live->pdata[i];

        if (!block->is_open && block->row.addr <= addr &&
            addr < end_of(block->row.addr, block->row.size) &&
            (!inner || block->row.addr > inner->row.addr))
            inner = block;
    }
    if (!inner)
        return;
    for (index = 0; index < oracle->names->len; index++)
        if (strcmp(((TtVariableRow *)oracle->names->pdata[index])->name, name) == 0)
            break;
    if (index == oracle->names->len) {
        TtVariableRow row = {.name = (char *)name};
        g_ptr_array_add(oracle->names, g_memdup2(&row, sizeof row));
    }
    if (inner->row.variable != index)
        ((TtVariableRow *)oracle->names->pdata[index])->named_blocks++;
    set_variable(oracle, inner, index);
}

void oracle_enter(Oracle *oracle, guint thread, guint64 stamp, const char *name) {
    OracleThread *at = &oracle->threads[thread];
    guint32 parent = at->scope_depth > 0 ? at->scopes[at->scope_depth - 1] : TT_NONE;
    guint index;

    oracle->now_ns = stamp - START_STAMP;
    for (index = 0; index < oracle->scopes->len; index++) {
        const TtScopeRow *row = oracle->scopes->pdata[index];
        if (row->parent == parent && strcmp(row->name, name) == 0)
            break;
    }
    if (index == oracle->scopes->len) {
        TtScopeRow row = {.name = (char *)name, .parent = parent};
        g_ptr_array_add(oracle->scopes, g_memdup2(&row, sizeof row));
    }
    ((TtScopeRow *)oracle->scopes->pdata[index])->entered++;
    at->scopes[at->scope_depth++] = index;
}

void oracle_leave(Oracle *oracle, guint thread, guint64 stamp) {
    oracle->now_ns = stamp - START_STAMP;
    oracle->threads[thread].scope_depth--;
}

/* ---- Checks ---- */

#define SAME(is, should, field) g_assert_cmpuint((is)->field, ==, (should)->field)

void oracle_check_row(const TtBlockRow *is, const TtBlockRow *should) {
    SAME(is, should, id);
    SAME(is, should, addr);
    SAME(is, should, size);
    SAME(is, should, born_ns);
    SAME(is, should, died_ns);
    SAME(is, should, resized_from);
    SAME(is, should, stack);
    SAME(is, should, freed_stack);
    SAME(is, should, variable);
    SAME(is, should, scope);
    SAME(is, should, thread);
    SAME(is, should, freed_by);
    g_assert_false(is->is_inherited);
}

static void check_totals(const Oracle *oracle, const TtSnapshot *snapshot) {
    const TtTotals *is = tt_snapshot_get_totals(snapshot), *should = &oracle->totals;
    const TtCompleteness *completeness = tt_snapshot_get_completeness(snapshot);

    SAME(is, should, live_blocks);
    SAME(is, should, live_bytes);
    SAME(is, should, cumulative_allocations);
    SAME(is, should, cumulative_allocated);
    SAME(is, should, cumulative_frees);
    SAME(is, should, cumulative_freed);
    SAME(is, should, reallocations);
    SAME(is, should, temporary_allocations);
    SAME(is, should, peak_bytes);
    SAME(is, should, peak_blocks);
    SAME(is, should, peak_ns);
    SAME(is, should, events);
    SAME(completeness, oracle, unknown_frees);
    SAME(completeness, oracle, double_frees);
    SAME(completeness, oracle, synthesized_frees);
    g_assert_cmpuint(is->cumulative_allocated, ==, is->cumulative_freed + is->live_bytes);
}

static gint compare_numbers(gconstpointer a, gconstpointer b) {
    guint64 left = *(const guint64 *)a, right = *(const guint64 *)b;
    return left < right ? -1 : left > right;
}

static void check_near(guint64 is, guint64 should) {
    guint64 distance = is > should ? is - should : should - is;
    g_assert_cmpuint(distance * 16, <=, should);
}

static void check_lifetimes(const TtSiteRow *is, GArray *lifetimes) {
    if (lifetimes->len == 0) {
        g_assert_cmpuint(is->lifetime_max_ns, ==, 0);
        return;
    }
    g_array_sort(lifetimes, compare_numbers);
    gdouble last = lifetimes->len - 1;
    g_assert_cmpuint(is->lifetime_min_ns, ==, g_array_index(lifetimes, guint64, 0));
    g_assert_cmpuint(is->lifetime_max_ns, ==,
                     g_array_index(lifetimes, guint64, lifetimes->len - 1));
    check_near(is->lifetime_median_ns,
               g_array_index(lifetimes, guint64, (guint)(last * 0.5 + 0.5)));
    check_near(is->lifetime_p95_ns, g_array_index(lifetimes, guint64, (guint)(last * 0.95 + 0.5)));
}

static void check_sites(const Oracle *oracle, const TtSnapshot *snapshot) {
    gsize count, expected = 0;
    const TtSiteRow *rows = tt_snapshot_get_sites(snapshot, &count);
    guint64 peak_bytes = 0, peak_blocks = 0;

    for (guint i = 0; i < oracle->sites->len; i++)
        expected += g_array_index(oracle->sites, TtSiteRow, i).cumulative_blocks > 0;
    g_assert_cmpuint(count, ==, expected);
    for (gsize i = 0; i < count; i++) {
        const TtSiteRow *is = &rows[i];
        const TtSiteRow *should = &g_array_index(oracle->sites, TtSiteRow, is->stack);

        SAME(is, should, live_blocks);
        SAME(is, should, live_bytes);
        SAME(is, should, cumulative_blocks);
        SAME(is, should, cumulative_bytes);
        SAME(is, should, freed_blocks);
        SAME(is, should, freed_bytes);
        SAME(is, should, peak_bytes);
        SAME(is, should, peak_blocks);
        SAME(is, should, temporary_blocks);
        check_lifetimes(is, oracle->lifetimes[is->stack]);
        peak_bytes += is->peak_bytes;
        peak_blocks += is->peak_blocks;
    }
    g_assert_cmpuint(peak_bytes, ==, oracle->totals.peak_bytes);
    g_assert_cmpuint(peak_blocks, ==, oracle->totals.peak_blocks);
}

static void check_threads(const Oracle *oracle, const TtSnapshot *snapshot) {
    gsize count;
    const TtThreadRow *rows = tt_snapshot_get_threads(snapshot, &count);

    g_assert_cmpuint(count, ==, ORACLE_THREADS);
    for (gsize i = 0; i < count; i++) {
        SAME(&rows[i], &oracle->threads[i].row, allocations);
        SAME(&rows[i], &oracle->threads[i].row, allocated);
        SAME(&rows[i], &oracle->threads[i].row, frees);
        SAME(&rows[i], &oracle->threads[i].row, freed);
        SAME(&rows[i], &oracle->threads[i].row, live_blocks);
        SAME(&rows[i], &oracle->threads[i].row, live_bytes);
    }
}

static void check_names(const Oracle *oracle, const TtSnapshot *snapshot) {
    gsize count;
    const TtVariableRow *variables = tt_snapshot_get_variables(snapshot, &count);

    g_assert_cmpuint(count, ==, oracle->names->len);
    for (gsize i = 0; i < count; i++) {
        const TtVariableRow *should = oracle->names->pdata[i];
        g_assert_cmpstr(variables[i].name, ==, should->name);
        SAME(&variables[i], should, named_blocks);
        SAME(&variables[i], should, live_blocks);
        SAME(&variables[i], should, live_bytes);
        SAME(&variables[i], should, cumulative_bytes);
    }

    const TtScopeRow *scopes = tt_snapshot_get_scopes(snapshot, &count);
    g_assert_cmpuint(count, ==, oracle->scopes->len);
    for (gsize i = 0; i < count; i++) {
        const TtScopeRow *should = oracle->scopes->pdata[i];
        g_assert_cmpstr(scopes[i].name, ==, should->name);
        SAME(&scopes[i], should, parent);
        SAME(&scopes[i], should, entered);
        SAME(&scopes[i], should, allocations);
        SAME(&scopes[i], should, allocated);
        SAME(&scopes[i], should, live_blocks);
        SAME(&scopes[i], should, live_bytes);
    }
}

static void check_freed(const Oracle *oracle, const TtSnapshot *snapshot) {
    guint first = oracle->freed->len - MIN(oracle->freed->len, oracle->history_limit);
    gsize count = tt_snapshot_get_freed_count(snapshot), at = 0;
    TtBlockRow rows[7];
    gsize got;

    g_assert_cmpuint(count, ==, oracle->freed->len - first);
    g_assert_cmpuint(tt_snapshot_get_completeness(snapshot)->history_dropped, ==, first);
    while ((got = tt_snapshot_read_freed(snapshot, at, rows, G_N_ELEMENTS(rows))) > 0) {
        for (gsize i = 0; i < got; i++)
            oracle_check_row(&rows[i], &g_array_index(oracle->freed, TtBlockRow, first + at + i));
        at += got;
    }
    g_assert_cmpuint(at, ==, count);
}

static void check_timeline(const Oracle *oracle, const TtSnapshot *snapshot) {
    gsize count;
    const TtTimePoint *points = tt_snapshot_get_timeline(snapshot, &count);
    gboolean has_max = oracle->max.live_bytes == 0;

    g_assert_cmpuint(count, >, 0);
    for (gsize i = 0; i < count; i++) {
        if (i > 0)
            g_assert_cmpuint(points[i].t_ns, >=, points[i - 1].t_ns);
        g_assert_cmpuint(points[i].live_bytes, <=, oracle->max.live_bytes);
        if (memcmp(&points[i], &oracle->max, sizeof oracle->max) == 0)
            has_max = TRUE;
    }
    g_assert_true(has_max);
    SAME(&points[count - 1], &oracle->totals, live_bytes);
    SAME(&points[count - 1], &oracle->totals, live_blocks);
}

void oracle_check_snapshot(const Oracle *oracle, const TtSnapshot *snapshot) {
    check_totals(oracle, snapshot);
    check_sites(oracle, snapshot);
    check_threads(oracle, snapshot);
    check_names(oracle, snapshot);
    check_freed(oracle, snapshot);
    check_timeline(oracle, snapshot);
}

GArray *oracle_copy_live(const Oracle *oracle) {
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));

    for (guint i = 0; i < oracle->live->len; i++)
        g_array_append_val(rows, ((const OracleBlock *)oracle->live->pdata[i])->row);
    return rows;
}
