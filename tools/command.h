/* SPDX-License-Identifier: Apache-2.0 */
/* The commands. Each gets the words behind its name, %NULL at the end, and returns tt-ctl's status.
 */
#pragma once

#include "tools/args.h"
#include "tools/ask.h"
#include "tools/child.h"
#include "tools/daemon.h"
#include "tools/say.h"

G_BEGIN_DECLS

/* What was so before main: @start is how CMD is to find its signals and descriptors. */
int tt_command_run(char **argv, const TtChildStart *start);
int tt_command_list(char **argv, const TtChildStart *start);
int tt_command_export(char **argv, const TtChildStart *start);
int tt_command_record(char **argv, const TtChildStart *start);
int tt_command_mark(char **argv, const TtChildStart *start);
int tt_command_diff(char **argv, const TtChildStart *start);
int tt_command_who(char **argv, const TtChildStart *start);
int tt_command_leaks(char **argv, const TtChildStart *start);
int tt_command_start(char **argv, const TtChildStart *start);
int tt_command_stop(char **argv, const TtChildStart *start);

/* Writes to standard output, all of it. Returns the status. */
int tt_command_print(const char *text);

/**
 * tt_command_read_picture:
 * @view: (nullable): from --view
 * @top: (nullable): from --top
 * @at: (nullable): from --at
 */
gboolean tt_command_read_picture(const char *view, const char *top, const char *at,
                                 TtPicture *ret_picture, GError **error);

G_END_DECLS
