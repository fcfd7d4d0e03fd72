/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator that serves the program: the next definition after ours in lookup order, whatever
 * library that is. Until it is found (finding it may itself allocate) a small arena serves. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TtReal {
    void *(*malloc)(size_t size);
    void (*free)(void *ptr);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *ptr, size_t size);
    int (*posix_memalign)(void **ret_ptr, size_t alignment, size_t size);
    void *(*aligned_alloc)(size_t alignment, size_t size);
    void *(*memalign)(size_t alignment, size_t size);
    void *(*valloc)(size_t size);
    void *(*pvalloc)(size_t size);
    size_t (*malloc_usable_size)(void *ptr);
} TtReal;

extern TtReal tt_real __attribute__((visibility("hidden")));

/* Is tt_real to be called? Not before it is found, and not while the arena serves what the loader
 * allocates on our behalf: that is not the program's, and not from its heap. */
extern bool tt_real_is_open __attribute__((visibility("hidden")));

/* Has the loader filled in this library's own references? A resolver of another library's that
 * calls malloc may come before that: then nothing but the arena can be reached, and no thread's
 * storage. */
static inline bool tt_real_is_relocated(void) {
    static bool *const volatile reference = &tt_real_is_open;

    return reference != NULL;
}

/* Has the arena serve (true), or the real allocator again. In the constructor only. */
void tt_real_set_aside(bool is_aside);

/* Finds the functions and opens tt_real; does nothing when they are there. Any thread; a call from
 * within itself (dlsym allocates) returns at once and is served by the arena. */
void tt_real_find(void);

/* Is @ptr from the arena? Such a block must not reach the real allocator. */
extern uint8_t tt_real_arena[] __attribute__((visibility("hidden")));
#define TT_REAL_ARENA_BYTES 65536u
static inline bool tt_real_owns(const void *ptr) {
    return (uintptr_t)ptr - (uintptr_t)tt_real_arena < TT_REAL_ARENA_BYTES;
}

/* Serves from the arena: zeroed, never given back; NULL when it is full. */
void *tt_real_arena_alloc(size_t alignment, size_t size);
size_t tt_real_arena_size(const void *ptr);

/* Can tt_real.malloc_usable_size be asked of the program's blocks? Only where it is of the library
 * that makes them: another's would take them for its own. (Not all have a pvalloc.) */
bool tt_real_knows_usable(void);

/* The address of the next definition of a symbol after this library, or NULL. */
void *tt_real_next(const char *symbol);

/* hooks.c: our malloc by a name that no other library can take. */
extern void *tt_hook_malloc(size_t size) __attribute__((visibility("hidden")));

/* Is a sanitizer's runtime there? It is an allocator of its own kind, and replaces libc's functions
 * by ones that crash before it is ready: nothing but this may be asked before. */
bool tt_real_is_sanitized(void);

/* Is our malloc the one that the program calls? False where an earlier library defines its own, and
 * where we came by dlopen. In the constructor only: takes the loader's lock, allocates nothing. */
bool tt_real_is_in_use(void);
