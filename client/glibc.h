/* SPDX-License-Identifier: Apache-2.0 */
/* What only glibc has. A program of another libc that inherits the preload must still start, so the
 * references are weak; tt_glibc_is_there decides once, in the constructor, whether we are inert. */
#pragma once

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/single_threaded.h>
#include <ucontext.h>

#pragma weak _dl_find_object
#pragma weak dlmopen
#pragma weak makecontext
#pragma weak __libc_single_threaded
#pragma weak __register_atfork
#pragma weak _r_debug

extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                             void *dso_handle);

/* The loader's; weak, since only the loader exports it and we name libc alone. The number of
 * arguments, they themselves, and the environment, as the kernel put them. */
extern void *__libc_stack_end __attribute__((weak));

static inline bool tt_glibc_is_there(void) {
    return &_dl_find_object != NULL && &dlmopen != NULL && &makecontext != NULL;
}

/* Has the loader done its work, and is @addr not in it (where _dl_find_object lies itself)? */
static inline bool tt_glibc_may_load(uint64_t addr) {
    struct dl_find_object loader, found;

    return &_r_debug != NULL && _r_debug.r_state == RT_CONSISTENT &&
           _dl_find_object((void *)_dl_find_object, &loader) == 0 &&
           _dl_find_object((void *)addr, &found) == 0 &&
           found.dlfo_link_map != loader.dlfo_link_map;
}
