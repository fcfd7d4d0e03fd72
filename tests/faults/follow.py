#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TT_FOLLOW: whether what a traced program starts is traced too. Which images there were is told by a
library of ours that is preloaded beside."""

import functools
import json
import pathlib
import shutil
import tempfile

import ttlib
from ttlib import case, check, check_equal

BUILT = tempfile.TemporaryDirectory()  # outlives a case

WAYS = r"""
#define _GNU_SOURCE
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t start(const char *way, char **words) {
    pid_t pid = -1;

    if (strcmp(way, "spawn") == 0)
        return posix_spawn(&pid, words[0], NULL, NULL, words, environ) == 0 ? pid : -1;
    pid = strcmp(way, "vfork-exec") == 0 ? vfork() : strcmp(way, "exec") == 0 ? 0 : fork();
    if (pid != 0)
        return pid;
    if (strcmp(way, "fork") != 0)
        execv(words[0], words);
    malloc(40002);
    _exit(0);
}

int main(int argc, char **argv) {
    char *words[] = {"/proc/self/exe", "child", NULL};
    int status;

    malloc(40001);
    if (strcmp(argv[1], "child") == 0)
        return 0;
    if (waitpid(start(argv[1], words), &status, 0) < 0 || status != 0)
        return 1;
    malloc(40003);
    return 0;
}
"""

# One line an image, and one a forked child, in JSON: [pid, LD_PRELOAD].
WITNESS = r"""
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void tell(void) {
    char line[4096];
    const char *preload = getenv("LD_PRELOAD");
    int len = snprintf(line, sizeof line, "[%d, \"%s\"]\n", getpid(), preload ? preload : "none");
    int fd = open(getenv("WITNESS"), O_WRONLY | O_APPEND | O_CREAT, 0600);

    write(fd, line, (size_t)len);
    close(fd);
}

__attribute__((constructor)) static void begin(void) {
    tell();
    pthread_atfork(NULL, NULL, tell);
}
"""

# How many images and forked children there are beside the first image.
FURTHER = {"fork": 1, "fork-exec": 2, "vfork-exec": 1, "spawn": 1, "exec": 1}


@functools.cache
def build():
    """The program and the witness, in a folder that outlives a case."""
    ways = ttlib.compile_c(WAYS, "-w", name="ways")
    witness = ttlib.compile_c(WITNESS, "-w", "-shared", "-fPIC", name="witness")
    return tuple(pathlib.Path(shutil.copy(path, BUILT.name)) for path in (ways, witness))


def run_way(daemon, way, env):
    """Returns what the witness saw, [pid, LD_PRELOAD] each, the program's first image first."""
    log = ttlib.temp_dir() / "log"
    env = daemon.preload_env({"WITNESS": log, "TT_LOSSLESS": 1, **env})
    result = ttlib.run([build()[0], way], env)
    check_equal((result.returncode, result.stdout, result.stderr), (0, "", ""), way)
    return [json.loads(line) for line in log.read_text().splitlines()]


def check_ways(follow):
    witness = build()[1]
    ours = ttlib.LIBTTCLIENT
    given = f"{ours}:{witness}"
    with ttlib.Daemon() as daemon:
        seen = {
            way: run_way(daemon, way, {"LD_PRELOAD": given, "TT_FOLLOW": follow}) for way in FURTHER
        }
        cards = daemon.sessions()
        exports = {} if follow else {card["pid"]: daemon.export(card["id"]) for card in cards}
    for way, lines in seen.items():
        want = given if follow else str(witness)
        check_equal([preload for _, preload in lines], (1 + FURTHER[way]) * [want], way)
        pids = {pid for pid, _ in lines}
        traced = [card["pid"] for card in cards if card["pid"] in pids]
        if follow:
            check_equal(set(traced), pids, f"{way}: who is traced")
            check(len(traced) >= 2, f"{way}: {len(traced)} sessions")
            continue
        check_equal(traced, [lines[0][0]], f"{way}: who is traced")
        export = exports[traced[0]]
        ttlib.check_exact(export)
        ttlib.check_books(export)
        left = [40001] if way == "exec" else [40001, 40003]
        check_equal(ttlib.left(export), left, f"{way}: it is traced to its end")


@case
def follow_0_leaves_out_what_a_program_starts():
    check_ways(0)


@case
def follow_1_traces_what_a_program_starts():
    check_ways(1)


@case
def follow_0_knows_the_library_by_each_name():
    """As the loader takes them: a path, a link, a name to be searched for, $ORIGIN; at each place."""
    program, witness = build()
    ours = ttlib.LIBTTCLIENT
    link = ttlib.temp_dir() / "another.so"
    link.symlink_to(ours)
    (program.parent / ours.name).symlink_to(ours)
    away = ttlib.temp_dir() / ours.name
    away.symlink_to(witness)
    names = {
        f"{witness} {ours}": f"{witness}",
        f":{ours}: {ours} {witness}:": f"{witness}:",
        f"{link}:{ours} {witness} libm.so.6": f"{witness} libm.so.6",
        f"{ours.name} {witness}": f"{witness}",
        f"{witness}:$ORIGIN/{ours.name}": f"{witness}",
        f"{ours}:{away}": f"{away}",
    }
    with ttlib.Daemon() as daemon:
        env = {"LD_LIBRARY_PATH": ours.parent, "TT_FOLLOW": 0}
        seen = {given: run_way(daemon, "spawn", {"LD_PRELOAD": given, **env}) for given in names}
        traced = {card["pid"] for card in daemon.sessions()}
    for given, lines in seen.items():
        check_equal([preload for _, preload in lines], 2 * [names[given]], f"{given} is now")
    check_equal(traced, {lines[0][0] for lines in seen.values()}, "who is traced")


@case
def follow_0_of_run_is_its_command_alone():
    words = ["/bin/sh", "-c", "/bin/true; /bin/true"]
    for follow, count in ((0, 1), (1, 3)):
        with ttlib.Daemon() as daemon:
            result = daemon.ctl("run", "--", *words, env={"TT_FOLLOW": follow})
            check_equal((result.returncode, result.stdout), (0, ""), result.stderr)
            cards = daemon.sessions()
            check_equal(len(cards), count, f"TT_FOLLOW={follow}: {[c['name'] for c in cards]}")
    # Where nothing else is preloaded an empty list is left, which the loader passes over.
    traced = ttlib.run_traced(["/usr/bin/printenv", "LD_PRELOAD"], env={"TT_FOLLOW": 0})
    check_equal((traced.returncode, traced.stdout, traced.stderr), (0, "\n", ""))


ttlib.main()
