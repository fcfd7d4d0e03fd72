/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates in every way and size, frees some of it, and says what malloc_usable_size said of each
 * block: a line "ADDR SIZE USABLE FREED", USABLE "-" where it is not to be known.
 *
 *   usable [fork]    a child then goes on, and says so of what it inherited too
 */
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

extern "C" void tt_report_alloc(const void *ptr, size_t size) __attribute__((weak));

static struct Block {
    void *ptr;
    size_t size, usable;
    bool is_known, is_freed;
} blocks[2000];
static unsigned count;

static void note(void *ptr, size_t size) {
    if (ptr == nullptr || count == sizeof blocks / sizeof *blocks)
        abort();
    blocks[count++] = {ptr, size, malloc_usable_size(ptr), true, false};
}

static void note_unknown(void *ptr, size_t size) { blocks[count++] = {ptr, size, 0, false, false}; }

static void resize(unsigned at, size_t size) {
    blocks[at].is_freed = true;
    note(realloc(blocks[at].ptr, size), size);
}

static void make(size_t size) {
    void *ptr = nullptr;

    note(malloc(size), size);
    note(calloc(1, size), size);
    note(realloc(nullptr, size), size);
    note(aligned_alloc(64, size), size);
    if (posix_memalign(&ptr, 4096, size) != 0)
        abort();
    note(ptr, size);
    note(memalign(16, size), size);
    note(valloc(size), size);
    /* What libstdc++ asks malloc for is what it was asked for only then. */
    size_t whole = (size + 128) & ~(size_t)127;
    note(operator new(size + 1), size + 1);
    note(operator new[](size + 1, std::nothrow), size + 1);
    note(operator new(whole, std::align_val_t(128)), whole);
    resize(count - 10, size + 1);       /* in place, where there is room */
    resize(count - 10, size * 2 + 100); /* up */
    resize(count - 10, size / 2 + 1);   /* down */
}

/* Of others than the real allocator, which must not be asked of them. */
static __attribute__((noinline)) void make_foreign(void) {
    char *pool = (char *)malloc(10000);

    note(pool, 10000);
    if (tt_report_alloc != nullptr) {
        ((size_t *)(void *)pool)[7] = 4000 + 2; /* for glibc a mapped block's head */
        tt_report_alloc(pool + 64, 100);
        note_unknown(pool + 64, 100);
    }
    void *paged = pvalloc(5000);
    if (paged == nullptr)
        abort();
    note_unknown(paged, 5000);
}

/* Every third: each has another address to be born at again. */
static __attribute__((noinline)) void end_some(unsigned from) {
    for (unsigned i = from; i < count; i += 3)
        if (!blocks[i].is_freed && blocks[i].is_known && blocks[i].size != 10000) {
            free(blocks[i].ptr);
            blocks[i].is_freed = true;
        }
}

static __attribute__((noinline)) void make_all(void) {
    static const size_t sizes[] = {0,    1,    8,     24,     25,     40,      100,    1000,
                                   1032, 4096, 10001, 100000, 200000, 1100000, 5000000};

    for (size_t size : sizes) {
        make(size);
        end_some(count / 2);
    }
    /* Where the next size that an allocator has is 16 MiB more, or nearly. */
    note(malloc((64 << 20) + 1), (64 << 20) + 1);
    note(malloc((80 << 20) + 1), (80 << 20) + 1);
    make_foreign();
}

static void forget_freed(void) {
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++)
        if (!blocks[i].is_freed)
            blocks[kept++] = blocks[i];
    count = kept;
}

static void tell(void) {
    printf("%d\n", getpid());
    for (unsigned i = 0; i < count; i++) {
        printf("%zu %zu ", (size_t)blocks[i].ptr, blocks[i].size);
        if (blocks[i].is_known)
            printf("%zu %d\n", blocks[i].usable, blocks[i].is_freed);
        else
            printf("- %d\n", blocks[i].is_freed);
    }
    fflush(stdout);
}

int main(int argc, char **) {
    int status = 0;

    make_all();
    if (argc > 1) {
        if (fork() == 0) {
            forget_freed();
            end_some(1);
            make_all();
            tell();
            _exit(0);
        }
        wait(&status);
    }
    tell();
    return status;
}
