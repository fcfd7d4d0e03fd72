/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings: what is told again is what was told, up to any instant; and a file that is cut,
 * changed or made up does no harm. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "intake/columns.h"
#include "intake/retell.h"
#include "intake/tape.h"
#include "place.h"

/* ---- Columns ---- */

static guint64 random_number(GRand *rand) {
    return ((guint64)g_rand_int(rand) << 32 | g_rand_int(rand)) >> g_rand_int_range(rand, 0, 64);
}

/* Blocks that come and go, of a few sizes, now and then an event that nothing is like. */
static void make_events(GRand *rand, TtEvent *events, guint count) {
    guint64 stamp = 1000;

    for (guint i = 0; i < count; i++) {
        gboolean is_odd = g_rand_int_range(rand, 0, 20) == 0;
        guint op = (guint)g_rand_int_range(rand, TT_OP_ALLOC, TT_OP_REALLOC_END + 1);
        gboolean is_birth = op == TT_OP_ALLOC || op == TT_OP_REALLOC_END;

        stamp += is_odd ? random_number(rand) >> 8 : (guint64)g_rand_int_range(rand, 0, 400);
        events[i] = (TtEvent){
            .stamp = stamp,
            .addr = is_odd ? random_number(rand) : 0x1000 + 16 * (guint64)(g_rand_int(rand) % 3000),
            .size = !is_birth ? 0
                    : is_odd  ? random_number(rand)
                              : (guint64)(g_rand_int(rand) % 300),
            .stack = is_birth || is_odd ? g_rand_int(rand) : TT_STACK_NONE,
            .op = (guint8)op,
        };
    }
}

static void test_columns_give_back_what_went_in(void) {
    const guint count = 20000, sections = 3;
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autofree TtEvent *events = g_new(TtEvent, count), *got = g_new(TtEvent, count);
    g_autofree TtGuess *there = g_new0(TtGuess, 1), *back = g_new0(TtGuess, 1);
    TtColumnSet columns;

    g_test_message("seed %u", seed);
    tt_column_set_init(&columns);
    for (guint i = 0; i < sections; i++) {
        TtCursor cursors[TT_COLUMNS];

        make_events(rand, events, count);
        tt_column_set_empty(&columns);
        tt_columns_write_events(&columns, there, events, count);
        for (guint k = 0; k < TT_COLUMNS; k++)
            cursors[k] = tt_cursor_new(columns.bytes[k], columns.len[k]);
        g_assert_cmpint(tt_columns_read_events(cursors, back, got, count), ==, 0);
        for (guint k = 0; k < TT_COLUMNS; k++)
            g_assert_cmpuint(tt_cursor_left(&cursors[k]), ==, 0);
        for (guint k = 0; k < count; k++)
            g_assert_cmpmem(&got[k], sizeof *got, &events[k], sizeof *events);
    }
    tt_column_set_clear(&columns);
}

/* ---- A file ---- */

typedef struct Outcome {
    gboolean is_done;
    char *failure;
} Outcome;

static void on_done(gpointer data, guint64 bytes, const GError *error) {
    Outcome *outcome = data;

    (void)bytes;
    outcome->is_done = TRUE;
    outcome->failure = error ? g_strdup(error->message) : NULL;
}

static gboolean is_done(gpointer data) { return ((Outcome *)data)->is_done; }

static int make_file(const void *bytes, gsize len) {
    int fd = memfd_create("recording", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, bytes, len), ==, (gssize)len);
    return fd;
}

static GBytes *read_file(int fd) {
    struct stat status;

    g_assert_cmpint(fstat(fd, &status), ==, 0);
    guint8 *bytes = g_malloc((gsize)status.st_size);
    g_assert_cmpint(pread(fd, bytes, (gsize)status.st_size, 0), ==, status.st_size);
    return g_bytes_new_take(bytes, (gsize)status.st_size);
}

/* Two threads that hand blocks over so tightly that stamps precede their cause, a mark, names.
 *
 * The clock may be past a round's stamps when it is written. Nothing is published before all is
 * written, or what one thread does would be merged long before what the other did earlier.
 *
 * Returns the first round's stamp. */
