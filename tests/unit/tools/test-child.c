/* SPDX-License-Identifier: Apache-2.0 */
/* What can be traced, and what a program finds when it is started. Samples are built beside. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/child.h"
#include "tools/client.h"
#include "tools/daemon.h"
#include "tools/inspect.h"

static const char *sample(const char *variable) {
    const char *path = g_getenv(variable);

    return path && *path ? path : NULL;
}

static void test_samples(void) {
    static const struct {
        const char *variable;
        const char *why; /* a word of it; NULL: it can be traced */
    } cases[] = {
        {"TT_SAMPLE_DYNAMIC", NULL},
        {"TT_SAMPLE_STATIC", "statically linked"},
        {"TT_SAMPLE_STATIC_PIE", "statically linked"},
        {"TT_SAMPLE_ASAN", "AddressSanitizer"},
        {"TT_SAMPLE_TSAN", "ThreadSanitizer"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *path = sample(cases[i].variable);
        g_autofree char *why = path ? tt_inspect_why_not(path) : NULL;

        g_test_message("%s: %s", cases[i].variable, !path ? "not built" : why ? why : "fine");
        if (!path)
            continue;
        if (cases[i].why)
            g_assert_nonnull(why);
        else
            g_assert_null(why);
        g_assert_true(!cases[i].why || strstr(why, cases[i].why));
    }
    g_autofree char *loader = tt_inspect_why_not("/lib64/ld-linux-x86-64.so.2");
    g_autofree char *shell = tt_inspect_why_not("/bin/sh");
    g_assert_null(loader);
    g_assert_null(shell);
}

static char *put(const char *dir, const char *name, const char *bytes, gsize len) {
    char *path = g_build_filename(dir, name, NULL);

    g_assert_true(
        g_file_set_contents_full(path, bytes, (gssize)len, G_FILE_SET_CONTENTS_NONE, 0755, NULL));
    return path;
}

static void assert_why(const char *path, const char *word) {
    g_autofree char *why = tt_inspect_why_not(path);

    g_test_message("%s: %s", path, why ? why : "fine");
    if (word)
        g_assert_true(why && strstr(why, word));
    else
        g_assert_null(why);
}

static void test_scripts_and_strangers(void) {
    g_autofree char *dir = g_dir_make_tmp("tt-inspect-XXXXXX", NULL);
    g_autofree char *plain = put(dir, "plain", "#!/bin/sh\n", 10);
    g_autofree char *bare = put(dir, "bare", "echo\n", 5);
    g_autofree char *empty = put(dir, "empty", "", 0);
    g_autofree char *lost = put(dir, "lost", "#! /no/such/thing -x\n", 21);
    g_autofree char *nothing = put(dir, "nothing", "#!\n", 3);
    g_autofree char *self = g_build_filename(dir, "self", NULL);
    g_autofree char *loop = g_strdup_printf("#!%s\n", self);
    Elf64_Ehdr head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB}};
    g_autofree char *narrow = put(dir, "narrow", (const char *)&head, sizeof head);
    const char *statically = sample("TT_SAMPLE_STATIC");

    g_free(put(dir, "self", loop, strlen(loop)));
    assert_why(plain, NULL);
    assert_why(bare, NULL);
    assert_why(empty, NULL);
    assert_why(lost, NULL); /* it is execve that says so */
    assert_why(nothing, NULL);
    assert_why(self, NULL);
    assert_why(narrow, "64-bit");
    if (statically) {
        g_autofree char *line = g_strdup_printf("#! %s -x\n", statically);
        g_autofree char *script = put(dir, "script", line, strlen(line));

        assert_why(script, "it is a script for");
        unlink(script);
    }
    tt_daemon_remove_dir(dir);
}

/* Nothing in a file is trusted: a real one with bytes changed is told about, or not, without harm.
 */
