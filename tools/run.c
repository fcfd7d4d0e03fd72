/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl run.
 *
 * Everything that can go wrong is tried before CMD is started; from then on CMD comes first: it has
 * its terminal, its signals and its status, and we have what is left when it has ended. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/client.h"
#include "tools/command.h"
#include "tools/inspect.h"
#include "tools/list.h"
#include "tools/output.h"
#include "tools/recording.h"
#include "tools/run.h"
#include "tools/summary.h"
#include "tools/tree.h"

#define DRAIN_MS 10000u /* for the daemon to have read CMD's last events */
#define DESCRIBE_MS 30000

static const char help[] =
    "Usage: tt-ctl run [--json[=F]] [--svg[=F]] [--view=V] [--top=N] [--full] [--leaks[=F]]\n"
    "                  [--record=F] -- CMD ...\n"
    "\n"
    "Runs CMD traced, without losing an event, and gives its status. Uses the running tt-daemon "
    "or,\n"
    "where none answers, one of its own that ends with it.\n"
    "\n"
    "  --json[=F]  then writes JSON to F or standard output\n"
    "  --svg[=F]   then writes a picture to F or standard output\n"
    "  --view=V    which picture: overview, top, lifecycles\n"
    "  --top=N     how many entries a ranking shows\n"
    "  --full      JSON with every address of every stack in every block\n"
    "  --leaks[=F] then writes which blocks were lost, to F or standard output; with the options\n"
    "              --show, --suppressions and --fail-on of tt-ctl leaks\n"
    "  --record=F  records all that CMD and what it starts do, for tt-ctl export --from=F\n"
    "\n"
    "With %p (pid) or %s (session) in F there is a file for each session that CMD and what it\n"
    "started made; without, one for CMD's own process. With neither asked a summary goes to "
    "stderr.\n"
    "\n"
    "Status: CMD's own, 128+n for a signal; 3 by --fail-on; 125 tracing failed, 126 CMD cannot be\n"
    "executed, 127 it was not found.\n";

typedef struct Asked {
    const char *json, *svg, *view, *top, *full, *record, *leaks, *help;
} Asked;

/* One run. Owned by tt_command_run's frame. */
typedef struct Run {
    const TtChildStart *start;
    Asked asked;
    TtPicture picture;
    const TtLeaks *leaks; /* what is asked of its leaks; or NULL */
    TtWatch *watch;       /* then */
    gboolean has_failed;  /* what --fail-on names was found */
    char **argv;          /* CMD and its words; borrowed */
    char *path;           /* what is executed */
    char **environment;
    char *client_dir; /* or NULL */
    TtDaemon *daemon;
    TtRecordingFile *recording; /* or NULL */
    GError *record_error;       /* it ended before it was to */
    GHashTable *before;         /* ids of sessions that are not CMD's */
    guint64 order_before;       /* of the last of them */
    gint pid;
    gint wait_status;
} Run;

