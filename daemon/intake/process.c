/* SPDX-License-Identifier: Apache-2.0 */
/* Pidfds and /proc.
 *
 * What makes this hard is that every answer may be about another process: a pid is reused as soon
 * as its process was reaped. So whatever is read under /proc/PID counts only if the pidfd, looked
 * at afterwards, has not ended; but the exit status of a zombie, whose pid cannot be reused. */
#include "intake/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

#ifndef PIDFD_GET_INFO
struct pidfd_info {
    guint64 mask;
    guint64 cgroupid;
    guint32 pid, tgid, ppid;
    guint32 ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    gint32 exit_code;
};
#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct pidfd_info) /* Linux 6.13 */
#endif
#ifndef PIDFD_INFO_EXIT
#define PIDFD_INFO_EXIT (1UL << 3) /* Linux 6.15 */
#endif

#define ANCESTORS_MAX 256u

/* Fields of /proc/PID/stat, numbered as in proc(5). */
enum {
    STAT_STATE = 3,
    STAT_PARENT = 4,
    STAT_START_TIME = 22,
    STAT_START_STACK = 28,
    STAT_EXIT_CODE = 52
};

typedef struct Stat {
    char state;
    char comm[16];
    gint parent;
    guint64 start_time;
    guint64 start_stack;
    gint exit_code;
} Stat;

static gboolean read_file(const char *path, char *buffer, gsize room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    gssize len = -1;

    if (fd >= 0) {
        len = read(fd, buffer, room - 1);
        close(fd);
    }
    buffer[MAX(len, 0)] = '\0';
    return len > 0;
}

static gboolean read_stat(gint pid, Stat *ret_stat) {
    char path[48], line[2048];

    g_snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!read_file(path, line, sizeof line))
        return FALSE;

    /* The name stands in parentheses and may hold any byte, parentheses too. */
    char *name = strchr(line, '(');
    char *rest = strrchr(line, ')');
    if (!name || !rest || rest < name)
        return FALSE;
    *rest++ = '\0';
    g_strlcpy(ret_stat->comm, name + 1, sizeof ret_stat->comm);

    g_auto(GStrv) fields = g_strsplit(g_strchug(rest), " ", -1);
    if (g_strv_length(fields) <= STAT_EXIT_CODE - STAT_STATE)
        return FALSE;
    ret_stat->state = fields[0][0];
    ret_stat->parent = (gint)g_ascii_strtoll(fields[STAT_PARENT - STAT_STATE], NULL, 10);
    ret_stat->start_time = g_ascii_strtoull(fields[STAT_START_TIME - STAT_STATE], NULL, 10);
    ret_stat->start_stack = g_ascii_strtoull(fields[STAT_START_STACK - STAT_STATE], NULL, 10);
    ret_stat->exit_code = (gint)g_ascii_strtoll(fields[STAT_EXIT_CODE - STAT_STATE], NULL, 10);
    return TRUE;
}

static void remember_looks(TtProcess *process) {
    Stat stat;

    if (!read_stat(process->pid, &stat))
        return;
    process->start_time = stat.start_time;
    process->stack_base = stat.start_stack;
    memcpy(process->comm, stat.comm, sizeof process->comm);
}

int tt_process_open(TtProcess *process, int socket_fd, gint pid) {
    socklen_t len = sizeof process->fd;

    *process = (TtProcess){.pid = pid, .fd = -1};
    if (pid <= 0)
        return -ESRCH;
    /* The kernel's own word about the socket's peer; without it, by the number, which may have
     * passed to another process since the connect. */
    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &process->fd, &len) < 0) {
        process->fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (process->fd < 0)
            return process->fd = -1, -errno;
        fcntl(process->fd, F_SETFD, FD_CLOEXEC);
    }
    remember_looks(process);
    if (tt_process_has_ended(process)) {
        tt_process_close(process);
        return -ESRCH;
    }
    return 0;
}

