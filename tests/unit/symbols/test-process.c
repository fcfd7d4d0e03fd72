/* SPDX-License-Identifier: Apache-2.0 */
/* The process dies, hangs, lies, is not there: names are missing then, and nothing else is. */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "truth.h"

static char *program;
static guint64 plain_addr;

/* Any address of any module: one that the process fails on has neither. */
static gboolean ask(TtSymbols *symbols, const char *path, GError **error) {
    TtSymbolModule module = {.path = path};
    const TtSymbolAnswer *answer = NULL;
    gboolean r = tt_symbols_resolve(symbols, &module, &plain_addr, 1, &answer, error);

    g_assert_nonnull(answer);
    if (!r)
        g_assert_cmpuint(answer->frame_count, ==, 0);
    return r;
}

static void assert_names(TtSymbols *symbols) {
    TtSymbolModule module = {.path = program};

    g_assert_cmpstr(truth_resolve(symbols, &module, plain_addr)->frames[0].function, ==, "plain");
}

static TtSymbols *misbehaving_new(const char *how) {
    TtSymbols *symbols = tt_symbols_new();

    g_setenv("TT_SYMBOLIZER", g_getenv("TT_MISBEHAVING"), TRUE);
    tt_symbols_set_debug_dir(symbols, how);
    return symbols;
}

static char *real_symbolizer;

static void behave(void) { g_setenv("TT_SYMBOLIZER", real_symbolizer, TRUE); }

typedef struct Misbehaviour {
    const char *how;
    TtSymbolsError code;
} Misbehaviour;

static const Misbehaviour misbehaviours[] = {
    {"dies", TT_SYMBOLS_ERROR_DIED},
    {"crashes", TT_SYMBOLS_ERROR_DIED},
    {"exits", TT_SYMBOLS_ERROR_DIED},
    {"hangs", TT_SYMBOLS_ERROR_TIMEOUT},
    {"huge", TT_SYMBOLS_ERROR_GARBAGE},
    {"stalls", TT_SYMBOLS_ERROR_TIMEOUT},
    {"garbage", TT_SYMBOLS_ERROR_GARBAGE},
    {"empty", TT_SYMBOLS_ERROR_GARBAGE},
    {"other-id", TT_SYMBOLS_ERROR_GARBAGE},
    {"many-frames", TT_SYMBOLS_ERROR_GARBAGE},
    {"many-strings", TT_SYMBOLS_ERROR_GARBAGE},
    {"no-such-string", TT_SYMBOLS_ERROR_GARBAGE},
    {"not-utf8", TT_SYMBOLS_ERROR_GARBAGE},
    {"trailing", TT_SYMBOLS_ERROR_GARBAGE},
};

/* Twice it is tried, with a new process each; then the module is given up, and only that one. */
static void misbehaviour_costs_names_only(gconstpointer data) {
    const Misbehaviour *misbehaviour = data;
    g_autoptr(TtSymbols) symbols = misbehaving_new(misbehaviour->how);
    TtSymbolModule module = {.path = "/some/module"};

    if (misbehaviour->code == TT_SYMBOLS_ERROR_TIMEOUT)
        tt_symbols_set_timeout(symbols, 100);
    for (int i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(ask(symbols, module.path, &error));
        g_assert_error(error, TT_SYMBOLS_ERROR, (int)misbehaviour->code);
        g_test_message("%s", error->message);
        g_assert_cmpint(tt_symbols_get_pid(symbols), ==, 0);
        g_assert_cmpint(tt_symbols_get_lack(symbols, &module), ==, TT_SYMBOLS_LACK_ANSWER);
    }
    g_autoptr(GError) error = NULL;

    g_assert_false(ask(symbols, module.path, &error));
    g_assert_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_GIVEN_UP);
    behave();
    tt_symbols_set_debug_dir(symbols, NULL);
    tt_symbols_set_timeout(symbols, TT_SYMBOLS_TIMEOUT_MS);
    assert_names(symbols);
    g_clear_error(&error);
    g_assert_false(ask(symbols, module.path, &error));
    g_assert_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_GIVEN_UP);
}

