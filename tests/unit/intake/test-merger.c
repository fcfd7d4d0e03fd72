/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes, written as programs write them and as no program should, against a model that believes
 * nothing. */
#include <string.h>
#include <unistd.h>

#include "fake-model.h"
#include "intake/merger.h"
#include "writer.h"

#define AHEAD (4u << 20)

/* A session with one segment, read by hand. */
typedef struct Bed {
    TtSession *session;
    TtSegment segment;
    TtBudget budget;
    TtMerger *merger;
} Bed;

static void bed_open(Bed *bed, guint segment_index, gsize ahead_max) {
    TtSessionInfo info = {.timescale = {.mult = (guint64)5 << 32, .shift = 32}};
    TtStampClock clock = {.kind = TT_CLOCK_TSC, .shift = WRITER_SHIFT};
    int fd;

    bed->session = tt_session_new(&info, NULL);
    g_assert_cmpint(tt_segment_init(&bed->segment, segment_index, &fd), ==, 0);
    close(fd);
    tt_budget_init(&bed->budget, 64 << 20, NULL);
    bed->merger = tt_merger_new(bed->session, &clock, &bed->budget, ahead_max);
    tt_merger_add_segment(bed->merger, &bed->segment);
}

static void bed_close(Bed *bed) {
    tt_merger_free(bed->merger);
    g_assert_cmpuint(tt_budget_get_used(&bed->budget), ==, 0);
    tt_segment_clear(&bed->segment);
    tt_session_free(bed->session);
}

static void bed_writer(Bed *bed, Writer *writer, guint lane, guint32 tid) {
    writer_init(writer, tt_segment_get_lane(&bed->segment, lane),
                tt_segment_get_chunks(&bed->segment, lane), bed->segment.chunks_per_lane, tid);
}

/* Reads what can be read now. */
static void bed_read(Bed *bed) {
    guint64 target = writer_stamp();

    do {
        tt_merger_drain(bed->merger);
        while (tt_merger_merge(bed->merger, G_MAXUINT64, 1 << 20))
            ;
    } while (!tt_merger_has_reached(bed->merger, target));
}

/* Reads to the end of all lanes. */
static void bed_finish(Bed *bed) {
    tt_merger_finish(bed->merger);
    do {
        tt_merger_drain(bed->merger);
        while (tt_merger_merge(bed->merger, G_MAXUINT64, 1 << 20))
            ;
    } while (!tt_merger_is_empty(bed->merger));
}

static gboolean bed_heard(const Bed *bed, const char *word) {
    for (guint i = 0; i < bed->session->words->len; i++)
        if (strstr(g_ptr_array_index(bed->session->words, i), word))
            return TRUE;
    return FALSE;
}

static void assert_sound(const Bed *bed, guint64 events) {
    g_assert_cmpuint(bed->session->event_count, ==, events);
    g_assert_cmpuint(bed->session->impossible, ==, 0);
    g_assert_cmpuint(bed->session->disordered, ==, 0);
    g_assert_cmpuint(bed->session->unknown_stacks, ==, 0);
}

static const TtEvent *event_at(const Bed *bed, guint i) {
    return &g_array_index(bed->session->events, TtEvent, i);
}

/* One lane, read at every event or now and then: what comes out is what went in. */
static void test_one_lane_comes_out_as_written(void) {
    Bed bed;
    Writer writer;
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    g_autoptr(GArray) written = g_array_new(FALSE, FALSE, sizeof(TtEvent));

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 100);
    for (guint i = 0; i < 60000; i++) {
        TtEvent event = {.stamp = writer_stamp(),
                         .addr = 0x1000 + 16 * (guint64)i,
                         .size = g_rand_int_range(rand, 0, 1 << 20),
                         .stack = TT_STACK_NONE,
                         .op = TT_OP_ALLOC};

        g_assert_true(writer_alloc(&writer, event.addr, event.size, event.stack, event.stamp));
        g_array_append_val(written, event);
        if (i < 300 || g_rand_int_range(rand, 0, 1000) == 0)
            bed_read(&bed);
    }
    bed_read(&bed);
    assert_sound(&bed, written->len);
    for (guint i = 0; i < written->len; i++)
        g_assert_cmpmem(event_at(&bed, i), sizeof(TtEvent), &g_array_index(written, TtEvent, i),
                        sizeof(TtEvent));
    g_assert_false(bed_heard(&bed, "doubt"));
    bed_close(&bed);
}

