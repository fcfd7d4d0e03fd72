# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, each a function from a tree to its violations: ["file:line: what"].

They read text; what they read is plain enough for that. test-rules.py runs each of them on the tree
and on a small tree in which the rule is broken."""

import os
import pathlib
import re
import shutil
import subprocess

# Which rooms a room may name in an #include, besides itself. The diagram:
#
#   client --> protocol <-- tools         tools reach the daemon by D-Bus alone
#               ^    ^
#          intake -> model <- report -> symbols -> protocol
#                      ^        |
#                    scan <-----+
#            ^         ^         ^
#          main --> control -----+        base: any room of daemon/
ARROWS = {
    "protocol": set(),
    "client": {"protocol"},
    "base": set(),
    "model": {"base", "protocol"},
    "intake": {"base", "model", "protocol"},
    "scan": {"base", "model", "protocol"},
    "symbols": {"base", "protocol"},
    "report": {"base", "model", "scan", "symbols", "protocol"},
    "control": {"base", "intake", "model", "scan", "symbols", "report", "protocol"},
    "main": {"base", "intake", "symbols", "control", "protocol"},
    "tools": {"protocol"},
}

# The headers of a room that others may name. protocol and base are all door.
DOORS = {
    "client": {"client/ttclient.h"},
    "model": {"model/bequest.h", "model/session.h", "model/snapshot.h"},
    "intake": {"intake/intake.h"},
    "scan": {"scan/scan.h"},
    "symbols": {"symbols/symbols.h"},
    "report": {"report/report.h"},
    "control": {"control/control.h", "control/export.h"},
}

# Made by the build from protocol/trace-tools.xml.
GENERATED = {"trace-tools-dbus.h": {"control", "tools"}}

# Libraries that one place alone knows: what an #include begins with, and the files that may.
ALONE = {
    "libunwind": ("client/engine.c", "client/rules.c"),
    "librsvg/": ("daemon/report/svg/",),
    "cairo": ("daemon/report/svg/",),
    "elfutils/": ("daemon/symbols/",),
    "dwarf.h": ("daemon/symbols/",),
    "libiberty/": ("daemon/symbols/",),
    "ncurses": ("tools/",),
    "zstd.h": ("daemon/intake/sections.c",),
}

LINES_MAX = 900
CODE = (".c", ".h", ".def", ".py", ".sh")
SKIPPED_FOLDERS = {".git", "__pycache__", "demo", "golden", "found"}
TEXT = CODE + (".md", ".xml", ".build", ".txt", ".json", ".in", ".service", ".socket", ".hex", ".map")


def files_of(root, *suffixes):
    """Files of the tree, by their paths from the root; builds are left out."""
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(
            f for f in folders if f not in SKIPPED_FOLDERS and not is_build(pathlib.Path(folder, f))
        )
        for name in sorted(names):
            path = pathlib.Path(folder, name)
            if name == ".git":  # of a worktree: a file, with the path of its repository
                continue
            if not suffixes or path.suffix in suffixes:
                yield path.relative_to(root)


def is_build(folder):
    return (folder / "build.ninja").exists() or (folder / "meson-private").exists()


def lines_of(root, path):
    text = (root / path).read_text(errors="surrogateescape")
    return enumerate(text.splitlines(), 1)


def room_of(path):
    """The room a file lies in, or None: tests and examples are no rooms."""
    parts = path.parts
    if parts[0] in ("protocol", "client", "tools"):
        return parts[0]
    if parts[0] == "daemon":
        return parts[1] if len(parts) > 2 else "main"
    return None


def includes_of(root, path):
    for number, line in lines_of(root, path):
        found = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if found:
            yield number, found.group(1) == '"', found.group(2)


def includes_follow_arrows(root):
    """A room names itself and its arrows' ends, their doors alone, and never ../"""
    found = []
    for path in files_of(root, ".c", ".h", ".def"):
        room = room_of(path)
        for number, is_ours, name in includes_of(root, path):
            where = f"{path}:{number}"
            if ".." in name.split("/"):
                found.append(f"{where}: '{name}' goes up by ..")
                continue
            if not is_ours:
                continue
            target = name.split("/")[0] if "/" in name else None
            if target is None and name in GENERATED:
                if room is not None and room not in GENERATED[name]:
                    found.append(f"{where}: {room} may not include {name}")
                continue
            if room is None:
                continue
            if target is None and room == "main" and (root / path.parent / name).exists():
                continue  # daemon/ itself: its headers have no folder to be named by
            if target is None:
                found.append(f"{where}: '{name}' does not say which room it is of")
            elif target not in ARROWS or target == "main":
                found.append(f"{where}: '{name}' is of no room")
            elif target != room and target not in ARROWS[room]:
                found.append(f"{where}: there is no arrow from {room} to {target}")
            elif target != room and name not in DOORS.get(target, {name}):
                found.append(f"{where}: '{name}' is no door of {target}")
    return found


