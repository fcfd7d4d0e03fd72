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
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Before the real allocator is found. */
static COLD void *serve_early(size_t alignment, size_t size) {
    void *ptr = tt_real_arena_alloc(alignment, size);

    if (ptr == NULL && tt_real_is_relocated())
        errno = ENOMEM;
    return ptr;
}

static COLD bool find_real(void) {
    /* The loader relocates still, and calls a resolver; it fills thread-local storage afterwards.
     */
    if (!tt_real_is_relocated() || tt_self.generation == 0)
        return false;
    tt_real_find();
    return __atomic_load_n(&tt_real_is_open, __ATOMIC_ACQUIRE);
}

static inline bool has_real(void) {
    return LIKELY(__atomic_load_n(&tt_real_is_open, __ATOMIC_RELAXED)) || find_real();
}

static inline __attribute__((always_inline)) void *note_birth(void *ptr, size_t size,
                                                              TtCaller caller) {
    TtThread *thread = tt_session_thread();

    if (LIKELY(thread != NULL && ptr != NULL))
        tt_record_birth(thread, TT_KIND_ALLOC, ptr, size, caller);
    return ptr;
}

PUBLIC void *malloc(size_t size) {
    if (UNLIKELY(!has_real()))
        return serve_early(16, size);
    return note_birth(tt_real.malloc(size), size, TT_CALLER());
}

/* Ours, by a name that no other library can take: is it the one in use? */
extern void *tt_hook_malloc(size_t size) __THROW __attribute_malloc__ __attribute_alloc_size__((1))
    __attribute__((alias("malloc"), visibility("hidden")));

PUBLIC void free(void *ptr) {
    if (UNLIKELY(ptr == NULL || tt_real_owns(ptr) || !has_real()))
        return;

    TtThread *thread = tt_session_thread();
    TtCaller caller = TT_CALLER();
    if (LIKELY(thread != NULL)) {
        if (UNLIKELY(tt_stack_is_loader(caller.ip)))
            tt_stack_advance_epoch();
        tt_record_death(thread, TT_KIND_FREE, ptr, caller);
    }
    tt_real.free(ptr);
}

PUBLIC void *calloc(size_t count, size_t size) {
    size_t total;

    if (UNLIKELY(!has_real())) {
        if (__builtin_mul_overflow(count, size, &total)) {
            errno = ENOMEM;
            return NULL;
        }
        return serve_early(16, total);
    }
    void *ptr = tt_real.calloc(count, size);
    return note_birth(ptr, count * size, TT_CALLER()); /* where it overflows, ptr is NULL */
}

/* A block of the arena moves to the real allocator: born there, as far as the program knows. */
static COLD void *move_from_arena(void *old, size_t size, TtCaller caller) {
    size_t old_size = tt_real_arena_size(old), len = old_size < size ? old_size : size;
    void *ptr = has_real() ? tt_real.malloc(size) : serve_early(16, size);

    if (ptr == NULL)
        return NULL;
    /* memcpy is the loader's to find, and it may not have come so far. */
    void *to = ptr;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(old), "+c"(len) : : "memory");
    return tt_real_owns(ptr) ? ptr : note_birth(ptr, size, caller);
}

/* The lane tells that the block stays as it was. */
static COLD void note_failure(TtThread *thread, uintptr_t frame) {
    int kept_errno = errno;
    TtThread *used = tt_record_begin(frame);

    (void)thread;
    if (used != NULL && tt_lane_reserve(used, 32)) {
        TtRecordReallocFailed record = {.stamp = tt_clock_stamp()};
        used->at += tt_encode_realloc_failed(used->at, 32, &record);
        tt_lane_publish(used);
    }
    if (used != NULL)
        tt_record_end(used);
    errno = kept_errno;
}

static inline __attribute__((always_inline)) void *resize(void *old, size_t size, TtCaller caller) {
    if (UNLIKELY(tt_real_owns(old)))
        return move_from_arena(old, size, caller);
    if (UNLIKELY(!has_real())) /* set aside: what the loader resizes for us is older than we are */
        return tt_real.realloc(old, size);

    TtThread *thread = tt_session_thread();
    if (UNLIKELY(thread == NULL))
        return tt_real.realloc(old, size);
    /* realloc(ptr, 0) frees (glibc, tcmalloc) or gives a block of its own (jemalloc): in either
     * case the old one has ended. */
    tt_record_death(thread, size == 0 ? TT_KIND_FREE : TT_KIND_REALLOC_BEGIN, old, caller);

    void *ptr = tt_real.realloc(old, size);
    if (LIKELY(ptr != NULL)) {
        /* The thread may have been attached anew by what the real function called. */
        thread = tt_session_thread();
        if (LIKELY(thread != NULL))
            tt_record_birth(thread, size == 0 ? TT_KIND_ALLOC : TT_KIND_REALLOC_END, ptr, size,
                            caller);
    } else if (size != 0) {
        note_failure(thread, caller.cfa);
    }
    return ptr;
}

PUBLIC void *realloc(void *ptr, size_t size) {
    TtCaller caller = TT_CALLER();

    if (ptr == NULL) {
        if (UNLIKELY(!has_real()))
            return serve_early(16, size);
        return note_birth(tt_real.realloc(NULL, size), size, caller);
    }
    return resize(ptr, size, caller);
}

/* glibc's reallocarray calls realloc; so do we, that no other allocator's be missed. */
PUBLIC void *reallocarray(void *ptr, size_t count, size_t size) {
    TtCaller caller = TT_CALLER();
    size_t total;

    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    if (ptr == NULL) {
        if (UNLIKELY(!has_real()))
            return serve_early(16, total);
        return note_birth(tt_real.realloc(NULL, total), total, caller);
    }
    return resize(ptr, total, caller);
}

PUBLIC int posix_memalign(void **ret_ptr, size_t alignment, size_t size) {
    if (UNLIKELY(!has_real())) {
        void *ptr = tt_real_arena_alloc(alignment, size);
        if (ptr == NULL)
            return ENOMEM;
        *ret_ptr = ptr;
        return 0;
    }
    int r = tt_real.posix_memalign(ret_ptr, alignment, size);
    if (LIKELY(r == 0))
        note_birth(*ret_ptr, size, TT_CALLER());
    return r;
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size) {
    if (UNLIKELY(!has_real()))
        return serve_early(alignment, size);
    return note_birth(tt_real.aligned_alloc(alignment, size), size, TT_CALLER());
}

extern void *memalign(size_t alignment, size_t size);
extern void *pvalloc(size_t size);

PUBLIC void *memalign(size_t alignment, size_t size) {
    if (UNLIKELY(!has_real()))
        return serve_early(alignment, size);
    return note_birth(tt_real.memalign(alignment, size), size, TT_CALLER());
}

PUBLIC void *valloc(size_t size) {
    if (UNLIKELY(!has_real()))
        return serve_early(4096, size);
    return note_birth(tt_real.valloc(size), size, TT_CALLER());
}

PUBLIC void *pvalloc(size_t size) {
    if (UNLIKELY(!has_real()))
        return serve_early(4096, (size + 4095) & ~(size_t)4095);
    return note_birth(tt_real.pvalloc(size), size, TT_CALLER());
}

extern size_t malloc_usable_size(void *ptr);
PUBLIC size_t malloc_usable_size(void *ptr) {
    if (ptr == NULL)
        return 0;
    if (UNLIKELY(tt_real_owns(ptr) || !has_real()))
        return tt_real_owns(ptr) ? tt_real_arena_size(ptr) : 0;
    return tt_real.malloc_usable_size(ptr);
}
