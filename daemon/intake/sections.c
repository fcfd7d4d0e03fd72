/* SPDX-License-Identifier: Apache-2.0 */
/* zstd, and what holds a hostile file in bounds: a frame says how long its content is before it is
 * read, is refused where that is more than a section may be, and yields no byte more than it said.
 */
#include "intake/sections.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "intake/intake.h"
#include "protocol/encode.h"

#define LEVEL 3
#define WINDOW_LOG_MAX 24 /* TT_SECTION_BYTES_MAX */
#define FRAME_HEAD_MAX 18 /* bytes that tell a frame's content size (RFC 8878, 3.1.1.1) */
#define PIECE_BYTES (256u * 1024)
#define HEAD_ROOM 256u /* of a record SECTION */

_Static_assert(TT_SECTION_BYTES_MAX == 1u << WINDOW_LOG_MAX, "no window is larger than a section");

/* ---- Writing ---- */

struct TtSectionWriter {
    ZSTD_CCtx *zstd;
    TtColumnSet columns;
    GByteArray *packed;
};

TtSectionWriter *tt_section_writer_new(void) {
    TtSectionWriter *writer = g_new0(TtSectionWriter, 1);

    writer->zstd = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1);
    tt_column_set_init(&writer->columns);
    writer->packed = g_byte_array_new();
    return writer;
}

void tt_section_writer_free(TtSectionWriter *writer) {
    if (!writer)
        return;
    ZSTD_freeCCtx(writer->zstd);
    tt_column_set_clear(&writer->columns);
    g_byte_array_unref(writer->packed);
    g_free(writer);
}

void tt_section_write_head(TtRecordingHead *ret_head) {
    *ret_head = (TtRecordingHead){.magic = TT_RECORDING_SKIPPABLE,
                                  .len = sizeof *ret_head - 8,
                                  .name = TT_RECORDING_NAME,
                                  .major = TT_RECORDING_MAJOR,
                                  .minor = TT_RECORDING_MINOR};
}

/* Gives zstd some bytes. A block of its own for each column: what is alike is coded alike. */
static void pack(TtSectionWriter *writer, const guint8 *bytes, gsize len, ZSTD_EndDirective how) {
    ZSTD_inBuffer from = {.src = bytes, .size = len};
    size_t left;

    if (len == 0 && how != ZSTD_e_end)
        return;
    do {
        gsize at = writer->packed->len;

        g_byte_array_set_size(writer->packed, (guint)(at + ZSTD_CStreamOutSize()));
        ZSTD_outBuffer to = {.dst = writer->packed->data + at, .size = ZSTD_CStreamOutSize()};
        left = ZSTD_compressStream2(writer->zstd, &to, &from, how);
        g_assert(!ZSTD_isError(left)); /* it has no memory, or we misuse it */
        g_byte_array_set_size(writer->packed, (guint)(at + to.pos));
    } while (left > 0 || from.pos < from.size);
}

/* Where a head says how long each column is. */
static guint64 *length_of(TtRecordSection *head, TtColumn column) {
    switch (column) {
    case TT_COLUMN_OPS:
        return &head->ops;
    case TT_COLUMN_TIMES:
        return &head->times;
    case TT_COLUMN_LATE_TIMES:
        return &head->late_times;
    case TT_COLUMN_BIRTH_ADDRS:
        return &head->birth_addrs;
    case TT_COLUMN_AGES:
        return &head->ages;
    case TT_COLUMN_DEATH_ADDRS:
        return &head->death_addrs;
    case TT_COLUMN_SIZES:
        return &head->sizes;
    case TT_COLUMN_BIRTH_STACKS:
        return &head->birth_stacks;
    case TT_COLUMN_DEATH_STACKS:
        return &head->death_stacks;
    case TT_COLUMN_NODE_IDS:
        return &head->node_ids;
    case TT_COLUMN_NODE_PARENTS:
        return &head->node_parents;
    case TT_COLUMN_NODE_IPS:
        return &head->node_ips;
    case TT_COLUMN_NODE_MODULES:
        return &head->node_modules;
    case TT_COLUMN_NODE_FLAGS:
        return &head->node_flags;
    default:
        g_assert_not_reached();
    }
}

