/* SPDX-License-Identifier: Apache-2.0 */
/* What the library itself tells of names, beside what ttclient.h offers to programs. */
#pragma once

#include <stdint.h>

/* This process has forked, or tried to: tells the token by which a child names it. */
void tt_names_fork(uint64_t token);

/* The program has come to its orderly end; clean-up may still allocate. */
void tt_names_end(void);
