/* SPDX-License-Identifier: Apache-2.0 */
/* A process's memory at one instant, as tt-ctl copies it and the daemon reads it: what a leak scan
 * looks at. A memfd, sealed against every change, that goes over D-Bus.
 *
 *   image := TtImageHead, pages (from the first page boundary on), then at directory_offset:
 *            TtImageThread[thread_count], TtImageMapping[mapping_count],
 *            TtImageRange[range_count], names
 *
 * All numbers are the machine's own: an image never leaves it. Ranges ascend and do not overlap,
 * in memory and in the image, which has no holes; nor do mappings; each is a whole number of pages.
 * What lies in a mapping and in no range was never touched by the program, or is unchanged from its
 * file. The reader trusts nothing of it. */
#pragma once

#include <stdint.h>

#define TT_IMAGE_MAGIC UINT64_C(0x31474d4945434154) /* "TACEIMG1" */
#define TT_IMAGE_PAGE_BYTES 4096u

/* Words of a thread's registers: user_regs_struct, then as much of its extended state (vectors) as
 * has room. */
#define TT_IMAGE_WORDS_MAX 384u

#define TT_IMAGE_THREADS_MAX 65536u
#define TT_IMAGE_MAPPINGS_MAX (1u << 20)
#define TT_IMAGE_RANGES_MAX (1u << 26)

typedef struct TtImageHead {
    uint64_t magic;
    uint64_t stopped_ns; /* CLOCK_MONOTONIC: since when the process stood still */
    uint64_t directory_offset;
    uint64_t range_count;
    uint32_t thread_count, mapping_count;
    uint64_t name_bytes;
} TtImageHead;

typedef struct TtImageThread {
    uint32_t tid;
    uint32_t word_count;
    uint64_t sp;
    uint64_t thread_pointer; /* of its TLS: fs_base */
    uint64_t words[TT_IMAGE_WORDS_MAX];
} TtImageThread;

enum {
    TT_IMAGE_READ = 1,
    TT_IMAGE_WRITE = 2,
    TT_IMAGE_SHARED = 4,
};

typedef struct TtImageMapping {
    uint64_t start, end;
    uint32_t flags;
    uint32_t name_len;
    uint64_t
        name_offset; /* in names: the path, or what stands for it, as /proc/PID/maps shows it */
} TtImageMapping;

/* Bytes that were copied. */
typedef struct TtImageRange {
    uint64_t addr, len;
    uint64_t offset; /* in the image */
} TtImageRange;

_Static_assert(sizeof(TtImageHead) == 48 && sizeof(TtImageMapping) == 32 &&
                   sizeof(TtImageRange) == 24 && sizeof(TtImageThread) == 3096,
               "what is written here is read elsewhere");
