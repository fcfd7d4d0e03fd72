/* SPDX-License-Identifier: Apache-2.0 */
/* The search in images that no process has: sound ones, whose answer is known, and those that
 * whoever may talk to the daemon could pass, each to be refused or to be gone through, soon. */
#include "image.h"
#include "scan/scan.h"
#include "simple.h"

/* Bytes at @addr in the heap's page, by their number there. */
#define AT(i) (IMAGE_HEAP + 256u * (i))

enum { REACHED, DROPPED, LED_TO, INNER, BLOCKS };

static const TtLeakClass known[BLOCKS] = {TT_LEAK_REACHABLE, TT_LEAK_DEFINITE, TT_LEAK_INDIRECT,
                                          TT_LEAK_POSSIBLE};

/* Four blocks, of 100 to 103 bytes. */
static TtSession *session_new(void) {
    TtSession *session = simple_new(NULL);

    for (guint i = 0; i < BLOCKS; i++)
        simple_apply(session, TT_OP_ALLOC, 0, 10 + i, AT(i), 100 + i);
    return session;
}

/* One variable leads to the first block, another into the last; the second leads to the third. */
static Image *known_image(void) {
    Image *image = image_new();

    image->data[3] = AT(REACHED);
    image->data[511] = AT(INNER) + 40;
    image->heap[(AT(DROPPED) + 16 - IMAGE_HEAP) / 8] = AT(LED_TO);
    image->heap[510] = AT(DROPPED); /* in freed memory */
    return image;
}

static TtScan *scan_fd(TtSession *session, int fd, TtBudget *memory, GError **error) {
    SimpleHeld held;
    TtScan *scan;

    g_assert_true(simple_hold(session, "now", &held));
    scan = tt_scan_new(held.snapshot, fd, memory, error);
    simple_release(&held);
    return scan;
}

/* Closes @fd. FALSE: it was refused, as an image. */
static gboolean is_taken(TtSession *session, int fd, TtAmount *ret_sums) {
    g_autoptr(GError) error = NULL;
    g_autoptr(TtScan) scan = scan_fd(session, fd, NULL, &error);
    gsize count;

    close(fd);
    if (!scan) {
        g_assert_error(error, TT_SCAN_ERROR, TT_SCAN_ERROR_IMAGE);
        return FALSE;
    }
    const TtLeakGroup *groups = tt_scan_get_groups(scan, &count);
    memset(ret_sums, 0, TT_LEAK_CLASSES * sizeof *ret_sums);
    for (gsize i = 0; i < count; i++) {
        ret_sums[groups[i].class].blocks += groups[i].amount.blocks;
        ret_sums[groups[i].class].bytes += groups[i].amount.bytes;
    }
    return TRUE;
}

/* @what, @which: what was spoiled, for the message */
static void check_refused(TtSession *session, const Image *image, const char *what, gsize which) {
    TtAmount sums[TT_LEAK_CLASSES];

    if (is_taken(session, image_seal(image, IMAGE_BYTES, IMAGE_SEALS), sums))
        g_error("taken with %s %" G_GSIZE_FORMAT, what, which);
}

/* ---- Sound ones ---- */

static void classes_are_those_of_the_image(void) {
    TtSession *session = session_new();
    g_autofree Image *image = known_image();
    TtAmount sums[TT_LEAK_CLASSES];

    g_assert_true(is_taken(session, image_seal(image, IMAGE_BYTES, IMAGE_SEALS), sums));
    for (guint i = 0; i < BLOCKS; i++) {
        g_assert_cmpuint(sums[known[i]].blocks, ==, 1);
        g_assert_cmpuint(sums[known[i]].bytes, ==, 100 + i);
    }
    tt_session_free(session);
}

/* Of a thread that ran on a stack of the program's own, which is mapped still: glibc has freed the
 * vector of its TLS blocks, and malloc has given the address away again. */
