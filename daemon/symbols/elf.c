/* SPDX-License-Identifier: Apache-2.0 */
/* Opening modules.
 *
 * Paths come from traced programs, names of further files from the modules themselves: both may
 * lead anywhere. So each file is looked at before it is opened for reading, and what is not the
 * wanted build is refused: no name is better than a wrong one. libdwfl would find separate files by
 * itself, but with a plain open(), which a FIFO of that name would block. */
#include "symbols/elf.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC_BYTES 4

int tt_elf_open_file(const char *path, struct stat *ret_identity) {
    char again[32];
    int place, fd;

    /* Opening for the place alone has no effect on what is there, and shows what that is. */
    place = open(path, O_PATH | O_CLOEXEC);
    if (place < 0)
        return -errno;
    if (fstat(place, ret_identity) < 0 || !S_ISREG(ret_identity->st_mode) ||
        ret_identity->st_size < (off_t)sizeof(Elf32_Ehdr)) {
        close(place);
        return -EINVAL;
    }
    snprintf(again, sizeof again, "/proc/self/fd/%d", place);
    fd = open(again, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        fd = -errno;
    close(place);
    return fd;
}

static char *real_path(int fd) {
    char link[32];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return g_file_read_link(link, NULL);
}

/* What is read of a file before libdwfl gets it. Copies; close it before the file changes hands. */
typedef struct Head {
    guint8 *build_id; /* NULL: none */
    gsize build_id_len;
    char *link_name; /* NULL: none */
    GElf_Word link_crc;
    gboolean is_image; /* an executable or a shared object: has addresses of its own */
} Head;

static void head_clear(Head *head) {
    g_clear_pointer(&head->build_id, g_free);
    g_clear_pointer(&head->link_name, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Head, head_clear)

/* libdwfl would unpack a compressed kernel; that is for no module of a program. */
static gboolean has_magic(int fd) {
    char magic[MAGIC_BYTES];

    return pread(fd, magic, sizeof magic, 0) == sizeof magic && memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static gboolean read_head(int fd, Head *head) {
    const void *build_id;
    const char *link_name;
    GElf_Ehdr header;
    ssize_t len;
    Elf *elf;

    if (!has_magic(fd))
        return FALSE;
    elf = elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
    if (!elf)
        return FALSE;
    if (!gelf_getehdr(elf, &header)) {
        elf_end(elf);
        return FALSE;
    }
    head->is_image = header.e_type == ET_EXEC || header.e_type == ET_DYN;
    len = dwelf_elf_gnu_build_id(elf, &build_id);
    if (len > 0) {
        head->build_id = g_memdup2(build_id, (gsize)len);
        head->build_id_len = (gsize)len;
    }
    link_name = dwelf_elf_gnu_debuglink(elf, &head->link_crc);
    head->link_name = g_strdup(link_name);
    elf_end(elf);
    return TRUE;
}

static gboolean is_build(const Head *head, const void *build_id, gsize len) {
    return head->build_id_len == len && memcmp(head->build_id, build_id, len) == 0;
}

static char *build_id_path(const char *debug_dir, const guint8 *build_id, gsize len) {
    GString *path = g_string_new(debug_dir);

    g_string_append(path, "/.build-id/");
    for (gsize i = 0; i < len; i++)
        g_string_append_printf(path, i == 1 ? "/%02x" : "%02x", build_id[i]);
    g_string_append(path, ".debug");
    return g_string_free(path, FALSE);
}

/* Opens @path if it is of that build. Returns: a descriptor or negative errno. */
static int open_build(const char *path, const guint8 *build_id, gsize len, struct stat *identity) {
    g_auto(Head) head = {0};
    int fd = tt_elf_open_file(path, identity);

    if (fd >= 0 && (!read_head(fd, &head) || !is_build(&head, build_id, len))) {
        close(fd);
        return -ENOENT;
    }
    return fd;
}

/* The checksum that .gnu_debuglink wants is zlib's CRC-32. */
static gboolean has_crc(int fd, GElf_Word wanted) {
    g_autofree guint8 *bytes = g_malloc(256 * 1024);
    uLong crc = crc32(0, NULL, 0);
    off_t at = 0;
    ssize_t n;

    while ((n = pread(fd, bytes, 256 * 1024, at)) > 0) {
        crc = crc32(crc, bytes, (uInt)n);
        at += n;
    }
    return n == 0 && crc == wanted;
}

/* Opens a debug file found by name. The build-id decides; without one, the checksum does. */
static int open_linked(const TtElf *elf, const char *path, struct stat *identity) {
    g_auto(Head) head = {0};
    int fd;

    if (elf->build_id)
        return open_build(path, elf->build_id, elf->build_id_len, identity);
    fd = tt_elf_open_file(path, identity);
    if (fd >= 0 && (!read_head(fd, &head) || !has_crc(fd, elf->link_crc))) {
        close(fd);
        return -ENOENT;
    }
    return fd;
}

static int find_by_build_id(const TtElf *elf, struct stat *identity) {
    g_autofree char *path = NULL;

    if (!elf->build_id)
        return -ENOENT;
    path = build_id_path(elf->debug_dir, elf->build_id, elf->build_id_len);
    return open_build(path, elf->build_id, elf->build_id_len, identity);
}

static int find_by_link(const TtElf *elf, struct stat *identity) {
    g_autofree char *dir = g_path_get_dirname(elf->main_path);
    int fd = -ENOENT;

    /* A name, not a path: a module does not send us round the file system. */
    if (!elf->link_name || !*elf->link_name || strchr(elf->link_name, '/'))
        return fd;
    for (int i = 0; i < 3 && fd < 0; i++) {
        g_autofree char *path = g_strdup_printf("%s%s%s/%s", i == 2 ? elf->debug_dir : "", dir,
                                                i == 1 ? "/.debug" : "", elf->link_name);

        fd = open_linked(elf, path, identity);
    }
    return fd;
}

/* libdwfl asks for the file of dwz too, and does not say so; open_alt() is for that one. */
static gboolean is_own_link(const TtElf *elf, const char *name, GElf_Word crc) {
    return !name || (elf->link_name && strcmp(name, elf->link_name) == 0 && crc == elf->link_crc);
}

static int find_debuginfo(Dwfl_Module *module, void **userdata, const char *module_name,
                          Dwarf_Addr base, const char *file_name, const char *link_name,
                          GElf_Word link_crc, char **ret_path) {
    TtElf *elf = *userdata;
    struct stat identity;
    int fd;

    (void)module, (void)module_name, (void)base, (void)file_name;
    if (!elf || !is_own_link(elf, link_name, link_crc))
        return -1;
    fd = find_by_build_id(elf, &identity);
    if (fd < 0)
        fd = find_by_link(elf, &identity);
    if (fd < 0)
        return -1;
    if (identity.st_dev == elf->identity.st_dev && identity.st_ino == elf->identity.st_ino) {
        close(fd);
        return -1;
    }
    g_free(elf->debug_path);
    elf->debug_path = real_path(fd);
    elf->size_bytes += (guint64)identity.st_size;
    *ret_path = strdup(elf->debug_path ? elf->debug_path : "");
    return fd;
}

/* The module's file is handed over open; libdwfl has nothing to find. */
static int find_elf(Dwfl_Module *module, void **userdata, const char *module_name, Dwarf_Addr base,
                    char **ret_path, Elf **ret_elf) {
    (void)module, (void)userdata, (void)module_name, (void)base, (void)ret_path, (void)ret_elf;
    return -1;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = find_elf,
    .find_debuginfo = find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

static int open_alt_file(const TtElf *elf, const char *name, const guint8 *build_id, gsize len) {
    g_autofree char *by_build_id = build_id_path(elf->debug_dir, build_id, len);
    g_autofree char *dir = g_path_get_dirname(elf->debug_path ? elf->debug_path : elf->main_path);
    g_autofree char *by_name =
        g_path_is_absolute(name) ? g_strdup(name) : g_strdup_printf("%s/%s", dir, name);
    struct stat identity;
    int fd = open_build(by_build_id, build_id, len, &identity);

    return fd >= 0 ? fd : open_build(by_name, build_id, len, &identity);
}

/* What dwz moved out of several files into one. */
static void open_alt(TtElf *elf) {
    const char *name;
    const void *build_id;
    ssize_t len = dwelf_dwarf_gnu_debugaltlink(elf->dwarf, &name, &build_id);

    if (len <= 0)
        return;
    elf->alt_fd = open_alt_file(elf, name, build_id, (gsize)len);
    if (elf->alt_fd < 0)
        return;
    elf->alt_elf = elf_begin(elf->alt_fd, ELF_C_READ_MMAP_PRIVATE, NULL);
    if (elf->alt_elf)
        elf->alt = dwarf_begin_elf(elf->alt_elf, DWARF_C_READ, NULL);
    if (elf->alt)
        dwarf_setalt(elf->dwarf, elf->alt);
}

/* Opens the main file. Returns: a descriptor, or -1 with @ret_lack set. */
static int open_main(const TtSymbolModule *module, Head *head, struct stat *identity,
                     TtSymbolsLack *ret_lack) {
    int fd = module->path[0] == '/' ? tt_elf_open_file(module->path, identity) : -ENOENT;

    *ret_lack = TT_SYMBOLS_LACK_FILE;
    if (fd < 0)
        return -1;
    if (!read_head(fd, head) || !head->is_image)
        *ret_lack = TT_SYMBOLS_LACK_ELF;
    else if (module->build_id_len > 0 && !is_build(head, module->build_id, module->build_id_len))
        *ret_lack = TT_SYMBOLS_LACK_BUILD;
    else
        return fd;
    close(fd);
    return -1;
}

/* The debug file in place of the module: it has the same addresses. */
static int open_stand_in(const TtSymbolModule *module, const char *debug_dir, Head *head,
                         struct stat *identity) {
    g_autofree char *path = NULL;
    int fd;

    if (module->build_id_len == 0)
        return -1;
    path = build_id_path(debug_dir, module->build_id, module->build_id_len);
    fd = open_build(path, module->build_id, module->build_id_len, identity);
    if (fd >= 0 && (!read_head(fd, head) || !head->is_image)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Gives the file to libdwfl, which owns @fd from here on if it takes it. */
static gboolean report(TtElf *elf, int fd) {
    GElf_Addr bias;
    void **userdata;

    elf->dwfl = dwfl_begin(&callbacks);
    if (!elf->dwfl)
        return FALSE;
    dwfl_report_begin(elf->dwfl);
    elf->module = dwfl_report_elf(elf->dwfl, elf->main_path, elf->main_path, fd, 0, true);
    dwfl_report_end(elf->dwfl, NULL, NULL);
    if (!elf->module)
        return FALSE;
    dwfl_module_info(elf->module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
    *userdata = elf;
    return dwfl_module_getelf(elf->module, &bias) != NULL;
}

TtElf *tt_elf_open(const TtSymbolModule *module, const char *debug_dir, TtSymbolsLack *ret_lack) {
    g_autoptr(TtElf) elf = g_new0(TtElf, 1);
    g_auto(Head) head = {0};
    int fd;

    elf->alt_fd = -1;
    elf->debug_dir = debug_dir;
    fd = open_main(module, &head, &elf->identity, ret_lack);
    if (fd < 0) {
        head_clear(&head);
        fd = open_stand_in(module, debug_dir, &head, &elf->identity);
    }
    if (fd < 0)
        return NULL;
    elf->size_bytes = (guint64)elf->identity.st_size;
    elf->main_path = real_path(fd);
    if (!elf->main_path)
        elf->main_path = g_strdup(module->path);
    elf->build_id = g_steal_pointer(&head.build_id);
    elf->build_id_len = head.build_id_len;
    elf->link_name = g_steal_pointer(&head.link_name);
    elf->link_crc = head.link_crc;
    if (!report(elf, fd)) {
        if (!elf->module)
            close(fd);
        *ret_lack = TT_SYMBOLS_LACK_ELF;
        return NULL;
    }
    elf->dwarf = dwfl_module_getdwarf(elf->module, &elf->dwarf_bias);
    if (elf->dwarf)
        open_alt(elf);
    return g_steal_pointer(&elf);
}

void tt_elf_close(TtElf *elf) {
    if (!elf)
        return;
    if (elf->dwfl)
        dwfl_end(elf->dwfl);
    if (elf->alt)
        dwarf_end(elf->alt);
    if (elf->alt_elf)
        elf_end(elf->alt_elf);
    if (elf->alt_fd >= 0)
        close(elf->alt_fd);
    g_free(elf->main_path);
    g_free(elf->debug_path);
    g_free(elf->build_id);
    g_free(elf->link_name);
    g_free(elf);
}
