/* SPDX-License-Identifier: Apache-2.0 */
/* Intake from the street to the books: programs that connect, publish and die, and what is known of
 * them afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "intake/lanes.h"
#include "place.h"

static void test_hello_makes_a_session(void) {
    Place place;
    Program program;

    place_open(&place, 0);
    start_program(&place, &program, 0);
    g_assert_nonnull(program.map);
    g_assert_cmpuint(program.lanes.lane_count, >=, 4);
    g_assert_cmpuint(
        program.lanes.size, ==,
        tt_segment_size((guint32)program.lanes.lane_count, (guint32)program.lanes.chunks_per_lane));
    g_assert_cmpuint(atomic_load(&((TtLaneControl *)(void *)program.map)->is_recording), ==, 1);

    TtSessionCard *card = find_card(&place, program.id);
    g_assert_nonnull(card);
    g_assert_cmpint(card->pid, ==, getpid());
    g_assert_cmpint(card->own_pid, ==, getpid());
    g_assert_cmpstr(card->exe, ==, "/bin/program");
    g_assert_cmpint(card->summary.state, ==, TT_SESSION_RUNNING);
    g_assert_true(card->has_connection);
    tt_session_card_free(card);
    program_stop(&program);
    place_close(&place);
}

/* Nobody rang: it is read because somebody asks. */
static void test_list_and_snapshot_are_of_now(void) {
    Place place;
    Program program;
    TtBlockRow rows[100];
    gsize live = 0, got;

    place_open(&place, 0);
    start_program(&place, &program, 0);
    for (guint round = 1; round <= 50; round++) {
        allocate(&program, round % 4, 10);
        g_assert_cmpuint(events_of(&place, program.id), ==, round * 10);
    }
    writer_free(&program.writers[1], 0x10000 + ((guint64)1 << 32), writer_stamp());

    g_autoptr(TtHeldSnapshot) held = tt_intake_take_snapshot(place.intake, program.id, NULL, NULL);
    g_assert_nonnull(held);
    allocate(&program, 0, 500); /* not in it any more */
    g_assert_cmpuint(tt_snapshot_get_totals(held->snapshot)->live_blocks, ==, 499);
    g_assert_cmpuint(tt_snapshot_get_totals(held->snapshot)->cumulative_frees, ==, 1);
    for (guint pass = 0; pass < 2; pass++) {
        live = 0;
        while ((got = tt_snapshot_next_live(held->snapshot, rows, G_N_ELEMENTS(rows))) > 0)
            live += got;
        g_assert_cmpuint(live, ==, 499);
        g_assert_cmpuint(events_of(&place, program.id), ==, 1001);
        tt_snapshot_rewind_live(held->snapshot);
    }
    g_clear_pointer(&held, tt_held_snapshot_free);

    guint8 unknown[TT_SESSION_ID_BYTES] = {0};
    g_autoptr(GError) error = NULL;
    g_assert_null(tt_intake_take_snapshot(place.intake, unknown, NULL, &error));
    g_assert_error(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_GONE);
    program_stop(&program);
    place_close(&place);
}

