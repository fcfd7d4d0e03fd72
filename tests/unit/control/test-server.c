/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket as callers meet it: honest ones, silent ones, and those who try things. The
 * server runs in a thread of its own, as it does in the daemon's main loop; the sessions are made
 * up. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control.h"
#include "control/error.h"
#include "fake-intake.h"
#include "trace-tools-dbus.h"

typedef struct Fixture {
    char *dir, *path;
    GThread *thread;
    GMainContext *context;
    GMainLoop *loop;
    int listen_fd;
    gint is_ready;
} Fixture;

static gpointer serve(gpointer data) {
    Fixture *fixture = data;
    TtExporter *exporter;
    TtControl *control;

    g_main_context_push_thread_default(fixture->context);
    exporter = tt_exporter_new(NULL);
    control = tt_control_new(fixture->listen_fd, NULL, exporter, NULL);
    g_assert_nonnull(control);
    g_atomic_int_set(&fixture->is_ready, TRUE);
    g_main_loop_run(fixture->loop);
    tt_control_free(control);
    tt_exporter_free(exporter);
    g_main_context_pop_thread_default(fixture->context);
    return NULL;
}

static int listen_at(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(name.sun_path, path, sizeof name.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&name, sizeof name), ==, 0);
    g_assert_cmpint(listen(fd, SOMAXCONN), ==, 0);
    return fd;
}

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    fake_clear();
    fake_add_session(0xa1, 100, "/bin/first", 1);
    fake_add_session(0xa2, 200,
                     "/bin/s\xff"
                     "econd",
                     2);
    fixture->dir = g_dir_make_tmp("tt-control-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->dir, "control.sock", NULL);
    fixture->listen_fd = listen_at(fixture->path);
    fixture->context = g_main_context_new();
    fixture->loop = g_main_loop_new(fixture->context, FALSE);
    fixture->thread = g_thread_new("server", serve, fixture);
    while (!g_atomic_int_get(&fixture->is_ready))
        g_thread_yield();
}

static gboolean quit(gpointer data) {
    g_main_loop_quit(data);
    return G_SOURCE_REMOVE;
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    g_main_context_invoke(fixture->context, quit, fixture->loop);
    g_thread_join(fixture->thread);
    g_main_loop_unref(fixture->loop);
    g_main_context_unref(fixture->context);
    g_unlink(fixture->path);
    g_rmdir(fixture->dir);
    g_free(fixture->path);
    g_free(fixture->dir);
}

static int connect_silently(Fixture *fixture) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(name.sun_path, fixture->path, sizeof name.sun_path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static GDBusConnection *try_connect(Fixture *fixture) {
    g_autofree char *address = g_strdup_printf("unix:path=%s", fixture->path);

    return g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, NULL);
}

static TtDaemon1 *proxy_new(GDBusConnection *connection) {
    g_autoptr(GError) error = NULL;
    TtDaemon1 *proxy =
        tt_daemon1_proxy_new_sync(connection, G_DBUS_PROXY_FLAGS_DO_NOT_CONNECT_SIGNALS, NULL,
                                  TT_CONTROL_OBJECT, NULL, &error);

    g_assert_no_error(error);
    return proxy;
}

static TtDaemon1 *open_proxy(Fixture *fixture) {
    g_autoptr(GDBusConnection) connection = try_connect(fixture);

    g_assert_nonnull(connection);
    return proxy_new(connection);
}

