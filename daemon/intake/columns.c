/* SPDX-License-Identifier: Apache-2.0 */
/* Columns.
 *
 * Times are noise, and take what they take. Addresses are not: most blocks die young, so a death is
 * told by how many births ago its block was born; and an allocator hands out again what it got back
 * last, so a birth is told against the last address of its size. Measured on six programs of
 * Debian: rows of such numbers take 0.7 to 3.5 bytes an event after zstd, columns 0.4 to 2.7,
 * columns with these guesses 0.4 to 2.2. */
#include "intake/columns.h"

#include "protocol/encode.h"

#define NUMBER_MAX 10u /* bytes of the longest */
#define ADDR_BITS 4u   /* that stand with the op */
#define HEAD_BYTES 8u  /* an allocator's own, before a block */

_Static_assert(TT_OP_REALLOC_END < 1 << TT_COLUMN_OP_BITS, "an op fits its bits");

void tt_column_set_init(TtColumnSet *columns) {
    *columns = (TtColumnSet){0};
    for (guint i = 0; i < TT_COLUMNS; i++)
        columns->bytes[i] = g_malloc(TT_SECTION_EVENTS_MAX * NUMBER_MAX);
}

void tt_column_set_clear(TtColumnSet *columns) {
    for (guint i = 0; i < TT_COLUMNS; i++)
        g_clear_pointer(&columns->bytes[i], g_free);
}

void tt_column_set_empty(TtColumnSet *columns) { memset(columns->len, 0, sizeof columns->len); }

static gboolean is_birth(guint op) { return op == TT_OP_ALLOC || op == TT_OP_REALLOC_END; }

/* Where a size has its last address: those that an allocator would serve from one list. */
static guint place_of(guint64 size) {
    return (guint)((size + HEAD_BYTES + 15) >> 4) % TT_GUESS_SIZES;
}

static guint64 *number_of(TtGuess *guess, guint64 addr) {
    return &guess->numbers_of[((addr >> ADDR_BITS) * 0x9e3779b97f4a7c15u) >> 54];
}
_Static_assert(TT_GUESS_BIRTHS == 1 << (64 - 54), "a hash has as many values");

static void note_birth(TtGuess *guess, guint64 addr, guint64 size) {
    guint at = guess->birth_count++ % TT_GUESS_BIRTHS;
    guint place = place_of(size);

    guess->birth_addrs[at] = addr;
    guess->birth_sizes[at] = (guint16)place;
    guess->last_addrs[place] = addr;
}

static inline void put(TtColumnSet *columns, TtColumn column, guint64 value) {
    guint8 *at = columns->bytes[column] + columns->len[column];

    columns->len[column] += (gsize)(tt_encode_varint(at, value) - at);
}

static inline guint64 distance(guint64 addr, guint64 from) {
    return tt_zigzag((gint64)(addr >> ADDR_BITS) - (gint64)(from >> ADDR_BITS));
}

static void write_birth(TtColumnSet *columns, TtGuess *guess, const TtEvent *event) {
    put(columns, TT_COLUMN_SIZES, event->size);
    put(columns, TT_COLUMN_BIRTH_STACKS, event->stack);
    put(columns, TT_COLUMN_BIRTH_ADDRS,
        distance(event->addr, guess->last_addrs[place_of(event->size)]));
    note_birth(guess, event->addr, event->size);
    *number_of(guess, event->addr) = guess->birth_count;
}

static void write_death(TtColumnSet *columns, TtGuess *guess, const TtEvent *event) {
    guint64 number = *number_of(guess, event->addr);
    guint64 age = guess->birth_count - number;
    guint at = (number - 1) % TT_GUESS_BIRTHS;

    put(columns, TT_COLUMN_DEATH_STACKS, event->stack);
    if (number > 0 && age < TT_GUESS_BIRTHS && guess->birth_addrs[at] == event->addr) {
        put(columns, TT_COLUMN_AGES, age + 1);
        guess->last_addrs[guess->birth_sizes[at]] = event->addr;
    } else {
        put(columns, TT_COLUMN_AGES, 0);
        put(columns, TT_COLUMN_DEATH_ADDRS, distance(event->addr, guess->addr));
    }
}

void tt_columns_write_events(TtColumnSet *columns, TtGuess *guess, const TtEvent *events,
                             gsize count) {
    g_assert(count <= TT_SECTION_EVENTS_MAX);
    for (gsize i = 0; i < count; i++) {
        const TtEvent *event = &events[i];
        guint64 later = event->stamp - guess->stamp;
        guint8 low = (guint8)(event->addr & ((1u << ADDR_BITS) - 1));

        columns->bytes[TT_COLUMN_OPS][columns->len[TT_COLUMN_OPS]++] =
            (guint8)(event->op | low << TT_COLUMN_OP_BITS);
        columns->bytes[TT_COLUMN_TIMES][columns->len[TT_COLUMN_TIMES]++] =
            (guint8)MIN(later, TT_COLUMN_LATE);
        if (later >= TT_COLUMN_LATE)
            put(columns, TT_COLUMN_LATE_TIMES, later - TT_COLUMN_LATE);
        if (is_birth(event->op))
            write_birth(columns, guess, event);
        else
            write_death(columns, guess, event);
        guess->stamp = event->stamp;
        guess->addr = event->addr;
    }
}

