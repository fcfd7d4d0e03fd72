/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of bequest.c. What comes may be a recording's, so nothing in it is trusted. */
#include "model/heritage.h"

#include "model/deaths.h"

void tt_session_clear_heritage(TtSession *session) {
    g_clear_pointer(&session->heritage.variables, g_array_unref);
    g_clear_pointer(&session->heritage.scopes, g_array_unref);
}

/* Nothing may have come before it. */
static gboolean begin(TtSession *session, const TtRawRecord *raw) {
    guint64 start_stamp = session->info->timescale.start_stamp;
    TtRecordInheritance record;

    if (tt_decode_inheritance(raw, &record) < 0 || session->next_id > 1 || session->now > 0 ||
        session->threads.count > 0 || session->heritage.variables ||
        record.origin_stamp > start_stamp || start_stamp - record.origin_stamp > TT_TICKS_MAX)
        return FALSE;
    session->start_stamp = record.origin_stamp;
    session->has_paused = record.has_paused != 0;
    session->now = start_stamp - record.origin_stamp;
    session->heritage.variables = g_array_new(FALSE, FALSE, sizeof(guint32));
    session->heritage.scopes = g_array_new(FALSE, FALSE, sizeof(guint32));
    session->heritage.is_open = TRUE;
    return TRUE;
}

static gboolean take_thread(TtSession *session, const TtRawRecord *raw) {
    TtRecordInheritedThread record;

    if (tt_decode_inherited_thread(raw, &record) < 0 || record.tid > G_MAXUINT32)
        return FALSE;
    guint16 thread = tt_threads_add(&session->threads, (guint32)record.tid);
    tt_threads_set_name(&session->threads, thread, record.name);
    return TRUE;
}

static gboolean take_variable(TtSession *session, const TtRawRecord *raw) {
    TtRecordInheritedVariable record;

    if (tt_decode_inherited_variable(raw, &record) < 0)
        return FALSE;
    guint32 row =
        tt_names_intern_variable(&session->names, &(TtRecordVariable){.name = record.name,
                                                                      .type = record.type,
                                                                      .file = record.file,
                                                                      .line = record.line,
                                                                      .function = record.function,
                                                                      .stack = record.stack});
    g_array_append_val(session->heritage.variables, row);
    return TRUE;
}

/* TT_NONE for 0; FALSE: there is none of this number. */
static gboolean find_row(const GArray *rows, guint64 number, guint32 *ret_row) {
    if (number > rows->len)
        return FALSE;
    *ret_row = number > 0 ? g_array_index(rows, guint32, number - 1) : TT_NONE;
    return TRUE;
}

static gboolean take_scope(TtSession *session, const TtRawRecord *raw) {
    TtRecordInheritedScope record;
    guint32 parent;

    if (tt_decode_inherited_scope(raw, &record) < 0 ||
        !find_row(session->heritage.scopes, record.parent, &parent))
        return FALSE;
    guint32 row = tt_names_intern_scope(&session->names, parent, record.name);
    g_array_append_val(session->heritage.scopes, row);
    return TRUE;
}

/* ---- Blocks ---- */

/* Counts a block. FALSE: sums cannot hold it. */
static gboolean count(TtSession *session, guint32 site, guint64 size, guint16 thread,
                      TtAmount *ret_weight, TtVariance *ret_variance) {
    TtHeritage *heritage = &session->heritage;
    TtThread *born_in = &session->threads.threads[thread];
    TtAmount weight = {.blocks = 1, .bytes = size};

    *ret_variance = (TtVariance){.blocks = 0};
    if (tt_session_is_sampled(session) &&
        !tt_sampling_weigh(&session->sampling, session->next_id, size, &weight, ret_variance))
        return FALSE;
    if (weight.bytes > TT_SUM_MAX - heritage->amount.bytes ||
        weight.blocks > TT_SUM_MAX - heritage->amount.blocks)
        return FALSE;
    if (tt_session_is_sampled(session))
        tt_sites_add_variance(&session->sites, site, ret_variance);
    heritage->amount.bytes += weight.bytes;
    heritage->amount.blocks += weight.blocks;
    heritage->id_count = session->next_id++;
    session->live_bytes += weight.bytes;
    session->live_blocks += weight.blocks;
    tt_sites_inherit(&session->sites, site, weight);
    /* It has not allocated them: what is alive of it is what it has allocated less what died. */
    born_in->died_blocks -= weight.blocks;
    born_in->died_bytes -= weight.bytes;
    *ret_weight = weight;
    return TRUE;
}