static guint64 play(Place *place, Program *program, guint rounds) {
    Writer *a = &program->writers[0], *b = &program->writers[1];
    guint64 first = writer_stamp(), stamp = first;

    a->holds_back = b->holds_back = TRUE;
    writer_record(a, stack,
                  &(TtRecordStack){.id = TT_STACK_FIRST, .parent = TT_STACK_ROOT, .ip = 0x1234});
    writer_record(a, thread, &(TtRecordThread){.tid = a->tid, .name = {"first", 5}});
    for (guint i = 0; i < rounds; i++, stamp += 100) {
        guint64 x = 0x10000 + 128 * (guint64)(i % 7), y = x + 64;

        writer_alloc(a, x, 64, TT_STACK_FIRST, stamp);
        writer_alloc(b, x, 48, TT_STACK_NONE, stamp + 50); /* where a's was until 60 */
        writer_record(b, usable, &(TtRecordUsable){.stamp = stamp + 50, .addr = x, .usable = 50});
        writer_free(a, x, stamp + 60);
        writer_free(a, y, stamp + 75); /* of what is born at 80 */
        writer_alloc(b, y, 32, TT_STACK_NONE, stamp + 80);
        writer_record(b, usable, &(TtRecordUsable){.stamp = stamp + 80, .addr = y, .usable = 40});
        if (i % 3 > 0)
            writer_free(b, x, stamp + 90);
        else
            writer_record(b, variable,
                          &(TtRecordVariable){.stamp = stamp + 90, .addr = x, .name = {"x", 1}});
    }
    while (writer_stamp() < stamp)
        ;
    a->holds_back = b->holds_back = FALSE;
    writer_publish(a);
    writer_publish(b);
    g_assert_true(tt_intake_add_mark(place->intake, program->id, "here", NULL));
    writer_free(a, 0x666000, writer_stamp()); /* of no block */
    return first;
}

/* One of a sampled program that leaves the sample, one that does not. */
static void reallocate(Program *program) {
    Writer *writer = &program->writers[0];

    for (guint64 addr = 1 << 24; addr <= 2 << 24; addr += 1 << 24)
        writer_alloc(writer, addr, 1 << 20, TT_STACK_NONE, writer_stamp());
    for (guint64 addr = 1 << 24; addr <= 2 << 24; addr += 1 << 24) {
        writer_record(writer, wide_event,
                      &(TtRecordWideEvent){.stamp = writer_stamp(),
                                           .op = TT_OP_REALLOC_BEGIN,
                                           .addr = addr,
                                           .stack = TT_STACK_NONE});
        if (addr == 1 << 24)
            writer_record(writer, realloc_left, &(TtRecordReallocLeft){.stamp = writer_stamp()});
        else
            writer_record(writer, realloc_failed,
                          &(TtRecordReallocFailed){.stamp = writer_stamp()});
    }
}

static guint64 size_live(TtSnapshot *snapshot) {
    TtBlockRow rows[64];
    guint64 bytes = 0;
    gsize got;

    while ((got = tt_snapshot_next_live(snapshot, rows, G_N_ELEMENTS(rows))) > 0)
        for (gsize i = 0; i < got; i++)
            bytes += rows[i].size + rows[i].born_ns + rows[i].id + rows[i].spare;
    return bytes;
}

/* Of all blocks of b's; a's have none. */
static guint64 size_spare(TtSnapshot *snapshot) {
    TtBlockRow row;
    guint64 bytes = 0;

    for (gsize i = 0; tt_snapshot_read_freed(snapshot, i, &row, 1) > 0; i++) {
        g_assert_cmpuint(row.spare, ==, row.size == 48 ? 3 : row.size == 32 ? 9 : 0);
        bytes += row.spare;
    }
    return bytes;
}

