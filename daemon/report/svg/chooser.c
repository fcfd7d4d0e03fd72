/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps as many groups as rows are wanted: those whose best blocks are the best. That is enough,
 * and exact. As long as there are no more groups than rows, none is ever dropped. Once there are,
 * only the best block of each counts; a group that is dropped had none better than the least one
 * kept, which only rises, so when it comes back it comes with its best.
 *
 * A heap has the least group at its top; a block that cannot enter costs one comparison. */
#include "report/svg/chooser.h"

typedef struct Choice {
    double score;
    TtBlockRow row;
} Choice;

typedef struct Group {
    guint32 key;
    guint place; /* in the heap */
    guint count;
    Choice best[TT_CHOOSER_GROUP_ROWS]; /* best first */
} Group;

struct TtChooser {
    guint group_max;
    GPtrArray *heap;    /* of Group, owned; no group is better than the two below it */
    GHashTable *groups; /* key to Group */
};

static gboolean is_better(double score, guint64 id, const Choice *than) {
    return score > than->score || (score == than->score && id < than->row.id);
}

static gboolean is_group_better(const Group *group, const Group *than) {
    return is_better(group->best[0].score, group->best[0].row.id, &than->best[0]);
}

TtChooser *tt_chooser_new(guint row_max) {
    TtChooser *chooser = g_new0(TtChooser, 1);

    chooser->group_max = MAX(row_max, 1);
    chooser->heap = g_ptr_array_new_with_free_func(g_free);
    chooser->groups = g_hash_table_new(NULL, NULL);
    return chooser;
}

void tt_chooser_free(TtChooser *chooser) {
    if (!chooser)
        return;
    g_hash_table_unref(chooser->groups);
    g_ptr_array_unref(chooser->heap);
    g_free(chooser);
}

static Group *get_group(const TtChooser *chooser, guint place) {
    return g_ptr_array_index(chooser->heap, place);
}

static void put_group(TtChooser *chooser, guint place, Group *group) {
    g_ptr_array_index(chooser->heap, place) = group;
    group->place = place;
}

/* Moves a group that is worse than its parents towards the top. */
static void raise_group(TtChooser *chooser, Group *group) {
    guint place = group->place;

    while (place > 0) {
        Group *parent = get_group(chooser, (place - 1) / 2);
        if (!is_group_better(parent, group))
            break;
        put_group(chooser, place, parent);
        place = (place - 1) / 2;
    }
    put_group(chooser, place, group);
}

/* Moves a group that has become better away from the top. */
static void sink_group(TtChooser *chooser, Group *group) {
    guint place = group->place;

    for (;;) {
        guint least = 2 * place + 1;
        if (least >= chooser->heap->len)
            break;
        if (least + 1 < chooser->heap->len &&
            is_group_better(get_group(chooser, least), get_group(chooser, least + 1)))
            least++;
        if (!is_group_better(group, get_group(chooser, least)))
            break;
        put_group(chooser, place, get_group(chooser, least));
        place = least;
    }
    put_group(chooser, place, group);
}

static void insert_choice(Group *group, double score, const TtBlockRow *row) {
    guint place = group->count;

    while (place > 0 && is_better(score, row->id, &group->best[place - 1]))
        place--;
    if (place == TT_CHOOSER_GROUP_ROWS)
        return;
    if (group->count < TT_CHOOSER_GROUP_ROWS)
        group->count++;
    for (guint i = group->count - 1; i > place; i--)
        group->best[i] = group->best[i - 1];
    group->best[place] = (Choice){.score = score, .row = *row};
}

void tt_chooser_offer(TtChooser *chooser, guint32 key, double score, const TtBlockRow *row) {
    gboolean is_full = chooser->heap->len == chooser->group_max;

    if (is_full && !is_better(score, row->id, &get_group(chooser, 0)->best[0]))
        return;

    Group *group = g_hash_table_lookup(chooser->groups, GUINT_TO_POINTER(key));
    if (group) {
        insert_choice(group, score, row);
        sink_group(chooser, group);
        return;
    }
    if (is_full) {
        group = get_group(chooser, 0);
        g_hash_table_remove(chooser->groups, GUINT_TO_POINTER(group->key));
        group->count = 0;
    } else {
        group = g_new0(Group, 1);
        group->place = chooser->heap->len;
        g_ptr_array_add(chooser->heap, group);
    }
    group->key = key;
    g_hash_table_insert(chooser->groups, GUINT_TO_POINTER(key), group);
    insert_choice(group, score, row);
    if (is_full)
        sink_group(chooser, group);
    else
        raise_group(chooser, group);
}

guint tt_chooser_get_count(const TtChooser *chooser) {
    guint count = 0;

    for (guint i = 0; i < chooser->heap->len; i++)
        count += get_group(chooser, i)->count;
    return count;
}

/* A choice among all groups: how many of its own group come before it, then its score. */
typedef struct Candidate {
    guint rank;
    const Choice *choice;
} Candidate;

static gint compare_candidates(gconstpointer a, gconstpointer b) {
    const Candidate *left = a, *right = b;

    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    return is_better(left->choice->score, left->choice->row.id, right->choice) ? -1 : 1;
}

static gint compare_births(gconstpointer a, gconstpointer b) {
    const TtBlockRow *left = a, *right = b;

    if (left->born_ns != right->born_ns)
        return left->born_ns < right->born_ns ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

GArray *tt_chooser_take(TtChooser *chooser, guint row_max) {
    g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(TtBlockRow));

    for (guint i = 0; i < chooser->heap->len; i++) {
        const Group *group = get_group(chooser, i);
        for (guint rank = 0; rank < group->count; rank++) {
            Candidate candidate = {rank, &group->best[rank]};
            g_array_append_val(candidates, candidate);
        }
    }
    g_array_sort(candidates, compare_candidates);
    for (guint i = 0; i < candidates->len && i < row_max; i++)
        g_array_append_val(rows, g_array_index(candidates, Candidate, i).choice->row);
    g_array_sort(rows, compare_births);
    return rows;
}
