/* SPDX-License-Identifier: Apache-2.0 */
/* Judging frames by their names. The lists are short on purpose: a frame that is taken for plumbing
 * wrongly hides the program's own code, one that is missed costs the reader one step outward. */
#include "report/labels.h"

#include <string.h>

#include "report/text.h"

/* By a module's base name. */
static const char *const plumbing_modules[] = {
    "libc.so",      "libc-2.",     "ld-linux",    "libstdc++.so", "libc++.so",
    "libc++abi.so", "libgcc_s.so", "libjemalloc", "libtcmalloc",  "libmimalloc",
    "libttclient.", "libasan.so",  "linux-vdso",
};

static const char *const plumbing_functions[] = {
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "strdup",
    "strndup",
    "__strdup",
    "__strndup",
    "wcsdup",
    "asprintf",
    "vasprintf",
    "getline",
    "getdelim",
    /* GLib */
    "g_malloc",
    "g_malloc0",
    "g_malloc_n",
    "g_malloc0_n",
    "g_realloc",
    "g_realloc_n",
    "g_try_malloc",
    "g_try_malloc0",
    "g_try_malloc_n",
    "g_try_malloc0_n",
    "g_try_realloc",
    "g_try_realloc_n",
    "g_aligned_alloc",
    "g_aligned_alloc0",
    "g_slice_alloc",
    "g_slice_alloc0",
    "g_slice_copy",
    "g_memdup",
    "g_memdup2",
    "g_strdup",
    "g_strndup",
    "g_strdup_printf",
    "g_strdup_vprintf",
    /* what programs customarily call their own */
    "xmalloc",
    "xcalloc",
    "xrealloc",
    "xstrdup",
    "xstrndup",
    "xzalloc",
    "xmemdup",
    "xnmalloc",
    /* Rust */
    "__rust_alloc",
    "__rust_alloc_zeroed",
    "__rust_realloc",
    "__rdl_alloc",
    "__rdl_alloc_zeroed",
    "__rdl_realloc",
    "__rg_alloc",
    "__rg_realloc",
};

/* By the beginning of a qualified name. Rust's crates are told by their modules: other languages
 * have namespaces of the name "core" too. */
static const char *const plumbing_scopes[] = {
    "operator new",   "std::",
    "__gnu_cxx::",    "<std::",
    "alloc::alloc::", "alloc::raw_vec::",
    "alloc::vec::",   "alloc::string::",
    "alloc::boxed::", "alloc::sync::",
    "alloc::rc::",    "alloc::collections::",
    "alloc::slice::", "alloc::str::",
    "alloc::fmt::",   "alloc::ffi::",
    "<alloc::",       "<core::iter::",
    "core::iter::",   "core::ops::function::",
    "core::option::", "core::result::",
};

/* By a piece of the source file's path. */
static const char *const plumbing_files[] = {"/include/c++/", "/c++/v1/", "/rustc/"};

static gboolean starts_with_any(const char *text, const char *const *starts, gsize count) {
    for (gsize i = 0; i < count; i++)
        if (strncmp(text, starts[i], strlen(starts[i])) == 0)
            return TRUE;
    return FALSE;
}

static gboolean is_plumbing_function(const char *function) {
    gsize len;
    const char *name = tt_label_short_function(function, &len);

    for (gsize i = 0; i < G_N_ELEMENTS(plumbing_functions); i++)
        if (len == strlen(plumbing_functions[i]) && memcmp(name, plumbing_functions[i], len) == 0)
            return TRUE;
    return starts_with_any(name, plumbing_scopes, G_N_ELEMENTS(plumbing_scopes));
}

gboolean tt_label_is_plumbing(const char *function, const char *file, const char *module) {
    if (module &&
        starts_with_any(tt_text_basename(module), plumbing_modules, G_N_ELEMENTS(plumbing_modules)))
        return TRUE;
    if (function && is_plumbing_function(function))
        return TRUE;
    for (gsize i = 0; file && i < G_N_ELEMENTS(plumbing_files); i++)
        if (strstr(file, plumbing_files[i]))
            return TRUE;
    return FALSE;
}

/* At the beginning of a word, which is a capital or stands after what is no letter: not in
 * "preallocate". */
static gboolean has_word(const char *name, gsize len, const char *word) {
    gsize word_len = strlen(word);

    for (gsize at = 0; at + word_len <= len; at++)
        if (g_ascii_strncasecmp(name + at, word, word_len) == 0 &&
            (at == 0 || g_ascii_isupper(name[at]) || !g_ascii_isalpha(name[at - 1])))
            return TRUE;
    return FALSE;
}

gboolean tt_label_is_allocator(const char *function) {
    static const char *const words[] = {"malloc", "calloc", "realloc", "zalloc"};
    static const char *const ends[] = {"strdup", "strndup"};
    gsize len;
    const char *name = tt_label_short_function(function, &len);

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (has_word(name, len, words[i]))
            return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
        gsize end_len = strlen(ends[i]);

        if (len >= end_len && g_ascii_strncasecmp(name + len - end_len, ends[i], end_len) == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean tt_label_is_start(const char *function) {
    static const char *const starts[] = {"__libc_start", "_dl_start", "_dl_init"};
    static const char *const names[] = {"_start", "start_thread", "clone", "clone3"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(function, names[i]) == 0)
            return TRUE;
    return starts_with_any(function, starts, G_N_ELEMENTS(starts));
}

/* One past the bracket that closes the one at @at, of whatever kinds lie between; the end of the
 * text where none does. */
static const char *skip_brackets(const char *at) {
    gsize depth = 0;

    for (; *at; at++) {
        if (strchr("(<{[", *at))
            depth++;
        else if (strchr(")>}]", *at) && depth > 0 && --depth == 0)
            return at + 1;
    }
    return at;
}

/* One past the symbol after the word "operator", whose brackets open nothing. */
static const char *skip_operator(const char *at) {
    if (strncmp(at, "()", 2) == 0 || strncmp(at, "[]", 2) == 0)
        return at + 2;
    return at + strspn(at, "<>=!-+*/%&|^~,");
}

static gboolean is_word_at(const char *start, const char *at, const char *word) {
    gsize len = strlen(word);

    return strncmp(at, word, len) == 0 && (at == start || strchr(": ", at[-1])) &&
           !g_ascii_isalnum(at[len]) && at[len] != '_';
}

const char *tt_label_short_function(const char *function, gsize *ret_len) {
    const char *name = function, *at = function;
    gboolean in_operator = FALSE; /* its name may hold spaces: "operator unsigned long" */

    while (*at) {
        if (is_word_at(function, at, "operator")) {
            at = skip_operator(at + strlen("operator"));
            in_operator = TRUE;
        } else if (*at == '(') {
            /* Parameters, unless it is "(anonymous namespace)", "decltype (…)" or such. */
            if (at > name && at[-1] != ':' && strncmp(name, "decltype(", 9) != 0)
                break;
            at = skip_brackets(at);
        } else if (*at == '<' || *at == '{') {
            at = skip_brackets(at);
        } else if (*at == ' ') {
            if (at[1] == '[') /* "[clone .isra.0]", "[abi:cxx11]" */
                break;
            at++;
            if (!in_operator)
                name = at;
        } else {
            at++;
        }
    }
    if (at == name) {
        *ret_len = strlen(function);
        return function;
    }
    *ret_len = (gsize)(at - name);
    return name;
}
