/* SPDX-License-Identifier: Apache-2.0 */
/* A process is stopped while this runs, so it copies and does no more. Pages that were never
 * touched are left out: /proc/PID/pagemap tells, and reserved address space costs nothing. */
#define _GNU_SOURCE
#include "tools/capture.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#include "protocol/image.h"
#include "tools/say.h"
#include "tools/stop.h"

#define COPY_BYTES (1u << 20)
#define PAGEMAP_ENTRIES 8192u
/* Of an entry of pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGE_PRESENT (G_GUINT64_CONSTANT(1) << 63)
#define PAGE_SWAPPED (G_GUINT64_CONSTANT(1) << 62)
#define PAGE_OF_FILE (G_GUINT64_CONSTANT(1) << 61) /* or shared */
#define MEMORY_SHARE                                                                               \
    2 /* of what is available: that much an image may take, one part in so many                    \
       */

typedef struct Capture {
    gint pid; /* for sentences */
    gint tid; /* through which memory is read: a leader that ended early has none any more */
    int fd;   /* the image */
    int pagemap_fd;
    guint64 offset; /* where the next page goes */
    guint64 bytes_max;
    GArray *threads, *mappings, *ranges;
    GString *names;
    guint8 *buffer; /* COPY_BYTES */
    guint64 entries[PAGEMAP_ENTRIES];
} Capture;

static void capture_free(Capture *capture) {
    if (capture->fd >= 0)
        close(capture->fd);
    if (capture->pagemap_fd >= 0)
        close(capture->pagemap_fd);
    g_array_unref(capture->threads);
    g_array_unref(capture->mappings);
    g_array_unref(capture->ranges);
    g_string_free(capture->names, TRUE);
    g_free(capture->buffer);
    g_free(capture);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Capture, capture_free)

static gboolean fail(GError **error, gint pid, const char *what, int code) {
    return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED, "Cannot %s of process %d: %s",
                       what, pid, g_strerror(code)),
           FALSE;
}

/* Of a process that we stopped while it still let us. */
static gboolean fail_to_read(GError **error, gint pid, const char *what, int code) {
    if (code == EPERM || code == EACCES)
        return tt_stop_explain(pid, code, error);
    return fail(error, pid, what, code);
}

static gboolean write_all(Capture *capture, const void *bytes, gsize len, GError **error) {
    const guint8 *at = bytes;

    while (len > 0) {
        gssize count = pwrite(capture->fd, at, len, (off_t)capture->offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return fail(error, capture->pid, "keep the memory", count < 0 ? errno : ENOSPC);
        at += count;
        len -= (gsize)count;
        capture->offset += (guint64)count;
    }
    return TRUE;
}

/* ---- Threads ---- */

/* By itself. What its last copy of memory left in its vector registers, which it will not use,
 * keeps nothing. */
static gboolean is_ending(const struct user_regs_struct *regs) {
    return regs->orig_rax == SYS_exit_group || regs->orig_rax == SYS_exit;
}

static gboolean add_thread(Capture *capture, guint32 tid, GError **error) {
    struct user_regs_struct regs;
    TtImageThread thread = {.tid = tid};
    struct iovec vectors = {.iov_base = thread.words + sizeof regs / 8,
                            .iov_len = sizeof thread.words - sizeof regs};

    if (ptrace(PTRACE_GETREGS, (pid_t)tid, NULL, &regs) < 0)
        return errno == ESRCH || fail_to_read(error, capture->pid, "read the registers", errno);
    memcpy(thread.words, &regs, sizeof regs);
    /* Where the vectors cannot be had the other registers do. */
    if (is_ending(&regs) ||
        ptrace(PTRACE_GETREGSET, (pid_t)tid, (gpointer)NT_X86_XSTATE, &vectors) < 0)
        vectors.iov_len = 0;
    thread.word_count = (guint32)((sizeof regs + vectors.iov_len) / 8);
    thread.sp = regs.rsp;
    thread.thread_pointer = regs.fs_base;
    g_array_append_val(capture->threads, thread);
    return TRUE;
}

/* ---- Mappings ---- */

/* One line of /proc/PID/maps. */
static gboolean add_mapping(Capture *capture, const char *line) {
    TtImageMapping mapping = {.name_offset = capture->names->len};
    char modes[5] = "";
    int name_at = 0;

    if (sscanf(line, "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x %4s %*s %*s %*s %n",
               &mapping.start, &mapping.end, modes, &name_at) < 3 ||
        name_at == 0)
        return FALSE;
    mapping.flags = (modes[0] == 'r' ? TT_IMAGE_READ : 0) | (modes[1] == 'w' ? TT_IMAGE_WRITE : 0) |
                    (modes[3] == 's' ? TT_IMAGE_SHARED : 0);
    mapping.name_len = (guint32)strlen(line + name_at);
    g_string_append_len(capture->names, line + name_at, mapping.name_len);
    g_array_append_val(capture->mappings, mapping);
    return TRUE;
}

static gboolean read_mappings(Capture *capture, GError **error) {
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", capture->tid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return fail_to_read(error, capture->pid, "read the mappings", EACCES);
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++)
        if (**line && !add_mapping(capture, *line))
            return fail(error, capture->pid, "understand the mappings", EINVAL);
    return TRUE;
}

