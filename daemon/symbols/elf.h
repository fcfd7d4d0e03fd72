/* SPDX-License-Identifier: Apache-2.0 */
/* Opening modules: the file that was meant, or none. */
#pragma once

#include <elfutils/libdwfl.h>
#include <sys/stat.h>

#include "symbols/symbols.h"

G_BEGIN_DECLS

/* Where separate debug files lie unless told otherwise. */
#define TT_DEBUG_DIR "/usr/lib/debug"

/* An open module. Its addresses are the file's virtual ones: libdwfl sees it at base 0. Owned by
 * who opened it; one thread. */
typedef struct TtElf {
    Dwfl *dwfl;
    Dwfl_Module *module;
    Dwarf *dwarf;          /* (nullable) borrowed from the module */
    Dwarf_Addr dwarf_bias; /* an address of the module less this is one of the debug information */
    guint64 size_bytes;    /* of its files: what it may take of the address space */
    struct stat identity;  /* of its main file */

    /* For finding the separate files. */
    const char *debug_dir; /* (borrowed) */
    char *main_path;       /* without symbolic links */
    char *debug_path;      /* (nullable) likewise, of a separate debug file */
    guint8 *build_id;      /* of the main file; NULL: none */
    gsize build_id_len;
    char *link_name; /* (nullable) of .gnu_debuglink, and its checksum */
    GElf_Word link_crc;
    int alt_fd; /* the file that dwz shares between modules; -1: none */
    Elf *alt_elf;
    Dwarf *alt;
} TtElf;

/* Opens a regular file for reading. Neither blocks at a FIFO nor touches a device.
 * Returns: a descriptor, or negative errno. */
int tt_elf_open_file(const char *path, struct stat *ret_identity);

/* Opens the file at the module's path or, where that is not the one that was loaded, the debug file
 * of its build-id; and what separate debug information belongs to it.
 *
 * @debug_dir: borrowed for as long as the module is open
 * @ret_lack: set on failure only
 *
 * Returns: (transfer full) (nullable): NULL with @ret_lack set */
TtElf *tt_elf_open(const TtSymbolModule *module, const char *debug_dir, TtSymbolsLack *ret_lack);
void tt_elf_close(TtElf *elf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtElf, tt_elf_close)

G_END_DECLS
