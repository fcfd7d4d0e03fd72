/* SPDX-License-Identifier: Apache-2.0 */
/* Writing that ends: to files, pipes, sockets, and to readers that do not read. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sink.h"

#define LARGE (3u << 20)

static guint8 pattern_at(gsize i) { return (guint8)(i * 2654435761u >> 13); }

/* A reader that takes a pipe's or a socket's bytes until the end, and checks each. */
static gpointer read_pattern(gpointer data) {
    int fd = GPOINTER_TO_INT(data);
    guint8 bytes[5000];
    gsize total = 0;
    gssize len;

    while ((len = read(fd, bytes, sizeof bytes)) > 0)
        for (gssize i = 0; i < len; i++, total++)
            g_assert_cmphex(bytes[i], ==, pattern_at(total));
    close(fd);
    return GSIZE_TO_POINTER(total);
}

/* In pieces of all sizes, around the buffer's. */
static void write_pattern(int fd) {
    static const gsize pieces[] = {1, 7, 4095, 65535, 65536, 65537, 200000};
    g_autoptr(TtSink) sink = tt_sink_new(fd);
    g_autofree guint8 *bytes = g_malloc(LARGE);
    g_autoptr(GError) error = NULL;
    gsize done = 0;

    for (gsize i = 0; i < LARGE; i++)
        bytes[i] = pattern_at(i);
    for (gsize i = 0; done < LARGE; i++) {
        gsize len = MIN(pieces[i % G_N_ELEMENTS(pieces)], LARGE - done);

        g_assert_true(tt_sink_write(sink, bytes + done, len, &error));
        done += len;
        g_assert_cmpuint(tt_sink_get_bytes(sink), ==, done);
    }
    g_assert_true(tt_sink_flush(sink, &error));
    g_assert_no_error(error);
    g_assert_null(tt_sink_get_error(sink));
}

static void test_file(void) {
    int fd = memfd_create("sink", MFD_CLOEXEC);
    GThread *reader;

    write_pattern(fd);
    g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
    reader = g_thread_new("reader", read_pattern, GINT_TO_POINTER(fd));
    g_assert_cmpuint(GPOINTER_TO_SIZE(g_thread_join(reader)), ==, LARGE);
}

static void check_stream(int read_fd, int write_fd) {
    int flags = fcntl(write_fd, F_GETFL);
    GThread *reader = g_thread_new("reader", read_pattern, GINT_TO_POINTER(read_fd));

    write_pattern(write_fd);
    g_assert_cmpint(fcntl(write_fd, F_GETFL), ==, flags);
    close(write_fd);
    g_assert_cmpuint(GPOINTER_TO_SIZE(g_thread_join(reader)), ==, LARGE);
}

static void test_streams(void) {
    const int flags[] = {0, O_NONBLOCK};

    for (gsize i = 0; i < G_N_ELEMENTS(flags); i++) {
        int ends[2];

        g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
        fcntl(ends[1], F_SETFL, flags[i]);
        check_stream(ends[0], ends[1]);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
        fcntl(ends[1], F_SETFL, flags[i]);
        check_stream(ends[0], ends[1]);
    }
}

typedef struct Waits {
    int began, ended;
} Waits;

static void on_wait(gpointer data, gboolean is_waiting) {
    Waits *waits = data;

    if (is_waiting)
        waits->began++;
    else
        waits->ended++;
}

/* Fills whatever @fd is. Returns the error that ended it. */
static GError *overfill(TtSink *sink) {
    static const guint8 piece[8192];
    GError *error = NULL;

    while (tt_sink_write(sink, piece, sizeof piece, &error))
        g_assert_cmpuint(tt_sink_get_bytes(sink), <, 64u << 20);
    return error;
}

static void check_patience(int read_fd, int write_fd) {
    g_autoptr(TtSink) sink = tt_sink_new(write_fd);
    gint64 began = g_get_monotonic_time();
    Waits waits = {0, 0};

    tt_sink_set_patience(sink, 100);
    tt_sink_set_on_wait(sink, on_wait, &waits);
    g_autoptr(GError) error = overfill(sink);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    g_assert_cmpint(g_get_monotonic_time() - began, >=, 100 * 1000);
    g_assert_cmpint(waits.began, ==, 1);
    g_assert_cmpint(waits.ended, ==, 1);
    g_clear_error(&error);

    /* It stays so, and at once. */
    g_assert_false(tt_sink_flush(sink, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    g_assert_cmpint(waits.began, ==, 1);
    close(read_fd);
    close(write_fd);
}

static void test_nobody_reads(void) {
    int ends[2];

    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    check_patience(ends[0], ends[1]);
    g_assert_cmpint(pipe2(ends, O_CLOEXEC | O_NONBLOCK), ==, 0);
    check_patience(ends[0], ends[1]);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
    check_patience(ends[0], ends[1]);
}

static void cancel_on_wait(gpointer data, gboolean is_waiting) {
    if (is_waiting)
        g_cancellable_cancel(data);
}

static void test_cancelled(void) {
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(TtSink) sink = NULL;
    int ends[2];

    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    sink = tt_sink_new(ends[1]);
    tt_sink_set_cancellable(sink, cancellable);
    tt_sink_set_on_wait(sink, cancel_on_wait, cancellable);
    g_autoptr(GError) error = overfill(sink);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    close(ends[0]);
    close(ends[1]);
}

static void test_failures(void) {
    int ends[2];

    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    close(ends[0]);
    const struct {
        int fd;
        GIOErrorEnum code;
    } cases[] = {
        {open("/dev/full", O_WRONLY | O_CLOEXEC), G_IO_ERROR_NO_SPACE},
        {ends[1], G_IO_ERROR_BROKEN_PIPE},
        {open("/dev/null", O_RDONLY | O_CLOEXEC), g_io_error_from_errno(EBADF)},
        {-1, g_io_error_from_errno(EBADF)},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(TtSink) sink = tt_sink_new(cases[i].fd);
        g_autoptr(GError) error = NULL;

        /* Taken first, told when it goes out. */
        g_assert_true(tt_sink_write(sink, "x", 1, NULL));
        g_assert_false(tt_sink_flush(sink, &error));
        g_assert_error(error, G_IO_ERROR, (gint)cases[i].code);
        g_assert_nonnull(tt_sink_get_error(sink));
        g_assert_false(tt_sink_write(sink, "x", 1, NULL));
        close(cases[i].fd);
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/sink/file", test_file);
    g_test_add_func("/base/sink/streams", test_streams);
    g_test_add_func("/base/sink/nobody_reads", test_nobody_reads);
    g_test_add_func("/base/sink/cancelled", test_cancelled);
    g_test_add_func("/base/sink/failures", test_failures);
    return g_test_run();
}
