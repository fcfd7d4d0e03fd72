/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates, resizes and frees at random, and writes down what it did and what lived at each mark,
 * with nothing of the allocator's:
 *
 *   instants LOG SEED STEPS
 *
 *   b SEQ ADDR SIZE SITE    a block was born; its size is told apart from all others'
 *   d SEQ                   it died; a realloc is a death and a birth
 *   m NAME                  tt_mark; what stands above was before it
 *   p BYTES                 the most bytes so far
 *   w                       it waits for a byte from stdin, for a mark from outside
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ttclient.h>

#define LIVE_MAX 200
#define SIZE_FIRST 20000

typedef struct Block {
    void *ptr;
    unsigned seq;
} Block;

static Block live[LIVE_MAX];
static unsigned live_count, seq, mark_count;
static uint64_t lot, live_bytes, peak_bytes;
static int log_fd;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...) {
    char line[160];
    va_list values;

    va_start(values, format);
    int len = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (write(log_fd, line, (size_t)len) != len)
        abort();
}

static unsigned draw(unsigned end) {
    lot = lot * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(lot >> 33) % end;
}

static __attribute__((noinline)) void *site_a(size_t size) {
    void *ptr = malloc(size);
    __asm__ volatile("" : : "r"(ptr) : "memory");
    return ptr;
}

static __attribute__((noinline)) void *site_b(size_t size) {
    void *ptr = calloc(1, size);
    __asm__ volatile("" : : "r"(ptr) : "memory");
    return ptr;
}

static __attribute__((noinline)) void *site_c(void *old, size_t size) {
    void *ptr = realloc(old, size);
    __asm__ volatile("" : : "r"(ptr) : "memory");
    return ptr;
}

static void born(Block *block, void *ptr, const char *site) {
    *block = (Block){.ptr = ptr, .seq = seq};
    live_bytes += SIZE_FIRST + seq;
    note("b %u 0x%" PRIxPTR " %u %s\n", seq, (uintptr_t)ptr, SIZE_FIRST + seq, site);
    seq++;
    if (live_bytes > peak_bytes) {
        peak_bytes = live_bytes;
        note("p %" PRIu64 "\n", peak_bytes);
    }
}

static void died(const Block *block) {
    live_bytes -= SIZE_FIRST + block->seq;
    note("d %u\n", block->seq);
}

static void step(unsigned allocate_of_ten) {
    if (live_count < LIVE_MAX && (live_count == 0 || draw(10) < allocate_of_ten)) {
        unsigned is_a = draw(2);
        void *ptr = is_a ? site_a(SIZE_FIRST + seq) : site_b(SIZE_FIRST + seq);

        born(&live[live_count++], ptr, is_a ? "site_a" : "site_b");
        return;
    }
    Block *block = &live[draw(live_count)];
    if (draw(4) == 0) {
        void *ptr = site_c(block->ptr, SIZE_FIRST + seq);

        died(block);
        born(block, ptr, "site_c");
    } else {
        free(block->ptr);
        died(block);
        *block = live[--live_count];
    }
}

static void mark(void) {
    char name[32];

    snprintf(name, sizeof name, "mark-%u", mark_count++);
    if (tt_mark(name) != 0)
        abort();
    note("m %s\n", name);
}

static void wait_for_byte(void) {
    char byte;

    note("w\n");
    if (write(STDOUT_FILENO, "w", 1) != 1 || read(STDIN_FILENO, &byte, 1) != 1)
        abort();
}

int main(int argc, char **argv) {
    if (argc != 4)
        return EXIT_FAILURE;
    log_fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    lot = strtoull(argv[2], NULL, 10);
    unsigned steps = (unsigned)atoi(argv[3]);

    for (unsigned i = 0; i < steps; i++) {
        step(i < steps / 2 ? 7 : 4); /* it grows, then it shrinks */
        if (i % (steps / 8) == steps / 16)
            mark();
        if (i == steps / 3 || i == steps / 3 * 2)
            wait_for_byte();
    }
    wait_for_byte();
    return EXIT_SUCCESS;
}
