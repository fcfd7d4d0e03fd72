/* SPDX-License-Identifier: Apache-2.0 */
/* Every method of org.tracetools.Daemon1. Arguments have the types that the interface says, for
 * GDBus has checked that; nothing else of them is trusted. Those that take long are answered when
 * they are done, and belong to the connection that asked: it goes, they go. */
#include "control/methods.h"

#include <string.h>
#include <unistd.h>

#include "control/control.h"
#include "control/error.h"
#include "control/figures.h"
#include "control/recordings.h"
#include "control/target.h"
#include "control/text.h"
#include "report/report.h"
#include "trace-tools-dbus.h"

#define WAIT_MAX_MS 600000u
/* Without a word of it: what is lost, or where that is not known what is alive. */
#define LEAKS_SHOWN (1u << TT_LEAK_DEFINITE | 1u << TT_LEAK_POSSIBLE | 1u << TT_LEAK_ALIVE)

/* The descriptors of a call to Leaks. */
enum { FD_OUTPUT, FD_IMAGE, FD_TAKEN, FD_FROM, LEAKS_FDS };

struct TtMethods {
    TtIntake *intake;     /* not owned */
    TtExporter *exporter; /* not owned */
    TtRecordings *recordings;
    TtDaemon1 *object;
    GQueue pending; /* of Pending, not owned: each frees itself when it is answered */
};

/* A call that is not yet answered. */
typedef struct Pending {
    TtMethods *methods; /* NULL once those are gone */
    GDBusMethodInvocation *invocation;
    GCancellable *cancellable;
    TtLeaksFound found; /* of Leaks */
} Pending;

static GDBusConnection *pending_get_connection(const Pending *pending) {
    return g_dbus_method_invocation_get_connection(pending->invocation);
}

/* Returns: (nullable): NULL where the connection has too many already, and was told so. */
static Pending *pending_new(TtMethods *methods, GDBusMethodInvocation *invocation) {
    GDBusConnection *connection = g_dbus_method_invocation_get_connection(invocation);
    guint count = 0;
    Pending *pending;

    for (const GList *link = methods->pending.head; link; link = link->next)
        count += pending_get_connection(link->data) == connection;
    if (count >= TT_METHODS_PENDING_MAX) {
        g_dbus_method_invocation_return_error(
            invocation, TT_CONTROL_ERROR, TT_CONTROL_ERROR_BUSY,
            "%u calls of this connection wait already: try again when some are done", count);
        return NULL;
    }
    pending = g_new0(Pending, 1);
    pending->methods = methods;
    pending->invocation = g_object_ref(invocation);
    pending->cancellable = g_cancellable_new();
    g_queue_push_tail(&methods->pending, pending);
    return pending;
}

static void pending_free(Pending *pending) {
    if (pending->methods)
        g_queue_remove(&pending->methods->pending, pending);
    g_object_unref(pending->invocation);
    g_object_unref(pending->cancellable);
    g_free(pending);
}

/* An error of another room as one of this. */
static void return_failure(GDBusMethodInvocation *invocation, const GError *error) {
    TtControlError code = TT_CONTROL_ERROR_FAILED;

    if (error->domain == TT_CONTROL_ERROR)
        code = (TtControlError)error->code;
    else if (g_error_matches(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_GONE))
        code = TT_CONTROL_ERROR_NO_SUCH_TARGET;
    else if (g_error_matches(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_BUSY))
        code = TT_CONTROL_ERROR_BUSY;
    g_autofree char *message = tt_text_make_valid(error->message);
    g_dbus_method_invocation_return_error_literal(invocation, TT_CONTROL_ERROR, (gint)code,
                                                  message);
}

