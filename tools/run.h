/* SPDX-License-Identifier: Apache-2.0 */
/* run, for other commands. */
#pragma once

#include "tools/child.h"
#include "tools/leaks.h"

G_BEGIN_DECLS

/* Runs CMD, whose words are @argv, as tt-ctl run does, and writes the report of its leaks. Returns
 * the status: CMD's own where all went well and nothing was found that @leaks fails on. */
int tt_run_for_leaks(char **argv, const TtLeaks *leaks, const TtChildStart *start);

G_END_DECLS
