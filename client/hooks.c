/* SPDX-License-Identifier: Apache-2.0 */
/* The interposed functions of the C library.
 *
 * A birth is recorded after the real allocation, a death before the real free: so no other thread
 * can tell of an address's next life before its last one's end was published. A reallocation is
 * two events around the real call. What a hook costs is stated, and held, in tests/bench. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/real.h"
#include "client/record.h"

#define PUBLIC __attribute__((visibility("default")))
#define COLD __attribute__((cold, noinline))
/* Entered by a jump from the public function of its name: who called that is its caller. */
#define RECORDED static __attribute__((noinline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define CALLER() ((uint64_t)__builtin_return_address(0))

/* Before the real allocator is found. */
static COLD void *serve_early(size_t alignment, size_t size) {
    void *ptr = tt_real_arena_alloc(alignment, size);

    if (ptr == NULL && tt_real_is_relocated())
        errno = ENOMEM;
    return ptr;
}

static COLD bool find_real(uint64_t caller) {
    /* The loader relocates still, and calls a resolver; it fills thread-local storage afterwards.
     */
    if (!tt_real_is_relocated() || tt_self.generation == 0)
        return false;
    tt_real_find();
    tt_session_begin_early(caller);
    return __atomic_load_n(&tt_real_is_open, __ATOMIC_ACQUIRE);
}

static inline bool is_open(void) {
    return LIKELY(__atomic_load_n(&tt_real_is_open, __ATOMIC_RELAXED));
}

static inline __attribute__((always_inline)) void *note_birth(void *ptr, size_t size,
                                                              uint64_t cfa) {
    TtThread *thread = tt_session_thread();

    if (LIKELY(thread != NULL && ptr != NULL))
        tt_record_birth(thread, TT_KIND_ALLOC, ptr, size, cfa);
    return ptr;
}

RECORDED void *record_malloc(size_t size) {
    return note_birth(tt_real.malloc(size), size, TT_CFA());
}

RECORDED void record_free(void *ptr) {
    if (UNLIKELY(ptr == NULL || tt_real_owns(ptr)))
        return;

    TtThread *thread = tt_session_thread();
    uint64_t cfa = TT_CFA();
    if (UNLIKELY(tt_stack_is_loader(tt_cfa_ip(cfa))))
        tt_stack_advance_epoch();
    if (LIKELY(thread != NULL))
        tt_record_death(thread, TT_KIND_FREE, ptr, cfa);
    tt_real.free(ptr);
}

RECORDED void *record_calloc(size_t count, size_t size) {
    void *ptr = tt_real.calloc(count, size);
    return note_birth(ptr, count * size, TT_CFA()); /* where it overflows, ptr is NULL */
}

/* A block of the arena moves to the real allocator: born there, as far as the program knows. */
static COLD void *move_from_arena(void *old, size_t size, uint64_t cfa) {
    size_t old_size = tt_real_arena_size(old), len = old_size < size ? old_size : size;
    void *ptr =
        is_open() || find_real(tt_cfa_ip(cfa)) ? tt_real.malloc(size) : serve_early(16, size);

    if (ptr == NULL)
        return NULL;
    /* memcpy is the loader's to find, and it may not have come so far. */
    void *to = ptr;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(old), "+c"(len) : : "memory");
    return tt_real_owns(ptr) ? ptr : note_birth(ptr, size, cfa);
}

static inline __attribute__((always_inline)) void *resize(void *old, size_t size, uint64_t cfa) {
    if (UNLIKELY(tt_real_owns(old)))
        return move_from_arena(old, size, cfa);
    TtThread *thread = tt_session_thread();
    if (UNLIKELY(thread == NULL))
        return tt_real.realloc(old, size);
    /* realloc(ptr, 0) frees (glibc, tcmalloc) or gives a block of its own (jemalloc): in either
     * case the old one has ended. */
    tt_record_death(thread, size == 0 ? TT_KIND_FREE : TT_KIND_REALLOC_BEGIN, old, cfa);

    void *ptr = tt_real.realloc(old, size);
    if (LIKELY(ptr != NULL)) {
        /* The thread may have been attached anew by what the real function called. */
        thread = tt_session_thread();
        if (LIKELY(thread != NULL))
            tt_record_birth(thread, size == 0 ? TT_KIND_ALLOC : TT_KIND_REALLOC_END, ptr, size,
                            cfa);
    } else if (size != 0) {
        tt_record_realloc_failed(old, cfa);
    }
    return ptr;
}

RECORDED void *record_realloc(void *ptr, size_t size) {
    uint64_t cfa = TT_CFA();

    if (ptr == NULL)
        return note_birth(tt_real.realloc(NULL, size), size, cfa);
    return resize(ptr, size, cfa);
}

RECORDED int record_posix_memalign(void **ret_ptr, size_t alignment, size_t size) {
    int r = tt_real.posix_memalign(ret_ptr, alignment, size);

    if (LIKELY(r == 0))
        note_birth(*ret_ptr, size, TT_CFA());
    return r;
}

RECORDED void *record_aligned_alloc(size_t alignment, size_t size) {
    return note_birth(tt_real.aligned_alloc(alignment, size), size, TT_CFA());
}

RECORDED void *record_memalign(size_t alignment, size_t size) {
    return note_birth(tt_real.memalign(alignment, size), size, TT_CFA());
}

RECORDED void *record_valloc(size_t size) {
    return note_birth(tt_real.valloc(size), size, TT_CFA());
}

/* Where the allocator has none (jemalloc) it is libc's. */
RECORDED void *record_pvalloc(size_t size) {
    void *ptr = tt_real.pvalloc(size);
    TtThread *thread = tt_session_thread();

    if (LIKELY(thread != NULL && ptr != NULL))
        tt_record_foreign_birth(thread, TT_KIND_ALLOC, ptr, size, TT_CFA());
    return ptr;
}

