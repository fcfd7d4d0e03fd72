/* SPDX-License-Identifier: Apache-2.0 */
/* Lane memory. It is sealed against every change of size, so that no program can take pages from
 * under the daemon's feet (a read beyond the end of a shrunk file is SIGBUS), nor can a full disk
 * or RLIMIT_FSIZE touch the program. Pages come as they are used. */
#include "intake/lanes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; vm.memfd_noexec may demand it */
#endif

/* Most programs have few threads: they get deep rings. Many threads share the work of the daemon
 * anyway, and their rings are shallow. */
static void choose_shape(guint index, guint32 *ret_lane_count, guint32 *ret_chunks_per_lane) {
    *ret_lane_count = MIN(4u << MIN(index, 4), 64);
    *ret_chunks_per_lane = index < 2 ? 16 : 4;
}

static int create_memfd(gsize size) {
    int fd = memfd_create("trace-tools", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("trace-tools", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int tt_segment_init(TtSegment *segment, guint index, int *ret_fd) {
    TtSegment made;
    struct stat status;
    int fd;

    choose_shape(index, &made.lane_count, &made.chunks_per_lane);
    made.size = tt_segment_size(made.lane_count, made.chunks_per_lane);
    fd = create_memfd(made.size);
    if (fd < 0)
        return fd;
    made.map = mmap(NULL, made.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (made.map == MAP_FAILED || fstat(fd, &status) < 0) {
        int error = errno;
        if (made.map != MAP_FAILED)
            munmap(made.map, made.size);
        close(fd);
        return -error;
    }
    (void)madvise(made.map, made.size, MADV_DONTDUMP);
    (void)madvise(made.map, made.size, MADV_DONTFORK);
    made.inode = status.st_ino;
    *segment = made;
    *ret_fd = fd;
    return 0;
}

int tt_segment_adopt(TtSegment *segment, guint index, int fd) {
    TtSegment made;
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    choose_shape(index, &made.lane_count, &made.chunks_per_lane);
    made.size = tt_segment_size(made.lane_count, made.chunks_per_lane);
    if (seals < 0 || (~seals & (F_SEAL_GROW | F_SEAL_SHRINK)) != 0 || fstat(fd, &status) < 0 ||
        status.st_size != (off_t)made.size)
        return -EBADF;
    made.map = mmap(NULL, made.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (made.map == MAP_FAILED)
        return -errno;
    (void)madvise(made.map, made.size, MADV_DONTDUMP);
    (void)madvise(made.map, made.size, MADV_DONTFORK);
    made.inode = status.st_ino;
    *segment = made;
    return 0;
}

void tt_segment_clear(TtSegment *segment) {
    if (segment->map)
        munmap(segment->map, segment->size);
    *segment = (TtSegment){0};
}

TtLaneControl *tt_segment_get_control(const TtSegment *segment) {
    return (TtLaneControl *)(void *)segment->map;
}

TtLaneControl *tt_segment_get_lane(const TtSegment *segment, guint lane) {
    return tt_segment_get_control(segment) + 1 + lane;
}

const guint8 *tt_segment_get_chunks(const TtSegment *segment, guint lane) {
    return segment->map + tt_segment_chunks_offset(segment->lane_count) +
           (gsize)lane * segment->chunks_per_lane * TT_CHUNK_BYTES;
}
