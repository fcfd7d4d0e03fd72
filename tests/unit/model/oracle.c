/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <math.h>
#include <string.h>

#define LOOKBACK 4096u
#define LOOKBACK_PRICE 64u
#define START_STAMP 1000u /* as the tests' sessions have it, a tick being a nanosecond */

/* ---- Weights: as sampling.h says it, by other sums ---- */

/* A share of 2^32, drawn by hash: splitmix64 of the id, all zero bytes being the session's. */
static guint64 draw_lot(guint64 id, guint shift) {
    guint64 z = id * 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return z >> shift & 0xffffffff;
}

static void round_weight(guint64 lot, long double value, long double p, guint64 *ret_weight,
                         long double *ret_variance) {
    long double fraction = value - floorl(value);

    *ret_weight = (guint64)floorl(value) + (lot < fraction * 0x1p32L);
    *ret_variance = (1 - p) * value * value + fraction * (1 - fraction);
}

static void weigh(const Oracle *oracle, OracleBlock *block) {
    guint64 size = block->row.size, id = block->row.id;

    if (oracle->sample_bytes == 0) {
        block->row.weight = (TtAmount){1, size};
        return;
    }
    long double p = 1 - expl(-(long double)MAX(size, 1) / (long double)oracle->sample_bytes);
    round_weight(draw_lot(id, 32), 1 / p, p, &block->row.weight.blocks, &block->variance.blocks);
    round_weight(draw_lot(id, 0), size / p, p, &block->row.weight.bytes, &block->variance.bytes);
}

static guint64 end_of(guint64 addr, guint64 size) { return addr + MAX(size, 1); }

static TtSiteRow *site_of(Oracle *oracle, guint32 stack) {
    if (stack < TT_STACK_FIRST || stack >= TT_STACK_FIRST + ORACLE_STACKS)
        stack = TT_STACK_NONE;
    return &g_array_index(oracle->sites, TtSiteRow, stack);
}

Oracle *oracle_new(gsize history_limit, guint64 sample_bytes) {
    Oracle *oracle = g_new0(Oracle, 1);

    oracle->history_limit = history_limit;
    oracle->sample_bytes = sample_bytes;
    oracle->next_id = 1;
    oracle->lookback_credit = 16384;
    oracle->live = g_ptr_array_new_with_free_func(g_free);
    oracle->freed = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));
    oracle->names = g_ptr_array_new_with_free_func(g_free);
    oracle->scopes = g_ptr_array_new_with_free_func(g_free);
    oracle->sites = g_array_new(FALSE, TRUE, sizeof(TtSiteRow));
    g_array_set_size(oracle->sites, TT_STACK_FIRST + ORACLE_STACKS);
    oracle->lifetimes = g_new0(GArray *, oracle->sites->len);
    oracle->born = g_new0(OracleVariance, oracle->sites->len);
    oracle->at_peak = g_new0(OracleVariance, oracle->sites->len);
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
    g_free(oracle->born);
    g_free(oracle->at_peak);
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
    TtAmount weight = row.weight;
    TtSiteRow *site = site_of(oracle, row.stack);
    OracleThread *born_in = &oracle->threads[row.thread];

    row.died_ns = oracle->now_ns;
    row.freed_by = freed_by;
    row.freed_stack = freed_stack;
    oracle->totals.live_blocks -= weight.blocks;
    oracle->totals.live_bytes -= weight.bytes;
    oracle->totals.cumulative_frees += weight.blocks;
    oracle->totals.cumulative_freed += weight.bytes;
    site->live_blocks -= weight.blocks;
    site->live_bytes -= weight.bytes;
    site->freed_blocks += weight.blocks;
    site->freed_bytes += weight.bytes;
    born_in->row.live_blocks -= weight.blocks;
    born_in->row.live_bytes -= weight.bytes;
    if (freed_by != TT_NONE) {
        guint64 lifetime = row.died_ns - row.born_ns;

        oracle->threads[freed_by].row.frees += weight.blocks;
        oracle->threads[freed_by].row.freed += weight.bytes;
        for (guint64 i = 0; i < weight.blocks; i++)
            g_array_append_val(oracle->lifetimes[site->stack], lifetime);
        if (born_in->last_id == row.id) {
            oracle->totals.temporary_allocations += weight.blocks;
            site->temporary_blocks += weight.blocks;
        }
    }
    if (row.variable != TT_NONE) {
        TtVariableRow *variable = oracle->names->pdata[row.variable];
        variable->live_blocks -= weight.blocks;
        variable->live_bytes -= weight.bytes;
    }
    if (row.scope != TT_NONE) {
        TtScopeRow *scope = oracle->scopes->pdata[row.scope];
        scope->live_blocks -= weight.blocks;
        scope->live_bytes -= weight.bytes;
    }
    oracle->deaths++;
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
        oracle->at_peak[i] = (OracleVariance){0};
    }
    for (guint i = 0; i < oracle->live->len; i++) {
        const OracleBlock *block = oracle->live->pdata[i];
        oracle_add_variance(&oracle->at_peak[block->row.stack], &block->variance);
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
    weigh(oracle, block);
    TtAmount weight = block->row.weight;
    oracle_add_variance(&oracle->born[site->stack], &block->variance);
    g_ptr_array_add(oracle->live, block);
    oracle->totals.live_blocks += weight.blocks;
    oracle->totals.live_bytes += weight.bytes;
    oracle->totals.cumulative_allocations += weight.blocks;
    oracle->totals.cumulative_allocated += weight.bytes;
    site->live_blocks += weight.blocks;
    site->live_bytes += weight.bytes;
    site->cumulative_blocks += weight.blocks;
    site->cumulative_bytes += weight.bytes;
    thread->last_id = block->row.id;
    thread->row.allocations += weight.blocks;
    thread->row.allocated += weight.bytes;
    thread->row.live_blocks += weight.blocks;
    thread->row.live_bytes += weight.bytes;
    if (block->row.scope != TT_NONE) {
        TtScopeRow *scope = oracle->scopes->pdata[block->row.scope];
        scope->allocations += weight.blocks;
        scope->allocated += weight.bytes;
        scope->live_blocks += weight.blocks;
        scope->live_bytes += weight.bytes;
    }
    return block;
}