static void well_behaved_stand_in_is_believed(void) {
    g_autoptr(TtSymbols) symbols = misbehaving_new("good");
    TtSymbolModule module = {.path = "/some/module"};
    const TtSymbolAnswer *answer = truth_resolve(symbols, &module, 99);

    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "x");
    g_assert_null(answer->frames[0].file);
    g_assert_cmpuint(answer->frames[0].line, ==, 5);
    behave();
}

static void no_program(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();

    g_setenv("TT_SYMBOLIZER", "/not/there", TRUE);
    for (int i = 0; i < 4; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(ask(symbols, program, &error));
        g_assert_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_START);
    }
    /* The module is not to blame. */
    behave();
    assert_names(symbols);
}

static void stopped_process_times_out_and_names_come_later(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *other = truth_compile_small("gcc", "-O2 -g", "other");
    TtSymbolModule module = {.path = other};
    guint64 addr = truth_find_symbol(other, "twice");
    const TtSymbolAnswer *answer;
    gint64 began_us;
    GPid pid;

    assert_names(symbols);
    pid = tt_symbols_get_pid(symbols);
    g_assert_cmpint(pid, >, 0);
    g_assert_cmpint(kill(pid, SIGSTOP), ==, 0);
    tt_symbols_set_timeout(symbols, 100);
    began_us = g_get_monotonic_time();
    g_assert_false(tt_symbols_resolve(symbols, &module, &addr, 1, &answer, &error));
    g_assert_error(error, TT_SYMBOLS_ERROR, TT_SYMBOLS_ERROR_TIMEOUT);
    g_assert_cmpint(g_get_monotonic_time() - began_us, >=, 100 * 1000);
    g_assert_cmpint(g_get_monotonic_time() - began_us, <, 2000 * 1000);
    /* It is gone, and reaped. */
    g_assert_cmpint(kill(pid, 0), ==, -1);

    tt_symbols_set_timeout(symbols, TT_SYMBOLS_TIMEOUT_MS);
    g_assert_cmpstr(truth_resolve(symbols, &module, addr)->frames[0].function, ==, "twice");
    g_assert_cmpint(tt_symbols_get_pid(symbols), !=, pid);
}

/* What died between two questions is replaced without a word. */
static void death_while_idle_goes_unnoticed(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();

    for (int i = 0; i < 4; i++) {
        TtSymbolModule module = {.path = program};
        siginfo_t info;
        GPid pid;

        g_assert_cmpuint(truth_resolve(symbols, &module, plain_addr + (guint)i)->frame_count, >, 0);
        pid = tt_symbols_get_pid(symbols);
        kill(pid, SIGKILL);
        g_assert_cmpint(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), ==, 0);
    }
}

static gpointer resolve_much(gpointer data) {
    TtSymbols *symbols = data;
    TtSymbolModule module = {.path = program};
    guint failed_count = 0;

    for (guint i = 0; i < 300; i++) {
        guint64 addr = plain_addr + i;
        const TtSymbolAnswer *answer = NULL;

        if (!tt_symbols_resolve(symbols, &module, &addr, 1, &answer, NULL))
            failed_count++;
        g_assert_nonnull(answer);
    }
    return GUINT_TO_POINTER(failed_count);
}

/* Killed at any moment while threads ask: each call comes back, and all is well afterwards. */
static void killed_while_threads_ask(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    GThread *threads[4];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("asks", resolve_much, symbols);
    for (guint i = 0; i < 20; i++) {
        GPid pid = tt_symbols_get_pid(symbols);

        if (pid > 0)
            kill(pid, SIGKILL);
        g_usleep(500);
    }
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    TtSymbolModule module = {.path = "/bin/true"};
    const TtSymbolAnswer *answer = truth_resolve(symbols, &module, 0x3000);

    g_assert_nonnull(answer);
}

