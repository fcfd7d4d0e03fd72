/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of one name are sorted by their callers' addresses, and those of the same callers from the
 * innermost frame on. Then the one that shares most with a stack is beside it, and the first frame
 * beyond what the two share is the stack's alone. */
#include "report/svg/callers.h"

#include <string.h>

#include "report/labels.h"
#include "report/svg/canvas.h"
#include "report/svg/measure.h"
#include "report/text.h"

/* Callers that are compared, and frames from the innermost to the site. */
#define CHAIN_MAX 32u

#define DESCRIBED_MAX 8u

struct TtCallers {
    TtSnapshot *snapshot;
    TtFrameNames *names;
    GHashTable *texts; /* stack to char * */
};

typedef struct Chain {
    guint32 stack;
    char *label; /* owned */
    guint first; /* index of the site's caller in its frames */
    guint count;
    guint64 ips[CHAIN_MAX]; /* of the callers, innermost first */
    guint inner_count;
    guint64 inner_ips[CHAIN_MAX]; /* up to the site's, innermost first */
} Chain;

static void chain_clear(gpointer data) {
    Chain *chain = data;

    g_free(chain->label);
}

/* Where the site's frame is; 0 where there is none. */
static guint find_site_index(TtFrameNames *names, guint32 stack) {
    TtNamedFrame site;
    gsize count;

    if (!tt_frame_names_find_site(names, stack, &site))
        return 0;
    const TtNamedFrame *frames = tt_frame_names_get(names, stack, &count, NULL);
    for (guint i = 0; i < count; i++)
        if (frames[i].ip == site.ip && frames[i].function == site.function &&
            frames[i].line == site.line)
            return i;
    return 0;
}

static void chain_init(Chain *chain, TtFrameNames *names, guint32 stack) {
    guint site = find_site_index(names, stack);
    gsize count;
    const TtNamedFrame *frames = tt_frame_names_get(names, stack, &count, NULL);

    *chain = (Chain){.stack = stack, .first = site + 1};
    for (gsize i = site + 1; i < count && chain->count < CHAIN_MAX; i++)
        chain->ips[chain->count++] = frames[i].ip;
    for (gsize i = 0; i < MIN(site + 1, count) && chain->inner_count < CHAIN_MAX; i++)
        chain->inner_ips[chain->inner_count++] = frames[i].ip;
    chain->label = tt_frame_names_label(names, stack);
}

static gint compare_ips(const guint64 *left, guint left_count, const guint64 *right,
                        guint right_count) {
    for (guint i = 0; i < MIN(left_count, right_count); i++)
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    return (left_count > right_count) - (left_count < right_count);
}

static gint compare_chains(gconstpointer a, gconstpointer b) {
    const Chain *left = a, *right = b;
    gint order = strcmp(left->label, right->label);

    if (order == 0)
        order = compare_ips(left->ips, left->count, right->ips, right->count);
    if (order == 0)
        order =
            compare_ips(left->inner_ips, left->inner_count, right->inner_ips, right->inner_count);
    if (order == 0 && left->stack != right->stack)
        order = left->stack < right->stack ? -1 : 1;
    return order;
}

static guint count_equal(const guint64 *left, guint left_count, const guint64 *right,
                         guint right_count) {
    guint equal = 0;

    while (equal < MIN(left_count, right_count) && left[equal] == right[equal])
        equal++;
    return equal;
}

/* What a stack has in common with others of its name. */
typedef struct Shared {
    gboolean is_named_alike; /* there are such */
    guint callers;           /* from the site's caller on */
    guint inner;             /* from the innermost frame on, with those that share all callers */
} Shared;

static void add_shared(Shared *shared, const Chain *chain, const Chain *other) {
    guint callers;

    if (!g_str_equal(chain->label, other->label))
        return;
    callers = count_equal(chain->ips, chain->count, other->ips, other->count);
    shared->is_named_alike = TRUE;
    shared->callers = MAX(shared->callers, callers);
    if (callers == chain->count)
        shared->inner = MAX(shared->inner, count_equal(chain->inner_ips, chain->inner_count,
                                                       other->inner_ips, other->inner_count));
}

