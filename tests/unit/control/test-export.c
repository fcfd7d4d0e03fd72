/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of exports: what is written, what is refused, and who waits for whom. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/error.h"
#include "control/export.h"
#include "fake-intake.h"

typedef struct Outcome {
    guint calls;
    guint64 bytes;
    GError *error;
    int error_number;
    char *message;
} Outcome;

static void outcome_clear(Outcome *outcome) {
    g_clear_error(&outcome->error);
    g_clear_pointer(&outcome->message, g_free);
    memset(outcome, 0, sizeof *outcome);
}

static void on_done(gpointer data, const guint8 *session_id, guint64 bytes, const GError *error) {
    Outcome *outcome = data;

    (void)session_id;
    outcome->calls++;
    outcome->bytes = bytes;
    outcome->error = error ? g_error_copy(error) : NULL;
}

static void on_done_fd(gpointer data, int error, const char *message) {
    Outcome *outcome = data;

    outcome->calls++;
    outcome->error_number = error;
    outcome->message = g_strdup(message);
}

static void wait_for(Outcome *outcome) {
    while (outcome->calls == 0)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(outcome->calls, ==, 1);
}

static TtExporter *set_up(void) {
    fake_clear();
    fake_add_session(0xa1, 100, "/bin/parent", 1);
    fake_add_session(0xa2, 101, "/bin/it", 2);
    fake_add_session(0xa3, 102, "/bin/child", 3);
    fake_add_session(0xa4, 101, "/bin/next", 4);
    fake_add_session(0xa5, 500, "/bin/stranger", 5);
    fake_set_parent(0xa2, TT_RELATION_FORK, 0xa1);
    fake_set_parent(0xa3, TT_RELATION_FORK, 0xa2);
    fake_set_parent(0xa4, TT_RELATION_EXEC, 0xa2);
    return tt_exporter_new(NULL);
}

/* Exports session 0xa2 to @fd, which is taken over. */
static gboolean start(TtExporter *exporter, const TtExportAsk *ask, int fd,
                      GCancellable *cancellable, Outcome *outcome) {
    g_autoptr(GPtrArray) cards = tt_intake_list(NULL);

    return tt_exporter_export(exporter, cards, g_ptr_array_index(cards, 1), ask, fd, cancellable,
                              on_done, outcome, &outcome->error);
}

static const TtExportAsk json = {.format = TT_EXPORT_JSON};

static void test_writes_whole(void) {
    g_autoptr(TtExporter) exporter = set_up();
    const struct {
        TtExportAsk ask;
        const char *text;
    } cases[] = {
        {json, "{\"json\": 1}\n"},
        {{.format = TT_EXPORT_SVG, .view = "top", .top = 3}, "<svg/>\n"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Outcome outcome = {0};
        char text[64] = "";
        int fd = memfd_create("out", MFD_CLOEXEC);

        g_assert_true(start(exporter, &cases[i].ask, dup(fd), NULL, &outcome));
        g_assert_cmpuint(outcome.calls, ==, 0);
        wait_for(&outcome);
        g_assert_no_error(outcome.error);
        g_assert_cmpuint(outcome.bytes, ==, strlen(cases[i].text));
        g_assert_cmpint(pread(fd, text, sizeof text, 0), ==, strlen(cases[i].text));
        g_assert_cmpstr(text, ==, cases[i].text);
        close(fd);
        outcome_clear(&outcome);
    }
    g_assert_cmpint(fake_calls.held_snapshots, ==, 0);
}

static void test_names_related_sessions(void) {
    g_autoptr(TtExporter) exporter = set_up();
    const guint8 id[TT_SESSION_ID_BYTES] = {[0 ... TT_SESSION_ID_BYTES - 1] = 0xa2};
    Outcome outcome = {0};

    g_assert_true(start(exporter, &json, open("/dev/null", O_WRONLY), NULL, &outcome));
    wait_for(&outcome);
    g_assert_cmpstr(fake_calls.last_relations, ==, "parent child exec_to ");
    outcome_clear(&outcome);

    fake_calls.last_relations[0] = '\0';
    tt_exporter_export_fd(exporter, id, TT_EXPORT_JSON, open("/dev/null", O_WRONLY), on_done_fd,
                          &outcome);
    wait_for(&outcome);
    g_assert_cmpint(outcome.error_number, ==, 0);
    g_assert_cmpstr(fake_calls.last_relations, ==, "parent child exec_to ");
    outcome_clear(&outcome);
}

static void test_refuses_outputs(void) {
    g_autoptr(TtExporter) exporter = set_up();
    const int fds[] = {open("/dev/null", O_RDONLY), open("/", O_PATH), 12345,
                       open("/", O_RDONLY | O_DIRECTORY)};

    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++) {
        Outcome outcome = {0};

        g_assert_false(start(exporter, &json, fds[i], NULL, &outcome));
        g_assert_error(outcome.error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_NOT_WRITABLE);
        g_assert_cmpint(fcntl(fds[i], F_GETFD), ==, -1);
        outcome_clear(&outcome);
    }
}