/* Connects and lists. Returns how long that took in milliseconds. */
static gint64 list(Fixture *fixture) {
    gint64 began = g_get_monotonic_time();
    g_autoptr(TtDaemon1) proxy = open_proxy(fixture);
    g_autoptr(GVariant) sessions = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(tt_daemon1_call_list_sync(proxy, &sessions, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(g_variant_n_children(sessions), ==, 2);
    return (g_get_monotonic_time() - began) / 1000;
}

static void test_list(Fixture *fixture, gconstpointer data) {
    g_autoptr(TtDaemon1) proxy = open_proxy(fixture);
    g_autoptr(GVariant) sessions = NULL, session = NULL;
    g_autoptr(GError) error = NULL;
    const char *text;
    guint64 bytes;
    gint pid;

    (void)data;
    g_assert_true(tt_daemon1_call_list_sync(proxy, &sessions, NULL, &error));
    session = g_variant_get_child_value(sessions, 1);
    g_assert_true(g_variant_lookup(session, "id", "&s", &text));
    g_assert_cmpstr(text, ==, "a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2");
    g_assert_true(g_variant_lookup(session, "pid", "i", &pid));
    g_assert_cmpint(pid, ==, 200);
    g_assert_true(g_variant_lookup(session, "name", "&s", &text));
    g_assert_cmpstr(text, ==, "s\\xffecond");
    g_assert_true(g_variant_lookup(session, "live_bytes", "t", &bytes));
    g_assert_cmpuint(bytes, ==, 1000 + 0xa2);
    g_assert_true(g_variant_lookup(session, "sample_bytes", "t", &bytes));
    g_assert_cmpuint(bytes, ==, 2000 + 0xa2);
    g_assert_cmpstr(tt_daemon1_get_version(proxy), ==, TT_VERSION);
    g_assert_cmpstr(tt_daemon1_get_socket_dir(proxy), ==, fixture->dir);
}

static void test_questions(Fixture *fixture, gconstpointer data) {
    g_autoptr(TtDaemon1) proxy = open_proxy(fixture);
    g_autofree char *session = NULL, *name = NULL;
    g_autoptr(GError) error = NULL;
    gboolean all_ended;
    gint pid;

    (void)data;
    g_assert_true(tt_daemon1_call_resolve_sync(proxy, "first", &session, &pid, &name, NULL, NULL));
    g_assert_cmpint(pid, ==, 100);
    g_assert_true(tt_daemon1_call_mark_sync(proxy, "100", "begin", NULL, NULL));
    g_assert_cmpstr(fake_calls.last_mark, ==, "begin");
    g_assert_true(tt_daemon1_call_start_sync(proxy, "100", NULL, NULL));
    g_assert_true(fake_calls.last_is_recording);
    g_assert_true(tt_daemon1_call_stop_sync(proxy, "100", NULL, NULL));
    g_assert_false(fake_calls.last_is_recording);
    g_assert_true(tt_daemon1_call_set_exit_status_sync(proxy, 100, 0x0400, NULL, NULL));
    g_assert_cmpint(fake_calls.last_wait_status, ==, 0x0400);
    g_assert_true(tt_daemon1_call_wait_ended_sync(proxy, 100, 1000, &all_ended, NULL, NULL));
    g_assert_true(all_ended);

    g_assert_false(tt_daemon1_call_mark_sync(proxy, "", "x", NULL, &error));
    g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_AMBIGUOUS);
    g_clear_error(&error);
    g_assert_false(tt_daemon1_call_mark_sync(proxy, "100", "", NULL, &error));
    g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_false(tt_daemon1_call_mark_sync(proxy, "100", "early", NULL, &error));
    g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_BUSY);
    g_clear_error(&error);
    g_assert_false(tt_daemon1_call_start_sync(proxy, "1e20", NULL, &error));
    g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_NO_SUCH_TARGET);
    g_clear_error(&error);
    g_assert_false(tt_daemon1_call_set_exit_status_sync(proxy, -1, 0, NULL, &error));
    g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT);
}

static guint64 get_number(GVariant *figures, const char *key) {
    guint64 number = G_MAXUINT64;

    g_variant_lookup(figures, key, "t", &number);
    return number;
}

/* Errors are of estimates alone. */
static void test_figures_of_a_sample(Fixture *fixture, gconstpointer data) {
    g_autoptr(TtDaemon1) proxy = open_proxy(fixture);
    g_autoptr(GVariant) exact = NULL, sampled = NULL;

    (void)data;
    g_assert_true(tt_daemon1_call_describe_sync(proxy, "100", &exact, NULL, NULL));
    g_assert_cmpuint(get_number(exact, "sample_bytes"), ==, 0);
    g_assert_cmpuint(get_number(exact, "live_bytes_error"), ==, G_MAXUINT64);
    fake_is_sampled = TRUE;
    g_assert_true(tt_daemon1_call_describe_sync(proxy, "100", &sampled, NULL, NULL));
    g_assert_cmpuint(get_number(sampled, "sample_bytes"), ==, 4096);
    g_assert_cmpuint(get_number(sampled, "live_bytes_error"), ==, 11);
    g_assert_cmpuint(get_number(sampled, "cumulative_allocated_error"), ==, 12);
    g_assert_cmpuint(get_number(sampled, "peak_bytes_error"), ==, 13);
}

/* @fd is not taken over; -1: none is sent. */
static gboolean export(TtDaemon1 *proxy, const char *format, const char *options, int fd,
                       guint handle, GError **error) {
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    g_autofree char *session = NULL;
    guint64 bytes;

    if (fd >= 0)
        g_unix_fd_list_append(fds, fd, NULL);
    return tt_daemon1_call_export_sync(proxy, "100", format, g_variant_new_parsed(options),
                                       g_variant_new_handle((gint32)handle), fd >= 0 ? fds : NULL,
                                       &session, &bytes, NULL, NULL, error);
}

