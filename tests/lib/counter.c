/* SPDX-License-Identifier: Apache-2.0 */
/* libttcount.so: counts a program's allocations, so that the tests have a truth that shares no line
 * with what they test. Preloaded alone, or after libttclient ("libttclient.so libttcount.so"),
 * where it is the allocator that libttclient calls.
 *
 *   TTCOUNT_OUT=FILE   where the figures go; %p in it is the pid. Without it nothing is counted.
 *
 * FILE holds one line of JSON, which is true after every call: its numbers lie in shared memory at
 * fixed places, each of 16 digits stored by one instruction, so that a process which is killed
 * leaves them whole. The last image of a process overwrites what its earlier ones wrote; a process
 * that finds another's figures in FILE does not touch it, nor does a forked child.
 *
 * The rule is that of the project: malloc, calloc and the aligned ones are one allocation; a
 * realloc of a block is one allocation and one free, and changes the live bytes in one step;
 * free(NULL) and what fails is nothing. Signal handlers that allocate are not for this library: one
 * spin lock guards it all. */
#include <emmintrin.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* glibc's allocator by the names that nobody interposes; dlsym could allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *block);

#define EXPORT __attribute__((visibility("default")))
#define FIRST_SLOTS ((size_t)1 << 16)
#define LINE_BYTES 1024u

/* The numbers of the line, in its order. */
#define FIGURES(F)                                                                                 \
    F(pid)                                                                                         \
    F(allocations)                                                                                 \
    F(frees)                                                                                       \
    F(reallocations)                                                                               \
    F(allocated_bytes)                                                                             \
    F(freed_bytes)                                                                                 \
    F(live_blocks)                                                                                 \
    F(live_bytes)                                                                                  \
    F(peak_blocks)                                                                                 \
    F(peak_bytes)                                                                                  \
    F(unknown_frees)                                                                               \
    F(is_busy)   /* 1: killed within a call; the figures may be half of it ahead */                \
    F(has_ended) /* 1: the program came to its end by exit */

typedef struct Figures {
#define FIGURE(name) uint64_t name;
    FIGURES(FIGURE)
#undef FIGURE
} Figures;

#define FIGURE_COUNT (sizeof(Figures) / sizeof(uint64_t))

typedef struct Slot {
    uintptr_t addr; /* 0: free */
    size_t size;
} Slot;

static atomic_flag lock = ATOMIC_FLAG_INIT;
static Slot *slots; /* open addressing, linear; a power of two of them */
static size_t slot_count, slots_used;
static Figures figures, shown;
static char *line;                 /* the file, once it is open */
static char *places[FIGURE_COUNT]; /* of the numbers in it, 16-aligned */
static volatile char *is_original; /* a page that is wiped in a forked child */
static bool is_off;

static void take_lock(void) {
    for (unsigned spins = 0; atomic_flag_test_and_set_explicit(&lock, memory_order_acquire);)
        if (++spins % 100 == 0)
            sched_yield();
        else
            _mm_pause();
}

static void drop_lock(void) { atomic_flag_clear_explicit(&lock, memory_order_release); }

static void *map(size_t bytes) {
    int saved = errno;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        _exit(121);
    errno = saved;
    return memory;
}

/* Does this process count? Asked before anything else, from the first call on. */
static bool counts(void) {
    if (__builtin_expect(is_off, false))
        return false;
    if (__builtin_expect(is_original == NULL, false)) {
        char *page = map(4096);

        madvise(page, 4096, MADV_WIPEONFORK);
        *page = 1;
        is_original = page;
    }
    return *is_original == 1;
}

static void show_number(size_t i, uint64_t value) {
    _Alignas(16) char digits[16];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0 && at > 0);
    while (at > 0)
        digits[--at] = ' ';
    _mm_store_si128((__m128i *)places[i], _mm_load_si128((const __m128i *)digits));
}