/* Blocks that pass between threads. An allocator of a few addresses hands each one out again as
 * soon as it is freed, by any thread. */
#define POOL 48
#define ROUNDS 40000

typedef struct Pool {
    GMutex lock;
    guint64 free[POOL];
    guint free_count;
    guint64 used[POOL]; /* handed over: whoever comes frees them */
    guint used_count;
    gint running; /* atomic */
} Pool;

typedef struct Mutator {
    Pool *pool;
    Writer writer;
} Mutator;

static gpointer run_mutator(gpointer data) {
    Mutator *mutator = data;
    Pool *pool = mutator->pool;
    g_autoptr(GRand) rand = g_rand_new_with_seed(mutator->writer.tid);

    for (guint i = 0; i < ROUNDS; i++) {
        gboolean is_birth = g_rand_boolean(rand);
        guint64 addr = 0;

        g_mutex_lock(&pool->lock);
        if (is_birth && pool->free_count > 0)
            addr = pool->free[--pool->free_count];
        else if (!is_birth && pool->used_count > 0)
            addr = pool->used[--pool->used_count];
        g_mutex_unlock(&pool->lock);
        if (addr == 0)
            continue;
        if (is_birth)
            writer_alloc(&mutator->writer, addr, 64, TT_STACK_NONE, writer_stamp());
        else
            writer_free(&mutator->writer, addr, writer_stamp());
        g_mutex_lock(&pool->lock);
        if (is_birth)
            pool->used[pool->used_count++] = addr;
        else
            pool->free[pool->free_count++] = addr;
        g_mutex_unlock(&pool->lock);
    }
    g_atomic_int_add(&pool->running, -1);
    return NULL;
}

static void test_blocks_that_pass_between_threads(void) {
    Bed bed;
    Pool pool = {.running = 4};
    Mutator mutators[4];
    GThread *threads[4];
    guint64 events = 0;

    g_mutex_init(&pool.lock);
    for (guint i = 0; i < POOL; i++)
        pool.free[pool.free_count++] = 0x10000 + 64 * (guint64)i;
    bed_open(&bed, 0, 96 << 10);
    for (guint i = 0; i < 4; i++) {
        mutators[i].pool = &pool;
        bed_writer(&bed, &mutators[i].writer, i, 100 + i);
        mutators[i].writer.waits = TRUE;
        threads[i] = g_thread_new("mutator", run_mutator, &mutators[i]);
    }
    while (g_atomic_int_get(&pool.running) > 0) {
        tt_merger_drain(bed.merger);
        tt_merger_merge(bed.merger, G_MAXUINT64, 1 << 20);
    }
    for (guint i = 0; i < 4; i++) {
        g_thread_join(threads[i]);
        events += mutators[i].writer.event_count;
    }
    bed_finish(&bed);
    assert_sound(&bed, events);
    g_assert_cmpuint(g_hash_table_size(bed.session->live), ==, pool.used_count);
    bed_close(&bed);
    g_mutex_clear(&pool.lock);
}

/* At one stamp a death comes before a birth, whatever lane is first. */
static void test_deaths_come_first_among_equals(void) {
    for (guint first = 0; first < 2; first++) {
        Bed bed;
        Writer dies, lives;
        guint64 stamp = writer_stamp();

        bed_open(&bed, 0, AHEAD);
        bed_writer(&bed, &dies, first, 1);
        bed_writer(&bed, &lives, 1 - first, 2);
        writer_alloc(&dies, 64, 1, TT_STACK_NONE, stamp - 9);
        writer_free(&dies, 64, stamp);
        writer_alloc(&lives, 128, 2, TT_STACK_NONE, stamp - 5);
        writer_alloc(&lives, 64, 2, TT_STACK_NONE, stamp);
        bed_read(&bed);
        assert_sound(&bed, 4);
        bed_close(&bed);
    }
}

