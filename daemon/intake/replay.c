/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings, read: once through to know who is in them, and once more for each session that
 * somebody asks for. Nothing is kept but names: a recording of a thousand processes costs what one
 * of them does. */
#include <string.h>
#include <unistd.h>

#include "intake/private.h"
#include "intake/retell.h"
#include "intake/sections.h"
#include "protocol/checked.h"

#define CUT "The recording breaks off before the program's end: what happened after that is missing"
#define CUT_OFF                                                                                    \
    "What the program inherited of its parent had not come when the daemon ended: that is "        \
    "missing, and what it did until then"

/* A session of the file. */
typedef struct Told {
    TtSessionCard *card; /* owned by the list of cards, once that is made */
    guint64 realtime_ns; /* of its last section */
    gboolean has_ended;
} Told;

struct TtReplay {
    TtIntake *intake;
    int fd;
    GCancellable *cancellable; /* owned; or NULL */
    GHashTable *sessions;      /* number in the file to Told */
    GHashTable *ids;           /* of GBytes: theirs */
    gsize card_bytes;
    gboolean is_whole;   /* it was brought to its end */
    guint64 realtime_ns; /* of that */
    GPtrArray *cards;
};

static gboolean is_cancelled(TtReplay *replay, GError **error) {
    if (!replay->cancellable || !g_cancellable_is_cancelled(replay->cancellable))
        return FALSE;
    g_set_error_literal(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_CANCELLED, "The caller went away");
    return TRUE;
}

static Told *find_session(TtReplay *replay, guint64 number) {
    return number <= TT_RECORDED_SESSIONS_MAX
               ? g_hash_table_lookup(replay->sessions, GUINT_TO_POINTER((guint)number))
               : NULL;
}

/* FALSE: another has it already. */
static gboolean take_id(TtReplay *replay, const guint8 *id) {
    return g_hash_table_add(replay->ids, g_bytes_new(id, TT_SESSION_ID_BYTES));
}

static TtSessionCard *make_card(const TtSessionInfo *info, guint64 number) {
    TtSessionCard *card = g_new0(TtSessionCard, 1);

    memcpy(card->id, info->id, sizeof card->id);
    card->exe = g_strdup(info->exe);
    card->pid = info->pid;
    card->own_pid = info->own_pid;
    card->order = number;
    card->start_realtime_ns = info->timescale.start_realtime_ns;
    card->parent_relation = info->parent_relation;
    memcpy(card->parent_id, info->parent_id, sizeof card->parent_id);
    card->summary = (TtSummary){.state = TT_SESSION_RUNNING, .exit_status = -1};
    return card;
}

/* Returns NULL where it cannot be, or is one too many. */
static Told *add_session(TtReplay *replay, guint64 number, TtCursor *steps) {
    g_autoptr(TtSessionInfo) info = tt_retell_read_info(steps);

    if (!info || number == 0 || number > TT_RECORDED_SESSIONS_MAX || !take_id(replay, info->id))
        return NULL;
    replay->card_bytes += sizeof(TtSessionCard) + strlen(info->exe);
    if (replay->card_bytes > TT_RECORDED_CARDS_MAX)
        return NULL;

    Told *told = g_new0(Told, 1);
    told->card = make_card(info, number);
    g_hash_table_insert(replay->sessions, GUINT_TO_POINTER((guint)number), told);
    return told;
}

/* What steps say of how sessions end. FALSE: damaged. */
static gboolean scan_steps(TtCursor steps, Told *told) {
    TtRawRecord raw;
    int r;

    while ((r = tt_decode_framed(&steps, &raw)) == TT_ITEM_RECORD) {
        TtRecordState state;

        if (raw.number == TT_RECORD_INTERRUPTION) {
            told->has_ended = FALSE;
            told->card->summary.state = TT_SESSION_RUNNING;
            told->card->summary.exit_status = -1;
        }
        if (raw.number != TT_RECORD_STATE)
            continue;
        if (tt_decode_state(&raw, &state) < 0 || state.exit_status > G_MAXINT)
            return FALSE;
        told->has_ended = TRUE;
        told->card->summary.state = tt_retell_get_state(&state);
        told->card->summary.exit_status = (gint)state.exit_status - 1;
    }
    return r == TT_ITEM_END;
}

/* FALSE: nothing after it counts. */
static gboolean scan_section(TtReplay *replay, TtSection *section) {
    Told *told = find_session(replay, section->head.session);
    TtRawRecord raw;

    if (section->head.session == 0) {
        replay->is_whole = tt_decode_framed(&section->steps, &raw) == TT_ITEM_RECORD &&
                           raw.number == TT_RECORD_FINISH;
        replay->realtime_ns = section->head.realtime_ns;
        return FALSE;
    }
    if (!told)
        told = add_session(replay, section->head.session, &section->steps);
    if (!told)
        return FALSE;
    told->realtime_ns = section->head.realtime_ns;
    return scan_steps(section->steps, told);
}

