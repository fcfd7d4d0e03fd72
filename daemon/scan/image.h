/* SPDX-License-Identifier: Apache-2.0 */
/* PRIVATE to the room: the copy of a process's memory, checked once, then read where it lies. It is
 * sealed, so that what was checked stays so. */
#pragma once

#include "protocol/image.h"
#include "scan/scan.h"

G_BEGIN_DECLS

/* Any one thread at a time: it remembers where it read last. */
typedef struct TtImage {
    const guint8 *bytes; /* mapped */
    gsize size;
    const TtImageHead *head;
    const TtImageThread *threads;
    const TtImageMapping *mappings;
    const TtImageRange *ranges;
    const char *names;
    gsize last; /* index of the range that was read last */
} TtImage;

/**
 * tt_image_open:
 * @fd: not trusted
 *
 * Returns: %FALSE with @error set (TT_SCAN_ERROR_IMAGE) where it is no whole, sealed image
 */
gboolean tt_image_open(TtImage *ret_image, int fd, GError **error);
void tt_image_close(TtImage *image);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TtImage, tt_image_close)

/**
 * tt_image_read:
 * @addr: 8-aligned
 * @ret_end: (out): where they end: at a boundary of what was copied
 *
 * Returns: the words from @addr on; %NULL: not copied, up to @ret_end (G_MAXUINT64: none follows)
 */
const guint64 *tt_image_read(TtImage *image, guint64 addr, guint64 *ret_end);

/* Returns: one word; 0 where it was not copied. */
guint64 tt_image_read_word(TtImage *image, guint64 addr);

/* Returns: (nullable): the mapping in which an address lies. */
const TtImageMapping *tt_image_find_mapping(const TtImage *image, guint64 addr);

/* Whether a mapping's name ends, or begins, like this. */
gboolean tt_image_name_ends(const TtImage *image, const TtImageMapping *mapping, const char *end);
gboolean tt_image_name_begins(const TtImage *image, const TtImageMapping *mapping,
                              const char *begin);

G_END_DECLS
