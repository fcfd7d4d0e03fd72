/* SPDX-License-Identifier: Apache-2.0 */
/* Journals: what one daemon has written, the next one reads and writes on. */
#include "intake/journal.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "intake/drain.h"
#include "intake/process.h"
#include "protocol/encode.h"

#define START 1000000u

/* A folder, and a session whose journal is in it. */
typedef struct Folder {
    char *dir;
    TtJournals *journals;
    TtSessionInfo info;
} Folder;

static void folder_open(Folder *folder) {
    GError *error = NULL;

    folder->dir = g_dir_make_tmp("tt-journal-XXXXXX", &error);
    g_assert_no_error(error);
    folder->info = (TtSessionInfo){
        .id = {1},
        .pid = getpid(),
        .timescale = {.mult = 1, .start_stamp = START, .start_realtime_ns = 1},
    };
    folder->journals = tt_journals_new(folder->dir, 0, &error);
    g_assert_no_error(error);
}

/* The next daemon has come. */
static void folder_reopen(Folder *folder, guint64 limit_bytes) {
    GError *error = NULL;

    tt_journals_free(folder->journals);
    folder->journals = tt_journals_new(folder->dir, limit_bytes, &error);
    g_assert_no_error(error);
}

static void folder_close(Folder *folder) {
    tt_journal_free(tt_journal_open(folder->journals, folder->info.id, TRUE), FALSE);
    tt_journals_free(folder->journals);
    g_assert_cmpint(g_rmdir(folder->dir), ==, 0);
    g_free(folder->dir);
}

static void on_failed(gpointer data) {
    (void)data;
    g_assert_not_reached();
}

static void on_done(gpointer data, guint64 bytes, const GError *error) {
    (void)data;
    (void)bytes;
    g_assert_no_error(error);
}

/* One daemon's time with the session. */
typedef struct Turn {
    TtJournal *journal;
    TtSession *session;
    TtJournalEnd end;
    TtRecorder *recorder;
    TtTape *tape;
} Turn;

static void turn_begin(Turn *turn, Folder *folder, gboolean is_resumed) {
    static const TtRecorderCalls calls = {.failed = on_failed, .done = on_done};
    g_autoptr(GPtrArray) recorders = g_ptr_array_new();

    *turn = (Turn){.journal = tt_journal_open(folder->journals, folder->info.id, is_resumed),
                   .session = tt_session_new(&folder->info, NULL)};
    if (is_resumed)
        g_assert_true(tt_journal_retell(turn->journal, turn->session, TRUE, &turn->end));
    turn->recorder = tt_journal_record(turn->journal, &calls, NULL);
    g_ptr_array_add(recorders, turn->recorder);
    turn->tape = tt_tape_new(&folder->info, recorders, is_resumed ? &turn->end.stamp : NULL);
    tt_recorder_unref(turn->recorder);
}

static void turn_end(Turn *turn) {
    tt_tape_free(turn->tape);
    tt_recorder_free(turn->recorder);
    tt_journal_free(turn->journal, TRUE);
    g_clear_pointer(&turn->end.held, g_array_unref);
    g_clear_pointer(&turn->end.lane_counts, g_array_unref);
    tt_session_free(turn->session);
}

/* Three daemons. The first ends with two events that wait for what follows them; before anything
 * does the second lets the first of the two go, and ends as well. */
static void test_held_events_stay_held_over_two_daemons(void) {
    const TtEvent events[] = {
        {.stamp = START + 500, .addr = 64, .size = 1, .stack = TT_STACK_NONE, .op = TT_OP_ALLOC},
        {.stamp = START + 900, .addr = 128, .size = 1, .stack = TT_STACK_NONE, .op = TT_OP_ALLOC},
    };
    TtSummary summary;
    Folder folder;
    Turn turn;

    folder_open(&folder);
    turn_begin(&turn, &folder, FALSE);
    tt_tape_add_thread(turn.tape, 0, 1);
    tt_tape_add_items(turn.tape, events, 2, TRUE);
    turn_end(&turn);

    turn_begin(&turn, &folder, TRUE);
    g_assert_cmpuint(turn.end.held->len, ==, 2);
    tt_tape_add_release(turn.tape, events[0].stamp);
    turn_end(&turn);

    turn_begin(&turn, &folder, TRUE);
    g_assert_cmpuint(turn.end.held->len, ==, 1);
    g_assert_cmpmem(turn.end.held->data, sizeof *events, &events[1], sizeof *events);
    tt_session_get_summary(turn.session, &summary);
    g_assert_cmpuint(summary.events, ==, 1);
    turn_end(&turn);
    folder_close(&folder);
}