void tt_process_adopt(TtProcess *process, int fd, gint pid) {
    *process = (TtProcess){.pid = pid, .fd = fd};
    remember_looks(process);
    if (tt_process_has_ended(process)) /* then it may have been another's that has its pid */
        *process = (TtProcess){.pid = pid, .fd = fd};
}

void tt_process_close(TtProcess *process) {
    if (process->fd >= 0)
        close(process->fd);
    process->fd = -1;
}

gboolean tt_process_has_ended(const TtProcess *process) {
    struct pollfd ask = {.fd = process->fd, .events = POLLIN};

    return process->fd >= 0 && poll(&ask, 1, 0) == 1;
}

/* The exit code in /proc/PID/stat reads 0 to those who may not know it: who may is who could trace
 * the process (PTRACE_MODE_READ_FSCREDS), for a zombie the same user and group through and through.
 */
static gboolean may_read_exit_code(gint pid) {
    char path[48], text[4096];
    guint uid[3], gid[3];

    if (geteuid() == 0)
        return TRUE;
    g_snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (!read_file(path, text, sizeof text))
        return FALSE;

    const char *uids = strstr(text, "\nUid:"), *gids = strstr(text, "\nGid:");
    if (!uids || sscanf(uids, "\nUid: %u %u %u", &uid[0], &uid[1], &uid[2]) != 3 || !gids ||
        sscanf(gids, "\nGid: %u %u %u", &gid[0], &gid[1], &gid[2]) != 3)
        return FALSE;
    for (int i = 0; i < 3; i++)
        if (uid[i] != geteuid() || gid[i] != getegid())
            return FALSE;
    return TRUE;
}

static gboolean ask_pidfd(const TtProcess *process, gint *ret_status) {
    struct pidfd_info info = {.mask = PIDFD_INFO_EXIT};

    if (ioctl(process->fd, PIDFD_GET_INFO, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT))
        return FALSE;
    *ret_status = info.exit_code;
    return TRUE;
}

gboolean tt_process_find_exit_status(const TtProcess *process, gint *ret_status) {
    Stat stat;

    if (!tt_process_has_ended(process))
        return FALSE;
    if (ask_pidfd(process, ret_status))
        return TRUE;
    /* Not reaped, so a zombie. If it is reaped while we read, and its number taken by another, the
     * pidfd knows the truth afterwards. */
    if (!read_stat(process->pid, &stat) || (stat.state != 'Z' && stat.state != 'X') ||
        !may_read_exit_code(process->pid))
        return ask_pidfd(process, ret_status);
    if (!ask_pidfd(process, ret_status))
        *ret_status = stat.exit_code;
    return TRUE;
}

gboolean tt_process_may_have_execed(const TtProcess *process) {
    Stat stat;

    if (process->fd < 0 || !read_stat(process->pid, &stat))
        return FALSE;
    return stat.start_stack != process->stack_base || strcmp(stat.comm, process->comm) != 0;
}

/* Is there still memory to be listed? */
static gboolean has_memory(const char *maps_path) {
    char byte[2];

    return read_file(maps_path, byte, sizeof byte);
}

TtImage tt_process_check_image(TtProcess *process, guint64 inode) {
    char path[48];
    g_autofree char *line = NULL;
    size_t room = 0;
    gboolean is_found = FALSE, has_lines = FALSE;
    FILE *maps;
    Stat stat;

    g_snprintf(path, sizeof path, "/proc/%d/maps", process->pid);
    maps = fopen(path, "re");
    while (maps && !is_found && getline(&line, &room, maps) > 0) {
        guint64 found;

        has_lines = TRUE;
        is_found = strstr(line, "/memfd:") &&
                   sscanf(line, "%*s %*s %*s %*s %" G_GUINT64_FORMAT, &found) == 1 &&
                   found == inode;
    }
    if (maps)
        fclose(maps);
    if (tt_process_has_ended(process))
        return TT_IMAGE_UNKNOWN;
    /* Who is being killed loses its memory, and so the list its rest, a while before it has ended.
     */
    if (has_lines && !is_found && !has_memory(path))
        return TT_IMAGE_UNKNOWN;
    if (is_found)
        remember_looks(process);
    if (has_lines)
        return is_found ? TT_IMAGE_SAME : TT_IMAGE_OTHER;
    /* A process whose memory we could see and now may not: it became another program (set-uid), or
     * the same one shut us out (PR_SET_DUMPABLE). exec renames, the latter does not. */
    if (process->stack_base != 0 && read_stat(process->pid, &stat) &&
        strcmp(stat.comm, process->comm) != 0 && !tt_process_has_ended(process))
        return TT_IMAGE_OTHER;
    return TT_IMAGE_UNKNOWN;
}