static void assert_same(TtSnapshot *got, TtSnapshot *want) {
    gsize got_count, want_count;
    const TtMarkRow *marks = tt_snapshot_get_marks(got, &got_count);
    const TtMarkRow *others = tt_snapshot_get_marks(want, &want_count);

    g_assert_cmpmem(tt_snapshot_get_totals(got), sizeof(TtTotals), tt_snapshot_get_totals(want),
                    sizeof(TtTotals));
    g_assert_cmpuint(got_count, ==, want_count);
    for (gsize i = 0; i < got_count; i++)
        g_assert_cmpuint(marks[i].t_ns, ==, others[i].t_ns);
    const TtSiteRow *sites = tt_snapshot_get_sites(got, &got_count);
    const TtSiteRow *other_sites = tt_snapshot_get_sites(want, &want_count);
    g_assert_cmpmem(sites, got_count * sizeof *sites, other_sites, want_count * sizeof *sites);
    g_assert_cmpuint(tt_snapshot_get_completeness(got)->unknown_frees, ==,
                     tt_snapshot_get_completeness(want)->unknown_frees);
    g_assert_cmpuint(tt_snapshot_get_completeness(got)->synthesized_frees, ==,
                     tt_snapshot_get_completeness(want)->synthesized_frees);
    g_assert_cmpuint(tt_snapshot_get_freed_count(got), ==, tt_snapshot_get_freed_count(want));
    g_assert_cmpuint(size_live(got), ==, size_live(want));
    g_assert_cmpuint(size_spare(got), ==, size_spare(want));
}

/* Records a program that is still there when it is stopped. Its live state is left in @ret_live,
 * its first round's stamp in @ret_first. */
static GBytes *record_sampled(Place *place, Program *program, guint rounds, guint64 sample_bytes,
                              TtHeldSnapshot **ret_live, guint64 *ret_first) {
    Outcome outcome = {0};
    int fd = memfd_create("recording", MFD_CLOEXEC);
    TtRecording *recording =
        tt_intake_start_recording(place->intake, dup(fd), 0, on_done, &outcome);

    start_sampled_program(place, program, sample_bytes);
    guint64 first = play(place, program, rounds);
    if (ret_first)
        *ret_first = first;
    if (sample_bytes > 0)
        reallocate(program);
    if (ret_live)
        *ret_live = tt_intake_take_snapshot(place->intake, program->id, NULL, NULL);
    tt_intake_stop_recording(recording);
    run_until(is_done, &outcome);
    g_assert_null(outcome.failure);
    GBytes *file = read_file(fd);
    close(fd);
    return file;
}

static GBytes *record(Place *place, Program *program, guint rounds, TtHeldSnapshot **ret_live) {
    return record_sampled(place, program, rounds, 0, ret_live, NULL);
}

static TtHeldSnapshot *tell(Place *place, const void *bytes, gsize len, const TtInstant *instant,
                            GError **error) {
    g_autoptr(TtReplay) replay = tt_replay_open(place->intake, make_file(bytes, len), NULL, error);

    if (!replay)
        return NULL;
    GPtrArray *cards = tt_replay_get_cards(replay);
    if (cards->len == 0)
        return NULL;
    return tt_replay_take_snapshot(replay, ((TtSessionCard *)g_ptr_array_index(cards, 0))->id,
                                   instant, error);
}

static void test_what_is_told_again_is_the_same(void) {
    Place place;
    Program program;
    g_autoptr(TtHeldSnapshot) live = NULL;

    place_open(&place, 0);
    g_autoptr(GBytes) file = record(&place, &program, 3000, &live);
    gsize len;
    const void *bytes = g_bytes_get_data(file, &len);
    g_autoptr(TtHeldSnapshot) told = tell(&place, bytes, len, NULL, NULL);
    g_assert_nonnull(told);
    assert_same(told->snapshot, live->snapshot);
    g_assert_cmpint(tt_snapshot_get_state(told->snapshot, NULL), ==, TT_SESSION_RUNNING);
    g_assert_cmpuint(tt_snapshot_get_completeness(told->snapshot)->doubts->len, ==, 0);
    g_assert_cmpuint(told->realtime_ns, >, 0);
    program_stop(&program);
    g_clear_pointer(&live, tt_held_snapshot_free);
    g_clear_pointer(&told, tt_held_snapshot_free);
    place_close(&place);
}

