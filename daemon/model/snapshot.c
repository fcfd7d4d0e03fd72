/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot is made in one go by the session's owner, and shares with it only what never changes:
 * the nodes of stacks, and strings that count their references. So it outlives the session, and any
 * thread may free it. Live blocks are not in it; they are read through a pin, by the owner. */
#include "model/reader.h"

#define MARKS_TOLD_MAX 8u
#define NAME_TOLD_BYTES 60u

const char *tt_state_source_name(TtStateSource source) {
    static const char *const names[] = {
        [TT_STATE_PRESENT] = "present",
        [TT_STATE_KEPT] = "kept",
        [TT_STATE_LED_BACK] = "led_back",
    };

    return names[source];
}

/* ---- Taking one ---- */

static GArray *read_moving(const TtSession *session) {
    GArray *moving = g_array_new(FALSE, FALSE, sizeof(guint64));

    for (guint32 i = 0; i < session->threads.count; i++) {
        guint32 slot = session->threads.threads[i].open_slot;
        guint64 id = slot ? tt_blocks_get(&session->blocks, slot)->id : 0;

        if (slot)
            g_array_append_val(moving, id);
    }
    return moving;
}

/* All but the blocks and what the instant says of itself. Takes @state. */
static TtSnapshot *begin(const TtSession *session, TtState *state, gsize mark_count) {
    TtSnapshot *snapshot = g_new0(TtSnapshot, 1);

    snapshot->info = tt_session_info_copy(session->info);
    snapshot->session_state = session->state;
    snapshot->moving = read_moving(session);
    snapshot->exit_status = session->exit_status;
    snapshot->state = state;
    snapshot->marks = tt_names_copy_marks(&session->names, &session->info->timescale, mark_count);
    snapshot->mark_count = mark_count;
    snapshot->completeness = tt_completeness_copy(&state->completeness);
    snapshot->instant = (TtInstantRow){.t_ns = state->time_ns};
    snapshot->end_id = session->next_id;
    snapshot->end_ns = G_MAXUINT64;
    snapshot->has_all_dead = TRUE;
    snapshot->origin_stamp = session->start_stamp;
    snapshot->inherited_count = session->heritage.id_count;
    snapshot->sampling = session->sampling;
    snapshot->stacks = tt_stacks_ref(session->stacks);
    snapshot->stack_of = g_memdup2(session->sites.stack_of, session->sites.count * sizeof(guint32));
    tt_history_copy(&session->history, &session->blocks.extras, &snapshot->freed);
    snapshot->dead_count = snapshot->freed.count;
    return snapshot;
}

TtSnapshot *tt_snapshot_new(TtSession *session, TtPin **ret_pin) {
    TtState *state = tt_state_new(session);

    *ret_pin = tt_session_pin(session);
    return begin(session, state, session->names.marks->len);
}

/* As a mark has kept it, or a session that was told again for it. */
static TtSnapshot *begin_kept(TtSession *session, const TtKeptMark *kept, TtPin **ret_pin) {
    TtSnapshot *snapshot = begin(session, tt_state_ref(kept->state), kept->mark_count);
    guint64 since = tt_history_count_pushed(&session->history) - kept->death_count;

    snapshot->instant.source = TT_STATE_KEPT;
    snapshot->end_id = kept->next_id;
    snapshot->has_all_dead =
        since <= snapshot->freed.count && session->history.skipped == kept->missed_count;
    snapshot->dead_count =
        since <= snapshot->freed.count ? snapshot->freed.count - (gsize)since : 0;
    snapshot->completeness.history_dropped =
        kept->death_count + kept->missed_count - snapshot->dead_count;
    if (kept->pin) {
        *ret_pin = tt_pins_add_again(kept->pin);
    } else {
        *ret_pin = tt_session_pin(session);
        snapshot->is_filtered = TRUE;
        snapshot->is_sum_known = TRUE;
        snapshot->known_blocks = kept->state->totals.live_blocks;
        snapshot->known_bytes = kept->state->totals.live_bytes;
    }
    return snapshot;
}