/* Returns its length. */
static gsize write_section_head(TtSectionWriter *writer, const TtSectionContent *content,
                                guint8 *bytes) {
    TtRecordSection head = {
        .session = content->session,
        .realtime_ns = content->realtime_ns,
        .event_count = content->event_count,
        .node_count = content->node_count,
        .steps = content->step_len,
    };

    for (TtColumn i = 0; i < TT_COLUMNS; i++)
        *length_of(&head, i) = writer->columns.len[i];
    return tt_encode_section(bytes, HEAD_ROOM, &head);
}

const guint8 *tt_section_write(TtSectionWriter *writer, const TtSectionContent *content,
                               gsize *ret_len) {
    guint8 head[HEAD_ROOM];

    tt_column_set_empty(&writer->columns);
    tt_columns_write_events(&writer->columns, content->guess, content->events,
                            content->event_count);
    tt_columns_write_nodes(&writer->columns, content->guess, content->nodes, content->node_count);
    gsize head_len = write_section_head(writer, content, head);
    gsize total = head_len + content->step_len;
    for (guint i = 0; i < TT_COLUMNS; i++)
        total += writer->columns.len[i];
    g_assert(total <= TT_SECTION_BYTES_MAX);

    g_byte_array_set_size(writer->packed, 0);
    ZSTD_CCtx_reset(writer->zstd, ZSTD_reset_session_only);
    ZSTD_CCtx_setPledgedSrcSize(writer->zstd, total);
    pack(writer, head, head_len, ZSTD_e_continue);
    pack(writer, content->steps, content->step_len, ZSTD_e_flush);
    for (guint i = 0; i < TT_COLUMNS; i++)
        pack(writer, writer->columns.bytes[i], writer->columns.len[i], ZSTD_e_flush);
    pack(writer, NULL, 0, ZSTD_e_end);
    *ret_len = writer->packed->len;
    return writer->packed->data;
}

/* ---- Reading ---- */

struct TtSectionReader {
    int fd;
    guint minor; /* version of the file */
    ZSTD_DCtx *zstd;
    guint64 position; /* in the file, of what is read next */
    guint8 *piece;    /* PIECE_BYTES: read ahead */
    gsize piece_at, piece_len;
    guint8 *content; /* grown as sections need it */
    gsize content_room;
};

static gboolean refuse(GError **error, const char *sentence) {
    g_set_error_literal(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_NOT_A_RECORDING, sentence);
    return FALSE;
}

/* Has at least @wanted bytes lie ahead, where the file has them. Returns how many there are. */
static gsize look_ahead(TtSectionReader *reader, gsize wanted) {
    gsize left = reader->piece_len - reader->piece_at;

    if (left >= wanted)
        return left;
    memmove(reader->piece, reader->piece + reader->piece_at, left);
    reader->piece_at = 0;
    reader->piece_len = left;
    while (reader->piece_len < wanted) {
        ssize_t got = pread(reader->fd, reader->piece + reader->piece_len,
                            PIECE_BYTES - reader->piece_len, (off_t)reader->position);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        reader->piece_len += (gsize)got;
        reader->position += (guint64)got;
    }
    return reader->piece_len;
}

static gboolean check_head(TtSectionReader *reader, GError **error) {
    TtRecordingHead want, head;

    tt_section_write_head(&want);
    if (look_ahead(reader, sizeof head) < sizeof head)
        return refuse(error, "It is no recording of trace-tools, or was cut at its start");
    memcpy(&head, reader->piece, sizeof head);
    if (head.magic != want.magic || head.len != want.len ||
        memcmp(head.name, want.name, sizeof head.name) != 0)
        return refuse(error, "It is no recording of trace-tools");
    if (head.major != TT_RECORDING_MAJOR) {
        g_set_error(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_NOT_A_RECORDING,
                    "It is a recording of format %u.%u, and this version reads %d.x: use the "
                    "version that wrote it",
                    head.major, head.minor, TT_RECORDING_MAJOR);
        return FALSE;
    }
    reader->minor = head.minor;
    reader->piece_at = sizeof head;
    return TRUE;
}