void tt_columns_write_nodes(TtColumnSet *columns, TtGuess *guess, const TtRecordStack *nodes,
                            gsize count) {
    g_assert(count <= TT_SECTION_NODES_MAX);
    for (gsize i = 0; i < count; i++) {
        const TtRecordStack *node = &nodes[i];

        put(columns, TT_COLUMN_NODE_IDS, tt_zigzag((gint64)(node->id - guess->node - 1)));
        put(columns, TT_COLUMN_NODE_PARENTS, tt_zigzag((gint64)(node->id - node->parent)));
        put(columns, TT_COLUMN_NODE_IPS, tt_zigzag((gint64)(node->ip - guess->ip)));
        put(columns, TT_COLUMN_NODE_MODULES, node->module);
        put(columns, TT_COLUMN_NODE_FLAGS, node->flags);
        guess->node = node->id;
        guess->ip = node->ip;
    }
}

static int read_addr(TtCursor *cursor, guint64 from, guint64 *ret_addr) {
    guint64 moved;

    if (tt_cursor_read_varint(cursor, &moved) < 0)
        return -EBADMSG;
    *ret_addr = ((from >> ADDR_BITS) + (guint64)tt_unzigzag(moved)) << ADDR_BITS;
    return 0;
}

static int read_stack(TtCursor *cursor, guint32 *ret_stack) {
    guint64 stack;

    if (tt_cursor_read_varint(cursor, &stack) < 0 || stack > G_MAXUINT32)
        return -EBADMSG;
    *ret_stack = (guint32)stack;
    return 0;
}

static int read_birth(TtCursor *cursors, TtGuess *guess, TtEvent *event, guint64 low) {
    if (tt_cursor_read_varint(&cursors[TT_COLUMN_SIZES], &event->size) < 0 ||
        read_stack(&cursors[TT_COLUMN_BIRTH_STACKS], &event->stack) < 0 ||
        read_addr(&cursors[TT_COLUMN_BIRTH_ADDRS], guess->last_addrs[place_of(event->size)],
                  &event->addr) < 0)
        return -EBADMSG;
    event->addr |= low;
    note_birth(guess, event->addr, event->size);
    return 0;
}

static int read_death(TtCursor *cursors, TtGuess *guess, TtEvent *event, guint64 low) {
    guint64 age;

    event->size = 0;
    if (read_stack(&cursors[TT_COLUMN_DEATH_STACKS], &event->stack) < 0 ||
        tt_cursor_read_varint(&cursors[TT_COLUMN_AGES], &age) < 0)
        return -EBADMSG;
    if (age == 0) {
        if (read_addr(&cursors[TT_COLUMN_DEATH_ADDRS], guess->addr, &event->addr) < 0)
            return -EBADMSG;
        event->addr |= low;
        return 0;
    }
    if (age > TT_GUESS_BIRTHS || age > guess->birth_count)
        return -EBADMSG;
    guint at = (guess->birth_count - age) % TT_GUESS_BIRTHS;
    event->addr = guess->birth_addrs[at];
    guess->last_addrs[guess->birth_sizes[at]] = event->addr;
    /* Two spellings of one event are one too many. */
    return (event->addr & ((1u << ADDR_BITS) - 1)) == low ? 0 : -EBADMSG;
}

static int read_event(TtCursor *cursors, TtGuess *guess, TtEvent *event) {
    const guint8 *op, *time;
    guint64 later;

    if (tt_cursor_read_bytes(&cursors[TT_COLUMN_OPS], 1, &op) < 0 ||
        tt_cursor_read_bytes(&cursors[TT_COLUMN_TIMES], 1, &time) < 0)
        return -EBADMSG;
    later = *time;
    if (later == TT_COLUMN_LATE) {
        if (tt_cursor_read_varint(&cursors[TT_COLUMN_LATE_TIMES], &later) < 0)
            return -EBADMSG;
        later += TT_COLUMN_LATE;
    }
    event->stamp = guess->stamp + later;
    event->thread = 0;
    event->reserved = 0;
    event->op = *op & ((1u << TT_COLUMN_OP_BITS) - 1);
    if (event->op < TT_OP_ALLOC || event->op > TT_OP_REALLOC_END)
        return -EBADMSG;

    guint64 low = *op >> TT_COLUMN_OP_BITS;
    int r = is_birth(event->op) ? read_birth(cursors, guess, event, low)
                                : read_death(cursors, guess, event, low);
    guess->stamp = event->stamp;
    guess->addr = event->addr;
    return r;
}

int tt_columns_read_events(TtCursor *cursors, TtGuess *guess, TtEvent *ret_events, gsize count) {
    for (gsize i = 0; i < count; i++)
        if (read_event(cursors, guess, &ret_events[i]) < 0)
            return -EBADMSG;
    return 0;
}

static int read_node(TtCursor *cursors, TtGuess *guess, TtRecordStack *node) {
    guint64 id, parent, ip;

    if (tt_cursor_read_varint(&cursors[TT_COLUMN_NODE_IDS], &id) < 0 ||
        tt_cursor_read_varint(&cursors[TT_COLUMN_NODE_PARENTS], &parent) < 0 ||
        tt_cursor_read_varint(&cursors[TT_COLUMN_NODE_IPS], &ip) < 0 ||
        tt_cursor_read_varint(&cursors[TT_COLUMN_NODE_MODULES], &node->module) < 0 ||
        tt_cursor_read_varint(&cursors[TT_COLUMN_NODE_FLAGS], &node->flags) < 0)
        return -EBADMSG;
    guess->node = node->id = guess->node + 1 + (guint64)tt_unzigzag(id);
    guess->ip = node->ip = guess->ip + (guint64)tt_unzigzag(ip);
    node->parent = node->id - (guint64)tt_unzigzag(parent);
    return 0;
}

int tt_columns_read_nodes(TtCursor *cursors, TtGuess *guess, TtRecordStack *ret_nodes,
                          gsize count) {
    for (gsize i = 0; i < count; i++)
        if (read_node(cursors, guess, &ret_nodes[i]) < 0)
            return -EBADMSG;
    return 0;
}
