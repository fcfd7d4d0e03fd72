/* SPDX-License-Identifier: Apache-2.0 */
/* What would go wrong later, said before: a program without a dynamic loader ignores the preload,
 * one that gains rights by its start has it taken away, one that brings a sanitizer has an
 * allocator of its own or refuses to start behind another. */
#include "tools/inspect.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_DEPTH_MAX 4 /* as the kernel */
#define SCRIPT_LINE_MAX 256
#define HEADERS_MAX 1024
#define DYNAMIC_MAX 4096
#define STRINGS_MAX ((guint64)256 << 20)

static gboolean is_program(const char *path, int *ret_errno) {
    struct stat status;

    if (stat(path, &status) < 0)
        *ret_errno = errno;
    else if (!S_ISREG(status.st_mode))
        *ret_errno = EACCES;
    else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
        *ret_errno = errno;
    else
        return TRUE;
    return FALSE;
}

char *tt_inspect_find(const char *word, int *ret_errno) {
    const char *path = g_getenv("PATH");
    g_auto(GStrv) folders = NULL;
    int code = ENOENT;

    *ret_errno = ENOENT;
    if (!*word)
        return NULL;
    if (strchr(word, '/'))
        return is_program(word, ret_errno) ? g_strdup(word) : NULL;
    folders = g_strsplit(path ? path : "/bin:/usr/bin", ":", -1);
    for (char **folder = folders; *folder; folder++) {
        char *candidate = g_strdup_printf("%s/%s", **folder ? *folder : ".", word);

        if (is_program(candidate, &code))
            return candidate;
        g_free(candidate);
        /* One that may not be executed is told of where no other is found. */
        if (code == EACCES)
            *ret_errno = EACCES;
    }
    return NULL;
}

/* All of @len bytes at @offset, or FALSE. */
static gboolean read_at(int fd, guint64 offset, void *ret_bytes, gsize len) {
    return offset <= G_MAXINT64 && pread(fd, ret_bytes, len, (off_t)offset) == (gssize)len;
}

static char *why_not_by_rights(int fd, const struct stat *status) {
    gboolean is_root = getuid() == 0;

    if ((status->st_mode & S_ISUID) && status->st_uid != getuid())
        return g_strdup("it is set-uid, and so the loader ignores LD_PRELOAD");
    if ((status->st_mode & S_ISGID) && (status->st_mode & S_IXGRP) && status->st_gid != getgid())
        return g_strdup("it is set-gid, and so the loader ignores LD_PRELOAD");
    if (!is_root && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return g_strdup("its file has capabilities, and so the loader ignores LD_PRELOAD");
    return NULL;
}

/* A loader that is run as a program traces what it loads. */
static gboolean is_loader(const char *strings, gsize len) {
    static const char name[] = "ld-linux-x86-64.so.2";

    return memmem(strings, len, name, sizeof name) != NULL;
}

/* The sanitizer whose runtime the program asks for or brings. */
static const char *find_sanitizer(const char *strings, gsize len) {
    static const struct {
        const char *prefix, *name;
    } signs[] = {
        {"libasan.so", "AddressSanitizer"},      {"libclang_rt.asan", "AddressSanitizer"},
        {"libtsan.so", "ThreadSanitizer"},       {"libclang_rt.tsan", "ThreadSanitizer"},
        {"liblsan.so", "LeakSanitizer"},         {"libclang_rt.lsan", "LeakSanitizer"},
        {"libhwasan.so", "HWAddressSanitizer"},  {"libclang_rt.hwasan", "HWAddressSanitizer"},
        {"libclang_rt.msan", "MemorySanitizer"}, {"__asan_init", "AddressSanitizer"},
        {"__tsan_init", "ThreadSanitizer"},      {"__lsan_init", "LeakSanitizer"},
        {"__hwasan_init", "HWAddressSanitizer"}, {"__msan_init", "MemorySanitizer"},
    };

    for (gsize at = 0; at < len; at += strnlen(strings + at, len - at) + 1)
        for (gsize i = 0; i < G_N_ELEMENTS(signs); i++)
            if (len - at >= strlen(signs[i].prefix) &&
                memcmp(strings + at, signs[i].prefix, strlen(signs[i].prefix)) == 0)
                return signs[i].name;
    return NULL;
}

/* The part of the file that is mapped at @addr. */
static gboolean find_offset(const Elf64_Phdr *headers, gsize count, guint64 addr,
                            guint64 *ret_offset) {
    for (gsize i = 0; i < count; i++) {
        const Elf64_Phdr *header = &headers[i];

        if (header->p_type == PT_LOAD && addr >= header->p_vaddr &&
            addr - header->p_vaddr < header->p_filesz) {
            *ret_offset = header->p_offset + (addr - header->p_vaddr);
            return TRUE;
        }
    }
    return FALSE;
}

/* The dynamic symbols' and libraries' names, NULL where there are none. */
static char *read_strings(int fd, const Elf64_Phdr *headers, gsize count, gsize *ret_len) {
    const Elf64_Phdr *dynamic = NULL;
    guint64 addr = 0, len = 0, offset;
    char *strings;

    for (gsize i = 0; i < count; i++)
        if (headers[i].p_type == PT_DYNAMIC)
            dynamic = &headers[i];
    for (gsize i = 0; dynamic && i < MIN(dynamic->p_filesz / sizeof(Elf64_Dyn), DYNAMIC_MAX); i++) {
        Elf64_Dyn entry;

        if (!read_at(fd, dynamic->p_offset + i * sizeof entry, &entry, sizeof entry) ||
            entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_STRTAB)
            addr = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_STRSZ)
            len = entry.d_un.d_val;
    }
    if (len == 0 || len > STRINGS_MAX || !find_offset(headers, count, addr, &offset))
        return NULL;
    strings = g_try_malloc(len);
    if (strings && !read_at(fd, offset, strings, len))
        g_clear_pointer(&strings, g_free);
    *ret_len = len;
    return strings;
}

