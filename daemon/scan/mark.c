/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/mark.h"

#include "protocol/checked.h"
#include "protocol/lane-layout.h"
#include "scan/holes.h"

/* How a block was reached, in the order of strength. */
enum { LOST, INSIDE, START };

#define UNSEEN G_MAXUINT32

typedef struct Marker {
    TtImage *image;
    const TtTable *table;
    guint64 low, high; /* all blocks lie in here */
    guint8 *reached;
    GArray *todo[START + 1]; /* of guint32: reached so, not yet looked into */
    guint64 scanned_bytes;
    gboolean is_moving;
    /* Of the root memory underway. */
    gboolean is_libc;
    guint64 lanes_start, lanes_end; /* our own memory in the process lies in here */
} Marker;

static const TtLive *get_block(const Marker *marker, guint32 index) {
    return &marker->table->blocks[index];
}

/* ---- One word ---- */

/* Whether something is read-only memory of a program or library, as tables of virtual functions. */
static gboolean is_constant(const Marker *marker, guint64 addr) {
    const TtImageMapping *mapping = tt_image_find_mapping(marker->image, addr);

    return mapping && (mapping->flags & (TT_IMAGE_READ | TT_IMAGE_WRITE)) == TT_IMAGE_READ &&
           tt_image_name_begins(marker->image, mapping, "/");
}

/* Whether an address in the middle of a block is as good as its own. */
static gboolean is_as_good(const Marker *marker, const TtLive *block, guint64 addr) {
    guint64 offset = addr - block->addr;

    if (block->addr % 8 != 0 || offset % 8 != 0 || block->size <= 8)
        return FALSE;
    if (offset == 8) {
        guint64 count = tt_image_read_word(marker->image, block->addr);

        if (count > 0 && count <= block->size - 8 && (block->size - 8) % count == 0)
            return TRUE;
    }
    return block->size - offset >= 8 &&
           is_constant(marker, tt_image_read_word(marker->image, addr)) &&
           is_constant(marker, tt_image_read_word(marker->image, block->addr));
}

/* malloc knows the free chunk behind a block by an address in the block's last 8 bytes, and keeps
 * such addresses in its own data. They say nothing of the block. */
static gboolean is_next_chunk(const Marker *marker, const TtLive *block, guint64 addr) {
    guint64 chunk_bytes = tt_image_read_word(marker->image, block->addr - 8) & ~(guint64)7;

    return block->addr % 16 == 0 && addr == block->addr - 16 + chunk_bytes;
}

static void reach(Marker *marker, guint32 index, guint8 how) {
    for (guint32 at = index + 1; at > 0; at = get_block(marker, at - 1)->parent) {
        if (marker->reached[at - 1] >= how)
            return;
        marker->reached[at - 1] = how;
        at--;
        g_array_append_val(marker->todo[how], at);
        at++;
    }
}

/* @how: the word itself is known to be of that strength */
static inline void visit(Marker *marker, guint64 word, guint8 how) {
    if (G_LIKELY(word < marker->low || word >= marker->high))
        return;

    guint32 index = tt_table_find(marker->table, word);
    if (index == TT_NONE || marker->reached[index] >= how)
        return;
    const TtLive *block = get_block(marker, index);
    if (word != block->addr) {
        if (marker->is_libc && is_next_chunk(marker, block, word))
            return;
        if (!is_as_good(marker, block, word))
            how = INSIDE;
    }
    reach(marker, index, how);
}

/* ---- Blocks ---- */

/* The next address in a block, from @at on, that lies in another, or TT_NONE at its end; @at is
 * moved past it. What lies in a block that lies in this one is that one's, which comes with
 * @ret_word 0. */