gboolean tt_process_descends_from(gint pid, gint ancestor) {
    Stat stat;

    for (guint i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
        if (pid == ancestor)
            return TRUE;
        if (!read_stat(pid, &stat))
            return FALSE;
        pid = stat.parent;
    }
    return FALSE;
}

gboolean tt_process_find_parent(const TtProcess *process, TtProcess *ret_parent) {
    Stat stat, parent, again;

    if (!read_stat(process->pid, &stat) || stat.start_time != process->start_time ||
        stat.parent <= 0 || !read_stat(stat.parent, &parent))
        return FALSE;
    /* Its pid is not another's yet if it was still the parent after that. */
    if (!read_stat(process->pid, &again) || again.parent != stat.parent)
        return FALSE;
    *ret_parent = (TtProcess){.pid = stat.parent, .fd = -1, .start_time = parent.start_time};
    return TRUE;
}

gboolean tt_process_is_same(const TtProcess *a, const TtProcess *b) {
    return a->pid == b->pid && a->start_time == b->start_time;
}

char *tt_process_describe_start(const TtProcess *process) {
    char boot[64];

    if (process->start_time == 0 ||
        !read_file("/proc/sys/kernel/random/boot_id", boot, sizeof boot))
        return NULL;
    return g_strdup_printf("%s %" G_GUINT64_FORMAT, g_strchomp(boot), process->start_time);
}

gboolean tt_process_began_at(gint pid, const char *start) {
    TtProcess process = {.pid = pid, .fd = -1};

    if (kill(pid, 0) < 0 && errno == ESRCH)
        return FALSE;
    remember_looks(&process);
    g_autofree char *found = tt_process_describe_start(&process);
    return !start || !found || g_str_equal(start, found);
}

/* What is told of a process's offsets are its children's to be (time_namespaces(7)). */
static gboolean is_in_our_time(gint pid) {
    char path[48], ours[64], theirs[64];

    g_snprintf(path, sizeof path, "/proc/%d/ns/time", pid);
    gssize our_len = readlink("/proc/self/ns/time", ours, sizeof ours);
    gssize their_len = readlink(path, theirs, sizeof theirs);
    return our_len > 0 && our_len == their_len && memcmp(ours, theirs, (gsize)our_len) == 0;
}

gint64 tt_process_get_clock_offset_ns(gint pid) {
    char path[48], ours[512], theirs[512];
    gint64 ns[2] = {0, 0};

    if (is_in_our_time(pid))
        return 0;
    g_snprintf(path, sizeof path, "/proc/%d/timens_offsets", pid);
    if (!read_file("/proc/self/timens_offsets", ours, sizeof ours) ||
        !read_file(path, theirs, sizeof theirs))
        return 0;
    for (int i = 0; i < 2; i++) {
        const char *line = strstr(i == 0 ? ours : theirs, "monotonic");
        gint64 seconds, rest;

        if (!line ||
            sscanf(line, "monotonic %" G_GINT64_FORMAT " %" G_GINT64_FORMAT, &seconds, &rest) != 2)
            return 0;
        ns[i] = seconds * (gint64)1000000000 + rest;
    }
    return ns[1] - ns[0];
}