TtSectionReader *tt_section_reader_new(int fd, GError **error) {
    g_autoptr(TtSectionReader) reader = g_new0(TtSectionReader, 1);
    struct stat status;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        refuse(error, "It is no file: give a recording that lies on a disk");
        return NULL;
    }
    reader->fd = fd;
    reader->zstd = ZSTD_createDCtx();
    ZSTD_DCtx_setParameter(reader->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    reader->piece = g_malloc(PIECE_BYTES);
    return check_head(reader, error) ? g_steal_pointer(&reader) : NULL;
}

void tt_section_reader_free(TtSectionReader *reader) {
    if (!reader)
        return;
    ZSTD_freeDCtx(reader->zstd);
    g_free(reader->piece);
    g_free(reader->content);
    g_free(reader);
}

/* Unpacks one frame, checksum and all, of exactly @len bytes. */
static gboolean unpack(TtSectionReader *reader, gsize len) {
    ZSTD_outBuffer to = {.dst = reader->content, .size = len};
    size_t left = 1;

    ZSTD_DCtx_reset(reader->zstd, ZSTD_reset_session_only);
    while (left > 0 && look_ahead(reader, 1) > 0) {
        ZSTD_inBuffer from = {.src = reader->piece + reader->piece_at,
                              .size = reader->piece_len - reader->piece_at};
        gsize before = to.pos;

        left = ZSTD_decompressStream(reader->zstd, &to, &from);
        reader->piece_at += from.pos;
        if (ZSTD_isError(left) || (from.pos == 0 && to.pos == before))
            return FALSE;
    }
    return left == 0 && to.pos == len;
}

static gboolean split(const guint8 *content, gsize len, TtSection *ret_section) {
    TtCursor cursor = tt_cursor_new(content, len);
    TtRecordSection *head = &ret_section->head;
    TtRawRecord raw;
    const guint8 *bytes;

    if (tt_decode_framed(&cursor, &raw) != TT_ITEM_RECORD || raw.number != TT_RECORD_SECTION ||
        tt_decode_section(&raw, head) < 0 || head->event_count > TT_SECTION_EVENTS_MAX ||
        head->node_count > TT_SECTION_NODES_MAX || head->steps > len ||
        tt_cursor_read_bytes(&cursor, (gsize)head->steps, &bytes) < 0)
        return FALSE;
    ret_section->steps = tt_cursor_new(bytes, (gsize)head->steps);

    for (TtColumn i = 0; i < TT_COLUMNS; i++) {
        guint64 column_len = *length_of(head, i);

        if (column_len > len || tt_cursor_read_bytes(&cursor, (gsize)column_len, &bytes) < 0)
            return FALSE;
        ret_section->columns[i] = tt_cursor_new(bytes, (gsize)column_len);
    }
    return tt_cursor_left(&cursor) == 0;
}

gboolean tt_section_read(TtSectionReader *reader, TtSection *ret_section) {
    gsize ahead = look_ahead(reader, FRAME_HEAD_MAX);
    unsigned long long len = ZSTD_getFrameContentSize(reader->piece + reader->piece_at, ahead);

    /* An error or an unknown length are greater than any. A skippable frame has none. */
    if (ahead == 0 || len == 0 || len > TT_SECTION_BYTES_MAX)
        return FALSE;
    if (len > reader->content_room) {
        g_free(reader->content);
        reader->content_room = len;
        reader->content = g_malloc(len);
    }
    ret_section->minor = reader->minor;
    return unpack(reader, (gsize)len) && split(reader->content, (gsize)len, ret_section);
}

guint64 tt_section_reader_get_position(const TtSectionReader *reader) {
    return reader->position - (reader->piece_len - reader->piece_at);
}
