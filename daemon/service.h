/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's place in the system: its two sockets, and the service manager. */
#pragma once

#include "base/manager.h"

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
    GArray *stored; /* of TtStored: kept for us by the service manager; names are ours */
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

G_END_DECLS
