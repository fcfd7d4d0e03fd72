/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon that takes all and looks at none: what a program then loses is the client's own cost.
 *
 *   nowhere DIR        serves DIR/events.sock until SIGTERM; says "ready" when it listens
 *
 * It plays the daemon's side of the handshake and lends lanes, whose read_position it sets beyond
 * anything that will ever be written: the program always has room, nobody reads along on another
 * core, and this process sleeps. A program that is dormant stays so. When a connection ends it
 * tells in one line what is in the lanes, from their positions and last chunks. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/decode.h"
#include "protocol/encode.h"

#define SEGMENTS_MAX 16
#define PEERS_MAX 256
#define LANES 4u
#define CHUNKS 16u /* as the daemon's first segment */
#define NEVER_FULL (UINT64_MAX / 2)

typedef struct Segment {
    uint8_t *map;
    uint32_t lanes, chunks;
} Segment;

/* One connection: a session. */
typedef struct Peer {
    int fd;
    uint64_t pid;
    Segment segments[SEGMENTS_MAX];
    unsigned segment_count;
} Peer;

static Peer peers[PEERS_MAX];
static struct pollfd polled[1 + PEERS_MAX]; /* the listener, then peers[i] at i + 1 */
static unsigned peer_count;
static volatile sig_atomic_t is_over;

static void note_end(int number) {
    (void)number;
    is_over = 1;
}

static void fail(const char *what) {
    fprintf(stderr, "nowhere: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int make_segment(Peer *peer, bool is_recording) {
    Segment *segment = &peer->segments[peer->segment_count];
    uint32_t lanes = peer->segment_count == 0 ? LANES : 64;
    size_t size = tt_segment_size(lanes, CHUNKS);
    int fd = memfd_create("nowhere", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        fail("memfd");
    *segment = (Segment){.lanes = lanes, .chunks = CHUNKS};
    segment->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (segment->map == MAP_FAILED)
        fail("mmap");
    peer->segment_count++;

    TtLaneControl *controls = (void *)segment->map;
    for (uint32_t i = 0; i <= lanes; i++)
        atomic_store(&controls[i].read_position, NEVER_FULL);
    atomic_store(&controls[0].is_recording, is_recording);
    return fd;
}

static void lend_lanes(Peer *peer, bool is_recording) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    TtMessageHead head = {
        .magic = TT_MESSAGE_MAGIC, .major = TT_WIRE_MAJOR, .minor = TT_WIRE_MINOR};
    uint8_t bytes[128];
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof head};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};

    if (peer->segment_count == SEGMENTS_MAX)
        return; /* the program goes on with what it has */
    int fd = make_segment(peer, is_recording);
    const Segment *segment = &peer->segments[peer->segment_count - 1];
    TtRecordLanes lanes = {.lane_count = segment->lanes,
                           .chunks_per_lane = segment->chunks,
                           .size = tt_segment_size(segment->lanes, segment->chunks)};

    memcpy(bytes, &head, sizeof head);
    part.iov_len += tt_encode_lanes(bytes + sizeof head, sizeof bytes - sizeof head, &lanes);
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    (void)sendmsg(peer->fd, &message, MSG_NOSIGNAL);
    close(fd);
}

/* Events of a lane: its last chunk says how many there were before, and holds the rest. */
static uint64_t count_events(const Segment *segment, uint32_t lane, uint64_t written) {
    static uint8_t chunk[TT_CHUNK_BYTES + TT_EVENT_MAX];
    uint64_t number = (written - 1) / TT_CHUNK_BYTES, count;
    const uint8_t *at =
        segment->map + tt_segment_chunks_offset(segment->lanes) +
        ((size_t)lane * segment->chunks + number % segment->chunks) * (size_t)TT_CHUNK_BYTES;
    TtChunkReader reader;
    TtEvent event;
    TtRawRecord record;

    memcpy(chunk, at, TT_CHUNK_BYTES);
    if (tt_chunk_reader_init(&reader, chunk, written - number * TT_CHUNK_BYTES, number) < 0)
        return 0;
    count = reader.head.events_before;
    for (int r; (r = tt_chunk_reader_next(&reader, &event, &record)) > TT_ITEM_END;)
        count += r == TT_ITEM_EVENT;
    return count;
}

static void report(const Peer *peer) {
    uint64_t bytes = 0, events = 0, dropped = 0, lanes = 0;

    for (unsigned s = 0; s < peer->segment_count; s++) {
        const Segment *segment = &peer->segments[s];
        TtLaneControl *controls = (void *)segment->map;

        dropped += atomic_load(&controls[0].dropped_events);
        for (uint32_t i = 0; i < segment->lanes; i++) {
            uint64_t written = atomic_load(&controls[1 + i].write_position);

            dropped += atomic_load(&controls[1 + i].dropped_events);
            if (written == 0)
                continue;
            lanes++;
            bytes += written;
            events += count_events(segment, i, written);
        }
    }
    printf("pid %" PRIu64 " lanes %" PRIu64 " bytes %" PRIu64 " events %" PRIu64 " dropped %" PRIu64
           "\n",
           peer->pid, lanes, bytes, events - dropped, dropped);
    fflush(stdout);
}

static void close_peer(unsigned number) {
    Peer *peer = &peers[number];

    report(peer);
    for (unsigned s = 0; s < peer->segment_count; s++)
        munmap(peer->segments[s].map,
               tt_segment_size(peer->segments[s].lanes, peer->segments[s].chunks));
    close(peer->fd);
    *peer = peers[--peer_count];
    polled[1 + number] = polled[1 + peer_count];
}

/* Returns false at the end of the connection. */
static bool read_message(Peer *peer) {
    static uint8_t bytes[TT_MESSAGE_MAX];
    ssize_t len = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    TtRawRecord record;
    TtRecordHello hello = {0};

    if (len <= 0)
        return len < 0 && errno == EAGAIN;
    TtCursor records = tt_cursor_new(bytes, (size_t)len);
    records.at += sizeof(TtMessageHead);
    while (len > (ssize_t)sizeof(TtMessageHead) &&
           tt_decode_framed(&records, &record) == TT_ITEM_RECORD) {
        if (record.number == TT_RECORD_HELLO && tt_decode_hello(&record, &hello) == 0)
            peer->pid = hello.pid;
        if (record.number == TT_RECORD_HELLO || record.number == TT_RECORD_MORE_LANES)
            lend_lanes(peer, (hello.flags & TT_HELLO_DORMANT) == 0);
    }
    return true;
}

static int listen_in(const char *folder) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", folder, TT_EVENTS_SOCKET) >=
        (int)sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail(folder);
    }
    unlink(address.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0)
        fail(address.sun_path);
    return fd;
}

static void accept_peer(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (peer_count == PEERS_MAX) {
        close(fd);
        return;
    }
    peers[peer_count] = (Peer){.fd = fd};
    polled[1 + peer_count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    struct sigaction action = {.sa_handler = note_end};
    sigaction(SIGTERM, &action, NULL);
    polled[0] = (struct pollfd){.fd = listen_in(argv[1]), .events = POLLIN};
    puts("ready");
    fflush(stdout);
    while (!is_over) {
        if (poll(polled, 1 + peer_count, -1) < 0)
            continue;
        for (unsigned i = peer_count; i-- > 0;)
            if (polled[1 + i].revents != 0 && !read_message(&peers[i]))
                close_peer(i);
        if (polled[0].revents != 0)
            accept_peer(polled[0].fd);
    }
    while (peer_count > 0)
        close_peer(peer_count - 1);
    return 0;
}