/* The names that only a debugger needs, NULL where they are stripped: a runtime that is linked in
 * by gcc shows itself in these alone. */
static char *read_debug_strings(int fd, const Elf64_Ehdr *head, gsize *ret_len) {
    g_autofree Elf64_Shdr *sections = NULL;
    const Elf64_Shdr *found = NULL;
    char *strings;

    if (head->e_shentsize != sizeof *sections || head->e_shnum == 0 || head->e_shnum > HEADERS_MAX)
        return NULL;
    sections = g_new0(Elf64_Shdr, head->e_shnum);
    if (!read_at(fd, head->e_shoff, sections, head->e_shnum * sizeof *sections))
        return NULL;
    for (gsize i = 0; i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB && sections[i].sh_link < head->e_shnum)
            found = &sections[sections[i].sh_link];
    if (!found || found->sh_size == 0 || found->sh_size > STRINGS_MAX)
        return NULL;
    strings = g_try_malloc(found->sh_size);
    if (strings && !read_at(fd, found->sh_offset, strings, found->sh_size))
        g_clear_pointer(&strings, g_free);
    *ret_len = found->sh_size;
    return strings;
}

static char *why_not_by_loader(int fd, const Elf64_Phdr *header) {
    char interpreter[SCRIPT_LINE_MAX] = "";

    if (header->p_filesz >= sizeof interpreter ||
        !read_at(fd, header->p_offset, interpreter, header->p_filesz))
        return NULL;
    if (strstr(interpreter, "ld-musl"))
        return g_strdup("it uses musl, and libttclient is built for glibc");
    return NULL;
}

static char *why_not_elf(int fd, const unsigned char *ident) {
    g_autofree Elf64_Phdr *headers = NULL;
    g_autofree char *strings = NULL;
    const Elf64_Phdr *interpreter = NULL;
    const char *sanitizer;
    Elf64_Ehdr head;
    gsize len = 0;

    if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB ||
        !read_at(fd, 0, &head, sizeof head) || head.e_machine != EM_X86_64)
        return g_strdup("it is not a 64-bit x86 program");
    if (head.e_phentsize != sizeof *headers || head.e_phnum == 0 || head.e_phnum > HEADERS_MAX)
        return NULL; /* the kernel will say what it thinks of that */
    headers = g_new0(Elf64_Phdr, head.e_phnum);
    if (!read_at(fd, head.e_phoff, headers, head.e_phnum * sizeof *headers))
        return NULL;
    for (gsize i = 0; i < head.e_phnum; i++)
        if (headers[i].p_type == PT_INTERP)
            interpreter = &headers[i];
    strings = read_strings(fd, headers, head.e_phnum, &len);
    if (!interpreter)
        return strings && is_loader(strings, len)
                   ? NULL
                   : g_strdup("it is statically linked, and nothing can be preloaded into it");
    sanitizer = strings ? find_sanitizer(strings, len) : NULL;
    if (!sanitizer) {
        g_free(strings);
        strings = read_debug_strings(fd, &head, &len);
        sanitizer = strings ? find_sanitizer(strings, len) : NULL;
    }
    if (sanitizer)
        return g_strdup_printf("it is built with %s, which replaces the allocator itself",
                               sanitizer);
    return why_not_by_loader(fd, interpreter);
}

static char *why_not(const char *path, guint depth);

/* "#!interpreter argument" */
static char *why_not_script(const char *line, guint depth) {
    g_autofree char *interpreter = NULL;
    g_autofree char *why = NULL;
    const char *start = line + 2;

    start += strspn(start, " \t");
    interpreter = g_strndup(start, strcspn(start, " \t\n"));
    if (!*interpreter || depth >= SCRIPT_DEPTH_MAX)
        return NULL;
    why = why_not(interpreter, depth + 1);
    return why ? g_strdup_printf("it is a script for %s: %s", interpreter, why) : NULL;
}

static char *why_not(const char *path, guint depth) {
    char start[SCRIPT_LINE_MAX + 1];
    struct stat status;
    char *why = NULL;
    gssize len;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return NULL;
    len =
        fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? read(fd, start, SCRIPT_LINE_MAX) : -1;
    start[MAX(len, 0)] = '\0';
    if (len >= 2 && start[0] == '#' && start[1] == '!')
        why = why_not_script(start, depth);
    else if (len >= EI_NIDENT && memcmp(start, ELFMAG, SELFMAG) == 0) {
        why = why_not_by_rights(fd, &status);
        if (!why)
            why = why_not_elf(fd, (const unsigned char *)start);
    }
    close(fd);
    return why;
}

char *tt_inspect_why_not(const char *path) { return why_not(path, 0); }