static gboolean name_begins(const Capture *capture, const TtImageMapping *mapping,
                            const char *prefix) {
    gsize len = strlen(prefix);

    return mapping->name_len >= len &&
           memcmp(capture->names->str + mapping->name_offset, prefix, len) == 0;
}

/* Reading a device may do anything, a shared file is not the program's alone, and our own lanes are
 * full of addresses. */
static gboolean is_wanted(const Capture *capture, const TtImageMapping *mapping) {
    static const char *const shared[] = {"/dev/zero (deleted)", "/memfd:", "/SYSV", "/dev/shm/"};

    if (!(mapping->flags & TT_IMAGE_READ) || name_begins(capture, mapping, "[v"))
        return FALSE;
    if (!(mapping->flags & TT_IMAGE_SHARED))
        return !name_begins(capture, mapping, "/dev/");
    if (!(mapping->flags & TT_IMAGE_WRITE) || name_begins(capture, mapping, "/memfd:trace-tools"))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(shared); i++)
        if (name_begins(capture, mapping, shared[i]))
            return TRUE;
    return FALSE;
}

/* ---- Pages ---- */

/* Copies @len bytes, which are there. What cannot be read any more (a file was cut) reads 0. */
static gboolean copy_range(Capture *capture, guint64 addr, guint64 len, GError **error) {
    TtImageRange range = {.addr = addr, .len = len, .offset = capture->offset};

    if (capture->offset + len > capture->bytes_max)
        return g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                           "Process %d has too much memory to be copied: more than half of what is "
                           "available",
                           capture->pid),
               FALSE;
    while (len > 0) {
        gsize count = (gsize)MIN(len, COPY_BYTES);
        struct iovec here = {capture->buffer, count};
        struct iovec there = {(gpointer)(gsize)addr, count};
        gssize got = process_vm_readv(capture->tid, &here, 1, &there, 1, 0);

        if (got < 0 && errno != EFAULT)
            return fail_to_read(error, capture->pid, "read the memory", errno);
        if (got <= 0) {
            count = MIN(count, TT_IMAGE_PAGE_BYTES);
            memset(capture->buffer, 0, count);
            got = (gssize)count;
        }
        if (!write_all(capture, capture->buffer, (gsize)got, error))
            return FALSE;
        addr += (guint64)got;
        len -= (guint64)got;
    }
    g_array_append_val(capture->ranges, range);
    return TRUE;
}

static gboolean is_page_wanted(const TtImageMapping *mapping, guint64 entry) {
    if (!(entry & (PAGE_PRESENT | PAGE_SWAPPED)))
        return FALSE;
    return (mapping->flags & TT_IMAGE_SHARED) || !(entry & PAGE_OF_FILE);
}

