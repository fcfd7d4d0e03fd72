/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl leaks. Copies the memory of a running process, or of CMD at its end; the daemon, which has
 * the blocks, judges it. */
#include "tools/leaks.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/capture.h"
#include "tools/command.h"
#include "tools/list.h"
#include "tools/output.h"
#include "tools/recording.h"
#include "tools/run.h"
#include "tools/stop.h"

#define SUPPRESSIONS_BYTES_MAX (1u << 20)

static const char help[] =
    "Usage: tt-ctl leaks [TARGET] [--json[=F]] [--show=CLASSES] [--top=N] [--suppressions=F]\n"
    "                    [--fail-on=CLASSES] [--from=RECORDING]\n"
    "       tt-ctl leaks [OPTIONS] -- CMD ...\n"
    "\n"
    "Tells which blocks are lost: of a running program, which stands still for as long as its\n"
    "memory is copied, or of CMD at its end, however it ends. TARGET as for tt-ctl export.\n"
    "\n"
    "  definite   nothing points to them\n"
    "  indirect   only lost blocks point to them\n"
    "  possible   only pointers into their middle are left\n"
    "  reachable  the program can still get at them\n"
    "  alive      not freed: all that is known without the memory, of what had ended and of\n"
    "             recordings\n"
    "  growing    stacks whose blocks stay and become more all the time; estimated\n"
    "\n"
    "  --json[=F]         as JSON, every stack, to F or standard output\n"
    "  --show=CLASSES     whose stacks are listed, as definite,possible (which is so without it,\n"
    "                     and alive); all\n"
    "  --top=N            how many stacks of each; without, 20 as text and all as JSON\n"
    "  --suppressions=F   leaves out stacks that a line leak:PATTERN of F is found in (function,\n"
    "                     file or module; *, ^ and $ as LeakSanitizer has them)\n"
    "  --fail-on=CLASSES  status 3 where there is one of these, as definite,growing\n"
    "  --from=F           a session of recording F\n"
    "\n"
    "Status: 0; 3 by --fail-on; of CMD its own otherwise.\n";

static const char *const classes[] = {"definite",  "indirect", "possible",
                                      "reachable", "alive",    "growing"};

#define CLASS_ALIVE 4u
#define CLASS_GROWING 5u
#define SHOWS_USUALLY (1u << 0 | 1u << 2 | 1u << CLASS_ALIVE)

/* ---- What is asked ---- */

/* "definite,possible", "all": a bit each. */
static gboolean read_classes(const char *option, const char *word, guint *ret_bits,
                             GError **error) {
    g_auto(GStrv) names = g_strsplit(word, ",", -1);
    guint bits = 0;

    for (char **name = names; *name; name++) {
        guint i = 0;

        while (i < G_N_ELEMENTS(classes) && !g_str_equal(*name, classes[i]))
            i++;
        if (i == G_N_ELEMENTS(classes) && !g_str_equal(*name, "all"))
            return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE,
                               "%s=%s: there are definite, indirect, possible, reachable, alive, "
                               "growing and all, with commas between them",
                               option, word),
                   FALSE;
        bits |= i == G_N_ELEMENTS(classes) ? (1u << G_N_ELEMENTS(classes)) - 1 : 1u << i;
    }
    if (bits == 0)
        return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE, "%s= names no class",
                           option),
               FALSE;
    *ret_bits = bits;
    return TRUE;
}

/* The daemon reads them, after CMD has ended: what it would refuse is told before that is started.
 */
static gboolean check_suppressions(const TtLeaks *leaks, GError **error) {
    g_auto(GStrv) lines = g_strsplit(leaks->suppressions, "\n", -1);

    for (guint i = 0; lines[i]; i++) {
        const char *line = g_strstrip(lines[i]);

        if (*line != '\0' && *line != '#' &&
            (!g_str_has_prefix(line, "leak:") || g_str_equal(line, "leak:")))
            return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                               "Line %u of %s is not leak:PATTERN, which is all that is known here",
                               i + 1, leaks->suppressions_path),
                   FALSE;
    }
    return TRUE;
}

