/* SPDX-License-Identifier: Apache-2.0 */
/* Eight threads in a ring: each allocates blocks and hands them to the next, which frees them. What
 * a thread did it counts itself, in a file:
 *
 *   handover FILE BLOCKS-A-THREAD
 *
 * FILE holds an array of Worker. A block's size tells its maker: size % 8 is the thread's number.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 8, ROOM = 1024 };

typedef struct Worker {
    uint64_t tid, allocations, allocated_bytes, frees, freed_bytes, reallocations;
} Worker;

/* From one thread to the next. One writes, one reads. */
typedef struct Ring {
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t read;
    struct {
        void *block;
        size_t size;
    } slots[ROOM];
} Ring;

static Ring rings[THREADS]; /* [i]: from thread i */
static Worker *workers;
static uint64_t block_count;
static pthread_barrier_t start;

static uint64_t draw(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

static size_t draw_size(uint64_t *seed, unsigned number) {
    return (1 + draw(seed) % 60) * THREADS + number;
}

static void make(Worker *worker, uint64_t *seed, unsigned number, void **ret_block,
                 size_t *ret_size) {
    size_t size = draw_size(seed, number);
    char *block = malloc(size);

    worker->allocations++;
    worker->allocated_bytes += size;
    if (draw(seed) % 8 == 0) { /* grows on its way */
        worker->frees++;
        worker->freed_bytes += size;
        worker->reallocations++;
        size += draw(seed) % 40 * THREADS;
        block = realloc(block, size);
        worker->allocations++;
        worker->allocated_bytes += size;
    }
    block[0] = 1;
    *ret_block = block;
    *ret_size = size;
}

/* Frees what the thread before has ready. */
static void drain(Worker *worker, Ring *ring) {
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);

    for (; read < written; read++) {
        worker->frees++;
        worker->freed_bytes += ring->slots[read % ROOM].size;
        free(ring->slots[read % ROOM].block);
        atomic_store_explicit(&ring->read, read + 1, memory_order_release);
    }
}

static void *work(void *data) {
    unsigned number = (unsigned)(uintptr_t)data;
    Ring *out = &rings[number], *in = &rings[(number + THREADS - 1) % THREADS];
    Worker own = {.tid = (uint64_t)syscall(SYS_gettid)};
    uint64_t seed = 0x9e3779b97f4a7c15u * (number + 1);

    pthread_barrier_wait(&start);
    for (uint64_t i = 0; i < block_count; i++) {
        while (i - atomic_load_explicit(&out->read, memory_order_acquire) == ROOM) {
            drain(&own, in);
            sched_yield();
        }
        make(&own, &seed, number, &out->slots[i % ROOM].block, &out->slots[i % ROOM].size);
        atomic_store_explicit(&out->written, i + 1, memory_order_release);
        drain(&own, in);
    }
    while (atomic_load_explicit(&in->read, memory_order_relaxed) < block_count) {
        drain(&own, in);
        sched_yield();
    }
    workers[number] = own;
    return NULL;
}

int main(int argc, char **argv) {
    size_t bytes = THREADS * sizeof *workers;
    pthread_t threads[THREADS];

    if (argc < 3)
        return 2;
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        return 1;
    workers = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (workers == MAP_FAILED)
        return 1;
    block_count = strtoull(argv[2], NULL, 10);
    pthread_barrier_init(&start, NULL, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