/* ---- Before the real allocator is open: the arena, or the first call of all ---- */

static COLD void *begin_malloc(size_t size) {
    return find_real(CALLER()) ? record_malloc(size) : serve_early(16, size);
}

static COLD void begin_free(void *ptr) {
    if (ptr != NULL && !tt_real_owns(ptr) && find_real(CALLER()))
        record_free(ptr);
}

static COLD void *begin_calloc(size_t count, size_t size) {
    size_t total;

    if (find_real(CALLER()))
        return record_calloc(count, size);
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return serve_early(16, total);
}

static COLD void *begin_realloc(void *ptr, size_t size) {
    if (find_real(CALLER()))
        return record_realloc(ptr, size);
    if (ptr == NULL)
        return serve_early(16, size);
    /* Set aside: what the loader resizes for us is older than we are. */
    return tt_real_owns(ptr) ? move_from_arena(ptr, size, TT_CFA()) : tt_real.realloc(ptr, size);
}

static COLD int begin_posix_memalign(void **ret_ptr, size_t alignment, size_t size) {
    if (find_real(CALLER()))
        return record_posix_memalign(ret_ptr, alignment, size);
    void *ptr = tt_real_arena_alloc(alignment, size);
    if (ptr == NULL)
        return ENOMEM;
    *ret_ptr = ptr;
    return 0;
}

static COLD void *begin_aligned_alloc(size_t alignment, size_t size) {
    return find_real(CALLER()) ? record_aligned_alloc(alignment, size)
                               : serve_early(alignment, size);
}

static COLD void *begin_memalign(size_t alignment, size_t size) {
    return find_real(CALLER()) ? record_memalign(alignment, size) : serve_early(alignment, size);
}

static COLD void *begin_valloc(size_t size) {
    return find_real(CALLER()) ? record_valloc(size) : serve_early(4096, size);
}

static COLD void *begin_pvalloc(size_t size) {
    return find_real(CALLER()) ? record_pvalloc(size)
                               : serve_early(4096, (size + 4095) & ~(size_t)4095);
}

/* ---- What the program calls ---- */

/* Three ways: not yet open; passed over, and gone again before anything is put on the stack, 17
 * instructions for a birth, 27 for an end; or recorded. tt_real_is_open comes first: before it is
 * set thread-local storage may not be there. */
#define SERVE(passes, name, ...)                                                                   \
    return UNLIKELY(!is_open()) ? begin_##name(__VA_ARGS__)                                        \
           : passes             ? tt_real.name(__VA_ARGS__)                                        \
                                : record_##name(__VA_ARGS__)

extern void *memalign(size_t alignment, size_t size);
extern void *pvalloc(size_t size);
extern size_t malloc_usable_size(void *ptr);

PUBLIC void *malloc(size_t size) { SERVE(tt_session_passes_birth(size), malloc, size); }

/* Ours, by a name that no other library can take: is it the one in use? */
extern void *tt_hook_malloc(size_t size) __THROW __attribute_malloc__ __attribute_alloc_size__((1))
    __attribute__((alias("malloc"), visibility("hidden")));

/* A free from the loader is looked at whoever is traced. */
static inline __attribute__((always_inline)) bool passes_death(const void *ptr, uint64_t caller) {
    return tt_session_passes_death(ptr) && !tt_real_owns(ptr) && !tt_stack_is_loader(caller);
}

PUBLIC void free(void *ptr) {
    uint64_t caller = (uint64_t)__builtin_return_address(0);

    SERVE(passes_death(ptr, caller), free, ptr);
}

/* Where the product overflows nothing will be born, whatever was counted. */
PUBLIC void *calloc(size_t count, size_t size) {
    SERVE(tt_session_passes_birth(count * size), calloc, count, size);
}

static inline __attribute__((always_inline)) void *serve_realloc(void *ptr, size_t size,
                                                                 uint64_t caller) {
    SERVE(passes_death(ptr, caller) && tt_session_passes_birth(size), realloc, ptr, size);
}

PUBLIC void *realloc(void *ptr, size_t size) {
    return serve_realloc(ptr, size, (uint64_t)__builtin_return_address(0));
}

/* glibc's calls realloc; so do we, that no other allocator's be missed. */
PUBLIC void *reallocarray(void *ptr, size_t count, size_t size) {
    size_t total;

    if (!__builtin_mul_overflow(count, size, &total))
        return serve_realloc(ptr, total, (uint64_t)__builtin_return_address(0));
    errno = ENOMEM;
    return NULL;
}

PUBLIC int posix_memalign(void **ret_ptr, size_t alignment, size_t size) {
    SERVE(tt_session_passes_birth(size), posix_memalign, ret_ptr, alignment, size);
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size) {
    SERVE(tt_session_passes_birth(size), aligned_alloc, alignment, size);
}

PUBLIC void *memalign(size_t alignment, size_t size) {
    SERVE(tt_session_passes_birth(size), memalign, alignment, size);
}

PUBLIC void *valloc(size_t size) { SERVE(tt_session_passes_birth(size), valloc, size); }

PUBLIC void *pvalloc(size_t size) { SERVE(tt_session_passes_birth(size), pvalloc, size); }

PUBLIC size_t malloc_usable_size(void *ptr) {
    if (ptr == NULL)
        return 0;
    if (UNLIKELY(tt_real_owns(ptr)))
        return tt_real_arena_size(ptr);
    return is_open() || find_real(CALLER()) ? tt_real.malloc_usable_size(ptr) : 0;
}