static gboolean read_suppressions(TtLeaks *leaks, GError **error) {
    g_autoptr(GError) why = NULL;
    gsize len;

    if (!leaks->suppressions_path)
        return TRUE;
    if (!g_file_get_contents(leaks->suppressions_path, &leaks->suppressions, &len, &why))
        return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                           "Cannot read the suppressions: %s", why->message),
               FALSE;
    if (len > SUPPRESSIONS_BYTES_MAX || !g_utf8_validate(leaks->suppressions, (gssize)len, NULL))
        return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                           "%s is no file of suppressions: text of at most a mebibyte",
                           leaks->suppressions_path),
               FALSE;
    return check_suppressions(leaks, error);
}

gboolean tt_leaks_read(TtLeaks *leaks, GError **error) {
    TtPicture picture = {0};

    leaks->shows = SHOWS_USUALLY;
    if ((leaks->shows_word && !read_classes("--show", leaks->shows_word, &leaks->shows, error)) ||
        (leaks->fail_on_word &&
         !read_classes("--fail-on", leaks->fail_on_word, &leaks->fails_on, error)) ||
        !tt_command_read_picture(NULL, leaks->top_word, NULL, &picture, error))
        return FALSE;
    leaks->top = picture.top;
    return read_suppressions(leaks, error);
}

void tt_leaks_clear(TtLeaks *leaks) { g_clear_pointer(&leaks->suppressions, g_free); }

/* ---- Asking the daemon ---- */

/* What is known of the process's memory. */
typedef struct Source {
    int image_fd; /* -1: nothing */
    int from_fd;  /* a recording; -1: none */
    char *why_not;
    TtStop *stop; /* the process stands still until the daemon has its state; or NULL */
} Source;

#define SOURCE_NONE                                                                                \
    { .image_fd = -1, .from_fd = -1 }

static void source_clear(Source *source) {
    if (source->image_fd >= 0)
        close(source->image_fd);
    if (source->from_fd >= 0)
        close(source->from_fd);
    g_clear_pointer(&source->stop, tt_stop_free);
    g_clear_pointer(&source->why_not, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Source, source_clear)

static void let_go(gpointer data) {
    Source *source = data;

    g_clear_pointer(&source->stop, tt_stop_free);
}

static gboolean add_fd(GVariantDict *options, const char *key, GUnixFDList *fds, int fd,
                       GError **error) {
    gint handle = g_unix_fd_list_append(fds, fd, error);

    if (handle >= 0)
        g_variant_dict_insert_value(options, key, g_variant_new_handle(handle));
    return handle >= 0;
}

/* @taken_fd: -1: nobody waits */
static gboolean fill_options(GVariantDict *options, GUnixFDList *fds, const TtLeaks *leaks,
                             const Source *source, int taken_fd, GError **error) {
    g_variant_dict_insert(options, "shows", "u", leaks->shows);
    if (leaks->top > 0)
        g_variant_dict_insert(options, "top", "u", leaks->top);
    if (leaks->suppressions)
        g_variant_dict_insert(options, "suppressions", "s", leaks->suppressions);
    if (source->why_not)
        g_variant_dict_insert(options, "why_not", "s", source->why_not);
    if (!leaks->json && tt_output_is_stdout(leaks->path) && tt_ask_get_columns() > 0)
        g_variant_dict_insert(options, "columns", "u", tt_ask_get_columns());
    return (source->image_fd < 0 || add_fd(options, "image", fds, source->image_fd, error)) &&
           (source->from_fd < 0 || add_fd(options, "from", fds, source->from_fd, error)) &&
           (taken_fd < 0 || add_fd(options, "taken", fds, taken_fd, error));
}

static gboolean ask(const TtLeaks *leaks, TtDaemon *daemon, const char *target, Source *source,
                    int fd, GVariant **ret_found, GError **error) {
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    g_auto(GVariantDict) options = G_VARIANT_DICT_INIT(NULL);
    int taken[2] = {-1, -1};
    TtAskWaiter waiter = {.done = let_go, .data = source};
    gboolean is_done;

    if (source->stop && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, taken) < 0)
        return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                           "Cannot talk to tt-daemon: %s", g_strerror(errno)),
               FALSE;
    waiter.fd = taken[0];
    is_done = g_unix_fd_list_append(fds, fd, error) >= 0 &&
              fill_options(&options, fds, leaks, source, taken[1], error) &&
              tt_ask_leaks(daemon,
                           g_variant_new("(ss@a{sv}h)", target, leaks->json ? "json" : "text",
                                         g_variant_dict_end(&options), 0),
                           fds, source->stop ? &waiter : NULL, ret_found, error);
    for (int i = 0; i < 2; i++)
        if (taken[i] >= 0)
            close(taken[i]);
    return is_done;
}