/* Hand-overs so tight that a stamp was read before the lock that let its thread have the block. */
static void test_fault_B04_stamps_before_their_cause(void) {
    Place place;
    Program program;
    const guint rounds = 1000;

    place_open(&place, 0);
    start_program(&place, &program, 0);
    Writer *a = &program.writers[0], *b = &program.writers[1];
    guint64 stamp = writer_stamp();
    for (guint i = 0; i < rounds; i++, stamp += 100) {
        guint64 x = 0x10000 + 128 * (guint64)(i % 7), y = x + 64;

        writer_alloc(a, x, 64, TT_STACK_NONE, stamp);
        writer_alloc(b, x, 48, TT_STACK_NONE, stamp + 50); /* where a's was until 60 */
        writer_free(a, x, stamp + 60);
        writer_free(a, y, stamp + 75); /* of what is born at 80 */
        writer_alloc(b, y, 32, TT_STACK_NONE, stamp + 80);
        writer_free(b, x, stamp + 90);
    }
    while (writer_stamp() < stamp)
        ;
    g_autoptr(TtHeldSnapshot) held = tt_intake_take_snapshot(place.intake, program.id, NULL, NULL);
    const TtTotals *totals = tt_snapshot_get_totals(held->snapshot);
    const TtCompleteness *completeness = tt_snapshot_get_completeness(held->snapshot);
    g_assert_cmpuint(totals->cumulative_allocations, ==, 3 * rounds);
    g_assert_cmpuint(totals->cumulative_frees, ==, 3 * rounds);
    g_assert_cmpuint(totals->live_blocks, ==, 0);
    g_assert_cmpuint(totals->events, ==, 6 * rounds);
    g_assert_cmpuint(completeness->synthesized_frees, ==, 0);
    g_assert_cmpuint(completeness->unknown_frees + completeness->double_frees, ==, 0);
    g_assert_true(completeness->exact);
    program_stop(&program);
    g_clear_pointer(&held, tt_held_snapshot_free);
    place_close(&place);
}

/* What follows its cause too late, or in its own thread, stays impossible. */
static void test_what_cannot_be_is_counted(void) {
    Place place;
    Program program;

    place_open(&place, 0);
    start_program(&place, &program, 0);
    Writer *a = &program.writers[0], *b = &program.writers[1];
    guint64 stamp = writer_stamp(), ms = 200000;
    writer_free(a, 0x1000, stamp);
    writer_alloc(a, 0x1000, 8, TT_STACK_NONE, stamp + 10);
    writer_free(a, 0x2000, stamp + 20);
    writer_alloc(b, 0x2000, 8, TT_STACK_NONE, stamp + ms);
    while (writer_stamp() < stamp + ms)
        ;
    g_autoptr(TtHeldSnapshot) held = tt_intake_take_snapshot(place.intake, program.id, NULL, NULL);
    const TtCompleteness *completeness = tt_snapshot_get_completeness(held->snapshot);
    g_assert_cmpuint(completeness->unknown_frees + completeness->double_frees, ==, 2);
    g_assert_cmpuint(tt_snapshot_get_totals(held->snapshot)->live_blocks, ==, 2);
    program_stop(&program);
    g_clear_pointer(&held, tt_held_snapshot_free);
    place_close(&place);
}

static void begin_realloc(Writer *writer, guint64 addr) {
    writer_record(writer, wide_event,
                  &(TtRecordWideEvent){.stamp = writer_stamp(),
                                       .op = TT_OP_REALLOC_BEGIN,
                                       .addr = addr,
                                       .stack = TT_STACK_NONE});
}

/* Of blocks that are in any sample; deaths of others mean nothing, two lanes or one. */
static void test_sampled_program_is_estimated(void) {
    Place place;
    Program program;

    place_open(&place, 0);
    start_sampled_program(&place, &program, 4096);
    Writer *a = &program.writers[0], *b = &program.writers[1];
    for (guint64 i = 1; i <= 4; i++)
        writer_alloc(i % 2 ? a : b, i << 24, 1 << 20, TT_STACK_NONE, writer_stamp());
    begin_realloc(a, 1 << 24);
    writer_record(a, realloc_left, &(TtRecordReallocLeft){.stamp = writer_stamp()});
    begin_realloc(b, 2 << 24);
    writer_record(b, realloc_failed, &(TtRecordReallocFailed){.stamp = writer_stamp()});
    begin_realloc(b, 9 << 24); /* not in the sample */
    writer_free(a, 9 << 24, writer_stamp());
    writer_free(a, 9 << 24, writer_stamp());

    g_autoptr(TtHeldSnapshot) held = tt_intake_take_snapshot(place.intake, program.id, NULL, NULL);
    const TtTotals *totals = tt_snapshot_get_totals(held->snapshot);
    const TtCompleteness *completeness = tt_snapshot_get_completeness(held->snapshot);
    g_assert_cmpuint(totals->live_bytes, ==, 3 << 20);
    g_assert_cmpuint(totals->live_blocks, ==, 3);
    g_assert_cmpuint(totals->cumulative_frees, ==, 1);
    g_assert_cmpuint(totals->reallocations, ==, 1);
    g_assert_cmpuint(totals->events, ==, 5);
    g_assert_cmpuint(completeness->unknown_frees + completeness->double_frees, ==, 0);
    g_assert_cmpuint(completeness->doubts->len, ==, 0);
    g_assert_false(completeness->exact);
    g_assert_cmpuint(tt_snapshot_get_sample(held->snapshot)->mean_bytes, ==, 4096);
    TtSessionCard *card = find_card(&place, program.id);
    g_assert_cmpuint(card->summary.sample_bytes, ==, 4096);
    tt_session_card_free(card);
    program_stop(&program);
    g_clear_pointer(&held, tt_held_snapshot_free);
    place_close(&place);
}

