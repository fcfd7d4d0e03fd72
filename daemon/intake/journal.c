/* SPDX-License-Identifier: Apache-2.0 */
/* One file a session, and one bound over all files: what a recorder is about to write is reserved
 * first, and those of sessions that are over go for it, the oldest first. Of a daemon that was
 * killed the last section may be cut: it is cut off, and what is written next goes where it began.
 */
#include "intake/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/worker.h"
#include "intake/process.h"
#include "intake/retell.h"
#include "intake/sections.h"

#define SUFFIX ".ttrec"
#define KEPT 16u                         /* of processes that are no more */
#define DEFAULT_BYTES ((guint64)2 << 30) /* of all files */
#define DISK_SHARE 4u                    /* of what of the disk is free: no more than that */
#define BYTES_MAX ((guint64)256 << 20)   /* of one file: past it the session has none */

struct TtJournals {
    char *dir;
    guint64 limit_bytes;
    GMutex lock; /* over what follows, and what is the folder's of its journals; no file of the
                  * folder is touched under it, only /proc is looked at */
    guint64 used_bytes;
    GQueue over; /* of Over, those that may go, the oldest first */
    GQueue away; /* the same of processes that may come back: not while those run */
    TtLogGate failed_gate;
};

struct TtJournal {
    TtJournals *journals;
    char *path;
    int fd;
    guint64 whole_bytes; /* up to where it was told again; 0: nothing of it */
    TtGuess guess;       /* there */

    /* The folder's. */
    guint64 bytes;        /* of the file, those to be written too */
    gboolean is_given_up; /* another needed the room */
};

/* A file of a session that is over, or will be when its process has ended. */
typedef struct Over {
    char *path;
    gint64 when_ns;
    guint64 bytes;       /* where there is no @journal */
    TtJournal *journal;  /* which is open; NULL: an earlier daemon left the file */
    gint pid;            /* of a file that nobody has open; 0: not known */
    char *process_start; /* as in TtSessionInfo */
} Over;

static void free_over(gpointer data) {
    Over *over = data;

    g_free(over->path);
    g_free(over->process_start);
    g_free(over);
}

/* ---- Files ---- */

static char *path_of(const char *dir, const guint8 *id) {
    char name[2 * TT_SESSION_ID_BYTES + sizeof SUFFIX];

    for (guint i = 0; i < TT_SESSION_ID_BYTES; i++)
        g_snprintf(name + 2 * (gsize)i, 3, "%02x", id[i]);
    strcpy(name + 2 * TT_SESSION_ID_BYTES, SUFFIX);
    return g_build_filename(dir, name, NULL);
}

/* Its room is free then, whoever has it open. */
static void remove_file(const char *path) {
    (void)truncate(path, 0);
    (void)g_unlink(path);
}

static TtSessionInfo *read_info(const char *path) {
    TtJournal journal = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    TtSessionInfo *info = journal.fd >= 0 ? tt_journal_read_info(&journal) : NULL;

    if (journal.fd >= 0)
        close(journal.fd);
    return info;
}

/* ---- The folder ---- */

/* Whether its process may come back: it runs. */
static gboolean is_away(const Over *over) {
    return over->pid > 0 && tt_process_began_at(over->pid, over->process_start);
}

static gint compare_over(gconstpointer a, gconstpointer b, gpointer data) {
    const Over *one = a, *other = b;

    (void)data;
    return one->when_ns < other->when_ns ? -1 : one->when_ns > other->when_ns;
}

/* Of a file that nobody has open. @info: (nullable) */
static void add_file(TtJournals *journals, Over *over, const TtSessionInfo *info) {
    over->pid = info ? info->pid : 0;
    over->process_start = info ? g_strdup(info->process_start) : NULL;
    g_queue_push_tail(is_away(over) ? &journals->away : &journals->over, over);
}

