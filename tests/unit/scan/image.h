/* SPDX-License-Identifier: Apache-2.0 */
/* Images for tests (protocol/image.h), in a buffer that a test may spoil before it is sealed. */
#pragma once

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "protocol/image.h"

#define IMAGE_DATA 0x10000u /* a program's variables: a page that is all root */
#define IMAGE_HEAP 0x20000u /* "[heap]": a page */
#define IMAGE_NAMES "/bin/program[heap]"

/* A process with a thread, whose stack is unknown, and two pages. */
typedef struct Image {
    TtImageHead head;
    guint64 padding[(TT_IMAGE_PAGE_BYTES - sizeof(TtImageHead)) / 8];
    guint64 data[TT_IMAGE_PAGE_BYTES / 8];
    guint64 heap[TT_IMAGE_PAGE_BYTES / 8];
    TtImageThread threads[1];
    TtImageMapping mappings[2];
    TtImageRange ranges[2];
    char names[sizeof IMAGE_NAMES];
} Image;

static inline Image *image_new(void) {
    Image *image = g_new0(Image, 1);
    guint64 page = TT_IMAGE_PAGE_BYTES;

    image->head = (TtImageHead){.magic = TT_IMAGE_MAGIC,
                                .directory_offset = offsetof(Image, threads),
                                .range_count = 2,
                                .thread_count = 1,
                                .mapping_count = 2,
                                .name_bytes = strlen(IMAGE_NAMES)};
    image->threads[0] = (TtImageThread){.tid = 7, .word_count = 27};
    image->mappings[0] =
        (TtImageMapping){IMAGE_DATA, IMAGE_DATA + page, TT_IMAGE_READ | TT_IMAGE_WRITE, 12, 0};
    image->mappings[1] =
        (TtImageMapping){IMAGE_HEAP, IMAGE_HEAP + page, TT_IMAGE_READ | TT_IMAGE_WRITE, 6, 12};
    image->ranges[0] = (TtImageRange){IMAGE_DATA, page, offsetof(Image, data)};
    image->ranges[1] = (TtImageRange){IMAGE_HEAP, page, offsetof(Image, heap)};
    memcpy(image->names, IMAGE_NAMES, sizeof image->names);
    return image;
}

/* Bytes that there are of it, to its last name. */
#define IMAGE_BYTES (offsetof(Image, names) + strlen(IMAGE_NAMES))

#define IMAGE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Returns: (transfer full): a memfd of the first @len bytes */
static inline int image_seal(const Image *image, gsize len, int seals) {
    int fd = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(write(fd, image, len), ==, (gssize)len);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
    return fd;
}