/* What is stamped after the look at the clock waits, though it is there. */
static void test_what_is_too_new_waits(void) {
    Bed bed;
    Writer writer;
    guint64 later = writer_stamp() + 20000000; /* tens of milliseconds */

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 1);
    writer_alloc(&writer, 64, 1, TT_STACK_NONE, writer_stamp());
    writer_alloc(&writer, 128, 1, TT_STACK_NONE, later);
    bed_read(&bed);
    g_assert_cmpuint(bed.session->event_count, ==, 1);
    while (writer_stamp() < later)
        ;
    bed_read(&bed);
    assert_sound(&bed, 2);
    bed_close(&bed);
}

/* The dead are read to the end, whatever their stamps say. */
static void test_finished_lanes_are_read_to_their_end(void) {
    Bed bed;
    Writer a, b;

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &a, 0, 1);
    bed_writer(&bed, &b, 3, 2);
    writer_alloc(&a, 64, 1, TT_STACK_NONE, writer_stamp() + 100000);
    writer_alloc(&b, 128, 1, TT_STACK_NONE, writer_stamp());
    bed_finish(&bed);
    assert_sound(&bed, 2);
    writer_alloc(&b, 256, 1, TT_STACK_NONE, writer_stamp()); /* by another process that maps it */
    bed_finish(&bed);
    assert_sound(&bed, 2);
    bed_close(&bed);
}

/* A stack's parent, and its module, defined in a lane that is decoded later. */
static void test_definitions_come_in_any_order_of_lanes(void) {
    Bed bed;
    Writer a, b;

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &a, 0, 1);
    bed_writer(&bed, &b, 1, 2);
    writer_record(&b, module,
                  &(TtRecordModule){.id = 1, .path = {"/lib/x", 6}, .start = 1, .end = 9});
    writer_record(&b, stack,
                  &(TtRecordStack){.id = 3, .parent = TT_STACK_ROOT, .ip = 5, .module = 1});
    writer_record(&a, stack, &(TtRecordStack){.id = 5, .parent = 4, .ip = 7});
    writer_record(&a, stack, &(TtRecordStack){.id = 4, .parent = 3, .ip = 6});
    writer_record(&a, segment, &(TtRecordSegment){.module = 1, .addr = 1, .size = 2});
    writer_record(&a, module_gone, &(TtRecordModuleGone){.id = 1, .stamp = 1});
    writer_alloc(&a, 64, 1, 5, writer_stamp());
    bed_read(&bed);
    assert_sound(&bed, 1);
    g_assert_cmpstr(g_ptr_array_index(bed.session->words, 0), ==, "module 1 /lib/x");
    g_assert_cmpuint(bed.session->words->len, ==, 3);
    bed_close(&bed);
}

static TtRecordStack make_stack(guint64 id) {
    return (TtRecordStack){.id = id,
                           .parent =
                               id == TT_STACK_FIRST ? TT_STACK_TRUNCATED : id - 1 - id % 3 / 2,
                           .ip = id * 0x9e3779b97f4a7c15u >> 17,
                           .flags = id % 5 == 0 ? TT_STACK_EXACT_IP : 0};
}

/* As NODEs, in more than one chunk of each lane, and decoded before their parents. */
static void test_nodes_tell_stacks(void) {
    Bed bed;
    Writer writers[3];
    const guint64 end = 20000;

    bed_open(&bed, 0, AHEAD);
    for (guint i = 0; i < 3; i++)
        bed_writer(&bed, &writers[i], i, i + 1);
    for (guint64 id = TT_STACK_FIRST; id < end; id++) {
        TtRecordStack stack = make_stack(id);

        writer_stack(&writers[2 - id / 7 % 3], &stack);
    }
    for (guint i = 0; i < 3; i++)
        g_assert_cmpuint(writer_get_position(&writers[i]), >, 3 * TT_CHUNK_BYTES / 2);
    writer_alloc(&writers[0], 64, 1, end - 1, writer_stamp());
    bed_read(&bed);
    assert_sound(&bed, 1);
    for (guint64 id = TT_STACK_FIRST; id < end; id++) {
        TtRecordStack want = make_stack(id);
        const TtRecordStack *got = g_hash_table_lookup(bed.session->stacks, GSIZE_TO_POINTER(id));

        g_assert_nonnull(got);
        g_assert_cmpmem(got, sizeof *got, &want, sizeof want);
    }
    bed_close(&bed);
}

