/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that keep the program's errno, are no cancellation points and go through no PLT.
 * Each returns what the kernel returns: a negative errno on failure. Any thread. */
#pragma once

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

static inline long tt_sys6(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#define TT_SYS0(number) tt_sys6(number, 0, 0, 0, 0, 0, 0)
#define TT_SYS1(number, a) tt_sys6(number, (long)(a), 0, 0, 0, 0, 0)
#define TT_SYS2(number, a, b) tt_sys6(number, (long)(a), (long)(b), 0, 0, 0, 0)
#define TT_SYS3(number, a, b, c) tt_sys6(number, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define TT_SYS4(number, a, b, c, d)                                                                \
    tt_sys6(number, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static inline int tt_sys_close(int fd) { return (int)TT_SYS1(SYS_close, fd); }
static inline int tt_sys_getpid(void) { return (int)TT_SYS0(SYS_getpid); }
static inline uint32_t tt_sys_gettid(void) { return (uint32_t)TT_SYS0(SYS_gettid); }
static inline void tt_sys_yield(void) { TT_SYS0(SYS_sched_yield); }

/* Waits for another thread, a little longer each time from the fiftieth round on: a nap lets one of
 * lower priority get on, where yielding goes to equals alone (SCHED_FIFO). Naps grow to 3 ms, or
 * hundreds who wait would wake so often that the one that they wait for hardly runs. */
static inline void tt_sys_wait_a_little(unsigned round) {
    unsigned naps = round < 50 ? 0 : round - 50;
    struct timespec nap = {.tv_nsec = 100000 << (naps < 5 ? naps : 5)};

    if (round < 50)
        tt_sys_yield();
    else
        TT_SYS2(SYS_nanosleep, &nap, NULL);
}

/* Anonymous private memory, or NULL. */
static inline void *tt_sys_map_private(size_t len) {
    long r = tt_sys6(SYS_mmap, 0, (long)len, 0x3 /* READ|WRITE */, 0x22 /* PRIVATE|ANON */, -1, 0);

    return r < 0 && r > -4096 ? NULL : (void *)r;
}

static inline int tt_sys_unmap(void *addr, size_t len) {
    return (int)TT_SYS2(SYS_munmap, addr, len);
}

static inline uint64_t tt_sys_monotonic_ns(void) {
    struct timespec now = {0};

    TT_SYS2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t tt_sys_realtime_ns(void) {
    struct timespec now = {0};

    TT_SYS2(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Sleeps while *word == value, until @deadline_ns on CLOCK_MONOTONIC. Wakes early on signals. The
 * word may be shared with another process. */
static inline int tt_sys_futex_wait(void *word, uint32_t value, uint64_t deadline_ns) {
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                .tv_nsec = (long)(deadline_ns % 1000000000u)};

    return (int)tt_sys6(SYS_futex, (long)word, FUTEX_WAIT_BITSET, value, (long)&deadline, 0,
                        (long)FUTEX_BITSET_MATCH_ANY);
}

/* Blocks every signal of the calling thread; the old mask goes to *ret_mask. */
static inline void tt_sys_block_signals(uint64_t *ret_mask) {
    uint64_t all = ~(uint64_t)0;

    TT_SYS4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, ret_mask, 8);
}

static inline void tt_sys_restore_signals(const uint64_t *mask) {
    TT_SYS4(SYS_rt_sigprocmask, 2, mask, NULL, 8);
}
