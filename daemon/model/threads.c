/* SPDX-License-Identifier: Apache-2.0 */
#include "model/threads.h"

#include "model/text.h"

#define NAME_MAX_BYTES 64u /* the kernel's have 15 */
#define ROOM_FIRST 4u

void tt_threads_init(TtThreads *threads) {
    *threads =
        (TtThreads){.room = ROOM_FIRST, .lanes = g_array_new(FALSE, FALSE, sizeof(TtLaneThread))};
    threads->threads = g_new0(TtThread, threads->room);
}

void tt_threads_clear(TtThreads *threads) {
    for (guint32 i = 0; i < threads->count; i++)
        if (threads->threads[i].name)
            g_ref_string_release(threads->threads[i].name);
    g_clear_pointer(&threads->threads, g_free);
    g_clear_pointer(&threads->lanes, g_array_unref);
    threads->count = 0;
}

guint16 tt_threads_add(TtThreads *threads, guint32 tid) {
    if (threads->count > TT_THREAD_OTHER)
        return TT_THREAD_OTHER;
    if (threads->count == threads->room) {
        threads->room *= 2;
        threads->threads = g_renew(TtThread, threads->threads, threads->room);
    }

    TtThread *thread = &threads->threads[threads->count];
    *thread = (TtThread){.tid = tid, .scope = TT_NONE};
    if (threads->count == TT_THREAD_OTHER) {
        thread->tid = 0;
        thread->name = tt_text_new_plain("other");
    }
    return (guint16)threads->count++;
}

guint16 tt_threads_get(TtThreads *threads, guint lane, guint32 tid) {
    static const TtLaneThread nobody = {.index = TT_NONE};

    if (lane >= TT_LANES_MAX)
        lane = TT_LANES_MAX - 1;
    while (threads->lanes->len <= lane)
        g_array_append_val(threads->lanes, nobody);

    TtLaneThread *writer = &g_array_index(threads->lanes, TtLaneThread, lane);
    if (writer->index == TT_NONE || writer->tid != tid)
        *writer = (TtLaneThread){.tid = tid, .index = tt_threads_add(threads, tid)};
    return (guint16)writer->index;
}

guint32 tt_threads_find(const TtThreads *threads, guint64 tid) {
    for (guint i = 0; i < threads->lanes->len; i++) {
        const TtLaneThread *writer = &g_array_index(threads->lanes, TtLaneThread, i);

        if (writer->index != TT_NONE && writer->tid == tid)
            return writer->index;
    }
    return TT_NONE;
}

void tt_threads_end(TtThreads *threads, guint lane) {
    if (lane < threads->lanes->len)
        g_array_index(threads->lanes, TtLaneThread, lane).index = TT_NONE;
}

void tt_threads_set_name(TtThreads *threads, guint16 thread, TtString name) {
    if (thread >= threads->count || thread == TT_THREAD_OTHER)
        return;

    TtThread *at = &threads->threads[thread];
    name.len = MIN(name.len, NAME_MAX_BYTES);
    if (at->name)
        g_ref_string_release(at->name);
    at->name = tt_text_new(name);
}

TtThreadRow *tt_threads_copy(const TtThreads *threads, gsize *ret_count) {
    TtThreadRow *rows = g_new(TtThreadRow, threads->count + 1);

    for (guint32 i = 0; i < threads->count; i++) {
        const TtThread *thread = &threads->threads[i];

        rows[i] = (TtThreadRow){
            .tid = thread->tid,
            .name = thread->name ? g_ref_string_acquire(thread->name) : g_ref_string_new(""),
            .allocations = thread->allocations,
            .allocated = thread->allocated,
            .frees = thread->frees,
            .freed = thread->freed,
            .live_blocks = thread->allocations - thread->died_blocks,
            .live_bytes = thread->allocated - thread->died_bytes,
        };
    }
    *ret_count = threads->count;
    return rows;
}

void tt_thread_rows_free(TtThreadRow *rows, gsize count) {
    for (gsize i = 0; i < count; i++)
        g_ref_string_release(rows[i].name);
    g_free(rows);
}

gsize tt_threads_bytes(const TtThreads *threads) {
    gsize bytes = threads->room * sizeof(TtThread) + threads->lanes->len * sizeof(TtLaneThread);

    for (guint32 i = 0; i < threads->count; i++)
        if (threads->threads[i].name)
            bytes += NAME_MAX_BYTES;
    return bytes;
}