static void test_export(Fixture *fixture, gconstpointer data) {
    static const struct {
        const char *format, *options;
        gboolean has_fd;
        guint handle;
        gint code; /* -1: it is written */
    } cases[] = {
        {"json", "@a{sv} {}", TRUE, 0, -1},
        {"svg", "{'view': <'top'>, 'top': <uint32 5>, 'full': <true>, 'at': <'now'>}", TRUE, 0, -1},
        {"pdf", "@a{sv} {}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"svg", "{'view': <'sideways'>}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"svg", "{'view': <5>}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"svg", "{'colour': <'red'>}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"json", "{'at': <'peak'>}", TRUE, 0, -1},
        {"json", "{'at': <'before upload'>}", TRUE, 0, -1},
        {"json", "{'at': <'nowhere'>}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"json", "{'at': <''>}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"json", "{'at': <5>}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"json", "{'columns': <uint32 80>}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"text", "@a{sv} {}", TRUE, 0, TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"json", "@a{sv} {}", FALSE, 0, TT_CONTROL_ERROR_NOT_WRITABLE},
        {"json", "@a{sv} {}", TRUE, 7, TT_CONTROL_ERROR_NOT_WRITABLE},
    };
    g_autoptr(TtDaemon1) proxy = open_proxy(fixture);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)data;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gboolean is_written = export(proxy, cases[i].format, cases[i].options,
                                     cases[i].has_fd ? fd : -1, cases[i].handle, &error);

        g_test_message("case %zu: %s", i, error ? error->message : "written");
        if (cases[i].code < 0)
            g_assert_no_error(error);
        else
            g_assert_error(error, TT_CONTROL_ERROR, cases[i].code);
        g_assert_cmpint(is_written, ==, cases[i].code < 0);
    }
    close(fd);
}

/* What is answered by other documents than the state: two snapshots are taken, none is kept. */
static void test_diff_and_who(Fixture *fixture, gconstpointer data) {
    static const struct {
        const char *before, *after, *format, *options;
        gint code; /* -1: it is written */
    } cases[] = {
        {"start", "now", "json", "{'top': <uint32 5>}", -1},
        {"peak", "a mark", "text", "{'columns': <uint32 80>}", -1},
        {"a mark", "peak", "json", "@a{sv} {}", TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"nowhere", "now", "json", "@a{sv} {}", TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"start", "nowhere", "json", "@a{sv} {}", TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"", "now", "json", "@a{sv} {}", TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"start", "now", "svg", "@a{sv} {}", TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"start", "now", "json", "{'full': <true>}", TT_CONTROL_ERROR_INVALID_ARGUMENT},
        {"start", "now", "json", "{'at': <'now'>}", TT_CONTROL_ERROR_INVALID_ARGUMENT},
    };
    g_autoptr(TtDaemon1) proxy = open_proxy(fixture);
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)data;
    g_unix_fd_list_append(fds, fd, NULL);
    close(fd);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *session = NULL;
        guint64 bytes;

        tt_daemon1_call_diff_sync(proxy, "100", cases[i].before, cases[i].after, cases[i].format,
                                  g_variant_new_parsed(cases[i].options), g_variant_new_handle(0),
                                  fds, &session, &bytes, NULL, NULL, &error);
        g_test_message("case %zu: %s", i, error ? error->message : "written");
        if (cases[i].code < 0)
            g_assert_no_error(error);
        else
            g_assert_error(error, TT_CONTROL_ERROR, cases[i].code);
        g_assert_cmpint(g_atomic_int_get(&fake_calls.held_snapshots), ==, 0);
    }

    g_autoptr(GError) error = NULL;
    g_autofree char *session = NULL;
    guint64 bytes;
    g_assert_true(tt_daemon1_call_who_sync(
        proxy, "100", G_MAXUINT64, "text", g_variant_new_parsed("{'full': <true>}"),
        g_variant_new_handle(0), fds, &session, &bytes, NULL, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(fake_calls.last_addr, ==, G_MAXUINT64);
    g_assert_cmpuint(bytes, ==, strlen("lives\n"));
}

static GError *call(GDBusConnection *connection, const char *interface, const char *method,
                    GVariant *arguments) {
    GError *error = NULL;
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_sync(connection, NULL, TT_CONTROL_OBJECT, interface, method,
                                    arguments, NULL, G_DBUS_CALL_FLAGS_NONE, 5000, NULL, &error);

    g_assert_null(reply);
    return error;
}

static void test_wrong_calls(Fixture *fixture, gconstpointer data) {
    g_autoptr(GDBusConnection) connection = try_connect(fixture);
    const struct {
        const char *interface, *method, *arguments;
        gint code;
    } cases[] = {
        {"org.tracetools.Daemon1", "Nothing", "()", G_DBUS_ERROR_UNKNOWN_METHOD},
        {"org.tracetools.Daemon2", "List", "()", G_DBUS_ERROR_UNKNOWN_METHOD},
        {"org.tracetools.Daemon1", "List", "('much',)", G_DBUS_ERROR_INVALID_ARGS},
        {"org.tracetools.Daemon1", "Mark", "(1, 2)", G_DBUS_ERROR_INVALID_ARGS},
        {"org.freedesktop.DBus.Properties", "Set", "('org.tracetools.Daemon1', 'Version', <'2'>)",
         G_DBUS_ERROR_INVALID_ARGS},
    };

    (void)data;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = call(connection, cases[i].interface, cases[i].method,
                                       g_variant_new_parsed(cases[i].arguments));

        g_test_message("case %zu: %s", i, error->message);
        g_assert_error(error, G_DBUS_ERROR, cases[i].code);
    }
    list(fixture);
}

