/* SPDX-License-Identifier: Apache-2.0 */
/* This library in LD_PRELOAD, which what a program starts has from its environment. */
#pragma once

/* Takes this library out of each LD_PRELOAD of @environment, which is changed in place: strings
 * that a process was started with are its own. Other entries stay, in their order; an empty list
 * stays as one, since who looks for what the kernel put behind the strings' addresses counts those.
 *
 * In the library's constructor only, of the environment that this is given. errno is kept. */
void tt_preload_leave(char **environment);
