/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings, as files: the daemon opens no path for anyone. */
#pragma once

#include "tools/daemon.h"

G_BEGIN_DECLS

/* A file that a daemon records into. */
typedef struct TtRecordingFile TtRecordingFile;

/* What tt_recording_file_open() would refuse, without a trace. */
gboolean tt_recording_file_check(const char *path, GError **error);

/**
 * tt_recording_file_open:
 * @error: TT_TOOLS_ERROR_FAILED, naming @path
 *
 * Makes the file, or empties it. It grows under its own name: whoever dies, what is whole can be
 * read.
 */
TtRecordingFile *tt_recording_file_open(const char *path, GError **error);
void tt_recording_file_free(TtRecordingFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtRecordingFile, tt_recording_file_free)

/* Has the daemon record what begins from now on. @is_own: of what this process starts alone. */
gboolean tt_recording_file_start(TtRecordingFile *file, TtDaemon *daemon, gboolean is_own,
                                 GError **error);

/* Ends that, and waits until all is written. */
gboolean tt_recording_file_stop(TtRecordingFile *file, TtDaemon *daemon, GError **error);

/**
 * tt_recording_open_to_read:
 *
 * Returns: a descriptor of a file, which is never waited for; -1 with @error set
 */
int tt_recording_open_to_read(const char *path, GError **error);

/* Who is asked: the daemon that keeps the sessions, or any daemon, about those of a recording. */
typedef struct TtSource {
    TtDaemon *daemon;
    int from_fd; /* the recording; 0: none */
} TtSource;

/**
 * tt_source_open:
 * @from: (nullable): path of a recording; then a daemon is started where none answers, which ends
 *   with us
 * @ret_source: set on success only; to be cleared
 */
gboolean tt_source_open(const char *from, TtSource *ret_source, GError **error);
void tt_source_clear(TtSource *source);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TtSource, tt_source_clear)

G_END_DECLS