/* What earlier daemons left. */
static void find_files(TtJournals *journals) {
    g_autoptr(GDir) files = g_dir_open(journals->dir, 0, NULL);
    const char *name;

    while (files && (name = g_dir_read_name(files))) {
        g_autofree char *path = g_build_filename(journals->dir, name, NULL);
        struct stat status;

        if (!g_str_has_suffix(name, SUFFIX) || lstat(path, &status) < 0)
            continue;
        journals->used_bytes += (guint64)status.st_size;
        g_autoptr(TtSessionInfo) info = read_info(path);
        Over *over = g_new0(Over, 1);
        *over = (Over){.path = g_steal_pointer(&path),
                       .when_ns = status.st_mtim.tv_sec * G_GINT64_CONSTANT(1000000000) +
                                  status.st_mtim.tv_nsec,
                       .bytes = (guint64)status.st_size};
        add_file(journals, over, info);
    }
    g_queue_sort(&journals->over, compare_over, NULL);
    g_queue_sort(&journals->away, compare_over, NULL);
}

/* Unless it is said: not so much that a disk is full of what may never be asked for. */
static guint64 choose_limit(const TtJournals *journals) {
    struct statvfs disk;

    if (statvfs(journals->dir, &disk) < 0)
        return DEFAULT_BYTES;
    guint64 left = (guint64)disk.f_bavail * disk.f_frsize;
    return MIN(DEFAULT_BYTES, (left + journals->used_bytes) / DISK_SHARE);
}

/* Under the lock. Those whose processes have ended by now take their places among the others. */
static void take_in_away(TtJournals *journals) {
    for (GList *at = journals->away.head, *next; at; at = next) {
        next = at->next;
        if (is_away(at->data))
            continue;
        g_queue_insert_sorted(&journals->over, at->data, compare_over, NULL);
        g_queue_delete_link(&journals->away, at);
    }
}

/* Gives up the oldest that is over. FALSE: there is none. */
static gboolean give_up_oldest(TtJournals *journals) {
    g_mutex_lock(&journals->lock);
    take_in_away(journals);
    Over *over = g_queue_pop_head(&journals->over);
    if (over && over->journal) {
        over->journal->is_given_up = TRUE;
        over->bytes = over->journal->bytes;
        over->journal->bytes = 0;
    }
    journals->used_bytes -= over ? over->bytes : 0;
    g_mutex_unlock(&journals->lock);
    if (!over)
        return FALSE;
    remove_file(over->path);
    free_over(over);
    return TRUE;
}

TtJournals *tt_journals_new(const char *dir, guint64 limit_bytes, GError **error) {
    if (g_mkdir_with_parents(dir, 0700) < 0 || g_access(dir, W_OK | X_OK) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                    "Cannot keep journals in %s (%s): choose another folder by --journal", dir,
                    g_strerror(errno));
        return NULL;
    }
    TtJournals *journals = g_new0(TtJournals, 1);
    journals->dir = g_strdup(dir);
    g_mutex_init(&journals->lock);
    g_queue_init(&journals->over);
    g_queue_init(&journals->away);
    find_files(journals);
    journals->limit_bytes = limit_bytes > 0 ? limit_bytes : choose_limit(journals);
    while ((journals->over.length > KEPT || journals->used_bytes > journals->limit_bytes) &&
           give_up_oldest(journals))
        ;
    return journals;
}

void tt_journals_free(TtJournals *journals) {
    if (!journals)
        return;
    g_queue_clear_full(&journals->over, free_over);
    g_queue_clear_full(&journals->away, free_over);
    g_mutex_clear(&journals->lock);
    g_free(journals->dir);
    g_free(journals);
}

static void forget_in(GQueue *queue, const char *path) {
    for (GList *at = queue->head; at; at = at->next)
        if (g_str_equal(((Over *)at->data)->path, path)) {
            free_over(at->data);
            g_queue_delete_link(queue, at);
            return;
        }
}

/* Under the lock. It is nobody's to give up any more. */
static void forget_over(TtJournals *journals, const char *path) {
    forget_in(&journals->over, path);
    forget_in(&journals->away, path);
}

/* On the recorder's thread. */
static gboolean reserve(gpointer data, gsize bytes) {
    TtJournal *journal = data;
    TtJournals *journals = journal->journals;
    gboolean is_had, is_given_up;

    do {
        g_mutex_lock(&journals->lock);
        is_given_up = journal->is_given_up;
        is_had = !is_given_up && bytes <= journals->limit_bytes &&
                 journals->used_bytes <= journals->limit_bytes - bytes;
        if (is_had) {
            journals->used_bytes += bytes;
            journal->bytes += bytes;
        }
        g_mutex_unlock(&journals->lock);
    } while (!is_had && !is_given_up && give_up_oldest(journals));
    return is_had;
}

