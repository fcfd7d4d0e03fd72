/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager, where there is one: what it is told (sd_notify(3)), and the descriptors that
 * it keeps for the next daemon. Any thread. A manager that does not listen
 * costs 20 ms, and then does not know. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

gboolean tt_manager_is_there(void);

/* Within which time after the last WATCHDOG=1 it ends us; 0: it does not watch us. */
guint64 tt_manager_get_watchdog_us(void);

/* Tells it something: "READY=1", "STOPPING=1", "WATCHDOG=1". */
void tt_manager_notify(const char *state);

/* Has it keep a descriptor, which stays the caller's, under a name of its own, whatever becomes of
 * what it is open to; and give it up. */
void tt_manager_store(const char *name, int fd);
void tt_manager_forget(const char *name);

/* What it kept, as it comes to the next daemon. */
typedef struct TtStored {
    char *name;
    int fd;
} TtStored;

G_END_DECLS
