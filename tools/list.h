/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions for people and for programs. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* @sessions: aa{sv}, as org.tracetools.Daemon1.List gives them. */
char *tt_list_to_table(GVariant *sessions);
char *tt_list_to_json(GVariant *sessions);

/* "1.5 MiB": @ret_text has room for 16 bytes. */
const char *tt_list_write_size(guint64 bytes, char *ret_text);

/* Figures of one session; 0, "" where the daemon does not tell. */
guint64 tt_list_get_number(GVariant *session, const char *key);
const char *tt_list_get_text(GVariant *session, const char *key);
gint tt_list_get_int(GVariant *session, const char *key);

G_END_DECLS
