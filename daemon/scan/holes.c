/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/holes.h"

#include "protocol/checked.h"

#define ARENA_BYTES (G_GUINT64_CONSTANT(64) << 20) /* HEAP_MAX_SIZE on 64-bit machines */
#define RED_ZONE_BYTES 128                         /* below the stack pointer; psABI */
#define CONTROL_BLOCK_SEARCH 16384                 /* at the end of a stack */
#define CONTROL_BLOCK_ALIGN 64
#define TLS_VECTOR_OFFSET 16 /* what is pointed to is its second element */

/* heap_info of glibc's malloc/arena.c, the same since 2.5. */
typedef struct ArenaHead {
    guint64 arena, previous, size, writable_size;
} ArenaHead;

static void add(GArray *holes, guint64 start, guint64 end) {
    TtHole hole = {start, end};

    if (start < end)
        g_array_append_val(holes, hole);
}

/* ---- Heaps ---- */

static gboolean is_plain(const TtImageMapping *mapping) {
    return (mapping->flags & TT_IMAGE_WRITE) && !(mapping->flags & TT_IMAGE_SHARED) &&
           mapping->name_len == 0;
}

/* Whether an arena's heap begins here. Its arena is in it, or in a heap before it. */
static gboolean read_arena(TtImage *image, guint64 addr, guint64 end, ArenaHead *ret_head) {
    *ret_head = (ArenaHead){
        .arena = tt_image_read_word(image, addr),
        .previous = tt_image_read_word(image, addr + 8),
        .size = tt_image_read_word(image, addr + 16),
        .writable_size = tt_image_read_word(image, addr + 24),
    };
    if (ret_head->size == 0 || ret_head->size > ret_head->writable_size ||
        ret_head->writable_size > MIN(end - addr, ARENA_BYTES) || ret_head->writable_size % 4096)
        return FALSE;
    if (ret_head->previous == 0)
        return ret_head->arena > addr && ret_head->arena < addr + 4096;
    return ret_head->previous % ARENA_BYTES == 0 && ret_head->arena % 16 == 0 &&
           ret_head->arena != 0;
}

static void add_arenas(GArray *holes, TtImage *image, const TtImageRange *range) {
    guint64 end = range->addr + range->len;
    ArenaHead head;

    for (guint64 addr = range->addr + (-range->addr & (ARENA_BYTES - 1));
         addr >= range->addr && addr < end; addr = tt_saturating_add(addr, ARENA_BYTES)) {
        const TtImageMapping *mapping = tt_image_find_mapping(image, addr);

        if (mapping && is_plain(mapping) && read_arena(image, addr, mapping->end, &head))
            add(holes, addr, addr + head.size);
    }
}

static void add_heaps(GArray *holes, TtImage *image) {
    for (guint32 i = 0; i < image->head->mapping_count; i++)
        if (tt_image_name_begins(image, &image->mappings[i], "[heap]"))
            add(holes, image->mappings[i].start, image->mappings[i].end);
    for (guint64 i = 0; i < image->head->range_count; i++)
        add_arenas(holes, image, &image->ranges[i]);
}

/* ---- Stacks ---- */

/* Whether nothing can lie below: a guard page, or the main thread's, which grows. */
static gboolean is_guarded(const TtImage *image, const TtImageMapping *mapping) {
    const TtImageMapping *below = mapping - 1;

    if (tt_image_name_begins(image, mapping, "[stack]"))
        return TRUE;
    return mapping > image->mappings && below->end == mapping->start &&
           !(below->flags & (TT_IMAGE_READ | TT_IMAGE_WRITE));
}

static void add_below(GArray *holes, const TtImage *image, guint64 sp) {
    const TtImageMapping *mapping = tt_image_find_mapping(image, sp);

    if (mapping && sp - mapping->start > RED_ZONE_BYTES && is_guarded(image, mapping))
        add(holes, mapping->start, (sp - RED_ZONE_BYTES) & ~(guint64)7);
}

static gboolean is_living(const TtImage *image, guint64 thread_pointer) {
    for (guint32 i = 0; i < image->head->thread_count; i++)
        if (image->threads[i].thread_pointer == thread_pointer)
            return TRUE;
    return FALSE;
}

guint64 tt_holes_read_tls_vector(TtImage *image, guint64 thread_pointer) {
    guint64 vector = tt_image_read_word(image, thread_pointer + 8);

    return tt_saturating_sub(vector, TLS_VECTOR_OFFSET);
}

/* A stack whose thread has ended. */
static void add_ended(GArray *holes, TtImage *image, const TtImageMapping *mapping, GArray *kept) {
    guint64 first = mapping->end - MIN(mapping->end - mapping->start, CONTROL_BLOCK_SEARCH);

    for (guint64 at = mapping->end - CONTROL_BLOCK_ALIGN; at >= first; at -= CONTROL_BLOCK_ALIGN) {
        if (tt_image_read_word(image, at) != at || tt_image_read_word(image, at + 16) != at)
            continue;
        if (!is_living(image, at)) {
            guint64 vector = tt_holes_read_tls_vector(image, at);

            add(holes, mapping->start, mapping->end);
            g_array_append_val(kept, vector);
        }
        return;
    }
}

static void add_stacks(GArray *holes, TtImage *image, GArray *kept) {
    for (guint32 i = 0; i < image->head->thread_count; i++)
        add_below(holes, image, image->threads[i].sp);
    for (guint32 i = 1; i < image->head->mapping_count; i++)
        if (is_plain(&image->mappings[i]) && is_guarded(image, &image->mappings[i]))
            add_ended(holes, image, &image->mappings[i], kept);
}

/* ---- All of them ---- */

static gint compare(gconstpointer a, gconstpointer b) {
    const TtHole *one = a, *other = b;

    return (one->start > other->start) - (one->start < other->start);
}

static void join(GArray *holes) {
    guint count = 0;

    g_array_sort(holes, compare);
    for (guint i = 0; i < holes->len; i++) {
        TtHole hole = g_array_index(holes, TtHole, i);
        TtHole *last = count > 0 ? &g_array_index(holes, TtHole, count - 1) : NULL;

        if (last && hole.start <= last->end)
            last->end = MAX(last->end, hole.end);
        else
            g_array_index(holes, TtHole, count++) = hole;
    }
    g_array_set_size(holes, count);
}

GArray *tt_holes_find(TtImage *image, gboolean has_gaps, GArray **ret_kept) {
    GArray *holes = g_array_new(FALSE, FALSE, sizeof(TtHole));

    *ret_kept = g_array_new(FALSE, FALSE, sizeof(guint64));
    if (!has_gaps)
        add_heaps(holes, image);
    add_stacks(holes, image, *ret_kept);
    join(holes);
    return holes;
}
