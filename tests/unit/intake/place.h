/* SPDX-License-Identifier: Apache-2.0 */
/* A place where intake is at work, for the tests that come to it from the street. */
#pragma once

#include "intake/intake.h"
#include "program.h"

#define BOUND_US (10 * G_USEC_PER_SEC)

typedef struct Place {
    char *dir, *path;
    TtIntake *intake;
    guint8 asked_id[TT_SESSION_ID_BYTES]; /* by the last export request */
    guint asked_count;
} Place;

/* A daemon's intake in a folder of its own, on the calling thread's main context. */
void place_open(Place *place, guint ended_sessions);
void place_close(Place *place);

/* Runs the main loop until @is_done says so. Fails after a while. */
void run_until(gboolean (*is_done)(gpointer data), gpointer data);

/* Returns: (transfer full) (nullable): what is listed of a session. */
TtSessionCard *find_card(Place *place, const guint8 *id);
guint64 events_of(Place *place, const guint8 *id);

/* Runs something on another thread, so that this one can be the daemon's. */
void do_job(void (*run)(gpointer data), gpointer data);
void start_program(Place *place, Program *program, guint64 flags);
void start_sampled_program(Place *place, Program *program, guint64 sample_bytes);

/* Writes @count births to a lane, which is not yet published to the daemon by a bell. */
void allocate(Program *program, guint lane, guint count);

typedef enum Fate {
    FATE_KILLED,
    FATE_EXITED,
    FATE_EXECED,
    FATE_EXECED_WITH_ALL_OPEN, /* D05 */
    FATE_CLOSED_THEN_EXITED,   /* D01 */
    FATE_KILLED_UNPUBLISHED, /* F02: 50 more are published in a lane, and 20 written behind them */
    FATE_MUTE,               /* F03: dies with the answer unread */
} Fate;

/* A child that publishes 3 * 100 events without ringing and meets its fate. Returns its pid; its
 * session's id is read from @ret_id. It waits for a byte on @go_fd before the end. */
pid_t spawn(Place *place, Fate fate, guint8 *ret_id, int *ret_go_fd);
void let_go(int go_fd);

typedef struct Wait {
    gboolean is_called, all_ended;
} Wait;

/* For tt_intake_when_ended, with a Wait. */
void on_ended(gpointer data, gboolean all_ended);
gboolean is_called(gpointer data);
void wait_ended(Place *place, pid_t pid);
