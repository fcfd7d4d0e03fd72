/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's place in the system: its two sockets, and the service manager. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum TtServiceError {
    TT_SERVICE_ERROR_PLACE, /* the directory is not to be used, or somebody is there */
    TT_SERVICE_ERROR_SOCKETS,
} TtServiceError;

#define TT_SERVICE_ERROR (tt_service_error_quark())
GQuark tt_service_error_quark(void);

/* Descriptors are -1 once somebody took them. Paths are NULL where sockets were adopted. */
typedef struct TtService {
    int events_fd;  /* listening, SOCK_SEQPACKET */
    int control_fd; /* listening, SOCK_STREAM */
    int lock_fd;
    char *events_path;
    char *control_path;
} TtService;

/**
 * tt_service_open:
 * @socket_dir: (nullable): where to listen; %NULL: as the environment says
 * @error: TT_SERVICE_ERROR
 *
 * Adopts the sockets that the service manager passed, or makes them, in a directory that is ours
 * alone, where no other daemon listens. Once, before any other thread (the environment is read).
 */
gboolean tt_service_open(TtService *service, const char *socket_dir, GError **error);

/* Removes the sockets that it made, and closes what nobody took. */
void tt_service_close(TtService *service);

/* Tells the service manager, if there is one: "READY=1", "STOPPING=1". */
void tt_service_notify(const char *state);

G_END_DECLS
