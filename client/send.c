/* SPDX-License-Identifier: Apache-2.0 */
#include "client/send.h"

#include <errno.h>

#include "client/connect.h"
#include "client/probe.h"
#include "client/session.h"
#include "client/sys.h"

#define LOOK_EVERY_NS 20000000u /* how soon a broken connection is noticed while we wait */
#define LOOK_EVERY_DROPS 1024u  /* and while we do not */
#define LOSSLESS_ANSWER_NS 5000000000u
#define UNSEEN_WAIT_NS                                                                             \
    1000000000u           /* of a lossless session that cannot see its connection; once            \
                           */
#define MOMENT_NS 500000u /* nobody notices */

/* Whether anybody listens, where we cannot see our connection. */
#define ASK_EVERY_NS 100000000u

/* What the whole process may still wait, all threads together. */
static _Atomic int64_t wait_left_ns = TT_WAIT_BOUND_NS;

__attribute__((cold, noinline)) void tt_send_doorbell(TtThread *thread) {
    uint8_t message[32];

    if (tt_is_sealed_now())
        return;
    /* Pairs with the daemon's store: either it sees our position or we see its wish. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&tt_session.control->wants_doorbell, memory_order_relaxed) == 0)
        return;
    /* The program may have closed our number, and it may be another file's by now. Before the wish
     * is taken back: a vfork child may have closed its own, and its parent can still ring. */
    if (tt_connect_cookie(tt_session.fd) != tt_session.fd_cookie ||
        atomic_exchange_explicit(&tt_session.control->wants_doorbell, 0, memory_order_seq_cst) == 0)
        return;
    uint8_t *at = tt_connect_begin(message);
    at += tt_encode_doorbell(at, 16, &(TtRecordDoorbell){.lane = thread->lane});
    int r = tt_connect_send(tt_session.fd, message, (size_t)(at - message), -1);
    if (r == -EPIPE || r == -ECONNRESET)
        tt_session_lose(thread->generation);
}

typedef enum Connection { STANDS, BROKEN, UNKNOWN } Connection;

/* Where the program has closed our end. A daemon that was killed leaves a socket that nobody
 * listens at, or another daemon does; ours may be there as long as it is the same process that
 * listens, and where there is none we may be under another root. A vfork child has closed its own
 * end alone. */
static bool has_daemon_gone(void) {
    static _Atomic uint64_t due_ns;
    uint64_t now = tt_sys_monotonic_ns();
    uint64_t due = atomic_load_explicit(&due_ns, memory_order_relaxed);

    if (now < due || tt_sys_getpid() != tt_session.pid ||
        !atomic_compare_exchange_strong_explicit(&due_ns, &due, now + ASK_EVERY_NS,
                                                 memory_order_relaxed, memory_order_relaxed))
        return false;
    int fd = tt_connect_open();
    if (fd < 0)
        return fd == -ECONNREFUSED;
    bool is_another = tt_connect_listener(fd) != tt_session.listener;
    tt_sys_close(fd);
    return is_another;
}

static Connection look_at_connection(void) {
    char byte;

    if (tt_connect_cookie(tt_session.fd) != tt_session.fd_cookie)
        return has_daemon_gone() ? BROKEN : UNKNOWN;
    long r = tt_sys6(SYS_recvfrom, tt_session.fd, (long)&byte, 1, MSG_PEEK | MSG_DONTWAIT, 0, 0);
    return r == 0 || r == -ECONNRESET ? BROKEN : STANDS;
}

bool tt_send_is_broken(void) { return look_at_connection() == BROKEN; }

/* Does the session still stand whose lane this is? */
static bool is_current(const TtThread *thread) {
    return thread->generation == atomic_load_explicit(&tt_gate.generation, memory_order_relaxed);
}

/* There will be no room for chunk @number: the lane is given up, or what we keep of it was written
 * over, for all that it holds is read and yet there is none. */
static bool waits_in_vain(const TtThread *thread, uint64_t number) {
    uint64_t read = atomic_load_explicit(&thread->control->read_position, memory_order_acquire);
    uint64_t written = atomic_load_explicit(&thread->control->write_position, memory_order_relaxed);

    return read == TT_LANE_GIVEN_UP || (read / TT_CHUNK_BYTES >= written / TT_CHUNK_BYTES &&
                                        number >= read / TT_CHUNK_BYTES + thread->chunk_count);
}

__attribute__((cold, noinline)) bool tt_send_wait(TtThread *thread, uint64_t number) {
    TtLaneControl *control = thread->control;
    bool is_lossless = tt_session.options.is_lossless;
    int64_t may_wait = atomic_load_explicit(&wait_left_ns, memory_order_relaxed);

    if (tt_is_sealed_now())
        return false; /* nothing to wait with */
    if (!is_lossless && may_wait <= 0) {
        if (thread->gap_count % LOOK_EVERY_DROPS == 0 && is_current(thread)) {
            if (look_at_connection() == BROKEN)
                tt_session_lose(thread->generation);
            else
                tt_send_doorbell(thread);
        }
        return false;
    }

    uint64_t start = tt_sys_monotonic_ns(), now = start;
    for (;;) {
        if (!is_current(thread))
            return false; /* another thread saw the connection break, or this is a forked child */
        if (waits_in_vain(thread, number))
            return false;
        Connection connection = look_at_connection();
        if (connection == BROKEN) {
            tt_session_lose(thread->generation);
            return false;
        }
        if (connection == UNKNOWN && is_lossless) {
            /* Closed by the program, or by a vfork child for itself: a daemon that is there reads
             * on. */
            is_lossless = false;
            may_wait = may_wait > 0 ? (int64_t)UNSEEN_WAIT_NS : 0;
        }
        if (!is_lossless && now >= start + (uint64_t)may_wait)
            break;

        uint32_t seen = atomic_load_explicit(&control->reader_waits, memory_order_acquire);
        atomic_store_explicit(&control->writer_waits, 1, memory_order_seq_cst);
        if (tt_send_has_room(thread, number))
            break;
        tt_send_doorbell(thread);

        uint64_t until = now + LOOK_EVERY_NS, bound = start + (uint64_t)may_wait;
        if (!is_lossless && until > bound)
            until = bound;
        tt_sys_futex_wait(&control->reader_waits, seen, until);
        if (tt_send_has_room(thread, number))
            break;
        now = tt_sys_monotonic_ns();
    }
    bool has_room = tt_send_has_room(thread, number);
    if (!is_lossless && !(has_room && tt_session.options.is_lossless))
        atomic_fetch_sub_explicit(&wait_left_ns, (int64_t)(tt_sys_monotonic_ns() - start),
                                  memory_order_relaxed);
    return has_room;
}

long tt_send_receive_answer(int fd, uint8_t *buffer, size_t room, int *ret_fd) {
    int64_t left = atomic_load_explicit(&wait_left_ns, memory_order_relaxed);
    uint64_t bound = left > (int64_t)MOMENT_NS ? (uint64_t)left : MOMENT_NS;
    uint64_t start = tt_sys_monotonic_ns();

    if (tt_session.options.is_lossless)
        bound = LOSSLESS_ANSWER_NS;
    long r = tt_connect_receive(fd, buffer, room, ret_fd, start + bound);
    /* An answer, be it late, shows a daemon that is there. */
    if (r < 0 && !tt_session.options.is_lossless)
        atomic_fetch_sub_explicit(&wait_left_ns, (int64_t)(tt_sys_monotonic_ns() - start),
                                  memory_order_relaxed);
    return r;
}