/* How many of the freed had died by then. */
static gsize count_dead_by(const TtSnapshot *snapshot, guint64 time_ns) {
    const TtTimescale *scale = &snapshot->info->timescale;
    gsize from = 0, to = snapshot->freed.count;

    while (from < to) {
        gsize at = from + (to - from) / 2;

        if (tt_timescale_ns(scale, snapshot->origin_stamp + snapshot->freed.freed[at].died) <=
            time_ns)
            from = at + 1;
        else
            to = at;
    }
    return from;
}

/* The present, to be led back to the last event up to a time. */
static TtSnapshot *begin_earlier(TtSession *session, guint64 time_ns, gsize mark_count,
                                 TtPin **ret_pin) {
    TtSnapshot *snapshot = begin(session, tt_state_new(session), mark_count);
    const TtHistory *history = &session->history;

    *ret_pin = tt_session_pin(session);
    snapshot->instant.source = TT_STATE_LED_BACK;
    snapshot->is_filtered = TRUE;
    snapshot->end_ns = time_ns;
    snapshot->dead_count = count_dead_by(snapshot, time_ns);
    /* One that had died is retained, so are all that died later. */
    snapshot->has_all_dead = time_ns >= snapshot->state->time_ns ||
                             history->total == history->count ||
                             (snapshot->dead_count > 0 && history->skipped == 0);
    snapshot->instant.t_ns = time_ns;
    return snapshot;
}

static gsize count_marks_by(const TtSession *session, guint64 time_ns) {
    const TtTimescale *scale = &session->info->timescale;
    gsize count = 0;

    while (count < session->names.marks->len &&
           tt_timescale_ns(scale, g_array_index(session->names.marks, TtMark, count).stamp) <=
               time_ns)
        count++;
    return count;
}

static TtSnapshot *begin_at_time(TtSession *session, guint64 time_ns, guint64 now_stamp,
                                 TtPin **ret_pin, GError **error) {
    guint64 end_ns = tt_session_tick_ns(session, session->now);
    TtSnapshot *snapshot;

    if (session->state == TT_SESSION_RUNNING)
        end_ns = MAX(end_ns, tt_timescale_ns(&session->info->timescale, now_stamp));
    if (time_ns > end_ns) {
        g_set_error(error, TT_MODEL_ERROR, TT_MODEL_ERROR_INSTANT,
                    "The time is outside the session, which %s %" G_GUINT64_FORMAT ".%03u s",
                    session->state == TT_SESSION_RUNNING ? "has lasted" : "lasted",
                    end_ns / 1000000000, (guint)(end_ns / 1000000 % 1000));
        return NULL;
    }
    if (session->marks.wanted)
        snapshot = begin_kept(session, session->marks.wanted, ret_pin);
    else
        snapshot = begin_earlier(session, time_ns, count_marks_by(session, time_ns), ret_pin);
    snapshot->instant.t_ns = time_ns;
    return snapshot;
}

/* What was kept is of the end of a stamp, in which more may have happened after the peak. */
static gboolean is_at_peak(const TtSession *session, const TtState *state) {
    gsize i = 0;

    if (state->totals.live_bytes != session->sites.peak_bytes)
        return FALSE;
    while (i < state->site_count && state->sites[i].live_bytes == state->sites[i].peak_bytes &&
           state->sites[i].live_blocks == state->sites[i].peak_blocks)
        i++;
    return i == state->site_count;
}

static TtSnapshot *begin_at_start(TtSession *session, TtPin **ret_pin) {
    TtSnapshot *snapshot;

    if (session->marks.wanted) {
        snapshot = begin_kept(session, session->marks.wanted, ret_pin);
        snapshot->instant.t_ns = 0;
        return snapshot;
    }
    snapshot = begin_earlier(session, 0, 0, ret_pin);
    snapshot->end_id = 1;
    snapshot->dead_count = 0;
    if (snapshot->inherited_count == 0) {
        snapshot->has_all_dead = TRUE; /* none of them was alive */
        return snapshot;
    }
    snapshot->is_sum_known = TRUE;
    snapshot->known_blocks = session->heritage.amount.blocks;
    snapshot->known_bytes = session->heritage.amount.bytes;
    return snapshot;
}