/* All sessions, and the one that is meant; NULL where none is, and the caller was told so. */
static const TtSessionCard *find(TtMethods *methods, GDBusMethodInvocation *invocation,
                                 const char *target, GPtrArray **ret_cards) {
    g_autoptr(GPtrArray) cards = tt_intake_list_known(methods->intake);
    g_autoptr(GError) error = NULL;
    const TtSessionCard *card = tt_target_find(cards, target, &error);

    if (!card) {
        return_failure(invocation, error);
        return NULL;
    }
    *ret_cards = g_steal_pointer(&cards);
    return card;
}

static gboolean on_list(TtDaemon1 *object, GDBusMethodInvocation *invocation, gpointer data) {
    TtMethods *methods = data;
    g_autoptr(GPtrArray) cards = tt_intake_list(methods->intake);
    GVariantBuilder sessions;

    g_variant_builder_init(&sessions, G_VARIANT_TYPE("aa{sv}"));
    for (guint i = 0; i < cards->len; i++)
        g_variant_builder_add_value(&sessions, tt_figures_of_card(g_ptr_array_index(cards, i)));
    tt_daemon1_complete_list(object, invocation, g_variant_builder_end(&sessions));
    return TRUE;
}

static gboolean on_resolve(TtDaemon1 *object, GDBusMethodInvocation *invocation, const char *target,
                           gpointer data) {
    g_autoptr(GPtrArray) cards = NULL;
    const TtSessionCard *card = find(data, invocation, target, &cards);
    char hex[TT_SESSION_HEX_BYTES];

    if (card) {
        g_autofree char *name = tt_text_get_name(card->exe);

        tt_text_write_id(card->id, hex);
        tt_daemon1_complete_resolve(object, invocation, hex, card->pid, name);
    }
    return TRUE;
}

static void described(gpointer data, GVariant *figures, const GError *error) {
    Pending *pending = data;

    if (error)
        return_failure(pending->invocation, error);
    else
        g_dbus_method_invocation_return_value(pending->invocation,
                                              g_variant_new("(@a{sv})", figures));
    pending_free(pending);
}

static gboolean on_describe(TtDaemon1 *object, GDBusMethodInvocation *invocation,
                            const char *target, gpointer data) {
    TtMethods *methods = data;
    g_autoptr(GPtrArray) cards = NULL;
    const TtSessionCard *card = find(methods, invocation, target, &cards);
    Pending *pending = card ? pending_new(methods, invocation) : NULL;
    g_autoptr(GError) error = NULL;

    (void)object;
    if (!pending)
        return TRUE;
    if (!tt_exporter_describe(methods->exporter, card, pending->cancellable, described, pending,
                              &error))
        described(pending, NULL, error);
    return TRUE;
}

static void exported(gpointer data, const guint8 *session_id, guint64 bytes, const GError *error) {
    Pending *pending = data;
    char session[TT_SESSION_HEX_BYTES];

    if (error) {
        return_failure(pending->invocation, error);
    } else {
        tt_text_write_id(session_id, session);
        g_dbus_method_invocation_return_value(pending->invocation,
                                              g_variant_new("(st)", session, bytes));
    }
    pending_free(pending);
}

/* As exported(), of leaks. */
static void leaks_exported(gpointer data, const guint8 *session_id, guint64 bytes,
                           const GError *error) {
    Pending *pending = data;
    char session[TT_SESSION_HEX_BYTES];

    if (error) {
        return_failure(pending->invocation, error);
    } else {
        tt_text_write_id(session_id, session);
        g_dbus_method_invocation_return_value(
            pending->invocation,
            g_variant_new("(st@a{st})", session, bytes, tt_figures_of_leaks(&pending->found)));
    }
    pending_free(pending);
}

static gboolean refuse_option(const char *key, const char *why, GError **error) {
    g_set_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT, "Option '%s' %s", key,
                why);
    return FALSE;
}

/* @ret_ask borrows from @options. Those that the question does not know are refused by the rest.
 * @ret_from: the handle of a recording, or -1 */