/* Weights go by ids, and the errors of sums by weights. */
static void test_sampled_is_told_again_as_estimated(void) {
    Place place;
    Program program;
    g_autoptr(TtHeldSnapshot) live = NULL;

    place_open(&place, 0);
    g_autoptr(GBytes) file = record_sampled(&place, &program, 3000, 4096, &live, NULL);
    gsize len;
    const void *bytes = g_bytes_get_data(file, &len);
    g_autoptr(TtHeldSnapshot) told = tell(&place, bytes, len, NULL, NULL);
    g_assert_nonnull(told);
    assert_same(told->snapshot, live->snapshot);
    const TtSample *sample = tt_snapshot_get_sample(told->snapshot);
    const TtSample *want = tt_snapshot_get_sample(live->snapshot);
    g_assert_cmpuint(tt_snapshot_get_totals(told->snapshot)->reallocations, ==, 1);
    g_assert_cmpuint(sample->mean_bytes, ==, 4096);
    g_assert_cmpuint(sample->errors.live.bytes, >, 0);
    g_assert_cmpmem(&sample->errors, sizeof sample->errors, &want->errors, sizeof want->errors);
    program_stop(&program);
    g_clear_pointer(&live, tt_held_snapshot_free);
    g_clear_pointer(&told, tt_held_snapshot_free);
    place_close(&place);
}

static guint64 count_live(TtSnapshot *snapshot) {
    TtBlockRow row;
    guint64 count = 0;

    while (tt_snapshot_next_live(snapshot, &row, 1) > 0)
        count++;
    return count;
}

/* Each instant has what happened up to it, which the rounds' own stamps tell, though the history
 * has lost most of what died since. */
static void test_any_instant_can_be_asked_for(void) {
    Place place;
    Program program;
    const guint rounds = 3000;
    gsize len, mark_count;
    guint64 first;

    place_open(&place, 0);
    g_autoptr(GBytes) file = record_sampled(&place, &program, rounds, 0, NULL, &first);
    const void *bytes = g_bytes_get_data(file, &len);
    g_autoptr(TtHeldSnapshot) all = tell(&place, bytes, len, NULL, NULL);
    const TtTimescale *scale = &tt_snapshot_get_info(all->snapshot)->timescale;

    for (guint i = 0; i < rounds; i += 1201) {
        /* Between two rounds, of which each has three births. */
        TtInstant time = {.kind = TT_INSTANT_TIME,
                          .time_ns = tt_timescale_ns(scale, first + 100 * (i + 1) - 5)};
        g_autoptr(TtHeldSnapshot) then = tell(&place, bytes, len, &time, NULL);
        const TtTotals *totals = tt_snapshot_get_totals(then->snapshot);

        g_assert_cmpuint(totals->cumulative_allocations, ==, 3 * (i + 1));
        g_assert_cmpuint(count_live(then->snapshot), ==, totals->live_blocks);
        g_assert_true(tt_snapshot_is_whole(then->snapshot));
        tt_snapshot_get_marks(then->snapshot, &mark_count);
        g_assert_cmpuint(mark_count, ==, 0);
    }
    tt_snapshot_get_marks(all->snapshot, &mark_count);
    g_assert_cmpuint(mark_count, ==, 1);
    program_stop(&program);
    g_clear_pointer(&all, tt_held_snapshot_free);
    place_close(&place);
}

static void tape_block(TtTape *tape, guint64 stamp, guint64 addr, guint64 size) {
    const TtEvent events[] = {
        {.stamp = stamp, .addr = addr, .size = size, .op = TT_OP_ALLOC},
        {.stamp = stamp + 1, .addr = addr, .op = TT_OP_FREE},
    };

    tt_tape_add_items(tape, events, G_N_ELEMENTS(events), FALSE);
}

