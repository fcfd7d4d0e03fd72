/* SPDX-License-Identifier: Apache-2.0 */
/* Where the daemon listens, and where it refuses to. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service.h"

static char *make_dir(void) { return g_dir_make_tmp("tt-service-XXXXXX", NULL); }

static void remove_dir(char *dir) {
    g_autofree char *lock = g_build_filename(dir, ".lock", NULL);

    unlink(lock);
    g_assert_cmpint(rmdir(dir), ==, 0); /* nothing of ours is left */
    g_free(dir);
}

static gboolean answers(const char *dir, const char *name, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", dir, name);
    gboolean is_there = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_there;
}

static void assert_refused(const char *dir, const char *part) {
    g_autoptr(GError) error = NULL;
    TtService service;

    g_assert_false(tt_service_open(&service, dir, &error));
    g_assert_error(error, TT_SERVICE_ERROR, TT_SERVICE_ERROR_PLACE);
    if (!strstr(error->message, part))
        g_error("'%s' does not say '%s'", error->message, part);
    g_assert_cmpint(service.events_fd, ==, -1);
}

static void test_listens_and_leaves_nothing(void) {
    char *dir = make_dir();
    g_autofree char *below = g_build_filename(dir, "new", NULL);
    TtService service;
    struct stat found;

    g_assert_true(tt_service_open(&service, below, NULL));
    g_assert_true(answers(below, "events.sock", SOCK_SEQPACKET));
    g_assert_true(answers(below, "control.sock", SOCK_STREAM));
    g_assert_cmpint(stat(below, &found), ==, 0);
    g_assert_cmpuint(found.st_mode & 0777, ==, 0700);
    tt_service_close(&service);
    remove_dir(g_steal_pointer(&below));
    remove_dir(dir);
}

static void test_fault_H07_second_daemon_and_stale_socket(void) {
    char *dir = make_dir();
    TtService first, third;

    g_assert_true(tt_service_open(&first, dir, NULL));
    assert_refused(dir, "Another tt-daemon");
    g_assert_true(answers(dir, "events.sock", SOCK_SEQPACKET));

    /* The first dies without a word. */
    g_clear_pointer(&first.events_path, g_free);
    g_clear_pointer(&first.control_path, g_free);
    tt_service_close(&first);
    g_assert_false(answers(dir, "events.sock", SOCK_SEQPACKET));
    g_assert_true(tt_service_open(&third, dir, NULL));
    g_assert_true(answers(dir, "events.sock", SOCK_SEQPACKET));
    tt_service_close(&third);
    remove_dir(dir);
}

static void test_fault_H08_places_that_are_not_ours(void) {
    char *dir = make_dir();
    g_autofree char *file = g_build_filename(dir, "file", NULL);
    g_autofree char *link = g_build_filename(dir, "link", NULL);
    g_autofree char *missing = g_build_filename(dir, "a", "b", NULL);

    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    assert_refused(file, "not a directory");
    g_assert_cmpint(symlink("/tmp", link), ==, 0);
    assert_refused(link, "not a directory");
    assert_refused(missing, "Cannot make the socket directory");
    chmod(dir, 0777);
    assert_refused(dir, "Others may write");
    chmod(dir, 0700);
    if (geteuid() == 0) {
        g_assert_cmpint(chown(dir, 12345, 12345), ==, 0);
        assert_refused(dir, "another user");
        g_assert_cmpint(chown(dir, 0, 0), ==, 0);
    }
    unlink(file);
    unlink(link);
    remove_dir(dir);
}

static void test_fault_H09_long_and_relative_places(void) {
    char *dir = make_dir();
    g_autofree char *name = g_strnfill(100, 'x');
    g_autofree char *below = g_build_filename(dir, name, NULL);

    assert_refused(below, "too long");
    g_setenv("TT_SOCKET_DIR", "relative", TRUE);
    assert_refused(NULL, "absolute");
    g_unsetenv("TT_SOCKET_DIR");
    remove_dir(g_steal_pointer(&below));
    remove_dir(dir);
}

static void test_places_in_their_order(void) {
    char *dir = make_dir();
    g_autofree char *asked = g_build_filename(dir, "asked", NULL);
    g_autofree char *below = g_build_filename(dir, "trace-tools", NULL);
    TtService service;

    g_setenv("XDG_RUNTIME_DIR", dir, TRUE);
    g_assert_true(tt_service_open(&service, NULL, NULL));
    g_assert_true(answers(below, "events.sock", SOCK_SEQPACKET));
    tt_service_close(&service);
    g_setenv("TT_SOCKET_DIR", asked, TRUE);
    g_assert_true(tt_service_open(&service, NULL, NULL));
    g_assert_true(answers(asked, "events.sock", SOCK_SEQPACKET));
    tt_service_close(&service);
    g_unsetenv("TT_SOCKET_DIR");
    g_unsetenv("XDG_RUNTIME_DIR");
    remove_dir(g_steal_pointer(&asked));
    remove_dir(g_steal_pointer(&below));
    remove_dir(dir);
}

static int listen_in(const char *dir, const char *name, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type, 0);

    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", dir, name);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 5), ==, 0);
    return fd;
}