static gboolean scan(TtReplay *replay, GError **error) {
    g_autoptr(TtSectionReader) reader = tt_section_reader_new(replay->fd, error);
    TtSection section;

    if (!reader)
        return FALSE;
    while (tt_section_read(reader, &section) && scan_section(replay, &section))
        if (is_cancelled(replay, error))
            return FALSE;
    if (replay->is_whole || g_hash_table_size(replay->sessions) > 0)
        return TRUE;
    g_set_error_literal(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_NOT_A_RECORDING,
                        "It was cut or damaged before anything of a program was in it");
    return FALSE;
}

static gint compare_cards(gconstpointer a, gconstpointer b) {
    const TtSessionCard *one = *(TtSessionCard *const *)a, *other = *(TtSessionCard *const *)b;

    return one->order < other->order ? -1 : one->order > other->order;
}

static void free_card(gpointer data) { tt_session_card_free(data); }

static void free_id(gpointer data) { g_bytes_unref(data); }

static void list_cards(TtReplay *replay) {
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, replay->sessions);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Told *told = value;

        if (!told->has_ended && !replay->is_whole)
            told->card->summary.state = TT_SESSION_LOST;
        g_ptr_array_add(replay->cards, told->card);
    }
    g_ptr_array_sort(replay->cards, compare_cards);
}

TtReplay *tt_replay_open(TtIntake *intake, int fd, GCancellable *cancellable, GError **error) {
    g_autoptr(TtReplay) replay = g_new0(TtReplay, 1);

    replay->intake = intake;
    replay->fd = fd;
    replay->cancellable = cancellable ? g_object_ref(cancellable) : NULL;
    replay->sessions = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    replay->ids = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, free_id, NULL);
    replay->cards = g_ptr_array_new_with_free_func(free_card);
    gboolean is_read = scan(replay, error);
    list_cards(replay);
    return is_read ? g_steal_pointer(&replay) : NULL;
}

void tt_replay_free(TtReplay *replay) {
    if (!replay)
        return;
    g_ptr_array_unref(replay->cards);
    g_hash_table_unref(replay->sessions);
    g_hash_table_unref(replay->ids);
    g_clear_object(&replay->cancellable);
    close(replay->fd);
    g_free(replay);
}

GPtrArray *tt_replay_get_cards(TtReplay *replay) { return replay->cards; }

/* ---- One session ---- */

/* What keeps a snapshot's live blocks readable: a session of its own. */
typedef struct Held {
    TtSession *session;
    TtPin *pin;
} Held;

static void release_held(gpointer data) {
    Held *held = data;

    if (held->pin)
        tt_session_unpin(held->session, held->pin);
    tt_session_free(held->session);
    g_free(held);
}

static gsize fetch(gpointer data, TtBlockRow *ret_rows, gsize max) {
    Held *held = data;

    return tt_session_read_live(held->session, held->pin, ret_rows, max);
}

static void rewind_live(gpointer data) {
    Held *held = data;

    tt_session_rewind_pin(held->session, held->pin);
}

static Held *hold_session(TtReplay *replay, const TtSessionInfo *info) {
    Held *held = g_new0(Held, 1);
    TtModelLimits limits;

    tt_model_limits_init(&limits);
    limits.history_blocks = replay->intake->options.history_blocks;
    tt_registry_set_limits(replay->intake->registry, &limits);
    held->session = tt_session_new(info, &limits);
    return held;
}

/* @wanted: (nullable): the snapshot whose instant is kept on the way */
static TtRetelling *begin_retelling(TtSession *session, const TtSnapshot *wanted) {
    const TtTimescale *scale = &tt_session_get_info(session)->timescale;
    const TtInstantRow *instant = wanted ? tt_snapshot_get_instant(wanted) : NULL;
    guint64 stamp = G_MAXUINT64;
    gsize mark_count;

    if (instant && instant->kind == TT_INSTANT_MARK) {
        tt_snapshot_get_marks(wanted, &mark_count);
        tt_session_want_mark(session, (guint32)mark_count - 1);
    } else if (instant && instant->kind == TT_INSTANT_START) {
        stamp = tt_saturating_sub(scale->start_stamp, 1);
    } else if (instant && instant->kind == TT_INSTANT_PEAK) {
        stamp = instant->peak_stamp;
    } else if (instant) {
        stamp = tt_timescale_stamp(scale, instant->t_ns);
    }
    return tt_retelling_new(session, stamp);
}