/* The peak is one event's, though its block is gone within the nanosecond. */
static void test_peak_is_at_its_stamp(void) {
    static const TtInstant peak = {.kind = TT_INSTANT_PEAK};
    const TtEvent kept = {.stamp = 1001, .addr = 0x1000, .size = 100, .op = TT_OP_ALLOC};
    TtSessionInfo info = {.exe = (char *)"quick",
                          .timescale = {.start_stamp = 1000, .mult = 1, .shift = 2}};
    g_autoptr(GPtrArray) recorders = g_ptr_array_new();
    Outcome outcome = {0};
    Place place;
    gsize len;

    place_open(&place, 0);
    int fd = memfd_create("recording", MFD_CLOEXEC);
    TtRecorder *recorder = tt_recorder_new(dup(fd), &(TtRecorderCalls){.done = on_done}, &outcome);
    g_ptr_array_add(recorders, recorder);
    TtTape *tape = tt_tape_new(&info, recorders, FALSE);
    tt_tape_add_thread(tape, 0, 100);
    tt_tape_add_items(tape, &kept, 1, FALSE);
    tape_block(tape, 2000, 0x900000, 1 << 20);
    for (guint i = 0; i < 2000; i++) /* more than the history holds */
        tape_block(tape, 3000 + 10 * i, 0x800000, 8);
    tt_tape_add_end(tape, TT_SESSION_EXITED, 0);
    tt_tape_free(tape);
    tt_recorder_unref(recorder);
    run_until(is_done, &outcome);
    tt_recorder_free(recorder);
    g_assert_null(outcome.failure);

    g_autoptr(GBytes) file = read_file(fd);
    const void *bytes = g_bytes_get_data(file, &len);
    g_autoptr(TtHeldSnapshot) then = tell(&place, bytes, len, &peak, NULL);
    g_assert_cmpuint(tt_snapshot_get_totals(then->snapshot)->live_bytes, ==, 100 + (1 << 20));
    g_assert_cmpuint(count_live(then->snapshot), ==, 2);
    g_assert_true(tt_snapshot_get_completeness(then->snapshot)->exact);
    g_clear_pointer(&then, tt_held_snapshot_free);
    close(fd);
    place_close(&place);
}

/* Refused, or told up to where it is whole, and said so. Returns the events, or -1. */
static gint64 try(Place *place, const void *bytes, gsize len, gboolean *ret_is_doubted) {
    g_autoptr(GError) error = NULL;
    g_autoptr(TtHeldSnapshot) told = tell(place, bytes, len, NULL, &error);

    *ret_is_doubted = FALSE;
    if (!told)
        return -1;
    const TtCompleteness *completeness = tt_snapshot_get_completeness(told->snapshot);
    for (guint i = 0; i < completeness->doubts->len; i++)
        *ret_is_doubted |= strstr(g_ptr_array_index(completeness->doubts, i), "breaks off") != NULL;
    g_assert_true(!*ret_is_doubted ||
                  tt_snapshot_get_state(told->snapshot, NULL) == TT_SESSION_LOST);
    g_assert_true(!*ret_is_doubted || !completeness->exact);
    return (gint64)tt_snapshot_get_totals(told->snapshot)->events;
}

static void test_fault_G17_cut_and_changed(void) {
    Place place;
    Program program;
    gsize len;
    gboolean is_doubted;

    place_open(&place, 0);
    g_autoptr(GBytes) file = record(&place, &program, 20, NULL);
    g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(file, &len), g_bytes_get_size(file));
    gint64 all = try(&place, bytes, len, &is_doubted);
    g_assert_false(is_doubted);
    gint64 last = -1;
    for (gsize cut = 0; cut < len; cut++) {
        gint64 events = try(&place, bytes, cut, &is_doubted);

        g_assert_true(events < 0 || is_doubted);
        g_assert_cmpint(events, >=, last);
        last = events;
    }
    for (gsize i = 0; i < len; i++) {
        static const guint8 flips[] = {0x01, 0x80, 0xff};

        for (guint k = 0; k < G_N_ELEMENTS(flips); k++) {
            bytes[i] ^= flips[k];
            gint64 events = try(&place, bytes, len, &is_doubted);
            /* But for the minor version, no byte is without meaning. */
            g_assert_true(events < 0 || is_doubted || i == offsetof(TtRecordingHead, minor) ||
                          events == all);
            bytes[i] ^= flips[k];
        }
    }
    program_stop(&program);
    place_close(&place);
}

/* One frame of a file: what it holds, to be changed and packed again with a checksum that is right.
 */
typedef struct Frame {
    guint8 *content;
    gsize len;
} Frame;

static void clear_frame(gpointer data) { g_free(((Frame *)data)->content); }

