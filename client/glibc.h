/* SPDX-License-Identifier: Apache-2.0 */
/* What only glibc has. A program of another libc that inherits the preload must still start, so the
 * references are weak; tt_glibc_is_there decides once, in the constructor, whether we are inert. */
#pragma once

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <ucontext.h>

#pragma weak _dl_find_object
#pragma weak dlmopen
#pragma weak makecontext
#pragma weak __register_atfork

extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                             void *dso_handle);

static inline bool tt_glibc_is_there(void) {
    return &_dl_find_object != NULL && &dlmopen != NULL && &makecontext != NULL;
}
