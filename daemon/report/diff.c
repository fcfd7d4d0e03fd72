/* SPDX-License-Identifier: Apache-2.0 */
/* What lies between two instants of a session.
 *
 * By stack there are two sums, of what was alive at the one and at the other, and from the list of
 * the later one's blocks a third, of those that were born in between. The rest follows: what was
 * alive at the later and had been born has survived, and what has not survived was freed. */
#include "protocol/checked.h"
#include "report/json-parts.h"
#include "report/plain.h"
#include "report/svg/scale.h"
#include "report/text.h"

#define SLICE_ROWS 4096
#define TEXT_TOP 20u
#define SIZE_COLUMNS 10u
#define COUNT_COLUMNS 9u

typedef struct Amount {
    guint64 blocks, bytes;
    TtVariance variance; /* of a sample: how far off both may be */
} Amount;

/* What happened to the blocks of one stack, or of all. */
typedef struct Change {
    guint32 stack;
    Amount before, after, born;
} Change;

/* Borrows what it is made from. */
typedef struct Diff {
    TtSnapshot *before, *after;
    GArray *changes; /* of Change; owned */
    Change total;
} Diff;

/* Of blocks that are among others: the rest of those. */
static Amount subtract(const Amount *all, const Amount *some) {
    const TtVariance *most = &all->variance, *less = &some->variance;

    return (Amount){
        .blocks = tt_saturating_sub(all->blocks, some->blocks),
        .bytes = tt_saturating_sub(all->bytes, some->bytes),
        .variance = {.blocks = most->blocks - MIN(less->blocks, most->blocks),
                     .bytes = most->bytes - MIN(less->bytes, most->bytes)},
    };
}

static Amount survived(const Change *change) { return subtract(&change->after, &change->born); }

static Amount freed(const Change *change) {
    Amount left = survived(change);

    return subtract(&change->before, &left);
}

/* What survived is in both sums, and off by the same in both. */
static TtVariance growth_variance(const Change *change) {
    Amount gone = freed(change);

    return (TtVariance){.blocks = change->born.variance.blocks + gone.variance.blocks,
                        .bytes = change->born.variance.bytes + gone.variance.bytes};
}

/* ---- Making it ---- */

static Change *find_change(Diff *diff, GHashTable *index, guint32 stack) {
    guint at = GPOINTER_TO_UINT(g_hash_table_lookup(index, GUINT_TO_POINTER(stack)));

    if (at == 0) {
        Change change = {.stack = stack};

        g_array_append_val(diff->changes, change);
        at = diff->changes->len;
        g_hash_table_insert(index, GUINT_TO_POINTER(stack), GUINT_TO_POINTER(at));
    }
    return &g_array_index(diff->changes, Change, at - 1);
}

static void add(Amount *sum, const Amount *other) {
    sum->blocks += other->blocks;
    sum->bytes = tt_saturating_add(sum->bytes, other->bytes);
    sum->variance.blocks += other->variance.blocks;
    sum->variance.bytes += other->variance.bytes;
}

static Amount amount_of_site(const TtSnapshot *snapshot, const TtSiteRow *sites, gsize i) {
    return (Amount){sites[i].live_blocks, sites[i].live_bytes,
                    tt_snapshot_get_live_variance(snapshot, i)};
}

static void add_sites(Diff *diff, GHashTable *index) {
    gsize count;
    const TtSiteRow *sites = tt_snapshot_get_sites(diff->before, &count);

    for (gsize i = 0; i < count; i++) {
        Amount amount = amount_of_site(diff->before, sites, i);

        if (amount.blocks > 0)
            add(&find_change(diff, index, sites[i].stack)->before, &amount);
    }
    sites = tt_snapshot_get_sites(diff->after, &count);
    for (gsize i = 0; i < count; i++) {
        Amount amount = amount_of_site(diff->after, sites, i);

        if (amount.blocks > 0)
            add(&find_change(diff, index, sites[i].stack)->after, &amount);
    }
}

static void add_born(Diff *diff, GHashTable *index) {
    g_autofree TtBlockRow *rows = g_new(TtBlockRow, SLICE_ROWS);
    gsize count;

    tt_snapshot_rewind_live(diff->after);
    while ((count = tt_snapshot_next_live(diff->after, rows, SLICE_ROWS)) > 0)
        for (gsize i = 0; i < count; i++) {
            Amount amount = {rows[i].weight.blocks, rows[i].weight.bytes, {.blocks = 0}};

            if (tt_snapshot_has_born(diff->before, &rows[i]))
                continue;
            amount.variance = tt_snapshot_get_block_variance(diff->after, &rows[i]);
            add(&find_change(diff, index, rows[i].stack)->born, &amount);
        }
}