static guint32 next_target(Marker *marker, guint32 index, guint64 *at, guint64 *ret_word) {
    const TtLive *block = get_block(marker, index);
    guint64 end = block->end & ~(guint64)7, stop;

    while (*at < end) {
        const guint64 *word = tt_image_read(marker->image, *at, &stop);

        stop = MIN(stop, end);
        for (; word && *at < stop; word++) {
            guint64 value = *word;

            if (marker->table->has_nested[index]) {
                guint32 inner = tt_table_find(marker->table, *at);

                if (inner != index && inner != TT_NONE) {
                    *at = tt_saturating_add(get_block(marker, inner)->end, 7) & ~(guint64)7;
                    *ret_word = 0;
                    return inner;
                }
            }
            *at += 8;
            if (G_LIKELY(value < marker->low || value >= marker->high))
                continue;
            guint32 target = tt_table_find(marker->table, value);
            if (target != TT_NONE && target != index) {
                *ret_word = value;
                return target;
            }
        }
        *at = MAX(*at, stop);
    }
    return TT_NONE;
}

static guint64 first_word(const TtLive *block) { return (block->addr + 7) & ~(guint64)7; }

static void look_into(Marker *marker, guint32 index, guint8 how) {
    guint64 at = first_word(get_block(marker, index)), word;

    marker->scanned_bytes += get_block(marker, index)->size;
    while (next_target(marker, index, &at, &word) != TT_NONE)
        visit(marker, word, how);
}

static void follow(Marker *marker, guint8 how) {
    GArray *todo = marker->todo[how];

    while (todo->len > 0) {
        guint32 index = g_array_index(todo, guint32, todo->len - 1);

        g_array_set_size(todo, todo->len - 1);
        if (marker->reached[index] == how) /* not reached better meanwhile */
            look_into(marker, index, how);
    }
}

/* ---- Roots ---- */

/* Memory of a heap that is no block, as far as the next one: a thread may be moving one there. */
static void visit_unknown(Marker *marker, guint64 addr) {
    guint64 chunk_bytes = tt_image_read_word(marker->image, addr - 8) & ~(guint64)7;
    guint32 next = tt_table_find_next(marker->table, addr);
    guint64 stop = next < marker->table->count ? marker->table->starts[next] : marker->high, end;

    stop = MIN(stop, addr + chunk_bytes);
    if (addr % 16 != 0 || chunk_bytes < 32 || stop <= addr)
        return;
    for (const guint64 *word = tt_image_read(marker->image, addr, &end); word && addr < stop;
         word = tt_image_read(marker->image, addr, &end))
        for (end = MIN(end, stop); addr < end; addr += 8)
            visit(marker, *word++, START);
}

static void visit_own(Marker *marker, guint64 word) {
    visit(marker, word, START);
    if (marker->is_moving && word >= marker->low && word < marker->high &&
        tt_table_find(marker->table, word) == TT_NONE)
        visit_unknown(marker, word);
}

static gboolean is_lanes(const TtImage *image, const TtImageMapping *mapping) {
    return mapping && tt_image_name_begins(image, mapping, "/memfd:trace-tools (deleted)");
}

static inline gboolean is_in_lanes(const Marker *marker, guint64 word) {
    return G_UNLIKELY(word - marker->lanes_start < marker->lanes_end - marker->lanes_start) &&
           word % sizeof(TtLaneControl) == 0 &&
           is_lanes(marker->image, tt_image_find_mapping(marker->image, word));
}

/* [start, end), in which there are neither holes nor blocks. On a stack a hook at work has such
 * pointers too, with the program's own words beside them. */
static void visit_words(Marker *marker, guint64 start, guint64 end, gboolean is_stack) {
    guint64 at = (start + 7) & ~(guint64)7, stop;

    while (at < end) {
        const guint64 *word = tt_image_read(marker->image, at, &stop);

        stop = MIN(stop, end);
        marker->scanned_bytes += word ? stop - at : 0;
        for (; word && at < stop; at += 8, word++) {
            if (!is_stack && is_in_lanes(marker, *word)) {
                /* libttclient's notes on a lane, the last block's address among them. */
                at += 8 * (TT_LANE_NOTE_WORDS - 1);
                word += TT_LANE_NOTE_WORDS - 1;
                continue;
            }
            if (is_stack)
                visit_own(marker, *word);
            else
                visit(marker, *word, START);
        }
        at = MAX(at, stop);
    }
}