/* As the first lane tells it. */
static void add_record(Turn *turn, guint number, const guint8 *bytes, gsize len) {
    TtEvent item = {.stamp = START,
                    .addr = (guint64)(guintptr)bytes + TT_RECORD_HEAD_BYTES,
                    .size = len - TT_RECORD_HEAD_BYTES,
                    .op = (guint8)(TT_ITEM_IS_RECORD | number)};

    tt_tape_add_items(turn->tape, &item, 1, FALSE);
}

static void write_minor(Folder *folder, guint8 minor) {
    g_autoptr(GDir) files = g_dir_open(folder->dir, 0, NULL);
    g_autofree char *path = g_build_filename(folder->dir, g_dir_read_name(files), NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    g_assert_cmpint(pwrite(fd, &minor, 1, offsetof(TtRecordingHead, minor)), ==, 1);
    close(fd);
}

/* Behind the first thread's event a mark of its own and a scope that it left, and a mark that the
 * daemon was asked for. An older version would have written that down like the first. */
static void test_marks_that_were_asked_for_are_no_threads(void) {
    static const guint64 counted[] = {[2] = 1, [3] = 2}; /* by the file's minor version */
    const TtEvent event = {.stamp = START, .addr = 64, .stack = TT_STACK_NONE, .op = TT_OP_ALLOC};
    TtRecordScopeLeave leave = {.stamp = START + 2};
    TtRecordMark mark = {.stamp = START + 1, .name = {"a", 1}};
    guint8 marked[64], left[64];
    gsize marked_len = tt_encode_mark(marked, sizeof marked, &mark);
    gsize left_len = tt_encode_scope_leave(left, sizeof left, &leave);
    Folder folder;
    Turn turn;

    folder_open(&folder);
    turn_begin(&turn, &folder, FALSE);
    tt_tape_add_thread(turn.tape, 0, 1);
    tt_tape_add_items(turn.tape, &event, 1, FALSE);
    add_record(&turn, TT_RECORD_MARK, marked, marked_len);
    add_record(&turn, TT_RECORD_SCOPE_LEAVE, left, left_len);
    tt_tape_add_mark(turn.tape, START + 3, mark.name);
    turn_end(&turn);
    for (guint8 minor = 2; minor <= 3; minor++) {
        write_minor(&folder, minor);
        turn_begin(&turn, &folder, TRUE);
        g_assert_cmpuint(turn.end.lane_counts->len, ==, 1);
        const TtLaneCounts *counts = &g_array_index(turn.end.lane_counts, TtLaneCounts, 0);
        g_assert_cmpuint(counts->placed, ==, counted[minor]);
        turn_end(&turn);
    }
    folder_close(&folder);
}

/* Of a process that began then the journal is written, and there is no room for it any more. */
static gboolean is_kept(Folder *folder, char *process_start) {
    Turn turn;

    folder->info.process_start = process_start;
    turn_begin(&turn, folder, FALSE);
    turn_end(&turn);
    folder_reopen(folder, 1);
    turn.journal = tt_journal_open(folder->journals, folder->info.id, TRUE);
    g_autoptr(TtSessionInfo) info = tt_journal_read_info(turn.journal);
    tt_journal_free(turn.journal, TRUE);
    folder_reopen(folder, 0);
    return info != NULL;
}

/* Whose session began in 1970 by the wall clock, which has been set forward since. */
static void test_journal_of_who_runs_stays_whatever_the_clock_says(void) {
    TtProcess process;
    Folder folder;

    folder_open(&folder);
    tt_process_adopt(&process, -1, getpid());
    g_autofree char *start = tt_process_describe_start(&process);
    g_autofree char *other = g_strdup_printf("%s0", start);

    g_assert_true(is_kept(&folder, start));
    g_assert_false(is_kept(&folder, other));
    folder_close(&folder);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/journal/held_events_stay_held_over_two_daemons",
                    test_held_events_stay_held_over_two_daemons);
    g_test_add_func("/journal/marks_that_were_asked_for_are_no_threads",
                    test_marks_that_were_asked_for_are_no_threads);
    g_test_add_func("/journal/journal_of_who_runs_stays_whatever_the_clock_says",
                    test_journal_of_who_runs_stays_whatever_the_clock_says);
    return g_test_run();
}