/* A stack whose parent never comes, and one that is its own. */
static void test_definitions_that_miss_theirs(void) {
    Bed bed;
    Writer writer;

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 1);
    for (guint64 id = 100; id < 2000; id++)
        writer_record(&writer, stack, &(TtRecordStack){.id = id, .parent = id + 1, .ip = 7});
    writer_record(&writer, stack, &(TtRecordStack){.id = 7, .parent = 7, .ip = 7});
    writer_record(&writer, stack, &(TtRecordStack){.id = G_MAXUINT64, .parent = G_MAXUINT64 - 1});
    writer_alloc(&writer, 64, 1, TT_STACK_NONE, writer_stamp());
    bed_finish(&bed);
    g_assert_cmpuint(bed.session->event_count, ==, 1);
    tt_merger_release_lanes(bed.merger);
    g_assert_cmpuint(g_hash_table_size(bed.session->stacks), ==, 1902);
    bed_close(&bed);
}

/* Marks, names and scopes stand between the events where they were said, between lanes too. */
static void test_records_stand_in_their_place(void) {
    Bed bed;
    Writer a, b;
    guint64 stamp = writer_stamp();

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &a, 0, 1);
    bed_writer(&bed, &b, 1, 2);
    writer_alloc(&a, 0x100, 1, TT_STACK_NONE, stamp);
    writer_record(&b, scope_enter,
                  &(TtRecordScopeEnter){.stamp = stamp + 1, .name = {"s", 1}, .depth = 1});
    writer_alloc(&b, 0x200, 1, TT_STACK_NONE, stamp + 2);
    writer_record(&a, mark, &(TtRecordMark){.stamp = stamp + 3, .name = {"half", 4}});
    writer_alloc(&a, 0x300, 1, TT_STACK_NONE, stamp + 5);
    writer_record(&b, variable,
                  &(TtRecordVariable){.stamp = stamp + 6, .addr = 0x300, .name = {"v", 1}});
    writer_record(&b, scope_leave, &(TtRecordScopeLeave){.stamp = stamp + 7, .depth = 0});
    writer_record(&b, realloc_failed, &(TtRecordReallocFailed){.stamp = stamp + 8});
    writer_record(&a, realloc_left, &(TtRecordReallocLeft){.stamp = stamp + 9});
    writer_record(&b, pause, &(TtRecordPause){.stamp = stamp + 10});
    bed_read(&bed);
    assert_sound(&bed, 3);
    g_autofree char *all = (g_ptr_array_add(bed.session->words, NULL),
                            g_strjoinv("; ", (char **)bed.session->words->pdata));
    g_autofree char *failed = g_strdup_printf("thread 1 enter s; mark half after 2; variable v "
                                              "after 3; thread 1 leave to 0; thread 1 realloc "
                                              "failed at %" G_GUINT64_FORMAT
                                              "; thread 0 realloc left at %" G_GUINT64_FORMAT
                                              "; pause at %" G_GUINT64_FORMAT,
                                              stamp + 8, stamp + 9, stamp + 10);
    g_assert_cmpstr(all, ==, failed);
    g_ptr_array_remove_index(bed.session->words, bed.session->words->len - 1);
    bed_close(&bed);
}

/* A full lane drops, counts, and goes on where there is room. */
static void test_full_lane_declares_what_it_dropped(void) {
    Bed bed;
    Writer writer;
    guint64 lost = 0, kept = 0;

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 1);
    for (guint round = 0; round < 3; round++) {
        for (guint i = 0; i < 250000; i++) {
            gboolean is_kept =
                writer_alloc(&writer, 64 * (kept + 1), 1, TT_STACK_NONE, writer_stamp());
            kept += is_kept;
            lost += !is_kept;
        }
        bed_read(&bed);
    }
    g_assert_cmpuint(lost, >, 0);
    g_assert_cmpuint(bed.session->lost, <, lost);
    g_assert_cmpuint(bed.session->lost + tt_merger_get_undeclared_drops(bed.merger, 0), ==, lost);
    assert_sound(&bed, kept);
    bed_close(&bed);
}

/* An event that was counted and never published: the next chunk's head tells. */
static void test_loss_without_a_word_is_declared(void) {
    Bed bed;
    Writer writer;

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 1);
    writer_alloc(&writer, 64, 1, TT_STACK_NONE, writer_stamp());
    writer.event_count += 3;
    writer.limit = writer.at;
    writer_alloc(&writer, 128, 1, TT_STACK_NONE, writer_stamp());
    bed_read(&bed);
    assert_sound(&bed, 2);
    g_assert_cmpuint(bed.session->lost, ==, 3);
    g_assert_cmpuint(tt_merger_get_undeclared_drops(bed.merger, 0), ==, 0);
    bed_close(&bed);
}

