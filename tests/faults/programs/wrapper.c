/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator that only passes on, and calls others before and after it does: with -DPRINTS those
 * that allocate themselves, with -DRESIZES those that also resize, without either those of
 * libttclient. Preloaded behind that, it does so in the midst of a hooked call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/ttclient.h"

#pragma weak tt_mark
#pragma weak tt_pause
#pragma weak tt_resume
#pragma weak tt_scope_enter
#pragma weak tt_scope_leave
#pragma weak tt_track

int wrapper_marks; /* that were taken */
static int calls, depth, has_begun;

#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (next == NULL)                                                                              \
    next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#if defined PRINTS || defined RESIZES
static void call_others(void *block) {
    char *text = malloc(200);

    snprintf(text, 200, "call %d%s", calls, block != NULL ? " of a block" : "");
    puts(text);
#ifdef RESIZES
    text = realloc(text, 50);
#endif
    free(text);
}
#else
static void call_others(void *block) {
    if (tt_mark == NULL)
        return;
    tt_scope_enter("in the wrapper");
    tt_pause();
    tt_track(block, "wrapped", "char *");
    tt_resume();
    wrapper_marks += calls % 100 == 0 && tt_mark("in the wrapper") == 0;
    tt_scope_leave(NULL);
}
#endif

static void tell(void *block) {
    if (depth++ == 0 && has_begun) {
        calls++;
        call_others(block);
    }
    depth--;
}

void *malloc(size_t size) {
    NEXT(malloc);
    tell(NULL);
    void *block = next(size);
    tell(block);
    return block;
}

void *calloc(size_t count, size_t size) {
    NEXT(calloc);
    tell(NULL);
    void *block = next(count, size);
    tell(block);
    return block;
}

void *realloc(void *block, size_t size) {
    NEXT(realloc);
    tell(block);
    block = next(block, size);
    tell(block);
    return block;
}

void free(void *block) {
    NEXT(free);
    tell(block);
    next(block);
    tell(NULL);
}

__attribute__((constructor)) static void begin(void) { has_begun = 1; }