/* In a child, where numbers 3 and 4 are free to be chosen. Returns its exit status. */
static int adopt_in_child(int third, int fourth, const char *names) {
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        g_autofree char *self = g_strdup_printf("%d", getpid());
        TtService service;
        int high_third = fcntl(third, F_DUPFD, 100), high_fourth = fcntl(fourth, F_DUPFD, 100);

        dup2(high_third, 3);
        dup2(high_fourth, 4);
        g_setenv("LISTEN_PID", self, TRUE);
        g_setenv("LISTEN_FDS", "2", TRUE);
        if (names)
            g_setenv("LISTEN_FDNAMES", names, TRUE);
        if (!tt_service_open(&service, NULL, NULL))
            _exit(10);
        gboolean is_right = !g_getenv("LISTEN_FDS") && !service.events_path &&
                            (fcntl(service.events_fd, F_GETFD) & FD_CLOEXEC);
        _exit(is_right ? service.events_fd * 10 + service.control_fd : 11);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return WEXITSTATUS(status);
}

static void test_sockets_from_the_service_manager(void) {
    char *dir = make_dir();
    int events = listen_in(dir, "events.sock", SOCK_SEQPACKET);
    int control = listen_in(dir, "control.sock", SOCK_STREAM);
    int other = listen_in(dir, "other", SOCK_STREAM);
    int deaf = socket(AF_UNIX, SOCK_STREAM, 0);

    g_assert_cmpint(adopt_in_child(events, control, "events:control"), ==, 34);
    g_assert_cmpint(adopt_in_child(control, events, "control:events"), ==, 43);
    g_assert_cmpint(adopt_in_child(control, events, NULL), ==, 43); /* by their files */
    g_assert_cmpint(adopt_in_child(events, other, "events:control"), ==, 34);
    g_assert_cmpint(adopt_in_child(events, other, NULL), ==, 10);
    g_assert_cmpint(adopt_in_child(events, deaf, "events:control"), ==, 10);
    g_assert_cmpint(adopt_in_child(events, 1, "events:control"), ==, 10);
    close(events);
    close(control);
    close(other);
    close(deaf);
    const char *const names[] = {"events.sock", "control.sock", "other"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);
        unlink(path);
    }
    remove_dir(dir);
}

static void test_tells_the_service_manager(void) {
    char *dir = make_dir(), said[64] = {0};
    g_autofree char *path = g_build_filename(dir, "notify", NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    g_snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_setenv("NOTIFY_SOCKET", path, TRUE);
    tt_manager_notify("READY=1");
    g_assert_cmpint(recv(fd, said, sizeof said, 0), ==, 7);
    g_assert_cmpstr(said, ==, "READY=1");
    g_setenv("NOTIFY_SOCKET", "@tt-service-nobody", TRUE);
    tt_manager_notify("READY=1");
    g_unsetenv("NOTIFY_SOCKET");
    tt_manager_notify("READY=1");
    close(fd);
    unlink(path);
    remove_dir(dir);
}

static void check_watchdog(const char *bound, const char *pid, guint64 want) {
    if (pid)
        g_setenv("WATCHDOG_PID", pid, TRUE);
    else
        g_unsetenv("WATCHDOG_PID");
    if (bound)
        g_setenv("WATCHDOG_USEC", bound, TRUE);
    else
        g_unsetenv("WATCHDOG_USEC");
    g_assert_cmpuint(tt_manager_get_watchdog_us(), ==, want);
    g_unsetenv("WATCHDOG_PID");
    g_unsetenv("WATCHDOG_USEC");
}

/* As sd_watchdog_enabled(3) has it. */
static void test_watchdog_is_for_whom_it_is_set(void) {
    g_autofree char *own = g_strdup_printf("%d", getpid());

    check_watchdog(NULL, NULL, 0);
    check_watchdog("60000000", NULL, 60000000);
    check_watchdog("60000000", own, 60000000);
    check_watchdog("60000000", "1", 0);
    check_watchdog("60000000", "it", 0);
    check_watchdog(NULL, own, 0);
    check_watchdog("0", own, 0);
    check_watchdog("-1", own, 0);
    check_watchdog("a while", own, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/service/listens_and_leaves_nothing", test_listens_and_leaves_nothing);
    g_test_add_func("/service/fault_H07_second_daemon_and_stale_socket",
                    test_fault_H07_second_daemon_and_stale_socket);
    g_test_add_func("/service/fault_H08_places_that_are_not_ours",
                    test_fault_H08_places_that_are_not_ours);
    g_test_add_func("/service/fault_H09_long_and_relative_places",
                    test_fault_H09_long_and_relative_places);
    g_test_add_func("/service/places_in_their_order", test_places_in_their_order);
    g_test_add_func("/service/sockets_from_the_service_manager",
                    test_sockets_from_the_service_manager);
    g_test_add_func("/service/tells_the_service_manager", test_tells_the_service_manager);
    g_test_add_func("/service/watchdog_is_for_whom_it_is_set", test_watchdog_is_for_whom_it_is_set);
    return g_test_run();
}
