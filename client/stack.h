/* SPDX-License-Identifier: Apache-2.0 */
/* Full stacks at the price of reading them: rules instead of unwinding, reuse of the last stack
 * where it provably still stands, interning as a tree (DESIGN: "Stacks").
 *
 * The cost, measured: see the head of stack.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/wire.h"

struct TtThread;

/* rbp mostly holds no frame's address, and may hold a block's: it is kept inverted, or a scan of
 * the program's memory for pointers would find the block here.
 *
 * What a frame was: enough to know it again, and to go on from it. */
typedef struct TtStackFrame {
    uint64_t slot; /* its stack pointer - 8: there its ip was read, but after a signal */
    uint64_t key;  /* its ip, and more (rules.h) */
    uint64_t hidden_bp;
    uint32_t node; /* id of the stack from the outermost frame to this one */
    uint16_t word; /* index of the first word read beyond this frame */
    bool needs_bp; /* did what lies beyond depend on bp? */
    bool has_bp;   /* did any frame from this one on find its caller by rbp? */
} TtStackFrame;

typedef struct TtStackWord {
    const uint64_t *addr;
    uint64_t value;
} TtStackWord;

/* A frame just walked. */
typedef struct TtStackStep {
    uint64_t slot, key, hidden_bp;
    uint64_t rule; /* by which its caller was found */
} TtStackStep;

#define TT_STACK_BRANCH_BITS 5u /* sets of as many ways: 24 KiB */
#define TT_STACK_BRANCH_WAYS 4u
#define TT_STACK_BRANCH_WORDS 13u
#define TT_STACK_WALKED 256u

/* An inner part of an earlier stack (branches.h). */
typedef struct TtStackBranch {
    uint64_t slot; /* of its innermost frame, as are key, rbp, needs_bp and node; 0: none */
    uint64_t key, hidden_bp;
    uint64_t join_slot, hidden_join_bp; /* of the frame that it stands on */
    uint32_t join_node, node;
    uint32_t epoch; /* of the last stack that it was part of */
    uint16_t join;  /* index of that frame */
    uint8_t word_count;
    bool needs_bp;
    uint16_t offsets[TT_STACK_BRANCH_WORDS]; /* of the words from the slot, and what they were */
    uint64_t values[TT_STACK_BRANCH_WORDS];
} TtStackBranch;

_Static_assert(sizeof(TtStackBranch) == 192, "three lines, of which short ones need two");

/* A realigned frame needs three, the end of the stack a few. */
#define TT_STACK_WORDS_MAX (3 * TT_STACK_DEPTH_MAX + 64)

/* The thread's last stack: every word that its walk read, and what each frame was. Owned by the
 * thread, zeroed memory is a valid empty one. PRIVATE to stack.c and extent.c; here for its size.
 * What is kept is at the ends of the arrays, the outermost last, so that inner frames come and go
 * without moving the others. */
typedef struct TtStackCache {
    uint32_t frame_count; /* 0: nothing is known */
    uint32_t epoch;       /* of the modules when it was walked; 0: memory must be proven first */
    uint32_t real_epoch;
    struct TtNodes *nodes; /* of the session that ids belong to; NULL: the next capture's */
    bool is_whole;
    bool is_ended;                  /* by a frame's own word, not by a 0 that may stand anywhere */
    bool is_cut;                    /* at TT_STACK_DEPTH_MAX */
    uint64_t stack_low, stack_high; /* verified readable part of the thread's own stack */
    uint64_t thread_pointer;        /* whose stack that is */
    uint32_t next_branch;           /* whose turn it is to make room, in any set */
    uint32_t learn_delay, learn_wait; /* captures until it is looked at again how far it reaches */
    TtStackFrame frames[TT_STACK_DEPTH_MAX + 1]; /* and one that ends every search */
    TtStackWord words[TT_STACK_WORDS_MAX + 1];   /* and one that never compares equal */
    uint32_t walked[TT_STACK_WALKED]; /* ids of stacks walked anew, at their remainders */
    TtStackBranch branches[TT_STACK_BRANCH_WAYS << TT_STACK_BRANCH_BITS];
    TtStackStep fresh[TT_STACK_DEPTH_MAX]; /* of the walk at work, innermost first */
} TtStackCache;

/* Prepares rules, engine and intern table. In the library's constructor only (it loads the unwind
 * engine by dlmopen, which takes the loader's lock). Returns 0 or a negative errno: without the
 * engine stacks are cut at the first frame, without memory they are TT_STACK_NONE. */
int tt_stack_init(void);

/* The id of the calling thread's stack.
 *
 * @thread  its lane takes the definitions (STACK, MODULE, SEGMENT) that are new
 * @ip      return address of the hook: the innermost frame
 * @cfa     stack pointer of the caller after the hook returns (address of the return address + 8)
 * @bp      rbp of the caller
 *
 * Returns the id; TT_STACK_NONE where not even one frame is known; TT_STACK_ROOT (0) where a
 * definition could not be written because the lane is full: then the event must be dropped. No
 * allocation, no loader lock, under 750 bytes of the program's stack; errno is kept. Not reentrant
 * within a thread. */
uint32_t tt_stack_capture(struct TtThread *thread, uint64_t ip, uint64_t cfa, uint64_t bp);

/* A new session (a fork whose parent is not known), or the same over a new connection
 * (@is_resumed): all is defined again, rules stay. A new session's ids begin anew; the same one's
 * go on, as its daemon may know the earlier ones. Threads need caches that no other used: those of
 * an earlier one get no ids any more. */
void tt_stack_restart_session(bool is_resumed);

/* In a forked child: a lock held by a thread that is no more is given up. */
void tt_stack_after_fork(void);

/* Does @ip lie in the dynamic loader? A free from there may be part of a dlclose. */
extern uint64_t tt_loader_start, tt_loader_size; /* set by tt_stack_init */
static inline bool tt_stack_is_loader(uint64_t ip) { return ip - tt_loader_start < tt_loader_size; }

/* The program has forbidden system calls, and breaking that may kill it (seccomp): from here on
 * none is made. Stacks are verified, reused and walked as before; what is not yet known truncates
 * them, and new ones are TT_STACK_NONE. Any thread, any time; false only where the program failed
 * to forbid them, which takes back one true. */
void tt_stack_seal(bool is_sealed);

/* Modules may have changed: what was learnt is revalidated when next used. Any thread, any time. */
void tt_stack_advance_epoch(void);