static TtSnapshot *begin_at_peak(TtSession *session, TtPin **ret_pin) {
    guint64 peak_ns = tt_session_tick_ns(session, session->sites.peak_tick);
    const TtKeptMark *kept = session->marks.wanted;
    TtSnapshot *snapshot;

    if (session->sites.peak_bytes == 0)
        return begin_at_start(session, ret_pin);
    if (kept && is_at_peak(session, kept->state)) {
        snapshot = begin_kept(session, kept, ret_pin);
        snapshot->instant.t_ns = peak_ns;
        return snapshot;
    }
    snapshot = begin_earlier(session, peak_ns, count_marks_by(session, peak_ns), ret_pin);
    snapshot->is_sum_known = TRUE;
    snapshot->known_blocks = session->sites.peak_blocks;
    snapshot->known_bytes = session->sites.peak_bytes;
    return snapshot;
}

/* Returns: (transfer full): a name in a sentence: all on its line, cut between two characters. */
static char *quote(const char *name) {
    gsize len = strnlen(name, NAME_TOLD_BYTES);

    while (len > 0 && (name[len] & 0xc0) == 0x80)
        len--;
    return g_strdelimit(g_strdup_printf("'%.*s%s'", (int)len, name, name[len] ? "…" : ""), "\n",
                        ' ');
}

static void refuse_mark(const TtSession *session, const char *name, GError **error) {
    const GArray *marks = session->names.marks;
    g_autoptr(GString) told = g_string_new(NULL);
    g_autofree char *asked = quote(name);

    for (guint i = marks->len - MIN(marks->len, MARKS_TOLD_MAX); i < marks->len; i++) {
        g_autofree char *one = quote(g_array_index(marks, TtMark, i).name);

        g_string_append_printf(told, "%s%s", told->len > 0 ? ", " : "", one);
    }
    if (marks->len == 0)
        g_string_append(told, "none at all");
    g_set_error(error, TT_MODEL_ERROR, TT_MODEL_ERROR_INSTANT,
                "There is no mark %s in the session; there %s %s%s", asked,
                marks->len == 1 ? "is" : "are", marks->len > MARKS_TOLD_MAX ? "…, " : "",
                told->str);
}

static TtSnapshot *begin_at_mark(TtSession *session, const char *name, TtPin **ret_pin,
                                 GError **error) {
    guint index = session->names.marks->len;

    while (index > 0 &&
           !g_str_equal(g_array_index(session->names.marks, TtMark, index - 1).name, name))
        index--;
    if (index-- == 0) {
        refuse_mark(session, name, error);
        return NULL;
    }

    const TtKeptMark *kept = tt_session_find_kept_mark(session, index);
    const TtMark *mark = &g_array_index(session->names.marks, TtMark, index);
    guint64 time_ns = tt_timescale_ns(&session->info->timescale, mark->stamp);
    TtSnapshot *snapshot = kept ? begin_kept(session, kept, ret_pin)
                                : begin_earlier(session, time_ns, index + 1, ret_pin);
    if (!kept) {
        snapshot->is_sum_known = TRUE;
        snapshot->known_blocks = mark->live_blocks;
        snapshot->known_bytes = mark->live_bytes;
    }
    snapshot->instant.mark = snapshot->marks[index].name;
    snapshot->instant.t_ns = time_ns;
    return snapshot;
}

TtSnapshot *tt_snapshot_new_at(TtSession *session, const TtInstant *instant, guint64 now_stamp,
                               TtPin **ret_pin, GError **error) {
    TtSnapshot *snapshot = NULL;

    switch (instant->kind) {
    case TT_INSTANT_NOW:
        snapshot = tt_snapshot_new(session, ret_pin);
        break;
    case TT_INSTANT_START:
        snapshot = begin_at_start(session, ret_pin);
        break;
    case TT_INSTANT_PEAK:
        snapshot = begin_at_peak(session, ret_pin);
        snapshot->instant.peak_stamp = session->start_stamp + session->sites.peak_tick;
        break;
    case TT_INSTANT_MARK:
        snapshot = begin_at_mark(session, instant->mark, ret_pin, error);
        break;
    case TT_INSTANT_TIME:
        snapshot = begin_at_time(session, instant->time_ns, now_stamp, ret_pin, error);
        break;
    }
    if (snapshot)
        snapshot->instant.kind = instant->kind;
    return snapshot;
}

