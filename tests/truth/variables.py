#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Variables of C appear by name and type: what the macro cannot tell is found in the debug
information, in blocks, variables, sums by type and pictures alike."""

import subprocess

import ttlib
from ttlib import check, check_equal

# How the compiler's own types are told; all others have to be found.
DECLARED = {"int *"}

LINK = ("-I", ttlib.SOURCE / "client", "-L", ttlib.BUILD / "client", "-lttclient")
PATH = f"-Wl,-rpath,{ttlib.BUILD / 'client'}"


def read_truth(stdout):
    lines = [line.split("|") for line in stdout.splitlines()]
    check_equal(len(lines), 14, "variables that the program told of")
    return {int(size): (name, type_name) for size, name, type_name in lines}


def source_of(type_name):
    if not type_name:
        return None
    return "declared" if type_name in DECLARED else "dwarf"


def check_blocks(export, truth):
    blocks = {block["size"]: block for block in export["active_allocations"]}
    for size, (name, type_name) in truth.items():
        block = blocks[size]
        check_equal(block["var_name"], name, f"name of the block of {size} bytes")
        check_equal(block["type_name"], type_name or None, f"type of {name}, {size} bytes")
        check_equal(block["type_source"], source_of(type_name), f"source of {name}'s type")


def check_variables(export, truth):
    want = sorted((name, type_name, source_of(type_name) or "") for name, type_name in truth.values())
    got = sorted((v["name"], v["type"] or "", v["type_source"] or "") for v in export["variables"])
    check_equal(got, want, "variables")


def check_sums(export, truth):
    want = {}
    for size, (_, type_name) in truth.items():
        if type_name:
            blocks, total = want.get(type_name, (0, 0))
            want[type_name] = (blocks + 1, total + size)
    got = {row["type"]: (row["live_blocks"], row["live_bytes"]) for row in export["memory_by_type"]}
    check_equal(got, want, "memory_by_type")


def check_picture(path, truth):
    svg = path.read_text()
    for wanted in ("const struct node *", "node_t **", "handler_t *", "struct cache *"):
        check(f'data-type="{wanted}"' in svg, f"{wanted} is in the picture")


def check_found(compiler, *flags):
    ttlib.need(compiler)
    program = ttlib.build("types.c", "-Wno-shadow", *flags, *LINK, PATH, compiler=compiler)
    result = ttlib.run_traced([program], svg=True, options=("--view=top",))
    check_equal(result.returncode, 0, result.stderr)
    truth = read_truth(result.stdout)
    check_blocks(result.export, truth)
    check_variables(result.export, truth)
    check_sums(result.export, truth)
    check_picture(result.svg, truth)
    ttlib.check_schema(result.export)


for _compiler in ("gcc", "clang"):
    for _flags in (("-O0",), ("-O2",), ("-O2", "-gdwarf-4"), ("-O2", "-gdwarf-5")):
        ttlib.add_case(
            f"types_of_{_compiler}{'_'.join(_flags).replace('-', '_')}",
            lambda compiler=_compiler, flags=_flags: check_found(compiler, *flags),
        )


@ttlib.case
def types_without_debug_information_are_null():
    program = ttlib.build("types.c", "-O2", *LINK, PATH)
    subprocess.run(["strip", program], check=True)
    result = ttlib.run_traced([program])
    check_equal(result.returncode, 0, result.stderr)
    for block in result.export["active_allocations"]:
        if block["var_name"] == "numbers":
            check_equal(block["type_name"], "int *")
        elif block["var_name"]:
            check_equal((block["type_name"], block["type_source"]), (None, None), block["var_name"])


ttlib.main()