/* As visit_words(), with blocks left out. */
static void visit_between(Marker *marker, guint64 start, guint64 end, gboolean is_stack) {
    const TtTable *table = marker->table;
    guint32 index = tt_table_find(table, start);

    if (index != TT_NONE) /* it begins in one: the outermost's end is where it goes on */
        while (table->blocks[index].parent)
            index = table->blocks[index].parent - 1;
    if (index != TT_NONE)
        start = table->blocks[index].end;
    for (index = tt_table_find_next(table, start); start < end; index++) {
        while (index < table->count && table->blocks[index].parent)
            index++;
        if (index >= table->count || table->starts[index] >= end)
            break;
        if (table->starts[index] > start)
            visit_words(marker, start, table->starts[index] & ~(guint64)7, is_stack);
        start = MAX(start, table->blocks[index].end);
    }
    if (start < end)
        visit_words(marker, start, end, is_stack);
}

static gboolean has_stack(const TtImage *image, const TtImageMapping *mapping) {
    for (guint32 i = 0; i < image->head->thread_count; i++)
        if (image->threads[i].sp - mapping->start < mapping->end - mapping->start)
            return TRUE;
    return FALSE;
}

static void visit_range(Marker *marker, const TtImageRange *range, const GArray *holes) {
    TtImage *image = marker->image;
    const TtImageMapping *mapping = tt_image_find_mapping(image, range->addr);
    guint64 start = range->addr, end = range->addr + range->len;
    gboolean is_stack = FALSE;

    marker->is_libc = FALSE;
    if (mapping) {
        marker->is_libc = tt_image_name_ends(image, mapping, "/libc.so.6");
        is_stack = has_stack(image, mapping);
    }
    for (guint i = 0; i < holes->len && start < end; i++) {
        const TtHole *hole = &g_array_index(holes, TtHole, i);

        if (hole->end <= start)
            continue;
        if (hole->start >= end)
            break;
        if (hole->start > start)
            visit_between(marker, start, hole->start, is_stack);
        start = hole->end;
    }
    if (start < end)
        visit_between(marker, start, end, is_stack);
    marker->is_libc = FALSE;
}

static void visit_threads(Marker *marker) {
    const TtImage *image = marker->image;

    for (guint32 i = 0; i < image->head->thread_count; i++) {
        const TtImageThread *thread = &image->threads[i];

        for (guint32 j = 0; j < thread->word_count; j++)
            visit_own(marker, thread->words[j]);
        visit(marker, tt_holes_read_tls_vector(marker->image, thread->thread_pointer), START);
    }
}

static void find_lanes(Marker *marker) {
    const TtImage *image = marker->image;

    for (guint32 i = 0; i < image->head->mapping_count; i++) {
        if (!is_lanes(image, &image->mappings[i]))
            continue;
        if (marker->lanes_end == 0)
            marker->lanes_start = image->mappings[i].start;
        marker->lanes_end = image->mappings[i].end;
    }
}

static void visit_roots(Marker *marker, const GArray *holes) {
    find_lanes(marker);
    visit_threads(marker);
    for (guint64 i = 0; i < marker->image->head->range_count; i++)
        visit_range(marker, &marker->image->ranges[i], holes);
    marker->lanes_start = marker->lanes_end = 0;
}

static void keep(Marker *marker, guint32 index) {
    if (marker->reached[index] == LOST)
        marker->reached[index] = START;
}

/* What the next thread on an ended one's stack takes over: the vector of TLS blocks and these. What
 * they hold is of the ended one; glibc clears it (nptl/allocatestack.c), so it is not followed.
 * Where the stack was the program's own, glibc has freed the vector, and another block may lie
 * there by now: what leads to that one, and from it, has been followed before. */
