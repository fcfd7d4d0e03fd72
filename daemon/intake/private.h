/* SPDX-License-Identifier: Apache-2.0 */
/* What intake.c and questions.c share, and nobody else. */
#pragma once

#include "intake/accept.h"
#include "intake/estate.h"
#include "intake/intake.h"
#include "intake/registry.h"

G_BEGIN_DECLS

/* How workers reach the intake: it may be gone when their word arrives. */
typedef struct TtIntakeLink {
    GMainContext *context;
    TtIntake *intake; /* the main thread's; NULL once it is freed */
} TtIntakeLink;

/* Main thread's, but for the registry, which has its own lock. */
struct TtIntake {
    TtIntakeOptions options;
    TtExportRequest on_export;
    gpointer on_export_data;
    GMainContext *context;
    TtIntakeLink *link;
    int listen_fd;
    TtAccept *accept;
    TtRegistry *registry;
    GPtrArray *workers; /* of TtWorker; as many as cores */
    TtCalibration calibration;
    TtBudget backlog;
    TtEstates estates;
    guint64 last_order;
    GQueue waiters;    /* of those who wait for ends, intake.c */
    GQueue recordings; /* of TtRecording, recordings.c */
};

/* Serves a program's request for its own export; as TtServeCaller. */
char *tt_intake_serve_export(TtIntake *intake, TtCaller *caller, const TtRawRecord *request);

/* Has a session begin on a worker. Of @setup is filled in here what is not the session's own. */
void tt_intake_start_feed(TtIntake *intake, TtFeedSetup *setup);

/* Returns: (transfer full) (nullable) (element-type TtRecorder): where a new session goes to. */
GPtrArray *tt_intake_choose_recorders(TtIntake *intake, const TtSessionInfo *info);

/* Ends what is under way; the workers are gone. Nobody is told. */
void tt_intake_free_recordings(TtIntake *intake);

G_END_DECLS
