/* SPDX-License-Identifier: Apache-2.0 */
/* Names two variables, leaks a block, and writes what the profiler knows of it all.
 *
 *   cc basic_usage.c $(pkg-config --cflags --libs ttclient) -o basic_usage
 *   tt-ctl run -- ./basic_usage
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ttclient.h>

static void report(const char *what, int result) {
    if (result < 0)
        fprintf(stderr, "Cannot write %s: %s. Is tt-daemon running?\n", what, strerror(-result));
}

static void forget(void) {
    char *forgotten = malloc(300);

    if (forgotten != NULL)
        strcpy(forgotten, "nobody will free me");
}

int main(void) {
    unsigned char *numbers = calloc(1024, 1);
    char *text = strdup("This is a test string.");

    if (numbers == NULL || text == NULL)
        return EXIT_FAILURE;
    TT_TRACK_VAR(numbers);
    TT_TRACK_VAR(text);
    forget();

    report("example_snapshot.json", tt_export_json("example_snapshot.json"));
    report("example_usage.svg", tt_export_svg("example_usage.svg"));

    free(text);
    free(numbers);
    puts("Example finished. Check example_snapshot.json and example_usage.svg.");
    return EXIT_SUCCESS;
}
