/* SPDX-License-Identifier: Apache-2.0 */
/* Who else comes to the events socket: garbage, crowds, those who ask for too much or for what is
 * not theirs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "intake/lanes.h"
#include "intake/private.h"
#include "intake/process.h"
#include "place.h"

static guint count_descriptors(void) {
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint count = 0;

    while (g_dir_read_name(dir))
        count++;
    return count;
}

/* A first message, and what the daemon does about it. */
typedef struct Bad {
    Place *place;
    const guint8 *bytes;
    gsize len;
    const int *fds;
    guint fd_count;
    char *refusal; /* or NULL: it was closed without a word */
} Bad;

static void run_bad(gpointer data) {
    Bad *bad = data;
    guint8 answer[8192];
    int fd = program_connect(bad->place->path);

    program_send(fd, bad->bytes, bad->len, bad->fds, bad->fd_count);
    gssize len = program_receive(fd, answer, sizeof answer, NULL);
    bad->refusal = program_find_refusal(answer, (gsize)len);
    if (len > 0)
        g_assert_cmpint(program_receive(fd, answer, sizeof answer, NULL), ==, 0);
    close(fd);
}

static char *send_bad(Place *place, const void *bytes, gsize len, const int *fds, guint fd_count) {
    Bad bad = {place, bytes, len, fds, fd_count, NULL};

    do_job(run_bad, &bad);
    return bad.refusal;
}

static void assert_refused(char *refusal, const char *part) {
    g_assert_nonnull(refusal);
    if (!strstr(refusal, part))
        g_error("'%s' does not say '%s'", refusal, part);
    g_free(refusal);
}

static void test_fault_G01_first_messages_that_are_none(void) {
    Place place;
    guint8 hello[8192], bad[8192], id[TT_SESSION_ID_BYTES] = {1};
    gsize len = program_write_hello(hello, id, 0);
    guint descriptors;

    place_open(&place, 0);
    descriptors = count_descriptors();
    g_assert_null(send_bad(&place, "", 0, NULL, 0));
    assert_refused(send_bad(&place, "x", 1, NULL, 0), "no message");
    memset(bad, 0xff, sizeof bad);
    assert_refused(send_bad(&place, bad, sizeof bad, NULL, 0), "no message");
    /* G05: versions */
    memcpy(bad, hello, len);
    bad[4] = TT_WIRE_MAJOR + 1;
    bad[5] = 7;
    assert_refused(send_bad(&place, bad, len, NULL, 0), "2.7");
    memcpy(bad, hello, len);
    /* A record before the hello. */
    gsize at = sizeof(TtMessageHead);
    at += tt_encode_doorbell(bad + at, 64, &(TtRecordDoorbell){.lane = 0});
    assert_refused(send_bad(&place, bad, at, NULL, 0), "neither");
    /* G08: descriptors nobody asked for */
    int fds[253];
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        fds[i] = 1;
    assert_refused(send_bad(&place, hello, len, fds, 1), "descriptor");
    assert_refused(send_bad(&place, hello, len, fds, 253), "nobody asked");
    g_assert_cmpuint(count_descriptors(), ==, descriptors);
    g_assert_null(find_card(&place, id));
    place_close(&place);
}

/* G02: cut at every byte. A cut in the arguments is accepted, for they are many small records. */
static void test_fault_G02_hello_cut_at_every_byte(void) {
    Place place;
    guint8 hello[8192], id[TT_SESSION_ID_BYTES] = {2};
    gsize len = program_write_hello(hello, id, 0);
    guint16 fields;

    memcpy(&fields, hello + sizeof(TtMessageHead) + 2, 2);
    gsize whole = sizeof(TtMessageHead) + TT_RECORD_HEAD_BYTES + fields;
    g_assert_cmpuint(whole, <, len);
    place_open(&place, 0);
    for (gsize cut = 1; cut < whole; cut++) {
        char *refusal = send_bad(&place, hello, cut, NULL, 0);
        g_assert_nonnull(refusal);
        g_free(refusal);
    }
    place_close(&place);
}