/* A program that waits for room in a lane is served without anybody asking: by its bell, and where
 * it may not ring, by the tick. */
typedef struct Stream {
    Program *program;
    gboolean rings;
    guint count;
} Stream;

static void run_stream(gpointer data) {
    Stream *stream = data;
    Writer *writer = &stream->program->writers[0];

    writer->waits = TRUE;
    for (guint i = 0; i < stream->count; i++) {
        guint64 chunk = writer->number;

        /* Sizes differ, so that events take room. */
        writer_alloc(writer, 64 + 64 * (guint64)i, i, TT_STACK_NONE, writer_stamp());
        if (stream->rings && writer->number != chunk)
            program_ring(stream->program);
    }
}

static void stream(gboolean rings, guint count) {
    Place place;
    Program program;

    place_open(&place, 0);
    start_program(&place, &program, TT_HELLO_LOSSLESS);
    do_job(run_stream, &(Stream){&program, rings, count});
    /* A list is content with half a second; under a sanitizer that may not be enough. */
    for (gint64 bound = g_get_monotonic_time() + BOUND_US; events_of(&place, program.id) != count;)
        g_assert_cmpint(g_get_monotonic_time(), <, bound);
    program_stop(&program);
    place_close(&place);
}

static void test_bell_wakes(void) { stream(TRUE, 1000000); }
static void test_fault_A17_tick_serves_who_cannot_ring(void) { stream(FALSE, 300000); }

/* -- Death ------------------------------------------------------------------------------------ */

static void assert_ended(Place *place, const guint8 *id, TtSessionState state, gint status,
                         guint64 events) {
    TtSessionCard *card = find_card(place, id);

    g_assert_nonnull(card);
    g_assert_cmpstr(tt_session_state_name(card->summary.state), ==, tt_session_state_name(state));
    g_assert_cmpint(card->summary.exit_status, ==, status);
    g_assert_cmpuint(card->summary.events, ==, events);
    g_assert_false(card->has_connection);
    tt_session_card_free(card);
    g_autoptr(TtHeldSnapshot) held = tt_intake_take_snapshot(place->intake, id, NULL, NULL);
    g_assert_cmpuint(tt_snapshot_get_totals(held->snapshot)->live_blocks, ==, events);
}

static void test_fault_F01_killed_program_is_read_to_its_end(void) {
    Place place;
    guint8 id[TT_SESSION_ID_BYTES];
    int go_fd;

    place_open(&place, 0);
    /* Seen as a zombie, and after it was reaped. */
    for (guint round = 0; round < 2; round++) {
        pid_t pid = spawn(&place, FATE_KILLED, id, &go_fd);

        let_go(go_fd);
        if (round == 0)
            g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        wait_ended(&place, pid);
        if (round == 1)
            g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        assert_ended(&place, id, TT_SESSION_KILLED, SIGKILL, 300);
    }
    place_close(&place);
}