static void block_where_an_ended_threads_vector_was_is_followed(void) {
    TtSession *session = session_new();
    g_autofree Image *image = image_new();
    guint64 end = IMAGE_DATA + TT_IMAGE_PAGE_BYTES, control_block = end - 2048;
    guint64 *words = image->data + (control_block - IMAGE_DATA) / 8;
    TtAmount sums[TT_LEAK_CLASSES];

    image->mappings[0] = (TtImageMapping){IMAGE_DATA - TT_IMAGE_PAGE_BYTES, IMAGE_DATA, 0, 12, 0};
    image->mappings[1] = (TtImageMapping){IMAGE_DATA, end, TT_IMAGE_READ | TT_IMAGE_WRITE, 0, 12};
    words[0] = words[2] = control_block;
    words[1] = AT(REACHED) + 16; /* the second element */
    image->heap[511] = AT(REACHED);
    image->heap[(AT(REACHED) + 24 - IMAGE_HEAP) / 8] = AT(DROPPED);
    image->heap[(AT(DROPPED) + 16 - IMAGE_HEAP) / 8] = AT(LED_TO);
    image->heap[(AT(LED_TO) + 16 - IMAGE_HEAP) / 8] = AT(INNER);
    g_assert_true(is_taken(session, image_seal(image, IMAGE_BYTES, IMAGE_SEALS), sums));
    g_assert_cmpuint(sums[TT_LEAK_REACHABLE].blocks, ==, BLOCKS);

    /* One that glibc keeps for the next thread: with its TLS blocks, and nothing of theirs. */
    image->heap[511] = 0;
    g_assert_true(is_taken(session, image_seal(image, IMAGE_BYTES, IMAGE_SEALS), sums));
    g_assert_cmpuint(sums[TT_LEAK_REACHABLE].blocks, ==, 2);
    g_assert_cmpuint(sums[TT_LEAK_DEFINITE].blocks, ==, 1);
    g_assert_cmpuint(sums[TT_LEAK_INDIRECT].blocks, ==, 1);
    tt_session_free(session);
}

static gsize count_growing(TtSession *session) {
    g_autoptr(TtScan) scan = scan_fd(session, -1, NULL, NULL);
    gsize count;

    tt_scan_get_growths(scan, &count);
    tt_session_free(session);
    return count;
}

/* Of 1000 blocks each is freed when 64 more have come; the last 64 come @slow times as slowly. */
static TtSession *queue_new(guint slow, gboolean is_freed) {
    TtSession *session = simple_new(NULL);
    guint64 time_ns = 0;

    for (guint i = 0; i < 1000; i++) {
        time_ns += 1000 * (i >= 936 ? slow : 1);
        if (i >= 64 && is_freed)
            simple_apply(session, TT_OP_FREE, 0, time_ns, 0x100000 + 64 * (i - 64), 0);
        simple_apply(session, TT_OP_ALLOC, 0, time_ns + 1, 0x100000 + 64 * i, 48);
    }
    return session;
}

static void slow_queue_does_not_grow(void) {
    g_assert_cmpuint(count_growing(queue_new(1, FALSE)), ==, 1);
    g_assert_cmpuint(count_growing(queue_new(1, TRUE)), ==, 0);
    g_assert_cmpuint(count_growing(queue_new(3, TRUE)), ==, 0);
}