static GArray *unpack_frames(const guint8 *bytes, gsize len) {
    GArray *frames = g_array_new(FALSE, FALSE, sizeof(Frame));

    g_array_set_clear_func(frames, clear_frame);
    for (gsize at = sizeof(TtRecordingHead); at < len;) {
        gsize packed = ZSTD_findFrameCompressedSize(bytes + at, len - at);
        Frame frame = {.len = (gsize)ZSTD_getFrameContentSize(bytes + at, packed)};

        frame.content = g_malloc(frame.len);
        g_assert_cmpuint(ZSTD_decompress(frame.content, frame.len, bytes + at, packed), ==,
                         frame.len);
        g_array_append_val(frames, frame);
        at += packed;
    }
    return frames;
}

static GByteArray *pack_frames(GArray *frames) {
    GByteArray *file = g_byte_array_new();
    const TtRecordingHead head = {.magic = TT_RECORDING_SKIPPABLE,
                                  .len = 8,
                                  .name = TT_RECORDING_NAME,
                                  .major = TT_RECORDING_MAJOR};

    g_byte_array_append(file, (const guint8 *)&head, sizeof head);
    for (guint i = 0; i < frames->len; i++) {
        const Frame *frame = &g_array_index(frames, Frame, i);
        gsize room = ZSTD_compressBound(frame->len);
        g_autofree guint8 *packed = g_malloc(room);
        gsize len = ZSTD_compress(packed, room, frame->content, frame->len, 1);

        g_byte_array_append(file, packed, (guint)len);
    }
    return file;
}

/* What a section says of itself is no better than who wrote it: any byte of it may be any. */
/* Of the changes, one in as many: a sanitizer makes each 30 times as dear. */
#ifdef __SANITIZE_ADDRESS__
#define CHANGES_APART 7
#else
#define CHANGES_APART 1
#endif

static void test_fault_G17_content_changed(void) {
    static const guint8 values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    Place place;
    Program program;
    gsize len;
    gboolean is_doubted;

    place_open(&place, 0);
    g_autoptr(GBytes) file = record(&place, &program, 6, NULL);
    const guint8 *bytes = g_bytes_get_data(file, &len);
    g_autoptr(GArray) frames = unpack_frames(bytes, len);
    for (guint i = 0; i < frames->len; i++) {
        Frame *frame = &g_array_index(frames, Frame, i);

        for (gsize k = 0; k < frame->len * G_N_ELEMENTS(values); k += CHANGES_APART) {
            guint8 kept = frame->content[k / G_N_ELEMENTS(values)];

            frame->content[k / G_N_ELEMENTS(values)] = values[k % G_N_ELEMENTS(values)];
            g_autoptr(GByteArray) changed = pack_frames(frames);
            try(&place, changed->data, changed->len, &is_doubted);
            frame->content[k / G_N_ELEMENTS(values)] = kept;
        }
    }
    program_stop(&program);
    place_close(&place);
}

static void test_fault_G17_made_up(void) {
    const TtRecordingHead head = {.magic = TT_RECORDING_SKIPPABLE,
                                  .len = 8,
                                  .name = TT_RECORDING_NAME,
                                  .major = TT_RECORDING_MAJOR};
    gsize bomb_len = (gsize)64 << 20, room = ZSTD_compressBound(bomb_len);
    g_autofree guint8 *zeros = g_malloc0(bomb_len), *packed = g_malloc(sizeof head + room);
    gboolean is_doubted;
    Place place;

    place_open(&place, 0);
    /* More in one frame than a section may be. */
    memcpy(packed, &head, sizeof head);
    gsize len = ZSTD_compress(packed + sizeof head, room, zeros, bomb_len, 3);
    g_assert_cmpint(try(&place, packed, sizeof head + len, &is_doubted), ==, -1);
    /* As much as it may be, and none. */
    len = ZSTD_compress(packed + sizeof head, room, zeros, TT_SECTION_BYTES_MAX, 3);
    g_assert_cmpint(try(&place, packed, sizeof head + len, &is_doubted), ==, -1);
    /* Another major version is named. */
    ((TtRecordingHead *)(void *)packed)->major = 9;
    g_autoptr(GError) error = NULL;
    g_assert_null(tell(&place, packed, sizeof head + len, NULL, &error));
    g_assert_nonnull(strstr(error->message, "9.0"));
    place_close(&place);
}