static gboolean read_options(GVariant *options, TtExportAsk *ret_ask, gint *ret_from,
                             GError **error) {
    gboolean is_state = ret_ask->question == TT_QUESTION_STATE;
    gboolean is_diff = ret_ask->question == TT_QUESTION_DIFF;
    GVariantIter iter;
    const char *key;
    GVariant *boxed;

    g_variant_iter_init(&iter, options);
    while (g_variant_iter_next(&iter, "{&sv}", &key, &boxed)) {
        g_autoptr(GVariant) value = boxed;
        const char *type = g_variant_get_type_string(value);

        if (is_state && g_str_equal(key, "view") && g_str_equal(type, "s"))
            ret_ask->view = g_variant_get_string(value, NULL);
        else if (is_state && g_str_equal(key, "at") && g_str_equal(type, "s"))
            ret_ask->at = g_variant_get_string(value, NULL);
        else if ((is_state || is_diff) && g_str_equal(key, "top") && g_str_equal(type, "u"))
            ret_ask->top = g_variant_get_uint32(value);
        else if (!is_diff && g_str_equal(key, "full") && g_str_equal(type, "b"))
            ret_ask->is_full = g_variant_get_boolean(value);
        else if (g_str_equal(key, "from") && g_str_equal(type, "h"))
            *ret_from = g_variant_get_handle(value);
        else if (!is_state && g_str_equal(key, "columns") && g_str_equal(type, "u"))
            ret_ask->columns = g_variant_get_uint32(value);
        else
            return refuse_option(key, "is not known, or of another type", error);
    }
    return TRUE;
}

static gboolean read_format(const char *format, TtExportAsk *ret_ask, GError **error) {
    gboolean is_state = ret_ask->question == TT_QUESTION_STATE;

    if (g_str_equal(format, "json"))
        ret_ask->format = TT_EXPORT_JSON;
    else if (is_state && g_str_equal(format, "svg"))
        ret_ask->format = TT_EXPORT_SVG;
    else if (!is_state && g_str_equal(format, "text"))
        ret_ask->is_text = TRUE;
    else
        return g_set_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT,
                           "The format can be 'json' or '%s'", is_state ? "svg" : "text"),
               FALSE;
    return TRUE;
}

/* One of the descriptors that came with the call, or -1 with @error set.
 * @count: as many there must be */
static int take_descriptor(GUnixFDList *fd_list, gint handle, gint count, GError **error) {
    int fd = -1;

    if (fd_list && g_unix_fd_list_get_length(fd_list) == count && handle >= 0 && handle < count)
        fd = g_unix_fd_list_get(fd_list, handle, NULL);
    if (fd < 0)
        g_set_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_NOT_WRITABLE, "%s must come with it",
                    count == 1 ? "One descriptor, the output,"
                               : "Two descriptors, the output and the recording,");
    return fd;
}

static gboolean export_recorded(TtMethods *methods, Pending *pending, GUnixFDList *fd_list,
                                gint from, gint output, const char *target, const TtExportAsk *ask,
                                GError **error) {
    int recording_fd = take_descriptor(fd_list, from, 2, error);
    int fd = recording_fd < 0 ? -1 : take_descriptor(fd_list, output, 2, error);

    if (fd < 0) {
        if (recording_fd >= 0)
            close(recording_fd);
        return FALSE;
    }
    return tt_exporter_export_recorded(methods->exporter, recording_fd, target, ask, fd,
                                       pending->cancellable, exported, pending, error);
}

static void start_export_recorded(TtMethods *methods, GDBusMethodInvocation *invocation,
                                  GUnixFDList *fd_list, gint from, gint output, const char *target,
                                  const TtExportAsk *ask) {
    Pending *pending = pending_new(methods, invocation);
    g_autoptr(GError) error = NULL;

    if (pending && !export_recorded(methods, pending, fd_list, from, output, target, ask, &error))
        exported(pending, NULL, 0, error);
}