static void test_fault_G05_newer_minor_is_served(void) {
    Place place;
    guint8 hello[8192], answer[8192], id[TT_SESSION_ID_BYTES] = {3};
    gsize len = program_write_hello(hello, id, 0);

    place_open(&place, 0);
    hello[5] = 99;
    const guint8 unknown[] = {TT_KIND_RECORD | (200u << 3 & 0xff), 200u >> 5, 2, 0, 1, 2};
    memcpy(hello + len, unknown, sizeof unknown);
    int fd = program_connect(place.path);
    program_send(fd, hello, len + sizeof unknown, NULL, 0);
    TtSessionCard *card = find_card(&place, id);
    g_assert_nonnull(card);
    tt_session_card_free(card);
    g_assert_cmpint(program_receive(fd, answer, sizeof answer, NULL), >, 0);
    close(fd);
    place_close(&place);
}

static void test_fault_G06_id_is_taken_once(void) {
    Place place;
    Program program;
    guint8 hello[8192];

    place_open(&place, 0);
    start_program(&place, &program, 0);
    allocate(&program, 0, 5);
    gsize len = program_write_hello(hello, program.id, 0);
    assert_refused(send_bad(&place, hello, len, NULL, 0), "known already");
    g_assert_cmpuint(events_of(&place, program.id), ==, 5);
    allocate(&program, 0, 5);
    g_assert_cmpuint(events_of(&place, program.id), ==, 10);
    program_stop(&program);
    place_close(&place);
}

static void test_fault_G04_hellos_that_cannot_be(void) {
    const TtRecordHello hellos[] = {
        {.session = {"short", 5}, .clock = TT_CLOCK_TSC},
        {.session = {"0123456789abcdef", 16}, .clock = 3},
        {.session = {"0123456789abcdef", 16}, .clock = TT_CLOCK_TSC, .clock_shift = 64},
        {.session = {"0123456789abcdef", 16}, .clock = TT_CLOCK_TSC, .start_stamp = G_MAXUINT64},
        {.session = {"0123456789abcdef", 16}, .clock = TT_CLOCK_TSC, .parent_session = {"x", 1}},
    };
    Place place;

    place_open(&place, 0);
    for (guint i = 0; i < G_N_ELEMENTS(hellos); i++) {
        guint8 message[8192], id[TT_SESSION_ID_BYTES] = {4};
        gsize len = sizeof(TtMessageHead);

        program_write_hello(message, id, 0);
        len += tt_encode_hello(message + len, 4096, &hellos[i]);
        char *refusal = send_bad(&place, message, len, NULL, 0);
        g_assert_nonnull(refusal);
        g_free(refusal);
    }
    place_close(&place);
}

static gboolean is_lost(gpointer data) {
    void **pair = data;
    TtSessionCard *card = find_card(pair[0], pair[1]);
    gboolean is_it = card->summary.state == TT_SESSION_LOST;

    tt_session_card_free(card);
    return is_it;
}

/* What a session's own connection must not bring. What was published stays. */
static void test_fault_G01_garbage_after_the_hello(void) {
    Place place;
    int stray = 1;

    place_open(&place, 0);
    for (guint kind = 0; kind < 4; kind++) {
        Program program, bystander;
        guint8 message[8192];
        guint8 answer[64];

        start_program(&place, &program, 0);
        start_program(&place, &bystander, 0);
        allocate(&program, 0, 5);
        memset(message, kind, sizeof message);
        if (kind == 0)
            program_send(program.fd, message, 100, NULL, 0);
        else if (kind == 1)
            program_send(program.fd, message, sizeof message, NULL, 0);
        else if (kind == 2) /* two hellos */
            program_send(program.fd, message, program_write_hello(message, program.id, 0), NULL, 0);
        else
            program_send(program.fd, message, 8, &stray, 1);
        void *pair[] = {&place, program.id};
        run_until(is_lost, pair);
        g_assert_cmpuint(events_of(&place, program.id), ==, 5);
        g_assert_cmpint(program_receive(program.fd, answer, sizeof answer, NULL), ==, 0);
        allocate(&bystander, 0, 3);
        g_assert_cmpuint(events_of(&place, bystander.id), ==, 3);
        program_stop(&program);
        program_stop(&bystander);
    }
    place_close(&place);
}

