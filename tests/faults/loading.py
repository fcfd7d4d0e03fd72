#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Section A: how libttclient gets into programs, and into which it does not."""

import ctypes
import os
import pathlib
import re
import shutil
import stat
import subprocess

import ttlib
from ttlib import case, check, check_equal, left

# As in linux/sched.h and linux/mount.h.
CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18

# Leaves blocks of known sizes, and says so.
LEAVES = r"""
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    for (int i = 0; i < 100; i++)
        free(malloc(10));
    malloc(40001);
    calloc(2, 20001);
    puts("done");
    return 5;
}
"""
LEFT = [40001, 40002]


def linked_flags():
    folder = ttlib.LIBTTCLIENT.parent
    return ["-Wl,--no-as-needed", f"-L{folder}", "-lttclient", f"-Wl,-rpath,{folder}"]


# ---- A01 ----


@case
def fault_A01_linked():
    program = ttlib.compile_c(LEAVES, "-w", *linked_flags())
    with ttlib.Daemon() as daemon:
        process = subprocess.run([program], env=daemon.env(), stdout=subprocess.DEVNULL)
        check_equal(process.returncode, 5)
        (card,) = daemon.sessions()
        export = daemon.export(card["id"])
        check_equal(left(export), LEFT)
        ttlib.check_exact(export)


@case
def fault_A01_linked_and_preloaded():
    program = ttlib.compile_c(LEAVES, "-w", *linked_flags())
    traced = ttlib.run_traced([program], counted=True)
    check_equal((traced.returncode, traced.stdout), (5, "done\n"), traced.stderr)
    check_equal(left(traced.export), LEFT)
    ttlib.check_counted(traced.export, traced.count)
    ttlib.check_exact(traced.export)


@case
def fault_A01_two_copies_by_two_paths():
    program = ttlib.compile_c(LEAVES, "-w")
    other = ttlib.temp_dir() / "libttclient.so"
    shutil.copy(ttlib.LIBTTCLIENT, other)
    with ttlib.Daemon() as daemon:
        count = ttlib.temp_dir() / "count"
        libraries = f"{ttlib.LIBTTCLIENT}:{other}:{ttlib.LIBTTCOUNT}"
        process = subprocess.run(
            [program],
            env=daemon.preload_env({"LD_PRELOAD": libraries, "TTCOUNT_OUT": count}),
            stdout=subprocess.DEVNULL,
        )
        check_equal(process.returncode, 5)
        (card,) = daemon.sessions()
        export = daemon.export(card["id"])
        ttlib.check_counted(export, ttlib.read_count(count))
        ttlib.check_exact(export)


# ---- A03 ----

CPP = r"""
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct alignas(128) Wide { char room[40064]; };

void *volatile pair[2]; // what is stored there is not optimised away

int main() {
    std::map<std::string, std::vector<int>> all;
    for (int i = 0; i < 20000; i++)
        all["a name that is too long for the string itself " + std::to_string(i % 3000)].push_back(i);
    Wide *volatile wide = new Wide;
    char *volatile many = new char[40001];
    pair[0] = wide;
    pair[1] = many;
    auto small = std::make_unique<int[]>(2000);
    std::printf("%zu %d %d\n", all.size(), wide != nullptr, many != nullptr);
    return 5;
}
"""


def find_library(pattern):
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"):
        for found in sorted(pathlib.Path(folder).glob(pattern)):
            return found
    raise ttlib.Skip(f"{pattern} is not installed")


@case
def fault_A03_operator_new():
    program = ttlib.compile_c(CPP, "-w", "-std=c++17", compiler="g++", suffix=".cpp")
    traced = ttlib.run_traced([program], counted=True)
    check_equal((traced.returncode, traced.stdout), (5, "3000 1 1\n"), traced.stderr)
    check_equal(left(traced.export), [40001, 40064])
    ttlib.check_counted(traced.export, traced.count)
    ttlib.check_exact(traced.export)


