/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a sample's document, for readers in other languages: `json-samples NAME`, or
 * `json-samples --text` with the bytes of all its strings on standard input. */
#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>

#include "samples.h"

static char *read_input(void) {
    GString *text = g_string_new(NULL);
    char buffer[4096];
    gssize len;

    while ((len = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        g_string_append_len(text, buffer, len);
    return g_string_free(text, FALSE);
}

int main(int argc, char **argv) {
    g_autofree char *text = NULL, *document = NULL;
    Sample *sample;
    gsize len;

    if (argc != 2)
        return 2;
    if (g_str_equal(argv[1], "--names")) {
        for (gsize i = 0; sample_names[i]; i++)
            puts(sample_names[i]);
        return 0;
    }
    if (g_str_equal(argv[1], "--text"))
        text = read_input();
    sample = text ? sample_new_of_text(text) : sample_new(argv[1]);
    document = synthetic_json(sample->snapshot, sample->symbols, &sample->options, &len);
    fwrite(document, 1, len, stdout);
    sample_free(sample);
    return 0;
}