typedef struct MoreLanes {
    Program *program;
    guint64 lanes;
    gboolean is_refused;
} MoreLanes;

/* Asks for lanes until there are no more. */
static void run_more_lanes(gpointer data) {
    MoreLanes *more = data;

    while (!more->is_refused) {
        guint8 message[8192];
        TtMessageHead head = {.magic = TT_MESSAGE_MAGIC, .major = TT_WIRE_MAJOR};
        TtRecordLanes lanes;
        TtRawRecord raw;
        gsize len = sizeof head;
        int fd;

        memcpy(message, &head, sizeof head);
        len += tt_encode_more_lanes(message + len, 64,
                                    &(TtRecordMoreLanes){.lane_count = more->lanes});
        program_send(more->program->fd, message, len, NULL, 0);
        len = (gsize)program_receive(more->program->fd, message, sizeof message, &fd);
        g_assert_cmpuint(len, >, sizeof head);
        TtCursor records = tt_cursor_new(message + sizeof head, len - sizeof head);
        g_assert_cmpint(tt_decode_framed(&records, &raw), ==, TT_ITEM_RECORD);
        more->is_refused = raw.number == TT_RECORD_REFUSED;
        if (more->is_refused)
            continue;
        g_assert_cmpint(tt_decode_lanes(&raw, &lanes), ==, 0);
        g_assert_cmpint(fd, >=, 0);
        close(fd);
        more->lanes += lanes.lane_count;
    }
}

static void test_lanes_are_added_up_to_a_bound(void) {
    Place place;
    Program program;

    place_open(&place, 0);
    start_program(&place, &program, 0);
    MoreLanes more = {.program = &program, .lanes = program.lanes.lane_count};
    do_job(run_more_lanes, &more);
    g_assert_cmpuint(more.lanes, >=, 512);
    g_assert_cmpuint(more.lanes, <=, TT_SESSION_LANES_MAX + 64);
    allocate(&program, 0, 5);
    g_assert_cmpuint(events_of(&place, program.id), ==, 5);
    program_stop(&program);
    place_close(&place);
}

/* -- The street ------------------------------------------------------------------------------- */

#define SILENT 1500

typedef struct Crowd {
    Place *place;
    int fds[SILENT];
    guint closed;
} Crowd;

static void run_crowd(gpointer data) {
    Crowd *crowd = data;

    for (guint i = 0; i < SILENT; i++)
        crowd->fds[i] = program_connect(crowd->place->path);
}

/* Waits until all silent ones were shown out. */
static void run_watch_crowd(gpointer data) {
    Crowd *crowd = data;
    guint8 answer[64];

    for (guint i = 0; i < SILENT; i++) {
        crowd->closed += program_receive(crowd->fds[i], answer, sizeof answer, NULL) == 0;
        close(crowd->fds[i]);
    }
}

static void test_fault_G15_silent_ones_do_not_keep_others_out(void) {
    Place place;
    Program program;
    Crowd crowd = {.place = &place};
    gint64 start;

    place_open(&place, 0);
    do_job(run_crowd, &crowd);
    start = g_get_monotonic_time();
    start_program(&place, &program, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, <, G_USEC_PER_SEC);
    g_assert_nonnull(program.map);
    do_job(run_watch_crowd, &crowd);
    g_assert_cmpuint(crowd.closed, ==, SILENT);
    allocate(&program, 0, 5);
    g_assert_cmpuint(events_of(&place, program.id), ==, 5);
    program_stop(&program);
    place_close(&place);
}

