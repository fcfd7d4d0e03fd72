/* SPDX-License-Identifier: Apache-2.0 */
/* C++'s operator new and delete. Where the next definition is a C++ library's it calls malloc, and
 * that is hooked: a jump passes the call on without a trace of us on the stack. Where it belongs to
 * the allocator itself (jemalloc, tcmalloc) it never reaches malloc, and is recorded here. Some
 * that do reach it all the same: jemalloc's plain delete calls free, by its public name.
 *
 * A program that is not C++ may load a plugin that is, with a C++ library that only the plugin
 * sees. Ours come first even there, and the library's cannot be had without the loader's lock, so
 * new and delete are then malloc and free; only where memory is out is the library's looked for: it
 * throws. */
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>

#include "client/glibc.h"
#include "client/operators.h"
#include "client/real.h"
#include "client/record.h"

#define PUBLIC __attribute__((visibility("default")))
#define COLD __attribute__((cold, noinline))

static bool passes_malloc_by; /* set once by tt_operators_init */

/* Name, how the arguments are declared, how they are passed on. */
#define NEWS(X)                                                                                    \
    X(_Znwm, (size_t size), (size), 1)                                                             \
    X(_Znam, (size_t size), (size), 1)                                                             \
    X(_ZnwmRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow), 1)                 \
    X(_ZnamRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow), 1)                 \
    X(_ZnwmSt11align_val_t, (size_t size, size_t alignment), (size, alignment), alignment)         \
    X(_ZnamSt11align_val_t, (size_t size, size_t alignment), (size, alignment), alignment)         \
    X(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void *nothrow),    \
      (size, alignment, nothrow), alignment)                                                       \
    X(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void *nothrow),    \
      (size, alignment, nothrow), alignment)

#define DELETES(X)                                                                                 \
    X(_ZdlPv, (void *ptr), (ptr))                                                                  \
    X(_ZdaPv, (void *ptr), (ptr))                                                                  \
    X(_ZdlPvm, (void *ptr, size_t size), (ptr, size))                                              \
    X(_ZdaPvm, (void *ptr, size_t size), (ptr, size))                                              \
    X(_ZdlPvRKSt9nothrow_t, (void *ptr, const void *nothrow), (ptr, nothrow))                      \
    X(_ZdaPvRKSt9nothrow_t, (void *ptr, const void *nothrow), (ptr, nothrow))                      \
    X(_ZdlPvSt11align_val_t, (void *ptr, size_t alignment), (ptr, alignment))                      \
    X(_ZdaPvSt11align_val_t, (void *ptr, size_t alignment), (ptr, alignment))                      \
    X(_ZdlPvmSt11align_val_t, (void *ptr, size_t size, size_t alignment), (ptr, size, alignment))  \
    X(_ZdaPvmSt11align_val_t, (void *ptr, size_t size, size_t alignment), (ptr, size, alignment))  \
    X(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *ptr, size_t alignment, const void *nothrow),     \
      (ptr, alignment, nothrow))                                                                   \
    X(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *ptr, size_t alignment, const void *nothrow),     \
      (ptr, alignment, nothrow))

static const struct link_map *module_of(const void *addr) {
    struct dl_find_object found;

    return addr != NULL && _dl_find_object((void *)addr, &found) == 0 ? found.dlfo_link_map : NULL;
}

/* The operator of a library that came after the program's start. */
static COLD void *find_late(const char *name) {
    static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1"};

    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        void *found = library != NULL ? dlsym(library, name) : NULL;
        if (found != NULL)
            return found;
    }
    abort(); /* as where nobody catches std::bad_alloc */
}

static inline void *allocate(size_t size, size_t alignment) {
    if (size == 0)
        size = 1; /* each block has an address of its own */
    if (alignment <= 16)
        return tt_hook_malloc(size); /* by its public name it would have no slot (real.c) */

    void *ptr = NULL;
    return posix_memalign(&ptr, alignment, size) == 0 ? ptr : NULL;
}

/* While an operator of the allocator is at work, a thread that is not busy otherwise says so, and
 * what malloc or free does with the operator's own block is not recorded twice. An operator may be
 * left by an exception, its handler's or its own, or by longjmp, and says then no more that it has
 * ended: what stays of it is such that it costs time alone, until the next one. Where a block is
 * born at the dying one's address, that one is forgotten.
 *
 * @dying  the block of a delete; NULL: a new */