/* ---- What was found ---- */

static guint64 get_figure(GVariant *found, const char *name) {
    guint64 value = 0;

    g_variant_lookup(found, name, "t", &value);
    return value;
}

/* Whether none of what --fail-on names was found. */
static gboolean judge(const TtLeaks *leaks, GVariant *found, const Source *source,
                      gboolean *ret_holds, GError **error) {
    gboolean has_classes = g_variant_lookup(found, "definite_blocks", "t", NULL);
    guint unknown = has_classes ? 0 : (1u << CLASS_ALIVE) - 1;

    *ret_holds = TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(classes); i++) {
        g_autofree char *key =
            i == CLASS_GROWING ? g_strdup("growing") : g_strconcat(classes[i], "_blocks", NULL);

        if ((leaks->fails_on & (1u << i)) && get_figure(found, key) > 0)
            *ret_holds = FALSE;
    }
    if (*ret_holds && (leaks->fails_on & unknown) && leaks->fails_on != (1u << 6) - 1)
        return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                           "--fail-on=%s cannot be told: %s", leaks->fail_on_word,
                           source->why_not ? source->why_not
                                           : "the memory of the process is gone, or was not looked "
                                             "at"),
               FALSE;
    return TRUE;
}

static gboolean write_report(const TtLeaks *leaks, TtDaemon *daemon, const char *target,
                             Source *source, gboolean *ret_holds, GError **error) {
    g_autoptr(TtOutput) output = tt_output_open(leaks->json ? leaks->json : leaks->path, error);
    g_autoptr(GVariant) found = NULL;

    return output && ask(leaks, daemon, target, source, tt_output_get_fd(output), &found, error) &&
           tt_output_commit(output, error) && judge(leaks, found, source, ret_holds, error);
}

gboolean tt_leaks_write_ended(const TtLeaks *leaks, TtDaemon *daemon, const char *session,
                              TtWatch *watch, gboolean *ret_holds, GError **error) {
    g_auto(Source) source = SOURCE_NONE;
    g_autoptr(GError) why = NULL;

    source.image_fd = tt_watch_take_image(watch, &why);
    if (why)
        source.why_not = g_strconcat(why->message, ".", NULL);
    return write_report(leaks, daemon, session, &source, ret_holds, error);
}

/* ---- A running process ---- */

static gboolean is_running(TtDaemon *daemon, const char *session) {
    g_autoptr(GVariant) sessions = NULL;
    GVariantIter iter;
    GVariant *boxed;
    gboolean is_found = FALSE;

    if (!tt_daemon1_call_list_sync(daemon->proxy, &sessions, NULL, NULL))
        return FALSE;
    g_variant_iter_init(&iter, sessions);
    while ((boxed = g_variant_iter_next_value(&iter))) {
        if (g_str_equal(tt_list_get_text(boxed, "id"), session))
            is_found = g_str_equal(tt_list_get_text(boxed, "state"), "running");
        g_variant_unref(boxed);
    }
    return is_found;
}

