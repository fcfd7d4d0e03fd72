/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for tt-symbolizer: reads one question and answers it as the first argument says. */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FD 3
#define VERSION 2 /* TT_EXCHANGE_VERSION */

static void answer(uint32_t len, const void *bytes, size_t count) {
    if (write(FD, &len, sizeof len) != sizeof len || write(FD, bytes, count) != (ssize_t)count)
        exit(1);
}

/* Reads the question up to its id, which is one byte as long as it is small. */
static uint8_t read_id(void) {
    uint8_t bytes[64 * 1024];
    uint32_t len;
    size_t have = 0;

    if (read(FD, &len, sizeof len) != sizeof len || len > sizeof bytes)
        exit(1);
    while (have < len) {
        ssize_t n = read(FD, bytes + have, len - have);

        if (n <= 0)
            exit(1);
        have += (size_t)n;
    }
    return bytes[1];
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    uint8_t id = read_id();

    if (strcmp(how, "dies") == 0) {
        kill(getpid(), SIGKILL);
    } else if (strcmp(how, "crashes") == 0) {
        kill(getpid(), SIGSEGV);
    } else if (strcmp(how, "exits") == 0) {
        exit(7);
    } else if (strcmp(how, "hangs") == 0) {
        pause();
    } else if (strcmp(how, "huge") == 0) {
        answer(1u << 30, "", 0);
        pause();
    } else if (strcmp(how, "half") == 0) {
        answer(100, "half", 4);
    } else if (strcmp(how, "stalls") == 0) {
        answer(100, "half", 4);
        pause();
    } else if (strcmp(how, "garbage") == 0) {
        answer(8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    } else if (strcmp(how, "empty") == 0) {
        answer(0, "", 0);
    } else if (strcmp(how, "other-id") == 0) {
        uint8_t bytes[] = {VERSION, (uint8_t)(id + 1), 0, 0, 0};

        answer(sizeof bytes, bytes, sizeof bytes);
    } else if (strcmp(how, "many-frames") == 0) {
        uint8_t bytes[5 + 65 * 4] = {VERSION, id, 0, 0, 65};

        answer(sizeof bytes, bytes, sizeof bytes);
    } else if (strcmp(how, "many-strings") == 0) {
        uint8_t bytes[] = {VERSION, id, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0};

        answer(sizeof bytes, bytes, sizeof bytes);
    } else if (strcmp(how, "no-such-string") == 0) {
        uint8_t bytes[] = {VERSION, id, 0, 1, 1, 'x', 1, 2, 0, 0, 0};

        answer(sizeof bytes, bytes, sizeof bytes);
    } else if (strcmp(how, "not-utf8") == 0) {
        uint8_t bytes[] = {VERSION, id, 0, 1, 1, 0xff, 1, 1, 0, 0, 0};

        answer(sizeof bytes, bytes, sizeof bytes);
    } else if (strcmp(how, "trailing") == 0) {
        uint8_t bytes[] = {VERSION, id, 0, 0, 0, 0};

        answer(sizeof bytes, bytes, sizeof bytes);
    } else if (strcmp(how, "good") == 0) {
        uint8_t bytes[] = {VERSION, id, 0, 1, 1, 'x', 1, 1, 0, 5, 0};

        answer(sizeof bytes, bytes, sizeof bytes);
    }
    /* What follows is up to the other end. */
    read(FD, (char[1]){0}, 1);
    return 0;
}