/* Brings the line up to date. */
static void show(void) {
    const uint64_t *now = (const uint64_t *)&figures;
    uint64_t *then = (uint64_t *)&shown;

    if (line == NULL)
        return;
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        if (now[i] == then[i])
            continue;
        then[i] = now[i];
        show_number(i, now[i]);
    }
}

static void begin(void) {
    take_lock();
    if (line != NULL)
        show_number(offsetof(Figures, is_busy) / sizeof(uint64_t), 1);
}

static void end(void) {
    show();
    if (line != NULL)
        show_number(offsetof(Figures, is_busy) / sizeof(uint64_t), 0);
    drop_lock();
}

static size_t slot_of(uintptr_t addr) {
    return (size_t)(addr >> 3) * 0x9e3779b97f4a7c15u >> 20 & (slot_count - 1);
}

static void put(uintptr_t addr, size_t size);

static void grow(void) {
    Slot *old = slots;
    size_t old_count = slot_count;

    slot_count = old_count == 0 ? FIRST_SLOTS : 2 * old_count;
    slots = map(slot_count * sizeof *slots);
    slots_used = 0;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].addr != 0)
            put(old[i].addr, old[i].size);
    if (old != NULL)
        munmap(old, old_count * sizeof *old);
}

static void put(uintptr_t addr, size_t size) {
    if (2 * slots_used >= slot_count)
        grow();

    size_t i = slot_of(addr);
    while (slots[i].addr != 0 && slots[i].addr != addr)
        i = (i + 1) & (slot_count - 1);
    slots_used += slots[i].addr == 0;
    slots[i] = (Slot){.addr = addr, .size = size};
}

/* Takes a block out; false where it is not there. */
static bool take(uintptr_t addr, size_t *ret_size) {
    if (slot_count == 0)
        return false;

    size_t i = slot_of(addr);
    while (slots[i].addr != addr) {
        if (slots[i].addr == 0)
            return false;
        i = (i + 1) & (slot_count - 1);
    }
    *ret_size = slots[i].size;
    slots_used--;
    /* Close the hole with what would no longer be found behind it (Knuth, 6.4 R). */
    for (size_t j = (i + 1) & (slot_count - 1); slots[j].addr != 0;
         j = (j + 1) & (slot_count - 1)) {
        size_t home = slot_of(slots[j].addr);

        if (((j - home) & (slot_count - 1)) < ((j - i) & (slot_count - 1)))
            continue;
        slots[i] = slots[j];
        i = j;
    }
    slots[i].addr = 0;
    return true;
}

static void raise_peaks(void) {
    if (figures.live_bytes > figures.peak_bytes)
        figures.peak_bytes = figures.live_bytes;
    if (figures.live_blocks > figures.peak_blocks)
        figures.peak_blocks = figures.live_blocks;
}

static void *count_birth(void *block, size_t size) {
    if (block == NULL || !counts())
        return block;
    begin();
    put((uintptr_t)block, size);
    figures.allocations++;
    figures.allocated_bytes += size;
    figures.live_blocks++;
    figures.live_bytes += size;
    raise_peaks();
    end();
    return block;
}

/* Before the real free: afterwards its address may be another's. */
static void count_death(void *block) {
    size_t size;

    if (block == NULL || !counts())
        return;
    begin();
    if (take((uintptr_t)block, &size)) {
        figures.frees++;
        figures.freed_bytes += size;
        figures.live_blocks--;
        figures.live_bytes -= size;
    } else {
        figures.unknown_frees++;
    }
    end();
}

static void *count_realloc(void *block, size_t size) {
    size_t old_size;

    take_lock();
    bool is_known = take((uintptr_t)block, &old_size);
    drop_lock();

    void *moved = __libc_realloc(block, size);

    begin();
    if (moved == NULL && size > 0) { /* it stays as it was */
        if (is_known)
            put((uintptr_t)block, old_size);
        end();
        return NULL;
    }
    if (is_known) {
        figures.frees++;
        figures.freed_bytes += old_size;
        figures.live_blocks--;
        figures.live_bytes -= old_size;
    } else {
        figures.unknown_frees++;
    }
    if (moved != NULL) {
        put((uintptr_t)moved, size);
        figures.reallocations++;
        figures.allocations++;
        figures.allocated_bytes += size;
        figures.live_blocks++;
        figures.live_bytes += size;
        raise_peaks();
    }
    end();
    return moved;
}