static void threads_get_the_same_answers(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    GThread *threads[4];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("asks", resolve_much, symbols);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_cmpuint(GPOINTER_TO_UINT(g_thread_join(threads[i])), ==, 0);
    assert_names(symbols);
}

static char *read_of(GPid pid, const char *what) {
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, what);
    char *text = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(path, &text, &len, NULL));
    for (gsize i = 0; i < len; i++)
        if (text[i] == 0)
            text[i] = '\n';
    return text;
}

static void has_limits_and_a_clean_environment(void) {
    static const char *const dirty[] = {"LD_PRELOAD", "LD_AUDIT", "TT_SOCKET_DIR", "TT_ENABLE",
                                        "DEBUGINFOD_URLS"};
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *environment = NULL;
    g_autofree char *limits = NULL;
    g_autofree char *fds = NULL;
    gboolean is_limited = g_getenv("TT_SANITIZED") == NULL;
    GPid pid;

    /* Set here for the child only: this process has been loaded long ago. */
    for (gsize i = 0; i < G_N_ELEMENTS(dirty); i++)
        g_setenv(dirty[i], "http://127.0.0.1:9/", TRUE);
    g_setenv("HARMLESS", "kept", TRUE);
    assert_names(symbols);
    for (gsize i = 0; i < G_N_ELEMENTS(dirty); i++)
        g_unsetenv(dirty[i]);
    pid = tt_symbols_get_pid(symbols);

    environment = read_of(pid, "environ");
    g_assert_nonnull(strstr(environment, "HARMLESS=kept"));
    g_assert_null(strstr(environment, "TT_"));
    for (gsize i = 0; i < G_N_ELEMENTS(dirty); i++)
        g_assert_null(strstr(environment, dirty[i]));

    limits = read_of(pid, "limits");
    if (is_limited)
        g_assert_true(
            g_regex_match_simple("Max address space +4294967296 +4294967296", limits, 0, 0));
    g_assert_true(g_regex_match_simple("Max core file size +0 +0", limits, 0, 0));
    g_assert_true(g_regex_match_simple("Max open files +1024 +1024", limits, 0, 0));

    g_assert_cmpint(getpgid(pid), ==, pid);
    /* 0 … 2 nowhere, 3 ours, then the module's own. */
    fds = truth_run("cd /proc/%d/fd && readlink 0 1 2 && ls", (int)pid);
    g_assert_true(g_str_has_prefix(fds, "/dev/null\n/dev/null\n/dev/null\n0\n1\n2\n3\n"));
}

static void ends_with_its_socket(void) {
    TtSymbols *symbols = tt_symbols_new();
    GPid pid;

    assert_names(symbols);
    pid = tt_symbols_get_pid(symbols);
    tt_symbols_free(symbols);
    g_assert_cmpint(kill(pid, 0), ==, -1);
    /* By itself too: started without a socket it has nothing to do. */
    truth_do("timeout 10 '%s'", real_symbolizer);
}

/* What found_from_the_daemons_place() runs, in a copy of this program. */
static void names_without_being_told_where(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();

    assert_names(symbols);
}

static void found_from_the_daemons_place(void) {
    static const char *const places[] = {"libexec/trace-tools", "bin/symbols"};

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++)
        truth_do(
            "rm -rf 'a tree' && mkdir -p 'a tree/bin' 'a tree/%s' && "
            "cp /proc/%d/exe 'a tree/bin/daemon' && "
            "cp '%s' 'a tree/%s/tt-symbolizer' && "
            "env -u TT_SYMBOLIZER 'a tree/bin/daemon' -p /symbols/names-without-being-told-where",
            places[i], (int)getpid(), real_symbolizer, places[i]);
}