/* What a program says of its blocks is not to be believed either. */
static void absurd_blocks_are_gone_through(void) {
    static const guint64 sizes[] = {0, 1, 8, 4096, 1u << 20, G_MAXINT64, G_MAXUINT64};
    static const guint64 addrs[] = {1,      7,         IMAGE_HEAP,      IMAGE_HEAP + 8,
                                    AT(15), AT(9) + 3, G_MAXUINT64 - 7, G_MAXUINT64};
    g_autofree Image *image = known_image();
    TtAmount sums[TT_LEAK_CLASSES];

    for (gsize i = 0; i < G_N_ELEMENTS(addrs) * G_N_ELEMENTS(sizes); i++)
        image->heap[i] = addrs[i % G_N_ELEMENTS(addrs)];
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        for (gsize j = 0; j < G_N_ELEMENTS(sizes); j++) {
            TtSession *session = simple_new(NULL);
            guint64 blocks = 0;
            TtBlockRow rows[G_N_ELEMENTS(addrs)];

            for (gsize k = 0; k < G_N_ELEMENTS(addrs); k++)
                simple_apply(session, TT_OP_ALLOC, 0, 10 + k, addrs[k], sizes[k % 2 ? i : j]);
            g_assert_true(is_taken(session, image_seal(image, IMAGE_BYTES, IMAGE_SEALS), sums));
            for (guint k = 0; k < TT_LEAK_CLASSES; k++)
                blocks += sums[k].blocks;
            g_assert_cmpuint(blocks, ==, simple_read_live(session, rows, G_N_ELEMENTS(rows)));
            tt_session_free(session);
        }
    }
}

/* One block in another, as far as addresses go: what comes behind them is nothing. */
static void blocks_at_the_end_of_all_addresses_are_gone_through(void) {
    const guint64 page = -(guint64)(2 * TT_IMAGE_PAGE_BYTES);
    TtSession *session = simple_new(NULL);
    g_autofree Image *image = image_new();
    TtAmount sums[TT_LEAK_CLASSES];

    image->ranges[1].addr = image->mappings[1].start = page;
    image->mappings[1].end = page + TT_IMAGE_PAGE_BYTES;
    image->data[0] = page;
    simple_apply(session, TT_OP_ALLOC, 0, 10, page, G_MAXUINT64 - page);
    simple_apply(session, TT_OP_ALLOC, 0, 11, page + 64, G_MAXUINT64 - page - 64);
    g_assert_true(is_taken(session, image_seal(image, IMAGE_BYTES, IMAGE_SEALS), sums));
    g_assert_cmpuint(sums[TT_LEAK_REACHABLE].blocks, ==, 1);
    g_assert_cmpuint(sums[TT_LEAK_DEFINITE].blocks, ==, 1);
    tt_session_free(session);
}

/* ---- Hostile ones ---- */

static void cut_image_is_refused(void) {
    TtSession *session = session_new();
    g_autofree Image *image = known_image();
    TtAmount sums[TT_LEAK_CLASSES];

    /* At every byte of the directory, and now and then in the pages before it. */
    for (gsize len = 0; len < IMAGE_BYTES; len += len < offsetof(Image, threads) ? 8 : 1)
        g_assert_false(is_taken(session, image_seal(image, len, IMAGE_SEALS), sums));
    tt_session_free(session);
}

/* It could change, or be cut, under our hands. */
static void image_that_is_not_sealed_is_refused(void) {
    TtSession *session = session_new();
    g_autofree Image *image = known_image();
    TtAmount sums[TT_LEAK_CLASSES];
    int ends[2];

    for (int seals = 0; seals < IMAGE_SEALS; seals++)
        if ((seals & IMAGE_SEALS) == seals)
            g_assert_false(is_taken(session, image_seal(image, IMAGE_BYTES, seals), sums));
    g_assert_false(is_taken(session, open("/dev/zero", O_RDONLY | O_CLOEXEC), sums));
    g_assert_false(is_taken(session, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), sums));
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    close(ends[1]);
    g_assert_false(is_taken(session, ends[0], sums));
    tt_session_free(session);
}

/* Reading it would make memory of what the caller has none of. */
static void image_with_holes_is_refused(void) {
    TtSession *session = session_new();
    g_autofree Image *image = known_image();
    TtAmount sums[TT_LEAK_CLASSES];
    int fd = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    gsize hole = offsetof(Image, heap);

    g_assert_cmpint(pwrite(fd, image, hole, 0), ==, (gssize)hole);
    g_assert_cmpint(pwrite(fd, image->threads, IMAGE_BYTES - image->head.directory_offset,
                           (off_t)image->head.directory_offset),
                    ==, (gssize)(IMAGE_BYTES - image->head.directory_offset));
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, IMAGE_SEALS), ==, 0);
    g_assert_false(is_taken(session, fd, sums));
    tt_session_free(session);
}