EXPORT void *malloc(size_t size) { return count_birth(__libc_malloc(size), size); }

EXPORT void *calloc(size_t count, size_t size) {
    return count_birth(__libc_calloc(count, size), count * size);
}

EXPORT void free(void *block) {
    count_death(block);
    __libc_free(block);
}

EXPORT void *realloc(void *block, size_t size) {
    if (block == NULL)
        return malloc(size);
    return counts() ? count_realloc(block, size) : __libc_realloc(block, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

EXPORT void *memalign(size_t alignment, size_t size) {
    return count_birth(__libc_memalign(alignment, size), size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

EXPORT int posix_memalign(void **ret_block, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
        return EINVAL;

    int saved = errno;
    void *block = memalign(alignment, size);

    errno = saved;
    if (block == NULL)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

EXPORT void *valloc(size_t size) { return count_birth(__libc_valloc(size), size); }
EXPORT void *pvalloc(size_t size) { return count_birth(__libc_pvalloc(size), size); }

/* Read where glibc keeps it, before the block: the chunk's bytes and three flags, of which 2 says
 * that it is mapped. */
EXPORT size_t malloc_usable_size(void *block) {
    if (block == NULL)
        return 0;

    size_t head = ((const size_t *)block)[-1];
    return (head & ~(size_t)7) - (head & 2 ? 16 : 8);
}

/* Lays out the line: each number's 16 bytes begin at a multiple of 16. */
static void lay_out(char *to) {
    static const char *const names[] = {
#define FIGURE(name) #name,
        FIGURES(FIGURE)
#undef FIGURE
    };
    size_t at = 0;

    memset(to, ' ', LINE_BYTES);
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        size_t len = strlen(names[i]);

        to[at++] = i == 0 ? '{' : ',';
        to[at++] = '"';
        memcpy(to + at, names[i], len);
        at += len;
        to[at++] = '"';
        to[at++] = ':';
        at = (at + 15) & ~(size_t)15;
        places[i] = to + at;
        show_number(i, 0);
        at += 16;
    }
    to[LINE_BYTES - 2] = '}';
    to[LINE_BYTES - 1] = '\n';
}

/* Is FILE ours to write: empty, or written by an earlier image of this process? */
static bool may_write(int fd) {
    char text[LINE_BYTES + 1] = {0};
    const char *pid;

    if (pread(fd, text, LINE_BYTES, 0) <= 0)
        return true;
    pid = strstr(text, "\"pid\":");
    return pid == NULL || strtol(pid + 6, NULL, 10) == getpid();
}

static int open_out(void) {
    const char *pattern = getenv("TTCOUNT_OUT"), *sign;
    char path[4096];
    int fd;

    if (pattern == NULL || *pattern == '\0')
        return -1;
    sign = strstr(pattern, "%p");
    if (sign == NULL)
        snprintf(path, sizeof path, "%s", pattern);
    else
        snprintf(path, sizeof path, "%.*s%d%s", (int)(sign - pattern), pattern, getpid(), sign + 2);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && (!may_write(fd) || ftruncate(fd, LINE_BYTES) < 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

__attribute__((constructor)) static void start(void) {
    int fd = open_out();
    char *file = MAP_FAILED;

    if (fd >= 0) {
        file = mmap(NULL, LINE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    }
    if (file == MAP_FAILED) {
        is_off = true;
        return;
    }
    take_lock();
    lay_out(file);
    figures.pid = (uint64_t)getpid();
    line = file;
    show();
    drop_lock();
}

__attribute__((destructor)) static void finish(void) {
    if (line == NULL || !counts())
        return;
    take_lock();
    figures.has_ended = 1;
    show();
    drop_lock();
}
