#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tree to the rules of rules.py, and each rule to a tree in which it is broken."""

import subprocess

import rules
import ttlib
from ttlib import BUILD, LIBTTCLIENT, SOURCE, Skip, add_case, case, check, check_equal, temp_dir

C = "/* SPDX-License-Identifier: Apache-2.0 */\n"
H = C + "#pragma once\n"


def report(violations):
    check(not violations, "\n".join(violations))


def plant(files):
    """A tree with these files."""
    root = temp_dir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


# A tree that keeps every rule; each plant below is this one with files changed.
GOOD = {
    "protocol/wire.h": H,
    "protocol/README.md": "[wire](wire.h)\n",
    "client/lane.h": H + '#include "protocol/wire.h"\n',
    "client/ttclient.h": H,
    "client/lane.c": C + '#include "client/lane.h"\n\n#include <string.h>\n',
    "client/README.md": "",
    "client/engine.c": C + "#include <libunwind.h>\n",
    "daemon/main.c": C + '#include "control/control.h"\n#include "service.h"\n',
    "daemon/service.h": H + '#include "intake/intake.h"\n',
    "daemon/README.md": "",
    "daemon/model/session.h": H,
    "daemon/model/blocks.h": H,
    "daemon/intake/intake.h": H,
    "daemon/control/control.h": H,
    "daemon/report/json.c": C + '#include "model/session.h"\n',
    "daemon/report/README.md": "",
    "tools/main.c": C + '#include "protocol/wire.h"\n#include "trace-tools-dbus.h"\n',
    "tools/README.md": "",
    "tests/README.md": "[lib](lib)\n",
    "tests/lib/x.py": "#!/usr/bin/python3\n# SPDX-License-Identifier: Apache-2.0\n",
    "docs/README.md": "",
}

RULES = {
    rules.includes_follow_arrows: [
        {"client/lane.c": C + '#include "../protocol/wire.h"\n'},
        {"client/lane.c": C + "#include <sys/../unistd.h>\n"},
        {"client/lane.c": C + '#include "model/session.h"\n'},
        {"client/lane.c": C + '#include "base/worker.h"\n'},
        {"client/lane.c": C + '#include "lane.h"\n'},
        {"client/lane.c": C + '#include "daemon/model/session.h"\n'},
        {"protocol/wire.h": H + '#include "client/lane.h"\n'},
        {"protocol/wire.h": H + '  #  include   "client/lane.h"\n'},
        {"tools/main.c": C + '#include "control/control.h"\n'},
        {"tools/main.c": C + '#include "client/lane.h"\n'},
        {"daemon/model/blocks.h": H + '#include "intake/intake.h"\n'},
        {"daemon/model/blocks.h": H + '#include "report/report.h"\n'},
        {"daemon/model/blocks.h": H + '#include "trace-tools-dbus.h"\n'},
        {"daemon/intake/intake.h": H + '#include "model/blocks.h"\n'},
        {"daemon/intake/intake.h": H + '#include "control/control.h"\n'},
        {"daemon/report/json.c": C + '#include "model/blocks.h"\n'},
        {"daemon/report/json.c": C + '#include "client/ttclient.h"\n'},
        {"daemon/main.c": C + '#include "model/session.h"\n'},
        {"daemon/main.c": C + '#include "main/x.h"\n'},
        {"daemon/main.c": C + '#include "gone.h"\n'},
        {"daemon/model/blocks.h": H + '#include "service.h"\n'},
    ],
    rules.client_has_no_glib: [
        {"client/lane.c": C + "#include <glib.h>\n"},
        {"protocol/wire.h": H + "#include <gio/gio.h>\n"},
        {"client/lane.c": C + "void f(void *p) { g_free(p); }\n"},
    ],
    rules.libraries_are_known_in_one_place: [
        {"client/lane.c": C + "#include <libunwind.h>\n"},
        {"daemon/report/json.c": C + "#include <librsvg/rsvg.h>\n"},
        {"daemon/main.c": C + "#include <elfutils/libdw.h>\n"},
    ],
    rules.files_are_short: [
        {"client/lane.c": C + "\n" * 900},
        {"tests/lib/x.py": "#\n" * 901},
    ],
    rules.files_begin_rightly: [
        {"client/lane.c": "int x;\n"},
        {"client/lane.h": C},
        {"tests/lib/x.py": "#!/usr/bin/python3\n"},
        {"client/lane.c": ""},
        {"client/meson.build": "x = 1\n"},
    ],
    rules.rooms_have_a_readme: [{"daemon/control/server.c": C}],
    rules.pages_name_no_machine: [
        {"docs/README.md": "see /wor" + "k/main/x\n"},
        {"tests/lib/x.py": "x = '/roo" + "t/x'\n"},
        {"client/lane.c": C + "/* in /hom" + "e/somebody/src */\n"},
    ],
    rules.pages_link_to_what_is_there: [
        {"docs/README.md": "[gone](gone.md)\n"},
        {"docs/README.md": "text\n[gone](../protocol/gone.md#part)\n"},
    ],
}


def hold_tree(rule):
    report(rule(SOURCE))