void tt_snapshot_free(TtSnapshot *snapshot) {
    if (!snapshot)
        return;
    tt_session_info_free(snapshot->info);
    tt_state_unref(snapshot->state);
    tt_mark_rows_free(snapshot->marks, snapshot->mark_count);
    tt_completeness_clear(&snapshot->completeness);
    tt_stacks_unref(snapshot->stacks);
    g_free(snapshot->stack_of);
    tt_freed_copy_clear(&snapshot->freed);
    g_clear_pointer(&snapshot->lives, g_array_unref);
    g_array_unref(snapshot->moving);
    g_free(snapshot);
}

/* ---- Live blocks, by the owner ---- */

/* A block that its session began with: how long before that it was born. */
static void set_inherited(TtBlockRow *row, const TtTimescale *scale, guint64 origin_stamp,
                          guint64 born) {
    TtTimescale from_birth = *scale;

    from_birth.start_stamp = origin_stamp + born;
    row->is_inherited = TRUE;
    row->before_ns = tt_timescale_ns(&from_birth, scale->start_stamp);
}

void tt_session_fill_row(const TtSession *session, const TtPin *pin, guint32 slot,
                         TtBlockRow *row) {
    const TtExtrasPool *pool = &session->blocks.extras;
    const TtBlock *block = tt_blocks_get(&session->blocks, slot);

    *row = (TtBlockRow){
        .id = block->id,
        .addr = block->addr,
        .size = block->size,
        .weight = tt_sampling_get_weight(&session->sampling, block->id, block->size),
        .born_ns = tt_session_tick_ns(session, block->born),
        .died_ns = TT_TIME_NONE,
        .stack = session->sites.stack_of[tt_block_get_site(&session->blocks, block)],
        .freed_stack = TT_STACK_NONE,
        .variable = TT_NONE,
        .scope = TT_NONE,
        .thread = block->thread,
        .freed_by = TT_NONE,
    };
    if (block->id <= session->heritage.id_count)
        set_inherited(row, &session->info->timescale, session->start_stamp, block->born);
    if (!(block->flags & TT_BLOCK_HAS_EXTRAS))
        return;

    const TtExtras *extras = tt_extras_get(pool, block->site_or_extras);
    guint32 variable = tt_extras_variable_at(pool, block->site_or_extras, pin->point->number);
    row->resized_from = extras->resized_from;
    row->spare = tt_extras_get_spare(extras);
    /* The snapshot has no rows for what was named since. */
    row->variable = variable < pin->point->variable_count ? variable : TT_NONE;
    row->scope = extras->scope < pin->point->scope_count ? extras->scope : TT_NONE;
}

gsize tt_session_read_live(TtSession *session, TtPin *pin, TtBlockRow *ret_rows, gsize max) {
    gsize count = 0;

    while (count < max) {
        guint32 slot = tt_pin_next_slot(pin, &session->blocks);

        if (slot == 0)
            break;
        tt_session_fill_row(session, pin, slot, &ret_rows[count++]);
    }
    return count;
}

void tt_session_rewind_pin(TtSession *session, TtPin *pin) {
    (void)session;
    pin->at_slot = 1;
}

void tt_session_unpin(TtSession *session, TtPin *pin) {
    tt_pins_remove(&session->pins, pin, &session->blocks);
}

/* ---- Reading, by the holder ---- */

void tt_snapshot_set_fetch(TtSnapshot *snapshot, TtLiveFetch fetch, void (*rewind)(gpointer data),
                           gpointer data) {
    snapshot->fetch = fetch;
    snapshot->rewind = rewind;
    snapshot->fetch_data = data;
}