static void test_damaged(void) {
    g_autofree char *dir = g_dir_make_tmp("tt-inspect-XXXXXX", NULL);
    const char *path = sample("TT_SAMPLE_DYNAMIC");
    g_autofree char *bytes = NULL;
    gsize len;
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);

    g_test_message("seed %u", seed);
    g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    for (int round = 0; round < 300; round++) {
        g_autofree char *copy = g_memdup2(bytes, len);
        g_autofree char *damaged = NULL;
        gsize cut = round % 3 == 0 ? (gsize)g_rand_int_range(random, 0, 4096) : len;

        for (int i = 0; i < 8;
             i++) /* headers and dynamic entries lie at the beginning and the end */
            copy[g_rand_int_range(random, 4, round % 2 ? 1024 : (gint)len)] =
                (char)g_rand_int(random);
        damaged = put(dir, "damaged", copy, cut);
        g_free(tt_inspect_why_not(damaged));
    }
    tt_daemon_remove_dir(dir);
}

static void test_rights(void) {
    g_autofree char *dir = g_dir_make_tmp("tt-inspect-XXXXXX", NULL);
    g_autofree char *bytes = NULL;
    g_autofree char *path = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(sample("TT_SAMPLE_DYNAMIC"), &bytes, &len, NULL));
    path = put(dir, "program", bytes, len);
    if (geteuid() != 0) {
        tt_daemon_remove_dir(dir);
        g_test_skip("only root can make a file another user's");
        return;
    }
    g_assert_cmpint(chown(path, 65534, 65534), ==, 0);
    assert_why(path, NULL);
    g_assert_cmpint(chmod(path, 04755), ==, 0);
    assert_why(path, "set-uid");
    g_assert_cmpint(chmod(path, 02755), ==, 0);
    assert_why(path, "set-gid");
    g_assert_cmpint(chown(path, 0, 0), ==, 0);
    g_assert_cmpint(chmod(path, 06755), ==, 0);
    assert_why(path, NULL); /* it gains nothing by its start */
    tt_daemon_remove_dir(dir);
}

static void test_find(void) {
    g_autofree char *dir = g_dir_make_tmp("tt-find-XXXXXX", NULL);
    g_autofree char *other = g_dir_make_tmp("tt-find-XXXXXX", NULL);
    g_autofree char *plain = put(dir, "tool", "x", 1);
    g_autofree char *path = g_strdup_printf("%s:%s", other, dir);
    g_autofree char *saved = g_strdup(g_getenv("PATH"));
    g_autofree char *found = NULL;
    int code = 0;

    g_setenv("PATH", path, TRUE);
    found = tt_inspect_find("tool", &code);
    g_assert_cmpstr(found, ==, plain);
    g_assert_cmpint(chmod(plain, 0644), ==, 0);
    g_assert_null(tt_inspect_find("tool", &code));
    g_assert_cmpint(code, ==, EACCES);
    g_assert_null(tt_inspect_find("tools", &code));
    g_assert_cmpint(code, ==, ENOENT);
    g_assert_null(tt_inspect_find("", &code));
    g_assert_cmpint(code, ==, ENOENT);
    g_assert_null(tt_inspect_find(dir, &code));
    g_assert_cmpint(code, ==, EACCES);
    g_assert_null(tt_inspect_find("/no/such/file", &code));
    g_assert_cmpint(code, ==, ENOENT);
    g_setenv("PATH", saved, TRUE);
    tt_daemon_remove_dir(dir);
    tt_daemon_remove_dir(other);
}

/* Runs the sample with its output in a file. Returns the status that a shell would give. */
static int run(const TtChildStart *start, char **argv, char **ret_text) {
    g_autofree char *path = g_strdup_printf("/tmp/tt-child-%d", getpid());
    int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), code = 0;
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    gint pid;

    dup2(fd, STDOUT_FILENO);
    pid = tt_child_spawn(start, argv[0], argv, environ, NULL, &code);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(fd);
    code = pid > 0 ? tt_child_status(tt_child_wait(pid, NULL)) : -code;
    if (ret_text)
        g_assert_true(g_file_get_contents(path, ret_text, NULL, NULL));
    unlink(path);
    return code;
}