static void keep_vector(Marker *marker, guint64 addr) {
    guint32 index = tt_table_find(marker->table, addr), target;
    guint64 at, word;

    if (index == TT_NONE)
        return;
    at = first_word(get_block(marker, index));
    keep(marker, index);
    while ((target = next_target(marker, index, &at, &word)) != TT_NONE)
        keep(marker, target);
}

/* ---- What is lost ---- */

/* Tarjan's algorithm, with its recursion as an array: a lost list may be a million blocks long. */
typedef struct Frame {
    guint32 index;
    guint64 at; /* where its pointers go on */
} Frame;

typedef struct Lost {
    Marker *marker;
    guint32 *orders, *lows; /* a block each; orders: UNSEEN */
    guint32 *parts;         /* the part that a block belongs to: its number, or UNSEEN */
    GArray *open;           /* of guint32: blocks whose part is not complete */
    GArray *frames;         /* of Frame */
    GArray *heads;          /* of guint32, a part each: its oldest block */
    GArray *has_parent;     /* of guint8, a part each: another part leads to it */
    guint32 order;
} Lost;

static void enter(Lost *lost, guint32 index) {
    Frame frame = {index, first_word(get_block(lost->marker, index))};

    lost->orders[index] = lost->lows[index] = lost->order++;
    g_array_append_val(lost->open, index);
    g_array_append_val(lost->frames, frame);
}

static void close_part(Lost *lost, guint32 root) {
    guint32 part = lost->heads->len, head = root, index;
    guint8 no = FALSE;

    do {
        index = g_array_index(lost->open, guint32, lost->open->len - 1);
        g_array_set_size(lost->open, lost->open->len - 1);
        lost->parts[index] = part;
        if (get_block(lost->marker, index)->id < get_block(lost->marker, head)->id)
            head = index;
    } while (index != root);
    g_array_append_val(lost->heads, head);
    g_array_append_val(lost->has_parent, no);
}

/* A pointer from one lost block to another, whose part is known or not. */
static void note_edge(Lost *lost, guint32 from, guint32 to) {
    if (lost->parts[to] != UNSEEN)
        g_array_index(lost->has_parent, guint8, lost->parts[to]) = TRUE;
    else
        lost->lows[from] = MIN(lost->lows[from], lost->lows[to]);
}

static void leave(Lost *lost, guint32 index) {
    g_array_set_size(lost->frames, lost->frames->len - 1);
    if (lost->lows[index] == lost->orders[index])
        close_part(lost, index);
    if (lost->frames->len > 0)
        note_edge(lost, g_array_index(lost->frames, Frame, lost->frames->len - 1).index, index);
}

static void walk(Lost *lost, guint32 first) {
    guint64 word;

    enter(lost, first);
    while (lost->frames->len > 0) {
        Frame *frame = &g_array_index(lost->frames, Frame, lost->frames->len - 1);
        guint32 target = next_target(lost->marker, frame->index, &frame->at, &word);

        if (target == TT_NONE)
            leave(lost, frame->index);
        else if (lost->marker->reached[target] != LOST)
            continue;
        else if (lost->orders[target] == UNSEEN)
            enter(lost, target);
        else
            note_edge(lost, frame->index, target);
    }
}

/* Who leads to what: from each definite block on, each indirect one once. */
static void lead(Lost *lost, TtMarks *marks, guint32 leader) {
    guint64 word;

    enter(lost, leader); /* frames serve as the list of what is to be looked into */
    while (lost->frames->len > 0) {
        Frame *frame = &g_array_index(lost->frames, Frame, lost->frames->len - 1);
        guint32 target = next_target(lost->marker, frame->index, &frame->at, &word);

        if (target == TT_NONE) {
            g_array_set_size(lost->frames, lost->frames->len - 1);
        } else if (marks->classes[target] == TT_LEAK_INDIRECT && marks->leaders[target] == UNSEEN) {
            marks->leaders[target] = leader;
            enter(lost, target);
        }
    }
}

