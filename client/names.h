/* SPDX-License-Identifier: Apache-2.0 */
/* What the library itself tells of names, beside what ttclient.h offers to programs. */
#pragma once

/* The program has come to its orderly end; clean-up may still allocate. */
void tt_names_end(void);
