/* SPDX-License-Identifier: Apache-2.0 */
/* The stack capture without the rest of the client: a lane that is memory, read back through the
 * decoder, and another unwinder (libgcc's, by backtrace()) to judge by. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/stack.h"
#include "client/thread.h"

#define CHAIN_MAX 1024

typedef struct Chain {
    uint64_t ips[CHAIN_MAX]; /* innermost first */
    uint64_t modules[CHAIN_MAX];
    bool is_exact[CHAIN_MAX];
    size_t count;
    uint32_t root; /* TT_STACK_ROOT or TT_STACK_TRUNCATED */
} Chain;

/* Prepares the capture, once. */
void support_init(void);

/* A thread's state as the client would keep it; each thread has its own, for ever. */
TtThread *support_thread(void);

/* The calling thread takes over what another had, which has ended; NULL: nothing. */
void support_adopt_thread(TtThread *thread);

/* A new session: forgets all records, as the daemon would. */
void support_restart(void);

/* What a hook does: the id of its caller's stack. */
uint32_t support_hook(void);

/* As support_hook, and fails the test if the stack is not, frame by frame, that of backtrace(). The
 * stack must be whole; or, with @may_be_truncated, begin as backtrace's does. Returns the id. */
uint32_t support_check(bool may_be_truncated);

/* The frames of an id, from the records in the lanes. */
void support_chain(uint32_t id, Chain *ret_chain);

/* The name of the function that a return address is in, or "?". */
const char *support_name(uint64_t ip);

/* The path of a module by its id, from the records; NULL: not defined. */
const char *support_module_path(uint64_t id);

/* Records so far, of all lanes. */
typedef struct Counts {
    uint32_t stacks, modules, gone;
} Counts;
Counts support_counts(void);

/* While set, lanes have no room. */
extern bool support_lane_is_full;

/* Counts of the calling thread's checks. */
extern _Atomic uint64_t support_checks;