/* The sections of one session, up to where they hold. @wanted: as of begin_retelling(). Returns:
 * (nullable): NULL with @error set: cancelled, or the file has changed. */
static Held *retell(TtReplay *replay, const Told *told, const TtSnapshot *wanted, GError **error) {
    g_autoptr(TtSectionReader) reader = tt_section_reader_new(replay->fd, error);
    g_autoptr(TtRetelling) retelling = NULL;
    Held *held = NULL;
    TtSection section;
    gboolean has_more = TRUE;

    while (reader && has_more && tt_section_read(reader, &section)) {
        if (is_cancelled(replay, error)) {
            g_clear_pointer(&held, release_held);
            return NULL;
        }
        if (section.head.session == 0)
            break;
        if (section.head.session != told->card->order)
            continue;
        if (!held) {
            TtCursor steps = section.steps;
            g_autoptr(TtSessionInfo) info = tt_retell_read_info(&steps);

            if (!info)
                break;
            held = hold_session(replay, info);
            retelling = begin_retelling(held->session, wanted);
        }
        has_more = tt_retelling_take(retelling, &section);
    }
    if (!held) {
        if (error && !*error)
            g_set_error_literal(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_NOT_A_RECORDING,
                                "It changed while it was read");
        return NULL;
    }
    if (!tt_retelling_finish(retelling) || (!told->has_ended && !replay->is_whole)) {
        tt_session_add_doubt(held->session, CUT);
        tt_session_end(held->session, TT_SESSION_LOST, -1, 0);
    }
    if (tt_retelling_lacks_inheritance(retelling))
        tt_session_add_doubt(held->session, CUT_OFF);
    return held;
}

static guint64 get_realtime_ns(const TtReplay *replay, const Told *told) {
    return replay->is_whole ? replay->realtime_ns : told->realtime_ns;
}

static const Told *find_told(TtReplay *replay, const guint8 *session_id, GError **error) {
    for (guint i = 0; i < replay->cards->len; i++) {
        const TtSessionCard *card = g_ptr_array_index(replay->cards, i);

        if (memcmp(card->id, session_id, sizeof card->id) == 0)
            return find_session(replay, card->order);
    }
    g_set_error_literal(error, TT_INTAKE_ERROR, TT_INTAKE_ERROR_GONE,
                        "There is no such session in the recording");
    return NULL;
}

/* Takes both. */
static TtHeldSnapshot *hand_out(Held *held, TtSnapshot *snapshot, guint64 realtime_ns) {
    TtHeldSnapshot *taken = g_new0(TtHeldSnapshot, 1);

    taken->snapshot = snapshot;
    taken->realtime_ns = realtime_ns;
    taken->held = held;
    taken->release = release_held;
    tt_snapshot_set_fetch(snapshot, fetch, rewind_live, held);
    tt_snapshot_settle(snapshot);
    return taken;
}

/* @wanted: as of begin_retelling(). Returns: both of them, or NULL with @error set. */
static TtSnapshot *take(TtReplay *replay, const Told *told, const TtInstant *instant,
                        const TtSnapshot *wanted, Held **ret_held, GError **error) {
    Held *held = retell(replay, told, wanted, error);

    if (!held)
        return NULL;
    TtSnapshot *snapshot = tt_snapshot_new_at(held->session, instant, 0, &held->pin, error);
    if (snapshot)
        *ret_held = held;
    else
        release_held(held);
    return snapshot;
}

TtHeldSnapshot *tt_replay_take_snapshot(TtReplay *replay, const guint8 *session_id,
                                        const TtInstant *instant, GError **error) {
    static const TtInstant now = {.kind = TT_INSTANT_NOW};
    const Told *told = find_told(replay, session_id, error);
    Held *held, *again;

    if (!told)
        return NULL;
    instant = instant ? instant : &now;
    TtSnapshot *snapshot = take(replay, told, instant, NULL, &held, error);
    if (!snapshot || tt_snapshot_is_whole(snapshot))
        return snapshot ? hand_out(held, snapshot, get_realtime_ns(replay, told)) : NULL;

    release_held(held);
    TtSnapshot *whole = take(replay, told, instant, snapshot, &again, error);
    tt_snapshot_free(snapshot);
    return whole ? hand_out(again, whole, get_realtime_ns(replay, told)) : NULL;
}

TtHeldSnapshot *tt_replay_take_lives(TtReplay *replay, const guint8 *session_id, guint64 addr,
                                     GError **error) {
    const Told *told = find_told(replay, session_id, error);
    Held *held = told ? retell(replay, told, NULL, error) : NULL;

    if (!held)
        return NULL;
    TtSnapshot *snapshot = tt_snapshot_new_lives(held->session, addr, &held->pin);
    return hand_out(held, snapshot, get_realtime_ns(replay, told));
}
