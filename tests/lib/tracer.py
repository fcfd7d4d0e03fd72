# SPDX-License-Identifier: Apache-2.0
"""Programs that are followed from one system call to the next, by ptrace(2). Of one with threads the
first alone stops; a signal that is sent to it is lost."""

import ctypes
import os

WRITE, CLOSE, SOCKET, SENDMSG, MUNLOCK, FUTEX = 1, 3, 41, 46, 150, 202  # <asm/unistd_64.h>
RDI, ORIG_RAX = 8 * 14, 8 * 15  # <sys/reg.h>

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long
PTRACE_TRACEME, PTRACE_PEEKUSER, PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SYSCALL = 0, 3, 16, 17, 24


def be_followed():
    """What the program is to do before it begins."""
    LIBC.ptrace(PTRACE_TRACEME, 0, None, None)


def attach(pid):
    """To one that is under way, and to be followed from here on."""
    LIBC.ptrace(PTRACE_ATTACH, pid, None, None)


def follow(pid):
    """The number of each system call, as it is made and as it returns, until the program's end. It
    stands still there until the next one is asked for."""
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return
        yield LIBC.ptrace(PTRACE_PEEKUSER, pid, ORIG_RAX, None)
        LIBC.ptrace(PTRACE_SYSCALL, pid, None, None)


def first_argument(pid):
    return LIBC.ptrace(PTRACE_PEEKUSER, pid, RDI, None)


def let_go(pid):
    LIBC.ptrace(PTRACE_DETACH, pid, None, None)
