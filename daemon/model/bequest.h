/* SPDX-License-Identifier: Apache-2.0 */
/* What a forked child inherits, told by its parent's session: records (records.def), as the child's
 * session takes them (heritage.h) and as a recording holds them. Told in pieces, so that neither
 * owner is kept from its other work, and no copy of all of it is ever made. */
#pragma once

#include "model/session.h"

G_BEGIN_DECLS

/* What a child knows of its fork. */
typedef struct TtForkInstant {
    guint64 stamp;  /* up to which the parent's events had happened; 0: it inherits nothing */
    guint64 token;  /* of the parent's FORK; 0: there was none */
    guint64 others; /* threads of the parent that may have been in a call */
    guint64 stacks; /* ids of stacks below are the parent's */
    guint64 modules;
    guint64 tid;    /* of the thread that forked */
    guint64 scopes; /* open in it */
} TtForkInstant;

typedef struct TtBequest TtBequest;

/**
 * tt_bequest_new:
 * @parent: all of its events up to the instant are applied; its owner calls, here and below
 *
 * Holds what lived at the instant readable, until tt_bequest_free.
 */
TtBequest *tt_bequest_new(TtSession *parent, const TtForkInstant *instant);

/* Appends the next records, some @max_bytes. FALSE: these were the last. */
gboolean tt_bequest_write(TtBequest *bequest, GByteArray *records, gsize max_bytes);

void tt_bequest_free(TtBequest *bequest);

G_END_DECLS