static void test_status(void) {
    char *name = (char *)sample("TT_SAMPLE_DYNAMIC");
    TtChildStart start;
    char *good[] = {name, (char *)"exit", (char *)"0", NULL};
    char *four[] = {name, (char *)"exit", (char *)"4", NULL};
    char *killed[] = {name, (char *)"kill", NULL};
    char *missing[] = {(char *)"/no/such/file", NULL};
    struct sigaction action;

    tt_child_read_start(&start);
    g_assert_cmpint(run(&start, good, NULL), ==, 0);
    g_assert_cmpint(run(&start, four, NULL), ==, 4);
    g_assert_cmpint(run(&start, killed, NULL), ==, 128 + SIGTERM);
    g_assert_cmpint(run(&start, missing, NULL), ==, -ENOENT);
    sigaction(SIGINT, NULL, &action);
    g_assert_true(action.sa_handler == SIG_DFL);
}

/* A file without a first line is the shell's, with its words. */
static void test_bare_script(void) {
    g_autofree char *dir = g_dir_make_tmp("tt-child-XXXXXX", NULL);
    g_autofree char *script = put(dir, "script", "exit $1$2\n", 10);
    char *argv[] = {script, (char *)"1", (char *)"7", NULL};
    TtChildStart start;

    tt_child_read_start(&start);
    g_assert_cmpint(run(&start, argv, NULL), ==, 17);
    tt_daemon_remove_dir(dir);
}

/* The child finds what we found, whatever was changed since. */
static void test_start_is_kept(void) {
    char *argv[] = {(char *)sample("TT_SAMPLE_DYNAMIC"), NULL};
    g_autofree char *expected = NULL, *found = NULL;
    TtChildStart start;
    int stray;

    signal(SIGUSR1, SIG_IGN);
    tt_child_read_start(&start);
    run(&start, argv, &expected);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_DFL);
    stray = open("/dev/null", O_RDONLY | O_CLOEXEC);
    run(&start, argv, &found);
    close(stray);
    signal(SIGPIPE, SIG_DFL);
    g_assert_cmpstr(found, ==, expected);
    g_assert_nonnull(strstr(found, "ignored 10\n"));
    g_assert_null(strstr(found, "ignored 13\n"));
    g_assert_null(strstr(found, "ignored 2\n"));
    g_assert_nonnull(strstr(found, "group inherited\n"));
}

static void test_preload(void) {
    static const struct {
        const char *path, *users, *value; /* NULL: a link is needed */
    } cases[] = {
        {"/lib/libttclient.so", NULL, "/lib/libttclient.so"},
        {"/lib/libttclient.so", "", "/lib/libttclient.so"},
        {"/lib/libttclient.so", "/lib/a.so /lib/b.so", "/lib/libttclient.so:/lib/a.so:/lib/b.so"},
        {"/lib/libttclient.so", "a.so:/lib/libttclient.so", "/lib/libttclient.so:a.so"},
        {"/a b/libttclient.so", "x.so", NULL},
        {"/a:b/libttclient.so", NULL, NULL},
        {"/$ORIGIN/libttclient.so", NULL, NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *dir = NULL;
        g_autofree char *value = tt_client_make_preload(cases[i].path, cases[i].users, &dir, NULL);

        if (cases[i].value) {
            g_assert_cmpstr(value, ==, cases[i].value);
            g_assert_null(dir);
            continue;
        }
        g_auto(GStrv) words = g_strsplit(value, ":", -1);
        g_autofree char *target = g_file_read_link(words[0], NULL);
        g_assert_cmpstr(target, ==, cases[i].path);
        g_assert_null(strpbrk(words[0], " :$"));
        g_assert_cmpstr(words[1], ==, cases[i].users);
        tt_daemon_remove_dir(dir);
        g_assert_false(g_file_test(dir, G_FILE_TEST_EXISTS));
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tools/inspect/samples", test_samples);
    g_test_add_func("/tools/inspect/scripts_and_strangers", test_scripts_and_strangers);
    g_test_add_func("/tools/inspect/damaged", test_damaged);
    g_test_add_func("/tools/inspect/rights", test_rights);
    g_test_add_func("/tools/inspect/find", test_find);
    g_test_add_func("/tools/child/status", test_status);
    g_test_add_func("/tools/child/bare_script", test_bare_script);
    g_test_add_func("/tools/child/start_is_kept", test_start_is_kept);
    g_test_add_func("/tools/client/preload", test_preload);
    return g_test_run();
}
