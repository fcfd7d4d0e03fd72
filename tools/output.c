/* SPDX-License-Identifier: Apache-2.0 */
/* A file that appears whole.
 *
 * It is written without a name (O_TMPFILE), so that even SIGKILL leaves nothing behind, and given
 * one when it is complete; where the file system cannot do that, under a hidden name that a signal
 * removes. rename(2) would give the other hard links of a file that has several the old content for
 * ever, and a file of another's a new owner: such a file is rewritten in place, from the complete
 * one, with its space reserved first. */
#include "tools/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/leave.h"

#define LINKS_MAX 40 /* as the kernel */
#define NAME_TRIES 100

struct TtOutput {
    char *path;      /* as it was given */
    char *target;    /* behind all links; NULL: written directly */
    char *temporary; /* name of the unfinished file, or NULL: it has none */
    int fd;
    gboolean is_rewritten; /* the target must not be replaced */
};

/* Returns FALSE. */
static gboolean fail(GError **error, const char *path, int code) {
    if (error)
        *error =
            g_error_new(G_IO_ERROR, (gint)g_io_error_from_errno(code), "Cannot write %s: %s",
                        tt_output_is_stdout(path) ? "standard output" : path, g_strerror(code));
    return FALSE;
}

gboolean tt_output_is_stdout(const char *path) {
    return !path || !*path || g_str_equal(path, "-") || g_str_equal(path, "/dev/stdout");
}

/* Where a path leads whose last link leads to nothing yet. */
static char *follow_dangling(const char *path) {
    char *at = g_strdup(path);

    for (int i = 0; i < LINKS_MAX; i++) {
        g_autofree char *next = g_file_read_link(at, NULL);
        g_autofree char *folder = NULL;

        if (!next)
            break;
        folder = g_path_get_dirname(at);
        g_free(at);
        at = g_path_is_absolute(next) ? g_steal_pointer(&next)
                                      : g_build_filename(folder, next, NULL);
    }
    return at;
}

/* What is to be put in its place; NULL: @path is written directly.
 *
 * @ret_status  of what is there, its st_nlink 0 where nothing is
 *
 * Returns 0 or an errno value. */
static int find_target(const char *path, char **ret_target, struct stat *ret_status) {
    struct stat status, real_status;
    char *target;

    *ret_target = NULL;
    memset(ret_status, 0, sizeof *ret_status);
    if (stat(path, &status) < 0) {
        if (errno != ENOENT)
            return errno;
        *ret_target = follow_dangling(path);
        return 0;
    }
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    *ret_status = status;
    if (!S_ISREG(status.st_mode))
        return 0;
    /* A link of /proc leads to a file that may have lost its name: then it is written directly. */
    target = realpath(path, NULL);
    if (target && stat(target, &real_status) == 0 && real_status.st_ino == status.st_ino &&
        real_status.st_dev == status.st_dev)
        *ret_target = g_strdup(target);
    free(target);
    return 0;
}

/* What writing it would meet. Returns 0 or an errno value. */
static int check_target(const char *target, const struct stat *status) {
    g_autofree char *folder = g_path_get_dirname(target);
    struct stat folder_status;

    if (stat(folder, &folder_status) < 0)
        return errno;
    if (!S_ISDIR(folder_status.st_mode))
        return ENOTDIR;
    /* rename would replace a file that may not be written; a shell would not. */
    if (status->st_nlink > 0 && faccessat(AT_FDCWD, target, W_OK, AT_EACCESS) < 0)
        return errno;
    if (status->st_nlink <= 1 && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) < 0)
        return errno;
    return 0;
}

gboolean tt_output_check(const char *path, GError **error) {
    g_autofree char *target = NULL;
    struct stat status;
    int code;

    if (tt_output_is_stdout(path)) {
        int flags = fcntl(STDOUT_FILENO, F_GETFL);

        code = flags < 0 || (flags & O_ACCMODE) == O_RDONLY ? EBADF : 0;
    } else {
        code = find_target(path, &target, &status);
        if (code == 0 && target)
            code = check_target(target, &status);
    }
    return code == 0 || fail(error, path, code);
}

static char *hidden_name(const char *target) {
    g_autofree char *folder = g_path_get_dirname(target);
    g_autofree char *name = g_strdup_printf(".tt-ctl-%08x", g_random_int());

    return g_build_filename(folder, name, NULL);
}

