/* SPDX-License-Identifier: Apache-2.0 */
/* One sendmsg or recvmsg a message, and what may come with it: any peer can attach up to 253
 * descriptors to anything. */
#include "intake/messages.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol/encode.h"

#define PASSED_MAX 253 /* SCM_MAX_FD of the kernel */

/* Closes what came, but for one descriptor that is wanted. */
static gboolean take_passed(struct msghdr *message, int *ret_fd) {
    guint count = 0;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (gsize at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd;

            memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
            if (++count == 1 && ret_fd)
                *ret_fd = fd;
            else
                close(fd);
        }
    }
    if (count <= (ret_fd ? 1u : 0u) && !(message->msg_flags & MSG_CTRUNC))
        return TRUE;
    if (count > 0 && ret_fd) {
        close(*ret_fd);
        *ret_fd = -1;
    }
    return FALSE;
}

gssize tt_message_receive(int socket_fd, guint8 *buffer, gsize room, int *ret_fd) {
    union {
        char bytes[CMSG_SPACE(PASSED_MAX * sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct iovec part = {buffer, room};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    gssize len;

    if (ret_fd)
        *ret_fd = -1;
    do
        len = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return -errno;
    if (!take_passed(&message, ret_fd))
        return -EBADMSG;
    if (message.msg_flags & MSG_TRUNC) {
        if (ret_fd && *ret_fd >= 0) {
            close(*ret_fd);
            *ret_fd = -1;
        }
        return -EBADMSG;
    }
    return len;
}

char *tt_message_open(const guint8 *message, gsize len, TtCursor *ret_records) {
    TtMessageHead head;

    if (len < sizeof head)
        return g_strdup("This is no message of trace-tools");
    memcpy(&head, message, sizeof head);
    if (head.magic != TT_MESSAGE_MAGIC)
        return g_strdup("This is no message of trace-tools");
    if (head.major != TT_WIRE_MAJOR)
        return g_strdup_printf(
            "The library speaks version %u.%u of the events protocol, the daemon "
            "%u.%u: install both from one release",
            head.major, head.minor, TT_WIRE_MAJOR, TT_WIRE_MINOR);
    *ret_records = tt_cursor_new(message + sizeof head, len - sizeof head);
    return NULL;
}

static gsize begin(guint8 *buffer) {
    TtMessageHead head = {
        .magic = TT_MESSAGE_MAGIC, .major = TT_WIRE_MAJOR, .minor = TT_WIRE_MINOR};

    memcpy(buffer, &head, sizeof head);
    return sizeof head;
}

static int send_message(int socket_fd, guint8 *buffer, gsize len, int passed_fd) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    struct iovec part = {buffer, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (passed_fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &passed_fd, sizeof(int));
    }
    return sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void tt_message_send_refused(int socket_fd, const char *reason) {
    guint8 buffer[sizeof(TtMessageHead) + TT_STRING_MAX + 16];
    gsize len = begin(buffer);

    len += tt_encode_refused(buffer + len, sizeof buffer - len,
                             &(TtRecordRefused){.reason = {reason, strlen(reason)}});
    (void)send_message(socket_fd, buffer, len, -1);
}

void tt_message_send_export_done(int socket_fd, int error, const char *text) {
    guint8 buffer[sizeof(TtMessageHead) + TT_STRING_MAX + 32];
    gsize len = begin(buffer);
    TtRecordExportDone done = {.error = (uint64_t)error};

    if (text)
        done.message = (TtString){text, strlen(text)};
    len += tt_encode_export_done(buffer + len, sizeof buffer - len, &done);
    (void)send_message(socket_fd, buffer, len, -1);
}

int tt_message_send_lanes(int socket_fd, const TtRecordLanes *lanes, int memory_fd) {
    guint8 buffer[64];
    gsize len = begin(buffer);

    len += tt_encode_lanes(buffer + len, sizeof buffer - len, lanes);
    return send_message(socket_fd, buffer, len, memory_fd);
}