static double cpu_seconds(void) {
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static gboolean set_flag(gpointer data) {
    *(gboolean *)data = TRUE;
    return G_SOURCE_REMOVE;
}

static gboolean is_set(gpointer data) { return *(gboolean *)data; }

static void test_fault_G16_no_descriptors_left(void) {
    Place place;
    g_autoptr(GArray) hoard = g_array_new(FALSE, FALSE, sizeof(int));
    gboolean is_over = FALSE;
    struct rlimit limit, low;
    int go_fd, fd;

    place_open(&place, 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    low.rlim_cur = 200;
    setrlimit(RLIMIT_NOFILE, &low);
    /* The child connects while nobody accepts; then there is nothing left to accept it with. */
    pid_t pid = spawn(&place, FATE_EXITED, NULL, &go_fd);
    while ((fd = dup(1)) >= 0)
        g_array_append_val(hoard, fd);
    double before = cpu_seconds();
    g_timeout_add(500, set_flag, &is_over);
    run_until(is_set, &is_over);
    g_assert_cmpfloat(cpu_seconds() - before, <, 0.25);
    for (guint i = 0; i < hoard->len; i++)
        close(g_array_index(hoard, int, i));
    setrlimit(RLIMIT_NOFILE, &limit);

    /* It recovers by itself. */
    g_autoptr(GPtrArray) cards = NULL;
    for (gint64 deadline = g_get_monotonic_time() + BOUND_US; !cards || cards->len == 0;) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_main_context_iteration(NULL, FALSE);
        g_clear_pointer(&cards, g_ptr_array_unref);
        cards = tt_intake_list(place.intake);
    }
    let_go(go_fd);
    wait_ended(&place, pid);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    place_close(&place);
}

/* -- What is asked ---------------------------------------------------------------------------- */

static gboolean is_exact(const Place *place, const Program *program) {
    g_autoptr(TtHeldSnapshot) held =
        tt_intake_take_snapshot(place->intake, program->id, NULL, NULL);

    return tt_snapshot_get_completeness(held->snapshot)->exact;
}

static void test_sleep_is_declared(void) {
    Place place;
    Program program;

    place_open(&place, 0);
    start_program(&place, &program, 0);
    allocate(&program, 0, 5);
    g_assert_true(tt_intake_set_recording(place.intake, program.id, TRUE, NULL));
    g_assert_true(is_exact(&place, &program)); /* was never asleep */
    g_assert_true(tt_intake_set_recording(place.intake, program.id, FALSE, NULL));
    g_assert_true(tt_intake_set_recording(place.intake, program.id, TRUE, NULL));
    allocate(&program, 1, 5);
    g_assert_false(is_exact(&place, &program));
    program_stop(&program);
    place_close(&place);
}

static void test_marks_and_dormancy(void) {
    Place place;
    Program program;
    gsize count;

    place_open(&place, 0);
    start_program(&place, &program, TT_HELLO_DORMANT);
    TtLaneControl *control = (TtLaneControl *)(void *)program.map;
    g_assert_cmpuint(atomic_load(&control->is_recording), ==, 0);
    g_assert_true(tt_intake_set_recording(place.intake, program.id, TRUE, NULL));
    g_assert_cmpuint(atomic_load(&control->is_recording), ==, 1);

    allocate(&program, 0, 5);
    g_assert_true(tt_intake_add_mark(place.intake, program.id, "five", NULL));
    allocate(&program, 1, 5);
    g_autoptr(TtHeldSnapshot) held = tt_intake_take_snapshot(place.intake, program.id, NULL, NULL);
    const TtMarkRow *marks = tt_snapshot_get_marks(held->snapshot, &count);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpstr(marks[0].name, ==, "five");
    g_assert_cmpuint(marks[0].live_blocks, ==, 5);
    g_assert_false(tt_snapshot_get_completeness(held->snapshot)->exact); /* before it was woken */
    program_stop(&program);
    g_clear_pointer(&held, tt_held_snapshot_free);
    place_close(&place);
}

typedef struct Child {
    Place *place;
    Program *program;
    const guint8 *parent_id;
} Child;

static void run_start_child(gpointer data) {
    Child *child = data;

    program_start_child(child->program, child->place->path, child->parent_id);
}

static void run_until_let_go(gpointer data) {
    g_mutex_lock(data);
    g_mutex_unlock(data);
}

/* Its parent's owner does not come round to it: whoever asks for a mark is the main thread, which
 * waits for nobody. */
static void test_mark_in_one_that_inherits_is_refused(void) {
    Place place;
    Program parent, child;
    GMutex lock;

    place_open(&place, 0);
    start_program(&place, &parent, 0);
    allocate(&parent, 0, 5);
    g_mutex_init(&lock);
    g_mutex_lock(&lock);
    for (guint i = 0; i < place.intake->workers->len; i++)
        tt_worker_send(g_ptr_array_index(place.intake->workers, i), run_until_let_go, &lock, NULL);
    do_job(run_start_child, &(Child){&place, &child, parent.id});
    g_autoptr(GError) error = NULL;
    g_assert_false(tt_intake_add_mark(place.intake, child.id, "early", &error));
    g_assert_error(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_BUSY);
    g_mutex_unlock(&lock);

    g_autoptr(TtHeldSnapshot) held = tt_intake_take_snapshot(place.intake, child.id, NULL, NULL);
    g_assert_cmpuint(tt_snapshot_get_totals(held->snapshot)->inherited_blocks, ==, 5);
    g_assert_true(tt_intake_add_mark(place.intake, child.id, "later", NULL));
    program_stop(&child);
    program_stop(&parent);
    g_clear_pointer(&held, tt_held_snapshot_free);
    place_close(&place);
    g_mutex_clear(&lock);
}

typedef struct OwnExport {
    Place *place;
    const guint8 *id;
    gboolean passes_fd;
    guint64 error;
    char written[16];
} OwnExport;

static void run_own_export(gpointer data) {
    OwnExport *own = data;
    guint8 message[8192];
    TtMessageHead head = {.magic = TT_MESSAGE_MAGIC, .major = TT_WIRE_MAJOR};
    TtRecordExportDone done;
    TtRawRecord raw;
    int fd = program_connect(own->place->path), out[2];
    gsize len = sizeof head;

    g_assert_cmpint(pipe(out), ==, 0);
    memcpy(message, &head, sizeof head);
    len += tt_encode_export(
        message + len, 64,
        &(TtRecordExport){.session = {(const char *)own->id, 16}, .format = TT_EXPORT_JSON});
    program_send(fd, message, len, &out[1], own->passes_fd);
    close(out[1]);
    len = (gsize)program_receive(fd, message, sizeof message, NULL);
    TtCursor records = tt_cursor_new(message + sizeof head, len - sizeof head);
    g_assert_cmpint(tt_decode_framed(&records, &raw), ==, TT_ITEM_RECORD);
    g_assert_cmpint(raw.number, ==, TT_RECORD_EXPORT_DONE);
    g_assert_cmpint(tt_decode_export_done(&raw, &done), ==, 0);
    own->error = done.error;
    g_assert_cmpint(read(out[0], own->written, sizeof own->written - 1), >=, 0);
    close(out[0]);
    close(fd);
}

static void test_program_asks_for_its_own_export(void) {
    Place place;
    Program program;
    guint8 id[TT_SESSION_ID_BYTES];
    int go_fd;

    place_open(&place, 0);
    start_program(&place, &program, 0);
    OwnExport own = {.place = &place, .id = program.id, .passes_fd = TRUE};
    do_job(run_own_export, &own);
    g_assert_cmpuint(own.error, ==, 0);
    g_assert_cmpstr(own.written, ==, "state");
    g_assert_cmpmem(place.asked_id, 16, program.id, 16);

    own.passes_fd = FALSE;
    do_job(run_own_export, &own);
    g_assert_cmpuint(own.error, ==, EINVAL);
    /* Another process's session. */
    pid_t pid = spawn(&place, FATE_EXITED, id, &go_fd);
    own = (OwnExport){.place = &place, .id = id, .passes_fd = TRUE};
    do_job(run_own_export, &own);
    g_assert_cmpuint(own.error, ==, EINVAL);
    /* One that began with an earlier daemon. */
    guint8 unknown[TT_SESSION_ID_BYTES] = {1};
    own = (OwnExport){.place = &place, .id = unknown, .passes_fd = TRUE};
    do_job(run_own_export, &own);
    g_assert_cmpuint(own.error, ==, ENOTCONN);
    g_assert_cmpuint(place.asked_count, ==, 1);
    let_go(go_fd);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    program_stop(&program);
    place_close(&place);
}

#define HELD_BYTES ((gsize)64 << 20)

/* With so many mappings that the list of them takes many reads, one of them the memfd; and with
 * memory that is not given back at once. */
static void be_killed(int memory, int ready) {
    for (int i = 0; i < 400; i++)
        mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mmap((void *)((guint64)0x7ffe << 32), 4096, PROT_READ, MAP_SHARED, memory, 0);
    memset(mmap(NULL, HELD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1,
           HELD_BYTES);
    if (write(ready, "x", 1) == 1)
        for (;;)
            pause();
    _exit(1);
}

/* It has lost its memory before it has ended. */
static void test_fault_F12_killed_while_its_memory_is_looked_at(void) {
    for (int round = 0; round < 6; round++) {
        int memory = memfd_create("lanes", MFD_CLOEXEC), ends[2];
        struct stat stat;
        char byte;

        g_assert_cmpint(fstat(memory, &stat) | pipe(ends), ==, 0);
        pid_t pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0)
            be_killed(memory, ends[1]);
        g_assert_cmpint(read(ends[0], &byte, 1), ==, 1);

        TtProcess process;
        tt_process_adopt(&process, (int)syscall(SYS_pidfd_open, pid, 0), pid);
        g_assert_cmpint(tt_process_check_image(&process, stat.st_ino), ==, TT_IMAGE_SAME);
        kill(pid, SIGKILL);
        while (!tt_process_has_ended(&process))
            g_assert_cmpint(tt_process_check_image(&process, stat.st_ino), !=, TT_IMAGE_OTHER);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        tt_process_close(&process);
        close(memory);
        close(ends[0]);
        close(ends[1]);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/intake-peers/fault_G01_first_messages_that_are_none",
                    test_fault_G01_first_messages_that_are_none);
    g_test_add_func("/intake-peers/fault_G02_hello_cut_at_every_byte",
                    test_fault_G02_hello_cut_at_every_byte);
    g_test_add_func("/intake-peers/fault_G05_newer_minor_is_served",
                    test_fault_G05_newer_minor_is_served);
    g_test_add_func("/intake-peers/fault_G06_id_is_taken_once", test_fault_G06_id_is_taken_once);
    g_test_add_func("/intake-peers/fault_G04_hellos_that_cannot_be",
                    test_fault_G04_hellos_that_cannot_be);
    g_test_add_func("/intake-peers/fault_G01_garbage_after_the_hello",
                    test_fault_G01_garbage_after_the_hello);
    g_test_add_func("/intake-peers/lanes_are_added_up_to_a_bound",
                    test_lanes_are_added_up_to_a_bound);
    g_test_add_func("/intake-peers/fault_G15_silent_ones_do_not_keep_others_out",
                    test_fault_G15_silent_ones_do_not_keep_others_out);
    g_test_add_func("/intake-peers/fault_G16_no_descriptors_left",
                    test_fault_G16_no_descriptors_left);
    g_test_add_func("/intake-peers/fault_F12_killed_while_its_memory_is_looked_at",
                    test_fault_F12_killed_while_its_memory_is_looked_at);
    g_test_add_func("/intake-peers/marks_and_dormancy", test_marks_and_dormancy);
    g_test_add_func("/intake-peers/mark_in_one_that_inherits_is_refused",
                    test_mark_in_one_that_inherits_is_refused);
    g_test_add_func("/intake-peers/sleep_is_declared", test_sleep_is_declared);
    g_test_add_func("/intake-peers/program_asks_for_its_own_export",
                    test_program_asks_for_its_own_export);
    return g_test_run();
}
