/* SPDX-License-Identifier: Apache-2.0 */
/* A traced program as the daemon sees one, without libttclient: a connection, a hello, lanes. */
#pragma once

#include "writer.h"

typedef struct Program {
    int fd;
    guint8 id[TT_SESSION_ID_BYTES];
    guint8 *map; /* first segment; NULL: not served */
    gsize size;
    TtRecordLanes lanes;
    Writer writers[4];
    char *refusal; /* what the daemon said instead */
} Program;

int program_connect(const char *path);

/* Connects and says hello with a random id, and @flags (TtHelloFlags); sets refusal if refused. */
void program_start(Program *program, const char *path, guint64 flags);
void program_start_sampled(Program *program, const char *path, guint64 flags, guint64 sample_bytes);

/* As a child that the program of session @parent_id has forked just now. */
void program_start_child(Program *program, const char *path, const guint8 *parent_id);

/* The same by hand. */
gsize program_write_hello(guint8 *buffer, const guint8 *id, guint64 flags);
void program_send(int fd, const void *bytes, gsize len, const int *fds, guint fd_count);

/* Reads one message; the descriptor is closed unless @ret_fd. Returns its length, 0 at the end. */
gssize program_receive(int fd, guint8 *buffer, gsize room, int *ret_fd);

/* The sentence of a REFUSED in @message, to be freed; NULL where there is none. */
char *program_find_refusal(const guint8 *message, gsize len);

void program_ring(Program *program);
void program_stop(Program *program);
