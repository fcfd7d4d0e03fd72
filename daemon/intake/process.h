/* SPDX-License-Identifier: Apache-2.0 */
/* The process at the other end: who it is, whether its image is still the one that said hello, and
 * how it ended. The kernel is asked, never the process. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct TtProcess {
    gint pid;           /* in our pid namespace */
    int fd;             /* pidfd; readable once the process has ended; -1: none */
    guint64 start_time; /* in the kernel's ticks since boot; with the pid, an identity */
    guint64 stack_base; /* where exec put its first stack; 0: may not be known */
    char comm[16];      /* the kernel's name for it */
} TtProcess;

/* Takes hold of the process that connected @socket_fd, whose credentials say @pid.
 *
 * Returns 0, or a negative errno: -ESRCH where it is gone. Any thread. */
int tt_process_open(TtProcess *process, int socket_fd, gint pid);

/* Takes up one that an earlier daemon held by @fd, which may have ended meanwhile. Any thread. */
void tt_process_adopt(TtProcess *process, int fd, gint pid);

/* Gives it up; once more does nothing. */
void tt_process_close(TtProcess *process);

gboolean tt_process_has_ended(const TtProcess *process);

/* How an ended process did: the kernel's word where it has one.
 *
 * @ret_status  as from wait(2); set on success only
 *
 * Returns FALSE where it is not known, or not yet: before Linux 6.15 only a zombie tells, later a
 * process that was reaped does too. */
gboolean tt_process_find_exit_status(const TtProcess *process, gint *ret_status);

typedef enum TtImage {
    TT_IMAGE_SAME,
    TT_IMAGE_OTHER,   /* it called exec: the memory that it mapped is gone */
    TT_IMAGE_UNKNOWN, /* /proc does not let us look, or the process has ended */
} TtImage;

/* Whether the process still maps the memfd with inode @inode, which an exec would have unmapped.
 * If so, what it looks like now is what tt_process_may_have_execed goes by. */
TtImage tt_process_check_image(TtProcess *process, guint64 inode);

/* Did @ancestor start the process, or start who started it? FALSE where /proc does not tell. */
gboolean tt_process_descends_from(gint pid, gint ancestor);

/* Who started @process, by pid and start time alone (no pidfd). FALSE where /proc does not tell, or
 * it is nobody that we can see. */
gboolean tt_process_find_parent(const TtProcess *process, TtProcess *ret_parent);

/* Do both name one process? Not so where only the pid is the same. */
gboolean tt_process_is_same(const TtProcess *a, const TtProcess *b);

/* When it began, by the kernel's own count since the machine did, so that a later daemon can tell
 * it from others that get its pid. Returns: (transfer full) (nullable): %NULL where /proc does not
 * tell */
char *tt_process_describe_start(const TtProcess *process);

/* Whether there is a process of this pid, and it is the one that began at @start (nullable), as
 * that was described. TRUE where one of them is not known. */
gboolean tt_process_began_at(gint pid, const char *start);

/* A cheap look that is nearly always enough: FALSE: nothing hints at an exec. */
gboolean tt_process_may_have_execed(const TtProcess *process);

/* What CLOCK_MONOTONIC shows the process more than us (time_namespaces(7)); 0 where unknown. */
gint64 tt_process_get_clock_offset_ns(gint pid);

G_END_DECLS