/* A lane passes to another thread with a new chunk. */
static void test_lane_changes_hands(void) {
    Bed bed;
    Writer writer;

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 2, 1);
    writer_alloc(&writer, 64, 1, TT_STACK_NONE, writer_stamp());
    writer.tid = 2;
    writer.limit = writer.at;
    writer_alloc(&writer, 128, 1, TT_STACK_NONE, writer_stamp());
    writer_record(&writer, thread, &(TtRecordThread){.tid = 2, .name = {"two", 3}});
    bed_read(&bed);
    assert_sound(&bed, 2);
    g_assert_cmpuint(bed.session->tids[event_at(&bed, 0)->thread], ==, 1);
    g_assert_cmpuint(bed.session->tids[event_at(&bed, 1)->thread], ==, 2);
    g_assert_true(bed_heard(&bed, "thread 1 two"));
    bed_close(&bed);
}

/* A small allowance bounds what is copied ahead, and loses nothing. */
static void test_backlog_is_bounded(void) {
    Bed bed;
    Writer writers[4];
    guint64 events = 0;

    bed_open(&bed, 0, 2 * TT_CHUNK_BYTES);
    for (guint i = 0; i < 4; i++)
        bed_writer(&bed, &writers[i], i, i + 1);
    for (guint lane = 0; lane < 4; lane++)
        while (writer_get_position(&writers[lane]) < 15 * TT_CHUNK_BYTES) {
            events++;
            writer_alloc(&writers[lane], 64 * events, events, TT_STACK_NONE, writer_stamp());
        }
    tt_merger_drain(bed.merger);
    /* Two chunks of the first lane are all that is allowed; the others may have one each. */
    g_assert_cmpuint(tt_budget_get_used(&bed.budget), <=, 5 * TT_CHUNK_BYTES);
    bed_read(&bed);
    assert_sound(&bed, events);
    bed_close(&bed);
}

/* G09, G07: what a lane's control and chunks must not say. The other lane goes on. */
typedef enum Damage {
    POSITION_BACK,
    POSITION_FAR,
    POSITION_ALL_ONES,
    POSITION_IN_HEAD,
    WRONG_MAGIC,
    NUMBER_REPEATED,
    NUMBER_SKIPPED,
    GARBAGE_IN_CHUNK,
    CUT_EVENT,
    END_BEFORE_THE_END,
    END_IN_A_BYTE,
    DAMAGES,
} Damage;

static void do_damage(Writer *writer, Damage damage) {
    guint64 position = writer_get_position(writer);
    guint64 told = position;

    switch (damage) {
    case POSITION_BACK:
        told = position - 5;
        break;
    case POSITION_FAR:
        told = position + 17 * TT_CHUNK_BYTES;
        break;
    case POSITION_ALL_ONES:
        told = G_MAXUINT64;
        break;
    case POSITION_IN_HEAD:
        memset(writer->at, 0, 2);
        told = (position / TT_CHUNK_BYTES + 1) * TT_CHUNK_BYTES + 12;
        break;
    case WRONG_MAGIC:
    case NUMBER_REPEATED:
    case NUMBER_SKIPPED: {
        writer->limit = writer->at;
        writer->holds_back = TRUE;
        writer_alloc(writer, 0x77770, 1, TT_STACK_NONE, writer_stamp());
        TtChunkHead *head = (TtChunkHead *)(void *)writer->start;
        if (damage == WRONG_MAGIC)
            head->magic++;
        else
            head->number += damage == NUMBER_SKIPPED ? 1u : -1u;
        told = writer_get_position(writer);
        break;
    }
    case GARBAGE_IN_CHUNK:
        memset(writer->at, 0xff, 64);
        told = position + 64;
        break;
    case CUT_EVENT:
        memset(writer->at, 0x79, 3); /* lengths 6 and 6 follow */
        told = position + 3;
        break;
    case END_BEFORE_THE_END:
    case END_IN_A_BYTE: /* no writer publishes it but with the chunk after it */
        memset(writer->at, 0, 2);
        told = position + (damage == END_IN_A_BYTE ? 1 : 2);
        break;
    case DAMAGES:
        g_assert_not_reached();
    }
    atomic_store(&writer->control->write_position, told);
}