/* The way of every question that is answered by a document. @ask: what the method itself says. */
static gboolean serve(TtMethods *methods, GDBusMethodInvocation *invocation, GUnixFDList *fd_list,
                      const char *target, const char *format, GVariant *options, GVariant *output,
                      TtExportAsk *ask) {
    gint from = -1;
    g_autoptr(GPtrArray) cards = NULL;
    g_autoptr(GError) error = NULL;
    const TtSessionCard *card;
    Pending *pending;
    int fd;

    if (!read_format(format, ask, &error) || !read_options(options, ask, &from, &error)) {
        return_failure(invocation, error);
        return TRUE;
    }
    if (from >= 0) {
        start_export_recorded(methods, invocation, fd_list, from, g_variant_get_handle(output),
                              target, ask);
        return TRUE;
    }
    card = find(methods, invocation, target, &cards);
    pending = card ? pending_new(methods, invocation) : NULL;
    if (!pending)
        return TRUE;
    fd = take_descriptor(fd_list, g_variant_get_handle(output), 1, &error);
    if (fd < 0 || !tt_exporter_export(methods->exporter, cards, card, ask, fd, pending->cancellable,
                                      exported, pending, &error))
        exported(pending, NULL, 0, error);
    return TRUE;
}

static gboolean on_record(TtDaemon1 *object, GDBusMethodInvocation *invocation,
                          GUnixFDList *fd_list, GVariant *options, GVariant *output,
                          gpointer data) {
    TtMethods *methods = data;
    gboolean is_own = FALSE;
    g_autoptr(GError) error = NULL;
    guint64 number = 0;

    g_variant_lookup(options, "own", "b", &is_own);
    int fd = take_descriptor(fd_list, g_variant_get_handle(output), 1, &error);
    if (fd >= 0)
        number = tt_recordings_start(methods->recordings,
                                     g_dbus_method_invocation_get_connection(invocation), is_own,
                                     fd, &error);
    if (number > 0)
        tt_daemon1_complete_record(object, invocation, NULL, number);
    else
        return_failure(invocation, error);
    return TRUE;
}

static void recorded(gpointer data, guint64 bytes, const GError *error) {
    GDBusMethodInvocation *invocation = data;

    if (error)
        return_failure(invocation, error);
    else
        g_dbus_method_invocation_return_value(invocation, g_variant_new("(t)", bytes));
    g_object_unref(invocation);
}

static gboolean on_stop_recording(TtDaemon1 *object, GDBusMethodInvocation *invocation,
                                  guint64 number, gpointer data) {
    TtMethods *methods = data;
    g_autoptr(GError) error = NULL;

    (void)object;
    if (!tt_recordings_stop(methods->recordings,
                            g_dbus_method_invocation_get_connection(invocation), number, recorded,
                            g_object_ref(invocation), &error))
        recorded(invocation, 0, error);
    return TRUE;
}

static gboolean on_export(TtDaemon1 *object, GDBusMethodInvocation *invocation,
                          GUnixFDList *fd_list, const char *target, const char *format,
                          GVariant *options, GVariant *output, gpointer data) {
    TtExportAsk ask = {.question = TT_QUESTION_STATE};

    (void)object;
    return serve(data, invocation, fd_list, target, format, options, output, &ask);
}

static gboolean on_diff(TtDaemon1 *object, GDBusMethodInvocation *invocation, GUnixFDList *fd_list,
                        const char *target, const char *before, const char *after,
                        const char *format, GVariant *options, GVariant *output, gpointer data) {
    TtExportAsk ask = {.question = TT_QUESTION_DIFF, .since = before, .at = after};

    (void)object;
    return serve(data, invocation, fd_list, target, format, options, output, &ask);
}

static gboolean on_who(TtDaemon1 *object, GDBusMethodInvocation *invocation, GUnixFDList *fd_list,
                       const char *target, guint64 address, const char *format, GVariant *options,
                       GVariant *output, gpointer data) {
    TtExportAsk ask = {.question = TT_QUESTION_LIVES, .addr = address};

    (void)object;
    return serve(data, invocation, fd_list, target, format, options, output, &ask);
}

