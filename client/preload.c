/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody has to be asked which entry is ours: the loader has put the path by which it found us into
 * our link map. */
#include "client/preload.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "client/glibc.h"
#include "client/sys.h"

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* The loader takes a path for what file it is. What it searches or expands is known by its name. */
static bool is_ours(const char *entry, const char *own_path) {
    struct stat there, own;

    if (strchr(entry, '/') != NULL && strchr(entry, '$') == NULL &&
        TT_SYS2(SYS_stat, entry, &there) == 0 && TT_SYS2(SYS_stat, own_path, &own) == 0)
        return there.st_dev == own.st_dev && there.st_ino == own.st_ino;
    return strcmp(name_of(entry), name_of(own_path)) == 0;
}

static char *end_of(char *entry) {
    while (*entry != '\0' && *entry != ':' && *entry != ' ') /* ld.so knows no escape */
        entry++;
    return entry;
}

static void leave_list(char *list, const char *own_path) {
    char *to = list, *entry = list, before = '\0';

    do {
        char *end = end_of(entry), behind = *end;

        *end = '\0';
        if (!is_ours(entry, own_path)) {
            if (to > list)
                *to++ = before;
            memmove(to, entry, (size_t)(end - entry));
            to += end - entry;
        }
        before = behind;
        entry = end + 1;
    } while (before != '\0');
    *to = '\0';
}

void tt_preload_leave(char **environment) {
    static const char variable[] = "LD_PRELOAD=";
    struct dl_find_object own;

    if (environment == NULL || _dl_find_object((void *)tt_preload_leave, &own) != 0)
        return;
    for (; *environment != NULL; environment++)
        if (strncmp(*environment, variable, sizeof variable - 1) == 0)
            leave_list(*environment + sizeof variable - 1, own.dlfo_link_map->l_name);
}
