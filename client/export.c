/* SPDX-License-Identifier: Apache-2.0 */
/* A program asks for its own state: it opens the file, the daemon writes to the descriptor. The
 * question goes over a connection of its own, so that threads need not share one. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "client/connect.h"
#include "client/probe.h"
#include "client/session.h"
#include "client/sys.h"
#include "client/ttclient.h"
#include "protocol/decode.h"

#define ANSWER_BOUND_NS 30000000000u
#define TEMPORARY ".tt-export-"
#define LINKS_MAX 40 /* as the kernel */

/* Where the bytes go, until they are all there. Mapped, for a thread's stack may be smaller. */
typedef struct Output {
    int fd;
    int old_fd; /* of a file that must not be replaced: it is rewritten; else -1 */
    bool is_temporary;
    char target[PATH_MAX]; /* behind all links but one of /proc */
    char temporary[PATH_MAX];
    char link[PATH_MAX];         /* what the one at work holds */
    uint8_t message[4096 + 256]; /* to the daemon and back */
} Output;

static int look_at(const char *path, struct stat *ret_status) {
    return (int)TT_SYS4(SYS_newfstatat, AT_FDCWD, path, ret_status, 0);
}

/* Where a path's last name begins. */
static size_t folder_len(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/* Links of /proc lead to what is open, be it named so, otherwise or no more. */
static bool is_in_proc(char *path) {
    struct statfs status;
    size_t len = folder_len(path);
    char first = path[len];

    path[len] = '\0';
    long r = TT_SYS2(SYS_statfs, len > 0 ? path : ".", &status);
    path[len] = first;
    return r == 0 && status.f_type == PROC_SUPER_MAGIC;
}

/* Follows the links that the target's last name is, be there something at their end or not. Returns
 * 0, 1 where it has come to one of /proc, or a negative errno. */
static int follow(Output *output) {
    char *path = output->target, *link = output->link;

    for (int i = 0; i < LINKS_MAX; i++) {
        long len = TT_SYS3(SYS_readlink, path, link, sizeof output->link);
        if (len == -EINVAL || len == -ENOENT)
            return 0; /* it is none */
        if (len < 0)
            return (int)len;
        if (is_in_proc(path))
            return 1;
        size_t kept_len = len > 0 && link[0] != '/' ? folder_len(path) : 0;
        if (kept_len + (size_t)len >= PATH_MAX)
            return -ENAMETOOLONG;
        memcpy(path + kept_len, link, (size_t)len);
        path[kept_len + (size_t)len] = '\0';
    }
    return -ELOOP;
}

/* What is to be put in its place, unless it is to be written directly: what is no regular file, and
 * what is open already. Returns 0 or a negative errno. */
static int find_target(Output *output, const char *path, struct stat *ret_status) {
    struct stat status = {.st_nlink = 0};
    size_t len = strlen(path);

    int r = look_at(path, &status);
    if (r < 0 && r != -ENOENT)
        return r;
    *ret_status = status;
    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(output->target, path, len + 1);
    int followed = follow(output);
    if (followed < 0)
        return followed;
    output->is_temporary = followed == 0 && (r == -ENOENT || S_ISREG(status.st_mode));
    return 0;
}

/* A name beside the final one, so that renaming stays on one file system. */
static int temporary_name(const char *path, char *ret_name) {
    static _Atomic unsigned count;
    static const char digits[] = "0123456789abcdef";
    size_t len = strlen(path);
    uint64_t unique = (uint64_t)tt_sys_gettid() << 32 | atomic_fetch_add(&count, 1);

    if (len + sizeof TEMPORARY + 16 > PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(ret_name, path, len);
    memcpy(ret_name + len, TEMPORARY, sizeof TEMPORARY - 1);
    len += sizeof TEMPORARY - 1;
    for (int i = 0; i < 16; i++, unique >>= 4)
        ret_name[len++] = digits[unique & 15];
    ret_name[len] = '\0';
    return 0;
}

/* The program's own numbers stay free while the daemon writes. */
static long duplicate_high(long fd) { return TT_SYS3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 100); }

static int open_file(const char *name, int flags, mode_t mode) {
    long fd = TT_SYS4(SYS_openat, AT_FDCWD, name, flags | O_CLOEXEC | O_NOCTTY, mode);
    if (fd < 0)
        return (int)fd;

    long high = duplicate_high(fd);
    if (high < 0)
        return (int)fd;
    tt_sys_close((int)fd);
    return (int)high;
}

/* What is written directly. The program's own output and errors, by any of their names, go on where
 * they are; opened anew a file would be written from its start, over what the program has said. */
static int open_directly(const char *link, const struct stat *status) {
    const char *name = link + folder_len(link);
    struct stat own;

    for (int fd = 1; fd <= 2; fd++)
        if (name[0] == '0' + fd && name[1] == '\0' && TT_SYS2(SYS_fstat, fd, &own) == 0 &&
            own.st_ino == status->st_ino && own.st_dev == status->st_dev)
            return (int)duplicate_high(fd);
    return open_file(link, O_WRONLY | O_TRUNC, 0);
}

/* Has the new file stand in for the old one, where it can: an owner or a group of another's only
 * root can give it, and with others its mode would let in who was not meant. */
static bool make_alike(int fd, const struct stat *old) {
    struct stat status;

    TT_SYS3(SYS_fchown, fd, old->st_uid, old->st_gid);
    return TT_SYS2(SYS_fstat, fd, &status) == 0 && status.st_uid == old->st_uid &&
           status.st_gid == old->st_gid && TT_SYS2(SYS_fchmod, fd, old->st_mode & 0777) == 0;
}

static int output_open(Output *output, const char *path) {
    struct stat status;

    output->old_fd = -1;
    int r = find_target(output, path, &status);
    if (r < 0)
        return r;
    if (!output->is_temporary)
        return (output->fd = open_directly(output->target, &status));
    r = temporary_name(output->target, output->temporary);
    bool is_new = status.st_nlink == 0;
    /* rename would replace a file that may not be written; a shell would not. */
    if (r == 0 && !is_new)
        r = output->old_fd = open_file(output->target, O_WRONLY, 0);
    if (r < 0)
        return r;
    output->fd = open_file(output->temporary, O_CREAT | O_EXCL | O_RDWR, is_new ? 0666 : 0600);
    /* Where it is to be renamed. Else other names of the old one would keep that for ever. */
    bool is_alike = output->fd >= 0 && status.st_nlink == 1 && make_alike(output->fd, &status);
    if (output->old_fd >= 0 && (output->fd < 0 || is_alike)) {
        tt_sys_close(output->old_fd);
        output->old_fd = -1;
    }
    return output->fd < 0 ? output->fd : 0;
}

/* May the program make a file as long? Where it may not, trying would end it (SIGXFSZ). */
static bool is_within_limit(off_t size) {
    struct rlimit limit;

    return TT_SYS4(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) != 0 ||
           limit.rlim_cur >= (uint64_t)size;
}

/* What could fail for want of space fails here, while the old content is whole. A signal has tmpfs
 * give back all that it has reserved: a fast timer's could do so each time. */
static long reserve(int fd, off_t size) {
    uint64_t mask;
    long r;

    if (!is_within_limit(size))
        return -EFBIG;
    if (size == 0)
        return 0;
    tt_sys_block_signals(&mask);
    do
        r = TT_SYS4(SYS_fallocate, fd, 0, 0, size);
    while (r == -EINTR);
    tt_sys_restore_signals(&mask);
    return r == -EOPNOTSUPP ? 0 : r;
}

/* Writes the complete file over the old one. */
static int rewrite(int from, int to) {
    struct stat status, old;
    off_t offset = 0;

    long r = TT_SYS2(SYS_fstat, from, &status);
    if (r == 0)
        r = TT_SYS2(SYS_fstat, to, &old);
    if (r < 0)
        return (int)r;
    r = reserve(to, status.st_size);
    if (r < 0) {
        TT_SYS2(SYS_ftruncate, to, old.st_size);
        return (int)r;
    }
    while (offset < status.st_size) {
        r = TT_SYS4(SYS_sendfile, to, from, &offset, status.st_size - offset);
        if (r <= 0 && r != -EINTR)
            return r < 0 ? (int)r : -EIO;
    }
    return (int)TT_SYS2(SYS_ftruncate, to, status.st_size);
}

static int output_close(Output *output, int result) {
    if (result == 0 && output->old_fd >= 0)
        result = rewrite(output->fd, output->old_fd);
    else if (result == 0 && output->is_temporary)
        result = (int)TT_SYS2(SYS_rename, output->temporary, output->target);
    if (output->is_temporary && (result != 0 || output->old_fd >= 0))
        TT_SYS1(SYS_unlink, output->temporary);
    if (output->old_fd >= 0)
        tt_sys_close(output->old_fd);
    tt_sys_close(output->fd);
    return result;
}

static int read_answer(const uint8_t *message, size_t len) {
    TtCursor cursor = tt_cursor_new(message, len);
    const uint8_t *head;
    TtRawRecord raw;
    TtRecordExportDone done;

    if (tt_cursor_read_bytes(&cursor, sizeof(TtMessageHead), &head) < 0)
        return -EPROTO;
    while (tt_decode_framed(&cursor, &raw) == TT_ITEM_RECORD)
        if (raw.number == TT_RECORD_EXPORT_DONE && tt_decode_export_done(&raw, &done) == 0)
            return done.error > INT_MAX ? -EIO : -(int)done.error;
    return -EPROTO;
}

static int ask(Output *output, TtExportFormat format) {
    uint8_t *message = output->message;
    uint64_t deadline = tt_sys_monotonic_ns() + ANSWER_BOUND_NS;
    TtRecordExport request = {
        .session = {.text = (const char *)tt_session.id, .len = sizeof tt_session.id},
        .format = format};

    int fd = tt_connect_open();
    if (fd < 0)
        return -ENOTCONN;
    uint8_t *at = tt_connect_begin(message);
    at += tt_encode_export(at, 64, &request);
    int r = tt_connect_send(fd, message, (size_t)(at - message), output->fd);
    if (r == 0) {
        long len = tt_connect_receive(fd, message, sizeof output->message, NULL, deadline);
        r = len > 0 ? read_answer(message, (size_t)len) : len == 0 ? -ECONNRESET : (int)len;
    }
    tt_sys_close(fd);
    return r;
}

static int export(const char *path, TtExportFormat format) {
    if (path == NULL || *path == '\0')
        return -EINVAL;
    if (tt_is_sealed_now())
        return -EPERM;
    /* One without a lane, or asleep, has a session nevertheless. */
    if (tt_session_thread() == NULL &&
        atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) <= TT_GATE_SHUT)
        return -ENOTCONN;
    Output *output = tt_sys_map_private(sizeof *output);
    if (output == NULL)
        return -ENOMEM;
    int r = output_open(output, path);
    if (r >= 0)
        r = output_close(output, ask(output, format));
    tt_sys_unmap(output, sizeof *output);
    return r;
}

__attribute__((visibility("default"))) int tt_export_json(const char *path) {
    return export(path, TT_EXPORT_JSON);
}

__attribute__((visibility("default"))) int tt_export_svg(const char *path) {
    return export(path, TT_EXPORT_SVG);
}