/* What was written and not published may be half an event. */
static void test_fault_F02_killed_before_it_published(void) {
    Place place;
    guint8 id[TT_SESSION_ID_BYTES];
    int go_fd;

    place_open(&place, 0);
    pid_t pid = spawn(&place, FATE_KILLED_UNPUBLISHED, id, &go_fd);
    g_assert_cmpuint(events_of(&place, id), ==, 350);
    let_go(go_fd);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    wait_ended(&place, pid);
    assert_ended(&place, id, TT_SESSION_KILLED, SIGKILL, 350);
    place_close(&place);
}

static void test_fault_F07_exit_status_is_known(void) {
    Place place;
    guint8 id[TT_SESSION_ID_BYTES];
    int go_fd, status;

    place_open(&place, 0);
    pid_t pid = spawn(&place, FATE_EXITED, id, &go_fd);
    let_go(go_fd);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    tt_intake_set_exit_status(place.intake, pid, status);
    wait_ended(&place, pid);
    assert_ended(&place, id, TT_SESSION_EXITED, 3 << 8, 300);
    /* Better knowledge may come later. */
    tt_intake_set_exit_status(place.intake, pid, SIGSEGV);
    assert_ended(&place, id, TT_SESSION_KILLED, SIGSEGV, 300);
    place_close(&place);
}

static void test_fault_F03_no_ghost_stays(void) {
    Place place;
    guint8 id[TT_SESSION_ID_BYTES];
    int go_fd;

    place_open(&place, 0);
    pid_t pid = spawn(&place, FATE_MUTE, id, &go_fd);
    let_go(go_fd);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    wait_ended(&place, pid);
    assert_ended(&place, id, TT_SESSION_KILLED, SIGKILL, 0);
    place_close(&place);
}

static gboolean is_exec(gpointer data) {
    void **pair = data;
    TtSessionCard *card = find_card(pair[0], pair[1]);
    gboolean is_it = card->summary.state == TT_SESSION_EXEC;

    tt_session_card_free(card);
    return is_it;
}

static void test_fault_C09_exec_ends_a_session(Fate fate) {
    Place place;
    guint8 id[TT_SESSION_ID_BYTES];
    int go_fd;

    place_open(&place, 0);
    pid_t pid = spawn(&place, fate, id, &go_fd);
    let_go(go_fd);
    wait_ended(&place, pid);
    void *pair[] = {&place, id};
    run_until(is_exec, pair);
    assert_ended(&place, id, TT_SESSION_EXEC, -1, 300);
    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    place_close(&place);
}

static void test_exec(void) { test_fault_C09_exec_ends_a_session(FATE_EXECED); }
static void test_exec_with_all_open(void) {
    test_fault_C09_exec_ends_a_session(FATE_EXECED_WITH_ALL_OPEN);
}

static void test_fault_D01_closed_descriptor_loses_nothing(void) {
    Place place;
    guint8 id[TT_SESSION_ID_BYTES];
    int go_fd;

    place_open(&place, 0);
    pid_t pid = spawn(&place, FATE_CLOSED_THEN_EXITED, id, &go_fd);
    for (guint i = 0; i < 5; i++)
        g_assert_cmpuint(events_of(&place, id), ==, 300);
    TtSessionCard *card = find_card(&place, id);
    g_assert_cmpint(card->summary.state, ==, TT_SESSION_RUNNING);
    tt_session_card_free(card);
    let_go(go_fd);
    wait_ended(&place, pid);
    assert_ended(&place, id, TT_SESSION_EXITED, 3 << 8, 307);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    place_close(&place);
}

static void test_waiting_for_an_end_has_a_bound(void) {
    Place place;
    Program program;
    Wait wait = {0};

    place_open(&place, 0);
    start_program(&place, &program, 0);
    tt_intake_when_ended(place.intake, getpid(), 50, on_ended, &wait);
    run_until(is_called, &wait);
    g_assert_false(wait.all_ended);
    wait = (Wait){0};
    tt_intake_when_ended(place.intake, 1, 5000, on_ended, &wait);
    run_until(is_called, &wait);
    g_assert_true(wait.all_ended); /* there is none */
    wait = (Wait){0};
    tt_intake_when_ended(place.intake, getpid(), 60000, on_ended, &wait);
    program_stop(&program);
    place_close(&place);
    g_assert_true(wait.is_called);
}

