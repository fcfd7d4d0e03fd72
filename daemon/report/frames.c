/* SPDX-License-Identifier: Apache-2.0 */
/* Names for stacks, by distinct address.
 *
 * A session has many stacks and few addresses: fifty thousand stacks of forty frames share some
 * thousands. So a table of addresses is all that is kept; a stack is walked again each time that it
 * is shown, which costs a lookup a frame. */
#include "report/frames.h"

#include <string.h>

#include "report/labels.h"
#include "report/passages.h"
#include "report/text.h"

/* Addresses in one question. Bounds what is asked to what is kept, and the cost of one that fails.
 */
#define QUESTION_MAX 65536u

/* Modules whose question may fail before no more are asked: each may cost a time-out. */
#define FAILURES_MAX 3

/* Of a label's parts. */
#define NAME_BYTES 160
#define FILE_BYTES 64

typedef struct NamedAddress {
    guint64 addr;                 /* in the module's file; inside the instruction that is meant */
    const TtSymbolAnswer *answer; /* NULL: not asked, or not answered */
    guint32 module;
} NamedAddress;

struct TtFrameNames {
    TtSnapshot *snapshot; /* borrowed, as are the next two */
    TtSymbols *symbols;
    const TtModuleRow *modules;
    gsize module_count;

    GArray *addresses; /* of NamedAddress; those before resolved_count have been asked for */
    guint resolved_count;
    guint32 *slots; /* open addressing; 0, or 1 + an index into addresses */
    gsize slot_count;
    guint64 seed; /* or a session could choose addresses that all fall on one slot */

    GArray *frames; /* of TtNamedFrame: what tt_frame_names_get returned last */
    char *failure;
    TtPassages *passages; /* (nullable) counted when first needed */
};

TtFrameNames *tt_frame_names_new(TtSnapshot *snapshot, TtSymbols *symbols) {
    TtFrameNames *names = g_new0(TtFrameNames, 1);

    names->snapshot = snapshot;
    names->symbols = symbols;
    names->modules = tt_snapshot_get_modules(snapshot, &names->module_count);
    names->addresses = g_array_new(FALSE, FALSE, sizeof(NamedAddress));
    names->slot_count = 1024;
    names->slots = g_new0(guint32, names->slot_count);
    names->seed = (guint64)g_random_int() << 32 | g_random_int();
    names->frames = g_array_new(FALSE, FALSE, sizeof(TtNamedFrame));
    if (symbols)
        tt_symbols_hold(symbols);
    return names;
}

void tt_frame_names_free(TtFrameNames *names) {
    if (!names)
        return;
    if (names->symbols)
        tt_symbols_release(names->symbols);
    g_array_unref(names->addresses);
    g_array_unref(names->frames);
    g_free(names->slots);
    g_free(names->failure);
    tt_passages_free(names->passages);
    g_free(names);
}

static gsize hash_address(const TtFrameNames *names, guint64 addr, guint32 module) {
    guint64 hash = (addr ^ names->seed) + (guint64)module * 0x9e3779b97f4a7c15u;

    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93u;
    return (gsize)(hash ^ hash >> 32);
}

/* The slot of an address, or the empty one where it belongs. */
static guint32 *find_slot(const TtFrameNames *names, guint64 addr, guint32 module) {
    gsize mask = names->slot_count - 1;

    for (gsize i = hash_address(names, addr, module);; i++) {
        guint32 *slot = &names->slots[i & mask];
        const NamedAddress *entry;

        if (*slot == 0)
            return slot;
        entry = &g_array_index(names->addresses, NamedAddress, *slot - 1);
        if (entry->addr == addr && entry->module == module)
            return slot;
    }
}

static void double_slots(TtFrameNames *names) {
    g_free(names->slots);
    names->slot_count *= 2;
    names->slots = g_new0(guint32, names->slot_count);
    for (guint i = 0; i < names->addresses->len; i++) {
        const NamedAddress *entry = &g_array_index(names->addresses, NamedAddress, i);

        *find_slot(names, entry->addr, entry->module) = i + 1;
    }
}

/* FALSE: outside all modules, so nothing can name it. */
static gboolean locate(const TtFrameNames *names, const TtFrame *frame, guint64 *ret_addr) {
    if (frame->module >= names->module_count)
        return FALSE;
    *ret_addr = frame->ip - names->modules[frame->module].bias - (frame->is_exact_ip ? 0 : 1);
    return TRUE;
}

void tt_frame_names_add_stack(TtFrameNames *names, guint32 stack) {
    TtFrame frames[TT_STACK_DEPTH_MAX];
    gsize count;

    if (!names->symbols)
        return;
    count = tt_snapshot_get_frames(names->snapshot, stack, frames, NULL);
    for (gsize i = 0; i < count; i++) {
        NamedAddress entry = {.module = frames[i].module};
        guint32 *slot;

        if (!locate(names, &frames[i], &entry.addr))
            continue;
        slot = find_slot(names, entry.addr, entry.module);
        if (*slot != 0 || names->addresses->len >= TT_FRAME_NAMES_MAX)
            continue;
        g_array_append_val(names->addresses, entry);
        *slot = names->addresses->len;
        if (names->addresses->len * 2 > names->slot_count)
            double_slots(names);
    }
}

