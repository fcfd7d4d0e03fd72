/* SPDX-License-Identifier: Apache-2.0 */
/* The events socket: connecting within a bounded time, the descriptor that must not be noticed, and
 * messages. Any thread; errno is kept. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/records.h"

#define TT_WAIT_BOUND_NS 50000000u /* the daemon's answer is waited for so long */

/* Connects to the daemon of the same user; does not block.
 *
 * Returns a descriptor at 100 or above, close-on-exec, non-blocking; or a negative errno: -ENOENT,
 * -ECONNREFUSED: no daemon; -EPERM: somebody else listens there; -EMFILE: no number left. */
int tt_connect_open(void);

/* Who listened where @fd connected, or 0 where that is in another namespace: the daemon's pid, or
 * of a daemon that systemd listens for systemd's. */
int tt_connect_listener(int fd);

/* The descriptor's identity, or 0 where it is no socket of ours. */
uint64_t tt_connect_cookie(int fd);

/* Starts a message in @buffer (TT_MESSAGE_MAX bytes). Returns where records go. */
uint8_t *tt_connect_begin(uint8_t *buffer);

/* Sends a whole message, with a descriptor unless @passed_fd is -1; does not block. */
int tt_connect_send(int fd, const uint8_t *buffer, size_t len, int passed_fd);

/* Reads the daemon's LANES from a message and adds them; @memory_fd is closed in any case.
 * @ret_knows_parent  (nullable) set on success only: whether stacks need not be told again
 *
 * Returns 0, or a negative errno. */
int tt_connect_take_lanes(const uint8_t *message, size_t len, int memory_fd,
                          bool *ret_knows_parent);

/* Waits until @deadline_ns (CLOCK_MONOTONIC) for a message.
 *
 * @ret_fd  a descriptor that came with it, or -1; NULL: none is wanted, what comes is closed
 *
 * Returns its length, 0 at the end of the connection, or a negative errno (-ETIMEDOUT). */
long tt_connect_receive(int fd, uint8_t *buffer, size_t room, int *ret_fd, uint64_t deadline_ns);