@case
def fault_A03_jemalloc_preloaded_by_the_user():
    """Its counts are glibc's; what differs is where blocks lie and how large they are."""
    jemalloc = find_library("libjemalloc.so.2")
    program = ttlib.compile_c(CPP, "-w", "-std=c++17", compiler="g++", suffix=".cpp")
    plain = ttlib.run_traced([program])
    traced = ttlib.run_traced(
        [program], env={"LD_PRELOAD": jemalloc, "MALLOC_CONF": "stats_print:true"}
    )
    check_equal((traced.returncode, traced.stdout), (5, "3000 1 1\n"), traced.stderr[:400])
    check("Begin jemalloc statistics" in traced.stderr, "jemalloc served the program")
    for key in ("cumulative_allocations", "cumulative_allocated", "total_allocated", "peak_bytes"):
        check_equal(traced.export[key], plain.export[key], f"{key}, glibc's is the wanted")
    check_equal(left(traced.export), left(plain.export))
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)


@case
def fault_A03_jemalloc_linked():
    """malloc(8) is 8-aligned there."""
    jemalloc = find_library("libjemalloc.so.2")
    text = LEAVES.replace("malloc(10)", "malloc(8)").replace("malloc(40001)", "malloc(8), malloc(40001)")
    program = ttlib.compile_c(text, "-w", "-Wl,--no-as-needed", jemalloc)
    traced = ttlib.run_traced([program])
    check_equal((traced.returncode, traced.stdout), (5, "done\n"), traced.stderr)
    check_equal(left(traced.export), LEFT)
    ttlib.check_exact(traced.export)
    ttlib.check_books(traced.export)


# ---- A04 ----


@case
def fault_A04_static_is_refused():
    program = ttlib.compile_c(LEAVES, "-w", "-static")
    script = ttlib.temp_dir() / "script"
    script.write_text(f"#!{program}\n")
    script.chmod(0o755)
    pie = ttlib.compile_c(LEAVES, "-w", "-static-pie")
    for command in (program, pie, script):
        traced = ttlib.run_traced([command])
        check_equal((traced.returncode, traced.stdout), (125, ""), f"{command}: {traced.stderr}")
        check_equal(traced.stderr.count("\n"), 1, f"sentences in {traced.stderr}")
        check("static" in traced.stderr, traced.stderr)
        check(traced.export is None, "no file is written")


@case
def fault_A04_static_descendant_is_untouched():
    program = ttlib.compile_c(LEAVES, "-w", "-static")
    traced = ttlib.run_traced(["/bin/sh", "-c", f"{program}; echo $?"])
    check_equal((traced.returncode, traced.stdout, traced.stderr), (0, "done\n5\n", ""))


# ---- A06 ----

SECURE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(void) {
    char name[32], target[64];
    int count = 0;

    for (int i = 0; i < 10000; i++)
        free(malloc(10));
    for (int fd = 3; fd < 1000; fd++) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        count += readlink(name, target, sizeof target) > 0;
    }
    printf("%lu %d %d\n", getauxval(AT_SECURE), count, getenv("TT_SOCKET_DIR") != NULL);
    return 0;
}
"""


@case
def fault_A06_set_gid():
    """Of our own user, so that only AT_SECURE can tell the library to keep still."""
    if os.geteuid() != 0:
        raise ttlib.Skip("only root can make a set-gid program of another group")
    program = ttlib.compile_c(SECURE, "-w", *linked_flags())
    with ttlib.Daemon() as daemon:
        env = daemon.preload_env()
        plain = subprocess.run([program], env=env, capture_output=True, text=True)
        check_equal(plain.stdout, "0 1 1\n", "before it is set-gid it is traced")
        os.chown(program, 0, 65534)
        program.chmod(0o755 | stat.S_ISGID)
        secure = subprocess.run([program], env=env, capture_output=True, text=True)
        if secure.stdout.startswith("0"):
            raise ttlib.Skip("the temporary folder lies on a file system mounted nosuid")
        # No ld.so complaint is ours: it names the preload that it ignores.
        check_equal(secure.stdout, "1 0 1\n", "AT_SECURE, descriptors, TT_SOCKET_DIR is there")
        check_equal(len(daemon.sessions()), 1, "sessions")


# ---- A10, A11 ----

EARLY = r"""
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *blocks[4];

static int answer(void) { return 42; }

/* Runs while the loader relocates: before any constructor. */
static int (*choose(void))(void) {
    for (int i = 0; i < 4; i++) {
        blocks[i] = calloc(1, 100 + i);
        blocks[i][99] = 'x';
    }
    return answer;
}

int chosen(void) __attribute__((ifunc("choose")));

