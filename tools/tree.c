/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/tree.h"

#include <string.h>

#include "tools/list.h"

static void variant_unref(gpointer variant) { g_variant_unref(variant); }

GHashTable *tt_tree_get_ids(GVariant *sessions) {
    GHashTable *ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GVariantIter iter;
    GVariant *session;

    g_variant_iter_init(&iter, sessions);
    while ((session = g_variant_iter_next_value(&iter))) {
        g_hash_table_add(ids, g_strdup(tt_list_get_text(session, "id")));
        g_variant_unref(session);
    }
    return ids;
}

guint64 tt_tree_get_last_order(GVariant *sessions) {
    GVariantIter iter;
    GVariant *session;
    guint64 last = 0;

    g_variant_iter_init(&iter, sessions);
    while ((session = g_variant_iter_next_value(&iter))) {
        last = MAX(last, tt_list_get_number(session, "order"));
        g_variant_unref(session);
    }
    return last;
}

guint64 tt_tree_count_gone(GVariant *sessions, guint64 order) {
    guint64 last = tt_tree_get_last_order(sessions);
    GVariantIter iter;
    GVariant *session;
    guint64 there = 0;

    g_variant_iter_init(&iter, sessions);
    while ((session = g_variant_iter_next_value(&iter))) {
        there += tt_list_get_number(session, "order") > order;
        g_variant_unref(session);
    }
    return last > order + there ? last - order - there : 0;
}

static gint by_order(gconstpointer one, gconstpointer other) {
    guint64 a = tt_list_get_number(*(GVariant *const *)one, "order");
    guint64 b = tt_list_get_number(*(GVariant *const *)other, "order");

    return a < b ? -1 : a > b;
}

GPtrArray *tt_tree_find(GVariant *sessions, GHashTable *before, gint pid) {
    GPtrArray *family = g_ptr_array_new_with_free_func(variant_unref);
    g_autoptr(GHashTable) ids = g_hash_table_new(g_str_hash, g_str_equal);
    gboolean has_grown = TRUE;

    /* A child may be listed before its parent: until nobody is added. */
    while (has_grown) {
        GVariantIter iter;
        GVariant *session;

        has_grown = FALSE;
        g_variant_iter_init(&iter, sessions);
        while ((session = g_variant_iter_next_value(&iter))) {
            const char *id = tt_list_get_text(session, "id");

            if (!g_hash_table_contains(before, id) && !g_hash_table_contains(ids, id) &&
                (pid == 0 || tt_list_get_int(session, "pid") == pid ||
                 g_hash_table_contains(ids, tt_list_get_text(session, "parent")))) {
                g_ptr_array_add(family, g_variant_ref(session));
                g_hash_table_add(ids, (gpointer)id); /* lives in the family's variant */
                has_grown = TRUE;
            }
            g_variant_unref(session);
        }
    }
    g_ptr_array_sort(family, by_order);
    return family;
}

GVariant *tt_tree_find_last(GPtrArray *family, gint pid) {
    for (guint i = family->len; i > 0; i--) {
        GVariant *session = g_ptr_array_index(family, i - 1);

        if (tt_list_get_int(session, "pid") == pid)
            return session;
    }
    return NULL;
}

gboolean tt_tree_is_pattern(const char *path) {
    for (const char *at = path ? strchr(path, '%') : NULL; at && at[1]; at = strchr(at + 2, '%'))
        if (at[1] == 'p' || at[1] == 's')
            return TRUE;
    return FALSE;
}

char *tt_tree_expand(const char *pattern, GVariant *session) {
    GString *path = g_string_new(NULL);

    for (const char *at = pattern; *at; at++) {
        if (*at != '%')
            g_string_append_c(path, *at);
        else if (at[1] == 'p')
            g_string_append_printf(path, "%d", tt_list_get_int(session, "pid"));
        else if (at[1] == 's')
            g_string_append(path, tt_list_get_text(session, "id"));
        else
            g_string_append_c(path, '%');
        if (*at == '%' && at[1] && strchr("ps%", at[1]))
            at++;
    }
    return g_string_free(path, FALSE);
}