static void test_ended_sessions_are_kept_up_to_a_number(void) {
    Place place;
    guint8 ids[5][TT_SESSION_ID_BYTES];

    place_open(&place, 2);
    for (guint i = 0; i < 5; i++) {
        int go_fd;
        pid_t pid = spawn(&place, FATE_EXITED, ids[i], &go_fd);

        let_go(go_fd);
        wait_ended(&place, pid);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    }
    while (g_main_context_iteration(NULL, FALSE))
        ;
    for (guint i = 0; i < 5; i++) {
        TtSessionCard *card = find_card(&place, ids[i]);
        g_assert_cmpint(card != NULL, ==, i >= 3);
        tt_session_card_free(card);
    }
    place_close(&place);
}

/* However many run: they use next to nothing. */
static void test_running_sessions_do_not_push_out_ended_ones(void) {
    Place place;
    guint8 ids[12][TT_SESSION_ID_BYTES];
    Program programs[12];

    place_open(&place, 0);
    for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
        int go_fd;
        pid_t pid = spawn(&place, FATE_EXITED, ids[i], &go_fd);

        let_go(go_fd);
        wait_ended(&place, pid);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    }
    for (guint i = 0; i < G_N_ELEMENTS(programs); i++) {
        start_program(&place, &programs[i], 0);
        allocate(&programs[i], 0, 100);
    }
    for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_assert_cmpuint(events_of(&place, ids[i]), ==, 300);
        g_assert_cmpuint(events_of(&place, programs[i].id), ==, 100);
    }
    for (guint i = 0; i < G_N_ELEMENTS(programs); i++)
        program_stop(&programs[i]);
    place_close(&place);
}

/* -- The wire --------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/intake/hello_makes_a_session", test_hello_makes_a_session);
    g_test_add_func("/intake/list_and_snapshot_are_of_now", test_list_and_snapshot_are_of_now);
    g_test_add_func("/intake/fault_B04_stamps_before_their_cause",
                    test_fault_B04_stamps_before_their_cause);
    g_test_add_func("/intake/what_cannot_be_is_counted", test_what_cannot_be_is_counted);
    g_test_add_func("/intake/sampled_program_is_estimated", test_sampled_program_is_estimated);
    g_test_add_func("/intake/bell_wakes", test_bell_wakes);
    g_test_add_func("/intake/fault_A17_tick_serves_who_cannot_ring",
                    test_fault_A17_tick_serves_who_cannot_ring);
    g_test_add_func("/intake/fault_F01_killed_program_is_read_to_its_end",
                    test_fault_F01_killed_program_is_read_to_its_end);
    g_test_add_func("/intake/fault_F02_killed_before_it_published",
                    test_fault_F02_killed_before_it_published);
    g_test_add_func("/intake/fault_F07_exit_status_is_known", test_fault_F07_exit_status_is_known);
    g_test_add_func("/intake/fault_F03_no_ghost_stays", test_fault_F03_no_ghost_stays);
    g_test_add_func("/intake/fault_C09_exec_ends_a_session", test_exec);
    g_test_add_func("/intake/fault_D05_exec_with_all_descriptors_open", test_exec_with_all_open);
    g_test_add_func("/intake/fault_D01_closed_descriptor_loses_nothing",
                    test_fault_D01_closed_descriptor_loses_nothing);
    g_test_add_func("/intake/waiting_for_an_end_has_a_bound", test_waiting_for_an_end_has_a_bound);
    g_test_add_func("/intake/ended_sessions_are_kept_up_to_a_number",
                    test_ended_sessions_are_kept_up_to_a_number);
    g_test_add_func("/intake/running_sessions_do_not_push_out_ended_ones",
                    test_running_sessions_do_not_push_out_ended_ones);
    return g_test_run();
}
