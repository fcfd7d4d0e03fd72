/* SPDX-License-Identifier: Apache-2.0 */
/* A recording's file, section by section: bytes in and out. Alone knows zstd. */
#pragma once

#include <gio/gio.h>

#include "intake/columns.h"

G_BEGIN_DECLS

/* ---- Writing: one thread, the recorder's ---- */

typedef struct TtSectionWriter TtSectionWriter;

TtSectionWriter *tt_section_writer_new(void);
void tt_section_writer_free(TtSectionWriter *writer);

/* The first bytes of a file. */
void tt_section_write_head(TtRecordingHead *ret_head);

/* What a section is made of. */
typedef struct TtSectionContent {
    guint64 session, realtime_ns; /* of its head */
    const guint8 *steps;
    gsize step_len; /* up to TT_SECTION_BYTES_MAX / 4 */
    TtGuess *guess; /* the session's; may be %NULL where there are neither of these */
    const TtEvent *events;
    gsize event_count;
    const TtRecordStack *nodes;
    gsize node_count;
} TtSectionContent;

/* Compresses one section. Returns: (transfer none): the bytes, valid until the next call */
const guint8 *tt_section_write(TtSectionWriter *writer, const TtSectionContent *content,
                               gsize *ret_len);

/* ---- Reading: any one thread ---- */

typedef struct TtSectionReader TtSectionReader;

/* One section, unpacked. Borrows the reader's bytes until the next is read. */
typedef struct TtSection {
    guint minor; /* version of the file */
    TtRecordSection head;
    TtCursor steps;
    TtCursor columns[TT_COLUMNS];
} TtSection;

/**
 * tt_section_reader_new:
 * @fd: (transfer none): a recording; not trusted. Read by position, its own is left alone
 * @error: TT_INTAKE_ERROR_NOT_A_RECORDING
 *
 * Nothing in the file makes it take more than some 20 MiB of memory; no file is waited for.
 *
 * Returns: (transfer full): %NULL with @error set where the file does not begin as one
 */
TtSectionReader *tt_section_reader_new(int fd, GError **error);
void tt_section_reader_free(TtSectionReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtSectionReader, tt_section_reader_free)

/* Reads the next one whole. FALSE: there is none, or it is cut or damaged: what came before holds,
 * and nothing after it can be read. */
gboolean tt_section_read(TtSectionReader *reader, TtSection *ret_section);

/* Where in the file what is read next begins. */
guint64 tt_section_reader_get_position(const TtSectionReader *reader);

G_END_DECLS
