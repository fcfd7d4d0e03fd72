/* SPDX-License-Identifier: Apache-2.0 */
/* The notify protocol: datagrams of lines, with a descriptor where there is one to keep. */
#include "base/manager.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_BOUND_US 20000

gboolean tt_manager_is_there(void) { return g_getenv("NOTIFY_SOCKET") != NULL; }

static gboolean find_manager(struct sockaddr_un *ret_address, socklen_t *ret_len) {
    const char *path = g_getenv("NOTIFY_SOCKET");

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof ret_address->sun_path)
        return FALSE;
    memcpy(ret_address->sun_path, path, strlen(path));
    if (path[0] == '@')
        ret_address->sun_path[0] = '\0';
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    return TRUE;
}

/* @passed_fd: -1: none */
static void tell(const char *state, int passed_fd) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    struct timeval bound = {.tv_usec = SEND_BOUND_US};
    struct sockaddr_un address;
    struct iovec part = {(void *)state, strlen(state)};
    struct msghdr message = {.msg_name = &address, .msg_iov = &part, .msg_iovlen = 1};

    if (!find_manager(&address, &message.msg_namelen))
        return;
    if (passed_fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &passed_fd, sizeof(int));
    }

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* Ten datagrams fill its socket, and it reads them in its turn. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    (void)sendmsg(fd, &message, MSG_NOSIGNAL);
    close(fd);
}

guint64 tt_manager_get_watchdog_us(void) {
    const char *pid = g_getenv("WATCHDOG_PID"), *bound = g_getenv("WATCHDOG_USEC");
    guint64 number;

    if (pid && (!g_ascii_string_to_unsigned(pid, 10, 1, G_MAXINT, &number, NULL) ||
                (pid_t)number != getpid()))
        return 0;
    if (!bound || !g_ascii_string_to_unsigned(bound, 10, 1, G_MAXINT64, &number, NULL))
        return 0;
    return number;
}

void tt_manager_notify(const char *state) { tell(state, -1); }

void tt_manager_store(const char *name, int fd) {
    g_autofree char *state = g_strdup_printf("FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);

    tell(state, fd);
}

void tt_manager_forget(const char *name) {
    g_autofree char *state = g_strdup_printf("FDSTOREREMOVE=1\nFDNAME=%s", name);

    tell(state, -1);
}