def find_planted(rule, plants):
    report(rule(plant(GOOD)))
    for files in plants:
        violations = rule(plant({**GOOD, **files}))
        check_equal(len(violations), 1, f"{rule.__name__} on {files}: {violations}")
        path = next(iter(files))
        check(path in violations[0] or rule is rules.rooms_have_a_readme, violations[0])


for each, planted in RULES.items():
    add_case(f"rule_{each.__name__}", lambda rule=each: hold_tree(rule))
    add_case(
        f"planted_{each.__name__}", lambda rule=each, plants=planted: find_planted(rule, plants)
    )


def need_clang_format():
    if rules.clang_format() is None:
        raise Skip("clang-format 14 is not installed")


@case
def rule_sources_are_formatted():
    need_clang_format()
    report(rules.sources_are_formatted(SOURCE))


@case
def planted_sources_are_formatted():
    need_clang_format()
    style = (SOURCE / ".clang-format").read_text()
    root = plant({".clang-format": style, "a.c": "int a;\n", "b.c": "int  b ;\n"})
    check_equal(rules.sources_are_formatted(root), ["b.c:1: not as .clang-format has it"])


def check_page(word, name):
    wire_page = BUILD / "protocol" / "wire-page"
    made = subprocess.run([wire_page, word], capture_output=True, check=True).stdout
    check(
        made == (SOURCE / "protocol" / name).read_bytes(),
        f"protocol/{name} differs from what the headers say: "
        "meson compile -C build remake-goldens, then read the difference",
    )


@case
def rule_wire_page_is_current():
    check_page("page", "WIRE.md")


@case
def rule_recording_page_is_current():
    check_page("recording", "RECORDING.md")


@case
def rule_faults_have_a_test_or_a_reason():
    report(rules.faults_have_a_test_or_a_reason(SOURCE))


@case
def planted_faults_without_a_test():
    cases = [f"{s}{n:02}" for s, count in rules.FAULTS.items() for n in range(1, count + 1)]
    table = {c: f"| {c} | | for a reason that is told at some length |" for c in cases}
    table["A02"] = "| A02 | `faults/here.py` | |"
    good = {"tests/faults/here.py": "def fault_A02_name(): pass\n"}

    def find(**changes):
        page = "\n".join(line for line in {**table, **changes}.values() if line)
        return rules.faults_have_a_test_or_a_reason(plant({**good, "tests/faults/README.md": page}))

    check_equal(find(), [], "a whole table")
    nothing = "tests/faults/README.md: B01 has no test and no reason"
    check_equal(find(B01=None), [nothing], "a line is missing")
    check_equal(find(B01="| B01 | | later |"), [nothing], "no reason")
    for name in ("faults/here.py", "faults/gone.py"):
        found = find(B01=f"| B01 | `{name}` | |")
        check_equal(found, [f"tests/faults/README.md: no test of B01 in {name}"], "no test")


SYMBOLS = SOURCE / "tests" / "rules" / "libc-symbols.txt"


@case
def rule_library_keeps_to_itself():
    if not LIBTTCLIENT.exists():
        raise Skip("libttclient is not built")
    report(rules.library_keeps_to_itself(LIBTTCLIENT, SOURCE / "client" / "ttclient.map", SYMBOLS))


@case
def planted_library_keeps_to_itself():
    root = plant(
        {
            "good.c": "#include <string.h>\nint malloc_like(char *t) { return (int)strlen(t); }\n",
            "export.c": "int malloc_like(void) { return 1; }\nint tt_secret(void) { return 2; }\n",
            "missing.c": "int other;\n",
            "wants.c": "int puts(const char *);\nint malloc_like(void) { return puts(0); }\n",
            "glibc.c": "void *_dl_find_object(void *, void *);\n"
            "void *malloc_like(void *p) { return _dl_find_object(p, p); }\n",
            "needs.c": "double lgamma(double);\ndouble malloc_like(double x) { return lgamma(x); }\n",
            "a.map": "{ global: /* one; two; */ malloc_like; local: *; };\n",
            "all.map": "{ global: *; };\n",
            "list": "strong strlen # of every libc\nstrong __cxa_finalize\nweak _dl_find_object\n"
            "weak _ITM_deregisterTMCloneTable\nweak _ITM_registerTMCloneTable\n"
            "weak __gmon_start__\nweak __cxa_finalize\nstrong lgamma\n",
        }
    )
    # Name of the source, the map it is linked with, and what is found.
    plants = {
        "good": ("a.map", []),
        "export": ("all.map", ["exports tt_secret"]),
        "missing": ("all.map", ["malloc_like is not exported", "exports other"]),
        "wants": ("a.map", ["wants puts strongly"]),
        "glibc": ("a.map", ["wants _dl_find_object strongly"]),
        "needs": ("a.map", ["needs libm.so.6"]),
    }
    for name, (map_file, wanted) in plants.items():
        library = root / f"{name}.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O0", "-fno-builtin", "-o", library, root / f"{name}.c"]
            + [f"-Wl,--version-script={root / map_file}", "-Wl,--as-needed"]
            + (["-lm"] if name == "needs" else []),
            check=True,
        )
        found = rules.library_keeps_to_itself(library, root / "a.map", root / "list")
        check_equal(len(found), len(wanted), f"{name}: {found}")
        for text, want in zip(found, wanted):
            check(want in text, f"{name}: {text}, want {want}")


ttlib.main()