/* What Leaks alone knows. @ret_handles: image, taken, from; -1 where not given */
static gboolean read_leaks_options(GVariant *options, TtExportAsk *ret_ask, gint *ret_handles,
                                   GError **error) {
    static const char *const handles[] = {"image", "taken", "from"};
    GVariantIter iter;
    const char *key;
    GVariant *boxed;

    g_variant_iter_init(&iter, options);
    while (g_variant_iter_next(&iter, "{&sv}", &key, &boxed)) {
        g_autoptr(GVariant) value = boxed;
        const char *type = g_variant_get_type_string(value);
        guint handle = 0;

        while (handle < G_N_ELEMENTS(handles) && !g_str_equal(key, handles[handle]))
            handle++;
        if (handle < G_N_ELEMENTS(handles) && g_str_equal(type, "h"))
            ret_handles[handle] = g_variant_get_handle(value);
        else if (g_str_equal(key, "suppressions") && g_str_equal(type, "s"))
            ret_ask->leaks.suppressions = g_variant_get_string(value, NULL);
        else if (g_str_equal(key, "why_not") && g_str_equal(type, "s"))
            ret_ask->leaks.why_not = g_variant_get_string(value, NULL);
        else if (g_str_equal(key, "shows") && g_str_equal(type, "u"))
            ret_ask->leaks.shows = g_variant_get_uint32(value);
        else if (g_str_equal(key, "top") && g_str_equal(type, "u"))
            ret_ask->top = g_variant_get_uint32(value);
        else if (g_str_equal(key, "columns") && g_str_equal(type, "u"))
            ret_ask->columns = g_variant_get_uint32(value);
        else
            return refuse_option(key, "is not known, or of another type", error);
    }
    return TRUE;
}

/* The descriptors of a call to Leaks: output, image, taken, from. Those not given are -1. */
static gboolean take_leaks_descriptors(GUnixFDList *fd_list, const gint *handles, int *ret_fds,
                                       GError **error) {
    gint count = 0;

    for (gsize i = 0; i < LEAKS_FDS; i++)
        count += handles[i] >= 0;
    for (gsize i = 0; i < LEAKS_FDS; i++)
        if (handles[i] >= 0 &&
            (ret_fds[i] = take_descriptor(fd_list, handles[i], count, error)) < 0)
            return FALSE;
    return TRUE;
}

