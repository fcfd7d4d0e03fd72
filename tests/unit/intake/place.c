/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void on_export(gpointer data, const guint8 *session_id, TtExportFormat format, int fd,
                      gpointer request) {
    Place *place = data;

    memcpy(place->asked_id, session_id, sizeof place->asked_id);
    place->asked_count++;
    g_assert_cmpint(format, ==, TT_EXPORT_JSON);
    g_assert_cmpint(write(fd, "state", 5), ==, 5);
    close(fd);
    tt_intake_answer_export(request, 0, "");
}

void place_open(Place *place, guint ended_sessions) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    TtIntakeOptions options = {.history_blocks = 1000, .ended_sessions = ended_sessions};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    *place = (Place){.dir = g_dir_make_tmp("tt-intake-XXXXXX", NULL)};
    place->path = g_build_filename(place->dir, "events.sock", NULL);
    strncpy(address.sun_path, place->path, sizeof address.sun_path - 1);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 4096), ==, 0);
    place->intake = tt_intake_new(fd, &options, on_export, place);
}

void place_close(Place *place) {
    tt_intake_free(place->intake);
    unlink(place->path);
    rmdir(place->dir);
    g_free(place->path);
    g_free(place->dir);
}

static gboolean do_nothing(gpointer data) {
    (void)data;
    return G_SOURCE_CONTINUE;
}

void run_until(gboolean (*is_done)(gpointer data), gpointer data) {
    gint64 deadline = g_get_monotonic_time() + BOUND_US;
    guint tick = g_timeout_add(5, do_nothing, NULL);

    while (!is_done(data)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(tick);
}

TtSessionCard *find_card(Place *place, const guint8 *id) {
    g_autoptr(GPtrArray) cards = tt_intake_list(place->intake);
    TtSessionCard *found = NULL;

    for (guint i = 0; i < cards->len; i++) {
        TtSessionCard *card = g_ptr_array_index(cards, i);
        if (memcmp(card->id, id, sizeof card->id) == 0)
            found = card;
    }
    if (found) {
        TtSessionCard *copy = g_memdup2(found, sizeof *found);
        copy->exe = g_strdup(found->exe);
        return copy;
    }
    return NULL;
}

guint64 events_of(Place *place, const guint8 *id) {
    TtSessionCard *card = find_card(place, id);
    g_assert_nonnull(card);
    guint64 events = card->summary.events;
    tt_session_card_free(card);
    return events;
}

/* What is done on another thread, so that this one can be the daemon's. */
typedef struct Job {
    void (*run)(gpointer data);
    gpointer data;
    gint is_done;
} Job;

static gpointer run_job(gpointer data) {
    Job *job = data;

    job->run(job->data);
    g_atomic_int_set(&job->is_done, 1);
    g_main_context_wakeup(NULL);
    return NULL;
}

static gboolean job_is_done(gpointer data) { return g_atomic_int_get(&((Job *)data)->is_done); }

void do_job(void (*run)(gpointer data), gpointer data) {
    Job job = {.run = run, .data = data};
    GThread *thread = g_thread_new("program", run_job, &job);

    run_until(job_is_done, &job);
    g_thread_join(thread);
}

typedef struct Start {
    Place *place;
    Program *program;
    guint64 flags, sample_bytes;
} Start;

static void run_start(gpointer data) {
    Start *start = data;
    program_start_sampled(start->program, start->place->path, start->flags, start->sample_bytes);
}

void start_program(Place *place, Program *program, guint64 flags) {
    Start start = {place, program, flags, 0};
    do_job(run_start, &start);
}

void start_sampled_program(Place *place, Program *program, guint64 sample_bytes) {
    Start start = {place, program, 0, sample_bytes};
    do_job(run_start, &start);
}

void allocate(Program *program, guint lane, guint count) {
    Writer *writer = &program->writers[lane];

    for (guint i = 0; i < count; i++)
        g_assert_true(writer_alloc(writer,
                                   0x10000 + ((guint64)lane << 32) + 64 * writer->event_count, 32,
                                   TT_STACK_NONE, writer_stamp()));
}

pid_t spawn(Place *place, Fate fate, guint8 *ret_id, int *ret_go_fd) {
    int id_pipe[2], go_pipe[2];

    g_assert_cmpint(pipe2(id_pipe, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(go_pipe, O_CLOEXEC), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        Program program;
        char go;

        close(id_pipe[0]);
        close(go_pipe[1]);
        program_start(&program, place->path, 0);
        for (guint lane = 0; lane < 3 && fate != FATE_MUTE; lane++)
            allocate(&program, lane, 100);
        if (fate == FATE_CLOSED_THEN_EXITED)
            close(program.fd);
        if (fate == FATE_KILLED_UNPUBLISHED) {
            allocate(&program, 3, 50);
            program.writers[3].holds_back = TRUE;
            allocate(&program, 3, 20);
        }
        /* Nobody may want the id. */
        if ((write(id_pipe[1], program.id, sizeof program.id) < 0 && errno != EPIPE) ||
            read(go_pipe[0], &go, 1) != 1)
            _exit(99);
        if (fate == FATE_KILLED || fate == FATE_KILLED_UNPUBLISHED || fate == FATE_MUTE)
            raise(SIGKILL);
        if (fate == FATE_EXECED_WITH_ALL_OPEN)
            fcntl(program.fd, F_SETFD, 0);
        if (fate == FATE_EXECED || fate == FATE_EXECED_WITH_ALL_OPEN)
            execl("/bin/sleep", "sleep", "100", NULL);
        if (fate == FATE_CLOSED_THEN_EXITED)
            allocate(&program, 0, 7);
        _exit(3);
    }
    close(id_pipe[1]);
    close(go_pipe[0]);
    *ret_go_fd = go_pipe[1];
    if (ret_id) {
        GPollFD poll = {.fd = id_pipe[0], .events = G_IO_IN};
        while (g_poll(&poll, 1, 2) == 0)
            while (g_main_context_iteration(NULL, FALSE))
                ;
        g_assert_cmpint(read(id_pipe[0], ret_id, TT_SESSION_ID_BYTES), ==, TT_SESSION_ID_BYTES);
    }
    close(id_pipe[0]);
    return pid;
}

void let_go(int go_fd) {
    g_assert_cmpint(write(go_fd, "", 1), ==, 1);
    close(go_fd);
}

void on_ended(gpointer data, gboolean all_ended) { *(Wait *)data = (Wait){TRUE, all_ended}; }

gboolean is_called(gpointer data) { return ((Wait *)data)->is_called; }

void wait_ended(Place *place, pid_t pid) {
    Wait wait = {0};

    tt_intake_when_ended(place->intake, pid, 10000, on_ended, &wait);
    run_until(is_called, &wait);
    g_assert_true(wait.all_ended);
}