static void run_clear(Run *run) {
    g_clear_pointer(&run->watch, tt_watch_free);
    g_clear_pointer(&run->recording, tt_recording_file_free);
    g_clear_error(&run->record_error);
    g_clear_pointer(&run->daemon, tt_daemon_free);
    g_clear_pointer(&run->before, g_hash_table_unref);
    if (run->client_dir)
        tt_daemon_remove_dir(run->client_dir);
    g_free(run->client_dir);
    g_strfreev(run->environment);
    g_free(run->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static gboolean refuse(GError **error, TtToolsError code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean refuse(GError **error, TtToolsError code, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    *error = g_error_new_valist(TT_TOOLS_ERROR, (gint)code, format, arguments);
    va_end(arguments);
    return FALSE;
}

static gboolean check_usage(const Asked *asked, const char **words, GError **error) {
    if (!*words)
        return refuse(error, TT_TOOLS_ERROR_USAGE, "Say what to run: tt-ctl run -- CMD ...");
    if (asked->json && asked->svg && tt_output_is_same(asked->json, asked->svg))
        return refuse(error, TT_TOOLS_ERROR_USAGE,
                      "JSON and SVG cannot go to the same place: give one of them a file of its "
                      "own");
    if (asked->record && ((asked->json && tt_output_is_same(asked->json, asked->record)) ||
                          (asked->svg && tt_output_is_same(asked->svg, asked->record))))
        return refuse(error, TT_TOOLS_ERROR_USAGE,
                      "The recording cannot go where a document goes: give it a file of its own");
    return TRUE;
}

/* libttclient says nothing of a setting that it does not understand; it is here that it is told. */
static gboolean check_environment(GError **error) {
    static const char *const switches[] = {"TT_ENABLE", "TT_LOSSLESS", "TT_FOLLOW",
                                           "TT_FREE_STACKS", "TT_USABLE_SIZES"};
    const char *sample = g_getenv("TT_SAMPLE");
    const char *dir = g_getenv("TT_SOCKET_DIR");
    g_autofree char *found = NULL;
    g_autoptr(GError) why = NULL;

    if (sample && !g_ascii_string_to_unsigned(sample, 10, 0, G_MAXINT64, NULL, NULL))
        return refuse(error, TT_TOOLS_ERROR_FAILED,
                      "TT_SAMPLE is '%s': give a number of bytes, 0 for every event, or unset it",
                      sample);
    for (gsize i = 0; i < G_N_ELEMENTS(switches); i++) {
        const char *value = g_getenv(switches[i]);

        if (value && !g_str_equal(value, "0") && !g_str_equal(value, "1"))
            return refuse(error, TT_TOOLS_ERROR_FAILED, "%s is '%s': give 0 or 1, or unset it",
                          switches[i], value);
    }
    if (!dir)
        return TRUE;
    found = tt_daemon_find_dir(&why);
    if (!found)
        return refuse(error, TT_TOOLS_ERROR_FAILED, "%s", why->message);
    if (!g_file_test(dir, G_FILE_TEST_IS_DIR))
        return refuse(error, TT_TOOLS_ERROR_FAILED,
                      "TT_SOCKET_DIR is %s, and there is no such folder: make it, or unset it",
                      dir);
    return TRUE;
}

/* Of a pattern the folder can be looked at. */
static gboolean check_output(const char *path, GError **error) {
    return !path || (tt_tree_is_pattern(path) && strchr(path, '/') == NULL) ||
           tt_output_check(path, error);
}

static int find_command(Run *run, GError **error) {
    g_autofree char *why = NULL;
    int code;

    run->path = tt_inspect_find(run->argv[0], &code);
    if (!run->path) {
        refuse(error, TT_TOOLS_ERROR_FAILED, "Cannot run %s: %s", run->argv[0], g_strerror(code));
        return code == ENOENT || code == ENOTDIR ? TT_STATUS_NOT_FOUND : TT_STATUS_NOT_EXECUTABLE;
    }
    why = tt_inspect_why_not(run->path);
    if (!why)
        return TT_STATUS_GOOD;
    refuse(error, TT_TOOLS_ERROR_FAILED, "%s cannot be traced: %s. It was not started", run->path,
           why);
    return TT_STATUS_RUN_FAILED;
}

static gboolean find_daemon(Run *run, GError **error) {
    g_autoptr(GVariant) sessions = NULL;
    g_autoptr(GError) none = NULL;

    run->daemon = tt_daemon_open(&none);
    if (!run->daemon)
        run->daemon = tt_daemon_start(error);
    if (!run->daemon || !tt_ask_view(run->daemon, &run->picture, error))
        return FALSE;
    if (!tt_daemon1_call_list_sync(run->daemon->proxy, &sessions, NULL, error))
        return tt_ask_explain(run->daemon, error);
    run->before = tt_tree_get_ids(sessions);
    run->order_before = tt_tree_get_last_order(sessions);
    return TRUE;
}

static gboolean make_environment(Run *run, GError **error) {
    g_autofree char *client = tt_client_find(error);
    g_autofree char *preload = NULL;

    if (!client)
        return FALSE;
    preload = tt_client_make_preload(client, g_getenv("LD_PRELOAD"), &run->client_dir, error);
    if (!preload)
        return FALSE;
    run->environment = g_get_environ();
    run->environment = g_environ_setenv(run->environment, "LD_PRELOAD", preload, TRUE);
    run->environment =
        g_environ_setenv(run->environment, "TT_SOCKET_DIR", run->daemon->socket_dir, TRUE);
    run->environment = g_environ_setenv(run->environment, "TT_LOSSLESS", "1", FALSE);
    return TRUE;
}

/* The last thing before CMD's start: what is there already is given up only now. */
static gboolean start_recording(Run *run, GError **error) {
    if (!run->asked.record)
        return TRUE;
    run->recording = tt_recording_file_open(run->asked.record, error);
    return run->recording && tt_recording_file_start(run->recording, run->daemon, TRUE, error);
}

/* Up to CMD's start. Returns the status where it was not started. */
static int prepare(Run *run, GError **error) {
    int status;

    if (!check_environment(error) || !check_output(run->asked.json, error) ||
        !check_output(run->asked.svg, error) ||
        (run->asked.record && !tt_recording_file_check(run->asked.record, error)))
        return g_error_matches(*error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE) ? TT_STATUS_USAGE
                                                                             : TT_STATUS_RUN_FAILED;
    status = find_command(run, error);
    if (status != TT_STATUS_GOOD)
        return status;
    if (!find_daemon(run, error))
        return g_error_matches(*error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE) ? TT_STATUS_USAGE
                                                                             : TT_STATUS_RUN_FAILED;
    return make_environment(run, error) && start_recording(run, error) ? TT_STATUS_GOOD
                                                                       : TT_STATUS_RUN_FAILED;
}

/* Has the daemon learn how CMD ended, and read all that it left. */
static gboolean settle(Run *run, GError **error) {
    gboolean all_ended = FALSE;

    if (!tt_daemon_reopen(run->daemon, error))
        return FALSE;
    if (!tt_daemon1_call_set_exit_status_sync(run->daemon->proxy, run->pid, run->wait_status, NULL,
                                              error))
        return tt_ask_explain(run->daemon, error);
    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(run->daemon->proxy),
                                     (gint)DRAIN_MS + TT_DAEMON_CALL_MS);
    if (!tt_daemon1_call_wait_ended_sync(run->daemon->proxy, run->pid, DRAIN_MS, &all_ended, NULL,
                                         error))
        return tt_ask_explain(run->daemon, error);
    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(run->daemon->proxy), TT_DAEMON_CALL_MS);
    if (!all_ended)
        tt_say("tt-daemon is still reading the events of %s: the last ones may be missing",
               run->argv[0]);
    return TRUE;
}

static gboolean export_one(Run *run, const char *format, const char *path, GVariant *session,
                           GError **error) {
    return tt_ask_export_to(run->daemon, tt_list_get_text(session, "id"), format, &run->picture,
                            path, error);
}

/* A file for each session; where two have one name (%p alone, and an image that replaced another)
 * the later one's. */
static gboolean export_each(Run *run, const char *format, const char *pattern, GPtrArray *family,
                            GError **error) {
    g_autoptr(GHashTable) written = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    guint skipped = 0;

    for (guint i = family->len; i > 0; i--) {
        GVariant *session = g_ptr_array_index(family, i - 1);
        char *path = tt_tree_expand(pattern, session);

        if (!g_hash_table_add(written, path))
            skipped++;
        else if (!export_one(run, format, path, session, error))
            return FALSE;
    }
    if (skipped > 0)
        tt_say("%u earlier image%s of the same process had no file name of %s own: put %%s into it",
               skipped, skipped == 1 ? "" : "s", skipped == 1 ? "its" : "their");
    return TRUE;
}

static gboolean export_format(Run *run, const char *format, const char *path, GPtrArray *family,
                              GError **error) {
    g_autofree char *plain = NULL;
    GVariant *last;

    if (!path)
        return TRUE;
    if (tt_tree_is_pattern(path))
        return export_each(run, format, path, family, error);
    last = tt_tree_find_last(family, run->pid);
    plain = tt_tree_expand(path, last); /* "%%" */
    return export_one(run, format, plain, last, error);
}

static gboolean summarize(Run *run, GPtrArray *family, GError **error) {
    GVariant *last = tt_tree_find_last(family, run->pid);
    g_autoptr(GVariant) figures = NULL;
    g_autofree char *text = NULL;

    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(run->daemon->proxy), DESCRIBE_MS);
    if (!tt_daemon1_call_describe_sync(run->daemon->proxy, tt_list_get_text(last, "id"), &figures,
                                       NULL, error))
        return tt_ask_explain(run->daemon, error);
    text = tt_summary_write(figures, run->wait_status, family->len - 1);
    tt_say("%s", text);
    return TRUE;
}

