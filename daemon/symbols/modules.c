/* SPDX-License-Identifier: Apache-2.0 */
/* Open modules, and what each of them knows of an address. */
#include "symbols/modules.h"

#include <string.h>
#include <unistd.h>

#include "symbols/dwarf.h"
#include "symbols/elf.h"
#include "symbols/symtab.h"
#include "symbols/variable.h"

#define OPEN_MAX 64
#define OPEN_BYTES_MAX (1ull << 30) /* of files: a quarter of the address space there is */

/* An open module. Owned by TtModules. */
typedef struct Open {
    GBytes *path; /* as asked for, likewise build_id */
    GBytes *build_id;
    TtElf *elf;
    TtUnits *units;
    TtSymtab *symtab;
    TtNames *names;
    TtSymbolsLack lack;
} Open;

struct TtModules {
    const char *debug_dir;
    GQueue open; /* Open, the last used first */
    guint64 open_bytes;
};

TtModules *tt_modules_new(const char *debug_dir) {
    TtModules *modules = g_new0(TtModules, 1);

    modules->debug_dir = debug_dir;
    g_queue_init(&modules->open);
    return modules;
}

static void open_free(Open *open) {
    g_bytes_unref(open->path);
    g_bytes_unref(open->build_id);
    tt_symtab_free(open->symtab);
    tt_units_free(open->units);
    tt_names_free(open->names);
    tt_elf_close(open->elf);
    g_free(open);
}

static void close_open(TtModules *modules, Open *open) {
    g_queue_remove(&modules->open, open);
    modules->open_bytes -= open->elf->size_bytes;
    open_free(open);
}

void tt_modules_free(TtModules *modules) {
    while (modules->open.head)
        close_open(modules, modules->open.head->data);
    g_free(modules);
}

static gboolean equals(GBytes *bytes, TtString string) {
    gsize len;
    const void *data = g_bytes_get_data(bytes, &len);

    return len == string.len && (len == 0 || memcmp(data, string.text, len) == 0);
}

/* Without a build-id only the file itself says whether it is still what was opened. */
static gboolean is_current(const Open *open) {
    g_autofree char *path = NULL;
    const struct stat *was = &open->elf->identity;
    struct stat now;

    if (g_bytes_get_size(open->build_id) > 0)
        return TRUE;
    path = g_strndup(g_bytes_get_data(open->path, NULL), g_bytes_get_size(open->path));
    return stat(path, &now) == 0 && now.st_dev == was->st_dev && now.st_ino == was->st_ino &&
           now.st_size == was->st_size && now.st_mtim.tv_sec == was->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == was->st_mtim.tv_nsec;
}

static Open *find_open(TtModules *modules, const TtQuestion *question) {
    for (GList *at = modules->open.head; at; at = at->next) {
        Open *open = at->data;

        if (!equals(open->build_id, question->build_id) || !equals(open->path, question->path))
            continue;
        if (!is_current(open)) {
            close_open(modules, open);
            return NULL;
        }
        g_queue_unlink(&modules->open, at);
        g_queue_push_head_link(&modules->open, at);
        return open;
    }
    return NULL;
}

static TtSymbolsLack lack_of(const Open *open) {
    if (!tt_units_is_empty(open->units))
        return TT_SYMBOLS_LACK_NONE;
    return tt_symtab_is_empty(open->symtab) ? TT_SYMBOLS_LACK_NAMES : TT_SYMBOLS_LACK_LINES;
}

/* Returns: (transfer none) (nullable): NULL with @ret_lack set */
static Open *open_module(TtModules *modules, const TtQuestion *question, TtSymbolsLack *ret_lack) {
    g_autofree char *path = g_strndup(question->path.text, question->path.len);
    TtSymbolModule module = {
        .path = path,
        .build_id = (const guint8 *)question->build_id.text,
        .build_id_len = question->build_id.len,
    };
    TtElf *elf = tt_elf_open(&module, modules->debug_dir, ret_lack);
    Open *open;

    if (!elf)
        return NULL;
    open = g_new0(Open, 1);
    open->path = g_bytes_new(question->path.text, question->path.len);
    open->build_id = g_bytes_new(question->build_id.text, question->build_id.len);
    open->elf = elf;
    open->units = tt_units_new(elf->dwarf);
    open->symtab = tt_symtab_new(elf);
    open->names = tt_names_new();
    open->lack = lack_of(open);
    g_queue_push_head(&modules->open, open);
    modules->open_bytes += elf->size_bytes;
    while (modules->open.length > 1 &&
           (modules->open.length > OPEN_MAX || modules->open_bytes > OPEN_BYTES_MAX))
        close_open(modules, modules->open.tail->data);
    return open;
}

/* The source's name of a function of C is better than the linker's, which may be one of many; of a
 * function of C++ it lacks the parameters. */
static const char *better_name(Open *open, const char *symbol, const char *source_name) {
    const char *full = tt_names_demangle(open->names, symbol);

    if (full)
        return full;
    return source_name ? source_name : tt_names_get_bare(open->names, symbol);
}

static void find_frames(Open *open, guint64 addr, TtChain *chain) {
    const char *symbol = NULL;
    TtSymbolFrame *last;

    tt_dwarf_find(open->units, addr - open->elf->dwarf_bias, open->names, chain);
    if (chain->is_short)
        symbol = tt_symtab_find(open->symtab, addr);
    if (symbol && chain->count == 0)
        chain->frames[chain->count++] = (TtSymbolFrame){0};
    if (chain->count == 0)
        return;
    last = &chain->frames[chain->count - 1];
    if (symbol)
        last->function = better_name(open, symbol, last->function);
    if (!last->function && !last->file)
        chain->count = 0;
}

static void answer_frames(Open *open, guint64 addr, TtAnswerWriter *writer) {
    TtChain chain;

    chain.count = 0;
    if (open)
        find_frames(open, addr, &chain);
    tt_answer_writer_begin_addr(writer, chain.count);
    for (guint i = 0; i < chain.count; i++)
        tt_answer_writer_add_frame(writer, &chain.frames[i]);
}

static void answer_type(Open *open, guint64 addr, TtString name, TtAnswerWriter *writer) {
    g_autofree char *type = NULL;
    TtSymbolFrame frame = {0};

    if (open)
        type = tt_variable_find_type(open->units, addr - open->elf->dwarf_bias, name);
    tt_answer_writer_begin_addr(writer, type ? 1 : 0);
    frame.function = type;
    if (type)
        tt_answer_writer_add_frame(writer, &frame);
}

TtSymbolsLack tt_modules_answer(TtModules *modules, const TtQuestion *question,
                                TtAnswerWriter *writer) {
    TtSymbolsLack lack = TT_SYMBOLS_LACK_FILE;
    Open *open = find_open(modules, question);

    if (!open && !memchr(question->path.text, 0, question->path.len))
        open = open_module(modules, question, &lack);
    for (gsize i = 0; i < question->addr_count; i++) {
        if (question->asked_for == TT_ASKED_FOR_TYPES)
            answer_type(open, question->addrs[i], question->names[i], writer);
        else
            answer_frames(open, question->addrs[i], writer);
    }
    return open ? open->lack : lack;
}