/* Stops the process and copies its memory. Of what is no longer its session nothing is copied. */
static gboolean look(TtDaemon *daemon, const char *session, gint pid, Source *source,
                     GError **error) {
    if (!is_running(daemon, session))
        return TRUE;
    source->stop = tt_stop_new(pid, error);
    if (!source->stop)
        return FALSE;
    /* While it stands still its number is nobody else's. */
    if (!is_running(daemon, session)) {
        g_clear_pointer(&source->stop, tt_stop_free);
        return TRUE;
    }
    source->image_fd =
        tt_capture(pid, tt_stop_get_tids(source->stop), tt_stop_get_since_ns(source->stop), error);
    return source->image_fd >= 0;
}

static gboolean report_kept(const TtLeaks *leaks, const char *target, gboolean *ret_holds,
                            GError **error) {
    g_autoptr(TtDaemon) daemon = tt_daemon_open(error);
    g_auto(Source) source = SOURCE_NONE;
    g_autofree char *session = NULL;
    g_autofree char *name = NULL;
    gint pid;

    if (!daemon)
        return FALSE;
    if (!tt_daemon1_call_resolve_sync(daemon->proxy, target, &session, &pid, &name, NULL, error))
        return tt_ask_explain(daemon, error);
    return look(daemon, session, pid, &source, error) &&
           write_report(leaks, daemon, session, &source, ret_holds, error);
}

/* ---- A recording ---- */

static gboolean report_recorded(const TtLeaks *leaks, const char *from, const char *target,
                                gboolean *ret_holds, GError **error) {
    g_autoptr(TtDaemon) daemon = NULL;
    g_auto(Source) source = SOURCE_NONE;

    source.from_fd = tt_recording_open_to_read(from, error);
    if (source.from_fd < 0)
        return FALSE;
    source.why_not = g_strdup("A recording has no memory, so it cannot be told what was lost: "
                              "blocks are told as alive at the end.");
    daemon = tt_daemon_open(NULL);
    if (!daemon)
        daemon = tt_daemon_start(error);
    return daemon && write_report(leaks, daemon, target, &source, ret_holds, error);
}

/* ---- The command ---- */

/* The words up to "--", of which a CMD follows; %NULL: there is none. */
static char **find_command(char **argv) {
    while (*argv && !g_str_equal(*argv, "--"))
        argv++;
    return *argv ? argv : NULL;
}

static gboolean check(const char *const *words, gboolean has_command, const char *from,
                      GError **error) {
    const char *why = NULL;

    if (*words && words[1])
        why = "leaks takes one TARGET: see tt-ctl leaks --help";
    else if (has_command && (*words || from))
        why = "leaks takes a TARGET, a recording or a CMD: one of them";
    if (why)
        g_set_error_literal(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE, why);
    return !why;
}

int tt_command_leaks(char **argv, const TtChildStart *start) {
    g_auto(TtLeaks) leaks = {0};
    const char *from = NULL, *wants_help = NULL;
    const TtOption options[] = {
        {"json", TT_OPTION_OPTIONAL, &leaks.json},
        {"top", TT_OPTION_REQUIRED, &leaks.top_word},
        {"from", TT_OPTION_REQUIRED, &from},
        {"help", TT_OPTION_FLAG, &wants_help},
        TT_LEAKS_OPTIONS(&leaks),
        {0},
    };
    g_autofree const char **words = g_new(const char *, g_strv_length(argv) + 1);
    char **command = find_command(argv);
    g_autofree char *target = NULL;
    g_autoptr(GError) error = NULL;
    gboolean holds = TRUE;

    if (command)
        *command = NULL; /* what comes before it is ours */
    if (!tt_args_parse(argv, options, FALSE, words, &error))
        return tt_say_error(error);
    if (wants_help)
        return tt_command_print(help);
    if (!check(words, command != NULL, from, &error) || !tt_leaks_read(&leaks, &error))
        return tt_say_error(error);
    if (command)
        return tt_run_for_leaks(command + 1, &leaks, start);
    target = tt_args_to_text(*words ? *words : "");
    if (!(from ? report_recorded(&leaks, from, target, &holds, &error)
               : report_kept(&leaks, target, &holds, &error)))
        return tt_say_error(error);
    return holds ? TT_STATUS_GOOD : TT_STATUS_ASSERTION;
}