/* Asks for @count addresses of one module; @order are their indices. */
static gboolean ask(TtFrameNames *names, guint32 module, const guint32 *order, gsize count,
                    GError **error) {
    const TtModuleRow *row = &names->modules[module];
    TtSymbolModule question = {.path = row->path};
    g_autofree guint64 *addrs = g_new(guint64, count);
    g_autofree const TtSymbolAnswer **answers = g_new0(const TtSymbolAnswer *, count);
    gboolean is_complete;

    if (row->build_id)
        question.build_id = g_bytes_get_data(row->build_id, &question.build_id_len);
    for (gsize i = 0; i < count; i++)
        addrs[i] = g_array_index(names->addresses, NamedAddress, order[i]).addr;
    is_complete = tt_symbols_resolve(names->symbols, &question, addrs, count, answers, error);
    /* What was known before a failure is answered all the same. */
    for (gsize i = 0; i < count; i++)
        g_array_index(names->addresses, NamedAddress, order[i]).answer = answers[i];
    return is_complete;
}

/* Asks for all of one module; FALSE at the first question that fails. */
static gboolean ask_module(TtFrameNames *names, guint32 module, const guint32 *order, gsize count) {
    g_autoptr(GError) error = NULL;

    for (gsize done = 0; done < count; done += QUESTION_MAX) {
        if (ask(names, module, order + done, MIN(count - done, QUESTION_MAX), &error))
            continue;
        if (!names->failure)
            names->failure = g_strdup(error ? error->message : "names are missing");
        return FALSE;
    }
    return TRUE;
}

void tt_frame_names_resolve(TtFrameNames *names) {
    guint first = names->resolved_count, count = names->addresses->len - first, failures = 0;
    /* How many addresses each module has; then where its share of the order ends. */
    g_autofree guint32 *ends = g_new0(guint32, names->module_count + 1);
    g_autofree guint32 *order = g_new(guint32, count);
    guint32 begin = 0;

    if (count == 0)
        return;
    names->resolved_count += count;
    for (guint i = 0; i < count; i++)
        ends[g_array_index(names->addresses, NamedAddress, first + i).module + 1]++;
    for (gsize module = 0; module < names->module_count; module++)
        ends[module + 1] += ends[module];
    for (guint i = 0; i < count; i++)
        order[ends[g_array_index(names->addresses, NamedAddress, first + i).module]++] = first + i;
    for (gsize module = 0; module < names->module_count && failures < FAILURES_MAX; module++) {
        if (!ask_module(names, (guint32)module, order + begin, ends[module] - begin))
            failures++;
        begin = ends[module];
    }
}

const char *tt_frame_names_get_failure(const TtFrameNames *names) { return names->failure; }

static const TtSymbolAnswer *find_answer(const TtFrameNames *names, const TtFrame *frame) {
    guint64 addr;
    guint32 slot;

    if (!locate(names, frame, &addr))
        return NULL;
    slot = *find_slot(names, addr, frame->module);
    return slot ? g_array_index(names->addresses, NamedAddress, slot - 1).answer : NULL;
}

const TtNamedFrame *tt_frame_names_get(TtFrameNames *names, guint32 stack, gsize *ret_count,
                                       gboolean *ret_is_truncated) {
    TtFrame frames[TT_STACK_DEPTH_MAX];
    gboolean is_truncated = FALSE;
    gsize count = tt_snapshot_get_frames(names->snapshot, stack, frames, &is_truncated);

    if (ret_is_truncated)
        *ret_is_truncated = is_truncated;
    g_array_set_size(names->frames, 0);
    for (gsize i = 0; i < count; i++) {
        TtNamedFrame named = {.ip = frames[i].ip, .module = TT_NONE};
        const TtSymbolAnswer *answer = find_answer(names, &frames[i]);

        if (frames[i].module < names->module_count) {
            named.module = frames[i].module;
            named.offset = frames[i].ip - names->modules[named.module].bias;
        }
        if (!answer || answer->frame_count == 0)
            g_array_append_val(names->frames, named);
        for (guint j = 0; answer && j < answer->frame_count; j++) {
            named.function = answer->frames[j].function;
            named.file = answer->frames[j].file;
            named.line = answer->frames[j].line;
            named.is_inlined = answer->frames[j].is_inlined;
            g_array_append_val(names->frames, named);
        }
    }
    *ret_count = names->frames->len;
    return (const TtNamedFrame *)(gpointer)names->frames->data;
}

/* What people would call a site by. */
typedef struct Site {
    const TtNamedFrame *frame;
    const TtNamedFrame *place; /* (nullable) shown where the frame's source is not known */
} Site;