static void test_large_and_deep(Fixture *fixture, gconstpointer data) {
    g_autoptr(GDBusConnection) connection = try_connect(fixture);
    g_autofree char *large = g_strnfill(8 << 20, 'a');
    GVariant *deep = g_variant_new_string("bottom");
    g_autoptr(GError) error = NULL;

    (void)data;
    error = call(connection, "org.tracetools.Daemon1", "Mark", g_variant_new("(ss)", "100", large));
    g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    for (int i = 0; i < 60; i++)
        deep = g_variant_new_variant(deep);
    error = call(connection, "org.tracetools.Daemon1", "List", g_variant_new("(v)", deep));
    g_assert_nonnull(error);
    list(fixture);
}

/* Connections that never say a word, or stop in the midst of one; all the while others are served.
 */
static void crowd(Fixture *fixture, guint count, const char *word, gsize len) {
    g_autofree int *fds = g_new(int, count);
    gint64 began = g_get_monotonic_time(), slowest = 0;
    guint closed = 0, dropped = 0;

    for (guint i = 0; i < count; i++) {
        fds[i] = connect_silently(fixture);
        g_assert_cmpint(fds[i], >=, 0);
        if (len > 0) /* it may have been dropped already, in which case nobody cares */
            (void)!send(fds[i], word, len, MSG_NOSIGNAL);
        if (i % 50 == 0)
            slowest = MAX(slowest, list(fixture));
    }
    for (int i = 0; i < 10; i++)
        slowest = MAX(slowest, list(fixture));
    g_test_message("%u connections: the slowest list took %" G_GINT64_FORMAT " ms", count, slowest);
    g_assert_cmpint(slowest, <, 1000);

    /* No more than so many are held at a time, */
    for (guint i = 0; i < count; i++) {
        struct pollfd hang_up = {.fd = fds[i], .events = POLLRDHUP};

        dropped += poll(&hang_up, 1, 0) == 1;
    }
    if (g_get_monotonic_time() - began < TT_CONTROL_HANDSHAKE_MS * 1000)
        g_assert_cmpuint(dropped + TT_CONTROL_HANDSHAKES_MAX, >=, count);
    /* and all are closed by the server, at the latest when their time is up. */
    for (guint i = 0; i < count; i++) {
        struct pollfd hang_up = {.fd = fds[i], .events = POLLRDHUP};

        closed += poll(&hang_up, 1, 10 * TT_CONTROL_HANDSHAKE_MS) == 1;
        close(fds[i]);
    }
    g_assert_cmpuint(closed, ==, count);
    list(fixture);
}

static void test_crowd_silent(Fixture *fixture, gconstpointer data) {
    crowd(fixture, GPOINTER_TO_UINT(data), "", 0);
}

static void test_crowd_half_shaken(Fixture *fixture, gconstpointer data) {
    static const char words[] = "\0AUTH EXTER";

    crowd(fixture, GPOINTER_TO_UINT(data), words, sizeof words - 1);
}

