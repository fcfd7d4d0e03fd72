/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads allocate and free until they are told to stop. They begin when this process is
 * traced, and asked to rest they do neither until it is traced again: so none of their calls goes
 * unseen while there is no daemon, or one that has not answered yet. By then the client must have
 * seen that the daemon is gone, which marks make it do; they are no heap events.
 *
 *   resting FILE    what is asked, and what was done, as Notes */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ttclient.h>

enum { BLOCKS = 64, THREADS = 2 };

typedef struct Notes {
    _Atomic uint64_t stop, rest; /* asked: for how many rests so far */
    _Atomic uint64_t away, back; /* in how many the client was away; was back */
    _Atomic uint64_t vain;       /* how often it asked in vain to be traced */
} Notes;

static Notes *notes;
static pthread_barrier_t all_rest, all_go;

static void *work(void *data) {
    void *blocks[BLOCKS] = {NULL};
    uint64_t seed = (uint64_t)(uintptr_t)data + 1, rests = 0;

    for (unsigned round = 1; !atomic_load(&notes->stop); round++) {
        if (atomic_load(&notes->rest) > rests) {
            pthread_barrier_wait(&all_rest);
            pthread_barrier_wait(&all_go);
            rests++;
        }
        if (round % 64 == 0)
            usleep(1000);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        void **block = &blocks[seed >> 20 & (BLOCKS - 1)];
        if (*block != NULL)
            free(*block);
        *block = *block != NULL ? NULL : malloc(1 + (seed >> 32 & 255));
    }
    return NULL;
}

static void wait_until_traced(void) {
    while (tt_init() != 0) {
        atomic_fetch_add(&notes->vain, 1);
        usleep(1000); /* far more often than the client itself would look */
    }
}

static void rest(uint64_t number) {
    pthread_barrier_wait(&all_rest);
    while (tt_mark("resting") != -ENOTCONN)
        ;
    atomic_store(&notes->away, number);
    wait_until_traced();
    atomic_store(&notes->back, number);
    pthread_barrier_wait(&all_go);
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    uint64_t rests = 0;
    int fd = open(argv[argc - 1], O_RDWR);

    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (notes == MAP_FAILED)
        return 1;
    wait_until_traced();
    pthread_barrier_init(&all_rest, NULL, THREADS + 1);
    pthread_barrier_init(&all_go, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0)
            return 1;
    while (!atomic_load(&notes->stop)) {
        usleep(1000);
        if (atomic_load(&notes->rest) > rests)
            rest(++rests);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 5;
}
