/* SPDX-License-Identifier: Apache-2.0 */
/* tt-daemon: options, signals, and the one root from which all else hangs. */
#include <errno.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "control/control.h"
#include "control/export.h"
#include "intake/intake.h"
#include "service.h"

enum { EXIT_USAGE = 2 };

#define HISTORY_BLOCKS 100000
#define HISTORY_MAX 1000000000
#define ENDED_SESSIONS_MAX 1000000
#define LEAST_JOURNALS ((gsize)1 << 20)
#define LEAST_MEMORY ((gsize)16 << 20)
#define EXIT_BOUND_MS 4500u
#define WATCHDOG_LOOKS 4u /* within the time that the service manager gives us */

typedef struct Options {
    char *socket_dir;
    gsize memory_limit_bytes;
    gsize history_blocks;
    guint ended_sessions; /* 0: intake's own */
    char *journal_dir;
    gsize journal_limit_bytes; /* 0: intake's own */
    gboolean wants_version;
} Options;

/* The daemon. Owned by main's frame. */
typedef struct Root {
    GMainLoop *loop;
    TtService service;
    TtJournals *journals; /* NULL: none */
    TtIntake *intake;
    TtExporter *exporter; /* NULL: none yet, or none any more */
    TtControl *control;
    guint watchdog;      /* its timer; 0: nobody watches us */
    gboolean has_warned; /* that a worker does not answer */
} Root;

static gboolean refuse_option(GError **error, const char *sentence) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, sentence);
    return FALSE;
}

static gboolean parse_options(int *argc, char ***argv, Options *options, GError **error) {
    g_autofree char *memory = NULL, *history = NULL, *sessions = NULL, *journals = NULL;
    guint64 number;
    const GOptionEntry entries[] = {
        {"socket-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->socket_dir,
         "Listen in DIR rather than where the environment says", "DIR"},
        {"memory-limit", 0, 0, G_OPTION_ARG_STRING, &memory,
         "Keep to SIZE bytes of memory (K, M, G may follow)", "SIZE"},
        {"history", 0, 0, G_OPTION_ARG_STRING, &history,
         "Keep the last N freed blocks of a session in full (100000)", "N"},
        {"sessions", 0, 0, G_OPTION_ARG_STRING, &sessions,
         "Keep the last N sessions that have ended (64)", "N"},
        {"journal", 0, 0, G_OPTION_ARG_FILENAME, &options->journal_dir,
         "Write sessions down in DIR as they go on, so that the next daemon knows them", "DIR"},
        {"journal-limit", 0, 0, G_OPTION_ARG_STRING, &journals,
         "Keep all files there to SIZE bytes (2G, or a quarter of what the disk has left)", "SIZE"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->wants_version, "Show the version", NULL},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- receives what programs trace");

    *options = (Options){
        .history_blocks = HISTORY_BLOCKS,
    };
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error))
        return FALSE;
    if (*argc > 1)
        return refuse_option(error, "tt-daemon takes options alone, no arguments");
    if (memory && (!tt_limits_parse_size(memory, &options->memory_limit_bytes) ||
                   options->memory_limit_bytes < LEAST_MEMORY))
        return refuse_option(error, "--memory-limit is a number of bytes, at least 16M, such as "
                                    "512M or 2G");
    if (journals && (!tt_limits_parse_size(journals, &options->journal_limit_bytes) ||
                     options->journal_limit_bytes < LEAST_JOURNALS))
        return refuse_option(error, "--journal-limit is a number of bytes, at least 1M, such as "
                                    "512M or 2G");
    if (journals && !options->journal_dir)
        return refuse_option(error, "--journal-limit is of the files that --journal=DIR writes");
    if (history) {
        if (!g_ascii_string_to_unsigned(history, 10, 0, HISTORY_MAX, &number, NULL))
            return refuse_option(error, "--history is a number of blocks, 0 to 1000000000");
        options->history_blocks = (gsize)number;
    }
    if (sessions) {
        if (!g_ascii_string_to_unsigned(sessions, 10, 1, ENDED_SESSIONS_MAX, &number, NULL))
            return refuse_option(error, "--sessions is a number of sessions, 1 to 1000000");
        options->ended_sessions = (guint)number;
    }
    return TRUE;
}

/* We trace, and are not traced, and neither are our children. Before there is another thread. */
static void clean_environment(void) {
    g_auto(GStrv) names = g_listenv();

    for (char **name = names; *name; name++)
        if (g_str_has_prefix(*name, "TT_") || strcmp(*name, "LD_PRELOAD") == 0)
            g_unsetenv(*name);
}

/* -- A program asks for its own export -------------------------------------------------------- */