/* By what is new, then by what has gone, then by age. */
static gint compare_changes(gconstpointer a, gconstpointer b) {
    const Change *one = a, *other = b;
    Amount gone = freed(one), other_gone = freed(other);

    if (one->born.bytes != other->born.bytes)
        return one->born.bytes > other->born.bytes ? -1 : 1;
    if (gone.bytes != other_gone.bytes)
        return gone.bytes > other_gone.bytes ? -1 : 1;
    return (one->stack > other->stack) - (one->stack < other->stack);
}

static void diff_init(Diff *diff, TtSnapshot *before, TtSnapshot *after) {
    g_autoptr(GHashTable) index = g_hash_table_new(NULL, NULL);

    *diff = (Diff){
        .before = before, .after = after, .changes = g_array_new(FALSE, FALSE, sizeof(Change))};
    add_sites(diff, index);
    add_born(diff, index);
    g_array_sort(diff->changes, compare_changes);
    for (guint i = 0; i < diff->changes->len; i++) {
        const Change *change = &g_array_index(diff->changes, Change, i);

        add(&diff->total.before, &change->before);
        add(&diff->total.after, &change->after);
        add(&diff->total.born, &change->born);
    }
}

static void diff_clear(Diff *diff) { g_clear_pointer(&diff->changes, g_array_unref); }
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Diff, diff_clear)

/* ---- As JSON ---- */

static void put_growth(TtJsonWriter *writer, const char *key, guint64 before, guint64 after) {
    tt_json_key(writer, key);
    /* Sums are below 2^63. */
    tt_json_int(writer, (gint64)after - (gint64)before);
}

static void put_error(TtJsonWriter *writer, const char *what, const TtVariance *variance) {
    TtAmount error = tt_variance_get_error(variance);
    g_autofree char *blocks = g_strconcat(what, "_blocks_error", NULL);
    g_autofree char *bytes = g_strconcat(what, "_bytes_error", NULL);

    tt_json_put_uint(writer, blocks, error.blocks);
    tt_json_put_uint(writer, bytes, error.bytes);
}

static void put_errors(TtJsonWriter *writer, const Change *change) {
    Amount left = survived(change), gone = freed(change);
    TtVariance growth = growth_variance(change);

    put_error(writer, "born", &change->born.variance);
    put_error(writer, "surviving", &left.variance);
    put_error(writer, "freed", &gone.variance);
    put_error(writer, "growth", &growth);
}

static void put_change(TtJsonWriter *writer, const Change *change, gboolean is_sampled) {
    Amount left = survived(change), gone = freed(change);

    tt_json_put_uint(writer, "born_blocks", change->born.blocks);
    tt_json_put_uint(writer, "born_bytes", change->born.bytes);
    tt_json_put_uint(writer, "surviving_blocks", left.blocks);
    tt_json_put_uint(writer, "surviving_bytes", left.bytes);
    tt_json_put_uint(writer, "freed_blocks", gone.blocks);
    tt_json_put_uint(writer, "freed_bytes", gone.bytes);
    put_growth(writer, "growth_blocks", change->before.blocks, change->after.blocks);
    put_growth(writer, "growth_bytes", change->before.bytes, change->after.bytes);
    if (is_sampled)
        put_errors(writer, change);
}

static void write_side(TtJsonWriter *writer, const char *key, const TtSnapshot *snapshot) {
    const TtCompleteness *completeness = tt_snapshot_get_completeness(snapshot);
    const TtTotals *totals = tt_snapshot_get_totals(snapshot);

    tt_json_key(writer, key);
    tt_json_begin_object(writer);
    tt_json_write_instant(writer, "instant", snapshot);
    tt_json_put_uint(writer, "live_blocks", totals->live_blocks);
    tt_json_put_uint(writer, "live_bytes", totals->live_bytes);
    tt_json_put_bool(writer, "exact", completeness->exact);
    tt_json_write_unlisted(writer, completeness);
    tt_json_write_doubts(writer, completeness);
    tt_json_end_object(writer);
}

