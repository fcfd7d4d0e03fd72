/* SPDX-License-Identifier: Apache-2.0 */
/* Where an export goes: a descriptor that somebody else opened. It may be a file, a terminal, a
 * socket, or a pipe that nobody reads; a sink is what makes writing to any of them end in bounded
 * time, without touching flags that the descriptor shares with its owner. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct TtSink TtSink;

/**
 * tt_sink_new:
 * @fd: (transfer none): open for writing until the sink is freed; its O_NONBLOCK is left as it is
 *
 * SIGPIPE and SIGXFSZ must be ignored in the process; their errors come as errors.
 *
 * Returns: (transfer full): never %NULL
 */
TtSink *tt_sink_new(int fd);

/* Frees it; what was not flushed is dropped. */
void tt_sink_free(TtSink *sink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtSink, tt_sink_free)

/**
 * tt_sink_set_cancellable:
 * @cancellable: (nullable): once cancelled, writes fail with G_IO_ERROR_CANCELLED, also waiting
 * ones
 */
void tt_sink_set_cancellable(TtSink *sink, GCancellable *cancellable);

/* Bounds each wait for a reader that takes nothing. 30 s unless told. */
void tt_sink_set_patience(TtSink *sink, guint milliseconds);

/* Called on the writing thread before a wait for the reader, and after it. */
void tt_sink_set_on_wait(TtSink *sink, void (*on_wait)(gpointer data, gboolean is_waiting),
                         gpointer data);

/**
 * tt_sink_write:
 * @error: of G_IO_ERROR, with the system's word for it: no space, broken pipe, timed out, cancelled
 *
 * Takes all of @len bytes; they are with the system after tt_sink_flush. After a failure all
 * further calls fail in the same way, so a writer may check at its end only. One thread at a time.
 */
gboolean tt_sink_write(TtSink *sink, const void *bytes, gsize len, GError **error);

/* Hands over what is buffered. */
gboolean tt_sink_flush(TtSink *sink, GError **error);

/* The first failure, which tells a broken output from a document that could not be made. Or NULL.
 */
const GError *tt_sink_get_error(const TtSink *sink);

/* Bytes taken by tt_sink_write so far. */
guint64 tt_sink_get_bytes(const TtSink *sink);

G_END_DECLS