static void close_all(int *fds) {
    for (gsize i = 0; i < LEAKS_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Takes @fds. */
static void start_leaks(TtMethods *methods, GDBusMethodInvocation *invocation, int *fds,
                        const char *target, TtExportAsk *ask) {
    g_autoptr(GPtrArray) cards = NULL;
    g_autoptr(GError) error = NULL;
    const TtSessionCard *card = NULL;
    Pending *pending;
    gboolean is_begun;

    if (fds[FD_FROM] < 0 && !(card = find(methods, invocation, target, &cards))) {
        close_all(fds);
        return;
    }
    pending = pending_new(methods, invocation);
    if (!pending) {
        close_all(fds);
        return;
    }
    ask->image_fd = fds[FD_IMAGE];
    ask->taken_fd = fds[FD_TAKEN];
    ask->found = &pending->found;
    if (fds[FD_FROM] >= 0)
        is_begun = tt_exporter_export_recorded(methods->exporter, fds[FD_FROM], target, ask,
                                               fds[FD_OUTPUT], pending->cancellable, leaks_exported,
                                               pending, &error);
    else
        is_begun = tt_exporter_export(methods->exporter, cards, card, ask, fds[FD_OUTPUT],
                                      pending->cancellable, leaks_exported, pending, &error);
    if (!is_begun)
        leaks_exported(pending, NULL, 0, error);
}

static gboolean on_leaks(TtDaemon1 *object, GDBusMethodInvocation *invocation, GUnixFDList *fd_list,
                         const char *target, const char *format, GVariant *options,
                         GVariant *output, gpointer data) {
    TtExportAsk ask = {.question = TT_QUESTION_LEAKS, .leaks = {.shows = LEAKS_SHOWN}};
    gint handles[LEAKS_FDS] = {g_variant_get_handle(output), -1, -1, -1};
    int fds[LEAKS_FDS] = {-1, -1, -1, -1};
    g_autoptr(GError) error = NULL;

    (void)object;
    if (!read_format(format, &ask, &error) ||
        !read_leaks_options(options, &ask, &handles[FD_IMAGE], &error) ||
        !take_leaks_descriptors(fd_list, handles, fds, &error)) {
        close_all(fds);
        return_failure(invocation, error);
        return TRUE;
    }
    start_leaks(data, invocation, fds, target, &ask);
    return TRUE;
}

static gboolean on_mark(TtDaemon1 *object, GDBusMethodInvocation *invocation, const char *target,
                        const char *name, gpointer data) {
    TtMethods *methods = data;
    g_autoptr(GPtrArray) cards = NULL;
    g_autoptr(GError) error = NULL;
    const TtSessionCard *card;

    if (!*name || strlen(name) > TT_STRING_MAX) {
        g_dbus_method_invocation_return_error(invocation, TT_CONTROL_ERROR,
                                              TT_CONTROL_ERROR_INVALID_ARGUMENT,
                                              "A mark's name has 1 to %u bytes", TT_STRING_MAX);
        return TRUE;
    }
    card = find(methods, invocation, target, &cards);
    if (!card)
        return TRUE;
    if (tt_intake_add_mark(methods->intake, card->id, name, &error))
        tt_daemon1_complete_mark(object, invocation);
    else
        return_failure(invocation, error);
    return TRUE;
}

static gboolean set_recording(TtMethods *methods, GDBusMethodInvocation *invocation,
                              const char *target, gboolean is_recording) {
    g_autoptr(GPtrArray) cards = NULL;
    g_autoptr(GError) error = NULL;
    const TtSessionCard *card = find(methods, invocation, target, &cards);

    if (!card)
        return TRUE;
    if (tt_intake_set_recording(methods->intake, card->id, is_recording, &error))
        g_dbus_method_invocation_return_value(invocation, NULL);
    else
        return_failure(invocation, error);
    return TRUE;
}

static gboolean on_start(TtDaemon1 *object, GDBusMethodInvocation *invocation, const char *target,
                         gpointer data) {
    (void)object;
    return set_recording(data, invocation, target, TRUE);
}

static gboolean on_stop(TtDaemon1 *object, GDBusMethodInvocation *invocation, const char *target,
                        gpointer data) {
    (void)object;
    return set_recording(data, invocation, target, FALSE);
}

static gboolean check_pid(GDBusMethodInvocation *invocation, gint pid) {
    if (pid > 0)
        return TRUE;
    g_dbus_method_invocation_return_error_literal(invocation, TT_CONTROL_ERROR,
                                                  TT_CONTROL_ERROR_INVALID_ARGUMENT,
                                                  "A process id is greater than 0");
    return FALSE;
}

static gboolean on_set_exit_status(TtDaemon1 *object, GDBusMethodInvocation *invocation, gint pid,
                                   gint wait_status, gpointer data) {
    TtMethods *methods = data;

    if (check_pid(invocation, pid)) {
        tt_intake_set_exit_status(methods->intake, pid, wait_status);
        tt_daemon1_complete_set_exit_status(object, invocation);
    }
    return TRUE;
}

static void ended(gpointer data, gboolean all_ended) {
    Pending *pending = data;

    g_dbus_method_invocation_return_value(pending->invocation, g_variant_new("(b)", all_ended));
    pending_free(pending);
}

static gboolean on_wait_ended(TtDaemon1 *object, GDBusMethodInvocation *invocation, gint pid,
                              guint timeout_ms, gpointer data) {
    TtMethods *methods = data;
    Pending *pending = check_pid(invocation, pid) ? pending_new(methods, invocation) : NULL;

    (void)object;
    if (pending)
        tt_intake_when_ended(methods->intake, pid, MIN(timeout_ms, WAIT_MAX_MS), ended, pending);
    return TRUE;
}

/* Those of the project's views that this daemon draws. */
static void set_views(TtDaemon1 *object) {
    static const char *const names[] = {"overview", "top", "lifecycles", "timeline", "flame"};
    const char *views[G_N_ELEMENTS(names) + 1] = {NULL};
    gsize count = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (tt_report_has_view(names[i]))
            views[count++] = names[i];
    tt_daemon1_set_views(object, views);
}

TtMethods *tt_methods_new(TtIntake *intake, TtExporter *exporter, const char *socket_dir) {
    TtMethods *methods = g_new0(TtMethods, 1);
    const struct {
        const char *signal;
        GCallback handler;
    } handlers[] = {
        {"handle-list", G_CALLBACK(on_list)},
        {"handle-resolve", G_CALLBACK(on_resolve)},
        {"handle-describe", G_CALLBACK(on_describe)},
        {"handle-export", G_CALLBACK(on_export)},
        {"handle-diff", G_CALLBACK(on_diff)},
        {"handle-who", G_CALLBACK(on_who)},
        {"handle-leaks", G_CALLBACK(on_leaks)},
        {"handle-record", G_CALLBACK(on_record)},
        {"handle-stop-recording", G_CALLBACK(on_stop_recording)},
        {"handle-mark", G_CALLBACK(on_mark)},
        {"handle-start", G_CALLBACK(on_start)},
        {"handle-stop", G_CALLBACK(on_stop)},
        {"handle-set-exit-status", G_CALLBACK(on_set_exit_status)},
        {"handle-wait-ended", G_CALLBACK(on_wait_ended)},
    };

    methods->intake = intake;
    methods->exporter = exporter;
    methods->recordings = tt_recordings_new(intake);
    g_queue_init(&methods->pending);
    methods->object = tt_daemon1_skeleton_new();
    tt_daemon1_set_version(methods->object, TT_VERSION);
    set_views(methods->object);
    g_autofree char *dir = tt_text_make_valid(socket_dir);
    tt_daemon1_set_socket_dir(methods->object, dir);
    for (gsize i = 0; i < G_N_ELEMENTS(handlers); i++)
        g_signal_connect(methods->object, handlers[i].signal, handlers[i].handler, methods);
    return methods;
}

static void cancel(Pending *pending) { g_cancellable_cancel(pending->cancellable); }

void tt_methods_free(TtMethods *methods) {
    Pending *pending;

    if (!methods)
        return;
    while ((pending = g_queue_pop_head(&methods->pending))) {
        pending->methods = NULL;
        cancel(pending);
    }
    g_signal_handlers_disconnect_by_data(methods->object, methods);
    g_object_unref(methods->object);
    tt_recordings_free(methods->recordings);
    g_free(methods);
}

gboolean tt_methods_serve(TtMethods *methods, GDBusConnection *connection, GError **error) {
    return g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(methods->object), connection,
                                            TT_CONTROL_OBJECT, error);
}

void tt_methods_leave(TtMethods *methods, GDBusConnection *connection) {
    for (const GList *link = methods->pending.head; link; link = link->next)
        if (pending_get_connection(link->data) == connection)
            cancel(link->data);
    tt_recordings_leave(methods->recordings, connection);
    g_dbus_interface_skeleton_unexport_from_connection(G_DBUS_INTERFACE_SKELETON(methods->object),
                                                       connection);
}

gboolean tt_methods_is_busy(TtMethods *methods, GDBusConnection *connection) {
    for (const GList *link = methods->pending.head; link; link = link->next)
        if (pending_get_connection(link->data) == connection)
            return TRUE;
    return tt_recordings_has_any(methods->recordings, connection);
}
