/* SPDX-License-Identifier: Apache-2.0 */
/* Writes one JSON document to a sink, piece by piece, without keeping any of it.
 *
 * The caller opens, closes and names things; the writer sees to commas, lines and escapes, and
 * asserts that what is opened is closed, that members have keys and elements none. The document is
 * ASCII but for printable characters of the strings; integers are exact to 64 bits; there is no way
 * to write a fraction, and so none to write what is no number.
 *
 * Each member of the document stands on a line, each element of such a member that is an array on a
 * line of its own, all within it on that line: for grep, sed and diff. */
#pragma once

#include <string.h>

#include "base/sink.h"

G_BEGIN_DECLS

/* Levels that may be open at once. */
#define TT_JSON_DEPTH_MAX 12

/* One thread's. Borrows the sink. */
typedef struct TtJsonWriter TtJsonWriter;

TtJsonWriter *tt_json_writer_new(TtSink *sink);
void tt_json_writer_free(TtJsonWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtJsonWriter, tt_json_writer_free)

/**
 * tt_json_finish:
 *
 * Ends the document: everything that was opened has been closed. The sink is not flushed.
 *
 * Returns: %FALSE with @error set where the sink has failed, now or earlier
 */
gboolean tt_json_finish(TtJsonWriter *writer, GError **error);

/* Whether the sink has failed. Then writing does nothing; a long loop may as well end. */
gboolean tt_json_has_failed(const TtJsonWriter *writer);

void tt_json_begin_object(TtJsonWriter *writer);
void tt_json_end_object(TtJsonWriter *writer);
void tt_json_begin_array(TtJsonWriter *writer);
void tt_json_end_array(TtJsonWriter *writer);

/* Names the next value. @key is ours: printable ASCII that needs no escape. */
void tt_json_key_len(TtJsonWriter *writer, const char *key, gsize len);

static inline void tt_json_key(TtJsonWriter *writer, const char *key) {
    tt_json_key_len(writer, key, strlen(key)); /* a constant where the key is one */
}

void tt_json_uint(TtJsonWriter *writer, guint64 value);
void tt_json_int(TtJsonWriter *writer, gint64 value);
void tt_json_bool(TtJsonWriter *writer, gboolean value);
void tt_json_null(TtJsonWriter *writer);

/* An address: a string, "0x7f3a…", in lower case without leading zeros. */
void tt_json_addr(TtJsonWriter *writer, guint64 addr);

/* A string of any bytes up to a NUL; %NULL is null. */
void tt_json_string(TtJsonWriter *writer, const char *text);

/**
 * tt_json_begin_string:
 *
 * Opens a string that is written in pieces, by tt_json_add_text() alone.
 */
void tt_json_begin_string(TtJsonWriter *writer);

/**
 * tt_json_add_text:
 * @bytes: (array length=len): not trusted
 *
 * Writes a piece of a string. What is not UTF-8 becomes U+FFFD; control characters and those that
 * reorder text (tt_text_is_control()) are escaped, and a "<" that could end a script or begin a
 * comment where the document is put into a page.
 */
void tt_json_add_text(TtJsonWriter *writer, const char *bytes, gsize len);
void tt_json_end_string(TtJsonWriter *writer);

/* A key and a value. */
static inline void tt_json_put_uint(TtJsonWriter *writer, const char *key, guint64 value) {
    tt_json_key(writer, key);
    tt_json_uint(writer, value);
}

static inline void tt_json_put_string(TtJsonWriter *writer, const char *key, const char *text) {
    tt_json_key(writer, key);
    tt_json_string(writer, text);
}

static inline void tt_json_put_addr(TtJsonWriter *writer, const char *key, guint64 addr) {
    tt_json_key(writer, key);
    tt_json_addr(writer, addr);
}

static inline void tt_json_put_bool(TtJsonWriter *writer, const char *key, gboolean value) {
    tt_json_key(writer, key);
    tt_json_bool(writer, value);
}

static inline void tt_json_put_null(TtJsonWriter *writer, const char *key) {
    tt_json_key(writer, key);
    tt_json_null(writer);
}

G_END_DECLS
