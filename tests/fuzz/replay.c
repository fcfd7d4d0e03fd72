/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzzer over files and folders of files: the seeds, and each of them cut at every byte and
 * with bytes changed, so that the ordinary suite goes where a fuzzer begins. Speaks TAP. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)
#define MUTATE_MAX 2048u /* longer inputs run as they are */

static unsigned run_count;

static void run(const uint8_t *bytes, size_t len) {
    LLVMFuzzerTestOneInput(bytes, len);
    run_count++;
}

static void run_mutated(uint8_t *bytes, size_t len) {
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};

    run(bytes, len);
    if (len > MUTATE_MAX)
        return;
    for (size_t cut = 0; cut < len; cut++)
        run(bytes, cut);
    for (size_t i = 0; i < len; i++) {
        uint8_t kept = bytes[i];

        for (size_t j = 0; j < sizeof values; j++) {
            bytes[i] = values[j];
            run(bytes, len);
        }
        bytes[i] = kept;
    }
}

static int run_file(const char *path) {
    FILE *from = fopen(path, "re");
    uint8_t *bytes = malloc(INPUT_MAX);
    size_t len;

    if (from == NULL || bytes == NULL) {
        printf("Bail out! cannot read %s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    len = fread(bytes, 1, INPUT_MAX, from);
    fclose(from);
    run_mutated(bytes, len);
    free(bytes);
    return 1;
}

/* Returns how many inputs there were. */
static int run_folder(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (folder == NULL)
        return errno == ENOTDIR ? run_file(path) : 0;
    while ((entry = readdir(folder)) != NULL) {
        char file[4096];

        if (entry->d_name[0] == '.')
            continue;
        int len = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (len > 0 && (size_t)len < sizeof file)
            count += run_file(file);
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv) {
    int number = 0;

    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        run_count = 0;
        int count = run_folder(argv[i]);

        printf("%s %d replay %s # %d inputs, %u runs\n", count > 0 ? "ok" : "not ok", ++number,
               argv[i], count, run_count);
        fflush(stdout);
    }
    return 0;
}
