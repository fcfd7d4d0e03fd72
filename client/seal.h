/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that give up rights for good: to system calls (seccomp), to the time stamp counter
 * (PR_SET_TSC, strict seccomp). Whoever then makes the call, or reads the counter, dies, and it may
 * be us in the midst of malloc. Nothing tells beforehand but the call by which it is done, so that
 * is looked at on its way: prctl and syscall are interposed. What is done by an instruction of the
 * program's own is not seen.
 *
 * From there on no hook makes a system call: what is mapped is written to, and the daemon, which
 * cannot be rung any more, looks by itself; threads that come later and stacks not yet known find
 * no place, and are declared. */
#pragma once

/* What prctl and syscall go on to. In the constructor only. */
void tt_seal_init(void);
