/* SPDX-License-Identifier: Apache-2.0 */
#include "client/real.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "client/glibc.h"

/* The linker's. Fully static programs have no dynamic section. */
extern const char __ehdr_start __attribute__((visibility("hidden")));
extern ElfW(Dyn) _DYNAMIC[] __attribute__((weak, visibility("hidden")));

TtReal tt_real;
_Alignas(4096) uint8_t tt_real_arena[TT_REAL_ARENA_BYTES];

bool tt_real_is_open;

static size_t arena_used;
static bool is_aside;

/* A block of the arena is preceded by its size. */
void *tt_real_arena_alloc(size_t alignment, size_t size) {
    if (alignment < 16)
        alignment = 16;
    if (size > TT_REAL_ARENA_BYTES || alignment > 4096)
        return NULL;

    size_t used = __atomic_load_n(&arena_used, __ATOMIC_RELAXED), start;
    do {
        start = (used + 16 + alignment - 1) & ~(alignment - 1);
        if (start + size > TT_REAL_ARENA_BYTES)
            return NULL;
    } while (!__atomic_compare_exchange_n(&arena_used, &used, start + size, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    memcpy(tt_real_arena + start - 16, &size, sizeof size);
    return tt_real_arena + start;
}

size_t tt_real_arena_size(const void *ptr) {
    size_t size;

    memcpy(&size, (const uint8_t *)ptr - 16, sizeof size);
    return size;
}

void *tt_real_next(const char *symbol) { return dlsym(RTLD_NEXT, symbol); }

/* Some loaders put addresses in place of the dynamic section's offsets, some leave it as it is. */
static const void *at_offset(uintptr_t value) {
    uintptr_t base = (uintptr_t)&__ehdr_start;

    return (const void *)(value < base ? base + value : value);
}

/* Never runs. What ld.so writes into its slot is where calls of malloc really go. */
__asm__(".pushsection .text\n"
        "    jmp malloc@PLT\n"
        ".popsection\n");

extern void __asan_init(void) __attribute__((weak));
extern void __hwasan_init(void) __attribute__((weak));
extern void __lsan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));
extern const char *__asan_default_options(void);

bool tt_real_is_sanitized(void) {
    return &__asan_init != NULL || &__hwasan_init != NULL || &__lsan_init != NULL ||
           &__msan_init != NULL || &__tsan_init != NULL;
}

/* gcc's AddressSanitizer is a library, and ends a program in whose list it does not come first; of
 * an inherited preload the program knows nothing. What it is told here (a program's own function of
 * this name comes before) lets it live. */
__attribute__((visibility("default"))) const char *__asan_default_options(void) {
    return "verify_asan_link_order=0";
}

/* Returns 1 for this library, 2 for libc; the loader tells of its objects in the order in which it
 * came to them, and of those of a name the first is everybody's. */
static int is_ours_or_libc(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size, (void)arg;
    if (info->dlpi_addr == (uintptr_t)&__ehdr_start)
        return 1;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];

        if (phdr->p_type == PT_LOAD &&
            (uintptr_t)abort - info->dlpi_addr - phdr->p_vaddr < phdr->p_memsz)
            return 2;
    }
    return 0;
}

/* dlsym(RTLD_DEFAULT) would not do: in a program that is not position-independent and takes
 * malloc's address (Debian's python3) it finds a stub of the program's own. Nor does the slot
 * alone: dlopen with RTLD_DEEPBIND binds our own calls, and nobody else's, to ourselves. */
bool tt_real_is_in_use(void) {
    const ElfW(Rela) *slots = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    size_t size = 0;

    for (const ElfW(Dyn) *entry = _DYNAMIC; entry != NULL && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_JMPREL)
            slots = at_offset(entry->d_un.d_ptr);
        else if (entry->d_tag == DT_PLTRELSZ)
            size = entry->d_un.d_val;
        else if (entry->d_tag == DT_SYMTAB)
            symbols = at_offset(entry->d_un.d_ptr);
        else if (entry->d_tag == DT_STRTAB)
            names = at_offset(entry->d_un.d_ptr);
    }
    for (size_t i = 0; i < size / sizeof *slots; i++)
        if (strcmp(names + symbols[ELF64_R_SYM(slots[i].r_info)].st_name, "malloc") == 0)
            return *(void *const *)at_offset(slots[i].r_offset) == (void *)tt_hook_malloc &&
                   dl_iterate_phdr(is_ours_or_libc, NULL) == 1;
    return true; /* linked into the program: first of all */
}

void tt_real_find(void) {
    static __thread bool is_finding __attribute__((tls_model("initial-exec")));

    if (__atomic_load_n(&tt_real_is_open, __ATOMIC_ACQUIRE) || is_aside || is_finding)
        return;
    is_finding = true;

    /* Several threads may do this at once; all find the same. */
    tt_real.free = tt_real_next("free");
    tt_real.calloc = tt_real_next("calloc");
    tt_real.realloc = tt_real_next("realloc");
    tt_real.posix_memalign = tt_real_next("posix_memalign");
    tt_real.aligned_alloc = tt_real_next("aligned_alloc");
    tt_real.memalign = tt_real_next("memalign");
    tt_real.valloc = tt_real_next("valloc");
    tt_real.pvalloc = tt_real_next("pvalloc");
    tt_real.malloc = tt_real_next("malloc");
    tt_real.malloc_usable_size = tt_real_next("malloc_usable_size");
    __atomic_store_n(&tt_real_is_open, true, __ATOMIC_RELEASE);
    is_finding = false;
}

bool tt_real_knows_usable(void) {
    const void *const makers[] = {
        (const void *)tt_real.malloc,        (const void *)tt_real.calloc,
        (const void *)tt_real.realloc,       (const void *)tt_real.posix_memalign,
        (const void *)tt_real.aligned_alloc, (const void *)tt_real.memalign,
        (const void *)tt_real.valloc,
    };
    struct dl_find_object teller, maker;

    if (tt_real.malloc_usable_size == NULL ||
        _dl_find_object((void *)tt_real.malloc_usable_size, &teller) != 0)
        return false;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        if (makers[i] == NULL || _dl_find_object((void *)makers[i], &maker) != 0 ||
            maker.dlfo_link_map != teller.dlfo_link_map)
            return false;
    return true;
}

void tt_real_set_aside(bool aside) {
    is_aside = aside;
    __atomic_store_n(&tt_real_is_open, !aside && tt_real.malloc != NULL, __ATOMIC_RELEASE);
}
