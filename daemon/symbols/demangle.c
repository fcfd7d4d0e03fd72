/* SPDX-License-Identifier: Apache-2.0 */
/* libiberty, kept within bounds.
 *
 * A mangled name refers back to parts of itself, so a short one can stand for a text that grows
 * exponentially. libiberty prints such a text piece by piece into a callback; the only way to make
 * it stop is not to return. That is safe here: with a callback it keeps everything on its stack,
 * but for the odd Rust identifier, which is then lost. Its own limits on recursion stay on. */
#include "symbols/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

#include "protocol/wire.h"

#define NAME_MAX_BYTES (64 * 1024)
#define TEXT_MAX_BYTES (TT_STRING_MAX + 4) /* enough to see that it is longer than may be shown */

typedef struct Text {
    GString *string;
    jmp_buf enough;
} Text;

static void add_text(const char *text, size_t len, void *data) {
    Text *to = data;

    g_string_append_len(to->string, text, (gssize)len);
    if (to->string->len > TEXT_MAX_BYTES)
        longjmp(to->enough, 1);
}

typedef int (*Demangler)(const char *name, int options, demangle_callbackref callback, void *data);

static char *demangle_with(Demangler demangler, const char *name, int options) {
    GString *volatile string = g_string_new(NULL);
    Text text = {.string = string};
    volatile gboolean is_good = TRUE;

    if (setjmp(text.enough) == 0)
        is_good = demangler(name, options, add_text, &text) != 0 && string->len > 0;
    return g_string_free(string, !is_good);
}

/* "…17h0123456789abcdefE", perhaps with a suffix of LLVM's: valid C++ too, so asked first. */
static gboolean is_rust_legacy(const char *name) {
    return g_str_has_prefix(name, "_ZN") && strstr(name, "17h") != NULL;
}

char *tt_demangle(const char *name) {
    char *text = NULL;

    if (strnlen(name, NAME_MAX_BYTES + 1) > NAME_MAX_BYTES)
        return NULL;
    if (g_str_has_prefix(name, "_R") || is_rust_legacy(name))
        text = demangle_with(rust_demangle_callback, name, DMGL_NO_OPTS);
    if (!text && (g_str_has_prefix(name, "_Z") || g_str_has_prefix(name, "_GLOBAL_")))
        text = demangle_with(cplus_demangle_v3_callback, name, DMGL_PARAMS | DMGL_ANSI);
    return text;
}
