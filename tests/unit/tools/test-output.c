/* SPDX-License-Identifier: Apache-2.0 */
/* A whole file or none: each kind of place, each way to fail. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/leave.h"
#include "tools/output.h"

typedef struct Fixture {
    char *dir;
} Fixture;

static char *at(Fixture *fixture, const char *name) {
    return g_build_filename(fixture->dir, name, NULL);
}

static void set_up(Fixture *fixture, gconstpointer data) {
    (void)data;
    fixture->dir = g_dir_make_tmp("tt-output-XXXXXX", NULL);
}

static void remove_all(const char *dir) {
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK))
            remove_all(path);
        else
            unlink(path);
    }
    g_assert_cmpint(rmdir(dir), ==, 0);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
    (void)data;
    remove_all(fixture->dir);
    g_free(fixture->dir);
}

/* Names in the folder, hidden ones too. */
static guint count_entries(const char *dir) {
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    guint count = 0;

    while (g_dir_read_name(entries))
        count++;
    return count;
}

static void put(const char *path, const char *text) {
    g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
}

static void assert_content(const char *path, const char *text) {
    g_autofree char *found = NULL;

    g_assert_true(g_file_get_contents(path, &found, NULL, NULL));
    g_assert_cmpstr(found, ==, text);
}

static TtOutput *begin(const char *path, const char *text) {
    g_autoptr(GError) error = NULL;
    TtOutput *output = tt_output_open(path, &error);

    g_assert_no_error(error);
    g_assert_cmpint(write(tt_output_get_fd(output), text, strlen(text)), ==, strlen(text));
    return output;
}

static void write_whole(const char *path, const char *text) {
    g_autoptr(TtOutput) output = begin(path, text);
    g_autoptr(GError) error = NULL;

    g_assert_true(tt_output_commit(output, &error));
    g_assert_no_error(error);
}

static void test_new_file(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = at(fixture, "new");
    struct stat status;
    mode_t mask = umask(027);
    TtOutput *output = begin(path, "content");

    (void)data;
    umask(mask);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_true(tt_output_commit(output, NULL));
    tt_output_free(output);
    assert_content(path, "content");
    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 0777, ==, 0640);
    g_assert_cmpuint(count_entries(fixture->dir), ==, 1);
}

static void test_replaces_when_whole(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = at(fixture, "old");
    struct stat status;
    TtOutput *output;

    (void)data;
    put(path, "a longer old content");
    chmod(path, 0604);
    output = begin(path, "new");
    assert_content(path, "a longer old content");
    g_assert_true(tt_output_commit(output, NULL));
    tt_output_free(output);
    assert_content(path, "new");
    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 0777, ==, 0604);
    g_assert_cmpuint(count_entries(fixture->dir), ==, 1);
}

static void test_abandoned(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = at(fixture, "old");

    (void)data;
    put(path, "old");
    tt_output_free(begin(path, "half"));
    assert_content(path, "old");
    g_assert_cmpuint(count_entries(fixture->dir), ==, 1);
}

static void test_links_are_kept(Fixture *fixture, gconstpointer data) {
    g_autofree char *folder = at(fixture, "folder");
    g_autofree char *file = at(fixture, "folder/file");
    g_autofree char *link_path = at(fixture, "link");
    g_autofree char *second = at(fixture, "second");
    g_autofree char *dangling = at(fixture, "dangling");
    g_autofree char *born = at(fixture, "folder/born");

    (void)data;
    g_assert_cmpint(mkdir(folder, 0700), ==, 0);
    put(file, "old");
    g_assert_cmpint(symlink("folder/file", link_path), ==, 0);
    g_assert_cmpint(symlink("link", second), ==, 0);
    write_whole(second, "new");
    g_assert_true(g_file_test(second, G_FILE_TEST_IS_SYMLINK));
    g_assert_true(g_file_test(link_path, G_FILE_TEST_IS_SYMLINK));
    assert_content(file, "new");

    g_assert_cmpint(symlink("folder/born", dangling), ==, 0);
    write_whole(dangling, "first");
    g_assert_true(g_file_test(dangling, G_FILE_TEST_IS_SYMLINK));
    assert_content(born, "first");
    g_assert_cmpuint(count_entries(folder), ==, 2);
}