static void on_export(gpointer data, const guint8 *session_id, TtExportFormat format, int fd,
                      gpointer request) {
    Root *root = data;

    if (root->exporter) {
        tt_exporter_export_fd(root->exporter, session_id, format, fd, tt_intake_answer_export,
                              request);
        return;
    }
    close(fd);
    tt_intake_answer_export(request, ESHUTDOWN, "The daemon is about to end");
}

/* -- Watchdog --------------------------------------------------------------------------------- */

/* That this is called shows that the main loop runs. A worker that is late has until the last look
 * before the manager ends us. */
static gboolean on_watchdog(gpointer data) {
    Root *root = data;

    if (tt_intake_have_workers_answered(root->intake)) {
        tt_manager_notify("WATCHDOG=1");
        root->has_warned = FALSE;
    } else if (!root->has_warned) {
        g_warning("A worker has not answered for a while: unless it does, the service manager "
                  "starts the daemon anew");
        root->has_warned = TRUE;
    }
    return G_SOURCE_CONTINUE;
}

static void begin_watchdog(Root *root) {
    guint64 bound_ms = MIN(tt_manager_get_watchdog_us() / 1000, G_MAXUINT);

    if (bound_ms > 0)
        root->watchdog = g_timeout_add(MAX((guint)bound_ms / WATCHDOG_LOOKS, 1), on_watchdog, root);
}

static void end_watchdog(Root *root) {
    if (root->watchdog > 0)
        g_source_remove(root->watchdog);
    root->watchdog = 0;
}

/* -- Life ------------------------------------------------------------------------------------- */

static gboolean on_signal(gpointer data) {
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

/* A reader that does not read must not keep us: whatever hangs, the process ends. */
static gpointer end_in_time(gpointer data) {
    (void)data;
    g_usleep(EXIT_BOUND_MS * 1000);
    _exit(EXIT_SUCCESS);
}

static gboolean start(Root *root, const Options *options, GError **error) {
    TtIntakeOptions intake_options = {
        .memory_limit_bytes = options->memory_limit_bytes,
        .history_blocks = options->history_blocks,
        .ended_sessions = options->ended_sessions,
    };

    if (options->journal_dir) {
        root->journals = tt_journals_new(options->journal_dir, options->journal_limit_bytes, error);
        if (!root->journals)
            return FALSE;
        intake_options.journals = root->journals;
    }
    if (!tt_service_open(&root->service, options->socket_dir, error))
        return FALSE;
    clean_environment();
    root->intake =
        tt_intake_new(g_steal_fd(&root->service.events_fd), &intake_options, on_export, root);
    tt_intake_adopt(root->intake, root->service.stored);
    root->exporter = tt_exporter_new(root->intake);
    root->control =
        tt_control_new(g_steal_fd(&root->service.control_fd), root->intake, root->exporter, error);
    return root->control != NULL;
}

/* The sockets go first: who comes now finds no daemon, rather than one that is about to end. */
static void stop(Root *root) {
    tt_service_close(&root->service);
    g_clear_pointer(&root->control, tt_control_free);
    g_clear_pointer(&root->exporter, tt_exporter_free);
    g_clear_pointer(&root->intake, tt_intake_free);
    g_clear_pointer(&root->journals, tt_journals_free);
}

static int serve(const Options *options) {
    g_autoptr(GError) error = NULL;
    Root root = {.loop = g_main_loop_new(NULL, FALSE)};
    int status = EXIT_SUCCESS;

    g_unix_signal_add(SIGTERM, on_signal, root.loop);
    g_unix_signal_add(SIGINT, on_signal, root.loop);
    if (start(&root, options, &error)) {
        tt_manager_notify("READY=1");
        begin_watchdog(&root);
        g_main_loop_run(root.loop);
        end_watchdog(&root);
        tt_manager_notify("STOPPING=1");
        g_thread_unref(g_thread_new("end", end_in_time, NULL));
    } else {
        g_printerr("tt-daemon: %s\n", error->message);
        status = EXIT_FAILURE;
    }
    stop(&root);
    g_main_loop_unref(root.loop);
    return status;
}

int main(int argc, char **argv) {
    g_autoptr(GError) error = NULL;
    Options options;

    setlocale(LC_CTYPE, "");
    g_set_prgname("tt-daemon");
    tt_log_init();
    if (!parse_options(&argc, &argv, &options, &error)) {
        g_printerr("tt-daemon: %s (tt-daemon --help tells more)\n", error->message);
        return EXIT_USAGE;
    }
    if (options.wants_version) {
        printf("tt-daemon %s\n", TT_VERSION);
        return EXIT_SUCCESS;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a lane or a file that may not be so large is an error */
    umask(077);
    int status = serve(&options);
    g_free(options.socket_dir);
    g_free(options.journal_dir);
    return status;
}