/* "parse_all", "libfoo.so+0x1f40", "0x7f12"; in module @known only "+0x1f40". */
static char *name_frame(TtSnapshot *snapshot, const TtNamedFrame *frame, guint32 known) {
    gsize module_count, len;
    const TtModuleRow *modules = tt_snapshot_get_modules(snapshot, &module_count);

    if (frame->function) {
        const char *name = tt_label_short_function(frame->function, &len);
        return g_strndup(name, len);
    }
    if (frame->module < module_count && frame->module == known)
        return g_strdup_printf("+0x%" G_GINT64_MODIFIER "x", frame->offset);
    if (frame->module < module_count)
        return g_strdup_printf("%s+0x%" G_GINT64_MODIFIER "x",
                               tt_text_basename(modules[frame->module].path), frame->offset);
    return g_strdup_printf("0x%" G_GINT64_MODIFIER "x", frame->ip);
}

static void add_text(TtCallers *callers, const Chain *chain, const Shared *shared) {
    gsize count;
    const TtNamedFrame *frames = tt_frame_names_get(callers->names, chain->stack, &count, NULL);
    gboolean has_caller = shared->callers < chain->count && chain->first + shared->callers < count;
    /* With all callers in common, what they differ in is how the site came to allocate. */
    guint told = has_caller ? chain->first + shared->callers : shared->inner;
    const TtNamedFrame *site;
    char *text = NULL;

    if (told >= count || (!has_caller && told >= chain->first))
        return;
    site = &frames[chain->first - 1];
    if (&frames[told] == site) { /* its name is told; where in it, only where there are lines */
        if (site->function && !site->file && site->module != TT_NONE)
            text = g_strdup_printf("at +0x%" G_GINT64_MODIFIER "x", site->offset);
    } else {
        g_autofree char *name = name_frame(callers->snapshot, &frames[told], site->module);

        text = g_strconcat(has_caller ? "from " : "through ", name, NULL);
    }
    if (text)
        g_hash_table_insert(callers->texts, GUINT_TO_POINTER(chain->stack), text);
}

static GArray *make_chains(TtFrameNames *names, const guint32 *stacks, gsize count) {
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    GArray *chains = g_array_new(FALSE, FALSE, sizeof(Chain));

    g_array_set_clear_func(chains, chain_clear);
    for (gsize i = 0; i < count; i++) {
        Chain chain;

        if (stacks[i] == TT_STACK_NONE || !g_hash_table_add(seen, GUINT_TO_POINTER(stacks[i])))
            continue;
        chain_init(&chain, names, stacks[i]);
        g_array_append_val(chains, chain);
    }
    g_array_sort(chains, compare_chains);
    return chains;
}

TtCallers *tt_callers_new(TtSnapshot *snapshot, TtFrameNames *names, const guint32 *stacks,
                          gsize count) {
    TtCallers *callers = g_new0(TtCallers, 1);
    g_autoptr(GArray) chains = make_chains(names, stacks, count);

    callers->snapshot = snapshot;
    callers->names = names;
    callers->texts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    for (guint i = 0; i < chains->len; i++) {
        const Chain *chain = &g_array_index(chains, Chain, i);
        Shared shared = {0};

        if (i > 0)
            add_shared(&shared, chain, &g_array_index(chains, Chain, i - 1));
        if (i + 1 < chains->len)
            add_shared(&shared, chain, &g_array_index(chains, Chain, i + 1));
        if (shared.is_named_alike)
            add_text(callers, chain, &shared);
    }
    return callers;
}

void tt_callers_free(TtCallers *callers) {
    if (!callers)
        return;
    g_hash_table_unref(callers->texts);
    g_free(callers);
}

const char *tt_callers_find(const TtCallers *callers, guint32 stack) {
    return g_hash_table_lookup(callers->texts, GUINT_TO_POINTER(stack));
}

char *tt_callers_describe(const TtCallers *callers, guint32 stack) {
    guint site = find_site_index(callers->names, stack);
    gsize count;
    const TtNamedFrame *frames = tt_frame_names_get(callers->names, stack, &count, NULL);
    GString *lines = g_string_new(NULL);

    for (gsize i = site; i < count; i++) {
        if (i == site + DESCRIBED_MAX) {
            g_string_append(lines, "\n…");
            break;
        }
        g_autofree char *name = name_frame(callers->snapshot, &frames[i], TT_NONE);
        g_autofree char *shown = tt_measure_show(name, TT_CANVAS_NAME_CHARACTERS);
        g_string_append_printf(lines, "%s%s", i > site ? "\n" : "", shown);
        if (!frames[i].file)
            continue;
        g_autofree char *file =
            tt_measure_show(tt_text_basename(frames[i].file), TT_CANVAS_NAME_CHARACTERS);
        g_string_append_printf(lines, " (%s:%u)", file, frames[i].line);
    }
    return g_string_free(lines, FALSE);
}
