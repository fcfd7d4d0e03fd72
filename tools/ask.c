/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/ask.h"

#include <glib-unix.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/output.h"
#include "tools/say.h"

#define ERROR_PREFIX "org.tracetools.Error."
#define PING_EVERY_S 1
#define WAITER_MS 5000         /* for the byte that somebody waits for */
#define EXPORT_MAX_MS G_MAXINT /* the daemon may queue it; that it lives is asked meanwhile */

/* A call that may take long, and the question whether the other side is still there. */
typedef struct LongCall {
    TtDaemon *daemon;
    GMainContext *context;
    GCancellable *cancellable; /* of the call; a finished one must not be cancelled */
    GCancellable *pings;
    gboolean is_pinging, is_silent, is_done;
    GAsyncResult *result;
    TtAskWaiter *waiter; /* or NULL, once it is done too */
} LongCall;

/* Returns: (transfer full) (nullable): a property of the daemon. */
static GVariant *get_property(TtDaemon *daemon, const char *name) {
    g_autoptr(GVariant) reply = NULL;
    GVariant *value = NULL;

    reply = g_dbus_connection_call_sync(
        g_dbus_proxy_get_connection(G_DBUS_PROXY(daemon->proxy)), NULL,
        g_dbus_proxy_get_object_path(G_DBUS_PROXY(daemon->proxy)),
        "org.freedesktop.DBus.Properties", "Get",
        g_variant_new("(ss)", g_dbus_proxy_get_interface_name(G_DBUS_PROXY(daemon->proxy)), name),
        G_VARIANT_TYPE("(v)"), G_DBUS_CALL_FLAGS_NONE, TT_DAEMON_CALL_MS, NULL, NULL);
    if (reply)
        g_variant_get(reply, "(v)", &value);
    return value;
}

static gboolean is_mismatch(const GError *error) {
    static const gint codes[] = {G_DBUS_ERROR_UNKNOWN_METHOD, G_DBUS_ERROR_UNKNOWN_INTERFACE,
                                 G_DBUS_ERROR_UNKNOWN_OBJECT, G_DBUS_ERROR_INVALID_ARGS,
                                 G_DBUS_ERROR_INVALID_SIGNATURE};

    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++)
        if (g_error_matches(error, G_DBUS_ERROR, codes[i]))
            return TRUE;
    /* A reply of other types than ours. */
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

/* The daemon's own errors. FALSE: it is none. */
static gboolean explain_refusal(GError **error) {
    static const char *const usage[] = {"NoSuchTarget", "Ambiguous", "InvalidArgument", NULL};
    g_autofree char *name = g_dbus_error_get_remote_error(*error);
    GError *plain;

    if (!name || !g_str_has_prefix(name, ERROR_PREFIX))
        return FALSE;
    g_dbus_error_strip_remote_error(*error);
    if (g_str_equal(name, ERROR_PREFIX "BrokenPipe"))
        plain = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE, (*error)->message);
    else if (g_strv_contains(usage, name + strlen(ERROR_PREFIX)))
        plain = g_error_new_literal(TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE, (*error)->message);
    else
        plain = g_error_new_literal(TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED, (*error)->message);
    g_error_free(*error);
    *error = plain;
    return TRUE;
}

static void replace(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void replace(GError **error, const char *format, ...) {
    va_list arguments;

    g_clear_error(error);
    va_start(arguments, format);
    *error = g_error_new_valist(TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED, format, arguments);
    va_end(arguments);
}

gboolean tt_ask_explain(TtDaemon *daemon, GError **error) {
    if (!error || !*error || explain_refusal(error))
        return FALSE;
    if (g_error_matches(*error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) ||
        g_error_matches(*error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY) ||
        g_error_matches(*error, G_DBUS_ERROR, G_DBUS_ERROR_TIMEOUT)) {
        replace(error, "tt-daemon in %s does not answer: it is stopped or too busy",
                daemon->socket_dir);
    } else if (g_error_matches(*error, G_IO_ERROR, G_IO_ERROR_CLOSED)) {
        replace(error, "tt-daemon in %s ended before it answered", daemon->socket_dir);
    } else if (is_mismatch(*error)) {
        g_autoptr(GVariant) version = get_property(daemon, "Version");
        const char *theirs = version && g_variant_is_of_type(version, G_VARIANT_TYPE_STRING)
                                 ? g_variant_get_string(version, NULL)
                                 : "of another version";

        replace(error,
                "tt-daemon is %s and tt-ctl " TT_VERSION
                ": they do not understand each other; restart tt-daemon",
                theirs);
    }
    return FALSE;
}

gboolean tt_ask_view(TtDaemon *daemon, const TtPicture *picture, GError **error) {
    g_autoptr(GVariant) value = NULL;
    g_autofree const char **views = NULL;
    g_autofree char *list = NULL;

    if (!picture->view)
        return TRUE;
    value = get_property(daemon, "Views");
    if (!value || !g_variant_is_of_type(value, G_VARIANT_TYPE_STRING_ARRAY))
        return TRUE; /* the export itself will tell */
    views = g_variant_get_strv(value, NULL);
    if (g_strv_contains(views, picture->view))
        return TRUE;
    list = g_strjoinv(", ", (char **)views);
    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE, "There is no view '%s'; there are %s",
                picture->view, list);
    return FALSE;
}