static void test_refuses_view(void) {
    g_autoptr(TtExporter) exporter = set_up();
    const TtExportAsk ask = {.format = TT_EXPORT_SVG, .view = "sideways"};
    Outcome outcome = {0};

    g_assert_false(start(exporter, &ask, open("/dev/null", O_WRONLY), NULL, &outcome));
    g_assert_error(outcome.error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT);
    outcome_clear(&outcome);
}

static void test_tells_why_output_failed(void) {
    g_autoptr(TtExporter) exporter = set_up();
    const guint8 id[TT_SESSION_ID_BYTES] = {[0 ... TT_SESSION_ID_BYTES - 1] = 0xa2};
    Outcome outcome = {0};
    int ends[2];

    fake_report_bytes = 1000000;
    g_assert_true(start(exporter, &json, open("/dev/full", O_WRONLY), NULL, &outcome));
    wait_for(&outcome);
    g_assert_error(outcome.error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_OUTPUT_FAILED);
    g_assert_nonnull(strstr(outcome.error->message, g_strerror(ENOSPC)));
    outcome_clear(&outcome);

    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    close(ends[0]);
    g_assert_true(start(exporter, &json, ends[1], NULL, &outcome));
    wait_for(&outcome);
    g_assert_error(outcome.error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_BROKEN_PIPE);
    outcome_clear(&outcome);

    tt_exporter_export_fd(exporter, id, TT_EXPORT_JSON, open("/dev/full", O_WRONLY), on_done_fd,
                          &outcome);
    wait_for(&outcome);
    g_assert_cmpint(outcome.error_number, ==, ENOSPC);
    outcome_clear(&outcome);

    fake_report_fails = TRUE;
    g_assert_true(start(exporter, &json, open("/dev/null", O_WRONLY), NULL, &outcome));
    wait_for(&outcome);
    g_assert_error(outcome.error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_FAILED);
    outcome_clear(&outcome);
}

static void test_session_gone(void) {
    g_autoptr(TtExporter) exporter = set_up();
    const guint8 id[TT_SESSION_ID_BYTES] = {[0 ... TT_SESSION_ID_BYTES - 1] = 0xee};
    Outcome outcome = {0};

    tt_exporter_export_fd(exporter, id, TT_EXPORT_JSON, open("/dev/null", O_WRONLY), on_done_fd,
                          &outcome);
    wait_for(&outcome);
    g_assert_cmpint(outcome.error_number, ==, ESRCH);
    outcome_clear(&outcome);
}

/* Pipes that nobody reads hold threads, not turns; and each ends the moment it is cancelled. */
static void test_stalled_readers_block_nobody(void) {
    g_autoptr(TtExporter) exporter = set_up();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    Outcome stalled[TT_EXPORTER_THREADS_MAX - 1] = {0};
    Outcome outcome = {0};
    gint64 began = g_get_monotonic_time();
    int ends[2];

    fake_report_bytes = 10000000;
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(stalled); i++)
        g_assert_true(start(exporter, &json, dup(ends[1]), cancellable, &stalled[i]));
    g_assert_true(start(exporter, &json, open("/dev/null", O_WRONLY), NULL, &outcome));
    wait_for(&outcome);
    g_assert_no_error(outcome.error);
    g_assert_cmpint(fcntl(ends[1], F_GETFL) & O_NONBLOCK, ==, 0);

    g_cancellable_cancel(cancellable);
    for (gsize i = 0; i < G_N_ELEMENTS(stalled); i++) {
        wait_for(&stalled[i]);
        g_assert_error(stalled[i].error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_CANCELLED);
        outcome_clear(&stalled[i]);
    }
    g_assert_cmpint(g_get_monotonic_time() - began, <, 10 * G_USEC_PER_SEC);
    g_assert_cmpint(fake_calls.held_snapshots, ==, 0);
    close(ends[0]);
    close(ends[1]);
    outcome_clear(&outcome);
}