static void answers_stay_and_are_trimmed(void) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    TtSymbolModule module = {.path = program};
    const TtSymbolAnswer *first, *second;
    GPid pid;

    first = truth_resolve(symbols, &module, plain_addr);
    pid = tt_symbols_get_pid(symbols);
    kill(pid, SIGSTOP); /* from here on nobody can be asked */
    second = truth_resolve(symbols, &module, plain_addr);
    g_assert_true(first == second);
    g_assert_false(tt_symbols_trim(symbols));
    tt_symbols_set_limit(symbols, 0);
    tt_symbols_hold(symbols);
    g_assert_false(tt_symbols_trim(symbols));
    g_assert_true(truth_resolve(symbols, &module, plain_addr) == first);
    tt_symbols_release(symbols);
    kill(pid, SIGCONT);
    g_assert_true(tt_symbols_trim(symbols));
    g_assert_cmpint(tt_symbols_get_lack(symbols, &module), ==, TT_SYMBOLS_LACK_ANSWER);
    assert_names(symbols);
}

/* More than one question holds, in no order, some of them twice. */
static void many_addresses(void) {
    enum { COUNT = 10000 };
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree guint64 *addrs = g_new(guint64, COUNT);
    g_autofree const TtSymbolAnswer **answers = g_new(const TtSymbolAnswer *, COUNT);
    TtSymbolModule module = {.path = program};

    for (guint i = 0; i < COUNT; i++)
        addrs[i] = (i * 7919u) % 9000;
    g_assert_true(tt_symbols_resolve(symbols, &module, addrs, COUNT, answers, NULL));
    for (guint i = 0; i < COUNT; i++)
        g_assert_true(answers[i] == truth_resolve(symbols, &module, addrs[i]));
    addrs[0] = 0;
    addrs[1] = G_MAXUINT64;
    g_assert_true(tt_symbols_resolve(symbols, &module, addrs, 2, answers, NULL));
    g_assert_cmpuint(answers[0]->frame_count + answers[1]->frame_count, ==, 0);
    g_assert_true(tt_symbols_resolve(symbols, &module, addrs, 0, answers, NULL));
}

int main(int argc, char **argv) {
    int r;

    g_test_init(&argc, &argv, NULL);
    real_symbolizer = g_strdup(g_getenv("TT_SYMBOLIZER"));
    program = truth_compile_small("gcc", "-O2 -g", "program");
    plain_addr = truth_find_symbol(program, "plain");
    for (gsize i = 0; i < G_N_ELEMENTS(misbehaviours); i++) {
        g_autofree char *path =
            g_strdup_printf("/symbols/misbehaviour-costs-names-only/%s", misbehaviours[i].how);

        g_test_add_data_func(path, &misbehaviours[i], misbehaviour_costs_names_only);
    }
    g_test_add_func("/symbols/well-behaved-stand-in-is-believed",
                    well_behaved_stand_in_is_believed);
    g_test_add_func("/symbols/no-program", no_program);
    g_test_add_func("/symbols/stopped-process-times-out-and-names-come-later",
                    stopped_process_times_out_and_names_come_later);
    g_test_add_func("/symbols/death-while-idle-goes-unnoticed", death_while_idle_goes_unnoticed);
    g_test_add_func("/symbols/killed-while-threads-ask", killed_while_threads_ask);
    g_test_add_func("/symbols/threads-get-the-same-answers", threads_get_the_same_answers);
    g_test_add_func("/symbols/has-limits-and-a-clean-environment",
                    has_limits_and_a_clean_environment);
    g_test_add_func("/symbols/ends-with-its-socket", ends_with_its_socket);
    g_test_add_func("/symbols/names-without-being-told-where", names_without_being_told_where);
    g_test_add_func("/symbols/found-from-the-daemons-place", found_from_the_daemons_place);
    g_test_add_func("/symbols/answers-stay-and-are-trimmed", answers_stay_and_are_trimmed);
    g_test_add_func("/symbols/many-addresses", many_addresses);
    r = g_test_run();
    truth_clear();
    g_free(program);
    g_free(real_symbolizer);
    return r;
}