/* A descendant that still runs may start others, which look for the library where it was. */
static void keep_client_dir(Run *run, GPtrArray *family) {
    for (guint i = 0; i < family->len; i++) {
        if (g_str_equal(tt_list_get_text(g_ptr_array_index(family, i), "state"), "running")) {
            g_clear_pointer(&run->client_dir, g_free);
            return;
        }
    }
}

/* The daemon keeps so many of those that ended, and all may have been asked for. */
static void tell_gone(const Run *run, GVariant *sessions) {
    guint64 gone = tt_tree_count_gone(sessions, run->order_before);

    if (gone > 0)
        tt_say("%" G_GUINT64_FORMAT
               " session%s that began and ended meanwhile %s been given up for "
               "later ones%s: tt-ctl run --record=F keeps all",
               gone, gone == 1 ? "" : "s", gone == 1 ? "has" : "have",
               run->daemon->pid > 0 ? "" : ", by tt-daemon's --sessions or --memory-limit");
}

/* Whether something was asked of CMD's own process, and not of all. */
static gboolean needs_own_session(const Run *run) {
    const Asked *asked = &run->asked;

    return (!asked->json && !asked->svg) || run->leaks ||
           (asked->json && !tt_tree_is_pattern(asked->json)) ||
           (asked->svg && !tt_tree_is_pattern(asked->svg));
}

