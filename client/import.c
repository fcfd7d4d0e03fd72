/* SPDX-License-Identifier: Apache-2.0 */
#include "client/import.h"

#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "client/glibc.h"
#include "client/probe.h"

/* Its pointers are addresses: glibc's loader has added the base to them. */
typedef struct Dynamic {
    const ElfW(Rela) * jumps;
    size_t jump_bytes;
    const ElfW(Sym) * symbols;
    const char *strings;
} Dynamic;

static Dynamic read_dynamic(const ElfW(Dyn) * entry) {
    Dynamic found = {0};

    for (; entry->d_tag != DT_NULL; entry++)
        switch (entry->d_tag) {
        case DT_JMPREL:
            found.jumps = (const void *)entry->d_un.d_ptr;
            break;
        case DT_PLTRELSZ:
            found.jump_bytes = entry->d_un.d_val;
            break;
        case DT_SYMTAB:
            found.symbols = (const void *)entry->d_un.d_ptr;
            break;
        case DT_STRTAB:
            found.strings = (const void *)entry->d_un.d_ptr;
            break;
        default:
            break;
        }
    return found;
}

/* Imports may have been made read-only once they were bound (-z relro -z now). */
static bool write_slot(void **slot, void *function) {
    uint64_t page = (uint64_t)slot & ~(uint64_t)(TT_PAGE_BYTES - 1);

    if (TT_SYS3(SYS_mprotect, page, TT_PAGE_BYTES, PROT_READ | PROT_WRITE) != 0)
        return false;
    *slot = function;
    return true;
}

bool tt_import_replace(void *inside, const char *symbol, void *function) {
    struct dl_find_object object;

    if (_dl_find_object(inside, &object) != 0)
        return false;
    const struct link_map *map = object.dlfo_link_map;
    Dynamic dynamic = read_dynamic(map->l_ld);
    if (dynamic.jumps == NULL || dynamic.symbols == NULL || dynamic.strings == NULL)
        return false;
    for (size_t i = 0; i < dynamic.jump_bytes / sizeof *dynamic.jumps; i++) {
        const ElfW(Rela) *jump = &dynamic.jumps[i];
        const char *name = dynamic.strings + dynamic.symbols[ELF64_R_SYM(jump->r_info)].st_name;

        if (ELF64_R_TYPE(jump->r_info) == R_X86_64_JUMP_SLOT && strcmp(name, symbol) == 0)
            return write_slot((void **)(map->l_addr + jump->r_offset), function);
    }
    return false;
}