/* A block that has died since, as it was. */
static void revive(TtBlockRow *row) {
    row->died_ns = TT_TIME_NONE;
    row->freed_by = TT_NONE;
    row->freed_stack = TT_STACK_NONE;
}

/* Names and threads that came later are not in the state shown. */
static void forget_later(const TtSnapshot *snapshot, TtBlockRow *row) {
    if (row->variable >= snapshot->state->variable_count)
        row->variable = TT_NONE;
    if (row->scope >= snapshot->state->scope_count)
        row->scope = TT_NONE;
}

static gsize next_led_back(TtSnapshot *snapshot, TtBlockRow *ret_rows, gsize max) {
    gsize count = 0, fetched;

    while (count == 0 && (fetched = snapshot->fetch(snapshot->fetch_data, ret_rows, max)) > 0)
        for (gsize i = 0; i < fetched; i++)
            if (tt_snapshot_has_born(snapshot, &ret_rows[i]))
                ret_rows[count++] = ret_rows[i];
    for (; count < max && snapshot->at_freed < snapshot->freed.count; snapshot->at_freed++) {
        tt_snapshot_fill_freed(snapshot, snapshot->at_freed, &ret_rows[count]);
        revive(&ret_rows[count]);
        count += tt_snapshot_has_born(snapshot, &ret_rows[count]);
    }
    for (gsize i = 0; i < count; i++)
        forget_later(snapshot, &ret_rows[i]);
    return count;
}

gsize tt_snapshot_next_live(TtSnapshot *snapshot, TtBlockRow *ret_rows, gsize max) {
    if (!snapshot->fetch || max == 0)
        return 0;
    if (snapshot->is_filtered)
        return next_led_back(snapshot, ret_rows, max);
    return snapshot->fetch(snapshot->fetch_data, ret_rows, max);
}

void tt_snapshot_rewind_live(TtSnapshot *snapshot) {
    snapshot->at_freed = snapshot->dead_count;
    if (snapshot->rewind)
        snapshot->rewind(snapshot->fetch_data);
}

gboolean tt_snapshot_has_born(const TtSnapshot *snapshot, const TtBlockRow *row) {
    return row->is_inherited || (row->id < snapshot->end_id && row->born_ns <= snapshot->end_ns);
}

gboolean tt_snapshot_is_whole(const TtSnapshot *snapshot) {
    return !snapshot->is_filtered || snapshot->has_all_dead;
}

const TtInstantRow *tt_snapshot_get_instant(const TtSnapshot *snapshot) {
    return &snapshot->instant;
}

gboolean tt_snapshot_is_led_back(const TtSnapshot *snapshot) {
    return snapshot->instant.source == TT_STATE_LED_BACK;
}

const TtSessionInfo *tt_snapshot_get_info(const TtSnapshot *snapshot) { return snapshot->info; }

TtSessionState tt_snapshot_get_state(const TtSnapshot *snapshot, gint *ret_exit_status) {
    if (ret_exit_status)
        *ret_exit_status = snapshot->exit_status;
    return snapshot->session_state;
}

guint64 tt_snapshot_get_time_ns(const TtSnapshot *snapshot) { return snapshot->state->time_ns; }

const TtTotals *tt_snapshot_get_totals(const TtSnapshot *snapshot) {
    return &snapshot->state->totals;
}

const TtCompleteness *tt_snapshot_get_completeness(const TtSnapshot *snapshot) {
    return &snapshot->completeness;
}

const TtSample *tt_snapshot_get_sample(const TtSnapshot *snapshot) {
    return snapshot->state->sample.mean_bytes > 0 ? &snapshot->state->sample : NULL;
}

const TtErrors *tt_snapshot_get_site_errors(const TtSnapshot *snapshot) {
    return snapshot->state->site_errors;
}

TtVariance tt_snapshot_get_live_variance(const TtSnapshot *snapshot, gsize site) {
    const TtSiteVariance *variances = snapshot->state->variances;

    return variances ? variances[site].live : (TtVariance){.blocks = 0};
}

