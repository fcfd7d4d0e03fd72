/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel maps the program, and leaves out what lies between its segments: where that is a page
 * or more (linked for larger pages, or by chance), _dl_find_object tells of the one segment alone.
 * Its headers and its unwind table are in others. Libraries are mapped by the loader, whole. */
#include "client/object.h"

#include <link.h>

#include "client/glibc.h"
#include "client/probe.h"

/* The program, from its first segment to its last. Written in the constructor. */
static struct { uint64_t bias, start, end; } program;

static int take_program(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size, (void)arg;
    program.bias = info->dlpi_addr;
    program.start = UINT64_MAX;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
        uint64_t start = info->dlpi_addr + phdr->p_vaddr;

        if (phdr->p_type != PT_LOAD)
            continue;
        if (start < program.start)
            program.start = start & ~(uint64_t)(TT_PAGE_BYTES - 1);
        if (start + phdr->p_memsz > program.end)
            program.end = start + phdr->p_memsz;
    }
    return 1; /* the program comes first */
}

void tt_object_init(void) { dl_iterate_phdr(take_program, NULL); }

bool tt_object_find(uint64_t addr, struct dl_find_object *ret_object) {
    if (_dl_find_object((void *)addr, ret_object) != 0)
        return false;

    uint64_t start = (uint64_t)ret_object->dlfo_map_start;
    uint64_t end = (uint64_t)ret_object->dlfo_map_end;
    /* Something else may have been mapped into a hole. */
    if (start >= program.start && end <= program.end &&
        ret_object->dlfo_link_map->l_addr == program.bias) {
        ret_object->dlfo_map_start = (void *)program.start;
        ret_object->dlfo_map_end = (void *)program.end;
    }
    return true;
}
