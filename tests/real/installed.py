#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tree as it is installed, in folders with names that ld.so, make and pkg-config do not like; the
example of the README, built with it as users build; and the public header under every standard."""

import atexit
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import ttlib
from ttlib import case, check, check_equal

EXAMPLE = ttlib.SOURCE / "examples" / "basic_usage.c"
# A lossless program waits for a daemon that a busy machine keeps from answering; others go on after
# 50 ms, untraced for a second, which is longer than the example lasts.
PATIENT = {"TT_LOSSLESS": 1}
LAST_LINE = "Example finished. Check example_snapshot.json and example_usage.svg."

_prefix = None


def installed():
    """The prefix, in a folder with a space in its name: made once for all cases. What the build has
    made is installed, and moved; what knows the prefix comes from configuring with it."""
    global _prefix
    if _prefix is None:
        folder = tempfile.TemporaryDirectory(prefix="tt ")
        atexit.register(folder.cleanup)
        top = pathlib.Path(folder.name)
        prefix = top / "P"
        run_meson("install", "-C", ttlib.BUILD, "--no-rebuild", "--destdir", top / "destdir")
        run_meson("setup", "-Dtests=false", f"--prefix={prefix}", top / "build", ttlib.SOURCE)
        (ctl,) = (top / "destdir").rglob("bin/tt-ctl")
        ctl.parent.parent.rename(prefix)
        for name in ("ttclient.pc", "tt-daemon.service"):
            (old,), (new,) = prefix.rglob(name), (top / "build").rglob(name)
            shutil.copy(new, old)
        _prefix = prefix
    return _prefix


def run_meson(*words, **variables):
    ttlib.need("meson")
    result = subprocess.run(
        ["meson", *words], env=ttlib.clean_env(variables), capture_output=True, text=True
    )
    check_equal(result.returncode, 0, f"meson {words[0]}: {result.stdout[-2000:]} {result.stderr}")


def pkg_config(*words):
    (package,) = installed().rglob("ttclient.pc")
    result = subprocess.run(
        ["pkg-config", *words, "ttclient"],
        env=ttlib.clean_env({"PKG_CONFIG_PATH": package.parent}),
        capture_output=True,
        text=True,
    )
    check_equal(result.returncode, 0, result.stderr)
    return result.stdout.strip()


def compile_example(flags):
    """As the README says, by a shell: the flags may hold quoted spaces."""
    folder = ttlib.temp_dir()
    result = subprocess.run(
        ["/bin/sh", "-c", f"cc -Wall -Wextra -Werror -g '{EXAMPLE}' {flags} -o basic_usage"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    check_equal(result.returncode, 0, f"{flags}: {result.stderr}")
    return folder / "basic_usage"


def check_example(folder):
    """What it wrote: both variables by name and type, and the leak."""
    export = ttlib.read_json(folder / "example_snapshot.json")
    ttlib.check_schema(export)
    ttlib.check_books(export)
    ttlib.check_exact(export)
    named = {b["var_name"]: b for b in export["active_allocations"] if b["var_name"]}
    check_equal(
        {name: (b["type_name"], b["size"]) for name, b in named.items()},
        {"numbers": ("unsigned char *", 1024), "text": ("char *", 23)},
        "named blocks",
    )
    leaks = [
        b
        for b in export["active_allocations"]
        if b["size"] == 300 and "forget" in ttlib.functions_of(export, b["stack"])
    ]
    check_equal(len(leaks), 1, "the leak, by the function that forgot it")
    picture = (folder / "example_usage.svg").read_text()
    for word in ("numbers", "unsigned char *", "text", "char *"):
        check(word in picture, f"{word!r} is in the picture")
    ttlib.need("rsvg-convert")
    subprocess.run(
        ["rsvg-convert", folder / "example_usage.svg", "-o", folder / "x.png"], check=True
    )


# ---- the tree ----


@case
def installed_tree_is_whole():
    prefix = installed()
    found = sorted(str(p.relative_to(prefix)) for p in prefix.rglob("*") if not p.is_dir())
    for pattern in (
        r"bin/tt-ctl",
        r"bin/tt-daemon",
        r"lib.*/libttclient\.so",
        r"lib.*/libttclient\.a",
        r"include/ttclient\.h",
        r"lib.*/pkgconfig/ttclient\.pc",
        r"lib/systemd/user/tt-daemon\.service",
        r"lib/systemd/user/tt-daemon-events\.socket",
        r"lib/systemd/user/tt-daemon-control\.socket",
        r"share/.*\.schema\.json",
    ):
        check(any(re.fullmatch(pattern, path) for path in found), f"{pattern} among {found}")


@case
def units_lie_where_the_user_manager_looks():
    """It says itself which folders of a home those are."""
    ttlib.need("systemd-analyze")
    home = ttlib.temp_dir()
    env = ttlib.clean_env({"HOME": home})
    paths = subprocess.run(
        ["systemd-analyze", "--user", "unit-paths"], env=env, capture_output=True, text=True
    ).stdout.split()
    if not any(path.startswith(str(home)) for path in paths):
        raise ttlib.Skip("systemd-analyze names no folder of the home")
    words = ["-Dtests=false", f"--prefix={home}/.local", home / "build", ttlib.SOURCE]
    run_meson("setup", *words, HOME=home)
    plan = subprocess.run(
        ["meson", "introspect", "--installed", home / "build"], capture_output=True, text=True
    )
    units = [p for p in json.loads(plan.stdout).values() if p.endswith((".socket", ".service"))]
    check_equal(len(units), 3, f"units among {plan.stdout}")
    for unit in units:
        check(str(pathlib.Path(unit).parent) in paths, f"{unit} is in one of {paths}")


@case
def fault_A02_installed_under_a_space_and_a_colon():
    for name in ("with space", "with:colon", "with $dollar;and more"):
        prefix = ttlib.temp_dir() / name
        shutil.copytree(installed(), prefix, symlinks=True)
        out = ttlib.temp_dir() / "out.json"
        result = subprocess.run(
            [prefix / "bin" / "tt-ctl", "run", f"--json={out}", "--", "/bin/sh", "-c", "echo $0; exit 4"],
            env=ttlib.clean_env(),
            capture_output=True,
            text=True,
        )
        check_equal((result.returncode, result.stdout, result.stderr), (4, "/bin/sh\n", ""), name)
        export = ttlib.read_json(out)
        ttlib.check_exact(export)
        check(export["cumulative_allocations"] > 10, f"{name}: it was traced")


@case
def fault_A02_descendants_find_the_library_too():
    prefix = ttlib.temp_dir() / "with space"
    shutil.copytree(installed(), prefix, symlinks=True)
    folder = ttlib.temp_dir()
    script = "for i in 1 2 3; do /usr/bin/env true || exit 1; done"
    result = subprocess.run(
        [prefix / "bin" / "tt-ctl", "run", f"--json={folder}/%s.json", "--", "/bin/sh", "-c", script],
        env=ttlib.clean_env(),
        capture_output=True,
        text=True,
    )
    check_equal((result.returncode, result.stdout, result.stderr), (0, "", ""))
    names = sorted(ttlib.read_json(f)["process"]["exe"].split("/")[-1] for f in folder.iterdir())
    check_equal(names.count("env"), 3, f"sessions of {names}")
    check_equal(names.count("true"), 3, f"sessions of {names}")


# ---- the example ----


@case
def example_runs_linked():
    program = compile_example(pkg_config("--cflags", "--libs"))
    (library,) = installed().rglob("libttclient.so")
    with ttlib.Daemon() as daemon:
        result = subprocess.run(
            [program],
            cwd=program.parent,
            env=daemon.env({"LD_LIBRARY_PATH": library.parent, **PATIENT}),
            capture_output=True,
            text=True,
        )
        check_equal((result.returncode, result.stderr), (0, ""))
        check_equal(result.stdout.splitlines()[-1], LAST_LINE)
        check_example(program.parent)


@case
def example_runs_under_run():
    program = compile_example(pkg_config("--cflags", "--libs"))
    result = subprocess.run(
        [installed() / "bin" / "tt-ctl", "run", "--", program],
        cwd=program.parent,
        env=ttlib.clean_env(),
        capture_output=True,
        text=True,
    )
    check_equal(result.returncode, 0, result.stderr)
    check_equal(result.stdout.splitlines()[-1], LAST_LINE)
    check("left at exit" in result.stderr, "the summary")
    check_example(program.parent)


@case
def example_runs_with_the_static_library():
    (library,) = installed().rglob("libttclient.a")
    program = compile_example(f"{pkg_config('--cflags')} '{library}'")
    with ttlib.Daemon() as daemon:
        result = subprocess.run(
            [program], cwd=program.parent, env=daemon.env(PATIENT), capture_output=True, text=True
        )
        check_equal((result.returncode, result.stderr), (0, ""))
        check_equal(result.stdout.splitlines()[-1], LAST_LINE)
        check_example(program.parent)


@case
def example_says_that_no_daemon_runs():
    program = compile_example(pkg_config("--cflags", "--libs"))
    (library,) = installed().rglob("libttclient.so")
    env = {"LD_LIBRARY_PATH": library.parent, "TT_SOCKET_DIR": ttlib.temp_dir()}
    result = subprocess.run(
        [program], cwd=program.parent, env=ttlib.clean_env(env), capture_output=True, text=True
    )
    check_equal(result.returncode, 0, result.stderr)
    check_equal(result.stdout.splitlines()[-1], LAST_LINE)
    check_equal(result.stderr.count("Is tt-daemon running?"), 2, result.stderr)
    check_equal(os.listdir(program.parent), ["basic_usage"], "files")


@case
def readme_shows_the_example():
    readme = (ttlib.SOURCE / "README.md").read_text()
    check(f"```c\n{EXAMPLE.read_text()}```" in readme, "README.md has examples/basic_usage.c whole")


# ---- the header ----

USES = r"""
#include <stdio.h>
#include <stdlib.h>
#include <ttclient.h>

