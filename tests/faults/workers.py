#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""C02: a server whose workers wait. Each begins with another state of its parent's, and makes its first
call when that is long gone."""

import ttlib
from ttlib import case, check_equal

WORKERS = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 40
#define BLOCKS 200

static void *blocks[BLOCKS];
static int sizes[BLOCKS];

static void renew(int i) {
    static int count;

    free(blocks[i]);
    sizes[i] = 100 + count++ % 5000;
    blocks[i] = malloc(sizes[i]);
}

int main(void) {
    static char text[1 << 16];
    int ends[2];
    char byte;

    pipe(ends);
    for (int i = 0; i < BLOCKS; i++)
        renew(i);
    for (int k = 0; k < CHILDREN; k++) {
        for (int i = 0; i < 10; i++)
            renew((k * 7 + i * 13) % BLOCKS);
        pid_t child = fork();
        if (child == 0) {
            close(ends[1]);
            read(ends[0], &byte, 1); /* until the parent is done */
            malloc(77777);
            _exit(0);
        }
        int len = snprintf(text, sizeof text, "%d", (int)child);
        for (int i = 0; i < BLOCKS; i++)
            len += snprintf(text + len, sizeof text - len, " %p:%d", blocks[i], sizes[i]);
        text[len++] = '\n';
        write(1, text, len);
    }
    for (int i = 0; i < 210000; i++)
        renew(i % BLOCKS);
    close(ends[1]);
    while (wait(NULL) > 0)
        ;
    return 0;
}
"""


@case
def fault_C02_forty_workers_wait_long_after_their_forks():
    program = ttlib.compile_c(WORKERS, "-w", "-O1")
    with ttlib.Daemon() as daemon:
        result = ttlib.run([program], daemon.preload_env({"TT_LOSSLESS": 1}))
        told = {int(pid): set(blocks) for pid, *blocks in map(str.split, result.stdout.splitlines())}
        ttlib.wait_for(
            lambda: all(card["state"] != "running" for card in daemon.sessions()), "all have ended"
        )
        cards = {card["pid"]: card for card in daemon.sessions()}
        check_equal((len(told), len(cards)), (40, 41), "children, sessions")
        for pid, blocks in told.items():
            export = daemon.export(cards[pid]["id"])
            ttlib.check_books(export)
            ttlib.check_exact(export)
            inherited = [b for b in export["active_allocations"] if b["inherited"]]
            check_equal(export["inherited_blocks"], len(inherited), "all are told")
            check_equal(
                {f"{block['address']}:{block['size']}" for block in inherited},
                blocks,
                "the blocks as of its fork",
            )


ttlib.main()
