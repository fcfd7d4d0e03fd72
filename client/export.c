/* SPDX-License-Identifier: Apache-2.0 */
/* A program asks for its own state: it opens the file, the daemon writes to the descriptor. The
 * question goes over a connection of its own, so that threads need not share one. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "client/connect.h"
#include "client/probe.h"
#include "client/session.h"
#include "client/sys.h"
#include "client/ttclient.h"
#include "protocol/decode.h"

#define ANSWER_BOUND_NS 30000000000u
#define TEMPORARY ".tt-export-"

/* Where the bytes go, until they are all there. */
typedef struct Output {
    int fd;
    bool is_temporary;
    char temporary[PATH_MAX];
} Output;

static bool is_special(const char *path) {
    struct stat info;

    return TT_SYS4(SYS_newfstatat, AT_FDCWD, path, &info, 0) == 0 && !S_ISREG(info.st_mode);
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

static int output_open(Output *output, const char *path) {
    int flags = O_WRONLY | O_CLOEXEC;
    const char *name = path;

    output->is_temporary = !is_special(path);
    if (output->is_temporary) {
        int r = temporary_name(path, output->temporary);
        if (r < 0)
            return r;
        name = output->temporary;
        flags |= O_CREAT | O_EXCL;
    }
    long fd = TT_SYS4(SYS_openat, AT_FDCWD, name, flags, 0666);
    if (fd < 0)
        return (int)fd;

    /* The program's own numbers stay free while the daemon writes. */
    long high = TT_SYS3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 100);
    if (high >= 0) {
        tt_sys_close((int)fd);
        fd = high;
    }
    output->fd = (int)fd;
    return 0;
}

static int output_close(Output *output, const char *path, int result) {
    tt_sys_close(output->fd);
    if (!output->is_temporary)
        return result;
    if (result == 0)
        result = (int)TT_SYS2(SYS_rename, output->temporary, path);
    if (result != 0)
        TT_SYS1(SYS_unlink, output->temporary);
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

static int ask(int output_fd, TtExportFormat format) {
    uint8_t message[4096 + 256];
    uint64_t deadline = tt_sys_monotonic_ns() + ANSWER_BOUND_NS;
    TtRecordExport request = {
        .session = {.text = (const char *)tt_session.id, .len = sizeof tt_session.id},
        .format = format};

    int fd = tt_connect_open();
    if (fd < 0)
        return -ENOTCONN;
    uint8_t *at = tt_connect_begin(message);
    at += tt_encode_export(at, 64, &request);
    int r = tt_connect_send(fd, message, (size_t)(at - message), output_fd);
    if (r == 0) {
        long len = tt_connect_receive(fd, message, sizeof message, NULL, deadline);
        r = len > 0 ? read_answer(message, (size_t)len) : len == 0 ? -ECONNRESET : (int)len;
    }
    tt_sys_close(fd);
    return r;
}

static int export(const char *path, TtExportFormat format) {
    Output output;

    if (path == NULL || *path == '\0')
        return -EINVAL;
    if (tt_is_sealed_now())
        return -EPERM;
    /* One without a lane, or asleep, has a session nevertheless. */
    if (tt_session_thread() == NULL &&
        atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) <= TT_GATE_SHUT)
        return -ENOTCONN;
    int r = output_open(&output, path);
    if (r < 0)
        return r;
    return output_close(&output, path, ask(output.fd, format));
}

__attribute__((visibility("default"))) int tt_export_json(const char *path) {
    return export(path, TT_EXPORT_JSON);
}

__attribute__((visibility("default"))) int tt_export_svg(const char *path) {
    return export(path, TT_EXPORT_SVG);
}