static COLD void enter_operator(const void *dying) {
    TtThread *thread = tt_session_thread();

    if (thread == NULL || thread->busy_frame > TT_BUSY_OPERATOR)
        return;
    thread->born_ptr = NULL;
    thread->dying_ptr = dying;
    if (thread->busy_frame <= TT_BUSY_OPTIONS)
        thread->busy_frame = TT_BUSY_OPERATOR;
}

/* Returns the thread where the block that it gives is still to be recorded, or NULL. */
static COLD TtThread *leave_operator(const void *ptr) {
    TtThread *thread = tt_session_thread();

    if (thread == NULL)
        return NULL;
    if (thread->busy_frame == TT_BUSY_OPERATOR)
        thread->busy_frame = tt_record_idle_frame();
    bool is_recorded = thread->born_ptr == ptr;
    thread->born_ptr = thread->dying_ptr = NULL;
    return ptr == NULL || is_recorded ? NULL : thread;
}

#define DEFINE_NEW(name, parameters, arguments, alignment_of_it)                                   \
    static void *next_##name; /* set once by tt_operators_init; NULL: there is none */             \
    void *name parameters;                                                                         \
    static COLD void *record_##name parameters {                                                   \
        if (tt_session_passes_birth(size))                                                         \
            return ((void *(*)parameters)next_##name)arguments;                                    \
        enter_operator(NULL);                                                                      \
        void *ptr = ((void *(*)parameters)next_##name)arguments;                                   \
        TtThread *thread = leave_operator(ptr);                                                    \
        if (thread != NULL)                                                                        \
            tt_record_birth(thread, TT_KIND_ALLOC, ptr, size, TT_CFA());                           \
        return ptr;                                                                                \
    }                                                                                              \
    static COLD void *replace_##name parameters {                                                  \
        void *ptr = allocate(size, alignment_of_it);                                               \
        return ptr != NULL ? ptr : ((void *(*)parameters)find_late(#name))arguments;               \
    }                                                                                              \
    PUBLIC void *name parameters {                                                                 \
        if (__builtin_expect(next_##name == NULL, 0))                                              \
            return replace_##name arguments;                                                       \
        if (__builtin_expect(passes_malloc_by, 0))                                                 \
            return record_##name arguments;                                                        \
        return ((void *(*)parameters)next_##name)arguments;                                        \
    }

#define DEFINE_DELETE(name, parameters, arguments)                                                 \
    static void *next_##name;                                                                      \
    void name parameters;                                                                          \
    static COLD void record_##name parameters {                                                    \
        if (tt_session_passes_death(ptr)) {                                                        \
            ((void(*) parameters)next_##name) arguments;                                           \
            return;                                                                                \
        }                                                                                          \
        TtThread *thread = tt_session_thread();                                                    \
        if (thread != NULL && ptr != NULL)                                                         \
            tt_record_death(thread, TT_KIND_FREE, ptr, TT_CFA());                                  \
        enter_operator(ptr);                                                                       \
        ((void(*) parameters)next_##name) arguments;                                               \
        leave_operator(NULL);                                                                      \
    }                                                                                              \
    PUBLIC void name parameters {                                                                  \
        if (__builtin_expect(next_##name == NULL, 0)) {                                            \
            free(ptr);                                                                             \
            return;                                                                                \
        }                                                                                          \
        if (__builtin_expect(passes_malloc_by, 0)) {                                               \
            record_##name arguments;                                                               \
            return;                                                                                \
        }                                                                                          \
        ((void(*) parameters)next_##name) arguments;                                               \
    }

NEWS(DEFINE_NEW)
DELETES(DEFINE_DELETE)

void tt_operators_init(void) {
    void *first = tt_real_next("_Znwm");

    /* Now rather than when they are called: dlsym takes the loader's lock. */
    if (first != NULL) {
#define FIND(name, ...) next_##name = tt_real_next(#name);
        NEWS(FIND)
        DELETES(FIND)
#undef FIND
    }
    dlerror(); /* what failed is not for the program to hear */

    const void *allocator = module_of((const void *)tt_real.malloc);
    if (allocator != module_of((const void *)abort))
        passes_malloc_by = module_of(first) == allocator;
}