/* Opens the file that will be the target. Returns 0 or an errno value. */
static int open_unfinished(TtOutput *output, mode_t mode) {
    g_autofree char *folder = g_path_get_dirname(output->target);

    output->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (output->fd >= 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
        return errno;
    for (int i = 0; i < NAME_TRIES; i++) {
        output->temporary = hidden_name(output->target);
        tt_leave_add(output->temporary);
        output->fd = open(output->temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode);
        if (output->fd >= 0)
            return 0;
        tt_leave_drop(output->temporary);
        g_clear_pointer(&output->temporary, g_free);
        if (errno != EEXIST)
            break;
    }
    return errno;
}

/* Has the new file stand in for the old one, where it can: an owner or a group of another's only
 * root can give it, and with others its mode would let in who was not meant. */
static gboolean make_alike(int fd, const struct stat *old) {
    struct stat status;

    (void)!fchown(fd, old->st_uid, old->st_gid);
    return fstat(fd, &status) == 0 && status.st_uid == old->st_uid &&
           status.st_gid == old->st_gid && fchmod(fd, old->st_mode & 0777) == 0;
}

/* Returns 0 or an errno value. */
static int open_output(TtOutput *output) {
    struct stat status;
    int code;

    if (tt_output_is_stdout(output->path)) {
        output->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        return output->fd < 0 ? errno : 0;
    }
    code = find_target(output->path, &output->target, &status);
    if (code != 0)
        return code;
    if (!output->target) {
        output->fd = open(output->path, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
        return output->fd < 0 ? errno : 0;
    }
    code = check_target(output->target, &status);
    if (code == 0)
        code = open_unfinished(output, status.st_nlink > 0 ? 0600 : 0666);
    if (code == 0 && status.st_nlink > 0)
        output->is_rewritten = status.st_nlink > 1 || !make_alike(output->fd, &status);
    return code;
}

TtOutput *tt_output_open(const char *path, GError **error) {
    TtOutput *output = g_new0(TtOutput, 1);
    int code;

    output->path = g_strdup(path);
    output->fd = -1;
    code = open_output(output);
    if (code == 0)
        return output;
    fail(error, path, code);
    tt_output_free(output);
    return NULL;
}

int tt_output_get_fd(const TtOutput *output) { return output->fd; }

/* Gives the nameless file a hidden name. Returns 0 or an errno value. */
static int give_name(TtOutput *output) {
    g_autofree char *own = g_strdup_printf("/proc/self/fd/%d", output->fd);

    for (int i = 0; i < NAME_TRIES; i++) {
        output->temporary = hidden_name(output->target);
        tt_leave_add(output->temporary);
        if (linkat(AT_FDCWD, own, AT_FDCWD, output->temporary, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        tt_leave_drop(output->temporary);
        g_clear_pointer(&output->temporary, g_free);
        if (errno != EEXIST)
            break;
    }
    return errno;
}

/* Returns 0 or an errno value. */
static int copy_all(int from, int to, off_t size) {
    off_t offset = 0;

    while (offset < size) {
        ssize_t copied = sendfile(to, from, &offset, (size_t)(size - offset));

        if (copied < 0 && errno == EINTR)
            continue;
        if (copied <= 0)
            return copied < 0 ? errno : EIO;
    }
    return 0;
}

/* Writes the complete file over the old one. Returns 0 or an errno value. */
static int rewrite(TtOutput *output) {
    struct stat status, old;
    int fd = open(output->target, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    int code = 0;

    if (fd < 0)
        return errno;
    if (fstat(output->fd, &status) < 0 || fstat(fd, &old) < 0)
        code = errno;
    /* What could fail for want of space fails here, while the old content is whole. */
    else if (status.st_size > 0)
        code = posix_fallocate(fd, 0, status.st_size);
    if (code != 0) {
        (void)!ftruncate(fd, old.st_size);
    } else {
        code = copy_all(output->fd, fd, status.st_size);
        if (code == 0 && ftruncate(fd, status.st_size) < 0)
            code = errno;
    }
    if (close(fd) < 0 && code == 0)
        code = errno;
    return code;
}

gboolean tt_output_commit(TtOutput *output, GError **error) {
    int code = 0;

    if (!output->target)
        code = 0;
    else if (output->is_rewritten)
        code = rewrite(output);
    else if (!output->temporary)
        code = give_name(output);
    if (code == 0 && output->temporary && !output->is_rewritten) {
        if (rename(output->temporary, output->target) < 0) {
            code = errno;
        } else {
            tt_leave_drop(output->temporary);
            g_clear_pointer(&output->temporary, g_free);
        }
    }
    /* Some file systems tell of a failed write only now. */
    if (close(output->fd) < 0 && code == 0)
        code = errno;
    output->fd = -1;
    return code == 0 || fail(error, output->path, code);
}

void tt_output_free(TtOutput *output) {
    if (!output)
        return;
    if (output->fd >= 0)
        close(output->fd);
    if (output->temporary) {
        unlink(output->temporary);
        tt_leave_drop(output->temporary);
    }
    g_free(output->temporary);
    g_free(output->target);
    g_free(output->path);
    g_free(output);
}

gboolean tt_output_is_same(const char *one, const char *other) {
    g_autofree char *one_target = NULL;
    g_autofree char *other_target = NULL;
    g_autofree char *one_folder = NULL;
    g_autofree char *other_folder = NULL;
    struct stat one_status, other_status;

    if (tt_output_is_stdout(one) || tt_output_is_stdout(other))
        return tt_output_is_stdout(one) && tt_output_is_stdout(other);
    if (g_str_equal(one, other) && !g_str_has_prefix(one, "/dev/"))
        return TRUE;
    if (find_target(one, &one_target, &one_status) != 0 ||
        find_target(other, &other_target, &other_status) != 0)
        return FALSE; /* writing them fails anyway, and says why */
    if (one_status.st_nlink > 0 && other_status.st_nlink > 0)
        return !S_ISCHR(one_status.st_mode) && one_status.st_ino == other_status.st_ino &&
               one_status.st_dev == other_status.st_dev;
    if (one_status.st_nlink != other_status.st_nlink || !one_target || !other_target)
        return FALSE;
    /* Neither is there: the same name in the same folder? */
    one_folder = g_path_get_dirname(one_target);
    other_folder = g_path_get_dirname(other_target);
    g_autofree char *one_name = g_path_get_basename(one_target);
    g_autofree char *other_name = g_path_get_basename(other_target);
    return g_str_equal(one_name, other_name) && stat(one_folder, &one_status) == 0 &&
           stat(other_folder, &other_status) == 0 && one_status.st_ino == other_status.st_ino &&
           one_status.st_dev == other_status.st_dev;
}