def client_has_no_glib(root):
    """client and protocol are C and libc."""
    found = []
    for path in files_of(root, ".c", ".h", ".def"):
        if room_of(path) not in ("client", "protocol"):
            continue
        for number, _, name in includes_of(root, path):
            if re.match(r"(glib|gio|gobject|gmodule|json-glib)", name):
                found.append(f"{path}:{number}: '{name}' is GLib's")
        for number, line in lines_of(root, path):
            if re.search(r"\bg_[a-z0-9_]+ ?\(", line):
                found.append(f"{path}:{number}: a function of GLib's: {line.strip()}")
    return found


def libraries_are_known_in_one_place(root):
    found = []
    for path in files_of(root, ".c", ".h"):
        if path.parts[0] == "tests":
            continue
        for number, is_ours, name in includes_of(root, path):
            for library, places in ALONE.items():
                if is_ours or not name.startswith(library):
                    continue
                if not any(str(path).startswith(place) for place in places):
                    found.append(f"{path}:{number}: {name} is for {' and '.join(places)} alone")
    return found


def files_are_short(root):
    found = []
    for path in files_of(root, *CODE):
        count = sum(1 for _ in lines_of(root, path))
        if count > LINES_MAX:
            found.append(f"{path}:{count}: over {LINES_MAX} lines")
    return found


def files_begin_rightly(root):
    """The licence on the first line (the second after #!), and #pragma once in a header; the public
    one, which any compiler reads, may have a guard instead."""
    found = []
    for path in files_of(root):
        if path.suffix not in CODE and path.name != "meson.build":
            continue
        text = (root / path).read_text(errors="surrogateescape")
        lines = [line for line in text.splitlines()[:2] if not line.startswith("#!")] or [""]
        want = "SPDX-License-Identifier: Apache-2.0"
        is_c = path.suffix in (".c", ".h", ".def")
        if lines[0] != (f"/* {want} */" if is_c else f"# {want}"):
            found.append(f"{path}:1: does not begin with its licence")
        once = "#ifndef TT" if path.name == "ttclient.h" else "#pragma once"
        if path.suffix == ".h" and f"\n{once}" not in text and "\n#pragma once" not in text:
            found.append(f"{path}:1: no #pragma once")
    return found


def rooms_have_a_readme(root):
    found = []
    rooms = {room.parent for room in files_of(root, ".c") if room_of(room)}
    for room in sorted(rooms | {pathlib.Path("tests"), pathlib.Path("docs")}):
        if room == pathlib.Path("daemon/report/svg"):
            continue  # described with its room
        if (root / room).is_dir() and not (root / room / "README.md").exists():
            found.append(f"{room}:1: no README.md")
    return found


def pages_name_no_machine(root):
    """No path of the machine that somebody wrote on."""
    found = []
    machine = re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]/(?!user\b)\w+|User[s])/|/\.librar[y]\b")
    for path in files_of(root):
        if path.suffix not in TEXT and path.suffix:
            continue
        for number, line in lines_of(root, path):
            if machine.search(line):
                found.append(f"{path}:{number}: {line.strip()}")
    return found


def pages_link_to_what_is_there(root):
    found = []
    for path in files_of(root, ".md"):
        for number, line in lines_of(root, path):
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                if not (root / path.parent / target).exists():
                    found.append(f"{path}:{number}: links to {target}, which is not there")
    return found