static gboolean copy_mapping(Capture *capture, const TtImageMapping *mapping, GError **error) {
    guint64 page = mapping->start / TT_IMAGE_PAGE_BYTES;
    guint64 end = mapping->end / TT_IMAGE_PAGE_BYTES;
    guint64 first = 0, count = 0; /* of the run underway */

    while (page < end) {
        gsize wanted = (gsize)MIN(end - page, PAGEMAP_ENTRIES) * 8;
        gssize got = pread(capture->pagemap_fd, capture->entries, wanted, (off_t)(page * 8));

        if (got < 8)
            return fail_to_read(error, capture->pid, "read the page map", got < 0 ? errno : EIO);
        for (gsize i = 0; i < (gsize)got / 8; i++, page++) {
            if (is_page_wanted(mapping, capture->entries[i])) {
                first = count++ == 0 ? page : first;
                continue;
            }
            if (count > 0 && !copy_range(capture, first * TT_IMAGE_PAGE_BYTES,
                                         count * TT_IMAGE_PAGE_BYTES, error))
                return FALSE;
            count = 0;
        }
    }
    return count == 0 ||
           copy_range(capture, first * TT_IMAGE_PAGE_BYTES, count * TT_IMAGE_PAGE_BYTES, error);
}

static guint64 read_available_bytes(void) {
    g_autofree char *text = NULL;
    const char *at;

    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL) ||
        !(at = strstr(text, "MemAvailable:")))
        return G_MAXINT64;
    return g_ascii_strtoull(at + strlen("MemAvailable:"), NULL, 10) * 1024;
}

static Capture *capture_new(gint pid, gint tid, GError **error) {
    g_autoptr(Capture) capture = g_new0(Capture, 1);
    g_autofree char *path = g_strdup_printf("/proc/%d/pagemap", tid);

    capture->pid = pid;
    capture->tid = tid;
    capture->threads = g_array_new(FALSE, FALSE, sizeof(TtImageThread));
    capture->mappings = g_array_new(FALSE, FALSE, sizeof(TtImageMapping));
    capture->ranges = g_array_new(FALSE, FALSE, sizeof(TtImageRange));
    capture->names = g_string_new(NULL);
    capture->buffer = g_malloc(COPY_BYTES);
    capture->offset = TT_IMAGE_PAGE_BYTES;
    capture->bytes_max = read_available_bytes() / MEMORY_SHARE;
    capture->fd = memfd_create("trace-tools-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    capture->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (capture->fd < 0) {
        fail(error, pid, "keep the memory", errno);
        return NULL;
    }
    if (capture->pagemap_fd < 0) {
        fail_to_read(error, pid, "read the page map", errno);
        return NULL;
    }
    return g_steal_pointer(&capture);
}

static gboolean write_array(Capture *capture, const GArray *array, gsize element, GError **error) {
    return write_all(capture, array->data, array->len * element, error);
}

/* The directory behind the pages, and the head before them. */
static gboolean finish(Capture *capture, guint64 since_ns, GError **error) {
    TtImageHead head = {
        .magic = TT_IMAGE_MAGIC,
        .stopped_ns = since_ns,
        .directory_offset = capture->offset,
        .range_count = capture->ranges->len,
        .thread_count = capture->threads->len,
        .mapping_count = capture->mappings->len,
        .name_bytes = capture->names->len,
    };

    if (!write_array(capture, capture->threads, sizeof(TtImageThread), error) ||
        !write_array(capture, capture->mappings, sizeof(TtImageMapping), error) ||
        !write_array(capture, capture->ranges, sizeof(TtImageRange), error) ||
        !write_all(capture, capture->names->str, capture->names->len, error))
        return FALSE;
    capture->offset = 0;
    if (!write_all(capture, &head, sizeof head, error))
        return FALSE;
    if (fcntl(capture->fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) <
        0)
        return fail(error, capture->pid, "seal the memory", errno);
    return TRUE;
}

int tt_capture(gint pid, GArray *tids, guint64 since_ns, GError **error) {
    g_autoptr(Capture) capture = capture_new(pid, (gint)g_array_index(tids, guint32, 0), error);
    int fd;

    if (!capture)
        return -1;
    for (guint i = 0; i < tids->len; i++)
        if (!add_thread(capture, g_array_index(tids, guint32, i), error))
            return -1;
    if (!read_mappings(capture, error))
        return -1;
    for (guint i = 0; i < capture->mappings->len; i++) {
        const TtImageMapping *mapping = &g_array_index(capture->mappings, TtImageMapping, i);

        if (is_wanted(capture, mapping) && !copy_mapping(capture, mapping, error))
            return -1;
    }
    if (!finish(capture, since_ns, error))
        return -1;
    fd = capture->fd;
    capture->fd = -1;
    return fd;
}
