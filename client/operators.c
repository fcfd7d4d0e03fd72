/* SPDX-License-Identifier: Apache-2.0 */
/* C++'s operator new and delete. Where the next definition is a C++ library's it calls malloc, and
 * that is hooked: a jump passes the call on without a trace of us on the stack. Where it belongs to
 * the allocator itself (jemalloc, tcmalloc) it never reaches malloc, and is recorded here. */
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>

#include "client/operators.h"
#include "client/glibc.h"
#include "client/real.h"
#include "client/record.h"

#define PUBLIC __attribute__((visibility("default")))
#define COLD __attribute__((cold, noinline))

static bool passes_malloc_by; /* set once by tt_operators_init */

/* Name, how the arguments are declared, how they are passed on. */
#define NEWS(X)                                                                                    \
    X(_Znwm, (size_t size), (size))                                                                \
    X(_Znam, (size_t size), (size))                                                                \
    X(_ZnwmRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow))                    \
    X(_ZnamRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow))                    \
    X(_ZnwmSt11align_val_t, (size_t size, size_t alignment), (size, alignment))                    \
    X(_ZnamSt11align_val_t, (size_t size, size_t alignment), (size, alignment))                    \
    X(_ZnwmSt11align_val_tRKSt9nothrow_t,                                                          \
      (size_t size, size_t alignment, const void *nothrow), (size, alignment, nothrow))            \
    X(_ZnamSt11align_val_tRKSt9nothrow_t,                                                          \
      (size_t size, size_t alignment, const void *nothrow), (size, alignment, nothrow))

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
    X(_ZdlPvSt11align_val_tRKSt9nothrow_t,                                                         \
      (void *ptr, size_t alignment, const void *nothrow), (ptr, alignment, nothrow))               \
    X(_ZdaPvSt11align_val_tRKSt9nothrow_t,                                                         \
      (void *ptr, size_t alignment, const void *nothrow), (ptr, alignment, nothrow))

/* Found when first called: the constructor runs before a plugin may bring a C++ library. */
static COLD void *find(void **slot, const char *name) {
    void *next = tt_real_next(name);

    if (next == NULL)
        abort(); /* whoever calls operator new was linked with a library that has it */
    __atomic_store_n(slot, next, __ATOMIC_RELEASE);
    return next;
}

#define NEXT(name)                                                                                 \
    (__builtin_expect(next_##name != NULL, 1) ? next_##name : find(&next_##name, #name))

#define DEFINE_NEW(name, parameters, arguments)                                                    \
    static void *next_##name;                                                                      \
    void *name parameters;                                                                         \
    static COLD void *record_##name parameters {                                                   \
        void *ptr = ((void *(*)parameters)NEXT(name))arguments;                                    \
        TtThread *thread = tt_session_thread();                                                    \
        if (thread != NULL && ptr != NULL)                                                         \
            tt_record_birth(thread, TT_KIND_ALLOC, ptr, size, TT_CALLER());                        \
        return ptr;                                                                                \
    }                                                                                              \
    PUBLIC void *name parameters {                                                                 \
        if (__builtin_expect(passes_malloc_by, 0))                                                 \
            return record_##name arguments;                                                        \
        return ((void *(*)parameters)NEXT(name))arguments;                                         \
    }

#define DEFINE_DELETE(name, parameters, arguments)                                                 \
    static void *next_##name;                                                                      \
    void name parameters;                                                                          \
    static COLD void record_##name parameters {                                                    \
        TtThread *thread = tt_session_thread();                                                    \
        if (thread != NULL && ptr != NULL)                                                         \
            tt_record_death(thread, TT_KIND_FREE, ptr, TT_CALLER());                               \
        ((void (*)parameters)NEXT(name))arguments;                                                 \
    }                                                                                              \
    PUBLIC void name parameters {                                                                  \
        if (__builtin_expect(passes_malloc_by, 0)) {                                               \
            record_##name arguments;                                                               \
            return;                                                                                \
        }                                                                                          \
        ((void (*)parameters)NEXT(name))arguments;                                                 \
    }

NEWS(DEFINE_NEW)
DELETES(DEFINE_DELETE)

static const void *module_of(const void *addr) {
    struct dl_find_object found;

    return addr != NULL && _dl_find_object((void *)addr, &found) == 0 ? found.dlfo_link_map : NULL;
}

void tt_operators_init(void) {
    const void *allocator = module_of((const void *)tt_real.malloc);

    /* libc has no operators; and a failing dlsym would leave a block of dlerror's behind. */
    if (allocator != module_of((const void *)abort))
        passes_malloc_by = module_of(tt_real_next("_Znwm")) == allocator;
}
