/* SPDX-License-Identifier: Apache-2.0 */
/* A sorted index: libdwfl's own look-up passes over the whole table for every address.
 *
 * Most functions have a size, which is believed. Some of assembly have none; such a one reaches to
 * the next symbol, within its section. */
#include "symbols/symtab.h"

#include <string.h>

#include "protocol/checked.h"
#include "symbols/ranges.h"

typedef struct Symbol {
    const char *name; /* in the file's string table */
    gboolean is_local;
} Symbol;

struct TtSymtab {
    GArray *symbols;   /* Symbol */
    TtRanges sized;    /* → symbols */
    TtRanges unsized;  /* → symbols, each of one byte: only their starts count */
    TtRanges sections; /* with code */
};

static void read_sections(TtSymtab *symtab, const TtElf *elf) {
    GElf_Addr bias;
    Elf *file = dwfl_module_getelf(elf->module, &bias);
    Elf_Scn *section = NULL;

    while (file && (section = elf_nextscn(file, section)) != NULL) {
        GElf_Shdr header;
        guint64 end;

        if (!gelf_getshdr(section, &header) || !(header.sh_flags & SHF_EXECINSTR))
            continue;
        if (tt_checked_add(header.sh_addr + bias, header.sh_size, &end))
            tt_ranges_add(&symtab->sections, header.sh_addr + bias, end, 0);
    }
    tt_ranges_sort(&symtab->sections);
}

static void add_symbol(TtSymtab *symtab, const char *name, const GElf_Sym *symbol, guint64 addr) {
    guint type = GELF_ST_TYPE(symbol->st_info);
    guint number = symtab->symbols->len;
    Symbol entry = {.name = name, .is_local = GELF_ST_BIND(symbol->st_info) == STB_LOCAL};
    gboolean has_code = tt_ranges_find(&symtab->sections, addr) != NULL;
    guint64 end;

    /* Without section headers only what calls itself a function is one. */
    if (type != STT_FUNC && type != STT_GNU_IFUNC && !(type == STT_NOTYPE && has_code))
        return;
    if (symbol->st_size == 0 && !has_code)
        return;
    if (!tt_checked_add(addr, MAX(symbol->st_size, 1), &end))
        return;
    g_array_append_val(symtab->symbols, entry);
    tt_ranges_add(symbol->st_size > 0 ? &symtab->sized : &symtab->unsized, addr, end, number);
}

TtSymtab *tt_symtab_new(const TtElf *elf) {
    TtSymtab *symtab = g_new0(TtSymtab, 1);
    int count = dwfl_module_getsymtab(elf->module);

    symtab->symbols = g_array_new(FALSE, FALSE, sizeof(Symbol));
    tt_ranges_init(&symtab->sized);
    tt_ranges_init(&symtab->unsized);
    tt_ranges_init(&symtab->sections);
    read_sections(symtab, elf);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr addr;
        GElf_Word section;
        const char *name =
            dwfl_module_getsym_info(elf->module, i, &symbol, &addr, &section, NULL, NULL);

        if (name && *name && section != SHN_UNDEF && section != SHN_ABS)
            add_symbol(symtab, name, &symbol, addr);
    }
    tt_ranges_sort(&symtab->sized);
    tt_ranges_sort(&symtab->unsized);
    return symtab;
}

void tt_symtab_free(TtSymtab *symtab) {
    if (!symtab)
        return;
    g_array_unref(symtab->symbols);
    tt_ranges_clear(&symtab->sized);
    tt_ranges_clear(&symtab->unsized);
    tt_ranges_clear(&symtab->sections);
    g_free(symtab);
}

gboolean tt_symtab_is_empty(const TtSymtab *symtab) { return symtab->symbols->len == 0; }

/* Orders names of one function: "malloc" before "__libc_malloc" before one that is local. */
static int compare_symbols(const Symbol *a, const Symbol *b) {
    gsize a_underscores = strspn(a->name, "_"), b_underscores = strspn(b->name, "_");
    gsize a_len = strlen(a->name), b_len = strlen(b->name);

    if (a->is_local != b->is_local)
        return a->is_local ? 1 : -1;
    if (a_underscores != b_underscores)
        return a_underscores < b_underscores ? -1 : 1;
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return strcmp(a->name, b->name);
}

static const Symbol *symbol_of(const TtSymtab *symtab, const TtRange *range) {
    return &g_array_index(symtab->symbols, Symbol, range->value);
}

/* Of the symbols with the range of @last, side by side and ended by it. */
static const char *plainest(const TtSymtab *symtab, const TtRanges *ranges, const TtRange *last) {
    const TtRange *first = (const TtRange *)(const void *)ranges->items->data;
    const Symbol *best = symbol_of(symtab, last);

    for (const TtRange *at = last; at > first;) {
        at--;
        if (at->start != last->start || at->end != last->end)
            break;
        if (compare_symbols(symbol_of(symtab, at), best) < 0)
            best = symbol_of(symtab, at);
    }
    return best->name;
}

static const char *find_unsized(const TtSymtab *symtab, guint64 addr) {
    const TtRange *label = tt_ranges_find_before(&symtab->unsized, addr);
    const TtRange *ended = tt_ranges_find_before(&symtab->sized, addr);

    if (!label || (ended && ended->start >= label->start))
        return NULL;
    if (tt_ranges_find(&symtab->sections, addr) != tt_ranges_find(&symtab->sections, label->start))
        return NULL;
    return plainest(symtab, &symtab->unsized, label);
}

const char *tt_symtab_find(const TtSymtab *symtab, guint64 addr) {
    const TtRange *range = tt_ranges_find(&symtab->sized, addr);

    return range ? plainest(symtab, &symtab->sized, range) : find_unsized(symtab, addr);
}