static void on_pong(GObject *source, GAsyncResult *result, gpointer data) {
    LongCall *call = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

    call->is_pinging = FALSE;
    /* A connection that closes ends the call itself. */
    if (reply || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CLOSED))
        return;
    call->is_silent = TRUE;
    g_cancellable_cancel(call->cancellable);
}

/* GDBus answers this on a thread of its own, so it tells a busy daemon from a stopped one. */
static gboolean ping(gpointer data) {
    LongCall *call = data;

    if (!call->is_pinging && !call->is_done) {
        call->is_pinging = TRUE;
        g_dbus_connection_call(g_dbus_proxy_get_connection(G_DBUS_PROXY(call->daemon->proxy)), NULL,
                               "/", "org.freedesktop.DBus.Peer", "Ping", NULL, NULL,
                               G_DBUS_CALL_FLAGS_NONE, TT_DAEMON_CALL_MS, call->pings, on_pong,
                               call);
    }
    return G_SOURCE_CONTINUE;
}

static void on_done(GObject *source, GAsyncResult *result, gpointer data) {
    LongCall *call = data;

    (void)source;
    call->is_done = TRUE;
    call->result = g_object_ref(result);
}

static void tell_waiter(LongCall *call) {
    TtAskWaiter *waiter = g_steal_pointer(&call->waiter);

    if (waiter)
        waiter->done(waiter->data);
}

static gboolean on_byte(int fd, GIOCondition condition, gpointer data) {
    (void)fd;
    (void)condition;
    tell_waiter(data);
    return G_SOURCE_REMOVE;
}

/* A daemon that has more to do than can be waited for. */
static gboolean on_waited_too_long(gpointer data) {
    LongCall *call = data;

    if (call->waiter) {
        tell_waiter(call);
        call->is_silent = TRUE;
        g_cancellable_cancel(call->cancellable);
    }
    return G_SOURCE_REMOVE;
}

/* Takes @source. */
static GSource *attach(LongCall *call, GSource *source, GSourceFunc function) {
    g_source_set_callback(source, function, call, NULL);
    g_source_attach(source, call->context);
    return source;
}

static void drop(GSource *source) {
    g_source_destroy(source);
    g_source_unref(source);
}

/* Until the answer, or a sign that none will come. */
static void wait_for(LongCall *call) {
    GSource *pinging = attach(call, g_timeout_source_new_seconds(PING_EVERY_S), ping);
    GSource *byte = NULL, *patience = NULL;

    if (call->waiter) {
        byte =
            attach(call, g_unix_fd_source_new(call->waiter->fd, G_IO_IN), G_SOURCE_FUNC(on_byte));
        patience = attach(call, g_timeout_source_new(WAITER_MS), on_waited_too_long);
    }
    while (!call->is_done)
        g_main_context_iteration(call->context, TRUE);
    tell_waiter(call);
    drop(pinging);
    if (byte) {
        drop(byte);
        drop(patience);
    }
    g_cancellable_cancel(call->pings);
    while (call->is_pinging)
        g_main_context_iteration(call->context, TRUE);
}

/* @arguments: all; floating. @waiter: (nullable). Returns: (transfer full): the reply, or NULL. */
static GVariant *call_with(TtDaemon *daemon, const char *method, GVariant *arguments,
                           GUnixFDList *fds, TtAskWaiter *waiter, GError **error) {
    g_autoptr(GVariant) owned = g_variant_ref_sink(arguments);
    LongCall call = {.daemon = daemon, .waiter = waiter};
    GVariant *reply;
    GError *failure = NULL;

    call.cancellable = g_cancellable_new();
    call.pings = g_cancellable_new();
    call.context = g_main_context_new();
    g_main_context_push_thread_default(call.context);
    g_dbus_proxy_call_with_unix_fd_list(G_DBUS_PROXY(daemon->proxy), method, owned,
                                        G_DBUS_CALL_FLAGS_NONE, EXPORT_MAX_MS, fds,
                                        call.cancellable, on_done, &call);
    wait_for(&call);
    g_main_context_pop_thread_default(call.context);
    reply = g_dbus_proxy_call_with_unix_fd_list_finish(G_DBUS_PROXY(daemon->proxy), NULL,
                                                       call.result, &failure);
    g_object_unref(call.result);
    g_object_unref(call.cancellable);
    g_object_unref(call.pings);
    g_main_context_unref(call.context);
    if (reply)
        return reply;
    if (call.is_silent) {
        g_clear_error(&failure);
        g_set_error_literal(&failure, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "");
    }
    tt_ask_explain(daemon, &failure);
    g_propagate_error(error, failure);
    return NULL;
}

