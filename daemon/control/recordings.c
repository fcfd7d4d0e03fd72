/* SPDX-License-Identifier: Apache-2.0 */
/* Who has which recording, and who waits for its end. A recording may end by itself (a full disk),
 * before anybody asks: then what became of it is kept until somebody does. */
#include "control/recordings.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/error.h"

struct TtRecordings {
    TtIntake *intake; /* not owned */
    guint64 last_number;
    GQueue all; /* of Entry */
};

typedef struct Entry {
    TtRecordings *recordings;
    guint64 number;
    GDBusConnection *connection; /* not owned; NULL: it is closed */
    TtRecording *recording;      /* NULL: it has ended */
    TtRecordingStopped stopped;  /* who waits; or NULL */
    gpointer data;
    guint64 bytes;
    GError *error; /* of TT_CONTROL_ERROR: why it ended before it was to */
} Entry;

static void free_entry(gpointer data) {
    Entry *entry = data;

    g_clear_error(&entry->error);
    g_free(entry);
}

TtRecordings *tt_recordings_new(TtIntake *intake) {
    TtRecordings *recordings = g_new0(TtRecordings, 1);

    recordings->intake = intake;
    g_queue_init(&recordings->all);
    return recordings;
}

void tt_recordings_free(TtRecordings *recordings) {
    if (!recordings)
        return;
    g_queue_clear_full(&recordings->all, free_entry);
    g_free(recordings);
}

/* Gives up an entry, and tells who waits. */
static void finish(Entry *entry) {
    g_queue_remove(&entry->recordings->all, entry);
    if (entry->stopped)
        entry->stopped(entry->data, entry->bytes, entry->error);
    free_entry(entry);
}

static void on_done(gpointer data, guint64 bytes, const GError *error) {
    Entry *entry = data;

    entry->recording = NULL;
    entry->bytes = bytes;
    if (error)
        g_set_error(&entry->error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_OUTPUT_FAILED,
                    "The recording ended before it was to: %s. It holds what came before that",
                    error->message);
    if (entry->stopped || !entry->connection)
        finish(entry);
}

/* The process at the other end; 0 where that is not known. */
static gint get_pid(GDBusConnection *connection) {
    GIOStream *stream = g_dbus_connection_get_stream(connection);
    struct ucred credentials;
    socklen_t len = sizeof credentials;

    if (!G_IS_SOCKET_CONNECTION(stream) ||
        getsockopt(g_socket_get_fd(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream))),
                   SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
        return 0;
    return credentials.pid;
}

static gboolean check(TtRecordings *recordings, int fd, GError **error) {
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY) {
        g_set_error_literal(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_NOT_WRITABLE,
                            "The output descriptor is not open for writing");
        return FALSE;
    }
    if (recordings->all.length < TT_RECORDINGS_MAX)
        return TRUE;
    g_set_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_BUSY,
                "%d recordings are under way already: stop one", TT_RECORDINGS_MAX);
    return FALSE;
}

guint64 tt_recordings_start(TtRecordings *recordings, GDBusConnection *connection, gboolean is_own,
                            int fd, GError **error) {
    gint ancestor = is_own ? get_pid(connection) : 0;

    if (!check(recordings, fd, error)) {
        close(fd);
        return 0;
    }
    Entry *entry = g_new0(Entry, 1);
    entry->recordings = recordings;
    entry->number = ++recordings->last_number;
    entry->connection = connection;
    entry->recording = tt_intake_start_recording(recordings->intake, fd, ancestor, on_done, entry);
    g_queue_push_tail(&recordings->all, entry);
    return entry->number;
}

static Entry *find(TtRecordings *recordings, GDBusConnection *connection, guint64 number) {
    for (GList *at = recordings->all.head; at; at = at->next) {
        Entry *entry = at->data;

        if (entry->connection == connection && entry->number == number && !entry->stopped)
            return entry;
    }
    return NULL;
}

gboolean tt_recordings_stop(TtRecordings *recordings, GDBusConnection *connection, guint64 number,
                            TtRecordingStopped stopped, gpointer data, GError **error) {
    Entry *entry = find(recordings, connection, number);

    if (!entry) {
        g_set_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_INVALID_ARGUMENT,
                    "There is no recording %" G_GUINT64_FORMAT, number);
        return FALSE;
    }
    entry->stopped = stopped;
    entry->data = data;
    if (entry->recording)
        tt_intake_stop_recording(entry->recording);
    else
        finish(entry);
    return TRUE;
}

void tt_recordings_leave(TtRecordings *recordings, GDBusConnection *connection) {
    GList *next;

    for (GList *at = recordings->all.head; at; at = next) {
        Entry *entry = at->data;

        next = at->next;
        if (entry->connection != connection)
            continue;
        entry->connection = NULL;
        if (entry->recording)
            tt_intake_stop_recording(entry->recording);
        else
            finish(entry);
    }
}

gboolean tt_recordings_has_any(TtRecordings *recordings, GDBusConnection *connection) {
    for (GList *at = recordings->all.head; at; at = at->next)
        if (((Entry *)at->data)->connection == connection)
            return TRUE;
    return FALSE;
}
