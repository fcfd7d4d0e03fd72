/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for tables: address space that costs nothing until it is touched, and is not in core
 * files. */
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "client/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

/* Mapped without access first: after mlockall(MCL_FUTURE) it would be filled with pages and charged
 * to the program's RLIMIT_MEMLOCK. */
static inline void *tt_pages_map_by(int flags, int fd, size_t len) {
    long r = tt_sys6(SYS_mmap, 0, (long)len, PROT_NONE, flags, fd, 0);

    if (r < 0 && r > -4096)
        return NULL;
    TT_SYS2(SYS_munlock, r, len);
    if (TT_SYS3(SYS_mprotect, r, len, PROT_READ | PROT_WRITE) < 0) {
        TT_SYS2(SYS_munmap, r, len);
        return NULL;
    }
    TT_SYS3(SYS_madvise, r, len, MADV_DONTDUMP);
    return (void *)r;
}

/* Maps @len bytes of zeros, or returns NULL. errno is kept. */
static inline void *tt_pages_map(size_t len) {
    return tt_pages_map_by(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, len);
}

/* Maps what @fd is, shared. */
static inline void *tt_pages_map_shared(int fd, size_t len) {
    return tt_pages_map_by(MAP_SHARED, fd, len);
}

/* Gives pages that are about to be written their memory: one by one they cost an exception each,
 * which on a virtual machine may take as long as a hundred events. A wish; not once sealed. */
static inline void tt_pages_fill(void *pages, size_t len) {
    TT_SYS3(SYS_madvise, pages, len, MADV_POPULATE_WRITE);
}

/* Makes them zeros again. */
static inline void tt_pages_zero(void *pages, size_t len) {
    /* Locked in memory (mlockall): the kernel does not drop them. */
    if (TT_SYS3(SYS_madvise, pages, len, MADV_DONTNEED) < 0)
        memset(pages, 0, len);
}
