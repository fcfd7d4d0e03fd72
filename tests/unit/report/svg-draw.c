/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a picture, for eyes and for readers in other languages: `svg-draw SESSION VIEW [ROWS]`;
 * `svg-draw --names` lists the sessions. */
#include <stdio.h>
#include <stdlib.h>

#include "svg-sessions.h"

static void print_names(const char *const *names) {
    for (gsize i = 0; names[i]; i++)
        puts(names[i]);
}

int main(int argc, char **argv) {
    if (argc == 2 && g_str_equal(argv[1], "--names")) {
        print_names(sample_names);
        print_names(svg_session_names);
        return 0;
    }
    if (argc < 3 || !tt_report_has_view(argv[2]))
        return 2;

    Sample *sample = svg_session_new(argv[1]);
    gsize len;
    g_autofree char *picture =
        svg_session_draw(sample, argv[2], argc > 3 ? (guint)atoi(argv[3]) : 0, &len);
    fwrite(picture, 1, len, stdout);
    sample_free(sample);
    return 0;
}
