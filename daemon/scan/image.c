/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/image.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "protocol/checked.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

G_DEFINE_QUARK(tt - scan - error - quark, tt_scan_error)

static gboolean refuse(GError **error, const char *why) {
    g_set_error(error, TT_SCAN_ERROR, TT_SCAN_ERROR_IMAGE, "The copy of its memory is %s", why);
    return FALSE;
}

/* Memory that nobody can change or shorten under our hands. Huge pages pass the seals, and can
 * still fail to be there. */
static gboolean is_sealed_memory(int fd) {
    struct statfs system;
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & SEALS) == SEALS && fstatfs(fd, &system) == 0 &&
           system.f_type == TMPFS_MAGIC;
}

/* One of the directory's arrays, of which @at is moved past. NULL: it is not all there. */
static const void *take_array(const TtImage *image, guint64 *at, guint64 count, gsize element) {
    const guint8 *array = image->bytes + *at;

    if (count > (image->size - *at) / element)
        return NULL;
    *at += count * element;
    return array;
}

static gboolean find_directory(TtImage *image) {
    const TtImageHead *head = image->head;
    guint64 at = head->directory_offset;

    if (head->magic != TT_IMAGE_MAGIC || at % 8 != 0 || at < sizeof *head || at > image->size ||
        head->thread_count > TT_IMAGE_THREADS_MAX || head->mapping_count > TT_IMAGE_MAPPINGS_MAX ||
        head->range_count > TT_IMAGE_RANGES_MAX)
        return FALSE;
    image->threads = take_array(image, &at, head->thread_count, sizeof *image->threads);
    if (image->threads)
        image->mappings = take_array(image, &at, head->mapping_count, sizeof *image->mappings);
    if (image->mappings)
        image->ranges = take_array(image, &at, head->range_count, sizeof *image->ranges);
    if (image->ranges)
        image->names = take_array(image, &at, head->name_bytes, 1);
    return image->names != NULL;
}

/* Whether [start, start + len) are whole pages behind @end. */
static gboolean are_pages(guint64 start, guint64 len, guint64 end) {
    return start % TT_IMAGE_PAGE_BYTES == 0 && len % TT_IMAGE_PAGE_BYTES == 0 && len > 0 &&
           start >= end && start <= G_MAXUINT64 - len;
}

static gboolean are_mappings_sound(const TtImage *image) {
    guint64 end = 0;

    for (guint32 i = 0; i < image->head->mapping_count; i++) {
        const TtImageMapping *mapping = &image->mappings[i];

        if (mapping->end <= mapping->start ||
            !are_pages(mapping->start, mapping->end - mapping->start, end) ||
            mapping->name_offset > image->head->name_bytes ||
            mapping->name_len > image->head->name_bytes - mapping->name_offset)
            return FALSE;
        end = mapping->end;
    }
    return TRUE;
}

/* In memory and in the file they go up, so that all of them are no more than there is. */
static gboolean are_ranges_sound(const TtImage *image) {
    guint64 end = 0, file_end = sizeof *image->head;

    for (guint64 i = 0; i < image->head->range_count; i++) {
        const TtImageRange *range = &image->ranges[i];

        if (!are_pages(range->addr, range->len, end) || range->offset % TT_IMAGE_PAGE_BYTES != 0 ||
            range->offset < file_end || range->offset > image->head->directory_offset ||
            range->len > image->head->directory_offset - range->offset)
            return FALSE;
        end = range->addr + range->len;
        file_end = range->offset + range->len;
    }
    return TRUE;
}

static gboolean are_threads_sound(const TtImage *image) {
    for (guint32 i = 0; i < image->head->thread_count; i++)
        if (image->threads[i].word_count > TT_IMAGE_WORDS_MAX)
            return FALSE;
    return TRUE;
}

gboolean tt_image_open(TtImage *ret_image, int fd, GError **error) {
    g_auto(TtImage) image = {0};
    struct stat status;

    if (!is_sealed_memory(fd) || fstat(fd, &status) < 0)
        return refuse(error, "no sealed memory");
    if (status.st_size < (off_t)sizeof(TtImageHead))
        return refuse(error, "cut");
    /* To read a hole would make a page of it: memory that the sender has not given. */
    if (status.st_blocks < status.st_size / 512)
        return refuse(error, "not all there");
    image.size = (gsize)status.st_size;
    gpointer bytes = mmap(NULL, image.size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return refuse(error, "not to be mapped");
    image.bytes = bytes;
    image.head = (const TtImageHead *)bytes;
    if (!find_directory(&image) || !are_mappings_sound(&image) || !are_ranges_sound(&image) ||
        !are_threads_sound(&image))
        return refuse(error, "damaged");
    *ret_image = image;
    image = (TtImage){0};
    return TRUE;
}

void tt_image_close(TtImage *image) {
    if (image->bytes)
        munmap((gpointer)image->bytes, image->size);
    *image = (TtImage){0};
}

/* Index of the first range that ends behind @addr; their count where there is none. */
static gsize find_range(const TtImage *image, guint64 addr) {
    gsize low = 0, high = (gsize)image->head->range_count;

    while (low < high) {
        gsize middle = low + (high - low) / 2;

        if (image->ranges[middle].addr + image->ranges[middle].len <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const guint64 *tt_image_read(TtImage *image, guint64 addr, guint64 *ret_end) {
    const TtImageRange *range = image->ranges + image->last;

    if (image->last >= image->head->range_count || addr < range->addr ||
        addr - range->addr >= range->len) {
        gsize found = find_range(image, addr);

        if (found == image->head->range_count) {
            *ret_end = G_MAXUINT64;
            return NULL;
        }
        range = image->ranges + found;
        if (addr < range->addr) {
            *ret_end = range->addr;
            return NULL;
        }
        image->last = found;
    }
    *ret_end = range->addr + range->len;
    return (const guint64 *)(gconstpointer)(image->bytes + range->offset + (addr - range->addr));
}

guint64 tt_image_read_word(TtImage *image, guint64 addr) {
    guint64 end;
    const guint64 *word = addr % 8 == 0 ? tt_image_read(image, addr, &end) : NULL;

    return word ? *word : 0;
}

const TtImageMapping *tt_image_find_mapping(const TtImage *image, guint64 addr) {
    guint32 low = 0, high = image->head->mapping_count;

    while (low < high) {
        guint32 middle = low + (high - low) / 2;

        if (image->mappings[middle].end <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low < image->head->mapping_count && image->mappings[low].start <= addr
               ? &image->mappings[low]
               : NULL;
}

gboolean tt_image_name_ends(const TtImage *image, const TtImageMapping *mapping, const char *end) {
    gsize len = strlen(end);

    return mapping->name_len >= len &&
           memcmp(image->names + mapping->name_offset + mapping->name_len - len, end, len) == 0;
}

gboolean tt_image_name_begins(const TtImage *image, const TtImageMapping *mapping,
                              const char *begin) {
    gsize len = strlen(begin);

    return mapping->name_len >= len && memcmp(image->names + mapping->name_offset, begin, len) == 0;
}
