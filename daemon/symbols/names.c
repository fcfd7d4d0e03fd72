/* SPDX-License-Identifier: Apache-2.0 */
/* Demangling takes longer than finding, and a module's few names come up again and again. */
#include "symbols/names.h"

#include <string.h>

#include "symbols/demangle.h"

struct TtNames {
    GHashTable *texts; /* place → (owned) text, "" for a symbol that is not mangled */
    GHashTable *bare;  /* symbol → (owned) text */
};

TtNames *tt_names_new(void) {
    TtNames *names = g_new0(TtNames, 1);

    names->texts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    names->bare = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    return names;
}

void tt_names_free(TtNames *names) {
    if (!names)
        return;
    g_hash_table_unref(names->texts);
    g_hash_table_unref(names->bare);
    g_free(names);
}

const char *tt_names_find(const TtNames *names, const void *place) {
    return g_hash_table_lookup(names->texts, place);
}

const char *tt_names_put(TtNames *names, const void *place, char *name) {
    g_hash_table_insert(names->texts, (gpointer)place, name);
    return name;
}

/* "memcpy@@GLIBC_2.14": the version is the linker's business. */
static char *without_version(const char *symbol) {
    const char *version = strchr(symbol, '@');

    return version && version > symbol ? g_strndup(symbol, (gsize)(version - symbol))
                                       : g_strdup(symbol);
}

const char *tt_names_demangle(TtNames *names, const char *symbol) {
    const char *text = tt_names_find(names, symbol);

    if (!text) {
        g_autofree char *bare = without_version(symbol);
        char *demangled = tt_demangle(bare);

        text = tt_names_put(names, symbol, demangled ? demangled : g_strdup(""));
    }
    return *text ? text : NULL;
}

const char *tt_names_get_bare(TtNames *names, const char *symbol) {
    char *text = g_hash_table_lookup(names->bare, symbol);

    if (!text) {
        text = without_version(symbol);
        g_hash_table_insert(names->bare, (gpointer)symbol, text);
    }
    return text;
}
