/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of one name are sorted by their callers' addresses. Then the one that shares most with a
 * stack is beside it, and the first caller beyond what the two share is the stack's alone. */
#include "report/svg/callers.h"

#include <string.h>

#include "report/labels.h"
#include "report/svg/canvas.h"
#include "report/svg/measure.h"
#include "report/text.h"

/* Callers that are compared. */
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
    chain->label = tt_frame_names_label(names, stack);
}

static gint compare_chains(gconstpointer a, gconstpointer b) {
    const Chain *left = a, *right = b;
    gint order = strcmp(left->label, right->label);

    for (guint i = 0; order == 0 && i < MIN(left->count, right->count); i++)
        if (left->ips[i] != right->ips[i])
            order = left->ips[i] < right->ips[i] ? -1 : 1;
    if (order == 0 && left->count != right->count)
        order = left->count < right->count ? -1 : 1;
    if (order == 0 && left->stack != right->stack)
        order = left->stack < right->stack ? -1 : 1;
    return order;
}

/* How many callers two stacks share; -1 where they have different names. */
static gint count_shared(const Chain *chain, const Chain *other) {
    gint shared = 0;

    if (!g_str_equal(chain->label, other->label))
        return -1;
    while ((guint)shared < MIN(chain->count, other->count) &&
           chain->ips[shared] == other->ips[shared])
        shared++;
    return shared;
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

static void add_text(TtCallers *callers, const Chain *chain, guint shared) {
    gsize count;
    const TtNamedFrame *frames = tt_frame_names_get(callers->names, chain->stack, &count, NULL);

    gboolean has_caller = shared < chain->count && chain->first + shared < count;
    /* With all callers in common, what they differ in is how the site came to allocate. */
    guint told = has_caller ? chain->first + shared : 0;

    if (told >= count || told + 1 == chain->first)
        return;
    g_autofree char *name =
        name_frame(callers->snapshot, &frames[told], frames[chain->first - 1].module);
    g_hash_table_insert(callers->texts, GUINT_TO_POINTER(chain->stack),
                        g_strconcat(has_caller ? "from " : "through ", name, NULL));
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
        gint shared = -1;

        if (i > 0)
            shared = MAX(shared, count_shared(chain, &g_array_index(chains, Chain, i - 1)));
        if (i + 1 < chains->len)
            shared = MAX(shared, count_shared(chain, &g_array_index(chains, Chain, i + 1)));
        if (shared >= 0)
            add_text(callers, chain, (guint)shared);
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