static gboolean report_leaks(Run *run, GPtrArray *family, GError **error) {
    GVariant *last = tt_tree_find_last(family, run->pid);
    gboolean holds;

    if (!tt_leaks_write_ended(run->leaks, run->daemon, tt_list_get_text(last, "id"), run->watch,
                              &holds, error))
        return FALSE;
    run->has_failed = !holds;
    return TRUE;
}

/* What is left to do when CMD has ended. */
static gboolean report(Run *run, GError **error) {
    g_autoptr(GVariant) sessions = NULL;
    g_autoptr(GPtrArray) family = NULL;

    if (!settle(run, error))
        return FALSE;
    if (run->recording)
        (void)tt_recording_file_stop(run->recording, run->daemon, &run->record_error);
    if (!tt_daemon1_call_list_sync(run->daemon->proxy, &sessions, NULL, error))
        return tt_ask_explain(run->daemon, error);
    family = tt_tree_find(sessions, run->before, run->daemon->pid > 0 ? 0 : run->pid);
    keep_client_dir(run, family);
    if (!run->asked.record || run->asked.json || run->asked.svg)
        tell_gone(run, sessions);
    if (family->len == 0 || (needs_own_session(run) && !tt_tree_find_last(family, run->pid)))
        return refuse(error, TT_TOOLS_ERROR_FAILED,
                      "%s ran, but no session of it appeared: it was not traced", run->argv[0]);
    if (!run->asked.json && !run->asked.svg && !run->leaks)
        return summarize(run, family, error);
    return export_format(run, "json", run->asked.json, family, error) &&
           export_format(run, "svg", run->asked.svg, family, error) &&
           (!run->leaks || report_leaks(run, family, error));
}