/* The model has a row for as many as it can number; the last is that of all others. */
static void test_fault_G17_more_threads_than_there_are_numbers(void) {
    static const guint64 told[] = {65534, 65535, 65536};

    for (guint i = 0; i < G_N_ELEMENTS(told); i++) {
        TtSessionInfo info = {.exe = (char *)"child", .timescale = {.mult = 1}};
        g_autoptr(TtSession) session = tt_session_new(&info, NULL);
        g_autoptr(TtRetelling) retelling = tt_retelling_new(session, G_MAXUINT64);
        const guint count = 70000;
        g_autofree guint8 *steps = g_malloc((count + 2) * 32);
        gsize len = tt_encode_inheritance(steps, 32, &(TtRecordInheritance){.origin_stamp = 0});

        for (guint k = 0; k < count; k++)
            len += tt_encode_inherited_thread(steps + len, 32,
                                              &(TtRecordInheritedThread){.tid = 1 + k});
        len += tt_encode_loss(steps + len, 32, &(TtRecordLoss){.thread = told[i], .count = 1});
        TtSection section = {.steps = tt_cursor_new(steps, len)};
        g_assert_cmpint(tt_retelling_take(retelling, &section), ==, told[i] == 65534);
        g_assert_cmpint(tt_retelling_finish(retelling), ==, told[i] == 65534);
    }
}

static void test_fault_G17_what_is_no_file(void) {
    static const char *const paths[] = {"/dev/zero", "/dev/null", "/", "/proc/self/stat"};
    Place place;
    int ends[2];

    place_open(&place, 0);
    g_assert_cmpint(pipe(ends), ==, 0);
    g_assert_null(tt_replay_open(place.intake, ends[0], NULL, NULL));
    close(ends[1]);
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(tt_replay_open(place.intake, open(paths[i], O_RDONLY), NULL, &error));
        g_assert_error(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_NOT_A_RECORDING);
    }
    place_close(&place);
}

/* The disk is full: the recording ends, and says why; the session goes on. */
static void test_fault_H11_recording_on_a_full_disk(void) {
    Place place;
    Program program;
    Outcome outcome = {0};

    place_open(&place, 0);
    tt_intake_start_recording(place.intake, open("/dev/full", O_WRONLY), 0, on_done, &outcome);
    start_program(&place, &program, 0);
    allocate(&program, 0, 100);
    run_until(is_done, &outcome);
    g_assert_nonnull(outcome.failure);
    g_free(outcome.failure);
    allocate(&program, 1, 100);
    g_assert_cmpuint(events_of(&place, program.id), ==, 200);
    program_stop(&program);
    place_close(&place);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/recording/columns_give_back_what_went_in",
                    test_columns_give_back_what_went_in);
    g_test_add_func("/recording/what_is_told_again_is_the_same",
                    test_what_is_told_again_is_the_same);
    g_test_add_func("/recording/sampled_is_told_again_as_estimated",
                    test_sampled_is_told_again_as_estimated);
    g_test_add_func("/recording/peak_is_at_its_stamp", test_peak_is_at_its_stamp);
    g_test_add_func("/recording/any_instant_can_be_asked_for", test_any_instant_can_be_asked_for);
    g_test_add_func("/recording/fault_G17_cut_and_changed", test_fault_G17_cut_and_changed);
    g_test_add_func("/recording/fault_G17_content_changed", test_fault_G17_content_changed);
    g_test_add_func("/recording/fault_G17_made_up", test_fault_G17_made_up);
    g_test_add_func("/recording/fault_G17_more_threads_than_there_are_numbers",
                    test_fault_G17_more_threads_than_there_are_numbers);
    g_test_add_func("/recording/fault_G17_what_is_no_file", test_fault_G17_what_is_no_file);
    g_test_add_func("/recording/fault_H11_recording_on_a_full_disk",
                    test_fault_H11_recording_on_a_full_disk);
    return g_test_run();
}
