/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "protocol/decode.h"

int program_connect(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    return fd;
}

static gsize write_head(guint8 *buffer) {
    TtMessageHead head = {
        .magic = TT_MESSAGE_MAGIC, .major = TT_WIRE_MAJOR, .minor = TT_WIRE_MINOR};

    memcpy(buffer, &head, sizeof head);
    return sizeof head;
}

/* @parent_id: (nullable): of whom it was forked just now */
static gsize write_hello(guint8 *buffer, const guint8 *id, guint64 flags, guint64 sample_bytes,
                         const guint8 *parent_id) {
    struct timespec now;
    gsize len = write_head(buffer);

    clock_gettime(CLOCK_MONOTONIC, &now);
    len += tt_encode_hello(
        buffer + len, 4096,
        &(TtRecordHello){
            .session = {(const char *)id, TT_SESSION_ID_BYTES},
            .pid = (guint64)getpid(),
            .executable = {"/bin/program", 12},
            .clock = TT_CLOCK_TSC,
            .clock_shift = WRITER_SHIFT,
            .start_stamp = writer_stamp(),
            .start_monotonic_ns = (guint64)now.tv_sec * 1000000000u + (guint64)now.tv_nsec,
            .start_realtime_ns = 1234567890000000000u,
            .page_size = 4096,
            .sample_bytes = sample_bytes,
            .flags = flags,
            .parent_session = {(const char *)parent_id, parent_id ? TT_SESSION_ID_BYTES : 0},
            .parent_relation = parent_id ? TT_RELATION_FORK : TT_RELATION_NONE,
            .fork_stamp = parent_id ? writer_stamp() : 0});
    len += tt_encode_argument(buffer + len, 64, &(TtRecordArgument){.text = {"program", 7}});
    len += tt_encode_argument(buffer + len, 64, &(TtRecordArgument){.text = {"-v", 2}});
    return len;
}

gsize program_write_hello(guint8 *buffer, const guint8 *id, guint64 flags) {
    return write_hello(buffer, id, flags, 0, NULL);
}

void program_send(int fd, const void *bytes, gsize len, const int *fds, guint fd_count) {
    union {
        char bytes[CMSG_SPACE(253 * sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    struct iovec part = {(void *)(guintptr)bytes, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
    }
    if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
        g_assert_cmpint(errno, ==, EPIPE);
}

gssize program_receive(int fd, guint8 *buffer, gsize room, int *ret_fd) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct iovec part = {buffer, room};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    gssize len = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    int passed = -1;

    if (head)
        memcpy(&passed, CMSG_DATA(head), sizeof passed);
    if (ret_fd)
        *ret_fd = passed;
    else if (passed >= 0)
        close(passed);
    return len < 0 ? 0 : len;
}

/* The first record of a message, if it has this number. */
static gboolean first_record(const guint8 *message, gsize len, guint number, TtRawRecord *ret_raw) {
    TtCursor records;

    if (len < sizeof(TtMessageHead))
        return FALSE;
    records = tt_cursor_new(message + sizeof(TtMessageHead), len - sizeof(TtMessageHead));
    return tt_decode_framed(&records, ret_raw) == TT_ITEM_RECORD && ret_raw->number == number;
}

char *program_find_refusal(const guint8 *message, gsize len) {
    TtRawRecord raw;
    TtRecordRefused refused;

    if (!first_record(message, len, TT_RECORD_REFUSED, &raw))
        return NULL;
    g_assert_cmpint(tt_decode_refused(&raw, &refused), ==, 0);
    return g_strndup(refused.reason.text, refused.reason.len);
}

static void take_lanes(Program *program, int memory_fd) {
    program->size = program->lanes.size;
    program->map = mmap(NULL, program->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    g_assert_true(program->map != MAP_FAILED);
    close(memory_fd);
    for (guint i = 0; i < 4; i++)
        writer_init(&program->writers[i], (TtLaneControl *)(void *)program->map + 1 + i,
                    program->map + tt_segment_chunks_offset((guint32)program->lanes.lane_count) +
                        i * program->lanes.chunks_per_lane * TT_CHUNK_BYTES,
                    (guint32)program->lanes.chunks_per_lane, 1000 + i);
}

static void start(Program *program, const char *path, guint64 flags, guint64 sample_bytes,
                  const guint8 *parent_id) {
    guint8 message[8192];
    TtRawRecord raw;
    int memory_fd = -1;

    *program = (Program){.fd = program_connect(path)};
    g_assert_cmpint(getrandom(program->id, sizeof program->id, 0), ==, sizeof program->id);
    program_send(program->fd, message,
                 write_hello(message, program->id, flags, sample_bytes, parent_id), NULL, 0);
    gsize len = (gsize)program_receive(program->fd, message, sizeof message, &memory_fd);
    program->refusal = program_find_refusal(message, len);
    if (program->refusal || !first_record(message, len, TT_RECORD_LANES, &raw))
        return;
    g_assert_cmpint(tt_decode_lanes(&raw, &program->lanes), ==, 0);
    take_lanes(program, memory_fd);
}

void program_start(Program *program, const char *path, guint64 flags) {
    start(program, path, flags, 0, NULL);
}

void program_start_sampled(Program *program, const char *path, guint64 flags,
                           guint64 sample_bytes) {
    start(program, path, flags, sample_bytes, NULL);
}

void program_start_child(Program *program, const char *path, const guint8 *parent_id) {
    start(program, path, 0, 0, parent_id);
}

void program_ring(Program *program) {
    guint8 message[64];
    TtLaneControl *control = (TtLaneControl *)(void *)program->map;
    gsize len = write_head(message);

    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_exchange(&control->wants_doorbell, 0) == 0)
        return;
    len += tt_encode_doorbell(message + len, 16, &(TtRecordDoorbell){.lane = 0});
    program_send(program->fd, message, len, NULL, 0);
}

void program_stop(Program *program) {
    if (program->fd >= 0)
        close(program->fd);
    if (program->map)
        munmap(program->map, program->size);
    g_free(program->refusal);
}