static void miss(Oracle *oracle, guint64 addr) {
    if (oracle->sample_bytes > 0) /* a block that is not in the sample */
        return;
    oracle->totals.events++;

    guint first =
        oracle->freed->len - MIN(oracle->freed->len, MIN(oracle->history_limit, LOOKBACK));

    if (oracle->lookback_credit < LOOKBACK_PRICE || oracle->has_missed)
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
    TtAmount weight = block->row.weight;

    if (block->row.variable == index)
        return;
    row->live_blocks += weight.blocks;
    row->live_bytes += weight.bytes;
    row->cumulative_bytes += weight.bytes;
    if (block->row.variable != TT_NONE) {
        row = oracle->names->pdata[block->row.variable];
        row->live_blocks -= weight.blocks;
        row->live_bytes -= weight.bytes;
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
    guint64 resized = old->row.weight.blocks;
    thread->open = NULL;
    make_room(oracle, event->addr, event->size, old->row.addr == event->addr);
    die(oracle, old, event->thread, TT_STACK_NONE);
    OracleBlock *block = birth(oracle, event, old_id);
    oracle->totals.reallocations += resized;
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
        block = find_start(oracle, event->addr);
        oracle->totals.events += block != NULL;
        if (block)
            die(oracle, block, event->thread, site_of(oracle, event->stack)->stack);
        else
            miss(oracle, event->addr);
        break;
    case TT_OP_REALLOC_BEGIN:
        if (thread->open) /* whose end is missing */
            oracle->has_missed = TRUE;
        reopen(oracle, event->thread);
        block = find_start(oracle, event->addr);
        if (block) {
            block->is_open = TRUE;
            thread->open = block;
        } else {
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

void oracle_leave_realloc(Oracle *oracle, guint thread, guint64 stamp) {
    OracleBlock *old = oracle->threads[thread].open;

    oracle->now_ns = stamp - START_STAMP;
    oracle->threads[thread].open = NULL;
    if (!old)
        return;
    oracle->totals.events++;
    oracle->totals.reallocations += old->row.weight.blocks;
    die(oracle, old, thread, TT_STACK_NONE);
    settle(oracle);
}

void oracle_forget_thread(Oracle *oracle, guint thread, guint64 stamp) {
    oracle->now_ns = stamp - START_STAMP;
    oracle->has_missed = TRUE;
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
        ((TtVariableRow *)oracle->names->pdata[index])->named_blocks += inner->row.weight.blocks;
    set_variable(oracle, inner, index);
}

void oracle_measure(Oracle *oracle, guint thread, guint64 stamp, guint64 addr, guint64 usable) {
    oracle->now_ns = stamp - START_STAMP;
    for (guint i = 0; i < oracle->live->len; i++) {
        OracleBlock *block = oracle->live->pdata[i];

        if (block->row.id == oracle->threads[thread].last_id && block->row.addr == addr &&
            !block->is_open && usable >= block->row.size)
            block->row.spare =
                usable - block->row.size < 0xffffff ? (guint32)(usable - block->row.size + 1) : 0;
    }
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

GArray *oracle_copy_live(const Oracle *oracle) {
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));

    for (guint i = 0; i < oracle->live->len; i++)
        g_array_append_val(rows, ((const OracleBlock *)oracle->live->pdata[i])->row);
    return rows;
}
