/* SPDX-License-Identifier: Apache-2.0 */
/* One file a session. Of a daemon that was killed the last section may be cut: it is cut off, and
 * what is written next goes where it began. */
#include "intake/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/worker.h"
#include "intake/intake.h"
#include "intake/retell.h"
#include "intake/sections.h"

#define SUFFIX ".ttrec"
#define KEPT 16u                       /* of processes that are no more */
#define BYTES_MAX ((guint64)256 << 20) /* of one file: past it the session has none */

struct TtJournal {
    char *path;
    int fd;
    guint64 whole_bytes; /* up to where it was told again; 0: nothing of it */
    TtGuess guess;       /* there */
};

/* ---- The folder ---- */

static char *path_of(const char *dir, const guint8 *id) {
    char name[2 * TT_SESSION_ID_BYTES + sizeof SUFFIX];

    for (guint i = 0; i < TT_SESSION_ID_BYTES; i++)
        g_snprintf(name + 2 * (gsize)i, 3, "%02x", id[i]);
    strcpy(name + 2 * TT_SESSION_ID_BYTES, SUFFIX);
    return g_build_filename(dir, name, NULL);
}

typedef struct Left {
    char *path;
    gint64 when;
} Left;

static void clear_left(gpointer data) { g_free(((Left *)data)->path); }

static gint compare_left(gconstpointer a, gconstpointer b) {
    const Left *one = a, *other = b;

    return one->when < other->when ? 1 : -(one->when > other->when);
}

static gboolean is_of_running(const char *path) {
    TtJournal journal = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    g_autoptr(TtSessionInfo) info = journal.fd >= 0 ? tt_journal_read_info(&journal) : NULL;

    if (journal.fd >= 0)
        close(journal.fd);
    return info && (kill(info->pid, 0) == 0 || errno == EPERM);
}

static void prune(const char *dir) {
    g_autoptr(GDir) files = g_dir_open(dir, 0, NULL);
    g_autoptr(GArray) left = g_array_new(FALSE, FALSE, sizeof(Left));
    const char *name;

    g_array_set_clear_func(left, clear_left);
    while (files && (name = g_dir_read_name(files))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        struct stat status;

        if (!g_str_has_suffix(name, SUFFIX) || lstat(path, &status) < 0 || is_of_running(path))
            continue;
        Left one = {g_steal_pointer(&path), (gint64)status.st_mtime};
        g_array_append_val(left, one);
    }
    g_array_sort(left, compare_left);
    for (guint i = KEPT; i < left->len; i++)
        (void)g_unlink(g_array_index(left, Left, i).path);
}

gboolean tt_intake_prepare_journals(const char *dir, GError **error) {
    if (g_mkdir_with_parents(dir, 0700) < 0 || g_access(dir, W_OK | X_OK) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                    "Cannot keep journals in %s (%s): choose another folder by --journal", dir,
                    g_strerror(errno));
        return FALSE;
    }
    prune(dir);
    return TRUE;
}

/* ---- One file ---- */

TtJournal *tt_journal_open(const char *dir, const guint8 *session_id, gboolean is_resumed) {
    g_autofree char *path = path_of(dir, session_id);
    int fd =
        open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (is_resumed ? 0 : O_TRUNC), 0600);

    if (fd < 0)
        return NULL;
    TtJournal *journal = g_new0(TtJournal, 1);
    journal->path = g_steal_pointer(&path);
    journal->fd = fd;
    return journal;
}

void tt_journal_free(TtJournal *journal, gboolean is_kept) {
    if (!journal)
        return;
    if (!is_kept)
        (void)g_unlink(journal->path);
    if (journal->fd >= 0)
        close(journal->fd);
    g_free(journal->path);
    g_free(journal);
}

TtSessionInfo *tt_journal_read_info(TtJournal *journal) {
    g_autoptr(TtSectionReader) reader = tt_section_reader_new(journal->fd, NULL);
    TtSection section;

    return reader && tt_section_read(reader, &section) ? tt_retell_read_info(&section.steps) : NULL;
}

gboolean tt_journal_retell(TtJournal *journal, TtSession *session, gboolean goes_on,
                           TtJournalEnd *ret_end) {
    g_autoptr(TtSectionReader) reader = tt_section_reader_new(journal->fd, NULL);
    g_autoptr(TtRetelling) retelling = tt_retelling_new(session, G_MAXUINT64);
    TtSection section;

    while (reader && tt_section_read(reader, &section) && section.head.session == 1 &&
           tt_retelling_take(retelling, &section)) {
        tt_worker_note_progress();
        journal->whole_bytes = tt_section_reader_get_position(reader);
        journal->guess = *tt_retelling_get_guess(retelling);
    }
    if (goes_on)
        ret_end->held = tt_retelling_steal_held(retelling);
    else
        (void)tt_retelling_finish(retelling);
    ret_end->stamp = tt_retelling_get_last_stamp(retelling);
    ret_end->event_count = tt_retelling_get_event_count(retelling);
    ret_end->lane_counts = tt_retelling_copy_lane_counts(retelling);
    return journal->whole_bytes > 0;
}

TtRecorder *tt_journal_record(TtJournal *journal, const TtRecorderCalls *calls, gpointer data) {
    TtRecorderStart start = {.whole_bytes = journal->whole_bytes,
                             .max_bytes = BYTES_MAX,
                             .guess = &journal->guess,
                             .goes_on = TRUE};

    return tt_recorder_new_at(g_steal_fd(&journal->fd), &start, calls, data);
}
