/* SPDX-License-Identifier: Apache-2.0 */
/* Items to the session. */
#include "intake/order.h"

#include <string.h>

static gboolean is_record(const TtEvent *item) { return item->op & TT_ITEM_IS_RECORD; }

gboolean tt_order_has_place(guint number) {
    switch (number) {
    case TT_RECORD_MARK:
    case TT_RECORD_VARIABLE:
    case TT_RECORD_SCOPE_ENTER:
    case TT_RECORD_SCOPE_LEAVE:
    case TT_RECORD_GAP:
    case TT_RECORD_REALLOC_FAILED:
    case TT_RECORD_REALLOC_LEFT:
    case TT_RECORD_FORK:
    case TT_RECORD_USABLE:
    case TT_RECORD_PAUSE:
        return TRUE;
    default:
        return FALSE;
    }
}

/* Of an item that is held. */
static void free_record(TtEvent *item) {
    if (is_record(item) && item->op != TT_ITEM_IS_LOSS)
        g_free((gpointer)(guintptr)item->addr);
}

static TtRawRecord raw_of(const TtEvent *item) {
    return (TtRawRecord){.number = item->op & (TT_ITEM_IS_RECORD - 1),
                         .fields =
                             tt_cursor_new((const void *)(guintptr)item->addr, (gsize)item->size)};
}

/* Applies a record in its place. The item's stamp counts: the record's own was not checked. */
static void apply_record(TtOrder *order, const TtEvent *item) {
    TtSession *session = order->session;
    TtRawRecord raw = raw_of(item);
    union {
        TtRecordMark mark;
        TtRecordVariable variable;
        TtRecordScopeEnter enter;
        TtRecordScopeLeave leave;
        TtRecordGap gap;
        TtRecordFork fork;
        TtRecordUsable usable;
    } record;

    if (item->op == TT_ITEM_IS_LOSS) {
        record.gap =
            (TtRecordGap){.stamp = item->stamp, .first_stamp = item->stamp, .count = item->size};
        tt_session_add_gap(session, item->thread, &record.gap);
        return;
    }
    switch (raw.number) {
    case TT_RECORD_MARK:
        if (tt_decode_mark(&raw, &record.mark) == 0)
            tt_session_add_mark(session, item->stamp, record.mark.name);
        break;
    case TT_RECORD_VARIABLE:
        if (tt_decode_variable(&raw, &record.variable) == 0) {
            record.variable.stamp = item->stamp;
            tt_session_name_block(session, item->thread, &record.variable);
        }
        break;
    case TT_RECORD_SCOPE_ENTER:
        if (tt_decode_scope_enter(&raw, &record.enter) == 0) {
            record.enter.stamp = item->stamp;
            tt_session_enter_scope(session, item->thread, &record.enter);
        }
        break;
    case TT_RECORD_SCOPE_LEAVE:
        if (tt_decode_scope_leave(&raw, &record.leave) == 0) {
            record.leave.stamp = item->stamp;
            tt_session_leave_scope(session, item->thread, &record.leave);
        }
        break;
    case TT_RECORD_GAP:
        if (tt_decode_gap(&raw, &record.gap) == 0) {
            record.gap.stamp = item->stamp;
            record.gap.first_stamp = MIN(record.gap.first_stamp, item->stamp);
            tt_session_add_gap(session, item->thread, &record.gap);
        }
        break;
    case TT_RECORD_REALLOC_FAILED:
        tt_session_fail_realloc(session, item->thread, item->stamp);
        break;
    case TT_RECORD_REALLOC_LEFT:
        tt_session_leave_realloc(session, item->thread, item->stamp);
        break;
    case TT_RECORD_FORK:
        if (tt_decode_fork(&raw, &record.fork) == 0) {
            record.fork.stamp = item->stamp;
            tt_session_add_fork(session, item->thread, &record.fork);
        }
        break;
    case TT_RECORD_USABLE:
        if (tt_decode_usable(&raw, &record.usable) == 0) {
            record.usable.stamp = item->stamp;
            tt_session_measure_block(session, item->thread, &record.usable);
        }
        break;
    case TT_RECORD_PAUSE:
        tt_session_pause(session, item->stamp);
        break;
    default:
        g_assert_not_reached(); /* tt_order_has_place */
    }
}

void tt_order_apply(TtOrder *order, const TtEvent *items, guint count) {
    tt_tape_add_items(order->tape, items, count, FALSE);
    if (is_record(items))
        apply_record(order, items);
    else
        tt_session_apply(order->session, items, count);
}

void tt_order_hold(TtOrder *order, const TtEvent *items, guint count) {
    TtEvent *to = order->items + order->count;

    tt_tape_add_items(order->tape, items, count, TRUE);
    memcpy(to, items, count * sizeof *items);
    order->count += count;
    if (is_record(items) && items->op != TT_ITEM_IS_LOSS)
        to->addr = (guint64)(guintptr)g_memdup2((gpointer)(guintptr)items->addr,
                                                (gsize)MAX(items->size, 1));
}

void tt_order_release(TtOrder *order, guint64 stamp) {
    TtEvent *items = order->items;
    guint count = order->count, at = 0;

    if (count == 0 || items->stamp > stamp)
        return;
    tt_tape_add_release(order->tape, stamp);
    while (at < count && items[at].stamp <= stamp) {
        guint end = at;

        while (end < count && items[end].stamp <= stamp && !is_record(&items[end]))
            end++;
        if (end > at) {
            tt_session_apply_ahead(order->session, items + at, end - at, count - end);
        } else {
            apply_record(order, &items[at]);
            free_record(&items[at]);
            end++;
        }
        at = end;
    }
    order->count = count - at;
    memmove(items, items + at, order->count * sizeof *items);
}

GArray *tt_order_steal_held(TtOrder *order) {
    GArray *held = g_array_new(FALSE, FALSE, sizeof(TtEvent));

    g_array_append_vals(held, order->items, order->count);
    order->count = 0;
    return held;
}

void tt_order_take_held(TtOrder *order, GArray *held) {
    tt_order_clear(order);
    order->count = MIN(held->len, TT_ORDER_ITEMS);
    if (order->count > 0)
        memcpy(order->items, held->data, order->count * sizeof *order->items);
    g_array_unref(held);
}

void tt_order_clear(TtOrder *order) {
    for (guint i = 0; i < order->count; i++)
        free_record(&order->items[i]);
    order->count = 0;
}