static void write_sites(TtJsonReport *report, const Diff *diff, guint count) {
    tt_json_key(report->writer, "sites");
    tt_json_begin_array(report->writer);
    for (guint i = 0; i < count && !tt_json_has_failed(report->writer); i++) {
        const Change *change = &g_array_index(diff->changes, Change, i);

        tt_json_begin_object(report->writer);
        tt_json_put_uint(report->writer, "stack", change->stack);
        tt_json_put_site_name(report, change->stack);
        put_change(report->writer, change, report->sample != NULL);
        tt_json_end_object(report->writer);
    }
    tt_json_end_array(report->writer);
}

static gboolean write_json(const Diff *diff, TtSymbols *symbols, const TtReportOptions *options,
                           TtSink *sink, GError **error) {
    g_autoptr(TtJsonWriter) writer = tt_json_writer_new(sink);
    TtJsonReport report = {.writer = writer};
    guint count = options->top > 0 ? MIN(options->top, diff->changes->len) : diff->changes->len;

    tt_json_open_report(&report, diff->after, symbols, options);
    for (guint i = 0; i < count; i++)
        tt_json_collect_stack(&report, g_array_index(diff->changes, Change, i).stack);
    tt_frame_names_resolve(report.names);
    tt_json_begin_object(writer);
    tt_json_write_generator(writer);
    tt_json_write_session(&report);
    write_side(writer, "before", diff->before);
    write_side(writer, "after", diff->after);
    tt_json_key(writer, "totals");
    tt_json_begin_object(writer);
    put_change(writer, &diff->total, report.sample != NULL);
    tt_json_end_object(writer);
    tt_json_put_uint(writer, "site_count", diff->changes->len);
    write_sites(&report, diff, count);
    tt_json_write_stacks(&report);
    tt_json_end_object(writer);
    tt_json_close_report(&report);
    return tt_json_finish(writer, error);
}

/* ---- As text ---- */

static char *growth_text(guint64 before, guint64 after) {
    g_autofree char *size = tt_scale_bytes(after > before ? after - before : before - after);

    return g_strconcat(after > before ? "+" : after < before ? "-" : "", size, NULL);
}

/* Nothing where every event was told. */
static void write_error(TtPlain *plain, const Diff *diff, const TtVariance *variance) {
    TtAmount error = tt_variance_get_error(variance);
    g_autofree char *bytes = tt_scale_bytes(error.bytes);

    if (tt_snapshot_get_sample(diff->after))
        tt_plain_addf(plain, ", ±%s", bytes);
}

static void add_instant(TtPlain *plain, const TtSnapshot *snapshot) {
    const TtInstantRow *instant = tt_snapshot_get_instant(snapshot);
    g_autofree char *when = tt_scale_time(instant->t_ns);

    if (instant->kind == TT_INSTANT_TIME)
        tt_plain_add(plain, when);
    else if (instant->kind == TT_INSTANT_MARK)
        tt_plain_addf(plain, "'%.40s' (%s)", instant->mark, when);
    else
        tt_plain_addf(plain, "%s (%s)", tt_instant_kind_name(instant->kind), when);
}

/* An estimate says how far off it may be: "1.20 MB in 31 blocks, ±80 KB". */
static void write_amount(TtPlain *plain, const Diff *diff, const char *what, const Amount *amount) {
    g_autofree char *bytes = tt_scale_bytes(amount->bytes);
    g_autofree char *count = tt_scale_things(amount->blocks, "block");

    tt_plain_cell(plain, what, 16, TT_PLAIN_LEFT);
    tt_plain_addf(plain, "%s in %s", bytes, count);
    write_error(plain, diff, &amount->variance);
    tt_plain_end_line(plain);
}

static void write_heading(TtPlain *plain, const Diff *diff) {
    Amount left = survived(&diff->total), gone = freed(&diff->total);
    TtVariance variance = growth_variance(&diff->total);
    g_autofree char *growth = growth_text(diff->total.before.bytes, diff->total.after.bytes);

    tt_plain_addf(plain, "%s, pid %d: from ",
                  tt_text_basename(tt_snapshot_get_info(diff->after)->exe),
                  tt_snapshot_get_info(diff->after)->pid);
    add_instant(plain, diff->before);
    tt_plain_add(plain, " to ");
    add_instant(plain, diff->after);
    tt_plain_end_line(plain);
    write_amount(plain, diff, "born and alive", &diff->total.born);
    write_amount(plain, diff, "survived", &left);
    write_amount(plain, diff, "freed", &gone);
    tt_plain_addf(plain, "growth          %s", growth);
    write_error(plain, diff, &variance);
    tt_plain_end_line(plain);
}