/* Authenticated ones that stay: the oldest idle one makes room. */
static void test_many_idle_callers(Fixture *fixture, gconstpointer data) {
    g_autoptr(GPtrArray) connections = g_ptr_array_new_with_free_func(g_object_unref);

    (void)data;
    for (guint i = 0; i < TT_CONTROL_CALLERS_MAX + 20; i++) {
        GDBusConnection *connection = try_connect(fixture);

        g_assert_nonnull(connection);
        g_ptr_array_add(connections, connection);
    }
    g_assert_cmpint(list(fixture), <, 1000);
    while (!g_dbus_connection_is_closed(g_ptr_array_index(connections, 0)))
        g_main_context_iteration(NULL, TRUE);
    g_assert_false(
        g_dbus_connection_is_closed(g_ptr_array_index(connections, connections->len - 1)));
}

/* A caller that vanishes takes its export with it: a pipe nobody reads is closed at once. */
static void test_vanished_caller(Fixture *fixture, gconstpointer data) {
    g_autoptr(GDBusConnection) connection = try_connect(fixture);
    TtDaemon1 *proxy = proxy_new(connection);
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    struct pollfd hang_up = {.events = 0};
    int ends[2];

    (void)data;
    fake_report_bytes = 10000000;
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    g_unix_fd_list_append(fds, ends[1], NULL);
    close(ends[1]);
    tt_daemon1_call_export(proxy, "100", "json", g_variant_new_parsed("@a{sv} {}"),
                           g_variant_new_handle(0), fds, NULL, NULL, NULL);
    while (g_atomic_int_get(&fake_calls.held_snapshots) == 0)
        g_main_context_iteration(NULL, FALSE);
    g_clear_object(&fds);
    g_dbus_connection_close_sync(connection, NULL, NULL);
    hang_up.fd = ends[0];
    /* POLLHUP: no writer is left. What was written stays readable. */
    while (!(hang_up.revents & POLLHUP))
        g_assert_cmpint(poll(&hang_up, 1, 5000), ==, 1);
    g_object_unref(proxy);
    close(ends[0]);
    list(fixture);
}

/* The daemon ends with callers connected, half-shaken and exporting. */
static void test_end_amid_calls(Fixture *fixture, gconstpointer data) {
    TtDaemon1 *proxy = open_proxy(fixture);
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    int silent = connect_silently(fixture);
    int ends[2];

    fake_report_bytes = 10000000;
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    g_unix_fd_list_append(fds, ends[1], NULL);
    for (int i = 0; i < 5; i++)
        tt_daemon1_call_export(proxy, "100", "json", g_variant_new_parsed("@a{sv} {}"),
                               g_variant_new_handle(0), fds, NULL, NULL, NULL);
    while (g_atomic_int_get(&fake_calls.held_snapshots) == 0)
        g_main_context_iteration(NULL, FALSE);
    tear_down(fixture, data);
    g_assert_cmpint(fake_calls.held_snapshots, ==, 0);
    g_object_unref(proxy);
    close(silent);
    close(ends[0]);
    close(ends[1]);
    set_up(fixture, data);
}

static void test_wrong_socket(void) {
    g_autoptr(GError) error = NULL;
    int ends[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
    g_assert_null(tt_control_new(ends[0], NULL, NULL, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(fcntl(ends[0], F_GETFD), ==, -1);
    close(ends[1]);
}

static void add(const char *path, gpointer data, void (*test)(Fixture *, gconstpointer)) {
    g_test_add(path, Fixture, data, set_up, test, tear_down);
}

int main(int argc, char **argv) {
    struct rlimit descriptors;

    /* Both ends of a thousand connections. */
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    g_test_init(&argc, &argv, NULL);
    add("/control/server/list", NULL, test_list);
    add("/control/server/questions", NULL, test_questions);
    add("/control/server/figures_of_a_sample", NULL, test_figures_of_a_sample);
    add("/control/server/export", NULL, test_export);
    add("/control/server/diff_and_who", NULL, test_diff_and_who);
    add("/control/server/wrong_calls", NULL, test_wrong_calls);
    add("/control/server/large_and_deep", NULL, test_large_and_deep);
    add("/control/server/60_silent", GUINT_TO_POINTER(60), test_crowd_silent);
    add("/control/server/1000_silent", GUINT_TO_POINTER(1000), test_crowd_silent);
    add("/control/server/1000_half_shaken", GUINT_TO_POINTER(1000), test_crowd_half_shaken);
    add("/control/server/many_idle_callers", NULL, test_many_idle_callers);
    add("/control/server/vanished_caller", NULL, test_vanished_caller);
    add("/control/server/end_amid_calls", NULL, test_end_amid_calls);
    g_test_add_func("/control/server/wrong_socket", test_wrong_socket);
    return g_test_run();
}
