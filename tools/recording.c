/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/ask.h"
#include "tools/output.h"
#include "tools/say.h"
#include "tools/tree.h"

#define STOP_MS 120000 /* for a slow disk to take what waits */

struct TtRecordingFile {
    char *path;
    int fd;
    guint64 number; /* of the daemon's; 0: not begun */
};

static gboolean refuse(GError **error, const char *path, const char *why) {
    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED, "%s: %s", path, why);
    return FALSE;
}

gboolean tt_recording_file_check(const char *path, GError **error) {
    struct stat status;

    if (tt_output_is_stdout(path) || tt_tree_is_pattern(path)) {
        g_set_error_literal(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_USAGE,
                            "A recording goes to one file, which all its sessions share: give its "
                            "name, without %p or %s");
        return FALSE;
    }
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return refuse(error, path, "it is no file: give one that lies on a disk");
    return tt_output_check(path, error);
}

TtRecordingFile *tt_recording_file_open(const char *path, GError **error) {
    struct stat status;
    /* It is looked at before a byte of it is touched: a FIFO must not be waited for, nor a device
     * written to. */
    int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);

    if (fd < 0) {
        refuse(error, path, g_strerror(errno));
        return NULL;
    }
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || ftruncate(fd, 0) < 0) {
        refuse(error, path, "it is no file that can be written");
        close(fd);
        return NULL;
    }
    TtRecordingFile *file = g_new0(TtRecordingFile, 1);
    file->path = g_strdup(path);
    file->fd = fd;
    return file;
}

void tt_recording_file_free(TtRecordingFile *file) {
    if (!file)
        return;
    close(file->fd);
    g_free(file->path);
    g_free(file);
}

gboolean tt_recording_file_start(TtRecordingFile *file, TtDaemon *daemon, gboolean is_own,
                                 GError **error) {
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    GVariantDict options;

    if (g_unix_fd_list_append(fds, file->fd, error) < 0)
        return FALSE;
    g_variant_dict_init(&options, NULL);
    if (is_own)
        g_variant_dict_insert(&options, "own", "b", TRUE);
    if (tt_daemon1_call_record_sync(daemon->proxy, g_variant_dict_end(&options),
                                    g_variant_new_handle(0), fds, &file->number, NULL, NULL, error))
        return TRUE;
    return tt_ask_explain(daemon, error);
}

gboolean tt_recording_file_stop(TtRecordingFile *file, TtDaemon *daemon, GError **error) {
    guint64 bytes;

    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(daemon->proxy), STOP_MS);
    gboolean is_whole =
        tt_daemon1_call_stop_recording_sync(daemon->proxy, file->number, &bytes, NULL, error);
    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(daemon->proxy), TT_DAEMON_CALL_MS);
    if (is_whole)
        return TRUE;
    tt_ask_explain(daemon, error);
    if (error && g_error_matches(*error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED))
        g_prefix_error(error, "%s: ", file->path);
    return FALSE;
}

int tt_recording_open_to_read(const char *path, GError **error) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0) {
        refuse(error, path, g_strerror(errno));
        return -1;
    }
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        refuse(error, path, "it is no recording, but something else than a file");
        close(fd);
        return -1;
    }
    return fd;
}

gboolean tt_source_open(const char *from, TtSource *ret_source, GError **error) {
    g_auto(TtSource) source = {0};

    if (from) {
        int fd = tt_recording_open_to_read(from, error);

        if (fd < 0)
            return FALSE;
        source.from_fd = fd;
    }
    source.daemon = tt_daemon_open(from ? NULL : error);
    if (!source.daemon && from)
        source.daemon = tt_daemon_start(error);
    if (!source.daemon)
        return FALSE;
    *ret_source = source;
    source = (TtSource){0};
    return TRUE;
}

void tt_source_clear(TtSource *source) {
    g_clear_pointer(&source->daemon, tt_daemon_free);
    if (source->from_fd > 0)
        close(source->from_fd);
    source->from_fd = 0;
}