int use(void) {
    if (chosen() != 42 || blocks[0] == NULL || malloc_usable_size(blocks[0]) < 100)
        return 1;
    blocks[1] = realloc(blocks[1], 40001);
    if (blocks[1][99] != 'x' || blocks[1][98] != 0)
        return 2;
    blocks[2] = realloc(blocks[2], 7);
    blocks[3] = reallocarray(blocks[3], 10, 4000);
    if (blocks[2][0] != 0 || blocks[3][99] != 'x')
        return 3;
    free(blocks[0]);
    free(blocks[2]);
    free(blocks[3]);
    return 0;
}
"""


@case
def fault_A10_blocks_born_before_the_real_allocator_is_found():
    main = "\nint main(void) { return use(); }\n"
    program = ttlib.compile_c(EARLY + main, "-D_GNU_SOURCE")
    check_equal(subprocess.run([program]).returncode, 0, "alone")
    traced = ttlib.run_traced([program])
    check_equal(traced.returncode, 0, traced.stderr)
    check_equal(left(traced.export), [40001])
    ttlib.check_books(traced.export)
    check_equal(traced.export["completeness"]["double_frees"], 0)
    check_equal(traced.export["completeness"]["synthesized_frees"], 0)


@case
def fault_A11_library_mallocs_before_ours_is_relocated():
    """Libraries are relocated from the last to the first: ours has no table of addresses yet."""
    library = ttlib.compile_c(EARLY, "-D_GNU_SOURCE", "-shared", "-fPIC", name="libearly.so")
    main = "extern int use(void);\nint main(void) { return use(); }\n"
    program = ttlib.compile_c(main, library)
    check_equal(subprocess.run([program]).returncode, 0, "alone")
    traced = ttlib.run_traced([program])
    check_equal(traced.returncode, 0, traced.stderr)
    check_equal(left(traced.export), [40001])
    ttlib.check_books(traced.export)


# ---- A15 ----

PLUGIN = r"""
#include <stdlib.h>

void *make(size_t size) { return malloc(size); }
void drop(void *block) { free(block); }
"""

CROSSING = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    int is_other = strcmp(argv[1], "dlmopen") == 0;
    void *plugin = is_other ? dlmopen(LM_ID_NEWLM, argv[2], RTLD_NOW)
                            : dlopen(argv[2], RTLD_NOW | RTLD_DEEPBIND);
    void *(*make)(size_t) = dlsym(plugin, "make");
    void (*drop)(void *) = dlsym(plugin, "drop");

    for (int i = 0; i < 1000; i++) {
        drop(make(100)); /* neither half is seen */
        /* Another namespace has another heap, which must free its own. */
        if (!is_other) {
            free(make(200)); /* its birth passed by */
            drop(malloc(300)); /* its death will */
        }
    }
    malloc(40001);
    puts("done");
    return 5;
}
"""


@case
def fault_A15_plugin_that_passes_us_by():
    plugin = ttlib.compile_c(PLUGIN, "-shared", "-fPIC", name="plugin.so")
    program = ttlib.compile_c(CROSSING, "-D_GNU_SOURCE", "-w")
    for way in ("deepbind", "dlmopen"):
        traced = ttlib.run_traced([program, way, plugin])
        check_equal((traced.returncode, traced.stdout), (5, "done\n"), f"{way}: {traced.stderr}")
        export = traced.export
        check_equal(left(export), [40001], way)
        ttlib.check_books(export)
        completeness = export["completeness"]
        if way == "deepbind":
            check_equal(completeness["unknown_frees"], 1000, "frees of the plugin's blocks")
            # 1000 blocks that the plugin freed: most of their addresses were seen again.
            crossed = [b for b in export["active_allocations"] if b["size"] == 300]
            check_equal(
                completeness["synthesized_frees"] + len(crossed), 1000, "blocks that it freed"
            )
        check_equal(completeness["exact"], way == "dlmopen", f"{way}: exact")
        ttlib.check_schema(export)


# ---- A18, A20 ----

LIMITED = r"""
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

int main(int argc, char **argv) {
    for (int i = 0; i < 200000; i++)
        free(malloc(i % 700));
    malloc(40001);
    printf("next descriptor %d\n", open("/dev/null", O_RDONLY));
    return 5;
}
"""


