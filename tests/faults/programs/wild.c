/* SPDX-License-Identifier: Apache-2.0 */
/* Stores where it should not: into the lanes that it shares with the daemon. Then it allocates more
 * than they hold. Says what it has done so far, and goes on at each byte that it is given.
 *
 *   wild WHAT         what it strikes, one of the names below
 *   wild WHAT read    once the daemon has read what was written until then */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/thread.h"

#define FEW 1000
#define MANY 60000
#define CHUNKS 16u /* a lane, of a process's first memory */

static uint8_t *start, *chunks, *end; /* of the memory, and of this thread's lane in it */
static TtLaneControl *control;

static void find_memory(void) {
    static char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    uint64_t first, last;

    while (fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "/memfd:trace-tools") != NULL &&
            sscanf(line, "%" SCNx64 "-%" SCNx64, &first, &last) == 2) {
            start = (uint8_t *)first;
            end = (uint8_t *)last;
        }
    fclose(maps);
    if (start == NULL)
        exit(99);
}

static void find_lane(void) {
    TtLaneControl *controls = (TtLaneControl *)start;
    uint32_t count = 1, lane = 0;

    while (tt_segment_size(count, CHUNKS) < (size_t)(end - start))
        count++;
    while (lane < count && atomic_load(&controls[1 + lane].tid) != (uint32_t)syscall(SYS_gettid))
        lane++;
    if (lane == count)
        exit(98);
    control = &controls[1 + lane];
    chunks = start + tt_segment_chunks_offset(count) + (size_t)lane * CHUNKS * TT_CHUNK_BYTES;
}

/* Finds what the client keeps of this thread: it points to the lane's memory. */
static TtThread *find_thread(void) {
    static char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    TtThread *found = NULL;
    uint64_t first, last;

    while (found == NULL && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw-p", &first, &last) != 2 ||
            strstr(line, " rw-p ") == NULL || strchr(line, '/') != NULL)
            continue;
        for (; found == NULL && first + sizeof(TtThread) <= last; first += 8)
            if (((TtThread *)first)->control == control &&
                ((TtThread *)first)->lane_chunks == chunks)
                found = (TtThread *)first;
    }
    fclose(maps);
    if (found == NULL)
        exit(94);
    return found;
}

static int is(const char *what, const char *name) { return strcmp(what, name) == 0; }

static void strike(const char *what) {
    uint64_t written = atomic_load(&control->write_position);

    if (is(what, "written-less"))
        atomic_store(&control->write_position, written / 2);
    else if (is(what, "written-more"))
        atomic_store(&control->write_position, written + ((uint64_t)1 << 40));
    else if (is(what, "written-all-ones"))
        atomic_store(&control->write_position, UINT64_MAX);
    else if (is(what, "read-less"))
        atomic_store(&control->read_position, 0);
    else if (is(what, "read-more"))
        atomic_store(&control->read_position, (uint64_t)1 << 40);
    else if (is(what, "daemons-line"))
        memset((uint8_t *)control + 64, 0xff, 64);
    else if (is(what, "events"))
        memset(chunks, 0xff, written);
    else if (is(what, "chunks"))
        memset(chunks, 0xa5, (size_t)CHUNKS * TT_CHUNK_BYTES);
    else if (is(what, "session"))
        memset((uint8_t *)start + 64, 0, 64);
    else if (is(what, "private"))
        find_thread()->chunk_count = 0;
    else if (is(what, "all"))
        memset(start, 0, (size_t)(end - start));
    else if (!is(what, "nothing"))
        exit(97);
}

/* Without a call of malloc's. */
static void say(const char *word) {
    char byte;

    if (write(1, word, strlen(word)) < 0 || read(0, &byte, 1) != 1)
        exit(96);
}

int main(int argc, char **argv) {
    find_memory();
    for (int i = 0; i < FEW; i++)
        free(malloc(100));
    find_lane();
    if (argc > 2)
        say("there\n");
    strike(argv[1]);
    say("struck\n");
    for (int i = 0; i < MANY; i++)
        free(malloc(100));
    return malloc(40001) != NULL && write(1, "done\n", 5) == 5 ? 5 : 95;
}