static void sort_lost(Marker *marker, TtMarks *marks) {
    guint32 count = marker->table->count;
    Lost lost = {
        .marker = marker,
        .orders = g_new(guint32, count),
        .lows = g_new0(guint32, count),
        .parts = g_new(guint32, count),
        .open = g_array_new(FALSE, FALSE, sizeof(guint32)),
        .frames = g_array_new(FALSE, FALSE, sizeof(Frame)),
        .heads = g_array_new(FALSE, FALSE, sizeof(guint32)),
        .has_parent = g_array_new(FALSE, FALSE, sizeof(guint8)),
    };

    for (guint32 i = 0; i < count; i++)
        lost.orders[i] = lost.parts[i] = marks->leaders[i] = UNSEEN;
    for (guint32 i = 0; i < count; i++)
        if (marker->reached[i] == LOST && lost.orders[i] == UNSEEN)
            walk(&lost, i);
    for (guint32 i = 0; i < count; i++)
        if (marker->reached[i] == LOST)
            marks->classes[i] = TT_LEAK_INDIRECT;
    for (guint32 i = 0; i < lost.heads->len; i++)
        if (!g_array_index(lost.has_parent, guint8, i))
            marks->classes[g_array_index(lost.heads, guint32, i)] = TT_LEAK_DEFINITE;
    for (guint32 i = 0; i < count; i++)
        if (marks->classes[i] == TT_LEAK_DEFINITE)
            lead(&lost, marks, i);
    g_free(lost.orders);
    g_free(lost.lows);
    g_free(lost.parts);
    g_array_unref(lost.open);
    g_array_unref(lost.frames);
    g_array_unref(lost.heads);
    g_array_unref(lost.has_parent);
}

static void reach_moving(Marker *marker, const guint64 *moving, gsize count) {
    for (guint32 i = 0; count > 0 && i < marker->table->count; i++)
        for (gsize j = 0; j < count; j++)
            if (get_block(marker, i)->id == moving[j])
                reach(marker, i, START);
}

void tt_marks_init(TtMarks *marks, TtImage *image, const TtTable *table, gboolean has_gaps,
                   const guint64 *moving, gsize moving_count) {
    Marker marker = {
        .image = image, .table = table, .is_moving = moving_count > 0, .low = G_MAXUINT64};

    for (guint32 i = 0; i < table->count; i++) {
        marker.low = MIN(marker.low, table->blocks[i].addr);
        marker.high = MAX(marker.high, table->blocks[i].end);
    }
    marker.reached = g_new0(guint8, table->count);
    for (guint8 how = INSIDE; how <= START; how++)
        marker.todo[how] = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) kept = NULL;
    g_autoptr(GArray) holes = tt_holes_find(image, has_gaps, &kept);
    reach_moving(&marker, moving, moving_count);
    visit_roots(&marker, holes);
    follow(&marker, START);
    follow(&marker, INSIDE);
    for (guint i = 0; i < kept->len; i++)
        keep_vector(&marker, g_array_index(kept, guint64, i));

    *marks = (TtMarks){.classes = g_new(guint8, table->count),
                       .leaders = g_new(guint32, table->count),
                       .scanned_bytes = marker.scanned_bytes};
    for (guint32 i = 0; i < table->count; i++)
        marks->classes[i] = marker.reached[i] == START ? TT_LEAK_REACHABLE : TT_LEAK_POSSIBLE;
    sort_lost(&marker, marks);
    for (guint8 how = INSIDE; how <= START; how++)
        g_array_unref(marker.todo[how]);
    g_free(marker.reached);
}

void tt_marks_clear(TtMarks *marks) {
    g_clear_pointer(&marks->classes, g_free);
    g_clear_pointer(&marks->leaders, g_free);
}