static void absurd_counts_are_refused(void) {
    static const guint64 counts[] = {
        3,          1u << 16,        1u << 31,   G_MAXUINT32, G_MAXUINT64 / 24 + 2,
        G_MAXINT64, G_MAXUINT64 - 7, G_MAXUINT64};
    TtSession *session = session_new();
    g_autofree Image *image = known_image();
    const TtImageHead head = image->head;

    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        image->head.range_count = counts[i];
        check_refused(session, image, "count of ranges", i);
        image->head = head;
        image->head.name_bytes = 64 + counts[i];
        if (counts[i] < G_MAXUINT64 - 64)
            check_refused(session, image, "bytes of names", i);
        image->head = head;
        image->head.thread_count = (guint32)MIN(counts[i], G_MAXUINT32);
        check_refused(session, image, "count of threads", i);
        image->head = head;
        image->head.mapping_count = (guint32)MIN(counts[i] + 100, G_MAXUINT32);
        check_refused(session, image, "count of mappings", i);
        image->head = head;
        image->head.directory_offset = counts[i] & ~(guint64)7;
        check_refused(session, image, "directory", i);
        image->head = head;
        image->threads[0].word_count = TT_IMAGE_WORDS_MAX + 1 + (guint32)i;
        check_refused(session, image, "words of a thread", i);
        image->threads[0].word_count = 27;
    }
    tt_session_free(session);
}

static void overlapping_parts_are_refused(void) {
    static const TtImageRange ranges[] = {
        {IMAGE_DATA, 4096, 8192},                        /* twice the same */
        {IMAGE_DATA - 4096, 4096, 8192},                 /* backwards */
        {IMAGE_HEAP, 0, 8192},                           /* empty */
        {IMAGE_HEAP, 4095, 8192},                        /* no pages */
        {IMAGE_HEAP + 8, 4096, 8192},                    /* not at a page */
        {IMAGE_HEAP, 4096, 8200},                        /* not at a page of the file */
        {IMAGE_HEAP, 4096, 4096},                        /* the first one's bytes */
        {IMAGE_HEAP, 4096, 0},                           /* the head */
        {IMAGE_HEAP, 8192, 8192},                        /* into the directory */
        {IMAGE_HEAP, 4096, 1u << 20},                    /* behind the file */
        {IMAGE_HEAP, 4096, -(guint64)4096},              /* wraps */
        {IMAGE_HEAP, -(guint64)4096, 8192},              /* wraps in memory */
        {-(guint64)4096, 8192, 8192},                    /* as well */
        {IMAGE_HEAP, (guint64)1 << 63, (guint64)1 << 63} /* their sum does */
    };
    static const TtImageMapping mappings[] = {
        {IMAGE_DATA, IMAGE_DATA + 4096, 3, 6, 12},
        {IMAGE_DATA - 4096, IMAGE_DATA, 3, 6, 12},
        {IMAGE_HEAP, IMAGE_HEAP, 3, 6, 12},
        {IMAGE_HEAP, IMAGE_HEAP - 4096, 3, 6, 12},
        {IMAGE_HEAP + 1, IMAGE_HEAP + 4097, 3, 6, 12},
        {IMAGE_HEAP, IMAGE_HEAP + 4096, 3, 7, 12},
        {IMAGE_HEAP, IMAGE_HEAP + 4096, 3, G_MAXUINT32, 12},
        {IMAGE_HEAP, IMAGE_HEAP + 4096, 3, 6, G_MAXUINT64 - 5},
    };
    TtSession *session = session_new();
    g_autofree Image *image = known_image();

    for (gsize i = 0; i < G_N_ELEMENTS(ranges); i++) {
        TtImageRange kept = image->ranges[1];

        image->ranges[1] = ranges[i];
        check_refused(session, image, "range", i);
        image->ranges[1] = kept;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(mappings); i++) {
        TtImageMapping kept = image->mappings[1];

        image->mappings[1] = mappings[i];
        check_refused(session, image, "mapping", i);
        image->mappings[1] = kept;
    }
    tt_session_free(session);
}

