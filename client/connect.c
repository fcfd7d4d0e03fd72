/* SPDX-License-Identifier: Apache-2.0 */
#include "client/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/un.h>

#include "client/lanes.h"
#include "client/session.h"
#include "client/sys.h"
#include "protocol/decode.h"

#define LOWEST_FD 100

/* Appends text to a path of fixed room; false where it does not fit. */
static bool append(char *path, size_t room, size_t *len, const char *text) {
    size_t add = strlen(text);

    if (*len + add >= room)
        return false;
    memcpy(path + *len, text, add + 1);
    *len += add;
    return true;
}

static bool append_number(char *path, size_t room, size_t *len, unsigned number) {
    char digits[12];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return append(path, room, len, digits + at);
}

/* The three places of the socket, in the order in which the daemon makes it. */
static int socket_address(struct sockaddr_un *ret_address) {
    const TtOptions *options = &tt_session.options;
    char *path = ret_address->sun_path;
    size_t room = sizeof ret_address->sun_path, len = 0;
    bool fits;

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (options->socket_dir != NULL)
        fits = append(path, room, &len, options->socket_dir);
    else if (options->runtime_dir != NULL && options->runtime_dir[0] == '/')
        fits = append(path, room, &len, options->runtime_dir) &&
               append(path, room, &len, "/trace-tools");
    else
        fits = append(path, room, &len, "/tmp/trace-tools-") &&
               append_number(path, room, &len, (unsigned)TT_SYS0(SYS_getuid));
    if (!fits || !append(path, room, &len, "/" TT_EVENTS_SOCKET))
        return -ENAMETOOLONG;
    return 0;
}

/* The program sees its own numbers: ours moves out of the way. */
static int move_up(int fd) {
    int high = (int)TT_SYS3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, LOWEST_FD);

    tt_sys_close(fd);
    return high == -EINVAL ? -EMFILE : high;
}

static struct ucred peer_of(int fd) {
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof peer;

    tt_sys6(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, (long)&peer, (long)&len, 0);
    return peer;
}

int tt_connect_open(void) {
    struct sockaddr_un address;
    int r = socket_address(&address);
    if (r < 0)
        return r;

    int fd = (int)TT_SYS3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    fd = move_up(fd);
    if (fd < 0)
        return fd;
    r = (int)TT_SYS3(SYS_connect, fd, &address, sizeof address);
    if (r == 0 && peer_of(fd).uid != (uid_t)TT_SYS0(SYS_geteuid))
        r = -EPERM;
    if (r < 0) {
        tt_sys_close(fd);
        return r;
    }
    return fd;
}

int tt_connect_listener(int fd) { return peer_of(fd).pid; }

uint64_t tt_connect_cookie(int fd) {
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;

    if (fd < 0 ||
        tt_sys6(SYS_getsockopt, fd, SOL_SOCKET, SO_COOKIE, (long)&cookie, (long)&len, 0) != 0)
        return 0;
    return cookie;
}

uint8_t *tt_connect_begin(uint8_t *buffer) {
    TtMessageHead head = {
        .magic = TT_MESSAGE_MAGIC, .major = TT_WIRE_MAJOR, .minor = TT_WIRE_MINOR};

    memcpy(buffer, &head, sizeof head);
    return buffer + sizeof head;
}

int tt_connect_send(int fd, const uint8_t *buffer, size_t len, int passed_fd) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)buffer, .iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (passed_fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.head), &passed_fd, sizeof passed_fd);
    }

    long r = TT_SYS3(SYS_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return r < 0 ? (int)r : 0;
}

/* Takes the one descriptor that is wanted and closes all others. */
static void take_descriptors(struct msghdr *message, int *ret_fd) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (ret_fd != NULL && *ret_fd < 0)
                *ret_fd = fd;
            else
                tt_sys_close(fd);
        }
    }
}

long tt_connect_receive(int fd, uint8_t *buffer, size_t room, int *ret_fd, uint64_t deadline_ns) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = room};

    if (ret_fd != NULL)
        *ret_fd = -1;
    for (;;) {
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control.room,
                                 .msg_controllen = sizeof control.room};
        long r = TT_SYS3(SYS_recvmsg, fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (r >= 0) {
            take_descriptors(&message, ret_fd);
            return r;
        }
        if (r != -EAGAIN && r != -EINTR)
            return r;

        uint64_t now = tt_sys_monotonic_ns();
        if (now >= deadline_ns)
            return -ETIMEDOUT;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        struct timespec left = {.tv_sec = (time_t)((deadline_ns - now) / 1000000000u),
                                .tv_nsec = (long)((deadline_ns - now) % 1000000000u)};
        tt_sys6(SYS_ppoll, (long)&wait, 1, (long)&left, 0, 8, 0);
    }
}

/* The records after a message's head, or none where the head is not of our version. */
static TtCursor records_of(const uint8_t *message, size_t len) {
    TtMessageHead head;

    if (len < sizeof head)
        return tt_cursor_new(message, 0);
    memcpy(&head, message, sizeof head);
    if (head.magic != TT_MESSAGE_MAGIC || head.major != TT_WIRE_MAJOR)
        return tt_cursor_new(message, 0);
    return tt_cursor_new(message + sizeof head, len - sizeof head);
}

int tt_connect_take_lanes(const uint8_t *message, size_t len, int memory_fd,
                          bool *ret_knows_parent) {
    TtCursor records = records_of(message, len);
    TtRawRecord raw;
    TtRecordLanes lanes;

    while (tt_decode_framed(&records, &raw) == TT_ITEM_RECORD) {
        if (raw.number == TT_RECORD_LANES && memory_fd >= 0 && tt_decode_lanes(&raw, &lanes) == 0) {
            int r = tt_lanes_add(memory_fd, &lanes);

            if (r == 0 && ret_knows_parent != NULL)
                *ret_knows_parent = lanes.knows_parent != 0;
            return r;
        }
        if (raw.number == TT_RECORD_REFUSED)
            break;
    }
    if (memory_fd >= 0)
        tt_sys_close(memory_fd);
    return -ECONNREFUSED;
}