static void test_fault_G09_damaged_lane_harms_no_other(void) {
    for (Damage damage = 0; damage < DAMAGES; damage++) {
        Bed bed;
        Writer bad, good;

        bed_open(&bed, 0, AHEAD);
        bed_writer(&bed, &bad, 0, 1);
        bed_writer(&bed, &good, 1, 2);
        for (guint i = 1; i <= 10; i++)
            writer_alloc(&bad, 64 * i, 1, TT_STACK_NONE, writer_stamp());
        writer_alloc(&good, 0x100000, 1, TT_STACK_NONE, writer_stamp());
        bed_read(&bed);
        do_damage(&bad, damage);
        writer_alloc(&good, 0x200000, 1, TT_STACK_NONE, writer_stamp());
        bed_read(&bed);
        assert_sound(&bed, 12);
        g_assert_true(bed_heard(&bed, "doubt: A lane's data was damaged"));
        bed_finish(&bed);
        assert_sound(&bed, 12);
        bed_close(&bed);
    }
}

/* Of a daemon that goes, and after which the next one reads on: what was copied, and is not merged
 * any more, may not be written over. */
static void test_room_is_kept_of_what_is_not_merged(void) {
    Bed bed;
    Writer writer;
    guint64 end = 0;
    _Atomic guint64 *read;

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 100);
    read = &tt_segment_get_lane(&bed.segment, 0)->read_position;
    for (guint i = 0; writer_get_position(&writer) < 2 * TT_CHUNK_BYTES; i++) {
        guint64 stamp = writer_stamp();

        g_assert_true(writer_alloc(&writer, 0x1000 + 16 * (guint64)i, 16, TT_STACK_NONE, stamp));
        if (i == 100)
            end = stamp;
    }
    tt_merger_keep_room(bed.merger);
    tt_merger_drain(bed.merger);
    while (tt_merger_merge(bed.merger, end, 1 << 20))
        ;
    assert_sound(&bed, 101);
    tt_merger_free_merged(bed.merger);
    g_assert_cmpuint(atomic_load(read), ==, 0);

    bed_read(&bed);
    g_assert_cmpuint(atomic_load(read), ==, 0);
    tt_merger_free_merged(bed.merger);
    g_assert_cmpuint(atomic_load(read), ==, writer_get_position(&writer));
    bed_close(&bed);
}

/* The last daemon held a birth, for two lanes were in use; since then one goes on alone. */
static void test_held_events_come_before_what_follows(void) {
    Bed bed;
    Writer writer;
    guint64 stamp = writer_stamp();
    TtEvent birth = {
        .stamp = stamp, .addr = 64, .size = 1, .stack = TT_STACK_NONE, .op = TT_OP_ALLOC};
    g_autoptr(GArray) told_counts = g_array_new(FALSE, FALSE, sizeof(TtLaneCounts));
    GArray *held = g_array_new(FALSE, FALSE, sizeof(TtEvent));

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 1);
    writer_alloc(&writer, birth.addr, birth.size, birth.stack, birth.stamp);
    writer_free(&writer, birth.addr, stamp + 1);
    g_array_append_val(told_counts, (TtLaneCounts){.events = 1});
    g_array_append_val(held, birth);
    tt_merger_resume(bed.merger, told_counts, held);
    bed_read(&bed);
    assert_sound(&bed, 2);
    bed_close(&bed);
}

/* Goes on behind so many events of the one lane, and records behind the last of them. */
static void bed_resume(Bed *bed, guint64 events, guint64 placed) {
    TtLaneCounts told = {.events = events, .placed = placed};
    g_autoptr(GArray) told_counts = g_array_new(FALSE, FALSE, sizeof told);

    g_array_append_val(told_counts, told);
    tt_merger_resume(bed->merger, told_counts, NULL);
    bed_read(bed);
}

/* One event, four marks of which the third begins a chunk, and one event more. The last daemon may
 * have come to any of them. */