/* Every byte of what is not a page is changed: what is taken all the same knows every block. */
static void changed_bytes_are_refused_or_gone_through(void) {
    static const guint8 values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    TtSession *session = session_new();
    g_autofree Image *image = known_image();
    guint8 *bytes = (guint8 *)image;
    TtAmount sums[TT_LEAK_CLASSES];

    for (gsize at = 0; at < IMAGE_BYTES; at++) {
        guint8 kept = bytes[at];

        if (at == sizeof image->head)
            at = offsetof(Image, threads);
        if (at == offsetof(Image, threads[0].words[4]))
            at = offsetof(Image, mappings);
        kept = bytes[at];
        for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
            guint64 blocks = 0;

            bytes[at] = values[i];
            if (!is_taken(session, image_seal(image, IMAGE_BYTES, IMAGE_SEALS), sums))
                continue;
            for (guint j = 0; j < TT_LEAK_CLASSES; j++)
                blocks += sums[j].blocks;
            g_assert_cmpuint(blocks, ==, BLOCKS);
        }
        bytes[at] = kept;
    }
    tt_session_free(session);
}

/* ---- Memory ---- */

static void table_is_charged_and_given_back(void) {
    TtSession *session = session_new();
    TtPool pool;
    TtBudget memory;

    for (gsize limit = 1000; limit <= 1 << 20; limit += 50000) {
        g_autoptr(GError) error = NULL;

        tt_pool_init(&pool, limit, NULL, NULL);
        tt_budget_init(&memory, limit, &pool);
        g_autoptr(TtScan) scan = scan_fd(session, -1, &memory, &error);
        /* Room for 4096 blocks is the least, and half of a pool is what one may have of it. */
        if (limit < 4096 * 80) {
            g_assert_null(scan);
            g_assert_error(error, TT_SCAN_ERROR, TT_SCAN_ERROR_LIMIT);
            g_assert_nonnull(strstr(error->message, "--memory-limit"));
        } else if (limit > 4096 * 220) {
            g_assert_no_error(error);
        }
        g_assert_cmpuint(tt_budget_get_used(&memory), ==, 0);
        g_assert_cmpuint(pool.used_bytes, ==, 0);
    }
    tt_session_free(session);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scan/classes_are_those_of_the_image", classes_are_those_of_the_image);
    g_test_add_func("/scan/block_where_an_ended_threads_vector_was_is_followed",
                    block_where_an_ended_threads_vector_was_is_followed);
    g_test_add_func("/scan/slow_queue_does_not_grow", slow_queue_does_not_grow);
    g_test_add_func("/scan/absurd_blocks_are_gone_through", absurd_blocks_are_gone_through);
    g_test_add_func("/scan/blocks_at_the_end_of_all_addresses_are_gone_through",
                    blocks_at_the_end_of_all_addresses_are_gone_through);
    g_test_add_func("/scan/table_is_charged_and_given_back", table_is_charged_and_given_back);
    g_test_add_func("/scan/cut_image_is_refused", cut_image_is_refused);
    g_test_add_func("/scan/image_that_is_not_sealed_is_refused",
                    image_that_is_not_sealed_is_refused);
    g_test_add_func("/scan/image_with_holes_is_refused", image_with_holes_is_refused);
    g_test_add_func("/scan/absurd_counts_are_refused", absurd_counts_are_refused);
    g_test_add_func("/scan/overlapping_parts_are_refused", overlapping_parts_are_refused);
    g_test_add_func("/scan/changed_bytes_are_refused_or_gone_through",
                    changed_bytes_are_refused_or_gone_through);
    return g_test_run();
}
