/* SPDX-License-Identifier: Apache-2.0 */
/* Which blocks are lost. What was found of a process is judged elsewhere (scan/); here it is told,
 * with how far it can be believed: counts are exact as the session is; a class is conservative, for
 * a word that only looks like a pointer keeps a block; what grows is estimated. */
#include <gio/gio.h>

#include "protocol/checked.h"
#include "report/json-parts.h"
#include "report/plain.h"
#include "report/stack-text.h"
#include "report/suppress.h"
#include "report/svg/scale.h"
#include "report/text.h"

#define TEXT_TOP 20u
#define TEXT_FRAMES_MAX 24u
#define SIZE_COLUMNS 10u
#define COUNT_COLUMNS 10u
#define SHORT_SESSION_NS (10 * G_GUINT64_CONSTANT(1000000000))

/* Borrows what it is made from. */
typedef struct Leaks {
    TtSnapshot *snapshot;
    const TtScanFacts *facts;
    const TtLeaksOptions *options;
    GArray *groups;  /* of TtLeakGroup, without what is suppressed; owned, as the next two */
    GArray *growths; /* of TtGrowth, as well */
    GPtrArray *suppressions; /* of TtSuppression */
    TtLeaksFound found;
} Leaks;

static void leaks_clear(Leaks *leaks) {
    g_clear_pointer(&leaks->groups, g_array_unref);
    g_clear_pointer(&leaks->growths, g_array_unref);
    g_clear_pointer(&leaks->suppressions, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Leaks, leaks_clear)

static gboolean is_shown(const Leaks *leaks, TtLeakClass class) {
    return (leaks->options->shows & (1u << class)) != 0;
}

static const char *get_basis(const Leaks *leaks, TtLeakClass class) {
    if (tt_snapshot_get_sample(leaks->snapshot))
        return "estimated";
    if (class != TT_LEAK_ALIVE)
        return "conservative";
    return tt_snapshot_get_completeness(leaks->snapshot)->exact ? "exact" : "incomplete";
}

/* ---- Making it ---- */

static void add(TtAmount *sum, TtAmount amount) {
    sum->blocks = tt_saturating_add(sum->blocks, amount.blocks);
    sum->bytes = tt_saturating_add(sum->bytes, amount.bytes);
}

/* Suppressions go by names, which are asked for all at once; without any none is needed yet. */
static void name_all(const Leaks *leaks, const TtScan *scan, TtFrameNames *names) {
    gsize group_count, growth_count;
    const TtLeakGroup *groups = tt_scan_get_groups(scan, &group_count);
    const TtGrowth *growths = tt_scan_get_growths(scan, &growth_count);

    if (leaks->suppressions->len == 0)
        return;
    for (gsize i = 0; i < group_count; i++)
        tt_frame_names_add_stack(names, groups[i].stack);
    for (gsize i = 0; i < growth_count; i++)
        tt_frame_names_add_stack(names, growths[i].stack);
    tt_frame_names_resolve(names);
}

static void take_groups(Leaks *leaks, const TtScan *scan, TtFrameNames *names) {
    gsize count;
    const TtLeakGroup *groups = tt_scan_get_groups(scan, &count);

    for (gsize i = 0; i < count; i++) {
        TtSuppression *suppression = groups[i].class == TT_LEAK_REACHABLE
                                         ? NULL
                                         : tt_suppressions_find(leaks->suppressions, names,
                                                                leaks->snapshot, groups[i].stack);

        if (suppression) {
            add(&suppression->amount, groups[i].amount);
            add(&leaks->found.suppressed, groups[i].amount);
            continue;
        }
        add(&leaks->found.classes[groups[i].class], groups[i].amount);
        g_array_append_val(leaks->groups, groups[i]);
    }
}

static void take_growths(Leaks *leaks, const TtScan *scan, TtFrameNames *names) {
    gsize count;
    const TtGrowth *growths = tt_scan_get_growths(scan, &count);

    for (gsize i = 0; i < count; i++)
        if (!tt_suppressions_find(leaks->suppressions, names, leaks->snapshot, growths[i].stack))
            g_array_append_val(leaks->growths, growths[i]);
    leaks->found.growth_count = leaks->growths->len;
}

static gboolean leaks_init(Leaks *leaks, TtSnapshot *snapshot, const TtScan *scan,
                           const TtLeaksOptions *options, TtFrameNames *names, GError **error) {
    const char *text = options->suppressions ? options->suppressions : "";

    *leaks = (Leaks){.snapshot = snapshot, .facts = tt_scan_get_facts(scan), .options = options};
    leaks->suppressions = tt_suppressions_parse(text, error);
    if (!leaks->suppressions)
        return FALSE;
    leaks->groups = g_array_new(FALSE, FALSE, sizeof(TtLeakGroup));
    leaks->growths = g_array_new(FALSE, FALSE, sizeof(TtGrowth));
    leaks->found.has_classes = leaks->facts->has_classes;
    name_all(leaks, scan, names);
    take_groups(leaks, scan, names);
    take_growths(leaks, scan, names);
    return TRUE;
}

/* Why there are no classes, as a sentence. */
static const char *get_why_not(const Leaks *leaks) {
    if (tt_snapshot_get_sample(leaks->snapshot))
        return "Only a sample of the blocks is known, and so not what points to them: they are "
               "told as alive.";
    if (leaks->options->why_not)
        return leaks->options->why_not;
    return tt_snapshot_get_state(leaks->snapshot, NULL) == TT_SESSION_RUNNING
               ? "Its memory was not looked at: blocks are told as alive."
               : "Its memory is gone, so it cannot be told what was lost: blocks are told as alive "
                 "at the end. tt-ctl leaks -- CMD looks before a process ends.";
}

/* ---- As JSON ---- */

static void put_amount(TtJsonWriter *writer, const char *blocks, const char *bytes,
                       TtAmount amount) {
    tt_json_put_uint(writer, blocks, amount.blocks);
    tt_json_put_uint(writer, bytes, amount.bytes);
}

static void write_scan(TtJsonWriter *writer, const Leaks *leaks) {
    tt_json_key(writer, "scan");
    if (!leaks->facts->has_classes) {
        tt_json_null(writer);
        tt_json_put_string(writer, "why_not", get_why_not(leaks));
        return;
    }
    tt_json_begin_object(writer);
    tt_json_put_uint(writer, "scanned_bytes", leaks->facts->scanned_bytes);
    tt_json_put_uint(writer, "threads", leaks->facts->thread_count);
    tt_json_put_bool(writer, "has_gaps", leaks->facts->has_gaps);
    tt_json_put_uint(writer, "stood_still_ns", leaks->options->stood_still_ns);
    tt_json_end_object(writer);
    tt_json_put_null(writer, "why_not");
}

static void write_classes(TtJsonWriter *writer, const Leaks *leaks) {
    tt_json_key(writer, "classes");
    tt_json_begin_object(writer);
    for (TtLeakClass class = 0; class < TT_LEAK_CLASSES; class ++) {
        tt_json_key(writer, tt_leak_class_name(class));
        if ((class == TT_LEAK_ALIVE) == leaks->facts->has_classes) {
            tt_json_null(writer);
            continue;
        }
        tt_json_begin_object(writer);
        put_amount(writer, "blocks", "bytes", leaks->found.classes[class]);
        tt_json_put_string(writer, "basis", get_basis(leaks, class));
        tt_json_end_object(writer);
    }
    tt_json_end_object(writer);
}

static void write_suppressed(TtJsonWriter *writer, const Leaks *leaks) {
    tt_json_key(writer, "suppressed");
    tt_json_begin_object(writer);
    put_amount(writer, "blocks", "bytes", leaks->found.suppressed);
    tt_json_key(writer, "by_pattern");
    tt_json_begin_array(writer);
    for (guint i = 0; i < leaks->suppressions->len; i++) {
        const TtSuppression *suppression = g_ptr_array_index(leaks->suppressions, i);

        tt_json_begin_object(writer);
        tt_json_put_string(writer, "pattern", suppression->pattern);
        put_amount(writer, "blocks", "bytes", suppression->amount);
        tt_json_end_object(writer);
    }
    tt_json_end_array(writer);
    tt_json_end_object(writer);
}

static void write_group(TtJsonReport *report, const Leaks *leaks, const TtLeakGroup *group) {
    tt_json_begin_object(report->writer);
    tt_json_put_string(report->writer, "class", tt_leak_class_name(group->class));
    tt_json_put_string(report->writer, "basis", get_basis(leaks, group->class));
    tt_json_put_uint(report->writer, "stack", group->stack);
    tt_json_put_site_name(report, group->stack);
    put_amount(report->writer, "blocks", "bytes", group->amount);
    put_amount(report->writer, "led_to_blocks", "led_to_bytes", group->led_to);
    tt_json_end_object(report->writer);
}

static void write_growth(TtJsonReport *report, const TtGrowth *growth) {
    tt_json_begin_object(report->writer);
    tt_json_put_string(report->writer, "basis", "estimated");
    tt_json_put_uint(report->writer, "stack", growth->stack);
    tt_json_put_site_name(report, growth->stack);
    put_amount(report->writer, "blocks", "bytes", growth->settled);
    tt_json_put_uint(report->writer, "first_ns", growth->first_ns);
    tt_json_put_uint(report->writer, "lifetime_ns", growth->lifetime_ns);
    tt_json_put_uint(report->writer, "bytes_per_hour", growth->bytes_per_hour);
    tt_json_end_object(report->writer);
}

/* How many of a list are shown; as all are asked for unless @top says how many, 0 means all. */
static guint cut(guint count, guint top) { return top > 0 ? MIN(count, top) : count; }

static void write_lists(TtJsonReport *report, const Leaks *leaks, guint top) {
    guint shown[TT_LEAK_CLASSES] = {0};

    tt_json_key(report->writer, "leaks");
    tt_json_begin_array(report->writer);
    for (guint i = 0; i < leaks->groups->len && !tt_json_has_failed(report->writer); i++) {
        const TtLeakGroup *group = &g_array_index(leaks->groups, TtLeakGroup, i);

        if (is_shown(leaks, group->class) && (top == 0 || shown[group->class]++ < top))
            write_group(report, leaks, group);
    }
    tt_json_end_array(report->writer);
    tt_json_key(report->writer, "growing");
    tt_json_begin_array(report->writer);
    for (guint i = 0; i < cut(leaks->growths->len, top); i++)
        write_growth(report, &g_array_index(leaks->growths, TtGrowth, i));
    tt_json_end_array(report->writer);
}

static void collect(TtJsonReport *report, const Leaks *leaks, guint top) {
    guint shown[TT_LEAK_CLASSES] = {0};

    for (guint i = 0; i < leaks->groups->len; i++) {
        const TtLeakGroup *group = &g_array_index(leaks->groups, TtLeakGroup, i);

        if (is_shown(leaks, group->class) && (top == 0 || shown[group->class]++ < top))
            tt_json_collect_stack(report, group->stack);
    }
    for (guint i = 0; i < cut(leaks->growths->len, top); i++)
        tt_json_collect_stack(report, g_array_index(leaks->growths, TtGrowth, i).stack);
    tt_frame_names_resolve(report->names);
}

static void write_json(TtJsonReport *report, const Leaks *leaks, guint top) {
    TtJsonWriter *writer = report->writer;
    const TtCompleteness *completeness = tt_snapshot_get_completeness(leaks->snapshot);

    collect(report, leaks, top);
    tt_json_begin_object(writer);
    tt_json_write_generator(writer);
    tt_json_write_session(report);
    tt_json_put_string(writer, "state",
                       tt_session_state_name(tt_snapshot_get_state(leaks->snapshot, NULL)));
    tt_json_put_uint(writer, "t_ns", tt_snapshot_get_time_ns(leaks->snapshot));
    tt_json_put_bool(writer, "exact", completeness->exact);
    tt_json_write_doubts(writer, completeness);
    write_scan(writer, leaks);
    write_classes(writer, leaks);
    write_suppressed(writer, leaks);
    write_lists(report, leaks, top);
    tt_json_write_stacks(report);
    tt_json_end_object(writer);
}

/* ---- As text ---- */

/* Made to fit in 80 columns, with what stands before them. */
static const char *const words[TT_LEAK_CLASSES] = {"definitely lost", "indirectly lost",
                                                   "possibly lost", "still reachable", "alive"};
static const char *const meanings[TT_LEAK_CLASSES] = {
    "nothing points to them", "lost ones point to them", "only pointers into them",
    "the program can reach them", "not freed; no more is known"};

static void write_heading(TtPlain *plain, const Leaks *leaks) {
    const TtSessionInfo *info = tt_snapshot_get_info(leaks->snapshot);
    TtSessionState state = tt_snapshot_get_state(leaks->snapshot, NULL);
    g_autofree char *when = tt_scale_time(tt_snapshot_get_time_ns(leaks->snapshot));

    tt_plain_addf(plain, "%s, pid %d: ", tt_text_basename(info->exe), info->pid);
    if (state == TT_SESSION_RUNNING)
        tt_plain_addf(plain, "running, after %s", when);
    else
        tt_plain_addf(plain, "at its end (%s), after %s", tt_session_state_name(state), when);
    tt_plain_end_line(plain);
}

static void add_amount(GString *text, const char *before, TtAmount amount) {
    g_autofree char *size = tt_scale_bytes(amount.bytes);
    g_autofree char *count = tt_scale_things(amount.blocks, "block");

    g_string_append_printf(text, "%s%s in %s", before, size, count);
}

/* Of the worst class that there is: its group with most bytes. NULL: all can be reached. */
static const TtLeakGroup *get_worst(const Leaks *leaks) {
    const TtLeakGroup *first =
        leaks->groups->len > 0 ? &g_array_index(leaks->groups, TtLeakGroup, 0) : NULL;

    return first && first->class != TT_LEAK_REACHABLE ? first : NULL;
}

static void write_worst(TtPlain *plain, const Leaks *leaks, TtFrameNames *names,
                        const TtLeakGroup *worst) {
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *place = tt_frame_names_label(names, worst->stack);
    gboolean is_all = worst->amount.blocks == leaks->found.classes[worst->class].blocks;

    if (is_all) {
        g_string_append(text, "All of it by ");
    } else {
        add_amount(text, "Largest part: ", worst->amount);
        if (worst->led_to.blocks > 0)
            add_amount(text, ", leading to ", worst->led_to);
        g_string_append(text, " by ");
    }
    g_string_append(text, place);
    tt_plain_paragraph(plain, text->str);
}

/* What somebody wants to know who reads no further: how much, and where. */
static void write_verdict(TtPlain *plain, const Leaks *leaks, TtFrameNames *names) {
    const TtAmount *sums = leaks->found.classes;
    const TtLeakGroup *worst = get_worst(leaks);
    g_autoptr(GString) text = g_string_new(NULL);

    if (!leaks->facts->has_classes) {
        add_amount(text, "Alive: ", sums[TT_LEAK_ALIVE]);
    } else {
        if (sums[TT_LEAK_DEFINITE].blocks > 0)
            add_amount(text, "Definitely lost: ", sums[TT_LEAK_DEFINITE]);
        else
            g_string_append(text, "Nothing is definitely lost");
        if (sums[TT_LEAK_INDIRECT].blocks > 0)
            add_amount(text, ", and with it ", sums[TT_LEAK_INDIRECT]);
        else if (sums[TT_LEAK_DEFINITE].blocks == 0 && sums[TT_LEAK_POSSIBLE].blocks > 0)
            add_amount(text, "; possibly ", sums[TT_LEAK_POSSIBLE]);
    }
    if (leaks->found.suppressed.blocks > 0)
        add_amount(text, "; suppressed ", leaks->found.suppressed);
    tt_plain_paragraph(plain, text->str);
    if (worst)
        write_worst(plain, leaks, names, worst);
    if (leaks->growths->len > 0) {
        g_autofree char *stacks = tt_scale_things(leaks->growths->len, "stack");
        g_autofree char *place =
            tt_frame_names_label(names, g_array_index(leaks->growths, TtGrowth, 0).stack);

        g_string_printf(text, "Growing (estimated): %s, %s%s", stacks,
                        leaks->growths->len > 1 ? "the fastest " : "", place);
        tt_plain_paragraph(plain, text->str);
    }
}

static void write_look(TtPlain *plain, const Leaks *leaks) {
    if (leaks->facts->has_classes) {
        g_autofree char *bytes = tt_scale_bytes(leaks->facts->scanned_bytes);
        g_autofree char *threads = tt_scale_things(leaks->facts->thread_count, "thread");

        tt_plain_addf(plain, "%s of memory and %s were looked at", bytes, threads);
        if (leaks->options->stood_still_ns > 0) {
            g_autofree char *time = tt_scale_time(leaks->options->stood_still_ns);

            tt_plain_addf(plain, "; it stood still for %s", time);
        }
        tt_plain_end_line(plain);
    } else {
        tt_plain_paragraph(plain, get_why_not(leaks));
    }
}

static void write_doubts(TtPlain *plain, const Leaks *leaks) {
    const TtCompleteness *completeness = tt_snapshot_get_completeness(leaks->snapshot);

    for (guint i = 0; completeness->doubts && i < completeness->doubts->len; i++) {
        g_autofree char *text = g_strdup_printf(
            "Not exact: %s", (const char *)g_ptr_array_index(completeness->doubts, i));

        tt_plain_paragraph(plain, text);
    }
    if (leaks->facts->has_gaps)
        tt_plain_paragraph(plain, "Some blocks may be unknown: what lies between the known ones "
                                  "counts as the program's own, and keeps what it points to.");
}

static void write_sum(TtPlain *plain, TtAmount amount, const char *word, const char *basis,
                      const char *meaning) {
    g_autofree char *size = tt_scale_bytes(amount.bytes);
    g_autofree char *count = tt_scale_count_within(amount.blocks, 7);

    tt_plain_cell(plain, size, SIZE_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, count, COUNT_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_add(plain, "  ");
    tt_plain_cell(plain, word, 17, TT_PLAIN_LEFT);
    tt_plain_cell(plain, basis, 14, TT_PLAIN_LEFT);
    tt_plain_add(plain, meaning);
    tt_plain_end_line(plain);
}

static void write_sums(TtPlain *plain, const Leaks *leaks) {
    tt_plain_end_line(plain);
    tt_plain_cell(plain, "BYTES", SIZE_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_cell(plain, "BLOCKS", COUNT_COLUMNS, TT_PLAIN_RIGHT);
    tt_plain_add(plain, "  CLASS            FIGURES ARE   MEANING");
    tt_plain_end_line(plain);
    for (TtLeakClass class = 0; class < TT_LEAK_CLASSES; class ++)
        if ((class == TT_LEAK_ALIVE) != leaks->facts->has_classes)
            write_sum(plain, leaks->found.classes[class], words[class], get_basis(leaks, class),
                      meanings[class]);
    if (leaks->suppressions->len > 0)
        write_sum(plain, leaks->found.suppressed, "suppressed", "", "by --suppressions");
}

static void write_group_text(TtPlain *plain, const Leaks *leaks, TtFrameNames *names,
                             const TtLeakGroup *group) {
    g_autofree char *size = tt_scale_bytes(group->amount.bytes);
    g_autofree char *count = tt_scale_things(group->amount.blocks, "block");

    tt_plain_end_line(plain);
    tt_plain_addf(plain, "%s: %s in %s", words[group->class], size, count);
    if (group->led_to.blocks > 0) {
        g_autofree char *led_size = tt_scale_bytes(group->led_to.bytes);
        g_autofree char *led_count = tt_scale_things(group->led_to.blocks, "block");

        tt_plain_addf(plain, "; led to %s in %s more", led_size, led_count);
    }
    tt_plain_end_line(plain);
    tt_stack_text_write(plain, names, leaks->snapshot, group->stack, "    ", TEXT_FRAMES_MAX);
}

/* Those of one class. @top: how many are shown. */
static void write_class(TtPlain *plain, const Leaks *leaks, TtFrameNames *names, TtLeakClass class,
                        guint top) {
    guint shown = 0, count = 0;

    for (guint i = 0; i < leaks->groups->len; i++)
        count += g_array_index(leaks->groups, TtLeakGroup, i).class == class;
    if (count == 0 || !is_shown(leaks, class))
        return;
    for (guint i = 0; i < leaks->groups->len && shown < top; i++) {
        const TtLeakGroup *group = &g_array_index(leaks->groups, TtLeakGroup, i);

        if (group->class == class) {
            write_group_text(plain, leaks, names, group);
            shown++;
        }
    }
    if (count > shown) {
        tt_plain_end_line(plain);
        tt_plain_addf(plain, "+%u more, %s: see --top", count - shown, words[class]);
        tt_plain_end_line(plain);
    }
}

static void write_growths(TtPlain *plain, const Leaks *leaks, TtFrameNames *names, guint top) {
    for (guint i = 0; i < cut(leaks->growths->len, top); i++) {
        const TtGrowth *growth = &g_array_index(leaks->growths, TtGrowth, i);
        g_autofree char *size = tt_scale_bytes(growth->settled.bytes);
        g_autofree char *count = tt_scale_things(growth->settled.blocks, "block");
        g_autofree char *since = tt_scale_time(growth->first_ns);
        g_autofree char *life = tt_scale_time(growth->lifetime_ns);
        g_autofree char *rate = tt_scale_bytes(growth->bytes_per_hour);

        tt_plain_end_line(plain);
        tt_plain_addf(plain, "growing (estimated): %s in %s since %s", size, count, since);
        /* An hour's figure of less than some seconds says nothing. */
        if (tt_snapshot_get_time_ns(leaks->snapshot) >= SHORT_SESSION_NS)
            tt_plain_addf(plain, ", %s an hour", rate);
        if (growth->lifetime_ns > 0)
            tt_plain_addf(plain, "; 95%% of its freed ones lived %s at most", life);
        tt_plain_end_line(plain);
        tt_stack_text_write(plain, names, leaks->snapshot, growth->stack, "    ", TEXT_FRAMES_MAX);
    }
    if (leaks->growths->len > top) {
        tt_plain_end_line(plain);
        tt_plain_addf(plain, "+%u more, growing: see --top", leaks->growths->len - top);
        tt_plain_end_line(plain);
    }
}

static void write_text(TtPlain *plain, TtJsonReport *report, const Leaks *leaks, guint top) {
    if (get_worst(leaks)) /* its class may not be shown */
        tt_frame_names_add_stack(report->names, get_worst(leaks)->stack);
    collect(report, leaks, top);
    write_heading(plain, leaks);
    write_verdict(plain, leaks, report->names);
    write_look(plain, leaks);
    write_doubts(plain, leaks);
    write_sums(plain, leaks);
    for (TtLeakClass class = 0; class < TT_LEAK_CLASSES; class ++)
        write_class(plain, leaks, report->names, class, top);
    write_growths(plain, leaks, report->names, top);
}

gboolean tt_report_leaks(TtSnapshot *snapshot, const TtScan *scan, TtSymbols *symbols,
                         const TtReportOptions *options, const TtLeaksOptions *leaks_options,
                         TtSink *sink, TtLeaksFound *ret_found, GError **error) {
    g_autoptr(TtJsonWriter) writer = options->is_text ? NULL : tt_json_writer_new(sink);
    TtJsonReport report = {.writer = writer};
    g_auto(Leaks) leaks = {0};
    gboolean is_done;

    tt_json_open_report(&report, snapshot, symbols, options);
    is_done = leaks_init(&leaks, snapshot, scan, leaks_options, report.names, error);
    if (is_done && options->is_text) {
        g_auto(TtPlain) plain = {0};

        tt_plain_init(&plain, sink, options->columns);
        write_text(&plain, &report, &leaks, options->top > 0 ? options->top : TEXT_TOP);
        is_done = tt_sink_write(sink, "", 0, error);
    } else if (is_done) {
        write_json(&report, &leaks, options->top);
        is_done = tt_json_finish(writer, error);
    }
    tt_json_close_report(&report);
    *ret_found = leaks.found;
    return is_done;
}
