/* SPDX-License-Identifier: Apache-2.0 */
#include "client/send.h"

#include <errno.h>

#include "client/connect.h"
#include "client/session.h"
#include "client/sys.h"

#define LOOK_EVERY_NS 20000000u /* how soon a broken connection is noticed while we wait */

/* What the whole process may still wait, all threads together. */
static _Atomic int64_t wait_left_ns = TT_WAIT_BOUND_NS;

__attribute__((cold, noinline)) void tt_send_doorbell(TtThread *thread) {
    uint8_t message[32];

    /* Pairs with the daemon's store: either it sees our position or we see its wish. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&tt_session.control->wants_doorbell, memory_order_relaxed) == 0 ||
        atomic_exchange_explicit(&tt_session.control->wants_doorbell, 0, memory_order_seq_cst) == 0)
        return;
    /* The program may have closed our number, and it may be another file's by now. */
    if (tt_connect_cookie(tt_session.fd) != tt_session.fd_cookie)
        return;
    uint8_t *at = tt_connect_begin(message);
    at += tt_encode_doorbell(at, 16, &(TtRecordDoorbell){.lane = thread->lane});
    tt_connect_send(tt_session.fd, message, (size_t)(at - message), -1);
}

typedef enum Connection { STANDS, BROKEN, UNKNOWN } Connection;

static Connection look_at_connection(void) {
    char byte;

    if (tt_connect_cookie(tt_session.fd) != tt_session.fd_cookie)
        return UNKNOWN;
    long r = tt_sys6(SYS_recvfrom, tt_session.fd, (long)&byte, 1, MSG_PEEK | MSG_DONTWAIT, 0, 0);
    return r == 0 || r == -ECONNRESET ? BROKEN : STANDS;
}

__attribute__((cold, noinline)) bool tt_send_wait(TtThread *thread, uint64_t number) {
    TtLaneControl *control = thread->control;
    bool is_lossless = tt_session.options.is_lossless;
    uint32_t generation = tt_self.generation;
    uint64_t start = tt_sys_monotonic_ns(), now = start;
    int64_t may_wait = atomic_load_explicit(&wait_left_ns, memory_order_relaxed);

    if (!is_lossless && may_wait <= 0)
        return false;
    for (;;) {
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
        if (atomic_load_explicit(&tt_gate.generation, memory_order_relaxed) != generation)
            return false; /* another thread saw the connection break */
        Connection connection = look_at_connection();
        if (connection == BROKEN) {
            tt_session_lose();
            return false;
        }
        if (connection == UNKNOWN)
            is_lossless = false;
        if (!is_lossless && now >= bound)
            break;
    }
    now = tt_sys_monotonic_ns();
    if (!is_lossless)
        atomic_fetch_sub_explicit(&wait_left_ns, (int64_t)(now - start), memory_order_relaxed);
    return tt_send_has_room(thread, number);
}
