/* SPDX-License-Identifier: Apache-2.0 */
/* Names to sessions. The manager gives descriptors in any order, and may have given up some: a
 * session of which one is missing is let go, which its program sees, and says hello again. So is a
 * forked child whose inheritance was cut off: it defines only what its parent did not, and then it
 * defines all. */
#include "intake/adopt.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "intake/lanes.h"
#include "intake/private.h"

#define ID_DIGITS (2 * TT_SESSION_ID_BYTES)
#define NAME_BYTES (ID_DIGITS + 24)
#define SEGMENTS_MAX 64u

/* What was kept of one session. */
typedef struct Kept {
    guint8 id[TT_SESSION_ID_BYTES];
    int socket_fd, process_fd;
    int memory_fds[SEGMENTS_MAX]; /* -1: none */
} Kept;

/* ---- Names ---- */

static void write_name(char *name, const guint8 *id, const char *what, int number) {
    for (guint i = 0; i < TT_SESSION_ID_BYTES; i++)
        g_snprintf(name + 2 * (gsize)i, 3, "%02x", id[i]);
    if (number < 0)
        g_snprintf(name + ID_DIGITS, NAME_BYTES - ID_DIGITS, "-%s", what);
    else
        g_snprintf(name + ID_DIGITS, NAME_BYTES - ID_DIGITS, "-%s-%d", what, number);
}

static gboolean read_id(const char *name, guint8 *ret_id) {
    if (strlen(name) <= ID_DIGITS || name[ID_DIGITS] != '-')
        return FALSE;
    for (guint i = 0; i < ID_DIGITS; i += 2) {
        int high = g_ascii_xdigit_value(name[i]), low = g_ascii_xdigit_value(name[i + 1]);

        if (high < 0 || low < 0)
            return FALSE;
        ret_id[i / 2] = (guint8)(high << 4 | low);
    }
    return TRUE;
}

void tt_adopt_store_lanes(const guint8 *session_id, guint segment, int memory_fd) {
    char name[NAME_BYTES];

    write_name(name, session_id, "lanes", (int)segment);
    tt_manager_store(name, memory_fd);
}

void tt_adopt_store(const guint8 *session_id, int socket_fd, const TtProcess *process,
                    int memory_fd) {
    char name[NAME_BYTES];

    write_name(name, session_id, "socket", -1);
    tt_manager_store(name, socket_fd);
    write_name(name, session_id, "process", -1);
    tt_manager_store(name, process->fd);
    tt_adopt_store_lanes(session_id, 0, memory_fd);
}

void tt_adopt_forget(const guint8 *session_id, guint segment_count) {
    char name[NAME_BYTES];

    write_name(name, session_id, "socket", -1);
    tt_manager_forget(name);
    write_name(name, session_id, "process", -1);
    tt_manager_forget(name);
    for (guint i = 0; i < segment_count; i++) {
        write_name(name, session_id, "lanes", (int)i);
        tt_manager_forget(name);
    }
}

/* ---- What was kept ---- */

/* Where in @kept a descriptor of this name belongs; NULL: nowhere. */
static int *find_place(Kept *kept, const char *what) {
    guint segment;

    if (strcmp(what, "socket") == 0)
        return &kept->socket_fd;
    if (strcmp(what, "process") == 0)
        return &kept->process_fd;
    if (sscanf(what, "lanes-%u", &segment) == 1 && segment < SEGMENTS_MAX)
        return &kept->memory_fds[segment];
    return NULL;
}

static Kept *ensure_kept(GArray *all, const guint8 *id) {
    for (guint i = 0; i < all->len; i++)
        if (memcmp(g_array_index(all, Kept, i).id, id, TT_SESSION_ID_BYTES) == 0)
            return &g_array_index(all, Kept, i);

    Kept kept = {.socket_fd = -1, .process_fd = -1};
    memcpy(kept.id, id, sizeof kept.id);
    for (guint i = 0; i < SEGMENTS_MAX; i++)
        kept.memory_fds[i] = -1;
    g_array_append_val(all, kept);
    return &g_array_index(all, Kept, all->len - 1);
}

/* By session; what belongs to none is closed. */
static GArray *sort_out(const GArray *stored) {
    GArray *all = g_array_new(FALSE, FALSE, sizeof(Kept));

    for (guint i = 0; i < stored->len; i++) {
        const TtStored *one = &g_array_index(stored, TtStored, i);
        guint8 id[TT_SESSION_ID_BYTES];
        int *place = read_id(one->name, id)
                         ? find_place(ensure_kept(all, id), one->name + ID_DIGITS + 1)
                         : NULL;

        if (place && *place < 0)
            *place = one->fd;
        else
            close(one->fd);
    }
    return all;
}