static int run_command(Run *run) {
    gboolean has_output = run->asked.json || run->asked.svg || run->asked.record || run->leaks;
    g_autoptr(GError) error = NULL;
    int status = prepare(run, &error);
    int code = 0;

    if (status != TT_STATUS_GOOD) {
        tt_say_error(error);
        return status;
    }
    run->pid = tt_child_spawn(run->start, run->path, run->argv, run->environment,
                              run->leaks ? &run->watch : NULL, &code);
    if (run->pid == 0) {
        tt_say("Cannot run %s: %s", run->path, g_strerror(code));
        return code == ENOENT ? TT_STATUS_NOT_FOUND : TT_STATUS_NOT_EXECUTABLE;
    }
    run->wait_status = tt_child_wait(run->pid, run->watch);
    status = tt_child_status(run->wait_status);
    if (report(run, &error) && !run->record_error)
        return run->has_failed ? TT_STATUS_ASSERTION : status;
    if (run->record_error)
        tt_say_error(run->record_error);
    if (error)
        tt_say_error(error);
    /* A summary is a courtesy; a document that was asked for and is not there is a failure. */
    if (!has_output)
        return status;
    if (error && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
        return TT_STATUS_RUN_FAILED;
    tt_say("What was asked for was not written in whole; %s ended with status %d", run->argv[0],
           status);
    return TT_STATUS_RUN_FAILED;
}

int tt_run_for_leaks(char **argv, const TtLeaks *leaks, const TtChildStart *start) {
    g_auto(Run) run = {.start = start, .leaks = leaks, .argv = argv};
    g_autoptr(GError) error = NULL;

    if (!check_usage(&run.asked, (const char **)argv, &error))
        return tt_say_error(error);
    return run_command(&run);
}

int tt_command_run(char **argv, const TtChildStart *start) {
    g_auto(TtLeaks) leaks = {0};
    g_auto(Run) run = {.start = start};
    Asked *asked = &run.asked;
    const TtOption options[] = {
        {"json", TT_OPTION_OPTIONAL, &asked->json},
        {"svg", TT_OPTION_OPTIONAL, &asked->svg},
        {"view", TT_OPTION_REQUIRED, &asked->view},
        {"top", TT_OPTION_REQUIRED, &asked->top},
        {"full", TT_OPTION_FLAG, &asked->full},
        {"record", TT_OPTION_REQUIRED, &asked->record},
        {"leaks", TT_OPTION_OPTIONAL, &asked->leaks},
        TT_LEAKS_OPTIONS(&leaks),
        {"help", TT_OPTION_FLAG, &asked->help},
        {0},
    };
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    g_autofree char *view = NULL;
    g_autoptr(GError) error = NULL;

    if (!tt_args_parse(argv, options, TRUE, words, &error))
        return tt_say_error(error);
    if (asked->help)
        return tt_command_print(help);
    view = asked->view ? tt_args_to_text(asked->view) : NULL;
    if (!check_usage(asked, words, &error) ||
        !tt_command_read_picture(view, asked->top, NULL, &run.picture, &error))
        return tt_say_error(error);
    run.picture.is_full = asked->full != NULL;
    leaks.path = asked->leaks;
    leaks.top_word = asked->top;
    if (!tt_leaks_read(&leaks, &error))
        return tt_say_error(error) == TT_STATUS_USAGE ? TT_STATUS_USAGE : TT_STATUS_RUN_FAILED;
    run.leaks = asked->leaks ? &leaks : NULL;
    run.argv = (char **)words;
    return run_command(&run);
}
