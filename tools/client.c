/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/daemon.h"
#include "tools/leave.h"
#include "tools/say.h"

#define LIBRARY "libttclient.so"

/* The first that is there of FOLDER/PLACE/libttclient.so. */
static char *find_below(const char *folder, const char *place) {
    g_autofree char *above = g_build_filename(folder, place, NULL);
    const char *name;
    char *found = NULL;
    g_autoptr(GDir) entries = NULL;
    g_autofree char *direct = g_build_filename(above, LIBRARY, NULL);

    if (access(direct, R_OK) == 0)
        return g_steal_pointer(&direct);
    /* Multiarch: lib/x86_64-linux-gnu. */
    entries = g_dir_open(above, 0, NULL);
    while (entries && !found && (name = g_dir_read_name(entries))) {
        g_autofree char *nested = NULL;

        if (!strstr(name, "-linux-gnu"))
            continue;
        nested = g_build_filename(above, name, LIBRARY, NULL);
        if (access(nested, R_OK) == 0)
            found = g_steal_pointer(&nested);
    }
    return found;
}

char *tt_client_find(GError **error) {
    const char *given = g_getenv("TT_CLIENT");
    static const char *const places[] = {"../lib", "../lib64", "../client"};
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : g_strdup(".");

    if (given && *given) {
        if (g_path_is_absolute(given) && access(given, R_OK) == 0)
            return g_strdup(given);
        g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                    "TT_CLIENT is '%s', which is not the absolute path of a library", given);
        return NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *found = find_below(folder, places[i]);

        if (found) {
            g_autofree char *plain = g_canonicalize_filename(found, NULL);

            return g_steal_pointer(&plain);
        }
    }
    g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED,
                LIBRARY " is not beside tt-ctl (%s/../lib): install it, or set TT_CLIENT to it",
                folder);
    return NULL;
}

/* What the user preloads, without what is ours already: a run within a run. */
static char *join(const char *ours, const char *users) {
    g_autoptr(GString) value = g_string_new(ours);
    g_auto(GStrv) words = g_strsplit_set(users ? users : "", " :", -1);

    for (char **word = words; *word; word++)
        if (**word && !g_str_equal(*word, ours))
            g_string_append_printf(value, ":%s", *word);
    return g_string_free(g_steal_pointer(&value), FALSE);
}

char *tt_client_make_preload(const char *path, const char *users, char **ret_dir, GError **error) {
    g_autofree char *dir = NULL;
    g_autofree char *link_path = NULL;

    *ret_dir = NULL;
    if (!strpbrk(path, " :$"))
        return join(path, users);
    dir = tt_daemon_make_dir(error);
    if (!dir)
        return NULL;
    link_path = g_build_filename(dir, LIBRARY, NULL);
    if (symlink(path, link_path) < 0) {
        g_set_error(error, TT_TOOLS_ERROR, TT_TOOLS_ERROR_FAILED, "Cannot link %s: %s", link_path,
                    g_strerror(errno));
        tt_daemon_remove_dir(dir);
        return NULL;
    }
    /* It outlives us where a signal ends us: CMD goes on, and what it starts looks for the link. */
    tt_leave_drop(dir);
    *ret_dir = g_steal_pointer(&dir);
    return join(link_path, users);
}