/* Its program's next call looks at the connection, however far it is from its next chunk. */
static void stop_recording(const Kept *kept) {
    TtSegment segment;

    if (kept->memory_fds[0] < 0 || tt_segment_adopt(&segment, 0, kept->memory_fds[0]) < 0)
        return;
    atomic_store_explicit(&tt_segment_get_control(&segment)->is_recording, 0, memory_order_relaxed);
    tt_segment_clear(&segment);
}

static void close_kept(Kept *kept) {
    stop_recording(kept);
    if (kept->socket_fd >= 0)
        close(kept->socket_fd);
    if (kept->process_fd >= 0)
        close(kept->process_fd);
    for (guint i = 0; i < SEGMENTS_MAX; i++)
        if (kept->memory_fds[i] >= 0)
            close(kept->memory_fds[i]);
    tt_adopt_forget(kept->id, SEGMENTS_MAX);
}

static void clear_segment(gpointer data) { tt_segment_clear(data); }

/* Returns: (transfer full) (nullable): %NULL: one is missing, or is none of ours */
static GArray *map_segments(const Kept *kept) {
    GArray *segments = g_array_new(FALSE, FALSE, sizeof(TtSegment));

    g_array_set_clear_func(segments, clear_segment);
    for (guint i = 0; i < SEGMENTS_MAX && kept->memory_fds[i] >= 0; i++) {
        TtSegment segment;

        if (tt_segment_adopt(&segment, i, kept->memory_fds[i]) < 0) {
            g_array_unref(segments);
            return NULL;
        }
        g_array_append_val(segments, segment);
    }
    g_array_set_clear_func(segments, NULL);
    if (segments->len > 0)
        return segments;
    g_array_unref(segments);
    return NULL;
}

/* ---- Sessions ---- */

static gboolean is_cut_off(const Kept *kept, TtJournal *journal, const TtSessionInfo *info) {
    return !tt_process_has_ended(&(TtProcess){.fd = kept->process_fd}) &&
           tt_journal_is_inheriting(journal, info);
}

/* Nobody else has kept what the last daemon wrote there. */
static guint32 read_is_recording(const GArray *segments) {
    const TtSegment *first = &g_array_index(segments, TtSegment, 0);

    return atomic_load_explicit(&tt_segment_get_control(first)->is_recording, memory_order_relaxed);
}

static gboolean adopt(TtIntake *intake, Kept *kept) {
    TtJournal *journal = tt_journal_open(intake->options.journals, kept->id, TRUE);
    g_autoptr(TtSessionInfo) info = journal ? tt_journal_read_info(journal) : NULL;
    gboolean is_whole = info && kept->process_fd >= 0 && !is_cut_off(kept, journal, info);
    GArray *segments = is_whole ? map_segments(kept) : NULL;

    if (!segments || memcmp(info->id, kept->id, sizeof info->id) != 0) {
        tt_journal_free(journal, info != NULL);
        return FALSE;
    }
    TtFeedSetup setup = {
        .clock = {.kind = info->clock, .shift = info->clock_shift},
        .socket_fd = g_steal_fd(&kept->socket_fd),
        .segments = segments,
        .is_recording = read_is_recording(segments),
        .journal = journal,
        .is_adopted = TRUE,
        .is_stored = TRUE,
    };
    /* A store of the program's may have put it to sleep since: as one that came so. */
    if (!setup.is_recording)
        info->hello_flags |= TT_HELLO_DORMANT;
    if (info->clock == TT_CLOCK_MONOTONIC)
        setup.clock.offset_ns = tt_process_get_clock_offset_ns(info->pid);
    tt_process_adopt(&setup.process, g_steal_fd(&kept->process_fd), info->pid);
    setup.info = g_steal_pointer(&info);
    for (guint i = 0; i < segments->len; i++)
        close(g_steal_fd(&kept->memory_fds[i]));
    tt_intake_start_feed(intake, &setup);
    return TRUE;
}

void tt_intake_adopt(TtIntake *intake, const GArray *stored) {
    g_autoptr(GArray) all = sort_out(stored);

    for (guint i = 0; i < all->len; i++) {
        Kept *kept = &g_array_index(all, Kept, i);

        if (!intake->options.journals || !adopt(intake, kept))
            close_kept(kept);
    }
}