static void test_records_behind_the_last_event_are_told_once(void) {
    const char *names[] = {"a", "b", "c", "d"};

    for (guint told = 0; told <= G_N_ELEMENTS(names); told++) {
        Bed bed;
        Writer writer;

        bed_open(&bed, 0, AHEAD);
        bed_writer(&bed, &writer, 0, 1);
        writer_alloc(&writer, 64, 1, TT_STACK_NONE, writer_stamp());
        for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
            if (i == 2)
                writer.limit = writer.at;
            writer_record(&writer, mark,
                          &(TtRecordMark){.stamp = writer_stamp(), .name = {names[i], 1}});
        }
        writer_alloc(&writer, 128, 1, TT_STACK_NONE, writer_stamp());
        bed_resume(&bed, 1, told);
        assert_sound(&bed, 1);
        g_assert_cmpuint(bed.session->words->len, ==, G_N_ELEMENTS(names) - told);
        for (guint i = told; i < G_N_ELEMENTS(names); i++) {
            g_autofree char *word = g_strdup_printf("mark %s after 0", names[i]);
            g_assert_cmpstr(g_ptr_array_index(bed.session->words, i - told), ==, word);
        }
        bed_close(&bed);
    }
}

/* The same behind a loss that the last daemon found by the head of a chunk. */
static void test_records_behind_a_loss_are_told_once(void) {
    for (guint told = 0; told <= 1; told++) {
        Bed bed;
        Writer writer;

        bed_open(&bed, 0, AHEAD);
        bed_writer(&bed, &writer, 0, 1);
        writer_alloc(&writer, 64, 1, TT_STACK_NONE, writer_stamp());
        writer.event_count += 3;
        writer.limit = writer.at;
        writer_record(&writer, mark, &(TtRecordMark){.stamp = writer_stamp(), .name = {"a", 1}});
        writer_alloc(&writer, 128, 1, TT_STACK_NONE, writer_stamp());
        bed_resume(&bed, 4, told);
        assert_sound(&bed, 1);
        g_assert_cmpuint(bed.session->lost, ==, 0);
        g_assert_cmpuint(bed.session->words->len, ==, 1 - told);
        bed_close(&bed);
    }
}

/* Twenty events, a chunk that begins with a loss which a GAP tells of, a mark and ten events more.
 * The last daemon has come to @told of those twelve. */
static void check_resumed_at_gap(guint lost, guint told) {
    guint told_events = told > 2 ? told - 2 : 0;
    guint64 before = 20;
    Bed bed;
    Writer writer;

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 1);
    for (guint i = 1; i <= before; i++)
        writer_alloc(&writer, 64 * i, 1, TT_STACK_NONE, writer_stamp());
    writer.limit = writer.at;
    writer.event_count += lost;
    writer.gap_count += lost;
    writer_record(&writer, mark, &(TtRecordMark){.stamp = writer_stamp(), .name = {"a", 1}});
    for (guint i = 1; i <= 10; i++)
        writer_alloc(&writer, 64 * (before + i), 1, TT_STACK_NONE, writer_stamp());
    bed_resume(&bed, before + (told > 0 ? lost : 0) + told_events, told == 2);
    assert_sound(&bed, 10 - told_events);
    if (told_events < 10)
        g_assert_cmphex(event_at(&bed, 0)->addr, ==, 64 * (before + told_events + 1));
    g_assert_cmpuint(bed.session->lost, ==, told == 0 ? lost : 0);
    g_assert_cmpuint(bed.session->words->len, ==, 2 - MIN(told, 2));
    bed_close(&bed);
}

static void test_gap_at_the_head_of_a_chunk_is_counted_once(void) {
    static const guint losses[] = {3, 100};

    for (guint i = 0; i < G_N_ELEMENTS(losses); i++)
        for (guint told = 0; told <= 12; told++)
            check_resumed_at_gap(losses[i], told);
}