static int calls;

static char *next(char *block) {
    calls++;
    return block;
}

static void use(int choice) {
    char *block = (char *)malloc(10), *at = block;
    const unsigned long *numbers = (const unsigned long *)malloc(80);
    int array[3] = {1, 2, 3};
    struct Node { int x; } *node = (struct Node *)calloc(1, sizeof *node);
    void (*function)(int) = use;

    if (choice)
        TT_TRACK_VAR(block);
    else
        TT_TRACK_VAR(numbers);
    for (int i = 0; i < 2; i++)
        TT_TRACK_VAR(block);
    TT_TRACK_VAR(array);
    TT_TRACK_VAR(node);
    TT_TRACK_VAR(next(block));
    TT_TRACK_VAR(at++);
    {
        TT_SCOPE("outer");
        TT_SCOPE("inner");
        free(malloc(5));
    }
    (void)function;
    tt_mark("here");
    tt_pause();
    tt_resume();
    tt_report_alloc(array, sizeof array);
    tt_report_realloc(array, array + 1, 4);
    tt_report_free(array + 1);
    (void)tt_init();
    (void)tt_track(block, "block", "char *");
    (void)array;
    printf("%d %d\n", calls, (int)(at - block));
    free(block);
    free((void *)numbers);
    free(node);
}