static void test_hard_links_share(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = at(fixture, "one");
    g_autofree char *other = at(fixture, "other");
    TtOutput *output;

    (void)data;
    put(path, "a longer old content");
    g_assert_cmpint(link(path, other), ==, 0);
    output = begin(path, "new");
    assert_content(other, "a longer old content");
    g_assert_true(tt_output_commit(output, NULL));
    tt_output_free(output);
    assert_content(path, "new");
    assert_content(other, "new");
    g_assert_cmpuint(count_entries(fixture->dir), ==, 2);
}

static gpointer read_all(gpointer data) {
    char *text = NULL;

    g_file_get_contents(data, &text, NULL, NULL);
    return text;
}

static void test_fifo_is_streamed(Fixture *fixture, gconstpointer data) {
    g_autofree char *path = at(fixture, "fifo");
    g_autofree char *text = NULL;
    GThread *reader;

    (void)data;
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    reader = g_thread_new("reader", read_all, path);
    write_whole(path, "through");
    text = g_thread_join(reader);
    g_assert_cmpstr(text, ==, "through");
    g_assert_cmpuint(count_entries(fixture->dir), ==, 1);
}

/* A loop of links, a file as a folder, and what is usual. */
static void test_refusals(Fixture *fixture, gconstpointer data) {
    g_autofree char *file = at(fixture, "file");
    g_autofree char *loop = at(fixture, "loop");
    g_autofree char *missing = at(fixture, "no/such/file");
    g_autofree char *below = at(fixture, "file/below");
    g_autofree char *slash = at(fixture, "nothing/");
    const struct {
        const char *path;
        int code;
    } cases[] = {
        {missing, ENOENT}, {fixture->dir, EISDIR}, {"/", EISDIR},
        {loop, ELOOP},     {below, ENOTDIR},       {slash, ENOENT},
    };

    (void)data;
    put(file, "x");
    g_assert_cmpint(symlink("loop", loop), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GError) check_error = NULL;

        g_assert_null(tt_output_open(cases[i].path, &error));
        g_test_message("%s", error->message);
        g_assert_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(cases[i].code));
        g_assert_nonnull(strstr(error->message, cases[i].path));
        g_assert_false(tt_output_check(cases[i].path, &check_error));
        g_assert_cmpstr(error->message, ==, check_error->message);
    }
    g_assert_cmpuint(count_entries(fixture->dir), ==, 2);
}

/* As a user without root's rights. */
static void test_read_only(Fixture *fixture, gconstpointer data) {
    g_autofree char *file = at(fixture, "file");
    g_autofree char *fresh = at(fixture, "fresh");
    int status = 0;
    pid_t pid;

    (void)data;
    put(file, "old");
    g_assert_cmpint(chmod(file, 0444), ==, 0);
    g_assert_cmpint(chmod(fixture->dir, 0777), ==, 0);
    pid = fork();
    if (pid == 0) {
        TtOutput *output;

        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
            _exit(10);
        output = tt_output_open(file, NULL);
        if (output)
            _exit(1);
        output = tt_output_open(fresh, NULL);
        if (!output)
            _exit(2);
        tt_output_free(output);
        _exit(tt_output_open("/etc/tt-output-test", NULL) ? 3 : 0);
    }
    waitpid(pid, &status, 0);
    chmod(fixture->dir, 0700);
    g_assert_cmpint(status, ==, 0);
    assert_content(file, "old");
    g_assert_cmpuint(count_entries(fixture->dir), ==, 1);
}

static void test_devices(void) {
    g_autoptr(TtOutput) null_output = tt_output_open("/dev/null", NULL);
    g_autoptr(TtOutput) full = tt_output_open("/dev/full", NULL);

    g_assert_nonnull(null_output);
    g_assert_nonnull(full);
    g_assert_cmpint(write(tt_output_get_fd(full), "x", 1), ==, -1);
    g_assert_cmpint(errno, ==, ENOSPC);
}

