/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program (stepped.c) one instruction at a time, and sends it a signal after each but the
 * first SKIPPED. It says by int3 where that begins and ends, and in rdi what its handler is; which
 * runs at full speed, and ends by int3 too. What the program blocks comes in when it does no more.
 *
 *   stepper SKIPPED PRELOAD CMD...
 *
 * Tells how many steps it took, and how often the handler came in. Its status is the program's, or
 * 77 where nobody may be traced. */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Place {
    uint64_t ip, sp;
} Place;

static struct {
    uint64_t handler;
    bool is_on;        /* between the two marks */
    bool is_returning; /* from the handler, to where it came in */
    bool is_in_handler;
    Place from;
    unsigned long skipped, begun; /* at so many steps */
    unsigned long steps, calls;
} state;

static bool is_mark(pid_t tid) {
    siginfo_t info;

    return ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0 && info.si_code == SI_KERNEL;
}

static int come_in(Place place) {
    state.from = place;
    return SIGUSR1;
}

/* The thread has stopped by SIGTRAP: at a mark or after a step. Returns how it goes on. */
static int go_on(pid_t tid, int *ret_signal) {
    struct user_regs_struct regs;

    ptrace(PTRACE_GETREGS, tid, NULL, &regs);
    Place place = {regs.rip, regs.rsp};
    *ret_signal = 0;
    if (is_mark(tid)) {
        if (state.is_in_handler) {
            state.is_in_handler = false;
            state.is_returning = true;
        } else {
            state.is_on = !state.is_on;
            state.handler = regs.rdi;
            state.begun = state.steps;
        }
    } else if (place.ip == state.handler) {
        state.is_in_handler = true;
        state.calls++;
    } else if (state.is_returning) {
        state.is_returning = place.ip != state.from.ip || place.sp != state.from.sp;
    } else if (state.is_on && ++state.steps - state.begun > state.skipped) {
        *ret_signal = come_in(place);
    }
    return state.is_on && !state.is_in_handler ? PTRACE_SINGLESTEP : PTRACE_CONT;
}

/* The signal was held back until now. */
static int go_on_late(pid_t tid) {
    struct user_regs_struct regs;

    ptrace(PTRACE_GETREGS, tid, NULL, &regs);
    come_in((Place){regs.rip, regs.rsp});
    return PTRACE_SINGLESTEP;
}

static void handle_stop(pid_t tid, int status) {
    int signal_number = WSTOPSIG(status), how = PTRACE_CONT;

    if (signal_number == SIGTRAP && status >> 16 == 0)
        how = go_on(tid, &signal_number);
    else if (signal_number == SIGUSR1)
        how = go_on_late(tid);
    else if (signal_number == SIGTRAP || signal_number == SIGSTOP)
        signal_number = 0; /* a new thread, and its first stop */
    ptrace(how, tid, NULL, (long)signal_number);
}

int main(int argc, char **argv) {
    pid_t tid, pid = argc > 3 ? fork() : -1;
    int status;

    if (pid < 0)
        return 99;
    if (pid == 0) {
        setenv("LD_PRELOAD", argv[2], 1);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        execv(argv[3], argv + 3);
        _exit(98);
    }
    state.skipped = strtoul(argv[1], NULL, 10);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        return 77;
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    while ((tid = waitpid(-1, &status, __WALL)) > 0) {
        if (WIFSTOPPED(status))
            handle_stop(tid, status);
        else if (tid == pid)
            break;
    }
    printf("%lu %lu\n", state.steps, state.calls);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