/* G11: a stamp from before, and one from after the end of the world. */
static void test_fault_G11_impossible_stamps_are_set_right(void) {
    Bed bed;
    Writer writer;
    const guint64 stamps[] = {1, G_MAXUINT64, G_MAXUINT64 / 2, 0};

    bed_open(&bed, 0, AHEAD);
    bed_writer(&bed, &writer, 0, 1);
    writer_alloc(&writer, 64, 1, TT_STACK_NONE, writer_stamp());
    for (guint i = 0; i < G_N_ELEMENTS(stamps); i++)
        writer_record(&writer, wide_event,
                      &(TtRecordWideEvent){.stamp = stamps[i],
                                           .op = TT_OP_ALLOC,
                                           .addr = 1001 + i,
                                           .size = 1,
                                           .stack = TT_STACK_NONE});
    bed_finish(&bed);
    assert_sound(&bed, 1 + G_N_ELEMENTS(stamps));
    g_assert_cmpuint(bed.session->last_stamp, <=, writer_stamp());
    g_assert_true(bed_heard(&bed, "doubt: Times were impossible"));
    bed_close(&bed);
}

/* G03, G09: anything at all in chunks and controls. Judged by the sanitizers, and by coming back.
 */
static void test_fault_G03_noise(void) {
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());

    for (guint round = 0; round < 40; round++) {
        Bed bed;
        Writer writers[4];

        bed_open(&bed, 0, AHEAD);
        for (guint i = 0; i < 4; i++) {
            bed_writer(&bed, &writers[i], i, i);
            for (guint k = 0; k < 20000; k++)
                writer_alloc(&writers[i], 16 * (guint64)g_rand_int(rand), k, TT_STACK_NONE,
                             writer_stamp());
        }
        for (guint k = 0; k < 40; k++) {
            Writer *writer = &writers[g_rand_int_range(rand, 0, 4)];
            gsize at = (gsize)g_rand_int_range(rand, 0, 3 * TT_CHUNK_BYTES);

            writer->chunks[at] = (guint8)g_rand_int(rand);
            if (k % 10 == 0)
                tt_merger_drain(bed.merger);
            if (k % 20 == 0)
                tt_merger_merge(bed.merger, G_MAXUINT64, 1 << 20);
        }
        bed_finish(&bed);
        bed_close(&bed);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/merger/one_lane_comes_out_as_written", test_one_lane_comes_out_as_written);
    g_test_add_func("/merger/blocks_that_pass_between_threads",
                    test_blocks_that_pass_between_threads);
    g_test_add_func("/merger/deaths_come_first_among_equals", test_deaths_come_first_among_equals);
    g_test_add_func("/merger/what_is_too_new_waits", test_what_is_too_new_waits);
    g_test_add_func("/merger/finished_lanes_are_read_to_their_end",
                    test_finished_lanes_are_read_to_their_end);
    g_test_add_func("/merger/definitions_come_in_any_order_of_lanes",
                    test_definitions_come_in_any_order_of_lanes);
    g_test_add_func("/merger/nodes_tell_stacks", test_nodes_tell_stacks);
    g_test_add_func("/merger/definitions_that_miss_theirs", test_definitions_that_miss_theirs);
    g_test_add_func("/merger/records_stand_in_their_place", test_records_stand_in_their_place);
    g_test_add_func("/merger/full_lane_declares_what_it_dropped",
                    test_full_lane_declares_what_it_dropped);
    g_test_add_func("/merger/loss_without_a_word_is_declared",
                    test_loss_without_a_word_is_declared);
    g_test_add_func("/merger/lane_changes_hands", test_lane_changes_hands);
    g_test_add_func("/merger/backlog_is_bounded", test_backlog_is_bounded);
    g_test_add_func("/merger/room_is_kept_of_what_is_not_merged",
                    test_room_is_kept_of_what_is_not_merged);
    g_test_add_func("/merger/held_events_come_before_what_follows",
                    test_held_events_come_before_what_follows);
    g_test_add_func("/merger/records_behind_the_last_event_are_told_once",
                    test_records_behind_the_last_event_are_told_once);
    g_test_add_func("/merger/records_behind_a_loss_are_told_once",
                    test_records_behind_a_loss_are_told_once);
    g_test_add_func("/merger/gap_at_the_head_of_a_chunk_is_counted_once",
                    test_gap_at_the_head_of_a_chunk_is_counted_once);
    g_test_add_func("/merger/fault_G09_damaged_lane_harms_no_other",
                    test_fault_G09_damaged_lane_harms_no_other);
    g_test_add_func("/merger/fault_G11_impossible_stamps_are_set_right",
                    test_fault_G11_impossible_stamps_are_set_right);
    g_test_add_func("/merger/fault_G03_noise", test_fault_G03_noise);
    return g_test_run();
}
