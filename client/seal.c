/* SPDX-License-Identifier: Apache-2.0 */
#include "client/seal.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "client/probe.h"
#include "client/real.h"
#include "client/record.h"
#include "client/sys.h"

#define PUBLIC __attribute__((visibility("default")))

typedef long Call(long number, long a, long b, long c, long d, long e, long f);
extern Call tt_seal_syscall __attribute__((visibility("hidden")));

/* The next definitions in order. NULL before the constructor: then the kernel itself. */
__attribute__((visibility("hidden"))) Call *tt_seal_next_syscall;
static int (*next_prctl)(int option, ...);

static long call_kernel(long number, long a, long b, long c, long d, long e, long f) {
    long r = tt_sys6(number, a, b, c, d, e, f);

    if (r < 0 && r >= -4095) {
        errno = (int)-r;
        return -1;
    }
    return r;
}

/* Programs ask the kernel what it knows by calls that cannot succeed: those give up nothing. */
static bool is_prctl_seal(long option, long mode, long filter) {
    return option == PR_SET_SECCOMP && (mode == SECCOMP_MODE_STRICT || filter != 0);
}

static bool is_prctl_stop(long option, long value) {
    return (option == PR_SET_TSC && value == PR_TSC_SIGSEGV) ||
           (option == PR_SET_SECCOMP && value == SECCOMP_MODE_STRICT);
}

static bool is_seccomp_stop(long operation, long flags, long argument) {
    return operation == SECCOMP_SET_MODE_STRICT && flags == 0 && argument == 0;
}

static bool is_seccomp_seal(long operation, long flags, long argument) {
    return is_seccomp_stop(operation, flags, argument) ||
           (operation == SECCOMP_SET_MODE_FILTER && argument != 0);
}

/* What a call is about to give up. Others may be about to at the same time, and one succeed where
 * another fails: what holds for all threads is counted. */
typedef struct Loss {
    bool seals, stops;
} Loss;

/* Before the call: afterwards it would be too late. */
static Loss give_up(bool seals, bool stops) {
    /* A clock that is not the processor's counter may be a call of the kernel. */
    Loss loss = {.seals = seals,
                 .stops = (stops || (seals && !tt_clock_counts_ticks)) && !tt_clock_is_stopped()};

    if (loss.stops)
        tt_record_stop_clock((uintptr_t)__builtin_frame_address(0));
    if (loss.seals)
        tt_stack_seal(true);
    return loss;
}

/* The call failed, and all is as it was. */
static void take_back(Loss loss) {
    if (loss.stops)
        tt_clock_take_back();
    if (loss.seals)
        tt_stack_seal(false);
}

PUBLIC int prctl(int option, ...) {
    unsigned long arguments[4];
    va_list list;

    va_start(list, option);
    for (int i = 0; i < 4; i++)
        arguments[i] = va_arg(list, unsigned long);
    va_end(list);

    Loss loss = give_up(is_prctl_seal(option, (long)arguments[0], (long)arguments[1]),
                        is_prctl_stop(option, (long)arguments[0]));
    int r = next_prctl != NULL
                ? next_prctl(option, arguments[0], arguments[1], arguments[2], arguments[3])
                : (int)call_kernel(SYS_prctl, option, (long)arguments[0], (long)arguments[1],
                                   (long)arguments[2], (long)arguments[3], 0);
    if (r < 0)
        take_back(loss);
    else if (option == PR_SET_TSC && arguments[0] == PR_TSC_ENABLE)
        tt_clock_go_on();
    return r;
}

/* Of syscall only what may be one of these comes here, and what comes very early. */
long tt_seal_syscall(long number, long a, long b, long c, long d, long e, long f) {
    bool is_prctl = number == SYS_prctl;
    bool is_seccomp = number == SYS_seccomp;
    bool seals = (is_prctl && is_prctl_seal(a, b, c)) || (is_seccomp && is_seccomp_seal(a, b, c));
    bool stops = (is_prctl && is_prctl_stop(a, b)) || (is_seccomp && is_seccomp_stop(a, b, c));

    Loss loss = give_up(seals, stops);
    Call *next = tt_seal_next_syscall != NULL ? tt_seal_next_syscall : call_kernel;
    long r = next(number, a, b, c, d, e, f);
    if (r < 0)
        take_back(loss);
    return r;
}

/* By hand: with a call like vfork, who comes back must find the stack as it was. 317: SYS_seccomp,
 * 157: SYS_prctl. */
_Static_assert(SYS_seccomp == 317 && SYS_prctl == 157, "the numbers below");
__asm__(".pushsection .text\n"
        ".globl syscall\n"
        ".type syscall, @function\n"
        "syscall:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    cmp $317, %rdi\n"
        "    je tt_seal_syscall\n"
        "    cmp $157, %rdi\n"
        "    je tt_seal_syscall\n"
        "    mov tt_seal_next_syscall(%rip), %rax\n"
        "    test %rax, %rax\n"
        "    je tt_seal_syscall\n"
        "    jmp *%rax\n"
        "    .cfi_endproc\n"
        ".size syscall, . - syscall\n"
        ".popsection\n");

void tt_seal_init(void) {
    tt_seal_next_syscall = (Call *)tt_real_next("syscall");
    next_prctl = (__typeof__(next_prctl))tt_real_next("prctl");
}