static gboolean is_plumbing(const TtFrameNames *names, const TtNamedFrame *frame) {
    const char *module = frame->module == TT_NONE ? NULL : names->modules[frame->module].path;

    return tt_label_is_plumbing(frame->function, frame->file, module);
}

/* A function of a stripped module that is one more malloc. */
static gboolean is_allocator(const TtNamedFrame *frame) {
    return frame->function && !frame->file && tt_label_is_allocator(frame->function);
}

static gboolean is_telling(const TtFrameNames *names, const TtNamedFrame *frame) {
    return frame->function && !is_allocator(frame) && !is_plumbing(names, frame);
}

/* The first of the nameless frames up to @end by which sites can be told apart: behind the last
 * allocator among them, and behind what most sites of the module share. @end where all are shared.
 */
static const TtNamedFrame *find_place(TtFrameNames *names, const TtNamedFrame *frame,
                                      const TtNamedFrame *end) {
    const TtNamedFrame *place = frame;

    if (!names->passages)
        names->passages = tt_passages_new(names->snapshot);
    for (; frame < end; frame++)
        if (frame->function)
            place = frame + 1;
    while (place < end && tt_passages_contains(names->passages, place->ip))
        place++;
    return place;
}

/* @frame: the innermost that is no plumbing, but has no name that tells anything */
static Site find_outward(TtFrameNames *names, const TtNamedFrame *frame, const TtNamedFrame *end) {
    const TtNamedFrame *outer = frame, *place;

    while (outer < end && !is_telling(names, outer))
        outer++;
    if (outer < end && !tt_label_is_start(outer->function)) {
        place = find_place(names, frame, outer);
        return (Site){.frame = outer, .place = place};
    }
    /* No name on the way to the program's start tells anything; a place on that way may. */
    for (outer = frame; outer < end && !is_plumbing(names, outer);)
        outer++;
    place = find_place(names, frame, outer);
    return (Site){.frame = place < outer ? place : frame};
}

/* FALSE: there are no frames. */
static gboolean find_site(TtFrameNames *names, guint32 stack, Site *ret_site) {
    gsize count;
    const TtNamedFrame *frames = tt_frame_names_get(names, stack, &count, NULL);
    const TtNamedFrame *frame = frames, *end;

    if (count == 0)
        return FALSE;
    end = frames + count;
    while (frame < end && is_plumbing(names, frame))
        frame++;
    if (frame == end)
        *ret_site = (Site){.frame = frames};
    else if (is_telling(names, frame))
        *ret_site = (Site){.frame = frame};
    else
        *ret_site = find_outward(names, frame, end);
    return TRUE;
}

gboolean tt_frame_names_find_site(TtFrameNames *names, guint32 stack, TtNamedFrame *ret_frame) {
    Site site;

    if (!find_site(names, stack, &site))
        return FALSE;
    *ret_frame = *site.frame;
    return TRUE;
}

/* Appends valid UTF-8 up to @max bytes; of more it keeps whole characters. */
static void append_cut(GString *label, const char *text, gsize len, gsize max) {
    if (len <= max) {
        g_string_append_len(label, text, (gssize)len);
        return;
    }
    max -= strlen("…");
    while (max > 0 && (text[max] & 0xc0) == 0x80)
        max--;
    g_string_append_len(label, text, (gssize)max);
    g_string_append(label, "…");
}

/* "app+0x1f40", "0x7f12" */
static void append_place(const TtFrameNames *names, GString *label, const TtNamedFrame *frame) {
    if (frame->module != TT_NONE) {
        const char *base = tt_text_basename(names->modules[frame->module].path);
        g_autofree char *clean = tt_text_clean(base, strlen(base));

        append_cut(label, clean, strlen(clean), FILE_BYTES);
        g_string_append_printf(label, "+0x%" G_GINT64_MODIFIER "x", frame->offset);
    } else {
        g_string_append_printf(label, "0x%" G_GINT64_MODIFIER "x", frame->ip);
    }
}

static void append_source(GString *label, const TtNamedFrame *frame) {
    const char *name = tt_text_basename(frame->file);

    append_cut(label, name, strlen(name), FILE_BYTES);
    if (frame->line > 0)
        g_string_append_printf(label, ":%u", frame->line);
}

static void append_function(const TtFrameNames *names, GString *label, const Site *site) {
    gsize len;
    const char *name = tt_label_short_function(site->frame->function, &len);

    append_cut(label, name, len, NAME_BYTES);
    if (!site->frame->file && !site->place)
        return;
    g_string_append(label, " (");
    if (site->frame->file)
        append_source(label, site->frame);
    else
        append_place(names, label, site->place);
    g_string_append_c(label, ')');
}

char *tt_frame_names_label(TtFrameNames *names, guint32 stack) {
    GString *label;
    Site site;

    if (!find_site(names, stack, &site))
        return g_strdup("(no stack)");
    label = g_string_new(NULL);
    if (site.frame->function)
        append_function(names, label, &site);
    else
        append_place(names, label, site.frame);
    return g_string_free(label, FALSE);
}