/* ---- One file ---- */

TtJournal *tt_journal_open(TtJournals *journals, const guint8 *session_id, gboolean is_resumed) {
    g_autofree char *path = path_of(journals->dir, session_id);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    TtJournal *journal = g_new0(TtJournal, 1);
    journal->journals = journals;
    journal->path = g_steal_pointer(&path);
    journal->fd = fd;
    journal->bytes = (guint64)status.st_size;
    if (!is_resumed)
        (void)ftruncate(fd, 0);
    g_mutex_lock(&journals->lock);
    forget_over(journals, journal->path);
    if (!is_resumed) {
        journals->used_bytes -= journal->bytes;
        journal->bytes = 0;
    }
    g_mutex_unlock(&journals->lock);
    return journal;
}

void tt_journal_note_ended(TtJournal *journal) {
    TtJournals *journals = journal->journals;
    Over *over = g_new0(Over, 1);

    *over = (Over){
        .path = g_strdup(journal->path), .when_ns = g_get_real_time() * 1000, .journal = journal};
    g_mutex_lock(&journals->lock);
    forget_over(journals, journal->path); /* it may end twice: how it did is learnt later */
    g_queue_push_tail(&journals->over, over);
    g_mutex_unlock(&journals->lock);
}

void tt_journal_note_failed(TtJournal *journal, gint pid, const GError *error) {
    TtJournals *journals = journal->journals;
    guint held_back = 0;

    g_mutex_lock(&journals->lock);
    gboolean passes = tt_log_gate_pass(&journals->failed_gate, &held_back);
    g_mutex_unlock(&journals->lock);
    if (passes)
        g_warning(
            "Process %d has no journal any more (%s): it is traced on, but the next daemon will "
            "not know what it did until then; %u more like it",
            pid, error ? error->message : "it ended", held_back);
}

void tt_journal_free(TtJournal *journal, gboolean is_kept) {
    if (!journal)
        return;
    TtJournals *journals = journal->journals;
    /* Where it was written its recorder has the file, and the daemon ends: nobody counts any more.
     */
    g_autoptr(TtSessionInfo) info =
        is_kept && journal->fd >= 0 ? tt_journal_read_info(journal) : NULL;
    g_mutex_lock(&journals->lock);
    forget_over(journals, journal->path);
    if (!is_kept) {
        journals->used_bytes -= journal->bytes;
    } else if (info) {
        Over *over = g_new0(Over, 1);

        *over = (Over){.path = g_strdup(journal->path), .bytes = journal->bytes};
        add_file(journals, over, info);
    }
    g_mutex_unlock(&journals->lock);
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

/* What comes only when nothing more of it will. */
static gboolean follows_inheritance(guint number) {
    return number == TT_RECORD_INHERITANCE_END || number == TT_RECORD_INTERRUPTION ||
           number == TT_RECORD_RUN;
}

gboolean tt_journal_is_inheriting(TtJournal *journal, const TtSessionInfo *info) {
    g_autoptr(TtSectionReader) reader =
        info->inherits ? tt_section_reader_new(journal->fd, NULL) : NULL;
    TtSection section;
    TtRawRecord raw;

    if (!reader)
        return FALSE;
    while (tt_section_read(reader, &section))
        while (tt_decode_framed(&section.steps, &raw) == TT_ITEM_RECORD)
            if (follows_inheritance(raw.number))
                return FALSE;
    return TRUE;
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
    ret_end->lacks_inheritance = tt_retelling_lacks_inheritance(retelling);
    return journal->whole_bytes > 0;
}

TtRecorder *tt_journal_record(TtJournal *journal, const TtRecorderCalls *calls, gpointer data) {
    TtRecorderStart start = {.whole_bytes = journal->whole_bytes,
                             .max_bytes = BYTES_MAX,
                             .guess = &journal->guess,
                             .goes_on = TRUE,
                             .reserve = reserve,
                             .reserve_data = journal};

    return tt_recorder_new_at(g_steal_fd(&journal->fd), &start, calls, data);
}