static void shed(TtSession *session, guint32 site, guint16 thread, TtAmount weight,
                 const TtVariance *variance) {
    TtThread *born_in = &session->threads.threads[thread];

    tt_shed_add(&session->shed, site, weight.bytes);
    if (tt_session_is_sampled(session))
        tt_shed_add_weight(&session->shed, site, weight.blocks, variance);
    born_in->died_blocks += weight.blocks;
    born_in->died_bytes += weight.bytes;
}

static void decorate(TtSession *session, guint32 slot, guint32 parent, guint32 variable,
                     guint32 scope, guint64 spare, TtAmount weight) {
    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    TtExtras *extras = tt_block_ensure_extras(&session->blocks, block);

    if (!extras)
        return;
    tt_extras_set_spare(extras, spare);
    if (parent) {
        extras->parent = parent;
        block->flags |= TT_BLOCK_IS_NESTED;
        tt_blocks_get(&session->blocks, parent)->flags |= TT_BLOCK_HAS_NESTED;
    }
    if (scope != TT_NONE) {
        TtScopeRow *row = &tt_names_get_scope(&session->names, scope)->row;

        extras->scope = scope;
        row->live_blocks += weight.blocks;
        row->live_bytes += weight.bytes;
    }
    if (variable != TT_NONE)
        tt_session_set_variable(session, slot, variable);
}

/* Returns its slot, or 0: there is no memory. */
static guint32 enter(TtSession *session, const TtRecordInheritedBlock *record, guint32 site) {
    guint32 leaf = tt_index_ensure_leaf(&session->index, record->addr);
    guint32 slot = leaf ? tt_blocks_take_slot(&session->blocks) : 0;

    if (slot == 0)
        return 0;

    TtBlock *block = tt_blocks_get(&session->blocks, slot);
    *block = (TtBlock){
        .addr = record->addr,
        .size = record->size,
        .born = record->born,
        .id = session->heritage.id_count,
        .thread = (guint16)record->thread,
        .site_or_extras = site,
    };
    tt_leaf_link(tt_index_get_leaf(&session->index, leaf), block, slot);
    return slot;
}

static gboolean take_block(TtSession *session, const TtRawRecord *raw) {
    TtRecordInheritedBlock record;
    TtVariance variance;
    TtAmount weight;
    guint32 variable, scope, parent;

    if (tt_decode_inherited_block(raw, &record) < 0 || record.thread >= session->threads.count ||
        record.born > session->now || record.addr == G_MAXUINT64 ||
        record.size > G_MAXUINT64 - record.addr || record.stack > G_MAXUINT32 ||
        !find_row(session->heritage.variables, record.variable, &variable) ||
        !find_row(session->heritage.scopes, record.scope, &scope))
        return FALSE;

    guint32 site = tt_sites_get_number(&session->sites, (guint32)record.stack);
    /* In no order: what lies in another may come before it. */
    if (tt_index_find_conflict(&session->index, record.addr, record.size, TRUE, &parent) ||
        !count(session, site, record.size, (guint16)record.thread, &weight, &variance))
        return TRUE;
    guint32 slot = enter(session, &record, site);
    if (slot == 0) {
        shed(session, site, (guint16)record.thread, weight, &variance);
        return TRUE;
    }
    if (parent == 0)
        tt_index_settle_link(&session->index, tt_blocks_get(&session->blocks, slot));
    if (parent || variable != TT_NONE || scope != TT_NONE || record.spare)
        decorate(session, slot, parent, variable, scope, record.spare, weight);
    tt_index_adopt(&session->index, slot);
    return TRUE;
}

static gboolean end(TtSession *session, const TtRawRecord *raw) {
    TtOpenScopes *open = &session->heritage.open;
    TtRecordInheritanceEnd record;

    if (tt_decode_inheritance_end(raw, &record) < 0 ||
        !find_row(session->heritage.scopes, record.scope, &open->scope))
        return FALSE;
    open->depth = (guint32)MIN(record.scope_depth, G_MAXUINT32);
    session->heritage.is_open = FALSE;
    tt_index_tidy(&session->index);
    tt_session_settle(session);
    return TRUE;
}

gboolean tt_session_inherit(TtSession *session, const TtRawRecord *raw) {
    if (raw->number == TT_RECORD_INHERITANCE)
        return begin(session, raw);
    if (!session->heritage.is_open)
        return FALSE;
    switch (raw->number) {
    case TT_RECORD_INHERITED_THREAD:
        return take_thread(session, raw);
    case TT_RECORD_INHERITED_VARIABLE:
        return take_variable(session, raw);
    case TT_RECORD_INHERITED_SCOPE:
        return take_scope(session, raw);
    case TT_RECORD_INHERITED_BLOCK:
        return take_block(session, raw);
    case TT_RECORD_INHERITANCE_END:
        return end(session, raw);
    default:
        return FALSE;
    }
}