/* A method whose last argument is the output, @fd. @from_fd: a recording, as handle 1; 0: none */
static gboolean call_long(TtDaemon *daemon, const char *method, GVariant *arguments, int fd,
                          int from_fd, GError **error) {
    g_autoptr(GVariant) owned = g_variant_ref_sink(arguments);
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    g_autoptr(GVariant) reply = NULL;

    if (g_unix_fd_list_append(fds, fd, error) < 0 ||
        (from_fd > 0 && g_unix_fd_list_append(fds, from_fd, error) < 0))
        return FALSE;
    reply = call_with(daemon, method, owned, fds, NULL, error);
    return reply != NULL;
}

gboolean tt_ask_leaks(TtDaemon *daemon, GVariant *arguments, GUnixFDList *fds, TtAskWaiter *waiter,
                      GVariant **ret_found, GError **error) {
    g_autoptr(GVariant) reply = call_with(daemon, "Leaks", arguments, fds, waiter, error);

    if (!reply)
        return FALSE;
    g_variant_get(reply, "(st@a{st})", NULL, NULL, ret_found);
    return TRUE;
}

/* The handle that call_long() gives a recording. */
static void insert_from(GVariantDict *options, int from_fd) {
    if (from_fd > 0)
        g_variant_dict_insert_value(options, "from", g_variant_new_handle(1));
}

gboolean tt_ask_export(TtDaemon *daemon, const char *target, const char *format,
                       const TtPicture *picture, int fd, GError **error) {
    GVariantDict options;

    g_variant_dict_init(&options, NULL);
    if (picture->at)
        g_variant_dict_insert(&options, "at", "s", picture->at);
    if (picture->view)
        g_variant_dict_insert(&options, "view", "s", picture->view);
    if (picture->top > 0)
        g_variant_dict_insert(&options, "top", "u", picture->top);
    if (picture->is_full)
        g_variant_dict_insert(&options, "full", "b", TRUE);
    insert_from(&options, picture->from_fd);
    return call_long(daemon, "Export",
                     g_variant_new("(ss@a{sv}h)", target, format, g_variant_dict_end(&options), 0),
                     fd, picture->from_fd, error);
}

guint tt_ask_get_columns(void) {
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

gboolean tt_ask_document(TtDaemon *daemon, const char *method, GVariant *arguments,
                         gboolean is_json, GVariantDict *options, int from_fd, GError **error) {
    g_autoptr(GVariant) owned = g_variant_ref_sink(arguments);
    GVariantBuilder all;
    GVariantIter iter;
    GVariant *argument;

    if (!is_json && tt_ask_get_columns() > 0)
        g_variant_dict_insert(options, "columns", "u", tt_ask_get_columns());
    insert_from(options, from_fd);
    g_variant_builder_init(&all, G_VARIANT_TYPE_TUPLE);
    g_variant_iter_init(&iter, owned);
    while ((argument = g_variant_iter_next_value(&iter))) {
        g_variant_builder_add_value(&all, argument);
        g_variant_unref(argument);
    }
    g_variant_builder_add(&all, "s", is_json ? "json" : "text");
    g_variant_builder_add_value(&all, g_variant_dict_end(options));
    g_variant_builder_add(&all, "h", 0);
    return call_long(daemon, method, g_variant_builder_end(&all), STDOUT_FILENO, from_fd, error);
}

gboolean tt_ask_export_to(TtDaemon *daemon, const char *target, const char *format,
                          const TtPicture *picture, const char *path, GError **error) {
    g_autoptr(TtOutput) output = tt_output_open(path, error);

    if (!output)
        return FALSE;
    if (tt_ask_export(daemon, target, format, picture, tt_output_get_fd(output), error))
        return tt_output_commit(output, error);
    /* Which of two outputs it was. */
    if (error && g_error_matches(*error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED) &&
        !tt_output_is_stdout(path))
        g_prefix_error(error, "%s: ", path);
    return FALSE;
}