/* Whatever ends it, nothing is under the final name, and nothing beside it. */
static void test_ended_midway(Fixture *fixture, gconstpointer data) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGKILL, SIGABRT};
    g_autofree char *path = at(fixture, "old");

    (void)data;
    put(path, "old");
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
            signal(signals[i], SIG_DFL); /* nohup and a shell's & have some ignored */
            tt_leave_init();
            begin(path, "half");
            raise(signals[i]);
            _exit(1);
        }
        waitpid(pid, &status, 0);
        g_assert_true(WIFSIGNALED(status));
        g_assert_cmpint(WTERMSIG(status), ==, signals[i]);
        assert_content(path, "old");
        g_assert_cmpuint(count_entries(fixture->dir), ==, 1);
    }
}

/* What is registered goes; what was dropped stays; folders go after what is in them. */
static void test_leave(Fixture *fixture, gconstpointer data) {
    g_autofree char *folder = at(fixture, "folder");
    g_autofree char *inside = at(fixture, "folder/inside");
    g_autofree char *kept = at(fixture, "kept");
    int status = 0;
    pid_t pid;

    (void)data;
    g_assert_cmpint(mkdir(folder, 0700), ==, 0);
    put(inside, "x");
    put(kept, "x");
    pid = fork();
    if (pid == 0) {
        tt_leave_init();
        tt_leave_add(kept);
        tt_leave_add(folder);
        tt_leave_add(inside);
        tt_leave_drop(kept);
        raise(SIGTERM);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    g_assert_cmpint(WTERMSIG(status), ==, SIGTERM);
    g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
}

static void test_same(Fixture *fixture, gconstpointer data) {
    g_autofree char *one = at(fixture, "one");
    g_autofree char *dotted = g_strdup_printf("%s/./one", fixture->dir);
    g_autofree char *other = at(fixture, "other");
    g_autofree char *hard = at(fixture, "hard");
    g_autofree char *soft = at(fixture, "soft");
    g_autofree char *new_soft = at(fixture, "new-soft");
    g_autofree char *fresh = at(fixture, "fresh");
    g_autofree char *fresh_dotted =
        g_strdup_printf("%s/../%s/fresh", fixture->dir, strrchr(fixture->dir, '/') + 1);
    const struct {
        const char *one, *other;
        gboolean is_same;
    } cases[] = {
        {"-", "", TRUE},         {"-", "/dev/stdout", TRUE},
        {"-", one, FALSE},       {one, one, TRUE},
        {one, dotted, TRUE},     {one, hard, TRUE},
        {one, soft, TRUE},       {one, other, FALSE},
        {one, fresh, FALSE},     {fresh, fresh_dotted, TRUE},
        {fresh, new_soft, TRUE}, {"/dev/null", "/dev/null", FALSE},
    };

    (void)data;
    put(one, "x");
    put(other, "x");
    g_assert_cmpint(link(one, hard), ==, 0);
    g_assert_cmpint(symlink("one", soft), ==, 0);
    g_assert_cmpint(symlink("fresh", new_soft), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s and %s", cases[i].one, cases[i].other);
        g_assert_cmpint(tt_output_is_same(cases[i].one, cases[i].other), ==, cases[i].is_same);
        g_assert_cmpint(tt_output_is_same(cases[i].other, cases[i].one), ==, cases[i].is_same);
    }
}

static void add(const char *path, void (*test)(Fixture *, gconstpointer)) {
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    add("/tools/output/new_file", test_new_file);
    add("/tools/output/replaces_when_whole", test_replaces_when_whole);
    add("/tools/output/abandoned", test_abandoned);
    add("/tools/output/links_are_kept", test_links_are_kept);
    add("/tools/output/hard_links_share", test_hard_links_share);
    add("/tools/output/fifo_is_streamed", test_fifo_is_streamed);
    add("/tools/output/refusals", test_refusals);
    add("/tools/output/read_only", test_read_only);
    g_test_add_func("/tools/output/devices", test_devices);
    add("/tools/output/ended_midway", test_ended_midway);
    add("/tools/output/leave", test_leave);
    add("/tools/output/same", test_same);
    return g_test_run();
}