static void write_sampling(TtPlain *plain, const TtSample *sample) {
    g_autofree char *mean = tt_scale_bytes(sample->mean_bytes);
    g_autofree char *text =
        g_strdup_printf("Estimates from a sample of one in %s; ± is their standard error.", mean);

    tt_plain_paragraph(plain, text);
}

static void write_doubts_of(TtPlain *plain, const TtSnapshot *snapshot, const char *side) {
    const TtCompleteness *completeness = tt_snapshot_get_completeness(snapshot);

    for (guint i = 0; completeness->doubts && i < completeness->doubts->len; i++) {
        g_autofree char *text = g_strdup_printf(
            "Not exact, %s: %s", side, (const char *)g_ptr_array_index(completeness->doubts, i));

        tt_plain_paragraph(plain, text);
    }
    if (!completeness->exact && (!completeness->doubts || completeness->doubts->len == 0) &&
        !tt_snapshot_get_sample(snapshot))
        tt_plain_paragraph(plain, "Not exact: see completeness in tt-ctl export --json.");
}

static void write_row(TtPlain *plain, TtFrameNames *names, const Change *change) {
    g_autofree char *born = tt_scale_bytes(change->born.bytes);
    g_autofree char *count = tt_scale_count_within(change->born.blocks, 7);
    g_autofree char *gone = tt_scale_bytes(freed(change).bytes);
    g_autofree char *left = tt_scale_bytes(survived(change).bytes);
    g_autofree char *growth = growth_text(change->before.bytes, change->after.bytes);
    g_autofree char *label = tt_frame_names_label(names, change->stack);

    tt_plain_cell(plain, born, SIZE_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, count, COUNT_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, gone, SIZE_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, growth, SIZE_COLUMNS + 1, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, left, SIZE_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_add(plain, "  ");
    tt_plain_add(plain, label);
    tt_plain_end_line(plain);
}

static void write_table(TtPlain *plain, const Diff *diff, TtSymbols *symbols, guint top) {
    g_autoptr(TtFrameNames) names = tt_frame_names_new(diff->after, symbols);
    guint changed = 0;

    /* Those that only survived come last. */
    while (changed < diff->changes->len) {
        const Change *change = &g_array_index(diff->changes, Change, changed);

        if (change->born.blocks == 0 && freed(change).blocks == 0)
            break;
        changed++;
    }
    if (changed == 0)
        return;
    for (guint i = 0; i < MIN(changed, top); i++)
        tt_frame_names_add_stack(names, g_array_index(diff->changes, Change, i).stack);
    tt_frame_names_resolve(names);
    tt_plain_end_line(plain);
    tt_plain_cell(plain, "BORN", SIZE_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, "BLOCKS", COUNT_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, "FREED", SIZE_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, "GROWTH", SIZE_COLUMNS + 1, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, "SURVIVED", SIZE_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_add(plain, "  WHERE");
    tt_plain_end_line(plain);
    for (guint i = 0; i < MIN(changed, top); i++)
        write_row(plain, names, &g_array_index(diff->changes, Change, i));
    if (changed > top) {
        tt_plain_addf(plain, "+%u more: see --top", changed - top);
        tt_plain_end_line(plain);
    }
}

static gboolean write_text(const Diff *diff, TtSymbols *symbols, const TtReportOptions *options,
                           TtSink *sink, GError **error) {
    g_auto(TtPlain) plain = {0};

    tt_plain_init(&plain, sink, options->columns);
    write_heading(&plain, diff);
    if (tt_snapshot_get_sample(diff->after))
        write_sampling(&plain, tt_snapshot_get_sample(diff->after));
    write_doubts_of(&plain, diff->before, "before");
    write_doubts_of(&plain, diff->after, "after");
    write_table(&plain, diff, symbols, options->top > 0 ? options->top : TEXT_TOP);
    return tt_sink_write(sink, "", 0, error);
}

gboolean tt_report_diff(TtSnapshot *before, TtSnapshot *after, TtSymbols *symbols,
                        const TtReportOptions *options, TtSink *sink, GError **error) {
    g_auto(Diff) diff = {0};

    diff_init(&diff, before, after);
    return options->is_text ? write_text(&diff, symbols, options, sink, error)
                            : write_json(&diff, symbols, options, sink, error);
}