TtVariance tt_snapshot_get_block_variance(const TtSnapshot *snapshot, const TtBlockRow *row) {
    TtVariance variance = {.blocks = 0};
    TtAmount weight;

    if (snapshot->sampling.mean_bytes > 0)
        (void)tt_sampling_weigh(&snapshot->sampling, row->id, row->size, &weight, &variance);
    return variance;
}

const TtSiteRow *tt_snapshot_get_sites(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->state->site_count;
    return snapshot->state->sites;
}

const TtModuleRow *tt_snapshot_get_modules(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->state->module_count;
    return snapshot->state->modules;
}

const guint64 *tt_snapshot_get_moving(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->moving->len;
    return (const guint64 *)(gconstpointer)snapshot->moving->data;
}

const TtThreadRow *tt_snapshot_get_threads(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->state->thread_count;
    return snapshot->state->threads;
}

const TtVariableRow *tt_snapshot_get_variables(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->state->variable_count;
    return snapshot->state->variables;
}

const TtScopeRow *tt_snapshot_get_scopes(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->state->scope_count;
    return snapshot->state->scopes;
}

const TtTimePoint *tt_snapshot_get_timeline(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->state->timeline_count;
    return snapshot->state->timeline;
}

const TtMarkRow *tt_snapshot_get_marks(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->mark_count;
    return snapshot->marks;
}

const TtGapRow *tt_snapshot_get_gaps(const TtSnapshot *snapshot, gsize *ret_count) {
    *ret_count = snapshot->state->gap_count;
    return snapshot->state->gaps;
}

static guint64 freed_ns(const TtSnapshot *snapshot, guint64 tick) {
    return tt_timescale_ns(&snapshot->info->timescale, snapshot->origin_stamp + tick);
}

void tt_snapshot_fill_freed(const TtSnapshot *snapshot, gsize index, TtBlockRow *row) {
    const TtFreed *freed = &snapshot->freed.freed[index];
    const TtExtras *extras =
        freed->has_extras ? &snapshot->freed.extras[freed->site_or_extras] : NULL;
    const TtExtras *wide = extras && extras->wide_extras ? extras + 1 : NULL;
    guint64 id = tt_freed_get_id(freed), size = wide ? wide->wide.size : freed->size;

    *row = (TtBlockRow){
        .id = id,
        .addr = wide ? wide->wide.addr : freed->addr,
        .size = size,
        .weight = tt_sampling_get_weight(&snapshot->sampling, id, size),
        .born_ns = freed_ns(snapshot, freed->born),
        .died_ns = freed_ns(snapshot, freed->died),
        .resized_from = extras ? extras->resized_from : 0,
        .stack = snapshot->stack_of[extras ? extras->site : freed->site_or_extras],
        .freed_stack = extras ? extras->freed_stack : TT_STACK_NONE,
        .variable = extras ? extras->variable : TT_NONE,
        .scope = extras ? extras->scope : TT_NONE,
        .thread = freed->thread,
        .freed_by = freed->freed_by == TT_THREAD_NONE ? TT_NONE : freed->freed_by,
        .spare = extras ? tt_extras_get_spare(extras) : 0,
    };
    if (id <= snapshot->inherited_count)
        set_inherited(row, &snapshot->info->timescale, snapshot->origin_stamp, freed->born);
}

gsize tt_snapshot_read_freed(const TtSnapshot *snapshot, gsize first, TtBlockRow *ret_rows,
                             gsize max) {
    gsize count = first < snapshot->dead_count ? MIN(max, snapshot->dead_count - first) : 0;

    for (gsize i = 0; i < count; i++)
        tt_snapshot_fill_freed(snapshot, first + i, &ret_rows[i]);
    return count;
}

gsize tt_snapshot_get_freed_count(const TtSnapshot *snapshot) { return snapshot->dead_count; }

gsize tt_snapshot_get_frames(const TtSnapshot *snapshot, guint32 stack, TtFrame *ret_frames,
                             gboolean *ret_is_truncated) {
    return tt_stacks_read_frames(snapshot->stacks, stack, snapshot->state->module_count, ret_frames,
                                 ret_is_truncated);
}