/* A full line refuses; callers that went away make room; the end answers everybody. */
static void test_line_is_short(void) {
    TtExporter *exporter = set_up();
    g_autoptr(GCancellable) leaving = g_cancellable_new();
    g_autofree Outcome *outcomes = g_new0(Outcome, 1000);
    Outcome late = {0};
    guint accepted = 0, answered = 0;
    int ends[2];

    fake_report_bytes = 10000000;
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    /* All threads wait for a reader, then the line fills. */
    for (guint i = 0; i < TT_EXPORTER_THREADS_MAX; i++)
        accepted += start(exporter, &json, dup(ends[1]), NULL, &outcomes[i]);
    while (g_atomic_int_get(&fake_calls.held_snapshots) < TT_EXPORTER_THREADS_MAX)
        g_thread_yield();
    for (guint i = TT_EXPORTER_THREADS_MAX; i < 1000; i++) {
        if (start(exporter, &json, dup(ends[1]), leaving, &outcomes[i]))
            accepted++;
        else
            g_assert_error(outcomes[i].error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_BUSY);
    }
    g_assert_cmpuint(accepted, ==, TT_EXPORTER_THREADS_MAX + TT_EXPORTER_QUEUE_MAX);

    g_cancellable_cancel(leaving);
    g_assert_true(start(exporter, &json, dup(ends[1]), NULL, &late));
    tt_exporter_free(exporter);
    for (guint i = 0; i < 1000; i++) {
        answered += outcomes[i].calls;
        outcome_clear(&outcomes[i]);
    }
    g_assert_cmpuint(answered, ==, accepted);
    g_assert_cmpuint(late.calls, ==, 1);
    g_assert_error(late.error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_CANCELLED);
    outcome_clear(&late);
    close(ends[0]);
    close(ends[1]);
}

static void on_described(gpointer data, GVariant *figures, const GError *error) {
    GVariant **ret_figures = data;

    g_assert_no_error((GError *)error);
    *ret_figures = g_variant_ref(figures);
}

static void test_describes(void) {
    g_autoptr(TtExporter) exporter = set_up();
    g_autoptr(GPtrArray) cards = tt_intake_list(NULL);
    g_autoptr(GVariant) figures = NULL;
    const char *exe;
    guint64 count;
    gboolean exact;

    g_assert_true(tt_exporter_describe(exporter, g_ptr_array_index(cards, 1), NULL, on_described,
                                       &figures, NULL));
    while (!figures)
        g_main_context_iteration(NULL, TRUE);
    g_assert_true(g_variant_lookup(figures, "cumulative_allocations", "t", &count));
    g_assert_cmpuint(count, ==, G_MAXUINT64);
    g_assert_true(g_variant_lookup(figures, "exact", "b", &exact));
    g_assert_true(exact);
    g_assert_true(g_variant_lookup(figures, "exe", "&s", &exe));
    g_assert_cmpstr(exe, ==, "/bin/f\\xffke");
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/control/export/writes_whole", test_writes_whole);
    g_test_add_func("/control/export/names_related_sessions", test_names_related_sessions);
    g_test_add_func("/control/export/refuses_outputs", test_refuses_outputs);
    g_test_add_func("/control/export/refuses_view", test_refuses_view);
    g_test_add_func("/control/export/tells_why_output_failed", test_tells_why_output_failed);
    g_test_add_func("/control/export/session_gone", test_session_gone);
    g_test_add_func("/control/export/stalled_readers_block_nobody",
                    test_stalled_readers_block_nobody);
    g_test_add_func("/control/export/line_is_short", test_line_is_short);
    g_test_add_func("/control/export/describes", test_describes);
    return g_test_run();
}