def run_limited(daemon, program, *limits, lossless=0):
    """By the shell's ulimit, which leaves LD_PRELOAD alone."""
    script = "; ".join([*(f"ulimit {limit}" for limit in limits), 'exec "$0"'])
    return subprocess.run(
        ["/bin/bash", "-c", script, program],
        env=daemon.env({"TT_LOSSLESS": lossless}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def run_limited_traced(daemon, program, *limits):
    script = "; ".join(
        [*(f"ulimit {limit}" for limit in limits), f'LD_PRELOAD={ttlib.LIBTTCLIENT} exec "$0"']
    )
    return subprocess.run(
        ["/bin/bash", "-c", script, program],
        env=daemon.env({"TT_LOSSLESS": 1}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def check_as_alone(daemon, program, *limits):
    alone = run_limited(daemon, program, *limits)
    traced = run_limited_traced(daemon, program, *limits)
    check_equal(alone.returncode, 5, alone.stderr)
    check_equal(
        (traced.returncode, traced.stdout, traced.stderr),
        (alone.returncode, alone.stdout, alone.stderr),
        f"with {limits}",
    )


@case
def fault_A18_file_size_limit():
    program = ttlib.compile_c(LIMITED, "-w")
    with ttlib.Daemon() as daemon:
        check_as_alone(daemon, program, "-f 4")
        (card,) = daemon.sessions()
        export = daemon.export(card["id"])
        check_equal(left(export), [40001], "it was traced")
        ttlib.check_exact(export)


@case
def fault_A20_descriptor_limit():
    program = ttlib.compile_c(LIMITED, "-w")
    with ttlib.Daemon() as daemon:
        check_as_alone(daemon, program, "-n 64")
        check_equal(daemon.sessions(), [], "no number of 100 or above is left: untraced")
        check_as_alone(daemon, program, "-n 101")
        (card,) = daemon.sessions()
        check_equal(left(daemon.export(card["id"])), [40001], "one is: traced")


# ---- A22 ----


def libraries_of(program):
    text = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return [pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", text)]


def make_root(*programs):
    """A folder with nothing but these programs and what the loader wants for them."""
    root = ttlib.temp_dir()
    for program in programs:
        for path in [pathlib.Path(program), *libraries_of(program)]:
            copy = root / str(path).lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return root


@case
def fault_A22_bare_chroot():
    """No /proc, no /dev, no libunwind: it runs, and is traced all the same."""
    if os.geteuid() != 0:
        raise ttlib.Skip("only root may chroot")
    program = ttlib.compile_c(LEAVES, "-w")
    root = make_root(program, ttlib.LIBTTCLIENT)
    with ttlib.Daemon(folder=root / "s") as daemon:
        process = subprocess.run(
            ["chroot", root, "/usr/bin/env", "true"], capture_output=True, text=True
        )
        check(process.returncode != 0, "the root is bare")
        process = subprocess.Popen(
            [program],
            env={"LD_PRELOAD": str(ttlib.LIBTTCLIENT), "TT_SOCKET_DIR": "/s"},
            preexec_fn=lambda: os.chroot(root) or os.chdir("/"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        output = process.communicate(timeout=ttlib.SECONDS)
        check_equal((process.returncode, *output), (5, "done\n", ""))
        card = daemon.wait_for_state(process.pid, "exited", "ended")
        export = daemon.export(card["id"])
        check_equal(left(export), LEFT)
        ttlib.check_books(export)


READ_ONLY = LEAVES.replace(
    "int main(void) {",
    """#include <errno.h>
#include <fcntl.h>

int main(void) {
    if (open("/a-file-of-the-test", O_CREAT | O_WRONLY, 0600) >= 0 || errno != EROFS)
        return 77;
""",
)


def make_read_only():
    """The calling process sees all file systems, but may write to none."""
    libc = ctypes.CDLL(None, use_errno=True)
    nowhere, flags = None, MS_REC | MS_PRIVATE
    if libc.unshare(CLONE_NEWNS) or libc.mount(nowhere, b"/", nowhere, flags, nowhere):
        raise OSError(ctypes.get_errno(), "a mount namespace")
    for line in reversed(open("/proc/self/mounts").readlines()):
        place = line.split()[1].encode().decode("unicode_escape").encode()
        libc.mount(nowhere, place, nowhere, MS_REMOUNT | MS_BIND | MS_RDONLY, nowhere)


@case
def fault_A22_read_only_root():
    program = ttlib.compile_c(READ_ONLY, "-w")
    with ttlib.Daemon() as daemon:
        env = daemon.preload_env({"TT_LOSSLESS": 1})
        try:
            traced = ttlib.run([program], env, preexec_fn=make_read_only)
        except subprocess.SubprocessError:
            raise ttlib.Skip("no mount namespace is to be had")
        if traced.returncode == 77:
            raise ttlib.Skip("the root stays writable")
        check_equal((traced.returncode, traced.stdout, traced.stderr), (5, "done\n", ""))
        (card,) = daemon.sessions()
        daemon.wait_for_state(card["pid"], "exited", "ended")
        export = daemon.export(card["id"])
        check_equal(left(export), LEFT)
        ttlib.check_books(export)


WAITS = r"""
#include <unistd.h>

int main(void) {
    char byte;

    return read(0, &byte, 1) == 1 ? 5 : 6;
}
"""


@case
def fault_A22_environment_emptied_before_exec():
    program = ttlib.compile_c(WAITS)
    with ttlib.Daemon() as daemon:
        process = subprocess.Popen(
            ["/usr/bin/env", "-i", program], env=daemon.preload_env(), stdin=subprocess.PIPE
        )
        card = daemon.wait_for_state(process.pid, "exec")
        process.communicate(b"x", timeout=ttlib.SECONDS)
        check_equal((process.returncode, card["name"]), (5, "env"))
        check_equal([c["state"] for c in daemon.sessions()], ["exec"])


# ---- A23 ----


@case
def fault_A23_our_own_programs_are_not_traced():
    folder = ttlib.temp_dir() / "other"
    folder.mkdir(mode=0o700)
    script = f"""
        {ttlib.TT_CTL} list --json >/dev/null || exit 1
        {ttlib.TT_DAEMON} --socket-dir={folder} & daemon=$!
        until TT_SOCKET_DIR={folder} {ttlib.TT_CTL} list >/dev/null 2>&1; do :; done
        TT_SOCKET_DIR={folder} {ttlib.TT_CTL} run --json -- /bin/true >/dev/null || exit 2
        kill $daemon; wait $daemon
    """
    with ttlib.Daemon() as daemon:
        traced = subprocess.run(
            ["/bin/sh", "-c", script],
            env=daemon.preload_env({"TT_LOSSLESS": 1}),
            capture_output=True,
            text=True,
            timeout=ttlib.SECONDS,
        )
        check_equal((traced.returncode, traced.stderr), (0, ""), traced.stdout)
        check_equal({card["name"] for card in daemon.sessions()}, {"dash"}, "programs traced")


# ---- A24 ----

NONSENSE = [
    {"TT_SAMPLE": "-1"},
    {"TT_SAMPLE": "1e99"},
    {"TT_SAMPLE": ""},
    {"TT_SAMPLE": "99999999999999999999"},
    {"TT_SOCKET_DIR": "relative"},
    {"TT_SOCKET_DIR": "/tmp/" + 200 * "x"},
    {"TT_SOCKET_DIR": "/nonexistent/folder"},
    {"TT_SOCKET_DIR": ""},
]


@case
def fault_A24_run_refuses_nonsense_in_the_environment():
    for env in NONSENSE:
        traced = ttlib.run_traced(["/bin/echo", "started"], env=env)
        check_equal((traced.returncode, traced.stdout), (125, ""), f"{env}: {traced.stderr}")
        check_equal(traced.stderr.count("\n"), 1, f"{env}: sentences in {traced.stderr}")
        (name,) = env
        check(name in traced.stderr, f"{env}: {traced.stderr}")
        check(traced.export is None, "no file is written")


@case
def fault_A24_preloaded_with_nonsense_is_inert():
    program = ttlib.compile_c(LEAVES, "-w")
    with ttlib.Daemon() as daemon:
        for env in NONSENSE:
            process = subprocess.run(
                [program], env=daemon.preload_env(env), capture_output=True, text=True
            )
            check_equal(
                (process.returncode, process.stdout, process.stderr), (5, "done\n", ""), f"{env}"
            )
        check_equal(daemon.sessions(), [], "sessions")


ttlib.main()