def sources_are_formatted(root):
    """As clang-format 14 with .clang-format makes them."""
    files = [root / path for path in files_of(root, ".c", ".h")]
    result = subprocess.run(
        [clang_format(), "--dry-run", "--style=file", *files], capture_output=True, text=True
    )
    pattern = re.compile(r"^(.*?):(\d+):\d+: (?:warning|error): code should be clang-formatted")
    places = {}
    for line in result.stderr.splitlines():
        match = pattern.match(line)
        if match:
            places.setdefault(match.group(1), match.group(2))
    return [
        f"{os.path.relpath(path, root)}:{line}: not as .clang-format has it"
        for path, line in places.items()
    ]


# Cases of each section of the fault list.
FAULTS = {"A": 26, "B": 16, "C": 17, "D": 9, "E": 17, "F": 12}


def faults_have_a_test_or_a_reason(root):
    """Each case of sections A to F has its line in the table of tests/faults: with files that hold a
    test of its id, or with a reason."""
    page = root / "tests" / "faults" / "README.md"
    if not page.exists():
        return []
    rows = {}
    for line in page.read_text().splitlines():
        row = re.fullmatch(r"\| ([A-F]\d\d) \|(.*)\|(.*)\|", line)
        if row:
            rows[row[1]] = re.findall(r"`([^`]+)`", row[2]), row[3].strip()
    found = []
    for section, count in FAULTS.items():
        for number in range(1, count + 1):
            case = f"{section}{number:02}"
            files, reason = rows.get(case, ([], ""))
            if not files and len(reason) < 30:
                found.append(f"{page.relative_to(root)}: {case} has no test and no reason")
            for name in files:
                path = root / "tests" / name
                if not path.exists() or f"fault_{case}_" not in path.read_text():
                    found.append(f"{page.relative_to(root)}: no test of {case} in {name}")
    return found


def clang_format():
    """The program, or None: other versions format otherwise."""
    for name in ("clang-format-14", "clang-format"):
        if shutil.which(name):
            version = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
            if " 14." in version:
                return name
    return None


# ---- libttclient as it was built ----


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def exported(library):
    """Names of the dynamic symbols it defines; version nodes (type A) are none."""
    rows = (line.split() for line in run("nm", "-D", "--defined-only", library).splitlines())
    return {row[2].partition("@")[0] for row in rows if row[1] != "A"}


def undefined(library):
    """Names of the dynamic symbols it wants, with their type: U, or w and v for weak ones."""
    rows = (line.split() for line in run("nm", "-D", "--undefined-only", library).splitlines())
    return {row[1].partition("@")[0]: row[0] for row in rows}


def mapped(path):
    """The names that a version script exports."""
    text = re.sub(r"/\*.*?\*/|#.*", "", path.read_text(), flags=re.S)
    return {
        name
        for part in re.findall(r"global:(.*?)(?:local:|\})", text, re.S)
        for name in re.findall(r"[\w$.]+(?=\s*;)", part)
    }


def allowed(path):
    """The list of symbols: {"strong": names, "weak": names}."""
    lists = {"strong": set(), "weak": set()}
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words:
            kind, name = words
            lists[kind].add(name)
    return lists


def library_keeps_to_itself(library, map_file, list_file):
    """What it exports is what the map says, what it wants is on the list, what it needs is libc. Not
    even glibc's loader by name, which a program of another libc would look for and not find."""
    found = []
    want, have = mapped(map_file), exported(library)
    found += [f"{map_file.name}: {name} is not exported" for name in sorted(want - have)]
    found += [f"{library.name}: exports {name}, which the map does not" for name in sorted(have - want)]

    lists = allowed(list_file)
    for name, kind in sorted(undefined(library).items()):
        is_weak = kind in "wv"
        if name not in lists["strong"] and not (is_weak and name in lists["weak"]):
            how = "weakly" if is_weak else "strongly"
            found.append(f"{library.name}: wants {name} {how}, which {list_file.name} does not allow")

    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", library)))
    for name in sorted(needed - {"libc.so.6"}):
        found.append(f"{library.name}: needs {name}")
    return found