int main(void) {
    use(0);
    use(1);
    (void)next(NULL);
    return 0;
}
"""

DIALECTS = [
    *(("gcc", ".c", f"-std={std}") for std in ("c99", "c11", "c17", "gnu17")),
    *(("g++", ".cpp", f"-std={std}") for std in ("c++11", "c++14", "c++17", "c++20")),
    *(("clang", ".c", f"-std={std}") for std in ("c99", "c17")),
    *(("clang++", ".cpp", f"-std={std}") for std in ("c++11", "c++20")),
]


@case
def header_is_accepted_by_every_standard():
    (header,) = installed().rglob("ttclient.h")
    folder = ttlib.temp_dir()
    missing = []
    for compiler, suffix, std in DIALECTS:
        if shutil.which(compiler) is None:
            missing.append(compiler)
            continue
        source = folder / f"uses{suffix}"
        source.write_text(USES)
        for extra in ([], ["-DTT_DISABLE"]):
            words = [compiler, std, "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", *extra]
            if extra:  # what only the macros would have used
                words += ["-Wno-unused-variable", "-Wno-unused-but-set-variable"]
            result = subprocess.run(
                [*words, f"-I{header.parent}", "-c", source, "-o", folder / "uses.o"],
                capture_output=True,
                text=True,
            )
            check_equal(result.returncode, 0, f"{' '.join(words)}: {result.stderr[:1500]}")
    if len(missing) > 2:
        raise ttlib.Skip(f"{set(missing)} are not installed; the others accept it")


@case
def macros_evaluate_once_and_disabled_not_at_all():
    (header,) = installed().rglob("ttclient.h")
    (library,) = installed().rglob("libttclient.a")
    for compiler, suffix in (("cc", ".c"), ("g++", ".cpp")):
        for flags, want in (([], "1 1\n2 1\n"), (["-DTT_DISABLE"], "0 0\n0 0\n")):
            program = ttlib.compile_c(
                USES, "-w", f"-I{header.parent}", *flags, library, compiler=compiler, suffix=suffix
            )
            result = subprocess.run(
                [program], env=ttlib.clean_env(), capture_output=True, text=True
            )
            check_equal((result.returncode, result.stdout), (0, want), f"{compiler} {flags}")


ttlib.main()
